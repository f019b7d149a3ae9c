//! The rows of keepalived's virtual servers. One draft serves all levels: what is said of a virtual server is said
//! of its servers and their checks too, unless they say otherwise.

use std::net::IpAddr;
use std::time::Duration;

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Sections, Spec, Status, Word, full_row as row};

/// What the lines of one level ask for.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub(super) delay_loop: Option<Duration>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) delay_before_retry: Option<Duration>,
    pub(super) retry: Option<i64>,
    pub(super) virtualhost: Option<String>,
    pub(super) algorithm: Option<Word>,
    pub(super) protocol: Option<Word>,
    pub(super) persistence: Option<Duration>,
    pub(super) sorry: Option<(Word, Option<Word>)>,
    pub(super) quorum: Option<(Word, i64)>,
    pub(super) weight: Option<i64>,
    pub(super) most: Option<i64>,
    pub(super) connect_ip: Option<String>,
    pub(super) connect_port: Option<i64>,
    pub(super) version: Option<Word>,
    pub(super) path: Option<String>,
    pub(super) status: Vec<Word>,
    pub(super) digest: Option<Word>,
}

impl Settings {
    /// What is said here, or else by the level around it.
    pub(super) fn within(mut self, around: &Self) -> Self {
        self.delay_loop = self.delay_loop.or(around.delay_loop);
        self.connect_timeout = self.connect_timeout.or(around.connect_timeout);
        self.delay_before_retry = self.delay_before_retry.or(around.delay_before_retry);
        self.retry = self.retry.or(around.retry);
        self.virtualhost = self.virtualhost.or_else(|| around.virtualhost.clone());
        self
    }
}

const TOP: Sections = Sections::KEEPALIVED;
const VIRTUAL: Sections = Sections::VIRTUAL_SERVER;
const REAL: Sections = Sections::REAL_SERVER;
const HTTP: Sections = Sections::HTTP_GET;
const URL: Sections = Sections::URL;
const CHECK: Sections = Sections::TCP_CHECK.or(HTTP);
const SERVERS: Sections = VIRTUAL.or(REAL);
const ALL: Sections = SERVERS.or(CHECK);
/// keepalived's longest time, in milliseconds.
const LONGEST: u64 = 4_294_000_000;
const SECONDS: &[Arg] = &[Arg::Seconds("seconds", 0, LONGEST)];
const COUNT: &[Arg] = &[Arg::Int("count", 0, 2_147_483_647)];
const WEIGHT: &[Arg] = &[Arg::Int("weight", 0, 2_147_483_647)];
const QUORUM: &[Arg] = &[Arg::Int("weight", 1, 4_294_967_295)];
const METHOD: &[Arg] = &[Arg::OneOf("method", &["NAT", "DR", "TUN"]), Arg::Rest("how packets are wrapped")];
/// How long a client keeps its server where a line does not say it.
const PERSISTENCE: Duration = Duration::from_secs(360);

const fn partial(why: &'static str, row: Keyword<Settings>) -> Keyword<Settings> {
    let Spec { names, args, doc, example, .. } = row.spec;
    Keyword { spec: Spec { names, args, status: Status::Partial(why), doc, example }, ..row }
}

const fn accepted(
    sections: Sections,
    why: &'static str,
    names: &'static [&'static str],
    doc: &'static str,
    example: &'static str,
) -> Keyword<Settings> {
    Keyword::inert(sections, false, Spec::accepted(why, names, &[Arg::Rest("setting")], doc, example))
}

/// A row that is left out with a warning, since its file expects something of it.
const fn left_out(
    sections: Sections,
    why: &'static str,
    names: &'static [&'static str],
    doc: &'static str,
    example: &'static str,
) -> Keyword<Settings> {
    partial(why, row(sections, names, &[Arg::Rest("setting")], doc, example, warn))
}

fn warn(_: &mut Settings, args: &Args, diagnostics: &mut Diagnostics) {
    let row = TABLE.iter().find(|row| row.spec.names.contains(&args.keyword.text.as_str()));
    if let Some(Status::Partial(why)) = row.map(|row| row.spec.status) {
        diagnostics.warning(args.span, format!("'{}' is left out: {why}", args.keyword.text));
    }
}

