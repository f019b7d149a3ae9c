//! `tandem check`: what is wrong with a configuration, what of it has no effect, and what is not built.

use std::io::IsTerminal;

use proxy_config::{Explained, Origin};
use proxy_lang::{Diagnostic, Level, Sources, render};
use serde::Serialize;

use crate::args::Check;
use crate::config::{Depth, Everything, Explain, NO_LISTENER, NOTHING_TO_RUN, Reading, alert, examine};

/// The configuration cannot be used.
const NOT_USABLE: u8 = 1;
/// What this node is called where a section of keepalived's becomes one of Tandem's, which names members.
const THIS_NODE: &str = "this-node";

#[derive(Serialize)]
struct Report {
    valid: bool,
    problems: Vec<Problem>,
    /// What is read but not built, with `--syntax`.
    waiting: Vec<Waiting>,
    /// What the files mean, with `--explain`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sections: Vec<Section>,
}

/// A section as it acts.
#[derive(Serialize)]
struct Section {
    kind: String,
    name: Option<String>,
    id: Option<u32>,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    text: String,
    /// A server's number, or that of the backend it names.
    id: Option<u32>,
    /// Why it is there, where it does not stand in the section.
    from: Option<String>,
}

#[derive(Serialize)]
struct Problem {
    level: &'static str,
    file: String,
    line: u32,
    /// First and last column, from 1.
    columns: [u32; 2],
    message: String,
    help: Option<String>,
}

#[derive(Serialize)]
struct Waiting {
    file: String,
    line: u32,
    name: String,
}

/// Reads the files and says what it found; the exit code.
pub(crate) fn show(options: &Check) -> u8 {
    let depth = if options.syntax { Depth::Syntax } else { Depth::Whole };
    let explain = if options.explain { Explain::As(THIS_NODE) } else { Explain::No };
    let files = options.keepalived.beside(&options.files);
    let Reading { sources, diagnostics, everything, explained } = match examine(&files, depth, explain) {
        Ok(reading) => reading,
        Err(why) => {
            alert(&why);
            return NOT_USABLE;
        }
    };
    let valid = everything.is_some();
    // A keepalived.conf alone listens to nobody.
    let reachable = options.files.is_empty() || everything.as_ref().is_some_and(Everything::is_reachable);
    let code = match (valid, reachable) {
        (true, true) => 0,
        (true, false) => NOTHING_TO_RUN,
        (false, _) => NOT_USABLE,
    };
    if options.json {
        let report = Report {
            valid,
            problems: diagnostics.iter().map(|diagnostic| problem(&sources, diagnostic)).collect(),
            waiting: diagnostics
                .waiting()
                .iter()
                .map(|(span, name)| Waiting {
                    file: file(&sources, span.file),
                    line: span.line,
                    name: name.clone(),
                })
                .collect(),
            sections: explained.into_iter().map(|explained| section(&sources, explained)).collect(),
        };
        // Numbers and texts can always be written.
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        return code;
    }
    let colour = std::io::stdout().is_terminal();
    if options.explain && valid {
        write(explained.into_iter().map(|explained| section(&sources, explained)));
        return code;
    }
    for diagnostic in diagnostics.iter() {
        println!("{}", render(&sources, diagnostic, std::process::id(), colour));
    }
    if diagnostics.dropped() > 0 {
        println!("... and {} more", diagnostics.dropped());
    }
    for (span, name) in diagnostics.waiting() {
        println!("not built yet: {}:{}: {name}", file(&sources, span.file), span.line);
    }
    match code {
        0 => {
            print!("{}", everything.iter().map(who_would_win).collect::<String>());
            println!("Configuration file is valid");
        }
        NOTHING_TO_RUN => println!("{NO_LISTENER}"),
        _ => println!("{} mistakes", diagnostics.errors()),
    }
    code
}

/// Who would have each virtual router's addresses, in words: the priorities as they act.
fn who_would_win(everything: &Everything) -> String {
    let Some(cluster) = &everything.cluster else { return String::new() };
    let members: Vec<(&str, std::net::IpAddr)> =
        cluster.members.iter().map(|member| (member.name.as_str(), member.address)).collect();
    let mut text = String::new();
    for router in &everything.routers {
        let rank =
            |(name, address): &(&str, std::net::IpAddr)| (router.settings(name, *address).priority, *address);
        let best = |without: &str| {
            let others = members.iter().filter(|(name, _)| *name != without);
            others.max_by_key(|member| rank(member)).map_or("nobody", |(name, _)| *name)
        };
        let first = best("");
        let back = if router.preempt { first } else { "whoever has them then" };
        text.push_str(&format!(
            "virtual router {}: {first} has the addresses; {} if {first}, or the proxy on it, fails; {back} when it is back\n",
            router.name,
            best(first)
        ));
    }
    text
}

fn section(sources: &Sources, explained: Explained) -> Section {
    let from = |origin| match origin {
        Origin::Own => None,
        Origin::Defaults(span) => Some(format!("defaults, {}:{}", file(sources, span.file), span.line)),
        Origin::Usual => Some("usual".to_owned()),
    };
    let lines = explained.lines.into_iter();
    Section {
        kind: explained.kind,
        name: explained.name,
        id: explained.id,
        lines: lines.map(|line| Line { text: line.text, id: line.id, from: from(line.origin) }).collect(),
    }
}

/// Writes the sections as a file that can be read again.
fn write(sections: impl Iterator<Item = Section>) {
    println!(
        "# What the configuration means. Behind '#': numbers, and where a line comes from if not from here."
    );
    for Section { kind, name, id, lines } in sections {
        let note = |parts: [Option<String>; 2]| {
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            if parts.is_empty() { String::new() } else { format!("  # {}", parts.join(", ")) }
        };
        let number = |id: Option<u32>| id.map(|id| format!("id {id}"));
        let name = name.map_or_else(String::new, |name| format!(" {}", proxy_lang::quoted(&name)));
        println!("\n{kind}{name}{}", note([number(id), None]));
        for line in lines {
            println!("    {}{}", line.text, note([number(line.id), line.from]));
        }
    }
}

fn problem(sources: &Sources, diagnostic: &Diagnostic) -> Problem {
    let span = diagnostic.span;
    Problem {
        level: match diagnostic.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
            Level::Detail => "detail",
        },
        file: file(sources, span.file),
        line: span.line,
        columns: [span.start + 1, span.end],
        message: diagnostic.message.clone(),
        help: diagnostic.help.clone(),
    }
}

fn file(sources: &Sources, id: proxy_lang::FileId) -> String {
    sources.source(id).map_or_else(String::new, |source| source.name.clone())
}
