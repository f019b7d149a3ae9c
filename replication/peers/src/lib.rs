//! HAProxy's peers protocol 2.1: its bytes (integers, hello, messages, table definitions, entries), one
//! session of it, and who teaches whom after a start. Knows no socket and no clock.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod define;
mod entry;
mod hello;
mod integer;
mod message;
mod resync;
mod session;
mod teach;

pub use define::Definition;
pub use entry::{Dictionary, EntryCodec};
pub use hello::{Hello, Refused, Status};
pub use integer::{read_integer, write_integer};
pub use message::{Body, Framed, MAX_MESSAGE, Message, Nonsense, UpdateKind, read_message, write_message};
pub use resync::{Event, Knowledge, MAX_LESSON_MS, Resync};
pub use session::{
    End, HEARTBEAT_MS, Input, Learned, Output, SILENCE_MS, Session, Tables, Timer, UPDATE_BATCH,
};
