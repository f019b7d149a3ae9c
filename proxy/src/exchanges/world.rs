//! A core with one client and servers in memory.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use proxy_config::model::Config;
use proxy_lang::{Diagnostics, Sources, blocks, lex};

use crate::clock;
use crate::connection::Connection;
use crate::core::Core;
use crate::limits::Limits;
use crate::session;
use crate::shared::Shared;
use crate::socket::{
    Socket,
    memory::{End, pair},
};
use crate::timers::TICK_MS;
use crate::{Options, Proxy, TlsBinds};

/// What the clock shows when an exchange begins.
const BEGIN_MS: u64 = 10_000_000;
/// Polls of one step, beside one for each byte that may move: more is a task that wakes itself for nothing.
const POLLS: usize = 64;

/// Something happens.
#[derive(Clone, Debug)]
pub(super) enum Act<'a> {
    /// The client sends.
    Client(&'a [u8]),
    /// The server that was connected to last sends.
    Server(&'a [u8]),
    /// The client sends nothing more.
    ClientEnds,
    /// The server sends nothing more.
    ServerEnds,
    /// The client's connection breaks.
    ClientBreaks,
    /// The server's connection breaks.
    ServerBreaks,
    /// So many milliseconds pass.
    Passes(u64),
    /// The client reads nothing from now on, but what its socket holds.
    ClientIsDeaf,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What the client was sent.
    pub(super) client: Vec<u8>,
    /// Whether the client was told that nothing follows.
    pub(super) ended: bool,
    /// What each connection to a server was sent.
    pub(super) servers: Vec<Vec<u8>>,
    /// Whether the session is over.
    pub(super) over: bool,
}

/// The running parts of a configuration.
pub(super) fn shared(text: &str) -> Arc<Shared> {
    build(text).shared
}

/// A configuration that was read, and what runs by it.
pub(super) fn build(text: &str) -> Proxy {
    let mut sources = Sources::default();
    let file = sources.add("test.cfg", text);
    let mut diagnostics = Diagnostics::default();
    let lines = lex(&sources, file, &|_| None, &mut diagnostics);
    let openers: Vec<&str> = proxy_config::SECTIONS.iter().map(|s| s.name).collect();
    let blocks = blocks(lines, &openers, &mut diagnostics);
    let files = |path: &str| Err(format!("{path} is not there"));
    let config: Option<Config> = proxy_config::read(&sources, &blocks, &files, &mut diagnostics);
    let said: Vec<&str> = diagnostics.iter().map(|d| d.message.as_str()).collect();
    let config = config.unwrap_or_else(|| panic!("{said:?}"));
    let limits = Limits { connections: 100, reserve: 0, allowed: 1_000, short: None };
    let options = Options { member: "test".to_owned(), cores: 1, log_to_stdout: false, hold: false, limits };
    Proxy::build(Arc::new(config), TlsBinds::default(), options, 1)
}

/// Whether the task was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// Where an exchange is played.
pub(super) struct World {
    core: Rc<Core>,
    servers: Rc<RefCell<Vec<End>>>,
    client: End,
    task: Option<Task>,
    woken: Arc<Woken>,
    now_ms: u64,
    deaf: bool,
    unsent: Unsent,
    limit: usize,
    outcome: Outcome,
}

/// What both sides are still to send.
#[derive(Default)]
struct Unsent {
    client: Vec<u8>,
    client_ends: bool,
    server: Vec<u8>,
    server_ends: bool,
    /// The connection that these are of: what one did not get rid of is not sent on the next one. 0: the next one.
    server_connection: usize,
    /// Bytes that were sent, over all.
    gone: usize,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A client's connection, and the session that begins with it, if it may.
fn connect(core: &Rc<Core>, limit: usize) -> (Option<Task>, End) {
    let (ours, client) = pair(limit);
    let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
    let connection = Connection::new(Socket::Memory(ours));
    let place = core.shared.places.take_client_anyway(0);
    let session = session::begin(core, 0, connection, [address(40_000), address(80)], place);
    let task = session.map(|session| {
        let task: Task = Box::pin(session::timed(Arc::clone(&core.pulse), session::run(session)));
        task
    });
    (task, client)
}

impl World {
    /// A client that has connected; each direction of each connection holds `limit` bytes.
    pub(super) fn new(shared: &Arc<Shared>, limit: usize) -> Self {
        clock::stop_at(BEGIN_MS);
        let core = Rc::new(Core::new(0, Arc::clone(shared)));
        let servers = Rc::new(RefCell::new(Vec::new()));
        let connected = Rc::clone(&servers);
        *core.dial.borrow_mut() = Some(Box::new(move |_| {
            let (ours, theirs) = pair(limit);
            connected.borrow_mut().push(theirs);
            Ok(ours)
        }));
        let (task, client) = connect(&core, limit);
        let mut world = Self {
            core,
            servers,
            client,
            outcome: Outcome { over: task.is_none(), ..Outcome::default() },
            task,
            woken: Arc::new(Woken(AtomicBool::new(true))),
            now_ms: BEGIN_MS,
            deaf: false,
            unsent: Unsent::default(),
            limit,
        };
        world.turn();
        world
    }

    /// The client leaves, and another one comes.
    pub(super) fn other_client(&mut self) {
        self.play(&[Act::ClientEnds]);
        assert!(self.outcome.over, "the session goes on without its client");
        self.unsent = Unsent::default();
        (self.task, self.client) = connect(&self.core, self.limit);
        self.outcome.over = self.task.is_none();
        self.woken.0.store(true, Relaxed);
        self.turn();
    }

    /// Plays what happens, in order.
    pub(super) fn play(&mut self, acts: &[Act<'_>]) -> &mut Self {
        for act in acts {
            self.act(act);
            self.turn();
        }
        self
    }

    fn act(&mut self, act: &Act<'_>) {
        match act {
            Act::Client(bytes) => self.unsent.client.extend_from_slice(bytes),
            Act::Server(bytes) => {
                self.forget_the_unsent_of_others();
                self.unsent.server_connection = self.servers.borrow().len();
                self.unsent.server.extend_from_slice(bytes);
            }
            Act::ClientEnds => self.unsent.client_ends = true,
            Act::ServerEnds => {
                self.forget_the_unsent_of_others();
                self.unsent.server_ends = true;
            }
            Act::ClientBreaks => self.client.reset(),
            Act::ServerBreaks => {
                if let Some(server) = self.servers.borrow_mut().last_mut() {
                    server.reset();
                }
            }
            Act::ClientIsDeaf => self.deaf = true,
            Act::Passes(time) => {
                let until = self.now_ms + time;
                while self.now_ms < until && self.task.is_some() {
                    self.now_ms = (self.now_ms + TICK_MS).min(until);
                    clock::stop_at(self.now_ms);
                    self.core.wheel.borrow_mut().advance(self.now_ms);
                    self.turn();
                }
                self.now_ms = until;
                clock::stop_at(until);
            }
        }
    }

    fn forget_the_unsent_of_others(&mut self) {
        let (of, last) = (self.unsent.server_connection, self.servers.borrow().len());
        if of != 0 && of != last {
            self.unsent.server.clear();
            self.unsent.server_ends = false;
            self.unsent.server_connection = last;
        }
    }

    /// Sends as much of what is to be sent as is taken now.
    fn send(&mut self) {
        let count = self.client.put(&self.unsent.client);
        self.unsent.client.drain(..count);
        self.unsent.gone += count;
        if self.unsent.client_ends && self.unsent.client.is_empty() {
            self.client.close();
        }
        self.forget_the_unsent_of_others();
        if let Some(server) = self.servers.borrow_mut().last_mut() {
            let count = server.put(&self.unsent.server);
            self.unsent.server.drain(..count);
            self.unsent.gone += count;
            if self.unsent.server_ends && self.unsent.server.is_empty() {
                self.unsent.server_ends = false;
                server.close();
            }
        }
    }

    /// Lets the session run until it waits.
    fn turn(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut cx = Context::from_waker(&waker);
        let mut polls = 0;
        loop {
            self.send();
            self.collect();
            if !self.woken.0.swap(false, Relaxed) {
                return;
            }
            let Some(task) = &mut self.task else { return };
            polls += 1;
            assert!(
                polls <= POLLS + self.outcome.bytes() + self.unsent.gone,
                "a session turns without an end"
            );
            if let Poll::Ready(()) = task.as_mut().poll(&mut cx) {
                self.task = None;
                self.outcome.over = true;
            }
        }
    }

    /// Takes what has arrived at both ends.
    fn collect(&mut self) {
        if !self.deaf {
            self.outcome.client.extend(self.client.take());
            self.outcome.ended |= self.client.is_ended();
        }
        let mut servers = self.servers.borrow_mut();
        self.outcome.servers.resize(servers.len(), Vec::new());
        for (server, got) in servers.iter_mut().zip(&mut self.outcome.servers) {
            got.extend(server.take());
        }
    }

    /// What has come of it so far.
    pub(super) fn outcome(&mut self) -> Outcome {
        self.collect();
        self.outcome.clone()
    }

    /// Lets all timeouts pass; the session must be over then, and leave nothing behind.
    pub(super) fn finish(&mut self, longest_ms: u64) -> Outcome {
        self.play(&[Act::Passes(longest_ms)]);
        assert!(self.outcome.over, "the session outlives every timeout");
        assert!(self.core.sessions.borrow().is_empty(), "a session is left");
        let counters = &self.core.counters;
        assert_eq!(counters.current.read(), 0, "connections");
        for backend in &counters.backends {
            assert_eq!(backend.current.read(), 0, "sessions of a backend");
        }
        for server in counters.servers.iter().flatten() {
            assert_eq!(server.current.read(), 0, "sessions of a server");
        }
        self.outcome()
    }

    /// The core it is played on.
    pub(super) fn core(&self) -> &Core {
        &self.core
    }
}

impl Outcome {
    fn bytes(&self) -> usize {
        self.client.len() + self.servers.iter().map(Vec::len).sum::<usize>()
    }

    /// What the client was sent, as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.client).into_owned()
    }

    /// What the servers were sent, as text, one connection after the other.
    pub(super) fn sent(&self) -> Vec<String> {
        self.servers.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        clock::stop_at(0);
    }
}
