//! The agent: a plain poll loop on a thread of its own. A packet, a deadline or an order goes into a
//! router; what comes out is performed at once. Nothing else runs here, and nothing here waits for others.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use failover_vrrp::{
    Advertisement, Announcing, Effective, Eligibility, Input, Member, Micros, Move, Observed, Output, Role,
    Router, Track, VirtualAddress, VirtualRouter, Watch, Why, effective, next_move,
};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::address::{self, LIFETIME_SECONDS, RENEW_EVERY_MICROS};
use crate::announce::Announcer;
use crate::aside::{ASIDE_SECONDS, Aside};
use crate::netlink::{Link, Monitor, Netlink, News};
use crate::notify::{Notifier, State};
use crate::socket::{Packet, TTL, VrrpSocket, group};
use crate::status::{RouterStatus, Scheduling};
use crate::sys;
use crate::watch::{Seen, Watchers};

/// Longest sleep: status is published and links are looked at at least this often.
const LONGEST_SLEEP: Micros = Micros(500_000);
/// How long an address of IPv6 may be tentative before it is missed, and how often it is looked for.
const TENTATIVE: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(50);
/// Packets read in one turn before deadlines get theirs.
const PACKET_BUDGET: usize = 64;

/// What the agent serves.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member's name.
    pub member: String,
    /// This member's own address; where there is none, an interface's first one.
    pub own: Option<IpAddr>,
    /// The other members' addresses.
    pub peers: Vec<IpAddr>,
    /// The virtual routers.
    pub routers: Vec<VirtualRouter>,
}

/// Something about a virtual router changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The virtual router's name.
    pub router: String,
    /// What.
    pub what: What,
    /// Its priority now.
    pub priority: u8,
    /// What more is known of why.
    pub detail: Option<String>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The role, and why.
    Role(Role, Why),
    /// The priority, which was this before.
    Priority(u8),
    /// An address that somebody else removed is there again.
    PutBack(IpAddr),
}

/// Called on the agent's thread when something changes; must not block.
pub type Routed = Box<dyn Fn(Change) + Send>;

enum Order {
    Eligible(Eligibility),
    /// What a watcher has seen of the condition at this place.
    Observed(usize, Observed),
    HandOver,
    Stop,
}

/// The running agent. Dropping it says goodbye and removes the addresses.
pub struct Agent {
    orders: Sender<Order>,
    wake: Arc<OwnedFd>,
    status: Arc<Mutex<Vec<RouterStatus>>>,
    thread: Option<JoinHandle<()>>,
    /// Ends before the thread that it tells.
    watchers: Option<Watchers>,
}

