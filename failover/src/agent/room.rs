//! The loop: what wakes it, in which order that is heard, and what is done at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use failover_vrrp::{
    Claim, Debounce, Effective, Goodbye, Input, Member, Micros, Move, Observed, Output, Role, VirtualRouter,
    Watch, Why, effective, next_move,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::post::{Post, Spaced};
use super::{Config, Listener, Order, RouterId, Told, What};
use crate::fixtures::Fixtures;
use crate::gateway::{Gateways, Wanted};
use crate::mail::Mailer;
use crate::netlink::{Link, Monitor, Netlink, News};
use crate::notify::{Notifier, State};
use crate::own;
use crate::passing::Passed;
use crate::routes;
use crate::signing::{Keeper, SigningStatus};
use crate::socket::VrrpSocket;
use crate::status::{RouterStatus, Scheduling};
use crate::sys;

/// Longest sleep: status is published and links are looked at at least this often.
pub(super) const LONGEST_SLEEP: Micros = Micros(500_000);
/// Packets read in one turn before deadlines get theirs.
const PACKET_BUDGET: usize = 64;
/// Orders taken in one turn before deadlines get theirs.
pub(super) const ORDER_BUDGET: usize = 64;

pub(super) struct Room {
    listener: Listener,
    wake: Arc<OwnedFd>,
    orders: Receiver<Order>,
    pub(super) words: Arc<AtomicUsize>,
    published: Arc<Mutex<Vec<RouterStatus>>>,
    netlink: Netlink,
    monitor: Monitor,
    cards: Cards,
    posts: Vec<Post>,
    /// Everything that is watched, once each, and what has been seen of it.
    pub(super) watches: Vec<Watch>,
    observed: Vec<Observed>,
    gateways: Gateways,
    fixtures: Fixtures,
    debounce: Debounce,
    spaced: Spaced,
    /// What the members' advertisements are signed and verified by, where the cluster has a key.
    keeper: Option<Keeper>,
    pub(super) signing: Arc<Mutex<Option<SigningStatus>>>,
    /// The ports of each virtual address that this node serves.
    pub(super) services: Vec<(IpAddr, Vec<u16>)>,
    notifier: Notifier,
    mailer: Mailer,
    /// What each group's commands were told last.
    told: BTreeMap<String, State>,
    stopping: bool,
    epoch: Instant,
}

impl Room {
    pub(super) fn open(
        config: Config,
        listener: Listener,
        wake: Arc<OwnedFd>,
        orders: Receiver<Order>,
        published: Arc<Mutex<Vec<RouterStatus>>>,
    ) -> io::Result<Self> {
        let monitor = Monitor::open().map_err(because("cannot listen to the kernel"))?;
        let mut netlink = Netlink::open().map_err(because("cannot talk to the kernel"))?;
        // A router may live at an address of the machine.
        let mut fixtures = Fixtures::new(config.machine.fixtures.clone());
        fixtures.keep(Micros(0), &mut netlink);
        let furnished = Furnished::find(&config, &mut netlink, &fixtures).and_then(|furnished| {
            let mailer = Mailer::start(&config.member, config.routers.iter())?;
            Ok((furnished, Notifier::start()?, mailer))
        });
        let (Furnished { posts, watches, mut debounce }, notifier, mailer) = match furnished {
            Ok(furnished) => furnished,
            Err(error) => {
                fixtures.remove(&mut netlink);
                return Err(error);
            }
        };
        let members = config.peers.iter().chain(&config.own).copied().collect();
        let keeper = config.signing.as_ref().map(|signing| Keeper::open(signing, members));
        let signing = Arc::new(Mutex::new(keeper.as_ref().map(Keeper::status)));
        let epoch = Instant::now();
        let gateways = gateways(&posts, &watches, &mut netlink);
        let mut observed = vec![Observed::Unknown; watches.len()];
        for (watch, observed) in watches.iter().zip(&mut observed) {
            if let Watch::Interface(name) = watch {
                let link = netlink.link(name).ok();
                *observed = seen_of(link.map(|link| believed(&mut debounce, Micros(0), name, link)));
            }
        }
        Ok(Self {
            listener,
            wake,
            orders,
            words: Arc::default(),
            published,
            netlink,
            monitor,
            cards: Cards::default(),
            posts,
            watches,
            observed,
            gateways,
            fixtures,
            debounce,
            spaced: Spaced::default(),
            keeper,
            signing,
            services: config.services,
            notifier,
            mailer,
            told: BTreeMap::new(),
            stopping: false,
            epoch,
        })
    }

    fn now(&self) -> Micros {
        self.epoch.elapsed().into()
    }

