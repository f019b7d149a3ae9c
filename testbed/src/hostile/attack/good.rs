//! Good clients beside an attack: so many requests a second, half of them on connections of their own and half on kept
//! ones. How long a request takes counts from the moment it is due, so that a program that stands still is seen to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::hostile::program::Place;

/// Requests a second.
pub(in crate::hostile) const RATE: u32 = 500;
const EVERY: Duration = Duration::from_millis(1_000 / RATE as u64);
/// A request that takes longer has failed.
pub(in crate::hostile) const PATIENCE: Duration = Duration::from_secs(2);
/// Requests under way at most: what comes on top has failed.
const UNDER_WAY: usize = 1_200;
/// Kept connections that are idle at most.
const IDLE: usize = 20;
/// A kept connection that was idle for longer may have been closed meanwhile by right.
const STALE: Duration = Duration::from_millis(500);
const MAX_ANSWER: usize = 8_192;

/// Kept connections where no others are used.
const OLD: usize = 20;
/// How often it is looked whether one of them is free.
const FREE: Duration = Duration::from_millis(1);

/// What is measured in one stretch of time.
#[derive(Clone, Debug, Default)]
pub(in crate::hostile) struct Window {
    /// How long each good request took, in microseconds.
    latencies: Vec<u32>,
    pub(in crate::hostile) errors: usize,
    /// What the first error was.
    pub(in crate::hostile) error: Option<String>,
}

impl Window {
    /// Of a hundred requests 99 took at most so long; a failed one took as long as it was waited for.
    pub(in crate::hostile) fn p99(&self) -> Duration {
        let mut sorted = self.latencies.clone();
        let failed = u32::try_from(PATIENCE.as_micros()).unwrap_or(u32::MAX);
        sorted.resize(sorted.len() + self.errors, failed);
        sorted.sort_unstable();
        let place = (sorted.len() * 99 / 100).min(sorted.len().saturating_sub(1));
        Duration::from_micros(u64::from(sorted.get(place).copied().unwrap_or(failed)))
    }

    pub(in crate::hostile) fn count(&self) -> usize {
        self.latencies.len() + self.errors
    }
}

/// Which connections good clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hostile) enum Connections {
    /// Kept ones and new ones in turn.
    Both,
    /// Those that were there before.
    Kept,
}

/// Good clients at work.
pub(in crate::hostile) struct Good {
    over: Arc<AtomicBool>,
    window: Arc<AtomicUsize>,
    well: Arc<AtomicUsize>,
    thread: JoinHandle<io::Result<Vec<Window>>>,
}

impl Good {
    /// Begins to ask in window 0, at its place.
    pub(in crate::hostile) fn start(service: SocketAddr, connections: Connections, place: Place) -> Self {
        let over = Arc::<AtomicBool>::default();
        let window = Arc::<AtomicUsize>::default();
        let well = Arc::<AtomicUsize>::default();
        let (ends, counts, served) = (Arc::clone(&over), Arc::clone(&window), Arc::clone(&well));
        let thread = std::thread::spawn(move || {
            place.enter()?;
            run(service, connections, &ends, &counts, &served)
        });
        Self { over, window, well, thread }
    }

    /// Requests that were answered well so far.
    pub(in crate::hostile) fn count(&self) -> usize {
        self.well.load(Ordering::Relaxed)
    }

    /// What is due from now on counts in another window.
    pub(in crate::hostile) fn enter(&self, window: usize) {
        self.window.store(window, Ordering::Relaxed);
    }

    /// Waits for what is under way; every window.
    pub(in crate::hostile) fn end(self) -> Result<Vec<Window>, String> {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.thread.join().map_err(|_| "the good clients died")?;
        ended.map_err(|e| format!("the good clients: {e}"))
    }
}

struct Kept {
    stream: TcpStream,
    since: Instant,
}

#[derive(Default)]
struct State {
    windows: Vec<Window>,
    kept: VecDeque<Kept>,
}

impl State {
    fn count(&mut self, window: usize, outcome: Result<Duration, String>) {
        if self.windows.len() <= window {
            self.windows.resize(window + 1, Window::default());
        }
        let window = &mut self.windows[window];
        match outcome {
            Ok(length) => {
                window.latencies.push(u32::try_from(length.as_micros()).unwrap_or(u32::MAX));
            }
            Err(why) => {
                window.errors += 1;
                window.error.get_or_insert(why);
            }
        }
    }
}