impl Agent {
    /// Opens the sockets, clears addresses that an earlier process left, and starts to listen. Not
    /// eligible until told.
    ///
    /// # Errors
    /// An interface is missing, or the rights to raw sockets and addresses are.
    pub fn start(config: Config, changed: Routed) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let status = Arc::new(Mutex::new(Vec::new()));
        let (orders, receiver) = channel();
        let mut room = Room::open(config, changed, Arc::clone(&wake), receiver, Arc::clone(&status))?;
        let watches = room.watches.clone();
        let thread = std::thread::Builder::new().name("vrrp".to_owned()).spawn(move || room.run())?;
        let mut agent = Self { orders, wake, status, thread: Some(thread), watchers: None };
        let (teller, waker) = (Mutex::new(agent.orders.clone()), Arc::clone(&agent.wake));
        let seen: Seen = Arc::new(move |place, observed| {
            // An agent that has ended takes no orders.
            let _ =
                teller.lock().unwrap_or_else(PoisonError::into_inner).send(Order::Observed(place, observed));
            let _ = rustix::io::write(&*waker, &1_u64.to_ne_bytes());
        });
        agent.watchers = Some(Watchers::start(&watches, &seen)?);
        Ok(agent)
    }

    /// Says what this node can do.
    pub fn set_eligible(&self, eligible: Eligibility) {
        self.order(Order::Eligible(eligible));
    }

    /// Lets the other members take everything this node is master of; the addresses stay until they have.
    /// How that ended is news of each virtual router's role.
    pub fn hand_over(&self) {
        self.order(Order::HandOver);
    }

    /// Every virtual router, now.
    #[must_use]
    pub fn status(&self) -> Vec<RouterStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn order(&self, order: Order) {
        // An agent that has ended takes no orders.
        let _ = self.orders.send(order);
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.watchers = None;
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// This machine's own address on a router's link: the member's, or the interface's first one.
fn own_address(
    netlink: &mut Netlink,
    config: &Config,
    settings: &VirtualRouter,
    link: Link,
) -> io::Result<IpAddr> {
    let of_family = |address: &IpAddr| address.is_ipv6() == settings.is_ipv6();
    if let Some(own) = settings.source.or(config.own.filter(of_family)) {
        return Ok(own);
    }
    let virtual_one = |own: &IpAddr| settings.addresses.iter().any(|v| v.address == *own);
    let begin = Instant::now();
    let own: Vec<IpAddr> = loop {
        let addresses = netlink.addresses(link.index)?.into_iter().map(|(own, _)| own);
        let found: Vec<IpAddr> = addresses.filter(|own| of_family(own) && !virtual_one(own)).collect();
        // Of a machine that has just started, the link is still being asked whether somebody has it.
        if !found.is_empty() || !settings.is_ipv6() || begin.elapsed() > TENTATIVE {
            break found;
        }
        std::thread::sleep(LOOK);
    };
    // Over IPv6 routers know each other by the addresses of their link (RFC 9568 5.1.2.1), unless peers are farther.
    let far = settings.unicast_peers.iter().any(|peer| !is_of_link(*peer));
    let fits = |own: &&IpAddr| own.is_ipv4() || is_of_link(**own) != far;
    own.iter().find(fits).or(own.first()).copied().ok_or_else(|| {
        let family = if settings.is_ipv6() { "IPv6" } else { "IPv4" };
        io::Error::other(format!("interface '{}' has no {family} address", settings.interface))
    })
}

fn is_of_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(six) if six.is_unicast_link_local())
}

/// The places of the routers that move with this one, itself among them.
fn together(posts: &[Post], place: usize) -> Arc<[usize]> {
    let name = |place: &usize| posts[*place].settings.group.as_ref().map(|group| group.name.as_str());
    let own = name(&place);
    (0..posts.len()).filter(|other| *other == place || (own.is_some() && name(other) == own)).collect()
}

/// What an interface is as a condition.
fn seen_of(link: Option<Link>) -> Observed {
    if link.is_some_and(|link| link.usable) { Observed::Well } else { Observed::Failed }
}

/// One virtual router with its interface.
struct Post {
    settings: VirtualRouter,
    own: IpAddr,
    /// Who is told, and heard, unless it is the group.
    peers: Vec<IpAddr>,
    router: Router,
    link: Option<Link>,
    socket: Option<VrrpSocket>,
    announcer: Option<Announcer>,
    /// Other interfaces that carry addresses of its, as they were when they were last used.
    devices: BTreeMap<String, (u32, Announcer)>,
    /// When the addresses were last renewed; `None` while we do not hold them.
    renewed: Option<Micros>,
    /// When the addresses came, and how many announcements have been made since.
    announcing: Option<(Micros, u32)>,
    /// Whether that is an answer to a lesser router.
    answers: bool,
    /// While what still arrives for addresses that have moved is served.
    aside: Option<Aside>,
    /// Its priority while nothing that it follows changes it.
    base: u8,
    /// What it follows, each with its place among all that is watched.
    tracks: Vec<(Track, usize)>,
    /// The places of the routers that move with this one, itself among them.
    together: Arc<[usize]>,
    /// What keeps it from taking part: its interface, or something that it follows.
    fault: Option<String>,
    /// Whether the router takes part: nothing keeps it, nor another of its group.
    takes_part: bool,
    /// Whether it was master when its group was looked at last.
    was_master: bool,
    status: RouterStatus,
}

