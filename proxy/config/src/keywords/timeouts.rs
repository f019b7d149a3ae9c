//! Timeouts: how long either side may be silent, at each station.

use proxy_lang::{Arg, Keyword, Sections, Unit};

use super::spec;
use crate::draft::ProxyDraft;

const FRONT: Sections = Sections::DEFAULTS.or(Sections::FRONTEND).or(Sections::LISTEN);
const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND).or(Sections::LISTEN);
const ARGS: &[Arg] = &[Arg::Duration("timeout", Unit::Millis)];

pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword {
        spec: spec!(
            &["timeout check"],
            ARGS,
            "Longest time a health check may take once connected.",
            "timeout check 2s"
        ),
        sections: BACK,
        negatable: false,
        apply: |d, a, _| d.timeouts.check = Some(a.duration(0)),
    },
    Keyword {
        spec: spec!(
            &["timeout client"],
            ARGS,
            "Longest time a client may stay silent.",
            "timeout client 30s"
        ),
        sections: FRONT,
        negatable: false,
        apply: |d, a, _| d.timeouts.client = Some(a.duration(0)),
    },
    Keyword {
        spec: spec!(&["timeout connect"], ARGS, "Longest time to connect to a server.", "timeout connect 5s"),
        sections: BACK,
        negatable: false,
        apply: |d, a, _| d.timeouts.connect = Some(a.duration(0)),
    },
    Keyword {
        spec: spec!(
            &["timeout http-keep-alive"],
            ARGS,
            "Longest time between two requests.",
            "timeout http-keep-alive 10s"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| d.timeouts.http_keep_alive = Some(a.duration(0)),
    },
    Keyword {
        spec: spec!(
            &["timeout http-request"],
            ARGS,
            "Longest time for a whole request head.",
            "timeout http-request 10s"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| d.timeouts.http_request = Some(a.duration(0)),
    },
    Keyword {
        spec: spec!(
            &["timeout queue"],
            ARGS,
            "Longest time to wait for a server's free place.",
            "timeout queue 30s"
        ),
        sections: BACK,
        negatable: false,
        apply: |d, a, _| d.timeouts.queue = Some(a.duration(0)),
    },
    Keyword {
        spec: spec!(
            &["timeout server"],
            ARGS,
            "Longest time a server may stay silent.",
            "timeout server 30s"
        ),
        sections: BACK,
        negatable: false,
        apply: |d, a, _| d.timeouts.server = Some(a.duration(0)),
    },
    Keyword {
        spec: spec!(&["timeout tarpit"], ARGS, "How long an abuser waits.", "timeout tarpit 10s"),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| d.timeouts.tarpit = Some(a.duration(0)),
    },
    Keyword {
        spec: spec!(
            &["timeout tunnel"],
            ARGS,
            "Longest silence of a tunnel, both ways.",
            "timeout tunnel 1h"
        ),
        sections: BACK,
        negatable: false,
        apply: |d, a, _| d.timeouts.tunnel = Some(a.duration(0)),
    },
];
