//! What the proxy says itself: error pages and rules' replies.

use proxy_rules::Reply;
use proxy_wire::h1::{self, Head, Method, Version, encode, response};

use super::state::Stream;

/// Writes an error reply; the file's own page for this status if there is one.
pub(super) fn error(stream: &Stream<'_>, status: u16, out: &mut Vec<u8>) {
    let own = |replies: &std::collections::BTreeMap<u16, Vec<u8>>| replies.get(&status).cloned();
    let page = stream
        .backend
        .and_then(|_| own(&stream.backend_settings().error_replies))
        .or_else(|| own(&stream.frontend().error_replies));
    match page {
        Some(page) => out.extend_from_slice(&page),
        None => {
            let with_body = stream.scratch.request.method_kind() != Method::Head;
            response::write_canned(status, with_body, out);
        }
    }
}

/// Writes a rule's reply; says whether the session may go on.
pub(super) fn rule(stream: &Stream<'_>, reply: &Reply, out: &mut Vec<u8>) -> bool {
    let mut head = Head::response(reply.status, reply.reason());
    for (name, value) in &reply.headers {
        head.add(name, value);
    }
    if !reply.content_type.is_empty() && !reply.body.is_empty() {
        head.add(b"content-type", &reply.content_type);
    }
    if reply.status != 204 && reply.status != 304 {
        head.add(b"content-length", reply.body.len().to_string().as_bytes());
    }
    let keep = stream.client_keeps && !stream.front_closes() && matches!(stream.request_body, h1::Body::None);
    let version = if stream.scratch.request.method().is_empty() {
        Version::Http11
    } else {
        stream.scratch.request.version()
    };
    h1::prepare_response_hop(&mut head, version, keep);
    encode::write_response(&head, out);
    if stream.scratch.request.method_kind() != Method::Head {
        out.extend_from_slice(&reply.body);
    }
    keep
}
