//! What the clients felt, for people and for programs, and whether that is what is demanded.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use comfy_table::Cell;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::load::Counts;
use super::scenario::Scenario;
use super::stack::Stack;
use super::{Plan, interval};
use crate::lab::STALL;
use crate::table;

/// Two observers look every two milliseconds, not at the same moment; and a blockade takes some to be lifted.
const RESOLUTION_MS: f64 = 20.0;
/// How long a kernel keeps an address that nobody renews.
const LIFETIME_MS: f64 = 2_400.0;
/// Heights of a plot.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Runs in a plot: so many fit beside the figures.
const PLOTTED: usize = 12;

/// One run's figures.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The longest time without a good answer since the fault.
    pub(crate) outage_ms: f64,
    /// The longest that a good answer took since the fault.
    pub(crate) slowest_ms: f64,
    /// Requests on connections of their own.
    pub(crate) requests: usize,
    /// No answer or a wrong one: of everything that was asked.
    pub(crate) failed: usize,
    /// Connections cut in the middle: of all.
    pub(crate) reset: usize,
    pub(crate) refused: usize,
    /// Those of `reset` that were for one request.
    pub(crate) cut: usize,
    /// Requests on connections that are kept, downloads, and uploads.
    pub(crate) kept: Counts,
    pub(crate) fetched: Counts,
    pub(crate) sent: Counts,
    pub(crate) switches: u32,
    pub(crate) stick_violations: usize,
    pub(crate) entries_before: usize,
    /// Unknown where the last owner does not say.
    pub(crate) entries_after: Option<usize>,
    pub(crate) entries_lost: Option<usize>,
    /// The last owner of the address.
    pub(crate) master: String,
    pub(crate) master_after_ms: f64,
    pub(crate) why: String,
    /// How often a node has begun to own the address.
    pub(crate) transitions: usize,
    /// The longest time that both owned it.
    pub(crate) two_masters_ms: f64,
    /// How long after the fault was over exactly one owned it for good.
    pub(crate) one_master_ms: Option<f64>,
    /// How long after the fault was over every client was served again.
    pub(crate) clients_back_ms: Option<f64>,
    /// When the first master had the address no more.
    pub(crate) address_gone_ms: Option<f64>,
    /// What the one that slept sent in the address' name after waking.
    pub(crate) zombie_answers: Option<usize>,
    /// The longest that the machine itself stood still.
    pub(crate) stood_still_ms: f64,
    pub(crate) busy: Option<Busy>,
}

/// What saturated cores did to advertisements.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Busy {
    pub(crate) seconds: u64,
    pub(crate) adverts: usize,
    pub(crate) adverts_of_the_backup: usize,
    /// How late the latest came, and of a hundred the second latest.
    pub(crate) latest_ms: f64,
    pub(crate) late_99_ms: f64,
}

/// A drill's figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    scenario: Scenario,
    stack: Stack,
    advert: String,
    runs: Vec<Run>,
    /// Runs that are not among them: the machine stood still meanwhile.
    void: u32,
    median_outage_ms: f64,
    longest_outage_ms: f64,
}

/// Something demanded.
pub(crate) struct Goal {
    what: String,
    pub(crate) met: bool,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", if self.met { "met   " } else { "MISSED" }, self.what)
    }
}

impl Report {
    pub(crate) fn new(plan: &Plan, runs: Vec<Run>, void: u32) -> Self {
        let gaps: Vec<f64> = runs.iter().map(|run| run.outage_ms).collect();
        Self {
            scenario: plan.scenario,
            stack: plan.stack,
            advert: plan.advert.clone(),
            median_outage_ms: median(&gaps),
            longest_outage_ms: gaps.iter().copied().fold(0.0, f64::max),
            runs,
            void,
        }
    }

    fn sum(&self, which: impl Fn(&Run) -> usize) -> usize {
        self.runs.iter().map(which).sum()
    }

    fn most(&self, which: impl Fn(&Run) -> f64) -> f64 {
        self.runs.iter().map(which).fold(0.0, f64::max)
    }

    /// The longest of something that every run must have had.
    fn longest(&self, which: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        self.runs.iter().map(which).try_fold(0.0, |most: f64, one| Some(most.max(one?)))
    }

    fn lost(&self) -> usize {
        self.sum(|run| run.entries_lost.unwrap_or(run.entries_before))
    }

