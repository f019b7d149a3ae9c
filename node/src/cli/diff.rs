//! `tandem diff`: what another configuration would change at run time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;

use proxy_config::Explained;
use proxy_config::model::Config;
use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use crate::args::Diff;
use crate::config::{Depth, Everything, Explain, Files, Reading, alert, examine};
use crate::sockets::shown;

const DIFFERENT: u8 = 1;
const TROUBLE: u8 = 2;
/// What this node is called on both sides.
const MEMBER: &str = "this-node";

#[derive(Serialize)]
struct Report {
    same: bool,
    sections: Vec<Section>,
    /// What a reload would do, in sentences.
    at_run_time: Vec<String>,
}

/// A section that is not the same.
#[derive(Serialize)]
struct Section {
    kind: String,
    name: Option<String>,
    /// `added`, `removed` or `changed`.
    what: &'static str,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    /// `-` gone, `+` new, ` ` as it was.
    sign: char,
    text: String,
}

/// Compares two configurations; the exit code.
pub(crate) fn show(options: &Diff) -> u8 {
    let read = |name: &str| read(name, if options.syntax { Depth::Syntax } else { Depth::Whole });
    let (Some(old), Some(new)) = (read(&options.old), read(&options.new)) else { return TROUBLE };
    let sections = sections(&old.1, &new.1);
    let at_run_time = consequences(&old.0, &new.0);
    let same = sections.is_empty() && at_run_time.is_empty();
    let report = Report { same, sections, at_run_time };
    if options.json {
        // Numbers and texts can always be written.
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        write(&report);
    }
    if same { 0 } else { DIFFERENT }
}

fn read(name: &str, depth: Depth) -> Option<(Everything, Vec<Explained>)> {
    let files = Files { haproxy: vec![name.to_owned()], ..Files::default() };
    match examine(&files, depth, Explain::As(MEMBER)) {
        Ok(Reading { everything: Some(everything), explained, .. }) => Some((everything, explained)),
        Ok(Reading { diagnostics, .. }) => {
            let count = diagnostics.errors();
            alert(&format!("{name} : {count} mistakes: `tandem check {name}` shows them"));
            None
        }
        Err(why) => {
            alert(&why);
            None
        }
    }
}

fn texts(section: &Explained) -> Vec<&str> {
    section.lines.iter().map(|line| line.text.as_str()).collect()
}

fn sections(old: &[Explained], new: &[Explained]) -> Vec<Section> {
    let key = |section: &Explained| (section.kind.clone(), section.name.clone());
    let report = |section: &Explained, what, lines| Section {
        kind: section.kind.clone(),
        name: section.name.clone(),
        what,
        lines,
    };
    let all = |section: &Explained, sign| {
        texts(section).into_iter().map(|text| Line { sign, text: text.to_owned() }).collect()
    };
    let before: BTreeMap<_, &Explained> = old.iter().map(|section| (key(section), section)).collect();
    let after: BTreeSet<_> = new.iter().map(key).collect();
    let mut sections: Vec<Section> = Vec::new();
    sections.extend(
        old.iter()
            .filter(|section| !after.contains(&key(section)))
            .map(|s| report(s, "removed", all(s, '-'))),
    );
    for section in new {
        let Some(then) = before.get(&key(section)) else {
            sections.push(report(section, "added", all(section, '+')));
            continue;
        };
        let (then, now) = (texts(then), texts(section));
        if then == now {
            continue;
        }
        let diff = TextDiff::from_slices(&then, &now);
        let lines = diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal);
        let lines = lines.map(|change| Line {
            sign: if change.tag() == ChangeTag::Delete { '-' } else { '+' },
            text: change.value().to_owned(),
        });
        sections.push(report(section, "changed", lines.collect()));
    }
    sections
}

/// What a reload from one to the other would do.
fn consequences(old: &Everything, new: &Everything) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(what) = old.fixed_parts_changed(new) {
        said.push(format!("a reload is refused: {what} changed, which needs a restart"));
    }
    let binds = |config: &Config| -> BTreeSet<String> {
        config.binds.iter().map(|bind| shown(&bind.address)).collect()
    };
    let (before, after) = (binds(&old.proxy), binds(&new.proxy));
    said.extend(after.difference(&before).map(|address| format!("{address} is opened")));
    said.extend(before.difference(&after).map(|address| format!("{address} is closed")));
    tables(&old.proxy, &new.proxy, &mut said);
    servers(&old.proxy, &new.proxy, &mut said);
    said
}

fn tables(old: &Config, new: &Config, said: &mut Vec<String>) {
    for table in &old.tables {
        let Some(next) = new.tables.iter().find(|next| next.name == table.name) else {
            said.push(format!("stick table {} is gone, and its entries with it", table.name));
            continue;
        };
        if next.key != table.key {
            said.push(format!("stick table {} has other keys: it starts empty", table.name));
        } else if next.columns != table.columns {
            said.push(format!("stick table {} stores other data: what both store is kept", table.name));
        }
        if next.size < table.size {
            said.push(format!(
                "stick table {} shrinks from {} to {} entries",
                table.name, table.size, next.size
            ));
        }
    }
    let fresh = new.tables.iter().filter(|table| !old.tables.iter().any(|before| before.name == table.name));
    said.extend(fresh.map(|table| format!("stick table {} is new, and empty", table.name)));
}

fn servers(old: &Config, new: &Config, said: &mut Vec<String>) {
    for backend in &new.backends {
        let Some(before) = old.backends.iter().find(|before| before.name == backend.name) else { continue };
        for server in &backend.servers {
            let name = format!("server {}/{}", backend.name, server.name);
            let then = before.servers.iter().find(|before| before.name == server.name);
            said.extend(match then {
                None => Some(format!("{name} is new")),
                Some(then) if then.address != server.address => {
                    Some(format!("{name} moves from {} to {}", then.address, server.address))
                }
                Some(_) => None,
            });
        }
        let gone = before.servers.iter().filter(|b| !backend.servers.iter().any(|s| s.name == b.name));
        said.extend(gone.map(|server| {
            format!("server {}/{} is gone: its sessions end by themselves", backend.name, server.name)
        }));
    }
}

fn write(report: &Report) {
    let colour = std::io::stdout().is_terminal();
    for section in &report.sections {
        let name = section.name.as_deref().map_or_else(String::new, |name| format!(" {name}"));
        println!("{}{name}: {}", section.kind, section.what);
        for Line { sign, text } in &section.lines {
            match (colour, sign) {
                (true, '-') => println!("\x1b[31m-   {text}\x1b[0m"),
                (true, _) => println!("\x1b[32m+   {text}\x1b[0m"),
                (false, sign) => println!("{sign}   {text}"),
            }
        }
        println!();
    }
    if report.same {
        println!("Both mean the same.");
    } else if report.at_run_time.is_empty() {
        println!("A reload changes settings only: no listener, table or server comes or goes.");
    } else {
        println!("At a reload:");
        report.at_run_time.iter().for_each(|sentence| println!("  {sentence}"));
    }
}
