//! `tandem migrate`: an old file in today's language, as a diff with reasons, or as a whole.

use std::io::IsTerminal;

use proxy_config::{Change, Migration, migrate};

use crate::args::Migrate;
use crate::config::{alert, read_file};

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
    u8::from(!stuck.is_empty()) * STUCK
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
