//! Mode tcp: the same stations without a request to read: rules, backend, server, relay.

use std::future::poll_fn;
use std::task::Poll;

use proxy_rules::{Final, Verdict};

use super::flow::{Broken, Flow};
use super::rules::exchange;
use super::state::{Running, Step, Stop, Stream};
use super::termination::{At, By, Termination};
use super::{connect, finish, millis, rules, server};
use crate::clock::now_ms;
use crate::session::Session;
use crate::watchdog::Station;

/// Runs the one stream of a TCP session.
pub(crate) async fn run_tcp(session: &mut Session) {
    let mut scratch = session.core.lend();
    let mut stream = Stream::new(session, &mut scratch, true);
    let step = walk(&mut stream).await;
    let step = match step {
        // There is nobody to read an error page.
        Err(Stop::Error(_, termination) | Stop::Reply(_, termination)) => Err(Stop::Close(termination)),
        other => other,
    };
    finish::finish(&mut stream, step).await;
    drop(stream);
    session.core.take_back(scratch);
}

async fn walk(stream: &mut Stream<'_>) -> Step {
    stream.enter(Station::Rules);
    inspect(stream)?;
    stream.times.requested = Some(stream.times.began);
    rules::choose_backend(stream)?;
    stream.enter(Station::Server);
    server::find_persistence(stream);
    server::choose(stream).await?;
    stream.enter(Station::Connect);
    connect::connect(stream).await?;
    super::response::store_sticks(stream);
    let upload = stream.session.core.store.borrow_mut().take_output();
    let download = stream.session.core.store.borrow_mut().take_output();
    stream.upload = Some(Flow::tunnel(upload));
    stream.enter(Station::Relay);
    relay(stream, Flow::tunnel(download)).await
}

fn inspect(stream: &mut Stream<'_>) -> Step {
    let shared = stream.shared();
    let settings = &shared.config.frontends[stream.session.frontend];
    for rules in [&settings.tcp_request_connection, &settings.tcp_request_content] {
        if rules.is_empty() {
            continue;
        }
        match rules.eval(0, &settings.acls, &mut exchange(stream), &Running(&shared)) {
            Verdict::Done | Verdict::Stop(Final::Allow) | Verdict::Suspend { .. } => {}
            Verdict::Stop(Final::Deny { .. } | Final::Reject | Final::Drop | Final::Reply(_)) => {
                return Err(Stop::Close(Termination::new(By::Proxy, At::Request)));
            }
        }
    }
    Ok(())
}

async fn relay(stream: &mut Stream<'_>, mut download: Flow) -> Step {
    let (server_timeout, tunnel) = {
        let timeouts = &stream.backend_settings().timeouts;
        (timeouts.server, timeouts.tunnel)
    };
    let client = stream.frontend().timeouts.client;
    let shortest = match (client, server_timeout) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let timeout = tunnel.or(shortest).map(millis);
    stream.session.timer.set(timeout.map(|t| now_ms() + t));
    let ended = poll_fn(|cx| {
        let Stream { session, upstream, upload, .. } = &mut *stream;
        let (Some(upstream), Some(upload)) = (upstream.as_mut(), upload.as_mut()) else {
            return Poll::Ready(Ok(()));
        };
        let mut progress = false;
        let mut broken = None;
        if !upload.is_done()
            && let Poll::Ready(Err(error)) =
                upload.poll(cx, &session.core, &mut session.client, upstream, &mut progress)
        {
            broken = Some(if matches!(error, Broken::Sink(_)) { By::Server } else { By::Client });
        }
        if !download.is_done()
            && let Poll::Ready(Err(error)) =
                download.poll(cx, &session.core, upstream, &mut session.client, &mut progress)
        {
            broken = Some(if matches!(error, Broken::Sink(_)) { By::Client } else { By::Server });
        }
        if let Some(by) = broken {
            return Poll::Ready(Err(Stop::Close(Termination::new(by, At::Data))));
        }
        if upload.is_done() && download.is_done() {
            return Poll::Ready(Ok(()));
        }
        if progress {
            session.timer.set(timeout.map(|t| now_ms() + t));
        } else if session.timer.expired(now_ms()) {
            let by = if upload.is_done() { By::ServerTimeout } else { By::ClientTimeout };
            return Poll::Ready(Err(Stop::Close(Termination::new(by, At::Data))));
        }
        Poll::Pending
    })
    .await;
    stream.bytes_out += download.bytes;
    stream.session.core.store.borrow_mut().give_output(download.into_out());
    ended
}
