//! How many connections this process carries: as many as its descriptors and its memory do, less what checks, links,
//! logs and commands need. Accepting pauses when they are there, and nothing else ever runs short.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use proxy_config::model::Config;
use tokio::sync::Notify;

use crate::clock::now_ms;
use crate::silent::MAX_SILENT;
use crate::timers::TICK_MS;

/// Most descriptors of a process, whatever the system allows: containers are given a thousand millions, and the kernel
/// keeps a table of as many as there are.
pub const MOST_DESCRIPTORS: u64 = 1_048_576;
/// What a connection may take of memory where 'maxconn' is derived: a buffer for each of its two sides.
const BUFFERS_OF_CONNECTION: u64 = 2;
/// Of the memory there is, so many quarters are for connections; the rest is for tables and for everybody else.
const QUARTERS_FOR_CONNECTIONS: u64 = 3;
/// Descriptors of a connection: the client's side and the server's.
const OF_CONNECTION: u64 = 2;
/// Descriptors of a thread's runtime and of its log targets: epoll, its waker, signals, and a socket for each kind of
/// target.
const OF_THREAD: u64 = 6;
/// Descriptors of a listener on one core: the socket, and a connection that lost the race for the last place.
const OF_LISTENER: u64 = 2;
/// Descriptors of a socket of the runtime API: itself, and commands at the same time.
const OF_STATS_SOCKET: u64 = 17;
/// Descriptors of another machine: the session from here, and that from there.
const OF_MACHINE: u64 = 2;
/// Descriptors of the process itself: standard streams, the supervisor's link, memory files of its answers, the stream
/// to the next worker, files that are read, this process' questions to its own listeners, and handshakes of members.
const OF_PROCESS: u64 = 40;

/// Between two lines about the same shortage, in milliseconds.
const SAID_MS: u64 = 1_000;

/// What the machine gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Descriptors that this process may have.
    pub descriptors: u64,
    /// Bytes of memory it may use, where that is known.
    pub memory: Option<u64>,
}

/// How many connections a process carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections of clients.
    pub connections: u64,
    /// Descriptors kept for everything else.
    pub reserve: u64,
    /// Descriptors the process is allowed.
    pub allowed: u64,
    /// Where fewer connections are carried than the file asks for.
    pub short: Option<TooFew>,
}

/// There are not descriptors enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFew {
    /// For so many connections.
    pub connections: u64,
    /// Descriptors needed for them.
    pub needed: u64,
    /// Descriptors there are.
    pub given: u64,
}

impl Limits {
    /// What a configuration means on this machine: `maxconn` as it is written, or as many as descriptors (`ulimit-n`,
    /// `fd-hard-limit`, the system's limit, [`MOST_DESCRIPTORS`]) and memory carry. `machines`: others this one talks to.
    ///
    /// # Errors
    /// There are not descriptors enough for `maxconn`, and the file does not say `no strict-limits`; or for none.
    pub fn plan(config: &Config, cores: usize, machines: usize, given: Given) -> Result<Self, TooFew> {
        let global = &config.global;
        let reserve = reserve(config, cores, machines);
        let bounds = [global.fd_hard_limit, global.ulimit_n].into_iter().flatten();
        let descriptors = bounds.fold(given.descriptors.min(MOST_DESCRIPTORS), u64::min);
        let carried = descriptors.saturating_sub(reserve) / OF_CONNECTION;
        let needed = |connections| OF_CONNECTION * connections + reserve;
        let of_connection = BUFFERS_OF_CONNECTION * global.tuning.buffer as u64;
        let by_memory =
            given.memory.map_or(u64::MAX, |bytes| bytes / 4 * QUARTERS_FOR_CONNECTIONS / of_connection);
        let wanted = global.maxconn.unwrap_or_else(|| carried.min(by_memory).max(1));
        let short = TooFew { connections: wanted, needed: needed(wanted), given: descriptors };
        if wanted <= carried {
            return Ok(Self { connections: wanted, reserve, allowed: descriptors, short: None });
        }
        if carried == 0 || !global.lenient_limits {
            return Err(short);
        }
        Ok(Self { connections: carried, reserve, allowed: descriptors, short: Some(short) })
    }

    /// Descriptors that are in use when every connection is.
    #[must_use]
    pub fn needed(&self) -> u64 {
        OF_CONNECTION * self.connections + self.reserve
    }
}

