//! HAProxy's peers protocol 2.1, the bytes: integers, hello, messages, table definitions and entries.
//! Knows no socket and no clock.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod define;
mod entry;
mod hello;
mod integer;
mod message;

pub use define::Definition;
pub use entry::{Dictionary, EntryCodec};
pub use hello::{Hello, Refused, Status};
pub use integer::{read_integer, write_integer};
pub use message::{Body, Framed, MAX_MESSAGE, Message, Nonsense, UpdateKind, read_message, write_message};
