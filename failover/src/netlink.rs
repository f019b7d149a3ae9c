//! Synchronous netlink: one request and its answer, and the kernel's news about links and addresses.
#![allow(clippy::wildcard_enum_match_arm, reason = "the kernel's messages grow, and most are not for us")]

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// Multicast groups of the kernel's news (linux/rtnetlink.h).
const GROUP_LINK: u32 = 1;
const GROUP_IPV4_ADDRESS: u32 = 0x10;
const GROUP_IPV6_ADDRESS: u32 = 0x100;

/// How often in one turn the kernel may have had no room for its news.
const MAX_LOSSES: usize = 16;

/// An interface as the kernel has it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Whether it is up and its cable is in.
    pub usable: bool,
}

/// How the kernel would send a packet somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// To whom first, where that is not the receiver.
    pub gateway: Option<IpAddr>,
    /// From which of our addresses.
    pub source: Option<IpAddr>,
}

/// A netlink socket for requests.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the thread's network namespace.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Asks for a change and waits for the kernel's answer. `flags`: beyond request and acknowledgement.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.ask(message, NLM_F_ACK | flags).map(|_| ())
    }

    /// Asks for a list.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn list(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.ask(message, NLM_F_DUMP)
    }

    /// The interface of this name.
    ///
    /// # Errors
    /// The kernel's answer; `NotFound` where there is no such interface.
    pub fn link(&mut self, name: &str) -> io::Result<Link> {
        // Not a list: one that is made while interfaces come and go may lack some.
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let found = match self.ask(RouteNetlinkMessage::GetLink(message), NLM_F_ACK) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Vec::new(),
            found => found?,
        };
        let mut links = found.iter().filter_map(named_link);
        links
            .find(|(found, _)| found == name)
            .map(|(_, link)| link)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no interface '{name}'")))
    }

    /// The addresses of an interface that can be used, with the lengths of their prefixes: one of IPv6 is asked
    /// for on the link first (RFC 4862 5.4), which takes a second or two.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn addresses(&mut self, index: u32) -> io::Result<Vec<(IpAddr, u8)>> {
        let every = self.list(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        Ok(every
            .iter()
            .filter(|message| !is_tentative(message))
            .filter_map(local_address)
            .filter(|(i, ..)| *i == index)
            .map(|(_, a, p)| (a, p))
            .collect())
    }

    /// The neighbours of one family that the kernel knows on an interface, with their hardware addresses.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn neighbours(&mut self, index: u32, of: AddressFamily) -> io::Result<Vec<(IpAddr, [u8; 6])>> {
        // The kernel lists no others: a router may have thousands elsewhere.
        let mut message = NeighbourMessage::default();
        message.header.family = of;
        message.attributes.push(NeighbourAttribute::IfIndex(index));
        let every = self.list(RouteNetlinkMessage::GetNeighbour(message))?;
        Ok(every.iter().filter_map(|message| neighbour(message, index)).collect())
    }

    /// For how many seconds each address of an interface stays, if nobody renews it; `u32::MAX`: for ever.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn lifetimes(&mut self, index: u32) -> io::Result<Vec<(IpAddr, u32)>> {
        let every = self.list(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        Ok(every
            .iter()
            .filter_map(|m| Some((local_address(m)?, lifetime(m))))
            .filter_map(|((found, address, _), seconds)| (found == index).then_some((address, seconds)))
            .collect())
    }

    /// How a packet to somebody would leave by this interface; `None`: it would not.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn path(&mut self, index: u32, to: IpAddr) -> io::Result<Option<Path>> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(to);
        message.header.destination_prefix_length = if to.is_ipv4() { 32 } else { 128 };
        message.attributes.push(RouteAttribute::Destination(to.into()));
        message.attributes.push(RouteAttribute::Oif(index));
        let found = match self.ask(RouteNetlinkMessage::GetRoute(message), NLM_F_ACK) {
            Err(error)
                if [Some(libc::ENETUNREACH), Some(libc::EHOSTUNREACH)].contains(&error.raw_os_error()) =>
            {
                return Ok(None);
            }
            found => found?,
        };
        Ok(found.iter().find_map(|message| path(message, index)))
    }

    /// Whether packets to an address are this host's because of that interface. Of IPv6 the kernel makes that so a while
    /// after the interface has the address.
    pub fn is_local(&mut self, address: IpAddr, index: u32) -> bool {
        let mut message = RouteMessage::default();
        let (family, length) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        message.header.address_family = family;
        message.header.destination_prefix_length = length;
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(address)));
        message.attributes.push(RouteAttribute::Oif(index));
        let routes = self.ask(RouteNetlinkMessage::GetRoute(message), NLM_F_ACK).unwrap_or_default();
        routes.iter().any(|route| {
            matches!(route, RouteNetlinkMessage::NewRoute(route) if route.header.kind == RouteType::Local)
        })
    }

    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            for answer in messages::<RouteNetlinkMessage>(&bytes) {
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                    _ => {}
                }
            }
        }
    }
}

/// What the kernel says without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// An interface appeared or changed.
    Link(String, Link),
    /// An interface is gone.
    LinkGone(String),
    /// An interface has an address that can be used, by the interface's number.
    AddressCome(u32, IpAddr),
    /// An address left an interface, by the interface's number.
    AddressGone(u32, IpAddr),
    /// More was said than could be kept: look at everything again.
    Lost,
}

