//! Cables and a switch: pairs of virtual interfaces, one end in a host, the other on a bridge in this
//! process's own network.
#![allow(clippy::wildcard_enum_match_arm, reason = "the kernel's messages grow, and most are not for us")]

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};

use failover::netlink::Netlink;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Namespace;

const BRIDGE: &str = "switch";
const CARD: &str = "eth0";
/// How often a list is asked for.
const ASKED: usize = 5;
const CREATE: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// A bridge in this process's network.
pub(crate) struct Switch(Netlink);

impl Switch {
    pub(crate) fn new() -> io::Result<Self> {
        let mut netlink = Netlink::open()?;
        if netlink.link(BRIDGE).is_err() {
            let info = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]);
            netlink.change(RouteNetlinkMessage::NewLink(named(BRIDGE, vec![info])), CREATE)?;
        }
        up(&mut netlink, BRIDGE)?;
        Ok(Self(netlink))
    }

    /// A new host, plugged in.
    pub(crate) fn host(&mut self, port: &str, addresses: &[IpAddr]) -> io::Result<Namespace> {
        let host = Namespace::new()?;
        self.plug(port, &host, addresses)?;
        Ok(host)
    }

    /// Plugs a host in: `eth0` there with these addresses of a /24 or a /64, a port named `port` here. The card's own
    /// address follows from the first of these: a machine that was switched off comes back with the same.
    pub(crate) fn plug(&mut self, port: &str, host: &Namespace, addresses: &[IpAddr]) -> io::Result<()> {
        let mut there = named(CARD, vec![LinkAttribute::NetNsFd(host.as_fd().as_raw_fd())]);
        there.attributes.extend(addresses.first().map(|a| LinkAttribute::Address(mac(*a).to_vec())));
        let info =
            vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(there)))];
        let pair = named(port, vec![LinkAttribute::LinkInfo(info)]);
        self.0.change(RouteNetlinkMessage::NewLink(pair), CREATE)?;
        let bridge = self.0.link(BRIDGE)?.index;
        let index = self.0.link(port)?.index;
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::Controller(bridge));
        self.0.change(RouteNetlinkMessage::SetLink(message), 0)?;
        up(&mut self.0, port)?;
        host.inside(|| {
            let mut netlink = Netlink::open()?;
            // The addresses of the link are those that are given here, at once and without being asked for.
            let _ = std::fs::write("/proc/sys/net/ipv6/conf/eth0/addr_gen_mode", "1");
            up(&mut netlink, "lo")?;
            up(&mut netlink, CARD)?;
            let index = netlink.link(CARD)?.index;
            addresses.iter().try_for_each(|address| add(&mut netlink, index, *address))
        })?
    }

    /// Pulls the cable out and throws it away.
    pub(crate) fn cut(&mut self, port: &str) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = self.0.link(port)?.index;
        self.0.change(RouteNetlinkMessage::DelLink(message), 0)
    }
}

/// Joins two hosts by a cable of their own, without addresses.
pub(crate) fn join(host: &Namespace, name: &str, other: &Namespace, far: &str) -> io::Result<()> {
    host.inside(|| {
        let mut netlink = Netlink::open()?;
        let there = named(far, vec![LinkAttribute::NetNsFd(other.as_fd().as_raw_fd())]);
        let info =
            vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(there)))];
        let pair = named(name, vec![LinkAttribute::LinkInfo(info)]);
        netlink.change(RouteNetlinkMessage::NewLink(pair), CREATE)?;
        up(&mut netlink, name)
    })??;
    other.inside(|| up(&mut Netlink::open()?, far))?
}

/// The hardware address of a host's card: locally administered, and its last byte is the address'.
pub(crate) fn mac(address: IpAddr) -> [u8; 6] {
    let last = match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    [0x02, 0, 0, 0, 0, last]
}

/// Whether a host has an address on its card, and the card can carry its answer.
pub(crate) fn answers_for(netlink: &mut Netlink, address: IpAddr) -> bool {
    // A machine without a card answers for nothing.
    let Ok(card) = netlink.link(CARD) else { return false };
    card.usable && listed(netlink, card.index).unwrap_or_default().contains(&address)
}

/// The addresses on one of a host's interfaces.
pub(crate) fn addresses_of(host: &Namespace, interface: &str) -> io::Result<Vec<IpAddr>> {
    host.inside(|| {
        let mut netlink = Netlink::open()?;
        let index = netlink.link(interface)?.index;
        listed(&mut netlink, index)
    })?
}

