//! Gateways that answer, fall silent, come back, have never answered, or are not there.
#![allow(clippy::wildcard_enum_match_arm, reason = "the kernel's messages grow, and most are not for us")]

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use failover::gateway::{Gateways, Wanted};
use failover::netlink::{Monitor, Netlink};
use failover_vrrp::{Gateway, Micros, Observed};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::lab::Switch;

/// Everything here happens within this.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the silence of a followed gateway is borne.
const BORNE: Duration = Duration::from_millis(600);
/// Longest time in which a gateway that has fallen silent is known to be so: a question is due within 250 ms, and on a
/// machine as slow as can be it and three more are waited for as long; then the time in which such a machine looks.
const NOTICED: Duration = Duration::from_millis(250 + 4 * 250 + 500);

struct Case {
    name: &'static str,
    /// What the host has.
    own: &'static [&'static str],
    /// The first of it floats.
    floats: bool,
    gateway: &'static str,
    /// Whether the default route leads there; otherwise it is named.
    by_route: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "IPv4, by the default route",
        own: &["192.0.2.11"],
        floats: false,
        gateway: "192.0.2.1",
        by_route: true,
    },
    Case {
        name: "IPv4, with a floating address only",
        own: &["192.0.2.100"],
        floats: true,
        gateway: "192.0.2.1",
        by_route: true,
    },
    Case {
        name: "IPv4, without any address",
        own: &[],
        floats: false,
        gateway: "192.0.2.1",
        by_route: false,
    },
    Case {
        name: "IPv6, by the default route",
        own: &["fe80::11"],
        floats: false,
        gateway: "fe80::1",
        by_route: true,
    },
    Case {
        name: "IPv6, beside a floating address",
        own: &["fe80::100", "fe80::11"],
        floats: true,
        gateway: "fe80::1",
        by_route: true,
    },
    Case {
        name: "IPv6, beyond the link's own addresses",
        own: &["2001:db8::11"],
        floats: false,
        gateway: "2001:db8::1",
        by_route: false,
    },
];

pub(super) fn play() -> Result<String, String> {
    let mut said = Vec::new();
    for case in CASES {
        said.push(one(case).map_err(|why| format!("{}: {why}", case.name))?);
    }
    strangers()?;
    Ok(said.join("\n"))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text} is not an address"))
}

fn addresses(texts: &[&str]) -> Result<Vec<IpAddr>, String> {
    texts.iter().copied().map(address).collect()
}

fn say(error: io::Error) -> String {
    format!("the lab: {error}")
}

/// A gateway answers, falls silent, and comes back.
fn one(case: &Case) -> Result<String, String> {
    let mut switch = Switch::new().map_err(say)?;
    let (own, gateway) = (addresses(case.own)?, address(case.gateway)?);
    let here = switch.host("ours", &own).map_err(say)?;
    let _there = switch.host("gateway", &[gateway]).map_err(say)?;
    if case.by_route {
        here.inside(|| default_route(gateway)).and_then(|done| done).map_err(say)?;
    }
    let wanted = if case.by_route { Gateway::Auto } else { Gateway::Named(vec![gateway]) };
    let floating: BTreeSet<IpAddr> = own.iter().copied().filter(|_| case.floats).take(1).collect();
    let known = own.iter().copied().find(|own| !floating.contains(own));
    let told = here.inside(|| -> Result<String, String> {
        let mut asker = Asker::new(floating.clone(), wanted, known)?;
        asker.until("it answers", |a| a.observed() == Observed::Well)?;
        if asker.isolated() {
            return Err("a node whose gateway answers is not isolated".to_owned());
        }
        asker.for_a_while(BORNE, |a| a.observed() == Observed::Well && !a.isolated())?;
        let oldest = asker.age().unwrap_or(PATIENCE);
        switch.cut("gateway").map_err(say)?;
        let begin = Instant::now();
        asker.until("the node is isolated", Asker::isolated)?;
        let noticed = begin.elapsed();
        asker.until("its silence is a failure", |a| a.observed() == Observed::Failed)?;
        // The same address with another cable, and another hardware address.
        let other = switch.host("gateway", &[gateway]).map_err(say)?;
        asker.until("it answers again", |a| a.observed() == Observed::Well && !a.isolated())?;
        let begin = Instant::now();
        switch.cut("ours").map_err(say)?;
        asker.until("a cut cable is seen", Asker::isolated)?;
        let cut = begin.elapsed();
        if noticed > NOTICED {
            return Err(format!("its silence was noticed after {noticed:?}"));
        }
        let heard = other.inside(neighbours).and_then(|heard| heard).map_err(say)?;
        if let Some(floating) = heard.iter().find(|heard| floating.contains(heard)) {
            return Err(format!("it was asked from {floating}, which floats"));
        }
        let millis = |time: Duration| time.as_millis();
        Ok(format!(
            "{}: silence noticed after {} ms, a cut cable after {} ms, last answer {} ms old",
            case.name,
            millis(noticed),
            millis(cut),
            millis(oldest)
        ))
    });
    let told = told.map_err(say)?;
    // With the host at their other end the cables go as well, in the kernel's own time.
    let _ = switch.cut("ours");
    let _ = switch.cut("gateway");
    told
}

