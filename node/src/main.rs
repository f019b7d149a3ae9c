//! The program: arguments in, exit codes out.
#![deny(unsafe_code)]
#![allow(clippy::print_stdout, reason = "this is what a command line is for")]

mod args;
mod background;
mod behind;
mod cli;
mod config;
mod control;
mod dump;
mod foreground;
mod journal;
mod limits;
mod link;
mod log_limit;
mod metrics;
mod runtime_api;
mod sandbox;
mod sockets;
mod status;
mod supervisor;
mod sys;
mod worker;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use args::haproxy::{self, Asked, Options, Style};
use args::{Cluster, Command, CommandLine, Keepalived, Maintenance};
use clap::Parser;
use config::{Everything, Texts, Warnings, alert};
use supervisor::{Ended, Start, Tell};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// HAProxy's exit code for a configuration, or a start, that failed.
const FAILURE: u8 = 1;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // While the process that may have launched this one is there to be recognized.
    background::is_here();
    // What begins with a dash is HAProxy's, except for what every program understands.
    let dashed = words.first().is_some_and(|w| w.starts_with('-') && w != "--help" && w != "--version");
    if dashed {
        return as_haproxy(&words);
    }
    let command = CommandLine::parse().command;
    if !matches!(command, Command::Run(_) | Command::Worker | Command::Control) {
        sys::end_with_the_reader();
    }
    match command {
        Command::Run(options) => run_node(options),
        Command::Migrate(options) => ExitCode::from(cli::migrate::show(&options)),
        Command::Diff(options) => ExitCode::from(cli::diff::show(&options)),
        Command::Check(options) => ExitCode::from(cli::check::show(&options)),
        Command::Status(options) => ExitCode::from(cli::status::show(&options)),
        Command::Explain(options) => ExitCode::from(cli::explain::show(&options)),
        Command::Dump(options) => ExitCode::from(cli::dump::show(&options)),
        Command::Peers(options) => ExitCode::from(cli::peers::show(&options)),
        Command::Reload { force, order } => ExitCode::from(cli::order::give(
            if force { "reload force" } else { "reload" },
            &order,
            "reloaded",
            "not reloaded: nothing has changed",
        )),
        Command::Failover { to, order } => ExitCode::from(cli::order::give(
            &to.map_or_else(|| "failover".to_owned(), |to| format!("failover {to}")),
            &order,
            "the other node is master",
            "not handed over",
        )),
        Command::Maintenance { state: Maintenance::On, order } => ExitCode::from(cli::order::give(
            "maintenance on",
            &order,
            "this node takes no address",
            "nothing has changed",
        )),
        Command::Maintenance { state: Maintenance::Off, order } => ExitCode::from(cli::order::give(
            "maintenance off",
            &order,
            "this node takes addresses as ever",
            "nothing has changed",
        )),
        Command::Cluster(Cluster::Init(options)) => finish(cli::cluster::init(&options)),
        Command::Cluster(Cluster::Join(options)) => finish(cli::cluster::join(&options)),
        Command::Cluster(Cluster::AddKey(options)) => finish(cli::cluster::add_key(&options)),
        Command::Worker => ended(logged(worker::run)),
        Command::Control => ended(logged(control::run)),
    }
}

/// Runs a node of a pair.
fn run_node(options: args::Run) -> ExitCode {
    let files = options.keepalived.beside(&options.files);
    let Some(loaded) = config::load_aloud(&files, Warnings::Say) else {
        return finish(Err("the configuration is not usable".to_owned()));
    };
    if !loaded.0.is_reachable() {
        alert(config::NO_LISTENER);
        return ExitCode::from(config::NOTHING_TO_RUN);
    }
    let start = Start {
        files,
        loaded,
        member: options.member,
        folders: Some((options.run_dir, options.state_dir)),
        pidfile: None,
        max_connections: None,
        no_virtual_addresses: false,
        keepalived_dumps: options.keepalived_dumps,
        tell: Tell { systemd: std::env::var_os("NOTIFY_SOCKET").map(Into::into), ..Tell::default() },
    };
    ended(logged(|| supervisor::run(start).map(|_| ())))
}

