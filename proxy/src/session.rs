//! One client connection, from accept to close: its counters, its timer, and the mux that turns it
//! into streams.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use proxy_config::model::{Frontend, Mode};
use proxy_rules::Tracked;
use proxy_table::DataType;

use crate::clock::{OneReading, now_ms};
use crate::connection::{Connection, HandshakeFailure};
use crate::core::{Core, SessionMark};
use crate::limits::ClientPlace;
use crate::log;
use crate::mux;
use crate::socket::Socket;
use crate::stream;
use crate::timers::Timer;
use crate::tls::TlsBind;
use crate::watchdog::{Pulse, Station, watched};

/// Longest time a client is told that nothing follows.
const CLOSE_MS: u64 = 2_000;
/// Most bytes of a request that was answered early which are discarded before its connection is closed.
const MAX_DRAINED: u64 = 1_024 * 1_024;
/// Most connections to servers that are kept for one client alone.
const MAX_PRIVATE: usize = 8;

/// The entries that a session or a stream tracks, by slot (`sc0`, `sc1`, `sc2`).
pub(crate) type Slots = [Option<Tracked>; 3];

/// A connection to a server that is kept for one client alone.
pub(crate) struct Private {
    backend: usize,
    server: usize,
    connection: Connection,
}

/// What the streams of one client connection share.
pub(crate) struct Session {
    pub(crate) core: Rc<Core>,
    pub(crate) frontend: usize,
    pub(crate) client: Connection,
    pub(crate) source: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) accepted_ms: u64,
    /// When the exchange before this one ended; the accept, if there was none.
    pub(crate) turn_ms: u64,
    /// How long its TLS handshake took.
    pub(crate) handshake_ms: u64,
    /// Whether it is counted as one that speaks TLS.
    has_tls: bool,
    pub(crate) timer: Timer,
    pub(crate) mark: Rc<SessionMark>,
    /// Whether it speaks HTTP: from the start, or since a backend in mode http was chosen for it.
    pub(crate) speaks_http: bool,
    /// What the rules of its connection track; nothing is kept where they track nothing.
    tracked: Option<Box<Slots>>,
    private: Vec<Private>,
    key: usize,
    _place: ClientPlace,
}

impl Session {
    pub(crate) fn settings(&self) -> &Frontend {
        &self.core.shared.config.frontends[self.frontend]
    }

    /// The entries that its connection tracks: every stream of it does.
    pub(crate) fn tracked(&self) -> Slots {
        self.tracked.as_deref().cloned().unwrap_or_default()
    }

    /// Keeps a connection that no other client may use; the oldest makes room.
    pub(crate) fn keep_private(&mut self, backend: usize, server: usize, connection: Connection) {
        if self.private.len() == MAX_PRIVATE {
            self.private.remove(0);
        }
        self.private.push(Private { backend, server, connection });
    }

    /// The newest connection of its own to a server that can still be used.
    pub(crate) fn take_private(&mut self, backend: usize, server: usize) -> Option<Connection> {
        loop {
            let own = |p: &Private| (p.backend, p.server) == (backend, server);
            let place = self.private.iter().rposition(own)?;
            let mut private = self.private.remove(place);
            if !private.connection.has_stirred() {
                return Some(private.connection);
            }
        }
    }

    /// The server to which it has a connection of its own that knows its client.
    pub(crate) fn bound_server(&self, backend: usize) -> Option<usize> {
        let own = self.private.iter().rev().find(|p| p.backend == backend && p.connection.is_private());
        own.map(|p| p.server)
    }

    /// Leaves the client without a word: it learns of no end.
    pub(crate) fn vanish(&mut self) {
        self.client.vanish(&self.core);
    }

    /// Counts a request for its frontend and for what the connection tracks.
    pub(crate) fn count_request(&self) {
        let front = &self.core.counters.frontends[self.frontend];
        front.requests.add(1);
        self.core.shared.hit(&front.request_rate, now_ms(), |c| &c.frontends[self.frontend].request_rate);
        self.count(&[(DataType::HttpReqCnt, 1), (DataType::HttpReqRate, 1)]);
    }

    /// Counts a request that never became one. `by_client`: it was wrong or broken off, and not only late.
    pub(crate) fn count_bad_request(&self, by_client: bool) {
        self.core.counters.frontends[self.frontend].request_errors.add(1);
        self.count_request();
        if by_client {
            self.count(&CLIENT_ERROR);
        }
    }

    /// Adds to what its connection tracks.
    fn count(&self, adds: &[(DataType, u64)]) {
        if let Some(slots) = &self.tracked {
            count(&self.core, slots, adds);
        }
    }

