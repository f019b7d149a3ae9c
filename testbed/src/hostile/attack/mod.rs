//! One attacker with a thousand connections, one kind of attack after the other, and good clients beside it who must
//! not notice. Alone the program has one core to itself; everything else is on the other.

mod alone;
mod clients;
mod figures;
mod good;
mod kinds;
mod measure;
mod pair;
mod servers;
mod step;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::Stack;
use super::program;
use crate::lab::{STALL, Stalls};
use figures::Figures;
use kinds::{KINDS, Kind, World};

pub(super) use clients::{Attacker, Whom};
pub(super) use good::{Connections, Good, Window};
pub(super) use servers::Servers;
pub(super) use step::Step;

/// Bytes of the good server's answer.
pub(super) const BODY: usize = 1_024;
/// How long a kind lasts by hand, in seconds, and in brief.
const LENGTH: u64 = 30;
const BRIEF: Duration = Duration::from_millis(1_500);

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Good clients ask 500 times a second. A kind passes with 0 errors, a 99th percentile of
at most 20 ms or twice that before the attack (median of three), at most 64 MiB more
memory, every connection closed in time, and a program that lives and rests after it.

Examples:
  cargo hostile attack --brief
  cargo hostile attack chunk-cut slow-head --seconds 10
  cargo hostile attack --stack both --json attack.json
  cargo hostile attack --pair channel-flood vrrp-forged")]
pub(super) struct Options {
    /// Kinds of attack [default: every one; --list shows them]
    kinds: Vec<String>,
    /// Show the kinds, and do nothing
    #[arg(long)]
    list: bool,
    /// Which program is attacked
    #[arg(long, value_enum, default_value = "tandem")]
    stack: Stack,
    /// How long a kind lasts
    #[arg(long, value_name = "SECONDS", default_value_t = LENGTH, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// A pair in the lab instead of a program that is alone
    #[arg(long, conflicts_with = "stack")]
    pub(super) pair: bool,
    /// Each kind for 1.5 seconds only
    #[arg(long, conflicts_with = "seconds")]
    brief: bool,
    /// Write the figures here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Options {
    fn length(&self) -> Duration {
        if self.brief { BRIEF } else { Duration::from_secs(self.seconds) }
    }

    /// What is played here.
    fn kinds(&self, here: impl Fn(&Kind) -> bool) -> Result<Vec<&'static Kind>, String> {
        if self.kinds.is_empty() {
            return Ok(KINDS.iter().filter(|kind| here(kind)).collect());
        }
        let named = |name: &String| {
            let kind = KINDS.iter().find(|kind| kind.name == *name);
            kind.ok_or_else(|| format!("there is no kind '{name}'; --list shows what there is"))
        };
        self.kinds.iter().map(named).collect()
    }
}

pub(super) fn list() -> String {
    KINDS.iter().map(|kind| format!("{:21} {}", kind.name, kind.about)).collect::<Vec<_>>().join("\n")
}

pub(super) fn run(options: &Options) -> Result<String, String> {
    if options.list {
        return Ok(list());
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Err("two cores are needed: one for the program, one for everything else".to_owned());
    }
    program::raise_own_limit();
    let mut played: Vec<Figures> = Vec::new();
    let mut play = |bar: &ProgressBar, stack, kind: &'static Kind, figures: Result<Figures, String>| {
        played.push(figures.unwrap_or_else(|why| Figures::failed(stack, kind, why)));
        bar.inc(1);
    };
    if options.pair {
        let kinds = options.kinds(|kind| kind.world == World::Plain)?;
        let bar = progress(kinds.len())?;
        let mut pair = pair::Attacked::build()?;
        for kind in kinds {
            bar.set_message(kind.name);
            play(&bar, Stack::Tandem, kind, three_times(|| pair.play(kind, options.length())));
        }
        bar.finish_and_clear();
        return figures::finish(&played, options.json.as_deref());
    }
    let kinds = options.kinds(|kind| !kind.port.is_of_a_pair())?;
    let beside = options.stack != Stack::Tandem && program::haproxy()?.is_some();
    let stacks: &[Stack] = match (options.stack, beside) {
        (Stack::Haproxy, true) => &[Stack::Haproxy],
        (Stack::Both, true) => &[Stack::Tandem, Stack::Haproxy],
        _ => &[Stack::Tandem],
    };
    let bar = progress(kinds.len() * stacks.len())?;
    for kind in kinds {
        for stack in stacks {
            bar.set_message(format!("{} at {}", kind.name, program::name(*stack)));
            play(&bar, *stack, kind, three_times(|| alone::play(*stack, kind, options.length())));
        }
    }
    bar.finish_and_clear();
    figures::finish(&played, options.json.as_deref())
}

/// Plays a kind. One that fails while the machine itself stood still is played once more; of one that was only slow the
/// median of three counts.
fn three_times(mut play: impl FnMut() -> Result<Figures, String>) -> Result<Figures, String> {
    let stalls = Stalls::watch();
    let mut figures = play();
    if figures.as_ref().is_ok_and(Figures::only_slow) {
        let mut each = vec![figures?, play()?, play()?];
        // What fails otherwise fails, however fast it is.
        if let Some(place) = each.iter().position(|one| !one.wrong.is_empty() && !one.only_slow()) {
            return Ok(each.swap_remove(place));
        }
        each.sort_by(|one, other| one.p99_ms.total_cmp(&other.p99_ms));
        return Ok(each.swap_remove(each.len() / 2));
    }
    if figures.as_ref().is_ok_and(|figures| !figures.wrong.is_empty()) && stalls.longest() > STALL {
        figures = play();
    }
    figures
}

fn progress(steps: usize) -> Result<ProgressBar, String> {
    let bar = ProgressBar::new(steps as u64);
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}").map_err(|e| e.to_string())?;
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}
