//! What this node knows of the other members by their channel, and what it tells them there: the second witness of
//! who is master, and the way by which orders go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use failover::{Centis, Claim, Role, RouterId, SigningStatus, Signs, Source};
use replication::channel::{self, Mastership, Prepare, Prepared, Session, Standing, Word};
use replication_control::Cluster;

use super::Supervisor;
use super::clocks::Clocks;
use super::leaving::Phase;
use crate::link::{Body, Reached, Say};
use crate::status::MemberView;

/// How often the others are told what this node can do.
const STANDING_EVERY: Duration = Duration::from_millis(500);
/// What a member said of itself this long ago is no news any more.
const FRESH: Duration = Duration::from_millis(1_600);
/// Whoever has been lost for this long serves nothing any more.
const GONE: Duration = Duration::from_secs(5);
/// Virtual routers there can be: 255 of each family.
const MAX_ROUTERS: usize = 510;
/// A refused call says that a member's processes are gone if it was connected until then.
const JUST_LOST: Duration = Duration::from_secs(2);
/// How long a node that has just started waits to hear who is master, before it would take an address.
const PATIENCE: Duration = Duration::from_secs(2);

/// The other members.
pub(super) struct Members {
    others: BTreeMap<String, Other>,
    since: Instant,
    /// Whether it has been heard once how the others are.
    settled: bool,
    told: Option<Instant>,
    /// The best priority of those that could be master instead, as the agent was told.
    best: BTreeMap<RouterId, Option<u8>>,
}

struct Other {
    address: IpAddr,
    /// Nothing is known yet; or whether it is connected, or why not.
    reach: Option<Result<(), String>>,
    changed: Instant,
    /// What it said of itself, and when.
    standing: Option<(Standing, Instant)>,
    /// Its clock beside ours.
    clocks: Clocks,
    /// It has been lost for so long that it serves nothing any more.
    gone: bool,
}

/// What follows from how a member can be reached.
#[derive(Debug, PartialEq, Eq)]
struct Noted {
    is_news: bool,
    /// No process of the member at this address is left.
    dead: Option<IpAddr>,
}

impl Other {
    fn is_connected(&self) -> bool {
        self.reach == Some(Ok(()))
    }

    /// The addresses that its advertisements come from, as far as is known.
    fn sources(&self) -> Vec<IpAddr> {
        let standing = self.standing.iter().flat_map(|(standing, _)| &standing.routers);
        let others = standing.filter_map(|part| address(&part.source));
        std::iter::once(self.address).chain(others).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What is known of the signatures of its addresses.
    fn signing(&self, signing: &SigningStatus) -> Vec<Source> {
        self.sources().iter().filter_map(|source| signing.sources.get(source).copied()).collect()
    }

    fn heard(&self) -> Option<&Standing> {
        self.standing.as_ref().filter(|(_, at)| at.elapsed() < FRESH).map(|(standing, _)| standing)
    }
}

impl Members {
    pub(super) fn new(cluster: Option<&Cluster>, own: &str) -> Self {
        let now = Instant::now();
        let others = cluster.into_iter().flat_map(|cluster| cluster.others(own)).map(|member| {
            let other = Other {
                address: member.address,
                reach: None,
                changed: now,
                standing: None,
                clocks: Clocks::default(),
                gone: false,
            };
            (member.name.clone(), other)
        });
        Self { others: others.collect(), since: now, settled: false, told: None, best: BTreeMap::new() }
    }

    /// Whether it was known once of every other member how it is, or has been waited for long enough.
    pub(super) fn settled(&mut self) -> bool {
        let known = |other: &Other| match &other.reach {
            None => false,
            Some(Ok(())) => other.standing.is_some(),
            Some(Err(_)) => true,
        };
        self.settled |= self.others.values().all(known) || self.since.elapsed() > PATIENCE;
        self.settled
    }

    /// Whether it is known of anybody else how it is.
    pub(super) fn has_company(&self) -> bool {
        self.others.values().any(|other| other.is_connected() && other.heard().is_some())
    }

