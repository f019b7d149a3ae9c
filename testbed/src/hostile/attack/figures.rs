//! The figures of one kind of attack, what they must be, and the table of all of them.

use std::fmt::Write;
use std::path::Path;

use comfy_table::Cell;
use serde::Serialize;
use serde_json::json;

use super::kinds::Kind;
use crate::hostile::{Stack, program};
use crate::table;

/// A 99th percentile below this is never too long, in milliseconds.
const P99_MS: f64 = 20.0;
/// Nor one of so many times what it was before.
const P99_TIMES: f64 = 2.0;
/// Memory that an attack may cost, in bytes.
const MEMORY: u64 = 64 << 20;
/// CPU time of the program once nobody asks, in percent of a core.
pub(super) const RESTING_PERCENT: f64 = 10.0;
/// Bytes of log that an attack may cause.
const LOG: u64 = 4 << 20;

/// What one kind of attack did to one program.
#[derive(Clone, Debug, Default, Serialize)]
pub(in crate::hostile) struct Figures {
    pub(in crate::hostile) stack: String,
    pub(in crate::hostile) kind: String,
    /// Requests of good clients since the attack began.
    pub(in crate::hostile) asked: usize,
    pub(in crate::hostile) errors: usize,
    pub(in crate::hostile) error: Option<String>,
    pub(in crate::hostile) errors_before: usize,
    pub(in crate::hostile) p99_before_ms: f64,
    pub(in crate::hostile) p99_ms: f64,
    pub(in crate::hostile) memory_before: u64,
    pub(in crate::hostile) memory_more: u64,
    pub(in crate::hostile) cpu_percent: f64,
    pub(in crate::hostile) cpu_after_percent: f64,
    /// Connections that the attacker made.
    pub(in crate::hostile) connected: u64,
    /// Descriptors still open when every timeout has passed.
    pub(in crate::hostile) left: usize,
    pub(in crate::hostile) closed_after_ms: f64,
    pub(in crate::hostile) logged: u64,
    pub(in crate::hostile) trouble: Option<String>,
    /// What does not hold.
    pub(in crate::hostile) wrong: Vec<String>,
}

impl Figures {
    /// Of a kind that could not be played.
    pub(in crate::hostile) fn failed(stack: Stack, kind: &Kind, why: String) -> Self {
        Self {
            stack: program::name(stack).to_owned(),
            kind: kind.name.to_owned(),
            wrong: vec![why],
            ..Self::default()
        }
    }

    pub(in crate::hostile) fn judged(mut self) -> Self {
        let mut wrong = Vec::new();
        if let Some(trouble) = &self.trouble {
            wrong.push(trouble.clone());
        }
        if self.errors > 0 || self.errors_before > 0 {
            let why = self.error.as_deref().unwrap_or("before the attack");
            wrong.push(format!("{} of {} good requests failed: {why}", self.errors, self.asked));
        }
        let limit = P99_MS.max(P99_TIMES * self.p99_before_ms);
        if self.p99_ms > limit {
            wrong.push(format!("99 % took {:.1} ms, at most {limit:.1}", self.p99_ms));
        }
        if self.memory_more > MEMORY {
            wrong.push(format!("{} MiB of memory, at most {}", self.memory_more >> 20, MEMORY >> 20));
        }
        if self.left > 0 {
            wrong.push(format!(
                "{} descriptors are still open after {:.1} s",
                self.left,
                self.closed_after_ms / 1e3
            ));
        }
        if self.cpu_after_percent > RESTING_PERCENT {
            wrong.push(format!("{:.0} % of a core when nobody asks", self.cpu_after_percent));
        }
        if self.logged > LOG {
            wrong.push(format!("{} MiB of log", self.logged >> 20));
        }
        self.wrong = wrong;
        self
    }

    /// Whether nothing is wrong but the 99th percentile.
    pub(in crate::hostile) fn only_slow(&self) -> bool {
        let judged = Self { p99_ms: 0.0, ..self.clone() }.judged();
        !self.wrong.is_empty() && self.wrong.len() == 1 && judged.wrong.is_empty()
    }

    fn letter(&self) -> char {
        if self.stack == "haproxy" { 'H' } else { 'T' }
    }

    fn passed(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// Writes the figures where they are wanted, and says how it went: an error if Tandem failed a kind.
pub(in crate::hostile) fn finish(played: &[Figures], file: Option<&Path>) -> Result<String, String> {
    if let Some(file) = file {
        let text = serde_json::to_string_pretty(&json!({ "kinds": played })).map_err(|e| e.to_string())?;
        std::fs::write(file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let text = table(played);
    let ours: Vec<&Figures> = played.iter().filter(|figures| figures.stack != "haproxy").collect();
    match ours.iter().filter(|figures| !figures.passed()).count() {
        0 => Ok(text),
        failed => Err(format!("{text}\n{failed} of {} kinds do not hold", ours.len())),
    }
}

fn table(played: &[Figures]) -> String {
    let mut table = table::plain(["kind", "result", "errors", "p99", "was", "MiB", "CPU", "open"]);
    for figures in played {
        table.add_row(vec![
            Cell::new(&figures.kind),
            Cell::new(format!("{} {}", figures.letter(), if figures.passed() { "pass" } else { "FAIL" })),
            Cell::new(figures.errors),
            Cell::new(format!("{:.1}", figures.p99_ms)),
            Cell::new(format!("{:.1}", figures.p99_before_ms)),
            Cell::new(figures.memory_more >> 20),
            Cell::new(format!("{:.0}", figures.cpu_percent)),
            Cell::new(figures.left),
        ]);
    }
    let mut text = format!(
        "{table}\nT: Tandem, H: HAProxy. errors: of good clients; p99: of their requests, ms;\n\
         was: before the attack; MiB: memory on top; CPU: % of a core while attacked;\n\
         open: descriptors that are still open when every timeout has passed"
    );
    for figures in played.iter().filter(|figures| !figures.passed()) {
        let _ = write!(text, "\n{} of {}:", figures.kind, figures.stack);
        for wrong in &figures.wrong {
            let _ = write!(text, "\n  {wrong}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        Figures { stack: "tandem".to_owned(), kind: "server-reads-nothing".to_owned(), ..Figures::default() }
    }

    #[test]
    fn attack_figures_beyond_a_bound_fail() {
        let failed = |figures: Figures| figures.judged().wrong.len();
        assert_eq!(failed(Figures { p99_ms: 20.0, memory_more: MEMORY, ..figures() }), 0);
        assert_eq!(failed(Figures { p99_ms: 39.0, p99_before_ms: 20.0, ..figures() }), 0);
        assert_eq!(failed(Figures { p99_ms: 20.1, memory_more: MEMORY + 1, ..figures() }), 2);
        assert_eq!(failed(Figures { errors: 1, left: 31, cpu_after_percent: 99.0, ..figures() }), 3);
        assert!(Figures { p99_ms: 20.1, ..figures() }.judged().only_slow());
        assert!(!Figures { p99_ms: 20.1, errors: 1, ..figures() }.judged().only_slow());
        assert_eq!(failed(Figures { trouble: Some("it ended".to_owned()), ..figures() }), 1);
    }

    #[test]
    fn attack_table_fits_eighty_columns() {
        let long = Figures { errors: 12_345, p99_ms: 2_000.0, p99_before_ms: 12.3, left: 1_000, ..figures() };
        let text = table(&[long]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