/// Descriptors that no connection of a client, nor one to a server on its behalf, ever takes.
fn reserve(config: &Config, cores: usize, machines: usize) -> u64 {
    let many = |count: usize, each: u64| each.saturating_mul(count as u64);
    let checks = config.backends.iter().flat_map(|b| &b.servers).filter(|s| s.check.is_some()).count();
    OF_PROCESS
        + many(cores + 1, OF_THREAD)
        + many(cores * config.binds.len(), OF_LISTENER)
        + many(cores * usize::from(config.drops_silently()), MAX_SILENT as u64)
        + many(config.global.stats_sockets.len(), OF_STATS_SOCKET)
        + many(machines, OF_MACHINE)
        + many(config.peers.len(), 1)
        + checks as u64
}

impl std::fmt::Display for TooFew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connections, needed, given } = self;
        let s = if *connections == 1 { "" } else { "s" };
        write!(
            f,
            "{connections} connection{s} need {needed} file descriptors and this process may have {given}: raise its \
             limit to {needed} (systemd: 'LimitNOFILE={needed}', a shell: 'ulimit -Hn {needed}', 'ulimit-n' and \
             'fd-hard-limit' in the file), or lower 'maxconn' in the section 'global'"
        )
    }
}

/// The places that connections take, over all cores.
pub(crate) struct Places {
    limits: Limits,
    clients: AtomicU64,
    /// Connections to servers on behalf of clients, idle ones too.
    servers: AtomicU64,
    /// By frontend: its own limit, if it has one, and what it has taken.
    frontends: Vec<(Option<u64>, AtomicU64)>,
    freed: Notify,
    /// Loops that wait for a place.
    waiting: AtomicUsize,
    /// Grows when idle connections to servers are to be closed by all cores.
    relief: AtomicU64,
    /// How often something could not be done for want of descriptors, memory or ports.
    shortages: AtomicU64,
    seldom: Seldom,
}

impl Places {
    pub(crate) fn new(limits: Limits, config: &Config) -> Self {
        let frontend = |limit: Option<u32>| (limit.map(u64::from), AtomicU64::new(0));
        Self {
            limits,
            clients: AtomicU64::new(0),
            servers: AtomicU64::new(0),
            frontends: config.frontends.iter().map(|f| frontend(f.maxconn)).collect(),
            freed: Notify::new(),
            waiting: AtomicUsize::new(0),
            relief: AtomicU64::new(0),
            shortages: AtomicU64::new(0),
            seldom: Seldom::default(),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Most connections of a frontend.
    pub(crate) fn most(&self, frontend: usize) -> u64 {
        self.frontends[frontend].0.unwrap_or(self.limits.connections)
    }

    /// Whether a frontend, or the process, has all the connections it may have.
    pub(crate) fn is_full(&self, frontend: usize) -> bool {
        self.clients.load(Relaxed) >= self.limits.connections
            || self.frontends[frontend].1.load(Relaxed) >= self.most(frontend)
    }

    /// Takes a place for a connection of a client, if there is one.
    pub(crate) fn take_client(self: &Arc<Self>, frontend: usize) -> Option<ClientPlace> {
        take(&self.clients, self.limits.connections).then_some(())?;
        if !take(&self.frontends[frontend].1, self.most(frontend)) {
            self.clients.fetch_sub(1, Relaxed);
            return None;
        }
        Some(ClientPlace(Arc::clone(self), frontend))
    }

    /// Takes a place beyond the limit, for a connection that is accepted already and can be refused no more.
    pub(crate) fn take_client_anyway(self: &Arc<Self>, frontend: usize) -> ClientPlace {
        self.clients.fetch_add(1, Relaxed);
        self.frontends[frontend].1.fetch_add(1, Relaxed);
        ClientPlace(Arc::clone(self), frontend)
    }

    /// Takes a place for a connection to a server, if there is one. There are as many as for clients: where there is
    /// none, idle connections hold some.
    pub(crate) fn take_server(self: &Arc<Self>) -> Option<ServerPlace> {
        take(&self.servers, self.limits.connections).then(|| ServerPlace(Arc::clone(self)))
    }

    /// Waits until a client of this frontend can have a place, or a short time.
    pub(crate) async fn until_freed(&self, frontend: usize) {
        let mut freed = pin!(self.freed.notified());
        freed.as_mut().enable();
        self.waiting.fetch_add(1, Relaxed);
        let _waits = Waits(&self.waiting);
        if self.is_full(frontend) {
            // At most a tick: a place that became free while nobody was seen to wait is not missed for long.
            let _ = tokio::time::timeout(Duration::from_millis(TICK_MS), freed).await;
        }
    }

    /// Has every core close its idle connections to servers, within a tick.
    pub(crate) fn relieve(&self) {
        self.relief.fetch_add(1, Relaxed);
    }

    /// How often relief was asked for.
    pub(crate) fn relief(&self) -> u64 {
        self.relief.load(Relaxed)
    }

    /// Takes note that `what` could not be done for a cause on this machine: idle connections are closed to make room,
    /// and it is said, once a second at most.
    pub(crate) fn note_shortage(&self, what: &str, error: &io::Error) {
        if is_exhaustion(error) {
            self.relieve();
        }
        self.shortages.fetch_add(1, Relaxed);
        let Some(unsaid) = self.seldom.due(now_ms()) else { return };
        let (clients, servers) = (self.clients.load(Relaxed), self.servers.load(Relaxed));
        let allowed = self.limits.allowed;
        tracing::warn!(
            %error, clients, servers, allowed, unsaid,
            "{what}: {}", remedy(error)
        );
    }

    pub(crate) fn shortages(&self) -> u64 {
        self.shortages.load(Relaxed)
    }
}

/// What helps, in one sentence.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            "this process has no file descriptor left: raise its limit (LimitNOFILE=, 'ulimit -n') or lower 'maxconn'"
        }
        Some(libc::ENFILE) => "this machine has no file descriptor left: raise the sysctl fs.file-max",
        Some(libc::ENOMEM | libc::ENOBUFS | libc::ENOSPC) => {
            "the kernel has no memory left for it: lower 'maxconn', or give this machine more"
        }
        Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN) => {
            "this machine has no port left to connect from: widen the sysctl net.ipv4.ip_local_port_range, or let \
             connections to servers be kept ('option http-keep-alive')"
        }
        Some(libc::EPERM | libc::EACCES) => "a firewall or a security module of this machine forbids it",
        _ => "the cause is on this machine",
    }
}

