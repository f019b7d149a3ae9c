//! Answers of the proxy itself: errors, redirects, monitoring, compression.

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Sections, Spec};
use proxy_rules::PAGES;

use super::spec;
use crate::draft::{PageSource, ProxyDraft};

const FRONT: Sections = Sections::FRONTEND.or(Sections::LISTEN);
const BACK: Sections = Sections::BACKEND.or(Sections::LISTEN);
const FRONT_OR_DEFAULTS: Sections = FRONT.or(Sections::DEFAULTS);
const BACK_OR_DEFAULTS: Sections = BACK.or(Sections::DEFAULTS);
const BOTH: Sections = FRONT.or(BACK);
const CACHE: &str = "there is no cache in Tandem";
const SPOE: &str = "there is no SPOE in Tandem";
const FASTCGI: &str = "there is no FastCGI in Tandem";
const TRACING: &str = "there is no tracing filter in Tandem";

/// What a client may be told.
pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword::inert(
        Sections::PROXY,
        false,
        Spec::later(&["compression"], &[Arg::Words("algo")], "Compresses answers.", "compression algo gzip"),
    ),
    Keyword {
        spec: spec!(
            &["errorfile"],
            &[Arg::Int("status", 200, 599), Arg::Word("file")],
            "The whole reply for an error status.",
            "errorfile 503 /etc/tandem/503.http"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, r| {
            d.error_files
                .extend(super::status(a, r).map(|status| PageSource::File(status, a.word(1).clone())));
        },
    },
    Keyword {
        spec: spec!(
            &["errorfiles"],
            &[Arg::Word("section"), Arg::Rest("statuses")],
            "Error pages of an 'http-errors' section: those named, or all that it has.",
            "errorfiles site 404 503"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: errorfiles,
    },
    Keyword {
        spec: spec!(
            &["errorloc", "errorloc302"],
            &[Arg::Int("status", 200, 599), Arg::Word("address")],
            "Sends the client elsewhere instead of an error page.",
            "errorloc 503 /sorry"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, r| errorloc(d, a, 302, r),
    },
    Keyword {
        spec: spec!(
            &["errorloc303"],
            &[Arg::Int("status", 200, 599), Arg::Word("address")],
            "The same, always by GET.",
            "errorloc303 503 /sorry"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, r| errorloc(d, a, 303, r),
    },
    Keyword::inert(
        BOTH,
        false,
        Spec::later(
            &["filter compression"],
            &[],
            "Compresses, at this place among the filters.",
            "filter compression",
        ),
    ),
    Keyword::inert(
        BOTH,
        false,
        Spec::later(
            &["filter bwlim-in", "filter bwlim-out"],
            &[Arg::Words("name and options")],
            "Limits the speed of bodies.",
            "filter bwlim-in slow default-limit 1m default-period 1s",
        ),
    ),
    Keyword::inert(BOTH, false, Spec::absent(CACHE, &["filter cache"], "Keeps answers.")),
    Keyword::inert(BOTH, false, Spec::absent(SPOE, &["filter spoe"], "Asks an agent about requests.")),
    Keyword::inert(BOTH, false, Spec::absent(FASTCGI, &["filter fcgi-app"], "Speaks FastCGI to servers.")),
    Keyword::inert(
        BOTH,
        false,
        Spec::absent(TRACING, &["filter opentracing", "filter trace"], "Watches messages."),
    ),
    Keyword::inert(
        Sections::PROXY,
        false,
        Spec::later(
            &["http-after-response"],
            &[Arg::Words("action [if/unless condition]")],
            "A rule for every answer, also of our own.",
            "http-after-response set-header x-a b",
        ),
    ),
    Keyword::inert(
        Sections::PROXY,
        false,
        Spec::later(
            &["http-error"],
            &[Arg::Words("status and answer")],
            "An answer for a status.",
            "http-error status 404 content-type text/plain string gone",
        ),
    ),
    Keyword::inert(
        FRONT,
        false,
        Spec::later(
            &["monitor fail"],
            &[Arg::Words("if/unless condition")],
            "When the monitoring address says no.",
            "monitor fail if { nbsrv(app) lt 1 }",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        false,
        Spec::later(
            &["monitor-uri"],
            &[Arg::Word("path")],
            "Path that is answered for monitors.",
            "monitor-uri /alive",
        ),
    ),
    Keyword::inert(
        FRONT_OR_DEFAULTS,
        true,
        Spec::later(
            &["option http-ignore-probes"],
            &[],
            "Connections without a request get no answer.",
            "option http-ignore-probes",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["stats http-request"],
            &[Arg::Words("action [if/unless condition]")],
            "A rule for the statistics page.",
            "stats http-request deny",
        ),
    ),
    Keyword::inert(
        Sections::PROXY,
        false,
        Spec::later(
            &["stats show-version"],
            &[],
            "The version on the statistics page.",
            "stats show-version",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::absent(FASTCGI, &["use-fcgi-app"], "Speaks FastCGI to servers."),
    ),
];

fn errorfiles(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let mut statuses = Vec::new();
    for word in args.words(1) {
        match word.text.parse().ok().filter(|status| PAGES.contains(status)) {
            Some(status) => statuses.push((status, word.span)),
            None => {
                diagnostics.error(word.span, format!("'{}' is no status of an error page", word.text));
            }
        }
    }
    draft.error_files.push(PageSource::Section(args.word(0).clone(), statuses));
}

fn errorloc(draft: &mut ProxyDraft, args: &Args, code: u16, diagnostics: &mut Diagnostics) {
    let address = args.word(1).clone();
    let pages = super::status(args, diagnostics).map(|status| PageSource::Location { status, code, address });
    draft.error_files.extend(pages);
}
