//! One virtual router with what it needs of the kernel: its socket, its addresses and its announcements.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use failover_vrrp::route::Route;
use failover_vrrp::signing::Signer;
use failover_vrrp::{
    Advertisement, Announcing, Elsewhere, Input, Lane, Micros, Role, Router, Spacing, Track, VirtualAddress,
    VirtualRouter,
};
use netlink_packet_route::AddressFamily;

use super::{Change, Config, RouterId, Told, What};
use crate::address::{self, LIFETIME_SECONDS, RENEW_EVERY_MICROS};
use crate::announce::{Announcer, turn};
use crate::netlink::{self, Link, Netlink};
use crate::own::{self, Promotion};
use crate::passing::Passing;
use crate::routes;
use crate::socket::VrrpSocket;
use crate::status::{RouterStatus, Scheduling};
use crate::talk::Talk;
use crate::tenure::Tenure;
use crate::vmac::{Before, VirtualMac};

/// Most frames with which neighbours are told one by one where the addresses live, each with one announcement to all;
/// and after how many of these.
const MAX_CORRECTED: usize = 256;
const CORRECTIONS: u32 = 4;
/// Claims of another master that follow each other so closely are one.
const CONTEST: Micros = Micros(5_000_000);

/// Announcements that wait for their turn: the router's place and the address, of each family by the interfaces that keep
/// from each other.
#[derive(Default)]
pub(super) struct Spaced(BTreeMap<Apart, Lane<(usize, IpAddr)>>);

/// Interfaces whose announcements keep from each other, and whether those are of IPv6.
pub(super) type Apart = (Vec<String>, bool);

impl Spaced {
    /// Has one wait, where announcements of this interface keep from each other; whether it does.
    pub(super) fn push(&mut self, spacings: &[Spacing], interface: &str, said: (usize, IpAddr)) -> bool {
        let six = said.1.is_ipv6();
        let Some((every, shared)) = Spacing::of(spacings, interface, six) else { return false };
        // What finds no room is left out: it comes again.
        let _ = self.0.entry((shared, six)).or_insert_with(|| Lane::new(every)).push(said);
        true
    }

    pub(super) fn next_deadline(&self) -> Option<Micros> {
        self.0.values().filter_map(Lane::due).min()
    }

    pub(super) fn pop(&mut self, now: Micros) -> Option<(usize, IpAddr)> {
        self.0.values_mut().find_map(|lane| lane.pop(now))
    }
}

/// Addresses that share an interface with a hardware address: what that lives on, and whether they are of IPv6.
pub(super) type OwnMac = (String, bool);