/// Whether an attempt to connect, or to accept, failed for a cause on this machine: it says nothing of the other side.
pub(crate) fn is_local(error: &io::Error) -> bool {
    is_exhaustion(error)
        || matches!(
            error.raw_os_error(),
            Some(
                libc::EADDRNOTAVAIL
                    | libc::EADDRINUSE
                    | libc::EAGAIN
                    | libc::EPERM
                    | libc::EACCES
                    | libc::EAFNOSUPPORT
                    | libc::EPROTONOSUPPORT
            )
        )
}

/// Whether something has run out: descriptors or the kernel's memory.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS | libc::ENOSPC)
    )
}

fn take(count: &AtomicU64, most: u64) -> bool {
    count.fetch_update(Relaxed, Relaxed, |taken| (taken < most).then_some(taken + 1)).is_ok()
}

struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The place of a client's connection; free again when dropped.
pub(crate) struct ClientPlace(Arc<Places>, usize);

impl Drop for ClientPlace {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Relaxed);
        self.0.frontends[self.1].1.fetch_sub(1, Relaxed);
        if self.0.waiting.load(Relaxed) > 0 {
            self.0.freed.notify_waiters();
        }
    }
}

/// The place of a connection to a server; free again when dropped.
pub(crate) struct ServerPlace(Arc<Places>);

impl Drop for ServerPlace {
    fn drop(&mut self) {
        self.0.servers.fetch_sub(1, Relaxed);
    }
}

/// Something that is said once a second at most; what is not said is counted.
#[derive(Default)]
pub(crate) struct Seldom {
    said_ms: AtomicU64,
    unsaid: AtomicU64,
}

