//! Histories that nobody has thought of: two or three nodes, a link that loses, delays, doubles and splits, nodes that
//! crash, sleep, cannot serve and change their minds, clocks that run at their own pace. Time is seeded and virtual.
//!
//! What must hold:
//! * Some time after the last fault exactly one node has the addresses, and nothing moves any more.
//! * While the link is well and some node can serve, the addresses are not without an owner for longer than a backup
//!   listens before it acts.
//! * While the link itself is well, two nodes never have them for longer than a kernel keeps an address that nobody
//!   renews.
//!
//! A failing history names its seed; `TANDEM_SEED=n` plays it alone, `TANDEM_HISTORIES=n` plays more of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]
#![allow(clippy::disallowed_methods, reason = "how many histories are played is said from outside")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use failover_vrrp::{Advertisement, Centis, Eligibility, Input, Micros, Output, Router, Settings, Version};

/// What the agent does: an address lives for two seconds unless it is renewed, and the kernel lags a little.
const LIFETIME: u64 = 2_000_000;
const LAG: u64 = 400_000;
const RENEW: u64 = 300_000;
/// Histories of every run.
const USUAL: u64 = 10_000;
/// How long faults go on.
const TROUBLE: u64 = 20_000_000;

/// xorshift64*: the same numbers everywhere for the same seed.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

struct Node {
    router: Router,
    /// Parts in a million by which its clock is fast.
    fast: i64,
    up: bool,
    /// Sleeps until then, and hears nothing meanwhile that it would not find in its socket later.
    asleep_until: u64,
    inbox: Vec<(IpAddr, Advertisement)>,
    /// When the kernel removes the addresses, in true time; `None`: it does not have them.
    expires: Option<u64>,
    /// When they were renewed last, by its own clock.
    renewed: Option<u64>,
    /// How often it has taken them.
    times: u64,
}

impl Node {
    fn clock(&self, now: u64) -> Micros {
        let drift = i128::from(now) * i128::from(self.fast) / 1_000_000;
        Micros(u64::try_from(i128::from(now) + drift).unwrap_or(0))
    }

    /// True time of an hour of its own clock, not before `now`.
    fn true_time(&self, own: Micros, now: u64) -> u64 {
        let back = i128::from(own.0) * 1_000_000 / (1_000_000 + i128::from(self.fast));
        u64::try_from(back + 1).unwrap_or(0).max(now)
    }

    fn has_addresses(&self, now: u64) -> bool {
        self.expires.is_some_and(|at| at > now)
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Loss,
    Delay,
    Split(usize),
    OneWay(usize),
    Crash(usize),
    Sleep(usize),
    Unready(usize),
    Down(usize),
}

impl Fault {
    /// The node that cannot serve because of it.
    fn of_node(self) -> Option<usize> {
        match self {
            Self::Crash(node) | Self::Sleep(node) | Self::Unready(node) | Self::Down(node) => Some(node),
            Self::Loss | Self::Delay | Self::Split(_) | Self::OneWay(_) => None,
        }
    }

    /// Whether the link itself is not well.
    fn is_of_link(self) -> bool {
        matches!(self, Self::Loss | Self::Delay | Self::Split(_) | Self::OneWay(_))
    }
}

struct World {
    chance: Chance,
    nodes: Vec<Node>,
    interval: u64,
    /// Begin, end, what.
    faults: Vec<(u64, u64, Fault)>,
    /// Packets under way: when, to whom, from whom.
    wire: BTreeMap<(u64, u64), (usize, IpAddr, Advertisement)>,
    sent: u64,
}

fn host(node: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11 + u8::try_from(node).unwrap()))
}