    pub(crate) fn text(&self) -> String {
        let mut table = table::plain([
            "run", "gap", "slowest", "asked", "failed", "reset", "moved", "lost", "both", "owner",
        ]);
        for (number, run) in self.runs.iter().enumerate() {
            table.add_row(vec![
                Cell::new(number + 1),
                Cell::new(format!("{:.0}", run.outage_ms)),
                Cell::new(format!("{:.0}", run.slowest_ms)),
                Cell::new(run.requests),
                Cell::new(run.failed + run.refused),
                Cell::new(run.reset),
                Cell::new(run.stick_violations),
                Cell::new(run.entries_lost.map_or("-".to_owned(), |lost| lost.to_string())),
                Cell::new(format!("{:.0}", run.two_masters_ms)),
                Cell::new(format!("{} {:.0}", run.master, run.master_after_ms)),
            ]);
        }
        let mut whys: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for run in self.runs.iter().filter(|run| !run.why.is_empty()) {
            *whys.entry((&run.master, &run.why)).or_default() += 1;
        }
        let why = |((master, why), count): (&(&str, &str), &usize)| {
            format!("{master} became master because {why}: {count} of {}\n", self.runs.len())
        };
        format!(
            "{table}\n{} of {}, adverts every {}: median of the longest gaps {:.0} ms\ngaps: {}\n{}{}\n\
             Times in milliseconds. gap: longest without a good answer; slowest: of the good\n\
             answers; failed: no connection, no or a wrong answer; reset: connected, then\n\
             broken; moved: sessions that met another server; lost: table entries the owner\n\
             does not have; both: longest with two owners; owner: the last, and since when;\n\
             kept: requests on connections that are kept",
            self.scenario.word(),
            self.stack.word(),
            self.advert,
            self.median_outage_ms,
            self.plot(),
            self.notes().join(""),
            whys.iter().map(why).collect::<String>(),
        )
    }

    /// The longest gaps of the runs, each as high as it is long.
    fn plot(&self) -> String {
        let longest = self.longest_outage_ms.max(1.0);
        let bar = |run: &Run| {
            let height = (run.outage_ms / longest * BARS.len() as f64).ceil() as usize;
            BARS[height.clamp(1, BARS.len()) - 1]
        };
        self.runs.iter().take(PLOTTED).map(bar).collect()
    }

