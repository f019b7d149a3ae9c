//! The processes of a node: what happens when one dies, stalls, or is told to stop; what its status says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod common;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use common::{assert_turned, free_port, free_port_on};

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    folder: PathBuf,
    process: Child,
    service: SocketAddrV4,
}

/// A file that serves without servers, with a table of clients, and what else a test wants.
fn file(folder: &Path, service: SocketAddrV4, more: &str) -> PathBuf {
    let mut text = String::new();
    write!(
        text,
        "global\n    nbthread 2\n    stats socket {}/stats.sock mode 600 level admin\n\
         defaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n\
         frontend web\n    bind {service}\n    stick-table type ip size 1k expire 60s store http_req_cnt\n\
         \x20   http-request track-sc0 src\n    http-request return status 200\n{more}",
        folder.display()
    )
    .unwrap();
    let path = folder.join("haproxy.cfg");
    std::fs::write(&path, text).unwrap();
    path
}

impl Node {
    fn start(folder: &Path, member: &str, more: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let service = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port());
        let file = file(folder, service, more);
        let process = Command::new(TANDEM)
            .args(["run", "-L", member, "-f"])
            .arg(file)
            .arg("--run-dir")
            .arg(folder)
            .arg("--state-dir")
            .arg(folder.join("state"))
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let node = Self { folder: folder.to_path_buf(), process, service };
        node.until("running", |s| process_of(s, "worker")["state"] == "running");
        node
    }

    fn cli(&self, words: &[&str]) -> Output {
        Command::new(TANDEM).args(words).arg("--run-dir").arg(&self.folder).output().unwrap()
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
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(begin.elapsed() < PATIENCE, "not {what}: {status}\n{}", log());
        }
    }

    fn get(&self) -> String {
        get(self.service)
    }

    fn runtime(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(self.folder.join("stats.sock")).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn pid_of(&self, process: &str) -> Pid {
        let pid = process_of(&self.status(), process)["pid"].as_i64().unwrap();
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    }
}

/// The answer to a request on a connection of its own.
fn get(service: SocketAddrV4) -> String {
    let mut stream = TcpStream::connect(service).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn process_of(status: &Value, name: &str) -> Value {
    let list = status["processes"].as_array().cloned().unwrap_or_default();
    list.into_iter().find(|p| p["name"] == name).unwrap_or_default()
}

fn is_gone(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid).is_err()
}

#[test]
fn a_killed_child_is_replaced_and_its_sockets_live_on() {
    let folder = TempDir::new().unwrap();
    let node = Node::start(folder.path(), "lb1", "");
    assert!(node.get().starts_with("HTTP/1.1 200 "));
    for child in ["control", "worker"] {
        kill_process(node.pid_of(child), Signal::KILL).unwrap();
        node.until("replaced", |s| {
            let process = process_of(s, child);
            process["restarts"] == 1 && process["state"] == "running"
        });
    }
    assert!(node.get().starts_with("HTTP/1.1 200 "));
    let status = node.until("healthy", |s| s["health"] == "healthy" && s["worker"]["tables_are"] == "alone");
    assert!(process_of(&status, "worker")["last_death"].as_str().unwrap().contains("signal: 9"));
    let metrics = String::from_utf8(node.cli(&["status", "--metrics"]).stdout).unwrap();
    for line in
        ["keepalived_up 1", "tandem_node_health 0", "tandem_process_restarts_total{process=\"worker\"} 1"]
    {
        assert!(metrics.lines().any(|said| said == line), "{line}:\n{metrics}");
    }
    // What happened can be told afterwards, even of a node that is no more.
    drop(node);
    let state = folder.path().join("state");
    let told = Command::new(TANDEM).args(["explain", "--json", "--state-dir"]).arg(state).output().unwrap();
    let told: Vec<Value> = serde_json::from_slice(&told.stdout).unwrap();
    let whys = told
        .iter()
        .filter(|entry| entry["what"] == "a process ended")
        .map(|entry| entry["why"].as_str().unwrap());
    let whys: Vec<&str> = whys.collect();
    assert!(whys.iter().any(|why| why.starts_with("control: signal: 9")), "{whys:?}");
    assert!(whys.iter().any(|why| why.starts_with("worker: signal: 9")), "{whys:?}");
}

