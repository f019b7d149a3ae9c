//! How long a body is (RFC 9112 6.3).

use super::head::{Head, Method, Version};
use super::refusal::Refusal;

/// A body's framing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Everything until the connection ends; responses only.
    UntilClose,
    /// No message any more: bytes both ways.
    Tunnel,
}

/// How the end of a message that is sent is told to the next hop (RFC 9112 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Nothing is said: there is no body, or the protocol is switched.
    #[default]
    Nothing,
    /// By Content-Length. Where no body follows (HEAD, 304) it is what the length would be.
    Length(u64),
    /// By chunks.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// The framing of a request's body. What is ambiguous was refused while the head was read.
#[must_use]
pub fn request_body(head: &Head) -> Body {
    if head.steering.chunked {
        Body::Chunked
    } else {
        match head.steering.content_length {
            Some(0) | None => Body::None,
            Some(length) => Body::Length(length),
        }
    }
}

/// How a request with this body is framed towards the server.
#[must_use]
pub fn request_framing(head: &Head, body: Body) -> Framing {
    match body {
        Body::None => head.steering.content_length.map_or(Framing::Nothing, Framing::Length),
        Body::Length(length) => Framing::Length(length),
        Body::Chunked => Framing::Chunked,
        Body::UntilClose | Body::Tunnel => Framing::Nothing,
    }
}

/// How a response with this body is framed towards the client of this request. A body that only the end of the server's
/// connection ends becomes chunks, so that the client can tell whether it was cut.
#[must_use]
pub fn response_framing(head: &Head, body: Body, request: &Head) -> Framing {
    let (status, client) = (head.status(), request.version());
    match body {
        Body::Tunnel => Framing::Nothing,
        Body::None if status < 200 || status == 204 => Framing::Nothing,
        // A rule made a HEAD of it: what the length would be is not what the client gets.
        Body::None if !request.asks_for_head() && status != 304 => Framing::Length(0),
        Body::None if head.steering.chunked && client == Version::Http11 => Framing::Chunked,
        Body::None => head.steering.content_length.map_or(Framing::Nothing, Framing::Length),
        Body::Length(length) => Framing::Length(length),
        Body::Chunked if client == Version::Http11 => Framing::Chunked,
        Body::UntilClose if client == Version::Http11 && head.version() == Version::Http11 => {
            Framing::Chunked
        }
        Body::Chunked | Body::UntilClose => Framing::UntilClose,
    }
}

/// The framing of a response's body, which depends on the request's method too.
///
/// # Errors
/// The server switches protocols and was not asked to (RFC 9110 15.2.2).
pub fn response_body(head: &Head, method: Method, asked_to_switch: bool) -> Result<Body, Refusal> {
    let status = head.status();
    if status == 101 && !asked_to_switch {
        return Err(Refusal::Unrequested);
    }
    Ok(if status == 101 || (method == Method::Connect && (200..300).contains(&status)) {
        Body::Tunnel
    } else if method == Method::Head || status < 200 || status == 204 || status == 304 {
        Body::None
    } else if head.steering.chunked {
        Body::Chunked
    } else {
        match head.steering.content_length {
            Some(0) => Body::None,
            Some(length) => Body::Length(length),
            None => Body::UntilClose,
        }
    })
}
