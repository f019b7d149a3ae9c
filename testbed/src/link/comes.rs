//! Interfaces that are not there at the start, get their address late, go, and come again as others; and a router that
//! waits.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use failover::netlink::Netlink;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use rustix::process::Signal;
use serde_json::Value;

use crate::build_tandem;
use crate::drill::node::Node;
use crate::lab::{self, Capture, Namespace, PATIENCE, Switch, add};

const LOOK: Duration = Duration::from_millis(2);
/// How long the node waits before it takes part.
const DELAY: Duration = Duration::from_millis(1_500);
const VMAC: &str = "vrrp.51";
/// Whether the machine refuses what comes by another way than answers take.
const FILTER: &str = "/proc/sys/net/ipv4/conf/all/rp_filter";

/// How the address is carried: by which interface, with which lines.
const WAYS: [(&str, &str); 2] = [("eth0", ""), (VMAC, "    virtual-mac\n")];

pub(super) fn play() -> Result<String, String> {
    let say = |e: std::io::Error| format!("the lab: {e}");
    let mut switch = Switch::new().map_err(say)?;
    let mut told = Vec::new();
    for (carrier, lines) in WAYS {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let host = Namespace::new().map_err(say)?;
        let begin = Instant::now();
        let lines = format!("{lines}    startup-delay {}ms\n    track-source\n", DELAY.as_millis());
        let mut node = start(folder.path(), &host, &lines)?;
        let reason = |status: &Value| status["virtual_routers"][0]["trouble"].as_str().map(str::to_owned);
        let is = |why: &'static str| move |status: &Value| reason(status).is_some_and(|r| r.contains(why));
        node.until("it waits for its interface", PATIENCE, is("there is no interface 'eth0'"))?;
        switch.plug("one", &host, &[]).map_err(say)?;
        node.until("it waits for an address", PATIENCE, is("has no IPv4 address"))?;
        let own = IpAddr::from([192, 0, 2, 11]);
        let card = || Netlink::open().and_then(|mut netlink| Ok((netlink.link("eth0")?.index, netlink)));
        let give = || card().and_then(|(index, mut netlink)| add(&mut netlink, index, own));
        host.inside(give).and_then(|given| given).map_err(say)?;
        until(&host, "the address is there", |n| holds(n, carrier))?;
        let waited = begin.elapsed();
        if waited < DELAY {
            return Err(format!("{carrier}: it has taken part after {waited:?}"));
        }
        // The same interface again, as the kernel sees it another one.
        switch.cut("one").map_err(say)?;
        node.until("its interface is gone", PATIENCE, is("there is no interface 'eth0'"))?;
        switch.plug("one", &host, &[own]).map_err(say)?;
        until(&host, "the address is on the new interface", |n| holds(n, carrier))?;
        // Its own address, without which it is to take no part.
        let take = || card().and_then(|(index, mut netlink)| crate::lab::remove(&mut netlink, index, own));
        host.inside(take).and_then(|taken| taken).map_err(say)?;
        until(&host, "it has left with its own address", |n| !holds(n, carrier))?;
        host.inside(give).and_then(|given| given).map_err(say)?;
        until(&host, "it is back with its own address", |n| holds(n, carrier))?;
        if carrier == VMAC {
            let begin = Instant::now();
            host.inside(|| delete(VMAC)).and_then(|removed| removed).map_err(say)?;
            until(&host, "the virtual interface is made again", |n| holds(n, carrier))?;
            told.push(format!("{VMAC}, removed alone, is back after {} ms", begin.elapsed().as_millis()));
        }
        node.stop()?;
        until(&host, "nothing stays", |n| !holds(n, carrier))?;
        switch.cut("one").map_err(say)?;
        told.push(format!("on {carrier} it takes part {} ms after its start", waited.as_millis()));
    }
    told.push(puts_back(&mut switch)?);
    told.push(is_renumbered(&mut switch)?);
    told.push(looks_again(&mut switch)?);
    Ok(told.join("; "))
}

