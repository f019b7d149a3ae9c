//! Whether a worker lives: it reports, and each of its cores turns. One core that hangs is seen, not
//! covered by the others.

use std::time::{Duration, Instant};

/// Silence, of the worker or of one core, that counts as a stall: with a tick to notice it the addresses have moved
/// within half a second. A core turns seventy times in it.
const STALL: Duration = Duration::from_millis(350);

#[derive(Debug)]
pub(crate) struct Liveness {
    reported: Instant,
    /// Per core, its turns and when they last changed.
    cores: Vec<(u64, Instant)>,
}

impl Liveness {
    pub(crate) fn new(now: Instant) -> Self {
        Self { reported: now, cores: Vec::new() }
    }

    pub(crate) fn hear(&mut self, now: Instant, turns: &[u64]) {
        self.reported = now;
        self.cores.resize(turns.len(), (u64::MAX, now));
        for (core, turns) in self.cores.iter_mut().zip(turns) {
            if core.0 != *turns {
                *core = (*turns, now);
            }
        }
    }

    /// Begins to count anew.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.reported = now;
        self.cores.iter_mut().for_each(|core| core.1 = now);
    }

    /// What has stalled.
    pub(crate) fn stalled(&self, now: Instant) -> Option<&'static str> {
        let late = |since: Instant| now.duration_since(since) > STALL;
        if late(self.reported) {
            Some("it does not report")
        } else if self.cores.iter().any(|(_, since)| late(*since)) {
            Some("a core does not turn")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_that_hangs_is_seen_and_a_late_watcher_blames_nobody() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut liveness = Liveness::new(begin);
        for ms in (0..=1_000).step_by(50) {
            let second = if ms < 400 { ms } else { 400 };
            liveness.hear(at(ms), &[ms, second]);
            let expected = (ms > 750).then_some("a core does not turn");
            assert_eq!(liveness.stalled(at(ms)), expected, "{ms}");
        }
        liveness.forgive(at(1_000));
        assert_eq!(liveness.stalled(at(1_350)), None);
        assert_eq!(liveness.stalled(at(1_351)), Some("it does not report"));
    }
}
