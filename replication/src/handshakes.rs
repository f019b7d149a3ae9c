//! Connections between being accepted and being known, and what is said of those that are refused.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How often a refusal of one kind is worth a line.
const EVERY: Duration = Duration::from_secs(10);

/// How many there are, by where they come from.
pub(crate) struct Handshakes {
    from: Rc<RefCell<BTreeMap<IpAddr, usize>>>,
    most: usize,
    most_from_one: usize,
}

/// One of them. Ends by being dropped.
pub(crate) struct Handshake {
    from: Rc<RefCell<BTreeMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Handshakes {
    pub(crate) fn new(most: usize, most_from_one: usize) -> Self {
        Self { from: Rc::default(), most, most_from_one }
    }

    /// One more, where there is room.
    pub(crate) fn begin(&self, address: IpAddr) -> Option<Handshake> {
        let address = address.to_canonical();
        let mut from = self.from.borrow_mut();
        let others = from.get(&address).copied().unwrap_or(0);
        if others >= self.most_from_one || from.values().sum::<usize>() >= self.most {
            return None;
        }
        from.insert(address, others + 1);
        Some(Handshake { from: Rc::clone(&self.from), address })
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut from = self.from.borrow_mut();
        if let Some(count) = from.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                from.remove(&self.address);
            }
        }
    }
}

/// Keeps strangers from filling the log: a line for each reason now and then, with how often it was.
#[derive(Default)]
pub(crate) struct Lines(RefCell<BTreeMap<&'static str, (Instant, u64)>>);

impl Lines {
    /// Counts one; how many there have been since the last line, where this one is worth another.
    pub(crate) fn count(&self, why: &'static str, now: Instant) -> Option<u64> {
        let mut said = self.0.borrow_mut();
        if let Some((last, count)) = said.get_mut(why)
            && now.saturating_duration_since(*last) < EVERY
        {
            *count += 1;
            return None;
        }
        let unsaid = said.insert(why, (now, 0)).map_or(0, |(_, count)| count);
        Some(unsaid + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_leaves_room_for_members() {
        let handshakes = Handshakes::new(3, 2);
        let [stranger, mapped, member, other] =
            ["192.0.2.9", "::ffff:192.0.2.9", "192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let first = handshakes.begin(stranger).unwrap();
        let second = handshakes.begin(mapped).unwrap();
        assert!(handshakes.begin(stranger).is_none());
        let third = handshakes.begin(member).unwrap();
        assert!(handshakes.begin(other).is_none(), "there is a bound for all, too");
        drop(first);
        assert!(handshakes.begin(stranger).is_some());
        drop((second, third));
        assert!(handshakes.from.borrow().is_empty());
    }

    #[test]
    fn each_reason_has_a_line_now_and_then() {
        let lines = Lines::default();
        let begin = Instant::now();
        assert_eq!(lines.count("slow", begin), Some(1));
        assert_eq!(lines.count("slow", begin), None);
        assert_eq!(lines.count("stranger", begin), Some(1));
        assert_eq!(lines.count("slow", begin + EVERY / 2), None);
        assert_eq!(lines.count("slow", begin + EVERY), Some(3));
        assert_eq!(lines.count("slow", begin + EVERY), None);
    }
}
