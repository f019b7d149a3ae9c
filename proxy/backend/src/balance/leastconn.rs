//! `balance leastconn`: the server with the fewest sessions for its weight.

use std::sync::atomic::Ordering::Relaxed;

use proxy_lang::Spec;

use super::{Algorithm, Choice};

pub(super) const ROW: Algorithm = Algorithm {
    spec: Spec::full(
        &["leastconn"],
        &[],
        "The server with the fewest sessions for its weight; equal ones take turns.",
        "balance leastconn",
    ),
    hash_of: None,
    pick,
};

fn pick(choice: &Choice<'_>) -> Option<usize> {
    let usable = &choice.plan.usable;
    let first = choice.turn.fetch_add(1, Relaxed) % usable.len().max(1);
    let in_turn = usable[first..].iter().chain(&usable[..first]).copied();
    in_turn.filter(|index| choice.takes(*index)).min_by_key(|index| choice.load(*index))
}
