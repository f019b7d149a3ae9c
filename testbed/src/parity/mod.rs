//! How much of HAProxy's language has a row here: the names of an installed HAProxy (`haproxy -dKall`), and the
//! list kept beside this file, which also says what belongs to the core.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use proxy_config::keywords;
use proxy_lang::{Spec, Status};
use serde::Serialize;

use crate::{effects, find_program, table};

/// Class, name, and `core` or `tail`: the names of HAProxy 2.6.12.
const NAMES: &str = include_str!("names.tsv");

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 every name has a row, 1 some have none.

Examples:
  cargo parity
  cargo parity --json parity.json")]
pub(crate) struct Options {
    /// Writes the counts as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How many names there are, and what becomes of them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Count {
    total: usize,
    /// Acts as HAProxy's does, and a case proves it.
    full: usize,
    /// Is said to act, and no case can tell.
    unproven: usize,
    accepted: usize,
    partial: usize,
    later: usize,
    absent: usize,
    missing: usize,
}

impl Count {
    fn add(&mut self, status: Option<Status>, is_proven: bool) {
        self.total += 1;
        *match status {
            Some(Status::Full) if is_proven => &mut self.full,
            Some(Status::Full) => &mut self.unproven,
            Some(Status::Accepted(_)) => &mut self.accepted,
            Some(Status::Partial(_)) => &mut self.partial,
            Some(Status::Later) => &mut self.later,
            Some(Status::Absent(_)) => &mut self.absent,
            None => &mut self.missing,
        } += 1;
    }
}

