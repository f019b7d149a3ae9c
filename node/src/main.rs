//! The program: arguments in, exit codes out.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "this is what a command line is for")]

mod args;
mod config;
mod foreground;
mod runtime_api;

use std::io::IsTerminal;
use std::process::ExitCode;

use args::{Asked, Options};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// HAProxy's exit code for a configuration, or a start, that failed.
const FAILURE: u8 = 1;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match args::read(&words) {
        Err(why) => {
            eprintln!("[ALERT]    ({}) : {why}", std::process::id());
            eprintln!("{}", args::USAGE);
            ExitCode::from(FAILURE)
        }
        Ok(Asked::Help) => {
            println!("{}", args::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Asked::Version) => {
            println!("{}", version());
            ExitCode::SUCCESS
        }
        Ok(Asked::Run(options)) => run(&options),
    }
}

fn version() -> String {
    format!("Tandem version {}", env!("CARGO_PKG_VERSION"))
}

fn run(options: &Options) -> ExitCode {
    let Some(config) = config::load(options) else { return ExitCode::from(FAILURE) };
    if options.check {
        if !options.quiet {
            println!("Configuration file is valid");
        }
        return ExitCode::SUCCESS;
    }
    let colour = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_target(false).with_ansi(colour).with_writer(std::io::stderr).init();
    match foreground::run(config, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("[ALERT]    ({}) : {why}", std::process::id());
            ExitCode::from(FAILURE)
        }
    }
}
