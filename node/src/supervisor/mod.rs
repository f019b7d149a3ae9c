//! The process that owns the addresses, the listeners and the children, and outlives their faults. It
//! parses no byte that came from a client. Everything that happens is an event of one queue.

mod backends;
mod children;
mod clocks;
mod command_socket;
mod leaving;
mod liveness;
mod members;
mod news;
mod reload;
mod status;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use failover::{After, Agent, Eligibility, Role, RouterId, Told, What};
use prost::Message;
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;

use crate::behind::LogBehind;
use crate::config::{Everything, Files, Texts};
use crate::dump::{self, Dump};
use crate::journal::Journal;
use crate::link::{Body, Given, Kind, Nothing, Received, Start as Beginning, seal, unseal};
use crate::sockets;
use crate::status::{NodeStatus, WorkerView};
use crate::worker::Parts;
use backends::Backends;
use children::{Child, ChildKind, Ear};
use leaving::{Departure, Handover, Phase};
use members::Members;
use news::Lost;
use reload::{Draining, FilesRead, Inheritance, Queue, Reload};

pub(crate) use command_socket::NAME as SOCKET_NAME;
pub(crate) use reload::Done;
pub(crate) use tell::Tell;

/// How often liveness is looked at.
const TICK: Duration = Duration::from_millis(50);
/// Longest time a question about the status may take.
const ANSWER: Duration = Duration::from_millis(400);
/// How old the virtual routers' status may be.
const PUBLISHED: Duration = Duration::from_secs(1);
/// Events that may wait; a source that finds the queue full waits.
const MAX_EVENTS: usize = 1_024;

/// Something that happened.
pub(crate) enum Event {
    Signal(Stopping, Ended),
    /// The files are to be read anew; who asked, by a signal or by command, hears how that went.
    Reload {
        force: bool,
        asker: Option<oneshot::Sender<Done>>,
    },
    /// They have been.
    FilesRead(Box<FilesRead>),
    /// A child said something; the number is that of its life.
    Said(u64, std::io::Result<Received>),
    Ended(u64),
    /// What the agent says.
    Told(Told),
    /// The other members are to take what this node is master of, or a certain one is; who asked hears how that
    /// went.
    HandOver(Option<String>, oneshot::Sender<Done>),
    /// Maintenance begins or ends; who asked hears how that went.
    Maintenance(bool, oneshot::Sender<Done>),
    Asked(oneshot::Sender<NodeStatus>),
    /// The virtual routers as keepalived dumps them, for who asked.
    Dump(Dump, oneshot::Sender<String>),
    /// The same into a file of this folder.
    Write(Dump, PathBuf),
    Tick,
}

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopping {
    /// At once.
    Now,
    /// Once the addresses have moved and what is under way is done, or some seconds have passed.
    Orderly,
    /// Once the addresses have moved and the last session has ended.
    Soft,
}

/// How a node is started.
pub(crate) struct Start {
    /// What a reload reads again.
    pub(crate) files: Files,
    /// What was read of them.
    pub(crate) loaded: (Everything, Texts),
    pub(crate) member: Option<String>,
    /// Where the sockets of this node live, and what it keeps across restarts; without them nobody can ask
    /// or order it, as nobody could ask HAProxy.
    pub(crate) folders: Option<(PathBuf, PathBuf)>,
    /// Instead of the file's.
    pub(crate) pidfile: Option<PathBuf>,
    pub(crate) max_connections: Option<u64>,
    pub(crate) no_virtual_addresses: bool,
    /// Where keepalived's dumps go that its signals ask for; without it they mean what they mean to HAProxy.
    pub(crate) keepalived_dumps: Option<PathBuf>,
    /// Who is told once the worker serves.
    pub(crate) tell: Tell,
}

