//! Random comparison: the lines of all cases, put together anew, and requests and responses from a grammar of normal,
//! odd and hostile HTTP, on both programs. What differs is shrunk to a small case.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::effects::answers;
use crate::effects::{Options, case, files, grammar, observe, observe_within};

/// Steps of one case.
const STEPS: u64 = 8;
/// Lines of other cases that one is given at most.
const FOREIGN: u64 = 6;
/// Plays that shrinking one difference may take.
const SHRINKING: usize = 120;
/// How long an answer may take to come: half of what is sent here is never answered.
const PATIENCE_MS: u64 = 1_000;
/// Differences that are kept of one run.
const MOST: usize = 12;

/// A case file in parts that can be put together with others.
#[derive(Clone, Debug, Default)]
struct Material {
    /// What opens the configuration: `config http`.
    prelude: String,
    /// Sections: their first line, and their lines as the file has them.
    sections: Vec<(String, Vec<String>)>,
    /// Servers, files and lines that stand for themselves, word by word.
    rest: Vec<String>,
    /// The addresses of its servers.
    servers: Vec<String>,
}

const SECTIONS: &[&str] = &[
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "peers",
    "resolvers",
    "mailers",
    "userlist",
    "http-errors",
    "ring",
];

fn material(text: &str) -> Option<Material> {
    let mut found = Material::default();
    let mut in_config = false;
    let mut in_steps = false;
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let word = line.split(' ').next().unwrap_or_default();
        if !line.starts_with(' ') {
            in_config = word == "config" || SECTIONS.contains(&word);
            in_steps = word == "steps";
            match word {
                "config" => line.clone_into(&mut found.prelude),
                // Programs that are started otherwise, and what needs another version, are not put together.
                "start" | "root" | "since" | "differs" => return None,
                _ if in_config => found.sections.push((line.to_owned(), Vec::new())),
                _ if in_steps => {}
                _ => {
                    if word == "server" {
                        found.servers.push(line["server".len()..].trim().to_owned());
                    }
                    found.rest.push(line.to_owned());
                }
            }
        } else if in_config {
            match found.sections.last_mut() {
                Some((_, lines)) => lines.push(line.to_owned()),
                // A `config` without prelude opens its sections itself.
                None => return None,
            }
        } else if !in_steps {
            found.rest.push(line.to_owned());
        }
    }
    Some(found)
}

/// Whether what a line shows is another thing every time: a time, a process, when a check comes.
fn is_unsteady(line: &str) -> bool {
    [
        " %T",
        "%pid",
        "inter ",
        "spread-checks",
        "%ms",
        "%rt",
        "%cp",
        "%bp",
        "src_port",
        "%B",
        "%U",
        "bytes",
        " clf",
    ]
    .iter()
    .any(|part| line.contains(part))
        || line.contains("log-format") && line.contains("%t")
}

