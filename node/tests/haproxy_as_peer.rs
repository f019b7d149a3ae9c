//! The real HAProxy and Tandem as peers of one `peers` section: each knows the other's clients, whoever
//! is started again, and whatever a table stores.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

mod common;
#[path = "common/haproxy.rs"]
mod haproxy;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use common::free_port;

const PATIENCE: Duration = Duration::from_secs(30);
const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");

struct Side {
    program: &'static str,
    name: &'static str,
    folder: PathBuf,
    text: String,
    port: u16,
    process: Child,
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(program: &str, name: &str, folder: &Path, text: &str) -> Child {
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new(program)
        .args(["-db", "-L", name, "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Side {
    fn start(program: &'static str, name: &'static str, folder: &Path, peers: &str) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let port = free_port();
        // HAProxy wants a name as the first word of a URI that is a key; a header serves both.
        let text = format!(
            "global\n    stats socket {}/stats.sock mode 600 level admin\n\
             defaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n\
             peers both\n{peers}\
             frontend web\n    bind 127.0.0.1:{port}\n\
             \x20   http-request track-sc0 src table numbers\n\
             \x20   http-request track-sc1 hdr(x-user) table names\n\
             \x20   http-request return status 200\n\
             backend numbers\n    stick-table type ip size 10k expire 10m peers both store gpc0,conn_cnt,http_req_cnt,http_req_rate(60s),bytes_in_cnt\n\
             backend names\n    stick-table type string len 16 size 10k expire 10m peers both store http_req_cnt,http_req_rate(60s)\n",
            folder.display()
        );
        let process = launch(program, name, &folder, &text);
        Self { program, name, folder, text, port, process }
    }

    /// Kills it and starts it again: it knows nothing but what it is taught.
    fn restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = launch(self.program, self.name, &self.folder, &self.text);
    }

    /// One request of one client under one name.
    fn ask(&self, client: Ipv4Addr, name: &str) {
        let begin = Instant::now();
        loop {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&std::net::SocketAddr::from((client, 0)).into()).unwrap();
            let target = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            if socket.connect(&target.into()).is_ok() {
                let mut stream = TcpStream::from(socket);
                let head =
                    format!("GET / HTTP/1.1\r\nhost: a\r\nx-user: {name}\r\nconnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).unwrap();
                let mut answer = String::new();
                let end = stream.read_to_string(&mut answer);
                if answer.starts_with("HTTP/1.1 200") {
                    return;
                }
                // A HAProxy that ends while it starts resets whoever waits; the log below then says why it did.
                let is_starting = self.program != TANDEM && end.is_err() && answer.is_empty();
                assert!(is_starting, "{}: {end:?} after '{answer}': {}", self.name, self.log());
            }
            assert!(begin.elapsed() < PATIENCE, "{} does not listen: {}", self.name, self.log());
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn table(&self, table: &str) -> String {
        let Ok(mut stream) = UnixStream::connect(self.folder.join("stats.sock")) else {
            return String::new();
        };
        stream.write_all(format!("show table {table}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    /// Waits until a table has an entry with this value.
    fn knows(&self, table: &str, key: &str, value: &str) {
        let begin = Instant::now();
        loop {
            let text = self.table(table);
            let line = text.lines().find(|l| l.contains(&format!("key={key} ")));
            if line.is_some_and(|l| l.split(' ').any(|field| field == value)) {
                return;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "{} does not know {key} {value} in {table}:\n{text}\n{}",
                self.name,
                self.log()
            );
        }
    }
}

fn pair(folder: &Path) -> Option<(Side, Side)> {
    let haproxy = haproxy::installed()?;
    let peers =
        format!("    peer ours 127.0.0.1:{}\n    peer theirs 127.0.0.1:{}\n", free_port(), free_port());
    Some((Side::start(TANDEM, "ours", folder, &peers), Side::start(haproxy, "theirs", folder, &peers)))
}

const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 31);
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 32);

#[test]
fn each_learns_what_the_other_counts() {
    let folder = TempDir::new().unwrap();
    let Some((ours, theirs)) = pair(folder.path()) else { return };
    theirs.ask(TWO, "berta");
    ours.ask(ONE, "anna");
    ours.ask(ONE, "a-name-that-is-longer-than-the-table-keeps");
    theirs.knows("numbers", "127.0.0.31", "http_req_cnt=2");
    theirs.knows("numbers", "127.0.0.31", "http_req_rate(60000)=2");
    theirs.knows("names", "anna", "http_req_cnt=1");
    theirs.knows("names", "a-name-that-is-l", "http_req_cnt=1");
    ours.knows("numbers", "127.0.0.32", "http_req_cnt=1");
    ours.knows("numbers", "127.0.0.32", "http_req_rate(60000)=1");
    ours.knows("names", "berta", "http_req_cnt=1");
    // The last one who counts is right, as among HAProxys. What was asked for is told as a lesson and as a change, and
    // the second could come after what is counted now: the first of these may be part of the lesson, the other is not.
    for (last, key) in [(33, "127.0.0.33"), (34, "127.0.0.34")] {
        ours.ask(Ipv4Addr::new(127, 0, 0, last), "clara");
        theirs.knows("numbers", key, "http_req_cnt=1");
    }
    theirs.ask(ONE, "anna");
    ours.knows("numbers", "127.0.0.31", "http_req_cnt=3");
    ours.knows("names", "anna", "http_req_cnt=2");
}

#[test]
fn whoever_is_started_again_is_taught_everything() {
    let folder = TempDir::new().unwrap();
    let Some((mut ours, mut theirs)) = pair(folder.path()) else { return };
    ours.ask(ONE, "anna");
    theirs.ask(TWO, "berta");
    for (key, name) in [("127.0.0.31", "anna"), ("127.0.0.32", "berta")] {
        for side in [&ours, &theirs] {
            side.knows("numbers", key, "http_req_cnt=1");
            side.knows("names", name, "http_req_cnt=1");
        }
    }
    ours.restart();
    for (key, name) in [("127.0.0.31", "anna"), ("127.0.0.32", "berta")] {
        ours.knows("numbers", key, "http_req_cnt=1");
        ours.knows("names", name, "http_req_cnt=1");
    }
    theirs.restart();
    for (key, name) in [("127.0.0.31", "anna"), ("127.0.0.32", "berta")] {
        theirs.knows("numbers", key, "http_req_cnt=1");
        theirs.knows("names", name, "http_req_cnt=1");
    }
    // And changes go on to be told.
    ours.ask(ONE, "anna");
    theirs.knows("numbers", "127.0.0.31", "http_req_cnt=2");
    theirs.ask(TWO, "berta");
    ours.knows("numbers", "127.0.0.32", "http_req_cnt=2");
}
