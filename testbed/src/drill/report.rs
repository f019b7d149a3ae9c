//! What the clients felt, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::Cell;
use serde_json::{Value, json};

use crate::table;

/// One run's figures.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) outage: Duration,
    /// The longest that a good answer took since the fault.
    pub(crate) slowest: Duration,
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    pub(crate) cut: usize,
    pub(crate) stick_violations: usize,
    pub(crate) entries_before: usize,
    pub(crate) entries_after: usize,
    pub(crate) entries_lost: usize,
    pub(crate) master: String,
    pub(crate) master_after: Duration,
    pub(crate) why: String,
}

/// A drill's figures.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    scenario: &'static str,
    advert: String,
    /// Somebody wanted it: no new connection may fail.
    planned: bool,
    pub(crate) runs: Vec<Run>,
}

impl Report {
    pub(crate) fn new(scenario: &'static str, advert: &str, planned: bool) -> Self {
        Self { scenario, advert: advert.to_owned(), planned, runs: Vec::new() }
    }

    fn median(&self) -> f64 {
        let mut sorted: Vec<f64> = self.runs.iter().map(|r| millis(r.outage)).collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => 0.0,
            n if n % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let run = |r: &Run| {
            json!({
                "outage_ms": millis(r.outage),
                "slowest_ms": millis(r.slowest),
                "requests": r.requests,
                "failed": r.failed,
                "cut": r.cut,
                "stick_violations": r.stick_violations,
                "entries_before": r.entries_before,
                "entries_after": r.entries_after,
                "entries_lost": r.entries_lost,
                "master": r.master,
                "master_after_ms": millis(r.master_after),
                "why": r.why,
            })
        };
        json!({
            "scenario": self.scenario,
            "advert": self.advert,
            "runs": self.runs.iter().map(run).collect::<Vec<_>>(),
            "median_outage_ms": (self.median() * 10.0).round() / 10.0,
        })
    }

    pub(crate) fn text(&self) -> String {
        let mut table =
            table::plain(["run", "gap", "slowest", "asked", "failed", "cut", "moved", "lost", "took over"]);
        for (number, run) in self.runs.iter().enumerate() {
            table.add_row(vec![
                Cell::new(number + 1),
                Cell::new(format!("{:.0} ms", millis(run.outage))),
                Cell::new(format!("{:.0} ms", millis(run.slowest))),
                Cell::new(run.requests),
                Cell::new(run.failed),
                Cell::new(run.cut),
                Cell::new(run.stick_violations),
                Cell::new(format!("{} of {}", run.entries_lost, run.entries_before)),
                Cell::new(format!("{} {:.0} ms", run.master, millis(run.master_after))),
            ]);
        }
        let mut whys: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for run in &self.runs {
            *whys.entry((&run.master, &run.why)).or_default() += 1;
        }
        let why = |((master, why), count): (&(&str, &str), &usize)| {
            format!("{master} became master because {why}: {count} of {}", self.runs.len())
        };
        format!(
            "{table}\n{}, advertisements every {}: median of the longest gaps {:.0} ms\n{}\n\n\
             gap: longest time without a good answer; slowest: of the good answers;\n\
             failed: no connection, no answer; cut: connected, then broken; moved: sessions\n\
             that met another server; lost: table entries the new master does not have",
            self.scenario,
            self.advert,
            self.median(),
            whys.iter().map(why).collect::<Vec<_>>().join("\n"),
        )
    }

    /// Whether it went as it must.
    pub(crate) fn judge(&self, limit_ms: u64) -> Result<(), String> {
        let moved: usize = self.runs.iter().map(|r| r.stick_violations).sum();
        let lost: usize = self.runs.iter().map(|r| r.entries_lost).sum();
        let failed: usize = self.runs.iter().map(|r| r.failed).sum();
        let slowest = self.runs.iter().map(|r| millis(r.slowest)).fold(0.0, f64::max);
        if self.planned && (failed > 0 || slowest > limit_ms as f64) {
            Err(format!("{failed} new connections failed, the slowest took {slowest:.0} ms"))
        } else if moved > 0 || lost > 0 {
            Err(format!("{moved} sessions moved and {lost} entries were lost"))
        } else if self.median() > limit_ms as f64 {
            Err(format!("the median of {:.0} ms exceeds {limit_ms} ms", self.median()))
        } else {
            Ok(())
        }
    }
}

fn millis(length: Duration) -> f64 {
    (length.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_fits_eighty_columns_and_the_median_is_one() {
        let run = |ms| Run {
            outage: Duration::from_millis(ms),
            slowest: Duration::from_millis(ms - 10),
            requests: 2_500,
            failed: 12,
            cut: 3,
            stick_violations: 0,
            entries_before: 160,
            entries_after: 160,
            entries_lost: 0,
            master: "lb2".to_owned(),
            master_after: Duration::from_millis(ms - 3),
            why: "the master fell silent".to_owned(),
        };
        let mut report = Report::new("crash", "100ms", false);
        report.runs = vec![run(300), run(400), run(310)];
        let text = report.text();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(report.json()["median_outage_ms"], 310.0);
        assert!(report.judge(310).is_ok() && report.judge(309).is_err());
        report.planned = true;
        assert!(report.judge(1_000).is_err(), "no new connection may fail");
    }
}