impl Seldom {
    /// Whether it may be said now, and how often it was not since it last was.
    pub(crate) fn due(&self, now_ms: u64) -> Option<u64> {
        let said = self.said_ms.load(Relaxed);
        let is_due = said == 0 || now_ms.saturating_sub(said) >= SAID_MS;
        if is_due && self.said_ms.compare_exchange(said, now_ms, Relaxed, Relaxed).is_ok() {
            return Some(self.unsaid.swap(0, Relaxed));
        }
        self.unsaid.fetch_add(1, Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_config::model::Global;

    fn config(global: Global) -> Config {
        Config { global, ..Config::default() }
    }

    fn plan(global: Global, descriptors: u64, memory: Option<u64>) -> Result<(u64, u64), u64> {
        let planned = Limits::plan(&config(global), 2, 1, Given { descriptors, memory });
        planned.map(|limits| (limits.connections, limits.needed())).map_err(|short| short.needed)
    }

    #[test]
    fn maxconn_is_derived_from_descriptors_and_memory() {
        let own = reserve(&config(Global::default()), 2, 1);
        assert_eq!(own, OF_PROCESS + 3 * OF_THREAD + OF_MACHINE);
        let usual = Global::default;
        assert_eq!(plan(usual(), 4_096, None), Ok(((4_096 - own) / 2, 4_096)));
        let most = (MOST_DESCRIPTORS - own) / 2;
        assert_eq!(plan(usual(), 1_073_741_816, None).unwrap().0, most, "a container's limit is no reason");
        assert_eq!(plan(usual(), u64::MAX, None).unwrap().0, most);
        let memory = Some(64 * 1_024 * 1_024);
        assert_eq!(plan(usual(), 1_000_000, memory).unwrap().0, 64 * 1_024 / 32 * 3 / 4);
        assert_eq!(plan(usual(), own + 1, None), Err(own + 2), "not even one");
        let bounded = |fd_hard_limit, ulimit_n| Global { fd_hard_limit, ulimit_n, ..usual() };
        assert_eq!(plan(bounded(Some(400), None), 20_000, None).unwrap().0, (400 - own) / 2);
        assert_eq!(plan(bounded(Some(400), Some(300)), 20_000, None).unwrap().0, (300 - own) / 2);
    }

    #[test]
    fn a_maxconn_that_does_not_fit_is_refused_or_cut() {
        let own = reserve(&config(Global::default()), 2, 1);
        let global = |lenient_limits| Global { maxconn: Some(500), lenient_limits, ..Global::default() };
        assert_eq!(plan(global(false), 1_000 + own, None), Ok((500, 1_000 + own)));
        assert_eq!(plan(global(false), 999 + own, None), Err(1_000 + own));
        assert_eq!(plan(global(true), 999 + own, None), Ok((499, 998 + own)));
        assert_eq!(plan(global(true), own, None), Err(1_000 + own), "nothing is no service");
        let words = TooFew { connections: 500, needed: 1_077, given: 220 }.to_string();
        assert!(words.contains("500 connections need 1077") && words.contains("LimitNOFILE=1077"), "{words}");
    }

    fn places(connections: u64, frontends: &[Option<u32>]) -> Arc<Places> {
        let limits = Limits { connections, reserve: 10, allowed: 100, short: None };
        let mut places = Places::new(limits, &Config::default());
        places.frontends = frontends.iter().map(|most| (most.map(u64::from), AtomicU64::new(0))).collect();
        Arc::new(places)
    }

    #[test]
    fn places_are_taken_to_the_limit_and_come_back() {
        let places = places(3, &[Some(2), None]);
        let first = places.take_client(0).unwrap();
        let second = places.take_client(0);
        assert!(second.is_some() && places.take_client(0).is_none(), "the frontend's limit");
        assert!(places.is_full(0) && !places.is_full(1));
        let third = places.take_client(1);
        assert!(
            third.is_some() && places.take_client(1).is_none() && places.is_full(1),
            "the process' limit"
        );
        drop(first);
        assert!(!places.is_full(0) && places.take_client(0).is_some());
        let servers: Vec<_> = std::iter::from_fn(|| places.take_server()).collect();
        assert_eq!(servers.len(), 3, "as many as clients, idle or not");
        drop((second, third, servers));
        assert_eq!((places.clients.load(Relaxed), places.servers.load(Relaxed)), (0, 0));
    }

    #[test]
    fn places_are_never_more_over_many_threads() {
        let places = places(3, &[Some(2)]);
        let most = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let place = places.take_client(0);
                        most.fetch_max(places.frontends[0].1.load(Relaxed), Relaxed);
                        drop(place);
                    }
                });
            }
        });
        // How many run at a time is the machine's to decide; that two can have a place is another test's.
        let most = most.load(Relaxed);
        assert!((1..=2).contains(&most), "{most}");
        assert_eq!(places.clients.load(Relaxed), 0);
    }

    #[test]
    fn causes_of_this_machine_are_not_the_servers() {
        let is = |code| is_local(&io::Error::from_raw_os_error(code));
        let local =
            [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL, libc::EPERM];
        assert!(local.into_iter().all(is));
        let remote =
            [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::ENETUNREACH, libc::ETIMEDOUT, libc::ECONNRESET];
        assert!(!remote.into_iter().any(is));
        assert!(!is_local(&io::Error::other("incomplete response")));
    }

    #[test]
    fn what_happens_often_is_said_once_a_second() {
        let seldom = Seldom::default();
        let said: Vec<_> = (1..=2_500).filter_map(|ms| seldom.due(ms).map(|unsaid| (ms, unsaid))).collect();
        assert_eq!(said, [(1, 0), (1_001, 999), (2_001, 999)]);
    }
}
