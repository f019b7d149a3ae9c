//! What the proxy says itself: error pages and rules' replies. Each is a head and a body that the engine frames.

use proxy_rules::Reply;
use proxy_wire::h1::{self, Body, Framing, Head, Hop, Limits, Parsed, Version, encode, response};

use super::flow::Flow;
use super::state::Stream;

/// Writes an error reply; the file's own page for this status if there is one. Says whether the session may go on.
pub(super) fn error(stream: &Stream<'_>, status: u16, out: &mut Vec<u8>) -> bool {
    let own = |replies: &std::collections::BTreeMap<u16, Vec<u8>>| replies.get(&status).cloned();
    let page = stream
        .backend
        .and_then(|_| own(&stream.backend_settings().error_replies))
        .or_else(|| own(&stream.frontend().error_replies));
    let canned;
    let bytes = match &page {
        Some(page) => page,
        None => {
            canned = response::canned(status);
            &canned
        }
    };
    let mut head = Head::default();
    match h1::parse_response(bytes, &Limits::default(), &mut head) {
        Ok(Parsed::Complete(used)) => write(stream, &head, &bytes[used..], out),
        Ok(Parsed::Partial) | Err(_) => {
            // A page that is no response is refused when the file is read; nothing of it leaves here.
            out.extend_from_slice(&response::canned(status));
            false
        }
    }
}

/// Writes a rule's reply; says whether the session may go on.
pub(super) fn rule(stream: &Stream<'_>, reply: &Reply, out: &mut Vec<u8>) -> bool {
    let mut head = Head::response(reply.status, reply.reason());
    for (name, value) in &reply.headers {
        head.add(name, value);
    }
    if !reply.content_type.is_empty() && !reply.body.is_empty() && !is_bodiless(reply.status) {
        head.add(b"content-type", &reply.content_type);
    }
    write(stream, &head, &reply.body, out)
}

fn write(stream: &Stream<'_>, head: &Head, body: &[u8], out: &mut Vec<u8>) -> bool {
    let request = &stream.scratch.request;
    // A request that was never read whole has no version and no method yet.
    let read = stream.times.requested.is_some();
    let version = if read { request.version() } else { Version::Http11 };
    let uploaded = match &stream.upload {
        Some(upload) => upload.has_read_all() && !upload.is_broken(),
        None => matches!(stream.request_body, Body::None),
    };
    let keep = read && uploaded && stream.client_keeps && !stream.front_closes();
    let bodiless = is_bodiless(head.status());
    if head.version() == Version::Http10 {
        encode::write_old_response(head, out);
        if !bodiless && !request.asks_for_head() {
            out.extend_from_slice(body);
        }
        return false;
    }
    let framing = if bodiless { Framing::Nothing } else { Framing::Length(body.len() as u64) };
    encode::write_response(head, framing, Hop::of_response(version, keep), out);
    if !bodiless && !request.asks_for_head() {
        out.extend_from_slice(body);
    }
    keep
}

/// Whether a response of this status never has a body (RFC 9110 6.4.1).
fn is_bodiless(status: u16) -> bool {
    status < 200 || status == 204 || status == 304
}

/// Passes over a request's body that is here as a whole and that no server gets: the next request begins behind it.
pub(super) fn pass_over_body(stream: &mut Stream<'_>) {
    if stream.upload.is_none()
        && stream.times.requested.is_some()
        && let Body::Length(length) = stream.request_body
        && length <= stream.session.client.input().len() as u64
    {
        let session = &mut *stream.session;
        session.client.consume(usize::try_from(length).unwrap_or(0), &session.core);
        stream.bytes_in += length;
        stream.request_body = Body::None;
    }
}

/// Whether the client may still be sending when its stream has ended.
pub(super) fn is_unread(stream: &Stream<'_>) -> bool {
    // Requests that were sent ahead of an answer that ends the connection.
    let ahead = !stream.session.client.input().is_empty();
    match (&stream.upload, stream.times.requested) {
        _ if ahead => true,
        (_, None) => true,
        (Some(upload), _) => !upload.has_read_all(),
        (None, _) => !matches!(stream.request_body, Body::None),
    }
}

/// Whether a whole request was relayed.
pub(super) fn is_uploaded(stream: &Stream<'_>) -> bool {
    stream.upload.as_ref().is_none_or(Flow::is_done)
}
