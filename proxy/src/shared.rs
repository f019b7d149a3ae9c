//! What all cores see: the configuration, the backends' decisions, the tables, and switches.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};
use proxy_backend::{Admin, Backend, Outcome, Pick};
use proxy_config::model::Config;
use proxy_table::Table;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::clock::now_ms;
use crate::core::Mail;
use crate::stats::counters::CoreCounters;
use crate::{Callback, Options};

/// Wakes a request that waits for a place on a server, by telling it which.
pub(crate) type Waiter = oneshot::Sender<usize>;

/// What a server's last check said, for people.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastCheck {
    pub(crate) status: &'static str,
    pub(crate) code: Option<u16>,
    pub(crate) duration_ms: u64,
    pub(crate) description: String,
}

/// What changes about a server besides its load.
pub(crate) struct ServerState {
    pub(crate) address: RwLock<SocketAddr>,
    pub(crate) last_check: Mutex<LastCheck>,
    pub(crate) check_enabled: AtomicBool,
    pub(crate) changed_ms: AtomicU64,
    pub(crate) failed_checks: AtomicU64,
    pub(crate) downs: AtomicU64,
    pub(crate) down_ms: AtomicU64,
}

/// The part of a running proxy that all cores share.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) options: Options,
    pub(crate) backends: Vec<Backend<Waiter>>,
    pub(crate) servers: Vec<Vec<ServerState>>,
    pub(crate) tables: Vec<Arc<Table>>,
    pub(crate) counters: Vec<Arc<CoreCounters>>,
    pub(crate) mailboxes: RwLock<Vec<mpsc::Sender<Mail>>>,
    pub(crate) stop: Notify,
    pub(crate) stopping: AtomicBool,
    pub(crate) master: AtomicBool,
    pub(crate) on_server_change: Mutex<Vec<Callback>>,
}

impl Shared {
    /// Whether a frontend, or the process, has all the connections it may have.
    pub(crate) fn is_full(&self, frontend: usize) -> bool {
        let of = |read: &dyn Fn(&CoreCounters) -> u64| self.counters.iter().map(|c| read(c)).sum::<u64>();
        of(&|c| c.frontends[frontend].current.read()) >= u64::from(self.config.frontends[frontend].maxconn)
            || self.config.global.maxconn.is_some_and(|limit| of(&|c| c.current.read()) >= limit)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Gives a place back and wakes whoever it goes to.
    pub(crate) fn release(&self, backend: usize, server: usize) {
        self.backends[backend].release(server, |waiter, index| waiter.send(index).is_ok());
    }

    /// Gives free places to those who wait.
    pub(crate) fn hand_out(&self, backend: usize) {
        self.backends[backend].hand_out_all(|waiter, index| waiter.send(index).is_ok());
    }

    /// Counts a check and tells everyone who asked if the server changed.
    pub(crate) fn count_check(&self, backend: usize, server: usize, outcome: Outcome, last: LastCheck) {
        let state = &self.servers[backend][server];
        if outcome == Outcome::Failed && self.backends[backend].servers()[server].is_up() {
            state.failed_checks.fetch_add(1, Relaxed);
        }
        *state.last_check.lock() = last;
        let change = self.backends[backend].count(server, outcome, now_ms());
        if change.is_some() {
            self.server_changed(backend, server);
        }
    }

    /// Bookkeeping after any change of a server's state.
    pub(crate) fn server_changed(&self, backend: usize, server: usize) {
        let now = now_ms();
        let state = &self.servers[backend][server];
        let before = state.changed_ms.swap(now, Relaxed);
        let row = &self.backends[backend].servers()[server];
        let (name, owner) = (&row.name, &self.backends[backend].name);
        let usable = self.backends[backend].usable();
        if row.is_up() {
            state.down_ms.fetch_add(now - before, Relaxed);
            tracing::warn!("Server {owner}/{name} is UP. {usable} servers can be used.");
            self.hand_out(backend);
        } else {
            state.downs.fetch_add(1, Relaxed);
            let last = state.last_check.lock();
            let (status, what) = (last.status, &last.description);
            tracing::warn!(
                "Server {owner}/{name} is DOWN, reason: {status} {what}. {usable} servers can be used."
            );
        }
        if usable == 0 {
            tracing::error!("backend '{owner}' has no server available!");
        }
        for callback in self.on_server_change.lock().iter() {
            callback();
        }
    }

    /// Sets what the administrator wants of a server.
    pub(crate) fn set_admin(&self, backend: usize, server: usize, admin: Admin) {
        self.backends[backend].set_admin(server, admin);
        self.servers[backend][server].changed_ms.store(now_ms(), Relaxed);
        self.hand_out(backend);
        for callback in self.on_server_change.lock().iter() {
            callback();
        }
    }

    /// Chooses by balance.
    pub(crate) fn pick(&self, backend: usize, source: std::net::IpAddr, avoid: Option<usize>) -> Pick {
        self.backends[backend].pick(proxy_backend::balance::source_hash(source), avoid)
    }
}
