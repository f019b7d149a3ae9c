//! Descriptors: how many connections follow from their limit, and that nothing but accepting suffers when they are
//! there. Beside the real HAProxy where it is installed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

mod common;
#[path = "common/haproxy.rs"]
mod haproxy;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use common::{assert_turned, free_port};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
const PATIENCE: Duration = Duration::from_secs(10);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

struct Running {
    child: Child,
    folder: tempfile::TempDir,
    service: SocketAddrV4,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program is started with.
struct Plan<'p> {
    soft: u64,
    hard: u64,
    /// Lines of the section `global`.
    global: &'p str,
    /// Lines of the frontend.
    frontend: &'p str,
    /// The rest of the file.
    rest: &'p str,
}

impl Running {
    /// Starts a program, whether or not it goes on.
    fn spawn(program: &str, plan: &Plan<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port());
        let path = folder.path().join("t.cfg");
        let (socket, Plan { soft, hard, global, frontend, rest }) = (folder.path().join("stats.sock"), plan);
        let text = format!(
            "global\n    nbthread 2\n    stats socket {} level admin\n{global}\
             defaults\n    mode http\n    timeout connect 2s\n    timeout client 30s\n    timeout server 10s\n    \
             retries 1\n    backlog 1000\nfrontend web\n    bind {service}\n{frontend}{rest}",
            socket.display()
        );
        std::fs::write(&path, text).unwrap();
        let run = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" -db -f \"$1\"");
        let mut command = Command::new("sh");
        command.args(["-c", &run, program]).arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
        let said = std::fs::File::create(folder.path().join("log")).unwrap();
        Self { child: command.stderr(said).spawn().unwrap(), folder, service }
    }

    fn start(program: &str, plan: &Plan<'_>) -> Self {
        let mut running = Self::spawn(program, plan);
        assert!(running.serves(), "{program}: {}", running.said());
        running
    }

    /// Whether it serves: or has ended.
    fn serves(&mut self) -> bool {
        let begin = Instant::now();
        loop {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.ask("show info").is_some_and(|info| info.contains("CurrConns: ")) {
                return true;
            }
            assert!(begin.elapsed() < PATIENCE, "{}", self.said());
            std::thread::yield_now();
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn ask(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.folder.path().join("stats.sock")).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(stream, "{command}").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn info(&self, field: &str) -> u64 {
        number(&self.ask("show info").unwrap(), field)
    }

    /// A column of `show stat`.
    fn stat(&self, row: &str, column: &str) -> String {
        column_of(&self.ask("show stat").unwrap(), row, column)
    }

    /// The soft and the hard limit of its descriptors.
    fn limits(&self) -> (u64, u64) {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap_or(u64::MAX));
        (numbers.next().unwrap(), numbers.next().unwrap())
    }

    fn soft_limit(&self) -> u64 {
        self.limits().0
    }

    /// Sets the soft limit from outside.
    fn limit(&self, soft: u64) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let wanted = Rlimit { current: Some(soft), maximum: Some(self.limits().1) };
        prlimit(pid, Resource::Nofile, wanted).unwrap();
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.service).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

fn number(info: &str, field: &str) -> u64 {
    let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("{field}: {info}")).trim().parse().unwrap()
}

fn column_of(stat: &str, row: &str, column: &str) -> String {
    let names: Vec<&str> = stat.lines().next().unwrap().trim_start_matches("# ").split(',').collect();
    let place = names.iter().position(|name| *name == column).unwrap();
    let line = stat.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("{row}: {stat}"));
    line.split(',').nth(place).unwrap().to_owned()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// An origin that answers every request, with room for many connections; and how many requests it has had.
fn origin() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                loop {
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if !matches!(reader.read_line(&mut head), Ok(count) if count > 0) {
                            return;
                        }
                    }
                    counted.fetch_add(1, Ordering::Relaxed);
                    if (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, count)
}

/// The status of the answer to a request.
fn request(mut stream: &TcpStream) -> String {
    stream.write_all(REQUEST).unwrap();
    status(stream)
}

fn status(stream: &TcpStream) -> String {
    let mut head = [0; 12];
    let mut reader = stream;
    if let Err(error) = reader.read_exact(&mut head) {
        return error.to_string();
    }
    // What follows is at most some hundred bytes, and of no interest.
    let mut rest = [0; 1_024];
    let _ = reader.read(&mut rest);
    String::from_utf8_lossy(&head[9..]).into_owned()
}

