//! The families of stick-table counters: `sc0_`, `sc1_`, `sc2_`, `sc_NAME(N)`, `src_`. Their names come
//! from the rows of `table::DATA_TYPES`.

use proxy_table::{DATA_TYPES, DataType};

/// A fetch of these families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counter {
    pub(crate) whose: Whose,
    pub(crate) what: What,
}

/// Whose entry is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// What the stream follows.
    Tracked(usize),
    /// What the stream follows; the number is an argument.
    TrackedByArgument,
    /// The client's address.
    Source,
}

/// What of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A value.
    Value(DataType),
    /// Bytes, in units of 1024.
    Kilo(DataType),
    /// An element of an array; its number is the first argument.
    Element(DataType),
    /// A counter and its rate, which go up by one; the new value.
    Increment(DataType, DataType),
    /// A counter, which becomes 0; the old value.
    Clear(DataType),
    /// Whether anything is followed.
    IsTracked,
    /// How many follow it.
    Trackers,
}

/// The counter a fetch's name means.
pub(crate) fn counter_named(name: &str) -> Option<Counter> {
    let (prefix, rest) = name.split_once('_')?;
    let whose = match prefix {
        "sc0" => Whose::Tracked(0),
        "sc1" => Whose::Tracked(1),
        "sc2" => Whose::Tracked(2),
        "sc" => Whose::TrackedByArgument,
        "src" => Whose::Source,
        _ => return None,
    };
    let is_source = whose == Whose::Source;
    // Arrays are read by number only.
    let by_number = matches!(whose, Whose::TrackedByArgument | Whose::Source);
    let what = match rest {
        "get_gpc0" => What::Value(DataType::Gpc0),
        "get_gpc1" => What::Value(DataType::Gpc1),
        "get_gpt0" => What::Value(DataType::Gpt0),
        "inc_gpc0" => What::Increment(DataType::Gpc0, DataType::Gpc0Rate),
        "inc_gpc1" => What::Increment(DataType::Gpc1, DataType::Gpc1Rate),
        "clr_gpc0" => What::Clear(DataType::Gpc0),
        "clr_gpc1" => What::Clear(DataType::Gpc1),
        "get_gpc" if by_number => What::Element(DataType::Gpc),
        "get_gpt" if by_number => What::Element(DataType::Gpt),
        "gpc_rate" if by_number => What::Element(DataType::GpcRate),
        "inc_gpc" if by_number => What::Increment(DataType::Gpc, DataType::GpcRate),
        "clr_gpc" if by_number => What::Clear(DataType::Gpc),
        "kbytes_in" => What::Kilo(DataType::BytesInCnt),
        "kbytes_out" => What::Kilo(DataType::BytesOutCnt),
        "tracked" if !is_source => What::IsTracked,
        "trackers" if !is_source => What::Trackers,
        // These have names of their own above, or none.
        "gpc0" | "gpc1" | "gpt0" | "server_id" | "server_key" | "bytes_in_cnt" | "bytes_out_cnt" => {
            return None;
        }
        other => {
            let row = DATA_TYPES.iter().find(|row| row.spec.names.contains(&other) && !row.array)?;
            What::Value(row.data_type)
        }
    };
    Some(Counter { whose, what })
}

impl What {
    /// Whether its first argument is the number of an array's element.
    pub(crate) fn takes_index(self) -> bool {
        matches!(self, Self::Element(_) | Self::Increment(DataType::Gpc, _) | Self::Clear(DataType::Gpc))
    }
}
