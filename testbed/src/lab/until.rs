//! Waiting for what a lab does by itself.

use std::time::{Duration, Instant};

/// What is waited for comes within this, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

/// Looks until it holds; an error names what does not.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let begin = Instant::now();
    while !holds() {
        if begin.elapsed() > PATIENCE {
            return Err(format!("not so after {PATIENCE:?}: {what}"));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
