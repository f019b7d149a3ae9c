//! What rules may refer to while they are read.

use std::collections::BTreeMap;

use proxy_lang::{Diagnostics, Span, Word};
use proxy_table::{Schema, TableId};
use proxy_wire::h1::page::ErrorPage;

/// Error pages, by their status.
pub type Pages = BTreeMap<u16, ErrorPage>;

/// Which part of an exchange must be there for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The connection alone.
    Connection,
    /// The request's head.
    Request,
    /// The response's head.
    Response,
}

/// The names around a rule.
pub struct Context<'c> {
    /// Finds a table by the name of its proxy.
    pub table: &'c dyn Fn(&str) -> Option<TableId>,
    /// The table of the proxy the rule stands in.
    pub own_table: Option<TableId>,
    /// Every table, by id.
    pub schemas: &'c [Schema],
    /// Whether a backend of this name exists.
    pub backend_exists: &'c dyn Fn(&str) -> bool,
    /// The backend a rule stands in; empty in a frontend.
    pub backend: &'c str,
    /// Reads a file named in a rule.
    pub file: &'c dyn Fn(&Word) -> Result<String, String>,
    /// The pages of `http-errors` sections, by their names.
    pub pages: &'c BTreeMap<String, Pages>,
    /// What is there when the rule runs.
    pub stage: Stage,
    /// Whether the proxy is in mode http.
    pub http: bool,
}

impl Context<'_> {
    /// The table named, or the proxy's own.
    pub(crate) fn find_table(
        &self,
        name: Option<&str>,
        at: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<TableId> {
        let found = match name {
            Some(name) => (self.table)(name),
            None => self.own_table,
        };
        if found.is_none() {
            match name {
                Some(name) => diagnostics.error(at, format!("no proxy named '{name}' has a stick-table")),
                None => diagnostics
                    .error(at, "this proxy has no stick-table")
                    .help("name one, or add a stick-table line"),
            };
        }
        found
    }
}
