//! What the file means: complete, with names resolved to indexes.
#![allow(
    missing_docs,
    reason = "every field is the keyword of the same name; the keyword's row documents it"
)]

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use proxy_backend::balance::{self, Algorithm, UriPart};
use proxy_lang::Span;
use proxy_rules::{AclSet, Condition, Format, Pages, Ruleset, StickRule};
use proxy_table::{Schema, TableId};

/// Everything HAProxy's sections of the file say.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub global: Global,
    pub frontends: Vec<Frontend>,
    pub backends: Vec<Backend>,
    pub binds: Vec<Bind>,
    /// By table id.
    pub tables: Vec<Schema>,
    pub peers: Vec<Peers>,
}

impl Config {
    /// Whether a rule may leave a client without a word (`silent-drop`).
    #[must_use]
    pub fn drops_silently(&self) -> bool {
        let fronts = self.frontends.iter().flat_map(|f| {
            [
                &f.tcp_request_connection,
                &f.tcp_request_session,
                &f.tcp_request_content,
                &f.http_request,
                &f.http_response,
            ]
        });
        let backs =
            self.backends.iter().flat_map(|b| [&b.tcp_request_content, &b.http_request, &b.http_response]);
        fronts.chain(backs).any(Ruleset::drops_silently)
    }
}

/// A `peers` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    pub name: String,
    /// Everyone and where they listen, this node among them.
    pub members: Vec<(String, SocketAddr)>,
    /// Where this node listens, if not where the others find it.
    pub bind: Option<SocketAddr>,
}

impl Peers {
    /// Where this node listens; `None`: it is not among the peers.
    #[must_use]
    pub fn own(&self, member: &str) -> Option<SocketAddr> {
        let own = self.members.iter().find(|(name, _)| name == member);
        own.map(|(_, address)| self.bind.unwrap_or(*address))
    }
}

/// An index into `Config::frontends`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontendId(pub u32);

/// An index into `Config::backends`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendId(pub u32);

#[derive(Clone, Debug, Default)]
pub struct Global {
    /// Most client connections; `None`: as many as descriptors and memory carry.
    pub maxconn: Option<u64>,
    /// Most descriptors, set at the start (`ulimit-n`).
    pub ulimit_n: Option<u64>,
    /// Most descriptors, whatever the system allows (`fd-hard-limit`).
    pub fd_hard_limit: Option<u64>,
    /// More connections than there are descriptors for are a warning, no error (`no strict-limits`).
    pub lenient_limits: bool,
    /// Longest time sessions may go on after a stop.
    pub hard_stop_after: Option<Duration>,
    pub nbthread: Option<u32>,
    pub user: Option<Account>,
    pub group: Option<Account>,
    pub chroot: Option<String>,
    pub pidfile: Option<String>,
    pub daemon: bool,
    /// Supervisor and worker, as with `-W`.
    pub master_worker: bool,
    pub tuning: Tuning,
    pub node: Option<String>,
    /// What 'show info' says of this process.
    pub description: Option<String>,
    pub localpeer: Option<String>,
    pub log: Vec<LogTarget>,
    pub log_tag: Option<String>,
    /// The host's name in log lines; an empty one is this machine's.
    pub log_host: Option<String>,
    pub stats_sockets: Vec<StatsSocket>,
    pub stats_timeout: Option<Duration>,
    /// Connections to the runtime API that are served at a time.
    pub stats_maxconn: Option<u32>,
}

/// Sizes that the file sets (`tune.` and its like).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Bytes of a buffer.
    pub buffer: usize,
    /// Bytes of it that a head leaves free.
    pub rewrite: usize,
    /// Most fields of a head.
    pub fields: usize,
    /// Most bytes of a request line in log lines.
    pub logged_line: usize,
    /// Most bytes of a captured cookie.
    pub cookie: usize,
    /// Reloads after which a worker that still serves is ended.
    pub max_reloads: Option<usize>,
    pub client: SocketBytes,
    pub server: SocketBytes,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            buffer: 16_384,
            rewrite: 1_024,
            fields: 101,
            logged_line: 1_023,
            cookie: 63,
            max_reloads: None,
            client: SocketBytes::default(),
            server: SocketBytes::default(),
        }
    }
}