/// A socket that hears the kernel's news.
pub struct Monitor(Socket);

impl Monitor {
    /// Opens it in the thread's network namespace.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, GROUP_LINK | GROUP_IPV4_ADDRESS | GROUP_IPV6_ADDRESS))?;
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Everything said since the last time.
    pub fn news(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        let mut losses = 0;
        while losses < MAX_LOSSES {
            match self.0.recv_from_full() {
                Ok((bytes, _)) => news.extend(messages(&bytes).filter_map(|m| one(m.payload))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // What has found room is older than what has not: heard afterwards, it would be believed.
                Err(_) => losses += 1,
            }
        }
        news.extend((losses > 0).then_some(News::Lost));
        news
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        crate::sys::borrow(&self.0, self.0.as_raw_fd())
    }
}

fn one(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<News> {
    let NetlinkPayload::InnerMessage(message) = payload else { return None };
    match &message {
        RouteNetlinkMessage::NewLink(_) => named_link(&message).map(|(name, link)| News::Link(name, link)),
        RouteNetlinkMessage::DelLink(_) => named_link(&message).map(|(name, _)| News::LinkGone(name)),
        RouteNetlinkMessage::NewAddress(_) if !is_tentative(&message) => {
            local_address(&message).map(|(index, address, _)| News::AddressCome(index, address))
        }
        RouteNetlinkMessage::DelAddress(_) => {
            local_address(&message).map(|(index, address, _)| News::AddressGone(index, address))
        }
        _ => None,
    }
}

pub(crate) fn family(of: IpAddr) -> AddressFamily {
    if of.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn path(message: &RouteNetlinkMessage, index: u32) -> Option<Path> {
    let RouteNetlinkMessage::NewRoute(route) = message else { return None };
    let ip = |address: &RouteAddress| match address {
        RouteAddress::Inet(four) => Some(IpAddr::V4(*four)),
        RouteAddress::Inet6(six) => Some(IpAddr::V6(*six)),
        _ => None,
    };
    let mut path = Path { gateway: None, source: None };
    let mut leaves_here = false;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Gateway(address) => path.gateway = ip(address),
            // A gateway of the other family (RFC 5549).
            RouteAttribute::Via(RouteVia::Inet6(address)) => path.gateway = Some(IpAddr::V6(*address)),
            RouteAttribute::PrefSource(address) => path.source = ip(address),
            RouteAttribute::Oif(found) => leaves_here = *found == index,
            _ => {}
        }
    }
    leaves_here.then_some(path)
}

/// What the kernel has put into one datagram.
pub(crate) fn messages<T: NetlinkDeserializable>(bytes: &[u8]) -> impl Iterator<Item = NetlinkMessage<T>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let message = NetlinkMessage::<T>::deserialize(rest).ok()?;
        // The kernel aligns messages to four bytes.
        let length = usize::try_from(message.header.length).ok()?.next_multiple_of(4);
        rest = rest.get(length..).unwrap_or_default();
        Some(message)
    })
}

fn neighbour(message: &RouteNetlinkMessage, index: u32) -> Option<(IpAddr, [u8; 6])> {
    let RouteNetlinkMessage::NewNeighbour(found) = message else { return None };
    if found.header.ifindex != index {
        return None;
    }
    let mut address = None;
    let mut mac = None;
    for attribute in &found.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(four)) => {
                address = Some(IpAddr::V4(*four));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(six)) => address = Some(IpAddr::V6(*six)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            _ => {}
        }
    }
    // Groups and what is not known of a neighbour are none.
    Some((address?, mac.filter(|mac| mac[0] & 1 == 0 && *mac != [0; 6])?))
}

fn named_link(message: &RouteNetlinkMessage) -> Option<(String, Link)> {
    let (RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link)) = message else {
        return None;
    };
    let mut name = None;
    let mut mac = [0; 6];
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Address(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).unwrap_or_default(),
            _ => {}
        }
    }
    let usable = link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
    Some((name?, Link { index: link.header.index, mac, usable }))
}

fn is_tentative(message: &RouteNetlinkMessage) -> bool {
    matches!(message, RouteNetlinkMessage::NewAddress(found)
        if found.header.flags.contains(AddressHeaderFlags::Tentative))
}

fn lifetime(message: &RouteNetlinkMessage) -> u32 {
    let RouteNetlinkMessage::NewAddress(found) = message else { return u32::MAX };
    let valid = found.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::CacheInfo(info) => Some(info.ifa_valid),
        _ => None,
    });
    valid.unwrap_or(u32::MAX)
}

fn local_address(message: &RouteNetlinkMessage) -> Option<(u32, IpAddr, u8)> {
    let (RouteNetlinkMessage::NewAddress(found) | RouteNetlinkMessage::DelAddress(found)) = message else {
        return None;
    };
    // Of IPv4 the far end of a line may stand beside the address itself; of IPv6 there is this one only.
    let own = found.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let six = found.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address @ IpAddr::V6(_)) => Some(*address),
        _ => None,
    });
    own.or(six).map(|address| (found.header.index, address, found.header.prefix_len))
}