struct Room {
    changed: Routed,
    wake: Arc<OwnedFd>,
    orders: Receiver<Order>,
    published: Arc<Mutex<Vec<RouterStatus>>>,
    netlink: Netlink,
    monitor: Monitor,
    posts: Vec<Post>,
    /// Everything that is watched, once each, and what has been seen of it.
    watches: Vec<Watch>,
    observed: Vec<Observed>,
    notifier: Notifier,
    /// What each group's commands were told last.
    told: BTreeMap<String, State>,
    stopping: bool,
    refused: BTreeMap<&'static str, u64>,
    epoch: Instant,
}

impl Room {
    fn open(
        config: Config,
        changed: Routed,
        wake: Arc<OwnedFd>,
        orders: Receiver<Order>,
        published: Arc<Mutex<Vec<RouterStatus>>>,
    ) -> io::Result<Self> {
        let say = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"))
        };
        let monitor = Monitor::open().map_err(say("cannot listen to the kernel"))?;
        let mut netlink = Netlink::open().map_err(say("cannot talk to the kernel"))?;
        let mut posts = Vec::new();
        let mut watches: Vec<Watch> = Vec::new();
        for settings in &config.routers {
            let link = netlink.link(&settings.interface)?;
            let own = own_address(&mut netlink, &config, settings, link)?;
            let mut post = Post::new(settings.clone(), &config, own);
            for track in &settings.tracks {
                let known = watches.iter().position(|watch| *watch == track.watch);
                let place = known.unwrap_or(watches.len());
                watches.resize_with(watches.len().max(place + 1), || track.watch.clone());
                post.tracks.push((track.clone(), place));
            }
            post.attach(link).map_err(say(&format!("cannot open sockets on '{}'", settings.interface)))?;
            post.find_devices(&mut netlink);
            // What a killed process left must not answer beside the real owner.
            post.release(&mut netlink);
            posts.push(post);
        }
        for place in 0..posts.len() {
            posts[place].together = together(&posts, place);
        }
        let epoch = Instant::now();
        let mut observed = vec![Observed::Unknown; watches.len()];
        for (watch, observed) in watches.iter().zip(&mut observed) {
            if let Watch::Interface(name) = watch {
                *observed = seen_of(netlink.link(name).ok());
            }
        }
        Ok(Self {
            changed,
            wake,
            orders,
            published,
            netlink,
            monitor,
            posts,
            watches,
            observed,
            notifier: Notifier::start()?,
            told: BTreeMap::new(),
            stopping: false,
            refused: BTreeMap::new(),
            epoch,
        })
    }

    fn now(&self) -> Micros {
        Micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn run(&mut self) {
        let scheduling = if sys::real_time().is_ok() {
            Scheduling::RealTime
        } else if sys::highest_nice().is_ok() {
            Scheduling::Nice
        } else {
            Scheduling::Ordinary
        };
        for place in 0..self.posts.len() {
            self.posts[place].status.scheduling = scheduling;
            self.reconsider(place);
        }
        loop {
            self.publish();
            self.sleep();
            if self.take_orders() {
                break;
            }
            self.hear_kernel();
            self.hear_packets();
            self.keep_time();
            self.move_together();
        }
        self.stopping = true;
        self.tell_all(&Input::Stop);
        self.move_together();
        for post in &mut self.posts {
            post.come_back(&mut self.netlink);
        }
        self.publish();
    }

    /// Waits for a packet, news, an order or the next deadline.
    fn sleep(&self) {
        let now = self.now();
        let next = self.posts.iter().filter_map(Post::next_deadline).min();
        let until = next.map_or(now.after(LONGEST_SLEEP), |d| d.min(now.after(LONGEST_SLEEP)));
        let micros = until.0.saturating_sub(now.0);
        let timeout = Timespec {
            tv_sec: i64::try_from(micros / 1_000_000).unwrap_or(0),
            tv_nsec: i64::try_from(micros % 1_000_000 * 1_000).unwrap_or(0),
        };
        let sockets = self.posts.iter().filter_map(|post| post.socket.as_ref().map(AsFd::as_fd));
        let every = [self.wake.as_fd(), self.monitor.as_fd()].into_iter().chain(sockets);
        let mut descriptors: Vec<_> = every.map(|d| PollFd::from_borrowed_fd(d, PollFlags::IN)).collect();
        // An interrupted wait is an early wake-up, which is harmless.
        let _ = poll(&mut descriptors, Some(&timeout));
    }

    /// Whether to stop.
    fn take_orders(&mut self) -> bool {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Stop => return true,
                Order::Eligible(eligible) => self.tell_all(&Input::Eligible(eligible)),
                Order::HandOver => self.tell_all(&Input::HandOver),
                Order::Observed(watch, observed) => self.observe(watch, observed),
            }
        }
        false
    }

    /// Something that is watched is otherwise than before.
    fn observe(&mut self, watch: usize, observed: Observed) {
        if self.observed.get(watch).is_none_or(|before| *before == observed) {
            return;
        }
        self.observed[watch] = observed;
        for place in 0..self.posts.len() {
            if self.posts[place].tracks.iter().any(|(_, followed)| *followed == watch) {
                self.reconsider(place);
            }
        }
    }

    /// What a router's interface and the conditions it follows mean for its priority, and for whether it takes part.
    fn reconsider(&mut self, place: usize) {
        let now = self.now();
        let post = &mut self.posts[place];
        let followed = post
            .tracks
            .iter()
            .map(|(track, watch)| (track, self.observed.get(*watch).copied().unwrap_or_default()));
        let Effective { priority, fault } = effective(post.base, followed);
        let usable = post.link.is_some_and(|l| l.usable);
        let down = (!usable).then(|| format!("interface '{}' is down", post.settings.interface));
        post.fault = down.or_else(|| fault.map(|name| format!("'{name}' has failed")));
        if priority != post.status.priority {
            tracing::info!(router = post.settings.name, before = post.status.priority, priority, "priority");
            let before = std::mem::replace(&mut post.status.priority, priority);
            let is_master = post.router.role() == Role::Master;
            self.notifier.tell_priority(&post.settings.name, &post.settings.notify, is_master, priority);
            let failed =
                post.tracks.iter().find(|(_, watch)| self.observed.get(*watch) == Some(&Observed::Failed));
            (self.changed)(Change {
                router: post.settings.name.clone(),
                what: What::Priority(before),
                priority,
                detail: failed.map(|(track, _)| format!("'{}' has failed", track.name)),
            });
            post.router.handle_input(now, Input::Priority(priority));
        }
        self.perform(place);
        let group = Arc::clone(&self.posts[place].together);
        for member in group.iter().copied() {
            let fault = group.iter().find_map(|other| {
                let reason = self.posts[*other].fault.clone()?;
                let whose = &self.posts[*other].settings.name;
                Some(if *other == member { reason } else { format!("'{whose}' of its group: {reason}") })
            });
            let post = &mut self.posts[member];
            let takes_part = fault.is_none();
            post.status.trouble = fault;
            if takes_part != post.takes_part {
                post.takes_part = takes_part;
                post.router.handle_input(now, if takes_part { Input::Start } else { Input::Fault });
                self.perform(member);
            }
        }
    }

    /// Lets the routers of groups follow each other, until nobody moves any more.
    fn move_together(&mut self) {
        for place in 0..self.posts.len() {
            let group = Arc::clone(&self.posts[place].together);
            // Each group once, by its first router; a router alone moves alone.
            if group.first() != Some(&place) || self.posts[place].settings.group.is_none() {
                continue;
            }
            let member = |place: &usize| {
                let Post { router, was_master, .. } = &self.posts[*place];
                Member { role: router.role(), wants: router.wants(), was_master: *was_master }
            };
            let members: Vec<Member> = group.iter().map(member).collect();
            let input = match next_move(&members) {
                Move::Stay => None,
                Move::Promote => Some(Input::Promote),
                Move::Demote => Some(Input::Demote),
            };
            let now = self.now();
            for member in group.iter() {
                if let Some(input) = &input {
                    self.posts[*member].router.handle_input(now, input.clone());
                    self.perform(*member);
                }
                let post = &mut self.posts[*member];
                post.was_master = post.router.role() == Role::Master;
            }
            self.tell_group(&group);
        }
    }

    /// Has a group's commands run when all its routers have changed.
    fn tell_group(&mut self, group: &[usize]) {
        let states: Vec<State> =
            group.iter().map(|place| State::of(self.posts[*place].status.role, self.stopping)).collect();
        let Some(first) = group.first().map(|place| &self.posts[*place]) else { return };
        let Some(settings) = &first.settings.group else { return };
        let state = if states.contains(&State::Fault) {
            State::Fault
        } else if states.iter().all(|state| *state == states[0]) {
            states[0]
        } else {
            return;
        };
        if self.told.get(&settings.name) != Some(&state) {
            // The first state of all is where everybody begins, and no change.
            let is_change = self.told.insert(settings.name.clone(), state).is_some() || state != State::Fault;
            if is_change {
                self.notifier.tell("GROUP", &settings.name, &settings.notify, state, first.status.priority);
            }
        }
    }

    fn tell_all(&mut self, input: &Input) {
        let now = self.now();
        for place in 0..self.posts.len() {
            self.posts[place].router.handle_input(now, input.clone());
            self.perform(place);
        }
    }

    fn hear_kernel(&mut self) {
        for news in self.monitor.news() {
            for watch in 0..self.watches.len() {
                let Watch::Interface(name) = &self.watches[watch] else { continue };
                let link = match &news {
                    News::Link(changed, link) if changed == name => Some(*link),
                    News::LinkGone(gone) if gone == name => None,
                    News::Lost => self.netlink.link(name).ok(),
                    News::Link(..) | News::LinkGone(_) | News::AddressGone(..) => continue,
                };
                self.observe(watch, seen_of(link));
            }
            for place in 0..self.posts.len() {
                match &news {
                    News::Link(name, link) if *name == self.posts[place].settings.interface => {
                        self.relink(place, Some(*link));
                    }
                    News::LinkGone(name) if *name == self.posts[place].settings.interface => {
                        self.relink(place, None);
                    }
                    News::AddressGone(index, address) => self.lost_address(place, *index, *address),
                    News::Lost => {
                        let link = self.netlink.link(&self.posts[place].settings.interface).ok();
                        self.relink(place, link);
                    }
                    News::Link(..) | News::LinkGone(_) => {}
                }
            }
        }
    }

    /// The interface changed: without it the router takes no part.
    fn relink(&mut self, place: usize, link: Option<Link>) {
        let post = &mut self.posts[place];
        if post.link == link {
            return;
        }
        match link {
            Some(link) => {
                if let Err(error) = post.attach(link) {
                    tracing::error!(interface = post.settings.interface, %error, "cannot open sockets");
                }
            }
            None => {
                post.link = None;
                post.socket = None;
            }
        }
        self.reconsider(place);
    }

    /// An address left the interface. If it was not due, somebody else removed it: it is put back.
    fn lost_address(&mut self, place: usize, index: u32, address: IpAddr) {
        let now = self.now();
        let post = &mut self.posts[place];
        let ours =
            post.settings.addresses.iter().any(|a| a.address == address && post.index(a) == Some(index));
        let Some(renewed) = post.renewed.filter(|_| ours) else {
            return;
        };
        if now > renewed.after(Micros(u64::from(LIFETIME_SECONDS) * 1_000_000)) {
            post.router.handle_input(now, Input::Fenced);
            self.perform(place);
        } else {
            post.status.put_back += 1;
            tracing::warn!(%address, "somebody removed a virtual address; it is put back");
            (self.changed)(Change {
                router: post.settings.name.clone(),
                what: What::PutBack(address),
                priority: post.status.priority,
                detail: None,
            });
            post.hold(&mut self.netlink, now);
            post.announcing = Some((now, 0));
        }
    }

    fn hear_packets(&mut self) {
        for place in 0..self.posts.len() {
            for _ in 0..PACKET_BUDGET {
                let heard = self.posts[place].socket.as_ref().and_then(VrrpSocket::receive);
                let Some(packet) = heard else { break };
                let now = self.now();
                match self.accept(place, &packet) {
                    Ok(said) => {
                        let post = &mut self.posts[place];
                        post.status.received += 1;
                        post.status.master =
                            Some((packet.source, Instant::now())).filter(|_| said.priority > 0);
                        post.router.handle_input(now, Input::Packet(packet.source, said));
                        self.perform(place);
                    }
                    Err(Some(why)) => {
                        *self.refused.entry(why).or_insert(0) += 1;
                        tracing::debug!(why, source = %packet.source, "a VRRP packet was refused");
                    }
                    Err(None) => {}
                }
            }
        }
    }

    /// The advertisement of a packet, or why it is refused; without a reason where it is another router's
    /// of this node, which hears it on a socket of its own.
    fn accept(&self, place: usize, packet: &Packet) -> Result<Advertisement, Option<&'static str>> {
        let post = &self.posts[place];
        let VirtualRouter { multicast, version, password, vrid, .. } = post.settings;
        if multicast != (packet.destination == group(post.own)) {
            return Err(None);
        }
        if !multicast && !post.peers.contains(&packet.source) {
            return Err(Some("source"));
        }
        // Members are on the link; a peer that the file names may be elsewhere, and keepalived sends what it likes.
        if packet.ttl != TTL && !post.settings.unicast_peers.contains(&packet.source) {
            return Err(Some("ttl"));
        }
        // Whose it is comes first: other routers have other passwords.
        let theirs = packet.message.get(1).copied();
        if theirs.is_some_and(|theirs| theirs != vrid) {
            let known = self.posts.iter().any(|p| Some(p.settings.vrid) == theirs);
            return Err(Some("vrid").filter(|_| !known));
        }
        let (source, destination) = (packet.source, packet.destination);
        match Advertisement::decode(&packet.message, source, destination, password) {
            Err(refusal) => Err(Some(refusal.word())),
            Ok((_, said, _)) if said != version => Err(Some("version")),
            Ok((advertisement, ..)) => Ok(advertisement),
        }
    }

    fn keep_time(&mut self) {
        for place in 0..self.posts.len() {
            let now = self.now();
            self.posts[place].router.handle_timeout(now);
            self.perform(place);
            let post = &mut self.posts[place];
            if post.renew_at().is_some_and(|at| at <= now) {
                post.hold(&mut self.netlink, now);
            }
            if post.announce_at().is_some_and(|at| at <= now) {
                post.announce();
            }
            if post.aside.as_ref().is_some_and(|aside| aside.until <= now) {
                post.come_back(&mut self.netlink);
            }
        }
    }

    /// Performs what a router asks for, in its order.
    fn perform(&mut self, place: usize) {
        while let Some(output) = self.posts[place].router.poll_output() {
            let now = self.now();
            let post = &mut self.posts[place];
            match output {
                Output::Transmit(said) => post.transmit(&said),
                Output::AddAddresses => post.hold(&mut self.netlink, now),
                Output::RemoveAddresses => post.release(&mut self.netlink),
                Output::StepAside => post.step_aside(&mut self.netlink, now),
                Output::Announce => {
                    // A master that announces anew has heard somebody who claims to be one.
                    post.answers = post.status.role == Role::Master;
                    post.announcing = Some((now, 0));
                    post.announce();
                }
                Output::Became(role, why) => {
                    let is_news = post.status.role != role;
                    post.status.role = role;
                    post.status.why = Some(why);
                    if is_news {
                        post.status.since = Instant::now();
                    }
                    let router = post.settings.name.clone();
                    tracing::info!(router, role = role.word(), why = why.words(), "role");
                    let state = State::of(role, self.stopping);
                    if is_news {
                        self.notifier.tell(
                            "INSTANCE",
                            &router,
                            &post.settings.notify,
                            state,
                            post.status.priority,
                        );
                    }
                    let winner = post.status.master.map(|(master, _)| master.to_string());
                    let yields = matches!(why, Why::HigherMaster | Why::HandedOver);
                    let fault = post.status.trouble.clone().filter(|_| why == Why::Fault);
                    let detail = fault.or_else(|| winner.filter(|_| yields));
                    let priority = post.status.priority;
                    (self.changed)(Change { router, what: What::Role(role, why), priority, detail });
                }
            }
        }
    }

    /// Publishes the status, unless somebody reads it just now: then with the next turn.
    fn publish(&self) {
        if let Ok(mut published) = self.published.try_lock() {
            let with_counts = |post: &Post| {
                let mut status = post.status.clone();
                status.refused = self.refused.clone();
                status
            };
            *published = self.posts.iter().map(with_counts).collect();
        }
    }
}

