//! The state machine of one virtual router (RFC 9568 6.4), with what a pair needs beyond it: a node that
//! is not ready never becomes master, one that knows its tables only in part never preempts, and one that
//! slept through its own deadlines stops answering before it asks who is master.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::{Advertisement, Centis, Micros, Version};

/// The priority of who owns the addresses.
const OWNER: u8 = 255;
/// How long an order on the members' channel may take: whoever has given one is not heard again as master any sooner,
/// unless somebody else has been master meanwhile.
const ORDER: Micros = Micros(500_000);
/// How long what a node advertised or said before it left may be read after it.
const LATE: Micros = Micros(200_000);

/// What the file says of a virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// 1..=255.
    pub vrid: u8,
    /// 1..=255.
    pub priority: u8,
    /// VRRP's version: version 2 reckons its skew time from one second, whatever the interval (RFC 3768 6.1).
    pub version: Version,
    /// Between our advertisements.
    pub interval: Centis,
    /// Whether a higher priority takes the address from a living master.
    pub preempt: bool,
    /// How long it waits before it does.
    pub preempt_delay: Micros,
    /// The virtual addresses.
    pub addresses: Vec<IpAddr>,
    /// Our own address on the link: it breaks ties.
    pub source: IpAddr,
    /// Advertisements that must be missing before a backup moves.
    pub missing: u8,
    /// Whether a master leaves a lesser one unanswered.
    pub silent: bool,
    /// Whether it moves with others: then it becomes master when it is told to, not when it wants to.
    pub grouped: bool,
    /// Whether at most one other node can take the addresses: then nobody has to wait for a better one.
    pub pair: bool,
}

/// Master is what RFC 9568 calls Active.
///
/// ```text
///              Start                 master-down timer, ready
/// Initialize ---------> Backup ------------------------------> Master
///      ^                  |  ^                                    |
///      +------ Stop ------+  +-- higher advert, not ready, slept, +
///      |                         handed over                      |
///      +------------------------- Stop (goodbye) -----------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Stopped, or its interface is missing.
    Initialize,
    /// Listens.
    Backup,
    /// Answers for the addresses.
    Master,
}

/// Whether this node may be master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Eligibility {
    /// It can serve: listeners bound, first checks done, tables learnt or nobody to learn from.
    pub ready: bool,
    /// Its tables are learnt: only then it may preempt.
    pub learnt: bool,
}

/// Why the role changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The router was started.
    Started,
    /// An earlier process of this node was master a moment ago, and nobody has followed it.
    Resumed,
    /// The router was stopped in an orderly way.
    Stopped,
    /// No advertisement came for the master-down interval.
    MasterSilent,
    /// The master said goodbye.
    MasterLeft,
    /// The master's processes are gone.
    MasterDied,
    /// The master's priority is lower than ours.
    Preempted,
    /// A condition that the router follows has failed.
    Fault,
    /// Another router of its group has lost its office.
    Group,
    /// Another master's priority is higher, or equal with a higher address.
    HigherMaster,
    /// This node cannot serve.
    NotReady,
    /// This node slept through its own deadlines.
    Slept,
    /// This node handed the addresses over.
    HandedOver,
    /// This node wanted to hand over, and nobody took the addresses.
    NobodyTook,
}

impl Role {
    /// The word the field uses for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Initialize => "stopped",
            Self::Backup => "backup",
            Self::Master => "master",
        }
    }
}

