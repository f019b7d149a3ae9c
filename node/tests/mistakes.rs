//! Two hundred mistakes made in files that are right: each is found in its line, and what would be right is said.
//! The real HAProxy's score on the same mistakes is printed beside ours.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

#[path = "common/haproxy.rs"]
mod haproxy;

use std::path::{Path, PathBuf};
use std::process::Command;

const WANTED: usize = 200;
/// Of a hundred mistakes, so many in the right line, and so many with the right remedy.
const RIGHT_LINE: usize = 98;
const RIGHT_REMEDY: usize = 80;

/// A file with one mistake.
struct Mistake {
    text: String,
    /// The line it stands in, from 1.
    line: u64,
    /// What a message about it must hold to be of help.
    remedy: String,
}

#[derive(Default)]
struct Score {
    lines: usize,
    remedies: usize,
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }
}

fn sources() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("good_"));
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

/// A copy of a text with another line in the place of one.
fn with(lines: &[&str], place: usize, line: &str) -> String {
    let mut lines = lines.to_vec();
    lines[place] = line;
    lines.join("\n") + "\n"
}

/// Makes a mistake of a kind in a line, if the line is one it can be made in.
fn spoil(text: &str, place: usize, kind: usize, random: &mut Random) -> Option<Mistake> {
    let lines: Vec<&str> = text.lines().collect();
    let line = lines[place];
    let words: Vec<&str> = line.split_whitespace().collect();
    let first = *words.first()?;
    let is_rule = ["acl", "http-request", "http-response", "tcp-request", "tcp-response"].contains(&first);
    if !line.starts_with("    ")
        || first.starts_with(['#', '.'])
        || line.contains('"')
        || first == "no-such-keyword"
    {
        return None;
    }
    let number = |place: usize| u64::try_from(place + 1).unwrap();
    match kind {
        // Two letters of the keyword in the wrong order.
        0 => {
            let at = 1 + random.below(first.len().checked_sub(2).filter(|room| *room > 1)?);
            let mut letters: Vec<char> = first.chars().collect();
            letters.swap(at, at + 1);
            let wrong: String = letters.into_iter().collect();
            (wrong != first).then(|| Mistake {
                text: with(&lines, place, &line.replacen(first, &wrong, 1)),
                line: number(place),
                remedy: format!("did you mean '{first}"),
            })
        }
        // A letter too few in the second word of a family, or in an option.
        1 => {
            let second =
                words.get(1).filter(|_| ["option", "timeout", "stats", "errorloc"].contains(&first))?;
            let wrong = &second[..second.len() - 1];
            Some(Mistake {
                text: with(&lines, place, &line.replacen(second, wrong, 1)),
                line: number(place),
                remedy: format!("{first} {second}"),
            })
        }
        // Nothing behind the keyword.
        2 => {
            let family = ["timeout"].contains(&first);
            let kept = if family { words.get(..2)?.join(" ") } else { first.to_owned() };
            let alone = ["option", "stats", "bind", "server", "errorloc"].contains(&first) || is_rule;
            (words.len() > usize::from(family) + 1 && !alone && first != "compression").then(|| Mistake {
                text: with(&lines, place, &format!("    {kept}")),
                line: number(place),
                remedy: "expects".to_owned(),
            })
        }
        // A line of a proxy in the global section.
        3 => {
            let global = lines.iter().position(|line| *line == "global")?;
            let proxies = lines.iter().position(|line| line.starts_with("defaults"))?;
            let both = ["log", "maxconn", "description", "id", "stats", "nbthread", "user", "group"];
            (place > proxies
                && !both.contains(&first)
                && lines[..place].iter().any(|l| l.starts_with("frontend")))
            .then(|| {
                let mut lines = lines.clone();
                lines.insert(global + 1, line);
                Mistake {
                    text: lines.join("\n") + "\n",
                    line: number(global + 1),
                    remedy: "it belongs in".to_owned(),
                }
            })
        }
        // The same server again.
        _ => (first == "server").then(|| {
            let mut lines = lines.clone();
            lines.insert(place + 1, line);
            Mistake {
                text: lines.join("\n") + "\n",
                line: number(place + 1),
                remedy: format!("line {}", place + 1),
            }
        }),
    }
}