impl Post {
    fn new(settings: VirtualRouter, config: &Config, own: IpAddr) -> Self {
        let machine = settings.settings(&config.member, own);
        // A member may be named as a peer too: it is told once.
        let peers: BTreeSet<IpAddr> = config
            .peers
            .iter()
            .chain(&settings.unicast_peers)
            .copied()
            .filter(|p| *p != own && p.is_ipv6() == own.is_ipv6())
            .collect();
        let peers = peers.into_iter().collect();
        let status = RouterStatus {
            name: settings.name.clone(),
            vrid: settings.vrid,
            interface: settings.interface.clone(),
            addresses: settings.addresses.iter().map(|a| a.address).collect(),
            role: Role::Initialize,
            since: Instant::now(),
            why: None,
            priority: machine.priority,
            master: None,
            sent: 0,
            received: 0,
            refused: BTreeMap::new(),
            put_back: 0,
            trouble: None,
            scheduling: Scheduling::Ordinary,
        };
        let base = machine.priority;
        let router = Router::new(machine);
        Self {
            settings,
            own,
            peers,
            router,
            link: None,
            socket: None,
            announcer: None,
            devices: BTreeMap::new(),
            renewed: None,
            announcing: None,
            answers: false,
            aside: None,
            tracks: Vec::new(),
            base,
            together: Arc::from([]),
            fault: None,
            takes_part: false,
            was_master: false,
            status,
        }
    }

