//! keepalived's virtual servers: a `keepalived.conf` alone is read, explained, and serves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

#[path = "common/mod.rs"]
mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
const PATIENCE: Duration = Duration::from_secs(20);

/// The file with these ports.
fn write(folder: &Path, service: u16, server: u16) -> String {
    let text = include_str!("files/virtual_server.conf")
        .replace("SERVICE", &service.to_string())
        .replace("SERVER", &server.to_string())
        .replace("NOBODY", &common::free_port().to_string());
    let path = folder.join("keepalived.conf");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(TANDEM).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_virtual_server_is_explained_as_a_section() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), 8001, 8002);
    let (code, report) = run(&["check", "--json", "-k", &file]);
    assert_eq!(code, Some(0), "{report}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let warnings = report["problems"].as_array().unwrap().iter().filter(|p| p["level"] == "warning");
    let warnings: Vec<(u64, &str)> =
        warnings.map(|p| (p["line"].as_u64().unwrap(), p["message"].as_str().unwrap())).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].0 == 6 && warnings[0].1.starts_with("virtual servers are served by a proxy"));
    assert_eq!(
        warnings[1],
        (29, "virtual server 127.0.0.1:53 is left out: there is no proxy of UDP in Tandem")
    );
    // Defaults of other files are not theirs.
    let other = folder.path().join("haproxy.cfg");
    std::fs::write(&other, "defaults\n    mode http\n    timeout client 1s\n").unwrap();
    let (code, explained) = run(&["check", "--explain", "-k", &file, other.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{explained}");
    for line in [
        "listen web ",
        "    mode tcp ",
        "    timeout client 15m ",
        "    bind 127.0.0.1:8001\n",
        "    stick on src\n",
        "    http-check send meth GET uri /health ver HTTP/1.0\n",
        "    server 127.0.0.1:8002 127.0.0.1:8002 check inter 2000ms fastinter 3000ms fall 3 rise 1 ",
    ] {
        assert!(explained.contains(line), "{line}: {explained}");
    }
    // Written out, it means the same without keepalived's language.
    let again = folder.path().join("again.cfg");
    std::fs::write(&again, &explained).unwrap();
    assert_eq!(run(&["check", again.to_str().unwrap()]).0, Some(0));
}

/// One request to the service; the answer, unless nobody gave one.
fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn a_keepalived_conf_alone_serves() {
    let folder = tempfile::tempdir().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = common::free_port();
    let file = write(folder.path(), service, server.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in server.incoming().flatten() {
            let mut stream = stream;
            let mut head = [0; 1024];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nreal");
        }
    });
    let mut node = Command::new(TANDEM)
        .args(["run", "-k", &file, "--run-dir"])
        .arg(folder.path())
        .arg("--state-dir")
        .arg(folder.path().join("state"))
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let mut answer = None;
    while answer.as_ref().is_none_or(|answer: &String| !answer.ends_with("real"))
        && begin.elapsed() < PATIENCE
    {
        answer = get(service);
        std::thread::yield_now();
    }
    node.kill().unwrap();
    node.wait().unwrap();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(answer.is_some_and(|answer| answer.ends_with("real")), "{log}");
}