const NO_RULES: &str = "    http-request return status 200\n";

fn limits(soft: u64, hard: u64, global: &str) -> Plan<'_> {
    Plan { soft, hard, global, frontend: NO_RULES, rest: "" }
}

#[test]
fn maxconn_follows_from_the_limit_of_descriptors_as_haproxys() {
    let haproxy = haproxy::installed();
    let most = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    assert!(most >= 4_096, "the tests need a hard limit of 4096 descriptors");
    for (soft, hard, global) in [
        (1_024, 4_096, ""),
        (220, 1_000, ""),
        (220, 1_000, "    fd-hard-limit 800\n"),
        (220, 2_000, "    maxconn 300\n"),
        (2_000, 2_000, "    maxconn 300\n"),
    ] {
        let plan = limits(soft, hard, global);
        let ours = Running::start(TANDEM, &plan);
        let (maxconn, maxsock) = (ours.info("Maxconn"), ours.info("Maxsock"));
        let case = format!("{soft} {hard} {global}: {maxconn} {maxsock}");
        assert!(2 * maxconn < maxsock && maxsock <= ours.soft_limit(), "{case}");
        assert_eq!((ours.info("Ulimit-n"), ours.info("CurrConns")), (ours.soft_limit(), 0), "{case}");
        assert_eq!(ours.stat("web,FRONTEND,", "slim"), maxconn.to_string(), "{case}");
        let Some(haproxy) = haproxy else { continue };
        let theirs = Running::start(haproxy, &plan);
        let reference = theirs.info("Maxconn");
        let (ours_soft, theirs_soft) = (ours.soft_limit(), theirs.soft_limit());
        if global.contains("maxconn") {
            assert_eq!(maxconn, reference, "{case}");
            // Neither takes more than it needs, nor gives up what it has.
            assert!(ours_soft.abs_diff(theirs_soft) < 100 && ours_soft >= soft, "{case} {theirs_soft}");
        } else {
            // Our reserve is larger: it is for links and peers, too.
            assert!(maxconn <= reference && reference - maxconn < 60, "{case} {reference}");
            assert!(ours_soft.abs_diff(theirs_soft) <= 1, "{case}: {ours_soft} {theirs_soft}");
        }
    }
}

#[test]
fn a_maxconn_that_does_not_fit_is_refused_unless_limits_are_loose() {
    let haproxy = haproxy::installed();
    for (soft, hard, global) in [
        (220, 220, "    maxconn 500\n"),
        (220, 220, "    maxconn 500\n    strict-limits\n"),
        (220, 1_000, "    ulimit-n 5000\n"),
        (220, 1_000, "    maxconn 300\n    fd-hard-limit 400\n"),
        (220, 220, "    maxconn 500\n    no strict-limits\n"),
        (220, 220, "    maxconn 50\n"),
    ] {
        let plan = limits(soft, hard, global);
        let mut ours = Running::spawn(TANDEM, &plan);
        let serves = ours.serves();
        let said = ours.said();
        assert_eq!(serves, said.contains("no strict") || !said.contains("[ALERT]"), "{global}: {said}");
        if !serves {
            assert!(said.contains("file descriptors") && said.contains("LimitNOFILE="), "{said}");
            assert_eq!(ours.child.wait().unwrap().code(), Some(1));
        } else if global.contains("500") {
            assert!(said.contains("500 connections need"), "{said}");
            assert!(ours.info("Maxsock") <= 220);
        }
        if let Some(haproxy) = haproxy {
            assert_eq!(serves, Running::spawn(haproxy, &plan).serves(), "{global}: {said}");
        }
    }
}

