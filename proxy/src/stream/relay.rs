//! Stations: send the request, read the response's head, and relay the bodies.

use std::future::poll_fn;
use std::task::{Context, Poll};

use proxy_wire::h1::{self, Body, Limits, Parsed, encode};

use super::flow::{Broken, Flow};
use super::state::{Step, Stop, Stream};
use super::termination::{At, By, Termination};
use super::{connect, millis};
use crate::clock::now_ms;
use crate::connection::Ended;

/// Most interim (1xx) responses before the final one.
const MAX_INTERIM: usize = 16;

/// What waiting for the response ended with.
enum Heard {
    /// A whole head of so many bytes.
    Head(usize),
    /// The server's bytes are no response.
    Nonsense,
    /// The upload or the server's connection failed.
    Broken(Broken),
    TimedOut,
}

/// Sends the request and reads the response's head. `false`: the attempt failed without a trace of a
/// response and may be made again on a new connection.
pub(super) async fn send_request(stream: &mut Stream<'_>) -> Result<bool, Stop> {
    // Who will not keep the connection says so.
    let keep = !stream.closes_servers();
    h1::prepare_request_hop(&mut stream.scratch.request, keep);
    let mut out = match stream.upload.take() {
        Some(flow) => flow.into_out(),
        None => stream.session.core.store.borrow_mut().take_output(),
    };
    encode::write_request(&stream.scratch.request, &mut out);
    stream.upload = Some(Flow::new(stream.request_body, out));
    let timeout = stream.backend_settings().timeouts.server;
    stream.arm(timeout);
    let mut interim = 0;
    loop {
        match hear(stream, timeout.map(millis)).await {
            Heard::Head(used) => {
                let status = stream.scratch.response.status();
                if let Some(upstream) = &mut stream.upstream {
                    upstream.consume(used, &stream.session.core);
                }
                if status < 200 && status != 101 {
                    interim += 1;
                    if interim > MAX_INTERIM {
                        return Err(bad_response(stream));
                    }
                    forward_interim(stream).await?;
                    continue;
                }
                stream.times.responded = Some(now_ms());
                stream.status = Some(status);
                return Ok(true);
            }
            Heard::Nonsense => return Err(bad_response(stream)),
            Heard::TimedOut => {
                return Err(Stream::error(504, By::ServerTimeout, At::Headers));
            }
            Heard::Broken(Broken::Nonsense) => {
                return Err(Stream::error(400, By::Client, At::Data));
            }
            Heard::Broken(Broken::Source(ended)) => {
                let by = if matches!(ended, Ended::TimedOut) { By::ClientTimeout } else { By::Client };
                return Err(Stop::Close(Termination::new(by, At::Data)));
            }
            Heard::Broken(Broken::Sink(ended)) => {
                let untouched = stream.upload.as_ref().is_some_and(|u| u.body_bytes == 0)
                    && matches!(stream.request_body, Body::None)
                    && stream.upstream.as_ref().is_some_and(|u| u.input().is_empty());
                // A server may close an idle connection in the moment we use it. Nothing of the
                // request was answered, and its method may be repeated: once more, on a new one.
                if stream.reused && untouched && stream.scratch.request.method_kind().is_idempotent() {
                    retire_upstream(stream);
                    connect::retry_after_reuse(stream);
                    connect::connect(stream).await?;
                    if let Some(upload) = &mut stream.upload {
                        upload.rewind();
                    }
                    stream.arm(timeout);
                    continue;
                }
                let _ = ended;
                return Err(bad_response(stream));
            }
        }
    }
}

fn bad_response(stream: &Stream<'_>) -> Stop {
    if let Some((backend, server)) = stream.backend.zip(stream.server) {
        let counters = &stream.session.core.counters;
        counters.servers[backend][server].response_errors.add(1);
        counters.backends[backend].response_errors.add(1);
    }
    Stream::error(502, By::Server, At::Headers)
}

fn retire_upstream(stream: &mut Stream<'_>) {
    if let Some(mut upstream) = stream.upstream.take() {
        upstream.retire(&mut stream.session.core.store.borrow_mut());
    }
}

/// Uploads and listens at the same time.
async fn hear(stream: &mut Stream<'_>, timeout: Option<u64>) -> Heard {
    let limits = Limits::default();
    poll_fn(|cx| {
        let Stream { session, upstream, upload, scratch, .. } = &mut *stream;
        let (Some(upstream), Some(upload)) = (upstream.as_mut(), upload.as_mut()) else {
            return Poll::Ready(Heard::Nonsense);
        };
        let mut progress = false;
        let sent = if upload.is_done() {
            Poll::Ready(Ok(()))
        } else {
            upload.poll(cx, &session.core, &mut session.client, upstream, &mut progress)
        };
        // A server may answer and close before it has read everything: its answer counts.
        loop {
            if !upstream.input().is_empty() {
                match h1::parse_response(upstream.input(), &limits, &mut scratch.response) {
                    Ok(Parsed::Complete(used)) => return Poll::Ready(Heard::Head(used)),
                    Ok(Parsed::Partial) if !upstream.input_is_full() => {}
                    Ok(Parsed::Partial) | Err(_) => return Poll::Ready(Heard::Nonsense),
                }
            }
            match upstream.poll_fill(cx, &session.core) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(Ended::TimedOut)) | Poll::Pending => break,
                Poll::Ready(Err(ended)) => return Poll::Ready(Heard::Broken(Broken::Sink(ended))),
            }
        }
        if let Poll::Ready(Err(broken)) = sent {
            return Poll::Ready(Heard::Broken(broken));
        }
        if progress {
            session.timer.set(timeout.map(|t| now_ms() + t));
        } else if session.timer.expired(now_ms()) {
            return Poll::Ready(Heard::TimedOut);
        }
        Poll::Pending
    })
    .await
}