fn as_haproxy(words: &[String]) -> ExitCode {
    match haproxy::read(words) {
        Err(why) => {
            alert(&why);
            eprintln!("{}", haproxy::USAGE);
            ExitCode::from(FAILURE)
        }
        Ok(Asked::Help) => {
            println!("{}", haproxy::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Asked::Version) => {
            println!("Tandem version {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Asked::Condition(text)) => config::condition(&text),
        Ok(Asked::Run(options)) => match run(words, options) {
            Ok(code) => code,
            Err(why) => {
                alert(&why);
                ExitCode::from(FAILURE)
            }
        },
    }
}

fn run(words: &[String], options: Options) -> Result<ExitCode, String> {
    let Options { files, folder, max_memory, .. } = &options;
    // Who was launched into the background was launched there.
    if let Some(folder) = folder.as_ref().filter(|_| !background::is_here()) {
        std::env::set_current_dir(folder)
            .map_err(|e| format!("cannot go to '{}' : {e}", folder.display()))?;
    }
    if let Some(megabytes) = max_memory {
        let most = Some(megabytes.saturating_mul(1_024 * 1_024));
        let limit = rustix::process::Rlimit { current: most, maximum: most };
        rustix::process::setrlimit(rustix::process::Resource::As, limit)
            .map_err(|e| format!("'-m {megabytes}' : {e}"))?;
    }
    let parent = if background::is_here() {
        let met = background::Parent::meet();
        Some(met.map_err(|e| format!("cannot go into the background: {e}"))?)
    } else {
        None
    };
    let warnings = match &parent {
        // The process that launched this one has said what there is to say.
        Some(_) => Warnings::Silent,
        None if options.strict => Warnings::Refuse,
        None if options.details => Warnings::Everything,
        None => Warnings::Say,
    };
    let Some(mut loaded) = config::load_aloud(&Keepalived::default().beside(files), warnings) else {
        return Ok(ExitCode::from(FAILURE));
    };
    if parent.is_some() {
        return Ok(supervise(options, loaded, parent));
    }
    if !loaded.0.is_reachable() {
        // Whatever else was asked: there is nothing to run.
        alert(config::NO_LISTENER);
        return Ok(ExitCode::from(config::NOTHING_TO_RUN));
    }
    if options.check {
        let missing: Vec<String> = loaded.0.cluster.iter().flat_map(config::unreadable).collect();
        if !missing.is_empty() {
            missing.iter().for_each(|why| alert(&format!("config : {why}")));
            return Ok(ExitCode::from(FAILURE));
        }
        let member = loaded.0.member(options.member.as_deref());
        let mut lonely =
            loaded.0.proxy.peers.iter().filter(|section| section.own(&member).is_none()).peekable();
        let is_refused = options.strict && lonely.peek().is_some();
        for section in lonely {
            let text = format!("peers section '{}' has no peer '{member}' and is left out", section.name);
            eprintln!(
                "[WARNING]  ({}) : config : {text}: say who this is with '-L NAME'",
                std::process::id()
            );
        }
        if is_refused {
            return Ok(ExitCode::from(FAILURE));
        }
        if !options.quiet {
            println!("Configuration file is valid");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let supervised = loaded.0.proxy.global.master_worker;
    let style = match options.style {
        Style::Foreground if supervised => Style::SupervisedForeground,
        Style::AsTheFileSays if supervised => Style::Supervised,
        Style::AsTheFileSays
        | Style::Foreground
        | Style::Background
        | Style::Supervised
        | Style::SupervisedForeground => options.style,
    };
    let options = Options { style, ..options };
    let in_background = match style {
        Style::Foreground => {
            loaded.0.limit_connections(options.max_connections);
            return Ok(ended(logged(|| foreground::run(loaded.0, &options))));
        }
        Style::SupervisedForeground => false,
        Style::Background => true,
        // The keyword holds beside `-W`, and not for systemd (manual chapter 3.1, `daemon`).
        Style::Supervised => loaded.0.proxy.global.daemon && !options.notify,
        Style::AsTheFileSays => loaded.0.proxy.global.daemon,
    };
    if in_background { background::launch(words) } else { Ok(supervise(options, loaded, None)) }
}

/// Runs as a supervisor in HAProxy's place.
fn supervise(options: Options, loaded: (Everything, Texts), parent: Option<background::Parent>) -> ExitCode {
    // The exit code tells of the signal that ended it, as that of HAProxy's master does.
    let signals = matches!(options.style, Style::Supervised | Style::SupervisedForeground);
    let systemd = std::env::var_os("NOTIFY_SOCKET").filter(|_| options.notify).map(Into::into);
    let start = Start {
        files: Keepalived::default().beside(&options.files),
        loaded,
        member: options.member,
        folders: None,
        pidfile: options.pidfile,
        max_connections: options.max_connections,
        no_virtual_addresses: options.no_virtual_addresses,
        keepalived_dumps: None,
        tell: Tell { systemd, parent, before: options.before, ..Tell::default() },
    };
    let mut how_it_ended = Ended::Asked;
    let result = logged(|| supervisor::run(start).map(|how| how_it_ended = how));
    match how_it_ended {
        Ended::Signal(number) if signals && result.is_ok() => ExitCode::from(128 + number),
        Ended::Signal(_) | Ended::Asked => ended(result),
    }
}

/// Runs something whose news go to standard error.
fn logged(run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let colour = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_target(false).with_ansi(colour).with_writer(|| behind::Log);
    log.finish().with(log_limit::LogLimit::default()).init();
    // What a thread says before it ends goes where everything goes: standard error may have no reader.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    let result = run();
    // The last word, and no longer than that.
    if let Err(why) = &result {
        let _ = behind::Log.write_all(config::alert_line(why).as_bytes());
    }
    behind::last_lines();
    result
}

/// The exit code of something that was logged: why it failed has been said.
fn ended(result: Result<(), String>) -> ExitCode {
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) }
}

fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            alert(&why);
            ExitCode::from(FAILURE)
        }
    }
}