/// Puts a case together.
fn compose(all: &[(String, Material)], dice: &mut Dice) -> String {
    let (_, base) = dice.pick(all).clone();
    let mut base = base;
    for (_, lines) in &mut base.sections {
        let mut kept = Vec::new();
        let mut walk = std::mem::take(lines).into_iter().peekable();
        while let Some(line) = walk.next() {
            let instead = walk.next_if(|next| next.trim_start().starts_with('<'));
            if is_unsteady(&line) {
                continue;
            }
            if line.trim_start().starts_with('>') && dice.once_in(6) {
                kept.extend(instead.map(|line| line.replacen('<', " ", 1)));
            } else {
                kept.push(line);
            }
        }
        *lines = kept;
    }
    for _ in 0..dice.roll(FOREIGN + 1) {
        let (_, other) = dice.pick(all);
        let lines =
            other.sections.iter().flat_map(|(open, lines)| lines.iter().map(move |line| (open, line)));
        let marked: Vec<_> = lines.filter(|(_, line)| line.trim_start().starts_with('>')).collect();
        if marked.is_empty() {
            continue;
        }
        let (open, line) = *dice.pick(&marked);
        let kind = open.split(' ').next().unwrap_or_default();
        let fitting = base.sections.iter_mut().filter(|(own, _)| own.split(' ').next() == Some(kind));
        let mut fitting: Vec<_> = fitting.collect();
        if fitting.is_empty() || line.contains(" bind ") || line.contains(" server ") || is_unsteady(line) {
            continue;
        }
        let place = usize::try_from(dice.roll(fitting.len() as u64)).unwrap_or(0);
        fitting[place].1.push(line.clone());
        // What the line names may be a file.
        if line.contains("{dir}/") {
            let mut takes = false;
            for line in &other.rest {
                if !line.starts_with(' ') {
                    takes = line.starts_with("file ") && !base.rest.contains(line);
                }
                if takes {
                    base.rest.push(line.clone());
                }
            }
        }
    }
    let mut text = format!("{}\n", base.prelude);
    let mut ports = Vec::new();
    for (open, lines) in &base.sections {
        let _ = writeln!(text, "{open}");
        for line in lines {
            let _ = writeln!(text, "{line}");
            let bare = line.trim_start_matches([' ', '>']);
            if let Some(address) = bare.strip_prefix("bind ").and_then(|rest| rest.split(' ').next())
                && address.starts_with("127.")
                && !line.contains(" ssl ")
                && !line.contains("accept-proxy")
            {
                ports.push(address.to_owned());
            }
        }
    }
    // Servers keep what they are scripted to do, or answer what the grammar has.
    let anew = dice.once_in(2);
    let mut skip = false;
    for line in &base.rest {
        if !line.starts_with(' ') {
            skip = anew && line.starts_with("server ");
            let _ = writeln!(text, "{line}");
            if line.starts_with("server ") {
                // Checks come when they come.
                text.push_str("    quiet \"OPTIONS\"\n");
            }
            if skip {
                let _ = writeln!(text, "    {}", grammar::answer(dice));
            }
        } else if !skip {
            let _ = writeln!(text, "{line}");
        }
    }
    let alike = grammar::Alike { old_clients: !text.to_ascii_lowercase().contains("chunked") };
    text.push_str("steps\n");
    if ports.is_empty() {
        ports.push("127.0.0.1:8000".to_owned());
    }
    for _ in 0..=dice.roll(STEPS) {
        let to = dice.pick(&ports).clone();
        let _ = writeln!(text, "    {}", grammar::step(dice, &to, alike));
    }
    text
}

/// What both programs do; `None`: it cannot be told, since one refuses the file or is not steady.
fn differ(text: &str, place: &Path, haproxy: &Path, tandem: &Path) -> Option<observe::Difference> {
    let file = place.join("random.case");
    std::fs::write(&file, text).ok()?;
    // A file that it refuses is another matter: such files are compared one by one.
    let theirs = observe_within(&file, haproxy, None, Some(PATIENCE_MS)).ok()?;
    let ours = match observe_within(&file, tandem, None, Some(PATIENCE_MS)) {
        Ok(ours) => ours,
        // Words that wait are refused by name: they are no difference in what is done.
        Err(why) if why.contains("the file is refused") => return None,
        Err(why) => format!("Tandem: {why}"),
    };
    if [&theirs, &ours].iter().any(|seen| seen.contains("the program ended: ")) {
        return None;
    }
    // What is refused before it is read ends with RST where its bytes came before the end, and with FIN where they came later.
    let steady = |seen: &str| seen.replace("\n= RST", "\n= FIN");
    observe::compare(&steady(&theirs), &steady(&ours))
}

