//! This process' own question whether it answers: a connection to one of its listeners, through the kernel as a client's,
//! that a core recognises when it accepts it, before anything counts it or any rule sees it. What is then asked on it, that
//! core reads, parses and answers as it does a client's request. A core that does not, twice in a row, answers no
//! client either.
//!
//! Recognised is the address that the connection comes from, which nobody else can have while this process does; nothing
//! is said on a connection that somebody else has accepted. Only listeners are asked whose address is here: a connection
//! to a floating address that is elsewhere would go there.

mod asking;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_wire::h1::{self, Limits, Parsed};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

pub(crate) use asking::run;

use crate::clock::now_ms;
use crate::connection::{Connection, Ended};
use crate::core::Core;
use crate::socket::Socket;
use crate::timers::Timer;
use crate::watchdog::{Station, watched};

/// How long an answer may take: cores that are busy take tens of milliseconds. More than the second after which the
/// kernel sends again what a connection begins with.
const PATIENCE: Duration = Duration::from_millis(1_300);
/// A core waits this long for the question, in milliseconds.
const QUESTION_MS: u64 = 5_000;
/// Questions in a row that could not be asked, or broke off, before that is a reason.
const STRIKES: usize = 2;
/// Questions given up that are remembered: their connections may still wait to be accepted.
const MAX_GONE: usize = 8;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: tandem\r\n\r\n";
const ANSWER: &[u8; 27] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// The questions that are under way, and what follows from those before them.
pub(crate) struct SelfTest {
    /// Their ports, for a glance: one bit for each port's last digits. 0: there are none.
    ports: AtomicU64,
    /// The one that is asked, and `MAX_GONE` before it, the oldest first.
    waiting: Mutex<Vec<Waiting>>,
    deaf: AtomicBool,
    strikes: AtomicUsize,
    /// By frontend: when a core last accepted nobody because every place was taken.
    full_ms: Vec<AtomicU64>,
    /// By bind.
    answers: Vec<Answers>,
}

struct Waiting {
    source: SocketAddr,
    /// Hears which core has accepted it. Closed: the question was given up.
    accepted: oneshot::Sender<usize>,
}

/// What one listener has answered.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) count: AtomicU64,
    pub(crate) last_ms: AtomicU64,
    /// Cores that answered in the last round.
    pub(crate) cores: AtomicUsize,
}

/// Why connections wait in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deaf {
    /// No core takes them.
    NotAccepted,
    /// This one took it.
    NotAnswered(usize),
}

impl SelfTest {
    pub(crate) fn new(frontends: usize, binds: usize) -> Self {
        Self {
            ports: AtomicU64::new(0),
            waiting: Mutex::default(),
            deaf: AtomicBool::new(false),
            strikes: AtomicUsize::new(0),
            full_ms: (0..frontends).map(|_| AtomicU64::new(0)).collect(),
            answers: (0..binds).map(|_| Answers::default()).collect(),
        }
    }

    /// Whether a connection that a core has accepted is this process' own, to be answered by [`answer`]. One that is no
    /// longer alive is that of a question given up: another one may come from there by now.
    pub(crate) fn takes(&self, source: SocketAddr, core: usize, is_alive: impl FnOnce() -> bool) -> bool {
        if self.ports.load(Relaxed) & bit(source) == 0 {
            return false;
        }
        let Some(waiting) = self.find(source, is_alive()) else { return false };
        // Who asked may have given up.
        let _ = waiting.accepted.send(core);
        true
    }

    /// Whether connections wait in vain.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf.load(Relaxed)
    }

    /// A core accepts nobody for this frontend: all places are taken.
    pub(crate) fn note_full(&self, frontend: usize) {
        self.full_ms[frontend].store(now_ms(), Relaxed);
    }

    fn was_full(&self, frontend: usize) -> bool {
        let patience = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        now_ms().saturating_sub(self.full_ms[frontend].load(Relaxed)) <= patience
    }

    /// What listeners have answered, by bind.
    pub(crate) fn answers(&self) -> &[Answers] {
        &self.answers
    }

    /// A connection is about to come from there; says which core has accepted it.
    fn expect(&self, source: SocketAddr) -> oneshot::Receiver<usize> {
        let (accepted, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        let too_many = waiting.len().saturating_sub(MAX_GONE);
        waiting.drain(..too_many);
        waiting.push(Waiting { source, accepted });
        self.show(&waiting);
        receiver
    }

    fn find(&self, source: SocketAddr, is_alive: bool) -> Option<Waiting> {
        let mut waiting = self.waiting.lock();
        let is_it = |waiting: &Waiting| waiting.source == source && waiting.accepted.is_closed() != is_alive;
        let place = waiting.iter().position(is_it)?;
        let found = waiting.remove(place);
        self.show(&waiting);
        Some(found)
    }

    /// Nothing comes from there any more.
    fn forget(&self, source: SocketAddr) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|waiting| waiting.source != source);
        self.show(&waiting);
    }

    fn show(&self, waiting: &[Waiting]) {
        self.ports.store(waiting.iter().fold(0, |bits, waiting| bits | bit(waiting.source)), Relaxed);
    }

    fn believe(&self, deaf: Option<Deaf>) {
        if self.deaf.swap(deaf.is_some(), Relaxed) == deaf.is_some() {
            return;
        }
        match deaf {
            None => tracing::info!("connections are accepted and answered again"),
            Some(Deaf::NotAccepted) => tracing::error!("connections are not accepted"),
            Some(Deaf::NotAnswered(core)) => {
                tracing::error!(core, "connections are accepted and not answered");
            }
        }
    }

    /// A question could not be asked, or broke off.
    fn strike(&self, why: Deaf) {
        let strikes = self.strikes.fetch_add(1, Relaxed) + 1;
        self.believe((strikes >= STRIKES).then_some(why));
    }

    /// Nothing can be said against a listener.
    fn pardon(&self) {
        self.strikes.store(0, Relaxed);
        self.believe(None);
    }

    fn answered(&self, bind: usize) {
        self.pardon();
        self.answers[bind].count.fetch_add(1, Relaxed);
        self.answers[bind].last_ms.store(now_ms(), Relaxed);
    }

    /// So many cores have answered through a listener in one round.
    fn heard(&self, bind: usize, cores: usize) {
        self.answers[bind].cores.store(cores, Relaxed);
    }
}

fn bit(source: SocketAddr) -> u64 {
    1 << (source.port() % 64)
}

/// Answers this process' own question on the core that has accepted it: no session, nothing counted.
pub(crate) fn answer(core: &Rc<Core>, io: TcpStream) {
    let (core, pulse) = (Rc::clone(core), Arc::clone(&core.pulse));
    tokio::task::spawn_local(watched(pulse, Station::SelfTest, async move {
        let mut timer = Timer::new(&core.wheel);
        poll_fn(|cx| {
            timer.attach(cx);
            Poll::Ready(())
        })
        .await;
        timer.set(Some(now_ms() + QUESTION_MS));
        let mut client = Connection::new(Socket::Tcp(io));
        // Who asked sees how it ended.
        let _ = exchange(&core, &mut client, &mut timer).await;
        client.retire(&mut core.store.borrow_mut());
    }));
}

async fn exchange(core: &Core, client: &mut Connection, timer: &mut Timer) -> Result<(), Ended> {
    let mut scratch = core.lend();
    while !matches!(
        h1::parse_request(client.input(), &Limits::default(), &mut scratch.request),
        Ok(Parsed::Complete(_))
    ) {
        client.fill(core, timer).await?;
    }
    core.take_back(scratch);
    client.send(ANSWER, timer, None).await
}
