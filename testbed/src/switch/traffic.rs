//! What clients do while the address moves: new connections all the time, connections that stay and talk, a long
//! download and a long upload; and what they feel.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::service::{CHUNK, COUNT, DOWNLOAD, ECHO, MESSAGE, PORT, REST, UPLOAD, pattern};

/// Whoever waits longer has failed: a first and a second attempt of TCP fit in.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection that stays says something so often.
const TALK: Duration = Duration::from_millis(20);

/// What is counted, while it goes on.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// New connections that were served, by the host that did: even and odd numbers of hosts.
    pub(super) served: [AtomicU64; 2],
    /// Connections, new and old, that were reset.
    pub(super) resets: AtomicU64,
    /// Those that failed otherwise: no answer in time, a wrong one, an early end.
    pub(super) failures: AtomicU64,
    /// The fewest answers that any connection that stays has got.
    pub(super) answers: AtomicU64,
    pub(super) downloaded: AtomicU64,
    pub(super) uploaded: AtomicU64,
    /// The longest time in which no new connection was served, and the slowest one.
    pub(super) gap: Mutex<Duration>,
    pub(super) slowest: Mutex<Duration>,
    pub(super) stop: AtomicBool,
}

impl Counts {
    /// How many new connections were served.
    pub(super) fn new_ones(&self) -> u64 {
        self.served.iter().map(|served| served.load(Relaxed)).sum()
    }

    fn felt(&self, ended: &io::Result<()>) {
        match ended {
            Ok(()) => {}
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) =>
            {
                self.resets.fetch_add(1, Relaxed);
            }
            Err(_) => {
                self.failures.fetch_add(1, Relaxed);
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

/// How much is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// New connections a second.
    pub(super) rate: u64,
    /// Connections that stay.
    pub(super) stay: usize,
}

/// Talks until told to stop and everything has ended.
pub(super) fn talk(address: IpAddr, load: Load, counts: &Arc<Counts>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let service = SocketAddr::new(address, PORT);
    LocalSet::new().block_on(&runtime, async {
        let answers: Rc<[Cell<u64>]> = (0..load.stay).map(|_| Cell::new(0)).collect();
        let mut tasks = tokio::task::JoinSet::new();
        for place in 0..load.stay {
            let (counts, answers) = (Arc::clone(counts), Rc::clone(&answers));
            tasks.spawn_local(async move {
                let ended = stay(service, &counts, &answers, place).await;
                counts.felt(&ended);
            });
        }
        let long = Arc::clone(counts);
        tasks.spawn_local(async move { long.felt(&download(service, &long).await) });
        let long = Arc::clone(counts);
        tasks.spawn_local(async move { long.felt(&upload(service, &long).await) });
        begin(service, load.rate, counts, &mut tasks).await;
        while tasks.join_next().await.is_some() {}
    });
    Ok(())
}

/// New connections, one after another by the clock, each with one question.
async fn begin(service: SocketAddr, rate: u64, counts: &Arc<Counts>, tasks: &mut tokio::task::JoinSet<()>) {
    let mut clock = tokio::time::interval(Duration::from_micros(1_000_000 / rate.max(1)));
    let last = Rc::new(Cell::new(Instant::now()));
    while !counts.stopped() {
        clock.tick().await;
        let (counts, last) = (Arc::clone(counts), Rc::clone(&last));
        tasks.spawn_local(async move {
            let begun = Instant::now();
            let ended = tokio::time::timeout(PATIENCE, once(service)).await;
            let ended = ended.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            if let Ok(host) = ended {
                counts.served[usize::from(host % 2)].fetch_add(1, Relaxed);
                longest(&counts.gap, last.replace(Instant::now()).elapsed());
                longest(&counts.slowest, begun.elapsed());
            }
            counts.felt(&ended.map(|_| ()));
        });
        while tasks.try_join_next().is_some() {}
    }
}

fn longest(longest: &Mutex<Duration>, time: Duration) {
    let mut longest = longest.lock().unwrap_or_else(PoisonError::into_inner);
    *longest = time.max(*longest);
}

/// Who has answered.
async fn once(service: SocketAddr) -> io::Result<u8> {
    let mut stream = TcpStream::connect(service).await?;
    stream.write_u8(ECHO).await?;
    ask(&mut stream).await
}

async fn ask(stream: &mut TcpStream) -> io::Result<u8> {
    let mut message = pattern(0, MESSAGE);
    stream.write_all(&message).await?;
    stream.read_exact(&mut message).await?;
    if message[1..] == pattern(0, MESSAGE)[1..] {
        Ok(message[0])
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// One connection for the whole time, which always hears the same host.
async fn stay(service: SocketAddr, counts: &Counts, answers: &[Cell<u64>], place: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(service).await?;
    stream.set_nodelay(true)?;
    stream.write_u8(ECHO).await?;
    let host = ask(&mut stream).await?;
    while !counts.stopped() {
        let said = tokio::time::timeout(PATIENCE, ask(&mut stream)).await;
        if said.map_err(|_| io::ErrorKind::TimedOut)?? != host {
            return Err(io::ErrorKind::InvalidData.into());
        }
        answers[place].set(answers[place].get() + 1);
        counts.answers.store(answers.iter().map(Cell::get).min().unwrap_or(0), Relaxed);
        tokio::time::sleep(TALK).await;
    }
    Ok(())
}

async fn download(service: SocketAddr, counts: &Counts) -> io::Result<()> {
    let mut stream = TcpStream::connect(service).await?;
    stream.write_u8(DOWNLOAD).await?;
    let mut bytes = vec![0; CHUNK];
    let mut received = 0;
    // The last bytes say how many came before them.
    let mut tail: Vec<u8> = Vec::new();
    let mut told = false;
    loop {
        if counts.stopped() && !told {
            told = true;
            stream.write_u8(DOWNLOAD).await?;
        }
        let length = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await;
        let length = length.map_err(|_| io::ErrorKind::TimedOut)??;
        if length == 0 {
            break;
        }
        tail.extend(&bytes[..length]);
        let whole = tail.len().saturating_sub(COUNT);
        if tail[..whole] != pattern(received, whole) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        tail.drain(..whole);
        received += whole as u64;
        counts.downloaded.store(received, Relaxed);
    }
    if tail == received.to_be_bytes() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

async fn upload(service: SocketAddr, counts: &Counts) -> io::Result<()> {
    let mut stream = TcpStream::connect(service).await?;
    stream.write_u8(UPLOAD).await?;
    let mut sent = 0;
    while !counts.stopped() {
        let chunk = pattern(sent, CHUNK);
        let written = stream.write_all(&chunk);
        tokio::time::timeout(PATIENCE, written).await.map_err(|_| io::ErrorKind::TimedOut)??;
        sent += CHUNK as u64;
        counts.uploaded.store(sent, Relaxed);
        tokio::time::sleep(REST).await;
    }
    stream.shutdown().await?;
    let said = tokio::time::timeout(PATIENCE, stream.read_u64()).await;
    if said.map_err(|_| io::ErrorKind::TimedOut)?? == sent {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
