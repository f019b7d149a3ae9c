//! Counters out: rows for `show stat` and fields for `show info`. Counting happens where things
//! happen; this only adds the cores up and formats.

pub(crate) mod counters;
mod csv;
mod page;
mod rows;

use std::collections::BTreeMap;

pub use csv::{csv, csv_head, csv_line};
pub(crate) use page::{About, page};
pub(crate) use rows::{dropped_logs, info, places, row};

/// One line of `show stat`: column name to value; a column that is not there is empty.
pub type Row = BTreeMap<&'static str, String>;
