//! Histories that nobody has thought of: two or three nodes, a link that loses, delays, doubles and splits, a channel
//! beside it that is cut, nodes that crash, sleep, cannot serve and change their minds, clocks that run at their own
//! pace. Time is seeded and virtual.
//!
//! What must hold:
//! * Some time after the last fault exactly one node has the addresses, and nothing moves any more.
//! * While the link is well and some node can serve, the addresses are not without an owner for longer than a backup
//!   listens before it acts.
//! * While the link itself is well, two nodes never have them for longer than a kernel keeps an address that nobody
//!   renews; while only advertisements are lost and the nodes themselves are well, for no longer than a duel lasts.
//! * Of two routers that are a group, each on a link of its own, one is never here and the other there for longer than a
//!   duel lasts, while packets are not lost on both links.
//!
//! All of it holds, too, while somebody on the link sends adverts in the nodes' names, where they sign theirs: of every
//! priority, changed, sent to another node, and recorded at any time before. Nodes that crash remember sessions, or have
//! lost them and go by their clock.
//!
//! A failing history names its seed; `TANDEM_SEED=n` plays it alone, `TANDEM_HISTORIES=n` plays more of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]
#![allow(clippy::disallowed_methods, reason = "how many histories are played is said from outside")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use failover_vrrp::signing::{ClusterKey, Memory, SIGNATURE, Signer, Verdict};
use failover_vrrp::{
    Advertisement, Centis, Claim, Eligibility, Goodbye, Input, Member, Micros, Move, Output, Role, Router,
    Settings, Version, next_move, split_trailer,
};

/// What the agent does: an address lives for two seconds unless it is renewed, and the kernel lags a little.
const LIFETIME: u64 = 2_000_000;
const LAG: u64 = 400_000;
const RENEW: u64 = 300_000;
/// Histories of every run.
const USUAL: u64 = 10_000;
/// How late an order may be: what is not acknowledged by then the channel does not deliver.
const LATEST: u64 = 1_000_000;
/// How long faults go on.
const TROUBLE: u64 = 20_000_000;
/// How often a forger sends something, at most; and how much of what it has recorded it keeps.
const FORGED_EVERY: u64 = 40_000;
const MAX_RECORDED: usize = 4_096;

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

/// One virtual router of a node.
struct Post {
    router: Router,
    /// When the kernel removes the addresses, in true time; `None`: it does not have them.
    expires: Option<u64>,
    /// When they were renewed last, by its own clock.
    renewed: Option<u64>,
    /// How often it has taken them.
    times: u64,
    /// Whether it was master when its group was looked at last.
    was_master: bool,
}

impl Post {
    fn has_addresses(&self, now: u64) -> bool {
        self.expires.is_some_and(|at| at > now)
    }
}

struct Node {
    /// One, or those of a group, each on a link of its own.
    posts: Vec<Post>,
    /// Parts in a million by which its clock is fast.
    fast: i64,
    up: bool,
    /// Sleeps until then, and hears nothing meanwhile that it would not find in its socket later.
    asleep_until: u64,
    inbox: Vec<(usize, Carried)>,
}

/// What arrives at a node.
#[derive(Clone)]
enum Carried {
    Input(Input),
    /// The bytes of an advert, and the address that they come from.
    Bytes(IpAddr, Vec<u8>),
}

/// Nodes that sign, and somebody who does not know their key.
struct Forgery {
    chance: Chance,
    signers: Vec<Signer>,
    /// Adverts that were sent: from whom, to which router of whom.
    recorded: Vec<(usize, usize, usize, Vec<u8>)>,
    at: u64,
    /// How many of its packets have arrived.
    arrived: u64,
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
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Loss,
    Delay,
    Split(usize),
    OneWay(usize),
    /// Advertisements of a node, both ways: a firewall.
    Blocked(usize),
    /// The channel of a node alone.
    Cut(usize),
    /// Orders of a node, and to it, arrive late.
    Late(usize),
    Crash(usize),
    Sleep(usize),
    Unready(usize),
    Down(usize),
    /// Not a fault: an operator's order, at the beginning, on the channel or by an advertisement.
    Switch(usize),
}

