//! How connections are opened, kept, limited and spread.

use proxy_lang::{Arg, Keyword, Sections, Spec, Unit};

use crate::draft::ProxyDraft;

const FRONT: Sections = Sections::FRONTEND.or(Sections::LISTEN);
const BACK: Sections = Sections::BACKEND.or(Sections::LISTEN);
const FRONT_OR_DEFAULTS: Sections = FRONT.or(Sections::DEFAULTS);
const BACK_OR_DEFAULTS: Sections = BACK.or(Sections::DEFAULTS);
const BOTH: Sections = FRONT.or(BACK);
const OURS: &str = "Tandem has its own way, which is always on";

/// What concerns connections on either side.
pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        false,
        Spec::later(
            &["clitcpka-cnt"],
            &[Arg::Int("probes", 1, 255)],
            "Unanswered probes after which a client is gone.",
            "clitcpka-cnt 3",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        false,
        Spec::later(
            &["clitcpka-idle"],
            &[Arg::Duration("time", Unit::Seconds)],
            "Silence before a client is probed.",
            "clitcpka-idle 60s",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        false,
        Spec::later(
            &["clitcpka-intvl"],
            &[Arg::Duration("time", Unit::Seconds)],
            "Time between probes of a client.",
            "clitcpka-intvl 10s",
        ),
    ),
    Keyword::inert(
        FRONT,
        false,
        Spec::later(
            &["declare capture"],
            &[Arg::OneOf("side", &["request", "response"]), Arg::Words("len")],
            "Room for a value that rules capture.",
            "declare capture request len 32",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["dispatch"],
            &[Arg::Word("address")],
            "One address that takes everything.",
            "dispatch 192.0.2.9:80",
        ),
    ),
    Keyword::inert(
        BACK,
        false,
        Spec::later(
            &["force-persist"],
            &[Arg::Words("if/unless condition")],
            "Persistence also to servers that are down.",
            "force-persist if { src 192.0.2.1 }",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["hash-balance-factor"],
            &[Arg::Int("percent", 0, 65_535)],
            "How unequal hashing may load servers.",
            "hash-balance-factor 150",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["hash-type"],
            &[Arg::Word("method"), Arg::Rest("function and modifier")],
            "How hashing finds a server.",
            "hash-type consistent",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["http-send-name-header"],
            &[Arg::Word("header")],
            "Tells a server its own name.",
            "http-send-name-header x-target",
        ),
    ),
    Keyword::inert(
        BOTH,
        false,
        Spec::later(&["id"], &[Arg::Int("number", 1, 2_147_483_647)], "The proxy's number.", "id 12"),
    ),
    Keyword::inert(
        BACK,
        false,
        Spec::later(
            &["ignore-persist"],
            &[Arg::Words("if/unless condition")],
            "When persistence does not count.",
            "ignore-persist if { path_beg /static }",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["load-server-state-from-file"],
            &[Arg::OneOf("which", &["global", "local", "none"])],
            "Reads servers' states at start.",
            "load-server-state-from-file global",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["max-keep-alive-queue"],
            &[Arg::Int("requests", -1, 2_147_483_647)],
            "Queue above which a server connection is not waited for.",
            "max-keep-alive-queue 10",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        false,
        Spec::later(
            &["max-session-srv-conns"],
            &[Arg::Int("connections", 0, 2_147_483_647)],
            "Idle server connections of one client.",
            "max-session-srv-conns 5",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option abortonclose"],
            &[],
            "A client that goes while it waits is forgotten.",
            "option abortonclose",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        true,
        Spec::later(
            &["option accept-invalid-http-request"],
            &[],
            "Lets strange requests through.",
            "option accept-invalid-http-request",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option accept-invalid-http-response"],
            &[],
            "Lets strange answers through.",
            "option accept-invalid-http-response",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option checkcache"],
            &[],
            "Refuses answers that could be cached with a cookie.",
            "option checkcache",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        true,
        Spec::later(&["option clitcpka"], &[], "Probes silent clients.", "option clitcpka"),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        true,
        Spec::accepted(OURS, &["option contstats"], &[], "Counts bytes while they flow.", "option contstats"),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        true,
        Spec::later(
            &["option disable-h2-upgrade"],
            &[],
            "HTTP/1 clients cannot go on with HTTP/2.",
            "option disable-h2-upgrade",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        true,
        Spec::later(
            &["option dontlog-normal"],
            &[],
            "Only what went wrong is logged.",
            "option dontlog-normal",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option forwarded"],
            &[Arg::Rest("parts")],
            "Tells the server by RFC 7239 whom it serves.",
            "option forwarded",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        true,
        Spec::later(
            &["option h1-case-adjust-bogus-client"],
            &[],
            "Old spelling of header fields towards clients.",
            "option h1-case-adjust-bogus-client",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option h1-case-adjust-bogus-server"],
            &[],
            "Old spelling of header fields towards servers.",
            "option h1-case-adjust-bogus-server",
        ),
    ),
    Keyword::inert(
        Sections::PROXY,
        true,
        Spec::later(
            &["option http-buffer-request"],
            &[],
            "Waits for the body before choosing.",
            "option http-buffer-request",
        ),
    ),
    Keyword::inert(
        Sections::PROXY,
        true,
        Spec::accepted(
            OURS,
            &[
                "option http-no-delay",
                "option independent-streams",
                "option splice-auto",
                "option splice-request",
                "option splice-response",
                "option tcp-smart-accept",
                "option tcp-smart-connect",
                "option idle-close-on-response",
                "option socket-stats",
            ],
            &[],
            "Ways of moving bytes that HAProxy must be told.",
            "option splice-auto",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option http-pretend-keepalive"],
            &[],
            "Tells a server that its connection stays.",
            "option http-pretend-keepalive",
        ),
    ),
    Keyword::inert(
        Sections::PROXY,
        false,
        Spec::later(
            &["option http-restrict-req-hdr-names"],
            &[Arg::OneOf("what", &["preserve", "delete", "reject"])],
            "What becomes of strange header names.",
            "option http-restrict-req-hdr-names reject",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        true,
        Spec::later(
            &["option http-use-proxy-header"],
            &[],
            "Looks at Proxy-Connection.",
            "option http-use-proxy-header",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        true,
        Spec::later(
            &["option httpslog"],
            &[Arg::Optional(&Arg::Word("clf"))],
            "Log lines tell of TLS too.",
            "option httpslog",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        true,
        Spec::later(
            &["option log-separate-errors"],
            &[],
            "Errors are logged at another level.",
            "option log-separate-errors",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        true,
        Spec::later(&["option logasap"], &[], "Logs before the end.", "option logasap"),
    ),
    Keyword::inert(
        Sections::PROXY,
        true,
        Spec::later(&["option nolinger"], &[], "Forgets connections at once.", "option nolinger"),
    ),
    Keyword::inert(
        Sections::PROXY,
        false,
        Spec::later(
            &["option originalto"],
            &[Arg::Rest("header and exception")],
            "Tells the server where the client connected to.",
            "option originalto",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option persist"],
            &[],
            "Persistence counts also for servers that are down.",
            "option persist",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option prefer-last-server"],
            &[],
            "A client's server connection is used again.",
            "option prefer-last-server",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(&["option srvtcpka"], &[], "Probes silent servers.", "option srvtcpka"),
    ),
    Keyword::inert(
        Sections::PROXY,
        true,
        Spec::later(&["option tcpka"], &[], "Probes silent clients and servers.", "option tcpka"),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option transparent"],
            &[],
            "Connects to where the client wanted.",
            "option transparent",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["persist rdp-cookie"],
            &[Arg::Optional(&Arg::Word("name"))],
            "Persistence by a remote desktop's cookie.",
            "persist rdp-cookie",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        false,
        Spec::later(
            &["rate-limit sessions"],
            &[Arg::Int("sessions", 0, 2_147_483_647)],
            "Most sessions in a second.",
            "rate-limit sessions 100",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["retry-on"],
            &[Arg::Words("conditions")],
            "When a request is sent again.",
            "retry-on conn-failure 503",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["server-state-file-name"],
            &[Arg::Optional(&Arg::Word("file"))],
            "This backend's file of states.",
            "server-state-file-name app.state",
        ),
    ),
    Keyword::inert(
        BACK,
        false,
        Spec::later(
            &["server-template"],
            &[Arg::Word("prefix"), Arg::Word("count"), Arg::Word("address"), Arg::Rest("options")],
            "Many servers alike.",
            "server-template s 1-3 192.0.2.9:80 check",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["source"],
            &[Arg::Word("address"), Arg::Rest("usesrc")],
            "Address of connections to servers.",
            "source 192.0.2.5",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["srvtcpka-cnt"],
            &[Arg::Int("probes", 1, 255)],
            "Unanswered probes after which a server is gone.",
            "srvtcpka-cnt 3",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["srvtcpka-idle"],
            &[Arg::Duration("time", Unit::Seconds)],
            "Silence before a server is probed.",
            "srvtcpka-idle 60s",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["srvtcpka-intvl"],
            &[Arg::Duration("time", Unit::Seconds)],
            "Time between probes of a server.",
            "srvtcpka-intvl 10s",
        ),
    ),
    Keyword::inert(
        BACK,
        false,
        Spec::later(
            &["tcp-response content"],
            &[Arg::Words("action [if/unless condition]")],
            "A rule for a server's first bytes.",
            "tcp-response content accept",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["tcp-response inspect-delay"],
            &[Arg::Duration("time", Unit::Millis)],
            "How long rules wait for a server's bytes.",
            "tcp-response inspect-delay 5s",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        false,
        Spec::later(
            &["timeout client-fin"],
            &[Arg::Duration("timeout", Unit::Millis)],
            "Silence of a client that has closed its side.",
            "timeout client-fin 30s",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["timeout server-fin"],
            &[Arg::Duration("timeout", Unit::Millis)],
            "Silence of a server that has closed its side.",
            "timeout server-fin 30s",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        false,
        Spec::later(
            &["unique-id-format"],
            &[Arg::Words("format")],
            "A number for each request.",
            "unique-id-format %{+X}o%ci:%cp_%Ts",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        false,
        Spec::later(
            &["unique-id-header"],
            &[Arg::Word("header")],
            "Header that carries it.",
            "unique-id-header x-request-id",
        ),
    ),
    Keyword::inert(
        BACK,
        false,
        Spec::later(
            &["use-server"],
            &[Arg::Word("server"), Arg::Words("if/unless condition")],
            "Chooses a server.",
            "use-server s1 if { path_beg /one }",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        false,
        Spec::later(
            &["error-log-format"],
            &[Arg::Words("format")],
            "Log lines of connections that failed.",
            "error-log-format %ci",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        false,
        Spec::later(
            &["log-format-sd"],
            &[Arg::Words("format")],
            "Structured part of log lines.",
            "log-format-sd [x@1234\\ a=b]",
        ),
    ),
    Keyword {
        spec: Spec::accepted(
            OURS,
            &["bind-process"],
            &[Arg::Words("processes")],
            "Which process serves this proxy.",
            "bind-process 1",
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |_, a, r| {
            r.warning(a.keyword.span, "'bind-process' has no effect: one process serves all proxies");
        },
    },
];
