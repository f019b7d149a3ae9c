//! `cargo hostile`: bad clients, servers, neighbours and bad luck against the program, and what good clients notice.

mod attack;
mod chaos;
mod desync;
mod forged;
mod memory;
mod pair;
mod pipe;
mod program;
mod recorder;
mod vrrp;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use crate::{build_tandem, lab};

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Every part exits with 1 if something does not hold. TANDEM_BINARY names another build.

Examples:
  cargo hostile desync
  cargo hostile desync --json desync.json
  cargo hostile attack --brief
  cargo hostile attack --pair --brief
  cargo hostile chaos --minutes 60
  cargo hostile memory
  cargo hostile vrrp")]
pub(crate) struct Options {
    #[command(subcommand)]
    part: Part,
}

#[derive(Clone, Debug, Subcommand)]
enum Part {
    /// Sends a public list of ambiguous requests, and one of our own, and records what reaches a server
    Desync(desync::Options),
    /// Attacks in a thousand connections, and measures good clients beside it
    Attack(attack::Options),
    /// Kills, reloads, dumps and exhausts a pair at random, and sees it heal
    Chaos(chaos::Options),
    /// Measures the memory of idle connections, half heads and requests under way
    Memory(memory::Options),
    /// Floods a pair with VRRP packets of every bad kind
    Vrrp {
        /// One case only
        #[arg(long, value_name = "NAME")]
        case: Option<String>,
    },
}

/// Which programs are attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Stack {
    /// Tandem
    Tandem,
    /// HAProxy
    Haproxy,
    /// One after the other
    Both,
}

/// Runs one part; the exit code of the process.
pub(crate) fn run(options: &Options) -> ExitCode {
    let outcome = match &options.part {
        Part::Desync(options) => build_tandem::build_beside_us().and_then(|()| {
            network();
            desync::run(options)
        }),
        Part::Attack(options) if options.pair => {
            match build_tandem::build_beside_us().and_then(|()| lab::enter()) {
                Ok(Some(code)) => return code,
                Ok(None) => attack::run(options),
                Err(why) => Err(why),
            }
        }
        Part::Attack(options) => build_tandem::build_beside_us().and_then(|()| {
            network();
            attack::run(options)
        }),
        Part::Chaos(options) => match build_tandem::build_beside_us().and_then(|()| lab::enter()) {
            Ok(Some(code)) => return code,
            Ok(None) => chaos::run(options),
            Err(why) => Err(why),
        },
        Part::Memory(options) => build_tandem::build_beside_us().and_then(|()| {
            network();
            memory::run(options)
        }),
        Part::Vrrp { case: None } => build_tandem::build_beside_us().and_then(|()| vrrp::meet()),
        Part::Vrrp { case: Some(case) } => match lab::enter() {
            Ok(Some(code)) => return code,
            Ok(None) => vrrp::play(case),
            Err(why) => Err(why),
        },
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

/// A network of this process's own, so that no filter of the host looks at its packets.
fn network() {
    if let Err(why) = lab::own_network() {
        eprintln!("in the host's network: {why}");
    }
}
