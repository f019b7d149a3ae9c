//! What rules see of a request, and what becomes of what they write: each question is put to the real HAProxy
//! too, on the same file and with the same bytes, where one is installed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

mod common;
#[path = "common/haproxy.rs"]
mod haproxy;

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use common::free_port;

/// How long a program may take to start, and an answer to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What every answer of the origin has in its head.
const ANSWER: &str = "X-R: a, b\r\nX-R: c\r\nX-Ip: 10.0.0.1, 10.0.0.2\r\nX-Val: 7, 8\r\nX-Q: \"a,b\", c\r\n\
     Set-Cookie: c=1; path=/\r\nSet-Cookie: d=2\r\nSet-Cookie: c=3\r\n";

/// A server that answers each head by what this makes of it, as many on a connection as `answers` gives; `None` ends it.
fn serve<A>(answers: impl Fn() -> A + Send + 'static) -> u16
where
    A: FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut answer = answers();
            std::thread::spawn(move || {
                loop {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read(&mut byte).unwrap_or(0) == 0 {
                            return;
                        }
                        head.push(byte[0]);
                    }
                    let Some(bytes) = answer(&head) else { return };
                    let ends = bytes.windows(17).any(|part| part == b"Connection: close");
                    if stream.write_all(&bytes).is_err() || ends {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// An origin whose answer is the head it was sent.
fn origin() -> u16 {
    serve(|| {
        |head: &[u8]| {
            let length = head.len();
            let begin =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{ANSWER}Content-Length: {length}\r\n\r\n");
            Some([begin.as_bytes(), head].concat())
        }
    })
}

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

/// What comes until an answer is whole, or the connection ends; every byte is a character.
fn reply(mut stream: &TcpStream) -> String {
    let (mut reply, mut bytes) = (String::new(), [0; 65_536]);
    while !is_whole(&reply) {
        match stream.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer"),
            Ok(0) | Err(_) => break,
            Ok(count) => reply.extend(bytes[..count].iter().copied().map(char::from)),
        }
    }
    reply
}

/// What an exchange led to.
struct Seen {
    /// The port it was asked from.
    from: u16,
    status: String,
    /// The lines the client was sent.
    answer: Vec<String>,
    /// The lines that the server was sent; none if it was not asked.
    sent: Vec<String>,
}

impl Seen {
    fn values<'s>(lines: &'s [String], name: &str) -> Vec<&'s str> {
        let named = |line: &'s String| line.strip_prefix(name)?.strip_prefix(": ").or(Some(""));
        lines.iter().filter(|l| l.starts_with(&format!("{name}:"))).filter_map(named).collect()
    }
}

impl Running {
    /// Starts a program with rules in its frontend.
    fn start(program: &str, rules: &str, origin: u16) -> Self {
        Self::start_with(program, rules, "", origin)
    }

    /// The same with lines of its backend.
    fn start_with(program: &str, rules: &str, backend: &str, origin: u16) -> Self {
        let (port, folder) = (free_port(), TempDir::new().unwrap());
        let file = folder.path().join("rules.cfg");
        let text = format!(
            "global\n    stats socket {} level admin\n\
             defaults\n    mode http\n    timeout connect 5s\n    timeout client 10s\n    timeout server 10s\n\
             frontend f\n    bind 127.0.0.1:{port}\n{rules}    default_backend b\n\
             backend b\n{backend}    server s 127.0.0.1:{origin}\n",
            folder.path().join("stats.sock").display()
        );
        std::fs::write(&file, text).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new(program)
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let began = Instant::now();
        // Whichever listens last; a connection that is made counts, so there is one.
        let listens = || {
            UnixStream::connect(folder.path().join("stats.sock")).is_ok()
                && TcpStream::connect(("127.0.0.1", port)).is_ok()
        };
        while !listens() {
            let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "{program} ended: {}", log());
            assert!(began.elapsed() < PATIENCE, "{program} does not listen: {}", log());
            std::thread::yield_now();
        }
        Self { child, port, folder }
    }

    fn ours(rules: &str, origin: u16) -> Self {
        Self::start(env!("CARGO_BIN_EXE_tandem"), rules, origin)
    }

    /// Sends a request line and fields, each without its end.
    fn ask(&self, line: &str, fields: &[&str]) -> Seen {
        let mut request = format!("{line} HTTP/1.1\r\n");
        for field in fields {
            let _ = write!(request, "{field}\r\n");
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // Every character is a byte here: those beyond ASCII too.
        let bytes: Vec<u8> = request.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        // Whom a rule refuses may be reset before he has said anything.
        let _ = stream.write_all(&bytes);
        let reply = reply(&stream);
        let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let status = head.split(' ').nth(1).unwrap_or("none").to_owned();
        let sent = if status == "200" { lines(body.trim_end()) } else { Vec::new() };
        Seen { from: stream.local_addr().unwrap().port(), status, answer: lines(head), sent }
    }
}

/// Whether everything that an answer announces is there.
fn is_whole(reply: &str) -> bool {
    let Some((head, body)) = reply.split_once("\r\n\r\n") else { return false };
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(usize::MAX, |length| length.parse().unwrap())
}

/// Rules that a client should not get around, as people write them.
const DENIES: &str = "\
    http-request deny if { hdr(x-role) admin }
    http-request deny if { hdr_beg(x-role) -i root }
    http-request deny if { req.fhdr(x-line) -m sub evil }
    http-request deny if { cook(debug) 1 }
    http-request deny if { url_param(debug) 1 }
    http-request deny if { url_param(key,;) 1 }
    http-request deny if { hdr_cnt(x-many) gt 1 }
    http-request deny if { hdr_val(x-num) gt 100 }
    http-request deny if { hdr_ip(x-ip) 10.0.0.0/8 }
    http-request deny if { hdr(x-addr) -m ip 10.0.0.0/8 }
    http-request deny if { hdr(x-int) -m int 7 }
    http-request deny if { hdr(x-flag) -m bool }
    http-request deny if { hdr(x-first,1) a }
    http-request deny if { hdr(x-last,-1) a }
    http-request deny if { path_beg /admin }
    http-request deny if { query -m found } { path /noquery }
    http-request deny if { path /cookie } !{ cook(auth) -m found }
    http-request deny if { path /role } !{ hdr(x-need) yes }
    http-request deny if { src ::ffff:127.0.0.1 } { path /mapped }
    http-request deny if { src -m str 127.0.0.1 } { path /text }
";

/// A target, fields, and whether it is denied; the same by both programs.
const ASKED: &[(&str, &[&str], bool)] = &[
    ("/", &["X-Role: admin"], true),
    ("/", &["X-Role: user"], false),
    ("/", &["X-Role: admin", "X-Role: user"], true),
    ("/", &["X-Role: user", "X-Role: admin"], true),
    ("/", &["X-Role: user, admin"], true),
    ("/", &["X-Role: admin,user"], true),
    ("/", &["X-Role: admin,"], true),
    ("/", &["X-Role: user ,\tadmin , x"], true),
    ("/", &["X-Role: \"user, admin\""], false),
    ("/", &["X-Role: \"x\\\",\", admin"], true),
    ("/", &["X-Role: admin x"], false),
    ("/", &["X-Role: user, Rooted"], true),
    ("/", &["X-Line: good, evil"], true),
    ("/", &["X-Line: evil", "X-Line: good"], true),
    ("/", &["Cookie: debug=1"], true),
    ("/", &["Cookie: debug=0"], false),
    ("/", &["Cookie: debug=0; debug=1"], true),
    ("/", &["Cookie: debug=1; debug=0"], true),
    ("/", &["Cookie: debug=0", "Cookie: debug=1"], true),
    ("/", &["Cookie: a=b, debug=1"], true),
    ("/", &["Cookie: a=\"; debug=1\""], false),
    ("/", &["Cookie: debug = 1 "], true),
    ("/", &["Cookie: xdebug=1"], false),
    ("/?debug=1", &[], true),
    ("/?debug=0", &[], false),
    ("/?debug=0&debug=1", &[], true),
    ("/?debug=1&debug=0", &[], true),
    ("/?a;debug=1", &[], true),
    ("/?debug=0;debug=1", &[], true),
    ("/??debug=1", &[], true),
    ("/?a?debug=1", &[], true),
    ("/?debug", &[], false),
    ("/?debug&debug=1", &[], true),
    ("/?xdebug=1", &[], false),
    ("/;debug=1", &[], false),
    ("/?&&debug=1", &[], true),
    ("http://a.example/?debug=1", &[], true),
    ("/x;key=1", &[], true),
    ("/x;key=0;key=1", &[], true),
    ("/x?key=1", &[], false),
    ("/", &["X-Many: a"], false),
    ("/", &["X-Many: a, b"], true),
    ("/", &["X-Many: a", "X-Many: b"], true),
    ("/", &["X-Many: a,"], true),
    ("/", &["X-Num: 101"], true),
    ("/", &["X-Num: 101, 7"], true),
    ("/", &["X-Num: 7"], false),
    ("/", &["X-Num: x101"], false),
    ("/", &["X-Ip: 10.0.0.1"], true),
    ("/", &["X-Ip: 10.0.0.1:80"], true),
    ("/", &["X-Ip: 10.0.0.1, 192.0.2.1"], true),
    ("/", &["X-Ip: 192.0.2.1", "X-Ip: unknown, 10.0.0.1"], true),
    ("/", &["X-Ip: ::ffff:10.0.0.1"], true),
    ("/", &["X-Ip: 2002:a00:1::"], true),
    ("/", &["X-Ip: 010.0.0.1"], true),
    ("/", &["X-Ip: 10.0.0.1:"], false),
    ("/", &["X-Ip: ::1"], false),
    ("/", &["X-Addr: 10.0.0.1:x"], true),
    ("/", &["X-Addr: a, 10.1.2.3"], true),
    ("/", &["X-Addr: ::ffff:10.0.0.1"], true),
    ("/", &["X-Addr: 11.0.0.1"], false),
    ("/", &["X-Int: 7x"], true),
    ("/", &["X-Int: 8, 007"], true),
    ("/", &["X-Int: 70"], false),
    ("/", &["X-Flag: 0, 1"], true),
    ("/", &["X-Flag: 0"], false),
    ("/", &["X-Flag: true"], false),
    ("/", &["X-First: a, b"], true),
    ("/", &["X-First: b, a"], false),
    ("/", &["X-First: b", "X-First: a"], false),
    ("/", &["X-Last: b", "X-Last: a"], true),
    ("/", &["X-Last: a, b"], false),
    ("/admin", &[], true),
    ("http://a.example/admin?x", &[], true),
    ("//admin", &[], false),
    ("/?/admin", &[], false),
    ("/noquery", &[], false),
    ("/noquery?", &[], true),
    ("/noquery?a", &[], true),
    ("/cookie", &[], true),
    ("/cookie", &["Cookie: auth="], true),
    ("/cookie", &["Cookie: auth=; a=b"], false),
    ("/cookie", &["Cookie: auth=x"], false),
    ("/role", &[], true),
    ("/role", &["X-Need: no"], true),
    ("/role", &["X-Need: no, yes"], false),
    ("/mapped", &[], true),
    ("/text", &[], true),
];

#[test]
fn rule_on_repeated_values_denies_as_haproxy() {
    let origin = origin();
    let ours = Running::ours(DENIES, origin);
    let theirs = haproxy::installed().map(|haproxy| Running::start(haproxy, DENIES, origin));
    let mut wrong = Vec::new();
    for (target, fields, denied) in ASKED {
        let fields: Vec<&str> = [&["Host: a.example"], *fields].concat();
        for (who, running) in [("tandem", Some(&ours)), ("haproxy", theirs.as_ref())] {
            let Some(running) = running else { continue };
            let status = running.ask(&format!("GET {target}"), &fields).status;
            if status != if *denied { "403" } else { "200" } {
                wrong.push(format!("{who} {status} {target} {fields:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ASKED.len(), wrong.join("\n"));
}

/// Fetches as `set-header` writes them.
const REQUEST: &[&str] = &[
    "req.hdr_names",
    "req.hdr_names(;)",
    "hdr(x)",
    "hdr(x,1)",
    "hdr(x,2)",
    "hdr(x,-1)",
    "hdr(x,-2)",
    "hdr(x,9)",
    "hdr(,1)",
    "req.fhdr(x)",
    "req.fhdr(x,1)",
    "req.fhdr(x,-2)",
    "req.hdr_cnt(x)",
    "req.fhdr_cnt(x)",
    "req.hdr_cnt(none)",
    "req.hdr_ip(x)",
    "req.hdr_ip(x,1)",
    "req.hdr_val(y)",
    "req.hdr_val(y,1)",
    "req.cook(c)",
    "req.cook",
    "req.cook_cnt(c)",
    "req.cook_cnt",
    "req.cook_val(c)",
    "cookie(c)",
    "url_param(d)",
    "url_param",
    "urlp(d,;)",
    "urlp(d,/)",
    "urlp_val(d)",
    "method",
    "url",
    "path",
    "pathq",
    "query",
    "base",
    "baseq",
    "url_ip",
    "url_port",
    "req.ver",
    "src",
];

const RESPONSE: &[&str] = &[
    "res.hdr(x-r)",
    "res.hdr(x-r,1)",
    "res.hdr(x-r,-2)",
    "shdr(x-q,1)",
    "res.fhdr(x-r)",
    "res.fhdr(x-r,1)",
    "res.hdr_cnt(x-r)",
    "res.fhdr_cnt(x-r)",
    "res.hdr_ip(x-ip)",
    "res.hdr_ip(x-ip,1)",
    "res.hdr_val(x-val)",
    "res.hdr_val(x-val,1)",
    "res.cook(c)",
    "scook(d)",
    "res.cook_cnt(c)",
    "res.cook_val(c)",
    "status",
    "res.ver",
];

const HELD: &[&str] = &[
    "hdr(x) -m found",
    "hdr(x) a",
    "hdr(x) -i A",
    "hdr(x) -m int 0",
    "hdr(x) -m int gt 5",
    "hdr(x) -m bool",
    "hdr(x) -m ip 10.0.0.0/8",
    "hdr(x) -m ip ::/0",
    "hdr(x) -m dir a",
    "hdr(x) -m dom a",
    "hdr_end(x) b",
    "hdr_sub(x) a b",
    "req.fhdr(x) -m beg a",
    "req.hdr_cnt(x) -m bool",
    "req.hdr_cnt(x) -m str 2",
    "req.hdr_ip(x) -m found",
    "req.hdr_val(y) 7",
    "req.cook(c) -m found",
    "req.cook a",
    "url_param(d) -m found",
    "url_param 1",
    "urlp_val(d) 1",
    "path -m found",
    "pathq -m found",
    "query -m found",
    "base -m found",
    "always_true -m int 1",
    "url_dir a",
];

const SHOWN: &[(&str, &[&str])] = &[
    ("GET /", &[]),
    ("GET /", &["X: a"]),
    ("GET /", &["X: a, b"]),
    ("GET /", &["X: a,b,"]),
    ("GET /", &["X: ,a"]),
    ("GET /", &["X: , ,"]),
    ("GET /", &["X:"]),
    ("GET /", &["X: \"a,b\", c"]),
    ("GET /", &["X: \"a, b"]),
    ("GET /", &["X: a\\,b"]),
    ("GET /", &["X: a, c", "X: b"]),
    ("GET /", &["X: a", "X:"]),
    ("GET /", &["X: 10.0.0.1, 192.0.2.7:80"]),
    ("GET /", &["X: 10.0.0.1, junk"]),
    ("GET /", &["X: 7x, -3, +4"]),
    ("GET /", &["X: a;q=1 , \u{e9}"]),
    ("GET /", &["X: a/b", "Y: 7, 8"]),
    ("GET /", &["Y: 8", "Y: 7"]),
    ("GET /", &["Cookie: c=a; c=b"]),
    ("GET /", &["Cookie: c=a", "Cookie: d=1, c=7"]),
    ("GET /", &["Cookie: d=\"x;c=y\"; c=7"]),
    ("GET /", &["Cookie: c=; c=a;"]),
    ("GET /", &["Cookie: $Version=1; c=a"]),
    ("GET /?d=1&d=2", &[]),
    ("GET /?d=;d=2", &[]),
    ("GET /??d=1", &[]),
    ("GET /?d=1?d=2", &[]),
    ("GET /x;d=1?d=2", &[]),
    ("GET /x/d=1?y=3", &[]),
    ("GET /?", &[]),
    ("GET /a/b?c", &[]),
    ("GET //a/b", &[]),
    ("GET http://a.example/p?q", &[]),
    ("GET http://a.example", &[]),
    ("GET http://a.example//p", &[]),
    ("OPTIONS *", &[]),
    ("OPTIONS http://a.example:80", &[]),
    ("get /", &[]),
];

#[test]
fn samples_and_conditions_are_those_of_haproxy() {
    let Some(haproxy) = haproxy::installed() else { return };
    let mut rules = String::new();
    for (place, fetch) in REQUEST.iter().enumerate() {
        let _ = writeln!(rules, "    http-request set-header v-{place} \"<%[{fetch}]>\"");
    }
    for (place, held) in HELD.iter().enumerate() {
        let _ = writeln!(rules, "    http-request add-header held {place} if {{ {held} }}");
        let _ = writeln!(rules, "    http-request add-header held !{place} if !{{ {held} }}");
    }
    for (place, fetch) in RESPONSE.iter().enumerate() {
        let _ = writeln!(rules, "    http-response set-header v-{place} \"<%[{fetch}]>\"");
    }
    let origin = origin();
    let (ours, theirs) = (Running::ours(&rules, origin), Running::start(haproxy, &rules, origin));
    let mut wrong = Vec::new();
    for (line, fields) in SHOWN {
        let fields: Vec<&str> = [&["Host: a.example"], *fields].concat();
        let (ours, theirs) = (ours.ask(line, &fields), theirs.ask(line, &fields));
        assert_eq!((ours.status.as_str(), theirs.status.as_str()), ("200", "200"), "{line} {fields:?}");
        let (held, of_theirs) = (Seen::values(&ours.sent, "held"), Seen::values(&theirs.sent, "held"));
        for (place, condition) in HELD.iter().enumerate() {
            let name = place.to_string();
            if held.contains(&&*name) != of_theirs.contains(&&*name) {
                wrong.push(format!("{line} {fields:?}: {condition} holds for one only"));
            }
        }
        assert_eq!(held.len(), HELD.len(), "a condition holds or does not: {line} {fields:?}");
        for (fetches, ours, theirs) in
            [(REQUEST, &ours.sent, &theirs.sent), (RESPONSE, &ours.answer, &theirs.answer)]
        {
            for (place, fetch) in fetches.iter().enumerate() {
                let name = format!("v-{place}");
                let (ours, theirs) = (Seen::values(ours, &name), Seen::values(theirs, &name));
                if ours != theirs || ours.len() != 1 {
                    wrong.push(format!("{line} {fields:?}: {fetch} is {ours:?}, of HAProxy {theirs:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// A request line, its Host if it has one, and what HAProxy makes of it: the line and the Host it sends on,
/// or 400.
const TARGETS: &[(&str, Option<&str>)] = &[
    ("GET http://a.example/p?q", Some("a.example")),
    ("GET http://A.Example/p", Some("a.example")),
    ("GET http://a.example:80/p", Some("a.example")),
    ("GET http://a.example:443/p", Some("a.example")),
    ("GET https://a.example:443/", Some("a.example")),
    ("GET https://a.example:80/", Some("a.example")),
    ("GET http://a.example:80/", Some("a.example:80")),
    ("GET http://a.example/", Some("a.example:80")),
    ("GET http://a.example/", Some("a.example:8080")),
    ("GET http://a.example:8080/", Some("a.example")),
    ("GET http://a.example:8080/", Some("A.example:8080")),
    ("GET http://a.example:/", Some("a.example")),
    ("GET http://a.example:x/", Some("a.example")),
    ("GET http://a.example:99999/", Some("a.example")),
    ("GET http://a.example", Some("a.example")),
    ("GET http://a.example?q", Some("a.example")),
    ("GET http://b.example/", Some("a.example")),
    ("GET http://a.example/", Some("")),
    ("GET HTTP://a.example/p", Some("a.example")),
    ("GET ftp://a.example/x", Some("a.example")),
    ("GET 1x://a.example/", Some("a.example")),
    ("GET http://[::1]/", Some("a.example")),
    ("GET http://[::1]:80/", Some("[::1]")),
    ("GET http://a.example\\x/", Some("a.example")),
    ("GET http:/x", Some("a.example")),
    ("GET foo", Some("a.example")),
    ("GET ?q", Some("a.example")),
    ("GET /a#f", Some("a.example")),
    ("GET /a?b#f", Some("a.example")),
    ("GET http://a.example/p#f", Some("a.example")),
    ("GET /", Some("")),
    ("GET /", None),
    ("GET /", Some("a\r\nHost: A")),
    ("GET /", Some("a\r\nHost: b")),
    ("OPTIONS *", Some("a.example")),
    ("OPTIONS http://a.example:80", Some("a.example")),
    ("OPTIONS http://b.example", Some("a.example")),
    ("CONNECT a.example:8080", Some("a.example")),
    ("CONNECT a.example:443", Some("b.example")),
    ("CONNECT a.example", Some("a.example")),
    ("CONNECT a.example:", Some("a.example")),
    ("CONNECT /x", Some("a.example")),
    ("CONNECT *", Some("a.example")),
    ("CONNECT a.example:443?x", Some("a.example:443")),
    ("POST /", Some("a\r\nContent-Length: 0\r\nContent-Length: 0")),
];

/// What we answer in another way: `docs/differences.md` says why.
const STRICTER: &[(&str, Option<&str>, &str)] = &[
    ("GET http://u@a.example/p", Some("a.example"), "400"),
    ("GET http://u:p@a.example/", Some("a.example"), "400"),
    ("GET http:///p", Some("a.example"), "400"),
    ("GET http:///", Some(""), "400"),
    ("GET a.example/p", Some("a.example"), "400"),
    ("GET *", Some("a.example"), "400"),
    ("CONNECT u@a.example:443", Some("a.example:443"), "400"),
    ("POST /", Some("a\r\nContent-Length: 0, 0"), "400"),
    ("GET http://a.example:80/p", None, "200"),
];

#[test]
fn target_and_host_that_differ_are_refused_as_by_haproxy() {
    let origin = origin();
    let ours = Running::ours("", origin);
    let told = |running: &Running, line: &str, host: Option<&str>| {
        let host = host.map(|host| format!("Host: {host}"));
        let fields: Vec<&str> = host.as_deref().into_iter().collect();
        let seen = running.ask(line, &fields);
        let mut told = vec![seen.status.clone()];
        told.extend(seen.sent.first().cloned());
        for name in ["host", "content-length"] {
            told.extend(Seen::values(&seen.sent, name).into_iter().map(|value| format!("{name}: {value}")));
        }
        told
    };
    for (line, host, status) in STRICTER {
        assert_eq!(told(&ours, line, *host)[0], *status, "{line} {host:?}");
    }
    let named = told(&ours, "GET http://a.example:80/p", None);
    assert_eq!(named, ["200", "GET http://a.example/p HTTP/1.1", "host: a.example"]);
    let Some(haproxy) = haproxy::installed() else { return };
    let theirs = Running::start(haproxy, "", origin);
    let mut wrong = Vec::new();
    for (line, host) in TARGETS {
        let (ours, theirs) = (told(&ours, line, *host), told(&theirs, line, *host));
        if ours != theirs {
            wrong.push(format!("{line} {host:?}: {ours:?}, of HAProxy {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    for (line, host, _) in STRICTER {
        assert_ne!(told(&ours, line, *host), told(&theirs, line, *host), "no difference: {line} {host:?}");
    }
}

/// A target, the value of X that its rule writes, and the line that is sent or the status that is answered.
const REWRITTEN: &[(&str, &str, Result<&str, &str>)] = &[
    ("/set-path?q", "a b", Ok("GET /h/a%20b?q HTTP/1.1")),
    ("/set-path?q", "\u{c3}\u{a9}", Ok("GET /h/%C3%A9?q HTTP/1.1")),
    ("/set-path?q", "a#b?c", Ok("GET /h/a%23b%3Fc?q HTTP/1.1")),
    ("/set-path?q", "a\tb%41", Ok("GET /h/a%09b%41?q HTTP/1.1")),
    ("/set-path", "\\\"<>", Ok("GET /h/\\\"<> HTTP/1.1")),
    ("http://a.example/set-path?q", "x", Ok("GET http://a.example/h/x?q HTTP/1.1")),
    ("/bare-path?q", "/x", Ok("GET /x?q HTTP/1.1")),
    ("/bare-path?q", "x", Err("500")),
    ("/bare-path?q", "", Err("500")),
    ("/bare-path?q", "http://b.example/", Err("500")),
    ("http://a.example/bare-path", ".evil.example/", Err("500")),
    ("/set-pathq?q", "/a b?c#d", Ok("GET /a%20b?c%23d HTTP/1.1")),
    ("/set-pathq?q", "x", Err("500")),
    ("/set-uri?q", "/a b?c", Ok("GET /a%20b?c HTTP/1.1")),
    ("/set-uri?q", "http://b.example/z", Ok("GET http://b.example/z HTTP/1.1")),
    ("/set-uri?q", "x", Err("500")),
    ("/set-uri?q", "*", Err("500")),
    ("/set-query?q", "a b?c", Ok("GET /set-query?a%20b?c HTTP/1.1")),
    ("/set-query", "z", Ok("GET /set-query?z HTTP/1.1")),
    ("/set-method", "PUT", Ok("PUT /set-method HTTP/1.1")),
    ("/set-method", "P UT", Err("500")),
    ("/set-method", "", Err("500")),
    ("/set-method", "CONNECT", Err("500")),
    ("/set-host", "b.example", Ok("GET /set-host HTTP/1.1")),
    ("http://a.example/set-host", "b.example", Ok("GET http://b.example/set-host HTTP/1.1")),
    ("http://a.example/set-host", "b/c", Err("500")),
    ("/response", "x", Err("500")),
    ("/return", "x", Err("500")),
    ("/location", "/a b\u{e9}#c", Err("302 /a%20b%E9#c")),
    ("/prefix?q", "http://b.example", Err("302 http://b.example/prefix?q")),
    ("http://a.example/prefix?q", "http://b.example", Err("302 http://b.example/prefix?q")),
    ("http://a.example/scheme?q", "https", Err("302 https://a.example/scheme?q")),
];

#[test]
fn rewrite_that_cannot_be_written_ends_in_500() {
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(PATIENCE)).unwrap();
    let rules = format!(
        "    log {} local0\n    option httplog\n{}",
        log.local_addr().unwrap(),
        "    http-request set-path /h/%[req.fhdr(x)] if { path /set-path }
    http-request set-path %[req.fhdr(x)] if { path /bare-path }
    http-request set-pathq %[req.fhdr(x)] if { path /set-pathq }
    http-request set-uri %[req.fhdr(x)] if { path /set-uri }
    http-request set-query %[req.fhdr(x)] if { path /set-query }
    http-request set-method %[req.fhdr(x)] if { path /set-method }
    http-request set-header host %[req.fhdr(x)] if { path /set-host }
    http-response set-header y \"a\\nb\" if { path /response }
    http-request return status 200 hdr y \"a\\nb\" if { path /return }
    http-request redirect location %[req.fhdr(x)] if { path /location }
    http-request redirect prefix %[req.fhdr(x)] if { path /prefix }
    http-request redirect scheme %[req.fhdr(x)] if { path /scheme }
"
    );
    let ours = Running::ours(&rules, origin());
    let mut wrong = Vec::new();
    for (target, value, expected) in REWRITTEN {
        let seen = ours.ask(&format!("GET {target}"), &["Host: a.example", &format!("X: {value}")]);
        let location = Seen::values(&seen.answer, "location").concat();
        let got = match seen.sent.first() {
            Some(line) => Ok(line.clone()),
            None => Err(format!("{} {location}", seen.status).trim_end().to_owned()),
        };
        if got.as_deref().map_err(String::as_str) != *expected {
            wrong.push(format!("{target} {value:?}: {got:?}, not {expected:?}"));
        }
        let from = format!(" 127.0.0.1:{} ", seen.from);
        let line = loop {
            let mut bytes = [0; 2_048];
            let count = log.recv(&mut bytes).unwrap();
            let line = String::from_utf8_lossy(&bytes[..count]).into_owned();
            if line.contains(&from) {
                break line;
            }
        };
        let (state, at) = (" PR-- ", " PH-- ");
        if *expected == Err("500") && !(line.contains(" 500 ") && (line.contains(state) || line.contains(at)))
        {
            wrong.push(format!("{target} {value:?} is logged as {line}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn argument_that_a_fetch_does_not_take_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("bad.cfg");
    for (fetch, good) in [
        ("hdr(x,-10)", true),
        ("hdr(x,-11)", false),
        ("hdr(x,y)", false),
        ("hdr(x,1,2)", false),
        ("path(x)", false),
        ("path()", true),
        ("hdr_cnt(x,1)", false),
        ("url_param(d,;,i)", false),
        ("cook(a,b)", false),
        ("hdr(\"x\",1)", true),
    ] {
        let rule = format!("    http-request set-header a '%[{fetch}]'\n");
        let text = format!(
            "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n\
             frontend f\n    bind 127.0.0.1:{}\n{rule}    default_backend b\nbackend b\n",
            free_port()
        );
        std::fs::write(&file, text).unwrap();
        for program in [Some(env!("CARGO_BIN_EXE_tandem")), haproxy::installed()].into_iter().flatten() {
            let output = Command::new(program).args(["-c", "-f"]).arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.success(), good, "{program} {fetch}: {said}");
        }
    }
}

#[test]
fn connection_session_and_content_rules_run_in_mode_http_as_in_haproxy() {
    let origin = origin();
    let programs = [Some(env!("CARGO_BIN_EXE_tandem")), haproxy::installed()];
    for (rule, refused) in [
        ("tcp-request connection reject if { src 127.0.0.0/8 }", ["none", "none"]),
        ("tcp-request connection reject if { src 10.0.0.0/8 }", ["200", "200"]),
        ("tcp-request session reject if { src 127.0.0.0/8 }", ["none", "none"]),
        ("tcp-request content reject if { path_beg /no }", ["none", "200"]),
        ("tcp-request content reject if { req.hdr(x) -m found }", ["none", "200"]),
    ] {
        for program in programs.into_iter().flatten() {
            let running = Running::start(program, &format!("    {rule}\n"), origin);
            let seen = ["GET /no", "GET /yes"].map(|line| {
                let fields: &[&str] = if line == "GET /no" { &["Host: a", "X: 1"] } else { &["Host: a"] };
                running.ask(line, fields).status
            });
            assert_eq!(seen, refused, "{program}: {rule}");
        }
    }
}

#[test]
fn a_client_cannot_name_away_what_rules_and_options_add() {
    let rules = "    option forwardfor\n    http-request set-header X-Real-IP 192.0.2.9\n    \
                 http-request add-header X-User %[src]\n";
    let origin = origin();
    for program in [Some(env!("CARGO_BIN_EXE_tandem")), haproxy::installed()].into_iter().flatten() {
        let running = Running::start(program, rules, origin);
        let names = "Connection: close, X-Forwarded-For, X-Real-IP, X-User";
        let seen = running.ask("GET /", &["Host: a", names]);
        let values = |name| Seen::values(&seen.sent, name);
        assert_eq!(values("x-forwarded-for"), ["127.0.0.1"], "{program}: {:?}", seen.sent);
        assert_eq!(values("x-real-ip"), ["192.0.2.9"], "{program}");
        assert_eq!(values("x-user"), ["127.0.0.1"], "{program}");
    }
}

/// An origin that asks for a name by NTLM or Negotiate and then knows whose connection it is.
fn knowing_origin(scheme: &'static str) -> u16 {
    serve(move || {
        let mut is_known = false;
        move |head: &[u8]| {
            is_known |= String::from_utf8_lossy(head).to_lowercase().contains("authorization:");
            let answer = if is_known {
                "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret".to_owned()
            } else {
                format!(
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {scheme}\r\nContent-Length: 0\r\n\r\n"
                )
            };
            Some(answer.into_bytes())
        }
    })
}

#[test]
fn a_server_connection_that_knows_its_user_serves_nobody_else() {
    for (scheme, backend) in [
        ("NTLM", ""),
        ("Negotiate", ""),
        ("NTLM", "    http-reuse always\n"),
        ("Negotiate", "    http-reuse aggressive\n"),
    ] {
        let origin = knowing_origin(scheme);
        for program in [Some(env!("CARGO_BIN_EXE_tandem")), haproxy::installed()].into_iter().flatten() {
            let running = Running::start_with(program, "", backend, origin);
            let user = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
            let statuses = ["", "Authorization: x y\r\n", ""].map(|field| status_of(&user, field));
            assert_eq!(statuses, ["401", "200", "200"], "{program} {scheme} {backend}");
            let stranger = || {
                let stream = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
                [status_of(&stream, ""), status_of(&stream, "")]
            };
            let strangers = [stranger(), stranger()];
            drop(user);
            for told in strangers.into_iter().chain([stranger(), stranger()]) {
                assert_eq!(told, ["401", "401"], "{program} {scheme} {backend}");
            }
        }
    }
}

/// The status of the next answer on a connection that is kept.
fn status_of(mut stream: &TcpStream, field: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n").as_bytes()).unwrap();
    reply(stream).split(' ').nth(1).unwrap_or("none").to_owned()
}

/// An origin that answers with the status its path asks for, or with none.
fn telling_origin() -> u16 {
    serve(|| {
        |head: &[u8]| {
            let path = String::from_utf8_lossy(head).split([' ', '/']).nth(2).unwrap_or_default().to_owned();
            match path.parse::<u16>() {
                Ok(status) => {
                    Some(format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"))
                }
                Err(_) => (path == "nonsense").then(|| "nonsense\r\nConnection: close\r\n\r\n".to_owned()),
            }
            .map(String::into_bytes)
        }
    })
}

/// What a client sends, whether it ends then, and what that adds to its requests, errors and failures: where its
/// connection is tracked, and where its requests are.
type Counted = (&'static [u8], bool, [u64; 3], [u64; 3]);
const COUNTED: &[Counted] = &[
    (b"GET /200 HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 0, 0], [1, 0, 0]),
    (b"GET /404 HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 1, 0], [1, 1, 0]),
    (b"GET /499 HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 1, 0], [1, 1, 0]),
    (b"GET /500 HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 0, 1], [1, 0, 1]),
    (b"GET /501 HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 0, 0], [1, 0, 0]),
    (b"GET /505 HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 0, 0], [1, 0, 0]),
    (b"GET /nonsense HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 0, 1], [1, 0, 1]),
    (b"GET /silence HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 0, 1], [1, 0, 1]),
    (b"GET /nobody HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 0, 0], [1, 0, 0]),
    (b"GET /deny HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 1, 0], [1, 1, 0]),
    (b"GET /deny-503 HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 1, 0], [1, 1, 0]),
    (b"GET /tarpit HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 1, 0], [1, 1, 0]),
    (b"GET /reject HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 0, 0], [1, 0, 0]),
    (b"GET /return-404 HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 0, 0], [1, 0, 0]),
    (b"GET /return-503 HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 0, 0], [1, 0, 0]),
    (b"GET /redirect HTTP/1.1\r\nHost: a\r\n\r\n", false, [1, 0, 0], [1, 0, 0]),
    (b"GET /content HTTP/1.1\r\nHost: a\r\n\r\n", false, [0, 0, 0], [0, 0, 0]),
    (b"GET /x HTTP/1.1\r\nfoo\r\n\r\n", false, [1, 1, 0], [0, 0, 0]),
    (b"GET /x HTTP/1.1\r\nfoo", true, [1, 1, 0], [0, 0, 0]),
    (b"", true, [1, 1, 0], [0, 0, 0]),
];

#[test]
fn requests_errors_and_failures_of_tracked_clients_are_those_of_haproxy() {
    let origin = telling_origin();
    for (place, track) in ["tcp-request connection", "http-request"].into_iter().enumerate() {
        let rules = format!(
            "    stick-table type ip size 1k expire 1m store http_req_cnt,http_err_cnt,http_fail_cnt\n    \
             timeout tarpit 1ms\n    tcp-request content reject if {{ path /content }}\n    {track} track-sc0 src\n    \
             http-request deny if {{ path /deny }}\n    http-request deny deny_status 503 if {{ path /deny-503 }}\n    \
             http-request tarpit if {{ path /tarpit }}\n    http-request reject if {{ path /reject }}\n    \
             http-request return status 404 if {{ path /return-404 }}\n    \
             http-request return status 503 if {{ path /return-503 }}\n    \
             http-request redirect location / if {{ path /redirect }}\n    use_backend nobody if {{ path /nobody }}\n"
        );
        for program in [Some(env!("CARGO_BIN_EXE_tandem")), haproxy::installed()].into_iter().flatten() {
            let backend = format!("    server s 127.0.0.1:{origin}\nbackend nobody\n    retries 0\n");
            let running = Running::start_with(program, &rules, &backend, free_port());
            // A connection that said nothing has shown that it listens: that counts, too.
            let mut before = running.counters();
            while place == 0 && before != [1, 1, 0] {
                before = running.counters();
            }
            for (sent, ends, by_connection, by_request) in COUNTED {
                let mut stream = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.write_all(sent).unwrap();
                if *ends {
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                }
                reply(&stream);
                let after = running.counters();
                let added: Vec<u64> =
                    after.iter().zip(before).map(|(after, before)| after - before).collect();
                let expected = if place == 0 { by_connection } else { by_request };
                assert_eq!(added, expected, "{program}, {track}: {}", String::from_utf8_lossy(sent));
                before = after;
            }
        }
    }
}

impl Running {
    /// What `show table` says of the only client: requests, errors and failures.
    fn counters(&self) -> [u64; 3] {
        let mut socket = UnixStream::connect(self.folder.path().join("stats.sock")).unwrap();
        socket.write_all(b"show table f\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        ["http_req_cnt", "http_err_cnt", "http_fail_cnt"].map(|name| {
            let value = text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.map_or(0, |value| value.parse().unwrap())
        })
    }
}
