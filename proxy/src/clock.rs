//! The process's clock: milliseconds since it started. A session's task reads it once per wake-up; what
//! the task asks until it waits again costs nothing.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

static START: OnceLock<(Instant, SystemTime)> = OnceLock::new();

thread_local! {
    /// The reading of the task that runs; 0: none runs.
    static READING: Cell<u64> = const { Cell::new(0) };
}

#[cfg(test)]
thread_local! {
    /// Where a test has stopped the clock; 0: it runs.
    static STOPPED: Cell<u64> = const { Cell::new(0) };
}

fn start() -> &'static (Instant, SystemTime) {
    START.get_or_init(|| (Instant::now(), SystemTime::now()))
}

/// Milliseconds since the process first asked; never goes back. Starts at one hour, so that an age
/// can be subtracted from any reading.
#[must_use]
pub fn now_ms() -> u64 {
    match READING.get() {
        0 => read(),
        reading => reading,
    }
}

/// Seconds since the epoch, for dates that other programs read.
pub(crate) fn epoch_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Stops this thread's clock at a reading, for a test that moves it itself.
#[cfg(test)]
pub(crate) fn stop_at(ms: u64) {
    STOPPED.set(ms);
}

fn read() -> u64 {
    #[cfg(test)]
    if STOPPED.get() > 0 {
        return STOPPED.get();
    }
    u64::try_from(start().0.elapsed().as_millis()).unwrap_or(u64::MAX - EPOCH_MS) + EPOCH_MS
}

/// One reading of the clock for everything that asks while this lives. Not to be held across a wait.
pub(crate) struct OneReading(());

impl OneReading {
    pub(crate) fn take() -> Self {
        READING.set(read());
        Self(())
    }
}

impl Drop for OneReading {
    fn drop(&mut self) {
        READING.set(0);
    }
}

/// When the process started, for "uptime".
#[must_use]
pub fn started() -> SystemTime {
    start().1
}

/// The first reading of [`now_ms`].
pub const EPOCH_MS: u64 = 3_600_000;
