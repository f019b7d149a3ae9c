//! Events in a sliding period: the period that runs and the one before it, weighed by how much of it
//! is still inside the window.

/// A rate counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frequency {
    /// When the current period began, in the caller's milliseconds.
    pub started_ms: u64,
    /// Events in it.
    pub current: u32,
    /// Events in the period before.
    pub previous: u32,
}

impl Frequency {
    /// Counts events.
    pub fn add(&mut self, now_ms: u64, period_ms: u32, events: u32) {
        self.rotate(now_ms, period_ms);
        self.current = self.current.saturating_add(events);
    }

    /// Events in the period that ends now.
    #[must_use]
    pub fn read(&self, now_ms: u64, period_ms: u32) -> u32 {
        let mut copy = *self;
        copy.rotate(now_ms, period_ms);
        let elapsed = now_ms.saturating_sub(copy.started_ms);
        let left = u64::from(period_ms).saturating_sub(elapsed);
        let past = u64::from(copy.previous) * left / u64::from(period_ms.max(1));
        copy.current.saturating_add(u32::try_from(past).unwrap_or(u32::MAX))
    }

    fn rotate(&mut self, now_ms: u64, period_ms: u32) {
        let period = u64::from(period_ms.max(1));
        let elapsed = now_ms.saturating_sub(self.started_ms);
        if elapsed < period {
            return;
        }
        self.previous = if elapsed < 2 * period { self.current } else { 0 };
        self.current = 0;
        self.started_ms = if elapsed < 2 * period { self.started_ms + period } else { now_ms };
    }
}

#[cfg(test)]
mod tests {
    use super::Frequency;

    #[test]
    fn old_events_leave_the_window_gradually() {
        let mut rate = Frequency::default();
        rate.add(10_000, 1_000, 100);
        assert_eq!(rate.read(10_500, 1_000), 100);
        assert_eq!(rate.read(11_000, 1_000), 100);
        assert_eq!(rate.read(11_500, 1_000), 50);
        assert_eq!(rate.read(12_000, 1_000), 0);
        rate.add(11_250, 1_000, 4);
        assert_eq!(rate.read(11_250, 1_000), 79);
    }
}
