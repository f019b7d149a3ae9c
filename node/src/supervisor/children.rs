//! One child: its process, its link, how it is, and when it may be started again.

use std::cell::Cell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use failover::Eligibility;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::Event;
use super::liveness::Liveness;
use crate::link::{self, AsyncLink, Body, Report};

/// A child that lived this long is started again at once.
const SOUND_LIFE: Duration = Duration::from_secs(5);
/// Rest before a short-lived child is started again: first and longest.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(5);
/// A worker that has stalled this long is ended.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a child goes unwatched, for want of a descriptor, before that is tried again.
const UNWATCHED: Duration = Duration::from_millis(200);
/// How long the words of the beginning wait for room in the socket.
const ROOM: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildKind {
    Worker = 0,
    Control = 1,
}

impl ChildKind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Control => "control",
        }
    }
}

/// A child's link, and whether it has been told all that it begins with: nothing else may be said before.
#[derive(Clone)]
pub(crate) struct Ear {
    link: Rc<AsyncLink>,
    told: Rc<Cell<bool>>,
}

struct Running {
    process: std::process::Child,
    ear: Ear,
    report: Option<Report>,
    liveness: Liveness,
    stalled: Option<Instant>,
}

pub(crate) struct Child {
    kind: ChildKind,
    running: Option<Running>,
    /// The number of its life: no two children, and no two lives of one, ever have the same.
    life: u64,
    starts: u64,
    since: Instant,
    due: Option<Instant>,
    rest: Duration,
    pub(crate) last_death: Option<String>,
    /// Messages that made no sense.
    pub(crate) refused: u64,
}

