//! The runtime API and the logs under load: nothing that is asked there, and nobody who does not read, stops anything.
//! Where HAProxy defines the answer, the real one is asked beside.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

mod common;
#[path = "common/haproxy.rs"]
mod haproxy;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::free_port;
use tempfile::TempDir;

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
const PATIENCE: Duration = Duration::from_secs(30);

struct Running {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const TABLES: &str = "backend tip\n    stick-table type ip size 1m expire 1h store gpc0,conn_cnt,http_req_rate(10s)\n\
     backend tip6\n    stick-table type ipv6 size 10k expire 1h store gpc0\n\
     backend tint\n    stick-table type integer size 10k expire 1h store gpc0\n\
     backend tstr\n    stick-table type string len 32 size 10k expire 1h store gpc0\n\
     backend tbin\n    stick-table type binary len 8 size 10k expire 1h store gpc0\n";

/// Starts a program that answers with 200, or 503 where it cannot answer itself.
fn start(program: &str, global: &str, frontend: &str, more: &str, streams: (Stdio, Stdio)) -> Running {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let text = format!(
        "global\n    stats socket {}/stats.sock mode 600 level admin\n{global}\
         defaults\n    mode http\n    timeout connect 1s\n    timeout client 10s\n    timeout server 10s\n\
         frontend web\n    bind 127.0.0.1:{port}\n{frontend}    http-request return status 200\n{more}",
        folder.path().display()
    );
    let path = folder.path().join("t.cfg");
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(&path).stdin(Stdio::null()).stdout(streams.0).stderr(streams.1);
    let running = Running { child: command.spawn().unwrap(), port, folder };
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < PATIENCE, "{program} does not listen");
        std::thread::yield_now();
    }
    running
}

fn quietly(program: &str, global: &str, more: &str) -> Running {
    start(program, global, "", more, (Stdio::null(), Stdio::null()))
}

