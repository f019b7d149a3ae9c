//! Orderly ways out: the addresses move to another member while this one still serves, and only then does
//! anything end.
//!
//! ```text
//!              Orderly, Soft                 moved, or nobody took          served to the end
//!  Serving --------------------> Moving -----------------------> Lingering ---------> Ending
//!     |                                                                                 ^
//!     +---- Now, or master of nothing ------------------------------------------------+
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use failover::{Agent, Goodbye, Role, RouterId, Why};
use tokio::sync::oneshot;

use super::{Child, Done, Stopping, Supervisor};
use crate::link::{Body, Stop};

/// Longest time the addresses may take to move: slow advertisements take seconds.
const MOVE: Duration = Duration::from_secs(8);
/// How long a node that has handed over serves what has begun here, where the file has no `hard-stop-after`.
const LINGER: Duration = Duration::from_secs(60);
/// How long others may take to prepare.
const PREPARE: Duration = Duration::from_millis(500);
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

/// Addresses on their way to other members, which prepare first.
pub(super) struct Departure {
    /// Who follows in each virtual router, and whether it sends on what has begun here, once it has said so.
    pub(super) followers: BTreeMap<RouterId, (String, Option<bool>)>,
    /// What is done without an answer then; `None`: it has been done.
    deadline: Option<Instant>,
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
        let gently = how != Stopping::Now;
        match self.phase {
            Phase::Serving if gently && !self.mastered.is_empty() => {
                tracing::info!(?how, "stopping: the addresses move first");
                self.phase = Phase::Moving(how, Instant::now() + MOVE);
                self.abandon_reload("the node stops");
                // Whoever can follow does; nobody is asked for.
                let _ = self.depart(None);
                self.tell_standing(true);
            }
            Phase::Serving if gently && !self.serving.is_empty() => {
                tracing::info!(?how, "stopping: what has begun here goes on to its end");
                self.phase = Phase::Lingering(how, Instant::now() + self.patience(how));
                self.abandon_reload("the node stops");
                self.tell_standing(true);
            }
            // Nothing of it is reached by an address that could move.
            Phase::Serving if how == Stopping::Orderly => self.end(Stopping::Now),
            Phase::Serving => self.end(how),
            // Who says it twice means it.
            Phase::Moving(..) | Phase::Lingering(..) => self.end(Stopping::Orderly),
            Phase::Ending(_) => self.end(Stopping::Now),
        }
    }

    pub(super) fn role_changed(&mut self, router: &str, role: Role, why: Why) {
        if let Phase::Moving(how, _) = self.phase {
            if why == Why::NobodyTook {
                tracing::warn!(router, "nobody took over");
                self.end(how);
            } else if self.mastered.is_empty() {
                self.phase = Phase::Lingering(how, Instant::now() + self.patience(how));
                // What it says of serving came before; where it cannot serve, there is nothing to wait for.
                self.go_on_stopping();
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
            self.departure = None;
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
    pub(super) fn hand_over_by_order(
        &mut self,
        to: Option<String>,
        asker: oneshot::Sender<Done>,
        then_rests: bool,
    ) {
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
        if let Err(why) = self.depart(to.as_deref()) {
            // Who asked may have gone.
            let _ = asker.send(Done { done: false, text: format!("{why}\n") });
            return;
        }
        let waiting = self.mastered.iter().cloned().collect();
        self.handover =
            Some(Handover { asker, begun: Instant::now(), waiting, text: String::new(), then_rests });
    }

    /// Sends the addresses on their way: to those that can follow, who prepare first; to whoever wants them, where
    /// nobody can be told.
    ///
    /// # Errors
    /// Why the member that is meant cannot follow.
    fn depart(&mut self, to: Option<&str>) -> Result<(), String> {
        let followers = self.followers(to)?;
        let Some(agent) = &self.agent else { return Ok(()) };
        if followers.is_empty() {
            agent.hand_over(Goodbye::Advertised, false);
            return Ok(());
        }
        for status in agent.status() {
            if let Some((member, _)) = followers.get(&status.id) {
                self.tell_prepare(member, status.id, status.mac.unwrap_or_default());
            }
        }
        self.departure = Some(Departure { followers, deadline: Some(Instant::now() + PREPARE) });
        Ok(())
    }

    /// A member is prepared to follow.
    pub(super) fn prepared(&mut self, by: &str, router: RouterId, sends_on: bool) {
        let Some(departure) = &mut self.departure else { return };
        if let Some((_, answer)) = departure.followers.get_mut(&router).filter(|(member, _)| member == by) {
            *answer = Some(sends_on);
        }
        if departure.followers.values().all(|(_, answer)| answer.is_some()) {
            self.go();
        }
    }

    /// Lets the addresses go.
    fn go(&mut self) {
        let Some(departure) = self.departure.as_mut().filter(|departure| departure.deadline.is_some()) else {
            return;
        };
        departure.deadline = None;
        let sent_on = departure.followers.values().all(|(_, answer)| *answer == Some(true));
        if !sent_on {
            tracing::info!("the next master does not send on what has begun here: that may be cut");
        }
        if let Some(agent) = &self.agent {
            agent.hand_over(Goodbye::Told, sent_on);
        }
    }

    /// What has begun here is served to its end; or it goes on with the addresses, which are here again.
    pub(super) fn served(&mut self, router: RouterId, ended: bool) {
        self.serving.remove(&router);
        self.tell_role();
        if ended {
            // Only then: who was master meanwhile sends on to here for as long as neighbours send there.
            self.tell_served(router);
        }
        self.go_on_stopping();
    }

    pub(super) fn go_on_stopping(&mut self) {
        let Phase::Lingering(how, _) = self.phase else { return };
        if !self.mastered.is_empty() {
            // They came back meanwhile: they move once more.
            self.phase = Phase::Moving(how, Instant::now() + MOVE);
            let _ = self.depart(None);
        } else if self.serving.is_empty() {
            self.end(how);
        }
    }

    /// How long what has begun here may go on.
    fn patience(&self, how: Stopping) -> Duration {
        let usual = if how == Stopping::Soft { FOR_EVER } else { LINGER };
        self.runs.everything.proxy.global.hard_stop_after.unwrap_or(usual)
    }

    /// Begins or ends maintenance, because somebody wants it: while it lasts this node takes no address.
    pub(super) fn maintenance(&mut self, on: bool, asker: oneshot::Sender<Done>) {
        if on && !self.resting {
            self.hand_over_by_order(None, asker, true);
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
        if self.departure.as_ref().is_some_and(|d| d.deadline.is_some_and(|deadline| deadline <= now)) {
            self.go();
        }
        if self.handover.as_ref().is_some_and(|handover| handover.begun + MOVE <= now) {
            self.answer_handover();
        }
    }

    /// Ends the children.
    fn end(&mut self, how: Stopping) {
        tracing::info!(?how, "stopping");
        // The goodbye comes first: the other node takes over while this one finishes.
        self.after = self.agent.as_mut().map(Agent::take_after);
        self.agent = None;
        let patience = match how {
            Stopping::Now => AT_ONCE,
            Stopping::Orderly => FAREWELL,
            Stopping::Soft => self.patience(how),
        };
        self.phase = Phase::Ending(Instant::now() + patience);
        let soft = how != Stopping::Now;
        self.worker.say(0, Body::Stop(Stop { soft }));
        for draining in &self.draining {
            draining.child.say(0, Body::Stop(Stop { soft }));
        }
        self.control.kill();
        self.abandon_reload("the node stops");
        // New clients are refused as soon as the worker closes its own copies; otherwise they would wait for nobody.
        self.runs.parts.sockets.binds.clear();
    }
}
