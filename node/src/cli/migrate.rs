//! `tandem migrate`: an old file in today's language, as a diff with reasons, or as a whole.

use std::io::IsTerminal;

use proxy_config::{Change, Migration, migrate};
use proxy_lang::{Diagnostic, Level, render};

use crate::args::Migrate;
use crate::config::{Reading, alert, examine_text, read_file};

/// Something has no translation.
const STUCK: u8 = 1;

/// Rewrites the file; the exit code.
pub(crate) fn show(options: &Migrate) -> u8 {
    let name = options.file.to_string_lossy();
    let text = match read_file(&name) {
        Ok(text) => text,
        Err(why) => {
            alert(&format!("Could not open configuration file {name} : {why}"));
            return STUCK;
        }
    };
    let Migration { changes, stuck, text } = migrate(&text);
    if let Some(file) = &options.output {
        if let Err(why) = std::fs::write(file, &text) {
            alert(&format!("cannot write '{}' : {why}", file.display()));
            return STUCK;
        }
    } else {
        changes.iter().for_each(|change| print(&name, change));
    }
    for (line, advice) in &stuck {
        eprintln!("{name}:{line}: no translation: {advice}");
    }
    if options.output.is_none() && changes.is_empty() && stuck.is_empty() {
        println!("nothing to change");
    }
    let written = options.output.as_ref().map(|file| file.display().to_string());
    let refused = refused(&written.unwrap_or_else(|| format!("{name}, rewritten")), text);
    if !refused.is_empty() {
        eprint!("what is written is still refused:\n{refused}");
    }
    u8::from(!stuck.is_empty() || !refused.is_empty()) * STUCK
}

/// What is still wrong with a text, and what of it is not built.
fn refused(name: &str, text: String) -> String {
    let Reading { sources, diagnostics, .. } = examine_text(name, text);
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|d| d.level == Level::Error).collect();
    let mut said = render(&sources, &errors, std::process::id(), std::io::stderr().is_terminal());
    for (span, what) in diagnostics.waiting() {
        said.push_str(&format!("not built yet: {name}:{}: {what}\n", span.line));
    }
    said
}

fn print(name: &str, change: &Change) {
    let colour = std::io::stdout().is_terminal();
    let paint = |code: &str, text: String| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text };
    println!("{name}:{}: {}", change.line, change.why);
    println!("{}", paint("31", format!("-{}", change.old)));
    for new in &change.new {
        println!("{}", paint("32", format!("+{new}")));
    }
}
