//! Routes and rules of a master that hands over: they stay while it serves what has begun there, and no longer; what it
//! begins itself does not come from an address that is elsewhere. Routes that the host has itself to the same networks stay
//! all the time.
#![allow(clippy::wildcard_enum_match_arm, reason = "the kernel's messages grow, and most are not for us")]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use failover::netlink::Netlink;
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use socket2::{Domain, Socket, Type};

use super::pair;
use crate::build_tandem;
use crate::drill::node::Node;
use crate::lab::{self, Namespace, PATIENCE, Switch};

const LOOK: Duration = Duration::from_millis(5);
/// An interface that no router has.
const OTHER: &str = "eth1";
const FLOATING: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));
/// Where only the rule and its route lead.
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9));
/// Networks with a route that prefers a floating address, and the gateway by which the host reaches them itself.
const BOTH: [((IpAddr, u8), IpAddr); 2] = [
    ((IpAddr::V4(Ipv4Addr::new(203, 0, 113, 0)), 24), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
    (
        (IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 0)), 48),
        IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
    ),
];
/// Who has added a route that prefers nothing for now.
const PLAIN: RouteProtocol = RouteProtocol::Other(118);

/// What a host has of routes that prefer a floating address, of others, of rules, and of routes that it had before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Added {
    preferring: usize,
    plain: usize,
    rules: usize,
    hosts: usize,
}

const MASTER: Added = Added { preferring: 2, plain: 2, rules: 1, hosts: 2 };
const DRAINS: Added = Added { preferring: 0, plain: 4, rules: 1, hosts: 2 };
const NOTHING: Added = Added { preferring: 0, plain: 0, rules: 0, hosts: 2 };

pub(super) fn play() -> Result<String, String> {
    let say = |e: io::Error| format!("the lab: {e}");
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut switch = Switch::new().map_err(say)?;
    let mut host = |port: &str, number: u8| {
        let six = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, number.into()]);
        let host = switch.host(port, &[IpAddr::from([192, 0, 2, number]), six]).map_err(say)?;
        for (to, gateway) in BOTH {
            lab::route_to(&host, to, gateway).map_err(say)?;
        }
        Ok::<_, String>(host)
    };
    let hosts = [host("one", 11)?, host("two", 12)?];
    let client = switch.host("client", &[IpAddr::from([192, 0, 2, 9]), FAR]).map_err(say)?;
    let nodes = pair::start(folder.path(), &build_tandem::beside_us()?, &hosts, text)?;
    until(&hosts[0], "the master has its routes", MASTER, true)?;

    let mut begun = client.inside(begin).and_then(|begun| begun).map_err(say)?;
    pair::hand_over(&nodes[0])?;
    until(&hosts[1], "its follower has them", MASTER, true)?;
    let described = |why: String| format!("{why}\n{}\n--\n{}", nodes[0].log_tail(), nodes[1].log_tail());
    until(&hosts[0], "those of the old one stay", DRAINS, false).map_err(described)?;
    let answer = end(&mut begun).map_err(|e| described(format!("what had begun was cut: {e}")))?;
    if !answer.starts_with("HTTP/1.1 200") {
        return Err(described(format!("not served, but: {answer}")));
    }
    drop(begun);
    let ended = Instant::now();
    until(&hosts[0], "they go with the last connection", NOTHING, false).map_err(described)?;
    let removed = ended.elapsed();

    // There and back at once: each has just followed the other.
    let mut begun = client.inside(begin).and_then(|begun| begun).map_err(say)?;
    for round in 0..6 {
        let (from, to) = (&nodes[(round + 1) % 2], &hosts[round % 2]);
        hand_over(from).map_err(described)?;
        until(to, "who has followed has them", MASTER, true).map_err(described)?;
    }
    let answer = end(&mut begun).map_err(|e| described(format!("what had begun was cut: {e}")))?;
    drop(begun);
    until(&hosts[0], "the other one has none", NOTHING, false).map_err(described)?;
    for (node, host) in nodes.into_iter().zip(&hosts) {
        Node::stop(node)?;
        until(host, "nothing stays", NOTHING, false)?;
    }
    if !answer.starts_with("HTTP/1.1 200") {
        return Err(format!("not served after there and back, but: {answer}"));
    }
    let back = by_another()?;
    is_left()?;
    Ok(format!(
        "they stay until the last connection has ended, and go {} ms after it; six switches there and back at once; those by another interface are back {} ms after it",
        removed.as_millis(),
        back.as_millis()
    ))
}

