//! Counters out: rows for `show stat` and fields for `show info`. Counting happens where things
//! happen; this only adds the cores up and formats.

mod columns;
pub(crate) mod counters;
mod forms;
mod page;
mod rows;

use std::collections::BTreeMap;

pub use forms::{InfoForm, csv_head, csv_line, info_text, json, typed};
pub(crate) use page::{About, page};
pub(crate) use rows::{dropped_logs, info, places, row};

/// One line of `show stat`: column name to value; a column that is not there is empty.
pub type Row = BTreeMap<&'static str, String>;
