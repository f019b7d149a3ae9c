//! The clients: a connection every two milliseconds from many addresses, each with its cookie and its memory of which
//! server it was given. Where it is asked for, also clients that keep their connections, and some that fetch and send
//! something long. Every connection is accounted for.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::lab::Namespace;
use crate::server::{LENGTH, LONG, is_right, send_long};

/// Time between two connections.
const EVERY: Duration = Duration::from_millis(2);
/// A request that takes longer has failed: a first and a second attempt of TCP fit in. Of something long, this is the
/// longest time without a byte.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// Addresses of those that connect: enough that none reaches the example's limit.
const FRESH: std::ops::Range<u8> = 130..210;
/// Addresses of those that keep their connections.
const KEEPING: std::ops::Range<u8> = 210..230;
/// Addresses of those that fetch something long, and of those that send it.
const FETCHING: std::ops::Range<u8> = 230..232;
const SENDING: std::ops::Range<u8> = 232..234;
/// How long a client that keeps its connection is silent between two requests: the example's limit counts those, too, and
/// nodes that take turns several times a second may count one connection twice.
const SILENCE: Duration = Duration::from_millis(100);
/// One of two that do something long begins so much later: one of them is always in the midst of it.
const LATER: Duration = Duration::from_secs(1);
/// Longest time that sending something long may take: four times what it needs.
const LONGEST: Duration = Duration::from_secs(10);
const ANSWER_ROOM: usize = 4_096;

/// Every address of a client.
pub(crate) fn addresses() -> impl Iterator<Item = Ipv4Addr> {
    (FRESH.start..SENDING.end).map(address)
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Sticks by cookie.
    App,
    /// Sticks by address.
    Blog,
}

/// How something ended that did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection, no answer in time, or a wrong one.
    Failed,
    /// The connection broke in the middle.
    Reset,
    /// Nobody listened.
    Refused,
}

/// One request on a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) client: Ipv4Addr,
    pub(crate) asked: Asked,
    /// The server that answered.
    pub(crate) ended: Result<String, Trouble>,
    pub(crate) at: Instant,
    pub(crate) took: Duration,
}

/// How often something ended in which way.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) done: usize,
    pub(crate) failed: usize,
    pub(crate) reset: usize,
    pub(crate) refused: usize,
}

impl Counts {
    pub(crate) fn count<T>(&mut self, ended: &Result<T, Trouble>) {
        *match ended {
            Ok(_) => &mut self.done,
            Err(Trouble::Failed) => &mut self.failed,
            Err(Trouble::Reset) => &mut self.reset,
            Err(Trouble::Refused) => &mut self.refused,
        } += 1;
    }
}

/// What the clients felt.
#[derive(Debug, Default)]
pub(crate) struct Felt {
    /// The requests on connections of their own, in the order of their ends.
    pub(crate) fresh: Vec<Record>,
    /// Requests on connections that are kept.
    pub(crate) kept: Counts,
    pub(crate) fetched: Counts,
    pub(crate) sent: Counts,
}

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Felt>>,
}

impl Load {
    /// Starts them in their host; `full`: all of them.
    pub(crate) fn start(host: Arc<Namespace>, service: SocketAddrV4, full: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            host.join()?;
            work(service, full, &told)
        });
        Self { stop, thread }
    }

    /// Has them finish what they are at.
    pub(crate) fn finish(self) -> Result<Felt, String> {
        self.stop.store(true, Ordering::Relaxed);
        let felt = self.thread.join().map_err(|_| "the clients died")?;
        felt.map_err(|e| format!("the clients ended: {e}"))
    }
}

fn work(service: SocketAddrV4, full: bool, stop: &Arc<AtomicBool>) -> io::Result<Felt> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let felt = Rc::new(RefCell::new(Felt::default()));
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        if full {
            for last in KEEPING {
                tasks.spawn_local(keep(address(last), service, Arc::clone(stop), Rc::clone(&felt)));
            }
            for last in FETCHING.chain(SENDING) {
                tasks.spawn_local(long(last, service, Arc::clone(stop), Rc::clone(&felt)));
            }
        }
        connect_anew(service, stop, &felt, &mut tasks).await;
        while tasks.join_next().await.is_some() {}
    });
    Ok(felt.take())
}