impl Fault {
    /// The node that cannot serve because of it.
    fn of_node(self) -> Option<usize> {
        match self {
            Self::Crash(node) | Self::Sleep(node) | Self::Unready(node) | Self::Down(node) => Some(node),
            Self::Loss | Self::Delay | Self::Split(_) => None,
            Self::OneWay(_) | Self::Blocked(_) | Self::Cut(_) | Self::Late(_) | Self::Switch(_) => None,
        }
    }

    /// Whether the link itself is not well: neither advertisements nor the channel can be relied on.
    fn is_of_link(self) -> bool {
        matches!(self, Self::Loss | Self::Delay | Self::Split(_))
    }
}

/// A fault, and when.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    begin: u64,
    end: u64,
    what: Fault,
    /// On this link alone; the channel goes over the first one.
    link: Option<usize>,
}

struct World {
    chance: Chance,
    nodes: Vec<Node>,
    interval: u64,
    faults: Vec<Trouble>,
    /// Packets under way: when, to which router of whom.
    wire: BTreeMap<(u64, u64), (usize, usize, Carried)>,
    sent: u64,
    /// When the last word of a node arrives at another: the channel keeps their order.
    told: BTreeMap<(usize, usize), u64>,
    /// Whether each node has a gateway that answers while the node is not split off.
    gateway: bool,
    forgery: Option<Forgery>,
}

fn host(node: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11 + u8::try_from(node).unwrap()))
}

const WELL: Eligibility = Eligibility { ready: true, learnt: true };