impl Running {
    fn connect(&self) -> UnixStream {
        // HAProxy gives this socket its name after it listens to clients.
        let began = Instant::now();
        let stream = loop {
            match UnixStream::connect(self.folder.path().join("stats.sock")) {
                Ok(stream) => break stream,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::yield_now();
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes as they are, closes that direction, and reads the rest.
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn ask(&self, line: &str) -> String {
        let mut stream = self.connect();
        writeln!(stream, "{line}").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn info(&self, field: &str) -> u64 {
        let text = self.ask("show info");
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
        value.unwrap_or_else(|| panic!("no {field}: {text}")).parse().unwrap()
    }

    /// Enters keys into the table of addresses, many with one line.
    fn fill(&self, entries: u32) {
        let mut stream = self.connect();
        stream.write_all(b"prompt\n").unwrap();
        let reader = stream.try_clone().unwrap();
        // What it answers is read, so that it goes on.
        let answers =
            std::thread::spawn(move || BufReader::new(reader).lines().map_while(Result::ok).count());
        let keys: Vec<u32> = (0..entries).map(|n| n.wrapping_mul(2_654_435_761)).collect();
        for part in keys.chunks(200) {
            let commands = part.iter().map(|n| {
                format!("set table tip key {} data.gpc0 {}", std::net::Ipv4Addr::from(*n), n % 1_000)
            });
            writeln!(stream, "{}", commands.collect::<Vec<_>>().join(";")).unwrap();
        }
        stream.write_all(b"quit\n").unwrap();
        answers.join().unwrap();
    }
}

/// The answer to a request on a connection of its own.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// What of a table's lines is the same everywhere: not where in memory an entry is, nor how long it stays.
fn essence(text: &str) -> Vec<String> {
    let words = |line: &str| {
        let kept = line.split(' ').filter(|word| !word.starts_with("0x") && !word.starts_with("exp="));
        kept.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(words).collect()
}

#[test]
fn tables_are_shown_and_changed_as_by_haproxy() {
    let Some(original) = haproxy::installed() else { return };
    let (theirs, ours) = (quietly(original, "", TABLES), quietly(TANDEM, "", TABLES));
    let both = |line: &str| {
        let (expected, got) = (theirs.ask(line), ours.ask(line));
        assert_eq!(essence(&got), essence(&expected), "{line}");
        got
    };
    for (n, key) in
        ["10.0.0.1", "2.0.0.1", "1.0.0.2", "192.168.1.1", "10.0.0.0", "200.1.1.1"].iter().enumerate()
    {
        both(&format!("set table tip key {key} data.gpc0 {} data.conn_cnt {}", n * 20, n + 3));
    }
    for key in ["::1", "2001:db8::1", "fe80::1", "::ffff:1.2.3.4", "1::", "ff::2:0"] {
        both(&format!("set table tip6 key {key} data.gpc0 1"));
    }
    for key in ["1", "256", "2", "65536", "16777216", "4294967295", "2147483648", "10"] {
        both(&format!("set table tint key {key} data.gpc0 1"));
    }
    for key in ["b", "a", "ab", "aa", "B", "Z", "a1", "aaa", "z", "abc", "c=d", "e\\ f", "g\\\\h"] {
        both(&format!("set table tstr key {key} data.gpc0 1"));
    }
    for table in ["tip", "tip6", "tint", "tstr", "tbin", "nope"] {
        both(&format!("show table {table}"));
    }
    for filter in [
        "data.gpc0 gt 40",
        "data.gpc0 eq 40",
        "data.gpc0 ne 40",
        "data.gpc0 le 40",
        "data.gpc0 ge 40",
        "data.gpc0 lt 60 data.conn_cnt eq 4",
        "data.gpc0 ge -1",
        "data.http_req_rate gt 0",
        "data.gpc0 lt",
        "data.gpc0",
        "data.foo eq 1",
        "data.gpc1 eq 1",
        "data.gpc0 xx 1",
        "data.gpc0 gt x",
        "data.gpc0 gt 1 data.gpc0 gt 2 data.gpc0 gt 3 data.gpc0 gt 4 data.gpc0 gt 5",
        "key",
        "key 10.0.0.1",
        "key 10.0.0.9",
        "foo",
    ] {
        both(&format!("show table tip {filter}"));
    }
    for command in [
        "show table tint key 256",
        "show table tint key x",
        "show table tstr key ab",
        "show table tbin key ab",
        "clear table tip data.gpc0 gt 90",
        "clear table tip key 1.0.0.2",
        "clear table tip key 9.9.9.9",
        "clear table tip foo",
        "clear table",
        "clear table nope",
        "clear table tip key",
        "clear table tip data.gpc0 gt 90 data.conn_cnt",
        "show table tip",
        "clear table tip6",
        "show table tip6",
        "set table",
        "set table nope",
        "set table tip key 1.1.1.1",
        "set table tip key 1.1.1.1 data.gpc0",
        "set table tip key 1.1.1.1 data.gpc0 x",
        "set table tip key 1.1.1.1 data.zz 1",
        "set table tip key 1.1.1.1 gpc0 1",
        "set table tip data.gpc0 gt 3",
        "show table tip",
    ] {
        both(command);
    }
}

#[test]
fn key_of_a_large_table_is_found_at_once_and_all_in_order() {
    const ENTRIES: u32 = 100_000;
    let ours = quietly(TANDEM, "", TABLES);
    ours.fill(ENTRIES);
    let before = Instant::now();
    let line = vec!["show table tip key 0.0.0.0"; 200].join(";");
    assert_eq!(ours.ask(&line).matches("key=0.0.0.0 ").count(), 200);
    // A walk through the table for each takes minutes.
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    let dump = ours.ask("show table tip");
    let keys: Vec<std::net::Ipv4Addr> =
        dump.lines().filter_map(|line| line.split_once("key=")?.1.split(' ').next()?.parse().ok()).collect();
    assert_eq!(keys.len(), ENTRIES as usize);
    assert!(keys.is_sorted());
    ours.ask("clear table tip");
    assert!(ours.ask("show table tip").contains(" used:0\n"));
}

#[test]
fn dump_that_nobody_reads_ends_and_traffic_goes_on() {
    let ours = quietly(TANDEM, "    stats timeout 1s\n    stats maxconn 1\n", TABLES);
    ours.fill(30_000);
    let mut lazy = ours.connect();
    lazy.write_all(b"show table tip\n").unwrap();
    let over = AtomicBool::new(false);
    let served = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                assert!(get(ours.port, "/").starts_with("HTTP/1.1 200"));
                served.fetch_add(1, Relaxed);
            }
        });
        // The place of the one who does not read is free again after a second.
        assert!(ours.ask("show info").contains("CurrConns"));
        over.store(true, Relaxed);
    });
    assert!(served.load(Relaxed) > 0);
    let mut rest = Vec::new();
    lazy.read_to_end(&mut rest).unwrap();
    let lines = rest.iter().filter(|b| **b == b'\n').count();
    assert!(lines < 30_000, "a connection that does not read for a second is closed: {lines} lines");
}

