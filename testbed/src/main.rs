//! The workshop: drills in a lab of namespaces, side-by-side measurements, and the pages generated from
//! the registry rows.
#![deny(unsafe_code)]
#![allow(clippy::print_stdout, reason = "this is what a command line is for")]

mod build_tandem;
mod compose;
mod dice;
mod drill;
mod effects;
mod hostile;
mod interop;
mod lab;
mod link;
mod mutants;
mod parity;
mod reference;
mod server;
mod switch;
mod sys;
mod table;
mod versus;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "testbed", max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Breaks a pair in a lab of namespaces and shows what clients felt (`cargo drill`)
    Drill(drill::Options),
    /// Plays one drill, and writes its figures for who started it
    #[command(hide = true)]
    Play {
        /// The drill
        plan: String,
        /// In a lab without a user namespace
        #[arg(long)]
        as_root: bool,
    },
    /// Measures CPU time per request beside HAProxy and nginx (`cargo versus`)
    Versus(versus::Options),
    /// Meets a real program as a neighbour in the lab
    Interop {
        /// Whom
        #[arg(value_enum)]
        neighbour: interop::Neighbour,
        /// One way of meeting it only
        #[arg(long, value_name = "NAME")]
        case: Option<String>,
    },
    /// Plays what the agent does on a link, in the lab
    Link {
        /// What is looked at
        #[arg(value_enum)]
        case: link::Case,
        /// Not once more, whatever the machine did meanwhile
        #[arg(long)]
        once: bool,
    },
    /// Attacks the program with bad input and bad luck, and measures what good clients notice (`cargo hostile`)
    Hostile(hostile::Options),
    /// Moves an address between two hosts of a lab while clients talk to it, and counts what they felt
    Switch(switch::Options),
    /// Builds what the containers' image is made of (`cargo image`)
    Image,
    /// In a container: makes the members' certificates
    #[command(hide = true)]
    Prepare {
        /// Configuration of the pair
        #[arg(long)]
        file: std::path::PathBuf,
        /// Where each member's folder is
        #[arg(long)]
        dir: std::path::PathBuf,
    },
    /// In a container: serves as a server of the example
    #[command(hide = true)]
    Serve {
        /// s1 or s2
        name: String,
    },
    /// In a container: asks for ever, and says every second how it went
    #[command(hide = true)]
    Ask {
        /// Whom
        service: std::net::SocketAddr,
    },
    /// Plays every line under test on HAProxy, on HAProxy without it, and here (`cargo effects`)
    Effects(effects::Options),
    /// Plays one case once
    #[command(hide = true)]
    EffectsPlay(effects::One),
    /// Changes a line at a time and sees whether a crate's tests notice (`cargo mutate`)
    Mutate(mutants::Options),
    /// Says how much of HAProxy's language has a row here (`cargo parity`)
    Parity(parity::Options),
    /// Writes docs/reference/ from the registry rows (`cargo reference`)
    Reference {
        /// Only say whether it is what the rows say
        #[arg(long)]
        check: bool,
    },
}

/// Where a program is installed, if it is.
fn find_program(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    // Debian puts daemons where ordinary users do not look.
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    folders.map(|folder| std::path::Path::new(folder).join(program)).find(|file| file.is_file())
}

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Reference { check: true } => reference::check(),
        Command::Reference { check: false } => reference::write(),
        Command::Parity(options) => parity::run(&options),
        Command::Mutate(options) => mutants::run(&options),
        Command::Effects(options) => effects::run(&options),
        Command::EffectsPlay(options) => effects::play_one(&options),
        Command::Image => compose::fill(),
        Command::Prepare { file, dir } => compose::prepare(&file, &dir),
        Command::Serve { name } => compose::serve(&name),
        Command::Ask { service } => compose::ask(service),
        // What packages are built with: nothing else would be fair to compare.
        Command::Versus(options) => build_tandem::build("release").and_then(|tandem| {
            if let Err(why) = lab::own_network() {
                eprintln!("measured in the host's network, with its packet filters: {why}");
            }
            versus::run(&options, &tandem)
        }),
        Command::Interop { neighbour, case } => match (interop::absent(neighbour), case) {
            // It reads what the kernel has; no node runs.
            (Ok(None), None) if neighbour == interop::Neighbour::Nft => interop::meet(neighbour),
            (Ok(None), None) => build_tandem::build_beside_us().and_then(|()| interop::meet(neighbour)),
            (Ok(None), Some(case)) => match lab::enter() {
                Ok(Some(code)) => return code,
                Ok(None) => interop::play(&case),
                Err(why) => Err(why),
            },
            (Ok(Some(skipped)), _) => Ok(skipped),
            (Err(why), _) => Err(why),
        },
        Command::Switch(options) if !options.once() => lab::play_what_was_asked(),
        Command::Switch(options) => match lab::enter() {
            Ok(Some(code)) => return code,
            Ok(None) => switch::run(&options),
            Err(why) => Err(why),
        },
        Command::Hostile(options) => return hostile::run(&options),
        Command::Drill(options) => build_tandem::build_beside_us().and_then(|()| drill::run(&options)),
        Command::Link { once: false, .. } => {
            build_tandem::build_beside_us().and_then(|()| lab::play_what_was_asked())
        }
        Command::Link { case, once: true } => match lab::enter() {
            Ok(Some(code)) => return code,
            Ok(None) => link::play(case),
            Err(why) => Err(why),
        },
        Command::Play { plan, as_root } => match lab::enter_with(as_root) {
            Ok(Some(code)) => return code,
            Ok(None) => drill::play(&plan),
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
