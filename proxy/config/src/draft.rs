//! What the file asks for; unset means unset.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proxy_lang::{Span, Word};

use crate::model::{
    Balance, Captures, Cookie, Expect, ForwardFor, Global, HttpReuse, LogTarget, Mode, Options, SocketFile,
    StatsPage, Timeouts, TlsVersion,
};

/// The global section.
#[derive(Clone, Debug, Default)]
pub struct GlobalDraft {
    pub(crate) global: Global,
    /// `default-path` lines, in the order they stand.
    pub(crate) bases: Vec<(Span, Base)>,
}

/// What relative names of files are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Current,
    Config,
    Parent,
    Origin(String),
}

impl Base {
    /// The folder that is meant in a file of this name; `None`: the one the program was started in.
    pub(crate) fn folder(&self, file: &str) -> Option<String> {
        let own = file.rsplit_once('/').map(|(folder, _)| if folder.is_empty() { "/" } else { folder });
        match self {
            Self::Current => None,
            Self::Config => own.map(str::to_owned),
            Self::Parent => Some(own.map_or_else(|| "..".to_owned(), |folder| format!("{folder}/.."))),
            Self::Origin(folder) => Some(folder.clone()),
        }
    }
}

/// A section that others refer to by name: of them only `http-errors` acts yet.
#[derive(Clone, Debug, Default)]
pub struct NamedDraft {
    pub(crate) name: String,
    pub(crate) error_files: Vec<(u16, Word)>,
}

/// Where a proxy has error pages from.
#[derive(Clone, Debug)]
pub(crate) enum PageSource {
    /// `errorfile`.
    File(u16, Word),
    /// `errorfiles`; no status stands for all that the section has.
    Section(Word, Vec<(u16, Span)>),
    /// `errorloc` and its like: a redirection with this code.
    Location { status: u16, code: u16, address: Word },
}

