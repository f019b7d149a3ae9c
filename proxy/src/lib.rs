//! Traffic: listeners, sessions, streams, server connections and health checks, built from a
//! `Config` and knowing nothing of virtual addresses, peers or clusters.
#![deny(unsafe_code)]

mod address_text;
mod advance;
mod aside;
mod buffer;
mod checks;
pub mod clock;
mod connection;
mod core;
#[cfg(test)]
mod exchanges;
mod files;
mod inherit;
mod limits;
mod listener;
mod log;
mod mux;
mod orders;
mod selftest;
mod session;
mod sessions;
mod shared;
mod silent;
mod socket;
pub mod stats;
mod stream;
mod sys;
mod timers;
mod tls;
mod upstream;
mod watchdog;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use proxy_backend::{Backend, ServerSettings, Settings};
use proxy_config::model::{Bind, BindAddress, Config};
use proxy_table::Table;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc};

pub use clock::now_ms;
pub use files::read_regular;
pub use inherit::KnownServer;
pub use limits::{Given, Limits, MOST_DESCRIPTORS, TooFew};
pub use listener::{Sockets, open_socket};
pub use log::{LogQueue, MAX_QUEUED_BYTES, MAX_QUEUED_LINES};
pub use orders::{OrderRefused, ServerOrder, ServerView};
pub use sessions::{SessionRow, Sessions, SessionsStep};
pub use tls::{TlsBinds, load_tls};

use crate::core::{MAX_MAIL, Mail};
use shared::{BackendState, LastCheck, ServerState, Shared};
use stats::counters::CoreCounters;
use watchdog::{Station, watched};

/// The target of events about servers that come and go: their number is bounded by the checks, and each is wanted.
pub const SERVER_STATE: &str = "server-state";

/// Called on a change; must not block.
pub type Callback = Box<dyn Fn() + Send + Sync>;
/// Something that runs on the service thread.
pub type ServiceFuture = Pin<Box<dyn Future<Output = ()>>>;
type ServiceStart = Box<dyn FnOnce() -> ServiceFuture + Send>;

/// Remembers this machine's time zone for log lines: to be called before a change of the root folder.
pub fn remember_time_zone() {
    log::date::zone();
}

/// How a proxy runs, apart from its configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node's name, for logs.
    pub member: String,
    /// Number of cores: threads that carry traffic.
    pub cores: usize,
    /// Write log lines to standard output too.
    pub log_to_stdout: bool,
    /// Accept nothing before [`Proxy::set_accepting`]: another process still does.
    pub hold: bool,
    /// How many connections it carries.
    pub limits: Limits,
}

/// What a listener has answered of this process' own requests.
#[derive(Clone, Debug)]
pub struct ListenerView {
    /// Its frontend.
    pub frontend: String,
    /// Where it listens.
    pub address: String,
    /// How many it has answered.
    pub answers: u64,
    /// Milliseconds since the last answer; `None`: there was none.
    pub answered_ms: Option<u64>,
    /// Cores that answered in the last round.
    pub cores: usize,
}

/// A running proxy; clones are handles to the same one.
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
    service: Arc<RwLock<Option<mpsc::UnboundedSender<ServiceStart>>>>,
}

impl Proxy {
    /// Builds everything a configuration names; nothing runs yet. `seed` feeds the tables' hashing.
    #[must_use]
    pub fn build(config: Arc<Config>, tls: TlsBinds, options: Options, seed: u64) -> Self {
        let now = now_ms();
        let counts: Vec<usize> = config.backends.iter().map(|b| b.servers.len()).collect();
        let counters = || Arc::new(CoreCounters::new(config.frontends.len(), &counts));
        let tables = config.tables.iter().map(|schema| Arc::new(Table::new(schema.clone(), seed))).collect();
        let shared = Shared {
            backends: config.backends.iter().map(|b| decisions(b, seed, now)).collect(),
            servers: config
                .backends
                .iter()
                .map(|b| b.servers.iter().map(|s| state(s, now)).collect())
                .collect(),
            tables,
            counters: (0..options.cores).map(|_| counters()).collect(),
            mailboxes: RwLock::default(),
            turn: Notify::new(),
            backend_states: config.backends.iter().map(|_| BackendState::new(now)).collect(),
            accepting: AtomicBool::new(!options.hold),
            stopping: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            ears: AtomicUsize::new(0),
            master: AtomicBool::new(false),
            on_server_change: Mutex::default(),
            selftest: Arc::new(selftest::SelfTest::new(config.frontends.len(), config.binds.len())),
            places: Arc::new(limits::Places::new(options.limits, &config)),
            watchdog: Arc::new(watchdog::Watchdog::new(options.cores)),
            dropped_logs: AtomicU64::new(0),
            aside: aside::Aside::default(),
            options,
            config,
            tls,
        };
        Self { shared: Arc::new(shared), service: Arc::default() }
    }

