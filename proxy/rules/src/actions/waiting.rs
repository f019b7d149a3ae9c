//! Actions that are read and refused by the last pass, until they are built; and those that never will be.

use proxy_lang::{Arg, Spec};

use super::{Action, ActionRow};
use crate::RulesetKind;

const REQUEST: u8 = RulesetKind::HttpRequest.bit();
const RESPONSE: u8 = RulesetKind::HttpResponse.bit();
const HTTP: u8 = REQUEST | RESPONSE;
const TCP: u8 = RulesetKind::TcpRequestConnection.bit()
    | RulesetKind::TcpRequestSession.bit()
    | RulesetKind::TcpRequestContent.bit();

/// The actions, by name.
pub(super) const TABLE: &[ActionRow] = &[
    waiting(
        &["add-acl", "del-acl", "del-map"],
        &[Arg::Words("value")],
        HTTP,
        "Changes a loaded file of patterns.",
        "add-acl(blocked.lst) %[src]",
    ),
    waiting(&["auth"], &[Arg::Rest("realm <realm>")], REQUEST, "Asks for a password.", "auth realm ops"),
    waiting(
        &["capture"],
        &[Arg::Words("sample and length or id")],
        HTTP,
        "Keeps a sample for the log.",
        "capture req.hdr(host) len 20",
    ),
    waiting(&["disable-l7-retry"], &[], REQUEST, "Sends this request once only.", "disable-l7-retry"),
    waiting(
        &["do-resolve"],
        &[Arg::Word("name")],
        REQUEST | TCP,
        "Asks for the address of a name.",
        "do-resolve(txn.ip,dns) hdr(host)",
    ),
    waiting(
        &["early-hint"],
        &[Arg::Word("name"), Arg::Word("format")],
        REQUEST,
        "Tells the client early what it will need.",
        "early-hint link </a.css>",
    ),
    waiting(
        &["expect-proxy"],
        &[Arg::OneOf("where", &["layer4"])],
        TCP,
        "Clients come with a PROXY header.",
        "expect-proxy layer4",
    ),
    waiting(
        &["normalize-uri"],
        &[Arg::Words("how")],
        REQUEST,
        "Spells an address in one way.",
        "normalize-uri path-merge-slashes",
    ),
    waiting(
        &["replace-path", "replace-pathq", "replace-uri"],
        &[Arg::Word("regex"), Arg::Word("format")],
        REQUEST,
        "Rewrites the address by a regular expression.",
        "replace-path (.*) /x",
    ),
    waiting(
        &["replace-header", "replace-value"],
        &[Arg::Word("name"), Arg::Word("regex"), Arg::Word("format")],
        HTTP,
        "Rewrites a header by a regular expression.",
        "replace-header host (.*) x",
    ),
    waiting(
        &["sc-inc-gpc", "sc-set-gpt", "sc-set-gpt0"],
        &[Arg::Rest("value")],
        HTTP | TCP,
        "Changes the tracked entry.",
        "sc-set-gpt0(0) 1",
    ),
    waiting(
        &["set-dst", "set-dst-port", "set-src", "set-src-port"],
        &[Arg::Word("expression")],
        REQUEST | TCP,
        "Changes what counts as an address of the connection.",
        "set-src src",
    ),
    waiting(
        &["set-log-level"],
        &[Arg::Word("level")],
        HTTP | TCP,
        "At which level this is logged.",
        "set-log-level silent",
    ),
    waiting(
        &["set-map"],
        &[Arg::Word("key"), Arg::Word("value")],
        HTTP,
        "Changes a loaded map.",
        "set-map(sites.map) a b",
    ),
    waiting(
        &["set-mark", "set-tos", "set-nice"],
        &[Arg::Word("value")],
        HTTP | TCP,
        "Marks packets, or weighs this work.",
        "set-tos 0x10",
    ),
    waiting(
        &["set-priority-class", "set-priority-offset"],
        &[Arg::Word("expression")],
        REQUEST | TCP,
        "Place in the queue.",
        "set-priority-class int(1)",
    ),
    waiting(
        &["set-status"],
        &[Arg::Int("status", 100, 999), Arg::Rest("reason")],
        RESPONSE,
        "Rewrites the status.",
        "set-status 503",
    ),
    waiting(
        &["set-timeout"],
        &[Arg::OneOf("which", &["server", "tunnel"]), Arg::Word("time")],
        REQUEST,
        "Changes a timeout of this exchange.",
        "set-timeout server 5s",
    ),
    waiting(
        &["set-var", "set-var-fmt"],
        &[Arg::Words("expression")],
        HTTP | TCP,
        "Sets a variable.",
        "set-var(txn.name) src",
    ),
    waiting(
        &["strict-mode"],
        &[Arg::OneOf("switch", &["on", "off"])],
        HTTP,
        "A rewrite that fails ends the exchange, or not.",
        "strict-mode on",
    ),
    waiting(
        &["switch-mode"],
        &[Arg::Words("http")],
        TCP,
        "A TCP session goes on as HTTP.",
        "switch-mode http",
    ),
    waiting(&["unset-var"], &[], HTTP | TCP, "Takes a variable away.", "unset-var(txn.name)"),
    waiting(
        &["use-service"],
        &[Arg::Word("service")],
        REQUEST | TCP,
        "Something built in answers.",
        "use-service prometheus-exporter",
    ),
    waiting(
        &["wait-for-body"],
        &[Arg::Rest("time and size")],
        HTTP,
        "Waits for the body.",
        "wait-for-body time 1s",
    ),
    waiting(
        &["wait-for-handshake"],
        &[],
        REQUEST,
        "Waits for the end of the TLS handshake.",
        "wait-for-handshake",
    ),
    absent(
        "there is no cache in Tandem",
        &["cache-use", "cache-store"],
        "Answers from a cache, or fills it.",
    ),
    absent("there is no SPOE in Tandem", &["send-spoe-group"], "Asks an agent."),
    absent("there is no tracing filter in Tandem", &["ot-group"], "Tells a tracer."),
    absent(
        "the PROXY protocol is the standard one",
        &["expect-netscaler-cip"],
        "Clients come with NetScaler's header.",
    ),
];

const fn waiting(
    names: &'static [&'static str],
    args: &'static [Arg],
    kinds: u8,
    doc: &'static str,
    example: &'static str,
) -> ActionRow {
    ActionRow {
        spec: Spec::later(names, args, doc, example),
        kinds,
        parse: |_, _, _, _| Some(Action::Nothing),
    }
}

const fn absent(why: &'static str, names: &'static [&'static str], doc: &'static str) -> ActionRow {
    ActionRow {
        spec: Spec::absent(why, names, doc),
        kinds: HTTP | TCP,
        parse: |_, _, _, _| Some(Action::Nothing),
    }
}