#[test]
fn command_that_is_not_finished_is_not_run() {
    let original = haproxy::installed();
    for program in [Some(TANDEM), original].into_iter().flatten() {
        let running = quietly(program, "", TABLES);
        running.ask("set table tip key 1.1.1.1 data.gpc0 1");
        assert_eq!(running.say(b"clear table tip"), "", "{program}");
        running.say(b"show version\nclear table tip");
        assert!(running.ask("show table tip").contains("key=1.1.1.1 "), "{program}");
        running.say(b"clear table tip\n");
        assert!(!running.ask("show table tip").contains("key=1.1.1.1 "), "{program}");
    }
}

#[test]
fn command_line_of_the_longest_is_run_and_no_longer_one() {
    let original = haproxy::installed();
    let line = |length: usize, last: &str| {
        let mut line = b"show version".to_vec();
        line.resize(length - last.len() - 1, b' ');
        [line, last.as_bytes().to_vec(), b"\n".to_vec()].concat()
    };
    for program in [Some(TANDEM), original].into_iter().flatten() {
        let running = quietly(program, "", TABLES);
        assert!(running.say(&line(15_000, "")).contains('.'), "{program}");
        running.ask("set table tip key 1.1.1.1 data.gpc0 1");
        // What is cut off must not be taken for a command, nor what is left of it.
        let mut stream = running.connect();
        stream.write_all(&line(17_000, ";clear table tip")).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        drop(stream);
        if program == TANDEM {
            let expected = "The line is longer than 15360 bytes; none of its commands was carried out.\n";
            assert_eq!(answer, expected);
            assert!(running.ask("show table tip").contains("key=1.1.1.1 "));
        } else {
            assert_eq!(answer, "");
        }
    }
}

#[test]
fn stats_connections_beyond_the_limit_wait() {
    let original = haproxy::installed();
    for program in [Some(TANDEM), original].into_iter().flatten() {
        for (global, most) in [("", 10), ("    stats maxconn 3\n", 3)] {
            let running = quietly(program, global, "");
            let mut streams: Vec<UnixStream> = (0..most + 3)
                .map(|_| {
                    let mut stream = running.connect();
                    stream.write_all(b"prompt\n").unwrap();
                    stream
                })
                .collect();
            let prompts = |stream: &mut UnixStream, patience| {
                stream.set_read_timeout(Some(patience)).unwrap();
                stream.read_exact(&mut [0; 3]).is_ok()
            };
            for (place, stream) in streams.iter_mut().enumerate() {
                let patience = if place < most { PATIENCE } else { Duration::from_millis(300) };
                assert_eq!(prompts(stream, patience), place < most, "{program}: {place}");
            }
            drop(streams.drain(..3));
            let late = streams.split_off(most - 3);
            for mut stream in late {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.read_exact(&mut [0; 3]).unwrap();
            }
        }
    }
}

#[test]
fn silent_stats_connection_is_closed_after_its_time() {
    let running = quietly(TANDEM, "    stats timeout 500ms\n", "");
    let mut stream = running.connect();
    stream.write_all(b"prompt\n").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"\n> ");
}

