//! One core: a thread with its own single-threaded runtime, timers, buffers, idle server connections
//! and counters. Other threads reach it only through its mailbox.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use crate::buffer::Store;
use crate::clock::now_ms;
use crate::listener;
use crate::log;
use crate::shared::Shared;
use crate::silent::Silent;
use crate::stats::counters::CoreCounters;
use crate::stream::Scratch;
use crate::timers::{TICK_MS, Wheel};
use crate::upstream::IdlePool;
use crate::watchdog::{Pulse, Station, watched};

/// Most orders that wait in a core's mailbox; a core that far behind is as good as dead.
pub(crate) const MAX_MAIL: usize = 1_024;
/// Most bytes of text that a head keeps room for from one stream to the next.
const MAX_SCRATCH_HEAD: usize = 4_096;
/// Most heads a core keeps for later.
const MAX_SCRATCH: usize = 256;
/// How often idle server connections are looked through.
const IDLE_PURGE_MS: u64 = 1_000;

/// Something another thread asks of a core.
pub(crate) type Mail = Box<dyn FnOnce(&Rc<Core>) + Send>;

/// What `show sess` tells of a session.
pub(crate) struct SessionMark {
    pub(crate) frontend: usize,
    pub(crate) source: SocketAddr,
    pub(crate) began_ms: u64,
    pub(crate) requests: Cell<u64>,
    pub(crate) backend: Cell<Option<usize>>,
    pub(crate) server: Cell<Option<usize>>,
}

/// The state of one core; lives on its thread.
pub(crate) struct Core {
    pub(crate) id: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<CoreCounters>,
    pub(crate) wheel: Rc<RefCell<Wheel>>,
    pub(crate) store: RefCell<Store>,
    /// Boxed: it is lent to a stream and comes back, and is not copied on the way.
    #[allow(clippy::vec_box, reason = "lent one by one")]
    scratch: RefCell<Vec<Box<Scratch>>>,
    pub(crate) idle: RefCell<IdlePool>,
    pub(crate) sessions: RefCell<Slab<Rc<SessionMark>>>,
    pub(crate) silent: RefCell<Silent>,
    pub(crate) log: log::Sender,
    /// Makes connections to servers in a test; `None`: the network does.
    #[cfg(test)]
    pub(crate) dial: RefCell<Option<Dial>>,
    pub(crate) pulse: Arc<Pulse>,
    /// How often relief had been asked for when idle connections were closed last.
    relieved: Cell<u64>,
}

/// Connects to a server in memory.
#[cfg(test)]
pub(crate) type Dial = Box<dyn Fn(SocketAddr) -> std::io::Result<crate::socket::memory::End>>;

impl Core {
    /// The state of a core that is to run.
    pub(crate) fn new(id: usize, shared: Arc<Shared>) -> Self {
        let counters = Arc::clone(&shared.counters[id]);
        let servers: Vec<usize> = shared.config.backends.iter().map(|b| b.servers.len()).collect();
        Self {
            id,
            pulse: shared.watchdog.core(id),
            relieved: Cell::new(shared.places.relief()),
            counters,
            wheel: Rc::new(RefCell::new(Wheel::new(now_ms()))),
            store: RefCell::new(Store::new(shared.config.global.tuning.buffer)),
            scratch: RefCell::default(),
            idle: RefCell::new(IdlePool::new(&servers, Arc::clone(&shared.counters[id]))),
            sessions: RefCell::default(),
            silent: RefCell::default(),
            log: log::Sender::default(),
            #[cfg(test)]
            dial: RefCell::default(),
            shared,
        }
    }

    /// Says what this core works at from here on, for the watchdog.
    pub(crate) fn enter(&self, station: Station) {
        self.pulse.enter(station);
    }

    /// Closes idle connections to servers, where something has run short anywhere in this process.
    fn relieve(&self) {
        let asked = self.shared.places.relief();
        if self.relieved.replace(asked) != asked {
            self.idle.borrow_mut().clear();
        }
    }

    /// What a stream works with.
    pub(crate) fn lend(&self) -> Box<Scratch> {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes it back for the next stream. One that a large head has grown is not kept.
    pub(crate) fn take_back(&self, mut scratch: Box<Scratch>) {
        scratch.request.clear();
        scratch.response.clear();
        let mut kept = self.scratch.borrow_mut();
        let grown = [&scratch.request, &scratch.response].iter().any(|head| head.room() > MAX_SCRATCH_HEAD);
        if kept.len() < MAX_SCRATCH && !grown {
            kept.push(scratch);
        }
    }
}

/// The life of a core's thread: until its mailbox is closed.
pub(crate) fn run(
    id: usize,
    shared: Arc<Shared>,
    sockets: Vec<(usize, OwnedFd)>,
    mailbox: mpsc::Receiver<Mail>,
) -> std::io::Result<()> {
    // Tasks of this thread alone, straight in its queue: a `LocalSet` would be a second queue beside it.
    let runtime =
        Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default())?;
    let core = Rc::new(Core::new(id, shared));
    core.pulse.begin();
    runtime.block_on(async {
        for (bind, socket) in sockets {
            if let Err(error) = listener::spawn(&core, bind, socket) {
                tracing::error!(bind, %error, "listener cannot be used");
            }
        }
        tokio::task::spawn_local(watched(Arc::clone(&core.pulse), Station::Tick, tick(Rc::clone(&core))));
        watched(Arc::clone(&core.pulse), Station::Mail, read_mail(&core, mailbox)).await;
    });
    Ok(())
}

async fn read_mail(core: &Rc<Core>, mut mailbox: mpsc::Receiver<Mail>) {
    while let Some(mail) = mailbox.recv().await {
        mail(core);
    }
}

/// The heartbeat: timers, the turn counter the supervisor watches, and the idle connections.
async fn tick(core: Rc<Core>) {
    let mut purged_ms = now_ms();
    loop {
        tokio::time::sleep(Duration::from_millis(TICK_MS)).await;
        let now = now_ms();
        core.counters.turns.add(1);
        core.wheel.borrow_mut().advance(now);
        core.relieve();
        if now - purged_ms >= IDLE_PURGE_MS {
            purged_ms = now;
            core.idle.borrow_mut().purge(now, &mut core.store.borrow_mut());
        }
    }
}
