//! That the processes which read clients' bytes are confined, with all of their threads, and serve all the same.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use common::free_port;

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
const PATIENCE: Duration = Duration::from_secs(20);

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn file(folder: &Path, port: u16) -> std::path::PathBuf {
    let text = format!(
        "global\n    nbthread 2\ndefaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n\
         frontend web\n    bind 127.0.0.1:{port}\n    http-request return status 200\n"
    );
    let path = folder.join("t.cfg");
    std::fs::write(&path, text).unwrap();
    path
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "not {what}");
        std::thread::yield_now();
    }
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.starts_with("HTTP/1.1 200 ")
}

/// Modes of the filters that the threads of a process have: 2 is a filter.
fn filters(pid: u64) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let text =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
    let mode = |text: String| text.lines().find_map(|l| Some(l.strip_prefix("Seccomp:")?.trim().to_owned()));
    tasks.flatten().filter_map(|task| mode(text(task))).collect()
}

fn is_filtered(pid: u64) -> bool {
    filters(pid).iter().all(|mode| mode == "2")
}

#[test]
fn worker_and_control_are_confined_and_the_supervisor_is_not() {
    let folder = TempDir::new().unwrap();
    let port = free_port();
    let node = Ended(
        Command::new(TANDEM)
            .args(["run", "-L", "lb1", "-f"])
            .arg(file(folder.path(), port))
            .arg("--run-dir")
            .arg(folder.path())
            .arg("--state-dir")
            .arg(folder.path().join("state"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("answering", || answers(port));
    let ask = || -> Value {
        let mut command = Command::new(TANDEM);
        let output = command.args(["status", "--json"]).arg("--run-dir").arg(folder.path()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    until("seen", || ask()["worker"].is_object());
    let status = ask();
    let sandbox = status["worker"]["sandbox"].as_str().unwrap();
    assert!(sandbox.contains("seccomp"), "{sandbox}");
    let pid = |name: &str| {
        let processes = status["processes"].as_array().unwrap().iter();
        processes
            .filter(|process| process["name"] == name)
            .find_map(|process| process["pid"].as_u64())
            .unwrap()
    };
    until("confined", || is_filtered(pid("worker")) && is_filtered(pid("control")));
    // It starts the others, and notify scripts.
    assert!(filters(u64::from(node.0.id())).iter().all(|mode| mode == "0"));
    assert!(answers(port));
}

#[test]
fn one_process_in_the_foreground_is_confined() {
    let folder = TempDir::new().unwrap();
    let port = free_port();
    let mut command = Command::new(TANDEM);
    let command = command.arg("-db").arg("-f").arg(file(folder.path(), port)).stdin(Stdio::null());
    let process = Ended(command.stderr(Stdio::null()).spawn().unwrap());
    until("answering", || answers(port));
    assert!(is_filtered(u64::from(process.0.id())), "{:?}", filters(u64::from(process.0.id())));
}