/// A setting of the machine that a virtual interface needs is put back at the end, also when that interface has gone and
/// come again in between with the one below it.
fn puts_back(switch: &mut Switch) -> Result<String, String> {
    let say = |e: std::io::Error| format!("the lab: {e}");
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let host = switch.host("one", &[IpAddr::from([192, 0, 2, 11])]).map_err(say)?;
    let far = Namespace::new().map_err(say)?;
    lab::join(&host, "eth1", &far, "near").map_err(say)?;
    host.inside(|| std::fs::write(FILTER, "1")).and_then(|written| written).map_err(say)?;
    let strict = |is: &str| std::fs::read_to_string(FILTER).is_ok_and(|filter| filter.trim() == is);
    let lines = "    address 203.0.113.7/24 excluded dev eth1 virtual-mac\n";
    let node = start(folder.path(), &host, lines)?;
    let with = |there: bool| move |n: &mut Netlink| n.link(VMAC).is_ok() == there;
    until(&host, "the virtual interface is there", with(true))?;
    until(&host, "nothing that comes there is filtered", |_| strict("0"))?;
    host.inside(|| delete("eth1")).and_then(|deleted| deleted).map_err(say)?;
    until(&host, "the virtual interface goes with the one below", with(false))?;
    lab::join(&host, "eth1", &far, "near").map_err(say)?;
    until(&host, "it comes again with that", with(true))?;
    node.stop()?;
    until(&host, "the setting is put back", |n| strict("1") && n.link(VMAC).is_err())?;
    switch.cut("one").map_err(say)?;
    Ok("settings are put back".to_owned())
}

/// An address of its own that a node has found by itself is replaced: it advertises from the next one, and takes no part
/// while there is none.
fn is_renumbered(switch: &mut Switch) -> Result<String, String> {
    let say = |e: std::io::Error| format!("the lab: {e}");
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let [first, next] = [[192, 0, 2, 11], [198, 51, 100, 12]];
    let host = switch.host("one", &[IpAddr::from(first)]).map_err(say)?;
    let witness = switch.host("two", &[]).map_err(say)?;
    let heard = Arc::new(Mutex::new(None));
    let last = Arc::clone(&heard);
    let capture = Capture::start(&witness, move |frame| {
        if let Some((from, priority)) = frame.advertisement() {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = (priority > 0).then_some(from);
        }
        None::<()>
    });
    let capture = capture.map_err(say)?;
    let advertises = |from: [u8; 4]| *heard.lock().unwrap_or_else(PoisonError::into_inner) == Some(from);
    let card = || Netlink::open().and_then(|mut netlink| Ok((netlink.link("eth0")?.index, netlink)));
    let give = |own: [u8; 4]| card().and_then(|(index, mut netlink)| add(&mut netlink, index, own.into()));
    let take = |own: [u8; 4]| {
        card().and_then(|(index, mut netlink)| crate::lab::remove(&mut netlink, index, own.into()))
    };
    let mut node = start(folder.path(), &host, "")?;
    lab::until("it advertises from its address", || advertises(first))?;
    host.inside(|| give(next).and_then(|()| take(first))).and_then(|done| done).map_err(say)?;
    lab::until("it advertises from the next one", || advertises(next))?;
    until(&host, "it has the floating address", |n| holds(n, "eth0"))?;
    host.inside(|| take(next)).and_then(|taken| taken).map_err(say)?;
    let lacks = |status: &Value| {
        status["virtual_routers"][0]["trouble"]
            .as_str()
            .is_some_and(|why| why.contains("has no IPv4 address"))
    };
    node.until("it waits for an address", PATIENCE, lacks)?;
    until(&host, "it has left", |n| !holds(n, "eth0"))?;
    host.inside(|| give(first)).and_then(|given| given).map_err(say)?;
    lab::until("it advertises again", || advertises(first))?;
    node.stop()?;
    capture.finish()?;
    switch.cut("one").and_then(|()| switch.cut("two")).map_err(say)?;
    Ok("renumbered, it advertises from its new address".to_owned())
}