/// Passes a 1xx response on, to clients that know them.
async fn forward_interim(stream: &mut Stream<'_>) -> Step {
    if stream.scratch.request.version() == h1::Version::Http10 {
        return Ok(());
    }
    let mut out = stream.session.core.store.borrow_mut().take_output();
    encode::write_response(&stream.scratch.response, &mut out);
    stream.bytes_out += out.len() as u64;
    let session = &mut *stream.session;
    let sent = session.client.send(&out, &mut session.timer, None).await;
    session.core.store.borrow_mut().give_output(out);
    sent.map_err(|_| Stop::Close(Termination::new(By::Client, At::Headers)))
}

/// Sends the response's head and relays both bodies to their ends.
pub(super) async fn relay(stream: &mut Stream<'_>) -> Step {
    let mut out = stream.session.core.store.borrow_mut().take_output();
    encode::write_response(&stream.scratch.response, &mut out);
    let switched = matches!(stream.response_body, Body::Tunnel);
    let mut download = if switched { Flow::tunnel(out) } else { Flow::new(stream.response_body, out) };
    if switched && let Some(upload) = stream.upload.take() {
        stream.upload = Some(Flow::tunnel(upload.into_out()));
    }
    stream.response_head_sent = true;
    let ended = pump(stream, &mut download, switched).await;
    stream.bytes_out += download.bytes;
    stream.session.core.store.borrow_mut().give_output(download.into_out());
    ended
}

async fn pump(stream: &mut Stream<'_>, download: &mut Flow, switched: bool) -> Step {
    let (server_timeout, tunnel_timeout) = {
        let timeouts = &stream.backend_settings().timeouts;
        (timeouts.server, timeouts.tunnel)
    };
    let client_timeout = stream.frontend().timeouts.client;
    let shortest = match (client_timeout, server_timeout) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let timeout = if switched { tunnel_timeout.or(shortest) } else { shortest }.map(millis);
    stream.session.timer.set(timeout.map(|t| now_ms() + t));
    poll_fn(|cx| poll_both(cx, stream, download, timeout)).await
}

fn poll_both(
    cx: &mut Context<'_>,
    stream: &mut Stream<'_>,
    download: &mut Flow,
    timeout: Option<u64>,
) -> Poll<Step> {
    let Stream { session, upstream, upload, .. } = stream;
    let (Some(upstream), Some(upload)) = (upstream.as_mut(), upload.as_mut()) else {
        return Poll::Ready(Ok(()));
    };
    let close = |by, at| Poll::Ready(Err(Stop::Close(Termination::new(by, at))));
    let mut progress = false;
    if !download.is_done() {
        match download.poll(cx, &session.core, upstream, &mut session.client, &mut progress) {
            Poll::Ready(Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(Broken::Source(Ended::TimedOut))) => return close(By::ServerTimeout, At::Data),
            Poll::Ready(Err(Broken::Source(_) | Broken::Nonsense)) => return close(By::Server, At::Data),
            Poll::Ready(Err(Broken::Sink(_))) => return close(By::Client, At::Data),
        }
    }
    if !upload.is_done() {
        match upload.poll(cx, &session.core, &mut session.client, upstream, &mut progress) {
            Poll::Ready(Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(Broken::Source(_))) => return close(By::Client, At::Data),
            Poll::Ready(Err(Broken::Nonsense)) => return close(By::Client, At::Data),
            // The server wants no more of the request; its answer is still relayed.
            Poll::Ready(Err(Broken::Sink(_))) if !upload.is_tunnel() => {}
            Poll::Ready(Err(Broken::Sink(_))) => return close(By::Server, At::Data),
        }
    }
    // A response that is complete before its request ends the exchange; `finish` closes then.
    if download.is_done() && (!upload.is_tunnel() || upload.is_done()) {
        return Poll::Ready(Ok(()));
    }
    let now = now_ms();
    if progress {
        session.timer.set(timeout.map(|t| now + t));
    } else if session.timer.expired(now) {
        let by = if download.has_read_all() { By::ClientTimeout } else { By::ServerTimeout };
        return close(by, At::Data);
    }
    Poll::Pending
}