impl Child {
    pub(crate) fn new(kind: ChildKind) -> Self {
        let now = Instant::now();
        Self {
            kind,
            running: None,
            life: 0,
            starts: 0,
            since: now,
            due: Some(now),
            rest: FIRST_REST,
            last_death: None,
            refused: 0,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn is_due(&self) -> bool {
        self.running.is_none() && self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Whether this was the last life, lived or over.
    pub(crate) fn is_life(&self, life: u64) -> bool {
        self.life == life
    }

    /// Continues the account of the child before it.
    pub(crate) fn follow(&mut self, before: &Self) {
        self.starts += before.starts.saturating_sub(1);
        self.last_death.clone_from(&before.last_death);
        self.refused += before.refused;
    }

    /// Whether this is the life that is being lived.
    pub(crate) fn lives(&self, life: u64) -> bool {
        self.running.is_some() && self.life == life
    }

    /// Starts it; `life` is a number that was never used.
    pub(crate) fn start(&mut self, life: u64, events: &mpsc::Sender<Event>) -> io::Result<Ear> {
        let now = Instant::now();
        // Until it is known to live it has failed, and rests longer the next time.
        self.due = Some(now + self.rest);
        let (ours, theirs) = link::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("tandem").arg(self.kind.word()).stdin(Stdio::from(theirs)).process_group(0);
        if crate::background::is_here() {
            // Whoever started the node waits for the end of what it can read.
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        // Before there is a process: none lives that nobody can talk to.
        let ear = Ear { link: Rc::new(ours.into_async()?), told: Rc::default() };
        let process = command.spawn()?;
        self.life = life;
        self.starts += 1;
        self.since = now;
        spawn_local(listen(life, Rc::clone(&ear.link), events.clone()));
        spawn_local(mourn(self.kind, life, process.id(), events.clone()));
        self.running = Some(Running {
            process,
            ear: ear.clone(),
            report: None,
            liveness: Liveness::new(now),
            stalled: None,
        });
        Ok(ear)
    }

    /// Says something; whether it could be said.
    pub(crate) fn say(&self, id: u64, body: Body) -> bool {
        self.hand(id, body, &[])
    }

    /// Says something and hands over descriptors with it; whether that could be done.
    pub(crate) fn hand(&self, id: u64, body: Body, descriptors: &[BorrowedFd<'_>]) -> bool {
        let ear = self.running.as_ref().map(|r| &r.ear).filter(|ear| ear.told.get());
        ear.is_some_and(|ear| ear.link.send(id, body, descriptors).is_ok())
    }

    /// Whether it is there and hears what it is told.
    pub(crate) fn listens(&self) -> bool {
        self.running.as_ref().is_some_and(|r| r.ear.told.get() && r.stalled.is_none())
    }

    pub(crate) fn kind(&self) -> ChildKind {
        self.kind
    }

    /// It may be started again at once.
    pub(crate) fn forget_failures(&mut self) {
        self.rest = FIRST_REST;
        self.due = Some(Instant::now());
    }

    pub(crate) fn kill(&mut self) {
        if let Some(running) = &mut self.running {
            // It may be dead already.
            let _ = running.process.kill();
        }
    }

    /// Takes note of the end.
    pub(crate) fn bury(&mut self) -> Option<ExitStatus> {
        let mut running = self.running.take()?;
        let lived = self.since.elapsed();
        let now = Instant::now();
        self.rest = if lived >= SOUND_LIFE { FIRST_REST } else { LONGEST_REST.min(self.rest * 2) };
        self.due = Some(if lived >= SOUND_LIFE { now } else { now + self.rest });
        self.since = now;
        // Where its end could not be watched it may live: waiting for it must not.
        let _ = running.process.kill();
        running.process.wait().ok()
    }

    /// Takes a report; whether it is the first of this life.
    pub(crate) fn report(&mut self, report: Report) -> bool {
        let Some(running) = &mut self.running else { return false };
        running.liveness.hear(Instant::now(), &report.turns);
        running.report.replace(report).is_none()
    }

    /// The watcher itself was late: nobody is to blame.
    pub(crate) fn forgive(&mut self) {
        if let Some(running) = &mut self.running {
            running.liveness.forgive(Instant::now());
        }
    }

    /// Looks whether it has stalled; whether that changed.
    pub(crate) fn watch(&mut self) -> bool {
        let now = Instant::now();
        let Some(running) = self.running.as_mut().filter(|r| r.report.is_some()) else { return false };
        let stall = running.liveness.stalled(now);
        match (stall, running.stalled) {
            (Some(what), None) => {
                tracing::error!(process = self.kind.word(), what, "stalled");
                running.stalled = Some(now);
                true
            }
            (None, Some(_)) => {
                tracing::info!(process = self.kind.word(), "runs again");
                running.stalled = None;
                true
            }
            (Some(_), Some(since)) if now.duration_since(since) > PATIENCE => {
                self.kill();
                false
            }
            _ => false,
        }
    }

    /// Whether every core accepts.
    pub(crate) fn accepts(&self) -> bool {
        let report = self.running.as_ref().and_then(|r| r.report.as_ref());
        report.is_some_and(|r| !r.turns.is_empty() && r.turns.iter().all(|turns| *turns > 0))
    }

    /// Of each backend that a virtual router follows, the servers that new sessions may go to: once they are checked.
    pub(crate) fn usable_servers(&self) -> &[u32] {
        let report = self.running.as_ref().and_then(|r| r.report.as_ref());
        report.filter(|report| report.checks_done).map_or(&[], |report| &report.usable)
    }

    /// What this node can do, as far as the worker goes.
    pub(crate) fn eligibility(&self) -> Eligibility {
        let sound = self.running.as_ref().filter(|r| r.stalled.is_none());
        let Some(report) = sound.and_then(|r| r.report.as_ref()) else { return Eligibility::default() };
        let knows = report.learnt || report.alone;
        // Cores that have not turned yet do not accept.
        Eligibility {
            ready: self.accepts() && !report.deaf && report.checks_done && knows,
            learnt: report.learnt,
        }
    }

    pub(crate) fn view(&self) -> crate::status::ProcessView {
        let state = match &self.running {
            None => "dead",
            Some(running) if running.stalled.is_some() => "stalled",
            Some(running) if running.report.is_none() && self.kind == ChildKind::Worker => "starting",
            Some(_) => "running",
        };
        crate::status::ProcessView {
            name: self.kind.word().to_owned(),
            state: state.to_owned(),
            pid: self.running.as_ref().map(|r| r.process.id()),
            since_ms: u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            restarts: self.starts.saturating_sub(1),
            last_death: self.last_death.clone(),
            refused: self.refused,
        }
    }
}

/// Tells a child everything it begins with.
pub(crate) async fn tell(ear: Ear, words: Vec<(Body, Vec<OwnedFd>)>) {
    for (body, descriptors) in words {
        let borrowed: Vec<_> = descriptors.iter().map(std::os::fd::AsFd::as_fd).collect();
        loop {
            match ear.link.send(0, body.clone(), &borrowed) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock || link::is_shortage(&error) => {
                    tokio::time::sleep(ROOM).await;
                }
                Err(error) => {
                    tracing::error!(%error, "a child cannot be told what it is");
                    return;
                }
            }
        }
    }
    ear.told.set(true);
}

async fn listen(life: u64, link: Rc<AsyncLink>, events: mpsc::Sender<Event>) {
    loop {
        let said = link.receive().await;
        let over = match &said {
            Ok(word) => word.is_none(),
            Err(error) => error.kind() != io::ErrorKind::InvalidData,
        };
        if events.send(Event::Said(life, said)).await.is_err() || over {
            return;
        }
    }
}

/// Waits for a process to end: its descriptor tells at once.
async fn mourn(kind: ChildKind, life: u64, pid: u32, events: mpsc::Sender<Event>) {
    let opened = loop {
        let descriptor =
            i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput.into());
        let opened = descriptor.and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?));
        match opened.and_then(crate::sys::readable) {
            // It is not to blame for that, and cannot end unnoticed: its number is its own until it is buried.
            Err(error) if link::is_shortage(&error) => {
                tracing::warn!(process = kind.word(), %error, "a child is not watched yet");
                tokio::time::sleep(UNWATCHED).await;
            }
            opened => break opened,
        }
    };
    let ended = match opened {
        Ok(descriptor) => descriptor.readable().await.map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::error!(process = kind.word(), %error, "a child cannot be watched");
    }
    // The supervisor may be ending itself.
    let _ = events.send(Event::Ended(life)).await;
}