impl World {
    /// `routers`: of each node; several of them are a group.
    fn new(seed: u64, routers: usize, is_forged: bool) -> Self {
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
                    missing: 3,
                    silent: false,
                    grouped: routers > 1,
                    pair: count == 2,
                };
                let vrid = |post: usize| 51 + u8::try_from(post).unwrap();
                let post = |post| Post {
                    router: Router::new(Settings { vrid: vrid(post), ..settings.clone() }),
                    expires: None,
                    renewed: None,
                    times: 0,
                    was_master: false,
                };
                Node {
                    posts: (0..routers).map(post).collect(),
                    fast: i64::try_from(chance.below(2_000)).unwrap() - 1_000,
                    up: false,
                    asleep_until: 0,
                    inbox: Vec::new(),
                }
            })
            .collect();
        let gateway = chance.one_in(2);
        // Either of the two witnesses fails in a history; both together are a link that splits.
        let channel_fails = chance.one_in(2);
        let faults = (0..chance.below(8)).map(|_| {
            let begin = chance.below(TROUBLE);
            let end = (begin + chance.below(6_000_000)).min(TROUBLE);
            let node = usize::try_from(chance.below(count as u64)).unwrap();
            let what = match chance.below(13) {
                0 => Fault::Loss,
                1 => Fault::Delay,
                2 => Fault::Split(node),
                3 | 8 | 9 if channel_fails => Fault::Cut(node),
                3 | 8 => Fault::Blocked(node),
                9 => Fault::OneWay(node),
                10 | 11 => Fault::Switch(node),
                4 => Fault::Crash(node),
                5 => Fault::Sleep(node),
                6 => Fault::Unready(node),
                12 => Fault::Late(node),
                _ => Fault::Down(node),
            };
            let is_on_one = routers > 1 && what.of_node().is_none() && chance.one_in(2);
            let link = is_on_one.then(|| usize::try_from(chance.below(routers as u64)).unwrap());
            Trouble { begin, end, what, link }
        });
        let faults = faults.collect();
        Self {
            chance,
            nodes,
            interval: interval.micros().0,
            faults,
            wire: BTreeMap::new(),
            sent: 0,
            told: BTreeMap::new(),
            gateway,
            forgery: is_forged.then(|| Forgery::new(seed, count)),
        }
    }

    /// After the last fault: what a kernel keeps, what a backup waits, a preemption delay, and another wait.
    fn settled(&self) -> u64 {
        TROUBLE + LIFETIME + LAG + self.interval * 10 + 3_000_000
    }

    fn now_faulty(&self, now: u64, link: usize, is: impl Fn(Fault) -> bool) -> bool {
        let mut faults = self.faults.iter().filter(|fault| fault.link.is_none_or(|on| on == link));
        faults.any(|fault| fault.begin <= now && now < fault.end && is(fault.what))
    }

    fn send(&mut self, now: u64, (from, post): (usize, usize), said: &Advertisement) {
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            let split = |fault| matches!(fault, Fault::Split(node) if node == from || node == to);
            let one_way = |fault| match fault {
                Fault::OneWay(node) => node == from,
                Fault::Blocked(node) => node == from || node == to,
                Fault::Loss | Fault::Delay | Fault::Split(_) | Fault::Cut(_) => false,
                Fault::Crash(_) | Fault::Sleep(_) | Fault::Unready(_) => false,
                Fault::Down(_) | Fault::Late(_) | Fault::Switch(_) => false,
            };
            if self.now_faulty(now, post, split) || self.now_faulty(now, post, one_way) {
                continue;
            }
            if self.now_faulty(now, post, |fault| matches!(fault, Fault::Loss)) && self.chance.one_in(3) {
                continue;
            }
            let late = self.now_faulty(now, post, |fault| matches!(fault, Fault::Delay));
            let copies = if late && self.chance.one_in(4) { 2 } else { 1 };
            let mut packet = None;
            for _ in 0..copies {
                let delay = 50 + self.chance.below(if late { 3 * self.interval } else { 500 });
                self.sent += 1;
                let packet = match &mut self.forgery {
                    None => Carried::Input(Input::Packet(host(from), said.clone())),
                    Some(forgery) => Carried::Bytes(
                        host(from),
                        packet
                            .clone()
                            .unwrap_or_else(|| packet.insert(forgery.sign(from, (to, post), said)).clone()),
                    ),
                };
                self.wire.insert((now + delay, self.sent), (to, post, packet));
            }
        }
        let said = if said.priority == 0 { None } else { Some(said) };
        match said {
            Some(said) => {
                let claim = Claim { priority: said.priority, interval: said.interval };
                for to in (0..self.nodes.len()).filter(|to| *to != from) {
                    self.tell(now, from, (to, post), Input::Vouched(host(from), claim));
                }
            }
            None => {
                // The supervisor tells the best of the others, as far as it knows.
                let to = (from + 1) % self.nodes.len();
                self.order(now, from, (to, post));
            }
        }
    }

    /// Says something on the channel: in order, or not at all.
    fn tell(&mut self, now: u64, from: usize, (to, post): (usize, usize), input: Input) {
        let of = |node| node == from || node == to;
        let is_cut = |fault| matches!(fault, Fault::Split(node) | Fault::Cut(node) if of(node));
        if self.now_faulty(now, 0, is_cut) {
            return;
        }
        let delay = 100 + self.chance.below(1_500);
        let before = self.told.get(&(from, to)).copied().unwrap_or(0);
        let at = (now + delay).max(before);
        self.told.insert((from, to), at);
        self.sent += 1;
        self.wire.insert((at, self.sent), (to, post, Carried::Input(input)));
    }

    /// Tells a node to follow; that may arrive late, while nothing else does.
    fn order(&mut self, now: u64, from: usize, (to, post): (usize, usize)) {
        // When it was said is known but for the time that the fastest words take.
        let said = self.nodes[to].clock(now + 100);
        let of = |node| node == from || node == to;
        if self.now_faulty(now, 0, |fault| matches!(fault, Fault::Late(node) if of(node))) {
            self.sent += 1;
            let at = now + self.chance.below(LATEST);
            let order = Carried::Input(Input::Take(host(from), said));
            self.wire.insert((at, self.sent), (to, post, order));
        } else {
            self.tell(now, from, (to, post), Input::Take(host(from), said));
        }
    }

    /// Performs what a router asks for, as the agent does.
    fn perform(&mut self, now: u64, node: usize, post: usize) {
        while let Some(output) = self.nodes[node].posts[post].router.poll_output() {
            match output {
                Output::Transmit(said) => self.send(now, (node, post), &said),
                Output::AddAddresses => self.hold(now, node, post),
                Output::RemoveAddresses | Output::StepAside => {
                    let post = &mut self.nodes[node].posts[post];
                    (post.expires, post.renewed) = (None, None);
                }
                Output::Announce | Output::Blocked(_) | Output::Became(..) => {}
            }
        }
    }

    fn hold(&mut self, now: u64, node: usize, post: usize) {
        let lag = self.chance.below(LAG);
        let clock = self.nodes[node].clock(now).0;
        let post = &mut self.nodes[node].posts[post];
        post.times += u64::from(post.renewed.is_none());
        post.expires = Some(now + LIFETIME + lag);
        post.renewed = Some(clock);
    }

    /// Something happens to all routers of a node.
    fn input(&mut self, now: u64, node: usize, input: &Input) {
        for post in 0..self.nodes[node].posts.len() {
            self.input_one(now, node, post, input.clone());
        }
    }

    fn input_one(&mut self, now: u64, node: usize, post: usize, input: Input) {
        let clock = self.nodes[node].clock(now);
        self.nodes[node].posts[post].router.handle_input(clock, input);
        self.perform(now, node, post);
    }

    /// One turn of a node's agent: the kernel's news, packets, deadlines, groups.
    fn turn(&mut self, now: u64, node: usize) {
        let clock = self.nodes[node].clock(now);
        for place in 0..self.nodes[node].posts.len() {
            let post = &mut self.nodes[node].posts[place];
            if post.expires.is_some_and(|at| at <= now) {
                post.expires = None;
                if post.renewed.is_some_and(|renewed| clock.0 > renewed + LIFETIME) {
                    self.input_one(now, node, place, Input::Fenced);
                }
            }
        }
        for (post, carried) in std::mem::take(&mut self.nodes[node].inbox) {
            let input = match (carried, &mut self.forgery) {
                (Carried::Input(input), _) => Some(input),
                (Carried::Bytes(source, bytes), Some(forgery)) => forgery.read(node, source, &bytes),
                (Carried::Bytes(..), None) => None,
            };
            if let Some(input) = input {
                self.input_one(now, node, post, input);
            }
        }
        for place in 0..self.nodes[node].posts.len() {
            self.nodes[node].posts[place].router.handle_timeout(clock);
            self.perform(now, node, place);
            let renewed = self.nodes[node].posts[place].renewed;
            if renewed.is_some_and(|renewed| clock.0 >= renewed + RENEW) {
                self.hold(now, node, place);
            }
        }
        self.move_together(now, node);
    }

    /// Lets the routers of a group follow each other.
    fn move_together(&mut self, now: u64, node: usize) {
        let posts = &self.nodes[node].posts;
        if posts.len() == 1 || posts.iter().any(|post| post.router.is_handing_over()) {
            return;
        }
        let member = |Post { router, was_master, .. }: &Post| Member {
            role: router.role(),
            wants: router.wants(),
            was_master: *was_master,
        };
        match next_move(&posts.iter().map(member).collect::<Vec<_>>()) {
            Move::Stay => {}
            Move::Promote => self.input(now, node, &Input::Promote),
            Move::Demote => self.input(now, node, &Input::Demote),
        }
        for post in &mut self.nodes[node].posts {
            post.was_master = post.router.role() == Role::Master;
        }
    }

    /// When something happens next.
    fn next(&self, now: u64) -> u64 {
        let wire = self.wire.keys().next().map(|(at, _)| *at);
        let nodes = self.nodes.iter().filter(|node| node.up).flat_map(|node| {
            let own = node.posts.iter().flat_map(|post| {
                [post.router.poll_timeout().map(|(at, _)| at), post.renewed.map(|at| Micros(at + RENEW))]
            });
            let own = own.flatten().map(|at| node.true_time(at, now + 1)).min();
            own.map(|at| at.max(node.asleep_until))
        });
        let kernel = self.nodes.iter().flat_map(|node| &node.posts).filter_map(|post| post.expires);
        let kernel = kernel.filter(|at| *at > now);
        let faults = self.faults.iter().flat_map(|fault| [fault.begin, fault.end]).filter(|at| *at > now);
        let forger = self.forgery.iter().map(|forgery| forgery.at);
        wire.into_iter()
            .chain(nodes)
            .chain(kernel)
            .chain(faults)
            .chain(forger)
            .min()
            .unwrap_or(u64::MAX)
            .max(now + 1)
    }

    fn start(&mut self, now: u64, node: usize) {
        self.nodes[node].up = true;
        self.nodes[node].inbox.clear();
        self.input(now, node, &Input::Eligible(WELL));
        for place in 0..self.nodes[node].posts.len() {
            let post = &mut self.nodes[node].posts[place];
            // What a killed process left may be taken over, if it is there; nobody renews it before.
            post.renewed = None;
            post.was_master = false;
            let left = post.has_addresses(now);
            post.expires = post.expires.filter(|_| left);
            self.input_one(now, node, place, if left { Input::Adopt } else { Input::Start });
        }
    }

    fn begin_and_end_faults(&mut self, now: u64) {
        for Trouble { begin, end, what, link } in self.faults.clone() {
            match what {
                Fault::Crash(node) if begin == now => {
                    self.nodes[node].up = false;
                    self.nodes[node].posts.iter_mut().for_each(|post| post.renewed = None);
                    // A new life knows nothing of the old one.
                    self.input_silently(now, node);
                    if let Some(forgery) = &mut self.forgery {
                        forgery.restart(now, node);
                    }
                    // Without its power nobody can say that it is gone.
                    if self.chance.one_in(2) {
                        for to in (0..self.nodes.len()).filter(|to| *to != node) {
                            for post in 0..self.nodes[to].posts.len() {
                                self.tell(now, node, (to, post), Input::Dead(host(node)));
                            }
                        }
                    }
                }
                Fault::Crash(node) if end == now && !self.nodes[node].up => self.start(now, node),
                Fault::Sleep(node) if begin == now => {
                    self.nodes[node].asleep_until = self.nodes[node].asleep_until.max(end);
                }
                Fault::Unready(node) if begin == now => {
                    self.input(now, node, &Input::Eligible(Eligibility { ready: false, learnt: true }));
                }
                Fault::Unready(node) if end == now => self.input(now, node, &Input::Eligible(WELL)),
                Fault::Split(node) if self.gateway && (begin == now || end == now) => {
                    for post in 0..self.nodes[node].posts.len() {
                        if link.is_none_or(|link| link == post) {
                            self.input_one(now, node, post, Input::Isolated(begin == now));
                        }
                    }
                }
                Fault::Down(node) if begin == now => self.input(now, node, &Input::Fault),
                Fault::Down(node) if end == now && self.nodes[node].up => {
                    self.input(now, node, &Input::Start);
                }
                Fault::Crash(_) | Fault::Sleep(_) | Fault::Unready(_) | Fault::Down(_) => {}
                Fault::Switch(node) if begin == now => {
                    let goodbye = if self.chance.one_in(2) { Goodbye::Told } else { Goodbye::Advertised };
                    let to = (node + 1) % self.nodes.len();
                    for post in 0..self.nodes[node].posts.len() {
                        if self.nodes[node].posts[post].router.role() == Role::Master {
                            self.input_one(now, node, post, Input::HandOver(goodbye));
                            self.order(now, node, (to, post));
                        }
                    }
                }
                Fault::Loss | Fault::Delay | Fault::Split(_) | Fault::Switch(_) => {}
                Fault::OneWay(_) | Fault::Blocked(_) | Fault::Cut(_) | Fault::Late(_) => {}
            }
        }
    }

    /// The router of a process that is no more says nothing, and removes nothing.
    fn input_silently(&mut self, now: u64, node: usize) {
        let clock = self.nodes[node].clock(now);
        for post in &mut self.nodes[node].posts {
            post.router.handle_input(clock, Input::Stop);
            while post.router.poll_output().is_some() {}
        }
    }

    /// Since when somebody can serve without a pause; `None`: nobody can.
    fn served_since(&self, now: u64) -> Option<u64> {
        let able_since = |node: usize| {
            let own = self.faults.iter().filter(|f| f.what.of_node() == Some(node) && f.begin <= now);
            own.map(|fault| fault.end).max().unwrap_or(0)
        };
        (0..self.nodes.len()).map(able_since).filter(|since| *since <= now).min()
    }

    /// Who has the addresses of a router, and for the how manieth time.
    fn owners(&self, now: u64, post: usize) -> Vec<(usize, u64)> {
        let every = self.nodes.iter().map(|node| &node.posts[post]).enumerate();
        let every = every.filter(|(_, post)| post.has_addresses(now));
        every.map(|(place, post)| (place, post.times)).collect()
    }

    /// Since when the links are well.
    fn well_since(&self, now: u64) -> u64 {
        let faults = self.faults.iter().filter(|fault| fault.what.is_of_link() && fault.begin <= now);
        faults.map(|fault| fault.end).max().unwrap_or(0)
    }

    /// Plays until something happens next.
    fn step(&mut self, now: u64) {
        self.begin_and_end_faults(now);
        self.forge(now);
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= now) {
            let (to, post, carried) = entry.remove();
            if self.nodes[to].up {
                self.nodes[to].inbox.push((post, carried));
            }
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].up && self.nodes[node].asleep_until <= now {
                self.turn(now, node);
            }
        }
    }
}

