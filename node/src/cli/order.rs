//! Orders to the node on this machine, and how they went: `tandem reload`, `tandem failover`, `tandem maintenance`.

use std::time::Duration;

use super::ask::ask;
use crate::args::Order;
use crate::supervisor::Done;

/// Longest time the node may take: it gives up earlier.
const PATIENCE: Duration = Duration::from_secs(125);
const DONE: u8 = 0;
const UNCHANGED: u8 = 1;

/// Gives an order and says how it went, with a word for success and one for failure; the exit code.
pub(crate) fn give(order: &str, options: &Order, success: &str, failure: &str) -> u8 {
    let answer = ask::<Done>(&options.run_dir, order, PATIENCE);
    let done = match answer {
        Ok((_, done)) => done,
        Err(why) => Done { done: false, text: format!("{why}\n") },
    };
    if options.json {
        println!("{}", serde_json::json!(done));
    } else {
        eprint!("{}", done.text);
        if done.done {
            println!("{success}");
        } else {
            eprintln!("tandem: {failure}");
        }
    }
    if done.done { DONE } else { UNCHANGED }
}
