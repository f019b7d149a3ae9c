//! The effect oracle (`cargo effects`): every line under test is played on the real HAProxy, on the real HAProxy
//! without it, and here. Only a case whose observation changes with its line proves that the line acts.

mod answers;
mod case;
mod client;
mod grammar;
mod http;
mod observe;
mod play;
mod random;
mod servers;
mod text;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use clap::Args;

use crate::{build_tandem, find_program, lab};
pub(crate) use answers::proven;
use answers::{Answers, Sensitivity};
use case::Case;

/// How the runner looks at things; whoever changes that asks the original anew.
const VIEW: &str = "8";

#[derive(Debug, Args)]
#[command(after_help = "\
A case is a text file below testbed/effects/; what HAProxy answered stands beside it. A line that begins with '>' is under
test: HAProxy is asked with it and without it, and what is seen has to change.

Exit code: 0 every case holds, 1 some do not.

Examples:
  cargo effects                        every case; HAProxy is asked where a case is new
  cargo effects logs/                  those with 'logs/' in their names
  cargo effects rules/deny --show      and what was seen
  cargo effects --ask                  HAProxy is asked again for every case
  cargo effects --random --seconds 300 lines of all cases put together anew, and requests of a grammar, on both")]
pub(crate) struct Options {
    /// Only cases with one of these in their names
    names: Vec<String>,
    /// Ask HAProxy for every case, not only for new ones
    #[arg(long)]
    ask: bool,
    /// Ask HAProxy for a tenth of the cases too, another tenth for each commit
    #[arg(long)]
    rotate: bool,
    /// Write nothing: an answer that is not the stored one is a failure
    #[arg(long)]
    check: bool,
    /// Print what was seen
    #[arg(long)]
    show: bool,
    /// Compare random cases instead; exit code 1 if one differs
    #[arg(long)]
    random: bool,
    /// How long to compare random cases
    #[arg(long, value_name = "N", default_value_t = 60, requires = "random")]
    seconds: u64,
    /// Decides every random case; without it the commit does
    #[arg(long, value_name = "S", requires = "random")]
    seed: Option<u64>,
    /// A case file that stands elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "names")]
    file: Option<PathBuf>,
    /// Another HAProxy
    #[arg(long, value_name = "FILE")]
    haproxy: Option<PathBuf>,
    /// Cases at the same time
    #[arg(long, default_value_t = 6, value_name = "N")]
    jobs: usize,
}

/// One play, in a process of its own.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The case
    file: PathBuf,
    /// The program
    #[arg(long)]
    program: PathBuf,
    /// The number of the marked line that is left out
    #[arg(long)]
    without: Option<usize>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("effects")
}

/// Every case file, by its name.
fn files() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![folder()];
    while let Some(place) = folders.pop() {
        for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "case") {
                let name = path.strip_prefix(folder()).unwrap_or(&path).with_extension("");
                found.push((name.to_string_lossy().into_owned(), path));
            }
        }
    }
    found.sort();
    found
}

fn load(name: &str, file: &Path) -> Result<Case, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    case::read(name, &text, None).map_err(|mistake| format!("{}: {mistake}", file.display()))
}

/// Plays once, in a network of its own, and prints what was seen.
pub(crate) fn play_one(options: &One) -> Result<String, String> {
    let program =
        options.program.canonicalize().map_err(|e| format!("{}: {e}", options.program.display()))?;
    let text = std::fs::read_to_string(&options.file).map_err(|e| e.to_string())?;
    let case = case::read("", &text, options.without).map_err(|m| m.to_string())?;
    lab::own_network()?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    // Programs that give up root have to reach it.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).map_err(|e| e.to_string())?;
    let seen = play::play(&case, &program, folder.path());
    let looks_at_the_end = case
        .steps
        .iter()
        .any(|step| matches!(step.text.split(' ').next(), Some("sh" | "check" | "exit" | "output")));
    if options.without.is_none()
        && !looks_at_the_end
        && seen.as_ref().is_ok_and(|seen| seen.starts_with("the program ended"))
    {
        let output = std::fs::read_to_string(folder.path().join("output")).unwrap_or_default();
        return Err(format!("the program does not start:\n{output}"));
    }
    drop(folder);
    let (seen, found) = observe::mask(&seen?, &case.masks)?;
    if options.without.is_none()
        && let Some(unused) = found.iter().position(|count| *count == 0)
    {
        return Err(format!("the mask \"{}\" finds nothing", case.masks[unused].0));
    }
    Ok(seen.trim_end().to_owned())
}

