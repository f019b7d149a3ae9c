//! The program as clients and scripts meet it: real sockets, a real origin, and the real HAProxy on the
//! same file where one is installed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

mod common;
#[path = "common/haproxy.rs"]
mod haproxy;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{assert_turned, free_port};

/// How long a program may take to start, and an answer to come.
const PATIENCE: Duration = Duration::from_secs(10);

struct Running {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An origin that answers every request with its name, the request line and the body it got.
fn origin(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || while answer(name, &stream).is_some() {});
        }
    });
    port
}

fn answer(name: &str, stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let field = |name: &str| head.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_owned());
    let mut body = vec![0; field("content-length:").and_then(|l| l.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    if field("transfer-encoding:").is_some() {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).ok()? + 2];
            reader.read_exact(&mut chunk).ok()?;
            chunk.truncate(chunk.len() - 2);
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
    }
    let content = format!("{name}|{}|{}", head.lines().next()?, String::from_utf8_lossy(&body));
    let mut stream = stream;
    if head.contains("/nonsense") {
        stream.write_all(b"this is no HTTP\r\n\r\n").ok()?;
        return None;
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-head: {}\r\n\r\n{content}",
        content.len(),
        head.len()
    )
    .ok()
}

fn file(port: u16, first: u16, second: u16, nobody: u16) -> String {
    format!(
        "global\n    stats socket FOLDER/stats.sock mode 600 level admin\n\
         defaults\n    mode http\n    timeout connect 500ms\n    timeout client 10s\n    timeout server 10s\n    \
         timeout http-request 2s\n    retries 1\n    option redispatch\n\
         frontend web\n    bind 127.0.0.1:{port}\n    stick-table type ip size 100k expire 30s store conn_rate(3s)\n    \
         acl blog path_beg /blog\n    acl site hdr(host) -i example.org\n    http-request track-sc0 src\n    \
         http-request deny if {{ path /deny }}\n    http-request set-header x-site yes if site\n    \
         http-request return status 200 content-type text/plain string hi if {{ path /hi }}\n    \
         use_backend nobody if {{ path /nobody }}\n    use_backend blog if blog\n    default_backend app\n\
         backend app\n    cookie SRV insert indirect nocache\n    server s1 127.0.0.1:{first} cookie s1\n    \
         server s2 127.0.0.1:{second} cookie s2\n\
         backend blog\n    stick-table type ip size 10k expire 10m\n    stick on src\n    server s1 127.0.0.1:{first}\n    \
         server s2 127.0.0.1:{second}\n\
         backend nobody\n    server gone 127.0.0.1:{nobody}\n"
    )
}

fn start(program: &str, servers: (u16, u16)) -> Running {
    let port = free_port();
    let folder = std::env::temp_dir().join(format!("tandem-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let text = file(port, servers.0, servers.1, free_port()).replace("FOLDER", &folder.to_string_lossy());
    let path = folder.join("t.cfg");
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new(program);
    let child =
        command.arg("-db").arg("-f").arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let running = Running { child, port, folder };
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < PATIENCE, "{program} does not listen");
        std::thread::yield_now();
    }
    running
}

fn tandem(servers: (u16, u16)) -> Running {
    start(env!("CARGO_BIN_EXE_tandem"), servers)
}