/// 260 clients that say nothing, where 220 descriptors are allowed: who was accepted is served, checks and commands
/// work, and who comes later waits for a place.
#[test]
fn idle_clients_at_the_limit_take_nothing_from_anybody_else() {
    let (port, _) = origin();
    let rest = format!(
        "backend app\n    option httpchk GET /\n    timeout check 9s\n    server s1 127.0.0.1:{port} check inter 50ms\n"
    );
    let programs = [Some((TANDEM, "")), haproxy::installed().map(|path| (path, "    maxconn 60\n"))];
    for (program, global) in programs.into_iter().flatten() {
        let plan = Plan { soft: 220, hard: 220, global, frontend: "    default_backend app\n", rest: &rest };
        let running = Running::start(program, &plan);
        until("checked", || running.stat("app,s1,", "check_status") == "L7OK");
        let most = running.info("Maxconn");
        let mut clients: Vec<TcpStream> = (0..260).map(|_| running.connect()).collect();
        // Commands go on, and no more are taken than may be.
        until("full", || running.info("CurrConns") >= most);
        for _ in 0..20 {
            assert_eq!(running.info("CurrConns"), most, "{program}");
            assert!(running.stat("app,s1,", "status").starts_with("UP"), "{program}");
        }
        assert_eq!(running.stat("app,s1,", "check_status"), "L7OK", "{program}");
        // Whoever was accepted is served: every one of them has a connection to the server.
        for client in &clients {
            client.set_nonblocking(true).unwrap();
            (&*client).write_all(REQUEST).unwrap();
        }
        let answered = |client: &TcpStream| {
            let mut byte = [0; 1];
            client.peek(&mut byte).is_ok_and(|count| count == 1)
        };
        let served = |clients: &[TcpStream]| clients.iter().filter(|client| answered(client)).count() as u64;
        until("served", || served(&clients) >= most);
        assert_eq!(served(&clients), most, "{program}");
        // A good client comes when places become free.
        let good = running.connect();
        (&good).write_all(REQUEST).unwrap();
        clients.clear();
        assert_eq!(status(&good), "200", "{program}");
        assert_eq!(running.stat("app,s1,", "chkfail"), "0", "{program}");
        if program == TANDEM {
            assert_turned(&running.ask("show info").unwrap());
            assert_eq!(running.info("Shortages"), 0, "the reserve was never touched");
        }
    }
}

/// Connections to servers that nobody uses count too, and give way to those that somebody needs.
#[test]
fn idle_connections_to_servers_make_room_for_others() {
    let (ports, rounds) = ([origin().0, origin().0], 20);
    let frontend = "    use_backend two if { path /2 }\n    default_backend one\n";
    let rest = format!(
        "backend one\n    server s 127.0.0.1:{}\nbackend two\n    server s 127.0.0.1:{}\n",
        ports[0], ports[1]
    );
    let plan = Plan { soft: 1_024, hard: 1_024, global: "    maxconn 6\n", frontend, rest: &rest };
    let running = Running::start(TANDEM, &plan);
    let clients: Vec<TcpStream> = (0..6).map(|_| running.connect()).collect();
    for round in 0..rounds {
        let path = 1 + round % 2;
        for mut client in &clients {
            write!(client, "GET /{path} HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        }
        for client in &clients {
            assert_eq!(status(client), "200", "round {round}");
        }
        let sockets = std::fs::read_dir(format!("/proc/{}/fd", running.child.id())).unwrap().count() as u64;
        assert!(sockets <= running.info("Maxsock"), "{sockets}");
    }
    assert_eq!(running.info("Shortages"), 0);
    let connections = ["one,s,", "two,s,"].map(|row| running.stat(row, "connect").parse::<usize>().unwrap());
    assert!(connections.iter().all(|count| (6..=60).contains(count)), "{connections:?}");
}

/// Whoever ends a connection first keeps its port for a minute; in a minute of new clients that would be all of them.
#[test]
fn a_connection_to_a_server_that_ends_here_keeps_no_port() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (ends, ended) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 1_024];
            let received = stream.read(&mut buffer).unwrap();
            if !buffer[..received].ends_with(b"\r\n\r\n") {
                continue;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
            let end = stream.read(&mut buffer).map_err(|error| error.kind());
            ends.send(end).unwrap();
        }
    });
    let rest = format!("backend app\n    http-reuse never\n    server s1 127.0.0.1:{port}\n");
    let plan =
        Plan { soft: 1_024, hard: 1_024, global: "", frontend: "    default_backend app\n", rest: &rest };
    for program in [Some(TANDEM), haproxy::installed()].into_iter().flatten() {
        let running = Running::start(program, &plan);
        for _ in 0..5 {
            let client = running.connect();
            assert_eq!(request(&client), "200", "{program}");
            drop(client);
            let end = ended.recv_timeout(PATIENCE).unwrap();
            assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset), "{program}");
        }
    }
}

