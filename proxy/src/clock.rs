//! The process's clock: milliseconds since it started, read once per wake-up and passed down.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

static START: OnceLock<(Instant, SystemTime)> = OnceLock::new();

fn start() -> &'static (Instant, SystemTime) {
    START.get_or_init(|| (Instant::now(), SystemTime::now()))
}

/// Milliseconds since the process first asked; never goes back. Starts at one hour, so that an age
/// can be subtracted from any reading.
#[must_use]
pub fn now_ms() -> u64 {
    u64::try_from(start().0.elapsed().as_millis()).unwrap_or(u64::MAX - EPOCH_MS) + EPOCH_MS
}

/// When the process started, for "uptime".
#[must_use]
pub fn started() -> SystemTime {
    start().1
}

/// The first reading of [`now_ms`].
pub const EPOCH_MS: u64 = 3_600_000;