const WELL: Eligibility = Eligibility { ready: true, learnt: true };

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let centis = [2, 10, 10, 100][usize::try_from(chance.below(4)).unwrap()];
        let interval = Centis::new(centis).unwrap();
        let preempt = chance.one_in(2);
        let count = 2 + usize::try_from(chance.below(2)).unwrap();
        let nodes = (0..count)
            .map(|node| {
                let settings = Settings {
                    vrid: 51,
                    priority: u8::try_from(
                        [100, 100, 101, 150, 200, 255][usize::try_from(chance.below(6)).unwrap()],
                    )
                    .unwrap(),
                    version: Version::V3,
                    interval,
                    preempt,
                    preempt_delay: Micros(if chance.one_in(4) { chance.below(3_000_000) } else { 0 }),
                    addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100))],
                    source: host(node),
                    grouped: false,
                };
                Node {
                    router: Router::new(settings),
                    fast: i64::try_from(chance.below(2_000)).unwrap() - 1_000,
                    up: false,
                    asleep_until: 0,
                    inbox: Vec::new(),
                    expires: None,
                    renewed: None,
                    times: 0,
                }
            })
            .collect();
        let faults = (0..chance.below(8)).map(|_| {
            let begin = chance.below(TROUBLE);
            let end = (begin + chance.below(6_000_000)).min(TROUBLE);
            let node = usize::try_from(chance.below(count as u64)).unwrap();
            let what = match chance.below(8) {
                0 => Fault::Loss,
                1 => Fault::Delay,
                2 => Fault::Split(node),
                3 => Fault::OneWay(node),
                4 => Fault::Crash(node),
                5 => Fault::Sleep(node),
                6 => Fault::Unready(node),
                _ => Fault::Down(node),
            };
            (begin, end, what)
        });
        let faults = faults.collect();
        Self { chance, nodes, interval: interval.micros().0, faults, wire: BTreeMap::new(), sent: 0 }
    }

    fn now_faulty(&self, now: u64, is: impl Fn(Fault) -> bool) -> bool {
        self.faults.iter().any(|(begin, end, what)| *begin <= now && now < *end && is(*what))
    }

    fn send(&mut self, now: u64, from: usize, said: &Advertisement) {
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            let split = |fault| matches!(fault, Fault::Split(node) if node == from || node == to);
            let one_way = |fault| matches!(fault, Fault::OneWay(node) if node == from);
            if self.now_faulty(now, split) || self.now_faulty(now, one_way) {
                continue;
            }
            if self.now_faulty(now, |fault| matches!(fault, Fault::Loss)) && self.chance.one_in(3) {
                continue;
            }
            let late = self.now_faulty(now, |fault| matches!(fault, Fault::Delay));
            let copies = if late && self.chance.one_in(4) { 2 } else { 1 };
            for _ in 0..copies {
                let delay = 50 + self.chance.below(if late { 3 * self.interval } else { 500 });
                self.sent += 1;
                self.wire.insert((now + delay, self.sent), (to, host(from), said.clone()));
            }
        }
    }

    /// Performs what a router asks for, as the agent does.
    fn perform(&mut self, now: u64, node: usize) {
        while let Some(output) = self.nodes[node].router.poll_output() {
            match output {
                Output::Transmit(said) => self.send(now, node, &said),
                Output::AddAddresses => self.hold(now, node),
                Output::RemoveAddresses | Output::StepAside => {
                    (self.nodes[node].expires, self.nodes[node].renewed) = (None, None);
                }
                Output::Announce | Output::Became(..) => {}
            }
        }
    }

    fn hold(&mut self, now: u64, node: usize) {
        let lag = self.chance.below(LAG);
        let node = &mut self.nodes[node];
        node.times += u64::from(node.renewed.is_none());
        node.expires = Some(now + LIFETIME + lag);
        node.renewed = Some(node.clock(now).0);
    }

    fn input(&mut self, now: u64, node: usize, input: Input) {
        let clock = self.nodes[node].clock(now);
        self.nodes[node].router.handle_input(clock, input);
        self.perform(now, node);
    }

    /// One turn of a node's agent: the kernel's news, packets, deadlines.
    fn turn(&mut self, now: u64, node: usize) {
        let clock = self.nodes[node].clock(now);
        if self.nodes[node].expires.is_some_and(|at| at <= now) {
            self.nodes[node].expires = None;
            if self.nodes[node].renewed.is_some_and(|renewed| clock.0 > renewed + LIFETIME) {
                self.input(now, node, Input::Fenced);
            }
        }
        for (from, said) in std::mem::take(&mut self.nodes[node].inbox) {
            self.input(now, node, Input::Packet(from, said));
        }
        self.nodes[node].router.handle_timeout(clock);
        self.perform(now, node);
        if self.nodes[node].renewed.is_some_and(|renewed| clock.0 >= renewed + RENEW) {
            self.hold(now, node);
        }
    }

    /// When something happens next.
    fn next(&self, now: u64) -> u64 {
        let wire = self.wire.keys().next().map(|(at, _)| *at);
        let nodes = self.nodes.iter().filter(|node| node.up).flat_map(|node| {
            let own =
                [node.router.poll_timeout().map(|(at, _)| at), node.renewed.map(|at| Micros(at + RENEW))];
            let own = own.into_iter().flatten().map(|at| node.true_time(at, now + 1)).min();
            own.map(|at| at.max(node.asleep_until))
        });
        let kernel = self.nodes.iter().filter_map(|node| node.expires).filter(|at| *at > now);
        let faults = self.faults.iter().flat_map(|(begin, end, _)| [*begin, *end]).filter(|at| *at > now);
        wire.into_iter().chain(nodes).chain(kernel).chain(faults).min().unwrap_or(u64::MAX).max(now + 1)
    }

    fn start(&mut self, now: u64, node: usize) {
        self.nodes[node].up = true;
        self.nodes[node].inbox.clear();
        // What a killed process left is removed first.
        (self.nodes[node].expires, self.nodes[node].renewed) = (None, None);
        self.input(now, node, Input::Eligible(WELL));
        self.input(now, node, Input::Start);
    }

    fn begin_and_end_faults(&mut self, now: u64) {
        for (begin, end, what) in self.faults.clone() {
            match what {
                Fault::Crash(node) if begin == now => {
                    self.nodes[node].up = false;
                    self.nodes[node].renewed = None;
                    // A new life knows nothing of the old one.
                    self.input_silently(now, node);
                }
                Fault::Crash(node) if end == now && !self.nodes[node].up => self.start(now, node),
                Fault::Sleep(node) if begin == now => {
                    self.nodes[node].asleep_until = self.nodes[node].asleep_until.max(end);
                }
                Fault::Unready(node) if begin == now => {
                    self.input(now, node, Input::Eligible(Eligibility { ready: false, learnt: true }));
                }
                Fault::Unready(node) if end == now => self.input(now, node, Input::Eligible(WELL)),
                Fault::Down(node) if begin == now => self.input(now, node, Input::Fault),
                Fault::Down(node) if end == now && self.nodes[node].up => self.input(now, node, Input::Start),
                Fault::Crash(_) | Fault::Sleep(_) | Fault::Unready(_) | Fault::Down(_) => {}
                Fault::Loss | Fault::Delay | Fault::Split(_) | Fault::OneWay(_) => {}
            }
        }
    }

    /// The router of a process that is no more says nothing, and removes nothing.
    fn input_silently(&mut self, now: u64, node: usize) {
        let clock = self.nodes[node].clock(now);
        self.nodes[node].router.handle_input(clock, Input::Stop);
        while self.nodes[node].router.poll_output().is_some() {}
    }

    /// Since when somebody can serve without a pause; `None`: nobody can.
    fn served_since(&self, now: u64) -> Option<u64> {
        let able_since = |node: usize| {
            let own =
                self.faults.iter().filter(|(begin, _, what)| what.of_node() == Some(node) && *begin <= now);
            own.map(|(_, end, _)| *end).max().unwrap_or(0)
        };
        (0..self.nodes.len()).map(able_since).filter(|since| *since <= now).min()
    }

    /// Who has the addresses, and for the how manieth time.
    fn owners(&self, now: u64) -> Vec<(usize, u64)> {
        let every = self.nodes.iter().enumerate().filter(|(_, node)| node.has_addresses(now));
        every.map(|(place, node)| (place, node.times)).collect()
    }
}