/// The first line of a difference without its numbers: another one is another matter.
fn kind(difference: &observe::Difference) -> String {
    let first = difference.first.lines().next().unwrap_or_default();
    first.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// Takes lines away as long as the difference stays.
fn shrink(text: &str, place: &Path, haproxy: &Path, tandem: &Path) -> (String, observe::Difference) {
    let mut text = text.to_owned();
    let mut last = differ(&text, place, haproxy, tandem);
    let wanted = last.as_ref().map(kind);
    let mut plays = 0;
    let mut size = text.lines().count() / 2;
    while size > 0 && plays < SHRINKING {
        let mut begin = 0;
        while begin < text.lines().count() && plays < SHRINKING {
            let lines: Vec<&str> = text.lines().collect();
            let kept = lines.iter().enumerate().filter(|(place, _)| *place < begin || *place >= begin + size);
            let smaller = kept.map(|(_, line)| *line).collect::<Vec<_>>().join("\n") + "\n";
            plays += 1;
            let read = case::read("", &smaller, None);
            match read.ok().and_then(|_| differ(&smaller, place, haproxy, tandem)) {
                Some(difference) if Some(kind(&difference)) == wanted => {
                    (text, last) = (smaller, Some(difference));
                }
                _ => begin += size,
            }
        }
        size /= 2;
    }
    let nothing = observe::Difference { lines: 0, first: "not seen again\n".to_owned() };
    (text, last.unwrap_or(nothing))
}

#[derive(Default)]
struct Progress {
    played: usize,
    refused: usize,
    rows: BTreeMap<String, usize>,
    differences: Vec<(u64, String, String)>,
}

/// Compares for so long; the differences are written below `target/effects-random`.
pub(super) fn run(
    options: &Options,
    seconds: u64,
    seed: u64,
    haproxy: &Path,
    tandem: &Path,
) -> Result<String, String> {
    let mut all = Vec::new();
    for (name, file) in files() {
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        if case::read(&name, &text, None).is_ok()
            && let Some(material) =
                material(&text).filter(|m| !m.prelude.is_empty() && !m.sections.is_empty())
        {
            all.push((name, material));
        }
    }
    let out = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/effects-random");
    std::fs::create_dir_all(&out).map_err(|e| e.to_string())?;
    let begin = Instant::now();
    let progress = Mutex::new(Progress::default());
    let next = Mutex::new(0_u64);
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                let Ok(place) = tempfile::tempdir() else { return };
                while begin.elapsed() < Duration::from_secs(seconds) {
                    let number = {
                        let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
                        *next += 1;
                        *next
                    };
                    if progress.lock().unwrap_or_else(PoisonError::into_inner).differences.len() >= MOST {
                        return;
                    }
                    let mut dice = Dice::new(seed.wrapping_add(number.wrapping_mul(0x2545_f491_4f6c_dd1d)));
                    let text = compose(&all, &mut dice);
                    let Ok(read) = case::read("", &text, None) else { continue };
                    let found = differ(&text, place.path(), haproxy, tandem);
                    {
                        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                        progress.played += 1;
                        for (class, name) in read.marks.iter().flat_map(|mark| mark.proves.iter()) {
                            *progress.rows.entry(format!("{class} {name}")).or_default() += 1;
                        }
                    }
                    if found.is_none() {
                        continue;
                    }
                    // Two more looks: a program that is not steady proves nothing.
                    if (0..2).any(|_| differ(&text, place.path(), haproxy, tandem).is_none()) {
                        progress.lock().unwrap_or_else(PoisonError::into_inner).refused += 1;
                        continue;
                    }
                    let (small, difference) = shrink(&text, place.path(), haproxy, tandem);
                    let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                    println!("difference {number} of seed {seed}\n{small}{}", difference.first);
                    let _ = std::fs::write(out.join(format!("{seed}-{number}.case")), &small);
                    progress.differences.push((number, small, difference.first));
                }
            });
        }
    });
    let progress = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    let proven = answers::proven();
    let mut rare: Vec<String> = Vec::new();
    for (class, name) in proven.keys() {
        let row = format!("{class} {name}");
        let count = progress.rows.get(&row).copied().unwrap_or_default();
        if count < 50 {
            rare.push(format!("{row} {count}"));
        }
    }
    let summary = format!(
        "seed {seed}: {} cases played in {} s, {} not steady, {} differences; {} of {} proven rows at least 50 times",
        progress.played,
        begin.elapsed().as_secs(),
        progress.refused,
        progress.differences.len(),
        proven.len() - rare.len(),
        proven.len(),
    );
    if options.show && !rare.is_empty() {
        println!("fewer than 50 times: {}", rare.join(", "));
    }
    if progress.differences.is_empty() { Ok(summary) } else { Err(summary) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_cases_can_be_read() {
        let texts: Vec<(String, Material)> = files()
            .into_iter()
            .filter_map(|(name, file)| Some((name, material(&std::fs::read_to_string(file).ok()?)?)))
            .filter(|(_, material)| !material.prelude.is_empty() && !material.sections.is_empty())
            .collect();
        assert!(texts.len() >= 3);
        for seed in 0..200 {
            let text = compose(&texts, &mut Dice::new(seed));
            case::read("", &text, None).unwrap_or_else(|mistake| panic!("{mistake}\n{text}"));
        }
    }
}
