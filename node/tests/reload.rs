//! What a reload takes over, what it refuses, and that no request for one is lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod common;
#[path = "common/haproxy.rs"]
mod haproxy;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use common::free_port;

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    folder: TempDir,
    process: Child,
}

/// A file that answers with a version on each of these ports.
fn text(ports: &[u16], version: u32) -> String {
    let mut text = "global\n    nbthread 1\ndefaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    \
                    timeout server 5s\n"
        .to_owned();
    for port in ports {
        text.push_str(&format!(
            "frontend f{port}\n    bind 127.0.0.1:{port}\n    http-request return status 200 hdr version {version}\n"
        ));
    }
    text
}

impl Node {
    fn start(first: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, first).unwrap();
        let process = Command::new(TANDEM)
            .args(["run", "-L", "lb1", "-f"])
            .arg(file)
            .arg("--run-dir")
            .arg(folder.path())
            .arg("--state-dir")
            .arg(folder.path().join("state"))
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let node = Self { folder, process };
        node.until("healthy", |status| status["health"] == "healthy");
        node
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("haproxy.cfg")
    }

    /// Replaces the file at once, as editors and deployment tools do.
    fn write(&self, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    fn cli(&self, words: &[&str]) -> Output {
        Command::new(TANDEM).args(words).arg("--run-dir").arg(self.folder.path()).output().unwrap()
    }

    fn hang_up(&self) {
        kill_process(Pid::from_child(&self.process), Signal::HUP).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn status(&self) -> Value {
        serde_json::from_slice(&self.cli(&["status", "--json"]).stdout).unwrap_or_default()
    }

    fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let status = self.status();
            if holds(&status) {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "not {what}: {status}\n{}", self.log());
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The version that a request is answered with; `None`: refused, or no answer.
fn version(port: u16) -> Option<u32> {
    let mut stream = TcpStream::connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.lines().find_map(|line| line.strip_prefix("version: ")?.trim().parse().ok())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn reload_of_a_file_without_listener_is_refused() {
    let port = free_port();
    let whole = text(&[port], 1);
    let node = Node::start(&whole);
    let head = whole.split("frontend").next().unwrap().to_owned();
    let without_line_feed = whole.trim_end().to_owned();
    let cases = [
        ("empty", String::new(), "no listener of any kind"),
        ("cut at a line", head, "no listener of any kind"),
        ("cut in a word", without_line_feed, "Missing LF on last line"),
    ];
    for (what, text, why) in cases {
        node.write(&text);
        let output = node.cli(&["reload"]);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", said(&output));
        assert!(said(&output).contains(why), "{what}: {}", said(&output));
        // Force does not make a listener of none.
        assert_eq!(node.cli(&["reload", "--force"]).status.code(), Some(1), "{what}");
        let status = node.status();
        let reasons = status["reasons"].to_string();
        assert_eq!(status["health"], "degraded", "{what}: {status}");
        assert!(
            reasons.contains("the last reload was refused") && reasons.contains(why),
            "{what}: {reasons}"
        );
        assert_eq!(version(port), Some(1), "{what}");
    }
    // The original's rules, asked of the original: by a start, since its own reload applies the first two.
    if let Some(program) = haproxy::installed() {
        for (text, code) in [("", 2), (whole.trim_end(), 1), (&*whole, 0)] {
            node.write(text);
            let check = |program: &str| Command::new(program).arg("-c").arg("-f").arg(node.file()).output();
            assert_eq!(check(program).unwrap().status.code(), Some(code), "HAProxy: {text}");
            assert_eq!(check(TANDEM).unwrap().status.code(), Some(code), "{text}");
        }
    }
    node.write(&text(&[port], 2));
    let output = node.cli(&["reload"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let status = node.until("healthy again", |status| status["health"] == "healthy");
    assert_eq!(status["reload_refused"], Value::Null);
    assert_eq!(version(port), Some(2));
}

#[test]
fn start_without_any_listener_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("empty.cfg");
    std::fs::write(&file, "").unwrap();
    let run = |state: &str| {
        let mut command = Command::new(TANDEM);
        command.arg("run").arg("-f").arg(&file).arg("--run-dir").arg(folder.path());
        command.arg("--state-dir").arg(folder.path().join(state)).output().unwrap()
    };
    let output = run("state");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn a_stats_socket_alone_counts_as_a_listener() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("stats.cfg");
    let socket = folder.path().join("stats.sock");
    std::fs::write(&file, format!("global\n    stats socket {}\n", socket.display())).unwrap();
    for program in [Some(TANDEM), haproxy::installed()].into_iter().flatten() {
        let output = Command::new(program).arg("-c").arg("-f").arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{program}: {}", said(&output));
    }
}

#[test]
fn reload_that_removes_every_bind_needs_force() {
    let (first, second) = (free_port(), free_port());
    let node = Node::start(&text(&[first], 1));
    node.write(&text(&[second], 2));
    let output = node.cli(&["reload"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("--force"), "{}", said(&output));
    assert_eq!((version(first), version(second)), (Some(1), None));
    // A signal never forces.
    let refusals = || node.log().matches("it removes every bind").count();
    let before = refusals();
    node.hang_up();
    let begin = Instant::now();
    while refusals() == before {
        assert!(begin.elapsed() < PATIENCE, "{}", node.log());
    }
    assert_eq!((version(first), version(second)), (Some(1), None));
    // One that stays is enough.
    node.write(&text(&[first, second], 3));
    assert_eq!(node.cli(&["reload"]).status.code(), Some(0), "{}", node.log());
    node.write(&text(&[second], 4));
    assert_eq!(node.cli(&["reload"]).status.code(), Some(0), "{}", node.log());
    node.write(&text(&[first], 5));
    let output = node.cli(&["reload", "--force"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!((version(first), version(second)), (Some(5), None));
}

#[test]
fn signals_during_a_reload_are_carried_out_after_it() {
    const SIGNALS: u32 = 300;
    let port = free_port();
    let node = Node::start(&text(&[port], 0));
    for count in 1..=SIGNALS {
        node.write(&text(&[port], count));
        node.hang_up();
    }
    let begin = Instant::now();
    while version(port) != Some(SIGNALS) {
        assert!(begin.elapsed() < PATIENCE, "{:?} is served\n{}", version(port), node.log());
    }
    assert!(!node.log().contains("not reloaded"), "{}", node.log());
}

#[test]
fn every_caller_of_a_reload_gets_a_true_answer() {
    const CALLERS: u32 = 8;
    let port = free_port();
    let node = Node::start(&text(&[port], 0));
    let callers: Vec<Child> = (1..=CALLERS)
        .map(|count| {
            node.write(&text(&[port], count));
            let mut command = Command::new(TANDEM);
            command.arg("reload").arg("--run-dir").arg(node.folder.path());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for caller in callers {
        let output = caller.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "reloaded\n");
    }
    // Each was answered after a reading that began when it had asked, so that the last file is in force.
    assert_eq!(version(port), Some(CALLERS), "{}", node.log());
}

#[test]
fn files_that_are_not_regular_do_not_stall_the_supervisor() {
    let port = free_port();
    let whole = text(&[port], 1);
    let node = Node::start(&whole);
    let fifo = node.folder.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let errorfile = format!("    errorfile 503 {}\n", fifo.display());
    let list = format!("    http-request deny if {{ src -f {} }}\n", fifo.display());
    let named = |line: &str| {
        let named = node.folder.path().join("named.cfg");
        std::fs::write(&named, format!("{whole}{line}")).unwrap();
        named
    };
    let refused = |file: PathBuf, why: &str| {
        let _ = std::fs::remove_file(node.file());
        std::os::unix::fs::symlink(file, node.file()).unwrap();
        let begin = Instant::now();
        let output = node.cli(&["reload"]);
        assert!(begin.elapsed() < PATIENCE, "{why}");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(why), "{why}: {}", said(&output));
        assert_eq!(version(port), Some(1));
        assert_eq!(node.status()["processes"][0]["restarts"], 0);
    };
    refused(fifo.clone(), "it is a FIFO");
    refused(named(&errorfile), "it is a FIFO");
    refused(named(&list), "it is a FIFO");
    refused("/dev/zero".into(), "it is a device");
    // An empty error page has always been written like this.
    std::fs::remove_file(node.file()).unwrap();
    node.write(&format!("{}    errorfile 503 /dev/null\n", text(&[port], 2)));
    let output = node.cli(&["reload"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(version(port), Some(2));
}
