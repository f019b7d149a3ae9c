//! What a stream knows while it walks from station to station.

use std::num::NonZeroU32;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use proxy_config::model::{Backend, Cookie, CookieMode, Frontend};
use proxy_rules::{DateForm, Reply, Tracked, View};
use proxy_table::{DataType, Table};
use proxy_wire::h1::{Body, Head};
use std::sync::Arc;

use super::flow::Flow;
use super::termination::{At, By, Termination};
use crate::clock::now_ms;
use crate::connection::Connection;
use crate::core::Core;
use crate::log::date;
use crate::session::{self, Session};
use crate::shared::Shared;
use crate::stats::counters::CoreCounters;
use crate::watchdog::Station;

/// What becomes of the session when a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request may come.
    KeepAlive,
    /// The connection is closed.
    Close,
    /// The connection is left without a word of its end.
    Vanish,
    /// It was answered before it had sent everything: what it still sends is discarded before the connection is closed.
    Drain,
}

/// Why a stream does not go on to the next station.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Answer with this error status.
    Error(u16, Termination),
    /// Answer with what a rule says.
    Reply(Box<Reply>, Termination),
    /// Say nothing more.
    Close(Termination),
    /// Let the client learn nothing at all, the connection's end included.
    Vanish(Termination),
}

pub(crate) type Step = Result<(), Stop>;

/// What a stream uses and gives back: heads keep their capacity from request to request.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The request line as received: rules may change the head.
    pub(crate) line: Vec<u8>,
    pub(crate) request: Head,
    pub(crate) response: Head,
}

/// When things happened, in the core's milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// The connection was accepted, or the exchange before this one ended.
    pub(crate) accepted: u64,
    /// The first byte of the request; in mode tcp the session's begin.
    pub(crate) began: u64,
    /// The request's head was complete.
    pub(crate) requested: Option<u64>,
    /// Its rules let it go to a server.
    pub(crate) forwarded: Option<u64>,
    /// A rule sent it to a tarpit.
    pub(crate) tarpitted: Option<u64>,
    /// A place on a server was given, or the wait for one has ended.
    pub(crate) dequeued: Option<u64>,
    /// The connection to the server was there.
    pub(crate) connected: Option<u64>,
    /// The response's head was complete.
    pub(crate) responded: Option<u64>,
}

/// How the client's persistence cookie was judged: the third letter of the termination state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CookieSeen {
    /// The backend uses no cookie.
    #[default]
    Unused,
    /// The client sent none.
    None,
    /// It names no server we know.
    Invalid,
    /// It names a server that is down.
    Down,
    /// It names a server that is used.
    Valid,
    /// It was last seen too long ago (`maxidle`).
    Expired,
    /// It was first seen too long ago (`maxlife`).
    Old,
}

/// One exchange.
pub(crate) struct Stream<'s> {
    pub(crate) session: &'s mut Session,
    pub(crate) scratch: &'s mut Scratch,
    pub(crate) times: Times,
    /// Whether this is its session's first request.
    pub(crate) first: bool,
    pub(crate) request_body: Body,
    pub(crate) client_keeps: bool,
    pub(crate) backend: Option<usize>,
    /// Whether it is counted as one of that backend's.
    pub(crate) counts_in_backend: bool,
    /// The server the client belongs to, by cookie or stick table.
    pub(crate) wanted: Option<usize>,
    pub(crate) server: Option<usize>,
    /// Whether a place on `server` is held.
    pub(crate) holds_place: bool,
    /// The server a redispatch must avoid.
    pub(crate) avoid: Option<u32>,
    pub(crate) upstream: Option<Connection>,
    pub(crate) reused: bool,
    pub(crate) retries: u32,
    pub(crate) redispatched: bool,
    /// Its place in the queue of its server, and of its backend.
    pub(crate) queues: [u64; 2],
    pub(crate) termination: Termination,
    /// Nothing more happens to it.
    pub(crate) is_over: bool,
    /// What answers in a server's place.
    pub(crate) applet: &'static str,
    pub(crate) upload: Option<Flow>,
    pub(crate) response_head_sent: bool,
    pub(crate) response_body: Body,
    pub(crate) server_keeps: bool,
    pub(crate) status: Option<u16>,
    pub(crate) tracked: [Option<Tracked>; 3],
    pub(crate) cookie_seen: CookieSeen,
    /// When the client's cookie says it was last and first seen, in units of four seconds of the epoch.
    pub(crate) cookie_dates: [Option<NonZeroU32>; 2],
    /// What became of the response's cookie: the last letter of the termination state.
    pub(crate) cookie_done: u8,
    pub(crate) sticks: Vec<usize>,
    /// What the log shows of heads; nothing is kept where the file captures nothing.
    pub(crate) captured: Option<Box<Captured>>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// Parts of heads that were captured, in the file's order.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    pub(crate) request: Vec<Option<Vec<u8>>>,
    pub(crate) response: Vec<Option<Vec<u8>>>,
    pub(crate) cookies: [Option<Vec<u8>>; 2],
}

