//! HTTP/1: heads, bodies, and their encoding.

mod body;
mod decoder;
pub mod encode;
mod head;
mod hop;
pub mod page;
mod parse;
mod refusal;
pub mod response;
mod scan;
mod target;

pub use body::{Body, Framing, request_body, request_framing, response_body, response_framing};
pub use decoder::{Decoder, Piece};
pub use head::{Head, Method, Span, Version};
pub use hop::Hop;
pub use parse::{Limits, Parsed, parse_request, parse_response};
pub use refusal::Refusal;
pub use scan::is_token;
pub use target::escape;
