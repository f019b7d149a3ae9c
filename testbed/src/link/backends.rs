//! Two nodes that follow a backend: one of them loses its servers, then both do.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::pair;
use crate::build_tandem;
use crate::drill::node::Node;
use crate::lab::{self, Namespace, PATIENCE, Switch};

/// How long it is watched that nothing happens.
const WATCHED: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);
/// How often a node is asked that may be too busy to answer in time.
const ASKED: usize = 5;
const FLOATING: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 100));
const SERVER: &str = "192.0.2.13:8080";

pub(super) fn play() -> Result<String, String> {
    let say = |e: std::io::Error| format!("the lab: {e}");
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut switch = Switch::new().map_err(say)?;
    let hosts = pair::hosts(&mut switch)?;
    let server = switch.host("server", &[IpAddr::from([192, 0, 2, 13])]).map_err(say)?;
    let client = switch.host("client", &[IpAddr::from([192, 0, 2, 9])]).map_err(say)?;
    let stage = Stage { folder: folder.path().to_path_buf(), tandem: build_tandem::beside_us()?, client };
    let mut said = Vec::new();
    for preempt in [false, true] {
        said.push(stage.play(&hosts, &server, preempt)?);
    }
    Ok(said.join("\n"))
}

struct Stage {
    folder: PathBuf,
    tandem: PathBuf,
    client: Namespace,
}

impl Stage {
    fn play(&self, hosts: &[Namespace; 2], server: &Namespace, preempt: bool) -> Result<String, String> {
        let app = Server::start(server)?;
        let pair = Pair(self.start(hosts, preempt)?);
        pair.until("lb1 has the address", |pair| {
            pair.stands([("master", 150), ("backup", 100)]) == Some(true)
        })?;

        // One of them loses its servers: by an order, which is its own.
        let begin = Instant::now();
        pair.0[0].runtime("set server app/a state maint")?;
        pair.until("lb1 is the last resort", |pair| pair.part(0).is_some_and(|(_, priority)| priority == 2))?;
        let lowered = begin.elapsed();
        pair.until("lb2 follows", |pair| pair.stands([("backup", 2), ("master", 100)]) == Some(true))?;
        let moved = begin.elapsed();
        self.answers("200")?;

        // It has them again: whoever preempts takes the address back.
        pair.0[0].runtime("set server app/a state ready")?;
        let back = if preempt { "master" } else { "backup" };
        pair.until("lb1 is well again", |pair| pair.part(0) == Some((back.to_owned(), 150)))?;
        if !preempt {
            pair.0[1].runtime("set server app/a state maint")?;
            pair.until("lb1 follows", |pair| pair.stands([("master", 150), ("backup", 1)]) == Some(true))?;
            pair.0[1].runtime("set server app/a state ready")?;
        }
        pair.until("both are well", |pair| pair.stands([("master", 150), ("backup", 100)]) == Some(true))?;

        // Both lose them: nothing moves, and somebody says so to clients.
        let begun = pair.since(0)?;
        let before = Instant::now();
        drop(app);
        pair.until("both are the last resort", |pair| {
            pair.stands([("master", 2), ("backup", 1)]) == Some(true)
        })?;
        self.answers("503")?;
        let watched = Instant::now();
        while watched.elapsed() < WATCHED {
            // Who does not answer in time is asked again.
            if pair.stands([("master", 2), ("backup", 1)]) == Some(false) {
                return Err(format!("something moved: {}", pair.described()));
            }
            std::thread::sleep(LOOK);
        }
        // It has been master all the while.
        let passed = u64::try_from(before.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = pair.since(0)?;
        if now < begun + passed {
            return Err(format!(
                "lb1 was not master all the while: {now} < {begun} + {passed} ms; {}",
                pair.described()
            ));
        }

        // One of them has them back first: it is asked, and does not wait for the other.
        pair.0[0].runtime("set server app/a state maint")?;
        let revived = Server::start(server)?;
        pair.until("lb2 has servers, and follows", |pair| {
            pair.stands([("backup", 2), ("master", 100)]) == Some(true)
        })?;
        self.answers("200")?;
        drop(revived);
        let Pair(nodes) = pair;
        for node in nodes {
            node.stop()?;
        }
        Ok(format!(
            "{}: the priority fell {} ms after the last server, and the address moved after {} ms",
            if preempt { "preempting" } else { "without preemption" },
            lowered.as_millis(),
            moved.as_millis()
        ))
    }

    fn start(&self, hosts: &[Namespace; 2], preempt: bool) -> Result<Vec<Node>, String> {
        let folder = self.folder.join(preempt.to_string());
        pair::start(&folder, &self.tandem, hosts, |folder| text(folder, preempt))
    }

    /// Asks for a page at the floating address; its status.
    fn answers(&self, status: &str) -> Result<(), String> {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::new(FLOATING, 80), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let answer = self.client.inside(ask).and_then(|answer| answer).map_err(|e| e.to_string())?;
        let is = answer.split(' ').nth(1) == Some(status);
        if is { Ok(()) } else { Err(format!("not {status} but: {answer}")) }
    }
}

fn text(folder: &Path, preempt: bool) -> String {
    format!(
        "global\n    nbthread 1\n    stats socket {0}/stats.sock level admin\n\
         defaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n\
         frontend web\n    bind :80\n    default_backend app\n\
         backend app\n    server a {SERVER} check inter 200ms fall 1 rise 1\n\
         cluster c\n    member lb1 192.0.2.11\n    member lb2 192.0.2.12\n\
         \x20   crt {0}/cluster.pem ca-file {0}/cluster-ca.pem\n\
         virtual-router web\n    interface eth0\n    vrid 51\n    advert-interval 100ms\n    priority lb1 150\n\
         \x20   priority lb2 100\n    address {FLOATING}/24\n    track-backend app\n{1}",
        folder.display(),
        if preempt { "    preempt\n" } else { "" }
    )
}

struct Pair(Vec<Node>);

impl Pair {
    fn router(&self, place: usize) -> Option<Value> {
        Some(self.0[place].status()?["virtual_routers"][0].clone())
    }

