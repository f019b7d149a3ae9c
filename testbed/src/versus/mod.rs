//! `cargo versus`: this proxy beside HAProxy and nginx, in one run on one machine. Each proxy has one core
//! to itself, clients and servers have the other; rounds alternate, so that what drifts drifts for all.

mod config;
mod instructions;
pub(crate) mod load;
mod proxies;
mod report;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::server;
use proxies::Proxy;
use report::{CaseReport, Round};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// HTTP/1.1 with connections that stay, answers of 1 KiB
    Keepalive,
    /// Reading a file of 100,000 lines (`-c`)
    Config,
}

impl Case {
    fn word(self) -> &'static str {
        match self {
            Self::Keepalive => "keepalive",
            Self::Config => "config",
        }
    }

    /// Bytes of an answer's body.
    fn body(self) -> usize {
        match self {
            Self::Keepalive => 1_024,
            Self::Config => 0,
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
HAProxy and nginx take part if they are installed. CPU time per request is the figure to compare:
requests per second depend on what clients and servers leave of the machine.

Examples:
  cargo versus
  cargo versus keepalive --rounds 5 --json versus.json
  cargo versus config
  cargo versus --instructions")]
pub(crate) struct Options {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    cases: Vec<Case>,
    /// Rounds of each proxy
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Length of a round
    #[arg(long, default_value_t = 4, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Connections open at a time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    connections: u32,
    /// Count user instructions for each request of Tandem instead (needs valgrind)
    #[arg(long)]
    instructions: bool,
    /// Write the figures here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The core of the proxies, and the one of clients and servers.
const PROXY_CORE: usize = 0;
const LOAD_CORE: usize = 1;

pub(crate) fn run(options: &Options, tandem: &std::path::Path) -> Result<String, String> {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Err("two cores are needed: one for the proxy, one for clients and servers".to_owned());
    }
    let every: &[Case] = Case::value_variants();
    let cases = if options.cases.is_empty() { every } else { &options.cases };
    if options.instructions {
        let counts = cases
            .iter()
            .filter(|case| **case != Case::Config)
            .map(|case| instructions::count(tandem, *case, options.connections));
        return counts.collect::<Result<Vec<_>, _>>().map(|lines| lines.join("\n"));
    }
    let mut reports = Vec::new();
    let mut texts = Vec::new();
    for case in cases {
        match case {
            Case::Keepalive => reports.push(measure(*case, options, tandem)?),
            Case::Config => texts.push(config::measure(options.rounds, tandem)?),
        }
    }
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report::json(&reports)).map_err(|e| e.to_string())?;
        std::fs::write(file, json + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(reports.iter().map(CaseReport::text).chain(texts).collect::<Vec<_>>().join("\n\n"))
}

fn measure(case: Case, options: &Options, tandem: &std::path::Path) -> Result<CaseReport, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let origin = start_server(case)?;
    let (mut proxies, absent) = proxies::start(folder.path(), origin, tandem)?;
    let bar = ProgressBar::new(u64::from(options.rounds) * proxies.len() as u64);
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}").map_err(|e| e.to_string())?;
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut report = CaseReport::new(case.word(), options.rounds, absent);
    for number in 1..=options.rounds {
        for proxy in &mut proxies {
            bar.set_message(format!("{} round {number}: {}", case.word(), proxy.name));
            report.add(proxy.name, round(proxy, options, case)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(report)
}

/// Starts the server behind the proxies; where it is.
fn start_server(case: Case) -> Result<SocketAddrV4, String> {
    let origin = free_address()?;
    std::thread::spawn(move || {
        let served = pin(LOAD_CORE).and_then(|()| server::serve(&[("s1", origin)], case.body()));
        if let Err(error) = served {
            eprintln!("the server ended: {error}");
        }
    });
    Ok(origin)
}

fn round(proxy: &mut Proxy, options: &Options, case: Case) -> Result<Round, String> {
    let address = proxy.address;
    let (connections, seconds, body) = (options.connections, options.seconds, case.body());
    let before = std::sync::Mutex::new(None);
    let after = std::sync::Mutex::new(None);
    let load = std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            pin(LOAD_CORE)?;
            // The proxy's clock is read where the clients' is.
            let mark = |begin: bool| {
                let slot = if begin { &before } else { &after };
                *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = proxy.cpu().ok();
            };
            load::keep_alive(address, connections, Duration::from_secs(seconds), body, &mark)
        });
        clients.join()
    });
    let load = load.map_err(|_| "the clients died")?.map_err(|e| format!("{}: {e}", proxy.name))?;
    let take = |slot: std::sync::Mutex<Option<proxies::Cpu>>| {
        slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    };
    let (Some(before), Some(after)) = (take(before), take(after)) else {
        return Err(format!("{} ended", proxy.name));
    };
    Ok(Round::new(&load, before, after, Duration::from_secs(seconds), proxy.rss_kb()))
}

/// An address of loopback that nobody listens on now.
fn free_address() -> Result<SocketAddrV4, String> {
    let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
    any.map(|a| SocketAddrV4::new(Ipv4Addr::LOCALHOST, a.port())).map_err(|e| e.to_string())
}

/// Keeps the calling thread, and what it starts, on one core.
fn pin(core: usize) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(Into::into)
}