#[test]
fn log_that_nobody_reads_drops_lines_and_stops_nothing() {
    let original = haproxy::installed();
    for target in ["stdout", "stderr"] {
        let (reader, writer) = std::io::pipe().unwrap();
        let other = Stdio::null();
        let streams =
            if target == "stdout" { (Stdio::from(writer), other) } else { (other, Stdio::from(writer)) };
        let lines = format!("    log {target} format raw local0\n    option httplog\n");
        let running = start(TANDEM, "", &lines, "", streams);
        let path = format!("/{}", "x".repeat(900));
        let began = Instant::now();
        let mut asked = 0;
        // The pipe is full after some 60 lines, the queue after a thousand more.
        while asked < 200 || running.info("DroppedLogs") == 0 {
            assert!(get(running.port, &path).starts_with("HTTP/1.1 200"), "{target}: {asked}");
            asked += 1;
            assert!(began.elapsed() < 4 * PATIENCE, "{target}: {asked} requests, and nothing is dropped");
        }
        // Who reads again has whole lines, and learns how many are missing.
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains(" log lines were dropped here")), "{target}");
    }
    // HAProxy does not wait either.
    let Some(original) = original else { return };
    let (reader, writer) = std::io::pipe().unwrap();
    let lines = "    log stdout format raw local0\n    option httplog\n";
    let running = start(original, "", lines, "", (Stdio::from(writer), Stdio::null()));
    let path = format!("/{}", "x".repeat(900));
    (0..200).for_each(|_| assert!(get(running.port, &path).starts_with("HTTP/1.1 200")));
    assert!(running.info("DroppedLogs") > 0);
    drop(reader);
}

