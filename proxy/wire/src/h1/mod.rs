//! HTTP/1: heads, bodies, and their encoding.

mod body;
mod decoder;
pub mod encode;
mod head;
mod hop;
mod parse;
mod refusal;
pub mod response;
mod scan;
mod target;

pub use body::{Body, request_body, response_body};
pub use decoder::{Decoder, Piece};
pub use head::{Head, Method, Span, Version};
pub use hop::{prepare_request_hop, prepare_response_hop};
pub use parse::{Limits, Parsed, parse_request, parse_response};
pub use refusal::Refusal;
pub use scan::is_token;
pub use target::escape;
