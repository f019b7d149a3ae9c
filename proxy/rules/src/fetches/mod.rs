//! Sample fetches. One row per name; the families of stick-table counters come from the table's own
//! rows.

mod address;
mod http;
mod process;
mod track;
mod waiting;

use proxy_lang::Spec;
use proxy_table::TableId;

use crate::{Exchange, Kind, Sample, Stage, View};

/// A fetch's arguments, resolved.
#[derive(Clone, Debug, Default)]
pub struct FetchArgs {
    /// The argument as written; empty if there was none.
    pub text: String,
    /// The table it names or its proxy's own.
    pub table: Option<TableId>,
}

/// How a fetch extracts its sample.
pub type Eval = for<'x> fn(&'x Exchange<'_>, &'x FetchArgs, &dyn View) -> Option<Sample<'x>>;

/// A row of the registry.
pub struct Fetch {
    /// Names, documentation.
    pub spec: Spec,
    /// The type of its samples.
    pub yields: Kind,
    /// What must be there.
    pub needs: Stage,
    /// Whether an argument in parentheses is expected.
    pub argument: bool,
    /// Whether `_beg`, `_end`, `_sub`, `_dir`, `_dom` make ACL criteria of it.
    pub suffixes: bool,
    /// Extracts the sample.
    pub eval: Eval,
}

/// The tables, in the manual's order.
pub const TABLES: &[&[Fetch]] = &[address::TABLE, http::TABLE, process::TABLE, waiting::TABLE];

pub(crate) use track::{Counter, counter_named};

/// The fetch of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Fetch> {
    every().find(|row| row.spec.names.contains(&name))
}

/// Every row.
pub fn every() -> impl Iterator<Item = &'static Fetch> {
    TABLES.iter().flat_map(|table| table.iter())
}