    pub(super) fn run(&mut self) {
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
            self.keep_fixtures();
            self.ask_gateways();
            self.hear_packets();
            self.keep_time();
            self.move_together();
            let now = self.now();
            self.keeper.iter_mut().for_each(|keeper| keeper.keep(now));
        }
        self.stopping = true;
        self.tell_all(&Input::Stop);
        self.move_together();
        for post in &mut self.posts {
            post.disown(&mut self.netlink);
            if post.passing.serves() {
                post.release(&mut self.netlink);
            }
            post.passing.end(&mut self.netlink);
            if let Some(vmac) = post.vmac.take() {
                vmac.close(&mut self.netlink);
            }
            for (_, (mac, _)) in std::mem::take(&mut post.macs) {
                mac.close(&mut self.netlink);
            }
        }
        self.fixtures.remove(&mut self.netlink);
        self.publish();
    }

    /// Waits for a packet, news, an order or the next deadline.
    pub(super) fn sleep(&self) {
        let now = self.now();
        let gateways = self.gateways.next_deadline();
        let others =
            [self.fixtures.next_deadline(), self.debounce.poll_timeout(), self.spaced.next_deadline()];
        let others = others.into_iter().flatten().chain(gateways);
        let next = self.posts.iter().filter_map(Post::next_deadline).chain(others).min();
        let until = next.map_or(now.after(LONGEST_SLEEP), |d| d.min(now.after(LONGEST_SLEEP)));
        let micros = until.0.saturating_sub(now.0);
        let timeout = Timespec {
            tv_sec: i64::try_from(micros / 1_000_000).unwrap_or(0),
            tv_nsec: i64::try_from(micros % 1_000_000 * 1_000).unwrap_or(0),
        };
        let sockets = self.posts.iter().filter_map(|post| post.socket.as_ref().map(AsFd::as_fd));
        let every = [self.wake.as_fd(), self.monitor.as_fd()].into_iter().chain(sockets);
        let every = every.chain(self.gateways.descriptors());
        let mut descriptors: Vec<_> = every.map(|d| PollFd::from_borrowed_fd(d, PollFlags::IN)).collect();
        // An interrupted wait is an early wake-up, which is harmless.
        let _ = poll(&mut descriptors, Some(&timeout));
    }

    /// Takes the orders that are here, as many as one turn may; whether to stop.
    pub(super) fn take_orders(&mut self) -> bool {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        for _ in 0..ORDER_BUDGET {
            let Ok(order) = self.orders.try_recv() else { return false };
            self.words.fetch_sub(usize::from(order.is_word()), Ordering::Relaxed);
            if matches!(order, Order::Follow(..)) {
                // What the old master advertised before its word is here already, and is heard before it.
                self.hear_packets();
            }
            // Either takes milliseconds: no router waits for those of all the others.
            let is_long = matches!(order, Order::Prepare(..) | Order::Follow(..));
            if self.take(order) {
                return true;
            }
            if is_long {
                break;
            }
        }
        // The others wait for the next turn, which comes at once.
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
        false
    }

    /// Does what an order says; whether it is to stop.
    fn take(&mut self, order: Order) -> bool {
        match order {
            Order::Stop => return true,
            Order::Eligible(eligible) => self.tell_all(&Input::Eligible(eligible)),
            Order::HandOver(goodbye, sent_on) => self.hand_over(goodbye, sent_on),
            Order::Vouched(router, [member, source], claim) => {
                let posts = self.posts.iter_mut().filter(|post| post.status.id == router);
                for post in posts {
                    post.sources.insert(member, source);
                }
                self.tell_routers(router, &Input::Vouched(source, claim));
            }
            Order::Services(services) => self.services = services,
            Order::Reloaded => self.write_states(),
            Order::Prepare(router, member, mac) => self.prepare(router, member, mac),
            Order::Follow(router, member, said) => self.follow(router, member, said),
            Order::Served(router, member) => {
                let served = self.posts.iter_mut().filter(|post| post.status.id == router);
                served.for_each(|post| post.passing.ended(member));
            }
            Order::Dead(member) => {
                self.posts.iter_mut().for_each(|post| post.passing.ended(member));
                for place in 0..self.posts.len() {
                    self.tell_one(place, &Input::Dead(self.posts[place].source_of(member)));
                }
            }
            Order::Gone(member) => self.posts.iter_mut().for_each(|post| post.passing.ended(member)),
            Order::Observed(watch, observed) => self.observe(watch, observed),
            Order::Backend(backend, usable) => self.observe_backend(&backend, usable),
            Order::Others(router, best) => self.tell_routers(router, &Input::Others(best)),
            Order::Signs(sources, signs) => {
                self.keeper.iter_mut().for_each(|keeper| keeper.signer.told(&sources, signs));
            }
            Order::Outgrown(session) => {
                self.keeper.iter_mut().for_each(|keeper| keeper.signer.outgrown(session));
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

    fn observe_backend(&mut self, backend: &str, usable: u32) {
        for watch in 0..self.watches.len() {
            let Watch::Backend { name, least } = &self.watches[watch] else { continue };
            if name == backend {
                let observed = if usable >= *least { Observed::Well } else { Observed::Failed };
                self.observe(watch, observed);
            }
        }
    }

    /// Reads who has answered, and what that is as a condition, and for who may have to take over.
    fn ask_gateways(&mut self) {
        let now = self.now();
        for post in &mut self.posts {
            if let Some(at) = post.doubts_at().filter(|at| *at <= now) {
                post.doubted = Some(at);
                self.gateways.hurry(&post.settings.interface, now);
            }
        }
        self.gateways.handle(now, &mut self.netlink);
        for place in 0..self.posts.len() {
            let Post { settings, isolated, .. } = &self.posts[place];
            // Who does not mind that the link is down is not cut off by it.
            let minds = !settings.presence.ignores_link || self.posts[place].link.is_some_and(|l| l.usable);
            let is = minds && self.gateways.isolated(&settings.interface, &settings.gateway, now);
            if is != *isolated {
                tracing::info!(router = settings.name, isolated = is, "the way to the gateway");
                self.posts[place].isolated = is;
                self.tell_one(place, &Input::Isolated(is));
            }
        }
        for watch in 0..self.watches.len() {
            let Watch::Gateway { interface, gateway, patience } = &self.watches[watch] else { continue };
            let observed = self.gateways.observed(interface, gateway, *patience, now);
            self.observe(watch, observed);
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
        let Effective { priority, fault } = effective(post.base, post.last, followed);
        let down = post.missing(now).or_else(|| post.talk.fault());
        post.fault = down.or_else(|| fault.map(|name| format!("'{name}' has failed")));
        if priority != post.status.priority {
            tracing::info!(router = post.settings.name, before = post.status.priority, priority, "priority");
            let before = std::mem::replace(&mut post.status.priority, priority);
            let is_master = post.router.role() == Role::Master;
            self.notifier.tell_priority(&post.settings.name, &post.settings.notify, is_master, priority);
            let failed =
                post.tracks.iter().find(|(_, watch)| self.observed.get(*watch) == Some(&Observed::Failed));
            let detail = failed.map(|(track, _)| format!("'{}' has failed", track.name));
            let change = post.changed(What::Priority(before), detail);
            post.router.handle_input(now, Input::Priority(priority));
            // Who hears of it may ask at once how it is.
            self.publish();
            (self.listener)(change);
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
                let begin = post.begin(&mut self.netlink);
                post.router.handle_input(now, if takes_part { begin } else { Input::Fault });
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
            // One after the other is followed, each when its own follower is there: none of them is lost.
            if group.iter().any(|place| self.posts[*place].router.is_handing_over()) {
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
                self.mailer.tell(true, &settings.name, &settings.notify, state);
            }
        }
    }

    fn tell_all(&mut self, input: &Input) {
        (0..self.posts.len()).for_each(|place| self.tell_one(place, input));
    }

    fn tell_routers(&mut self, router: RouterId, input: &Input) {
        for place in 0..self.posts.len() {
            if self.posts[place].status.id == router {
                self.tell_one(place, input);
            }
        }
    }

    fn tell_one(&mut self, place: usize, input: &Input) {
        let now = self.now();
        self.posts[place].router.handle_input(now, input.clone());
        self.perform(place);
    }

    fn hand_over(&mut self, goodbye: Goodbye, sent_on: bool) {
        for place in 0..self.posts.len() {
            if self.posts[place].router.role() != Role::Master {
                continue;
            }
            self.posts[place].passing.is_sent_on = sent_on;
            self.tell_one(place, &Input::HandOver(goodbye));
            if goodbye == Goodbye::Told {
                (self.listener)(Told::Leaves(self.posts[place].status.id, Instant::now()));
            }
        }
    }

    /// The addresses are to come here at once, if the one that leaves them is who has them.
    fn follow(&mut self, router: RouterId, member: IpAddr, said: Instant) {
        let said = Micros::from(said.saturating_duration_since(self.epoch));
        for place in 0..self.posts.len() {
            let now = self.now();
            let post = &mut self.posts[place];
            let source = post.source_of(member);
            if post.status.id != router {
                continue;
            }
            if post.router.obeys(source, said, now) {
                self.tell_one(place, &Input::Take(source, said));
            } else if !post.router.has_followed(said) {
                post.talk.refuse_order(source, now);
            }
        }
    }

    /// The addresses are going to come here, if the one that says so has them.
    fn prepare(&mut self, router: RouterId, member: IpAddr, mac: [u8; 6]) {
        let now = self.now();
        for post in self.posts.iter_mut().filter(|post| post.status.id == router) {
            let source = post.source_of(member);
            if !post.router.is_led_by(source) {
                post.talk.refuse_order(source, now);
                (self.listener)(Told::Prepared(router, member, false));
                continue;
            }
            let carried = |(address, _): &&(IpAddr, Vec<u16>)| {
                let mut every = post.settings.addresses.iter();
                every.any(|a| a.address == *address && a.device.is_none() && post.own_mac(a).is_none())
            };
            let floats = |(address, _): &&(IpAddr, Vec<u16>)| {
                post.settings.addresses.iter().any(|a| a.address == *address)
            };
            let (services, others): (Vec<_>, Vec<_>) =
                self.services.iter().filter(floats).partition(|service| carried(service));
            let services: Vec<_> = services.into_iter().cloned().collect();
            let interface = &post.settings.interface;
            let sends_on = post
                .link
                .is_some_and(|link| post.passing.send_on((interface, link), (member, mac), &services, now));
            // Where nothing can be sent on, the old master need not wait for the end of what is cut.
            let sends_on = sends_on && (others.is_empty() || !services.is_empty());
            (self.listener)(Told::Prepared(router, member, sends_on));
        }
    }

    /// Writes the states into the pipes that are to know of them after a reload.
    fn write_states(&mut self) {
        for place in 0..self.posts.len() {
            let Post { settings, status, together, .. } = &self.posts[place];
            let state = State::of(status.role, self.stopping);
            self.notifier.write_again("INSTANCE", &settings.name, &settings.notify, state, status.priority);
            // Each group once, by its first router.
            let Some(group) = settings.group.as_ref().filter(|_| together.first() == Some(&place)) else {
                continue;
            };
            if let Some(state) = self.told.get(&group.name) {
                self.notifier.write_again("GROUP", &group.name, &group.notify, *state, status.priority);
            }
        }
    }

    /// Puts back what somebody has removed from the machine; routers that follow what cannot be there take no part.
    fn keep_fixtures(&mut self) {
        let now = self.now();
        if !self.fixtures.keep(now, &mut self.netlink) {
            return;
        }
        for place in 0..self.posts.len() {
            let post = &mut self.posts[place];
            let unfixed = self.fixtures.failing(&post.settings.name);
            if unfixed != post.unfixed {
                post.unfixed = unfixed;
                self.reconsider(place);
            }
        }
    }

    fn hear_kernel(&mut self) {
        let now = self.now();
        let mut every = self.monitor.news();
        // Changes that have lasted.
        for name in self.debounce.due(now) {
            match self.netlink.link(&name) {
                Ok(link) => every.push(News::Link(name, link)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => every.push(News::LinkGone(name)),
                // Doubted for ever, it would be looked at in every turn.
                Err(_) => self.debounce.forget(&name),
            }
        }
        for mut news in every {
            match &mut news {
                News::Link(name, link) => {
                    if self.cards.comes(name, *link) {
                        self.hold_routes_on(name);
                    }
                    *link = believed(&mut self.debounce, now, name, *link);
                }
                News::LinkGone(name) => {
                    self.cards.goes(name);
                    self.debounce.forget(name);
                }
                News::AddressCome(_, address) => self.hold_routes_for(*address),
                News::AddressGone(..) => {}
                News::Lost => self.cards = Cards::default(),
            }
            self.fixtures.hear(&news, now);
            self.gateways.hear(&news, &mut self.netlink);
            for watch in 0..self.watches.len() {
                let Watch::Interface(name) = &self.watches[watch] else { continue };
                let link = match &news {
                    News::Link(changed, link) if changed == name => Some(*link),
                    News::LinkGone(gone) if gone == name => None,
                    News::Lost => {
                        let link = self.netlink.link(name).ok();
                        link.map(|link| believed(&mut self.debounce, now, name, link))
                    }
                    News::Link(..) | News::LinkGone(_) | News::AddressCome(..) | News::AddressGone(..) => {
                        continue;
                    }
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
                    News::LinkGone(name) => self.lost_vmac(place, name),
                    News::Link(name, link) => self.posts[place].find_moved(&mut self.netlink, name, *link),
                    News::AddressCome(index, _) => self.found_address(place, *index),
                    News::AddressGone(index, address) => self.lost_address(place, *index, *address),
                    News::Lost => self.look_again(place),
                }
            }
        }
    }

    /// More was said than could be kept: everything that may have been said of a router is looked at.
    fn look_again(&mut self, place: usize) {
        let now = self.now();
        let name = &self.posts[place].settings.interface;
        let link = self.netlink.link(name).ok();
        let link = link.map(|link| believed(&mut self.debounce, now, name, link));
        self.relink(place, link);
        if let Some(link) = link {
            self.found_address(place, link.index);
            let Post { own, lacks, .. } = &self.posts[place];
            let (own, lacks) = (*own, lacks.is_some());
            let there = self.netlink.addresses(link.index);
            if !lacks && there.is_ok_and(|there| there.iter().all(|(address, _)| *address != own)) {
                self.lost_address(place, link.index, own);
            }
        }
        let post = &mut self.posts[place];
        let macs = post.vmac.iter().chain(post.macs.values().map(|(mac, _)| mac));
        let macs: Vec<(String, u32)> = macs.map(|mac| (mac.name.clone(), mac.link.index)).collect();
        let devices = post.settings.addresses.iter().filter_map(|address| address.device.clone());
        for device in devices.collect::<BTreeSet<_>>() {
            if let Ok(link) = self.netlink.link(&device) {
                post.find_moved(&mut self.netlink, &device, link);
            }
        }
        for (name, index) in macs {
            if self.netlink.link(&name).ok().map(|there| there.index) != Some(index) {
                self.lost_vmac(place, &name);
            }
        }
        let post = &mut self.posts[place];
        if post.adopts && !post.remains(&mut self.netlink) {
            post.disown(&mut self.netlink);
        }
        if post.is_overdue(now) {
            post.router.handle_input(now, Input::Fenced);
            self.perform(place);
        } else if post.renewed.is_some() {
            post.hold(&mut self.netlink, now);
            post.hold_routes(&mut self.netlink);
            post.announcing = Some((now, 0));
        }
    }

    /// An interface is up: one that was down has lost its routes, also where nobody minded that.
    fn hold_routes_on(&mut self, interface: &str) {
        for post in &mut self.posts {
            if post.renewed.is_some() && post.routes_by(interface) {
                post.hold_routes(&mut self.netlink);
            }
        }
    }

    /// The machine has an address: with it a gateway may be reached that could not be before.
    fn hold_routes_for(&mut self, address: IpAddr) {
        // Those that float come anew with every renewal.
        let floats = self.posts.first().is_none_or(|post| post.floating.contains(&address));
        let lacking = |post: &&mut Post| !floats && post.renewed.is_some() && !post.unrouted.is_empty();
        for post in self.posts.iter_mut().filter(lacking) {
            post.hold_missing_routes(&mut self.netlink);
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
                if let Err(error) = post.attach(link, &mut self.netlink) {
                    tracing::error!(interface = post.settings.interface, %error, "cannot open sockets");
                    post.lacks =
                        Some(format!("cannot open sockets on '{}': {error}", post.settings.interface));
                }
                let Post { settings: VirtualRouter { interface, gateway, .. }, own, .. } = &*post;
                if !own.is_unspecified() {
                    let every = post.settings.interval.micros().times(3);
                    self.gateways.want(&Wanted { interface, gateway, own: Some(*own), every });
                }
            }
            None => {
                post.link = None;
                post.socket = None;
            }
        }
        self.reconsider(place);
    }

    /// An interface has an address: it may be the one that a router waits for.
    fn found_address(&mut self, place: usize, index: u32) {
        let post = &mut self.posts[place];
        let waiting = post.link.filter(|link| link.index == index && post.lacks.is_some());
        if waiting.is_some() {
            post.link = None;
            self.relink(place, waiting);
        }
    }

    /// Somebody removed an interface: if it is the one with the virtual hardware address, it is made anew.
    fn lost_vmac(&mut self, place: usize, name: &str) {
        let now = self.now();
        let post = &mut self.posts[place];
        let own = post.macs.iter().find(|(_, (mac, _))| mac.name == name);
        if let Some((key, below)) = own.map(|(key, (mac, _))| (key.clone(), mac.below)) {
            // With the interface below it goes as well, and comes again with that.
            if self.netlink.link(&key.0).ok().map(|there| there.index) != Some(below) {
                post.macs.remove(&key);
                return;
            }
            tracing::warn!(interface = name, "somebody removed the virtual interface; it is made again");
            post.find_devices(&mut self.netlink);
            if post.renewed.is_some() {
                post.status.put_back += 1;
                post.hold(&mut self.netlink, now);
                post.hold_routes(&mut self.netlink);
                post.announcing = Some((now, 0));
            }
            return;
        }
        let Some(link) = post.link.filter(|_| post.vmac.as_ref().is_some_and(|vmac| vmac.name == name))
        else {
            return;
        };
        // With the interface below it goes as well, and comes again with that.
        if self.netlink.link(&post.settings.interface).ok().map(|below| below.index) != Some(link.index) {
            return;
        }
        tracing::warn!(interface = name, "somebody removed the virtual interface; it is made again");
        post.link = None;
        self.relink(place, Some(link));
        let post = &mut self.posts[place];
        if post.renewed.is_some() {
            post.status.put_back += 1;
            post.hold(&mut self.netlink, now);
            post.hold_routes(&mut self.netlink);
            post.announcing = Some((now, 0));
        }
    }

    /// An address left the interface. If it was not due, somebody else removed it: it is put back.
    fn lost_address(&mut self, place: usize, index: u32, address: IpAddr) {
        let now = self.now();
        let post = &mut self.posts[place];
        let is_own = post.own == address && post.link.is_some_and(|link| link.index == index);
        if is_own && post.named.is_none() {
            // It was found, and so is the next one.
            let link = post.link.take();
            self.relink(place, link);
            return;
        }
        if is_own && post.settings.presence.tracks_source {
            post.lacks = Some(format!("'{address}' is not there"));
            self.reconsider(place);
            return;
        }
        let ours =
            post.settings.addresses.iter().any(|a| a.address == address && post.index(a) == Some(index));
        if ours {
            // Left by an earlier process, and not taken over within its lifetime.
            post.disown(&mut self.netlink);
        }
        if !ours || post.renewed.is_none() {
            return;
        }
        if post.is_overdue(now) {
            post.router.handle_input(now, Input::Fenced);
            self.perform(place);
        } else if post.settings.addresses.iter().any(|a| a.address == address && a.may_go()) {
            tracing::info!(%address, "somebody removed a virtual address that is marked 'no_track'");
            post.let_go.insert(address);
        } else {
            post.status.put_back += 1;
            tracing::warn!(%address, "somebody removed a virtual address; it is put back");
            (self.listener)(post.changed(What::PutBack(address), None));
            post.hold(&mut self.netlink, now);
            post.hold_routes(&mut self.netlink);
            post.announcing = Some((now, 0));
        }
    }

    fn hear_packets(&mut self) {
        for place in 0..self.posts.len() {
            let mut is_quiet = true;
            for _ in 0..PACKET_BUDGET {
                let heard = self.posts[place].socket.as_ref().and_then(VrrpSocket::receive);
                let Some(packet) = heard else { break };
                is_quiet = false;
                let now = self.now();
                let (before, rest) = self.posts.split_at_mut(place);
                let Some((post, after)) = rest.split_first_mut() else { break };
                let known = |vrid| before.iter().chain(after.iter()).any(|p| p.settings.vrid == vrid);
                let signer = self.keeper.as_mut().map(|keeper| &mut keeper.signer);
                let Some(said) = post.talk.read(&packet, now, known, signer) else { continue };
                post.status.received += 1;
                post.status.tenure.heard(&said);
                post.status.master = Some((packet.source, Instant::now())).filter(|_| said.priority > 0);
                let lesser = (1..post.status.priority).contains(&said.priority);
                if lesser && post.router.role() == Role::Master && post.talk.is_lesser_news(now) {
                    let VirtualRouter { name, notify, .. } = &post.settings;
                    self.notifier.tell_lesser(name, notify, post.status.priority);
                }
                post.router.handle_input(now, Input::Packet(packet.source, said));
                self.perform(place);
            }
            let now = self.now();
            self.posts[place].talk.settle(now, is_quiet);
        }
    }

    fn keep_time(&mut self) {
        for place in 0..self.posts.len() {
            let now = self.now();
            self.posts[place].router.handle_timeout(now);
            self.perform(place);
            if self.posts[place].waits.is_some_and(|until| until <= now) {
                self.posts[place].waits = None;
                self.reconsider(place);
            }
            let post = &mut self.posts[place];
            if post.renew_at().is_some_and(|at| at <= now) {
                post.hold(&mut self.netlink, now);
            }
            if post.announce_at().is_some_and(|at| at <= now) {
                post.announce(&mut self.netlink, (&mut self.spaced, place));
            }
            if post.elsewhere_at().is_some_and(|at| at <= now) {
                post.announce_elsewhere(now, (&mut self.spaced, place));
            }
            match post.passing.keep_time(&mut self.netlink, now) {
                Passed::Nothing => {}
                Passed::Settled => {
                    let VirtualRouter { interface, routes, .. } = &post.settings;
                    routes::prefer_nothing(&mut self.netlink, interface, routes);
                    post.release_addresses(&mut self.netlink);
                }
                Passed::Served => {
                    post.release_routes(&mut self.netlink);
                    (self.listener)(Told::Served(post.status.id, true));
                }
            }
        }
        let now = self.now();
        while let Some((place, address)) = self.spaced.pop(now) {
            let post = &self.posts[place];
            if !post.router.is_handing_over() {
                post.send_announcement(address);
            }
        }
    }

    /// Performs what a router asks for, in its order.
    fn perform(&mut self, place: usize) {
        while let Some(output) = self.posts[place].router.poll_output() {
            let now = self.now();
            let post = &mut self.posts[place];
            match output {
                Output::Transmit(said) => {
                    post.transmit(&said, self.keeper.as_mut().map(|keeper| &mut keeper.signer));
                    let claim = Claim { priority: said.priority, interval: said.interval };
                    let (own, isolated) = (post.own, post.isolated);
                    let leaves = said.priority == 0;
                    let id = post.status.id;
                    if leaves {
                        (self.listener)(Told::Leaves(id, Instant::now()));
                    } else if !isolated {
                        // Who reaches nobody on the link is master for nobody there.
                        (self.listener)(Told::Claims(id, own, claim));
                    }
                }
                Output::AddAddresses => {
                    post.hold(&mut self.netlink, now);
                    post.passing.took(now);
                    // The interface has the addresses again: only now the loopback may lose them.
                    if post.passing.come_back(&mut self.netlink, now) {
                        (self.listener)(Told::Served(post.status.id, false));
                    }
                }
                Output::RemoveAddresses => {
                    post.release(&mut self.netlink);
                    post.passing.forget();
                }
                Output::StepAside => {
                    let VirtualRouter { interface, addresses, .. } = &post.settings;
                    if post.passing.serve(&mut self.netlink, interface, addresses, now) {
                        (self.listener)(Told::Serves(post.status.id));
                        // The interface keeps the addresses until the loopback has them.
                        post.renewed = None;
                        post.announcing = None;
                        post.elsewhere = None;
                    } else {
                        post.release(&mut self.netlink);
                    }
                }
                Output::Announce => {
                    // A master that announces anew has heard somebody who claims to be one.
                    post.answers = post.status.role == Role::Master;
                    post.announcing = Some((now, 0));
                    post.announce(&mut self.netlink, (&mut self.spaced, place));
                    if post.answers && post.is_contested_anew(now) {
                        let router = &post.settings.name;
                        tracing::warn!(router, "another one claimed to be master, and is the lesser one");
                        let (notify, priority) = (&post.settings.notify, post.status.priority);
                        self.notifier.tell("INSTANCE", router, notify, State::Master, priority);
                        let who = post.status.master.map(|(who, _)| who);
                        (self.listener)(post.changed(What::Contested(who), None));
                    }
                }
                Output::Blocked(blocked) => {
                    post.status.blocked = blocked;
                    let router = &post.settings.name;
                    if blocked {
                        tracing::warn!(router, "the master lives, and its advertisements do not arrive");
                    } else {
                        tracing::info!(
                            router,
                            "the master's advertisements arrive again, or it is another one"
                        );
                    }
                    (self.listener)(post.changed(What::Blocked(blocked), None));
                }
                Output::Became(role, why) => {
                    let is_news = post.status.role != role;
                    if is_news {
                        post.status.tenure.changed(post.status.role, role);
                    }
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
                        self.mailer.tell(false, &router, &post.settings.notify, state);
                    }
                    let winner = post.status.master.map(|(master, _)| master.to_string());
                    let yields = matches!(why, Why::HigherMaster | Why::HandedOver);
                    let fault = post.status.trouble.clone().filter(|_| why == Why::Fault);
                    let detail = fault.or_else(|| winner.filter(|_| yields));
                    (self.listener)(post.changed(What::Role(role, why), detail));
                }
            }
        }
    }

    /// Publishes the status, unless somebody reads it just now: then with the next turn.
    fn publish(&self) {
        if let Ok(mut published) = self.published.try_lock() {
            let (now, clock) = (self.now(), Instant::now());
            let with_counts = |post: &Post| {
                let mut status = post.status.clone();
                let ages = self.gateways.ages(&post.settings.interface, now);
                let at = |age: Micros| clock.checked_sub(Duration::from_micros(age.0));
                status.gateways = ages.map(|(gateway, age)| (gateway, age.and_then(at))).collect();
                status.serves = post.passing.serves();
                status.mac = post.link.map(|link| link.mac);
                status.refused = post.talk.refused().clone();
                status.noticed = post.talk.noticed().clone();
                status
            };
            *published = self.posts.iter().map(with_counts).collect();
        }
        if let Some(keeper) = &self.keeper
            && let Ok(mut signing) = self.signing.try_lock()
        {
            *signing = Some(keeper.status());
        }
    }
}

/// The interfaces that can be used, by number: the kernel also speaks of those that have not changed in that.
#[derive(Default)]
struct Cards(BTreeMap<u32, String>);

impl Cards {
    /// Whether an interface can be used that could not be, as far as is known.
    fn comes(&mut self, name: &str, link: Link) -> bool {
        if link.usable {
            self.0.insert(link.index, name.to_owned()).is_none_or(|before| before != name)
        } else {
            self.0.remove(&link.index);
            false
        }
    }

    fn goes(&mut self, gone: &str) {
        self.0.retain(|_, name| name != gone);
    }
}

/// The routers as they begin, what they follow, and what is believed of interfaces.
struct Furnished {
    posts: Vec<Post>,
    watches: Vec<Watch>,
    debounce: Debounce,
}

impl Furnished {
    fn find(config: &Config, netlink: &mut Netlink, fixtures: &Fixtures) -> io::Result<Self> {
        let mut posts = Vec::new();
        let floating = config.routers.iter().flat_map(|router| &router.addresses);
        let floating: Arc<BTreeSet<IpAddr>> = Arc::new(floating.map(|address| address.address).collect());
        let mut watches: Vec<Watch> = Vec::new();
        let patience = config.routers.iter().flat_map(|router| router.presence.patience.clone());
        let mut debounce = Debounce::new(patience.collect());
        for settings in &config.routers {
            let mut post = Post::new(settings.clone(), config);
            post.floating = Arc::clone(&floating);
            post.unfixed = fixtures.failing(&settings.name);
            for track in &settings.tracks {
                let known = watches.iter().position(|watch| *watch == track.watch);
                let place = known.unwrap_or(watches.len());
                watches.resize_with(watches.len().max(place + 1), || track.watch.clone());
                post.tracks.push((track.clone(), place));
            }
            match netlink.link(&settings.interface) {
                Ok(link) => post
                    .attach(believed(&mut debounce, Micros(0), &settings.interface, link), netlink)
                    .map_err(because(&format!("cannot open sockets on '{}'", settings.interface)))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::warn!(router = settings.name, %error, "it is waited for");
                }
                Err(error) => return Err(error),
            }
            post.find_devices(netlink);
            // What a killed process left must not answer beside the real owner; if all of it is still there, the router
            // finds out whether there is one.
            post.adopts = post.remains(netlink);
            if !post.adopts {
                post.release(netlink);
                let delay = settings.presence.delay(own::uptime());
                post.waits = (!delay.is_zero()).then(|| Micros::from(delay));
            }
            posts.push(post);
        }
        for place in 0..posts.len() {
            posts[place].together = together(&posts, place);
        }
        Ok(Self { posts, watches, debounce })
    }
}

/// Says of an error what it prevents.
fn because(what: &str) -> impl Fn(io::Error) -> io::Error {
    let what = what.to_owned();
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// The places of the routers that move with this one, itself among them.
fn together(posts: &[Post], place: usize) -> Arc<[usize]> {
    let name = |place: &usize| posts[*place].settings.group.as_ref().map(|group| group.name.as_str());
    let own = name(&place);
    (0..posts.len()).filter(|other| *other == place || (own.is_some() && name(other) == own)).collect()
}

/// Everybody who is asked whether this node still reaches anybody.
fn gateways(posts: &[Post], watches: &[Watch], netlink: &mut Netlink) -> Gateways {
    let floating =
        posts.iter().flat_map(|post| post.settings.addresses.iter().map(|floating| floating.address));
    let mut gateways = Gateways::new(floating.collect());
    for Post { settings, own, .. } in posts {
        // Fresh enough to be believed when the master has fallen silent.
        let every = settings.interval.micros().times(3);
        let VirtualRouter { interface, gateway, .. } = settings;
        let own = (!own.is_unspecified()).then_some(*own);
        gateways.want(&Wanted { interface, gateway, own, every });
    }
    for watch in watches {
        if let Watch::Gateway { interface, gateway, .. } = watch {
            gateways.want(&Wanted { interface, gateway, own: None, every: LONGEST_SLEEP });
        }
    }
    gateways.find(netlink);
    gateways
}

/// What an interface is as a condition.
fn seen_of(link: Option<Link>) -> Observed {
    if link.is_some_and(|link| link.usable) { Observed::Well } else { Observed::Failed }
}

/// An interface as it is believed to be: one that flaps is given time.
fn believed(debounce: &mut Debounce, now: Micros, name: &str, link: Link) -> Link {
    Link { usable: debounce.seen(now, name, link.usable), ..link }
}