/// The processes of a node, whose standard error is this.
fn supervised(folder: &Path, port: u16, global: &str, more: &str, errors: Stdio) -> Child {
    let text = format!(
        "global\n    nbthread 1\n    stats socket {0}/stats.sock mode 600 level admin\n{global}\
         defaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n\
         frontend web\n    bind 127.0.0.1:{port}\n    http-request return status 200\n{more}",
        folder.display()
    );
    let path = folder.join("t.cfg");
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new(TANDEM);
    command.args(["run", "-L", "lb1", "-f"]).arg(path).arg("--run-dir").arg(folder).arg("--state-dir");
    command.arg(folder.join("state")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
    command.spawn().unwrap()
}

fn status(folder: &Path) -> serde_json::Value {
    let output = Command::new(TANDEM).args(["status", "--json", "--run-dir"]).arg(folder).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn worker_of(status: &serde_json::Value) -> (Option<i64>, Option<u64>) {
    let list = status["processes"].as_array().cloned().unwrap_or_default();
    let worker = list.into_iter().find(|p| p["name"] == "worker").unwrap_or_default();
    (worker["pid"].as_i64(), worker["restarts"].as_u64())
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < 2 * PATIENCE, "not {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn standard_error_that_nobody_reads_stops_no_process() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let servers = "backend app\n    server s1 127.0.0.1:9 check inter 1h\n";
    let child = supervised(folder.path(), port, "", servers, Stdio::from(writer));
    let running = Running { child, port, folder };
    let folder: PathBuf = running.folder.path().to_path_buf();
    until("running", || folder.join("stats.sock").exists() && status(&folder)["worker"].is_object());
    let (pid, _) = worker_of(&status(&folder));
    // Each says a line of 150 bytes or so: more than a pipe and a queue hold.
    let mut commands = running.connect();
    commands.write_all(b"prompt\n").unwrap();
    let mut answers = BufReader::new(commands.try_clone().unwrap());
    for round in 0..600 {
        let line = ["set server app/s1 health down", "set server app/s1 health up"].repeat(10).join(";");
        writeln!(commands, "{line}").unwrap();
        // Twenty answers, each an empty line.
        for _ in 0..20 {
            let read = answers.read_line(&mut String::new());
            assert!(read.is_ok_and(|count| count > 0), "{round}: the worker does not answer");
        }
    }
    assert!(get(port, "/").starts_with("HTTP/1.1 200"));
    let told = status(&folder);
    assert!(told["worker"]["log"]["dropped"].as_u64() > Some(0), "{told}");
    assert_eq!(worker_of(&told), (pid, Some(0)), "the worker lives");
    drop(reader);
}

#[test]
fn peer_that_repeats_itself_cannot_fill_the_log() {
    let (folder, port, peers) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    let log = folder.path().join("log");
    let section =
        format!("peers all\n    peer lb1 127.0.0.1:{peers}\n    peer lb2 127.0.0.1:{}\n", free_port());
    let table = "backend t\n    stick-table type ip size 1k expire 1h store gpc0 peers all\n";
    let errors = Stdio::from(std::fs::File::create(&log).unwrap());
    let child = supervised(folder.path(), port, "", &(section + table), errors);
    let running = Running { child, port, folder };
    until("listening", || TcpStream::connect(("127.0.0.1", peers)).is_ok());
    until("running", || status(running.folder.path())["worker"].is_object());
    let mut stream = TcpStream::connect(("127.0.0.1", peers)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"HAProxyS 2.1\nlb1\nlb2 1 1\n").unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"200\n");
    // Two bytes that ask for everything, and whatever comes back is read.
    let mut reader = stream.try_clone().unwrap();
    let drain = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    let requests = [0_u8, 0].repeat(1_000);
    let sent = (0..100).take_while(|_| stream.write_all(&requests).is_ok()).count();
    assert!(sent > 0);
    let suppressed = || status(running.folder.path())["worker"]["log"]["suppressed"].as_u64();
    until("suppressed", || suppressed() > Some(0));
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let _ = drain.join();
    // Strangers who say nothing right, one after the other.
    for _ in 0..500 {
        if let Ok(mut stranger) = TcpStream::connect(("127.0.0.1", peers)) {
            let _ = stranger.write_all(b"HAProxyS 2.1\nlb1\nnobody 1 1\n");
            let _ = stranger.read(&mut [0; 16]);
        }
    }
    let size = std::fs::metadata(&log).unwrap().len();
    assert!(size < 64 * 1024, "the log has {size} bytes");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("lines like this one are left out"), "{text}");
}

