//! `cargo drill`: a pair serves, its master dies, and clients say what they felt.

mod client;
pub(crate) mod node;
mod report;
mod run;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use report::Report;

/// How the master dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Power loss: the link is gone and every process is killed
    Crash,
    /// Every process is killed; kernel and link live on
    Kill,
    /// The worker alone is killed
    ProxyCrash,
    /// The master is told to stop
    Stop,
    /// The master is told to hand over, and lives on
    Failover,
    /// The master reads its file anew, ten times
    Reload,
}

impl Scenario {
    fn word(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Kill => "kill",
            Self::ProxyCrash => "proxy-crash",
            Self::Stop => "stop",
            Self::Failover => "failover",
            Self::Reload => "reload",
        }
    }

    /// Whether somebody wants it: then no new connection may fail.
    fn is_planned(self) -> bool {
        matches!(self, Self::Stop | Self::Failover | Self::Reload)
    }
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo drill
  cargo drill crash --runs 10 --advert 100ms
  cargo drill proxy-crash --runs 10 --json drill.json")]
pub(crate) struct Options {
    /// How the master dies
    #[arg(value_enum, default_value = "crash")]
    scenario: Scenario,
    /// How often
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,
    /// Time between VRRP's advertisements
    #[arg(long, default_value = "100ms")]
    advert: String,
    /// Write the figures here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail if the median of the longest gaps exceeds this; where the switch is planned, also if any new
    /// connection fails or takes longer
    #[arg(long, value_name = "MILLISECONDS")]
    within: Option<u64>,
    /// Keep the nodes' logs in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Runs the drill; inside the lab.
pub(crate) fn run(options: &Options) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let base = options.keep.clone().unwrap_or_else(|| folder.path().to_path_buf());
    let world = run::World::new(&base, &options.advert)?;
    let bar = ProgressBar::new(u64::from(options.runs) * run::STEPS);
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}").map_err(|e| e.to_string())?;
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut report = Report::new(options.scenario.word(), &options.advert, options.scenario.is_planned());
    for number in 1..=options.runs {
        let step = |what: &str| {
            bar.set_message(format!("run {number}: {what}"));
            bar.inc(1);
        };
        report.runs.push(world.run(options.scenario, number, &step)?);
    }
    bar.finish_and_clear();
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report.json()).map_err(|e| e.to_string())?;
        std::fs::write(file, json + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let text = report.text();
    match options.within {
        Some(limit) => report.judge(limit).map(|()| text.clone()).map_err(|why| format!("{text}\n{why}")),
        None => Ok(text),
    }
}
