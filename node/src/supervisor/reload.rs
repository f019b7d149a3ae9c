//! From one configuration to the next without losing a connection: a new worker is given the same
//! sockets, learns the tables and the servers' states from the old one, and takes over when it is ready.
//! Until then nothing has changed, so that every failure ends where it began.
//!
//! ```text
//!  files read aside -> servers asked -> next worker prepares -> accept / stop softly -> network left -> joined
//!       |                  |                  |
//!       +------------------+------------------+--> refused: the old worker has noticed nothing
//! ```
//!
//! Files are read on a thread of their own: a file system that does not answer stalls nothing else. A request that comes
//! while a reload is under way is carried out after it, with the files as they are then; those that wait are one.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::children::{Child, ChildKind};
use super::{ANSWER, Event, Phase, Runs, Supervisor, hand_over};
use crate::config::{self, Everything, Files, Said, Texts, Warnings};
use crate::link::{Body, Nothing, Stop, seal, stream_pair};
use crate::sockets;

/// Longest time the next worker may take to be ready: first checks and the tables are in it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest time the old worker may take to say that it accepts nothing more.
const DEAF: Duration = Duration::from_secs(2);
/// Longest time the files may take to be read; then the reload is refused, whatever holds them.
const READING: Duration = Duration::from_secs(10);
/// Callers that may wait for the next reload; more are told to ask again.
const MAX_ASKERS: usize = 64;
/// Workers that may drain at the same time; the oldest is ended for a newer one.
const MAX_DRAINING: usize = 8;

/// How an order went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// It was carried out.
    pub(crate) done: bool,
    /// What there is to say about it: warnings, or why nothing has changed.
    pub(crate) text: String,
}

/// What the next worker gets of the one before.
pub(super) struct Inheritance {
    /// What is known of servers, if the old worker could say.
    pub(super) servers: Option<OwnedFd>,
    /// Where the tables are taught.
    pub(super) teacher: OwnedFd,
}

/// One or more requests that one reload answers.
#[derive(Default)]
pub(super) struct Requests {
    /// Whether every listener may go.
    force: bool,
    /// Those who asked by command, and wait. Who asked by a signal reads the log.
    askers: Vec<oneshot::Sender<Done>>,
}

impl Requests {
    fn new(force: bool, asker: Option<oneshot::Sender<Done>>) -> Self {
        Self { force, askers: asker.into_iter().collect() }
    }

    fn answer(self, done: bool, text: &str) {
        for asker in self.askers {
            // Who asked may have gone.
            let _ = asker.send(Done { done, text: text.to_owned() });
        }
    }
}

/// Files that are being read for a reload.
pub(super) struct Reading {
    number: u64,
    requests: Requests,
    deadline: Instant,
}

/// What reading them has given.
pub(crate) struct FilesRead {
    /// Which reading.
    pub(super) number: u64,
    loaded: Result<(Everything, Texts), String>,
    /// What there is to say about them.
    text: String,
}

/// Requests that no reload has answered yet, and what became of the last one.
#[derive(Default)]
pub(super) struct Queue {
    reading: Option<Reading>,
    /// What is to be done once the reload under way is over.
    waiting: Option<Requests>,
    /// Readings so far.
    count: u64,
    /// A reading that was given up and has not ended.
    stuck: Option<u64>,
    /// Why the last reload was refused, and when.
    pub(super) refused: Option<(String, Instant)>,
}

/// A reload under way.
pub(super) struct Reload {
    runs: Runs,
    /// The next worker; not started while the old one is asked what it knows.
    pub(super) child: Child,
    started: bool,
    /// When waiting ends: for the old worker's answer, then for the next one.
    deadline: Instant,
    warnings: String,
    requests: Requests,
}

/// A worker that finishes.
pub(super) struct Draining {
    pub(super) child: Child,
    left_network: bool,
    since: Instant,
    /// Who waits for the reload to be over, and what there is to say: once this one accepts nothing more.
    waiting: Option<(Requests, String)>,
}