/// Who has never answered is no evidence, but no condition that holds; where there is no gateway, nobody is isolated.
fn strangers() -> Result<(), String> {
    let mut switch = Switch::new().map_err(say)?;
    let here = switch.host("ours", &[address("192.0.2.11")?]).map_err(say)?;
    let told = here.inside(|| -> Result<(), String> {
        let mut alone = Asker::new(BTreeSet::new(), Gateway::Auto, None)?;
        alone.for_a_while(BORNE, |a| !a.isolated())?;
        alone.until("no gateway is no condition that holds", |a| a.observed() == Observed::Failed)?;
        default_route(address("192.0.2.2")?).map_err(say)?;
        let mut asker = Asker::new(BTreeSet::new(), Gateway::Auto, None)?;
        asker.until("it has failed", |a| a.observed() == Observed::Failed)?;
        asker.for_a_while(BORNE, |a| !a.isolated())
    });
    switch.cut("ours").map_err(say)?;
    told.map_err(say)?
}

/// Has a default route lead to a gateway, which must be on the link.
fn default_route(gateway: IpAddr) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = if gateway.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    header.table = RouteHeader::RT_TABLE_MAIN;
    header.protocol = RouteProtocol::Static;
    header.kind = RouteType::Unicast;
    message.attributes.push(RouteAttribute::Gateway(gateway.into()));
    message.attributes.push(RouteAttribute::Oif(netlink.link("eth0")?.index));
    netlink.change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Everybody whom this host has heard on its link.
fn neighbours() -> io::Result<Vec<IpAddr>> {
    let mut netlink = Netlink::open()?;
    let every = netlink.list(RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()))?;
    let of = |message: RouteNetlinkMessage| match message {
        RouteNetlinkMessage::NewNeighbour(found) => found.attributes.into_iter().find_map(|a| match a {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(four)) => Some(IpAddr::V4(four)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(six)) => Some(IpAddr::V6(six)),
            _ => None,
        }),
        _ => None,
    };
    Ok(every.into_iter().filter_map(of).collect())
}

/// The part of the agent's loop that asks.
struct Asker {
    gateways: Gateways,
    gateway: Gateway,
    netlink: Netlink,
    monitor: Monitor,
    epoch: Instant,
}

impl Asker {
    fn new(floating: BTreeSet<IpAddr>, gateway: Gateway, own: Option<IpAddr>) -> Result<Self, String> {
        let monitor = Monitor::open().map_err(say)?;
        let mut netlink = Netlink::open().map_err(say)?;
        let mut gateways = Gateways::new(floating);
        gateways.want(&Wanted { interface: "eth0", gateway: &gateway, own, every: Micros::SECOND });
        gateways.find(&mut netlink);
        Ok(Self { gateways, gateway, netlink, monitor, epoch: Instant::now() })
    }

    fn now(&self) -> Micros {
        self.epoch.elapsed().into()
    }

    fn observed(&self) -> Observed {
        self.gateways.observed("eth0", &self.gateway, BORNE, self.now())
    }

    fn isolated(&self) -> bool {
        self.gateways.isolated("eth0", &self.gateway, self.now())
    }

    fn age(&self) -> Option<Duration> {
        let age = self.gateways.ages("eth0", self.now()).find_map(|(_, age)| age);
        age.map(|age| Duration::from_micros(age.0))
    }

    fn turn(&mut self) {
        let now = self.now();
        let next =
            self.gateways.next_deadline().map_or(20_000, |next| next.0.saturating_sub(now.0).min(20_000));
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::try_from(next * 1_000).unwrap_or(0) };
        let mut list: Vec<_> =
            self.gateways.descriptors().map(|d| PollFd::from_borrowed_fd(d, PollFlags::IN)).collect();
        // An interrupted wait is an early wake-up, which is harmless.
        let _ = poll(&mut list, Some(&timeout));
        drop(list);
        for news in self.monitor.news() {
            self.gateways.hear(&news, &mut self.netlink);
        }
        let now = self.now();
        self.gateways.handle(now, &mut self.netlink);
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        let begin = Instant::now();
        while !holds(self) {
            if begin.elapsed() > PATIENCE {
                return Err(format!("not so after {PATIENCE:?}: {what}"));
            }
            self.turn();
        }
        Ok(())
    }

    /// Something holds all the time.
    fn for_a_while(&mut self, time: Duration, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            self.turn();
            if !holds(self) {
                return Err(format!("otherwise after {:?}", begin.elapsed()));
            }
        }
        Ok(())
    }
}