/// The kernel says more at once than a node can hear, and with it what the node waits for.
fn looks_again(switch: &mut Switch) -> Result<String, String> {
    let say = |e: std::io::Error| format!("the lab: {e}");
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let host = switch.host("one", &[]).map_err(say)?;
    let mut node = start(folder.path(), &host, "    virtual-mac\n")?;
    let lacks = |status: &Value| status["virtual_routers"][0]["trouble"].is_string();
    node.until("it waits for an address", PATIENCE, lacks)?;
    let deaf = |what: &(dyn Fn() -> std::io::Result<()> + Sync)| {
        node.signal(Signal::STOP)?;
        let done = host.inside(|| flood().and_then(|()| what())).and_then(|done| done).map_err(say);
        node.signal(Signal::CONT).and(done)
    };
    deaf(&|| {
        let mut netlink = Netlink::open()?;
        let index = netlink.link("eth0")?.index;
        add(&mut netlink, index, IpAddr::from([192, 0, 2, 11]))
    })?;
    until(&host, "it has seen its address", |n| holds(n, VMAC))?;
    deaf(&|| delete(VMAC))?;
    until(&host, "it has seen that the virtual interface is gone", |n| holds(n, VMAC))?;
    node.stop()?;
    switch.cut("one").map_err(say)?;
    Ok("what it could not hear, it has seen".to_owned())
}

/// Has the kernel speak of an interface until somebody who does not listen has missed some of it.
fn flood() -> std::io::Result<()> {
    let mut netlink = Netlink::open()?;
    let before = missed()?;
    let begin = Instant::now();
    while missed()? == before {
        if begin.elapsed() > PATIENCE {
            return Err(std::io::Error::other("everything is heard"));
        }
        for flags in [LinkFlags::empty(), LinkFlags::Up] {
            let mut message = LinkMessage::default();
            message.header.index = netlink.link("lo")?.index;
            message.header.flags = flags;
            message.header.change_mask = LinkFlags::Up;
            netlink.change(RouteNetlinkMessage::SetLink(message), 0)?;
        }
    }
    Ok(())
}

/// How many messages of the kernel found no room with those they were for (column `Drops`).
fn missed() -> std::io::Result<u64> {
    let table = std::fs::read_to_string("/proc/thread-self/net/netlink")?;
    let drops = table.lines().filter_map(|line| line.split_whitespace().nth(8)?.parse::<u64>().ok());
    Ok(drops.sum())
}

fn delete(name: &str) -> std::io::Result<()> {
    let mut netlink = Netlink::open()?;
    let mut message = LinkMessage::default();
    message.header.index = netlink.link(name)?.index;
    netlink.change(RouteNetlinkMessage::DelLink(message), 0)
}

fn start(folder: &Path, host: &Namespace, lines: &str) -> Result<Node, String> {
    let file = folder.join("tandem.cfg");
    let text = format!(
        "global\n    stats socket {}/stats.sock\ndefaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n\
         frontend web\n    bind :80\n    http-request return status 200\n\
         virtual-router web\n    interface eth0\n    vrid 51\n    multicast\n    advert-interval 100ms\n    address 192.0.2.100/24\n{lines}",
        folder.display(),
    );
    std::fs::write(&file, text).map_err(|e| e.to_string())?;
    Node::start("lb1", &build_tandem::beside_us()?, &[("-f", &file)], "100ms", folder, host)
}

fn holds(netlink: &mut Netlink, carrier: &str) -> bool {
    let Ok(link) = netlink.link(carrier) else { return false };
    let held = netlink.addresses(link.index).unwrap_or_default();
    held.iter().any(|(address, _)| *address == IpAddr::from([192, 0, 2, 100]))
}

fn until(host: &Namespace, what: &str, is: impl Fn(&mut Netlink) -> bool + Sync) -> Result<(), String> {
    let begin = Instant::now();
    let look = || Netlink::open().map(|mut netlink| is(&mut netlink));
    while !host.inside(look).and_then(|found| found).map_err(|e| e.to_string())? {
        if begin.elapsed() > PATIENCE {
            return Err(format!("not so after {PATIENCE:?}: {what}"));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
