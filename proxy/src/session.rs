//! One client connection, from accept to close: its counters, its timer, and the mux that turns it
//! into streams.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use proxy_config::model::{Frontend, Mode};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::clock::{OneReading, now_ms};
use crate::connection::Connection;
use crate::core::{Core, SessionMark};
use crate::limits::ClientPlace;
use crate::mux;
use crate::timers::Timer;
use crate::watchdog::{Pulse, Station, watched};

/// Longest time a client is told that nothing follows.
const CLOSE_MS: u64 = 2_000;

/// What the streams of one client connection share.
pub(crate) struct Session {
    pub(crate) core: Rc<Core>,
    pub(crate) frontend: usize,
    pub(crate) client: Connection,
    pub(crate) source: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) accepted_ms: u64,
    pub(crate) timer: Timer,
    pub(crate) mark: Rc<SessionMark>,
    key: usize,
    _place: ClientPlace,
}

impl Session {
    pub(crate) fn settings(&self) -> &Frontend {
        &self.core.shared.config.frontends[self.frontend]
    }
}

/// Starts a session on this core, in the place that was taken for it.
pub(crate) fn spawn(core: &Rc<Core>, bind: usize, io: TcpStream, source: SocketAddr, place: ClientPlace) {
    let frontend = core.shared.config.binds[bind].frontend.0 as usize;
    let now = now_ms();
    let Ok(local) = io.local_addr() else { return };
    let counters = &core.counters;
    counters.connections.add(1);
    counters.connection_rate.hit(now);
    counters.current.add(1);
    let front = &counters.frontends[frontend];
    front.connections.add(1);
    front.sessions.add(1);
    front.session_rate.hit(now);
    front.connection_rate.hit(now);
    front.current.add(1);
    front.most.raise(front.current.read());
    let mark = Rc::new(SessionMark {
        frontend,
        source,
        began_ms: now,
        requests: Cell::new(0),
        backend: Cell::new(None),
        server: Cell::new(None),
    });
    let session = Session {
        core: Rc::clone(core),
        frontend,
        client: Connection::new(io),
        source,
        local,
        accepted_ms: now,
        timer: Timer::new(&core.wheel),
        key: core.sessions.borrow_mut().insert(Rc::clone(&mark)),
        mark,
        _place: place,
    };
    let pulse = Arc::clone(&core.pulse);
    match core.shared.tls.0.get(bind).cloned().flatten() {
        None => tokio::task::spawn_local(timed(pulse, run(session))),
        Some(acceptor) => tokio::task::spawn_local(timed(pulse, run_tls(session, acceptor))),
    };
}

/// Reads the clock once per wake-up of a task, which is watched.
async fn timed<F: Future<Output = ()>>(pulse: Arc<Pulse>, task: F) {
    let mut task = std::pin::pin!(task);
    let task = std::future::poll_fn(|cx| {
        let _reading = OneReading::take();
        task.as_mut().poll(cx)
    });
    watched(pulse, Station::Accept, task).await;
}

/// A session that begins with TLS.
async fn run_tls(mut session: Session, acceptor: TlsAcceptor) {
    attach(&mut session).await;
    let timeouts = &session.settings().timeouts;
    let wait = timeouts.http_request.or(timeouts.client);
    session.timer.set(wait.map(|t| now_ms() + crate::stream::millis(t)));
    session.core.enter(Station::Tls);
    let Session { client, timer, .. } = &mut session;
    if let Err(error) = client.accept_tls(&acceptor, timer).await {
        tracing::debug!(source = %session.source, ?error, "TLS handshake failed");
        session.core.counters.frontends[session.frontend].request_errors.add(1);
        return;
    }
    serve(&mut session).await;
    let wait = session.settings().timeouts.client;
    session.timer.set(Some(now_ms() + wait.map_or(CLOSE_MS, |t| crate::stream::millis(t).min(CLOSE_MS))));
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
    match session.settings().mode {
        Mode::Http => mux::h1::run(session).await,
        Mode::Tcp => mux::raw::run(session).await,
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.client.retire(&mut self.core.store.borrow_mut());
        self.core.sessions.borrow_mut().try_remove(self.key);
        self.core.counters.current.sub(1);
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
