//! Options of `bind` lines that are read and refused, or have no meaning here.

use proxy_lang::{Arg, Keyword, Sections, Spec, Unit};

use crate::draft::BindOptions;

const HERE: Sections = Sections::OPTION;
const ALONE: &str = "every core serves every listener";
const GENERATE: &str = "Tandem signs no certificates for others";
const NETSCALER: &str = "the PROXY protocol is the standard one";
const NPN: &str = "ALPN has replaced it";
const OLD_TLS: &str = "nothing older than TLS 1.2 is spoken";

/// What is not built yet, and what has no meaning here.
pub(super) const TABLE: &[Keyword<BindOptions>] = &[
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["accept-proxy"], &[], "Clients come with a PROXY header.", "accept-proxy"),
    ),
    Keyword::inert(HERE, false, Spec::later(&["allow-0rtt"], &[], "Early data of TLS 1.3.", "allow-0rtt")),
    Keyword::inert(
        HERE,
        false,
        Spec::absent(NETSCALER, &["accept-netscaler-cip"], "Clients come with NetScaler's header."),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ca-file"],
            &[Arg::Word("file")],
            "Authorities of clients' certificates.",
            "ca-file clients.pem",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ca-ignore-err"],
            &[Arg::Word("errors")],
            "Mistakes in the chain that are let through.",
            "ca-ignore-err all",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::absent(GENERATE, &["ca-sign-file", "ca-sign-pass"], "Authority of made-up certificates."),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ca-verify-file"],
            &[Arg::Word("file")],
            "Authorities that are not named to clients.",
            "ca-verify-file roots.pem",
        ),
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
        Spec::later(
            &["crt-ignore-err"],
            &[Arg::Word("errors")],
            "Mistakes of clients' certificates that are let through.",
            "crt-ignore-err all",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["crt-list"],
            &[Arg::Word("file")],
            "List of certificates with their options.",
            "crt-list /etc/tandem/crt-list",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["curves"],
            &[Arg::Word("curves")],
            "Curves of the key exchange.",
            "curves X25519:P-256",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["defer-accept"], &[], "Accepts when the first bytes are there.", "defer-accept"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["ecdhe"], &[Arg::Word("curve")], "Curve of the key exchange.", "ecdhe P-256"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["expose-fd"],
            &[Arg::OneOf("what", &["listeners"])],
            "Lets other processes take the listeners.",
            "expose-fd listeners",
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
    Keyword::inert(HERE, false, Spec::absent(GENERATE, &["generate-certificates"], "Makes certificates up.")),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["interface"],
            &[Arg::Word("name")],
            "Listens on this interface only.",
            "interface eth0",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["level"],
            &[Arg::OneOf("level", &["user", "operator", "admin"])],
            "Rights of the runtime API here.",
            "level admin",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["maxconn"],
            &[Arg::Int("connections", 0, 10_000_000)],
            "Most connections through this listener.",
            "maxconn 1000",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["mss"], &[Arg::Int("bytes", -65_535, 65_535)], "Segment size.", "mss 1400"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["namespace"], &[Arg::Word("name")], "Network namespace.", "namespace blue"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            ALONE,
            &["nice"],
            &[Arg::Int("weight", -1024, 1024)],
            "Weight among the process's work.",
            "nice 10",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["no-ca-names"], &[], "Clients are not told the authorities.", "no-ca-names"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["no-tlsv12", "no-tlsv13"], &[], "Never this version of TLS.", "no-tlsv12"),
    ),
    Keyword::inert(HERE, false, Spec::absent(NPN, &["npn"], "Protocols by an extension that is gone.")),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["prefer-client-ciphers"],
            &[],
            "The client's order of ciphers counts.",
            "prefer-client-ciphers",
        ),
    ),
    Keyword {
        spec: Spec::accepted(
            ALONE,
            &["process"],
            &[Arg::Word("set")],
            "Which processes serve this listener.",
            "process 1",
        ),
        sections: HERE,
        negatable: false,
        apply: |_, a, r| {
            r.warning(a.keyword.span, "'process' has no effect: one process serves all listeners");
        },
    },
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["proto"], &[Arg::Word("protocol")], "Speaks this protocol without asking.", "proto h2"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["severity-output"],
            &[Arg::OneOf("how", &["none", "number", "string"])],
            "Severities in answers of the runtime API.",
            "severity-output none",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            ALONE,
            &["shards"],
            &[Arg::Word("count")],
            "Sockets for each listener.",
            "shards by-thread",
        ),
    ),
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
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            ALONE,
            &["thread"],
            &[Arg::Word("set")],
            "Which threads serve this listener.",
            "thread 1",
        ),
    ),
    Keyword::inert(HERE, false, Spec::later(&["tfo"], &[], "TCP fast open.", "tfo")),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["tls-ticket-keys"],
            &[Arg::Word("file")],
            "Keys of session tickets.",
            "tls-ticket-keys keys",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(&["transparent"], &[], "Takes connections to any address.", "transparent"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["verify"],
            &[Arg::OneOf("how", &["none", "optional", "required"])],
            "Whether clients need a certificate.",
            "verify required",
        ),
    ),
];
