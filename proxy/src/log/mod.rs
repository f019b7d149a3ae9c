//! Log lines out: what a stream was, in the frontend's format, to each of its targets. A full socket or
//! queue loses the line and counts it: traffic never waits for a log.

pub(crate) mod date;
mod queue;
mod sender;

use proxy_config::model::{Config, LogAddress, LogTarget};
use proxy_rules::LogFacts;

pub use queue::{LogQueue, MAX_QUEUED_BYTES, MAX_QUEUED_LINES};
pub(crate) use sender::Sender;

use crate::clock::now_ms;
use crate::connection::HandshakeFailure;
use crate::session::Session;
use crate::stream::{CookieSeen, Running, Stream, Termination, exchange};

/// The severity of a request's line, as in HAProxy.
const INFO: u8 = 6;

thread_local! {
    /// For threads that are no cores.
    static OTHERS: Sender = Sender::default();
}

/// Starts the threads that write to standard output and error, where the file logs there.
pub(crate) fn start(config: &Config) -> std::io::Result<()> {
    let targets = config.frontends.iter().flat_map(|f| &f.log);
    let targets = targets.chain(config.backends.iter().flat_map(|b| &b.log));
    for target in targets {
        match target.address {
            LogAddress::Stdout => LogQueue::stdout().start("log stdout")?,
            LogAddress::Stderr => LogQueue::stderr().start("log stderr")?,
            LogAddress::Udp(_) | LogAddress::Unix(_) => {}
        }
    }
    Ok(())
}

/// Lines that were lost on their way to standard output and error.
pub(crate) fn dropped() -> u64 {
    LogQueue::stdout().dropped() + LogQueue::stderr().dropped()
}

/// Sends a line that belongs to no stream, from any thread; `false` if it was lost.
pub(crate) fn send(target: &LogTarget, severity: u8, tag: &str, line: &[u8]) -> bool {
    OTHERS.with(|sender| sender.send(target, severity, tag, line))
}

/// Writes the line of a client whose TLS did not begin: the listener and the cause, in HAProxy's words. As there, only
/// where a format says that connections are logged; `option dontlognull` leaves out what was no mistake.
pub(crate) fn handshake(session: &Session, bind: usize, why: &HandshakeFailure) {
    let core = &session.core;
    let (settings, listener) = (session.settings(), &core.shared.config.binds[bind]);
    let (text, is_null) = match why {
        HandshakeFailure::Closed => ("Connection closed during SSL handshake", true),
        HandshakeFailure::Aborted => ("Connection error during SSL handshake", true),
        HandshakeFailure::TimedOut => ("Timeout during SSL handshake", true),
        HandshakeFailure::Failed(_) => ("SSL handshake failure", false),
    };
    if settings.log_format.is_none() || (is_null && settings.options.dontlognull) {
        return;
    }
    let name = listener.name.clone().unwrap_or_else(|| listener.id.to_string());
    let (client, date) = (session.source, date::clf(session.accepted_ms));
    let line = format!("{}:{} [{date}] {}/{name}: {text}", client.ip(), client.port(), settings.name);
    let tag = core.shared.config.global.log_tag.as_deref().unwrap_or("haproxy");
    for target in settings.log.iter().filter(|target| target.max_level >= INFO) {
        if !core.log.send(target, INFO, tag, line.as_bytes()) {
            core.counters.dropped_logs.add(1);
        }
    }
}

/// Writes the line of a stream that has ended.
pub(crate) fn stream(stream: &mut Stream<'_>, termination: Termination) {
    let shared = stream.shared();
    let settings = &shared.config.frontends[stream.session.frontend];
    if settings.log.is_empty() {
        return;
    }
    let Some(format) = &settings.log_format else { return };
    let now = now_ms();
    let times = stream.times;
    let since = |from: Option<u64>, to: Option<u64>| {
        from.zip(to).map_or(-1, |(from, to)| i64::try_from(to.saturating_sub(from)).unwrap_or(i64::MAX))
    };
    let backend = stream.backend.map(|b| &shared.config.backends[b]);
    let server = backend.zip(stream.server).map(|(b, s)| b.servers[s].name.as_str());
    let total = |read: &dyn Fn(&crate::stats::counters::CoreCounters) -> u64| -> u64 {
        shared.counters.iter().map(|core| read(core)).sum()
    };
    let (accepted, began) = (date::clf(stream.session.accepted_ms), date::clf(times.began));
    let request = std::mem::take(&mut stream.request_line);
    let captured = stream.captured.take().unwrap_or_default();
    let facts = LogFacts {
        client: Some(stream.session.source),
        accepted: &accepted,
        began: &began,
        frontend: &settings.name,
        backend: backend.map_or(&settings.name, |b| &b.name),
        server: server.unwrap_or("<NOSRV>"),
        request_ms: since(Some(times.began), times.requested),
        queue_ms: since(times.requested, times.dequeued),
        connect_ms: since(times.dequeued, times.connected),
        response_ms: since(times.connected, times.responded),
        active_ms: since(Some(times.began), Some(now)),
        total_ms: since(Some(stream.session.accepted_ms), Some(now)),
        status: stream.status.map_or(-1, i64::from),
        bytes_out: stream.bytes_out,
        bytes_in: stream.bytes_in,
        termination: [termination.by.letter(), termination.at.letter()],
        cookie: cookie(stream),
        connections: [
            total(&|c| c.current.read()),
            total(&|c| c.frontends[stream.session.frontend].current.read()),
            stream.backend.map_or(0, |b| total(&|c| c.backends[b].current.read())),
            stream.backend.zip(stream.server).map_or(0, |(b, s)| total(&|c| c.servers[b][s].current.read())),
        ],
        retries: stream.retries,
        redispatched: stream.redispatched,
        queues: [0, stream.waited_behind as u64],
        request: &request,
        pid: std::process::id(),
        request_headers: &captured.request,
        response_headers: &captured.response,
        cookies: [captured.cookies[0].as_deref(), captured.cookies[1].as_deref()],
    };
    let mut line = stream.session.core.store.borrow_mut().take_output();
    format.render(&facts, &exchange(stream), &Running(&shared), &mut line);
    let tag = shared.config.global.log_tag.as_deref().unwrap_or("haproxy");
    let core = &stream.session.core;
    for target in settings.log.iter().filter(|target| target.max_level >= INFO) {
        if !core.log.send(target, INFO, tag, &line) {
            core.counters.dropped_logs.add(1);
        }
    }
    core.store.borrow_mut().give_output(line);
    stream.request_line = request;
}

/// The third and fourth letter of the termination state.
fn cookie(stream: &Stream<'_>) -> [u8; 2] {
    let seen = match stream.cookie_seen {
        CookieSeen::Unused => b'-',
        CookieSeen::None => b'N',
        CookieSeen::Invalid => b'I',
        CookieSeen::Down => b'D',
        CookieSeen::Valid => b'V',
    };
    let done = match (stream.cookie_inserted, stream.cookie_seen) {
        (true, _) => b'I',
        (false, CookieSeen::Unused) => b'-',
        (false, _) => b'N',
    };
    [seen, done]
}