impl Forgery {
    /// Nodes that know of each other that they sign, as they do by the channel before they may be master.
    fn new(seed: u64, count: usize) -> Self {
        let signers = (0..count).map(|node| Self::signer(&Memory::default(), node as u64)).collect();
        let mut forgery =
            Self { chance: Chance::new(!seed), signers, recorded: Vec::new(), at: 0, arrived: 0 };
        (0..count).for_each(|node| forgery.introduce(node));
        forgery
    }

    fn signer(memory: &Memory, clock: u64) -> Signer {
        Signer::new(
            &ClusterKey::new([9; 32]),
            (0..3).map(host).collect(),
            memory,
            Duration::from_micros(clock),
        )
    }

    fn introduce(&mut self, node: usize) {
        for other in (0..self.signers.len()).filter(|other| *other != node) {
            let signs = self.signers[other].signs();
            self.signers[node].told(&[host(other)], Some(signs));
        }
    }

    /// A process has ended: the next one remembers, or has lost that, and what the channel says is left.
    fn restart(&mut self, now: u64, node: usize) {
        if self.chance.one_in(3) {
            self.signers[node] = Self::signer(&Memory::default(), now);
            self.introduce(node);
        } else {
            let memory = Memory::read(&self.signers[node].memory().text()).unwrap();
            self.signers[node] = Self::signer(&memory, 0);
        }
    }

