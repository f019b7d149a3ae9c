//! Orderly ways out: the addresses move to another member while this one still serves, and only then does
//! anything end.
//!
//! ```text
//!              Orderly, Soft                 moved, or nobody took          lingered
//!  Serving --------------------> Moving -----------------------> Lingering ---------> Ending
//!     |                                                                                 ^
//!     +---- Now, or master of nothing ------------------------------------------------+
//! ```

use std::time::{Duration, Instant};

use failover::{Role, Why};
use tokio::sync::oneshot;

use super::{Child, Done, Stopping, Supervisor};
use crate::link::{Body, Stop};

/// Longest time the addresses may take to move: slow advertisements take seconds.
const MOVE: Duration = Duration::from_secs(8);
/// How long a node that has handed over accepts what its neighbours still send here.
const LINGER: Duration = Duration::from_secs(1);
/// How long sessions may take to end in an orderly stop.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long children may take to end when told to end at once.
const AT_ONCE: Duration = Duration::from_secs(2);
/// As long as sessions live.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Where a node is in its life.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    Serving,
    /// Another member is to take the addresses.
    Moving(Stopping, Instant),
    /// It has: what still arrives here is served until then.
    Lingering(Stopping, Instant),
    /// Children end, or are killed then.
    Ending(Instant),
}

/// A switch that somebody asked for.
pub(super) struct Handover {
    asker: oneshot::Sender<Done>,
    begun: Instant,
    /// Virtual routers that have not moved yet.
    waiting: Vec<String>,
    text: String,
    /// Whether this node takes no address afterwards: maintenance.
    then_rests: bool,
}

impl Supervisor {
    pub(super) fn stop(&mut self, how: Stopping) {
        let moves = how != Stopping::Now && !self.mastered.is_empty();
        let agent = self.agent.as_ref().filter(|_| moves);
        match (self.phase, agent) {
            (Phase::Serving, Some(agent)) => {
                tracing::info!(?how, "stopping: the addresses move first");
                agent.hand_over();
                self.phase = Phase::Moving(how, Instant::now() + MOVE);
                self.abandon_reload("the node stops");
            }
            // Who says it twice means it.
            // Nothing of it is reached by an address that could move.
            (Phase::Serving, None) if how == Stopping::Orderly => self.end(Stopping::Now),
            (Phase::Serving, None) => self.end(how),
            (Phase::Moving(..) | Phase::Lingering(..), _) => self.end(Stopping::Orderly),
            (Phase::Ending(_), _) => self.end(Stopping::Now),
        }
    }

    pub(super) fn role_changed(&mut self, router: &str, role: Role, why: Why) {
        if let Phase::Moving(how, _) = self.phase {
            if why == Why::NobodyTook {
                tracing::warn!(router, "nobody took over");
                self.end(how);
            } else if self.mastered.is_empty() {
                self.phase = Phase::Lingering(how, Instant::now() + LINGER);
            }
        }
        let Some(handover) = &mut self.handover else { return };
        if let Some(place) = handover.waiting.iter().position(|name| name == router) {
            handover.waiting.remove(place);
            let line = match role {
                Role::Master => format!("{router}: nobody took over, it stays here\n"),
                Role::Initialize | Role::Backup => {
                    format!("{router} moved after {} ms\n", handover.begun.elapsed().as_millis())
                }
            };
            handover.text.push_str(&line);
        }
        if handover.waiting.is_empty() {
            self.answer_handover();
        }
    }

    fn answer_handover(&mut self) {
        if let Some(Handover { asker, mut text, waiting, then_rests, .. }) = self.handover.take() {
            for name in &waiting {
                text.push_str(&format!("{name}: still here\n"));
            }
            let done = waiting.is_empty() && self.mastered.is_empty();
            tracing::info!(done, "handed over by order");
            if done && then_rests {
                self.rest(true);
            }
            // Who asked may have gone.
            let _ = asker.send(Done { done, text });
        }
    }

    /// Has the other members take everything, because somebody wants it.
    pub(super) fn hand_over_by_order(&mut self, asker: oneshot::Sender<Done>, then_rests: bool) {
        let refusal = match (&self.agent, self.phase) {
            (None, _) => Some("this node has no virtual router\n"),
            (_, Phase::Moving(..) | Phase::Lingering(..) | Phase::Ending(_)) => {
                Some("this node is stopping\n")
            }
            _ if self.handover.is_some() => Some("a switch is under way\n"),
            _ if self.mastered.is_empty() && then_rests => {
                self.rest(true);
                // Who asked may have gone.
                let _ = asker.send(Done { done: true, text: String::new() });
                return;
            }
            _ if self.mastered.is_empty() => Some("this node is master of nothing\n"),
            _ => None,
        };
        if let Some(why) = refusal {
            // Who asked may have gone.
            let _ = asker.send(Done { done: false, text: why.to_owned() });
            return;
        }
        let waiting = self.mastered.iter().cloned().collect();
        self.handover =
            Some(Handover { asker, begun: Instant::now(), waiting, text: String::new(), then_rests });
        if let Some(agent) = &self.agent {
            agent.hand_over();
        }
    }

    /// Begins or ends maintenance, because somebody wants it: while it lasts this node takes no address.
    pub(super) fn maintenance(&mut self, on: bool, asker: oneshot::Sender<Done>) {
        if on && !self.resting {
            self.hand_over_by_order(asker, true);
            return;
        }
        let text = if on == self.resting { "it is so already\n" } else { "" };
        self.rest(on);
        // Who asked may have gone.
        let _ = asker.send(Done { done: true, text: text.to_owned() });
    }

    fn rest(&mut self, on: bool) {
        self.resting = on;
        self.weigh();
    }

    pub(super) fn tick_phase(&mut self, now: Instant) {
        match self.phase {
            Phase::Moving(how, deadline) | Phase::Lingering(how, deadline) if deadline <= now => {
                self.end(how);
            }
            Phase::Ending(deadline) if deadline <= now => {
                self.children().into_iter().for_each(Child::kill);
            }
            Phase::Serving | Phase::Moving(..) | Phase::Lingering(..) | Phase::Ending(_) => {}
        }
        if self.handover.as_ref().is_some_and(|handover| handover.begun + MOVE <= now) {
            self.answer_handover();
        }
    }

    /// Ends the children.
    fn end(&mut self, how: Stopping) {
        tracing::info!(?how, "stopping");
        // The goodbye comes first: the other node takes over while this one finishes.
        self.agent = None;
        let patience = match how {
            Stopping::Now => AT_ONCE,
            Stopping::Orderly => FAREWELL,
            Stopping::Soft => FOR_EVER,
        };
        self.phase = Phase::Ending(Instant::now() + patience);
        let soft = how != Stopping::Now;
        self.worker.say(0, Body::Stop(Stop { soft }));
        for draining in &self.draining {
            draining.child.say(0, Body::Stop(Stop { soft }));
        }
        self.control.kill();
        self.abandon_reload("the node stops");
    }
}
