//! Backends that virtual routers follow: what the worker says of their servers goes to the agent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Supervisor;

/// How long a master waits before it counts servers that it has lost. Most often every member loses them in the same
/// moment; until then it has heard so, and nothing moves.
const SHARED: Duration = Duration::from_millis(200);

/// What the agent knows of backends.
#[derive(Default)]
pub(super) struct Backends(BTreeMap<String, Known>);

#[derive(Default)]
struct Known {
    /// The servers that new sessions may go to, as it was told.
    usable: Option<u32>,
    /// Since when there are fewer.
    fewer: Option<Instant>,
}

impl Known {
    /// What the agent is to be told, if anything.
    fn hear(&mut self, now: Instant, usable: u32, patience: Duration) -> Option<u32> {
        if self.usable == Some(usable) {
            self.fewer = None;
            return None;
        }
        if self.usable.is_some_and(|before| usable < before) {
            let since = *self.fewer.get_or_insert(now);
            if now.duration_since(since) < patience {
                return None;
            }
        }
        *self = Self { usable: Some(usable), fewer: None };
        Some(usable)
    }
}

impl Supervisor {
    /// Tells the agent how many servers the backends have that it follows. The order is that of their names, here and
    /// in the worker.
    pub(super) fn follow_backends(&mut self) {
        let Some(agent) = &self.agent else { return };
        let reported = self.worker.usable_servers();
        if reported.is_empty() {
            return;
        }
        let is_shared = !self.mastered.is_empty() && self.members.has_company();
        let patience = if is_shared { SHARED } else { Duration::ZERO };
        let now = Instant::now();
        for (name, usable) in self.runs.everything.followed_backends().into_iter().zip(reported) {
            let known = self.backends.0.entry(name.clone()).or_default();
            if let Some(usable) = known.hear(now, *usable, patience) {
                agent.observe_backend(&name, usable);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_come_count_at_once_and_those_that_go_a_little_later() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut known = Known::default();
        for (ms, usable, told) in [
            (0, 2, Some(2)),
            (50, 2, None),
            (100, 0, None),
            (150, 0, None),
            // They were not gone for long enough.
            (170, 2, None),
            (180, 1, None),
            (379, 0, None),
            (380, 0, Some(0)),
            (390, 1, Some(1)),
        ] {
            assert_eq!(known.hear(at(ms), usable, SHARED), told, "{ms}");
        }
        assert_eq!(known.hear(at(400), 0, Duration::ZERO), Some(0));
    }
}
