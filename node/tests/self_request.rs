//! The worker's requests to its own listeners: every core answers them, whatever the file says, and nobody sees them.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::free_port;
use serde_json::Value;
use tempfile::TempDir;

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
const PATIENCE: Duration = Duration::from_secs(40);
const CORES: u64 = 2;

struct Node {
    folder: PathBuf,
    process: Child,
}

impl Node {
    fn start(folder: &Path, text: &str) -> Self {
        Self::start_by(folder, text, Command::new(TANDEM))
    }

    /// By a command that ends in being the program.
    fn start_by(folder: &Path, text: &str, mut command: Command) -> Self {
        let file = folder.join("tandem.cfg");
        std::fs::write(&file, text).unwrap();
        command.args(["run", "-L", "lb1", "-f"]).arg(file).arg("--run-dir").arg(folder).arg("--state-dir");
        command.arg(folder.join("state")).stdin(Stdio::null());
        command.stderr(std::fs::File::create(folder.join("log")).unwrap());
        Self { folder: folder.to_path_buf(), process: command.spawn().unwrap() }
    }

    /// What is known of the listeners, by frontend, once that is as it should be.
    fn until(&self, what: &str, holds: impl Fn(&dyn Fn(&str) -> Value, &[Value]) -> bool) {
        let begin = Instant::now();
        loop {
            let status = Command::new(TANDEM)
                .args(["status", "--json", "--run-dir"])
                .arg(&self.folder)
                .output()
                .unwrap();
            let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
            let listeners = status["worker"]["listeners"].as_array().cloned().unwrap_or_default();
            let of = |frontend: &str| {
                listeners.iter().find(|l| l["frontend"] == frontend).cloned().unwrap_or_default()
            };
            if !listeners.is_empty() && holds(&of, &listeners) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "not {what}: {listeners:?}\n{}", self.log());
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn runtime(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(self.folder.join("stats.sock")).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A certificate with its key.
fn certificate(path: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(path, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
}

/// Total sessions of every row of `show stat` that has them.
fn sessions(stat: &str) -> Vec<(String, u64)> {
    let rows = stat.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    rows.filter_map(|row| Some((row.get(..2)?.join("/"), row.get(7)?.parse().ok()?))).collect()
}

#[test]
fn every_core_answers_through_every_listener_and_nobody_sees_it() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().display();
    certificate(&folder.path().join("site.pem"));
    let (log, server) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    log.set_nonblocking(true).unwrap();
    server.set_nonblocking(true).unwrap();
    let bind = |name: &str| format!("{name}\n    bind 127.0.0.1:{}", free_port());
    let narrow = free_port();
    let text = format!(
        "global\n    nbthread {CORES}\n    stats socket {dir}/stats.sock mode 600 level admin\n\
         defaults\n    mode http\n    timeout connect 1s\n    timeout client 1m\n    timeout server 1m\n\
         \x20   log {log} local0\n    option httplog\n\
         {denied}\n    stick-table type ip size 1k expire 60s store conn_cnt,http_req_cnt\n\
         \x20   http-request track-sc0 src\n    http-request deny\n\
         {rejected}\n    tcp-request connection reject\n\
         {secure} ssl crt {dir}/site.pem\n    http-request return status 200\n\
         {app}\n    server s {server}\n\
         {raw}\n    mode tcp\n    tcp-request connection reject\n    server s {server}\n\
         frontend narrow\n    bind 127.0.0.1:{narrow}\n    maxconn 1\n    http-request return status 200\n",
        log = log.local_addr().unwrap(),
        server = server.local_addr().unwrap(),
        denied = bind("frontend denied"),
        rejected = bind("frontend rejected"),
        secure = bind("frontend secure"),
        app = bind("listen app"),
        raw = bind("listen raw"),
    );
    let node = Node::start(folder.path(), &text);
    let number = |listener: &Value, field: &str| listener[field].as_u64().unwrap_or(0);
    node.until("answered twice by every core", |_, all| {
        all.len() == 6 && all.iter().all(|l| number(l, "cores") == CORES && number(l, "answers") >= 2 * CORES)
    });
    assert!(node.log().contains("ready=true"), "{}", node.log());
    let nothing = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::WouldBlock);
    nothing(log.recv(&mut [0; 1]).unwrap_err());
    nothing(server.accept().unwrap_err());
    let info = node.runtime("show info");
    for line in ["CumConns: 0\n", "CumReq: 0\n", "CurrConns: 0\n", "MaxConnRate: 0\n"] {
        assert!(info.contains(line), "{line}{info}");
    }
    let rows = sessions(&node.runtime("show stat"));
    assert!(rows.len() >= 8 && rows.iter().all(|(_, sessions)| *sessions == 0), "{rows:?}");
    assert!(node.runtime("show table denied").contains("used:0"));

    // Its only place is taken: that is no silence, and the others are asked as before.
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, narrow)).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    node.until("silent while it is full", |of, _| {
        number(&of("narrow"), "answered_ms") > 8_000 && number(&of("denied"), "answered_ms") < 8_000
    });
    client.write_all(b"Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    node.until("asked again", |of, _| number(&of("narrow"), "answered_ms") < 4_000);
    let log = node.log();
    let (_, since) = log.split_once("ready=true").unwrap();
    for word in ["not accepted", "not answered"] {
        assert!(!since.contains(word), "{word}: {log}");
    }
    // A machine that gives the worker no time is not what is asked about here.
    let before = since.split("ready=false").next().unwrap_or_default();
    assert!(before.len() == since.len() || before.contains("stalled"), "{log}");
    let rows = sessions(&node.runtime("show stat"));
    assert_eq!(rows.iter().map(|(_, sessions)| sessions).sum::<u64>(), 1, "{rows:?}");
}

/// Floating addresses most often are in the network of an own one, from which the kernel answers for all of them.
#[test]
fn a_second_address_of_a_network_is_asked_and_one_that_is_elsewhere_is_not() {
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-ec", script, TANDEM]);
        command
    };
    let second = "ip link set lo up; ip link add d0 type veth peer name d1; ip link set d0 up; ip link set d1 up; \
                  ip address add 192.0.2.11/24 dev d0; ip address add 192.0.2.100/24 dev d0; ";
    if !namespace(second).output().is_ok_and(|tried| tried.status.success()) {
        assert!(std::env::var_os("TANDEM_REQUIRE_PEERS").is_none(), "no network namespace can be made");
        let _ = writeln!(std::io::stderr(), "skipped: no network namespace can be made");
        return;
    }
    for any in [0, 1] {
        let folder = TempDir::new().unwrap();
        let text = format!(
            "global\n    nbthread {CORES}\ndefaults\n    mode http\n    timeout client 1m\n\
             frontend here\n    bind 192.0.2.100:80\n    http-request deny\n\
             frontend elsewhere\n    bind 192.0.2.77:80\n    http-request deny\n\
             frontend all\n    bind :81\n    http-request deny\n"
        );
        let bind = format!("echo {any} > /proc/sys/net/ipv4/ip_nonlocal_bind; exec \"$0\" \"$@\"");
        let node = Node::start_by(folder.path(), &text, namespace(&(second.to_owned() + &bind)));
        node.until("asked where they are here", |of, _| {
            ["here", "all"]
                .iter()
                .all(|name| of(name)["cores"] == CORES && of(name)["answers"].as_u64() >= Some(2 * CORES))
                && of("elsewhere")["answered_ms"].is_null()
        });
        assert!(!node.log().contains("not accepted"), "{}", node.log());
    }
}
