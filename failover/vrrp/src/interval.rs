//! Times: the wire's hundredths of a second, and microseconds for timers, so that the skew of a 10 ms
//! interval is 6.1 ms and not zero.

use std::time::Duration;

/// An interval as version 3 sends it: 1..=4095 hundredths of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Centis(u16);

impl Centis {
    /// Longest interval of the wire's twelve bits.
    pub const MAX: Self = Self(4_095);

    /// An interval within the wire's bounds.
    #[must_use]
    pub fn new(centis: u16) -> Option<Self> {
        (1..=Self::MAX.0).contains(&centis).then_some(Self(centis))
    }

    /// The number on the wire.
    #[must_use]
    pub fn wire(self) -> u16 {
        self.0
    }

    /// The same time for a timer.
    #[must_use]
    pub fn micros(self) -> Micros {
        Micros(u64::from(self.0) * 10_000)
    }
}

/// A point in time, or a length of it, in microseconds of the caller's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub u64);

/// The longest there is, where a time is longer.
impl From<Duration> for Micros {
    fn from(time: Duration) -> Self {
        Self(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    }
}

impl Micros {
    /// One second.
    pub const SECOND: Self = Self(1_000_000);

    /// This much later.
    #[must_use]
    pub fn after(self, length: Self) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    /// So many times as long.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// Skew time (RFC 9568 6.1): the higher the priority, the sooner a backup wakes.
    #[must_use]
    pub fn skew(self, priority: u8) -> Self {
        Self(self.0 * (256 - u64::from(priority)) / 256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_interval_keeps_its_skew() {
        let interval = Centis::new(1).map(Centis::micros);
        assert_eq!(interval.map(|i| i.skew(100)), Some(Micros(6_093)));
        assert_eq!((Centis::new(0), Centis::new(4_096)), (None, None));
    }
}
