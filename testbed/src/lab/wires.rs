//! Cables and a switch: pairs of virtual interfaces, one end in a host, the other on a bridge in this
//! process's own network.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use failover::netlink::Netlink;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Namespace;

const BRIDGE: &str = "switch";
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

    /// Plugs a host in: `eth0` there with these addresses of a /24 or a /64, a port named `port` here.
    pub(crate) fn plug(&mut self, port: &str, host: &Namespace, addresses: &[IpAddr]) -> io::Result<()> {
        let there = named("eth0", vec![LinkAttribute::NetNsFd(host.as_fd().as_raw_fd())]);
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
            up(&mut netlink, "eth0")?;
            let index = netlink.link("eth0")?.index;
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

fn named(name: &str, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.extend(attributes);
    message
}

pub(super) fn up(netlink: &mut Netlink, name: &str) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = netlink.link(name)?.index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    netlink.change(RouteNetlinkMessage::SetLink(message), 0)
}

fn add(netlink: &mut Netlink, index: u32, address: IpAddr) -> io::Result<()> {
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
    netlink.change(RouteNetlinkMessage::NewAddress(message), CREATE)
}