    /// The best priority of those that could be master instead; `None`: that is not known of all of them.
    fn best(&self, router: RouterId) -> Option<u8> {
        let mut best = 0;
        for other in self.others.values() {
            let standing = other.heard().filter(|_| other.is_connected())?;
            let mut parts = standing.routers.iter().filter(|part| part.router == on_channel(router));
            let part = parts.next().filter(|_| standing.ready);
            best = best.max(part.map_or(0, |part| u8::try_from(part.priority).unwrap_or(u8::MAX)));
        }
        Some(best)
    }

    /// What is new of those that could be master instead.
    fn news_of_others(&mut self) -> Vec<(RouterId, Option<u8>)> {
        let heard = self.others.values().filter_map(Other::heard).flat_map(|standing| &standing.routers);
        let routers: BTreeSet<RouterId> =
            heard.filter_map(|part| from_channel(part.router)).chain(self.best.keys().copied()).collect();
        let best = routers.into_iter().map(|router| (router, self.best(router)));
        let news = best.filter(|(router, best)| self.best.get(router).copied().flatten() != *best);
        let news: Vec<_> = news.take(MAX_ROUTERS).collect();
        self.best.extend(news.iter().copied());
        news
    }

    /// Who is to follow as master: the member that is asked for, or the best of those that can.
    fn successor(&self, router: RouterId, wanted: Option<&str>) -> Option<&str> {
        let fit = self.others.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name));
        let fit = fit.filter_map(|(name, other)| {
            let standing = other.heard().filter(|standing| standing.ready && other.is_connected())?;
            let part = standing.routers.iter().find(|part| part.router == on_channel(router))?;
            Some(((standing.learnt, part.priority), name.as_str()))
        });
        fit.max().map(|(_, name)| name)
    }

    /// Why a member that is asked for cannot follow.
    fn hindrance(&self, wanted: &str) -> String {
        match self.others.get(wanted) {
            None => {
                let names: Vec<&str> = self.others.keys().map(String::as_str).collect();
                format!("'{wanted}' is no other member ({})", names.join(", "))
            }
            Some(Other { reach: Some(Err(why)), .. }) => format!("'{wanted}' is not connected: {why}"),
            Some(other) if !other.is_connected() => format!("'{wanted}' is not connected"),
            Some(other) if other.heard().is_none_or(|standing| !standing.ready) => {
                format!("'{wanted}' cannot serve")
            }
            Some(_) => format!("'{wanted}' takes no part in it"),
        }
    }

    /// The process that hears the others is gone: what it said of them is no news any more, one way or the other.
    pub(super) fn forget(&mut self) {
        for other in self.others.values_mut() {
            (other.reach, other.standing, other.changed) = (None, None, Instant::now());
        }
    }

    /// Takes note of how a member can be reached; `None`: there is no such member.
    fn note(&mut self, news: &Reached) -> Option<Noted> {
        let other = self.others.get_mut(&news.member)?;
        let reach = if news.connected { Ok(()) } else { Err(news.why.clone()) };
        let was_connected = other.is_connected();
        // Another reason why it is lost is no news.
        let is_news = other.reach.replace(reach).is_none() || was_connected != news.connected;
        if is_news {
            other.changed = Instant::now();
            other.gone = false;
        }
        // It was there a moment ago: its processes have gone.
        let is_dead = news.refused && other.standing.is_some() && other.changed.elapsed() < JUST_LOST;
        if is_dead {
            other.standing = None;
        }
        Some(Noted { is_news, dead: is_dead.then_some(other.address) })
    }

    /// `signing`: how advertisements are signed, where they are.
    pub(super) fn views(&self, signing: Option<&SigningStatus>) -> Vec<MemberView> {
        let view = |(name, other): (&String, &Other)| MemberView {
            adverts: signing.map(|signing| adverts(&other.signing(signing)).to_owned()),
            adverts_refused: signing
                .map_or(0, |signing| other.signing(signing).iter().map(|source| source.refused).sum()),
            adverts_refused_last: signing.and_then(|signing| {
                let last = other.signing(signing).iter().find_map(|source| source.last);
                last.map(|why| why.word().to_owned())
            }),
            name: name.clone(),
            address: other.address.to_string(),
            state: match &other.reach {
                None => "calling".to_owned(),
                Some(Ok(())) => "connected".to_owned(),
                Some(Err(_)) => "lost".to_owned(),
            },
            why: other.reach.clone().and_then(Result::err),
            since_ms: millis(other.changed),
            heard_ms: other.standing.as_ref().map(|(_, at)| millis(*at)),
            ready: other.heard().map(|standing| standing.ready),
            learnt: other.heard().map(|standing| standing.learnt),
        };
        self.others.iter().map(view).collect()
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn on_channel(router: RouterId) -> channel::RouterId {
    channel::RouterId { vrid: router.vrid.into(), six: router.six, addresses: router.addresses }
}

/// `None`: it is no number of a virtual router.
fn from_channel(router: channel::RouterId) -> Option<RouterId> {
    Some(RouterId { vrid: u8::try_from(router.vrid).ok()?, six: router.six, addresses: router.addresses })
}

/// An address as it is written on the channel: four bytes or sixteen; `None`: it is none.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn written(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

/// How a member's advertisements are believed, in words.
fn adverts(sources: &[Source]) -> &'static str {
    if sources.iter().any(|source| source.signs) {
        "signed"
    } else if sources.iter().any(|source| source.unverified.is_some()) {
        "another key"
    } else {
        "unsigned"
    }
}