/// Connections of both cores count against one limit.
#[test]
fn a_frontends_maxconn_holds_over_all_cores() {
    let programs = [Some(TANDEM), haproxy::installed()];
    for program in programs.into_iter().flatten() {
        let frontend = format!("    maxconn 10\n{NO_RULES}");
        let plan =
            Plan { soft: 1_024, hard: 1_024, global: "    maxconn 50\n", frontend: &frontend, rest: "" };
        let running = Running::start(program, &plan);
        // One place is left, and every core waits for whoever comes.
        let mut clients: Vec<TcpStream> = (0..9).map(|_| running.connect()).collect();
        until("nine", || running.stat("web,FRONTEND,", "scur") == "9");
        clients.extend((0..40).map(|_| running.connect()));
        until("ten", || running.stat("web,FRONTEND,", "scur") == "10");
        for _ in 0..50 {
            assert_eq!(running.stat("web,FRONTEND,", "scur"), "10", "{program}");
        }
        // Everybody is served in the end: each one that leaves lets another one in.
        let begin = Instant::now();
        for client in &clients {
            let mut stream = client;
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        }
        for client in clients.iter().filter(|_| program == TANDEM) {
            assert_eq!(status(client), "200");
        }
        assert!(begin.elapsed() < PATIENCE, "{program}");
    }
}

/// Descriptors are gone because somebody took them away: a check that cannot be made is no failure of the server's, nor
/// is a connection that cannot be opened.
#[test]
fn a_server_is_not_blamed_for_what_is_missing_here() {
    let (port, _) = origin();
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(PATIENCE)).unwrap();
    let target = log.local_addr().unwrap();
    let rest = format!(
        "backend app\n    log {target} local0\n    option httpchk GET /\n    server s1 127.0.0.1:{port} check inter 50ms\n"
    );
    let frontend = format!(
        "    log {target} local0\n    option httplog\n    option http-server-close\n    default_backend app\n"
    );
    let programs = [Some(TANDEM), haproxy::installed()];
    for program in programs.into_iter().flatten() {
        let plan =
            Plan { soft: 1_024, hard: 1_024, global: "    maxconn 200\n", frontend: &frontend, rest: &rest };
        let running = Running::start(program, &plan);
        until("checked", || running.stat("app,s1,", "check_status") == "L7OK");
        let client = running.connect();
        assert_eq!(request(&client), "200");
        // The socket for the log is open then.
        log_line(&log, " 200 ");
        // A session of the runtime API that is open already; whatever asked before is gone.
        let mut session =
            BufReader::new(UnixStream::connect(running.folder.path().join("stats.sock")).unwrap());
        session.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        session.get_mut().write_all(b"prompt\n").unwrap();
        prompt(&mut session);
        running.limit(4);
        assert_eq!(request(&client), "503", "{program}");
        let line = log_line(&log, " 503 ");
        assert!(line.contains("app/s1 ") && line.contains(" SC-- "), "{program}: {line}");
        if program == TANDEM {
            let mut ask = |command: &str| {
                session.get_mut().write_all(format!("{command}\n").as_bytes()).unwrap();
                prompt(&mut session)
            };
            // The connection, and some checks.
            until("tried", || number(&ask("show info"), "Shortages") >= 10);
            let stat = ask("show stat");
            let server = |column: &str| column_of(&stat, "app,s1,", column);
            assert!(server("status").starts_with("UP") && server("check_status") == "SOCKERR", "{stat}");
            let counts = ["econ", "wretr", "chkfail", "chkdown"].map(server);
            assert_eq!(counts, ["0"; 4], "{stat}");
            let said = running.said();
            assert!(said.contains("LimitNOFILE=") && said.matches("WARN").count() <= 10, "{said}");
        }
        running.limit(1_024);
        until("checked again", || running.stat("app,s1,", "check_status") == "L7OK");
        assert_eq!(request(&running.connect()), "200", "{program}");
    }
}

/// What a session of the runtime API says until its prompt.
fn prompt(session: &mut BufReader<UnixStream>) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\n> ") && text != b"> " {
        let mut byte = [0];
        session.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

fn log_line(log: &UdpSocket, with: &str) -> String {
    let begin = Instant::now();
    let mut datagram = [0; 2_048];
    loop {
        let count = log.recv(&mut datagram).unwrap();
        let line = String::from_utf8_lossy(&datagram[..count]).into_owned();
        if line.contains(with) {
            return line;
        }
        assert!(begin.elapsed() < PATIENCE, "{line}");
    }
}
