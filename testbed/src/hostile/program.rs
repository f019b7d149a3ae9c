//! The program under attack, alone on loopback: started on a file, looked at through /proc, ended.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::Stack;
use crate::lab::Namespace;
use crate::{build_tandem, find_program};

/// A program listens within this after its start.
const START: Duration = Duration::from_secs(10);
/// How often it is looked whether it does.
const LOOK: Duration = Duration::from_millis(5);
/// Lines of its log that an error shows.
const TAIL: usize = 12;

/// What differs from a plain start.
#[derive(Debug, Default)]
pub(super) struct Setup {
    /// The core it is kept on.
    pub(super) core: Option<usize>,
    /// Limits of open files, soft and hard.
    pub(super) nofile: Option<[u32; 2]>,
    /// Where its standard output goes; the log file if nothing is said.
    pub(super) stdout: Option<Stdio>,
    /// Further arguments.
    pub(super) arguments: Vec<String>,
}

/// A running program.
pub(super) struct Program {
    pub(super) name: &'static str,
    process: Child,
    log: PathBuf,
}

/// Where HAProxy is. `None`: it is not installed, and nobody requires it.
pub(super) fn haproxy() -> Result<Option<PathBuf>, String> {
    let found = find_program("haproxy");
    if found.is_none() && std::env::var_os("TANDEM_REQUIRE_PEERS").is_some() {
        return Err("haproxy is required, but not installed".to_owned());
    }
    Ok(found)
}

/// What a program is called.
pub(super) fn name(stack: Stack) -> &'static str {
    if stack == Stack::Haproxy { "haproxy" } else { "tandem" }
}

/// As many descriptors for this process as it may have: it holds both ends of what is attacked.
pub(super) fn raise_own_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer the load is smaller, and says so by what it connected.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn path_of(stack: Stack) -> Result<(&'static str, PathBuf), String> {
    Ok(match stack {
        Stack::Haproxy => ("haproxy", haproxy()?.ok_or("haproxy is not installed")?),
        Stack::Tandem | Stack::Both => ("tandem", build_tandem::beside_us()?),
    })
}

/// Whether a program takes this text for a configuration.
pub(super) fn takes(stack: Stack, folder: &Path, text: &str) -> Result<bool, String> {
    let (name, path) = path_of(stack)?;
    let file = folder.join(format!("{name}-taken.cfg"));
    let say = |e: std::io::Error| format!("{name}: {e}");
    fs::write(&file, text).map_err(say)?;
    let output = Command::new(path).args(["-c", "-q", "-f"]).arg(&file).output().map_err(say)?;
    Ok(output.status.success())
}

impl Program {
    /// Starts a program on this text, and waits until it listens here.
    pub(super) fn start(
        stack: Stack,
        folder: &Path,
        text: &str,
        address: SocketAddrV4,
        setup: Setup,
    ) -> Result<Self, String> {
        let (name, path) = path_of(stack)?;
        let say = |e: std::io::Error| format!("{name}: {e}");
        let file = folder.join(format!("{name}.cfg"));
        fs::write(&file, text).map_err(say)?;
        let log = folder.join(format!("{name}.log"));
        let written = File::create(&log).map_err(say)?;
        let mut command = match setup.nofile {
            Some([soft, hard]) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={soft}:{hard}")).arg(path);
                command
            }
            None => Command::new(path),
        };
        command.args(["-db", "-f"]).arg(&file).args(&setup.arguments).stdin(Stdio::null());
        command.stdout(setup.stdout.map_or_else(|| written.try_clone().map(Stdio::from), Ok).map_err(say)?);
        command.stderr(written);
        let start = || {
            if let Some(core) = setup.core {
                pin(core)?;
            }
            command.spawn()
        };
        // A thread of its own: what it starts inherits its core.
        let process = std::thread::scope(|scope| scope.spawn(start).join());
        let process = process.map_err(|_| "a thread died")?.map_err(say)?;
        let mut program = Self { name, process, log };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begin.elapsed() > START || program.ended().is_some() {
                return Err(format!(
                    "{name} does not listen on {address}; its log ends:\n{}",
                    program.tail()
                ));
            }
            std::thread::sleep(LOOK);
        }
        Ok(program)
    }

    /// What its process uses now.
    pub(super) fn usage(&self) -> Usage {
        usage(&[self.process.id()])
    }

    /// Bytes it wrote to its log.
    pub(super) fn logged(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |meta| meta.len())
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// The end of its log.
    pub(super) fn tail(&self) -> String {
        let text = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where a thread of the load runs: on a core, in a host of the lab.
#[derive(Clone, Default)]
pub(super) struct Place {
    pub(super) core: Option<usize>,
    pub(super) host: Option<Arc<Namespace>>,
    /// Addresses that its connections come from, in turn; any if none is given.
    pub(super) sources: Vec<Ipv4Addr>,
}

impl Place {
    /// Moves the calling thread there.
    pub(super) fn enter(&self) -> std::io::Result<()> {
        self.core.map_or(Ok(()), pin)?;
        self.host.as_ref().map_or(Ok(()), |host| host.join())
    }
}

/// What processes use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// CPU time so far, user's and system's.
    pub(super) cpu: Duration,
    /// Resident memory, in bytes.
    pub(super) memory: u64,
    pub(super) descriptors: usize,
}

/// The sum of what these processes use: proc(5).
pub(super) fn usage(processes: &[u32]) -> Usage {
    let mut sum = Usage::default();
    for process in processes {
        let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default();
        let stat = read("stat");
        // Behind the name, which may hold anything, user and system time are the 12th and 13th field.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        sum.cpu += Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1));
        let status = read("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        sum.memory += kib.unwrap_or(0) << 10;
        sum.descriptors += fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count);
    }
    sum
}

/// An address of loopback on which nothing listens now.
pub(super) fn free_address() -> Result<SocketAddrV4, String> {
    // Not of those that the kernel gives to connections: a flood has them all.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = LAST_PORT - FIRST_PORT;
    // Another process may run beside this one.
    let begin = u16::try_from(std::process::id() % u32::from(count)).map_err(|e| e.to_string())?;
    for _ in 0..count {
        let place = (u32::from(begin) + u32::from(NEXT.fetch_add(1, Relaxed))) % u32::from(count);
        let port = FIRST_PORT + u16::try_from(place).map_err(|e| e.to_string())?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        }
    }
    Err("no port is free".to_owned())
}

/// Ports of programs and servers: below those that the kernel gives to connections.
const FIRST_PORT: u16 = 12_000;
const LAST_PORT: u16 = 32_000;

/// Keeps the calling thread, and what it starts, on one core.
pub(super) fn pin(core: usize) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(Into::into)
}
