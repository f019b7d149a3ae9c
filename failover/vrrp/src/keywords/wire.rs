//! Rows that say how packets look, and whose are heard.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Unit, Word};

use super::{Draft, ip_address, row};
use crate::hmac::{AntiReplay, Mode, Secret};

/// The rows; those of the section itself are beside them.
pub const TABLE: &[Keyword<Draft>] = &[
    row(
        &["advert-group"],
        &[Arg::Word("address")],
        "Sends to this group of the link instead of VRRP's own.",
        "advert-group 224.0.0.19",
        |d, a, diagnostics| {
            d.wire.group = ip_address(a, diagnostics);
            if d.wire.group.is_some_and(|group| !group.is_multicast()) {
                diagnostics.error(a.word(0).span, format!("{} is no group", a.text(0)));
            }
        },
    ),
    row(
        &["advert-missing"],
        &[Arg::Int("count", 1, 100)],
        "Advertisements that must be missing before a backup moves: 3 where nothing is said. All nodes must agree.",
        "advert-missing 5",
        |d, a, _| d.wire.missing = u8::try_from(a.int(0)).ok(),
    ),
    row(
        &["advert-ttl"],
        &[Arg::Int("ttl", 1, 255)],
        "The time to live of what members and peers are told: 255 where nothing is said. Members hear nothing less.",
        "advert-ttl 64",
        |d, a, _| d.wire.ttl = u8::try_from(a.int(0)).ok(),
    ),
    row(
        &["auth-hmac-active"],
        &[Arg::Int("key", 0, 255)],
        "The key that is sent with; the lowest number where nothing is said.",
        "auth-hmac-active 1",
        |d, a, _| d.wire.hmac.active = u8::try_from(a.int(0)).ok(),
    ),
    row(
        &["auth-hmac-key"],
        &[Arg::Int("number", 0, 255), Arg::Word("secret")],
        "A key that advertisements are authenticated with, by HMAC-SHA256 in a trailer as keepalived 2.4 has it: forged and recorded ones are not heard. Several while one replaces another.",
        "auth-hmac-key 2 'a long secret'",
        |d, a, diagnostics| {
            let Ok(id) = u8::try_from(a.int(0)) else { return };
            if d.wire.hmac.keys.insert(id, Secret::new(&a.text(1))).is_some() {
                diagnostics.error(a.word(0).span, format!("there is a key {id} already"));
            }
        },
    ),
    row(
        &["auth-hmac-mode"],
        &[Arg::OneOf("mode", Mode::WORDS)],
        "For introducing it node by node: 'receive-only' sends no trailer, 'permissive' sends it, and both hear everybody and count what is wrong; 'enforce', the usual one, hears nobody without.",
        "auth-hmac-mode permissive",
        |d, a, _| d.wire.hmac.mode = Mode::named(&a.text(0)),
    ),
    row(
        &["auth-hmac-replay"],
        &[
            Arg::OneOf("protection", AntiReplay::WORDS),
            Arg::Optional(&Arg::Duration("window", Unit::Seconds)),
        ],
        "What keeps recorded packets from being heard: 'counter', the usual one, that each is stamped later than the one before; 'time', that its stamp is near this node's clock too, three intervals and at least 5 s.",
        "auth-hmac-replay time 10s",
        |d, a, diagnostics| {
            d.wire.hmac.anti_replay = AntiReplay::named(&a.text(0));
            d.wire.hmac.window = a.has(1).then(|| a.duration(1));
            if a.has(1) && d.wire.hmac.anti_replay != AntiReplay::Time {
                diagnostics.error(a.span, "a window belongs to 'time'");
            }
        },
    ),
    row(
        &["bare-checksum"],
        &[],
        "Sends version 3's checksum over IPv4 without a pseudo-header, as RFC 9568 has it and routers of others do; keepalived's is with one. Both are heard.",
        "bare-checksum",
        |d, _, _| d.wire.bare_checksum = true,
    ),
    row(
        &["ignore-advertised-addresses"],
        &[],
        "Does not compare the addresses of advertisements with its own. They are heard in any case; the difference is counted.",
        "ignore-advertised-addresses",
        |d, _, _| d.wire.any_addresses = true,
    ),
    row(
        &["log-unknown-vrids"],
        &[],
        "Writes into the log when somebody on the link advertises a router that nobody here knows; it is counted in any case.",
        "log-unknown-vrids",
        |d, _, _| d.wire.log_unknown = true,
    ),
    row(
        &["needs-peer"],
        &[],
        "Takes no part while there is no member and no peer to tell.",
        "needs-peer",
        |d, _, _| d.wire.needs_peer = true,
    ),
    row(
        &["old-checksum"],
        &[],
        "Sends version 3's checksum to peers over IPv4 as keepalived made it until 1.3.6: with a pseudo-header to the group. Both are heard.",
        "old-checksum",
        |d, _, _| d.wire.old_checksum = true,
    ),
    row(
        &["silent-to-lesser"],
        &[],
        "A master does not answer the advertisement of a lesser one; it announces its addresses all the same.",
        "silent-to-lesser",
        |d, _, _| d.wire.silent = true,
    ),
    row(
        &["unicast-peer"],
        &[Arg::Word("address"), Arg::Rest("option")],
        "A router that is told beside the members, and heard: one that is no member, such as keepalived. What it says may have any time to live, unless 'min-ttl' and 'max-ttl' bound it.",
        "unicast-peer 192.0.2.13 min-ttl 250 max-ttl 255",
        unicast_peer,
    ),
];

fn unicast_peer(draft: &mut Draft, args: &Args, diagnostics: &mut Diagnostics) {
    let Some(peer) = ip_address(args, diagnostics) else { return };
    draft.unicast_peers.push(peer);
    if let Some(ttls) = ttls(args.words(1), ["min-ttl", "max-ttl"], diagnostics) {
        draft.wire.peer_ttls.insert(peer, ttls);
    }
}

/// The bounds of a peer's time to live, under these two names; `None` where there are none.
pub(crate) fn ttls(
    words: &[Word],
    [least, most]: [&str; 2],
    diagnostics: &mut Diagnostics,
) -> Option<RangeInclusive<u8>> {
    let (mut low, mut high) = (None, None);
    for pair in words.chunks(2) {
        let number = pair.get(1).and_then(|word| word.text.parse::<u8>().ok());
        match pair {
            [name, _] if number.is_some() && name.text == least => low = number,
            [name, _] if number.is_some() && name.text == most => high = number,
            [name, number] if name.text == least || name.text == most => {
                diagnostics.error(number.span, format!("'{}' is not a number from 0 to 255", number.text));
            }
            [name, ..] => {
                diagnostics
                    .error(name.span, format!("'{}' is not understood behind a peer", name.text))
                    .help(format!("'{least}' or '{most}', and a number"));
            }
            [] => {}
        }
    }
    (low.is_some() || high.is_some()).then(|| low.unwrap_or(0)..=high.unwrap_or(u8::MAX))
}

/// The line of a peer.
pub(super) fn peer_line(peer: IpAddr, ttls: Option<&RangeInclusive<u8>>) -> String {
    let ttls =
        ttls.map_or_else(String::new, |ttls| format!(" min-ttl {} max-ttl {}", ttls.start(), ttls.end()));
    format!("unicast-peer {peer}{ttls}")
}