#[test]
fn a_stalled_worker_is_seen_and_replaced_and_meanwhile_nothing_stale_is_said() {
    let folder = TempDir::new().unwrap();
    let node = Node::start(folder.path(), "lb1", "");
    kill_process(node.pid_of("worker"), Signal::STOP).unwrap();
    let stalled = node.until("stalled", |s| process_of(s, "worker")["state"] == "stalled");
    assert_eq!((&stalled["health"], &stalled["worker"]), (&"down".into(), &Value::Null));
    // A supervisor that was late itself gives the worker another chance.
    let begin = Instant::now();
    loop {
        let page = node.cli(&["status"]);
        if page.status.code() == Some(2) && String::from_utf8_lossy(&page.stdout).contains("unknown") {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{page:?}");
    }
    node.until("replaced", |s| process_of(s, "worker")["state"] == "running");
    assert!(node.get().starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_worker_that_accepts_nobody_is_noticed_though_it_turns_and_its_question_is_not_counted() {
    let folder = TempDir::new().unwrap();
    let node = Node::start(folder.path(), "lb1", "");
    let worker = node.pid_of("worker");
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    // Until something is logged, after something else was.
    let until = |before: &str, what: &str| {
        let begin = Instant::now();
        while !log().split_once(before).is_some_and(|(_, after)| after.contains(what)) {
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", log());
            std::thread::yield_now();
        }
    };
    until("", "ready=true");
    assert!(node.get().starts_with("HTTP/1.1 200 "));
    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit { current: Some(4), maximum: limit.maximum };
    prlimit(Some(worker), Resource::Nofile, few).unwrap();
    let deaf = "connections are not accepted";
    until(deaf, "ready=false");
    prlimit(Some(worker), Resource::Nofile, limit).unwrap();
    until(deaf, "ready=true");
    assert!(node.get().starts_with("HTTP/1.1 200 "));
    assert_eq!(node.pid_of("worker"), worker);
    // Two clients, whatever it asked itself.
    let stat = node.runtime("show info");
    assert_turned(&stat);
    assert!(stat.contains("CumConns: 2\n"), "{stat}");
}

/// Takes every descriptor away that a process does not have yet; gives the limit that it had.
fn starve(process: Pid) -> Rlimit {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.as_raw_nonzero())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
    let limit = Rlimit { current: numbers.next().unwrap(), maximum: numbers.next().unwrap() };
    prlimit(Some(process), Resource::Nofile, Rlimit { current: Some(4), ..limit }).unwrap();
    limit
}

#[test]
fn a_worker_without_descriptors_is_asked_and_goes_on() {
    let folder = TempDir::new().unwrap();
    let node = Node::start(folder.path(), "lb1", "");
    node.until("healthy", |s| s["health"] == "healthy");
    let worker = node.pid_of("worker");
    let limit = starve(worker);
    // It has no descriptor for its answer.
    for _ in 0..3 {
        let status = node.until("asked", |s| s["worker"].is_null());
        assert_eq!(process_of(&status, "worker")["restarts"], 0, "{status}");
    }
    prlimit(Some(worker), Resource::Nofile, limit).unwrap();
    let status = node.until("healthy", |s| s["health"] == "healthy");
    assert_eq!(process_of(&status, "worker")["restarts"], 0, "{status}");
    assert_eq!(node.pid_of("worker"), worker);
    // The next one has descriptors of its own.
    starve(worker);
    edit(&node, "return status 200", "return status 201");
    let reload = node.cli(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    assert!(node.get().starts_with("HTTP/1.1 201 "));
    let status = node.until("healthy", |s| s["health"] == "healthy");
    assert_eq!(process_of(&status, "worker")["restarts"], 0, "{status}");
    assert_turned(&node.runtime("show info"));
}

#[test]
fn a_supervisor_without_descriptors_goes_on_once_it_has_some() {
    let folder = TempDir::new().unwrap();
    let node = Node::start(folder.path(), "lb1", "");
    node.until("healthy", |s| s["health"] == "healthy");
    let (worker, control) = (node.pid_of("worker"), node.pid_of("control"));
    let own = Pid::from_raw(i32::try_from(node.process.id()).unwrap()).unwrap();
    let limit = starve(own);
    // Whoever asks now waits; who dies now is replaced later.
    let mut asking = Command::new(TANDEM);
    asking.args(["status", "--json", "--run-dir"]).arg(folder.path());
    let asked = asking.stdout(Stdio::piped()).spawn().unwrap();
    kill_process(worker, Signal::KILL).unwrap();
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    let begin = Instant::now();
    while !(log().contains("the command line cannot be heard") && log().contains("cannot start")) {
        assert!(begin.elapsed() < PATIENCE, "{}", log());
        std::thread::yield_now();
    }
    prlimit(Some(own), Resource::Nofile, limit).unwrap();
    let answer = asked.wait_with_output().unwrap();
    let status: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(status["node"], "lb1", "who waited is answered");
    node.until("replaced", |s| s["health"] == "healthy");
    assert!(node.get().starts_with("HTTP/1.1 200 "));
    assert_eq!(node.pid_of("control"), control, "who lived goes on");
    assert!(node.cli(&["reload"]).status.success());
}

#[test]
fn a_reload_that_needs_more_descriptors_than_there_are_is_refused() {
    let folder = TempDir::new().unwrap();
    let node = Node::start(folder.path(), "lb1", "");
    let worker = node.pid_of("worker");
    edit(&node, "    nbthread 2\n", "    nbthread 2\n    fd-hard-limit 1000\n    maxconn 500\n");
    let reload = node.cli(&["reload"]);
    let said = String::from_utf8_lossy(&[reload.stdout, reload.stderr].concat()).into_owned();
    assert!(!reload.status.success(), "{said}");
    assert!(said.contains("500 connections need") && said.contains("LimitNOFILE="), "{said}");
    edit(&node, "maxconn 500", "maxconn 400");
    assert!(node.cli(&["reload"]).status.success());
    assert_ne!(node.pid_of("worker"), worker);
    assert!(node.runtime("show info").contains("\nMaxconn: 400\n"));
}

#[test]
fn a_node_that_is_told_to_stop_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let mut node = Node::start(folder.path(), "lb1", "");
    let children = ["worker", "control"].map(|child| node.pid_of(child));
    let own = Pid::from_raw(i32::try_from(node.process.id()).unwrap()).unwrap();
    kill_process(own, Signal::TERM).unwrap();
    assert!(node.process.wait().unwrap().success());
    assert!(children.into_iter().all(is_gone));
    assert_eq!(node.cli(&["status"]).status.code(), Some(2));
}

#[test]
fn children_do_not_outlive_their_supervisor() {
    let folder = TempDir::new().unwrap();
    let mut node = Node::start(folder.path(), "lb1", "");
    let children = ["worker", "control"].map(|child| node.pid_of(child));
    node.process.kill().unwrap();
    node.process.wait().unwrap();
    let begin = Instant::now();
    while !children.iter().all(|pid| is_gone(*pid)) {
        assert!(begin.elapsed() < PATIENCE, "a child lives on");
        std::thread::yield_now();
    }
}

/// Rewrites a node's file.
fn edit(node: &Node, old: &str, new: &str) {
    let path = node.folder.join("haproxy.cfg");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{text}");
    std::fs::write(&path, text.replace(old, new)).unwrap();
}

const TWO_SERVERS: &str = "backend app\n    server a 127.0.0.1:9\n    server b 127.0.0.1:9 weight 7\n";

#[test]
fn a_reload_takes_tables_orders_and_connections_along() {
    let folder = TempDir::new().unwrap();
    let node = Node::start(folder.path(), "lb1", TWO_SERVERS);
    let mut open = TcpStream::connect(node.service).unwrap();
    open.set_read_timeout(Some(PATIENCE)).unwrap();
    open.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut some = [0; 16];
    open.read_exact(&mut some).unwrap();
    for order in ["set server app/a weight 3", "set server app/b state maint"] {
        node.runtime(order);
    }
    edit(&node, "return status 200", "return status 201");
    let before = node.pid_of("worker");
    let reload = node.cli(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    assert!(node.get().starts_with("HTTP/1.1 201 "));
    let states = node.runtime("show servers state app");
    let field = |line: usize, place: usize| {
        states
            .lines()
            .nth(line)
            .unwrap_or_else(|| panic!("{states}"))
            .split(' ')
            .nth(place)
            .unwrap_or_default()
            .to_owned()
    };
    // Administrative state, weight now, weight of the file.
    assert_eq!([field(2, 6), field(2, 7), field(2, 8)], ["0", "3", "1"], "{states}");
    assert_eq!([field(3, 6), field(3, 7), field(3, 8)], ["1", "7", "7"], "{states}");
    assert!(node.runtime("show table web").contains("http_req_cnt=2"), "the table came along");
    // The connection from before is served by the old worker, and told to end.
    open.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut rest = String::new();
    open.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("HTTP/1.1 200 ") && rest.to_lowercase().contains("connection: close"), "{rest}");
    let status = node.until("drained", |s| {
        s["processes"].as_array().is_some_and(|list| list.iter().all(|p| p["state"] == "running"))
    });
    assert!(is_gone(before) && status["health"] == "healthy", "{status}");
    // A weight that the file says anew is the file's again.
    edit(&node, "server a 127.0.0.1:9", "server a 127.0.0.1:9 weight 5");
    assert!(node.cli(&["reload"]).status.success());
    let states = node.runtime("show servers state app");
    assert!(states.lines().nth(2).unwrap().contains(" 0 5 5 "), "{states}");
}

#[test]
fn a_reload_that_cannot_be_done_changes_nothing_and_says_why() {
    let folder = TempDir::new().unwrap();
    let node = Node::start(folder.path(), "lb1", TWO_SERVERS);
    let worker = node.pid_of("worker");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for (old, new, why) in [
        ("    http-request return", "    http-reqest return", "http-reqest"),
        ("nbthread 2", "nbthread 1", "nbthread has changed"),
        ("127.0.0.1:9 weight 7", "127.0.0.1:9 weight 7000", "7000"),
        ("bind ", &format!("bind {},", taken.local_addr().unwrap()), "cannot listen"),
    ] {
        edit(&node, old, new);
        let reload = node.cli(&["reload"]);
        assert_eq!(reload.status.code(), Some(1), "{new}");
        assert!(String::from_utf8_lossy(&reload.stderr).contains(why), "{new}: {reload:?}");
        edit(&node, new, old);
    }
    assert_eq!(node.pid_of("worker"), worker);
    assert!(node.get().starts_with("HTTP/1.1 200 "));
    // By signal, too; the log says so.
    let own = Pid::from_raw(i32::try_from(node.process.id()).unwrap()).unwrap();
    kill_process(own, Signal::USR2).unwrap();
    node.until("reloaded", |_| node.pid_of("worker") != worker);
    assert!(node.get().starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_second_node_on_the_same_state_is_refused() {
    let folder = TempDir::new().unwrap();
    let node = Node::start(folder.path(), "lb1", "");
    let file = folder.path().join("haproxy.cfg");
    let second = Command::new(TANDEM)
        .args(["run", "-f"])
        .arg(file)
        .arg("--run-dir")
        .arg(folder.path().join("other"))
        .arg("--state-dir")
        .arg(folder.path().join("state"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another node runs with it"), "{second:?}");
    assert!(node.get().starts_with("HTTP/1.1 200 "));
}

/// Two nodes of one cluster, with these lines in their files, that have learnt from each other.
fn pair(folder: &Path, more: &str) -> [Node; 2] {
    let port = free_port_on(&[1, 2]);
    let cluster = |etc: &Path| {
        format!(
            "{more}cluster c\n    member lb1 127.0.0.1\n    member lb2 127.0.0.2\n    port {port}\n    crt {0}/cluster.pem ca-file {0}/cluster-ca.pem\n",
            etc.display()
        )
    };
    let (one, two) = (folder.join("lb1"), folder.join("lb2"));
    std::fs::create_dir_all(&one).unwrap();
    let own = file(&one, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), &cluster(&one));
    let done = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    done(Command::new(TANDEM).args(["cluster", "init", "-L", "lb1", "-f"]).arg(own).arg("--dir").arg(&one));
    done(Command::new(TANDEM).args(["cluster", "join"]).arg(one.join("lb2.bundle")).arg("--dir").arg(&two));
    let a = Node::start(&one, "lb1", &cluster(&one));
    let b = Node::start(&two, "lb2", &cluster(&two));
    for node in [&a, &b] {
        node.until("healthy", |s| s["health"] == "healthy" && s["worker"]["tables_are"] == "learnt");
    }
    [a, b]
}

/// A node whose worker has no descriptor for its checks says nothing of servers to the other one, which would believe it.
#[test]
fn a_member_that_cannot_check_tells_others_of_no_failure() {
    let folder = TempDir::new().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let more = format!("backend app\n    server s1 {address} check inter 50ms fall 1\n");
    let [a, b] = pair(folder.path(), &more);
    let is_up = |status: &Value| {
        let servers = status["worker"]["servers"].as_array().cloned().unwrap_or_default();
        servers.first().map(|server| server["up"] == true)
    };
    let worker = a.pid_of("worker");
    let limit = starve(worker);
    // Long enough for several checks, and for what is told of them.
    let log = || std::fs::read_to_string(a.folder.join("log")).unwrap();
    let begin = Instant::now();
    while log().matches("cannot check a server").count() < 2 {
        assert!(begin.elapsed() < PATIENCE, "{}", log());
        assert_eq!(is_up(&b.status()), Some(true));
    }
    prlimit(Some(worker), Resource::Nofile, limit).unwrap();
    a.until("known", |s| is_up(s) == Some(true));
    for node in [&a, &b] {
        let log = std::fs::read_to_string(node.folder.join("log")).unwrap();
        assert!(!log.contains("Server app/s1 is DOWN"), "{log}");
    }
    assert_eq!(a.pid_of("worker"), worker);
}

#[test]
fn two_nodes_know_each_others_clients_and_say_so() {
    let folder = TempDir::new().unwrap();
    let [a, b] = pair(folder.path(), "");
    assert_eq!(a.cli(&["status"]).status.code(), Some(0));
    a.get();
    let begin = Instant::now();
    while !b.runtime("show table web").contains("key=127.0.0.1 ") {
        assert!(begin.elapsed() < PATIENCE, "lb2 does not know lb1's client");
    }
    drop(b);
    a.until("degraded", |s| s["health"] == "degraded" && s["reasons"][1] == "peer lb2 is unreachable");
    assert_eq!(a.cli(&["status"]).status.code(), Some(1));
}

#[test]
fn a_cluster_made_without_an_advert_key_is_given_one() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (folder.path().join("lb1"), folder.path().join("lb2"));
    std::fs::create_dir_all(&one).unwrap();
    let more = format!(
        "cluster c\n    member lb1 127.0.0.1\n    member lb2 127.0.0.2\n    crt {0}/cluster.pem ca-file {0}/cluster-ca.pem\n\
         virtual-router web\n    interface lo\n    vrid 51\n    address 127.0.9.9/32\n",
        one.display()
    );
    let own = file(&one, SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port()), &more);
    let run = |words: &[&str], path: &Path, dir: Option<&Path>| {
        let mut command = Command::new(TANDEM);
        command.args(words).arg(path);
        command.args(dir.iter().flat_map(|dir| [OsStr::new("--dir"), dir.as_os_str()]));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.success(), said.concat())
    };
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let key_of = |path: &Path| {
        let text = read(path);
        let block = text.split("-----BEGIN TANDEM ADVERT KEY-----\n").nth(1);
        block.and_then(|block| block.lines().next()).map(str::to_owned)
    };
    let (init, join) = (["cluster", "init", "-L", "lb1", "-f"], ["cluster", "join"]);
    let (well, said) = run(&init, &own, Some(&one));
    assert!(well, "{said}");
    let key = key_of(&one.join("cluster.pem")).unwrap();
    assert_eq!((key.len(), key_of(&one.join("lb2.bundle"))), (64, Some(key.clone())));
    assert_eq!(key_of(&one.join("cluster-ca.pem")), None);
    assert!(!said.contains(&key));
    let (well, said) = run(&join, &one.join("lb2.bundle"), Some(&two));
    assert!(well && !said.contains(&key), "{said}");
    assert_eq!(key_of(&two.join("cluster.pem")), Some(key));
    assert_eq!(key_of(&two.join("cluster-ca.pem")), None);
    let unsigned = "note: VRRP adverts are not signed";
    let (well, said) = run(&["check"], &own, None);
    assert!(well && !said.contains(unsigned), "{said}");
    // As it was before there was such a key.
    for folder in [&one, &two] {
        let path = folder.join("cluster.pem");
        let text = read(&path);
        std::fs::write(&path, text.split("-----BEGIN TANDEM").next().unwrap()).unwrap();
    }
    let (well, said) = run(&["check"], &own, None);
    assert!(well && said.contains(unsigned), "{said}");
    let (well, said) = run(&["cluster", "add-key", "--dir"], &one, None);
    assert!(well, "{said}");
    let bundle = one.join("advert-key.bundle");
    let (well, joined) = run(&join, &bundle, Some(&two));
    assert!(well, "{joined}");
    let keys =
        [&one.join("cluster.pem"), &two.join("cluster.pem"), &bundle].map(|path| key_of(path).unwrap());
    assert!(keys[0] == keys[1] && keys[1] == keys[2]);
    assert!(!said.contains(&keys[0]) && !joined.contains(&keys[0]));
    for secret in [&one.join("cluster.pem"), &one.join("lb2.bundle"), &two.join("cluster.pem"), &bundle] {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(secret).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{}", secret.display());
    }
    let (well, said) = run(&["check"], &own, None);
    assert!(well && !said.contains(unsigned), "{said}");
    // Another one only where that is asked for.
    assert!(!run(&["cluster", "add-key", "--dir"], &one, None).0);
    assert!(run(&["cluster", "add-key", "--replace", "--dir"], &one, None).0);
    assert_ne!(key_of(&bundle).unwrap(), keys[0]);
    assert!(!run(&join, &bundle, Some(&folder.path().join("lb3"))).0, "no certificate is there");
}

#[test]
fn a_service_manager_hears_when_it_is_ready_and_what_it_does() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let file = file(folder.path(), SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port()), "");
    let mut process = Command::new(TANDEM)
        .args(["-Ws", "-f"])
        .arg(&file)
        .arg("-p")
        .arg(folder.path().join("pid"))
        .env("NOTIFY_SOCKET", &path)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let hear = || {
        let mut bytes = [0; 64];
        let count = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let pid = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    assert_eq!(hear(), "READY=1");
    assert_eq!(std::fs::read_to_string(folder.path().join("pid")).unwrap().trim(), process.id().to_string());
    kill_process(pid, Signal::USR2).unwrap();
    assert_eq!([hear(), hear()], ["RELOADING=1", "READY=1"]);
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(hear(), "STOPPING=1");
    // As HAProxy's master: 128 and the signal.
    assert_eq!(process.wait().unwrap().code(), Some(130));
}

/// Ends a program whatever becomes of the test.
struct Guard(Pid);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

#[test]
fn a_node_without_its_virtual_addresses_reloads_too() {
    let folder = TempDir::new().unwrap();
    let router = "virtual-router v\n    interface lo\n    vrid 3\n    address 192.0.2.1/32\n    multicast\n";
    let service = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port());
    let file = file(folder.path(), service, router);
    let launched = Command::new(TANDEM)
        .args(["-D", "--no-vip", "-L", "lb1", "-f"])
        .arg(&file)
        .arg("-p")
        .arg(folder.path().join("pid"))
        .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
        .status();
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(launched.unwrap().success(), "{}", log());
    let text = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    let pid = Pid::from_raw(text.trim().parse().unwrap()).unwrap();
    let _guard = Guard(pid);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("return status 200", "return status 201")).unwrap();
    kill_process(pid, Signal::USR2).unwrap();
    let begin = Instant::now();
    while !get(service).starts_with("HTTP/1.1 201 ") {
        assert!(begin.elapsed() < PATIENCE, "the file is not read anew");
    }
}

