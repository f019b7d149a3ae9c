//! Stations: send the request, read the response's head, and relay the bodies.

use std::future::poll_fn;
use std::task::{Context, Poll};

use proxy_table::DataType;
use proxy_wire::h1::{self, Body, Framing, Hop, Parsed, encode};

use super::flow::{Broken, Flow};
use super::pump::pump;
use super::request::head_limits;
use super::sides::{Answer, Sides};
use super::state::{Step, Stop, Stream};
use super::termination::{At, By, Termination};
use super::{connect, millis};
use crate::advance::Advance;
use crate::clock::now_ms;
use crate::connection::Ended;
use crate::session::CLIENT_ERROR;

/// Most interim responses to one request. HAProxy has no such bound: a server that says no more than these keeps a client
/// and a core busy for ever.
const MAX_INTERIM: u32 = 1_000;
/// After so many of them others have their turn.
const INTERIM_TURN: u32 = 16;

/// What waiting for the response ended with.
enum Heard {
    /// A whole head of so many bytes.
    Head(usize),
    /// The server's bytes are no response.
    Nonsense,
    /// The upload or the server's connection failed.
    Broken(Broken),
    /// This side was silent for too long.
    Late(By),
}

/// Sends the request and reads the response's head. `false`: the attempt failed without a trace of a
/// response and may be made again on a new connection.
pub(super) async fn send_request(stream: &mut Stream<'_>) -> Result<bool, Stop> {
    encode_request(stream);
    let client = stream.frontend().timeouts.client.map(millis);
    let server = stream.backend_settings().timeouts.server.map(millis);
    let mut sides = Sides::new(client, server);
    let mut interim = 0;
    loop {
        match hear(stream, &mut sides).await {
            Heard::Head(used) => {
                let status = stream.scratch.response.status();
                if let Some(upstream) = &mut stream.upstream {
                    upstream.consume(used, &stream.session.core);
                }
                if status < 200 && status != 101 {
                    interim += 1;
                    if interim > MAX_INTERIM {
                        return Err(bad_response(stream, By::Proxy));
                    }
                    forward_interim(stream).await?;
                    if interim % INTERIM_TURN == 0 {
                        tokio::task::yield_now().await;
                    }
                    // The server has said something: its time begins anew.
                    sides = Sides::new(client, server);
                    continue;
                }
                stream.times.responded = Some(now_ms());
                stream.status = Some(status);
                count_answer(stream, status);
                return Ok(true);
            }
            Heard::Nonsense => return Err(bad_response(stream, By::Proxy)),
            Heard::Late(By::ClientTimeout) => {
                return Err(Stream::error(408, By::ClientTimeout, At::Headers));
            }
            Heard::Late(_) => {
                stream.count_tracked(&SERVER_FAILURE);
                return Err(Stream::error(504, By::ServerTimeout, At::Headers));
            }
            Heard::Broken(Broken::Nonsense) => {
                stream.count_tracked(&CLIENT_ERROR);
                return Err(Stream::error(400, By::Client, At::Data));
            }
            Heard::Broken(Broken::Source(_)) => {
                return Err(Stop::Close(Termination::new(By::Client, At::Data)));
            }
            Heard::Broken(Broken::Sink) => {
                let untouched = stream.upload.as_ref().is_some_and(|u| u.body_bytes == 0)
                    && matches!(stream.request_body, Body::None)
                    && stream.upstream.as_ref().is_some_and(|u| u.input().is_empty());
                // A server may close an idle connection in the moment we use it. Nothing of the
                // request was answered, and its method may be repeated: once more, on a new one.
                if stream.reused && untouched && stream.scratch.request.method_kind().is_idempotent() {
                    retire_upstream(stream);
                    connect::retry_after_reuse(stream);
                    connect::connect(stream).await?;
                    encode_request(stream);
                    sides = Sides::new(client, server);
                    continue;
                }
                // The client's connection has served requests before: it must expect that one ends, and repeats.
                if stream.reused && !stream.first {
                    return Err(Stop::Close(Termination::new(By::Server, At::Headers)));
                }
                return Err(bad_response(stream, By::Server));
            }
        }
    }
}

/// Encodes the request's head and begins its upload.
fn encode_request(stream: &mut Stream<'_>) {
    // Who will not keep the connection says so.
    let head = &stream.scratch.request;
    let hop = Hop::of_request(head, !stream.closes_servers());
    let framing = h1::request_framing(head, stream.request_body);
    let mut out = stream.session.core.store.borrow_mut().take_output();
    encode::write_request(head, framing, hop, &mut out);
    stream.upload = Some(Flow::new(stream.request_body, framing, out));
}