impl Tuning {
    /// Most bytes of a head.
    #[must_use]
    pub fn head(&self) -> usize {
        self.buffer - self.rewrite.min(self.buffer / 2)
    }
}

/// Bytes that the kernel keeps for a socket; `None`: as many as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketBytes {
    pub receive: Option<usize>,
    pub send: Option<usize>,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    pub address: LogAddress,
    /// Syslog facility, 0..=23.
    pub facility: u8,
    /// Least severe level that is sent, 0 (emerg) ..= 7 (debug).
    pub max_level: u8,
    /// What is more severe is sent as this.
    pub min_level: u8,
    pub format: LogForm,
    /// Longest line, in bytes, its header included.
    pub length: usize,
    /// Which lines are sent; all, if nothing says.
    pub sample: Option<LogSample>,
}

/// How a line is written to a target: what stands before its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogForm {
    /// As `Rfc3164` with the host's name where lines have one, without it otherwise.
    #[default]
    Usual,
    /// `<PRI>Mon dd hh:mm:ss tag[pid]: `.
    Local,
    /// The same with the host's name before the tag.
    Rfc3164,
    /// `<PRI>1 date host tag pid - - `.
    Rfc5424,
    /// `<PRI>`.
    Priority,
    /// `<LEVEL>`.
    Short,
    /// `<LEVEL>date `.
    Timed,
    /// `date `.
    Iso,
    /// Nothing.
    Raw,
}

/// Which of a target's lines are sent: of each `size` in a row those whose place, from 1, is in a range.
#[derive(Clone, Debug)]
pub struct LogSample {
    pub ranges: Vec<(u32, u32)>,
    pub size: u32,
    /// Lines so far; `log global` counts for each proxy by itself.
    pub lines: Arc<AtomicU32>,
}

impl LogSample {
    /// Whether the next line is one of them.
    #[must_use]
    pub fn takes_next(&self) -> bool {
        // Wraps round after four thousand million lines, where one sample may be shorter.
        let place = self.lines.fetch_add(1, Ordering::Relaxed) % self.size + 1;
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&place))
    }
}

impl PartialEq for LogSample {
    fn eq(&self, other: &Self) -> bool {
        (&self.ranges, self.size) == (&other.ranges, other.size)
    }
}

impl Eq for LogSample {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogAddress {
    Udp(SocketAddr),
    Unix(PathBuf),
    Stdout,
    Stderr,
}

/// A user or a group of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// By name; whether the machine knows it, who opens files finds out.
    Name {
        name: String,
        /// Where the file says so.
        at: Span,
    },
    /// By number (`uid`, `gid`).
    Number(u32),
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name { name, .. } => f.write_str(name),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// What a connection to a stats socket may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    User,
    Operator,
    Admin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsSocket {
    pub address: BindAddress,
    pub file: SocketFile,
    pub level: Level,
}

/// The file of a Unix socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketFile {
    pub mode: Option<u32>,
    /// Its owner; without it the user of this process.
    pub user: Option<Account>,
    /// Its group; without it the group of this process.
    pub group: Option<Account>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    Http,
    #[default]
    Tcp,
}

#[derive(Clone, Debug)]
pub struct Bind {
    pub frontend: FrontendId,
    /// Its number within the frontend, from 1.
    pub id: u32,
    pub name: Option<String>,
    pub address: BindAddress,
    pub file: SocketFile,
    /// What the kernel keeps for its clients.
    pub bytes: SocketBytes,
    /// A socket of IPv6 takes no clients of IPv4.
    pub v6only: bool,
    pub backlog: Option<u32>,
    pub tls: Option<Tls>,
    /// Where the line stands.
    pub at: Span,
}

