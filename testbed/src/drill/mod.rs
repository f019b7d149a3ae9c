//! `cargo drill`: a pair serves, something happens to it, and clients say what they felt. The same with what most
//! people have, beside it.

mod fault;
mod keepalived;
mod load;
pub(crate) mod node;
mod report;
mod run;
mod scenario;
pub(crate) mod stack;
mod void;
pub(crate) mod watch;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::lab::Stalls;
use report::Report;
use scenario::Scenario;
use stack::{Programs, Stack};

/// How long a fault lasts that ends by itself, and how long in a brief drill.
const HOLD: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(2)];
/// How long a machine sleeps: in a brief drill, longer than the kernel keeps an address that nobody renews.
const PAUSE: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(5)];
/// Service before the fault.
const BEFORE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(1)];
/// Service after it.
const AFTER: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(2)];
/// How long every core is saturated.
const BUSY: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(10)];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Clients {
    /// 500 new connections a second
    Fresh,
    /// And 20 that keep theirs, two downloads and two uploads
    Full,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo drill
  cargo drill crash kill --runs 10 --advert 100ms --stack both --judge
  cargo drill --all --brief --runs 2 --judge
  cargo drill stop --switches 300
  TANDEM_BINARY=/usr/bin/tandem cargo drill proxy-crash --json drill.json")]
pub(crate) struct Options {
    /// What happens; crash if nothing is said
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// Everything that can happen
    #[arg(long, conflicts_with = "scenarios")]
    all: bool,
    /// To whom: as most people have it is a check script every second, HAProxy as master and worker, and peers
    #[arg(long, value_enum, default_value = "tandem")]
    stack: Stack,
    /// How often
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,
    /// Time between VRRP's advertisements
    #[arg(long, default_value = "100ms")]
    advert: String,
    /// Who asks; stop, failover and reload are always felt by all of them
    #[arg(long, value_enum, default_value = "fresh")]
    load: Clients,
    /// How often a stop or a failover goes back and forth in each run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    switches: u32,
    /// How long the master sleeps (30s; 5s if brief)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pause: Option<Duration>,
    /// How long every core is saturated (60; 10 if brief)
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Shorter times before, during and after what happens
    #[arg(long)]
    brief: bool,
    /// In a lab without a user namespace, where real-time priority is allowed: needs root
    #[arg(long)]
    as_root: bool,
    /// Drills at a time, each in a lab of its own; more than one makes all of them slower
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    jobs: u32,
    /// Write the figures here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail if the median of the longest gaps exceeds this; where somebody wants it, also if anything fails or takes
    /// longer
    #[arg(long, value_name = "MILLISECONDS")]
    within: Option<u64>,
    /// Fail if Tandem misses a goal; some are beside keepalived, and need both stacks
    #[arg(long)]
    judge: bool,
    /// Keep the nodes' logs in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// One drill: what happens to whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    scenario: Scenario,
    stack: Stack,
    runs: u32,
    advert: String,
    full: bool,
    switches: u32,
    pause: Duration,
    hold: Duration,
    before: Duration,
    after: Duration,
    seconds: Duration,
    keep: Option<PathBuf>,
    as_root: bool,
    /// Whether somebody watches its progress.
    watched: bool,
}

impl Options {
    fn plans(&self) -> Vec<Plan> {
        let scenarios: &[Scenario] = match (self.all, self.scenarios.as_slice()) {
            (true, _) => Scenario::value_variants(),
            (false, []) => &[Scenario::Crash],
            (false, some) => some,
        };
        let several = scenarios.len() * self.stack.each().len() > 1;
        let each = scenarios.iter().flat_map(|scenario| self.stack.each().iter().map(|s| (*scenario, *s)));
        each.map(|(scenario, stack)| self.plan(scenario, stack, several)).collect()
    }

    fn plan(&self, scenario: Scenario, stack: Stack, several: bool) -> Plan {
        let length = |lengths: [Duration; 2]| lengths[usize::from(self.brief)];
        let keep = self.keep.as_ref().map(|folder| match several {
            true => folder.join(format!("{}-{}", scenario.word(), stack.word())),
            false => folder.clone(),
        });
        Plan {
            scenario,
            stack,
            runs: self.runs,
            advert: self.advert.clone(),
            full: scenario.is_planned() || self.load == Clients::Full,
            switches: if scenario.switches() { self.switches } else { 1 },
            pause: self.pause.unwrap_or(length(PAUSE)),
            hold: length(HOLD),
            before: length(BEFORE),
            // A killed node keeps its address for a while, and it is to be seen that it loses it.
            after: if scenario == Scenario::Kill { AFTER[0] } else { length(AFTER) },
            seconds: self.seconds.map_or(length(BUSY), Duration::from_secs),
            keep,
            as_root: self.as_root,
            watched: self.jobs == 1,
        }
    }
}

/// Has every drill played in a lab of its own; what came out of them.
pub(crate) fn run(options: &Options) -> Result<String, String> {
    interval(&options.advert).ok_or_else(|| format!("no such interval: '{}'", options.advert))?;
    let plans = options.plans();
    let waiting = Mutex::new(plans.iter().enumerate());
    let done = Mutex::new(Vec::new());
    let work = || -> Result<(), String> {
        loop {
            let next = waiting.lock().map_err(|e| e.to_string())?.next();
            let Some((place, plan)) = next else { return Ok(()) };
            let report = in_a_lab(plan);
            done.lock().map_err(|e| e.to_string())?.push((place, report));
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.jobs).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread died".to_owned())?)
    })?;
    let mut done = done.into_inner().map_err(|e| e.to_string())?;
    done.sort_by_key(|(place, _)| *place);
    let (mut reports, mut troubles) = (Vec::new(), Vec::new());
    for (_, outcome) in done {
        match outcome {
            Ok(report) => reports.push(report),
            Err(why) => troubles.push(why),
        }
    }
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report::json(&reports)).map_err(|e| e.to_string())?;
        std::fs::write(file, json + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let mut text = match reports.as_slice() {
        [] => String::new(),
        [one] => one.text(),
        several => report::table(several),
    };
    if let Some(limit) = options.within {
        troubles.extend(reports.iter().filter_map(|report| report.exceeds(limit)));
    }
    if options.judge {
        let goals: Vec<_> = reports.iter().flat_map(|report| report.goals(&reports)).collect();
        text.push('\n');
        for goal in &goals {
            text.push_str(&format!("\n{goal}"));
        }
        let missed = goals.iter().filter(|goal| !goal.met).count();
        if missed > 0 {
            troubles.push(format!("goals missed: {missed} of {}", goals.len()));
        }
    }
    if troubles.is_empty() { Ok(text) } else { Err(format!("{text}\n{}", troubles.join("\n"))) }
}

