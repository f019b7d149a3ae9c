//! The state machine of one virtual router (RFC 9568 6.4), with what a pair needs beyond it: a node that
//! is not ready never becomes master, one that knows its tables only in part never preempts, and one that
//! slept through its own deadlines stops answering before it asks who is master.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::{Advertisement, Centis, Micros, Version};

/// The priority of who owns the addresses.
const OWNER: u8 = 255;

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
    /// Whether it moves with others: then it becomes master when it is told to, not when it wants to.
    pub grouped: bool,
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
    /// The router was stopped in an orderly way.
    Stopped,
    /// No advertisement came for the master-down interval.
    MasterSilent,
    /// The master said goodbye.
    MasterLeft,
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
            Self::Stopped => "stopped",
            Self::MasterSilent => "the master fell silent",
            Self::MasterLeft => "the master said goodbye",
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
    /// Leave in an orderly way.
    Stop,
    /// A condition that it follows has failed, its interface for one: leave until the next [`Input::Start`].
    Fault,
    /// Its priority is this from now on.
    Priority(u8),
    /// All routers of its group want to be master: those that are not become it.
    Promote,
    /// Another router of its group is master no longer: leave.
    Demote,
    /// Let another one become master, and hold the addresses until it is.
    HandOver,
    /// An advertisement came from this address.
    Packet(IpAddr, Advertisement),
    /// What this node can do changed.
    Eligible(Eligibility),
    /// The addresses went away because nobody renewed them in time: others have moved by now.
    Fenced,
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
    /// The next silence follows a goodbye.
    left: bool,
    preempt_at: Option<Micros>,
    preempting: bool,
    /// A master that hands over: until then somebody must have taken the addresses.
    handing_over: Option<Micros>,
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
            settings,
            role: Role::Initialize,
            eligible: Eligibility::default(),
            master_interval,
            deadline: None,
            masterless: false,
            left: false,
            preempt_at: None,
            preempting: false,
            handing_over: None,
            yielded: false,
            outputs: VecDeque::new(),
        }
    }

    /// The role now.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether it would be master now, if that were for it alone to decide.
    #[must_use]
    pub fn wants(&self) -> bool {
        self.masterless && self.eligible.ready
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
        match (input, self.role) {
            (Input::Start, Role::Initialize) => {
                self.become_backup(now, Why::Started);
                self.claim(now);
            }
            (Input::Start, Role::Backup | Role::Master) | (Input::Packet(..), Role::Initialize) => {}
            (Input::Stop, role) => self.end(role, Why::Stopped),
            (Input::Fault, role) => self.end(role, Why::Fault),
            (Input::Promote, Role::Backup) if self.masterless && self.eligible.ready => {
                self.become_master(now);
            }
            (Input::Demote, Role::Master) => {
                self.leave();
                self.become_backup(now, Why::Group);
            }
            (Input::Promote | Input::Demote, _) => {}
            (Input::Priority(priority), role) => {
                let before = std::mem::replace(&mut self.settings.priority, priority);
                if role != Role::Master || self.handing_over.is_some() || priority == before {
                    // A backup's next deadline reckons with it.
                } else if priority < before && !self.settings.preempt {
                    // Nobody preempts here, so that a node that has become worse must ask for it.
                    self.handle_input(now, Input::HandOver);
                } else {
                    self.transmit(priority);
                    self.deadline = Some(now.after(self.settings.interval.micros()));
                }
            }
            (Input::Fenced, Role::Master) => {
                self.outputs.push_back(Output::RemoveAddresses);
                self.become_backup(now, Why::Slept);
            }
            (Input::Fenced | Input::HandOver, Role::Initialize | Role::Backup) => {}
            (Input::HandOver, Role::Master) => {
                // Said once: a backup that misses it hears nothing more, and wakes all the same.
                self.transmit(0);
                let interval = self.settings.interval.micros();
                let everyone_awake = now.after(interval.times(4)).after(self.longest_skew());
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
                } else if role == Role::Backup && eligible.ready && self.masterless && !self.settings.grouped
                {
                    self.become_master(now);
                } else if role == Role::Backup {
                    self.claim(now);
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
            Role::Backup if self.eligible.ready && !self.settings.grouped => self.become_master(now),
            Role::Backup => {
                self.masterless = true;
                self.deadline = None;
            }
            Role::Master if self.handing_over.take().is_some() => {
                self.transmit(self.settings.priority);
                self.outputs.push_back(Output::Announce);
                self.deadline = Some(now.after(interval));
                self.change(Role::Master, Why::NobodyTook);
            }
            // So late that the others have taken over by now: stop answering first, then listen.
            Role::Master if now > deadline.after(interval.times(3)) => {
                self.handle_input(now, Input::Fenced);
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
        if self.settings.priority != OWNER || !self.eligible.ready || !self.eligible.learnt {
            return;
        }
        if self.settings.grouped {
            self.masterless = true;
            self.deadline = None;
        } else {
            self.become_master(now);
        }
    }

    fn end(&mut self, role: Role, why: Why) {
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
        if said.priority == 0 {
            self.left = true;
            self.deadline = Some(now.after(self.skew()));
            return;
        }
        self.left = false;
        let owner = self.settings.priority == OWNER;
        let mut may_preempt = (self.settings.preempt || owner) && self.eligible.ready && self.eligible.learnt;
        may_preempt &= said.priority < self.settings.priority && !self.yielded;
        if may_preempt {
            let at = *self.preempt_at.get_or_insert(now.after(self.settings.preempt_delay));
            if now >= at {
                // The timer keeps running: the lower master is heard and not obeyed.
                self.preempting = true;
                self.masterless = masterless;
                return;
            }
        } else {
            self.preempt_at = None;
        }
        self.preempting = false;
        self.master_interval = said.interval.micros();
        self.deadline = Some(now.after(self.master_down()));
    }

    fn hear_as_master(&mut self, now: Micros, source: IpAddr, said: &Advertisement) {
        if said.vrid != self.settings.vrid || source == self.settings.source {
            return;
        }
        let ours = (self.settings.priority, self.settings.source);
        if self.handing_over.is_some() && said.priority > 0 {
            self.outputs.push_back(Output::StepAside);
            self.master_interval = said.interval.micros();
            self.become_backup(now, Why::HandedOver);
            self.yielded = true;
        } else if self.handing_over.is_some() {
            // Two that leave: whoever stays longer finds out that nobody took over.
        } else if said.priority == 0 {
            self.transmit(self.settings.priority);
            self.deadline = Some(now.after(self.settings.interval.micros()));
        } else if (said.priority, source) > ours {
            // One last word, so that the winner knows there was a duel and announces the address again.
            self.transmit(self.settings.priority);
            self.outputs.push_back(Output::RemoveAddresses);
            self.master_interval = said.interval.micros();
            self.become_backup(now, Why::HigherMaster);
        } else {
            self.transmit(self.settings.priority);
            self.outputs.push_back(Output::Announce);
        }
    }

    fn become_master(&mut self, now: Micros) {
        let why = if self.left {
            Why::MasterLeft
        } else if self.preempting {
            Why::Preempted
        } else {
            Why::MasterSilent
        };
        self.masterless = false;
        self.left = false;
        self.preempting = false;
        self.preempt_at = None;
        self.yielded = false;
        // First the advertisement: the old master removes the address before we announce it.
        self.transmit(self.settings.priority);
        self.outputs.push_back(Output::AddAddresses);
        self.outputs.push_back(Output::Announce);
        self.deadline = Some(now.after(self.settings.interval.micros()));
        self.change(Role::Master, why);
    }

    fn become_backup(&mut self, now: Micros, why: Why) {
        self.masterless = false;
        self.left = false;
        self.preempting = false;
        self.preempt_at = None;
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

    /// Silence after which a backup moves: three intervals and the skew.
    fn master_down(&self) -> Micros {
        self.master_interval.times(3).after(self.skew())
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
