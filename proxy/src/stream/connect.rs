//! Station: a connection to the chosen server: an idle one, or a new one, with retries and redispatch.

use std::time::Duration;

use proxy_config::model::{HttpReuse, Mode};

use super::server;
use super::state::{Step, Stream};
use super::termination::{At, By};
use crate::clock::now_ms;
use crate::connection::{Connection, Ended};
use crate::limits::is_local;
use crate::upstream;

/// How long the same server is given before it is tried again, as in HAProxy.
const RETRY_REST: Duration = Duration::from_secs(1);

/// Leaves with `stream.upstream` connected.
pub(super) async fn connect(stream: &mut Stream<'_>) -> Step {
    loop {
        let Some((backend, index)) = stream.backend.zip(stream.server) else { return Ok(()) };
        let idle = if stream.retries == 0 { reusable(stream, backend, index) } else { None };
        let counters = &stream.session.core.counters.servers[backend][index];
        if let Some(connection) = idle {
            counters.reuses.add(1);
            stream.reused = true;
            stream.upstream = Some(connection);
            stream.times.connected = Some(now_ms());
            return Ok(());
        }
        // One that has failed gives its place back first.
        stream.upstream = None;
        counters.connects.add(1);
        let timeout = stream.backend_settings().timeouts.connect;
        stream.arm(timeout);
        let address = *stream.session.core.shared.servers[backend][index].address.read();
        let result = upstream::connect(&stream.session.core, address, &stream.session.timer).await;
        match result {
            Ok(connection) => {
                stream.reused = false;
                stream.upstream = Some(connection);
                stream.times.connected = Some(now_ms());
                return Ok(());
            }
            // It says nothing of the server: neither counted as its error nor tried elsewhere, as HAProxy does not.
            Err(Ended::Failed(error)) if is_local(&error) => {
                return Err(Stream::error(503, By::Server, At::Connect));
            }
            Err(ended) => {
                if let Ended::Failed(error) = &ended {
                    tracing::debug!(%address, %error, "cannot connect");
                }
                retry(stream, &ended, timeout).await?;
            }
        }
    }
}

/// Counts a failed connection and prepares the next attempt: the same server after a rest, or
/// another one at once. The error when all attempts are used up.
pub(super) async fn retry(stream: &mut Stream<'_>, ended: &Ended, timeout: Option<Duration>) -> Step {
    let Some((backend, index)) = stream.backend.zip(stream.server) else { return Ok(()) };
    let settings = stream.backend_settings();
    let (limit, redispatch) = (settings.retries, settings.redispatch.is_some());
    let counters = &stream.session.core.counters;
    if stream.retries >= limit {
        counters.servers[backend][index].connect_errors.add(1);
        counters.backends[backend].connect_errors.add(1);
        let by = if matches!(ended, Ended::TimedOut) { By::ServerTimeout } else { By::Server };
        return Err(Stream::error(503, by, At::Connect));
    }
    stream.retries += 1;
    counters.servers[backend][index].retries.add(1);
    counters.backends[backend].retries.add(1);
    let others = stream.session.core.shared.backends[backend].usable() > 1;
    let free = stream.wanted != Some(index);
    let last = stream.retries == limit;
    if others && (free || (redispatch && last)) {
        stream.redispatched = true;
        counters.servers[backend][index].redispatches.add(1);
        counters.backends[backend].redispatches.add(1);
        stream.release_place();
        stream.avoid = Some(index);
        return server::choose(stream).await;
    }
    if !matches!(ended, Ended::TimedOut) {
        let rest = timeout.map_or(RETRY_REST, |t| t.min(RETRY_REST));
        stream.rest(rest).await;
    }
    // An attempt is a session of the server, as HAProxy counts them.
    let counters = &stream.session.core.counters.servers[backend][index];
    counters.sessions.add(1);
    let shared = &stream.session.core.shared;
    shared.hit(&counters.session_rate, now_ms(), |c| &c.servers[backend][index].session_rate);
    Ok(())
}

/// Takes note that an idle connection failed in the moment of its reuse: not a failed attempt, but no
/// other idle one is tried for this request.
pub(super) fn retry_after_reuse(stream: &mut Stream<'_>) {
    stream.reused = false;
    stream.retries = stream.retries.max(1);
}

/// An idle connection that may carry this request (manual chapter 4.2, `http-reuse`). The session's own come first. A
/// server may close an idle connection in the moment we use it: a client's first request meets that only where the file
/// says so, since only a client that has had an answer before must expect its own connection to end.
fn reusable(stream: &mut Stream<'_>, backend: usize, server: usize) -> Option<Connection> {
    let settings = stream.backend_settings();
    if settings.mode != Mode::Http {
        return None;
    }
    let reuse = settings.reuse;
    if let Some(own) = stream.session.take_private(backend, server) {
        return Some(own);
    }
    let proven = match (reuse, stream.first) {
        (HttpReuse::Never, _) | (HttpReuse::Safe, true) => return None,
        (HttpReuse::Aggressive, true) => true,
        (HttpReuse::Always, _) | (HttpReuse::Safe | HttpReuse::Aggressive, false) => false,
    };
    stream.session.core.idle.borrow_mut().take(backend, server, proven)
}