    /// What is worth saying of some drills only.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let or_never = |ms: Option<f64>| ms.map_or("never".to_owned(), |ms| format!("{ms:.0} ms"));
        if self.runs.iter().any(|run| run.clients_back_ms.is_some()) {
            let (one, back) =
                (self.longest(|run| run.one_master_ms), self.longest(|run| run.clients_back_ms));
            notes.push(format!(
                "after it was over: one owner for good {}, every client served {}\n",
                or_never(one),
                or_never(back)
            ));
        }
        let (moved, lost) = (self.sum(|run| run.stick_violations), self.lost());
        if moved + lost > 0 {
            notes.push(format!("sessions that met another server: {moved}; table entries lost: {lost}\n"));
        }
        if self.scenario == Scenario::Kill {
            let gone = or_never(self.longest(|run| run.address_gone_ms));
            notes.push(format!("the dead node's address is gone: {gone}\n"));
        }
        if self.runs.iter().any(|run| run.zombie_answers.is_some()) {
            let answers = self.sum(|run| run.zombie_answers.unwrap_or_default());
            notes.push(format!("answers in the address' name by the one that woke: {answers}\n"));
        }
        let full = |which: &dyn Fn(&Run) -> Counts| {
            let each: Vec<Counts> = self.runs.iter().map(which).collect();
            let done: usize = each.iter().map(|c| c.done).sum();
            let bad: usize = each.iter().map(|c| c.failed + c.reset + c.refused).sum();
            (done, format!("{done} well, {bad} not"))
        };
        let (kept, fetched, sent) = (full(&|run| run.kept), full(&|run| run.fetched), full(&|run| run.sent));
        if kept.0 > 0 {
            notes.push(format!("kept: {}; downloads: {}; uploads: {}\n", kept.1, fetched.1, sent.1));
        }
        if self.void > 0 {
            notes.push(format!("void, and played again: {} (the machine stood still)\n", self.void));
        }
        let still = self.most(|run| run.stood_still_ms);
        if self.scenario != Scenario::Busy && still > millis(STALL) {
            notes.push(format!("counted, though the machine stood still: for {still:.0} ms\n"));
        }
        for busy in self.runs.iter().filter_map(|run| run.busy.as_ref()) {
            notes.push(format!(
                "{} s, {} adverts: the latest {:.1} ms late, 99 % within {:.1}; {} by the backup\n",
                busy.seconds, busy.adverts, busy.latest_ms, busy.late_99_ms, busy.adverts_of_the_backup
            ));
        }
        notes
    }

    /// What of Tandem exceeds a limit of the longest gaps' median, or went otherwise as it must not.
    pub(crate) fn exceeds(&self, limit_ms: u64) -> Option<String> {
        if self.stack != Stack::Tandem {
            return None;
        }
        let (moved, lost) = (self.sum(|run| run.stick_violations), self.lost());
        let bad = self.sum(|run| run.failed + run.reset + run.refused);
        let slowest = self.most(|run| run.slowest_ms);
        if self.scenario.is_planned() && (bad > 0 || slowest > limit_ms as f64) {
            Some(format!("{bad} requests failed or were cut, the slowest took {slowest:.0} ms"))
        } else if moved > 0 || lost > 0 {
            Some(format!("{moved} sessions moved and {lost} entries were lost"))
        } else if self.median_outage_ms > limit_ms as f64 {
            Some(format!("the median of {:.0} ms exceeds {limit_ms} ms", self.median_outage_ms))
        } else {
            None
        }
    }

    /// What is demanded of Tandem here; some of it beside keepalived, where its figures are among the others.
    pub(crate) fn goals(&self, others: &[Self]) -> Vec<Goal> {
        if self.stack != Stack::Tandem {
            return Vec::new();
        }
        let other = others.iter().find(|o| o.stack == Stack::Keepalived && o.scenario == self.scenario);
        let word = self.scenario.word();
        let gap = self.median_outage_ms;
        let is_fast = interval(&self.advert).is_some_and(|interval| interval <= Duration::from_millis(10));
        let mut goals = Vec::new();
        let mut demand = |met: bool, what: String| goals.push(Goal { what: format!("{word}: {what}"), met });
        let mut at_most = |what: &str, is: Option<f64>, limit: f64| {
            let text = is.map_or("never".to_owned(), |is| format!("{is:.0} ms"));
            demand(is.is_some_and(|is| is <= limit), format!("{what} {text}, at most {limit:.0} ms"));
        };
        match self.scenario {
            Scenario::Crash => {
                if let Some(other) = other {
                    at_most("median gap beside keepalived", Some(gap), other.median_outage_ms + 10.0);
                }
                if is_fast {
                    at_most("median gap", Some(gap), 60.0);
                }
            }
            Scenario::Kill => {
                if let Some(other) = other.filter(|_| !is_fast) {
                    at_most(
                        "median gap beside half of keepalived's",
                        Some(gap),
                        other.median_outage_ms / 2.0,
                    );
                }
                at_most("the address is gone after", self.longest(|run| run.address_gone_ms), LIFETIME_MS);
            }
            Scenario::ProxyCrash => at_most("median gap", Some(gap), 60.0),
            Scenario::WorkerHang => at_most("median gap", Some(gap), 500.0),
            Scenario::AddressDeleted => at_most("median gap", Some(gap), 50.0),
            Scenario::Partition => {
                let advert = interval(&self.advert).unwrap_or_default();
                let limit = millis(advert) + RESOLUTION_MS;
                at_most("one owner after healing", self.longest(|run| run.one_master_ms), limit);
                at_most("every client back", self.longest(|run| run.clients_back_ms), 1_000.0);
            }
            Scenario::OneWay | Scenario::DeafMaster | Scenario::SplitBrain | Scenario::Isolation => {
                at_most("two owners", Some(self.most(|run| run.two_masters_ms)), 0.0);
            }
            Scenario::Pause => {
                let answers = self.sum(|run| run.zombie_answers.unwrap_or_default());
                demand(answers == 0, format!("{answers} answers by the one that woke, at most 0"));
            }
            Scenario::Stop | Scenario::Failover | Scenario::Reload => {
                let (failed, reset) = (self.sum(|run| run.failed + run.refused), self.sum(|run| run.reset));
                let switches = self.sum(|run| run.switches as usize);
                demand(
                    failed + reset == 0,
                    format!("{failed} failed and {reset} reset in {switches}, at most 0"),
                );
            }
            Scenario::Busy => {
                let moved = self
                    .sum(|run| run.transitions + run.busy.as_ref().map_or(1, |b| b.adverts_of_the_backup));
                demand(moved == 0, format!("{moved} signs of a change, at most 0"));
            }
            Scenario::LinkDown | Scenario::Flapping | Scenario::RebootBoth => {}
        }
        let alone = self.runs.iter().filter(|run| run.master == "lb1" || run.master == "lb2").count();
        goals.push(Goal {
            what: format!("{word}: one owner in the end in {alone} of {} runs", self.runs.len()),
            met: alone == self.runs.len(),
        });
        goals
    }
}

