//! Watches conditions: each script on a thread of its own, processes and files on one. What they see is told
//! when it changes. Interfaces are the agent's own: it hears the kernel anyway.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use failover_vrrp::{Counted, Observed, Process, Script, Watch};
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::command::{self, wait};

/// How often files are read, and processes that have ended are looked at.
const TURN: Duration = Duration::from_millis(100);
/// How often it is looked for processes that have come.
const SCAN: Duration = Duration::from_millis(500);
/// Most of a file that is looked at, in bytes.
const MAX_NUMBER: usize = 64;
/// Most processes of one condition whose end is waited for.
const MAX_PROCESSES: usize = 256;

/// Called on the watchers' threads with a condition's place and what was seen; must not block.
pub(crate) type Seen = Arc<dyn Fn(usize, Observed) + Send + Sync>;

/// The threads that watch. Dropping it ends them, and what they run.
pub(crate) struct Watchers {
    stop: Arc<OwnedFd>,
    /// Those that run scripts.
    threads: Vec<JoinHandle<()>>,
}

impl Watchers {
    /// Starts to watch these conditions; their places are what `seen` is told.
    pub(crate) fn start(watches: &[Watch], seen: &Seen) -> io::Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let mut watchers = Self { stop, threads: Vec::new() };
        let mut files = Vec::new();
        let mut processes = Vec::new();
        for (place, watch) in watches.iter().enumerate() {
            match watch {
                // The agent's own, and what it is told by others.
                Watch::Interface(_) | Watch::Gateway { .. } | Watch::Backend { .. } => {}
                Watch::Script(script) => {
                    let (script, stop, seen) = (script.clone(), Arc::clone(&watchers.stop), Arc::clone(seen));
                    watchers.spawn(format!("script-{place}"), move || {
                        follow_script(&script, place, &stop, &seen);
                    })?;
                }
                Watch::Process(process) => processes.push(Processes::new(place, process.clone())),
                Watch::File { path, initial } => {
                    initialize(path, *initial);
                    files.push(File { place, path: path.clone(), last: None });
                }
            }
        }
        if !files.is_empty() || !processes.is_empty() {
            let (stop, seen) = (Arc::clone(&watchers.stop), Arc::clone(seen));
            let look = move || look_around(&mut files, &mut processes, &stop, &seen);
            // Nobody waits for its end: a file of a server that does not answer is read for as long as that takes.
            std::thread::Builder::new().name("watch".to_owned()).spawn(look)?;
        }
        Ok(watchers)
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        // Never read: every thread sees it, however often it looks.
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn stopped(stop: &OwnedFd) -> bool {
    wait(&[stop.as_fd()], Duration::ZERO)
}

fn follow_script(script: &Script, place: usize, stop: &OwnedFd, seen: &Seen) {
    let mut counted = Counted::new(script);
    let mut last = None;
    loop {
        let began = Instant::now();
        let result = command::run(&script.command, script.timeout, Some(stop.as_fd()));
        if stopped(stop) {
            return;
        }
        let well = counted.result(result.is_ok());
        if last != Some(well) {
            if let Err(why) = &result {
                tracing::warn!(script = script.command.words.join(" "), why, "a tracked script fails");
            } else {
                tracing::info!(script = script.command.words.join(" "), "a tracked script succeeds");
            }
            last = Some(well);
            seen(place, if well { Observed::Well } else { Observed::Failed });
        }
        if wait(&[stop.as_fd()], script.interval.saturating_sub(began.elapsed())) {
            return;
        }
    }
}

struct File {
    place: usize,
    path: String,
    last: Option<i64>,
}

impl File {
    /// Reads the number. A file that is not there says 0; one that says something else says what it said before.
    fn look(&mut self, seen: &Seen) {
        let text = match std::fs::read(&self.path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_NUMBER)]).trim().to_owned(),
            Err(_) => "0".to_owned(),
        };
        let value = text.parse::<i64>().ok();
        if let Some(value) = value.filter(|value| self.last != Some(*value)) {
            self.last = Some(value);
            seen(self.place, Observed::Value(value));
        }
    }
}

fn initialize(path: &str, initial: Option<(i64, bool)>) {
    let Some((value, over)) = initial else { return };
    if (over || !std::path::Path::new(path).exists())
        && let Err(error) = std::fs::write(path, format!("{value}\n"))
    {
        tracing::warn!(path, %error, "a tracked file cannot be made");
    }
}

/// Processes that are meant by one condition.
struct Processes {
    place: usize,
    process: Process,
    /// Those that are there, each with what tells of its end.
    there: BTreeMap<i32, OwnedFd>,
    /// What has been told.
    told: Option<bool>,
    /// Since when it has been otherwise.
    otherwise: Option<Instant>,
}

impl Processes {
    fn new(place: usize, process: Process) -> Self {
        Self { place, process, there: BTreeMap::new(), told: None, otherwise: None }
    }

