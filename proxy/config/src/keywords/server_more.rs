//! Options of `server` lines that are read and refused, or have no meaning here.

use proxy_lang::{Arg, Keyword, Sections, Spec, Unit};

use crate::draft::ServerDraft;

const HERE: Sections = Sections::OPTION;
const NEVER: &str = "it is not done unless the file says so";
const NPN: &str = "ALPN has replaced it";
const OLD_TLS: &str = "nothing older than TLS 1.2 is spoken";
const SOCKS: &str = "there is no SOCKS client in Tandem";

/// What is not built yet, and what has no meaning here.
pub(super) const TABLE: &[Keyword<ServerDraft>] = &[
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["agent-addr"],
            &[Arg::Word("address")],
            "Where the server's agent is asked.",
            "agent-addr 192.0.2.7",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["agent-check"], &[], "Asks an agent about the server.", "agent-check"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["agent-inter"],
            &[Arg::Duration("time", Unit::Millis)],
            "Time between questions to the agent.",
            "agent-inter 5s",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["agent-port"], &[Arg::Int("port", 1, 65_535)], "Port of the agent.", "agent-port 9999"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["agent-send"], &[Arg::Word("text")], "What the agent is sent.", "agent-send state"),
    ),
    Keyword::inert(HERE, false, Spec::later(&["allow-0rtt"], &[], "Passes early data on.", "allow-0rtt")),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["alpn"],
            &[Arg::Word("protocols")],
            "Protocols offered to the server.",
            "alpn h2,http/1.1",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ca-file"],
            &[Arg::Word("file")],
            "Authorities of the server's certificate.",
            "ca-file roots.pem",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["check-alpn"], &[Arg::Word("protocols")], "Protocols checks offer.", "check-alpn h2"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["check-proto"], &[Arg::Word("protocol")], "Protocol of checks.", "check-proto h2"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["check-send-proxy"], &[], "Checks send a PROXY header.", "check-send-proxy"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["check-sni"],
            &[Arg::Word("name")],
            "Name checks ask for.",
            "check-sni www.example.org",
        ),
    ),
    Keyword::inert(HERE, false, Spec::later(&["check-ssl"], &[], "Checks speak TLS.", "check-ssl")),
    Keyword::inert(
        HERE,
        false,
        Spec::absent(SOCKS, &["check-via-socks4", "socks4"], "Reaches the server through a SOCKS proxy."),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ciphers"],
            &[Arg::Word("ciphers")],
            "Ciphers of TLS 1.2.",
            "ciphers ECDHE-RSA-AES128-GCM-SHA256",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ciphersuites"],
            &[Arg::Word("suites")],
            "Ciphers of TLS 1.3.",
            "ciphersuites TLS_AES_128_GCM_SHA256",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["crl-file"],
            &[Arg::Word("file")],
            "Certificates that were called back.",
            "crl-file revoked.pem",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["crt"], &[Arg::Word("file")], "Certificate shown to the server.", "crt client.pem"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["error-limit"],
            &[Arg::Int("errors", 1, 1_000_000)],
            "Mistakes in a row that count as a failed check.",
            "error-limit 10",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["force-tlsv12", "force-tlsv13"], &[], "Exactly this version of TLS.", "force-tlsv12"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::absent(OLD_TLS, &["force-sslv3", "force-tlsv10", "force-tlsv11"], "Exactly an old version."),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["init-addr"],
            &[Arg::Word("ways")],
            "How its name is looked up at start.",
            "init-addr last,libc,none",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["log-proto"],
            &[Arg::OneOf("framing", &["legacy", "octet-count"])],
            "Framing of log lines.",
            "log-proto octet-count",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["max-reuse"],
            &[Arg::Int("requests", -1, 2_147_483_647)],
            "Requests on one connection.",
            "max-reuse 1000",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["minconn"],
            &[Arg::Int("connections", 0, 10_000_000)],
            "Connections while the backend is quiet.",
            "minconn 10",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["namespace"], &[Arg::Word("name")], "Network namespace.", "namespace blue"),
    ),
    Keyword::inert(HERE, false, Spec::later(&["no-agent-check"], &[], "Asks no agent.", "no-agent-check")),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["no-check-send-proxy"], &[], "Checks send no PROXY header.", "no-check-send-proxy"),
    ),
    Keyword::inert(HERE, false, Spec::later(&["no-check-ssl"], &[], "Checks speak no TLS.", "no-check-ssl")),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            NEVER,
            &[
                "no-send-proxy",
                "no-send-proxy-v2",
                "no-send-proxy-v2-ssl",
                "no-send-proxy-v2-ssl-cn",
                "no-ssl",
                "no-ssl-reuse",
                "no-sslv3",
                "no-tfo",
                "no-tls-tickets",
                "no-tlsv10",
                "no-tlsv11",
            ],
            &[],
            "What is not done unless told.",
            "no-ssl",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["no-tlsv12", "no-tlsv13"], &[], "Never this version of TLS.", "no-tlsv12"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["non-stick"], &[], "Is never written into a stick table.", "non-stick"),
    ),
    Keyword::inert(HERE, false, Spec::absent(NPN, &["npn"], "Protocols by an extension that is gone.")),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["observe"],
            &[Arg::OneOf("layer", &["layer4", "layer7"])],
            "Traffic counts as checks.",
            "observe layer7",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["on-error"],
            &[Arg::OneOf("what", &["fastinter", "fail-check", "sudden-death", "mark-down"])],
            "What many mistakes lead to.",
            "on-error mark-down",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["on-marked-down"],
            &[Arg::OneOf("what", &["shutdown-sessions"])],
            "What its fall leads to.",
            "on-marked-down shutdown-sessions",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["on-marked-up"],
            &[Arg::OneOf("what", &["shutdown-backup-sessions"])],
            "What its return leads to.",
            "on-marked-up shutdown-backup-sessions",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["pool-low-conn"],
            &[Arg::Int("connections", 0, 10_000_000)],
            "Idle connections that each thread may keep.",
            "pool-low-conn 10",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["pool-max-conn"],
            &[Arg::Int("connections", -1, 10_000_000)],
            "Idle connections that are kept.",
            "pool-max-conn 100",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["pool-purge-delay"],
            &[Arg::Duration("time", Unit::Millis)],
            "How long they are kept.",
            "pool-purge-delay 5s",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["proto"], &[Arg::Word("protocol")], "Speaks this protocol without asking.", "proto h2"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["proxy-v2-options"],
            &[Arg::Word("parts")],
            "What the PROXY header tells.",
            "proxy-v2-options ssl",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["redir"],
            &[Arg::Word("prefix")],
            "Sends clients there instead.",
            "redir http://192.0.2.8",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["resolve-net"],
            &[Arg::Word("networks")],
            "Networks of addresses that are preferred.",
            "resolve-net 10.0.0.0/8",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["resolve-opts"],
            &[Arg::Word("options")],
            "How answers are used.",
            "resolve-opts allow-dup-ip",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["resolve-prefer"],
            &[Arg::OneOf("family", &["ipv4", "ipv6"])],
            "Family that is preferred.",
            "resolve-prefer ipv4",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["resolvers"],
            &[Arg::Word("section")],
            "Who is asked for its name while running.",
            "resolvers dns",
        ),
    ),
    Keyword::inert(HERE, false, Spec::later(&["send-proxy"], &[], "Sends a PROXY header.", "send-proxy")),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn"],
            &[],
            "Sends a binary PROXY header.",
            "send-proxy-v2",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["slowstart"],
            &[Arg::Duration("time", Unit::Millis)],
            "Time in which its weight grows after a return.",
            "slowstart 30s",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["sni"],
            &[Arg::Word("expression")],
            "Name that is asked for by TLS.",
            "sni str(www.example.org)",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["source"],
            &[Arg::Word("address")],
            "Address of connections to it.",
            "source 192.0.2.5",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["usesrc"],
            &[Arg::Word("address")],
            "Address that connections seem to come from.",
            "usesrc clientip",
        ),
    ),
    Keyword::inert(HERE, false, Spec::later(&["ssl"], &[], "Speaks TLS to the server.", "ssl")),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ssl-max-ver", "ssl-min-ver"],
            &[Arg::OneOf("version", &["SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"])],
            "Bounds of TLS versions.",
            "ssl-min-ver TLSv1.2",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["ssl-reuse", "tls-tickets"], &[], "Resumes sessions of TLS.", "ssl-reuse"),
    ),
    Keyword::inert(HERE, false, Spec::later(&["stick"], &[], "May be written into a stick table.", "stick")),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["tcp-ut"],
            &[Arg::Duration("time", Unit::Millis)],
            "Longest time without an acknowledgement.",
            "tcp-ut 30s",
        ),
    ),
    Keyword::inert(HERE, false, Spec::later(&["tfo"], &[], "TCP fast open.", "tfo")),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["track"], &[Arg::Word("server")], "Its state follows another's.", "track app/s1"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["verify"],
            &[Arg::OneOf("how", &["none", "required"])],
            "Whether its certificate is checked.",
            "verify required",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["verifyhost"],
            &[Arg::Word("name")],
            "Name its certificate must have.",
            "verifyhost www.example.org",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ws"],
            &[Arg::OneOf("version", &["auto", "h1", "h2"])],
            "Protocol of WebSockets.",
            "ws h1",
        ),
    ),
];
