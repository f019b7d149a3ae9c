//! `tandem explain`: why the addresses moved, from what the node wrote down.

use comfy_table::ColumnConstraint;

use crate::args::Explain;
use crate::journal::{Entry, read};

use super::status::table;

const NOTHING: u8 = 1;

/// Prints what happened; the exit code.
pub(crate) fn show(options: &Explain) -> u8 {
    let entries = match read(&options.state_dir) {
        Ok(entries) => entries,
        Err(error) => {
            eprintln!("tandem: no events in '{}': {error}", options.state_dir.display());
            return NOTHING;
        }
    };
    let meant = |entry: &&Entry| options.when.as_ref().is_none_or(|when| when_of(entry).contains(when));
    let mut entries: Vec<&Entry> = entries.iter().filter(meant).collect();
    if options.when.is_none() {
        entries.drain(..entries.len().saturating_sub(options.count));
    }
    if options.json {
        // Texts can always be written.
        println!("{}", serde_json::to_string_pretty(&entries).unwrap_or_default());
    } else if entries.is_empty() {
        println!("nothing happened then");
    } else {
        let mut table = table(&["when", "of", "what", "why"]);
        for entry in &entries {
            table.add_row([when_of(entry), entry.of.clone(), entry.what.clone(), entry.why.clone()]);
        }
        if let Some(column) = table.column_mut(0) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        println!("{table}");
    }
    if entries.is_empty() { NOTHING } else { 0 }
}

/// A time as the machine's clock on the wall shows it.
fn when_of(entry: &Entry) -> String {
    let time = entry.time.parse::<jiff::Timestamp>().map(|time| time.to_zoned(jiff::tz::TimeZone::system()));
    time.map_or_else(|_| entry.time.clone(), |time| time.strftime("%m-%d %H:%M:%S%.3f").to_string())
}
