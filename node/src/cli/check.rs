//! `tandem check`: what is wrong with a configuration, what of it has no effect, and what is not built.

use std::io::IsTerminal;

use proxy_lang::{Diagnostic, Level, Sources, render};
use serde::Serialize;

use crate::args::Check;
use crate::config::{Depth, Everything, NO_LISTENER, NOTHING_TO_RUN, Reading, alert, examine};

/// The configuration cannot be used.
const NOT_USABLE: u8 = 1;

#[derive(Serialize)]
struct Report {
    valid: bool,
    problems: Vec<Problem>,
    /// What is read but not built, with `--syntax`.
    waiting: Vec<Waiting>,
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
    let Reading { sources, diagnostics, everything } =
        match examine(&options.keepalived.beside(&options.files), depth) {
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
        };
        // Numbers and texts can always be written.
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        return code;
    }
    let colour = std::io::stdout().is_terminal();
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
        0 => println!("Configuration file is valid"),
        NOTHING_TO_RUN => println!("{NO_LISTENER}"),
        _ => println!("{} mistakes", diagnostics.errors()),
    }
    code
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