/// Several drills on one page.
pub(crate) fn table(reports: &[Report]) -> String {
    let mut table = table::plain(["drill", "stack", "gap", "worst", "both", "failed", "reset", "gaps"]);
    for report in reports {
        table.add_row(vec![
            Cell::new(report.scenario.word()),
            Cell::new(report.stack.word()),
            Cell::new(format!("{:.0}", report.median_outage_ms)),
            Cell::new(format!("{:.0}", report.longest_outage_ms)),
            Cell::new(format!("{:.0}", report.most(|run| run.two_masters_ms))),
            Cell::new(report.sum(|run| run.failed + run.refused)),
            Cell::new(report.sum(|run| run.reset)),
            Cell::new(report.plot()),
        ]);
    }
    let noted = reports.iter().filter(|report| !report.notes().is_empty());
    let notes = noted.map(|report| {
        format!(
            "\n{} of {}:\n  {}",
            report.scenario.word(),
            report.stack.word(),
            report.notes().join("  ").trim_end()
        )
    });
    format!(
        "{table}\nTimes in milliseconds. gap: longest without a good answer, median of the runs;\n\
         both: longest with two owners of the address; failed: no connection, no or a\n\
         wrong answer; reset: connected, then broken; gaps: of each run;\n\
         kept: requests on connections that are kept\n{}",
        notes.collect::<String>()
    )
}

/// For programs: one report as it is, several in a list.
pub(crate) fn json(reports: &[Report]) -> Value {
    match reports {
        [one] => json!(one),
        several => json!({ "drills": several }),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    };
    (median * 10.0).round() / 10.0
}

pub(crate) fn millis(length: Duration) -> f64 {
    (length.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(scenario: Scenario, stack: Stack, gaps: &[f64]) -> Report {
        let run = |gap: &f64| Run {
            outage_ms: *gap,
            slowest_ms: gap - 10.0,
            requests: 2_500,
            entries_before: 160,
            entries_after: Some(160),
            entries_lost: Some(0),
            master: "lb2".to_owned(),
            master_after_ms: gap - 3.0,
            why: "the master fell silent".to_owned(),
            address_gone_ms: Some(1_900.0),
            kept: Counts { done: 1_234, ..Counts::default() },
            clients_back_ms: Some(1_300.0),
            ..Run::default()
        };
        Report {
            scenario,
            stack,
            advert: "100ms".to_owned(),
            runs: gaps.iter().map(run).collect(),
            void: 1,
            median_outage_ms: median(gaps),
            longest_outage_ms: gaps.iter().copied().fold(0.0, f64::max),
        }
    }

    fn fits(text: &str) {
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn pages_fit_eighty_columns_and_the_median_is_one() {
        let one = report(Scenario::Crash, Stack::Tandem, &[3_300.0, 3_400.0, 3_310.0]);
        fits(&one.text());
        assert_eq!(json(std::slice::from_ref(&one))["median_outage_ms"], 3_310.0);
        assert_eq!(json(std::slice::from_ref(&one))["void"], 1);
        assert!(one.exceeds(3_310).is_none() && one.exceeds(3_309).is_some());
        let two = report(Scenario::DeafMaster, Stack::Keepalived, &[12_300.0; 20]);
        fits(&table(&[one, two]));
    }

    #[test]
    fn what_somebody_wants_must_not_be_felt() {
        let mut stop = report(Scenario::Stop, Stack::Tandem, &[5.0]);
        let met = |report: &Report| report.goals(&[]).iter().all(|goal| goal.met);
        assert!(met(&stop) && stop.exceeds(100).is_none());
        stop.runs[0].reset = 1;
        assert!(!met(&stop) && stop.exceeds(100).is_some());
    }

    #[test]
    fn some_goals_are_set_by_the_other_stack() {
        let ours = report(Scenario::Kill, Stack::Tandem, &[150.0]);
        let met = |other: f64| {
            let theirs = report(Scenario::Kill, Stack::Keepalived, &[other]);
            ours.goals(&[theirs]).iter().all(|goal| goal.met)
        };
        assert!(met(300.0) && !met(299.0));
    }
}