/// A line whose meaning needs other sections: read when all are known.
#[derive(Clone, Debug)]
pub(crate) struct Deferred {
    pub(crate) kind: DeferredKind,
    pub(crate) words: Vec<Word>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeferredKind {
    Acl,
    TcpRequestConnection,
    TcpRequestSession,
    TcpRequestContent,
    HttpRequest,
    HttpResponse,
    Redirect,
    UseBackend,
    Stick,
}

impl DeferredKind {
    /// Rules of a request in the order in which they are run, each with its keyword.
    pub(crate) const ORDER: [(Self, &'static str); 6] = [
        (Self::TcpRequestConnection, "tcp-request connection"),
        (Self::TcpRequestSession, "tcp-request session"),
        (Self::TcpRequestContent, "tcp-request content"),
        (Self::HttpRequest, "http-request"),
        (Self::Redirect, "redirect"),
        (Self::UseBackend, "use_backend"),
    ];
}

/// `log` lines: the section's own, or the global ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogLine {
    Global,
    Target(LogTarget),
}

/// What log lines tell: the last line of the section says.
#[derive(Clone, Debug)]
pub(crate) enum LogFormat {
    /// `option httplog`.
    Http,
    /// `option httplog clf`.
    Clf,
    /// `option tcplog`.
    Tcp,
    /// `log-format`.
    Own(Word),
}

#[derive(Clone, Debug)]
pub(crate) struct BindDraft {
    pub(crate) address: Word,
    pub(crate) options: BindOptions,
}

/// What follows the address of a `bind` line.
#[derive(Clone, Debug, Default)]
pub struct BindOptions {
    pub(crate) id: Option<u32>,
    pub(crate) name: Option<String>,
    pub(crate) file: SocketFile,
    pub(crate) v6only: bool,
    pub(crate) backlog: Option<u32>,
    pub(crate) ssl: bool,
    pub(crate) certificates: Vec<Word>,
    pub(crate) alpn: Vec<String>,
    pub(crate) oldest: Option<TlsVersion>,
    pub(crate) newest: Option<TlsVersion>,
    pub(crate) strict_sni: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct HttpCheckDraft {
    /// `option httpchk` stands there: without it the other lines mean nothing.
    pub(crate) enabled: bool,
    pub(crate) line: Option<(String, String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) expect: Option<Expect>,
}

#[derive(Clone, Debug)]
pub(crate) struct TableDraft {
    pub(crate) schema: proxy_table::Schema,
    /// The peers section it names, with its place.
    pub(crate) peers: Option<Word>,
    pub(crate) at: Span,
}

/// A `server` line, or what `default-server` lines gave.
#[derive(Clone, Debug, Default)]
pub struct ServerDraft {
    pub(crate) name: Option<Word>,
    pub(crate) address: Option<Word>,
    pub(crate) id: Option<u32>,
    pub(crate) weight: Option<u32>,
    pub(crate) maxconn: Option<u32>,
    pub(crate) maxqueue: Option<u32>,
    pub(crate) backup: Option<bool>,
    pub(crate) disabled: Option<bool>,
    pub(crate) cookie: Option<String>,
    pub(crate) check: Option<bool>,
    pub(crate) inter: Option<Duration>,
    pub(crate) fast_inter: Option<Duration>,
    pub(crate) down_inter: Option<Duration>,
    pub(crate) rise: Option<u32>,
    pub(crate) fall: Option<u32>,
    pub(crate) port: Option<u16>,
    pub(crate) check_address: Option<Word>,
}

/// A proxy section: defaults, frontend, backend or listen.
#[derive(Clone, Debug, Default)]
pub struct ProxyDraft {
    pub(crate) name: Option<Word>,
    pub(crate) proxy_id: u32,
    pub(crate) is_frontend: bool,
    pub(crate) is_backend: bool,
    pub(crate) disabled: bool,
    pub(crate) description: Option<String>,
    /// The timeouts that its own lines have set.
    pub(crate) timeout_lines: BTreeSet<String>,
    /// `http-check` lines of its own.
    pub(crate) has_check_lines: bool,
    /// The rule of its lines so far that runs last.
    pub(crate) last_rule: Option<usize>,
    pub(crate) mode: Option<Mode>,
    pub(crate) maxconn: Option<u32>,
    pub(crate) fullconn: Option<u32>,
    pub(crate) backlog: Option<u32>,
    pub(crate) retries: Option<u32>,
    pub(crate) redispatch: Option<i32>,
    pub(crate) timeouts: Timeouts,
    pub(crate) options: Options,
    pub(crate) log: Vec<LogLine>,
    pub(crate) log_format: Option<LogFormat>,
    pub(crate) log_tag: Option<String>,
    pub(crate) forward_for: Option<ForwardFor>,
    pub(crate) balance: Option<Balance>,
    pub(crate) reuse: Option<HttpReuse>,
    pub(crate) cookie: Option<Cookie>,
    pub(crate) httpchk: Option<HttpCheckDraft>,
    pub(crate) binds: Vec<BindDraft>,
    pub(crate) servers: Vec<ServerDraft>,
    /// The line of each server, by its name.
    pub(crate) server_lines: BTreeMap<String, u32>,
    pub(crate) default_server: ServerDraft,
    pub(crate) table: Option<TableDraft>,
    pub(crate) default_backend: Option<Word>,
    pub(crate) error_files: Vec<PageSource>,
    pub(crate) captures: Captures,
    pub(crate) stats: Option<StatsPage>,
    pub(crate) deferred: Vec<Deferred>,
    /// ACLs and rules of the defaults section it names.
    pub(crate) inherited: Vec<Deferred>,
    /// The name of that section.
    pub(crate) defaults: Option<Word>,
}

/// One peer of a section.
#[derive(Clone, Debug)]
pub(crate) struct PeerDraft {
    pub(crate) name: Word,
    /// None: it is this node, which `bind` places.
    pub(crate) address: Option<Word>,
}

/// A peers section.
#[derive(Clone, Debug, Default)]
pub struct PeersDraft {
    pub(crate) name: Option<Word>,
    pub(crate) bind: Option<Word>,
    pub(crate) peers: Vec<PeerDraft>,
    pub(crate) disabled: bool,
}
