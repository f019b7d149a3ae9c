//! Whether this node still reaches anybody: gateways are asked all the time on the link itself, by ARP and neighbour
//! discovery, so that whoever has to decide need not ask first. Part of the agent's loop: nothing here waits.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use failover_vrrp::{Gateway, Micros, Observed, Reach};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::netlink::{Link, Netlink, News, Path};
use crate::sys;

/// How often the routes are looked at: they change without a word to us.
const LOOK_EVERY: Micros = Micros(2_000_000);
/// Answers read in one turn.
const ANSWER_BUDGET: usize = 64;
/// Any address that only a default route leads to: of no network that is in use (RFC 1112 4), and of none that is given
/// to anybody (RFC 4291 2.4).
const ELSEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(240, 0, 0, 1)), IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1))];
/// Ethernet's number of ARP, and the length of its frame.
const ARP: u16 = 0x0806;
const ARP_FRAME: usize = 42;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const BROADCAST: [u8; 6] = [0xff; 6];
/// Messages of neighbour discovery (RFC 4861 4.3, 4.4), and the bit of one that is an answer.
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOLICITED: u8 = 0x40;
/// Hop limit of what must not have crossed a router.
const HOP_LIMIT: u8 = 255;
/// Largest message looked at.
const MAX_MESSAGE: usize = 256;

/// The gateways of every interface that somebody asks about.
#[derive(Default)]
pub struct Gateways {
    interfaces: BTreeMap<String, Interface>,
    /// Addresses that float: nobody is asked from them, and they are no gateway of ours.
    floating: BTreeSet<IpAddr>,
}

/// What one interface is asked for.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The interface.
    pub interface: &'a str,
    /// Who is asked.
    pub gateway: &'a Gateway,
    /// This node's own address there, where it has one.
    pub own: Option<IpAddr>,
    /// How often, within bounds.
    pub every: Micros,
}

impl Gateways {
    /// Nobody is asked yet; `floating`: the virtual addresses of this node.
    #[must_use]
    pub fn new(floating: BTreeSet<IpAddr>) -> Self {
        Self { interfaces: BTreeMap::new(), floating }
    }

    /// Asks somebody from now on.
    pub fn want(&mut self, wanted: &Wanted<'_>) {
        let interface = self.interfaces.entry(wanted.interface.to_owned()).or_default();
        interface.own.extend(wanted.own);
        interface.every = Some(interface.every.map_or(wanted.every, |every| every.min(wanted.every)));
        match wanted.gateway {
            Gateway::None => {}
            Gateway::Auto => interface.auto = true,
            Gateway::Named(named) => interface.named.extend(named),
        }
    }

    /// An interface is otherwise than before, as the agent has heard.
    pub fn relink(&mut self, name: &str, link: Option<Link>) {
        if let Some(interface) = self.interfaces.get_mut(name).filter(|interface| interface.link != link) {
            interface.attach(link);
        }
    }

    /// The kernel's news about interfaces.
    pub fn hear(&mut self, news: &News, netlink: &mut Netlink) {
        match news {
            News::Link(name, link) => self.relink(name, Some(*link)),
            News::LinkGone(name) => self.relink(name, None),
            News::Lost => self.find(netlink),
            News::AddressCome(..) | News::AddressGone(..) => {}
        }
    }

    /// Looks for every interface.
    pub fn find(&mut self, netlink: &mut Netlink) {
        for (name, interface) in &mut self.interfaces {
            let link = netlink.link(name).ok();
            if interface.link != link {
                interface.attach(link);
            }
        }
    }

