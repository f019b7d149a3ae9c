//! `tandem dump`: the virtual routers as keepalived dumps its instances.

use std::time::Duration;

use super::ask::ask_text;
use crate::args::DumpAs;

/// Longest time a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks and prints; the exit code.
pub(crate) fn show(options: &DumpAs) -> u8 {
    match ask_text(&options.run_dir, &format!("dump {}", options.dump.word()), PATIENCE) {
        Ok(text) => {
            print!("{}", text.trim_end_matches('\n').to_owned() + "\n");
            0
        }
        Err(why) => {
            eprintln!("tandem: {why}");
            1
        }
    }
}