impl Draining {
    fn answer(&mut self) {
        if let Some((requests, warnings)) = self.waiting.take() {
            tracing::info!("reloaded");
            requests.answer(true, &warnings);
        }
    }
}

impl Supervisor {
    /// Takes a request to reload: carried out at once, or after the reload that is under way.
    pub(super) fn reload(&mut self, force: bool, asker: Option<oneshot::Sender<Done>>) {
        if self.reload.is_none() && self.queue.reading.is_none() {
            self.begin_reload(Requests::new(force, asker));
            return;
        }
        let waiting = self.queue.waiting.get_or_insert_with(|| {
            tracing::info!("a reload is under way: the files are read again after it");
            Requests::default()
        });
        waiting.force |= force;
        match asker {
            Some(asker) if waiting.askers.len() >= MAX_ASKERS => {
                let text = format!("{MAX_ASKERS} callers wait for the next reload already: ask again\n");
                Requests::new(force, Some(asker)).answer(false, &text);
            }
            asker => waiting.askers.extend(asker),
        }
    }

    /// Has the files read, or says why not.
    fn begin_reload(&mut self, requests: Requests) {
        self.tell.reloading();
        if !matches!(self.phase, Phase::Serving) {
            self.refuse_reload(requests, "the node is stopping\n");
            return;
        }
        if self.queue.stuck.is_some() {
            let why = "the files of an earlier reload are still being read: a file system does not answer\n";
            self.refuse_reload(requests, why);
            return;
        }
        self.queue.count += 1;
        let number = self.queue.count;
        let (files, member, events) = (self.files.clone(), self.member.clone(), self.events.clone());
        let read = move || {
            let read = read_files(number, &files, &member);
            // The supervisor may be ending.
            let _ = events.blocking_send(Event::FilesRead(Box::new(read)));
        };
        match std::thread::Builder::new().name("reload".to_owned()).spawn(read) {
            Ok(_) => {
                let deadline = Instant::now() + READING;
                self.queue.reading = Some(Reading { number, requests, deadline });
            }
            Err(error) => {
                self.refuse_reload(
                    requests,
                    &format!("no thread can be started to read the files: {error}\n"),
                );
            }
        }
    }

    /// The files are read: the next worker can be prepared, if they are right.
    pub(super) fn files_read(&mut self, read: FilesRead) {
        if self.queue.stuck == Some(read.number) {
            tracing::info!("the files of a reload that was given up can be read again");
            self.queue.stuck = None;
        }
        let Some(reading) = self.queue.reading.take_if(|reading| reading.number == read.number) else {
            return;
        };
        let (requests, mut text) = (reading.requests, read.text);
        match read.loaded.and_then(|loaded| self.judge_files(loaded, requests.force)) {
            Err(why) => {
                text.push_str(&why);
                self.refuse_reload(requests, &text);
            }
            Ok(runs) if !self.worker.listens() => {
                // There is nobody to learn from, and nobody whom it could disturb.
                self.runs = runs;
                self.tell_agent();
                self.worker.kill();
                self.worker.forget_failures();
                self.start_children();
                self.tell.ready_again();
                self.queue.refused = None;
                text.push_str("the worker did not answer: it is started anew with the new configuration\n");
                tracing::info!("reloaded");
                requests.answer(true, &text);
                self.begin_waiting();
            }
            Ok(runs) => {
                self.worker.say(0, Body::ServersAsked(Nothing {}));
                self.reload = Some(Reload {
                    runs,
                    child: Child::new(ChildKind::Worker),
                    started: false,
                    deadline: Instant::now() + ANSWER,
                    warnings: text,
                    requests,
                });
            }
        }
    }