    /// Runs the rules of the session (manual chapter 4.2, `tcp-request session`); whether it may begin.
    fn is_admitted(&mut self) -> bool {
        let shared = Rc::clone(&self.core);
        let settings = &shared.shared.config.frontends[self.frontend];
        if !settings.tcp_request_session.is_empty() {
            let mut slots = self.tracked();
            let connection = stream::Layer4 {
                core: &shared,
                frontend: self.frontend,
                client: self.source,
                local: self.local,
                ssl: self.client.is_tls(),
            };
            let admission = stream::layer4(&connection, &settings.tcp_request_session, &mut slots);
            if slots.iter().any(Option::is_some) {
                self.tracked = Some(Box::new(slots));
            }
            if admission != stream::Admission::Granted {
                shared.counters.frontends[self.frontend].denied_sessions.add(1);
                if admission == stream::Admission::Dropped {
                    self.vanish();
                } else {
                    self.client.discard(&shared);
                }
                return false;
            }
        }
        self.count(&[(DataType::SessCnt, 1), (DataType::SessRate, 1)]);
        let front = &self.core.counters.frontends[self.frontend];
        front.sessions.add(1);
        self.core.shared.hit(&front.session_rate, now_ms(), |c| &c.frontends[self.frontend].session_rate);
        true
    }
}

/// What a client's mistake adds to the entries that it is tracked by.
pub(crate) const CLIENT_ERROR: [(DataType, u64); 2] = [(DataType::HttpErrCnt, 1), (DataType::HttpErrRate, 1)];

/// Adds to entries that are tracked; those of tables that store none of it stay as they are.
pub(crate) fn count(core: &Core, slots: &Slots, adds: &[(DataType, u64)]) {
    let now = now_ms();
    for tracked in slots.iter().flatten() {
        let table = &core.shared.tables[tracked.table.0 as usize];
        if adds.iter().any(|(data_type, _)| table.stores(*data_type)) {
            table.touch(&tracked.key, now, |row| {
                adds.iter().for_each(|(data_type, events)| row.add(*data_type, now, *events));
            });
        }
    }
}

/// Ends what a connection tracks.
fn untrack(core: &Core, slots: &Slots) {
    let now = now_ms();
    for tracked in slots.iter().flatten() {
        let table = &core.shared.tables[tracked.table.0 as usize];
        table.untrack(&tracked.key, now, |row| row.decrement(DataType::ConnCur));
    }
}

/// Starts a session on this core, if the rules of connections let it (manual chapter 4.2, `tcp-request connection`):
/// before anything is allocated for it.
pub(crate) fn spawn(core: &Rc<Core>, bind: usize, io: Socket, ends: [SocketAddr; 2], place: ClientPlace) {
    if let Some(session) = begin(core, bind, Connection::new(io), ends, place) {
        let pulse = Arc::clone(&core.pulse);
        match core.shared.tls.0.get(bind).cloned().flatten() {
            None => tokio::task::spawn_local(timed(pulse, run(session))),
            Some(tls) => tokio::task::spawn_local(timed(pulse, run_tls(session, bind, tls))),
        };
    }
}

/// A session of a connection that was accepted, in the place that was taken for it; `None` if a rule refuses it.
/// `source` and `local` are the connection's ends.
pub(crate) fn begin(
    core: &Rc<Core>,
    bind: usize,
    client: Connection,
    [source, local]: [SocketAddr; 2],
    place: ClientPlace,
) -> Option<Session> {
    let frontend = core.shared.config.binds[bind].frontend.0 as usize;
    let settings = &core.shared.config.frontends[frontend];
    let now = now_ms();
    let mut tracked = None;
    if !settings.tcp_request_connection.is_empty() {
        let mut slots = Slots::default();
        let connection = stream::Layer4 { core, frontend, client: source, local, ssl: false };
        let admission = stream::layer4(&connection, &settings.tcp_request_connection, &mut slots);
        if admission != stream::Admission::Granted {
            untrack(core, &slots);
            let front = &core.counters.frontends[frontend];
            front.connections.add(1);
            core.shared.hit(&front.connection_rate, now, |c| &c.frontends[frontend].connection_rate);
            front.denied_connections.add(1);
            let mut client = client;
            if admission == stream::Admission::Dropped {
                client.vanish(core);
            } else {
                // At once and without a port that is kept: who refuses connections has many of them.
                client.abort();
            }
            return None;
        }
        tracked = slots.iter().any(Option::is_some).then(|| Box::new(slots));
    }
    let counters = &core.counters;
    counters.connections.add(1);
    core.shared.hit(&counters.connection_rate, now, |c| &c.connection_rate);
    counters.current.add(1);
    let front = &counters.frontends[frontend];
    front.connections.add(1);
    core.shared.hit(&front.connection_rate, now, |c| &c.frontends[frontend].connection_rate);
    front.current.add(1);
    core.shared
        .raise_most(front.current.read(), &front.peak, &front.most, |c| &c.frontends[frontend].current);
    let mark = Rc::new(SessionMark {
        frontend,
        source,
        began_ms: now,
        requests: Cell::new(0),
        backend: Cell::new(None),
        server: Cell::new(None),
    });
    Some(Session {
        core: Rc::clone(core),
        frontend,
        client,
        source,
        local,
        accepted_ms: now,
        turn_ms: now,
        handshake_ms: 0,
        has_tls: false,
        timer: Timer::new(&core.wheel),
        key: core.sessions.borrow_mut().insert(Rc::clone(&mark)),
        mark,
        speaks_http: settings.mode == Mode::Http,
        tracked,
        private: Vec::new(),
        _place: place,
    })
}