/// Routes by another interface than the router's, which comes after the addresses, is off for a moment, and is made anew.
fn by_another() -> Result<Duration, String> {
    let say = |e: io::Error| format!("the lab: {e}");
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut switch = Switch::new().map_err(say)?;
    let host = switch.host("other", &[IpAddr::from([192, 0, 2, 14])]).map_err(say)?;
    let far = Namespace::new().map_err(say)?;
    let lines =
        format!("    route 203.0.113.0/24 via 10.9.9.1 dev {OTHER}\n    route 203.0.114.0/24 via 10.9.9.1\n");
    let node = alone(folder.path(), &host, &lines)?;
    let described = |why: String| format!("{why}\n{}", node.log_tail());
    let none = Added::default();
    let both = Added { plain: 2, ..none };
    until(&host, "the way is not there yet", none, true).map_err(described)?;
    let give = || {
        let mut netlink = Netlink::open()?;
        let index = netlink.link(OTHER)?.index;
        lab::add(&mut netlink, index, IpAddr::from([10, 9, 9, 2]))
    };
    for round in ["the way has come", "it has come as another one"] {
        lab::join(&host, OTHER, &far, "near").map_err(say)?;
        host.inside(give).and_then(|given| given).map_err(say)?;
        until(&host, round, both, true).map_err(described)?;
        if round == "the way has come" {
            host.inside(|| change(RouteNetlinkMessage::DelLink)).and_then(|deleted| deleted).map_err(say)?;
            until(&host, "the way has gone", none, true).map_err(described)?;
        }
    }
    host.inside(|| switch_other(false)).and_then(|switched| switched).map_err(say)?;
    until(&host, "the way is off", none, true).map_err(described)?;
    let begin = Instant::now();
    host.inside(|| switch_other(true)).and_then(|switched| switched).map_err(say)?;
    until(&host, "the way is on again", both, true).map_err(described)?;
    let back = begin.elapsed();
    node.stop()?;
    until(&host, "nothing stays", none, false)?;
    Ok(back)
}

/// A master is killed, and started again while something keeps it from taking part: what it has left goes nevertheless.
fn is_left() -> Result<(), String> {
    let say = |e: io::Error| format!("the lab: {e}");
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut switch = Switch::new().map_err(say)?;
    let host = switch.host("three", &[IpAddr::from([192, 0, 2, 13])]).map_err(say)?;
    let far = Namespace::new().map_err(say)?;
    lab::join(&host, OTHER, &far, "near").map_err(say)?;
    let lines = format!(
        "    route 198.51.100.0/24 dev eth0 table 100\n    rule from {FLOATING} table 100\n    track-interface {OTHER}\n"
    );
    let mut node = alone(folder.path(), &host, &lines)?;
    let all = Added { plain: 1, rules: 1, ..Added::default() };
    until(&host, "the master has all", all, true).map_err(|why| format!("{why}\n{}", node.log_tail()))?;
    let children = node.children();
    node.kill_all(&children);
    host.inside(|| change(RouteNetlinkMessage::DelLink)).and_then(|deleted| deleted).map_err(say)?;
    let again = alone(folder.path(), &host, &lines)?;
    let described = |why: String| format!("{why}\n{}", again.log_tail());
    until(&host, "nothing of it stays", Added::default(), false).map_err(described)?;
    again.stop()
}

/// Starts a node without others.
fn alone(folder: &Path, host: &Namespace, lines: &str) -> Result<Node, String> {
    let file = folder.join("tandem.cfg");
    let text = format!(
        "global\n    stats socket {}/stats.sock\n\
         defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n\
         frontend web\n    bind :80\n    http-request return status 200\n\
         virtual-router web\n    interface eth0\n    vrid 51\n    multicast\n    advert-interval 100ms\n\
         \x20   address {FLOATING}/24\n{lines}",
        folder.display(),
    );
    std::fs::write(&file, text).map_err(|e| e.to_string())?;
    Node::start("lb1", &build_tandem::beside_us()?, &[("-f", &file)], "100ms", folder, host)
}

