//! The rows of HAProxy's sections, one file per family, in the manual's order.

mod backends;
mod frontends;
mod global;
mod logs;
mod options;
mod rules;
mod servers;
mod timeouts;

use proxy_lang::{Keyword, Spec};

use crate::draft::{GlobalDraft, ProxyDraft};

/// Rows of the global section.
pub const GLOBAL: &[&[Keyword<GlobalDraft>]] = &[global::TABLE];
/// Rows of the proxy sections.
pub const PROXY: &[&[Keyword<ProxyDraft>]] = &[
    frontends::TABLE,
    backends::TABLE,
    logs::TABLE,
    options::TABLE,
    rules::TABLE,
    timeouts::TABLE,
    servers::LINES,
];

/// The headers of all rows, options of `server` lines among them.
pub fn specs() -> impl Iterator<Item = &'static Spec> {
    let global = GLOBAL.iter().flat_map(|t| t.iter()).map(|row| &row.spec);
    let proxy = PROXY.iter().flat_map(|t| t.iter()).map(|row| &row.spec);
    global.chain(proxy).chain(server_options())
}

/// The headers of the options of `server` lines.
pub fn server_options() -> impl Iterator<Item = &'static Spec> {
    servers::OPTIONS.iter().map(|row| &row.spec)
}

pub(crate) use logs::target;

/// A row's header; the shorthand keeps a table readable.
macro_rules! spec {
    ($names:expr, $args:expr, $doc:expr, $example:expr) => {
        proxy_lang::Spec {
            names: $names,
            args: $args,
            status: proxy_lang::Status::Full,
            doc: $doc,
            example: $example,
        }
    };
    ($status:expr, $names:expr, $args:expr, $doc:expr, $example:expr) => {
        proxy_lang::Spec { names: $names, args: $args, status: $status, doc: $doc, example: $example }
    };
}
pub(crate) use spec;
