//! Where clients arrive: binds, limits, the default backend.

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Sections, read_options};

use super::spec;
use crate::draft::{BindDraft, BindOptions, ProxyDraft};
use crate::model::Mode;

const FRONT: Sections = Sections::FRONTEND.or(Sections::LISTEN);
const FRONT_OR_DEFAULTS: Sections = FRONT.or(Sections::DEFAULTS);

pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword {
        spec: spec!(
            &["backlog"],
            &[Arg::Int("connections", 1, 1_000_000)],
            "Connections that may wait to be accepted.",
            "backlog 1000"
        ),
        sections: FRONT_OR_DEFAULTS,
        negatable: false,
        apply: |d, a, _| d.backlog = u32::try_from(a.int(0)).ok(),
    },
    Keyword {
        spec: spec!(
            &["bind"],
            &[Arg::Word("address"), Arg::Rest("options")],
            "An address to listen on.",
            "bind :80"
        ),
        sections: FRONT,
        negatable: false,
        apply: bind,
    },
    Keyword {
        spec: spec!(
            &["default_backend"],
            &[Arg::Word("backend")],
            "The backend where no use_backend rule holds.",
            "default_backend app"
        ),
        sections: FRONT_OR_DEFAULTS,
        negatable: false,
        apply: |d, a, _| d.default_backend = Some(a.word(0).clone()),
    },
    Keyword {
        spec: spec!(
            &["description"],
            &[Arg::Words("text")],
            "A note for people, which the statistics page shows.",
            "description public site"
        ),
        sections: FRONT.or(Sections::BACKEND),
        negatable: false,
        apply: |d, a, _| d.description = Some(super::text(a.words(0))),
    },
    Keyword {
        spec: spec!(&["disabled"], &[], "The section is read and not used.", "disabled"),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, _, _| d.disabled = true,
    },
    Keyword {
        spec: spec!(&["enabled"], &[], "The section is used, whatever its defaults say.", "enabled"),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, _, _| d.disabled = false,
    },
    Keyword {
        spec: spec!(
            &["maxconn"],
            &[Arg::Int("connections", 0, 10_000_000)],
            "Most connections of the frontend; 0 is as without the line.",
            "maxconn 2000"
        ),
        sections: FRONT_OR_DEFAULTS,
        negatable: false,
        apply: |d, a, _| d.maxconn = u32::try_from(a.int(0)).ok().filter(|most| *most > 0),
    },
    Keyword {
        spec: spec!(
            &["mode"],
            &[Arg::OneOf("mode", &["http", "tcp"])],
            "What the proxy understands of the traffic.",
            "mode http"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| d.mode = Some(if a.word(0).text == "http" { Mode::Http } else { Mode::Tcp }),
    },
];

fn bind(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let mut options = BindOptions::default();
    read_options(super::BIND_OPTIONS, "bind", args.words(1), &mut options, diagnostics);
    if options.ssl && options.certificates.is_empty() {
        diagnostics
            .error(args.span, "'bind' : 'ssl' needs a certificate")
            .help("crt <file>: the certificate chain and its key in one PEM file");
    }
    draft.binds.push(BindDraft { address: args.word(0).clone(), options });
}
