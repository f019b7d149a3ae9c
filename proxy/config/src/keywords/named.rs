//! Sections that others refer to by name: resolvers, mailers, user lists, error pages, rings.

use proxy_lang::{Arg, Keyword, Sections, Spec, Unit};

use super::spec;
use crate::draft::NamedDraft;

/// Where servers' names are asked for.
pub(super) const RESOLVERS: &[Keyword<NamedDraft>] = &[
    Keyword::inert(
        Sections::RESOLVERS,
        false,
        Spec::later(
            &["accepted_payload_size"],
            &[Arg::Int("bytes", 512, 65_535)],
            "Largest answer.",
            "accepted_payload_size 8192",
        ),
    ),
    Keyword::inert(
        Sections::RESOLVERS,
        false,
        Spec::later(
            &["hold"],
            &[
                Arg::OneOf("answer", &["nx", "obsolete", "other", "refused", "timeout", "valid"]),
                Arg::Duration("time", Unit::Millis),
            ],
            "How long an answer of a kind counts.",
            "hold valid 10s",
        ),
    ),
    Keyword::inert(
        Sections::RESOLVERS,
        false,
        Spec::later(
            &["nameserver"],
            &[Arg::Word("name"), Arg::Word("address")],
            "A name server.",
            "nameserver ns1 192.0.2.53:53",
        ),
    ),
    Keyword::inert(
        Sections::RESOLVERS,
        false,
        Spec::later(&["parse-resolv-conf"], &[], "Takes the name servers of the host.", "parse-resolv-conf"),
    ),
    Keyword::inert(
        Sections::RESOLVERS,
        false,
        Spec::later(
            &["resolve_retries"],
            &[Arg::Int("times", 1, 65_535)],
            "How often a question is asked.",
            "resolve_retries 3",
        ),
    ),
    Keyword::inert(
        Sections::RESOLVERS,
        false,
        Spec::later(
            &["timeout resolve", "timeout retry"],
            &[Arg::Duration("time", Unit::Millis)],
            "Time between questions.",
            "timeout retry 1s",
        ),
    ),
];

/// Who carries mails about servers.
pub(super) const MAILERS: &[Keyword<NamedDraft>] = &[
    Keyword::inert(
        Sections::MAILERS,
        false,
        Spec::later(
            &["mailer"],
            &[Arg::Word("name"), Arg::Word("address")],
            "A mail server.",
            "mailer m1 192.0.2.25:25",
        ),
    ),
    Keyword::inert(
        Sections::MAILERS,
        false,
        Spec::later(
            &["timeout mail"],
            &[Arg::Duration("time", Unit::Millis)],
            "Longest time to hand over a mail.",
            "timeout mail 10s",
        ),
    ),
];

/// Who may ask.
pub(super) const USERLIST: &[Keyword<NamedDraft>] = &[
    Keyword::inert(
        Sections::USERLIST,
        false,
        Spec::later(
            &["group"],
            &[Arg::Word("name"), Arg::Rest("users")],
            "A group.",
            "group ops users anna,berta",
        ),
    ),
    Keyword::inert(
        Sections::USERLIST,
        false,
        Spec::later(
            &["user"],
            &[
                Arg::Word("name"),
                Arg::OneOf("kind", &["password", "insecure-password"]),
                Arg::Word("secret"),
                Arg::Rest("groups"),
            ],
            "A user.",
            "user anna insecure-password secret groups ops",
        ),
    ),
];

/// Error pages.
pub(super) const HTTP_ERRORS: &[Keyword<NamedDraft>] = &[Keyword {
    spec: spec!(
        &["errorfile"],
        &[Arg::Int("status", 200, 599), Arg::Word("file")],
        "The page of a status.",
        "errorfile 503 /etc/tandem/503.http"
    ),
    sections: Sections::HTTP_ERRORS,
    negatable: false,
    apply: |d, a, r| d.error_files.extend(super::status(a, r).map(|status| (status, a.word(1).clone()))),
}];

/// Buffers of log lines.
pub(super) const RING: &[Keyword<NamedDraft>] = &[
    Keyword::inert(
        Sections::RING,
        false,
        Spec::later(
            &["backing-file"],
            &[Arg::Word("file")],
            "Keeps the lines across restarts.",
            "backing-file /var/lib/tandem/ring",
        ),
    ),
    Keyword::inert(
        Sections::RING,
        false,
        Spec::later(&["description"], &[Arg::Words("text")], "A note for people.", "description log lines"),
    ),
    Keyword::inert(
        Sections::RING,
        false,
        Spec::later(&["format"], &[Arg::Word("format")], "Format of the lines.", "format rfc5424"),
    ),
    Keyword::inert(
        Sections::RING,
        false,
        Spec::later(&["maxlen"], &[Arg::Int("bytes", 1, 65_536)], "Longest line.", "maxlen 1200"),
    ),
    Keyword::inert(
        Sections::RING,
        false,
        Spec::later(
            &["server"],
            &[Arg::Word("name"), Arg::Word("address"), Arg::Rest("options")],
            "Where the lines go.",
            "server log1 192.0.2.14:514",
        ),
    ),
    Keyword::inert(
        Sections::RING,
        false,
        Spec::later(&["size"], &[Arg::Size("size")], "Room of the ring.", "size 32k"),
    ),
    Keyword::inert(
        Sections::RING,
        false,
        Spec::later(
            &["timeout connect", "timeout server"],
            &[Arg::Duration("time", Unit::Millis)],
            "How long its servers may be silent.",
            "timeout connect 5s",
        ),
    ),
];
