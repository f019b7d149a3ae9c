//! Runs that say nothing: the machine itself stood still meanwhile, and a master that sleeps gives its addresses up.

use std::time::Duration;

use super::report::{Run, millis};
use super::scenario::Scenario;
use crate::lab::STALL;

/// How often a run is played again because it was void; then it counts as it is.
const AGAIN: u32 = 2;

/// Plays a run until one counts: what came out of it, and how many before it were void. `play` knows how many those are,
/// and says how long the machine stood still; `again` tells people.
pub(super) fn one_that_counts(
    scenario: Scenario,
    mut play: impl FnMut(u32) -> (Result<Run, String>, Duration),
    again: impl Fn(&str),
) -> Result<(Run, u32), String> {
    let mut void = 0;
    loop {
        let (played, stood) = play(void);
        // Saturated cores have everybody wait, who looks at the clock too.
        if scenario == Scenario::Busy || stood <= STALL || void == AGAIN {
            return played.map(|run| (Run { stood_still_ms: millis(stood), ..run }, void));
        }
        void += 1;
        again(&format!("the machine stood still for {} ms", stood.as_millis()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_void_while_the_machine_stands_still_and_counts_in_the_end() {
        let still = STALL + Duration::from_millis(1);
        let play = |scenario, stood: &[Duration], well: bool| {
            let run = Run { requests: 1, ..Run::default() };
            let played =
                |void| (if well { Ok(run.clone()) } else { Err(String::new()) }, stood[void as usize]);
            one_that_counts(scenario, played, |_| ()).map(|(run, void)| (run.stood_still_ms, void))
        };
        assert_eq!(play(Scenario::Crash, &[STALL], true), Ok((100.0, 0)));
        assert_eq!(play(Scenario::Crash, &[still, Duration::ZERO], true), Ok((0.0, 1)));
        assert_eq!(play(Scenario::Crash, &[still, still, still], true), Ok((101.0, 2)));
        assert_eq!(play(Scenario::Busy, &[still], true), Ok((101.0, 0)));
        // What goes wrong is not forgiven either: only played again.
        assert!(play(Scenario::Crash, &[still, still, still], false).is_err());
        assert!(play(Scenario::Crash, &[STALL], false).is_err());
    }
}
