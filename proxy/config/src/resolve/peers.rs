//! Peers sections: who they are, and that the tables which name them exist.

use proxy_lang::{Diagnostics, Span, nearest};

use crate::address;
use crate::draft::{PeersDraft, ProxyDraft};
use crate::model::Peers;

pub(super) fn sections(
    drafts: &[PeersDraft],
    proxies: &[ProxyDraft],
    diagnostics: &mut Diagnostics,
) -> Vec<Peers> {
    let mut sections: Vec<Peers> = Vec::new();
    for draft in drafts {
        let Some(name) = &draft.name else {
            diagnostics.error(Span::default(), "'peers' expects a name");
            continue;
        };
        if sections.iter().any(|s| s.name == name.text) {
            diagnostics.error(name.span, format!("there is a peers section '{}' already", name.text));
        }
        let mut section = Peers { name: name.text.clone(), ..Peers::default() };
        if let Some(word) = &draft.bind {
            match address::parse_socket(&word.text) {
                Ok(address) => section.bind = Some(address),
                Err(why) => {
                    diagnostics.error(word.span, format!("'bind' : {why}"));
                }
            }
        }
        for peer in &draft.peers {
            let Some(word) = peer.address.as_ref().or(draft.bind.as_ref()) else {
                diagnostics
                    .error(peer.name.span, format!("peer '{}' has no address", peer.name.text))
                    .help("a 'bind' line says where this node listens");
                continue;
            };
            match address::parse_socket(&word.text) {
                Ok(address) => section.members.push((peer.name.text.clone(), address)),
                Err(why) => {
                    diagnostics.error(word.span, format!("'peer {}' : {why}", peer.name.text));
                }
            }
        }
        if !draft.disabled {
            sections.push(section);
        }
    }
    for table in proxies.iter().filter_map(|p| p.table.as_ref()) {
        let Some(word) = &table.peers else { continue };
        let known = |d: &&PeersDraft| d.name.as_ref().is_some_and(|n| n.text == word.text);
        if drafts.iter().find(known).is_none() {
            let names = drafts.iter().filter_map(|d| d.name.as_ref()).map(|n| n.text.as_str());
            let near = nearest(&word.text, names).map(str::to_owned);
            let note = diagnostics.error(word.span, format!("there is no peers section '{}'", word.text));
            if let Some(near) = near {
                note.help(format!("did you mean '{near}'?"));
            }
        }
    }
    sections
}