impl<'s> Stream<'s> {
    pub(crate) fn new(session: &'s mut Session, scratch: &'s mut Scratch, first: bool) -> Self {
        let (accepted, began) = (session.turn_ms, now_ms());
        Self {
            scratch,
            times: Times { accepted, began, ..Times::default() },
            first,
            request_body: Body::None,
            client_keeps: false,
            backend: None,
            counts_in_backend: false,
            wanted: None,
            server: None,
            holds_place: false,
            avoid: None,
            upstream: None,
            reused: false,
            retries: 0,
            redispatched: false,
            queues: [0; 2],
            termination: Termination::default(),
            is_over: false,
            applet: "",
            upload: None,
            response_head_sent: false,
            response_body: Body::None,
            server_keeps: false,
            status: None,
            tracked: session.tracked(),
            cookie_seen: CookieSeen::Unused,
            cookie_dates: [None; 2],
            cookie_done: b'N',
            sticks: Vec::new(),
            captured: None,
            bytes_in: 0,
            bytes_out: 0,
            session,
        }
    }

    /// What all cores see, by way of this core: counting references between cores would cost each of them.
    pub(crate) fn shared(&self) -> ByCore {
        ByCore(Rc::clone(&self.session.core))
    }

    pub(crate) fn frontend(&self) -> &Frontend {
        self.session.settings()
    }

    /// Adds to the entries that it tracks, by itself or with its session.
    pub(crate) fn count_tracked(&self, adds: &[(DataType, u64)]) {
        session::count(&self.session.core, &self.tracked, adds);
    }

    /// Says at which station this is, for the watchdog.
    pub(crate) fn enter(&self, station: Station) {
        self.session.core.enter(station);
    }

    /// The chosen backend. Stations after `choose_backend` only.
    pub(crate) fn backend_settings(&self) -> &Backend {
        &self.session.core.shared.config.backends[self.backend.unwrap_or(0)]
    }

    /// Whether the backend's rules are not those that its own frontend has run already.
    pub(crate) fn meets_backend_rules(&self) -> bool {
        self.backend_settings().own_frontend.is_none_or(|own| own.0 as usize != self.session.frontend)
    }

    /// Whether the frontend lets no connection of a client go on after this.
    pub(crate) fn front_closes(&self) -> bool {
        self.frontend().options.httpclose || self.session.core.shared.lets_go()
    }

    /// Whether the file keeps no connection to the chosen backend's servers.
    pub(crate) fn closes_servers(&self) -> bool {
        let options = [self.backend_settings().options, self.frontend().options];
        options.iter().any(|o| o.http_server_close || o.httpclose)
    }

    /// Waits, by the session's timer.
    pub(crate) async fn rest(&mut self, time: Duration) {
        self.arm(Some(time));
        self.until_timer().await;
    }

    /// Waits until the session's deadline.
    pub(crate) async fn until_timer(&self) {
        let timer = &self.session.timer;
        std::future::poll_fn(|_| match timer.expired(now_ms()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        })
        .await;
    }

