//! HAProxy's sections: from lines to drafts (`keywords/`), from drafts to a complete, checked and
//! immutable `Config` (`resolve`).
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod draft;
mod explain;
pub mod keepalived;
pub mod keywords;
mod migrate;
pub mod model;
mod read;
mod resolve;

pub use explain::{Explained, ExplainedLine, Origin, explain, placeless};
pub use migrate::{Change, Migration, migrate};
pub use read::{ABSENT_SECTIONS, Reader, SECTIONS, openers, read};
