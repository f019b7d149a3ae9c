//! Bytes to messages and back: the HTTP/1.1 engine (RFC 9112). Knows no socket and no clock. Strict in
//! what it accepts: what is sent on is always re-encoded from what was understood.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod cookie;
pub mod h1;
pub mod list;
