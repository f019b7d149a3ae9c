//! Rows that say when a router takes part, beyond what it follows.

use proxy_lang::{Arg, Keyword, Unit};

use super::{Draft, row};
use crate::Patience;

/// The rows; those of the section itself are beside them.
pub const TABLE: &[Keyword<Draft>] = &[
    row(
        &["boot-delay"],
        &[Arg::Duration("delay", Unit::Seconds)],
        "How long after the machine's start the router takes no part.",
        "boot-delay 60s",
        |d, a, _| d.presence.boot_delay = a.duration(0),
    ),
    row(
        &["interface-delay"],
        &[
            Arg::Word("interface"),
            Arg::Duration("down", Unit::Seconds),
            Arg::Optional(&Arg::Duration("up", Unit::Seconds)),
        ],
        "How long an interface must be down before that counts, and how long it must be up again, as long where nothing is said: for one that flaps. It should be less than two intervals, so that nobody else takes over before.",
        "interface-delay eth0 200ms 2s",
        |d, a, _| {
            let down = a.duration(1);
            let up = if a.has(2) { a.duration(2) } else { down };
            d.presence.patience.insert(a.text(0), Patience { down, up });
        },
    ),
    row(
        &["ignore-link"],
        &[],
        "Takes part though its interface is down; one that is not there is waited for in any case.",
        "ignore-link",
        |d, _, _| d.presence.ignores_link = true,
    ),
    row(
        &["promote-secondaries"],
        &[],
        "Has the kernel keep the other addresses of a network when the first one goes (its promote_secondaries).",
        "promote-secondaries",
        |d, _, _| d.presence.promotes = true,
    ),
    row(
        &["startup-delay"],
        &[Arg::Duration("delay", Unit::Seconds)],
        "How long after the program's start the router takes no part, unless the addresses of a process that was killed a moment ago are still here.",
        "startup-delay 5s",
        |d, a, _| d.presence.startup_delay = a.duration(0),
    ),
    row(
        &["track-source"],
        &[],
        "Takes no part while this node's own address, which the advertisements come from, is not there.",
        "track-source",
        |d, _, _| d.presence.tracks_source = true,
    ),
];
