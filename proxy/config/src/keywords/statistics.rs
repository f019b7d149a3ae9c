//! `stats` lines of proxies: the page for people.

use std::time::Duration;

use proxy_lang::{Arg, Keyword, Sections, Status, Unit};

use super::spec;
use crate::draft::ProxyDraft;
use crate::model::StatsPage;

fn page(draft: &mut ProxyDraft) -> &mut StatsPage {
    draft.stats.get_or_insert_with(StatsPage::default)
}

pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword {
        spec: spec!(
            Status::Later,
            &["stats admin"],
            &[Arg::Words("if|unless <condition>")],
            "Lets the page change servers.",
            "stats admin if LOCALHOST"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |_, _, _| {},
    },
    Keyword {
        spec: spec!(
            &["stats auth"],
            &[Arg::Word("user:password")],
            "Who may see the page; several lines are several people.",
            "stats auth admin:secret"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, r| {
            if a.text(0).contains(':') {
                page(d).users.push(a.text(0));
            } else {
                r.error(a.word(0).span, "'stats auth' expects a user and a password, with a colon between");
            }
        },
    },
    Keyword {
        spec: spec!(&["stats enable"], &[], "Shows the page, with what else is usual.", "stats enable"),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, _, _| {
            page(d);
        },
    },
    Keyword {
        spec: spec!(
            &["stats hide-version"],
            &[],
            "Does not say which version this is.",
            "stats hide-version"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, _, _| page(d).hide_version = true,
    },
    Keyword {
        spec: spec!(
            &["stats realm"],
            &[Arg::Word("text")],
            "What a browser shows when it asks for a password.",
            "stats realm Statistics"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| page(d).realm = Some(a.text(0)),
    },
    Keyword {
        spec: spec!(
            &["stats refresh"],
            &[Arg::Duration("time", Unit::Seconds)],
            "How often the page shows itself again.",
            "stats refresh 10s"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| page(d).refresh = Some(a.duration(0)).filter(|t| *t >= Duration::from_secs(1)),
    },
    Keyword {
        spec: spec!(
            &["stats scope"],
            &[Arg::Word("proxy")],
            "Shows this proxy and no other; '.' is the one it stands in.",
            "stats scope ."
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| page(d).scope.push(a.text(0)),
    },
    Keyword {
        spec: spec!(
            &["stats show-desc"],
            &[Arg::Rest("text")],
            "Shows a text at the top; without one, the 'description' of the global section.",
            "stats show-desc first of two"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| page(d).description = Some(super::text(a.words(0))),
    },
    Keyword {
        spec: spec!(&["stats show-legends"], &[], "Shows more about each proxy.", "stats show-legends"),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, _, _| page(d).legends = true,
    },
    Keyword {
        spec: spec!(
            &["stats show-node"],
            &[Arg::Rest("name")],
            "Shows which node this is; without a name, that of the global section's 'node'.",
            "stats show-node"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| page(d).node = Some(a.words(0).first().map(|w| w.text.clone()).unwrap_or_default()),
    },
    Keyword {
        spec: spec!(
            &["stats uri"],
            &[Arg::Word("prefix")],
            "Where the page is: everything that begins with this.",
            "stats uri /admin?stats"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| page(d).uri = Some(a.text(0)),
    },
];
