//! What is wrong with packets, counted by reason, and said in the log seldom: an attacker writes no files full.

use std::collections::BTreeMap;
use std::net::IpAddr;

use failover_vrrp::Micros;

/// A reason gets one line in this time.
const QUIET: Micros = Micros(10_000_000);

/// Counts by reason. Reasons are words of this program, so there is an end to them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: BTreeMap<&'static str, u64>,
    said: BTreeMap<&'static str, Said>,
}

#[derive(Debug)]
struct Said {
    at: Micros,
    /// What has come since, and from whom last.
    since: u64,
    last: IpAddr,
}

/// A line that is due: the reason, who gave it last, and how often it was given since the last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) why: &'static str,
    pub(crate) source: IpAddr,
    pub(crate) count: u64,
}

impl Tally {
    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// Counts it; the line to write, where one is due.
    pub(crate) fn count(&mut self, why: &'static str, source: IpAddr, now: Micros) -> Option<Due> {
        *self.counts.entry(why).or_insert(0) += 1;
        match self.said.get_mut(why) {
            Some(said) => {
                said.since += 1;
                said.last = source;
                said.line(why, now)
            }
            None => {
                self.said.insert(why, Said { at: now, since: 0, last: source });
                Some(Due { why, source, count: 1 })
            }
        }
    }

    /// Counts what nobody reads of in the log.
    pub(crate) fn count_quietly(&mut self, why: &'static str) {
        *self.counts.entry(why).or_insert(0) += 1;
    }

    /// The lines that are due of what has come since the last ones and ended: nothing stays unsaid.
    pub(crate) fn due(&mut self, now: Micros) -> Vec<Due> {
        self.said.iter_mut().filter_map(|(why, said)| said.line(why, now)).collect()
    }
}

impl Said {
    fn line(&mut self, why: &'static str, now: Micros) -> Option<Due> {
        if self.since == 0 || now < self.at.after(QUIET) {
            return None;
        }
        self.at = now;
        Some(Due { why, source: self.last, count: std::mem::take(&mut self.since) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_in_its_time_and_nothing_stays_unsaid() {
        let host = |last| IpAddr::from([192, 0, 2, last]);
        let mut tally = Tally::default();
        let mut lines = Vec::new();
        for turn in 0..300_000_u64 {
            let now = Micros(turn * 100);
            lines.extend(tally.count("checksum", host(66), now).map(|due| due.count));
            assert_eq!(tally.due(now), [], "{turn}");
        }
        assert_eq!(lines, [1, 100_000, 100_000]);
        assert_eq!(tally.due(Micros(29_999_999)), []);
        let last = Due { why: "checksum", source: host(66), count: 99_999 };
        assert_eq!(tally.due(Micros(30_000_000)), [last]);
        assert_eq!(tally.due(Micros(60_000_000)), []);
        // What comes after a quiet time is said at once, and another reason has its own line.
        let again = tally.count("checksum", host(67), Micros(70_000_000));
        assert_eq!(again, Some(Due { why: "checksum", source: host(67), count: 1 }));
        assert_eq!(tally.count("ttl", host(67), Micros(70_000_001)).map(|due| due.count), Some(1));
        tally.count_quietly("vrid");
        assert_eq!(tally.due(Micros(90_000_000)), []);
        assert_eq!(tally.counts().values().copied().collect::<Vec<_>>(), [300_001, 1, 1]);
    }
}
