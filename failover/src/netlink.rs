//! Synchronous netlink: one request and its answer, and the kernel's news about links and addresses.
#![allow(clippy::wildcard_enum_match_arm, reason = "the kernel's messages grow, and most are not for us")]

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// Multicast groups of the kernel's news (linux/rtnetlink.h).
const GROUP_LINK: u32 = 1;
const GROUP_IPV4_ADDRESS: u32 = 0x10;
const GROUP_IPV6_ADDRESS: u32 = 0x100;

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
        let every = self.list(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        let mut links = every.into_iter().filter_map(|message| named_link(&message));
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
            for answer in messages(&bytes) {
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
        loop {
            match self.0.recv_from_full() {
                Ok((bytes, _)) => news.extend(messages(&bytes).filter_map(|m| one(m.payload))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return news,
                Err(_) => {
                    news.push(News::Lost);
                    return news;
                }
            }
        }
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
        RouteNetlinkMessage::DelAddress(_) => {
            local_address(&message).map(|(index, address, _)| News::AddressGone(index, address))
        }
        _ => None,
    }
}

fn messages(bytes: &[u8]) -> impl Iterator<Item = NetlinkMessage<RouteNetlinkMessage>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).ok()?;
        // The kernel aligns messages to four bytes.
        let length = usize::try_from(message.header.length).ok()?.next_multiple_of(4);
        rest = rest.get(length..).unwrap_or_default();
        Some(message)
    })
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