    /// What becomes readable when somebody answers.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.interfaces.values().flat_map(|i| {
            i.arp.iter().map(|arp| arp.socket.as_fd()).chain(i.discovery.iter().map(|d| d.socket.as_fd()))
        })
    }

    /// When to call [`Self::handle`] at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Micros> {
        self.interfaces.values().filter_map(Interface::next_deadline).min()
    }

    /// Reads what has been answered, and asks who is due.
    pub fn handle(&mut self, now: Micros, netlink: &mut Netlink) {
        for interface in self.interfaces.values_mut() {
            interface.handle(now, netlink, &self.floating);
        }
    }

    /// Asks at once: the master has fallen silent.
    pub fn hurry(&mut self, interface: &str, now: Micros) {
        let targets = self.interfaces.get_mut(interface).into_iter().flat_map(|i| i.targets.values_mut());
        targets.for_each(|target| target.reach.hurry(now));
    }

    /// Whether this node is cut off there: the interface is down, or somebody had answered and nobody does any
    /// more. Who never answered is no evidence.
    #[must_use]
    pub fn isolated(&self, interface: &str, gateway: &Gateway, now: Micros) -> bool {
        let Some(interface) = self.interfaces.get(interface) else { return false };
        if interface.link.is_none_or(|link| !link.usable) {
            return true;
        }
        let mut known = interface.asked(gateway).filter(|target| target.reach.is_known()).peekable();
        known.peek().is_some() && known.all(|target| target.reach.is_silent(now))
    }

    /// The same as a condition, which must be known to be well: who has never answered has failed after a while.
    #[must_use]
    pub fn observed(&self, interface: &str, gateway: &Gateway, patience: Duration, now: Micros) -> Observed {
        let Some(interface) = self.interfaces.get(interface) else { return Observed::Unknown };
        if interface.link.is_none_or(|link| !link.usable) {
            return Observed::Failed;
        }
        let patience = Micros::from(patience);
        let answers = |t: &Target| t.reach.is_known() && t.reach.silence(now).is_none_or(|s| s < patience);
        let waits = |t: &Target| !t.reach.is_known() && t.reach.silence(now).is_none_or(|s| s < patience);
        if interface.asked(gateway).any(answers) {
            Observed::Well
        } else if interface.looked.is_none() || interface.asked(gateway).any(waits) {
            Observed::Unknown
        } else {
            Observed::Failed
        }
    }

    /// Whoever is asked, with the age of the last answer.
    pub fn ages(&self, interface: &str, now: Micros) -> impl Iterator<Item = (IpAddr, Option<Micros>)> {
        let targets = self.interfaces.get(interface).into_iter().flat_map(|i| i.targets.iter());
        targets.map(move |(address, target)| (*address, target.reach.age(now)))
    }
}

/// One who is asked.
struct Target {
    reach: Reach,
    /// Where it has answered from.
    mac: Option<[u8; 6]>,
    /// Our address for it, if there is one that does not float.
    source: Option<IpAddr>,
}

#[derive(Default)]
struct Interface {
    link: Option<Link>,
    every: Option<Micros>,
    auto: bool,
    named: BTreeSet<IpAddr>,
    own: BTreeSet<IpAddr>,
    /// Where the default routes go.
    found: BTreeSet<IpAddr>,
    targets: BTreeMap<IpAddr, Target>,
    looked: Option<Micros>,
    arp: Option<Arp>,
    discovery: Option<Discovery>,
}

impl Interface {
    /// Another cable: what was known of the old one is forgotten, unless it is the same interface.
    fn attach(&mut self, link: Option<Link>) {
        if self.link.map(|link| (link.index, link.mac)) != link.map(|link| (link.index, link.mac)) {
            self.arp = None;
            self.discovery = None;
        }
        self.looked = None;
        self.link = link;
    }

    fn asked(&self, gateway: &Gateway) -> impl Iterator<Item = &Target> {
        let meant = match gateway {
            Gateway::None => None,
            Gateway::Auto => Some(&self.found),
            Gateway::Named(_) => Some(&self.named),
        };
        let named = match gateway {
            Gateway::Named(named) => named.as_slice(),
            Gateway::None | Gateway::Auto => &[],
        };
        let is_meant = move |address: &IpAddr| {
            meant.is_some_and(|meant| meant.contains(address))
                && (named.is_empty() || named.contains(address))
        };
        self.targets.iter().filter(move |(address, _)| is_meant(address)).map(|(_, target)| target)
    }