fn run(
    service: SocketAddr,
    connections: Connections,
    over: &AtomicBool,
    window: &AtomicUsize,
    well: &Arc<AtomicUsize>,
) -> io::Result<Vec<Window>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let state = Rc::<RefCell<State>>::default();
    runtime.block_on(async {
        if connections == Connections::Kept {
            for _ in 0..OLD {
                let mut stream = TcpStream::connect(service).await?;
                stream.set_nodelay(true)?;
                request(&mut stream, false).await?;
                keep(stream, &state);
            }
        }
        let mut clock = tokio::time::interval(EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut tasks = JoinSet::new();
        let mut number = 0_u64;
        while !over.load(Ordering::Relaxed) {
            let due = clock.tick().await.into_std();
            while tasks.try_join_next().is_some() {}
            let (place, state) = (window.load(Ordering::Relaxed), Rc::clone(&state));
            if tasks.len() >= UNDER_WAY {
                state.borrow_mut().count(place, Err(format!("{UNDER_WAY} requests are under way")));
                continue;
            }
            number += 1;
            let well = Arc::clone(well);
            let way = match connections {
                Connections::Kept => Way::Old,
                Connections::Both if number.is_multiple_of(2) => Way::Kept,
                Connections::Both => Way::New,
            };
            tasks.spawn_local(async move {
                let asked = tokio::time::timeout(PATIENCE, ask(service, way, &state)).await;
                let outcome = match asked {
                    Ok(Ok(())) => {
                        well.fetch_add(1, Ordering::Relaxed);
                        Ok(due.elapsed())
                    }
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
                };
                state.borrow_mut().count(place, outcome);
            });
        }
        while tasks.join_next().await.is_some() {}
        Ok::<(), io::Error>(())
    })?;
    drop(runtime);
    Ok(Rc::try_unwrap(state).map(|state| state.into_inner().windows).unwrap_or_default())
}

/// On which connection a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    New,
    /// A kept one, or a new one that is kept.
    Kept,
    /// One that was there from the beginning.
    Old,
}

async fn ask(service: SocketAddr, way: Way, state: &Rc<RefCell<State>>) -> io::Result<()> {
    let kept = match way {
        Way::New => None,
        Way::Kept => state.borrow_mut().kept.pop_front(),
        Way::Old => Some(old(state).await),
    };
    if let Some(mut kept) = kept {
        let stale = way == Way::Kept && kept.since.elapsed() > STALE;
        match request(&mut kept.stream, false).await {
            Ok(()) => {
                keep(kept.stream, state);
                return Ok(());
            }
            Err(_) if stale => {}
            Err(error) => return Err(error),
        }
    }
    let mut stream = TcpStream::connect(service).await?;
    stream.set_nodelay(true)?;
    request(&mut stream, way == Way::New).await?;
    if way == Way::Kept {
        keep(stream, state);
    }
    Ok(())
}

/// The connection that was idle for longest, as soon as there is one.
async fn old(state: &Rc<RefCell<State>>) -> Kept {
    loop {
        let kept = state.borrow_mut().kept.pop_front();
        match kept {
            Some(kept) => return kept,
            None => tokio::time::sleep(FREE).await,
        }
    }
}

fn keep(stream: TcpStream, state: &Rc<RefCell<State>>) {
    let kept = &mut state.borrow_mut().kept;
    if kept.len() < IDLE {
        kept.push_back(Kept { stream, since: Instant::now() });
    }
}

async fn request(stream: &mut TcpStream, closes: bool) -> io::Result<()> {
    let close = if closes { "Connection: close\r\n" } else { "" };
    let text = format!("GET /good HTTP/1.1\r\nHost: www.example.com\r\n{close}\r\n");
    stream.write_all(text.as_bytes()).await?;
    let mut answer = Vec::with_capacity(MAX_ANSWER);
    let length = loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4 + super::BODY;
        }
        if answer.len() > MAX_ANSWER {
            return Err(io::Error::other("an answer without an end"));
        }
    };
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        let line = answer.split(|b| *b == b'\r').next().unwrap_or_default();
        return Err(io::Error::other(String::from_utf8_lossy(line).into_owned()));
    }
    while answer.len() < length {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    match answer.len() == length && answer.ends_with(b"x") {
        true => Ok(()),
        false => Err(io::Error::other("another answer than the server's")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_request_counts_as_the_longest_wait() {
        let mut window = Window { latencies: vec![100; 99], ..Window::default() };
        assert_eq!((window.p99(), window.count()), (Duration::from_micros(100), 99));
        window.errors = 1;
        assert_eq!((window.p99(), window.count()), (PATIENCE, 100));
    }
}