    /// Whether what was read may be run here, with its sockets.
    fn judge_files(&self, loaded: (Everything, Texts), force: bool) -> Result<Runs, String> {
        let (mut everything, texts) = loaded;
        if !matches!(self.phase, Phase::Serving) {
            return Err("the node is stopping\n".to_owned());
        }
        if !everything.is_reachable() {
            return Err("the new configuration has no listener of any kind (no bind, peer, stats socket or \
                        virtual router): look whether the file is complete\n"
                .to_owned());
        }
        if !force && self.runs.everything.loses_every_bind(&everything) {
            return Err(
                "it removes every bind of the running configuration: look whether the file is complete; \
                 if that is meant, 'tandem reload --force' does it\n"
                    .to_owned(),
            );
        }
        everything.limit_connections(self.max_connections);
        if let Some(part) = self.runs.everything.fixed_parts_changed(&everything) {
            return Err(format!("{part} has changed, which needs a restart of this node\n"));
        }
        crate::worker::privileges::check(&everything.proxy.global).map_err(|why| format!("{why}\n"))?;
        crate::worker::identity(&everything, &self.member).map_err(|why| format!("{why}\n"))?;
        crate::limits::secure(&everything, self.cores).map_err(|why| format!("{why}\n"))?;
        let before = Some((&*self.runs.everything.proxy, &self.runs.parts));
        let parts = sockets::open(&everything, &self.member, self.cores, before);
        let parts = parts.map_err(|why| format!("{why}\n"))?;
        let texts =
            seal("configuration", &texts.encode_to_vec()).map_err(|e| format!("no memory file: {e}\n"))?;
        Ok(Runs { everything, texts, parts })
    }

    /// Says that nothing has changed, and why, to the log, the status and whoever asked; then does what waits.
    fn refuse_reload(&mut self, requests: Requests, text: &str) {
        tracing::error!(why = text.trim_end(), "not reloaded: nothing has changed");
        self.tell.ready_again();
        self.queue.refused = Some((text.trim_end().to_owned(), Instant::now()));
        requests.answer(false, text);
        self.begin_waiting();
    }

    /// Begins the reload that was asked for while another one was under way.
    fn begin_waiting(&mut self) {
        if let Some(requests) = self.queue.waiting.take() {
            self.begin_reload(requests);
        }
    }

    /// The old worker has said what it knows of servers: the next one can begin.
    pub(super) fn prepare(&mut self, life: u64, servers: Option<OwnedFd>) {
        if self.worker.lives(life) {
            self.start_next(servers);
        }
    }

    fn start_next(&mut self, servers: Option<OwnedFd>) {
        let beginning = self.beginning(true);
        let Some(reload) = self.reload.as_mut().filter(|r| !r.started) else { return };
        self.lives += 1;
        let begin = || -> std::io::Result<()> {
            let (taught, teacher) = stream_pair()?;
            let ear = reload.child.start(self.lives, &self.events)?;
            if !self.worker.hand(0, Body::Teach(Nothing {}), &[taught.as_fd()]) {
                return Err(std::io::Error::other("the worker does not listen"));
            }
            let before = Some(Inheritance { servers, teacher });
            if !hand_over(ChildKind::Worker, ear, beginning, &reload.runs, before) {
                return Err(std::io::Error::other("its sockets cannot be handed over"));
            }
            Ok(())
        };
        match begin() {
            Ok(()) => {
                reload.started = true;
                reload.deadline = Instant::now() + PATIENCE;
            }
            Err(error) => self.abandon_reload(&format!("the next worker cannot be started: {error}")),
        }
    }

    /// Takes the step that has become possible.
    pub(super) fn go_on_reloading(&mut self) {
        let ready = |reload: &mut Reload| reload.started && reload.child.eligibility().ready;
        let Some(Reload { runs, child, warnings, requests, .. }) = self.reload.take_if(ready) else { return };
        child.say(0, Body::Accept(Nothing {}));
        self.worker.say(0, Body::Stop(Stop { soft: true }));
        self.runs = runs;
        self.tell_agent();
        let before = std::mem::replace(&mut self.worker, child);
        self.worker.follow(&before);
        self.draining.push(Draining {
            child: before,
            left_network: false,
            since: Instant::now(),
            waiting: Some((requests, warnings)),
        });
        let asked = self.runs.everything.proxy.global.tuning.max_reloads;
        let limit = asked.map_or(MAX_DRAINING, |asked| asked.min(MAX_DRAINING));
        if self.draining.len() > limit {
            tracing::warn!(limit, "too many workers drain: the oldest is ended");
            self.draining[0].child.kill();
        }
        self.queue.refused = None;
        self.tell_role();
        self.weigh();
        self.tell.ready_again();
        self.begin_waiting();
    }