/// One virtual router with its interface.
pub(super) struct Post {
    pub(super) settings: VirtualRouter,
    /// This node's own address on the link; unspecified until there is one.
    pub(super) own: IpAddr,
    /// The same as the files have it.
    pub(super) named: Option<IpAddr>,
    /// The floating addresses of all routers, none of which is a node's own.
    pub(super) floating: Arc<BTreeSet<IpAddr>>,
    /// What it cannot work without: its sockets.
    pub(super) lacks: Option<String>,
    /// What it follows of the machine, and is not there.
    pub(super) unfixed: Option<String>,
    /// When addresses on other interfaces are announced again.
    pub(super) elsewhere: Option<Micros>,
    /// Until then it takes no part.
    pub(super) waits: Option<Micros>,
    /// Ends by being dropped.
    pub(super) promotion: Option<Promotion>,
    /// What it says, and what it believes.
    pub(super) talk: Talk,
    pub(super) router: Router,
    pub(super) link: Option<Link>,
    pub(super) socket: Option<VrrpSocket>,
    pub(super) announcer: Option<Announcer>,
    /// The interface with a hardware address of its own.
    pub(super) vmac: Option<VirtualMac>,
    /// Those of addresses that have one for themselves.
    pub(super) macs: BTreeMap<OwnMac, (VirtualMac, Announcer)>,
    /// Settings of the machine that those have changed; they are put back by being dropped.
    pub(super) before: Before,
    /// Other interfaces that carry addresses of its, as they were when they were last used.
    pub(super) devices: BTreeMap<String, (u32, Announcer)>,
    /// Routes that could not be added when the others were.
    pub(super) unrouted: Vec<Route>,
    /// When the addresses were last renewed; `None` while we do not hold them.
    pub(super) renewed: Option<Micros>,
    /// When they came.
    pub(super) held: Micros,
    /// Those that somebody has removed, and may.
    pub(super) let_go: BTreeSet<IpAddr>,
    /// When the addresses came, and how many announcements have been made since.
    pub(super) announcing: Option<(Micros, u32)>,
    /// With which neighbour and address the next correction begins.
    pub(super) corrected: usize,
    /// Whether that is an answer to a lesser router.
    pub(super) answers: bool,
    /// When somebody else claimed to be master, while this node was.
    pub(super) contested: Option<Micros>,
    /// What becomes of connections when the addresses are handed over.
    pub(super) passing: Passing,
    /// From which address each member advertises, as it says on the channel.
    pub(super) sources: BTreeMap<IpAddr, IpAddr>,
    /// Its priority while nothing that it follows changes it.
    pub(super) base: u8,
    /// Its priority where every other one would serve better.
    pub(super) last: u8,
    /// What it follows, each with its place among all that is watched.
    pub(super) tracks: Vec<(Track, usize)>,
    /// The places of the routers that move with this one, itself among them.
    pub(super) together: Arc<[usize]>,
    /// What keeps it from taking part: its interface, or something that it follows.
    pub(super) fault: Option<String>,
    /// Whether the router takes part: nothing keeps it, nor another of its group.
    pub(super) takes_part: bool,
    /// Whether the addresses of an earlier process may still be there.
    pub(super) adopts: bool,
    /// Whether nobody answers here whom this node reaches as a rule.
    pub(super) isolated: bool,
    /// The last doubt in the master that was followed by a question whether that is so.
    pub(super) doubted: Option<Micros>,
    /// Whether it was master when its group was looked at last.
    pub(super) was_master: bool,
    pub(super) status: RouterStatus,
}