const NO_SCRIPT: &str =
    "no script is run for servers; `tandem status --json` and the stats socket tell their state";
const NO_PACKETS: &str = "a proxy opens connections of its own";
const BY_CONNECTION: &str =
    "there is no check of this kind in Tandem: a connection to the server's port is tried instead";

/// The rows.
pub const TABLE: &[Keyword<Settings>] = &[
    partial(
        "of addresses and ports only: a mark of the firewall, all ports, UDP and SCTP are left out with a warning; \
         servers see this node's address",
        Keyword::inert(
            TOP,
            false,
            Spec::full(
                &["virtual_server"],
                &[Arg::Words("address and port, group, or fwmark")],
                "A service: what the proxy serves as a 'listen' section.",
                "virtual_server 192.0.2.100 80 { lb_algo rr }",
            ),
        ),
    ),
    partial(
        "marks of the firewall are left out with a warning",
        Keyword::inert(
            TOP,
            false,
            Spec::full(
                &["virtual_server_group"],
                &[Arg::Word("name")],
                "Addresses, and ranges of them, of one service: its 'bind' lines.",
                "virtual_server_group web { 192.0.2.100-101 80 }",
            ),
        ),
    ),
    accepted(TOP, "checks carry no certificate", &["SSL"], "Certificates of checks.", "SSL { password x }"),
    accepted(
        SERVERS.or(CHECK),
        "servers count as up until a check has failed, and the first failure counts",
        &["alpha"],
        "Servers count as down until a check has succeeded.",
        "alpha",
    ),
    row(
        CHECK,
        &["connect_ip"],
        &[Arg::Word("address")],
        "The address that is checked.",
        "connect_ip 192.0.2.1",
        |d, a, diagnostics| match a.text(0).parse::<IpAddr>() {
            Ok(_) => d.connect_ip = Some(a.text(0)),
            Err(_) => {
                diagnostics.error(a.span, format!("'{}' is no address: it is left out", a.text(0)));
            }
        },
    ),
    row(
        CHECK,
        &["connect_port"],
        &[Arg::Int("port", 1, 65_535)],
        "The port that is checked.",
        "connect_port 81",
        |d, a, _| {
            d.connect_port = Some(a.int(0));
        },
    ),
    partial(
        "the longest one of a virtual server is all its servers'",
        row(
            ALL,
            &["connect_timeout"],
            SECONDS,
            "How long a check may take; 5 seconds.",
            "connect_timeout 3",
            |d, a, _| {
                d.connect_timeout = Some(a.duration(0));
            },
        ),
    ),
    row(
        ALL,
        &["delay_before_retry"],
        SECONDS,
        "How long a check waits that has failed for the first time: 'fastinter'; 1 second, 3 of HTTP_GET.",
        "delay_before_retry 1",
        |d, a, _| d.delay_before_retry = Some(a.duration(0)),
    ),
    row(
        ALL,
        &["delay_loop"],
        SECONDS,
        "Time between two checks: 'inter'; 60 seconds.",
        "delay_loop 6",
        |d, a, _| {
            d.delay_loop = Some(a.duration(0));
        },
    ),
    accepted(
        VIRTUAL,
        "that is about packets without connections",
        &["ops", "ip_family", "persistence_engine"],
        "Settings of IPVS.",
        "ops",
    ),
    left_out(
        VIRTUAL,
        "'lb_algo' chooses by the client's address alone",
        &["flag-1", "flag-2", "flag-3", "hashed", "mh-fallback", "mh-port", "sh-fallback", "sh-port"],
        "What IPVS's schedulers look at.",
        "sh-port",
    ),
    accepted(
        VIRTUAL,
        "checks run on every node, so that a new master knows its servers",
        &["ha_suspend"],
        "Checks run only where the address is.",
        "ha_suspend",
    ),
    left_out(
        REAL,
        BY_CONNECTION,
        &[
            "BFD_CHECK",
            "DNS_CHECK",
            "FILE_CHECK",
            "MISC_CHECK",
            "PING_CHECK",
            "SMTP_CHECK",
            "SSL_GET",
            "UDP_CHECK",
        ],
        "A check.",
        "MISC_CHECK { misc_path /bin/true }",
    ),
    partial(
        "the first URL and its status: 'option httpchk'; where servers of one virtual server are asked for different \
         things, or some only for a connection, a connection is tried instead, with a warning",
        Keyword::inert(
            REAL,
            false,
            Spec::full(&["HTTP_GET"], &[], "A check over HTTP.", "HTTP_GET { url { path / } }"),
        ),
    ),
    Keyword::inert(
        REAL,
        false,
        Spec::full(&["TCP_CHECK"], &[], "A check that opens a connection.", "TCP_CHECK { connect_port 81 }"),
    ),
    row(
        HTTP,
        &["http_protocol"],
        &[Arg::OneOf("version", &["1.0", "1.0C", "1.0c", "1.1", "1.1C", "1.1c"])],
        "HTTP's version; 1.0.",
        "http_protocol 1.1",
        |d, a, _| d.version = Some(a.word(0).clone()),
    ),
    accepted(
        HTTP,
        "every check asks for one thing",
        &["fast_recovery", "tls_compliant", "enable_sni"],
        "How a check goes on.",
        "fast_recovery",
    ),
    accepted(
        SERVERS,
        "connections to a server are never cut because a check has failed",
        &["inhibit_on_failure"],
        "Takes a failed server's weight, and leaves its connections.",
        "inhibit_on_failure",
    ),
    accepted(
        VIRTUAL,
        "the sorry server is never checked",
        &["sorry_server_inhibit"],
        "The same for the sorry server.",
        "sorry_server_inhibit",
    ),
    partial(
        "rr, wrr: roundrobin; lc, wlc, sed, nq, twos: leastconn; sh, mh: source; fo: the heaviest server, the others are \
         'backup'; of dh, lblc, lblcr and ovf what is nearest, with a warning",
        row(
            VIRTUAL,
            &["lb_algo", "lvs_sched"],
            &[Arg::OneOf(
                "scheduler",
                &[
                    "rr", "wrr", "lc", "wlc", "sed", "nq", "twos", "sh", "mh", "fo", "dh", "lblc", "lblcr",
                    "ovf",
                ],
            )],
            "How a server is chosen; wlc.",
            "lb_algo rr",
            |d, a, _| d.algorithm = Some(a.word(0).clone()),
        ),
    ),
    partial(
        "packets are not rewritten, a proxy forwards: one warning says it",
        row(
            SERVERS,
            &["lb_kind", "lvs_method", "sorry_server_lvs_method"],
            METHOD,
            "How packets reach a server.",
            "lb_kind NAT",
            |_, _, _| {},
        ),
    ),
    row(
        VIRTUAL,
        &["persistence_timeout"],
        &[Arg::Optional(&Arg::Seconds("seconds", 1_000, LONGEST))],
        "How long a client keeps its server: 'stick on src'; 360 seconds.",
        "persistence_timeout 50",
        |d, a, _| d.persistence = Some(if a.has(0) { a.duration(0) } else { PERSISTENCE }),
    ),
    left_out(
        VIRTUAL,
        "every client is remembered by its whole address",
        &["persistence_granularity"],
        "The network of clients that share a server.",
        "persistence_granularity 255.255.255.0",
    ),
    row(
        VIRTUAL,
        &["protocol"],
        &[Arg::OneOf("protocol", &["TCP", "UDP", "SCTP"])],
        "What is served: of TCP alone there is a proxy.",
        "protocol TCP",
        |d, a, _| {
            d.protocol = Some(a.word(0).clone());
        },
    ),
    partial(
        "the sorry server serves when no other can, whatever their weights",
        row(VIRTUAL, &["quorum"], QUORUM, "Weight of servers that must be up.", "quorum 1", |d, a, _| {
            d.quorum = Some((a.keyword.clone(), a.int(0)));
        }),
    ),
    accepted(
        VIRTUAL,
        "it belongs to 'quorum'",
        &["hysteresis"],
        "What may be missing of it.",
        "hysteresis 0",
    ),
    left_out(VIRTUAL, NO_SCRIPT, &["quorum_down", "quorum_up"], "Scripts.", "quorum_up /bin/true"),
    left_out(REAL, NO_SCRIPT, &["notify_down", "notify_up"], "Scripts.", "notify_up /bin/true"),
    accepted(VIRTUAL, "it belongs to scripts", &["omega"], "Runs scripts at the end too.", "omega"),
    row(
        ALL,
        &["retry"],
        COUNT,
        "How often a check may fail without consequences: one more is 'fall'; 1.",
        "retry 2",
        |d, a, _| d.retry = Some(a.int(0)),
    ),
    row(HTTP, &["nb_get_retry"], COUNT, "The old name of 'retry'.", "nb_get_retry 3", |d, a, diagnostics| {
        diagnostics.warning(a.keyword.span, "'nb_get_retry' is called 'retry' today");
        d.retry = Some(a.int(0));
    }),
    row(
        VIRTUAL,
        &["sorry_server"],
        &[Arg::Word("address"), Arg::Optional(&Arg::Word("port"))],
        "Who serves when no server can: 'backup'.",
        "sorry_server 198.51.100.9 80",
        |d, a, _| d.sorry = Some((a.word(0).clone(), a.optional_word(1).cloned())),
    ),
    accepted(
        ALL.or(URL),
        "it changes nothing for clients",
        &["log_all_failures", "smtp_alert", "snmp_name", "warmup"],
        "What is logged, mailed and named; when the first check comes.",
        "warmup 1",
    ),
    left_out(
        CHECK,
        NO_PACKETS,
        &["bind_if", "bind_port", "bindto", "fwmark"],
        "Where a check comes from.",
        "bindto 192.0.2.11",
    ),
    partial(
        "connections beyond it wait, where IPVS takes another server",
        row(
            REAL,
            &["uthreshold"],
            COUNT,
            "Most connections of a server: 'maxconn'.",
            "uthreshold 1000",
            |d, a, _| {
                d.most = Some(a.int(0)).filter(|most| *most > 0);
            },
        ),
    ),
    accepted(
        REAL,
        "connections wait until there is room",
        &["lthreshold"],
        "When a full server is used again.",
        "lthreshold 10",
    ),
    row(
        SERVERS.or(HTTP).or(URL),
        &["virtualhost"],
        &[Arg::Word("host")],
        "The host a check asks for.",
        "virtualhost example.org",
        |d, a, _| {
            d.virtualhost = Some(a.text(0));
        },
    ),
    row(
        REAL,
        &["weight"],
        WEIGHT,
        "A server's share; 1. More than 256 are scaled.",
        "weight 3",
        |d, a, _| {
            d.weight = Some(a.int(0));
        },
    ),
    partial(
        "what the answer contains is not compared: one warning says so",
        row(
            URL,
            &["digest"],
            &[Arg::Word("MD5")],
            "What the answer must be.",
            "digest 640205b7b0fc66c1ea91c463fac6334d",
            |d, a, _| {
                d.digest = Some(a.keyword.clone());
            },
        ),
    ),
    row(URL, &["path"], &[Arg::Word("path")], "What a check asks for.", "path /health", |d, a, _| {
        d.path = Some(a.text(0));
    }),
    left_out(
        URL,
        "only the status of the answer is looked at",
        &["regex", "regex_max_offset", "regex_min_offset", "regex_no_match", "regex_options", "regex_stack"],
        "What the answer must contain.",
        "regex ok",
    ),
    row(
        HTTP.or(URL),
        &["status_code"],
        &[Arg::Words("numbers")],
        "What the answer's status must be; 200 to 299.",
        "status_code 200-204 301",
        |d, a, _| d.status = a.words(0).to_vec(),
    ),
];