impl Why {
    /// The reason in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Resumed => "this node was master, and nobody has followed it",
            Self::Stopped => "stopped",
            Self::MasterSilent => "the master fell silent",
            Self::MasterLeft => "the master said goodbye",
            Self::MasterDied => "the master's processes are gone",
            Self::Preempted => "a higher priority than the master's",
            Self::Group => "another router of its group moved",
            Self::Fault => "a condition it follows has failed",
            Self::HigherMaster => "another master has the higher priority",
            Self::NotReady => "this node cannot serve",
            Self::Slept => "this node slept through its deadlines",
            Self::HandedOver => "this node handed over",
            Self::NobodyTook => "nobody took over",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The interface is there: take part.
    Start,
    /// As [`Input::Start`]; and the addresses are here that an earlier process of this node had as master a moment ago.
    Adopt,
    /// Leave in an orderly way.
    Stop,
    /// A condition that it follows has failed, its interface for one: leave until the next [`Input::Start`].
    Fault,
    /// Its priority is this from now on.
    Priority(u8),
    /// The best priority of those that could be master instead, as they say on the members' channel; `None`: it is not
    /// known.
    Others(Option<u8>),
    /// All routers of its group want to be master: those that are not become it.
    Promote,
    /// Another router of its group is master no longer: leave.
    Demote,
    /// Let another one become master, and hold the addresses until it is.
    HandOver(Goodbye),
    /// An advertisement came from this address.
    Packet(IpAddr, Advertisement),
    /// What this node can do changed.
    Eligible(Eligibility),
    /// The addresses went away because nobody renewed them in time: others have moved by now.
    Fenced,
    /// The node at this address says on the members' channel that it is master of this router.
    Vouched(IpAddr, Claim),
    /// The node at this address leaves as master, and said on the members' channel at this time of this node's clock,
    /// as far as that is known, that this node is to follow it.
    Take(IpAddr, Micros),
    /// The node at this address has no process any more that could be master.
    Dead(IpAddr),
    /// Whether this node has lost sight of what it reaches as a rule: then silence is no news of others.
    Isolated(bool),
}

/// What a node says of itself on the members' channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its priority as master.
    pub priority: u8,
    /// The interval of its advertisements.
    pub interval: Centis,
}

/// How a master that hands over says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// By an advertisement of priority 0.
    Advertised,
    /// On the members' channel, to the one that is to follow; advertisements just end.
    Told,
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Transmit(Advertisement),
    /// Configure the addresses.
    AddAddresses,
    /// Remove the addresses.
    RemoveAddresses,
    /// Another master has taken over as this one asked: remove the addresses, and go on serving what still
    /// arrives for them.
    StepAside,
    /// Tell the link where the addresses live.
    Announce,
    /// Whether the master is known to live, and its advertisements do not arrive.
    Blocked(bool),
    /// The role changed.
    Became(Role, Why),
}

/// Which timer a deadline belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A backup waits for the master's next advertisement.
    MasterDown,
    /// A master's next advertisement.
    Advertise,
}

/// One virtual router.
#[derive(Debug)]
pub struct Router {
    settings: Settings,
    role: Role,
    eligible: Eligibility,
    /// Learnt from the master's advertisements; ours until then.
    master_interval: Micros,
    deadline: Option<Micros>,
    /// The master-down timer ran out while this node was not ready.
    masterless: bool,
    /// Why it would become master now.
    cause: Why,
    /// Whose advertisements were heard last.
    master: Option<IpAddr>,
    /// When they were.
    heard: Option<Micros>,
    /// Who is known by the members' channel to be master, and until when that is believed.
    vouched: Option<(IpAddr, Micros)>,
    /// Who has left, or died, and until when what it said before may still arrive.
    gone: Option<(IpAddr, Micros)>,
    /// Whether the channel alone keeps this node from becoming master.
    blocked: bool,
    /// Since and until when another one has said on the channel that it is master, as this one is.
    rival: Option<(Micros, Micros)>,
    isolated: bool,
    /// Its priority while nothing makes it worse.
    usual: u8,
    /// The best priority of those that could be master instead.
    others: Option<u8>,
    /// Addresses of an earlier process are here, until somebody else turns out to have them.
    adopts: bool,
    /// It slept as backup, and waits once more before it believes the silence.
    listens: bool,
    preempt_at: Option<Micros>,
    /// A master that hands over: until then somebody must have taken the addresses.
    handing_over: Option<Micros>,
    /// When this node became master last.
    took: Option<Micros>,
    /// This node handed over: it does not take the addresses back from a living master.
    yielded: bool,
    outputs: VecDeque<Output>,
}