/// Plays a history; what went wrong.
fn play(seed: u64) -> Result<(), String> {
    let mut world = World::new(seed);
    for node in 0..world.nodes.len() {
        let when = world.chance.below(1_000);
        world.start(when, node);
    }
    // After the last fault: what a kernel keeps, what a backup waits, a preemption delay, and another wait.
    let slow = world.interval * 5;
    let settled = TROUBLE + LIFETIME + LAG + slow * 2 + 3_000_000;
    let end = settled + world.interval * 20;
    let mut now = 1_000;
    let mut orphaned_since: Option<u64> = None;
    // Since when two of them have had the addresses together.
    let mut doubled: BTreeMap<[(usize, u64); 2], u64> = BTreeMap::new();
    while now < end {
        world.begin_and_end_faults(now);
        while let Some(entry) = world.wire.first_entry().filter(|entry| entry.key().0 <= now) {
            let (to, from, said) = entry.remove();
            if world.nodes[to].up {
                world.nodes[to].inbox.push((from, said));
            }
        }
        for node in 0..world.nodes.len() {
            if world.nodes[node].up && world.nodes[node].asleep_until <= now {
                world.turn(now, node);
            }
        }
        let owners = world.owners(now);
        let well_since = world.faults.iter().filter(|(begin, _, what)| what.is_of_link() && *begin <= now);
        let well_since = well_since.map(|(_, end, _)| *end).max().unwrap_or(0);
        // A duel ends with the next advertisement that comes through.
        let bound = LIFETIME + LAG + world.interval * 4;
        let pairs = owners.iter().flat_map(|a| owners.iter().map(move |b| [*a, *b])).filter(|[a, b]| a < b);
        let pairs: Vec<_> = pairs.collect();
        doubled.retain(|pair, _| pairs.contains(pair));
        for pair in pairs {
            let since = doubled.entry(pair).or_insert(now);
            *since = (*since).max(well_since);
            if now > *since + bound {
                return Err(format!(
                    "nodes {pair:?} have the addresses together for {} ms at {now}",
                    (now - *since) / 1_000
                ));
            }
        }
        orphaned_since = owners.is_empty().then(|| orphaned_since.unwrap_or(now));
        let patience = world.interval * 5 + 1_000;
        if let (Some(since), Some(served)) = (orphaned_since, world.served_since(now)) {
            let since = since.max(served).max(well_since);
            if now > since + patience {
                return Err(format!("nobody has the addresses for {} ms at {now}", (now - since) / 1_000));
            }
        }
        if now >= settled && owners.len() != 1 {
            return Err(format!("{owners:?} have the addresses at {now}, long after the last fault"));
        }
        now = world.next(now);
    }
    Ok(())
}

#[test]
fn one_node_has_the_addresses_whatever_happens() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("TANDEM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TANDEM_HISTORIES").unwrap_or(USUAL),
    };
    for seed in seeds {
        if let Err(why) = play(seed) {
            let world = World::new(seed);
            panic!("TANDEM_SEED={seed}: {why}; interval {} us, faults {:?}", world.interval, world.faults);
        }
    }
}
