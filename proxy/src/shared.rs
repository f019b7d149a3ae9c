//! What all cores see: the configuration, the backends' decisions, the tables, and switches.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};
use proxy_backend::{Admin, Backend, Outcome, Pick};
use proxy_config::model::{Config, LogAddress};
use proxy_table::Table;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::aside::Aside;
use crate::clock::now_ms;
use crate::core::Mail;
use crate::log;
use crate::selftest::SelfTest;
use crate::stats::counters::CoreCounters;
use crate::tls::TlsBinds;
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
    pub(crate) tls: TlsBinds,
    pub(crate) options: Options,
    pub(crate) backends: Vec<Backend<Waiter>>,
    pub(crate) servers: Vec<Vec<ServerState>>,
    pub(crate) tables: Vec<Arc<Table>>,
    pub(crate) counters: Vec<Arc<CoreCounters>>,
    pub(crate) mailboxes: RwLock<Vec<mpsc::Sender<Mail>>>,
    /// Called when `accepting` or `stopping` changes.
    pub(crate) turn: Notify,
    pub(crate) accepting: AtomicBool,
    pub(crate) stopping: AtomicBool,
    /// Clients are to come again elsewhere.
    pub(crate) leaving: AtomicBool,
    /// Loops that accept, over all cores.
    pub(crate) ears: AtomicUsize,
    pub(crate) master: AtomicBool,
    pub(crate) on_server_change: Mutex<Vec<Callback>>,
    pub(crate) selftest: Arc<SelfTest>,
    /// Lines about servers that were lost.
    pub(crate) dropped_logs: AtomicU64,
    pub(crate) aside: Aside,
}

impl LastCheck {
    /// What it saw, in HAProxy's words.
    fn reason(&self) -> String {
        let words = match self.status {
            "L4OK" => "Layer4 check passed",
            "L4CON" => "Layer4 connection problem",
            "L4TOUT" => "Layer4 timeout",
            "L7OK" => "Layer7 check passed",
            "L7STS" => "Layer7 wrong status",
            "L7TOUT" => "Layer7 timeout",
            "L7RSP" => "Layer7 invalid response",
            "" => "another node says so",
            other => other,
        };
        let code = self.code.map(|code| format!(", code: {code}")).unwrap_or_default();
        let info = match (self.description.as_str(), self.code) {
            ("", _) | (_, Some(_)) => String::new(),
            (info, None) => format!(", info: \"{info}\""),
        };
        format!("{words}{code}{info}, check duration: {}ms", self.duration_ms)
    }
}

/// Severities of syslog.
const EMERGENCY: u8 = 0;
const ALERT: u8 = 1;
const NOTICE: u8 = 5;

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

    /// Whether no connection of a client shall go on for longer than it must.
    pub(crate) fn lets_go(&self) -> bool {
        self.is_stopping() || self.leaving.load(Relaxed)
    }

    pub(crate) fn is_accepting(&self) -> bool {
        self.accepting.load(Relaxed)
    }

    /// An accept loop begins, or has ended for good.
    pub(crate) fn count_ear(&self, begins: bool) {
        if begins {
            self.ears.fetch_add(1, Relaxed);
        } else {
            self.ears.fetch_sub(1, Relaxed);
            self.turn.notify_waiters();
        }
    }

    pub(crate) fn is_deaf(&self) -> bool {
        self.is_stopping() && self.ears.load(Relaxed) == 0
    }

    /// Waits until a switch is thrown.
    pub(crate) async fn until(&self, thrown: fn(&Self) -> bool) {
        loop {
            let mut turn = pin!(self.turn.notified());
            // First the ear, then the look: a turn between the two is heard.
            turn.as_mut().enable();
            if thrown(self) {
                return;
            }
            turn.await;
        }
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
        let servers = self.backends[backend].servers();
        let left = |backup: bool| servers.iter().filter(|s| s.backup == backup && s.takes_new()).count();
        let (active, backup) = (left(false), left(true));
        let reason = state.last_check.lock().reason();
        if row.is_up() {
            state.down_ms.fetch_add(now - before, Relaxed);
            let line = format!(
                "Server {owner}/{name} is UP, reason: {reason}. {active} active and {backup} backup servers \
                 online. 0 sessions requeued, {} total in queue.",
                self.backends[backend].waiting_for(None)
            );
            self.say(backend, NOTICE, &line);
            self.hand_out(backend);
        } else {
            state.downs.fetch_add(1, Relaxed);
            let line = format!(
                "Server {owner}/{name} is DOWN, reason: {reason}. {active} active and {backup} backup servers \
                 left. {} sessions active, 0 requeued, {} remaining in queue.",
                row.sessions(),
                self.backends[backend].waiting_for(None)
            );
            self.say(backend, ALERT, &line);
        }
        if active + backup == 0 {
            self.say(backend, EMERGENCY, &format!("backend {owner} has no server available!"));
        }
        for callback in self.on_server_change.lock().iter() {
            callback();
        }
    }

    /// Says what happened to a backend: here, and to its log targets.
    fn say(&self, backend: usize, severity: u8, line: &str) {
        tracing::warn!(target: crate::SERVER_STATE, "{line}");
        let tag = self.config.global.log_tag.as_deref().unwrap_or("haproxy");
        let targets = self.config.backends[backend].log.iter().filter(|t| t.max_level >= severity);
        for target in targets.filter(|t| !matches!(t.address, LogAddress::Stdout | LogAddress::Stderr)) {
            // A full socket loses the line, as it loses others.
            if !log::send(target, severity, tag, line.as_bytes()) {
                self.dropped_logs.fetch_add(1, Relaxed);
            }
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
