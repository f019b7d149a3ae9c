//! Mutation testing (`cargo mutate`): one change at a time is made to a crate, and its own tests are to notice. The whole
//! would take days; a sample that a seed draws says how many of them are noticed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;

use crate::dice::Dice;
use crate::{find_program, table};

/// The crates whose tests are judged: what they decide is what clients and peers see.
const CRATES: &[&str] =
    &["proxy-wire", "proxy-rules", "proxy-table", "proxy-backend", "replication-peers", "failover-vrrp"];
/// Of a hundred mutants that compile, how many are to be noticed.
const SHARE: usize = 85;
/// Longest time the tests of one mutant may take; whoever takes longer is noticed.
const SECONDS: &str = "60";

#[derive(Debug, Args)]
#[command(after_help = "\
Needs cargo-mutants (cargo install --locked cargo-mutants). Exit code: 0 at least 85 of 100 are noticed in each crate.

Examples:
  cargo mutate                          50 mutants of each of six crates
  cargo mutate proxy-wire --sample 20
  cargo mutate --changed 20 --minutes 6 of the lines changed in the last 20 commits")]
pub(crate) struct Options {
    /// Only these crates
    crates: Vec<String>,
    /// Mutants of each crate that compile
    #[arg(long, default_value_t = 50, value_name = "N")]
    sample: usize,
    /// Draws the sample; without it the commit does
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Only mutants of lines that the last so many commits changed
    #[arg(long, value_name = "COMMITS")]
    changed: Option<u32>,
    /// Ends after so long, and judges what was tried until then
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
}

/// What became of the mutants of one crate.
#[derive(Debug, Default, PartialEq, Eq)]
struct Judged {
    caught: usize,
    missed: Vec<String>,
    unviable: usize,
}

impl Judged {
    fn viable(&self) -> usize {
        self.caught + self.missed.len()
    }