fn mistakes() -> Vec<Mistake> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let sources = sources();
    let mut mistakes = Vec::new();
    for attempt in 0.. {
        let text = &sources[attempt % sources.len()];
        let place = random.below(text.lines().count());
        mistakes.extend(spoil(text, place, random.below(5), &mut random));
        if mistakes.len() == WANTED {
            break;
        }
    }
    mistakes
}

#[test]
fn mistakes_are_found_where_they_are_and_the_remedy_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mistake.cfg");
    let haproxy = haproxy::installed();
    let (mut ours, mut theirs) = (Score::default(), Score::default());
    let mut missed = Vec::new();
    for mistake in mistakes() {
        std::fs::write(&file, &mistake.text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["check", "--syntax", "--json"])
            .arg(&file)
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let here =
            |problem: &&serde_json::Value| problem["level"] == "error" && problem["line"] == mistake.line;
        let problem = report["problems"].as_array().unwrap().iter().find(here);
        let said = problem.map_or_else(String::new, |p| format!("{} | {}", p["message"], p["help"]));
        ours.lines += usize::from(problem.is_some());
        ours.remedies += usize::from(said.contains(&mistake.remedy));
        if !said.contains(&mistake.remedy) {
            let line =
                mistake.text.lines().nth(usize::try_from(mistake.line).unwrap() - 1).unwrap_or_default();
            missed.push(format!("{line}: wanted {:?}, said {said}", mistake.remedy));
        }
        if let Some(program) = haproxy {
            let output = Command::new(program).args(["-c", "-f"]).arg(&file).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let mark = format!("mistake.cfg:{}]", mistake.line);
            let said = text.lines().find(|line| line.contains("[ALERT]") && line.contains(&mark));
            theirs.lines += usize::from(said.is_some());
            theirs.remedies += usize::from(said.is_some_and(|said| said.contains(&mistake.remedy)));
        }
    }
    eprintln!(
        "of {WANTED}: right line {} (HAProxy {}), right remedy {} (HAProxy {})",
        ours.lines, theirs.lines, ours.remedies, theirs.remedies
    );
    assert!(ours.lines * 100 >= RIGHT_LINE * WANTED, "{} lines\n{}", ours.lines, missed.join("\n"));
    assert!(
        ours.remedies * 100 >= RIGHT_REMEDY * WANTED,
        "{} remedies\n{}",
        ours.remedies,
        missed.join("\n")
    );
}

/// What `-c` says of a file.
fn checked(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("haproxy.cfg");
    std::fs::write(&path, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tandem")).args(["-c", "-f"]).arg(&path).output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const PROXIES: &str = "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\nfrontend f\n bind :80\n";

#[test]
fn an_old_keyword_names_the_migration() {
    for line in
        ["reqadd X:\\ y", "block if TRUE", "appsession A", "monitor-net 10.0.0.0/8", "option forceclose"]
    {
        let said = checked(&format!("{PROXIES} {line}\n"));
        assert!(said.contains("'tandem migrate FILE'") && !said.contains("did you mean"), "{line}: {said}");
    }
}

#[test]
fn what_is_not_built_says_what_would_be_lost() {
    let said = checked(&format!("{PROXIES}backend b\n server s 192.0.2.1:80 ssl verify none\n"));
    assert!(said.contains("help: Speaks TLS to the server. Without it that is lost"), "{said}");
    let said = checked(&format!("{PROXIES} http-request deny if {{ path_reg ^/a }}\n"));
    assert!(said.contains("It decides what a rule applies to"), "{said}");
    assert!(!said.contains("remove it"), "{said}");
}

#[test]
fn one_cause_is_pictured_once_with_all_its_places() {
    let servers: String = (1..=3).map(|n| format!(" server s{n} 192.0.2.1:80 ssl\n")).collect();
    let said = checked(&format!("{PROXIES}backend b\n{servers}"));
    assert_eq!(
        (said.matches("help: Speaks TLS").count(), said.matches("'ssl' is known").count()),
        (1, 3),
        "{said}"
    );
    assert!(said.contains("config : 3 mistakes."), "{said}");
}
