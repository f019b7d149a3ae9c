//! Both directions at once, until both are done or one side fails or is late: bodies, tunnels, and mode tcp.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::flow::{Broken, Flow};
use super::millis;
use super::sides::{Answer, Sides};
use super::state::{Step, Stop, Stream};
use super::termination::{At, By, Termination};
use crate::clock::now_ms;
use crate::connection::Ended;

/// Relays until the download is complete (a message) or both directions have ended (a tunnel).
pub(super) async fn pump(stream: &mut Stream<'_>, mut download: Flow) -> Step {
    let client = stream.frontend().timeouts.client;
    let timeouts = &stream.backend_settings().timeouts;
    let tunnel = timeouts.tunnel.filter(|_| download.is_tunnel());
    let mut sides = Sides::new(tunnel.or(client).map(millis), tunnel.or(timeouts.server).map(millis));
    let ended = poll_fn(|cx| poll_both(cx, stream, &mut download, &mut sides)).await;
    stream.bytes_out += download.bytes;
    stream.session.core.store.borrow_mut().give_output(download.take_unsent());
    ended
}

fn poll_both(
    cx: &mut Context<'_>,
    stream: &mut Stream<'_>,
    download: &mut Flow,
    sides: &mut Sides,
) -> Poll<Step> {
    let Stream { session, upstream, upload, .. } = stream;
    let (Some(upstream), Some(upload)) = (upstream.as_mut(), upload.as_mut()) else {
        return Poll::Ready(Ok(()));
    };
    let close = |by| Poll::Ready(Err(Stop::Close(Termination::new(by, At::Data))));
    if !download.is_done()
        && let Poll::Ready(Err(broken)) = download.poll(cx, &session.core, upstream, &mut session.client)
    {
        return close(match broken {
            Broken::Source(Ended::TimedOut) => By::ServerTimeout,
            Broken::Source(_) | Broken::Nonsense => By::Server,
            Broken::Sink => By::Client,
        });
    }
    if !upload.is_done() && !upload.is_broken() {
        match upload.poll(cx, &session.core, &mut session.client, upstream) {
            Poll::Ready(Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(Broken::Source(_) | Broken::Nonsense)) => return close(By::Client),
            // The server wants no more of the request; its answer is still relayed.
            Poll::Ready(Err(Broken::Sink)) if !upload.is_tunnel() => {}
            Poll::Ready(Err(Broken::Sink)) => return close(By::Server),
        }
    }
    // A response that is complete before its request ends the exchange; `finish` closes then.
    if download.is_done() && (!upload.is_tunnel() || upload.is_done()) {
        return Poll::Ready(Ok(()));
    }
    match sides.check(now_ms(), upload, Answer::Flow(download), &mut session.timer) {
        Some(late) => close(late),
        None => Poll::Pending,
    }
}