/// Opens a connection for each request until told to stop.
async fn connect_anew(
    service: SocketAddrV4,
    stop: &AtomicBool,
    felt: &Rc<RefCell<Felt>>,
    tasks: &mut JoinSet<()>,
) {
    let clients: Vec<Ipv4Addr> = FRESH.map(address).collect();
    let cookies: Rc<RefCell<Vec<Option<String>>>> = Rc::new(RefCell::new(vec![None; clients.len()]));
    let mut clock = tokio::time::interval(EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        clock.tick().await;
        let place = number % clients.len();
        let asked = if (number / clients.len()).is_multiple_of(2) { Asked::App } else { Asked::Blog };
        number += 1;
        let client = clients[place];
        let (felt, cookies) = (Rc::clone(felt), Rc::clone(&cookies));
        tasks.spawn_local(async move {
            let begun = Instant::now();
            let cookie = cookies.borrow()[place].clone();
            let ended = request(client, service, asked, cookie).await.map(|(server, fresh)| {
                if asked == Asked::App && fresh.is_some() {
                    cookies.borrow_mut()[place] = fresh;
                }
                server
            });
            let at = Instant::now();
            let took = at.duration_since(begun);
            felt.borrow_mut().fresh.push(Record { client, asked, ended, at, took });
        });
        while tasks.try_join_next().is_some() {}
    }
}