/// Runs this node until it is told to stop.
pub(crate) fn run(options: Start) -> Result<Ended, String> {
    let (everything, texts) = options.loaded;
    let member = everything.member(options.member.as_deref());
    everything.check_member(&member)?;
    let identity = crate::worker::identity(&everything, &member)?;
    drop(identity);
    crate::worker::privileges::check(&everything.proxy.global)?;
    let _lock = options.folders.as_ref().map(|(_, state)| claim(state)).transpose()?;
    let cores = everything.cores();
    // First: its folder is where the file's stats socket lives, too.
    let command_socket = options.folders.as_ref().map(|(run, _)| command_socket::open(run)).transpose()?;
    let parts = sockets::open(&everything, &member, cores, None)?;
    if everything.proxy.global.daemon && !crate::background::is_here() {
        tracing::info!("'daemon' has no effect here: this node stays in the foreground");
    }
    let pidfile = options.pidfile.or_else(|| everything.proxy.global.pidfile.clone().map(PathBuf::from));
    if let Some(file) = &pidfile {
        std::fs::write(file, format!("{}\n", std::process::id()))
            .map_err(|e| format!("cannot write '{}' : {e}", file.display()))?;
    }
    keep_few_capabilities().map_err(|e| format!("cannot drop capabilities: {e}"))?;
    let _log = LogBehind::begin();
    let journal = Journal::new(options.folders.as_ref().map(|(_, state)| state.as_path()));
    let texts = seal("configuration", &texts.encode_to_vec()).map_err(|e| format!("no memory file: {e}"))?;
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(LocalOptions::default()).map_err(|e| e.to_string())?;
    let (events, queue) = mpsc::channel(MAX_EVENTS);
    runtime.block_on(async move {
        let (listener, told, lost) = news::open();
        let agent = match everything.failover(&member).filter(|_| !options.no_virtual_addresses) {
            Some(config) => Some(
                Agent::start(config, listener)
                    .map_err(|e| format!("the virtual address cannot be served: {e}"))?,
            ),
            None => None,
        };
        listen_to_signals(&events, options.keepalived_dumps.as_deref()).map_err(|e| e.to_string())?;
        if let Some(socket) = command_socket {
            spawn_local(command_socket::serve(socket, events.clone()));
        }
        spawn_local(forward(told, events.clone()));
        spawn_local(tick(events.clone()));
        let members = Members::new(everything.cluster.as_ref(), &member);
        let supervisor = Supervisor {
            members,
            files: options.files,
            max_connections: options.max_connections,
            tell: options.tell,
            runs: Runs { everything, texts, parts },
            member,
            cores,
            agent,
            after: None,
            lost,
            recounts: None,
            backends: Backends::default(),
            mastered: BTreeSet::new(),
            serving: BTreeSet::new(),
            departure: None,
            eligible: Eligibility::default(),
            worker: Child::new(ChildKind::Worker),
            control: Child::new(ChildKind::Control),
            reload: None,
            queue: Queue::default(),
            draining: Vec::new(),
            lives: 0,
            questions: BTreeMap::new(),
            next_question: 1,
            started: Instant::now(),
            ticked: Instant::now(),
            phase: Phase::Serving,
            ended: Ended::Asked,
            handover: None,
            resting: false,
            journal,
            events,
        };
        supervisor.serve(queue).await
    })
}

/// Why a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was asked to, or had finished.
    Asked,
    /// It was interrupted, or told to end, by a signal: what HAProxy's master says by its exit code.
    Signal(u8),
}

/// What the agent and the start of children need, as far as this process has it; the rest goes.
fn keep_few_capabilities() -> std::io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
    let needed = CapabilitySet::NET_ADMIN
        | CapabilitySet::NET_RAW
        | CapabilitySet::NET_BIND_SERVICE
        | CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::SYS_CHROOT
        | CapabilitySet::SYS_NICE
        // A reload reads and opens what the file names, as the start did.
        | CapabilitySet::DAC_OVERRIDE
        // And a stats socket is given to the user whom the file names.
        | CapabilitySet::CHOWN
        | CapabilitySet::KILL;
    let kept = capabilities(None)?.permitted & needed;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(Into::into)
}

/// Keeps a second node from running on the same state.
fn claim(folder: &Path) -> Result<OwnedFd, String> {
    let say = |e: &dyn std::fmt::Display| format!("cannot use '{}' : {e}", folder.display());
    std::fs::create_dir_all(folder).map_err(|e| say(&e))?;
    let lock = std::fs::File::create(folder.join("lock")).map_err(|e| say(&e))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| say(&"another node runs with it"))?;
    Ok(lock.into())
}

