//! `balance first`, which keeps as few servers busy as it can, and `balance random`.

use std::sync::atomic::Ordering::Relaxed;

use proxy_lang::{Arg, Spec};

use super::{Algorithm, Choice};

pub(super) const TABLE: [Algorithm; 2] = [
    Algorithm {
        spec: Spec::full(
            &["first"],
            &[],
            "The server with the lowest id that has room: of use where servers have a maxconn.",
            "balance first",
        ),
        hash_of: None,
        pick: |choice| {
            let takes = choice.plan.usable.iter().copied().filter(|index| choice.takes(*index));
            takes.min_by_key(|index| choice.servers[*index].id)
        },
    },
    Algorithm {
        spec: Spec::full(
            &["random"],
            &[Arg::Rest("draws, in parentheses")],
            "The least loaded of some servers that are drawn, two where the file does not say how many.",
            "balance random(2)",
        ),
        hash_of: None,
        pick: random,
    },
];

fn random(choice: &Choice<'_>) -> Option<usize> {
    let round = &choice.plan.round;
    let turn = choice.turn.fetch_add(1, Relaxed) as u64;
    let draws = (0..u64::from(choice.draws)).filter_map(|draw| {
        let number = mix(choice.seed ^ (turn << 16) ^ draw);
        let place = usize::try_from(number % (round.len() as u64).max(1)).unwrap_or(0);
        round.get(place).map(|index| usize::from(*index))
    });
    let drawn = draws.filter(|index| choice.takes(*index)).min_by_key(|index| choice.load(*index));
    // All that were drawn may be full where others are not.
    drawn.or_else(|| choice.plan.usable.iter().copied().find(|index| choice.takes(*index)))
}

/// A number that looks like chance (splitmix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
