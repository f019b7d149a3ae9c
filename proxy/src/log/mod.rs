//! Log lines out: what a stream was, in the frontend's format, to each of its targets. A full socket or
//! queue loses the line and counts it: traffic never waits for a log.

pub(crate) mod date;
mod queue;
mod sender;

use proxy_config::model::{Config, LogAddress, LogTarget};
use proxy_rules::is_unix_end;

pub use queue::{LogQueue, MAX_QUEUED_BYTES, MAX_QUEUED_LINES};
pub(crate) use sender::{From, Sender};

use crate::connection::HandshakeFailure;
use crate::session::Session;
use crate::stream::{Running, Stream, exchange};

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
pub(crate) fn send(target: &LogTarget, severity: u8, from: From<'_>, line: &[u8]) -> bool {
    OTHERS.with(|sender| sender.send(target, severity, from, line))
}

/// Writes the line of a stream that begins, where no format says what its line tells at its end.
pub(crate) fn begin(stream: &mut Stream<'_>) {
    if !stream.frontend().names_log_format {
        write(stream);
    }
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
    if !settings.names_log_format || (is_null && settings.options.dontlognull) {
        return;
    }
    let name = listener.name.clone().unwrap_or_else(|| listener.id.to_string());
    let (client, date) = (session.source, date::field(session.accepted_ms, proxy_rules::DateForm::Millis));
    let source = if is_unix_end(client) {
        format!("unix:{}", client.port())
    } else {
        format!("{}:{}", client.ip(), client.port())
    };
    let line = format!("{source} [{date}] {}/{name}: {text}", settings.name);
    let from = From::new(&core.shared.config, settings.log_tag.as_deref());
    for target in &settings.log {
        if !core.log.send(target, INFO, from, line.as_bytes()) {
            core.counters.dropped_logs.add(1);
        }
    }
}

/// Writes the line of a stream that has ended.
pub(crate) fn stream(stream: &mut Stream<'_>) {
    let settings = stream.frontend();
    let is_null = settings.options.dontlognull && stream.session.client.received() == 0;
    if settings.names_log_format && !is_null {
        write(stream);
    }
}

fn write(stream: &mut Stream<'_>) {
    let shared = stream.shared();
    let settings = &shared.config.frontends[stream.session.frontend];
    if settings.log.is_empty() {
        return;
    }
    let Some(format) = &settings.log_format else { return };
    let mut line = stream.session.core.store.borrow_mut().take_output();
    format.render(&exchange(stream), &Running(&shared), &mut line);
    let from = From::new(&shared.config, settings.log_tag.as_deref());
    let core = &stream.session.core;
    for target in &settings.log {
        if !core.log.send(target, INFO, from, &line) {
            core.counters.dropped_logs.add(1);
        }
    }
    core.store.borrow_mut().give_output(line);
}
