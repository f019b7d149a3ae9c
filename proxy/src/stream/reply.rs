//! What the proxy says itself: error pages and rules' replies. Each is a head and a body that the engine frames.

use proxy_rules::{Content, Pages, Reply};
use proxy_wire::h1::{self, Body, Decoder, Framing, Head, Hop, Limits, Parsed, Version, encode, response};

use super::flow::Flow;
use super::state::Stream;

/// Writes an error reply; the file's own page for this status if there is one. Says whether the session may go on.
pub(super) fn error(stream: &Stream<'_>, status: u16, out: &mut Vec<u8>) -> bool {
    let own = |pages: &Pages| pages.get(&status).cloned();
    let page = stream
        .backend
        .and_then(|_| own(&stream.backend_settings().error_replies))
        .or_else(|| own(&stream.frontend().error_replies));
    match page {
        Some(page) => whole(stream, &page.bytes, out),
        None => whole(stream, &response::canned(status), out),
    }
}

/// Writes a rule's reply; says whether the session may go on.
pub(super) fn rule(stream: &Stream<'_>, reply: &Reply, out: &mut Vec<u8>) -> bool {
    let body = match &reply.body {
        Content::Page => return error(stream, reply.status, out),
        Content::Whole(page) => return whole(stream, &page.bytes, out),
        Content::Bytes(body) => body,
    };
    let mut head = Head::response(reply.status, reply.reason());
    let fields = |head: &mut Head| {
        for (name, value) in &reply.headers {
            head.add(name, value);
        }
    };
    if !reply.is_redirect {
        fields(&mut head);
    }
    head.add_length(body.len() as u64);
    if !reply.content_type.is_empty() && !body.is_empty() && !is_bodiless(reply.status) {
        head.add(b"content-type", &reply.content_type);
    }
    if reply.is_redirect {
        fields(&mut head);
    }
    write(stream, &head, body, out)
}

/// Writes a page: a whole response, or nothing.
fn whole(stream: &Stream<'_>, bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let mut head = Head::default();
    match h1::parse_response(bytes, &Limits::default(), &mut head) {
        Ok(Parsed::Complete(used)) => write(stream, &head, &bytes[used..], out),
        // An empty one closes without a word; any other that is no response is refused when the file is read.
        Ok(Parsed::Partial) | Err(_) => false,
    }
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
    let keep = read && uploaded && stream.client_keeps && !stream.front_closes() && head.keeps_alive();
    let bodiless = is_bodiless(head.status());
    if head.version() == Version::Http10 {
        encode::write_old_response(head, out);
        if !bodiless && !request.asks_for_head() {
            out.extend_from_slice(body);
        }
        return false;
    }
    let framing = match head.status() {
        304 => Framing::Length(body.len() as u64),
        _ if bodiless => Framing::Nothing,
        _ => Framing::Length(body.len() as u64),
    };
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
        && let Some(length) = whole_body(stream.request_body, stream.session.client.input())
    {
        let session = &mut *stream.session;
        session.client.consume(length, &session.core);
        stream.bytes_in += length as u64;
        stream.request_body = Body::None;
    }
}

/// The bytes of a body, if they are all there.
fn whole_body(body: Body, input: &[u8]) -> Option<usize> {
    let mut decoder = Decoder::new(body);
    let mut at = 0;
    while !decoder.is_done() {
        let piece = decoder.decode(&input[at..]).ok()?;
        if piece.consumed == 0 {
            return None;
        }
        at += piece.consumed;
    }
    Some(at)
}

/// Whether the client may still be sending when its stream has ended.
pub(super) fn is_unread(stream: &Stream<'_>) -> bool {
    // Requests that were sent ahead of an answer that ends the connection.
    let ahead = !stream.session.client.input().is_empty();
    match (&stream.upload, stream.times.requested) {
        _ if ahead => true,
        (_, None) => true,
        (Some(upload), _) => !upload.has_read_all(),
        (None, _) if !stream.session.speaks_http => true,
        (None, _) => !matches!(stream.request_body, Body::None),
    }
}

/// Whether a whole request was relayed.
pub(super) fn is_uploaded(stream: &Stream<'_>) -> bool {
    stream.upload.as_ref().is_none_or(Flow::is_done)
}