impl Router {
    /// A router that has not started; not ready until told.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let master_interval = settings.interval.micros();
        Self {
            usual: settings.priority,
            others: None,
            settings,
            role: Role::Initialize,
            eligible: Eligibility::default(),
            master_interval,
            deadline: None,
            masterless: false,
            cause: Why::MasterSilent,
            master: None,
            heard: None,
            vouched: None,
            gone: None,
            blocked: false,
            rival: None,
            isolated: false,
            adopts: false,
            listens: false,
            preempt_at: None,
            handing_over: None,
            took: None,
            yielded: false,
            outputs: VecDeque::new(),
        }
    }

    /// This node's own address is this from now on: the others know it by that one with its next advertisement.
    pub fn live_at(&mut self, own: IpAddr) {
        self.settings.source = own;
    }

    /// The role now.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether it would be master now, if that were for it alone to decide.
    #[must_use]
    pub fn wants(&self) -> bool {
        self.masterless && self.can_take()
    }

    /// Whether it has said that another one is to be master, and nobody is yet.
    #[must_use]
    pub fn is_handing_over(&self) -> bool {
        self.handing_over.is_some()
    }

    /// Whose advertisements were heard last, while that is not this node itself.
    #[must_use]
    pub fn master(&self) -> Option<IpAddr> {
        self.master
    }

    /// Whether the node at this address is master, as far as this one knows, which is not it: then its orders are obeyed.
    /// Who knows of no master yet believes a member that claims to be one, and its order says no less.
    #[must_use]
    pub fn is_led_by(&self, source: IpAddr) -> bool {
        let is_vouched = self.vouched.is_some_and(|(master, _)| master == source);
        let is_heard = self.master.map_or(self.vouched.is_none(), |master| master == source);
        self.role == Role::Backup && (is_heard || is_vouched)
    }

    /// Whether an order to follow the node at this address, which was given then, is obeyed: it is the master's, and
    /// still holds. It does not where this node has followed it already, or the master has been heard again since: it
    /// was not followed, and stays.
    #[must_use]
    pub fn obeys(&self, source: IpAddr, said: Micros, now: Micros) -> bool {
        // Of whom only the channel speaks nothing is heard beside it: what is late there is refused.
        let is_heard_again = if self.master == Some(source) {
            self.heard.is_some_and(|at| at > said.after(ORDER))
        } else {
            now > said.after(ORDER)
        };
        self.is_led_by(source) && !is_heard_again && !self.has_followed(said)
    }

    /// Whether this node has become master since then.
    #[must_use]
    pub fn has_followed(&self, said: Micros) -> bool {
        self.took.is_some_and(|took| took >= said)
    }

    /// When it is to be known whether this node is isolated, if it is by then that nothing was heard of a master:
    /// between the first advertisement that is missed and the deadline.
    #[must_use]
    pub fn doubts_at(&self) -> Option<Micros> {
        let deadline = self.deadline.filter(|_| self.role == Role::Backup)?;
        Some(Micros(deadline.0.saturating_sub(self.master_interval.times(2).0)))
    }

    /// What to do next; call until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Router::handle_timeout`], and for which timer.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Micros, Timer)> {
        let timer = if self.role == Role::Master { Timer::Advertise } else { Timer::MasterDown };
        self.deadline.map(|deadline| (deadline, timer))
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Micros, input: Input) {
        // Whatever it is: who slept does not answer it as the master it was.
        if self.has_slept(now) && self.role == Role::Master && !matches!(input, Input::Fenced) {
            self.handle_input(now, Input::Fenced);
        }
        match (input, self.role) {
            (Input::Start, Role::Initialize) => {
                self.become_backup(now, Why::Started);
                self.claim(now);
            }
            (Input::Adopt, Role::Initialize) => {
                self.become_backup(now, Why::Started);
                self.adopts = true;
                self.cause = Why::Resumed;
                // Who has followed says so within an interval; that the last master is gone need not be waited for.
                let interval = self.master_interval.0;
                self.deadline = Some(now.after(Micros(interval + interval / 2)));
                self.claim(now);
            }
            (Input::Start | Input::Adopt, Role::Backup | Role::Master)
            | (Input::Packet(..), Role::Initialize) => {}
            (Input::Stop, role) => self.end(role, Why::Stopped),
            (Input::Fault, role) => self.end(role, Why::Fault),
            (Input::Promote, Role::Backup) if self.wants() => self.become_master(now),
            (Input::Demote, Role::Master) => {
                self.leave();
                self.become_backup(now, Why::Group);
            }
            (Input::Promote | Input::Demote, _) => {}
            (Input::Priority(priority), role) => {
                let before = std::mem::replace(&mut self.settings.priority, priority);
                if role != Role::Master || self.handing_over.is_some() || priority == before {
                    // A backup's next deadline reckons with it.
                } else if priority < before
                    && !self.settings.preempt
                    && self.others.is_none_or(|best| best > priority)
                {
                    // Nobody preempts here, so that a node that has become worse must ask for it, unless the others
                    // are no better.
                    self.handle_input(now, Input::HandOver(Goodbye::Advertised));
                } else {
                    self.transmit(priority);
                    self.deadline = Some(now.after(self.settings.interval.micros()));
                }
            }
            (Input::Others(best), role) => {
                let is_news = std::mem::replace(&mut self.others, best) != best;
                let priority = self.settings.priority;
                let is_worse = priority < self.usual && best.is_some_and(|best| best > priority);
                let stays = self.settings.preempt || self.handing_over.is_some();
                // Once for each change: whoever is asked may have reasons not to take over.
                if role == Role::Master && is_news && is_worse && !stays {
                    self.handle_input(now, Input::HandOver(Goodbye::Advertised));
                }
            }
            (Input::Fenced, Role::Master) => {
                self.outputs.push_back(Output::RemoveAddresses);
                self.become_backup(now, Why::Slept);
            }
            (Input::Fenced | Input::HandOver(_), Role::Initialize | Role::Backup) => {}
            (Input::HandOver(goodbye), Role::Master) => {
                // Said once: a backup that misses it hears nothing more, and wakes all the same.
                if goodbye == Goodbye::Advertised {
                    self.transmit(0);
                }
                let interval = self.settings.interval.micros();
                let awake = now.after(self.patience().after(interval)).after(self.longest_skew());
                let everyone_awake =
                    if goodbye == Goodbye::Told { awake.max(now.after(ORDER)) } else { awake };
                self.handing_over = Some(everyone_awake);
                self.deadline = Some(everyone_awake);
            }
            (Input::Packet(source, said), Role::Backup) => self.hear_as_backup(now, source, &said),
            (Input::Packet(source, said), Role::Master) => self.hear_as_master(now, source, &said),
            (Input::Eligible(eligible), role) => {
                self.eligible = eligible;
                if role == Role::Master && !eligible.ready {
                    self.leave();
                    self.become_backup(now, Why::NotReady);
                } else if role == Role::Backup && self.wants() && !self.settings.grouped {
                    self.become_master(now);
                } else if role == Role::Backup {
                    self.claim(now);
                }
            }
            (Input::Vouched(source, _), _) if source == self.settings.source => {}
            (Input::Vouched(source, claim), Role::Backup) => self.believe(now, source, claim),
            (Input::Vouched(source, claim), Role::Master) => self.meet_rival(now, source, claim),
            (Input::Take(master, said), Role::Backup)
                if self.eligible.ready && self.obeys(master, said, now) =>
            {
                self.cause = Why::MasterLeft;
                self.vouched = None;
                // If nobody follows it, it is master again no sooner than that.
                self.gone = Some((master, said.after(self.master_down().max(LATE))));
                self.succeed(now);
            }
            (Input::Dead(source), Role::Backup) => self.mourn(now, source),
            (Input::Take(..) | Input::Dead(_), _) | (Input::Vouched(..), Role::Initialize) => {}
            (Input::Isolated(isolated), role) => {
                let before = std::mem::replace(&mut self.isolated, isolated);
                if before && !isolated && role == Role::Backup && self.masterless {
                    // What has happened meanwhile is not known: a master is heard within its interval.
                    self.masterless = false;
                    self.deadline = Some(now.after(self.master_interval).after(self.skew()));
                }
            }
        }
    }

    /// The deadline has passed; waking early is harmless.
    pub fn handle_timeout(&mut self, now: Micros) {
        let Some(deadline) = self.deadline.filter(|d| *d <= now) else { return };
        let interval = self.settings.interval.micros();
        match self.role {
            Role::Initialize => {}
            // What was said meanwhile may not have been heard yet.
            Role::Backup if self.has_slept(now) && !std::mem::replace(&mut self.listens, true) => {
                self.deadline = Some(now.after(self.master_interval).after(self.skew()));
            }
            Role::Backup => match self.vouched.filter(|(_, until)| *until > now) {
                Some((_, until)) => {
                    self.deadline = Some(until);
                    self.block(true);
                }
                None => self.succeed(now),
            },
            // So late that the others have taken over by now: stop answering first, then listen.
            Role::Master if self.has_slept(now) => self.handle_input(now, Input::Fenced),
            Role::Master if self.handing_over.take().is_some() => {
                self.transmit(self.settings.priority);
                self.outputs.push_back(Output::Announce);
                self.deadline = Some(now.after(interval));
                self.change(Role::Master, Why::NobodyTook);
            }
            Role::Master => {
                self.transmit(self.settings.priority);
                let next = deadline.after(interval);
                self.deadline = Some(if next > now { next } else { now.after(interval) });
            }
        }
    }

    /// Who owns the addresses (RFC 9568 6.4.1) waits for nobody, once it can serve as well as the others.
    fn claim(&mut self, now: Micros) {
        if self.settings.priority != OWNER || !self.eligible.ready || !self.eligible.learnt || self.yielded {
            return;
        }
        self.succeed(now);
    }

    /// Nobody is master, or this node is to be: it becomes it, if it can and need not wait for others of its group.
    fn succeed(&mut self, now: Micros) {
        if self.can_take() && !self.settings.grouped {
            self.become_master(now);
        } else {
            self.masterless = true;
            self.deadline = None;
        }
    }

    fn can_take(&self) -> bool {
        // Whoever says goodbye, or refuses a call, is within reach.
        let reached = matches!(self.cause, Why::MasterLeft | Why::MasterDied);
        self.eligible.ready && (reached || !self.isolated)
    }

    fn block(&mut self, blocked: bool) {
        if std::mem::replace(&mut self.blocked, blocked) != blocked {
            self.outputs.push_back(Output::Blocked(blocked));
        }
    }

    /// The channel says who is master: silence alone is not its end. Advertisements decide while they arrive.
    fn believe(&mut self, now: Micros, source: IpAddr, claim: Claim) {
        let interval = claim.interval.micros();
        // Until an advertisement is missed, a word may be about the last one, and late: it delays nobody.
        let overdue = |heard: Micros| now > heard.after(interval).after(Micros(interval.0 / 2));
        // A lesser master is heard, and not obeyed.
        if self.is_late(now, source) || self.cause == Why::Preempted || !self.heard.is_none_or(overdue) {
            return;
        }
        self.give_up_adoption();
        self.listens = false;
        let until = now.after(interval.times(3));
        self.vouched = Some((source, until));
        if self.blocked || self.masterless {
            self.masterless = false;
            self.cause = Why::MasterSilent;
            self.deadline = Some(until);
            self.block(true);
        }
    }

    /// Whether a word on the channel may have been said before its sender left.
    fn is_late(&self, now: Micros, source: IpAddr) -> bool {
        self.gone.is_some_and(|(gone, until)| gone == source && now < until)
    }

    /// The node at this address is master no longer; words of its may be on their way.
    fn gone(&mut self, now: Micros, source: IpAddr) {
        self.gone = Some((source, now.after(self.master_down().max(LATE))));
    }

    /// Two masters that do not hear each other's advertisements: the lesser one leaves. What was said before the
    /// other one left may arrive after it, so that once is not enough.
    fn meet_rival(&mut self, now: Micros, source: IpAddr, claim: Claim) {
        let interval = claim.interval.micros();
        let until = now.after(interval.times(3));
        if self.handing_over.is_some() {
            self.yield_to(now, claim.interval.micros());
            self.vouched = Some((source, until));
            return;
        }
        let lesser = (claim.priority, source) <= (self.settings.priority, self.settings.source);
        if lesser || self.is_late(now, source) {
            return;
        }
        let since = self.rival.filter(|(_, until)| now <= *until).map_or(now, |(since, _)| since);
        self.rival = Some((since, until));
        if now >= since.after(interval) {
            self.transmit(self.settings.priority);
            self.outputs.push_back(Output::RemoveAddresses);
            self.learn(interval);
            self.become_backup(now, Why::HigherMaster);
            self.vouched = Some((source, until));
        }
    }

    /// The master's processes are gone; its kernel says so.
    fn mourn(&mut self, now: Micros, source: IpAddr) {
        let is_vouched = self.vouched.is_some_and(|(master, _)| master == source);
        if self.master != Some(source) && !is_vouched {
            return;
        }
        self.cause = Why::MasterDied;
        self.vouched = None;
        self.gone(now, source);
        // A firewall that has been closed refuses, too: who lives is heard once more before that is believed.
        let interval = self.master_interval;
        let heard = self.heard.map(|heard| heard.after(interval).after(Micros(interval.0 / 4)));
        let now = heard.map_or(now, |due| due.max(now));
        self.deadline = Some(if self.settings.pair { now } else { now.after(self.skew()) });
    }

    /// Somebody else has the addresses, or this node takes no part.
    fn give_up_adoption(&mut self) {
        if std::mem::take(&mut self.adopts) {
            self.outputs.push_back(Output::RemoveAddresses);
        }
    }

    fn end(&mut self, role: Role, why: Why) {
        self.give_up_adoption();
        if role == Role::Master {
            self.leave();
            self.handing_over = None;
        }
        if role != Role::Initialize {
            self.deadline = None;
            self.change(Role::Initialize, why);
        }
    }

    fn hear_as_backup(&mut self, now: Micros, source: IpAddr, said: &Advertisement) {
        if said.vrid != self.settings.vrid || source == self.settings.source {
            return;
        }
        let masterless = std::mem::take(&mut self.masterless);
        self.give_up_adoption();
        self.master = Some(source);
        self.heard = Some(now);
        self.listens = false;
        self.vouched = None;
        self.block(false);
        if said.priority == 0 {
            self.cause = Why::MasterLeft;
            self.gone(now, source);
            self.deadline = Some(now.after(self.skew()));
            return;
        }
        self.cause = Why::MasterSilent;
        let owner = self.settings.priority == OWNER;
        let mut may_preempt = (self.settings.preempt || owner) && self.eligible.ready && self.eligible.learnt;
        may_preempt &= said.priority < self.settings.priority && !self.yielded;
        if may_preempt {
            let at = *self.preempt_at.get_or_insert(now.after(self.settings.preempt_delay));
            if now >= at {
                // The timer keeps running: the lower master is heard and not obeyed.
                self.cause = Why::Preempted;
                self.masterless = masterless;
                return;
            }
        } else {
            self.preempt_at = None;
        }
        self.learn(said.interval.micros());
        self.deadline = Some(now.after(self.master_down()));
    }

    fn hear_as_master(&mut self, now: Micros, source: IpAddr, said: &Advertisement) {
        if said.vrid != self.settings.vrid || source == self.settings.source {
            return;
        }
        let ours = (self.settings.priority, self.settings.source);
        if self.handing_over.is_some() && said.priority > 0 {
            self.yield_to(now, said.interval.micros());
            self.master = Some(source);
        } else if self.handing_over.is_some() {
            // Two that leave: whoever stays longer finds out that nobody took over.
        } else if said.priority == 0 {
            self.transmit(self.settings.priority);
            self.deadline = Some(now.after(self.settings.interval.micros()));
        } else if (said.priority, source) > ours && self.is_late(now, source) {
            // It was sent before this one was told to follow, or the old master does not know yet that it was
            // followed: it hears so with the next advertisement. An answer to each would be answered in turn.
        } else if (said.priority, source) > ours {
            // One last word, so that the winner knows there was a duel and announces the address again.
            self.transmit(self.settings.priority);
            self.outputs.push_back(Output::RemoveAddresses);
            self.learn(said.interval.micros());
            self.become_backup(now, Why::HigherMaster);
            self.master = Some(source);
        } else {
            if !self.settings.silent {
                self.transmit(self.settings.priority);
            }
            self.outputs.push_back(Output::Announce);
        }
    }

    /// Another one has taken the addresses, as this one asked.
    fn yield_to(&mut self, now: Micros, interval: Micros) {
        self.outputs.push_back(Output::StepAside);
        self.learn(interval);
        self.become_backup(now, Why::HandedOver);
        self.yielded = true;
    }

    fn become_master(&mut self, now: Micros) {
        let why = self.cause;
        self.forget();
        self.took = Some(now);
        self.yielded = false;
        // First the advertisement: the old master removes the address before we announce it.
        self.transmit(self.settings.priority);
        self.outputs.push_back(Output::AddAddresses);
        self.outputs.push_back(Output::Announce);
        self.deadline = Some(now.after(self.settings.interval.micros()));
        self.change(Role::Master, why);
    }

    /// Nothing is known yet of who else is master.
    fn forget(&mut self) {
        self.masterless = false;
        self.cause = Why::MasterSilent;
        self.master = None;
        self.heard = None;
        self.vouched = None;
        self.rival = None;
        self.adopts = false;
        self.listens = false;
        self.preempt_at = None;
        self.block(false);
    }

    fn become_backup(&mut self, now: Micros, why: Why) {
        self.forget();
        self.handing_over = None;
        self.deadline = Some(now.after(self.master_down()));
        self.change(Role::Backup, why);
    }

    /// The higher the priority, the sooner a backup wakes.
    fn skew(&self) -> Micros {
        match self.settings.version {
            Version::V2 => Micros::SECOND.skew(self.settings.priority),
            Version::V3 => self.master_interval.skew(self.settings.priority),
        }
    }

    /// The skew of the least willing backup.
    fn longest_skew(&self) -> Micros {
        match self.settings.version {
            Version::V2 => Micros::SECOND,
            Version::V3 => self.settings.interval.micros(),
        }
    }

    /// Silence after which a backup moves: three intervals, unless the file says otherwise, and the skew.
    fn master_down(&self) -> Micros {
        self.master_interval.times(u64::from(self.settings.missing)).after(self.skew())
    }

    /// Whether this node did not look at its clock for so long that nothing is true any more of what it knew.
    fn has_slept(&self, now: Micros) -> bool {
        self.deadline.is_some_and(|deadline| now > deadline.after(self.patience()))
    }

    /// Silence of ours after which the others have moved.
    fn patience(&self) -> Micros {
        self.settings.interval.micros().times(u64::from(self.settings.missing))
    }

    /// Takes a master's interval for ours. Version 2 has all nodes agree: where they do not, who waits longer is not
    /// mistaken for a dead one.
    fn learn(&mut self, interval: Micros) {
        self.master_interval = match self.settings.version {
            Version::V2 => interval.max(self.settings.interval.micros()),
            Version::V3 => interval,
        };
    }

    fn leave(&mut self) {
        self.outputs.push_back(Output::RemoveAddresses);
        self.transmit(0);
        self.master_interval = self.settings.interval.micros();
    }

    fn change(&mut self, role: Role, why: Why) {
        self.role = role;
        self.outputs.push_back(Output::Became(role, why));
    }

    fn transmit(&mut self, priority: u8) {
        self.outputs.push_back(Output::Transmit(Advertisement {
            vrid: self.settings.vrid,
            priority,
            interval: self.settings.interval,
            addresses: self.settings.addresses.clone(),
        }));
    }
}