/// What a server's failure adds to the entries that its client is tracked by.
const SERVER_FAILURE: [(DataType, u64); 2] = [(DataType::HttpFailCnt, 1), (DataType::HttpFailRate, 1)];

/// Counts a server's answer as its client's mistake or as its own failure (manual chapter 4.2, `stick-table`).
fn count_answer(stream: &Stream<'_>, status: u16) {
    match status {
        400..500 => stream.count_tracked(&CLIENT_ERROR),
        // What a server cannot do, or not in this version, is no failure of it.
        501 | 505 => {}
        500.. => stream.count_tracked(&SERVER_FAILURE),
        0..400 => {}
    }
}

/// `by`: the server, whose connection ended, or the proxy, which does not take what it said.
pub(super) fn bad_response(stream: &Stream<'_>, by: By) -> Stop {
    if let Some((backend, server)) = stream.backend.zip(stream.server) {
        let counters = &stream.session.core.counters;
        counters.servers[backend][server].response_errors.add(1);
        counters.backends[backend].response_errors.add(1);
    }
    stream.count_tracked(&SERVER_FAILURE);
    Stream::error(502, by, At::Headers)
}

fn retire_upstream(stream: &mut Stream<'_>) {
    if let Some(mut upstream) = stream.upstream.take() {
        upstream.retire(&mut stream.session.core.store.borrow_mut());
    }
}

/// Uploads and reads the response's head at the same time.
async fn hear(stream: &mut Stream<'_>, sides: &mut Sides) -> Heard {
    poll_fn(|cx| poll_hear(cx, stream, sides)).await
}

fn poll_hear(cx: &mut Context<'_>, stream: &mut Stream<'_>, sides: &mut Sides) -> Poll<Heard> {
    let limits = head_limits(&stream.session.core);
    let Stream { session, upstream, upload, scratch, .. } = stream;
    let (Some(upstream), Some(upload)) = (upstream.as_mut(), upload.as_mut()) else {
        return Poll::Ready(Heard::Nonsense);
    };
    let sent = if upload.is_done() || upload.is_broken() {
        Poll::Ready(Ok(()))
    } else {
        upload.poll(cx, &session.core, &mut session.client, upstream)
    };
    // A server may answer and close before it has read everything: its answer counts.
    let before = upstream.received();
    let mut advance = Advance::default();
    loop {
        advance.assert(|| upstream.received());
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
            Poll::Ready(Err(_)) => return Poll::Ready(Heard::Broken(Broken::Sink)),
        }
    }
    if let Poll::Ready(Err(broken)) = sent {
        return Poll::Ready(Heard::Broken(broken));
    }
    let answer = Answer::Head { moved: upstream.received() > before };
    match sides.check(now_ms(), upload, answer, &mut session.timer) {
        Some(late) => Poll::Ready(Heard::Late(late)),
        None => Poll::Pending,
    }
}

/// Passes a 1xx response on, to clients that know them.
async fn forward_interim(stream: &mut Stream<'_>) -> Step {
    if stream.scratch.request.version() == h1::Version::Http10 {
        return Ok(());
    }
    let mut out = stream.session.core.store.borrow_mut().take_output();
    encode::write_response(&stream.scratch.response, Framing::Nothing, Hop::Default, &mut out);
    stream.bytes_out += out.len() as u64;
    let timeout = stream.frontend().timeouts.client.map(millis);
    let session = &mut *stream.session;
    let sent = session.client.send(&out, &mut session.timer, timeout).await;
    session.core.store.borrow_mut().give_output(out);
    sent.map_err(|ended| {
        let late = matches!(ended, Ended::TimedOut);
        Stop::Close(Termination::new(if late { By::ClientTimeout } else { By::Client }, At::Headers))
    })
}

/// Sends the response's head and relays both bodies to their ends.
pub(super) async fn relay(stream: &mut Stream<'_>) -> Step {
    let (body, request) = (stream.response_body, &stream.scratch.request);
    let switched = matches!(body, Body::Tunnel);
    let head = &stream.scratch.response;
    let framing = h1::response_framing(head, body, request);
    let hop = if switched && head.upgrade() {
        Hop::Upgrade
    } else if switched {
        Hop::Default
    } else {
        Hop::of_response(request.version(), stream.client_keeps)
    };
    let mut out = stream.session.core.store.borrow_mut().take_output();
    encode::write_response(head, framing, hop, &mut out);
    let download = if switched { Flow::tunnel(out) } else { Flow::new(body, framing, out) };
    if switched && let Some(mut upload) = stream.upload.take() {
        stream.bytes_in += upload.body_bytes;
        stream.upload = Some(Flow::tunnel(upload.take_unsent()));
    }
    stream.response_head_sent = true;
    pump(stream, download).await
}