    fn sign(&mut self, from: usize, (to, post): (usize, usize), said: &Advertisement) -> Vec<u8> {
        let mut bytes = said.encode(Version::V3, host(from), host(to), None);
        self.signers[from].sign(&mut bytes, host(from), host(to));
        if self.recorded.len() < MAX_RECORDED {
            self.recorded.push((from, to, post, bytes.clone()));
        } else {
            let place = usize::try_from(self.chance.below(MAX_RECORDED as u64)).unwrap();
            self.recorded[place] = (from, to, post, bytes.clone());
        }
        bytes
    }

    fn read(&mut self, node: usize, source: IpAddr, bytes: &[u8]) -> Option<Input> {
        let (message, trailer) = split_trailer(bytes, source).ok()?;
        match self.signers[node].check(message, trailer, source, host(node)) {
            Verdict::Signed => {
                let (said, ..) = Advertisement::decode(message, source, host(node), None).unwrap();
                Some(Input::Packet(source, said))
            }
            Verdict::Refused(_) => {
                self.arrived += 1;
                None
            }
            // By chance it says what was just signed.
            Verdict::Copy => None,
            verdict @ (Verdict::Unsigned | Verdict::Unverified(_)) => {
                panic!("{verdict:?}: everybody is known to sign")
            }
        }
    }