    /// Moves the session's deadline to `timeout` from now.
    pub(crate) fn arm(&mut self, timeout: Option<Duration>) {
        self.session.timer.set(timeout.map(|t| now_ms() + super::millis(t)));
    }

    /// It is no longer one of its backend's.
    pub(crate) fn leave_backend(&mut self) {
        if let Some(backend) = self.backend.filter(|_| self.counts_in_backend) {
            self.counts_in_backend = false;
            self.session.core.counters.backends[backend].current.sub(1);
        }
    }

    /// Gives back the place on a server, if one is held.
    pub(crate) fn release_place(&mut self) {
        if self.holds_place
            && let (Some(backend), Some(server)) = (self.backend, self.server)
        {
            self.holds_place = false;
            let counters = &self.session.core.counters;
            counters.servers[backend][server].current.sub(1);
            self.session.core.shared.release(backend, server);
        }
    }

    /// The third and fourth letter of the termination state.
    pub(crate) fn cookie_letters(option: Option<&Cookie>, seen: CookieSeen, done: u8) -> [u8; 2] {
        // A cookie that is only looked at has no letters.
        if option.is_none_or(|option| option.mode == CookieMode::Passive && !option.indirect) {
            return *b"--";
        }
        match seen {
            CookieSeen::Unused => *b"--",
            CookieSeen::None => [b'N', done],
            CookieSeen::Invalid => [b'I', done],
            CookieSeen::Down => [b'D', done],
            CookieSeen::Valid => [b'V', done],
            CookieSeen::Expired => [b'E', done],
            CookieSeen::Old => [b'O', done],
        }
    }

    pub(crate) fn error(status: u16, by: By, at: At) -> Stop {
        Stop::Error(status, Termination::new(by, at))
    }
}

/// What all cores see, held through one of them.
pub(crate) struct ByCore(Rc<Core>);

impl Deref for ByCore {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0.shared
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        let now = now_ms();
        // What the session tracks, it tracks until it ends.
        let own = self.session.tracked();
        for tracked in
            self.tracked.iter().zip(&own).filter(|(_, own)| own.is_none()).filter_map(|(t, _)| t.as_ref())
        {
            let table = &self.session.core.shared.tables[tracked.table.0 as usize];
            table.untrack(&tracked.key, now, |row| row.decrement(DataType::ConnCur));
        }
        // Reached early only by a panic or when the core goes away; `finish` has left nothing to do otherwise.
        self.release_place();
        if let Some(mut upstream) = self.upstream.take() {
            upstream.retire(&mut self.session.core.store.borrow_mut());
        }
        self.leave_backend();
    }
}

/// What rules may ask about the running process.
pub(crate) struct Running<'a>(pub(crate) &'a Shared);

impl View for Running<'_> {
    fn table(&self, id: proxy_table::TableId) -> &Arc<Table> {
        &self.0.tables[id.0 as usize]
    }

    fn nbsrv(&self, backend: &str) -> u32 {
        let found = self.0.backends.iter().find(|b| b.name == backend);
        found.map_or(0, |b| u32::try_from(b.usable()).unwrap_or(u32::MAX))
    }

    fn is_master(&self) -> bool {
        self.0.master.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn connections(&self, frontend: usize, backend: Option<usize>, server: Option<usize>) -> [u64; 4] {
        let total = |read: &dyn Fn(&CoreCounters) -> u64| self.0.counters.iter().map(|core| read(core)).sum();
        [
            total(&|c| c.current.read()),
            total(&|c| c.frontends[frontend].current.read()),
            backend.map_or(0, |b| total(&|c| c.backends[b].current.read())),
            backend.zip(server).map_or(0, |(b, s)| total(&|c| c.servers[b][s].current.read())),
        ]
    }

    fn unix_ms(&self, core_ms: u64) -> u64 {
        date::unix_ms(core_ms)
    }

    fn date(&self, core_ms: u64, form: DateForm) -> String {
        date::field(core_ms, form)
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }
}