fn claim(said: &Mastership) -> Option<(RouterId, IpAddr, Claim)> {
    let source = address(&said.source)?;
    let interval = Centis::new(u16::try_from(said.interval).ok()?)?;
    let priority = u8::try_from(said.priority).ok().filter(|priority| *priority > 0)?;
    Some((from_channel(said.router)?, source, Claim { priority, interval }))
}

impl Supervisor {
    /// This node is master, and has just said so to the link.
    pub(super) fn tell_claim(&self, router: RouterId, source: IpAddr, claim: Claim) {
        self.say_to_all(Word::Master(Mastership {
            router: on_channel(router),
            priority: claim.priority.into(),
            interval: claim.interval.wire().into(),
            source: written(source),
        }));
    }

    fn say_to_all(&self, word: Word) {
        // Without a channel nobody is told: the advertisements are what counts.
        self.control.say(0, Body::Say(Say::all(word, self.clock(Instant::now()))));
    }

    fn say_to(&self, member: &str, word: Word, since: Instant) {
        self.control.say(0, Body::Say(Say::only(member, word, self.clock(since))));
    }

    /// A time by this machine's clock, in microseconds; never 0. A process that is started again goes on with it.
    fn clock(&self, time: Instant) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now = Duration::try_from(now).unwrap_or_default().saturating_sub(time.elapsed());
        u64::try_from(now.as_micros()).unwrap_or(u64::MAX).max(1)
    }

    /// Tells the others what this node can do: at once when that changed, and often enough to be believed.
    pub(super) fn tell_standing(&mut self, changed: bool) {
        let due = self.members.told.is_none_or(|told| told.elapsed() >= STANDING_EVERY);
        if !due && !changed {
            return;
        }
        let parts = self.agent.iter().flat_map(failover::Agent::status);
        let parts = parts.filter(|part| part.role != Role::Initialize).map(|part| Mastership {
            router: on_channel(part.id),
            priority: part.priority.into(),
            interval: 0,
            source: if part.own.is_unspecified() { Vec::new() } else { written(part.own) },
        });
        let signing = self.agent.as_ref().and_then(failover::Agent::signing);
        let sessions = signing.iter().flat_map(|signing| {
            self.members.others.iter().map(|(name, other)| {
                let sources = other.signing(signing);
                let session = sources.iter().map(|source| source.session).max().unwrap_or(0);
                Session { member: name.clone(), session }
            })
        });
        let signs = signing
            .as_ref()
            .map(|signing| channel::Signs { key: signing.signs.key, session: signing.signs.session });
        // Nobody follows one that goes itself.
        let ready = self.eligible.ready && matches!(self.phase, Phase::Serving);
        let standing = Standing {
            ready,
            learnt: self.eligible.learnt,
            routers: parts.collect(),
            signs,
            sessions: sessions.collect(),
        };
        self.say_to_all(Word::Standing(standing));
        self.members.told = Some(Instant::now());
    }

    /// Tells the agent of the members that could be master instead.
    pub(super) fn tell_others(&mut self) {
        let news = self.members.news_of_others();
        for (router, best) in news {
            if let Some(agent) = &self.agent {
                agent.others(router, best);
            }
        }
    }

    /// Who is to follow in every virtual router that this node is master of: nobody, where not all of them can be told.
    ///
    /// # Errors
    /// Why the member that is asked for cannot.
    pub(super) fn followers(
        &self,
        to: Option<&str>,
    ) -> Result<BTreeMap<RouterId, (String, Option<bool>)>, String> {
        let masters = self.agent.iter().flat_map(failover::Agent::status);
        let masters = masters.filter(|router| router.role == Role::Master);
        let follower = |router: RouterId| {
            self.members.successor(router, to).map(|member| (router, (member.to_owned(), None)))
        };
        let followers: Option<_> = masters.map(|router| follower(router.id)).collect();
        match (followers, to) {
            (Some(followers), _) if self.control.listens() => Ok(followers),
            (_, Some(to)) => Err(self.members.hindrance(to)),
            _ => Ok(BTreeMap::new()),
        }
    }

    pub(super) fn tell_prepare(&self, member: &str, router: RouterId, mac: [u8; 6]) {
        let prepare = Prepare { router: on_channel(router), mac: mac.to_vec() };
        self.say_to(member, Word::Prepare(prepare), Instant::now());
    }

    pub(super) fn tell_prepared(&self, router: RouterId, member: IpAddr, sends_on: bool) {
        let Some((name, _)) = self.members.others.iter().find(|(_, other)| other.address == member) else {
            return;
        };
        let prepared = Prepared { router: on_channel(router), sends_on };
        self.say_to(name, Word::Prepared(prepared), Instant::now());
    }

    pub(super) fn tell_served(&self, router: RouterId) {
        self.say_to_all(Word::Served(on_channel(router)));
    }

    /// This node leaves as master since then: who is prepared follows at once, or whoever can best.
    pub(super) fn leaves(&mut self, router: RouterId, since: Instant) {
        let prepared = self.departure.as_mut().and_then(|departure| departure.followers.remove(&router));
        let prepared = prepared.map(|(member, _)| member);
        let best = || self.members.successor(router, None).map(str::to_owned);
        let Some(member) = prepared.or_else(best) else { return };
        tracing::info!(member, vrid = router.vrid, "the addresses go to this member");
        self.say_to(&member, Word::Follow(on_channel(router)), since);
    }

    /// Who has not been heard of for long serves nothing any more.
    pub(super) fn forget_the_lost(&mut self) {
        for other in self.members.others.values_mut() {
            let lost = matches!(other.reach, Some(Err(_))) && other.changed.elapsed() > GONE;
            if lost
                && !std::mem::replace(&mut other.gone, lost)
                && let Some(agent) = &self.agent
            {
                agent.gone(other.address);
            }
        }
    }

    /// How a member can be reached has changed.
    pub(super) fn reached(&mut self, news: &Reached) {
        let Some(noted) = self.members.note(news) else { return };
        if noted.is_news {
            let why = news.why.as_str();
            tracing::info!(member = news.member, connected = news.connected, why, "members' channel");
            let what = if news.connected { "connected" } else { "lost" };
            self.journal.node(&format!("{} {what}", news.member), why);
        }
        if let (Some(address), Some(agent)) = (noted.dead, &self.agent) {
            agent.dead(address);
        }
        self.tell_standing(news.connected);
        self.weigh();
    }

    /// A member said something, then by its own clock.
    pub(super) fn heard(&mut self, member: &str, word: Word, at: u64) {
        let now = Instant::now();
        let Some(other) = self.members.others.get_mut(member) else { return };
        let address = other.address;
        let late = other.clocks.late(at, now.saturating_duration_since(self.started));
        match word {
            Word::Standing(standing) => {
                let signs = standing.signs.map(|signs| Signs { key: signs.key, session: signs.session });
                let of_us = standing.sessions.iter().find(|known| known.member == self.member);
                let outgrown = of_us.map(|known| known.session);
                let first = other.standing.replace((standing, Instant::now())).is_none();
                if let Some(agent) = &self.agent {
                    agent.signs(other.sources(), signs);
                    outgrown.into_iter().for_each(|session| agent.outgrown(session));
                }
                if first {
                    self.weigh();
                }
                self.tell_others();
            }
            Word::Master(said) => {
                if let (Some((router, source, claim)), Some(agent)) = (claim(&said), &self.agent) {
                    agent.vouched(router, address, source, claim);
                }
            }
            Word::Prepare(order) => {
                let mac = <[u8; 6]>::try_from(order.mac.as_slice()).ok();
                if let (Some(router), Some(mac), Some(agent)) = (from_channel(order.router), mac, &self.agent)
                {
                    agent.prepare(router, address, mac);
                }
            }
            Word::Prepared(answer) => {
                if let Some(router) = from_channel(answer.router) {
                    self.prepared(member, router, answer.sends_on);
                }
            }
            Word::Follow(router) => {
                if let (Some(router), Some(agent)) = (from_channel(router), &self.agent) {
                    agent.follow(router, address, now.checked_sub(late).unwrap_or(now));
                }
                self.journal.node("is to follow", &format!("{member} leaves"));
            }
            Word::Served(router) => {
                if let (Some(router), Some(agent)) = (from_channel(router), &self.agent) {
                    agent.served(router, address);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: RouterId = RouterId { vrid: 51, six: false, addresses: 1 };

    /// A member that is connected, and has said that it can serve.
    fn connected() -> Members {
        let other = Other {
            address: IpAddr::from([192, 0, 2, 12]),
            reach: None,
            changed: Instant::now(),
            standing: None,
            clocks: Clocks::default(),
            gone: false,
        };
        let mut members = Members {
            others: BTreeMap::from([("lb2".to_owned(), other)]),
            since: Instant::now(),
            settled: false,
            told: None,
            best: BTreeMap::new(),
        };
        hear(&mut members);
        members
    }

    fn hear(members: &mut Members) {
        assert_eq!(members.note(&reached(true)), Some(Noted { is_news: true, dead: None }));
        let part = Mastership { router: on_channel(ROUTER), priority: 100, interval: 0, source: Vec::new() };
        let standing = Standing { ready: true, learnt: true, routers: vec![part], ..Standing::default() };
        members.others.get_mut("lb2").unwrap().standing = Some((standing, Instant::now()));
    }

    /// Connected, or refused.
    fn reached(connected: bool) -> Reached {
        Reached { member: "lb2".to_owned(), connected, refused: !connected, why: String::new() }
    }

    fn known(members: &mut Members) -> (bool, Option<u8>, Option<&str>) {
        (members.has_company(), members.best(ROUTER), members.successor(ROUTER, None))
    }

    #[test]
    fn who_was_heard_and_refuses_is_dead() {
        let mut members = connected();
        assert_eq!(known(&mut members), (true, Some(100), Some("lb2")));
        let dead = Some(IpAddr::from([192, 0, 2, 12]));
        assert_eq!(members.note(&reached(false)), Some(Noted { is_news: true, dead }));
        assert_eq!(members.note(&reached(false)), Some(Noted { is_news: false, dead: None }), "only once");
        assert_eq!(known(&mut members), (false, None, None));
    }

    #[test]
    fn what_a_control_process_said_is_forgotten_with_it() {
        let mut members = connected();
        members.forget();
        assert_eq!(known(&mut members), (false, None, None), "nothing is known of the others");
        assert_eq!(members.views(None)[0].state, "calling");
        assert_eq!(
            members.note(&reached(false)),
            Some(Noted { is_news: true, dead: None }),
            "the next one has not heard it: its refusal is no death"
        );
        hear(&mut members);
        assert_eq!(known(&mut members), (true, Some(100), Some("lb2")));
        // One that refused before is not dead because of that.
        members.note(&reached(false));
        members.forget();
        assert!(members.others["lb2"].reach.is_none());
    }
}