/// Connects from an address.
async fn connect(client: Ipv4Addr, service: SocketAddrV4) -> Result<TcpStream, Trouble> {
    let socket = TcpSocket::new_v4().map_err(|_| Trouble::Failed)?;
    socket.bind(SocketAddr::from((client, 0))).map_err(|_| Trouble::Failed)?;
    match tokio::time::timeout(PATIENCE, socket.connect(SocketAddr::V4(service))).await {
        Ok(Ok(stream)) => {
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(Trouble::Refused),
        Ok(Err(_)) | Err(_) => Err(Trouble::Failed),
    }
}

/// Waits for something on an open connection: silence is a failure, and an error the connection's end.
async fn on_open<T>(what: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
    match tokio::time::timeout(PATIENCE, what).await {
        Ok(result) => result.map_err(|_| Trouble::Reset),
        Err(_) => Err(Trouble::Failed),
    }
}

async fn request(
    client: Ipv4Addr,
    service: SocketAddrV4,
    asked: Asked,
    cookie: Option<String>,
) -> Result<(String, Option<String>), Trouble> {
    let begun = Instant::now();
    let mut stream = connect(client, service).await?;
    let path = if asked == Asked::App { "/" } else { "/blog" };
    let cookie = cookie.filter(|_| asked == Asked::App);
    let cookie = cookie.map(|c| format!("Cookie: SRV={c}\r\n")).unwrap_or_default();
    let text = format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\n{cookie}Connection: close\r\n\r\n");
    let mut answer = Vec::new();
    on_open(async {
        stream.write_all(text.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    })
    .await?;
    if answer.is_empty() {
        return Err(Trouble::Reset);
    }
    // Connecting and asking together have one patience.
    read(&answer).filter(|_| begun.elapsed() <= PATIENCE).ok_or(Trouble::Failed)
}

/// Keeps a connection until it is told that it ends, and then opens the next.
async fn keep(client: Ipv4Addr, service: SocketAddrV4, stop: Arc<AtomicBool>, felt: Rc<RefCell<Felt>>) {
    while !stop.load(Ordering::Relaxed) {
        let mut stream = match connect(client, service).await {
            Ok(stream) => stream,
            Err(trouble) => {
                felt.borrow_mut().kept.count::<()>(&Err(trouble));
                tokio::time::sleep(SILENCE).await;
                continue;
            }
        };
        while !stop.load(Ordering::Relaxed) {
            let answered = ask(&mut stream).await;
            felt.borrow_mut().kept.count(&answered);
            if matches!(answered, Ok(Stays::No)) {
                break;
            }
            tokio::time::sleep(SILENCE).await;
            if answered.is_err() {
                break;
            }
            match stream.try_read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Nothing was asked: a server may close.
                Ok(0) => break,
                Ok(_) | Err(_) => {
                    felt.borrow_mut().kept.count::<()>(&Err(Trouble::Reset));
                    break;
                }
            }
        }
    }
}

/// Whether a connection stays after an answer.
enum Stays {
    Yes,
    No,
}

/// One request on a connection that is kept.
async fn ask(stream: &mut TcpStream) -> Result<Stays, Trouble> {
    let answer = on_open(async {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n").await?;
        let mut answer = Vec::with_capacity(ANSWER_ROOM);
        while whole(&answer).is_none_or(|length| answer.len() < length) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(answer)
    })
    .await?;
    read(&answer).ok_or(Trouble::Failed)?;
    let head = head(&answer).unwrap_or_default();
    let closes = field(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(if closes { Stays::No } else { Stays::Yes })
}

/// Fetches or sends something long, again and again.
async fn long(last: u8, service: SocketAddrV4, stop: Arc<AtomicBool>, felt: Rc<RefCell<Felt>>) {
    let sends = SENDING.contains(&last);
    if !last.is_multiple_of(2) {
        tokio::time::sleep(LATER).await;
    }
    while !stop.load(Ordering::Relaxed) {
        let ended =
            if sends { send(address(last), service).await } else { fetch(address(last), service).await };
        {
            let felt = &mut *felt.borrow_mut();
            let counts = if sends { &mut felt.sent } else { &mut felt.fetched };
            counts.count(&ended);
        }
        if ended.is_err() {
            tokio::time::sleep(SILENCE).await;
        }
    }
}

async fn fetch(client: Ipv4Addr, service: SocketAddrV4) -> Result<(), Trouble> {
    let mut stream = connect(client, service).await?;
    let text = format!("GET {LONG} HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n");
    on_open(stream.write_all(text.as_bytes())).await?;
    let mut bytes = Vec::with_capacity(ANSWER_ROOM);
    let mut begins = None;
    let mut place = 0;
    while begins.is_none() || place < LENGTH {
        if on_open(stream.read_buf(&mut bytes)).await? == 0 {
            return Err(Trouble::Reset);
        }
        if begins.is_none() {
            begins = whole(&bytes).map(|length| length - LENGTH.min(length));
            match begins {
                Some(_) if !bytes.starts_with(b"HTTP/1.1 200 ") => return Err(Trouble::Failed),
                Some(head) => drop(bytes.drain(..head)),
                None => continue,
            }
        }
        if !is_right(place, &bytes) {
            return Err(Trouble::Failed);
        }
        place += bytes.len();
        bytes.clear();
    }
    if place == LENGTH { Ok(()) } else { Err(Trouble::Failed) }
}

async fn send(client: Ipv4Addr, service: SocketAddrV4) -> Result<(), Trouble> {
    let mut stream = connect(client, service).await?;
    let text = format!(
        "POST {LONG} HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: {LENGTH}\r\nConnection: close\r\n\r\n"
    );
    on_open(stream.write_all(text.as_bytes())).await?;
    let sent = tokio::time::timeout(LONGEST, send_long(&mut stream)).await;
    sent.map_err(|_| Trouble::Failed)?.map_err(|_| Trouble::Reset)?;
    let mut answer = Vec::new();
    on_open(stream.read_to_end(&mut answer)).await?;
    match answer.is_empty() {
        true => Err(Trouble::Reset),
        false if read(&answer).is_some() => Ok(()),
        false => Err(Trouble::Failed),
    }
}

fn head(answer: &[u8]) -> Option<&str> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    std::str::from_utf8(&answer[..end]).ok()
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// How long an answer is that begins so; `None` while its head is not all there.
fn whole(answer: &[u8]) -> Option<usize> {
    let head = head(answer)?;
    let length: usize = field(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    Some(head.len() + length)
}

/// The server that answered and the cookie it came with; `None` unless the answer is whole and good.
fn read(answer: &[u8]) -> Option<(String, Option<String>)> {
    let head = head(answer)?;
    field(head, "content-length")?;
    let good = head.starts_with("HTTP/1.1 200 ") && whole(answer) == Some(answer.len());
    let cookie = field(head, "set-cookie")
        .and_then(|c| c.strip_prefix("SRV=").map(|v| v.split(';').next().unwrap_or_default().to_owned()));
    good.then_some((field(head, "x-server")?.to_owned(), cookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_and_good_answer_counts() {
        let good =
            b"HTTP/1.1 200 OK\r\nX-Server: s1\r\nSet-Cookie: SRV=s1; path=/\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(read(good), Some(("s1".to_owned(), Some("s1".to_owned()))));
        assert_eq!(read(&good[..good.len() - 1]), None);
        assert_eq!(read(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), None);
        assert_eq!(whole(&good[..20]), None);
        assert_eq!(whole(&good[..good.len() - 1]), Some(good.len()));
    }
}
