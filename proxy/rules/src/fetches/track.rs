//! The families of stick-table counters: `sc0_`, `sc1_`, `sc2_`, `sc_NAME(N)`, `src_`. Their names come
//! from the rows of `table::DATA_TYPES`.

use proxy_table::{DATA_TYPES, DataType};

/// Whose entry a counter is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// What the stream follows.
    Tracked(usize, DataType),
    /// What the stream follows; the number is the fetch's argument.
    TrackedByArgument(DataType),
    /// The client's address, in the table of the argument or the proxy's own.
    Source(DataType),
}

/// The counter a fetch's name means.
pub(crate) fn counter_named(name: &str) -> Option<Counter> {
    let (prefix, data) = name.split_once('_')?;
    let data = match data {
        "get_gpc0" => "gpc0",
        "get_gpc1" => "gpc1",
        "get_gpt0" => "gpt0",
        other => other,
    };
    let row = DATA_TYPES.iter().find(|row| row.spec.names.contains(&data) && !row.array)?;
    match prefix {
        "sc0" => Some(Counter::Tracked(0, row.data_type)),
        "sc1" => Some(Counter::Tracked(1, row.data_type)),
        "sc2" => Some(Counter::Tracked(2, row.data_type)),
        "sc" => Some(Counter::TrackedByArgument(row.data_type)),
        "src" => Some(Counter::Source(row.data_type)),
        _ => None,
    }
}