fn observe_case(file: &Path, program: &Path, without: Option<usize>) -> Result<String, String> {
    observe_within(file, program, without, None)
}

/// The same; `patience_ms`: how long an answer may take to come.
fn observe_within(
    file: &Path,
    program: &Path,
    without: Option<usize>,
    patience_ms: Option<u64>,
) -> Result<String, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let program = program.canonicalize().map_err(|e| format!("{}: {e}", program.display()))?;
    let mut command = Command::new(own);
    command.arg("effects-play").arg(file).arg("--program").arg(program);
    if let Some(line) = without {
        command.args(["--without", &line.to_string()]);
    }
    if let Some(patience) = patience_ms {
        command.env(client::PATIENCE_MS, patience.to_string());
    }
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
    }
}

/// Asks HAProxy: the whole case, and the case without each of its lines under test.
fn ask(case: &Case, file: &Path, haproxy: &Path) -> Result<Answers, String> {
    let version = Command::new(haproxy).arg("-v").output().map_err(|e| e.to_string())?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let version = version.split(' ').nth(2).unwrap_or_default().to_owned();
    let seen = observe_case(file, haproxy, None).map_err(|why| format!("HAProxy: {why}"))?;
    let mut lines = Vec::new();
    for mark in &case.marks {
        let without = match observe_case(file, haproxy, Some(mark.number)) {
            // That nothing runs without the line is an effect, too.
            Err(why) if why.contains("the file is refused") => why,
            other => other.map_err(|why| format!("HAProxy without line {}: {why}", mark.number))?,
        };
        let Some(difference) = observe::compare(&seen, &without) else {
            return Err(format!("line {} ({}): HAProxy does the same without it", mark.number, mark.text));
        };
        lines.push(Sensitivity { line: mark.number, changes: difference.lines });
    }
    Ok(Answers { version, hash: answers::hash(&case.text), lines, haproxy: seen, tandem: None })
}

/// How often a case is played in CI that does not hold at once: machines are noisy, and cases look at times. Which ones
/// those were is said.
const TRIES: usize = 3;

/// What became of one case.
struct Outcome {
    asked: bool,
    /// How often it was played.
    tries: usize,
    failure: Option<String>,
}

struct Run<'r> {
    options: &'r Options,
    tandem: PathBuf,
    haproxy: Option<PathBuf>,
    /// Changes which tenth is asked again.
    turn: u64,
}