    /// A packet in somebody's name for a router of somebody else.
    fn forge(&mut self, routers: usize) -> (usize, usize, usize, Vec<u8>) {
        let count = self.signers.len() as u64;
        let from = usize::try_from(self.chance.below(count)).unwrap();
        let to = (from + 1 + usize::try_from(self.chance.below(count - 1)).unwrap()) % self.signers.len();
        let place = usize::try_from(self.chance.below(self.recorded.len() as u64)).unwrap();
        let mut recorded = self.recorded.get(place).cloned();
        match (self.chance.below(4), &mut recorded) {
            (0, Some((.., bytes))) => {
                let place = usize::try_from(self.chance.below(bytes.len() as u64)).unwrap();
                // Another length is refused before anybody looks at its signature.
                bytes[place] ^= if place == 3 { 0 } else { 1 << self.chance.below(8) };
            }
            (1, Some((from, to, ..))) => std::mem::swap(from, to),
            (2, Some(_)) => {}
            _ => {
                let post = usize::try_from(self.chance.below(routers as u64)).unwrap();
                let vrid = 51 + u8::try_from(post).unwrap();
                let priority = [0, 1, 254, 255][usize::try_from(self.chance.below(4)).unwrap()];
                let centis = [1, 10, 100, 4_095][usize::try_from(self.chance.below(4)).unwrap()];
                let interval = Centis::new(centis).unwrap();
                let addresses = vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100))];
                let mut bytes = Advertisement { vrid, priority, interval, addresses }.encode(
                    Version::V3,
                    host(from),
                    host(to),
                    None,
                );
                if self.chance.one_in(2) {
                    bytes.extend([self.chance.next().to_be_bytes()[7]; SIGNATURE]);
                }
                recorded = Some((from, to, post, bytes));
            }
        }
        recorded.unwrap()
    }
}

