//! The file that every HAProxy installation began with, unchanged apart from its addresses: started as root,
//! in the background, served by a user without rights in a folder without files.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use rustls::{ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use common::free_port;

const PATIENCE: Duration = Duration::from_secs(20);
const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");

/// A server that answers with its name and the `X-Forwarded-For` it was sent.
fn lamp(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut reader = BufReader::new(&stream);
                while !head.ends_with(b"\r\n\r\n") {
                    if reader.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
                        return;
                    }
                }
                let text = String::from_utf8_lossy(&head).to_lowercase();
                let forwarded =
                    text.lines().find_map(|l| l.strip_prefix("x-forwarded-for: ")).unwrap_or("none");
                let body = format!("{name} for {forwarded}");
                let _ = write!(&stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            });
        }
    });
    port
}

struct World {
    folder: TempDir,
    plain: u16,
    tls: u16,
    roots: RootCertStore,
    syslog: UdpSocket,
}

impl World {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let syslog = UdpSocket::bind("127.0.0.1:0").unwrap();
        syslog.set_read_timeout(Some(PATIENCE)).unwrap();
        let made = rcgen::generate_simple_self_signed(["site.example".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        std::fs::write(folder.path().join("site.pem"), made.cert.pem() + &made.signing_key.serialize_pem())
            .unwrap();
        std::fs::write(folder.path().join("whitelist.lst"), "127.0.0.0/8\n").unwrap();
        std::fs::write(
            folder.path().join("503.http"),
            "HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<h1>Our own page</h1>\n",
        )
        .unwrap();
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        Self { folder, plain: free_port(), tls: free_port(), roots, syslog }
    }

    fn file(&self, first: u16, second: u16) -> String {
        let folder = self.folder.path().display();
        let (plain, tls) = (self.plain, self.tls);
        let log = self.syslog.local_addr().unwrap();
        format!(
            "global
    log {log} local0 notice
    maxconn 2000
    user nobody
    group nogroup
    chroot {folder}/empty
    daemon
    pidfile {folder}/haproxy.pid

defaults
    log     global
    mode    http
    option  httplog
    option  dontlognull
    retries 3
    option redispatch
    timeout connect  5000
    timeout client  10000
    timeout server  10000
    timeout http-keep-alive 10s
    maxconn 3000
    errorfile 503 {folder}/503.http

listen appname 127.0.0.1:{plain}
    bind 127.0.0.1:{tls} ssl crt {folder}/site.pem
    mode http
    stats enable
    stats uri /haproxy?stats
    stats realm Strictly\\ Private
    stats auth A_Username:YourPassword
    stats auth Another_User:passwd
    balance roundrobin
    option httpclose
    option forwardfor
    capture request header Host len 32
    acl whitelist src -f {folder}/whitelist.lst
    http-request deny unless whitelist
    http-request redirect scheme https if !{{ ssl_fc }}
    server lamp1 127.0.0.1:{first} check
    server lamp2 127.0.0.1:{second} check
"
        )
    }

    fn start(&self, text: &str) {
        let file = self.folder.path().join("haproxy.cfg");
        std::fs::write(&file, text).unwrap();
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let status =
            Command::new(TANDEM).arg("-f").arg(&file).stdin(Stdio::null()).stderr(log).status().unwrap();
        assert!(status.success(), "{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap());
    }

    fn pid(&self) -> Pid {
        let text = std::fs::read_to_string(self.folder.path().join("haproxy.pid")).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    fn plain(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.plain)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    /// A request over TLS; the end must be said, not only happen.
    fn secret(&self, versions: &[&'static rustls::SupportedProtocolVersion], request: &str) -> String {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), "site.example".try_into().unwrap()).unwrap();
        let socket = TcpStream::connect(("127.0.0.1", self.tls)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// Ends the program whatever becomes of the test.
struct Guard(Pid);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

fn children(pid: Pid) -> Vec<i32> {
    let path = format!("/proc/{0}/task/{0}/children", pid.as_raw_nonzero());
    let list = std::fs::read_to_string(path).unwrap_or_default();
    list.split_whitespace().filter_map(|p| p.parse().ok()).collect()
}

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[test]
fn the_classic_file_runs_as_it_is() {
    if !rustix::process::geteuid().is_root() {
        let _ = writeln!(std::io::stderr(), "skipped: changing the user takes root");
        return;
    }
    let world = World::new();
    let text = world.file(lamp("lamp1"), lamp("lamp2"));
    world.start(&text);
    let guard = Guard(world.pid());
    // Privileges: both children are nobody, and see nothing but an empty folder.
    let below = children(guard.0);
    assert_eq!(below.len(), 2, "a worker and a control process");
    let begin = Instant::now();
    for pid in below {
        let read = || std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = |name: &str| read().lines().find(|l| l.starts_with(name)).unwrap_or_default().to_owned();
        // The worker serves, and the control process may still be beginning.
        while !line("Uid:").ends_with("\t65534\t65534\t65534\t65534") {
            assert!(begin.elapsed() < PATIENCE, "{}", line("Uid:"));
            std::thread::yield_now();
        }
        assert!(line("CapEff:").ends_with("0000000000000000"), "{}", line("CapEff:"));
        let root = std::fs::read_link(format!("/proc/{pid}/root")).unwrap();
        assert_eq!(root, Path::new(&format!("{}/empty", world.folder.path().display())));
    }
    let redirected = world.plain("GET /x?y HTTP/1.1\r\nHost: site.example\r\n\r\n");
    assert!(
        redirected.starts_with("HTTP/1.1 302 ") && redirected.contains("https://site.example/x?y"),
        "{redirected}"
    );
    for versions in [&BOTH[..1], &BOTH[1..]] {
        let answer = world.secret(versions, "GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(" for 127.0.0.1"), "{answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "option httpclose: {answer}");
    }
    // The statistics page, for those who may see it.
    let page = |more: &str, auth: &str| {
        world.secret(BOTH, &format!("GET /haproxy?stats{more} HTTP/1.1\r\nHost: a\r\n{auth}\r\n"))
    };
    let closed = page("", "");
    assert!(
        closed.starts_with("HTTP/1.1 401 ") && closed.contains("Basic realm=\"Strictly Private\""),
        "{closed}"
    );
    // A_Username:YourPassword, Another_User:passwd, A_Username:wrong
    assert!(page("", "Authorization: Basic QV9Vc2VybmFtZTp3cm9uZw==\r\n").starts_with("HTTP/1.1 401 "));
    let html = page("", "Authorization: Basic QV9Vc2VybmFtZTpZb3VyUGFzc3dvcmQ=\r\n");
    assert!(html.contains("text/html") && html.contains("lamp2"), "{html}");
    let csv = page(";csv", "Authorization: Basic QW5vdGhlcl9Vc2VyOnBhc3N3ZA==\r\n");
    assert!(csv.contains("# pxname,svname,") && csv.contains("appname,lamp1,"), "{csv}");
    // Told to finish, it does.
    kill_process(guard.0, Signal::USR1).unwrap();
    let begin = Instant::now();
    while test_kill_process(guard.0).is_ok() {
        assert!(begin.elapsed() < PATIENCE, "it lives on");
        std::thread::yield_now();
    }
}

#[test]
fn servers_that_die_are_news_for_syslog_and_the_error_page_is_our_own() {
    if !rustix::process::geteuid().is_root() {
        let _ = writeln!(std::io::stderr(), "skipped: changing the user takes root");
        return;
    }
    let world = World::new();
    let nobody = free_port();
    let text = world
        .file(nobody, nobody)
        .replace("check", "check fall 1 inter 100ms")
        .replace(" redirect scheme https if !{ ssl_fc }", " allow");
    world.start(&text);
    let _guard = Guard(world.pid());
    let mut bytes = [0; 2_048];
    let mut said = String::new();
    while !said.contains("no server available") {
        let count = world.syslog.recv(&mut bytes).unwrap_or_else(|error| panic!("{error} after {said}"));
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    // local0 and alert, local0 and emerg.
    assert!(said.contains("<129>") && said.contains("<128>"), "{said}");
    assert!(said.contains("Server appname/lamp1 is DOWN, reason: Layer4 connection problem"), "{said}");
    let answer = world.plain("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 503 ") && answer.contains("Our own page"), "{answer}");
}

#[test]
fn what_is_wrong_is_said_before_anything_goes_into_the_background() {
    let world = World::new();
    std::fs::write(world.folder.path().join("site.pem"), "no certificate").unwrap();
    let file = world.folder.path().join("haproxy.cfg");
    std::fs::write(&file, world.file(1, 2)).unwrap();
    let output = Command::new(TANDEM).arg("-f").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("there is no certificate in it") && said.contains("haproxy.cfg:25"), "{said}");
    assert!(!world.folder.path().join("haproxy.pid").exists());
    for (condition, code) in [("feature(OPENSSL)", 0), ("version_atleast(9)", 1), ("200rrr", 2)] {
        let status = Command::new(TANDEM).args(["-cc", condition]).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{condition}");
    }
}
