//! Interfaces that flap: how long a change must last before it counts (keepalived.conf(5), `interface_up_down_delays`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Micros;

/// How long an interface must be down before that counts, and how long it must be up again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// Before it counts as down.
    pub down: Duration,
    /// Before it counts as up.
    pub up: Duration,
}

/// What is believed of interfaces.
#[derive(Debug, Default)]
pub struct Debounce {
    patience: BTreeMap<String, Patience>,
    believed: BTreeMap<String, bool>,
    /// When what is seen now is believed.
    doubted: BTreeMap<String, Micros>,
}

impl Debounce {
    /// Is patient with these interfaces, and believes at once what it hears of others.
    #[must_use]
    pub fn new(patience: BTreeMap<String, Patience>) -> Self {
        Self { patience, ..Self::default() }
    }

    /// An interface is seen to be usable or not: what is believed of it. The first sight is believed.
    pub fn seen(&mut self, now: Micros, interface: &str, usable: bool) -> bool {
        let Some(patience) = self.patience.get(interface) else { return usable };
        let believed = *self.believed.entry(interface.to_owned()).or_insert(usable);
        if believed == usable {
            self.doubted.remove(interface);
            return believed;
        }
        let delay = if usable { patience.up } else { patience.down };
        let due = *self.doubted.entry(interface.to_owned()).or_insert(now.after(delay.into()));
        if due > now {
            return believed;
        }
        self.doubted.remove(interface);
        self.believed.insert(interface.to_owned(), usable);
        usable
    }

    /// An interface is gone: the next one of its name is another one.
    pub fn forget(&mut self, interface: &str) {
        self.believed.remove(interface);
        self.doubted.remove(interface);
    }

    /// When an interface is to be looked at again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Micros> {
        self.doubted.values().min().copied()
    }

    /// The interfaces that are to be looked at now.
    #[must_use]
    pub fn due(&self, now: Micros) -> Vec<String> {
        let due = self.doubted.iter().filter(|(_, at)| **at <= now);
        due.map(|(interface, _)| interface.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patient() -> Debounce {
        let patience = Patience { down: Duration::from_millis(500), up: Duration::from_millis(2_000) };
        Debounce::new([("eth0".to_owned(), patience)].into())
    }

    #[test]
    fn a_change_counts_when_it_has_lasted() {
        let mut debounce = patient();
        let ms = |ms: u64| Micros(ms * 1_000);
        assert!(debounce.seen(ms(0), "eth0", true));
        assert!(debounce.seen(ms(100), "eth0", false));
        assert_eq!((debounce.poll_timeout(), debounce.due(ms(599))), (Some(ms(600)), vec![]));
        assert!(debounce.seen(ms(300), "eth0", false), "to hear it again begins nothing anew");
        assert_eq!(debounce.due(ms(600)), ["eth0"]);
        assert!(!debounce.seen(ms(600), "eth0", false));
        assert_eq!(debounce.poll_timeout(), None);
        assert!(!debounce.seen(ms(700), "eth0", true));
        assert!(debounce.seen(ms(2_700), "eth0", true));
    }

    #[test]
    fn what_comes_back_in_time_was_nothing() {
        let mut debounce = patient();
        assert!(debounce.seen(Micros(0), "eth0", true));
        assert!(debounce.seen(Micros(1), "eth0", false));
        assert!(debounce.seen(Micros(2), "eth0", true));
        assert_eq!(debounce.poll_timeout(), None);
        // The next time has its own delay.
        assert!(debounce.seen(Micros(400_000), "eth0", false));
        assert_eq!(debounce.poll_timeout(), Some(Micros(900_000)));
        // Of others everything is believed, and so is the first word of one that comes anew.
        assert!(!debounce.seen(Micros(0), "eth1", false));
        debounce.forget("eth0");
        assert!(!debounce.seen(Micros(500_000), "eth0", false));
    }
}