impl Post {
    pub(super) fn new(settings: VirtualRouter, config: &Config) -> Self {
        let is_six = settings.is_ipv6();
        let named = settings.source.or(config.own.filter(|own| own.is_ipv6() == is_six));
        let unknown = if is_six { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let own = named.unwrap_or(unknown);
        let mut machine = settings.settings(&config.member, own);
        machine.pair = config.peers.len() == 1 && settings.unicast_peers.is_empty() && !settings.multicast;
        // A member may be named as a peer too: it is told once.
        let peers: BTreeSet<IpAddr> = config
            .peers
            .iter()
            .chain(&settings.unicast_peers)
            .copied()
            .filter(|p| *p != own && p.is_ipv6() == own.is_ipv6())
            .collect();
        let talk = Talk::new(&settings, own, peers.into_iter().collect(), machine.priority);
        let status = RouterStatus {
            name: settings.name.clone(),
            vrid: settings.vrid,
            id: RouterId::of(&settings),
            interface: settings.interface.clone(),
            own,
            mac: None,
            addresses: settings.addresses.iter().map(|a| a.address).collect(),
            role: Role::Initialize,
            since: Instant::now(),
            why: None,
            priority: machine.priority,
            master: None,
            sent: 0,
            received: 0,
            refused: BTreeMap::new(),
            noticed: BTreeMap::new(),
            base: machine.priority,
            tenure: Tenure::new(),
            settings: Arc::new(settings.clone()),
            put_back: 0,
            blocked: false,
            serves: false,
            trouble: None,
            gateways: Vec::new(),
            scheduling: Scheduling::Ordinary,
        };
        let base = machine.priority;
        let last = settings.last_priority(&config.member);
        let router = Router::new(machine);
        Self {
            settings,
            own,
            named,
            floating: Arc::default(),
            lacks: None,
            unfixed: None,
            elsewhere: None,
            waits: None,
            promotion: None,
            talk,
            router,
            link: None,
            socket: None,
            announcer: None,
            vmac: None,
            macs: BTreeMap::new(),
            before: Before::default(),
            devices: BTreeMap::new(),
            unrouted: Vec::new(),
            renewed: None,
            held: Micros(0),
            let_go: BTreeSet::new(),
            announcing: None,
            corrected: 0,
            answers: false,
            contested: None,
            passing: Passing::default(),
            sources: BTreeMap::new(),
            tracks: Vec::new(),
            base,
            last,
            together: Arc::from([]),
            fault: None,
            takes_part: false,
            adopts: false,
            isolated: false,
            doubted: None,
            was_master: false,
            status,
        }
    }

    /// The address that a member advertises from: routers know it by that one.
    pub(super) fn source_of(&self, member: IpAddr) -> IpAddr {
        self.sources.get(&member).copied().unwrap_or(member)
    }

    pub(super) fn changed(&self, what: What, detail: Option<String>) -> Told {
        let router = self.settings.name.clone();
        Told::Changed(Change { router, what, priority: self.status.priority, detail })
    }

    /// Opens what the router needs on its interface. Without an address of its own it waits for one.
    pub(super) fn attach(&mut self, link: Link, netlink: &mut Netlink) -> io::Result<()> {
        self.link = Some(link);
        if self.settings.presence.promotes && self.promotion.is_none() {
            self.promotion = Promotion::begin(&self.settings.interface);
        }
        let known = (self.named, Some(self.own));
        let Some(own) = own::address(netlink, &self.settings, known, link, &self.floating)? else {
            return self.wait_for_address();
        };
        if own != self.own {
            (self.own, self.status.own) = (own, own);
            self.talk.live_at(own);
            self.router.live_at(own);
        }
        // One that is there is taken over.
        self.vmac = None;
        let vmac = VirtualMac::open(netlink, &self.settings, link, &mut self.before)?;
        let above = vmac.as_ref().map_or(link, |vmac| vmac.link);
        match Announcer::open(above.index, above.mac) {
            Ok(announcer) => (self.vmac, self.announcer) = (vmac, Some(announcer)),
            Err(error) => {
                if let Some(vmac) = vmac {
                    vmac.close(netlink);
                }
                return Err(error);
            }
        }
        let VirtualRouter { interface, virtual_mac, .. } = &self.settings;
        let plain = virtual_mac.as_ref().is_none_or(|mac| mac.plain_advertisements);
        let above = self.vmac.as_ref().map(|vmac| (vmac.name.as_str(), vmac.link.index)).filter(|_| !plain);
        let (group, ttl) = (self.talk.group(), self.talk.ttl());
        match VrrpSocket::open(self.own, (interface, link.index), above, group, ttl) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => return self.wait_for_address(),
            opened => self.socket = Some(opened?),
        }
        self.lacks = None;
        self.talk.attach(link.index);
        Ok(())
    }

    #[allow(clippy::unnecessary_wraps, reason = "how attaching ends")]
    pub(super) fn wait_for_address(&mut self) -> io::Result<()> {
        let family = if self.settings.is_ipv6() { "IPv6" } else { "IPv4" };
        let interface = &self.settings.interface;
        let lacks = match self.named {
            Some(named) => format!("'{named}' is not there"),
            None => format!("interface '{interface}' has no {family} address"),
        };
        tracing::warn!(router = self.settings.name, lacks, "it is waited for");
        self.socket = None;
        self.lacks = Some(lacks);
        Ok(())
    }

    /// What keeps the router from taking part, apart from what it follows.
    pub(super) fn missing(&self, now: Micros) -> Option<String> {
        let interface = &self.settings.interface;
        let Some(link) = self.link else { return Some(format!("there is no interface '{interface}'")) };
        if !link.usable && !self.settings.presence.ignores_link {
            return Some(format!("interface '{interface}' is down"));
        }
        let early = self.waits.filter(|until| *until > now);
        let early = early.map(|until| format!("it waits {} s after the start", until.0.div_ceil(1_000_000)));
        self.lacks.clone().or(self.unfixed.clone()).or(early)
    }

    /// Sends an advertisement; `signer`: where the members' are signed.
    pub(super) fn transmit(&mut self, said: &Advertisement, mut signer: Option<&mut Signer>) {
        for destination in self.talk.destinations() {
            let packets = self.talk.packets(said, destination, signer.as_deref_mut());
            let send =
                |socket: &VrrpSocket| packets.iter().try_for_each(|packet| socket.send(packet, destination));
            match self.socket.as_ref().map(send) {
                Some(Ok(())) => {
                    self.status.sent += 1;
                    self.status.tenure.sent(said);
                }
                // The peer may be gone, or our link: the state machine lives with silence.
                Some(Err(error)) => tracing::debug!(%destination, %error, "advertisement not sent"),
                None => {}
            }
        }
    }