/// `ssl` on a `bind` line. What the certificates' files hold is read by those who use it: a secret
/// does not belong into a configuration that is passed around.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Files or folders, each with its place; the first certificate is for clients that name no host.
    pub certificates: Vec<(String, Span)>,
    pub alpn: Vec<String>,
    pub oldest: Option<TlsVersion>,
    pub newest: Option<TlsVersion>,
    pub strict_sni: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// A header or a cookie of which a log line may show so much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    pub name: String,
    pub length: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    pub request: Vec<Capture>,
    pub response: Vec<Capture>,
    pub cookie: Option<Capture>,
}

/// The statistics page of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsPage {
    pub uri: Option<String>,
    pub realm: Option<String>,
    /// `user:password`.
    pub users: Vec<String>,
    pub refresh: Option<Duration>,
    pub hide_version: bool,
    pub legends: bool,
    pub scope: Vec<String>,
    pub description: Option<String>,
    /// Empty: this node's own name.
    pub node: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// A socket of this name that no file stands for (`abns@`).
    Abstract(String),
    /// A descriptor that the program was started with.
    Inherited(i32),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    pub client: Option<Duration>,
    pub server: Option<Duration>,
    pub connect: Option<Duration>,
    pub check: Option<Duration>,
    pub queue: Option<Duration>,
    pub tunnel: Option<Duration>,
    pub tarpit: Option<Duration>,
    pub http_request: Option<Duration>,
    pub http_keep_alive: Option<Duration>,
    /// `tcp-request inspect-delay`.
    pub inspect: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub dontlognull: bool,
    pub http_server_close: bool,
    pub httpclose: bool,
    pub allbackups: bool,
    pub redispatch: bool,
}

/// `option forwardfor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardFor {
    pub header: String,
    pub except: Option<IpNet>,
    pub if_none: bool,
}

#[derive(Clone, Debug)]
pub struct Frontend {
    pub proxy_id: u32,
    pub name: String,
    pub mode: Mode,
    /// Most client connections; `None`: as many as the process may have.
    pub maxconn: Option<u32>,
    pub timeouts: Timeouts,
    pub options: Options,
    pub acls: AclSet,
    pub tcp_request_connection: Ruleset,
    pub tcp_request_session: Ruleset,
    pub tcp_request_content: Ruleset,
    pub http_request: Ruleset,
    /// `redirect` lines, which come behind `http_request`.
    pub redirects: Ruleset,
    pub http_response: Ruleset,
    pub use_backend: Vec<UseBackend>,
    pub default_backend: Option<BackendId>,
    pub forward_for: Option<ForwardFor>,
    pub log: Vec<LogTarget>,
    pub log_format: Option<Format>,
    pub log_tag: Option<String>,
    /// The file names a format: lines tell how streams ended, and are written then. Otherwise they are written when one
    /// begins.
    pub names_log_format: bool,
    pub table: Option<TableId>,
    pub error_replies: Pages,
    pub captures: Captures,
    pub stats: Option<StatsPage>,
    /// What the statistics page says of it.
    pub description: Option<String>,
}

#[derive(Clone, Debug)]
pub struct UseBackend {
    pub condition: Option<Condition>,
    pub backend: BackendChoice,
}

#[derive(Clone, Debug)]
pub enum BackendChoice {
    Id(BackendId),
    Dynamic(Format),
}

/// `balance`: how a server is chosen.
#[derive(Clone, Debug)]
pub struct Balance {
    pub algorithm: &'static Algorithm,
    /// The parameter or the header field that is hashed.
    pub name: String,
    pub uri: UriPart,
    pub use_domain_only: bool,
    /// Servers that `random` draws.
    pub draws: u32,
}