fn switch_other(on: bool) -> io::Result<()> {
    change(|mut message| {
        message.header.flags = if on { LinkFlags::Up } else { LinkFlags::empty() };
        message.header.change_mask = LinkFlags::Up;
        RouteNetlinkMessage::SetLink(message)
    })
}

/// Changes the other interface.
fn change(how: impl Fn(LinkMessage) -> RouteNetlinkMessage) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    let mut message = LinkMessage::default();
    message.header.index = netlink.link(OTHER)?.index;
    netlink.change(how(message), 0)
}

fn text(folder: &Path) -> String {
    format!(
        "global\n    nbthread 1\n    stats socket {0}/stats.sock level admin\n\
         defaults\n    mode http\n    timeout connect 1s\n    timeout client 20s\n    timeout server 5s\n\
         frontend web\n    bind :80\n    http-request return status 200\n\
         cluster c\n    member lb1 192.0.2.11\n    member lb2 192.0.2.12\n\
         \x20   crt {0}/cluster.pem ca-file {0}/cluster-ca.pem\n\
         virtual-router web\n    interface eth0\n    vrid 51\n    advert-interval 100ms\n    address {FLOATING}/24\n\
         \x20   address 2001:db8::100/64 excluded\n\
         \x20   route 198.51.100.0/24 dev eth0 table 100\n    rule from {FLOATING} table 100\n\
         \x20   route 203.0.113.0/24 dev eth0 src {FLOATING}\n\
         \x20   route 2001:db8:5::/48 dev eth0 src 2001:db8::100\n\
         \x20   route 203.0.114.0/24 dev eth0 mtu 70000\n",
        folder.display(),
    )
}

/// Has a node hand over as soon as it knows that it is master.
fn hand_over(node: &Node) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        match node.order("failover") {
            Err(why) if why.contains("master of nothing") && begin.elapsed() < PATIENCE => {}
            done => return done,
        }
    }
}

/// Begins a request from afar.
fn begin() -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(FAR, 0).into())?;
    socket.connect_timeout(&SocketAddr::new(FLOATING, 80).into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\n")?;
    Ok(stream)
}

/// Ends it; the answer.
fn end(begun: &mut TcpStream) -> io::Result<String> {
    begun.write_all(b"host: web\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    begun.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Waits until a host has this, and the address or not.
fn until(host: &Namespace, what: &str, wanted: Added, with_address: bool) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        let found = host.inside(look).and_then(|found| found).map_err(|e| e.to_string())?;
        if found == (wanted, with_address) {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("not so after {PATIENCE:?}: {what}; there is {found:?}"));
        }
        std::thread::sleep(LOOK);
    }
}

/// What there is of routes and rules, and whether the interface has the address.
fn look() -> io::Result<(Added, bool)> {
    let mut netlink = Netlink::open()?;
    let mut added = Added::default();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut asked = RouteMessage::default();
        asked.header.address_family = family;
        for message in netlink.list(RouteNetlinkMessage::GetRoute(asked))? {
            let RouteNetlinkMessage::NewRoute(route) = message else { continue };
            let prefers = route.attributes.iter().any(|a| matches!(a, RouteAttribute::PrefSource(_)));
            match route.header.protocol {
                RouteProtocol::KeepAlived | PLAIN if prefers => added.preferring += 1,
                RouteProtocol::KeepAlived | PLAIN => added.plain += 1,
                RouteProtocol::Static => added.hosts += 1,
                _ => {}
            }
        }
    }
    let mut asked = RuleMessage::default();
    asked.header.family = AddressFamily::Inet;
    for message in netlink.list(RouteNetlinkMessage::GetRule(asked))? {
        if let RouteNetlinkMessage::NewRule(rule) = message {
            let is_ours = rule.attributes.contains(&RuleAttribute::Protocol(RouteProtocol::KeepAlived));
            added.rules += usize::from(is_ours);
        }
    }
    let index = netlink.link("eth0")?.index;
    let holds = netlink.addresses(index)?.iter().any(|(address, _)| *address == FLOATING);
    Ok((added, holds))
}