    fn usable(&self) -> Option<Link> {
        self.link.filter(|link| link.usable && (self.auto || !self.named.is_empty()))
    }

    fn next_deadline(&self) -> Option<Micros> {
        self.usable()?;
        let look = self.looked.map_or(Micros(0), |looked| looked.after(LOOK_EVERY));
        Some(self.targets.values().map(|target| target.reach.due()).fold(look, Ord::min))
    }

    fn handle(&mut self, now: Micros, netlink: &mut Netlink, floating: &BTreeSet<IpAddr>) {
        self.hear(now);
        let Some(link) = self.usable() else { return };
        if self.looked.is_none_or(|looked| looked.after(LOOK_EVERY) <= now) {
            self.looked = Some(now);
            self.look(now, netlink, link, floating);
        }
        for (address, target) in &mut self.targets {
            if target.reach.due() > now {
                continue;
            }
            // What cannot be sent is not answered either, and that is what is to be known.
            let sent = match (address, &self.arp, &self.discovery) {
                (IpAddr::V4(address), Some(arp), _) => arp.ask(*address, target),
                (IpAddr::V6(address), _, Some(discovery)) => discovery.ask(*address, link.index),
                // Without an address of our own nobody can be asked over IPv6, and nothing follows from it.
                _ => {
                    target.reach = Reach::new(now.after(LOOK_EVERY), self.every.unwrap_or_default());
                    continue;
                }
            };
            if let Err(error) = sent {
                tracing::debug!(%address, %error, "a gateway cannot be asked");
            }
            target.reach.asked(now);
        }
    }

    /// Finds out whom to ask, and from which address.
    fn look(&mut self, now: Micros, netlink: &mut Netlink, link: Link, floating: &BTreeSet<IpAddr>) {
        if self.auto {
            let paths = ELSEWHERE.into_iter().filter_map(|to| netlink.path(link.index, to).ok().flatten());
            self.found = paths.filter_map(|path| path.gateway).collect();
        }
        let wanted: BTreeSet<IpAddr> =
            self.found.union(&self.named).copied().filter(|address| !floating.contains(address)).collect();
        self.targets.retain(|address, _| wanted.contains(address));
        let every = self.every.unwrap_or_default();
        for address in wanted {
            let target = self.targets.entry(address).or_insert_with(|| Target {
                reach: Reach::new(now, every),
                mac: None,
                source: None,
            });
            target.reach.quicken(every);
            let path = netlink.path(link.index, address).ok().flatten();
            target.source = path.and_then(|path: Path| path.source).filter(|own| !floating.contains(own));
        }
        self.open(link);
    }

    fn open(&mut self, link: Link) {
        let failed = |error: io::Error| tracing::debug!(%error, "gateways cannot be asked");
        if self.arp.is_none() && self.targets.keys().any(IpAddr::is_ipv4) {
            self.arp = Arp::open(link).map_err(failed).ok();
        }
        let mut six = self.targets.iter().filter(|(address, _)| address.is_ipv6());
        let own = six.next().and_then(|(_, target)| {
            let fallback = self.own.iter().find(|own| own.is_ipv6()).copied();
            match target.source.or(fallback)? {
                IpAddr::V6(own) => Some(own),
                IpAddr::V4(_) => None,
            }
        });
        if self.discovery.as_ref().map(|discovery| discovery.own) != own {
            self.discovery = own.and_then(|own| Discovery::open(link, own).map_err(failed).ok());
        }
    }

