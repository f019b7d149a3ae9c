//! The workshop: what is generated from the registry rows. `cargo reference` writes `docs/reference/`;
//! with `--check` it only says whether that is what the rows say.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "this is what a command line is for")]

mod reference;

use std::process::ExitCode;

const USAGE: &str = "Usage: cargo reference [--check]\n\nWrites docs/reference/ from the registry rows; --check only compares.";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["reference"] => reference::write(),
        ["reference", "--check"] => reference::check(),
        _ => {
            println!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
