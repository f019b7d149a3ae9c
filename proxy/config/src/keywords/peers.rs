//! The `peers` section: who shares stick tables by HAProxy's own protocol.

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Sections, Status, Word};

use super::spec;
use crate::draft::{PeerDraft, PeersDraft};

const HERE: Sections = Sections::PEERS;
/// Most peers of a section: what a full mesh of sessions carries without thinking about it.
const MAX_PEERS: usize = 64;

pub(super) const TABLE: &[Keyword<PeersDraft>] = &[
    Keyword {
        spec: spec!(
            &["bind"],
            &[Arg::Word("address"), Arg::Rest("options")],
            "Where this node listens for its peers; its own `peer` or `server` line then needs no address.",
            "bind 192.0.2.11:10000"
        ),
        sections: HERE,
        negatable: false,
        apply: bind,
    },
    Keyword {
        spec: spec!(
            Status::Later,
            &["default-bind"],
            &[Arg::Words("options")],
            "Options of the bind lines that follow.",
            "default-bind ssl crt peers.pem"
        ),
        sections: HERE,
        negatable: false,
        apply: |_, _, _| {},
    },
    Keyword {
        spec: spec!(
            Status::Later,
            &["default-server"],
            &[Arg::Words("options")],
            "Options of the peers that follow.",
            "default-server ssl verify none"
        ),
        sections: HERE,
        negatable: false,
        apply: |_, _, _| {},
    },
    Keyword {
        spec: spec!(&["disabled"], &[], "Leaves this section out.", "disabled"),
        sections: HERE,
        negatable: false,
        apply: |d, _, _| d.disabled = true,
    },
    Keyword {
        spec: spec!(&["enabled"], &[], "Takes back `disabled`.", "enabled"),
        sections: HERE,
        negatable: false,
        apply: |d, _, _| d.disabled = false,
    },
    Keyword {
        spec: spec!(
            &["peer"],
            &[Arg::Word("name"), Arg::Word("address")],
            "A peer and where it listens; one of them is this node.",
            "peer lb1 192.0.2.11:10000"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, r| peer(d, a, r, Some(a.word(1).clone())),
    },
    Keyword {
        spec: spec!(
            &["server"],
            &[Arg::Word("name"), Arg::Rest("[address] [options]")],
            "A peer, in the words of a server; without an address it is this node, which `bind` then places.",
            "server lb1 192.0.2.11:10000"
        ),
        sections: HERE,
        negatable: false,
        apply: server,
    },
    Keyword {
        spec: spec!(
            Status::Later,
            &["table"],
            &[Arg::Word("name"), Arg::Words("options")],
            "A stick table that belongs to the section.",
            "table t1 type ip size 100k"
        ),
        sections: HERE,
        negatable: false,
        apply: |_, _, _| {},
    },
];

fn bind(draft: &mut PeersDraft, args: &Args, diagnostics: &mut Diagnostics) {
    if let Some(option) = args.words(1).first() {
        diagnostics
            .error(option.span, format!("'bind' : option '{}' is not built yet in 'peers'", option.text));
    }
    draft.bind = Some(args.word(0).clone());
}

fn server(draft: &mut PeersDraft, args: &Args, diagnostics: &mut Diagnostics) {
    if let Some(option) = args.words(1).get(1) {
        diagnostics
            .error(option.span, format!("'server' : option '{}' is not built yet in 'peers'", option.text));
    }
    peer(draft, args, diagnostics, args.words(1).first().cloned());
}

fn peer(draft: &mut PeersDraft, args: &Args, diagnostics: &mut Diagnostics, address: Option<Word>) {
    let name = args.word(0).clone();
    proxy_lang::check_name("a peer", &name, diagnostics);
    if let Some(first) = draft.peers.iter().find(|p| p.name.text == name.text) {
        let text = format!("peer '{}' stands in line {} already", name.text, first.name.span.line);
        diagnostics.error(name.span, text);
    }
    if draft.peers.len() == MAX_PEERS {
        diagnostics.error(name.span, format!("a peers section has at most {MAX_PEERS} peers"));
        return;
    }
    draft.peers.push(PeerDraft { name, address });
}
