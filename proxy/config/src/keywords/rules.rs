//! Lines whose meaning needs other sections (tables, backends, ACLs): kept as words until all are known.

use proxy_lang::{Arg, Args, Keyword, Sections};

use super::spec;
use crate::draft::{Deferred, DeferredKind, ProxyDraft};

const FRONT: Sections = Sections::FRONTEND.or(Sections::LISTEN);
const BACK: Sections = Sections::BACKEND.or(Sections::LISTEN);
const BOTH: Sections = FRONT.or(BACK);
/// Also in a defaults section that has a name.
const BOTH_OR_DEFAULTS: Sections = BOTH.or(Sections::DEFAULTS);
const FRONT_OR_DEFAULTS: Sections = FRONT.or(Sections::DEFAULTS);

pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword {
        spec: spec!(
            &["acl"],
            &[Arg::Words("name criterion [flags] [patterns]")],
            "Names a test.",
            "acl blog path_beg /blog"
        ),
        sections: BOTH_OR_DEFAULTS,
        negatable: false,
        apply: |d, a, _| defer(d, a, DeferredKind::Acl),
    },
    Keyword {
        spec: spec!(
            &["http-request"],
            &[Arg::Words("action [if|unless condition]")],
            "A rule for requests.",
            "http-request deny if { src 192.0.2.1 }"
        ),
        sections: BOTH_OR_DEFAULTS,
        negatable: false,
        apply: |d, a, _| defer(d, a, DeferredKind::HttpRequest),
    },
    Keyword {
        spec: spec!(
            &["http-response"],
            &[Arg::Words("action [if|unless condition]")],
            "A rule for responses.",
            "http-response del-header server"
        ),
        sections: BOTH_OR_DEFAULTS,
        negatable: false,
        apply: |d, a, _| defer(d, a, DeferredKind::HttpResponse),
    },
    Keyword {
        spec: spec!(
            &["redirect"],
            &[Arg::Words(
                "location|prefix|scheme text [code status] [drop-query] [append-slash] [set-cookie|clear-cookie cookie] [if|unless condition]"
            )],
            "Sends the client elsewhere, once no 'http-request' rule has answered; its text is no format.",
            "redirect scheme https code 301 if { path /login }"
        ),
        sections: BOTH,
        negatable: false,
        apply: |d, a, _| defer(d, a, DeferredKind::Redirect),
    },
    Keyword {
        spec: spec!(
            &["stick"],
            &[Arg::Words("on|match|store-request key [table <name>] [if condition]")],
            "Brings a client back to its server by a stick table.",
            "stick on src"
        ),
        sections: BACK,
        negatable: false,
        apply: |d, a, _| defer(d, a, DeferredKind::Stick),
    },
    Keyword {
        spec: spec!(
            &["tcp-request connection"],
            &[Arg::Words("action [if|unless condition]")],
            "A rule for connections.",
            "tcp-request connection reject if { src 192.0.2.1 }"
        ),
        sections: FRONT_OR_DEFAULTS,
        negatable: false,
        apply: |d, a, _| defer(d, a, DeferredKind::TcpRequestConnection),
    },
    Keyword {
        spec: spec!(
            &["tcp-request content"],
            &[Arg::Words("action [if|unless condition]")],
            "A rule for the first bytes.",
            "tcp-request content accept"
        ),
        sections: BOTH_OR_DEFAULTS,
        negatable: false,
        apply: |d, a, _| defer(d, a, DeferredKind::TcpRequestContent),
    },
    Keyword {
        spec: spec!(
            &["tcp-request session"],
            &[Arg::Words("action [if|unless condition]")],
            "A rule for sessions, once TLS is established.",
            "tcp-request session reject if { src 192.0.2.1 }"
        ),
        sections: FRONT_OR_DEFAULTS,
        negatable: false,
        apply: |d, a, _| defer(d, a, DeferredKind::TcpRequestSession),
    },
    Keyword {
        spec: spec!(
            &["use_backend"],
            &[Arg::Words("backend [if|unless condition]")],
            "Chooses a backend.",
            "use_backend blog if { path_beg /blog }"
        ),
        sections: FRONT,
        negatable: false,
        apply: |d, a, _| defer(d, a, DeferredKind::UseBackend),
    },
];

fn defer(draft: &mut ProxyDraft, args: &Args, kind: DeferredKind) {
    draft.deferred.push(Deferred { kind, words: args.words(0).to_vec() });
}
