//! Sample fetches. One row per name; the families of stick-table counters come from the table's own
//! rows.

mod address;
mod cookies;
mod fields;
mod http;
mod params;
mod process;
mod track;
mod waiting;

use std::ops::ControlFlow;

use proxy_lang::Spec;

use crate::{Exchange, Kind, Sample, Stage, View};

/// A fetch's arguments, resolved.
#[derive(Clone, Debug, Default)]
pub struct FetchArgs {
    /// The argument as written, or the first of several, without quotes; empty if there was none.
    pub text: String,
    /// Which value: counted from the first (1) or from the last (-1); 0 means every one.
    pub occurrence: i32,
    /// The byte that parts, if one was given.
    pub delimiter: Option<u8>,
}

/// What may stand in a fetch's parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// One text, which must be there.
    Text,
    /// A name; without one, every name is meant.
    Name,
    /// The same, and which of the values.
    NameOccurrence,
    /// The same, and a byte that parts.
    NameDelimiter,
    /// A byte that parts.
    Delimiter,
    /// Whatever stands there: the row is not built yet.
    Anything,
}

/// Receives one value after the other until it breaks off.
pub type Visit<'v, 'x> = dyn FnMut(Sample<'x>) -> ControlFlow<()> + 'v;

/// How a fetch extracts one sample.
pub type One = for<'x> fn(&'x Exchange<'_>, &'x FetchArgs, &dyn View) -> Option<Sample<'x>>;

/// How a fetch extracts all its samples, in their order.
pub type Each = for<'x> fn(&'x Exchange<'_>, &'x FetchArgs, &mut Visit<'_, 'x>) -> ControlFlow<()>;

/// How a fetch extracts samples.
#[derive(Clone, Copy, Debug)]
pub enum Eval {
    /// There is one at most.
    One(One),
    /// There may be several. A condition looks at each; where one is wanted it is the one that HAProxy takes.
    Several {
        /// The one that stands for all.
        one: One,
        /// Each of them.
        each: Each,
    },
}

/// A row of the registry.
pub struct Fetch {
    /// Names, documentation.
    pub spec: Spec,
    /// The type of its samples.
    pub yields: Kind,
    /// What must be there.
    pub needs: Stage,
    /// What may stand in parentheses.
    pub takes: Takes,
    /// Whether `_beg`, `_end`, `_sub`, `_dir`, `_dom` make ACL criteria of it.
    pub suffixes: bool,
    /// Extracts the samples.
    pub eval: Eval,
}

/// The tables, in the manual's order.
pub const TABLES: &[&[Fetch]] = &[
    address::TABLE,
    http::TABLE,
    fields::TABLE,
    cookies::TABLE,
    params::TABLE,
    process::TABLE,
    waiting::TABLE,
];

pub(crate) use track::{Counter, What, Whose, counter_named};

/// The fetch of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Fetch> {
    every().find(|row| row.spec.names.contains(&name))
}

/// Every row.
pub fn every() -> impl Iterator<Item = &'static Fetch> {
    TABLES.iter().flat_map(|table| table.iter())
}
