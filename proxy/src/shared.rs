//! What all cores see: the configuration, the backends' decisions, the tables, and switches.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};
use proxy_backend::{Admin, Backend, Outcome};
use proxy_config::model::{Config, LogAddress};
use proxy_table::Table;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::aside::Aside;
use crate::clock::now_ms;
use crate::core::Mail;
use crate::limits::Places;
use crate::log;
use crate::selftest::SelfTest;
use crate::stats::counters::{CoreCounters, Count, Rate};
use crate::tls::TlsBinds;
use crate::watchdog::Watchdog;
use crate::{Callback, Options};

/// Wakes a request that waits for a place on a server, by telling it which; `None`: its server is gone, and it chooses
/// anew.
pub(crate) type Waiter = oneshot::Sender<Option<usize>>;

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
    /// It is in maintenance because the file says so.
    pub(crate) disabled_by_file: AtomicBool,
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
    pub(crate) backend_states: Vec<BackendState>,
    pub(crate) accepting: AtomicBool,
    pub(crate) stopping: AtomicBool,
    /// Clients are to come again elsewhere.
    pub(crate) leaving: AtomicBool,
    /// Loops that accept, over all cores.
    pub(crate) ears: AtomicUsize,
    pub(crate) master: AtomicBool,
    pub(crate) on_server_change: Mutex<Vec<Callback>>,
    pub(crate) selftest: Arc<SelfTest>,
    /// What connections may take.
    pub(crate) places: Arc<Places>,
    pub(crate) watchdog: Arc<Watchdog>,
    /// Lines about servers that were lost.
    pub(crate) dropped_logs: AtomicU64,
    pub(crate) aside: Aside,
}

impl LastCheck {
    /// What its status means, in HAProxy's words.
    pub(crate) fn meaning(&self) -> &'static str {
        match self.status {
            "" => "Initializing",
            "L4OK" => "Layer4 check passed",
            "L4CON" => "Layer4 connection problem",
            "L4TOUT" => "Layer4 timeout",
            "L7OK" => "Layer7 check passed",
            "L7STS" => "Layer7 wrong status",
            "L7TOUT" => "Layer7 timeout",
            "L7RSP" => "Layer7 invalid response",
            "SOCKERR" => "Socket error",
            other => other,
        }
    }

    /// What it saw, in HAProxy's words.
    fn reason(&self) -> String {
        let words = self.meaning();
        let code = self.code.map(|code| format!(", code: {code}")).unwrap_or_default();
        let info = match self.description.as_str() {
            "" => String::new(),
            info => format!(", info: \"{info}\""),
        };
        format!("{words}{code}{info}, check duration: {}ms", self.duration_ms)
    }
}

/// Why a server's health changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// What its own check saw.
    Check,
    /// An order.
    Order,
    /// What another node's checks saw.
    Neighbour,
}

/// A backend as a whole: it is up while one of its servers takes new sessions.
#[derive(Debug)]
pub(crate) struct BackendState {
    pub(crate) is_up: AtomicBool,
    pub(crate) changed_ms: AtomicU64,
    pub(crate) down_ms: AtomicU64,
    pub(crate) downs: AtomicU64,
}

impl BackendState {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            is_up: AtomicBool::new(true),
            changed_ms: AtomicU64::new(now_ms),
            down_ms: AtomicU64::new(0),
            downs: AtomicU64::new(0),
        }
    }
}

/// Severities of syslog.
const EMERGENCY: u8 = 0;
const ALERT: u8 = 1;
const NOTICE: u8 = 5;

impl Shared {
    /// Whether a frontend, or the process, has all the connections it may have.
    pub(crate) fn is_full(&self, frontend: usize) -> bool {
        self.places.is_full(frontend)
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

    /// Notes how many there are at a time, over all cores. The others are asked only while this one is as busy as it
    /// has ever been: what they count changes all the time, and a request must not wait for it.
    pub(crate) fn raise_most(
        &self,
        current: u64,
        peak: &Count,
        most: &Count,
        of: impl Fn(&CoreCounters) -> &Count,
    ) {
        if current >= peak.read() {
            peak.raise(current);
            most.raise(self.counters.iter().map(|core| of(core).read()).sum());
        }
    }

    /// Counts an event of a rate, and notes how many there are in a second, over all cores.
    pub(crate) fn hit(&self, rate: &Rate, now_ms: u64, of: impl Fn(&CoreCounters) -> &Rate) {
        if rate.hit(now_ms) {
            rate.most.raise(self.counters.iter().map(|core| of(core).this_second(now_ms)).sum());
        }
    }

    /// Gives a place back and wakes whoever it goes to.
    pub(crate) fn release(&self, backend: usize, server: usize) {
        self.backends[backend].release(server, |waiter, index| waiter.send(Some(index)).is_ok());
    }

    /// Gives free places to those who wait.
    pub(crate) fn hand_out(&self, backend: usize) {
        self.backends[backend].hand_out_all(|waiter, index| waiter.send(Some(index)).is_ok());
    }

    /// Lets those who wait for a server that is gone choose another; how many there were.
    fn send_away(&self, backend: usize, server: usize) -> usize {
        // Who has given up meanwhile needs no other.
        self.backends[backend].send_away(server, |waiter| {
            let _ = waiter.send(None);
        })
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
            self.server_changed(backend, server, Cause::Check);
        }
    }