    pub(super) fn renew_at(&self) -> Option<Micros> {
        self.renewed.map(|at| at.after(Micros(RENEW_EVERY_MICROS)))
    }

    /// Whether addresses that it holds may have ended since it renewed them.
    pub(super) fn is_overdue(&self, now: Micros) -> bool {
        let lifetime = Micros(u64::from(LIFETIME_SECONDS) * 1_000_000);
        self.renewed.is_some_and(|renewed| now > renewed.after(lifetime))
    }

    /// When it announces next: who is handing over does not call the addresses back.
    pub(super) fn announce_at(&self) -> Option<Micros> {
        let (began, count) = self.announcing.filter(|_| !self.router.is_handing_over())?;
        self.schedule().due(count).map(|(after, _)| began.after(Micros::from(after)))
    }

    /// The same on other interfaces.
    pub(super) fn elsewhere_at(&self) -> Option<Micros> {
        self.elsewhere.filter(|_| !self.router.is_handing_over())
    }

    pub(super) fn schedule(&self) -> &Announcing {
        if self.answers { &self.settings.answering } else { &self.settings.announcing }
    }

    /// The interface with a hardware address that an address has for itself: where it does not live on the router's.
    pub(super) fn own_mac(&self, address: &VirtualAddress) -> Option<OwnMac> {
        let VirtualRouter { interface, virtual_mac, .. } = &self.settings;
        let (below, six) = (address.device.as_ref().unwrap_or(interface), address.address.is_ipv6());
        let is_routers = virtual_mac.is_some() && below == interface && six == self.settings.is_ipv6();
        (address.has_own_mac() && !is_routers).then(|| (below.clone(), six))
    }

    /// The interface that carries an address.
    pub(super) fn index(&self, address: &VirtualAddress) -> Option<u32> {
        if let Some(own) = self.own_mac(address) {
            return self.macs.get(&own).map(|(mac, _)| mac.link.index);
        }
        match &address.device {
            Some(device) if *device != self.settings.interface => {
                self.devices.get(device).map(|(index, _)| *index)
            }
            _ => self.vmac.as_ref().map(|vmac| vmac.link).or(self.link).map(|link| link.index),
        }
    }

    /// Makes the interfaces with hardware addresses that addresses have for themselves.
    pub(super) fn find_macs(&mut self, netlink: &mut Netlink) {
        let wanted: BTreeSet<OwnMac> =
            self.settings.addresses.iter().filter_map(|address| self.own_mac(address)).collect();
        for key in wanted {
            let (below, six) = &key;
            // One that is there is taken over.
            self.macs.remove(&key);
            let made = netlink.link(below).and_then(|link| {
                let numbers = (self.settings.vrid, *six);
                let wanted = failover_vrrp::VirtualMac::default();
                let mac = VirtualMac::above(netlink, &wanted, numbers, (below, link), &mut self.before)?;
                match Announcer::open(mac.link.index, mac.link.mac) {
                    Ok(announcer) => Ok((mac, announcer)),
                    Err(error) => {
                        mac.close(netlink);
                        Err(error)
                    }
                }
            });
            match made {
                Ok(made) => drop(self.macs.insert(key, made)),
                Err(error) => {
                    tracing::error!(device = below, %error, "no virtual interface can be made above it");
                }
            }
        }
    }

