//! How announcements keep from each other, for switches that drop what comes too fast (keepalived.conf(5),
//! `vrrp_garp_interval` and `garp_group`).

use std::collections::VecDeque;
use std::time::Duration;

use crate::Micros;

/// Most announcements that wait for their turn; what comes then is left out, since it comes again.
pub(crate) const MAX_WAITING: usize = 4_096;
/// Most lines that say it, of one router.
pub(crate) const MAX_SPACINGS: usize = 64;

/// The time between two announcements of an interface, or of several that hang on one switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spacing {
    /// The interfaces; without one it is every interface that nothing else is said of, each by itself.
    pub interfaces: Vec<String>,
    /// Of IPv4.
    pub four: Duration,
    /// Of IPv6.
    pub six: Duration,
}

impl Spacing {
    /// The time between two announcements of one family on an interface, and the interfaces that share it; `None`:
    /// nothing is spaced there.
    #[must_use]
    pub fn of(every: &[Self], interface: &str, six: bool) -> Option<(Duration, Vec<String>)> {
        let named = every.iter().find(|spacing| spacing.interfaces.iter().any(|name| name == interface));
        let found = named.or(every.iter().find(|spacing| spacing.interfaces.is_empty()))?;
        let shared =
            if found.interfaces.is_empty() { vec![interface.to_owned()] } else { found.interfaces.clone() };
        let time = if six { found.six } else { found.four };
        (!time.is_zero()).then_some((time, shared))
    }

    /// The line that says it.
    pub(crate) fn line(&self) -> String {
        let names: String =
            self.interfaces.iter().map(|name| format!(" {}", proxy_lang::quoted(name))).collect();
        format!("announce-spacing {}us {}us{names}", self.four.as_micros(), self.six.as_micros())
    }
}

/// What waits for its turn.
#[derive(Debug)]
pub struct Lane<T> {
    every: Micros,
    /// When the next one may go.
    free: Micros,
    waiting: VecDeque<T>,
}

impl<T: PartialEq> Lane<T> {
    /// One that lets something through once in so long.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self { every: every.into(), free: Micros(0), waiting: VecDeque::new() }
    }

    /// Lets something wait; whether there is room for it. What waits already is not said twice.
    pub fn push(&mut self, item: T) -> bool {
        let fits = self.waiting.len() < MAX_WAITING;
        if fits && !self.waiting.contains(&item) {
            self.waiting.push_back(item);
        }
        fits
    }

    /// When the next one is due; `None`: nothing waits.
    #[must_use]
    pub fn due(&self) -> Option<Micros> {
        (!self.waiting.is_empty()).then_some(self.free)
    }

    /// The next one, if it is due.
    pub fn pop(&mut self, now: Micros) -> Option<T> {
        if self.free > now {
            return None;
        }
        let item = self.waiting.pop_front()?;
        self.free = now.after(self.every);
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_at_a_time_and_none_before_its_turn() {
        let mut lane = Lane::new(Duration::from_micros(100));
        assert_eq!(lane.due(), None);
        for item in [1, 2, 1, 3] {
            assert!(lane.push(item));
        }
        assert_eq!(
            (lane.pop(Micros(5)), lane.pop(Micros(5)), lane.due()),
            (Some(1), None, Some(Micros(105)))
        );
        assert_eq!((lane.pop(Micros(104)), lane.pop(Micros(105))), (None, Some(2)));
        // Who was late does not hurry the next one.
        assert_eq!((lane.pop(Micros(900)), lane.due()), (Some(3), None));
        lane.push(4);
        assert_eq!((lane.pop(Micros(999)), lane.pop(Micros(1_000))), (None, Some(4)));
        assert_eq!((0..=MAX_WAITING).filter(|item| lane.push(*item as i32)).count(), MAX_WAITING);
    }

    #[test]
    fn interfaces_of_one_switch_share_what_is_said_of_them() {
        let spacing = |names: &[&str], millis| Spacing {
            interfaces: names.iter().map(|name| (*name).to_owned()).collect(),
            four: Duration::from_millis(millis),
            six: Duration::ZERO,
        };
        let every = [spacing(&[], 1), spacing(&["eth0", "eth1"], 2)];
        let of =
            |name| Spacing::of(&every, name, false).map(|(four, shared)| (four.as_millis(), shared.len()));
        assert_eq!([of("eth0"), of("eth1"), of("eth2")], [Some((2, 2)), Some((2, 2)), Some((1, 1))]);
        assert_eq!(Spacing::of(&every[1..], "eth2", false), None);
        assert_eq!(Spacing::of(&every, "eth0", true), None, "no time is no spacing");
    }
}