    fn is_enough(&self) -> bool {
        self.caught * 100 >= self.viable() * SHARE
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn mutants() -> Result<PathBuf, String> {
    find_program("cargo-mutants")
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo/bin/cargo-mutants")))
        .filter(|program| program.is_file())
        .ok_or_else(|| "cargo-mutants is not installed: cargo install --locked cargo-mutants".to_owned())
}

/// The names of all mutants of a crate, of changed lines if there is a difference.
fn list(program: &Path, name: &str, diff: Option<&Path>) -> Result<Vec<String>, String> {
    let mut command = Command::new(program);
    command.args(["mutants", "--list", "--package", name, "--colors", "never"]).current_dir(root());
    if let Some(diff) = diff {
        command.arg("--in-diff").arg(diff);
    }
    let output = command.output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter(|line| line.contains(".rs:")).map(str::to_owned).collect())
}

/// As many as are asked for, in an order that the seed decides.
fn draw(mut names: Vec<String>, count: usize, dice: &mut Dice) -> Vec<String> {
    let mut drawn = Vec::new();
    while drawn.len() < count && !names.is_empty() {
        let place = usize::try_from(dice.roll(names.len() as u64)).unwrap_or(0);
        drawn.push(names.swap_remove(place));
    }
    drawn
}

/// Tries mutants of a crate, until the time is over.
fn play(program: &Path, name: &str, drawn: &[String], until: Option<Instant>) -> Result<Judged, String> {
    let out = root().join("target/mutants").join(name);
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir_all(&out).map_err(|e| e.to_string())?;
    let mut command = Command::new(program);
    command
        .args(["mutants", "--package", name, "--timeout", SECONDS, "--colors", "never", "--output"])
        .arg(&out)
        .current_dir(root())
        // Long simulations are for elsewhere: these tests are run for every mutant.
        .env("TANDEM_HISTORIES", "100")
        .env("TANDEM_EXCHANGES", "500")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    for one in drawn {
        command.arg("--re").arg(format!("^{}$", regex::escape(one)));
    }
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    while child.try_wait().map_err(|e| e.to_string())?.is_none() {
        if until.is_some_and(|until| Instant::now() > until) {
            // It ends what it has begun when it is interrupted.
            let _ = rustix::process::kill_process(
                rustix::process::Pid::from_child(&child),
                rustix::process::Signal::INT,
            );
            let _ = child.wait();
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let lines = |file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(out.join("mutants.out").join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let judged = Judged {
        caught: lines("caught.txt").len() + lines("timeout.txt").len(),
        missed: lines("missed.txt"),
        unviable: lines("unviable.txt").len(),
    };
    if judged == Judged::default() && until.is_none() && !drawn.is_empty() {
        return Err(format!(
            "no mutant of {name} was tried: see target/mutants/{name}/mutants.out/log/baseline.log"
        ));
    }
    Ok(judged)
}

pub(crate) fn run(options: &Options) -> Result<String, String> {
    let program = mutants()?;
    let seed = options.seed.unwrap_or_else(crate::effects::turn);
    let begin = Instant::now();
    let until = options.minutes.map(|minutes| begin + Duration::from_secs(60 * minutes));
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let diff = match options.changed {
        None => None,
        Some(commits) => {
            let range = format!("HEAD~{commits}");
            let output = Command::new("git").args(["diff", &range]).current_dir(root()).output();
            let file = folder.path().join("changed.diff");
            std::fs::write(&file, output.map_err(|e| e.to_string())?.stdout).map_err(|e| e.to_string())?;
            Some(file)
        }
    };
    let mut shown = table::plain(["crate", "mutants", "viable", "caught", "share", "missed"]);
    let (mut missed, mut poor) = (Vec::new(), BTreeSet::new());
    let crates: Vec<&str> = match options.crates.as_slice() {
        [] => CRATES.to_vec(),
        some => some.iter().map(String::as_str).collect(),
    };
    for (place, name) in crates.iter().enumerate() {
        let names = list(&program, name, diff.as_deref())?;
        let total = names.len();
        // One in five does not compile.
        let drawn = draw(names, options.sample + options.sample / 4, &mut Dice::new(seed));
        // Every crate gets its part of the time.
        let part = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Instant::now() + left / u32::try_from(crates.len() - place).unwrap_or(1)
        });
        let judged = if drawn.is_empty() { Judged::default() } else { play(&program, name, &drawn, part)? };
        let share = (judged.caught * 100).checked_div(judged.viable());
        shown.add_row([
            (*name).to_owned(),
            total.to_string(),
            judged.viable().to_string(),
            judged.caught.to_string(),
            share.map_or("-".to_owned(), |share| format!("{share} %")),
            judged.missed.len().to_string(),
        ]);
        if !judged.is_enough() {
            poor.insert(*name);
        }
        missed.extend(judged.missed);
    }
    let mut text = format!("seed {seed}, {} s\n{shown}", begin.elapsed().as_secs());
    for one in &missed {
        text.push_str(&format!("\nmissed {one}"));
    }
    if poor.is_empty() {
        Ok(text)
    } else {
        let poor = poor.into_iter().collect::<Vec<_>>().join(", ");
        Err(format!("{text}\nfewer than {SHARE} of 100 are caught in {poor}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_sample_without_repeating() {
        let names = || (0..100).map(|number| number.to_string()).collect::<Vec<_>>();
        let first = draw(names(), 30, &mut Dice::new(5));
        assert_eq!(first, draw(names(), 30, &mut Dice::new(5)));
        assert_ne!(first, draw(names(), 30, &mut Dice::new(6)));
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 30);
        assert_eq!(draw(names(), 200, &mut Dice::new(5)).len(), 100);
    }

    #[test]
    fn five_of_six_are_too_few() {
        let judged = |caught, missed| Judged { caught, missed: vec![String::new(); missed], unviable: 0 };
        assert!(judged(17, 3).is_enough());
        assert!(!judged(5, 1).is_enough());
        assert!(judged(0, 0).is_enough());
    }
}