    /// Reads what has been answered.
    fn hear(&mut self, now: Micros) {
        for _ in 0..ANSWER_BUDGET {
            let Some(heard) = self.arp.as_ref().and_then(Arp::hear) else { break };
            if let Some((address, mac)) = heard
                && let Some(target) = self.targets.get_mut(&address)
            {
                target.mac = Some(mac);
                target.reach.answered(now);
            }
        }
        for _ in 0..ANSWER_BUDGET {
            let Some(heard) = self.discovery.as_ref().and_then(Discovery::hear) else { break };
            if let Some(target) = heard.and_then(|address| self.targets.get_mut(&address)) {
                target.reach.answered(now);
            }
        }
    }
}

/// Asks by ARP.
struct Arp {
    socket: Socket,
    link: Link,
}

impl Arp {
    fn open(link: Link) -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        // Only replies wake the agent, and a large network is full of requests.
        socket.attach_filter(&only_replies())?;
        socket.bind(&sys::link_address(link.index, ARP)?)?;
        Ok(Self { socket, link })
    }

    /// Asks where it was last, so that nobody else is bothered; everybody, if there has been no answer.
    fn ask(&self, address: Ipv4Addr, target: &Target) -> io::Result<()> {
        let to = target.mac.filter(|_| !target.reach.is_waiting()).unwrap_or(BROADCAST);
        let source = match target.source {
            Some(IpAddr::V4(own)) => own,
            // Asks without an address, as one who looks whether it is taken (RFC 5227 2.1.1).
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let frame = request(self.link.mac, to, source, address);
        self.socket.send_to(&frame, &sys::link_address(self.link.index, ARP)?).map(|_| ())
    }

    /// The next answer; `None`: there is nothing more to be read.
    fn hear(&self) -> Option<Option<(IpAddr, [u8; 6])>> {
        let mut buffer = [MaybeUninit::uninit(); MAX_MESSAGE];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(reply(sys::initialized(&buffer, length), self.link.mac))
    }
}

/// Passes frames whose operation is a reply; of a socket that hears nothing but ARP.
fn only_replies() -> [SockFilter; 4] {
    // linux/filter.h: load a half word from a fixed place, compare, return how much is passed.
    let (load, jump, done) = (0x28, 0x15, 0x06);
    [
        SockFilter::new(load, 0, 0, 20),
        SockFilter::new(jump, 0, 1, u32::from(REPLY)),
        SockFilter::new(done, 0, 0, u32::MAX),
        SockFilter::new(done, 0, 0, 0),
    ]
}

