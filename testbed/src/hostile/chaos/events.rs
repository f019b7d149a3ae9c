//! What happens to a node.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::world::World;
use crate::drill::node::signal;
use crate::drill::stack::Member;
use crate::hostile::attack::{Attacker, Step, Whom};
use crate::hostile::pair::{Pair, SERVICE};

/// How long a state lasts that ends by itself.
const HOLD: Duration = Duration::from_millis(1_500);
/// Longer than a pipe takes to fill, and a watchdog to lose patience.
const LOG: Duration = Duration::from_secs(5);
/// Longest time for a whole dump, and for a reader that reads a little of it.
const DUMP: Duration = Duration::from_secs(60);
const UNREAD: Duration = Duration::from_secs(2);
/// Reloads in a row.
const RELOADS: usize = 3;
/// Descriptors that a worker has on top of those that are open, and later again.
const FEW: usize = 20;
const MANY: usize = 20_000;

/// One stroke of bad luck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    KillWorker,
    KillControl,
    KillNode,
    Reload,
    Dump,
    UnreadDump,
    FullLog,
    FewDescriptors,
}

impl Event {
    pub(super) const EVERY: [Self; 8] = [
        Self::KillWorker,
        Self::KillControl,
        Self::KillNode,
        Self::Reload,
        Self::Dump,
        Self::UnreadDump,
        Self::FullLog,
        Self::FewDescriptors,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::KillWorker => "kill of the worker",
            Self::KillControl => "kill of the control process",
            Self::KillNode => "kill of the supervisor",
            Self::Reload => "reloads",
            Self::Dump => "a dump of the table",
            Self::UnreadDump => "a dump that nobody reads",
            Self::FullLog => "a log that nobody reads",
            Self::FewDescriptors => "no descriptors",
        }
    }

    /// Whether every worker lives on through it.
    pub(super) fn spares_workers(self) -> bool {
        matches!(
            self,
            Self::KillControl | Self::Dump | Self::UnreadDump | Self::FullLog | Self::FewDescriptors
        )
    }

    pub(super) fn strike(self, world: &mut World, node: usize) -> Result<(), String> {
        match self {
            Self::KillWorker => kill(world, node, "worker"),
            Self::KillControl => kill(world, node, "control"),
            Self::KillNode => {
                let processes = world.pair.node(node)?.processes();
                let supervisor = world.pair.node(node)?.pid();
                signal(supervisor, Signal::KILL);
                // Its children end with it; what does not is ended before the node starts again.
                sleep(HOLD);
                processes.iter().for_each(|pid| signal(*pid, Signal::KILL));
                world.pair.start(node)
            }
            // A node that is just starting may refuse: who reloads asks again.
            Self::Reload => (0..RELOADS).try_for_each(|_| world.pair.node(node)?.order("reload")),
            Self::Dump => {
                let lines = dump(world, node, DUMP)?;
                match lines >= world.entries {
                    true => Ok(()),
                    false => {
                        Err(format!("the dump has {lines} lines, and the table {} entries", world.entries))
                    }
                }
            }
            Self::UnreadDump => {
                let mut stream = UnixStream::connect(world.pair.stats(node)).map_err(|e| e.to_string())?;
                stream.write_all(b"show table web\n").map_err(|e| e.to_string())?;
                sleep(UNREAD);
                Ok(())
            }
            Self::FullLog => {
                world.pair.read_logs(false);
                sleep(LOG);
                world.pair.read_logs(true);
                Ok(())
            }
            Self::FewDescriptors => few_descriptors(world, node),
        }
    }
}

fn kill(world: &World, node: usize, name: &str) -> Result<(), String> {
    let children = world.pair.node(node)?.children();
    let found = children.iter().find(|(child, _)| child == name);
    let (_, pid) = found.ok_or_else(|| format!("there is no process '{name}' among {children:?}"))?;
    signal(*pid, Signal::KILL);
    Ok(())
}

/// Lines of a whole dump.
fn dump(world: &World, node: usize, patience: Duration) -> Result<usize, String> {
    let begin = Instant::now();
    let mut stream = UnixStream::connect(world.pair.stats(node)).map_err(|e| format!("the dump: {e}"))?;
    stream.set_read_timeout(Some(patience)).map_err(|e| e.to_string())?;
    stream.write_all(b"show table web\n").map_err(|e| format!("the dump: {e}"))?;
    let (mut lines, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(lines),
            Ok(count) => lines += buffer[..count].iter().filter(|byte| **byte == b'\n').count(),
            Err(error) => return Err(format!("the dump ended after {lines} lines: {error}")),
        }
        if begin.elapsed() > patience {
            return Err(format!("the dump takes more than {patience:?}"));
        }
    }
}

/// Takes descriptors away from a worker while a thousand connections come.
fn few_descriptors(world: &World, node: usize) -> Result<(), String> {
    let children = world.pair.node(node)?.children();
    let worker = children.iter().find(|(child, _)| child == "worker").ok_or("there is no worker")?.1;
    let open = Pair::usage_of(worker).descriptors;
    limit(worker, open + FEW)?;
    let place = world.pair.attacker(None);
    let attacker = Attacker::start(Whom::Tcp(SERVICE.into()), 2_000, |_| vec![Step::Hold], place);
    sleep(HOLD);
    attacker.let_go()?;
    // One that ended meanwhile has a successor with limits of its own.
    let _ = limit(worker, MANY);
    Ok(())
}

fn limit(process: i32, soft: usize) -> Result<(), String> {
    let output = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--nofile={soft}:")])
        .output()
        .map_err(|e| format!("cannot start prlimit: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("prlimit: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