    /// The role of a node, and its priority.
    fn part(&self, place: usize) -> Option<(String, u64)> {
        let router = self.router(place)?;
        Some((router["role"].as_str()?.to_owned(), router["priority"].as_u64()?))
    }

    fn since(&self, place: usize) -> Result<u64, String> {
        let ask = || self.router(place).and_then(|router| router["since_ms"].as_u64());
        (0..ASKED).find_map(|_| ask()).ok_or("no answer".to_owned())
    }

    /// Whether both have these roles and priorities; `None` while one does not answer.
    fn stands(&self, parts: [(&str, u64); 2]) -> Option<bool> {
        let is = |place: usize| Some(self.part(place)? == (parts[place].0.to_owned(), parts[place].1));
        Some(is(0)? && is(1)?)
    }

    fn described(&self) -> String {
        let logs: Vec<String> = self.0.iter().map(Node::log_tail).collect();
        format!("{:?}, {:?}\n{}", self.part(0), self.part(1), logs.join("\n--\n"))
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        lab::until(what, || holds(self)).map_err(|why| format!("{why}: {}", self.described()))
    }
}

/// A server that answers everybody alike.
struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(host: &Namespace) -> Result<Self, String> {
        let listener = host.inside(|| TcpListener::bind(SERVER)).and_then(|bound| bound);
        let listener = listener.map_err(|e| format!("{SERVER}: {e}"))?;
        listener.set_nonblocking(true).map_err(|e| e.to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => answer(stream),
                    Err(_) => std::thread::sleep(LOOK),
                }
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Checks ask nothing, and get no answer.
fn answer(mut stream: TcpStream) {
    let mut request = [0; 1_024];
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    if stream.read(&mut request).is_ok_and(|count| count > 0) {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
}
