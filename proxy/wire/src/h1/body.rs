//! How long a body is (RFC 9112 6.3).

use super::head::{Head, Method};
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

/// The framing of a request's body.
///
/// # Errors
/// None today: what is ambiguous was refused while the head was read.
pub fn request_body(head: &Head) -> Result<Body, Refusal> {
    Ok(if head.steering.chunked {
        Body::Chunked
    } else {
        match head.steering.content_length {
            Some(0) | None => Body::None,
            Some(length) => Body::Length(length),
        }
    })
}

/// The framing of a response's body, which depends on the request's method too.
///
/// # Errors
/// None today: what is ambiguous was refused while the head was read.
pub fn response_body(head: &Head, method: Method) -> Result<Body, Refusal> {
    let status = head.status();
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
