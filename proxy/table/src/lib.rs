//! Stick tables: keyed rows of counters and tags, with expiry, and the log of changes that peers
//! replicate. Time is the caller's milliseconds.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod data_types;
mod dump;
mod key;
mod rate;
mod row;
mod table;
mod updates;

pub use data_types::{DATA_TYPES, DataType, Kind, Row as DataTypeRow, Stored, parse_store};
pub use dump::{Dump, MAX_DUMP_BYTES};
pub use key::{Key, KeyType};
pub use rate::Frequency;
pub use row::{Row, Value};
pub use table::{Schema, SnapshotEntry, Table, TableId};
pub use updates::Update;