    fn attach(&mut self, link: Link) -> io::Result<()> {
        self.link = Some(link);
        self.announcer = Some(Announcer::open(link.index, link.mac)?);
        let VirtualRouter { interface, multicast, .. } = &self.settings;
        self.socket = Some(VrrpSocket::open(self.own, interface, link.index, *multicast)?);
        Ok(())
    }

    fn transmit(&mut self, said: &Advertisement) {
        let group = group(self.own);
        let to = if self.settings.multicast { std::slice::from_ref(&group) } else { &self.peers };
        for destination in to {
            let bytes = said.encode(self.settings.version, self.own, *destination, self.settings.password);
            match self.socket.as_ref().map(|socket| socket.send(&bytes, *destination)) {
                Some(Ok(())) => self.status.sent += 1,
                // The peer may be gone, or our link: the state machine lives with silence.
                Some(Err(error)) => tracing::debug!(%destination, %error, "advertisement not sent"),
                None => {}
            }
        }
    }

    fn renew_at(&self) -> Option<Micros> {
        self.renewed.map(|at| at.after(Micros(RENEW_EVERY_MICROS)))
    }

    fn announce_at(&self) -> Option<Micros> {
        let (began, count) = self.announcing?;
        self.schedule().due(count).map(|(after, _)| began.after(micros(after)))
    }