    /// Bookkeeping after a change of a server's health.
    pub(crate) fn server_changed(&self, backend: usize, server: usize, cause: Cause) {
        let now = now_ms();
        let state = &self.servers[backend][server];
        let before = state.changed_ms.swap(now, Relaxed);
        let row = &self.backends[backend].servers()[server];
        let (name, owner) = (&row.name, &self.backends[backend].name);
        let why = match cause {
            Cause::Check => format!(", reason: {}", state.last_check.lock().reason()),
            Cause::Order => ", changed from CLI".to_owned(),
            Cause::Neighbour => ", reason: another node says so".to_owned(),
        };
        if row.is_up() {
            state.down_ms.fetch_add(now - before, Relaxed);
            self.say(backend, NOTICE, &format!("Server {owner}/{name} is UP{why}.{}", self.online(backend)));
            self.hand_out(backend);
        } else {
            state.downs.fetch_add(1, Relaxed);
            let requeued = self.send_away(backend, server);
            let left = self.left(backend, server, requeued);
            self.say(backend, ALERT, &format!("Server {owner}/{name} is DOWN{why}.{left}"));
        }
        self.tell_of_servers(backend);
    }

    /// How many servers of a backend take new sessions: of its own, and backup servers.
    fn takers(&self, backend: usize) -> [usize; 2] {
        let servers = self.backends[backend].servers();
        [false, true].map(|backup| servers.iter().filter(|s| s.backup == backup && s.takes_new()).count())
    }

    /// What is said after a server has come.
    fn online(&self, backend: usize) -> String {
        let [active, backup] = self.takers(backend);
        format!(
            " {active} active and {backup} backup servers online. 0 sessions requeued, {} total in queue.",
            self.backends[backend].waiting_for(None)
        )
    }

    /// What is said after a server has gone.
    fn left(&self, backend: usize, server: usize, requeued: usize) -> String {
        let [active, backup] = self.takers(backend);
        format!(
            " {active} active and {backup} backup servers left. {} sessions active, {requeued} requeued, {} remaining in \
             queue.",
            self.backends[backend].servers()[server].sessions(),
            self.backends[backend].waiting_for(None)
        )
    }

    /// Says when a backend has lost its last server, keeps its times, and tells whoever asked.
    fn tell_of_servers(&self, backend: usize) {
        let is_up = self.takers(backend) != [0, 0] || self.config.backends[backend].servers.is_empty();
        let state = &self.backend_states[backend];
        let was_up = state.is_up.swap(is_up, Relaxed);
        if was_up != is_up {
            let now = now_ms();
            let before = state.changed_ms.swap(now, Relaxed);
            if is_up {
                state.down_ms.fetch_add(now.saturating_sub(before), Relaxed);
            } else {
                state.downs.fetch_add(1, Relaxed);
                let name = &self.backends[backend].name;
                self.say(backend, EMERGENCY, &format!("backend {name} has no server available!"));
            }
        }
        for callback in self.on_server_change.lock().iter() {
            callback();
        }
    }

    /// Says what happened to a backend: here, and to its log targets.
    fn say(&self, backend: usize, severity: u8, line: &str) {
        tracing::warn!(target: crate::SERVER_STATE, "{line}");
        let settings = &self.config.backends[backend];
        let from = log::From::new(&self.config, settings.log_tag.as_deref());
        for target in
            settings.log.iter().filter(|t| !matches!(t.address, LogAddress::Stdout | LogAddress::Stderr))
        {
            // A full socket loses the line, as it loses others.
            if !log::send(target, severity, from, line.as_bytes()) {
                self.dropped_logs.fetch_add(1, Relaxed);
            }
        }
    }

    /// Sets what the administrator wants of a server.
    pub(crate) fn set_admin(&self, backend: usize, server: usize, admin: Admin) {
        let row = &self.backends[backend].servers()[server];
        let before = row.admin();
        if before == admin {
            return;
        }
        self.backends[backend].set_admin(server, admin);
        let requeued = if admin == Admin::Maint { self.send_away(backend, server) } else { 0 };
        let now = now_ms();
        let state = &self.servers[backend][server];
        state.disabled_by_file.store(false, Relaxed);
        let since = state.changed_ms.swap(now, Relaxed);
        if before == Admin::Maint {
            state.down_ms.fetch_add(now.saturating_sub(since), Relaxed);
        } else if admin == Admin::Maint && row.is_up() {
            state.downs.fetch_add(1, Relaxed);
        }
        let up = if row.is_up() { "UP" } else { "DOWN" };
        let whose = format!("Server {}/{}", self.backends[backend].name, row.name);
        match (before, admin) {
            (_, Admin::Maint) if !row.is_up() => {
                self.say(backend, NOTICE, &format!("{whose} was DOWN and now enters maintenance."));
            }
            (_, Admin::Maint) => {
                let level = if before == Admin::Drain { NOTICE } else { ALERT };
                let left = self.left(backend, server, requeued);
                self.say(backend, level, &format!("{whose} is going DOWN for maintenance.{left}"));
            }
            (Admin::Maint, Admin::Drain) => {
                self.say(backend, NOTICE, &format!("{whose} is {up}/DRAIN (leaving forced maintenance)."));
                self.say(backend, NOTICE, &format!("{whose} remains in forced drain mode."));
            }
            (Admin::Maint, Admin::Ready) => {
                self.say(backend, NOTICE, &format!("{whose} is {up}/READY (leaving forced maintenance)."));
            }
            (Admin::Ready, _) => {
                let online = self.online(backend);
                self.say(backend, NOTICE, &format!("{whose} enters drain state.{online}"));
            }
            (Admin::Drain, _) => {
                self.say(backend, NOTICE, &format!("{whose} is {up} (leaving forced drain)."));
            }
        }
        self.hand_out(backend);
        self.tell_of_servers(backend);
    }
}