fn listen_to_signals(events: &mpsc::Sender<Event>, dumps: Option<&Path>) -> std::io::Result<()> {
    const INTERRUPT: u8 = 2;
    const TERMINATE: u8 = 15;
    let mut signals = vec![
        (SignalKind::terminate(), Some((Stopping::Orderly, Ended::Signal(TERMINATE)))),
        (SignalKind::interrupt(), Some((Stopping::Now, Ended::Signal(INTERRUPT)))),
        (SignalKind::hangup(), None),
    ];
    if let Some(folder) = dumps {
        answer_as_keepalived(events, folder)?;
    } else {
        signals.push((SignalKind::user_defined1(), Some((Stopping::Soft, Ended::Asked))));
        signals.push((SignalKind::user_defined2(), None));
    }
    for (kind, stopping) in signals {
        let mut source = signal(kind)?;
        let events = events.clone();
        spawn_local(async move {
            while source.recv().await.is_some() {
                let event = stopping.map_or(Event::Reload { force: false, asker: None }, |(how, ended)| {
                    Event::Signal(how, ended)
                });
                if events.send(event).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

/// Has keepalived's signals write keepalived's dumps.
fn answer_as_keepalived(events: &mpsc::Sender<Event>, folder: &Path) -> std::io::Result<()> {
    for (dump, asked) in Dump::SIGNALS {
        let mut source = signal(match asked {
            dump::Signal::User1 => SignalKind::user_defined1(),
            dump::Signal::User2 => SignalKind::user_defined2(),
            dump::Signal::RealTime(after) => SignalKind::from_raw(libc::SIGRTMIN() + after),
        })?;
        let (events, folder) = (events.clone(), folder.to_path_buf());
        spawn_local(async move {
            while source.recv().await.is_some() {
                if events.send(Event::Write(dump, folder.clone())).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

async fn forward(mut told: mpsc::Receiver<Told>, events: mpsc::Sender<Event>) {
    while let Some(told) = told.recv().await {
        if events.send(Event::Told(told)).await.is_err() {
            return;
        }
    }
}

async fn tick(events: mpsc::Sender<Event>) {
    loop {
        tokio::time::sleep(TICK).await;
        if events.send(Event::Tick).await.is_err() {
            return;
        }
    }
}

/// A question that waits for the worker's answer.
struct Question {
    reply: oneshot::Sender<NodeStatus>,
    deadline: Instant,
}

/// What the worker runs: the configuration, its texts for the children, and its sockets.
struct Runs {
    everything: Everything,
    texts: OwnedFd,
    parts: Parts,
}

struct Supervisor {
    files: Files,
    max_connections: Option<u64>,
    tell: Tell,
    runs: Runs,
    member: String,
    members: Members,
    cores: usize,
    agent: Option<Agent>,
    /// What is run when the children have ended, too.
    after: Option<After>,
    /// Whether something that the agent said was lost on its way.
    lost: Lost,
    /// When it is looked up how the virtual routers are, because something was.
    recounts: Option<Instant>,
    /// What it knows of backends.
    backends: Backends,
    /// Virtual routers this node is master of.
    mastered: BTreeSet<String>,
    /// Those whose addresses are elsewhere, while this node serves what has begun here.
    serving: BTreeSet<RouterId>,
    /// Addresses that are on their way to other members.
    departure: Option<Departure>,
    eligible: Eligibility,
    worker: Child,
    control: Child,
    /// The change to another configuration, while it is under way.
    reload: Option<Reload>,
    /// Reloads that are asked for, and how the last one went.
    queue: Queue,
    /// Workers that finish what they have begun.
    draining: Vec<Draining>,
    /// Lives that children have had.
    lives: u64,
    questions: BTreeMap<u64, Question>,
    next_question: u64,
    started: Instant,
    ticked: Instant,
    phase: Phase,
    ended: Ended,
    handover: Option<Handover>,
    /// Maintenance: this node takes no address.
    resting: bool,
    journal: Journal,
    events: mpsc::Sender<Event>,
}

impl Supervisor {
    async fn serve(mut self, mut queue: mpsc::Receiver<Event>) -> Result<Ended, String> {
        tracing::info!(member = self.member, cores = self.cores, "node starts");
        self.journal.node("starts", "");
        self.start_children();
        while let Some(event) = queue.recv().await {
            match event {
                Event::Signal(how, ended) => {
                    self.ended = ended;
                    self.journal.node("stops", "a signal");
                    self.tell.stopping();
                    self.stop(how);
                }
                Event::Reload { force, asker } => self.reload(force, asker),
                Event::FilesRead(read) => self.files_read(*read),
                Event::Said(life, said) => self.hear(life, said),
                Event::Ended(life) => self.ended(life),
                Event::Told(told) => self.told(told),
                Event::HandOver(to, asker) => {
                    self.journal.node("hands over", "an operator's order");
                    self.hand_over_by_order(to, asker, false);
                }
                Event::Maintenance(on, asker) => {
                    let what = if on { "maintenance begins" } else { "maintenance ends" };
                    self.journal.node(what, "an operator's order");
                    self.maintenance(on, asker);
                }
                Event::Asked(reply) => self.asked(reply),
                Event::Dump(dump, reply) => {
                    // Who hangs up early gets no answer.
                    let _ = reply.send(dump.text(&self.routers()));
                }
                Event::Write(dump, folder) => {
                    if let Err(error) = dump.write(&self.routers(), &folder) {
                        tracing::error!(dump = dump.word(), folder = %folder.display(), %error, "cannot be written");
                    }
                }
                Event::Tick => self.tick(),
            }
            if matches!(self.phase, Phase::Ending(_)) && self.children().iter().all(|c| !c.is_running()) {
                break;
            }
        }
        tracing::info!("node ends");
        Ok(self.ended)
    }

    /// The virtual routers as they are now.
    fn routers(&self) -> Vec<failover::RouterStatus> {
        self.agent.iter().flat_map(Agent::status).collect()
    }

    /// The agent said something.
    fn told(&mut self, told: Told) {
        match told {
            Told::Claims(router, source, claim) => self.tell_claim(router, source, claim),
            Told::Leaves(router, since) => self.leaves(router, since),
            Told::Prepared(router, member, sends_on) => self.tell_prepared(router, member, sends_on),
            Told::Serves(router) => {
                self.serving.insert(router);
                self.tell_role();
            }
            Told::Served(router, ended) => self.served(router, ended),
            Told::Changed(change) => {
                self.journal.change(&change);
                if let What::Priority(_) = change.what {
                    self.tell_standing(true);
                }
                let What::Role(role, why) = change.what else { return };
                if role == Role::Master {
                    self.mastered.insert(change.router.clone());
                } else {
                    self.mastered.remove(&change.router);
                }
                self.tell_role();
                self.role_changed(&change.router, role, why);
            }
        }
    }

    /// What the agent has said is taken from how the virtual routers are, once something of it was lost: when the status
    /// is newer than the loss.
    fn recount(&mut self, now: Instant) {
        if self.lost.take() {
            tracing::warn!("the agent has said more than this process could hear");
            self.recounts = Some(now + PUBLISHED);
        }
        if self.recounts.take_if(|at| *at <= now).is_none() {
            return;
        }
        let routers = self.routers();
        let masters = routers.iter().filter(|router| router.role == Role::Master);
        self.mastered = masters.map(|router| router.name.clone()).collect();
        self.serving = routers.iter().filter(|router| router.serves).map(|router| router.id).collect();
        self.tell_role();
        self.go_on_stopping();
    }

    fn children(&mut self) -> Vec<&mut Child> {
        let mut all = vec![&mut self.worker, &mut self.control];
        all.extend(self.reload.as_mut().map(|reload| &mut reload.child));
        all.extend(self.draining.iter_mut().map(|draining| &mut draining.child));
        all
    }

    /// What a child is told first. `hold`: another worker carries the traffic until it is told otherwise.
    fn beginning(&self, hold: bool) -> Beginning {
        let (member, cores) = (self.member.clone(), self.cores as u64);
        Beginning { member, cores, hold, max_connections: self.max_connections }
    }

    /// Starts whichever child is not there and whose time has come.
    fn start_children(&mut self) {
        if matches!(self.phase, Phase::Ending(_)) {
            return;
        }
        let beginning = self.beginning(false);
        for child in [&mut self.worker, &mut self.control] {
            if !child.is_due() {
                continue;
            }
            self.lives += 1;
            match child.start(self.lives, &self.events) {
                Ok(ear) => hand_over(child.kind(), ear, beginning.clone(), &self.runs, None),
                Err(error) => tracing::error!(process = child.kind().word(), %error, "cannot start"),
            }
        }
    }

    fn hear(&mut self, life: u64, said: std::io::Result<Received>) {
        let Some(child) = self.children().into_iter().find(|c| c.lives(life)) else { return };
        let (kind, process) = (child.kind(), child.kind().word());
        match said {
            Ok(Some((word, mut descriptors))) => match word.body {
                // Who reads clients' bytes does not speak for the members, nor the other way round.
                Some(body) if body.comes_from_control() != (kind == ChildKind::Control) => {
                    tracing::warn!(process, "a child said what is not its to say");
                    child.refused += 1;
                }
                Some(Body::Report(report)) => {
                    let first = child.report(report);
                    if first && self.worker.lives(life) {
                        self.tell_role();
                    }
                    if self.worker.accepts() {
                        self.tell.ready();
                    }
                    self.follow_backends();
                    self.weigh();
                    self.go_on_reloading();
                }
                Some(Body::StatusGiven(_)) => {
                    let json = descriptors.pop().map(unseal).transpose().ok().flatten();
                    let view = json.and_then(|json| serde_json::from_slice::<WorkerView>(&json).ok());
                    self.answer(word.id, view);
                }
                Some(Body::ServersGiven(_)) => self.prepare(life, descriptors.pop()),
                Some(Body::NetworkLeft(_)) => self.network_left(life),
                Some(Body::Deaf(_)) => self.reloaded(life),
                Some(Body::Heard(heard)) => {
                    let at = heard.said.at;
                    if let Some(word) = heard.said.word {
                        self.heard(&heard.member, word, at);
                    }
                }
                Some(Body::Reached(reached)) => self.reached(&reached),
                _ => tracing::warn!(process, "a child said something unexpected"),
            },
            // Its end is news of its own.
            Ok(None) => {}
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                tracing::warn!(process, %error, "a child's message makes no sense");
                child.refused += 1;
            }
            Err(error) => {
                tracing::error!(process, %error, "the link to a child broke");
                child.kill();
            }
        }
    }

    fn ended(&mut self, life: u64) {
        let stopping = matches!(self.phase, Phase::Ending(_));
        let Some(child) = self.children().into_iter().find(|c| c.lives(life)) else { return };
        let kind = child.kind();
        let process = kind.word();
        let status: Option<ExitStatus> = child.bury();
        let how = status.map_or_else(|| "it is gone".to_owned(), |s| s.to_string());
        child.last_death = Some(how.clone());
        if kind == ChildKind::Control {
            self.members.forget();
            self.tell_others();
        }
        // First the address: nothing else matters as much now.
        self.weigh();
        if self.end_of_reload(life, &how) {
            return;
        }
        if !stopping {
            tracing::error!(process, how, "a child ended");
            self.journal.node("a process ended", &format!("{process}: {how}"));
        }
        self.start_children();
    }

    /// Tells the agent what this node can do, if that changed.
    fn weigh(&mut self) {
        let mut eligible = if self.resting { Eligibility::default() } else { self.worker.eligibility() };
        // Who has just come listens first to what the others say.
        eligible.ready &= self.members.settled();
        if eligible != self.eligible {
            let before = std::mem::replace(&mut self.eligible, eligible);
            if let Some(agent) = &self.agent {
                agent.set_eligible(eligible);
            }
            tracing::info!(ready = eligible.ready, learnt = eligible.learnt, "this node's fitness");
            let (what, why) = match (eligible.ready, eligible.learnt) {
                (true, true) => ("can serve", "its tables are learnt, or there is nobody to learn from"),
                (true, false) => ("can serve", "it does not preempt: its tables are not learnt yet"),
                (false, _) if self.resting => ("does not serve", "maintenance"),
                (false, _) => ("cannot serve", "its worker does not, or the first checks are not done"),
            };
            if eligible.ready || before.ready {
                self.journal.node(what, why);
            }
            self.tell_standing(true);
        }
    }

    /// Tells the worker whether this node is master of anything.
    fn tell_role(&mut self) {
        self.worker.say(0, Body::Master(!self.mastered.is_empty()));
        self.worker.say(0, Body::Leaving(!self.serving.is_empty()));
    }

    fn tick(&mut self) {
        let now = Instant::now();
        // Who overslept cannot judge whether others did.
        let overslept = now.duration_since(self.ticked) > 3 * TICK;
        self.ticked = now;
        if overslept {
            self.worker.forgive();
        }
        if self.worker.watch() || !self.eligible.ready {
            self.weigh();
        }
        self.recount(now);
        self.tell_standing(false);
        self.tell_others();
        self.forget_the_lost();
        self.start_children();
        self.tick_reload(now);
        let late: Vec<u64> =
            self.questions.iter().filter(|(_, q)| q.deadline <= now).map(|(id, _)| *id).collect();
        for id in late {
            self.answer(id, None);
        }
        self.tick_phase(now);
    }

    fn asked(&mut self, reply: oneshot::Sender<NodeStatus>) {
        let id = self.next_question;
        self.next_question += 1;
        self.questions.insert(id, Question { reply, deadline: Instant::now() + ANSWER });
        if !self.worker.say(id, Body::StatusAsked(Nothing {})) {
            self.answer(id, None);
        }
    }

    fn answer(&mut self, id: u64, worker: Option<WorkerView>) {
        if let Some(question) = self.questions.remove(&id) {
            let status = status::collect(self, worker);
            // Who asked may have gone.
            let _ = question.reply.send(status);
        }
    }
}

/// Gives a child what it needs. Its socket has room for all of it, or it takes it bit by bit.
fn hand_over(kind: ChildKind, ear: Ear, start: Beginning, runs: &Runs, before: Option<Inheritance>) {
    let copy = |d: &dyn AsFd| d.as_fd().try_clone_to_owned();
    let collect = || -> std::io::Result<Vec<(Body, Vec<OwnedFd>)>> {
        let mut words = Vec::new();
        words.push((Body::Start(start), vec![copy(&runs.texts)?]));
        if kind == ChildKind::Worker {
            let given =
                |kind: Kind, index: usize| Body::Given(Given { kind: kind as i32, index: index as u64 });
            for (index, group) in runs.parts.sockets.binds.iter().enumerate() {
                let group = group.iter().map(|d| copy(d)).collect::<Result<_, _>>()?;
                words.push((given(Kind::Bind, index), group));
            }
            for (index, socket) in runs.parts.stats.iter().enumerate() {
                words.push((given(Kind::Stats, index), vec![copy(socket)?]));
            }
            if let Some(socket) = &runs.parts.cluster {
                words.push((given(Kind::Cluster, 0), vec![copy(socket)?]));
            }
            for (place, socket) in &runs.parts.peers {
                words.push((given(Kind::Peers, *place), vec![copy(socket)?]));
            }
            if let Some(Inheritance { servers, teacher }) = before {
                words.push((given(Kind::Teacher, 0), vec![teacher]));
                words.extend(servers.map(|memory| (given(Kind::Servers, 0), vec![memory])));
            }
        }
        if let (ChildKind::Control, Some(socket)) = (kind, &runs.parts.channel) {
            let given = Given { kind: Kind::Channel as i32, index: 0 };
            words.push((Body::Given(given), vec![copy(socket)?]));
        }
        words.push((Body::Go(Nothing {}), Vec::new()));
        Ok(words)
    };
    match collect() {
        Ok(words) => {
            spawn_local(children::tell(ear, words));
        }
        Err(error) => tracing::error!(%error, "sockets cannot be handed over"),
    }
}