/// Whether HAProxy and Tandem take a file.
fn taken(program: &str, path: &Path) -> (bool, String) {
    let mut command = Command::new(program);
    let output = command.arg("-c").arg("-f").arg(path).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn names_and_numbers_are_refused_where_haproxy_refuses_them() {
    let original = haproxy::installed();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.http");
    std::fs::write(&page, "HTTP/1.0 503 Sorry\r\nContent-Length: 3\r\n\r\nabc").unwrap();
    std::fs::write(folder.path().join("bad.http"), "root:*:19000:0:99999:7:::\n").unwrap();
    std::fs::write(folder.path().join("short.http"), "HTTP/1.0 503 Sorry\r\nContent-Length: 2\r\n\r\nabc")
        .unwrap();
    std::fs::write(
        folder.path().join("large.http"),
        format!("HTTP/1.0 503 Sorry\r\n\r\n{}", "x".repeat(20_000)),
    )
    .unwrap();
    let at = folder.path().display();
    let server = |text: &str| ("server", text.to_owned());
    let mut good: Vec<(&str, String)> = ["s.1", "s:1", "s-_1", "S"].map(server).to_vec();
    let mut bad: Vec<(&str, String)> =
        ["a<b", "a/b", "\"a b\"", "a;b", "a=b", "%x", "a{b", "a,b", "a*", "\"\""].map(server).to_vec();
    let option = |text: &str| ("option", text.to_owned());
    good.extend(
        ["check inter 1", "check inter 2147483647", "check port 0", "weight 0", "maxconn 0"].map(option),
    );
    bad.extend(
        [
            "check inter 0",
            "check inter 0s",
            "check inter 0us",
            "check inter -1",
            "check inter 25d",
            "check inter 2147483648",
            "check fastinter 0",
            "check downinter 0",
            "check rise 0",
            "check fall 0",
            "weight 257",
            "id 0",
            "cookie \"\"",
        ]
        .map(option),
    );
    let acl = |text: &str| ("front", format!("acl {text} path /x"));
    good.extend(["a:b", "a.b", "TRUE"].map(acl));
    bad.extend(["a<b", "a/b", "\"a b\"", "\"\"", "or"].map(acl));
    let front = |text: &str| ("front", text.to_owned());
    good.extend(["http-request set-header x-a b", "maxconn 0"].map(front));
    bad.extend(
        [
            "http-request set-header \"\" v",
            "http-response add-header \"\" v",
            "http-request del-header \"\"",
            "timeout client 25d",
            "timeout client -1",
        ]
        .map(front),
    );
    good.extend([
        ("front", format!("errorfile 503 {at}/page.http")),
        ("front", "errorfile 408 /dev/null".to_owned()),
    ]);
    for name in ["bad", "short", "large", "missing"] {
        bad.push(("front", format!("errorfile 503 {at}/{name}.http")));
    }
    bad.push(("front", format!("errorfile 418 {at}/page.http")));
    let global = |text: &str| ("global", text.to_owned());
    good.extend(["stats maxconn 1", "stats timeout 1"].map(global));
    bad.extend(["stats maxconn 0", "stats timeout 0", "stats timeout 25d", "nbthread 0"].map(global));
    let back = |text: &str| ("back", text.to_owned());
    good.extend(["stick-table type ip size 1k expire 0", "fullconn 0", "cookie A insert"].map(back));
    bad.extend(
        ["stick-table type ip size 0", "stick-table type ip size 1k expire 25d", "cookie \"\" insert"]
            .map(back),
    );
    let path = folder.path().join("t.cfg");
    for (lines, expected) in [(good, true), (bad, false)] {
        for (place, line) in lines {
            let of =
                |wanted: &str, usual: &str| if place == wanted { line.clone() } else { usual.to_owned() };
            let text = format!(
                "global\n    {}\ndefaults\n    mode http\n    timeout client 5s\n    timeout server 5s\n    \
                 timeout connect 5s\nfrontend fe\n    bind 127.0.0.1:{}\n    default_backend be\n    {}\nbackend be\n    \
                 server {} 127.0.0.1:1 {}\n    {}\n",
                of("global", ""),
                free_port(),
                of("front", ""),
                of("server", "s"),
                of("option", ""),
                of("back", "")
            );
            std::fs::write(&path, text).unwrap();
            for program in [Some(TANDEM), original].into_iter().flatten() {
                let (ok, said) = taken(program, &path);
                assert_eq!(ok, expected, "{program}: {line}: {said}");
            }
        }
    }
}

#[test]
fn statistics_page_of_many_servers_holds_up_no_request() {
    let servers: String = (0..3_000).map(|n| format!("    server s{n} 127.0.0.1:9\n")).collect();
    let page =
        "    stats enable\n    stats uri /st\n    http-request deny if { path /x }\n    http-request allow\n";
    let more = format!("backend many\n{servers}");
    let running = start(TANDEM, "    nbthread 1\n", page, &more, (Stdio::null(), Stdio::null()));
    assert!(get(running.port, "/x").starts_with("HTTP/1.1 403"));
    let (began, came) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut asked = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"GET /st HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
            began.store(true, Relaxed);
            let mut text = String::new();
            stream.read_exact(&mut [0; 1]).unwrap();
            came.store(true, Relaxed);
            stream.read_to_string(&mut text).unwrap();
            assert!(text.contains("s2999"));
        });
        while !came.load(Relaxed) {
            if began.load(Relaxed) {
                assert!(get(running.port, "/x").starts_with("HTTP/1.1 403"));
                asked += 1;
            }
        }
    });
    // The only core answers while the page is being made.
    assert!(asked > 10, "{asked} requests were answered before the page came");
}
