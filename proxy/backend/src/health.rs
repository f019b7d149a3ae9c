//! Rise and fall: when enough checks agree, a server changes state (HAProxy's manual, `rise`, `fall`,
//! `inter`). Probing is the shell's work; this only counts and says when to probe next.

use std::time::Duration;

/// How a server is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// Checks that must succeed before a server that is down is up.
    pub rise: u32,
    /// Checks that must fail before a server that is up is down.
    pub fall: u32,
    /// Time between checks while the state is certain.
    pub inter: Duration,
    /// Time between checks while it is changing; `inter` if unset.
    pub fast_inter: Option<Duration>,
    /// Time between checks while the server is down; `inter` if unset.
    pub down_inter: Option<Duration>,
}

/// What one check said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered as it should.
    Passed,
    /// It did not.
    Failed,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The server may be used again.
    Up,
    /// The server must not be used.
    Down,
}

/// The counting of one server.
///
/// ```text
///  level   0 ..... rise-1 | rise ............ rise+fall-1
///          down           | up
///          each success +1, a failure -> 0     each failure -1, below rise -> 0
/// ```
#[derive(Clone, Debug)]
pub struct Health {
    settings: HealthSettings,
    level: u32,
    checked_ms: Option<u64>,
    changed_ms: u64,
}

impl Health {
    /// A server nobody has checked yet: up, and down at the first failure.
    #[must_use]
    pub fn new(settings: HealthSettings, now_ms: u64) -> Self {
        let settings = HealthSettings { rise: settings.rise.max(1), fall: settings.fall.max(1), ..settings };
        Self { level: settings.rise, settings, checked_ms: None, changed_ms: now_ms }
    }

    /// Whether the server counts as up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.level >= self.settings.rise
    }

    /// Whether any check has finished.
    #[must_use]
    pub fn was_checked(&self) -> bool {
        self.checked_ms.is_some()
    }

    /// The counter as `show servers state` prints it.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Rise and fall as HAProxy prints them beside the counter: `(passed, needed)`.
    #[must_use]
    pub fn progress(&self) -> (u32, u32) {
        let HealthSettings { rise, fall, .. } = self.settings;
        if self.is_up() { (self.level + 1 - rise, fall) } else { (self.level, rise) }
    }

    /// When the state last changed, in the caller's milliseconds.
    #[must_use]
    pub fn changed_ms(&self) -> u64 {
        self.changed_ms
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> HealthSettings {
        self.settings
    }

    /// Counts one check.
    pub fn count(&mut self, outcome: Outcome, now_ms: u64) -> Option<Change> {
        let HealthSettings { rise, fall, .. } = self.settings;
        let was_up = self.is_up();
        self.checked_ms = Some(now_ms);
        self.level = match outcome {
            // A success of a server that is up takes back every failure.
            Outcome::Passed if self.level + 1 >= rise => rise + fall - 1,
            Outcome::Passed => self.level + 1,
            Outcome::Failed if self.level > rise => self.level - 1,
            Outcome::Failed => 0,
        };
        self.changed(was_up, now_ms)
    }

    /// Takes another node's word. Its news counts only if it is younger than our own last check:
    /// "down" then closes the server until our own checks bring it back; "up" is believed only while
    /// we have not checked ourselves.
    pub fn learn(&mut self, up: bool, age_ms: u64, now_ms: u64) -> Option<Change> {
        let was_up = self.is_up();
        let newer = self.checked_ms.is_none_or(|checked| now_ms.saturating_sub(age_ms) > checked);
        if !up && newer {
            self.level = 0;
        } else if up && self.checked_ms.is_none() {
            self.level = self.settings.rise;
        }
        self.changed(was_up, now_ms)
    }

    /// Takes over what the process before this one had seen: it counts as seen by our own checks.
    pub fn inherit(&mut self, up: bool, age_ms: u64, now_ms: u64) -> Option<Change> {
        let was_up = self.is_up();
        let HealthSettings { rise, fall, .. } = self.settings;
        self.level = if up { rise + fall - 1 } else { 0 };
        self.checked_ms = Some(now_ms.saturating_sub(age_ms));
        self.changed(was_up, now_ms)
    }

    /// Sets the state by order of the operator (`set server .. health`).
    pub fn force(&mut self, up: bool, now_ms: u64) -> Option<Change> {
        let was_up = self.is_up();
        self.level = if up { self.settings.rise + self.settings.fall - 1 } else { 0 };
        self.changed(was_up, now_ms)
    }

    /// Time until the next check should begin.
    #[must_use]
    pub fn interval(&self) -> Duration {
        let HealthSettings { rise, fall, inter, fast_inter, down_inter } = self.settings;
        match self.level {
            0 => down_inter.unwrap_or(inter),
            level if level == rise + fall - 1 => inter,
            _ => fast_inter.unwrap_or(inter),
        }
    }

    fn changed(&mut self, was_up: bool, now_ms: u64) -> Option<Change> {
        let change = match (was_up, self.is_up()) {
            (true, false) => Change::Down,
            (false, true) => Change::Up,
            _ => return None,
        };
        self.changed_ms = now_ms;
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: HealthSettings = HealthSettings {
        rise: 2,
        fall: 3,
        inter: Duration::from_millis(2000),
        fast_inter: Some(Duration::from_millis(100)),
        down_inter: Some(Duration::from_millis(5000)),
    };

    fn history(marks: &str) -> String {
        let mut health = Health::new(SETTINGS, 0);
        let mut said = String::new();
        for (now, mark) in marks.chars().enumerate() {
            let outcome = if mark == '+' { Outcome::Passed } else { Outcome::Failed };
            said.push(match health.count(outcome, now as u64) {
                None => '.',
                Some(Change::Up) => 'U',
                Some(Change::Down) => 'D',
            });
        }
        said
    }

    #[test]
    fn rise_and_fall_count_as_haproxy_does() {
        assert_eq!(history("-"), "D", "a server that was never seen falls at its first failure");
        assert_eq!(history("+---"), "...D");
        assert_eq!(history("++++---"), "......D");
        assert_eq!(history("-+-++"), "D...U");
        assert_eq!(history("++--+--"), ".......", "one success takes back all failures");
        assert_eq!(history("++--+---"), ".......D");
    }

    #[test]
    fn the_interval_follows_the_certainty() {
        let mut health = Health::new(SETTINGS, 0);
        health.count(Outcome::Failed, 1);
        assert_eq!(health.interval(), Duration::from_millis(5000));
        health.count(Outcome::Passed, 2);
        assert_eq!(health.interval(), Duration::from_millis(100));
        health.count(Outcome::Passed, 3);
        assert_eq!(health.interval(), Duration::from_millis(2000));
    }

    #[test]
    fn a_neighbours_news_counts_only_while_it_is_fresher_than_ours() {
        let mut health = Health::new(SETTINGS, 0);
        assert_eq!(health.learn(false, 50, 100), Some(Change::Down));
        assert_eq!(health.learn(true, 0, 110), Some(Change::Up), "nothing of our own contradicts it yet");
        health.count(Outcome::Passed, 200);
        assert_eq!(health.learn(false, 50, 210), None, "older than our own check");
        assert_eq!(health.learn(false, 5, 220), Some(Change::Down));
        assert_eq!(health.learn(true, 0, 230), None, "our own checks decide when it comes back");
    }
}