impl Run<'_> {
    fn case(&self, name: &str, file: &Path) -> Outcome {
        let mut outcome = Outcome { asked: false, tries: 0, failure: None };
        let most = if self.options.check { TRIES } else { 1 };
        while outcome.tries < most {
            outcome.tries += 1;
            outcome.failure = self.judge(name, file, &mut outcome.asked).err();
            if outcome.failure.is_none() {
                break;
            }
        }
        outcome
    }

    fn judge(&self, name: &str, file: &Path, asked: &mut bool) -> Result<(), String> {
        let case = load(name, file)?;
        if case.root && !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let stored = Answers::load(file)?;
        let is_news = stored.as_ref().is_none_or(|stored| stored.hash != answers::hash(&case.text));
        let in_turn = self.options.rotate && answers::number(name).wrapping_add(self.turn).is_multiple_of(10);
        let again = (self.options.ask || in_turn) && case.since.is_none();
        let answers = match (&self.haproxy, stored) {
            (Some(haproxy), stored) if is_news || again || self.options.haproxy.is_some() => {
                *asked = true;
                let mut fresh = ask(&case, file, haproxy)?;
                if let Some(stored) = stored {
                    if self.options.check
                        && let Some(difference) = observe::compare(&stored.haproxy, &fresh.haproxy)
                    {
                        return Err(format!("HAProxy's answer is not the stored one:\n{}", difference.first));
                    }
                    fresh.tandem = stored.tandem;
                }
                if self.options.check && is_news {
                    return Err(
                        "its answer is not stored: run `cargo effects`, and commit what it writes".to_owned()
                    );
                }
                fresh
            }
            (_, Some(stored)) if !is_news => stored,
            _ => return Err("its answer is not stored, and HAProxy is not installed".to_owned()),
        };
        self.compare(&case, file, answers, *asked)
    }

    fn compare(&self, case: &Case, file: &Path, mut answers: Answers, asked: bool) -> Result<(), String> {
        let seen = observe_case(file, &self.tandem, None).map_err(|why| format!("Tandem: {why}"));
        if self.options.show {
            println!("== {}: HAProxy\n{}", case.name, answers.haproxy);
            println!("== {}: Tandem\n{}", case.name, seen.as_deref().unwrap_or_else(|why| why));
        }
        let difference = match (&seen, &case.differs) {
            (Err(why), _) => Some(why.clone()),
            (Ok(seen), None) => observe::compare(&answers.haproxy, seen).map(|d| d.first),
            (Ok(seen), Some(reason)) => {
                let listed = include_str!("../../../docs/differences.md")
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ");
                if observe::compare(&answers.haproxy, seen).is_none() {
                    Some("it is said to differ, and does not".to_owned())
                } else if !listed.contains(reason.as_str()) {
                    Some(format!("docs/differences.md does not say '{reason}'"))
                } else {
                    let kept = answers.tandem.get_or_insert_with(|| seen.clone());
                    let moved = observe::compare(kept, seen).map(|d| d.first);
                    if moved.is_some() && !self.options.check {
                        *kept = seen.clone();
                    }
                    moved.filter(|_| self.options.check)
                }
            }
        };
        if !self.options.check && (asked || case.differs.is_some()) {
            answers.store(file)?;
        }
        match difference {
            None => Ok(()),
            Some(difference) => Err(difference),
        }
    }
}

/// A number that every commit has another of.
pub(crate) fn turn() -> u64 {
    let head =
        Command::new("git").args(["rev-parse", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    head.map_or(0, |output| answers::number(&String::from_utf8_lossy(&output.stdout)))
}

/// Plays the cases that are asked for.
pub(crate) fn run(options: &Options) -> Result<String, String> {
    build_tandem::build_beside_us()?;
    let haproxy = options.haproxy.clone().or_else(|| find_program("haproxy"));
    if haproxy.is_none() {
        let note =
            "haproxy is not installed: cases are compared with the stored answers, and nobody is asked again";
        if std::env::var_os("TANDEM_REQUIRE_PEERS").is_some() {
            return Err(note.to_owned());
        }
        eprintln!("{note}");
    }
    if options.random {
        let Some(haproxy) = &haproxy else { return Ok("skipped: haproxy is not installed".to_owned()) };
        return random::run(
            options,
            options.seconds,
            options.seed.unwrap_or_else(turn),
            haproxy,
            &build_tandem::beside_us()?,
        );
    }
    let wanted = |name: &str| {
        options.names.is_empty() || options.names.iter().any(|part| name.contains(part.as_str()))
    };
    let files: Vec<_> = match &options.file {
        Some(file) => vec![(file.with_extension("").to_string_lossy().into_owned(), file.clone())],
        None => files().into_iter().filter(|(name, _)| wanted(name)).collect(),
    };
    if files.is_empty() {
        return Err(format!("no case has {} in its name", options.names.join(" or ")));
    }
    let total = files.len();
    let run = Run { options, tandem: build_tandem::beside_us()?, haproxy, turn: turn() };
    let queue = Mutex::new(VecDeque::from(files));
    let done = Mutex::new((0, 0, Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((name, file)) = next else { return };
                    let outcome = run.case(&name, &file);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.0 += 1;
                    done.1 += usize::from(outcome.asked);
                    match outcome.failure {
                        Some(failure) => {
                            println!("FAILED {name}\n{failure}\n");
                            done.2.push(name);
                        }
                        None if outcome.tries > 1 => done.3.push(name),
                        None => {}
                    }
                }
            });
        }
    });
    let (played, asked, mut failed, unsteady) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort();
    let mut summary =
        format!("{played} of {total} cases played, HAProxy was asked for {asked}, {} failed", failed.len());
    if !unsteady.is_empty() {
        summary.push_str(&format!("; not at the first try: {}", unsteady.join(" ")));
    }
    if failed.is_empty() { Ok(summary) } else { Err(format!("{summary}: {}", failed.join(" "))) }
}