/// Reads the clock once per wake-up of a task, which is watched.
pub(crate) async fn timed<F: Future<Output = ()>>(pulse: Arc<Pulse>, task: F) {
    let mut task = std::pin::pin!(task);
    let task = std::future::poll_fn(|cx| {
        let _reading = OneReading::take();
        task.as_mut().poll(cx)
    });
    watched(pulse, Station::Accept, task).await;
}

/// A session that begins with TLS.
async fn run_tls(mut session: Session, bind: usize, tls: Arc<TlsBind>) {
    attach(&mut session).await;
    let timeouts = &session.settings().timeouts;
    let wait = timeouts.http_request.or(timeouts.client);
    session.timer.set(wait.map(|t| now_ms() + stream::millis(t)));
    session.core.enter(Station::Tls);
    let Session { client, timer, .. } = &mut session;
    if let Err(why) = client.accept_tls(&tls, timer).await {
        if let HandshakeFailure::Failed(error) = &why {
            tracing::debug!(source = %session.source, %error, "TLS handshake failed");
        }
        log::handshake(&session, bind, &why);
        session.core.counters.frontends[session.frontend].request_errors.add(1);
        return;
    }
    let counters = &session.core.counters;
    counters.tls_connections.add(1);
    counters.tls_current.add(1);
    let shared = &session.core.shared;
    shared.hit(&counters.tls_rate, now_ms(), |c| &c.tls_rate);
    session.has_tls = true;
    session.handshake_ms = now_ms().saturating_sub(session.accepted_ms);
    serve(&mut session).await;
    let wait = session.settings().timeouts.client;
    session.timer.set(Some(now_ms() + wait.map_or(CLOSE_MS, |t| stream::millis(t).min(CLOSE_MS))));
    let Session { client, timer, .. } = &mut session;
    client.close(timer).await;
}

async fn attach(session: &mut Session) {
    std::future::poll_fn(|cx| {
        session.timer.attach(cx);
        std::task::Poll::Ready(())
    })
    .await;
}

/// The whole session. A test asserts its size: this is what an idle client costs.
pub(crate) async fn run(mut session: Session) {
    attach(&mut session).await;
    serve(&mut session).await;
}

async fn serve(session: &mut Session) {
    if !session.is_admitted() {
        return;
    }
    match session.settings().mode {
        Mode::Http => mux::h1::run(session, true).await,
        Mode::Tcp => mux::raw::run(session).await,
    }
}

/// Discards what a client still sends after it was answered, within bounds.
pub(crate) async fn drain(session: &mut Session) {
    let Session { client, core, timer, .. } = session;
    timer.set(Some(now_ms() + CLOSE_MS));
    client.drain(core, timer, MAX_DRAINED).await;
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(slots) = &self.tracked {
            untrack(&self.core, slots);
        }
        self.client.retire(&mut self.core.store.borrow_mut());
        self.core.sessions.borrow_mut().try_remove(self.key);
        self.core.counters.current.sub(1);
        if self.has_tls {
            self.core.counters.tls_current.sub(1);
        }
        self.core.counters.frontends[self.frontend].current.sub(1);
        if std::thread::panicking() {
            self.core.counters.panics.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The future a function returns, without calling it.
    fn future_size<A, F>(_: fn(A) -> F) -> usize {
        size_of::<F>()
    }

    fn stream_size<'s, F>(_: fn(&'s mut Session, bool) -> F) -> usize {
        size_of::<F>()
    }

    /// What an idle client costs besides its socket: the future of its session, on the core's heap.
    const IDLE_SESSION: usize = 1_024;
    /// What a running request adds, while it runs.
    const RUNNING_STREAM: usize = 1_536;

    #[test]
    fn an_idle_session_and_a_running_stream_stay_small() {
        let (idle, running) = (future_size(run), stream_size(crate::stream::run));
        assert!(idle <= IDLE_SESSION, "an idle session takes {idle} bytes");
        assert!(running <= RUNNING_STREAM, "a running stream takes {running} bytes");
        assert!(running > idle, "the stream is not part of the idle session: {running} <= {idle}");
    }
}