impl Balance {
    /// An algorithm without parameters.
    #[must_use]
    pub fn by(algorithm: &'static Algorithm) -> Self {
        Self {
            algorithm,
            name: String::new(),
            uri: UriPart::default(),
            use_domain_only: false,
            draws: USUAL_DRAWS,
        }
    }
}

impl Default for Balance {
    fn default() -> Self {
        Self::by(balance::usual())
    }
}

/// Servers that `balance random` draws where the file does not say how many.
const USUAL_DRAWS: u32 = 2;

/// `http-reuse`: when an idle server connection carries a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpReuse {
    /// One of the same client's only.
    Never,
    /// Any but a client's first request.
    #[default]
    Safe,
    /// A client's first request too, by a connection that has carried a second request before.
    Aggressive,
    /// Any request.
    Always,
}

#[derive(Clone, Debug)]
pub struct Backend {
    pub proxy_id: u32,
    pub name: String,
    pub mode: Mode,
    pub balance: Balance,
    pub servers: Vec<Server>,
    pub cookie: Option<Cookie>,
    pub table: Option<TableId>,
    pub stick: Vec<StickRule>,
    pub acls: AclSet,
    pub tcp_request_content: Ruleset,
    pub http_request: Ruleset,
    /// `redirect` lines, which come behind `http_request`.
    pub redirects: Ruleset,
    pub http_response: Ruleset,
    pub reuse: HttpReuse,
    pub httpchk: Option<HttpCheck>,
    pub timeouts: Timeouts,
    pub options: Options,
    pub retries: u32,
    pub redispatch: Option<i32>,
    pub fullconn: u32,
    pub forward_for: Option<ForwardFor>,
    pub error_replies: Pages,
    pub stats: Option<StatsPage>,
    /// What the statistics page says of it.
    pub description: Option<String>,
    /// It is named only: nobody is behind it, and nothing is shown of it.
    pub disabled: bool,
    /// The frontend of the same `listen`: what came through it has met these rules already.
    pub own_frontend: Option<FrontendId>,
    /// Who hears of its servers' states.
    pub log: Vec<LogTarget>,
    pub log_tag: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookie {
    pub name: String,
    pub mode: CookieMode,
    pub indirect: bool,
    pub nocache: bool,
    pub postonly: bool,
    pub preserve: bool,
    pub httponly: bool,
    pub secure: bool,
    pub domains: Vec<String>,
    /// In seconds.
    pub maxidle: Option<u64>,
    /// In seconds.
    pub maxlife: Option<u64>,
    pub attributes: Vec<String>,
}

/// Who sets the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieMode {
    /// The server, and it is left as it is.
    #[default]
    Passive,
    /// The proxy.
    Insert,
    /// The server, and its value becomes the server's.
    Rewrite,
    /// The server, and its value is put behind the server's.
    Prefix,
}

/// `option httpchk` and what an answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    pub method: String,
    pub uri: String,
    pub version: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub expect: Expect,
}

/// `http-check expect`: what an answer must be, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    pub negated: bool,
    pub what: Expected,
}

/// What of an answer is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Its status is in one of these ranges.
    Status(Vec<(u16, u16)>),
    /// Its body contains this.
    Body(String),
}

#[derive(Clone, Debug)]
pub struct Server {
    /// Within its backend, from 1.
    pub id: u32,
    /// The file names its number.
    pub has_own_id: bool,
    pub name: String,
    pub address: SocketAddr,
    pub weight: u32,
    pub maxconn: u32,
    pub maxqueue: u32,
    pub backup: bool,
    pub disabled: bool,
    pub cookie: Option<String>,
    pub check: Option<CheckSettings>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSettings {
    pub inter: Duration,
    pub fast_inter: Option<Duration>,
    pub down_inter: Option<Duration>,
    pub rise: u32,
    pub fall: u32,
    pub port: Option<u16>,
    pub address: Option<IpAddr>,
}