    /// Starts the cores, the service thread, and those beside them that no traffic waits for.
    ///
    /// # Errors
    /// A thread could not be started.
    pub fn start(&self, mut sockets: Sockets) -> io::Result<()> {
        log::start(&self.shared.config)?;
        self.shared.aside.start()?;
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.service.write() = Some(sender);
        self.shared.watchdog.start()?;
        let shared = Arc::clone(&self.shared);
        std::thread::Builder::new().name("service".to_owned()).spawn(move || serve(&shared, receiver))?;
        for core in (0..self.shared.options.cores).rev() {
            let own =
                sockets.binds.iter_mut().enumerate().filter_map(|(bind, group)| Some((bind, group.pop()?)));
            let own: Vec<_> = own.collect();
            let (sender, mailbox) = mpsc::channel::<Mail>(MAX_MAIL);
            self.shared.mailboxes.write().push(sender);
            let shared = Arc::clone(&self.shared);
            std::thread::Builder::new().name(format!("core-{core}")).spawn(move || {
                if let Err(error) = crate::core::run(core, shared, own, mailbox) {
                    tracing::error!(core, %error, "core cannot run");
                }
            })?;
        }
        Ok(())
    }

    /// Runs a future on the service thread, beside the health checks.
    pub fn spawn_service<F: Future<Output = ()> + 'static>(
        &self,
        start: impl FnOnce() -> F + Send + 'static,
    ) {
        if let Some(service) = &*self.service.read() {
            let pulse = self.shared.watchdog.service();
            let start: ServiceStart = Box::new(move || Box::pin(watched(pulse, Station::Service, start())));
            // The service thread lives as long as the process.
            let _ = service.send(start);
        }
    }

    /// Runs a future on the thread for commands: it may take its time, and nothing of the proxy waits for it. `false`:
    /// that thread has too much to do.
    pub fn spawn_aside<F: Future<Output = ()> + 'static>(
        &self,
        start: impl FnOnce() -> F + Send + 'static,
    ) -> bool {
        self.shared.aside.spawn(start)
    }

    /// The configuration it was built from.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// All stick tables, by table id.
    #[must_use]
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.shared.tables
    }

    /// How often each core has turned; a core that is alive turns many times a second.
    #[must_use]
    pub fn turns(&self) -> Vec<u64> {
        self.shared.counters.iter().map(|c| c.turns.read()).collect()
    }

    /// Whether connections to this process' own listeners wait in vain to be accepted, or answered.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.shared.selftest.is_deaf()
    }

    /// What each listener has answered of this process' own requests.
    #[must_use]
    pub fn listeners(&self) -> Vec<ListenerView> {
        let config = &self.shared.config;
        let binds = config.binds.iter().zip(self.shared.selftest.answers());
        let view = |(bind, answers): (&Bind, &selftest::Answers)| ListenerView {
            frontend: config.frontends[bind.frontend.0 as usize].name.clone(),
            address: match &bind.address {
                BindAddress::Tcp(address) => address.to_string(),
                BindAddress::Unix(path) => path.display().to_string(),
                BindAddress::Abstract(name) => format!("abns@{name}"),
                BindAddress::Inherited(number) => format!("fd@{number}"),
            },
            answers: answers.count.load(Relaxed),
            answered_ms: Some(answers.last_ms.load(Relaxed))
                .filter(|at| *at > 0)
                .map(|at| now_ms().saturating_sub(at)),
            cores: answers.cores.load(Relaxed),
        };
        binds.map(view).collect()
    }

    /// Whether every checked server has had its first result.
    #[must_use]
    pub fn checks_done(&self) -> bool {
        let servers = self.shared.backends.iter().flat_map(Backend::servers);
        servers
            .filter(|s| s.admin() != proxy_backend::Admin::Maint)
            .all(|s| s.with_health(|h| h.was_checked()).unwrap_or(true))
    }

    /// Stops accepting; sessions end with their current request.
    pub fn set_stopping(&self) {
        self.shared.stopping.store(true, Relaxed);
        self.shared.turn.notify_waiters();
    }

    /// Says whether the addresses have moved to another node, while this one still serves what it has begun: clients
    /// are told to close at their next response. Nothing is closed under them.
    pub fn set_leaving(&self, leaving: bool) {
        self.shared.leaving.store(leaving, Relaxed);
    }

    /// Begins to accept, where that was held back.
    pub fn set_accepting(&self) {
        self.shared.accepting.store(true, Relaxed);
        self.shared.turn.notify_waiters();
    }

    /// Waits until this process accepts.
    pub async fn until_accepting(&self) {
        self.shared.until(Shared::is_accepting).await;
    }

    /// Waits until this process no longer accepts.
    pub async fn until_stopping(&self) {
        self.shared.until(Shared::is_stopping).await;
    }

    /// Waits until no core can accept another connection, after [`Proxy::set_stopping`].
    pub async fn until_deaf(&self) {
        self.shared.until(Shared::is_deaf).await;
    }

    /// Client connections now.
    #[must_use]
    pub fn sessions_count(&self) -> u64 {
        self.shared.counters.iter().map(|c| c.current.read()).sum()
    }

    /// How many connections it carries.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.shared.places.limits()
    }

    /// How often something could not be done for want of descriptors, memory or ports.
    #[must_use]
    pub fn shortages(&self) -> u64 {
        self.shared.places.shortages()
    }

    /// Turns of a core's loop, which are one wake-up of one task each, that took 20 ms of CPU time or more.
    #[must_use]
    pub fn slow_turns(&self) -> u64 {
        self.shared.watchdog.slow()
    }

    /// CPU time of the longest turn in milliseconds, to within 4 ms.
    #[must_use]
    pub fn longest_turn_ms(&self) -> u64 {
        self.shared.watchdog.longest_ms()
    }

    /// Says whether this node owns the virtual address, for rules that ask.
    pub fn set_master(&self, master: bool) {
        self.shared.master.store(master, Relaxed);
    }

    /// Rows of `show stat`, each made when it is asked for.
    pub fn stats(&self) -> impl Iterator<Item = stats::Row> + use<> {
        let proxy = self.clone();
        stats::places(&self.shared).into_iter().map(move |place| stats::row(&proxy.shared, place))
    }

    /// Log lines that nobody took.
    #[must_use]
    pub fn dropped_logs(&self) -> u64 {
        stats::dropped_logs(&self.shared)
    }

    /// Fields of `show info`.
    #[must_use]
    pub fn info(&self) -> BTreeMap<&'static str, String> {
        stats::info(&self.shared)
    }
}

