//! How late what another member says is heard here. Its clock began elsewhere and sometime; the word that took the least
//! time says how far apart it and ours are, and every other one is late by how much longer it took. A word is never
//! thought to be later than it is.

use std::time::Duration;

/// For how long a word that was fast is remembered, at least: clocks drift apart.
const WINDOW: Duration = Duration::from_secs(10);
/// What was said is not heard in the order of its stamps, but never by so much (microseconds): it is another clock.
const ANOTHER: u64 = 5_000_000;

/// Another member's clock beside ours.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    /// Microseconds by which ours was ahead when the fastest word was heard: of this window, and of the one before.
    least: [Option<i128>; 2],
    began: Duration,
    /// The latest that its clock has said.
    last: u64,
}

impl Clocks {
    /// How late a word is that was said at this time of its clock (microseconds; 0: it is not known, and counts as in
    /// time), and is heard now, by ours.
    pub(super) fn late(&mut self, said: u64, now: Duration) -> Duration {
        if said == 0 {
            return Duration::ZERO;
        }
        let ahead = i128::try_from(now.as_micros()).unwrap_or(i128::MAX) - i128::from(said);
        let least = |clocks: &Self| clocks.least.iter().copied().flatten().min();
        // A machine that was started again has another clock.
        if said.saturating_add(ANOTHER) < self.last {
            (self.least, self.began, self.last) = ([None; 2], now, said);
        }
        self.last = self.last.max(said);
        if now.saturating_sub(self.began) > WINDOW {
            (self.least, self.began) = ([None, self.least[0]], now);
        }
        self.least[0] = Some(self.least[0].map_or(ahead, |least| least.min(ahead)));
        let late = ahead - least(self).unwrap_or(ahead);
        Duration::from_micros(u64::try_from(late).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How late each of these is, all in milliseconds: said by its clock, heard by ours.
    fn late(words: &[(u64, u64)]) -> Vec<u128> {
        let mut clocks = Clocks::default();
        let late =
            |(said, now): &(u64, u64)| clocks.late(said * 1_000, Duration::from_millis(*now)).as_millis();
        words.iter().map(late).collect()
    }

    #[test]
    fn a_word_is_late_by_as_much_as_it_took_longer_than_the_fastest() {
        assert_eq!(late(&[(70_000, 120), (70_100, 210), (70_200, 1_050), (70_250, 1_060)]), [0, 0, 740, 700]);
        assert_eq!(late(&[(0, 5), (10, 9_000), (0, 9_900)]), [0, 0, 0], "who does not say when is in time");
    }

    #[test]
    fn clocks_that_drift_jump_or_begin_anew_are_followed() {
        // A millisecond in five seconds: what is forgotten after a while does not add up.
        let drift: Vec<(u64, u64)> = (1..100).map(|word| (word * 5_000, word * 5_001)).collect();
        assert!(late(&drift).iter().all(|late| *late <= 5), "{:?}", late(&drift));
        assert_eq!(late(&[(9_000, 1_000), (10, 1_500), (110, 1_650)]), [0, 0, 50], "another machine");
        // Who slept hears late what was said meanwhile, however long that was; a clock that stood still is known
        // after a while.
        assert_eq!(late(&[(1_000, 1_000), (2_000, 8_000), (2_100, 8_101)]), [0, 6_000, 6_001]);
        let stood: Vec<(u64, u64)> = (1..30).map(|word| (word * 1_000, 60_000 + word * 1_000)).collect();
        let stood: Vec<(u64, u64)> = [(500, 500)].into_iter().chain(stood).collect();
        assert_eq!(late(&stood).last(), Some(&0));
    }

    #[test]
    fn an_order_that_waited_behind_later_words_is_as_late_as_it_is() {
        // Said at 1,000, sent behind words of 1,650 and 1,700.
        assert_eq!(late(&[(900, 900), (1_650, 1_700), (1_700, 1_701), (1_000, 1_702)]), [0, 50, 1, 702]);
    }
}