    fn schedule(&self) -> &Announcing {
        if self.answers { &self.settings.answering } else { &self.settings.announcing }
    }

    /// The interface that carries an address.
    fn index(&self, address: &VirtualAddress) -> Option<u32> {
        match &address.device {
            Some(device) if *device != self.settings.interface => {
                self.devices.get(device).map(|(index, _)| *index)
            }
            _ => self.link.map(|link| link.index),
        }
    }

    /// Looks up the other interfaces that carry addresses.
    fn find_devices(&mut self, netlink: &mut Netlink) {
        for device in self.settings.addresses.iter().filter_map(|address| address.device.as_ref()) {
            if *device == self.settings.interface {
                continue;
            }
            let found = netlink
                .link(device)
                .and_then(|link| Ok((link.index, Announcer::open(link.index, link.mac)?)));
            match found {
                Ok(found) => drop(self.devices.insert(device.clone(), found)),
                Err(error) => {
                    tracing::error!(device, %error, "an interface that carries addresses is not there");
                    self.devices.remove(device);
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Micros> {
        let router = self.router.poll_timeout().map(|(deadline, _)| deadline);
        let aside = self.aside.as_ref().map(|aside| aside.until);
        [router, self.renew_at(), self.announce_at(), aside].into_iter().flatten().min()
    }

    /// The addresses live elsewhere now; what neighbours still send here is served for a while.
    fn step_aside(&mut self, netlink: &mut Netlink, now: Micros) {
        let until = now.after(Micros(u64::from(ASIDE_SECONDS) * 1_000_000));
        match Aside::begin(netlink, &self.settings.interface, &self.settings.addresses, until) {
            Ok(aside) => self.aside = Some(aside),
            Err(error) => tracing::info!(
                %error,
                "connections that still reach this node after the address has moved cannot be served"
            ),
        }
        self.release(netlink);
    }

    fn come_back(&mut self, netlink: &mut Netlink) {
        if let Some(aside) = self.aside.take() {
            aside.end(netlink);
        }
    }

    /// Adds the addresses, or renews them.
    fn hold(&mut self, netlink: &mut Netlink, now: Micros) {
        self.come_back(netlink);
        if self.renewed.is_none() {
            self.find_devices(netlink);
        }
        self.renewed = Some(now);
        for address in &self.settings.addresses {
            let Some(index) = self.index(address) else { continue };
            if let Err(error) = address::hold(netlink, index, address) {
                tracing::error!(address = %address.address, %error, "cannot hold the virtual address");
                self.status.trouble = Some(format!("cannot hold {}: {error}", address.address));
            }
        }
    }

    fn release(&mut self, netlink: &mut Netlink) {
        self.renewed = None;
        self.announcing = None;
        for address in &self.settings.addresses {
            let Some(index) = self.index(address) else { continue };
            if let Err(error) = address::release(netlink, index, address) {
                tracing::error!(address = %address.address, %error, "cannot remove the virtual address");
            }
        }
    }

    /// Makes the announcement that is due.
    fn announce(&mut self) {
        let Some((began, count)) = self.announcing else { return };
        let Some((_, repeat)) = self.schedule().due(count) else { return };
        for _ in 0..repeat {
            for address in &self.settings.addresses {
                let other = address.device.as_ref().and_then(|device| self.devices.get(device));
                let announcer = other.map(|(_, announcer)| announcer).or(self.announcer.as_ref());
                if let Some(Err(error)) = announcer.map(|announcer| announcer.announce(address.address)) {
                    tracing::debug!(address = %address.address, %error, "announcement not sent");
                }
            }
        }
        self.announcing = Some((began, count.saturating_add(1)));
    }
}

fn micros(time: Duration) -> Micros {
    Micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}