    /// Forgets those that have ended, and tells what follows from it.
    fn look(&mut self, now: Instant, seen: &Seen) {
        self.there.retain(|_, ended| !wait(&[ended.as_fd()], Duration::ZERO));
        let count = u32::try_from(self.there.len()).unwrap_or(u32::MAX);
        let well = self.process.is_well(count);
        if self.told == Some(well) {
            self.otherwise = None;
            return;
        }
        let delay = if well { self.process.after_start } else { self.process.after_end };
        let since = *self.otherwise.get_or_insert(now);
        if self.told.is_none() || now.duration_since(since) >= delay {
            self.told = Some(well);
            self.otherwise = None;
            tracing::info!(process = self.process.command.join(" "), count, well, "tracked processes");
            seen(self.place, if well { Observed::Well } else { Observed::Failed });
        }
    }
}

fn look_around(files: &mut [File], processes: &mut [Processes], stop: &OwnedFd, seen: &Seen) {
    let mut scanned: Option<Instant> = None;
    loop {
        let now = Instant::now();
        if !processes.is_empty() && scanned.is_none_or(|at| now.duration_since(at) >= SCAN) {
            scan(processes);
            scanned = Some(now);
        }
        processes.iter_mut().for_each(|processes| processes.look(now, seen));
        files.iter_mut().for_each(|file| file.look(seen));
        let ends = processes.iter().flat_map(|p| p.there.values().map(AsFd::as_fd));
        let every: Vec<BorrowedFd<'_>> = std::iter::once(stop.as_fd()).chain(ends).collect();
        wait(&every, TURN);
        if stopped(stop) {
            return;
        }
    }
}

/// Finds the processes that are meant (proc(5)).
fn scan(every: &mut [Processes]) {
    let Ok(entries) = std::fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if every.iter().all(|processes| processes.there.contains_key(&pid)) {
            continue;
        }
        let Ok(name) = std::fs::read_to_string(entry.path().join("comm")) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let command: Vec<&str> = line.trim_end_matches('\0').split('\0').collect();
        for processes in every.iter_mut() {
            let full = processes.there.len() >= MAX_PROCESSES || processes.there.contains_key(&pid);
            if full || !processes.process.is(name.trim_end(), &command) {
                continue;
            }
            if let Some(Ok(ended)) = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
                processes.there.insert(pid, ended);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use failover_vrrp::{Command, RunAs};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn watch(watches: &[Watch]) -> (Watchers, Receiver<(usize, Observed)>) {
        let (sender, receiver) = channel();
        let seen: Seen = Arc::new(move |place, observed| {
            let _ = sender.send((place, observed));
        });
        (Watchers::start(watches, &seen).unwrap(), receiver)
    }

    fn next(receiver: &Receiver<(usize, Observed)>) -> (usize, Observed) {
        receiver.recv_timeout(PATIENCE).unwrap()
    }

    fn script(text: &str, timeout: Duration) -> Watch {
        Watch::Script(Script {
            command: Command::parse(text, RunAs::Us),
            interval: Duration::from_millis(20),
            timeout,
            rise: 1,
            fall: 1,
            failed_first: false,
        })
    }

    #[test]
    fn a_scripts_exit_code_is_told_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let flag = folder.path().join("flag");
        let (watchers, seen) =
            watch(&[script(&format!("/bin/sh -c 'test ! -e {}'", flag.display()), PATIENCE)]);
        assert_eq!(next(&seen), (0, Observed::Well));
        std::fs::write(&flag, "").unwrap();
        assert_eq!(next(&seen), (0, Observed::Failed));
        std::fs::remove_file(&flag).unwrap();
        assert_eq!(next(&seen), (0, Observed::Well));
        drop(watchers);
        assert!(seen.recv_timeout(PATIENCE).is_err(), "nobody tells anything when the watchers are gone");
    }

    #[test]
    fn a_script_that_does_not_end_or_does_not_begin_has_failed() {
        let soon = Duration::from_millis(200);
        let (_watchers, seen) =
            watch(&[script("/bin/sleep 600", soon), script("/nowhere/to/be/found", soon)]);
        let mut told = [next(&seen), next(&seen)];
        told.sort_by_key(|(place, _)| *place);
        assert_eq!(told, [(0, Observed::Failed), (1, Observed::Failed)]);
    }

    #[test]
    fn a_number_in_a_file_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weight").to_string_lossy().into_owned();
        let (_watchers, seen) = watch(&[Watch::File { path: path.clone(), initial: Some((7, false)) }]);
        assert_eq!(next(&seen), (0, Observed::Value(7)));
        std::fs::write(&path, "-3\n").unwrap();
        assert_eq!(next(&seen), (0, Observed::Value(-3)));
        // What is no number changes nothing; a file that is gone says 0.
        std::fs::write(&path, "none").unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(next(&seen), (0, Observed::Value(0)));
    }

    #[test]
    fn processes_come_and_go() {
        // Nobody else's, not even one that an earlier run of this has left.
        let seconds = format!("12345.{}", std::process::id());
        let process = Process {
            command: vec!["/bin/sleep".to_owned(), seconds.clone()],
            whole: true,
            parameters: None,
            least: 1,
            most: None,
            after_start: Duration::ZERO,
            after_end: Duration::ZERO,
        };
        let (_watchers, seen) = watch(&[Watch::Process(process)]);
        assert_eq!(next(&seen), (0, Observed::Failed));
        let mut child = std::process::Command::new("/bin/sleep").arg(seconds).spawn().unwrap();
        assert_eq!(next(&seen), (0, Observed::Well));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(next(&seen), (0, Observed::Failed));
    }
}
