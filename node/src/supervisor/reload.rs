//! From one configuration to the next without losing a connection: a new worker is given the same
//! sockets, learns the tables and the servers' states from the old one, and takes over when it is ready.
//! Until then nothing has changed, so that every failure ends where it began.
//!
//! ```text
//!  files read -> servers asked -> next worker prepares -> accept / stop softly -> network left -> joined
//!       |              |                  |
//!       +--------------+------------------+--> refused: the old worker has noticed nothing
//! ```

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::children::{Child, ChildKind};
use super::{ANSWER, Phase, Runs, Supervisor, hand_over};
use crate::config::{self, Said, Warnings};
use crate::link::{Body, Nothing, Stop, seal, stream_pair};
use crate::sockets;

/// Longest time the next worker may take to be ready: first checks and the tables are in it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest time the old worker may take to say that it accepts nothing more.
const DEAF: Duration = Duration::from_secs(2);
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

/// A reload under way.
pub(super) struct Reload {
    runs: Runs,
    /// The next worker; not started while the old one is asked what it knows.
    pub(super) child: Child,
    started: bool,
    /// When waiting ends: for the old worker's answer, then for the next one.
    deadline: Instant,
    warnings: String,
    asker: Option<oneshot::Sender<Done>>,
}

/// A worker that finishes.
pub(super) struct Draining {
    pub(super) child: Child,
    left_network: bool,
    since: Instant,
    /// Who waits for the reload to be over, and what there is to say: once this one accepts nothing more.
    waiting: Option<(Option<oneshot::Sender<Done>>, String)>,
}

impl Draining {
    fn answer(&mut self) {
        if let Some((asker, warnings)) = self.waiting.take() {
            tell(asker, true, warnings);
        }
    }
}

impl Supervisor {
    /// Begins a reload, or says why not.
    pub(super) fn reload(&mut self, asker: Option<oneshot::Sender<Done>>) {
        let mut said = Said::default();
        self.tell.reloading();
        match self.read_anew(&mut said) {
            Err(why) => {
                said.text.push_str(&why);
                self.tell.ready_again();
                tell(asker, false, said.text);
            }
            Ok(runs) if !self.worker.listens() => {
                // There is nobody to learn from, and nobody whom it could disturb.
                self.runs = runs;
                self.tell_agent();
                self.worker.kill();
                self.worker.forget_failures();
                self.start_children();
                self.tell.ready_again();
                said.text
                    .push_str("the worker did not answer: it is started anew with the new configuration\n");
                tell(asker, true, said.text);
            }
            Ok(runs) => {
                self.worker.say(0, Body::ServersAsked(Nothing {}));
                self.reload = Some(Reload {
                    runs,
                    child: Child::new(ChildKind::Worker),
                    started: false,
                    deadline: Instant::now() + ANSWER,
                    warnings: said.text,
                    asker,
                });
            }
        }
    }

    /// The files as they are now, and their sockets.
    fn read_anew(&self, said: &mut Said) -> Result<Runs, String> {
        if !matches!(self.phase, Phase::Serving) {
            return Err("the node is stopping\n".to_owned());
        }
        if self.reload.is_some() {
            return Err("a reload is under way\n".to_owned());
        }
        let (mut everything, texts) = config::load(&self.files, Warnings::Say, said).ok_or("")?;
        everything.limit_connections(self.max_connections);
        if let Some(part) = self.runs.everything.fixed_parts_changed(&everything) {
            return Err(format!("{part} has changed, which needs a restart of this node\n"));
        }
        crate::worker::identity(&everything, &self.member).map_err(|why| format!("{why}\n"))?;
        crate::limits::secure(&everything, self.cores).map_err(|why| format!("{why}\n"))?;
        let before = Some((&*self.runs.everything.proxy, &self.runs.parts));
        let parts = sockets::open(&everything, &self.member, self.cores, before);
        let parts = parts.map_err(|why| format!("{why}\n"))?;
        let texts =
            seal("configuration", &texts.encode_to_vec()).map_err(|e| format!("no memory file: {e}\n"))?;
        Ok(Runs { everything, texts, parts })
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
        let Some(Reload { runs, child, warnings, asker, .. }) = self.reload.take_if(ready) else { return };
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
            waiting: Some((asker, warnings)),
        });
        if self.draining.len() > MAX_DRAINING {
            tracing::warn!(limit = MAX_DRAINING, "too many workers drain: the oldest is ended");
            self.draining[0].child.kill();
        }
        self.tell_role();
        self.weigh();
        self.tell.ready_again();
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
        if let Some(mut reload) = self.reload.take() {
            reload.child.kill();
            reload.child.bury();
            self.tell.ready_again();
            tell(reload.asker, false, format!("{}{why}\n", reload.warnings));
        }
    }
}

/// Says how it went: to the log, and to whoever asked.
fn tell(asker: Option<oneshot::Sender<Done>>, done: bool, text: String) {
    if done {
        tracing::info!("reloaded");
    } else {
        tracing::error!(why = text.trim_end(), "not reloaded: nothing has changed");
    }
    if let Some(asker) = asker {
        // Who asked may have gone.
        let _ = asker.send(Done { done, text });
    }
}
