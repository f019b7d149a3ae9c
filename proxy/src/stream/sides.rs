//! The two sides of a stream and how long each may be silent: a side is late only while it is waited for, and its time
//! begins anew with every byte it takes or gives (manual chapter 4.2, `timeout client`, `timeout server`,
//! `timeout tunnel`).

use super::flow::{Flow, WaitsFor};
use super::termination::By;
use crate::timers::Timer;

/// One side: what it may take, and since when it is silent, in the core's milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    timeout_ms: Option<u64>,
    since_ms: u64,
    waited_for: bool,
}

impl Side {
    fn note(&mut self, now_ms: u64, waited_for: bool, moved: bool) {
        if moved || !self.waited_for {
            self.since_ms = now_ms;
        }
        self.waited_for = waited_for;
    }

    fn deadline(&self) -> Option<u64> {
        self.timeout_ms.filter(|_| self.waited_for).map(|timeout| self.since_ms.saturating_add(timeout))
    }
}

/// Both sides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sides {
    client: Side,
    server: Side,
}

impl Sides {
    /// Sides that may be silent for so many milliseconds; `None` is for ever.
    pub(super) fn new(client_ms: Option<u64>, server_ms: Option<u64>) -> Self {
        let side = |timeout_ms| Side { timeout_ms, ..Side::default() };
        Self { client: side(client_ms), server: side(server_ms) }
    }

    /// Takes note of what the last poll of both flows moved and waits for, and moves the timer; says who is late.
    /// `answer`: whether the server has to send something now. A request that is not complete is its client's to
    /// complete, and its server is not late meanwhile.
    pub(super) fn check(
        &mut self,
        now_ms: u64,
        upload: &mut Flow,
        answer: Answer<'_>,
        timer: &mut Timer,
    ) -> Option<By> {
        let up = upload.take_moved();
        let waits = upload.waits_for();
        let (reads, writes, moved) = match answer {
            Answer::Head { moved } => {
                (waits == WaitsFor::Nothing, false, super::flow::Moved { source: moved, sink: false })
            }
            Answer::Flow(flow) => {
                let waits = flow.waits_for();
                (waits == WaitsFor::Source, waits == WaitsFor::Sink, flow.take_moved())
            }
        };
        self.client.note(now_ms, waits == WaitsFor::Source || writes, up.source || moved.sink);
        self.server.note(now_ms, reads || waits == WaitsFor::Sink, up.sink || moved.source);
        let (client, server) = (self.client.deadline(), self.server.deadline());
        let first = match (client, server) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        timer.set(first);
        let late = first.is_some_and(|deadline| deadline <= now_ms);
        late.then_some(if client == first { By::ClientTimeout } else { By::ServerTimeout })
    }
}

/// What comes from the server.
pub(super) enum Answer<'f> {
    /// The head of its response is waited for.
    Head {
        /// Whether some of it came.
        moved: bool,
    },
    /// Its bytes are relayed.
    Flow(&'f mut Flow),
}