#[derive(Debug, Default, Serialize)]
struct Report {
    core: Count,
    tail: Count,
    classes: BTreeMap<String, Count>,
    missing: Vec<String>,
    unproven: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<String, String> {
    let report = report(&names());
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?;
        std::fs::write(file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let mut table = table::plain([
        "class", "names", "full", "unproven", "partial", "accepted", "later", "absent", "missing",
    ]);
    let ends = [("core".to_owned(), report.core), ("tail".to_owned(), report.tail)];
    for (class, count) in report.classes.iter().map(|(class, count)| (class.clone(), *count)).chain(ends) {
        let numbers = [
            count.total,
            count.full,
            count.unproven,
            count.partial,
            count.accepted,
            count.later,
            count.absent,
            count.missing,
        ];
        table.add_row(std::iter::once(class).chain(numbers.iter().map(usize::to_string)));
    }
    let mut text = table.to_string();
    if !report.unproven.is_empty() {
        text.push_str(&format!("\n\nunproven: {}", report.unproven.join(", ")));
    }
    if report.missing.is_empty() {
        Ok(text)
    } else {
        Err(format!("{text}\n\nno row for: {}", report.missing.join(", ")))
    }
}

/// Class and name of a text such as `bind option id`, if the list of names has them.
pub(crate) fn split(text: &str) -> Option<(String, String)> {
    let known = NAMES.lines().filter_map(|line| line.split_once('\t'));
    let names = known.filter_map(|(class, rest)| Some((class, rest.split('\t').next()?)));
    let mut fitting = names
        .filter(|(class, name)| text.strip_prefix(class).and_then(|t| t.strip_prefix(' ')) == Some(name));
    fitting.next().map(|(class, name)| (class.to_owned(), name.to_owned()))
}

/// Every name with its class, and whether it belongs to the core.
fn names() -> BTreeMap<(String, String), bool> {
    let kept = NAMES.lines().filter_map(|line| {
        let mut parts = line.split('\t');
        let (class, name, part) = (parts.next()?, parts.next()?, parts.next()?);
        Some(((class.to_owned(), name.to_owned()), part == "core"))
    });
    let mut names: BTreeMap<_, _> = kept.collect();
    for name in installed().unwrap_or_default() {
        names.entry(name).or_insert(false);
    }
    names
}

/// What an installed HAProxy prints of its converters and fetches: the classes that grow.
fn installed() -> Option<BTreeSet<(String, String)>> {
    let program = find_program("haproxy")?;
    let output = Command::new(program).args(["-dKall", "-q", "-c", "-f", "/dev/null"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut class = "";
    let mut names = BTreeSet::new();
    for line in text.lines() {
        match line {
            "# List of registered sample converter functions:" => class = "converter",
            "# List of registered sample fetch functions:" => class = "fetch",
            _ if line.starts_with("# List of") => class = "",
            _ if class.is_empty() || line.starts_with('#') => {}
            _ => {
                // A fetch begins with the places where it may stand, in brackets.
                let name = line.rsplit_once(']').map_or(line, |(_, name)| name).trim_start();
                let end = name.find(['(', ':']).unwrap_or(name.len());
                if name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                    names.insert((class.to_owned(), name[..end].to_owned()));
                }
            }
        }
    }
    Some(names)
}

fn report(names: &BTreeMap<(String, String), bool>) -> Report {
    let mut report = Report::default();
    let proven = effects::proven();
    for ((class, name), core) in names {
        let status = status(class, name);
        // A section is proven by its rows.
        let is_proven = class == "section" || proven.contains_key(&(class.clone(), name.clone()));
        report.classes.entry(class.clone()).or_default().add(status, is_proven);
        let part = if *core { &mut report.core } else { &mut report.tail };
        part.add(status, is_proven);
        if *core && status == Some(Status::Full) && !is_proven {
            report.unproven.push(format!("{class} {name}"));
        }
        if status.is_none() {
            report.missing.push(format!("{class} {name}"));
        }
    }
    report
}

fn status(class: &str, name: &str) -> Option<Status> {
    let proxy = || keywords::PROXY.iter().flat_map(|t| t.iter()).map(|row| &row.spec);
    match class {
        "section" => {
            let refused = proxy_config::ABSENT_SECTIONS.iter().find(|(known, _)| *known == name);
            let known = proxy_config::SECTIONS.iter().any(|section| section.name == name);
            refused.map(|(_, why)| Status::Absent(why)).or(known.then_some(Status::Full))
        }
        "global" => row(keywords::GLOBAL.iter().flat_map(|t| t.iter()).map(|row| &row.spec), name),
        // One row reads every kind of stick rule.
        "proxy" if name == "stick store-response" => Some(Status::Later),
        "proxy" if name.starts_with("stick ") => row(proxy(), "stick"),
        "proxy" => row(proxy(), name),
        "filter" => row(proxy(), &format!("filter {name}")),
        "bind option" => row(keywords::bind_options(), name),
        "server option" => row(keywords::server_options(), name)
            .or_else(|| row(keywords::server_options(), name.strip_prefix("no-")?)),
        "action" => row(proxy_rules::actions::every().map(|row| &row.spec), name)
            // Of the rules whose lines are not looked into yet.
            .or_else(|| row(proxy(), "tcp-response content").filter(|_| name == "close")),
        "acl criterion" | "fetch" => proxy_rules::criterion(name),
        "converter" => row(proxy_rules::CONVERTERS.iter().map(|row| &row.spec), name),
        "log field" => row(proxy_rules::LOG_FIELDS.iter().map(|row| &row.spec), name),
        // An action in the kind of rules that the first words name.
        "rule" => proxy_rules::actions::every()
            .find(|row| {
                let fits = |(set, action): (&str, &str)| {
                    row.spec.names.contains(&action) && row.rulesets().any(|own| own == set)
                };
                name.rsplit_once(' ').is_some_and(fits)
            })
            .map(|row| row.spec.status),
        // Behind the words of the row that takes it.
        "argument" if name.starts_with("balance ") => match name.strip_prefix("balance ")? {
            "hash" | "rdp-cookie" => Some(Status::Later),
            name => row(proxy_backend::balance::TABLE.iter().map(|row| &row.spec), name),
        },
        "argument" if name.starts_with("cookie ") => {
            row(keywords::COOKIE_OPTIONS.iter(), name.strip_prefix("cookie ")?)
        }
        "argument" => name.rsplit_once(' ').and_then(|(of, _)| {
            row(proxy(), of).or_else(|| row(proxy_rules::actions::every().map(|row| &row.spec), of))
        }),
        "match method" => proxy_rules::match_method(name),
        "match flag" => proxy_rules::match_flag(name),
        "data type" => row(proxy_table::DATA_TYPES.iter().map(|row| &row.spec), name),
        // Those that exist are listed, until commands are rows that others can read.
        "runtime command" => Some(Status::Full),
        _ => None,
    }
}

/// The status of a name, or of the first of the names of several words that begin with it.
fn row<'r>(rows: impl Iterator<Item = &'r Spec>, name: &str) -> Option<Status> {
    let mut family = None;
    for spec in rows {
        for known in spec.names {
            if *known == name {
                return Some(spec.status);
            }
            if known.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')) {
                family = family.or(Some(spec.status));
            }
        }
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_haproxy_has_a_row() {
        let report = report(&names());
        assert_eq!(report.missing, Vec::<String>::new());
        assert!(report.core.total > 800 && report.core.absent == 0, "{:?}", report.core);
    }
}