    /// Tells the agent that there is a new configuration, and what is listened on now.
    fn tell_agent(&self) {
        if let Some(agent) = &self.agent {
            agent.set_services(self.runs.everything.services());
            agent.reloaded();
        }
    }

    /// The old worker accepts nothing any more: whoever comes now meets the new configuration.
    pub(super) fn reloaded(&mut self, life: u64) {
        for draining in self.draining.iter_mut().filter(|d| d.child.is_life(life)) {
            draining.answer();
        }
    }

    /// The old worker talks to nobody any more: the new one can.
    pub(super) fn network_left(&mut self, life: u64) {
        let draining = self.draining.iter_mut().find(|d| d.child.lives(life) && !d.left_network);
        if let Some(draining) = draining {
            draining.left_network = true;
            self.join_network();
        }
    }

    /// Has the worker talk to the network, once none before it does.
    fn join_network(&self) {
        if self.draining.iter().all(|d| d.left_network) {
            self.worker.say(0, Body::JoinNetwork(Nothing {}));
        }
    }

    /// Takes note of the end of a worker that was to come, or was going; whether it was one.
    pub(super) fn end_of_reload(&mut self, life: u64, how: &str) -> bool {
        if self.reload.as_ref().is_some_and(|r| r.started && r.child.is_life(life)) {
            self.abandon_reload(&format!("the next worker ended: {how}"));
            return true;
        }
        let Some(place) = self.draining.iter().position(|d| d.child.is_life(life)) else { return false };
        let mut gone = self.draining.remove(place);
        gone.answer();
        tracing::info!(how, "a worker has drained");
        if !gone.left_network {
            self.join_network();
        }
        true
    }

    pub(super) fn tick_reload(&mut self, now: Instant) {
        for draining in self.draining.iter_mut().filter(|d| d.since + DEAF <= now) {
            draining.answer();
        }
        if let Some(reading) = self.queue.reading.take_if(|reading| reading.deadline <= now) {
            self.queue.stuck = Some(reading.number);
            let seconds = READING.as_secs();
            let why = format!("the files were not read within {seconds} s: a file system does not answer\n");
            self.refuse_reload(reading.requests, &why);
        }
        match &self.reload {
            Some(reload) if reload.deadline <= now && reload.started => {
                self.abandon_reload("the next worker was not ready in time");
            }
            // Who does not answer teaches nothing about servers: their first checks will.
            Some(reload) if reload.deadline <= now => self.start_next(None),
            _ => {}
        }
    }

    /// Goes back to where the reload began.
    pub(super) fn abandon_reload(&mut self, why: &str) {
        if let Some(reading) = self.queue.reading.take() {
            self.queue.stuck = Some(reading.number);
            self.refuse_reload(reading.requests, &format!("{why}\n"));
        }
        if let Some(mut reload) = self.reload.take() {
            reload.child.kill();
            reload.child.bury();
            self.refuse_reload(reload.requests, &format!("{}{why}\n", reload.warnings));
        }
    }
}

/// Reads the files, and what a worker will read of its own: whatever of them does not answer stalls this thread alone.
fn read_files(number: u64, files: &Files, member: &str) -> FilesRead {
    let mut said = Said::default();
    let loaded = config::load(files, Warnings::Say, &mut said).ok_or_else(String::new);
    let loaded = loaded.and_then(|loaded| match crate::worker::identity(&loaded.0, member) {
        Ok(_) => Ok(loaded),
        Err(why) => Err(format!("{why}\n")),
    });
    FilesRead { number, loaded, text: said.text }
}