impl World {
    /// The forger sends what it likes; its packets are not lost.
    fn forge(&mut self, now: u64) {
        let routers = self.nodes[0].posts.len();
        let Some(forgery) = self.forgery.as_mut().filter(|forgery| forgery.at <= now) else { return };
        let (from, to, post, bytes) = forgery.forge(routers);
        forgery.at = now + 1 + forgery.chance.below(FORGED_EVERY);
        self.sent += 1;
        self.wire.insert((now + 1, self.sent), (to, post, Carried::Bytes(host(from), bytes)));
    }
}

/// What must hold of one virtual router.
#[derive(Default)]
struct Watched {
    orphaned_since: Option<u64>,
    /// Since when two of them have had the addresses together.
    doubled: BTreeMap<[(usize, u64); 2], u64>,
}

impl Watched {
    fn look(&mut self, world: &World, now: u64, post: usize) -> Result<(), String> {
        let owners = world.owners(now, post);
        let well_since = world.well_since(now);
        // A duel ends with the next advertisement that comes through.
        let duel = world.interval * 4;
        let sound = !world.faults.iter().any(|Trouble { begin, what, .. }| {
            *begin <= now && (what.is_of_link() || what.of_node().is_some() || matches!(what, Fault::Cut(_)))
        });
        let bound = if sound { duel } else { LIFETIME + LAG + duel };
        let pairs = owners.iter().flat_map(|a| owners.iter().map(move |b| [*a, *b])).filter(|[a, b]| a < b);
        let pairs: Vec<_> = pairs.collect();
        self.doubled.retain(|pair, _| pairs.contains(pair));
        for pair in pairs {
            let since = self.doubled.entry(pair).or_insert(now);
            *since = (*since).max(well_since);
            if now > *since + bound {
                return Err(format!(
                    "nodes {pair:?} have the addresses of {post} together for {} ms at {now}",
                    (now - *since) / 1_000
                ));
            }
        }
        self.orphaned_since = owners.is_empty().then(|| self.orphaned_since.unwrap_or(now));
        let patience = world.interval * 5 + 1_000;
        if let (Some(since), Some(served)) = (self.orphaned_since, world.served_since(now)) {
            let since = since.max(served).max(well_since);
            if now > since + patience {
                return Err(format!(
                    "nobody has the addresses of {post} for {} ms at {now}",
                    (now - since) / 1_000
                ));
            }
        }
        if now >= world.settled() && owners.len() != 1 {
            return Err(format!(
                "{owners:?} have the addresses of {post} at {now}, long after the last fault"
            ));
        }
        Ok(())
    }
}

