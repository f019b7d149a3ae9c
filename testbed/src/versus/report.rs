//! The figures, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::load::Load;
use super::proxies::Cpu;
use crate::table;

/// One proxy's figures of one round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    user_us: f64,
    system_us: f64,
    rps: f64,
    p50_us: f64,
    p99_us: f64,
    rss_kb: f64,
}

impl Round {
    pub(crate) fn new(load: &Load, before: Cpu, after: Cpu, length: Duration, rss_kb: u64) -> Self {
        let mut sorted = load.latencies.clone();
        sorted.sort_unstable();
        let requests = sorted.len().max(1) as f64;
        let share = |of: f64| sorted.get((sorted.len() as f64 * of) as usize).copied().map_or(0.0, f64::from);
        let each =
            |after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64() * 1e6 / requests;
        Self {
            user_us: each(after.user, before.user),
            system_us: each(after.system, before.system),
            rps: sorted.len() as f64 / length.as_secs_f64(),
            p50_us: share(0.50),
            p99_us: share(0.99),
            rss_kb: rss_kb as f64,
        }
    }

    fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }
}

/// One case, all proxies.
#[derive(Debug)]
pub(crate) struct CaseReport {
    case: &'static str,
    rounds: u32,
    absent: Vec<&'static str>,
    proxies: BTreeMap<&'static str, Vec<Round>>,
}

impl CaseReport {
    pub(crate) fn new(case: &'static str, rounds: u32, absent: Vec<&'static str>) -> Self {
        Self { case, rounds, absent, proxies: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, proxy: &'static str, round: Round) {
        self.proxies.entry(proxy).or_default().push(round);
    }

    /// A proxy's median of one figure.
    fn median(&self, proxy: &str, figure: impl Fn(&Round) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.proxies.get(proxy).into_iter().flatten().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(0.0)
    }

    /// Tandem's CPU time per request over another's: below 1, Tandem spends less.
    fn ratio(&self, proxy: &str) -> f64 {
        self.median("tandem", Round::cpu_us) / self.median(proxy, Round::cpu_us).max(f64::MIN_POSITIVE)
    }

    fn json(&self) -> Value {
        let mut proxies = Map::new();
        let mut ratio = Map::new();
        let short = |figure: f64| (figure * 100.0).round() / 100.0;
        for name in self.proxies.keys() {
            let median = |figure: &dyn Fn(&Round) -> f64| short(self.median(name, figure));
            proxies.insert(
                (*name).to_owned(),
                json!({
                    "cpu_us": median(&Round::cpu_us),
                    "user_us": median(&|r| r.user_us),
                    "system_us": median(&|r| r.system_us),
                    "rps": median(&|r| r.rps),
                    "p50_us": median(&|r| r.p50_us),
                    "p99_us": median(&|r| r.p99_us),
                    "rss_kb": median(&|r| r.rss_kb),
                }),
            );
            if *name != "tandem" {
                ratio.insert((*name).to_owned(), json!(short(self.ratio(name))));
            }
        }
        json!({ "case": self.case, "rounds": self.rounds, "proxies": proxies, "ratio": ratio })
    }

    pub(crate) fn text(&self) -> String {
        let mut table = table::plain([
            "proxy", "CPU us", "user", "system", "req/s", "p50 us", "p99 us", "RSS KiB", "ratio",
        ]);
        for name in self.proxies.keys() {
            let median = |figure: &dyn Fn(&Round) -> f64| self.median(name, figure);
            table.add_row(vec![
                (*name).to_owned(),
                format!("{:.2}", median(&Round::cpu_us)),
                format!("{:.2}", median(&|r| r.user_us)),
                format!("{:.2}", median(&|r| r.system_us)),
                format!("{:.0}", median(&|r| r.rps)),
                format!("{:.0}", median(&|r| r.p50_us)),
                format!("{:.0}", median(&|r| r.p99_us)),
                format!("{:.0}", median(&|r| r.rss_kb)),
                format!("{:.2}", self.ratio(name)),
            ]);
        }
        let absent = match self.absent.as_slice() {
            [] => String::new(),
            names => format!("\nnot installed, left out: {}", names.join(", ")),
        };
        format!(
            "{}: medians of {} rounds; CPU time is per request; ratio: Tandem's to this one's\n{table}{absent}",
            self.case, self.rounds
        )
    }
}

pub(crate) fn json(reports: &[CaseReport]) -> Value {
    json!({ "cases": reports.iter().map(CaseReport::json).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_tandems_cpu_time_to_anothers() {
        let cpu = |ms| Cpu { user: Duration::from_millis(ms), system: Duration::ZERO };
        let load = Load { latencies: vec![100; 1_000] };
        let mut report = CaseReport::new("keepalive", 1, vec!["nginx"]);
        report.add("tandem", Round::new(&load, cpu(0), cpu(5), Duration::from_secs(1), 9));
        report.add("haproxy", Round::new(&load, cpu(0), cpu(10), Duration::from_secs(1), 9));
        let json = json(&[report]);
        let case = &json["cases"][0];
        assert_eq!(
            (&case["ratio"]["haproxy"], &case["proxies"]["tandem"]["cpu_us"]),
            (&json!(0.5), &json!(5.0))
        );
        assert_eq!(case["proxies"]["tandem"]["rps"], 1_000.0);
    }
}