fn request(mac: [u8; 6], to: [u8; 6], source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ARP_FRAME);
    frame.extend(to);
    frame.extend(mac);
    frame.extend(ARP.to_be_bytes());
    // Ethernet, IPv4, and the lengths of their addresses.
    frame.extend([0, 1, 8, 0, 6, 4, 0, REQUEST]);
    frame.extend(mac);
    frame.extend(source.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

/// Who says in a frame that it is where: only an answer to us, and not our own frame come back.
fn reply(frame: &[u8], own: [u8; 6]) -> Option<(IpAddr, [u8; 6])> {
    let frame: &[u8; ARP_FRAME] = frame.first_chunk()?;
    let part = |from: usize| <[u8; 6]>::try_from(&frame[from..from + 6]).ok();
    let (to, sender, target) = (part(0)?, part(22)?, part(32)?);
    let is_reply = frame[12..22] == [8, 6, 0, 1, 8, 0, 6, 4, 0, REPLY];
    let for_us = target == own && to == own && sender != own && part(6)? != own;
    let address = <[u8; 4]>::try_from(&frame[28..32]).ok()?;
    (is_reply && for_us).then(|| (IpAddr::from(address), sender))
}

/// Asks by neighbour discovery.
struct Discovery {
    socket: Socket,
    own: Ipv6Addr,
    mac: [u8; 6],
}

impl Discovery {
    fn open(link: Link, own: Ipv6Addr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        socket.set_nonblocking(true)?;
        sys::only_icmpv6(&socket, ADVERTISEMENT)?;
        sys::tell_of_packets(&socket)?;
        socket.set_multicast_hops_v6(u32::from(HOP_LIMIT))?;
        socket.set_multicast_loop_v6(false)?;
        socket.set_multicast_if_v6(link.index)?;
        let scope = if own.is_unicast_link_local() { link.index } else { 0 };
        socket.bind(&SocketAddrV6::new(own, 0, 0, scope).into())?;
        Ok(Self { socket, own, mac: link.mac })
    }

    /// Asks the group that the address is in (RFC 4291 2.7.1); the kernel adds the checksum.
    fn ask(&self, address: Ipv6Addr, index: u32) -> io::Result<()> {
        let [.., a, b, c] = address.octets();
        let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
        let message = solicitation(address, self.mac);
        self.socket.send_to(&message, &SocketAddrV6::new(group, 0, 0, index).into()).map(|_| ())
    }

    /// The next answer; `None`: there is nothing more to be read.
    fn hear(&self) -> Option<Option<IpAddr>> {
        let mut bytes = [0; MAX_MESSAGE];
        let about = sys::receive_with_header(&self.socket, &mut bytes).ok()?;
        let crossed_no_router = about.hop_limit == Some(HOP_LIMIT);
        let message = bytes.get(..about.length).filter(|_| crossed_no_router && about.source != self.own);
        Some(message.and_then(advertised).map(IpAddr::V6))
    }
}

fn solicitation(target: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    // Option: the sender's link-layer address, one unit of eight bytes.
    message.extend([1, 1]);
    message.extend(mac);
    message
}

/// Whose answer a message is.
fn advertised(message: &[u8]) -> Option<Ipv6Addr> {
    let head: &[u8; 24] = message.first_chunk()?;
    let address = <[u8; 16]>::try_from(&head[8..]).ok()?;
    (head[..2] == [ADVERTISEMENT, 0] && head[4] & SOLICITED != 0).then(|| Ipv6Addr::from(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn answer() -> Vec<u8> {
        let mut frame = request(THEIRS, OURS, Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 11));
        frame[21] = REPLY;
        frame[32..38].copy_from_slice(&OURS);
        frame
    }

    #[test]
    fn an_answer_to_us_is_one_and_nothing_else_is() {
        let gateway = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(reply(&answer(), OURS), Some((gateway, THEIRS)));
        // A request of the gateway's, an answer to somebody else, our own frame come back, another protocol.
        let changed = |at: usize, to: u8| {
            let mut frame = answer();
            frame[at] = to;
            reply(&frame, OURS)
        };
        for (at, to) in [(21, REQUEST), (37, 9), (5, 9), (27, 1), (11, 1), (13, 0), (15, 6)] {
            assert_eq!(changed(at, to), None, "{at} {to}");
        }
        for cut in 0..ARP_FRAME {
            assert_eq!(reply(&answer()[..cut], OURS), None, "{cut}");
        }
    }

    #[test]
    fn a_question_is_what_rfc_826_says() {
        let asked = request(OURS, BROADCAST, Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(192, 0, 2, 1));
        let hex: String = asked.iter().map(|b| format!("{b:02x}")).collect();
        let ethernet = "ffffffffffff0200000000010806";
        let (ours, theirs) = ("02000000000100000000", "000000000000c0000201");
        assert_eq!(hex, format!("{ethernet}0001080006040001{ours}{theirs}"));
    }

    #[test]
    fn an_answer_of_ipv6_has_been_asked_for() {
        let gateway: Ipv6Addr = "fe80::1".parse().unwrap();
        let mut message = solicitation(gateway, THEIRS);
        assert_eq!(advertised(&message), None);
        message[0] = ADVERTISEMENT;
        // What is announced without a question may be old, or false.
        assert_eq!(advertised(&message), None);
        message[4] = SOLICITED;
        assert_eq!(advertised(&message), Some(gateway));
        assert_eq!(advertised(&message[..23]), None);
    }
}
