//! When a router takes part, beyond what it follows: what both languages say of that.

use std::collections::BTreeMap;
use std::time::Duration;

use proxy_lang::quoted;

use crate::Patience;

/// What is said of a router's beginning and of its own interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// How long it waits after the start of the program.
    pub startup_delay: Duration,
    /// How long it waits after the start of the machine.
    pub boot_delay: Duration,
    /// Whether it takes part though its interface is down.
    pub ignores_link: bool,
    /// Whether it takes no part while its own address is not there.
    pub tracks_source: bool,
    /// How long a change of an interface must last before it counts, by its name.
    pub patience: BTreeMap<String, Patience>,
    /// Whether the kernel is to keep the other addresses of a network when the first one goes.
    pub promotes: bool,
}

impl Presence {
    /// How long it waits in a program that starts so long after its machine did.
    #[must_use]
    pub fn delay(&self, uptime: Duration) -> Duration {
        self.startup_delay.max(self.boot_delay.saturating_sub(uptime))
    }

    /// The lines of a section that say this.
    pub(crate) fn lines(&self) -> Vec<String> {
        let delays = [("startup-delay", self.startup_delay), ("boot-delay", self.boot_delay)];
        let delays = delays.into_iter().filter(|(_, delay)| !delay.is_zero());
        let words = [
            ("ignore-link", self.ignores_link),
            ("promote-secondaries", self.promotes),
            ("track-source", self.tracks_source),
        ];
        let words = words.into_iter().filter(|(_, said)| *said).map(|(word, _)| word.to_owned());
        let patience = self.patience.iter().map(|(interface, Patience { down, up })| {
            format!("interface-delay {} {}us {}us", quoted(interface), down.as_micros(), up.as_micros())
        });
        let delays = delays.map(|(word, delay)| format!("{word} {}ms", delay.as_millis()));
        delays.chain(patience).chain(words).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_has_been_up_for_long_is_not_waited_for() {
        let seconds = Duration::from_secs;
        let presence = Presence { startup_delay: seconds(5), boot_delay: seconds(60), ..Presence::default() };
        assert_eq!([0, 50, 58, 600].map(|up| presence.delay(seconds(up)).as_secs()), [60, 10, 5, 5]);
    }
}
