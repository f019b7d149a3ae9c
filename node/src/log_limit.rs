//! How many lines of the log one place in the program may write: what strangers can cause (a connection, a packet, a
//! command) cannot fill a disk, whichever line it is. The place is the limit, not the stranger: there are few of them.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::behind::Log;

/// Lines that one place writes within [`WINDOW`]; more are counted and left out: 2 a second are 10 MB a day.
const MAX_LINES: u32 = 20;
/// The time for which lines are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Longest part of a message that is repeated where others like it are left out, in bytes.
const MAX_QUOTED: usize = 120;

static SUPPRESSED: AtomicU64 = AtomicU64::new(0);

/// Lines that were left out since this process began.
pub(crate) fn suppressed() -> u64 {
    SUPPRESSED.load(Relaxed)
}

/// The filter in front of the log.
#[derive(Default)]
pub(crate) struct LogLimit(Mutex<HashMap<Identifier, Site>>);

/// A place that writes lines.
struct Site {
    since: Instant,
    lines: u32,
    suppressed: u64,
    /// The first of the messages that were left out.
    message: String,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Written,
    /// The first one that is left out.
    FirstSuppressed,
    Suppressed,
}

impl Site {
    fn new(now: Instant) -> Self {
        Self { since: now, lines: 0, suppressed: 0, message: String::new() }
    }

    fn judge(&mut self) -> Verdict {
        self.lines += 1;
        if self.lines <= MAX_LINES {
            return Verdict::Written;
        }
        // It cannot count past its kind of number.
        self.lines = MAX_LINES + 1;
        self.suppressed += 1;
        if self.suppressed == 1 { Verdict::FirstSuppressed } else { Verdict::Suppressed }
    }

    /// Begins to count anew once its time is over; says what was left out.
    fn renew(&mut self, now: Instant) -> Option<String> {
        if now.duration_since(self.since) < WINDOW {
            return None;
        }
        self.since = now;
        self.lines = 0;
        let count = std::mem::take(&mut self.suppressed);
        let message = std::mem::take(&mut self.message);
        (count > 0).then(|| format!("{count} more lines were left out, such as: {message}"))
    }
}

impl<S: Subscriber> Layer<S> for LogLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if event.metadata().target() == proxy::SERVER_STATE {
            return true;
        }
        let now = Instant::now();
        let mut notes = Vec::new();
        let written = {
            let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever writes next tells what others have left out: there are some hundred places.
            notes.extend(sites.values_mut().filter_map(|site| site.renew(now)));
            let site = sites.entry(event.metadata().callsite()).or_insert_with(|| Site::new(now));
            match site.judge() {
                Verdict::Written => true,
                Verdict::Suppressed => false,
                Verdict::FirstSuppressed => {
                    let mut quoted = Quoted(String::new());
                    event.record(&mut quoted);
                    notes
                        .push(format!("lines like this one are left out for up to {WINDOW:?}: {}", quoted.0));
                    site.message = quoted.0;
                    false
                }
            }
        };
        if !written {
            SUPPRESSED.fetch_add(1, Relaxed);
        }
        for note in notes {
            // A log that takes nothing counts what it loses.
            let _ = Log.write(note_line(&note).as_bytes());
        }
        written
    }
}

fn note_line(note: &str) -> String {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ");
    format!("{now}  WARN {note}\n")
}

/// The message of an event, and what it says beside.
struct Quoted(String);

impl Visit for Quoted {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        if self.0.len() >= MAX_QUOTED {
            return;
        }
        let blank = if self.0.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{blank}{value:?}"),
            name => write!(self.0, "{blank}{name}={value:?}"),
        };
        // One line stays one line.
        self.0 = self.0.replace(char::is_control, " ");
        let end = self.0.floor_char_boundary(MAX_QUOTED);
        self.0.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_writes_some_lines_and_counts_the_rest() {
        let start = Instant::now();
        let mut site = Site::new(start);
        let at = |ms| start + Duration::from_millis(ms);
        for _ in 0..MAX_LINES {
            assert_eq!(site.judge(), Verdict::Written);
        }
        assert_eq!(site.judge(), Verdict::FirstSuppressed);
        site.message = "refused a peer".to_owned();
        for _ in 0..100_000 {
            assert_eq!(site.judge(), Verdict::Suppressed);
        }
        assert_eq!(site.renew(at(9_999)), None);
        let note = site.renew(at(10_000)).unwrap();
        assert_eq!(note, "100001 more lines were left out, such as: refused a peer");
        assert_eq!(site.judge(), Verdict::Written);
        assert_eq!(site.renew(at(20_001)), None, "nothing was left out since");
    }
}
