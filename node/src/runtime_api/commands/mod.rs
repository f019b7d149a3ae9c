//! The commands, one file per family. A row names its words, the level it needs, and what it does.

mod information;
mod servers;
mod tables;

use proxy_config::model::Level;

use super::{Answer, Node};

/// A row: a command.
pub(super) struct Command {
    pub(super) words: &'static [&'static str],
    pub(super) level: Level,
    pub(super) doc: &'static str,
    pub(super) run: Run,
}

/// What a command does: what is short is said at once, the rest bit by bit.
#[derive(Clone, Copy)]
pub(super) enum Run {
    Short(fn(&Node, &[&str]) -> String),
    Long(fn(&Node, &[&str]) -> Answer),
}

const TABLES: &[&[Command]] = &[information::TABLE, servers::TABLE, tables::TABLE];

/// Runs one command; the answer ends with a line end.
pub(super) fn run(node: &Node, level: Level, words: &[&str]) -> Answer {
    let rows = || TABLES.iter().flat_map(|table| table.iter());
    let row = rows().filter(|row| words.starts_with(row.words)).max_by_key(|row| row.words.len());
    match row {
        Some(row) if row.level > level => Answer::Text("Permission denied\n".to_owned()),
        Some(row) => match row.run {
            Run::Short(run) => Answer::Text(run(node, &words[row.words.len()..])),
            Run::Long(run) => run(node, &words[row.words.len()..]),
        },
        None => {
            let mut text = if words == ["help"] {
                String::new()
            } else {
                "Unknown command, but maybe one of the following ones is a better match:\n".to_owned()
            };
            for row in rows().filter(|row| row.level <= level) {
                text.push_str(&format!("  {:<40}: {}\n", row.words.join(" "), row.doc));
            }
            text.push_str(&format!("  {:<40}: {}\n", "prompt", "toggle interactive mode with prompt"));
            text.push_str(&format!("  {:<40}: {}\n", "quit", "disconnect"));
            Answer::Text(text)
        }
    }
}