/// What must hold of a group: one router is never here and the other there for longer than a duel takes, while no packet
/// is lost on both links. One link that is split moves nobody.
#[derive(Default)]
struct Together {
    apart_since: Option<u64>,
}

impl Together {
    fn look(&mut self, world: &World, now: u64) -> Result<(), String> {
        let [one, two] = [0, 1].map(|post| world.owners(now, post));
        let is_shared = one.iter().any(|(node, _)| two.iter().any(|(other, _)| node == other));
        let is_apart = !one.is_empty() && !two.is_empty() && !is_shared;
        self.apart_since = is_apart.then(|| self.apart_since.unwrap_or(now));
        let bound = world.interval * 4;
        let is_split = |fault: &&Trouble| matches!(fault.what, Fault::Split(_)) && fault.link.is_some();
        let lossy = world.faults.iter().filter(|f| f.what.is_of_link() && !is_split(f) && f.begin <= now);
        let well_since = lossy.map(|fault| fault.end).max().unwrap_or(0);
        match self.apart_since.map(|since| since.max(well_since)) {
            Some(since) if now > since + bound => {
                let apart = (now - since) / 1_000;
                Err(format!("{one:?} and {two:?} have one each for {apart} ms at {now}"))
            }
            _ => Ok(()),
        }
    }
}

/// Plays a history; what went wrong.
fn play(seed: u64, routers: usize, is_forged: bool) -> Result<(), String> {
    let mut world = World::new(seed, routers, is_forged);
    for node in 0..world.nodes.len() {
        let when = world.chance.below(1_000);
        world.start(when, node);
    }
    let mut watched: Vec<Watched> = (0..routers).map(|_| Watched::default()).collect();
    let mut together = Together::default();
    let end = world.settled() + world.interval * 20;
    let mut now = 1_000;
    while now < end {
        world.step(now);
        for (post, watched) in watched.iter_mut().enumerate() {
            watched.look(&world, now, post)?;
        }
        if routers > 1 {
            together.look(&world, now)?;
        }
        now = world.next(now);
    }
    match &world.forgery {
        Some(forgery) if forgery.arrived == 0 => Err("nothing that was forged has arrived".to_owned()),
        _ => Ok(()),
    }
}

/// Plays as many histories as are wanted, or the one that is, of nodes with so many routers.
fn play_all(usual: u64, routers: usize, is_forged: bool) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("TANDEM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TANDEM_HISTORIES").map_or(usual, |count| count * usual / USUAL),
    };
    for seed in seeds {
        if let Err(why) = play(seed, routers, is_forged) {
            let world = World::new(seed, routers, is_forged);
            panic!("TANDEM_SEED={seed}: {why}; interval {} us, faults {:?}", world.interval, world.faults);
        }
    }
}

#[test]
fn one_node_has_the_addresses_whatever_happens() {
    play_all(USUAL, 1, false);
}

#[test]
fn routers_of_a_group_move_together_whatever_happens() {
    play_all(USUAL / 4, 2, false);
}

#[test]
fn one_node_has_the_addresses_whatever_is_forged() {
    play_all(USUAL / 40, 1, true);
}

#[test]
fn routers_of_a_group_move_together_whatever_is_forged() {
    play_all(USUAL / 160, 2, true);
}
