//! One node of the pair under test: its processes, asked and killed from outside.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::lab::Namespace;

/// How often a node is asked while something is waited for.
const LOOK: Duration = Duration::from_millis(10);
/// Longest answer waited for.
const ANSWER: Duration = Duration::from_secs(1);
/// Longest time an order may take.
const ORDER: Duration = Duration::from_secs(40);

pub(crate) struct Node {
    pub(crate) name: &'static str,
    folder: PathBuf,
    process: Child,
}

impl Node {
    /// Starts a node in its namespace.
    pub(crate) fn start(
        name: &'static str,
        tandem: &Path,
        files: &[(&str, &Path)],
        advert: &str,
        folder: &Path,
        host: &Namespace,
    ) -> Result<Self, String> {
        Self::start_to(name, tandem, files, advert, folder, host, Stdio::null())
    }

    /// The same, and its standard output goes somewhere.
    pub(crate) fn start_to(
        name: &'static str,
        tandem: &Path,
        files: &[(&str, &Path)],
        advert: &str,
        folder: &Path,
        host: &Namespace,
        stdout: Stdio,
    ) -> Result<Self, String> {
        let say = |e: io::Error| format!("{name}: {e}");
        std::fs::create_dir_all(folder).map_err(say)?;
        let log = File::create(folder.join("log")).map_err(say)?;
        let mut command = Command::new(tandem);
        command
            .arg("run")
            .args(files.iter().flat_map(|(option, file)| [OsStr::new(*option), file.as_os_str()]))
            .args(["-L", name, "--run-dir"])
            .arg(folder)
            .arg("--state-dir")
            .arg(folder.join("state"))
            .env("TANDEM_RUN", folder)
            .env("TANDEM_ETC", folder.parent().unwrap_or(folder).join(name).join("etc"))
            .env("TANDEM_ADVERT", advert)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(log);
        let process = host.inside(move || command.spawn()).and_then(|spawned| spawned).map_err(say)?;
        Ok(Self { name, folder: folder.to_path_buf(), process })
    }

    /// What the node says of itself; `None` while it does not answer.
    pub(crate) fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.ask("tandem.sock", "status\n", ANSWER).ok()?).ok()
    }

    /// An answer of the stats socket.
    pub(crate) fn runtime(&self, command: &str) -> Result<String, String> {
        self.ask("stats.sock", &format!("{command}\n"), ANSWER).map_err(|e| format!("{}: {e}", self.name))
    }

    fn ask(&self, socket: &str, words: &str, patience: Duration) -> io::Result<String> {
        ask(&self.folder.join(socket), words, patience)
    }

    /// Waits until the node's status satisfies something.
    pub(crate) fn until(
        &mut self,
        what: &str,
        patience: Duration,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        let begin = Instant::now();
        loop {
            let status = self.status();
            if let Some(status) = status.as_ref().filter(|s| holds(s)) {
                return Ok(status.clone());
            }
            let ended = self.process.try_wait().ok().flatten();
            if ended.is_some() || begin.elapsed() > patience {
                let last = status.map_or_else(|| "no answer".to_owned(), |s| s.to_string());
                return Err(format!(
                    "{} is not {what} after {:?}{}; it says: {last}\nits log ends:\n{}",
                    self.name,
                    begin.elapsed(),
                    if ended.is_some() { ", it ended" } else { "" },
                    self.log_tail()
                ));
            }
            std::thread::sleep(LOOK);
        }
    }

    pub(crate) fn log_tail(&self) -> String {
        tail(&self.folder.join("log"))
    }

    /// Sends the node a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = Pid::from_raw(self.pid()).ok_or("no pid")?;
        kill_process(pid, signal).map_err(|e| e.to_string())
    }

    /// Gives the node an order and waits until it is carried out.
    pub(crate) fn order(&self, order: &str) -> Result<(), String> {
        let answer = self.ask("tandem.sock", &format!("{order}\n"), ORDER);
        let answer = answer.map_err(|e| format!("{}: {order}: {e}", self.name))?;
        let done: Value = serde_json::from_str(&answer).map_err(|e| e.to_string())?;
        if done["done"] == true { Ok(()) } else { Err(format!("{}: {order}: {}", self.name, done["text"])) }
    }

    /// Tells the node to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        self.end()
    }

    /// Tells the node to stop, and waits until it has.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        self.signal(Signal::TERM)?;
        self.process.wait().map(|_| ()).map_err(|e| e.to_string())
    }

    /// The supervisor.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap_or_default()
    }

    /// Every process but the supervisor, by name.
    pub(crate) fn children(&self) -> Vec<(String, i32)> {
        let status = self.status().unwrap_or_default();
        let list = status["processes"].as_array().cloned().unwrap_or_default();
        let pid = |p: &Value| i32::try_from(p["pid"].as_i64()?).ok();
        list.iter().filter_map(|p| Some((p["name"].as_str()?.to_owned(), pid(p)?))).collect()
    }

    /// Kills the supervisor and these children at once.
    pub(crate) fn kill_all(&mut self, children: &[(String, i32)]) {
        // It may have ended by itself.
        let _ = self.process.kill();
        children.iter().for_each(|(_, pid)| signal(*pid, Signal::KILL));
        let _ = self.process.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let children = self.children();
        self.kill_all(&children);
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Says something to a socket; the answer.
pub(crate) fn ask(socket: &Path, words: &str, patience: Duration) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(words.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Sends a process a signal.
pub(crate) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // Who is gone needs none.
        let _ = kill_process(pid, signal);
    }
}