#[test]
fn a_new_process_relieves_the_old_one_as_haproxys_does() {
    let folder = TempDir::new().unwrap();
    let service = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port());
    let file = file(folder.path(), service, "");
    let launch = |pidfile: &str, old: Option<Pid>| {
        let mut command = Command::new(TANDEM);
        command.args(["-D", "-f"]).arg(&file).arg("-p").arg(folder.path().join(pidfile));
        if let Some(old) = old {
            command.args(["-sf", &old.as_raw_nonzero().to_string()]);
        }
        assert!(command.stderr(Stdio::null()).status().unwrap().success());
        let text = std::fs::read_to_string(folder.path().join(pidfile)).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    };
    let ask = || get(service).starts_with("HTTP/1.1 200 ");
    let old = launch("old.pid", None);
    let _old = Guard(old);
    assert!(ask());
    let new = launch("new.pid", Some(old));
    let _new = Guard(new);
    let begin = Instant::now();
    while !is_gone(old) {
        assert!(begin.elapsed() < PATIENCE, "the old process lives on");
    }
    assert!(ask());
    // What a node in the background starts is not in the background by itself.
    let children = std::fs::read_to_string(format!("/proc/{}/environ", new.as_raw_nonzero())).unwrap();
    let mark = children.split('\0').find(|v| v.starts_with("TANDEM_BACKGROUND=")).unwrap_or_default();
    let (name, value) = mark.split_once('=').unwrap();
    let check = Command::new(TANDEM).args(["-c", "-f"]).arg(&file).env(name, value).output().unwrap();
    assert!(String::from_utf8_lossy(&check.stdout).contains("valid"), "{check:?}");
    kill_process(new, Signal::TERM).unwrap();
    while !is_gone(new) {
        assert!(begin.elapsed() < PATIENCE, "the new process lives on");
    }
}

#[test]
fn mistakes_of_all_rooms_are_shown_at_once() {
    let folder = TempDir::new().unwrap();
    let wrong = "    balence roundrobin\ncluster c\n    member lb1 nowhere\n    crt a ca-file b\nvirtual-router v\n    interface eth0\n    vrid 300\n";
    let path = file(folder.path(), SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), wrong);
    let output = Command::new(TANDEM).args(["-c", "-f"]).arg(path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    for expected in
        ["'balence", "'nowhere' is not an address", "'300' is not a valid number", "has no 'address'"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn one_process_cannot_serve_a_virtual_address_and_says_so() {
    let folder = TempDir::new().unwrap();
    let pair = "cluster c\n    member lb1 127.0.0.1\n    crt a ca-file b\nvirtual-router v\n    interface lo\n    vrid 3\n    address 192.0.2.1/32\n";
    let path = file(folder.path(), SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port()), pair);
    ["a", "b"].into_iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
    let mut command = Command::new(TANDEM);
    command.args(["-db", "-L", "lb1", "-f"]).arg(&path).current_dir(folder.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--no-vip"), "{output:?}");
}