    /// Looks up the other interfaces that carry addresses.
    pub(super) fn find_devices(&mut self, netlink: &mut Netlink) {
        self.find_macs(netlink);
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

    /// Another interface that carries addresses may have come, or come again as another one.
    pub(super) fn find_moved(&mut self, netlink: &mut Netlink, name: &str, link: Link) {
        let carries = self.settings.addresses.iter().any(|a| a.device.as_deref() == Some(name));
        let is_news = self.devices.get(name).is_none_or(|(index, _)| *index != link.index);
        if carries && is_news && name != self.settings.interface {
            self.find_devices(netlink);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Micros> {
        let router = self
            .router
            .poll_timeout()
            .map(|(deadline, _)| deadline)
            .into_iter()
            .chain(self.doubts_at())
            .min();
        let aside = self.passing.next_deadline();
        let announcements = [self.announce_at(), self.elsewhere_at()];
        let others = [router, self.renew_at(), aside, self.waits];
        announcements.into_iter().chain(others).flatten().min()
    }

    /// When it is to be asked whether this node is isolated, unless that has been done.
    pub(super) fn doubts_at(&self) -> Option<Micros> {
        self.router.doubts_at().filter(|at| Some(*at) != self.doubted)
    }

    /// Whether an earlier process has left all addresses here a moment ago.
    pub(super) fn remains(&self, netlink: &mut Netlink) -> bool {
        let is_there =
            |a: &VirtualAddress| self.index(a).is_some_and(|index| address::remains(netlink, index, a));
        !self.settings.addresses.is_empty() && self.settings.addresses.iter().all(is_there)
    }

    /// How the router begins to take part.
    pub(super) fn begin(&mut self, netlink: &mut Netlink) -> Input {
        if self.adopts && self.remains(netlink) {
            self.adopts = false;
            return Input::Adopt;
        }
        self.disown(netlink);
        Input::Start
    }

    /// Removes what an earlier process has left, if nobody has taken it over: routes and rules have no lifetime.
    pub(super) fn disown(&mut self, netlink: &mut Netlink) {
        if std::mem::take(&mut self.adopts) {
            self.release(netlink);
        }
    }

    /// Adds the addresses, or renews them.
    pub(super) fn hold(&mut self, netlink: &mut Netlink, now: Micros) {
        let is_new = self.renewed.is_none();
        if is_new {
            self.find_devices(netlink);
            self.held = now;
            self.let_go.clear();
            self.elsewhere =
                self.settings.elsewhere.map(|elsewhere| now.after(Micros::from(elsewhere.every)));
        }
        self.renewed = Some(now);
        let age = u32::try_from(now.0.saturating_sub(self.held.0) / 1_000_000).unwrap_or(u32::MAX);
        for address in self.settings.addresses.iter().filter(|held| !self.let_go.contains(&held.address)) {
            let Some(index) = self.index(address) else { continue };
            if let Err(error) = address::hold(netlink, index, address, age) {
                tracing::error!(address = %address.address, %error, "cannot hold the virtual address");
                self.status.trouble = Some(format!("cannot hold {}: {error}", address.address));
            }
        }
        if is_new {
            self.hold_routes(netlink);
        }
    }

    /// Adds what goes with the addresses; the kernel removes the routes from an address with it.
    pub(super) fn hold_routes(&mut self, netlink: &mut Netlink) {
        let VirtualRouter { interface, routes, rules, .. } = &self.settings;
        self.unrouted = routes::hold(netlink, interface, routes, rules);
    }

    /// Adds the routes that could not be added before.
    pub(super) fn hold_missing_routes(&mut self, netlink: &mut Netlink) {
        self.unrouted = routes::hold(netlink, &self.settings.interface, &self.unrouted, &[]);
    }

    /// Whether an interface that comes may lack something that goes with the addresses.
    pub(super) fn routes_by(&self, interface: &str) -> bool {
        let VirtualRouter { interface: usual, routes, .. } = &self.settings;
        usual == interface || routes.iter().any(|route| route.may_leave_by(interface, usual))
    }

    pub(super) fn release(&mut self, netlink: &mut Netlink) {
        self.release_routes(netlink);
        self.release_addresses(netlink);
    }

    pub(super) fn release_routes(&mut self, netlink: &mut Netlink) {
        self.unrouted.clear();
        let VirtualRouter { interface, routes, rules, .. } = &self.settings;
        routes::release(netlink, interface, routes, rules);
    }

    pub(super) fn release_addresses(&mut self, netlink: &mut Netlink) {
        self.renewed = None;
        self.announcing = None;
        self.elsewhere = None;
        for address in &self.settings.addresses {
            let Some(index) = self.index(address) else { continue };
            if let Err(error) = address::release(netlink, index, address) {
                tracing::error!(address = %address.address, %error, "cannot remove the virtual address");
            }
        }
    }

    /// Makes the announcement that is due, or has it wait for its turn.
    pub(super) fn announce(&mut self, netlink: &mut Netlink, turns: (&mut Spaced, usize)) {
        let Some((began, count)) = self.announcing else { return };
        let Some((_, repeat)) = self.schedule().due(count) else { return };
        self.announce_those(repeat, turns, |_| true);
        let VirtualRouter { spacings, interface, .. } = &self.settings;
        let is_spaced = Spacing::of(spacings, interface, self.settings.is_ipv6()).is_some();
        if !is_spaced && (1..=CORRECTIONS).contains(&count) {
            self.correct(netlink);
        }
        self.announcing = Some((began, count.saturating_add(1)));
    }

    pub(super) fn announce_those(
        &self,
        repeat: u32,
        (spaced, place): (&mut Spaced, usize),
        which: impl Fn(&VirtualAddress) -> bool,
    ) {
        let VirtualRouter { addresses, interface, spacings, .. } = &self.settings;
        let held = || addresses.iter().filter(|held| !self.let_go.contains(&held.address) && which(held));
        for address in (0..repeat).flat_map(|_| held()) {
            let interface = address.device.as_ref().unwrap_or(interface);
            if !spaced.push(spacings, interface, (place, address.address)) {
                self.send_announcement(address.address);
            }
        }
    }

    /// Announces addresses that live elsewhere: nothing else of this node is sent there.
    pub(super) fn announce_elsewhere(&mut self, now: Micros, turns: (&mut Spaced, usize)) {
        let Some(Elsewhere { every, own_macs }) = self.settings.elsewhere else { return };
        self.elsewhere = Some(now.after(Micros::from(every)));
        let own = &self.settings.interface;
        let is_elsewhere = |address: &VirtualAddress| {
            let has_own = self.own_mac(address).is_some();
            has_own || (!own_macs && address.device.as_ref().is_some_and(|device| device != own))
        };
        self.announce_those(1, turns, is_elsewhere);
    }

    /// Announces an address, unless it has gone in the meantime.
    pub(super) fn send_announcement(&self, address: IpAddr) {
        let held = self.settings.addresses.iter().find(|held| held.address == address);
        let Some(held) = held.filter(|_| self.renewed.is_some()) else { return };
        let other = held.device.as_ref().and_then(|device| self.devices.get(device));
        let announcer = match self.own_mac(held) {
            Some(own) => self.macs.get(&own).map(|(_, announcer)| announcer),
            None => other.map(|(_, announcer)| announcer).or(self.announcer.as_ref()),
        };
        if let Some(Err(error)) = announcer.map(|announcer| announcer.announce(address)) {
            tracing::debug!(%address, %error, "announcement not sent");
        }
    }

    /// Tells the neighbours that the kernel knows where the addresses live: all of them, or as many as one turn may
    /// take, and the next ones with the next announcement.
    pub(super) fn correct(&mut self, netlink: &mut Netlink) {
        let (Some(link), Some(announcer)) = (self.link, &self.announcer) else { return };
        let is_here = |address: &&VirtualAddress| address.device.is_none() && self.own_mac(address).is_none();
        let here = self.settings.addresses.iter().filter(is_here);
        let here: Vec<IpAddr> = here.map(|address| address.address).collect();
        let mut wanted = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let of_family = || here.iter().filter(|address| netlink::family(**address) == family);
            if of_family().next().is_some() {
                let neighbours = netlink.neighbours(link.index, family).unwrap_or_default();
                wanted.extend(neighbours.into_iter().flat_map(|n| of_family().map(move |a| (n, *a))));
            }
        }
        // The kernel lists them as its table has them, which grows: the order is ours.
        wanted.sort_unstable();
        let (turn, next) = turn(wanted.len(), self.corrected, MAX_CORRECTED);
        self.corrected = next;
        for (neighbour, address) in turn.filter_map(|place| wanted.get(place)) {
            // The queue may be full; what goes to all comes again.
            let _ = announcer.correct(*address, *neighbour);
        }
    }

    /// Whether nobody else has claimed to be master for a while, and somebody has now.
    pub(super) fn is_contested_anew(&mut self, now: Micros) -> bool {
        let before = self.contested.replace(now);
        before.is_none_or(|before| now > before.after(CONTEST))
    }
}