/// Sends bytes, and reads until the other side closes or has been silent for a while.
fn exchange(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

fn get(port: u16, path: &str, extra: &str) -> String {
    exchange(port, &format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{extra}\r\n"))
}

fn command(running: &Running, line: &str) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(running.folder.join("stats.sock")).unwrap();
    writeln!(stream, "{line}").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn requests_reach_the_backend_their_rules_choose() {
    let node = tandem((origin("one"), origin("two")));
    let first = get(node.port, "/", "");
    let second = get(node.port, "/", "");
    assert!(
        first.contains("one|GET / HTTP/1.1|") != second.contains("one|GET / HTTP/1.1|"),
        "{first}\n{second}"
    );
    assert!(first.contains("set-cookie: SRV=s"), "{first}");
    let kept = get(node.port, "/", "cookie: SRV=s2\r\n");
    assert!(kept.contains("two|") && !kept.contains("set-cookie"), "{kept}");
    let stuck: Vec<bool> = (0..4).map(|_| get(node.port, "/blog", "").contains("one|")).collect();
    assert!(stuck.iter().all(|s| *s == stuck[0]), "{stuck:?}");
    assert!(get(node.port, "/hi", "").ends_with("\r\n\r\nhi"));
    assert!(
        command(&node, "show table blog").contains("key=127.0.0.1 use=0 exp="),
        "{}",
        command(&node, "show table blog")
    );
    assert!(command(&node, "show stat").contains("\napp,s1,"));
    assert_turned(&command(&node, "show info"));
}

#[test]
fn bodies_arrive_as_they_were_sent_and_connections_are_kept() {
    let node = tandem((origin("one"), origin("two")));
    let requests = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello\
                    POST /b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n\
                    GET /c HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let reply = exchange(node.port, requests);
    for part in ["|POST /a HTTP/1.1|hello", "|POST /b HTTP/1.1|abcde", "|GET /c HTTP/1.1|"] {
        assert!(reply.contains(part), "{part} in {reply}");
    }
    assert_eq!(reply.matches("HTTP/1.1 200 OK").count(), 3, "{reply}");
    assert_turned(&command(&node, "show info"));
}

/// An origin that keeps each connection after its first answer and closes it at the next request.
fn fickle_origin() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                answer("fickle", &stream);
                let _ = (&stream).read(&mut [0; 1]);
            });
        }
    });
    port
}

/// A server may close an idle connection in the moment it is used again. A request that cannot be
/// repeated was answered with 502 then.
#[test]
fn an_idle_connection_that_dies_is_nobodys_loss() {
    let port = fickle_origin();
    let node = tandem((port, port));
    for _ in 0..4 {
        let read = get(node.port, "/blog", "");
        assert!(read.contains("fickle|GET /blog"), "{read}");
        let write = "POST /blog HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
        let written = exchange(node.port, write);
        assert!(written.contains("fickle|POST /blog HTTP/1.1|hi"), "{written}");
    }
}

#[test]
fn a_server_in_maintenance_gets_nothing_new() {
    let node = tandem((origin("one"), origin("two")));
    assert_eq!(command(&node, "disable server app/s1").trim(), "");
    for _ in 0..3 {
        assert!(get(node.port, "/", "cookie: SRV=s1\r\n").contains("two|"));
    }
    assert_eq!(command(&node, "enable server app/s1").trim(), "");
    assert!(get(node.port, "/", "cookie: SRV=s1\r\n").contains("one|"));
    assert_eq!(command(&node, "disable server app/s9").trim(), "No such server.");
}

#[test]
fn a_configuration_of_mistakes_shows_each_and_exits_with_1() {
    let folder = std::env::temp_dir().join(format!("tandem-{}-bad", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("bad.cfg");
    std::fs::write(&path, "frontend a\n    bnd :80\n    mode htp\nbackend b\n    balance nobody\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tandem")).args(["-c", "-f"]).arg(&path).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said.matches("[ALERT]").count(), 5, "three mistakes, their number, and the verdict: {said}");
    assert!(said.contains("3 mistakes, "), "{said}");
    assert!(said.contains("did you mean 'bind'?") && said.contains("^^^"), "{said}");
}

/// What is asked of both programs; only the status of each answer is compared.
const QUESTIONS: &[&str] = &[
    "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "HEAD / HTTP/1.0\r\n\r\n",
    "GET /deny HTTP/1.0\r\n\r\n",
    "GET /nobody HTTP/1.0\r\n\r\n",
    "GET /nonsense HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
    "G\x01T / HTTP/1.1\r\nhost: a\r\n\r\n",
    "GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\n",
];

#[test]
fn the_real_haproxy_answers_the_same() {
    let Some(haproxy) = haproxy::installed() else { return };
    let servers = (origin("one"), origin("two"));
    let (ours, theirs) = (tandem(servers), start(haproxy, servers));
    let oversized = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    for question in QUESTIONS.iter().copied().chain([oversized.as_str()]) {
        let status = |reply: String| reply.split(' ').nth(1).unwrap_or("nothing").to_owned();
        let (ours, theirs) = (status(exchange(ours.port, question)), status(exchange(theirs.port, question)));
        assert_eq!(ours, theirs, "{:?}", &question[..question.len().min(80)]);
    }
}
