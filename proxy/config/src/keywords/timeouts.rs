//! Timeouts: how long either side may be silent, at each station.

use std::time::Duration;

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Level, Sections, Spec, Unit};

use super::spec;
use crate::draft::ProxyDraft;

const FRONT: Sections = Sections::DEFAULTS.or(Sections::FRONTEND).or(Sections::LISTEN);
const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND).or(Sections::LISTEN);
const ARGS: &[Arg] = &[Arg::Duration("timeout", Unit::Millis)];

pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword {
        spec: spec!(
            &["tcp-request inspect-delay"],
            ARGS,
            "Longest time 'tcp-request content' rules wait for bytes that decide them. Default: not at all.",
            "tcp-request inspect-delay 5s"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| d.timeouts.inspect = limit(a),
    },
    Keyword {
        spec: spec!(
            &["timeout check"],
            ARGS,
            "Longest time a health check may take once connected.",
            "timeout check 2s"
        ),
        sections: BACK,
        negatable: false,
        apply: |d, a, _| d.timeouts.check = limit(a),
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
        apply: |d, a, _| d.timeouts.client = limit(a),
    },
    Keyword {
        spec: spec!(&["timeout connect"], ARGS, "Longest time to connect to a server.", "timeout connect 5s"),
        sections: BACK,
        negatable: false,
        apply: |d, a, _| d.timeouts.connect = limit(a),
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
        apply: |d, a, _| d.timeouts.http_keep_alive = limit(a),
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
        apply: |d, a, _| d.timeouts.http_request = limit(a),
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
        apply: |d, a, _| d.timeouts.queue = limit(a),
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
        apply: |d, a, _| d.timeouts.server = limit(a),
    },
    Keyword {
        spec: spec!(&["timeout tarpit"], ARGS, "How long an abuser waits.", "timeout tarpit 10s"),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| d.timeouts.tarpit = limit(a),
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
        apply: |d, a, _| d.timeouts.tunnel = limit(a),
    },
    old(&["clitimeout"], "clitimeout 50000", FRONT, |d, a, r| {
        d.timeouts.client = limit(a);
        today(a, "timeout client", r);
    }),
    old(&["contimeout"], "contimeout 5000", BACK, |d, a, r| {
        d.timeouts.connect = limit(a);
        today(a, "timeout connect", r);
    }),
    old(&["srvtimeout"], "srvtimeout 50000", BACK, |d, a, r| {
        d.timeouts.server = limit(a);
        today(a, "timeout server", r);
    }),
];

/// A timeout; 0 is none, as in HAProxy.
fn limit(args: &Args) -> Option<Duration> {
    Some(args.duration(0)).filter(|time| !time.is_zero())
}

type Apply = fn(&mut ProxyDraft, &Args, &mut Diagnostics);

/// A name HAProxy has dropped, with one exact meaning.
const fn old(
    names: &'static [&'static str],
    example: &'static str,
    sections: Sections,
    apply: Apply,
) -> Keyword<ProxyDraft> {
    let spec = Spec::full(names, ARGS, "An old spelling of a timeout.", example);
    Keyword { spec, sections, negatable: false, apply }
}

fn today(args: &Args, name: &str, diagnostics: &mut Diagnostics) {
    let text = format!("'{}' is written '{name}' today", args.keyword.text);
    diagnostics.push(Level::Note, args.keyword.span, text);
}
