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
        count_attempt(stream, backend, index);
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

/// Each connection counts as a session of its server.
fn count_attempt(stream: &Stream<'_>, backend: usize, server: usize) {
    let counters = &stream.session.core.counters.servers[backend][server];
    counters.sessions.add(1);
    let shared = &stream.session.core.shared;
    shared.hit(&counters.session_rate, now_ms(), |c| &c.servers[backend][server].session_rate);
    counters.last_session_ms.set(now_ms());
}

/// Prepares the next attempt: the same server after a rest, or another one at once. The error when all attempts are used
/// up, which is what counts as one.
pub(super) async fn retry(stream: &mut Stream<'_>, ended: &Ended, timeout: Option<Duration>) -> Step {
    let Some((backend, index)) = stream.backend.zip(stream.server) else { return Ok(()) };
    let settings = stream.backend_settings();
    let (limit, redispatch) = (settings.retries, settings.redispatch);
    let by_hash = settings.balance.algorithm.hash_of.is_some();
    let late = matches!(ended, Ended::TimedOut);
    if stream.retries >= limit {
        let counters = &stream.session.core.counters;
        counters.servers[backend][index].connect_errors.add(1);
        counters.backends[backend].connect_errors.add(1);
        return Err(Stream::error(503, if late { By::ServerTimeout } else { By::Server }, At::Connect));
    }
    stream.retries += 1;
    let others = stream.session.core.shared.backends[backend].usable() > 1;
    // Who belongs to no server goes to another at once.
    let is_free = others && !by_hash && stream.wanted.is_none();
    let moves = is_free || redispatch.is_some_and(|interval| is_due(interval, stream.retries, limit));
    let rest = timeout.map_or(RETRY_REST, |t| t.min(RETRY_REST));
    if moves {
        stream.release_place();
        if !late && !others {
            stream.rest(rest).await;
        }
        stream.wanted = None;
        stream.avoid = u32::try_from(index).ok();
        return server::choose(stream, Some(index)).await;
    }
    let counters = &stream.session.core.counters;
    counters.servers[backend][index].retries.add(1);
    counters.backends[backend].retries.add(1);
    if !late {
        stream.rest(rest).await;
    }
    Ok(())
}

/// Whether a retry may go to another server (manual chapter 4.2, `option redispatch`): every so many of them, or, where
/// the number is negative, counted from the last.
fn is_due(interval: i32, retry: u32, limit: u32) -> bool {
    let every = if interval > 0 { i64::from(interval) } else { i64::from(limit) + 1 + i64::from(interval) };
    every > 0 && i64::from(retry) % every == 0
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

#[cfg(test)]
mod tests {
    use super::is_due;

    #[test]
    fn redispatch_is_due_every_so_many_retries_or_so_many_before_the_last() {
        let due = |interval| (1..=6).filter(|retry| is_due(interval, *retry, 6)).collect::<Vec<_>>();
        assert_eq!(due(1), [1, 2, 3, 4, 5, 6]);
        assert_eq!(due(2), [2, 4, 6]);
        assert_eq!(due(-1), [6]);
        assert_eq!(due(-3), [4]);
        assert_eq!(due(-9), []);
    }
}
