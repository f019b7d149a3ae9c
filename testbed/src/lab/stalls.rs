//! Whether the machine stood still while something was looked at. A master that has slept for more than three intervals
//! gives its addresses up, as it should: what was measured meanwhile says nothing of the program.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Who stands still for longer voids what was looked at: less than the three intervals of 100 ms that labs have, after
/// which an address moves, and much more than a busy machine makes anybody wait.
pub(crate) const STALL: Duration = Duration::from_millis(100);
/// Time between two looks at the clock.
const LOOK: Duration = Duration::from_millis(5);

/// Looks at the clock all the time, on every core: one that stands still alone holds up what runs there.
pub(crate) struct Stalls {
    over: Arc<AtomicBool>,
    looks: Vec<Arc<Mutex<Looks>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Stalls {
    pub(crate) fn watch() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut stalls = Self { over, looks: Vec::new(), threads: Vec::new() };
        for core in cores() {
            let looks = Arc::new(Mutex::new(Looks::begin(Instant::now())));
            let (over, kept) = (Arc::clone(&stalls.over), Arc::clone(&looks));
            stalls.looks.push(looks);
            stalls.threads.push(std::thread::spawn(move || {
                if let Some(core) = core {
                    // Elsewhere it sees what happens there.
                    let _ = sched_setaffinity(None, &core);
                }
                while !over.load(Ordering::Relaxed) {
                    std::thread::sleep(LOOK);
                    kept.lock().unwrap_or_else(PoisonError::into_inner).look(Instant::now());
                }
            }));
        }
        stalls
    }

    /// The longest that a core stood still since the beginning.
    pub(crate) fn longest(&self) -> Duration {
        let longest = |looks: &Arc<Mutex<Looks>>| {
            let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
            // One that stands still right now has not looked yet.
            looks.look(Instant::now());
            looks.longest
        };
        self.looks.iter().map(longest).max().unwrap_or_default()
    }

    /// What was so far does not count.
    pub(crate) fn begin_anew(&self) {
        for looks in &self.looks {
            *looks.lock().unwrap_or_else(PoisonError::into_inner) = Looks::begin(Instant::now());
        }
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// One set for each core that this process may use; one that says nothing where that is unknown.
fn cores() -> Vec<Option<CpuSet>> {
    let Ok(usable) = sched_getaffinity(None) else { return vec![None] };
    let alone = |core| {
        let mut set = CpuSet::new();
        set.set(core);
        Some(set)
    };
    (0..CpuSet::MAX_CPU).filter(|core| usable.is_set(*core)).map(alone).collect()
}

/// What somebody knows who looks at the clock every [`LOOK`].
struct Looks {
    last: Instant,
    longest: Duration,
}

impl Looks {
    fn begin(now: Instant) -> Self {
        Self { last: now, longest: Duration::ZERO }
    }

    fn look(&mut self, now: Instant) {
        let overslept = now.saturating_duration_since(self.last).saturating_sub(LOOK);
        self.longest = self.longest.max(overslept);
        self.last = now;
    }
}

/// What a lab said that was played in a process of its own.
pub(crate) struct Told {
    pub(crate) well: bool,
    pub(crate) text: String,
}

/// Has a lab played by another process, told what to play in these words. One that fails while the machine stood still
/// is played once more; one that fails by itself has failed.
pub(crate) fn play(words: &[impl AsRef<std::ffi::OsStr>]) -> Result<Told, String> {
    once_more(&words_of(words), || {
        let stalls = Stalls::watch();
        let output = Command::new("/proc/self/exe").args(words).output();
        let output = output.map_err(|e| format!("cannot start a lab: {e}"))?;
        let text =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let text = text.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
        Ok((Told { well: output.status.success(), text }, stalls.longest()))
    })
}

/// Has that lab played for which this process was started.
pub(crate) fn play_what_was_asked() -> Result<String, String> {
    let words: Vec<_> = std::env::args_os().skip(1).chain(["--once".into()]).collect();
    let told = play(&words)?;
    if told.well { Ok(told.text) } else { Err(told.text) }
}

fn words_of(words: &[impl AsRef<std::ffi::OsStr>]) -> String {
    words.iter().map(|word| word.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Plays something that says how it went and how long the machine stood still meanwhile.
fn once_more(
    what: &str,
    mut played: impl FnMut() -> Result<(Told, Duration), String>,
) -> Result<Told, String> {
    let (told, stood) = played()?;
    if told.well || stood <= STALL {
        return Ok(told);
    }
    let (again, _) = played()?;
    let text = format!(
        "'{what}' failed while the machine stood still for {} ms:\n{}\nplayed once more:\n{}",
        stood.as_millis(),
        told.text,
        again.text
    );
    Ok(Told { well: again.well, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_what_was_slept_beyond_the_time_between_two_looks() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut looks = Looks::begin(begin);
        [5, 10, 16, 141, 146].into_iter().for_each(|ms| looks.look(at(ms)));
        assert_eq!(looks.longest, Duration::from_millis(120));
        // A look in between, as whoever asks has one, is none that is late.
        looks.look(at(146));
        looks.look(at(151));
        assert_eq!(looks.longest, Duration::from_millis(120));
    }

    #[test]
    fn whoever_asks_sees_a_stall_that_is_not_over() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or_else(Instant::now);
        let looks = vec![Arc::new(Mutex::new(Looks::begin(long_ago)))];
        let stalls = Stalls { over: Arc::default(), looks, threads: Vec::new() };
        assert!(stalls.longest() > STALL);
        stalls.begin_anew();
        assert!(stalls.longest() < Duration::from_secs(1));
    }

    #[test]
    fn only_what_failed_while_the_machine_stood_still_is_played_once_more() {
        let still = STALL + Duration::from_millis(1);
        let play = |results: &[(bool, Duration)]| {
            let mut count = 0;
            let told = once_more("it", || {
                let (well, stood) = results[count];
                count += 1;
                Ok((Told { well, text: format!("({count})") }, stood))
            });
            told.map(|told| (told.well, told.text.contains("stood still"), count))
        };
        assert_eq!(play(&[(true, still)]), Ok((true, false, 1)));
        assert_eq!(play(&[(false, STALL)]), Ok((false, false, 1)));
        assert_eq!(play(&[(false, still), (true, still)]), Ok((true, true, 2)));
        assert_eq!(play(&[(false, still), (false, still)]), Ok((false, true, 2)));
    }
}
