//! The rows of HAProxy's sections, one file per family, in the manual's order.

mod answers;
mod backends;
mod bind_more;
mod binds;
mod captures;
mod checks;
mod frontends;
mod global;
mod logs;
mod named;
mod options;
mod peers;
mod process;
mod rules;
mod server_more;
mod servers;
mod statistics;
mod timeouts;
mod traffic;
mod tuning;

use proxy_lang::{Keyword, Sections, Spec, Word};

use crate::draft::{BindOptions, GlobalDraft, NamedDraft, PeersDraft, ProxyDraft, ServerDraft};

/// Rows of the global section.
pub const GLOBAL: &[&[Keyword<GlobalDraft>]] = &[global::TABLE, process::TABLE, tuning::TABLE, process::TLS];
/// Rows of peers sections.
pub const PEERS: &[&[Keyword<PeersDraft>]] = &[peers::TABLE];
/// Rows of the proxy sections.
pub const PROXY: &[&[Keyword<ProxyDraft>]] = &[
    frontends::TABLE,
    backends::TABLE,
    captures::TABLE,
    logs::TABLE,
    options::TABLE,
    rules::TABLE,
    statistics::TABLE,
    timeouts::TABLE,
    servers::LINES,
    answers::TABLE,
    checks::TABLE,
    traffic::TABLE,
];
/// Rows of the sections that others refer to by name.
pub const NAMED: &[&[Keyword<NamedDraft>]] =
    &[named::RESOLVERS, named::MAILERS, named::USERLIST, named::HTTP_ERRORS, named::RING];
/// Options of `bind` lines.
pub const BIND_OPTIONS: &[&[Keyword<BindOptions>]] = &[binds::OPTIONS, bind_more::TABLE];
/// Options of `server` lines.
pub const SERVER_OPTIONS: &[&[Keyword<ServerDraft>]] = &[servers::OPTIONS, server_more::TABLE];

/// The sections where the keyword of a line may stand, whatever their kind.
pub(crate) fn home(words: &[Word]) -> Option<Sections> {
    let proxy = || proxy_lang::home(PROXY, words);
    proxy()
        .or_else(|| proxy_lang::home(GLOBAL, words))
        .or_else(|| proxy_lang::home(NAMED, words))
        .or_else(|| proxy_lang::home(PEERS, words))
}

/// The headers of all rows, options of `server` lines among them.
pub fn specs() -> impl Iterator<Item = &'static Spec> {
    let global = GLOBAL.iter().flat_map(|t| t.iter()).map(|row| &row.spec);
    let proxy = PROXY.iter().flat_map(|t| t.iter()).map(|row| &row.spec);
    let peers = PEERS.iter().flat_map(|t| t.iter()).map(|row| &row.spec);
    let named = NAMED.iter().flat_map(|t| t.iter()).map(|row| &row.spec);
    global.chain(proxy).chain(peers).chain(named).chain(server_options()).chain(bind_options())
}

/// The headers of the options of `bind` lines.
pub fn bind_options() -> impl Iterator<Item = &'static Spec> {
    BIND_OPTIONS.iter().flat_map(|t| t.iter()).map(|row| &row.spec)
}

/// The headers of the options of `server` lines.
pub fn server_options() -> impl Iterator<Item = &'static Spec> {
    SERVER_OPTIONS.iter().flat_map(|t| t.iter()).map(|row| &row.spec)
}

pub use backends::COOKIE_OPTIONS;
pub(crate) use logs::target;

/// Words as one text.
fn text(words: &[Word]) -> String {
    words.iter().map(Word::as_str).collect::<Vec<_>>().join(" ")
}

/// A row's header; the shorthand keeps a table readable.
macro_rules! spec {
    ($names:expr, $args:expr, $doc:expr, $example:expr) => {
        proxy_lang::Spec::full($names, $args, $doc, $example)
    };
    ($status:expr, $names:expr, $args:expr, $doc:expr, $example:expr) => {
        proxy_lang::Spec { names: $names, args: $args, status: $status, doc: $doc, example: $example }
    };
}
pub(crate) use spec;

/// The status of an error page, as the first argument.
fn status(args: &proxy_lang::Args, diagnostics: &mut proxy_lang::Diagnostics) -> Option<u16> {
    let status = u16::try_from(args.int(0)).ok().filter(|status| proxy_rules::PAGES.contains(status));
    if status.is_none() {
        let known = proxy_rules::PAGES.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let text = format!("'errorfile' : status {} is never sent by the proxy itself", args.int(0));
        diagnostics.error(args.span, text).help(format!("error files are for {known}"));
    }
    status
}