/// A list that changes while the kernel tells it is none: it is asked again.
fn listed(netlink: &mut Netlink, index: u32) -> io::Result<Vec<IpAddr>> {
    let found = (1..ASKED).find_map(|_| netlink.addresses(index).ok());
    let found = found.map_or_else(|| netlink.addresses(index), Ok)?;
    Ok(found.into_iter().map(|(address, _)| address).collect())
}

/// Switches a host's card on or off.
pub(crate) fn set_card(host: &Namespace, on: bool) -> io::Result<()> {
    host.inside(|| {
        let mut netlink = Netlink::open()?;
        if on { up(&mut netlink, CARD) } else { set(&mut netlink, CARD, LinkFlags::empty()) }
    })?
}

/// Sends what is for elsewhere to a gateway.
pub(crate) fn route(host: &Namespace, gateway: Ipv4Addr) -> io::Result<()> {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
    host.inside(|| Netlink::open()?.change(RouteNetlinkMessage::NewRoute(message), CREATE))?
}

/// A route of the host's own to a network, by its card, beside any other that is there.
pub(crate) fn route_to(host: &Namespace, (to, length): (IpAddr, u8), gateway: IpAddr) -> io::Result<()> {
    let mut message = RouteMessage::default();
    message.header.address_family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.destination_prefix_length = length;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes.push(RouteAttribute::Destination(to.into()));
    message.attributes.push(RouteAttribute::Gateway(gateway.into()));
    host.inside(|| {
        let mut netlink = Netlink::open()?;
        message.attributes.push(RouteAttribute::Oif(netlink.link(CARD)?.index));
        netlink.change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE)
    })?
}

/// Takes an address of a /24 away from a host's card.
pub(crate) fn remove_from(host: &Namespace, address: Ipv4Addr) -> io::Result<()> {
    host.inside(|| {
        let mut netlink = Netlink::open()?;
        let index = netlink.link(CARD)?.index;
        remove(&mut netlink, index, IpAddr::V4(address))
    })?
}

/// The port at which the switch has learnt a hardware address.
pub(crate) fn learnt_at(mac: [u8; 6]) -> io::Result<Option<String>> {
    let mut netlink = Netlink::open()?;
    let mut asked = NeighbourMessage::default();
    asked.header.family = AddressFamily::Bridge;
    let is_mac = |attribute: &NeighbourAttribute| matches!(attribute, NeighbourAttribute::LinkLayerAddress(found) if *found == mac);
    let every = netlink.list(RouteNetlinkMessage::GetNeighbour(asked))?;
    let port = every.into_iter().find_map(|message| match message {
        RouteNetlinkMessage::NewNeighbour(found) if found.attributes.iter().any(is_mac) => {
            Some(found.header.ifindex)
        }
        _ => None,
    });
    let Some(port) = port else { return Ok(None) };
    let links = netlink.list(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    Ok(links.into_iter().find_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) if link.header.index == port => {
            link.attributes.into_iter().find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name),
                _ => None,
            })
        }
        _ => None,
    }))
}

fn named(name: &str, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.extend(attributes);
    message
}

pub(super) fn up(netlink: &mut Netlink, name: &str) -> io::Result<()> {
    set(netlink, name, LinkFlags::Up)
}

fn set(netlink: &mut Netlink, name: &str, flags: LinkFlags) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = netlink.link(name)?.index;
    message.header.flags = flags;
    message.header.change_mask = LinkFlags::Up;
    netlink.change(RouteNetlinkMessage::SetLink(message), 0)
}

/// Gives an interface an address of a /24 or a /64.
pub(crate) fn add(netlink: &mut Netlink, index: u32, address: IpAddr) -> io::Result<()> {
    netlink.change(RouteNetlinkMessage::NewAddress(owned(index, address)), CREATE)
}

/// Takes it away again.
pub(crate) fn remove(netlink: &mut Netlink, index: u32, address: IpAddr) -> io::Result<()> {
    netlink.change(RouteNetlinkMessage::DelAddress(owned(index, address)), 0)
}

fn owned(index: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    let six = address.is_ipv6();
    message.header.family = if six { AddressFamily::Inet6 } else { AddressFamily::Inet };
    message.header.prefix_len = if six { 64 } else { 24 };
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    if six {
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}