fn serve(shared: &Arc<Shared>, mut starts: mpsc::UnboundedReceiver<ServiceStart>) {
    let mut builder = Builder::new_current_thread();
    let runtime = match builder.enable_io().enable_time().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "service thread cannot run");
            return;
        }
    };
    let pulse = shared.watchdog.service();
    pulse.begin();
    runtime.block_on(async {
        checks::spawn(shared);
        let expiry = expire(Arc::clone(shared));
        tokio::task::spawn_local(watched(Arc::clone(&pulse), Station::Expiry, expiry));
        let asking = selftest::run(Arc::clone(shared));
        tokio::task::spawn_local(watched(pulse, Station::SelfTest, asking));
        while let Some(start) = starts.recv().await {
            tokio::task::spawn_local(start());
        }
    });
}

/// How often tables are looked through for entries that have expired, and how many are looked at.
const EXPIRY_REST: Duration = Duration::from_millis(100);
const EXPIRY_BUDGET: usize = 10_000;

async fn expire(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(EXPIRY_REST).await;
        for table in &shared.tables {
            table.expire(now_ms(), EXPIRY_BUDGET);
        }
    }
}

fn decisions(backend: &proxy_config::model::Backend, seed: u64, now_ms: u64) -> Backend<shared::Waiter> {
    let servers = backend.servers.iter().map(|s| ServerSettings {
        name: s.name.clone(),
        id: s.id,
        weight: s.weight,
        max_connections: s.maxconn,
        max_queue: s.maxqueue,
        backup: s.backup,
        disabled: s.disabled,
        health: s.check.as_ref().map(checks::health_settings),
    });
    let settings = Settings {
        name: backend.name.clone(),
        algorithm: backend.balance.algorithm,
        draws: backend.balance.draws,
        seed,
        servers: servers.collect(),
        all_backups: backend.options.allbackups,
    };
    Backend::new(settings, now_ms)
}

fn state(server: &proxy_config::model::Server, now_ms: u64) -> ServerState {
    ServerState {
        address: RwLock::new(server.address),
        last_check: Mutex::new(LastCheck::default()),
        check_enabled: AtomicBool::new(true),
        disabled_by_file: AtomicBool::new(server.disabled),
        changed_ms: AtomicU64::new(now_ms),
        failed_checks: AtomicU64::new(0),
        downs: AtomicU64::new(0),
        down_ms: AtomicU64::new(0),
    }
}