/// Plays a drill in a lab of its own, which is another process.
fn in_a_lab(plan: &Plan) -> Result<Report, String> {
    let say = |what: &str| format!("{} of {}: {what}", plan.scenario.word(), plan.stack.word());
    let order = serde_json::to_string(plan).map_err(|e| e.to_string())?;
    let mut command = Command::new("/proc/self/exe");
    command.args(["play", &order]).args(plan.as_root.then_some("--as-root"));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    // Progress is shown there; troubles are, too, and what is void.
    command.stderr(if plan.watched { Stdio::inherit() } else { Stdio::piped() });
    let output = command.output().map_err(|e| say(&e.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(say(&format!("could not be played: {}", if plan.watched { "see above" } else { &said })));
    }
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).map_err(|e| say(&e.to_string()))
}

/// Plays a drill; inside the lab. Its report is for the process outside.
pub(crate) fn play(order: &str) -> Result<String, String> {
    let plan: Plan = serde_json::from_str(order).map_err(|e| e.to_string())?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let base: &Path = plan.keep.as_deref().unwrap_or(folder.path());
    let programs = Programs::new(plan.stack, base, &plan.advert)?;
    let bar = ProgressBar::new(u64::from(plan.runs) * run::STEPS);
    if !plan.watched {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}").map_err(|e| e.to_string())?;
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    let (mut runs, mut void) = (Vec::new(), 0);
    for number in 1..=plan.runs {
        let (stack, scenario) = (plan.stack.word(), plan.scenario.word());
        let step = |what: &str| {
            bar.set_message(format!("{stack} {scenario}, run {number}: {what}"));
            bar.inc(1);
        };
        let again = |why: &str| {
            bar.suspend(|| eprintln!("{scenario} of {stack}: run {number} is void and played again: {why}"));
            bar.set_position(u64::from(number - 1) * run::STEPS);
        };
        let play = |more| {
            let stalls = Stalls::watch();
            // A run that is played again has a lab of its own, too.
            (run::run(&programs, &plan, number + void + more, &stalls, &step), stalls.longest())
        };
        let (run, more) = void::one_that_counts(plan.scenario, play, again)?;
        runs.push(run);
        void += more;
    }
    bar.finish_and_clear();
    serde_json::to_string(&Report::new(&plan, runs, void)).map_err(|e| e.to_string())
}

/// A time as configurations say it, in seconds or milliseconds.
fn interval(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s').unwrap_or(text).parse().ok().map(Duration::from_secs)
}

fn time(text: &str) -> Result<Duration, String> {
    interval(text).ok_or_else(|| "a time is a number and 's' or 'ms'".to_owned())
}
