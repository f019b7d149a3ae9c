//! `server` and `default-server` lines and their options.

use std::collections::btree_map::Entry;
use std::time::Duration;

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Sections, Unit, check_name, read_options};

use super::spec;
use crate::draft::{ProxyDraft, ServerDraft};

const BACK: Sections = Sections::BACKEND.or(Sections::LISTEN);

pub(super) const LINES: &[Keyword<ProxyDraft>] = &[
    Keyword {
        spec: spec!(
            &["default-server"],
            &[Arg::Words("options")],
            "Options of the server lines that follow.",
            "default-server inter 2s fall 3 rise 2"
        ),
        sections: BACK.or(Sections::DEFAULTS),
        negatable: false,
        apply: |d, a, r| {
            read_options(super::SERVER_OPTIONS, "default-server", a.words(0), &mut d.default_server, r);
        },
    },
    Keyword {
        spec: spec!(
            &["server"],
            &[Arg::Word("name"), Arg::Word("address"), Arg::Rest("options")],
            "A server.",
            "server s1 192.0.2.21:8000 check"
        ),
        sections: BACK,
        negatable: false,
        apply: server,
    },
];

fn server(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let name = args.word(0).clone();
    check_name("a server", &name, diagnostics);
    match draft.server_lines.entry(name.text.clone()) {
        Entry::Occupied(first) => {
            let text = format!("server '{}' stands in line {} already", name.text, first.get());
            diagnostics.error(name.span, text);
        }
        Entry::Vacant(place) => {
            place.insert(name.span.line);
        }
    }
    let mut server =
        ServerDraft { name: Some(name), address: Some(args.word(1).clone()), ..draft.default_server.clone() };
    read_options(super::SERVER_OPTIONS, "server", args.words(2), &mut server, diagnostics);
    draft.servers.push(server);
}

/// A time that is more than nothing; checks without a pause between them would be all that a node does.
fn pause(args: &Args, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let pause = args.duration(0);
    if pause.is_zero() {
        diagnostics
            .error(args.span, format!("'{}' expects a time above 0", args.keyword.text))
            .help("HAProxy's usual time between checks is 2s");
        return None;
    }
    Some(pause)
}

fn narrow(args: &Args) -> Option<u32> {
    u32::try_from(args.int(0)).ok()
}

const TIME: &[Arg] = &[Arg::Duration("time", Unit::Millis)];

/// Options of one server.
pub(super) const OPTIONS: &[Keyword<ServerDraft>] = &[
    Keyword {
        spec: spec!(&["addr"], &[Arg::Word("address")], "Address of checks.", "addr 192.0.2.9"),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, a, _| d.check_address = Some(a.word(0).clone()),
    },
    Keyword {
        spec: spec!(&["backup"], &[], "Used only when no other server is.", "backup"),
        sections: Sections::OPTION,
        negatable: true,
        apply: |d, a, _| d.backup = Some(!a.negated),
    },
    Keyword {
        spec: spec!(&["check"], &[], "The server is checked.", "check"),
        sections: Sections::OPTION,
        negatable: true,
        apply: |d, a, _| d.check = Some(!a.negated),
    },
    Keyword {
        spec: spec!(
            &["cookie"],
            &[Arg::Word("value")],
            "The server's value of the persistence cookie.",
            "cookie s1"
        ),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, a, _| d.cookie = Some(a.text(0)),
    },
    Keyword {
        spec: spec!(&["disabled"], &[], "Starts in maintenance.", "disabled"),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, _, _| d.disabled = Some(true),
    },
    Keyword {
        spec: spec!(&["downinter"], TIME, "Time between checks while it is down.", "downinter 5s"),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, a, r| d.down_inter = pause(a, r).or(d.down_inter),
    },
    Keyword {
        spec: spec!(&["enabled"], &[], "Starts in service.", "enabled"),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, _, _| d.disabled = Some(false),
    },
    Keyword {
        spec: spec!(&["fall"], &[Arg::Int("count", 1, 10_000)], "Failed checks until it is down.", "fall 3"),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, a, _| d.fall = narrow(a),
    },
    Keyword {
        spec: spec!(&["fastinter"], TIME, "Time between checks while its state changes.", "fastinter 500ms"),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, a, r| d.fast_inter = pause(a, r).or(d.fast_inter),
    },
    Keyword {
        spec: spec!(&["id"], &[Arg::Int("id", 1, 2_000_000_000)], "The server's number.", "id 7"),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, a, _| d.id = narrow(a),
    },
    Keyword {
        spec: spec!(&["inter"], TIME, "Time between checks.", "inter 2s"),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, a, r| d.inter = pause(a, r).or(d.inter),
    },
    Keyword {
        spec: spec!(
            &["maxconn"],
            &[Arg::Int("connections", 0, 10_000_000)],
            "Most concurrent sessions.",
            "maxconn 100"
        ),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, a, _| d.maxconn = narrow(a),
    },
    Keyword {
        spec: spec!(
            &["maxqueue"],
            &[Arg::Int("requests", 0, 10_000_000)],
            "Most requests waiting for it.",
            "maxqueue 100"
        ),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, a, _| d.maxqueue = narrow(a),
    },
    Keyword {
        spec: spec!(
            &["port"],
            &[Arg::Int("port", 0, 65_535)],
            "Port of checks; 0 is the server's.",
            "port 8080"
        ),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, a, _| d.port = u16::try_from(a.int(0)).ok().filter(|port| *port > 0),
    },
    Keyword {
        spec: spec!(
            &["rise"],
            &[Arg::Int("count", 1, 10_000)],
            "Successful checks until it is up.",
            "rise 2"
        ),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, a, _| d.rise = narrow(a),
    },
    Keyword {
        spec: spec!(&["weight"], &[Arg::Int("weight", 0, 256)], "Share of the load.", "weight 10"),
        sections: Sections::OPTION,
        negatable: false,
        apply: |d, a, _| d.weight = narrow(a),
    },
];
