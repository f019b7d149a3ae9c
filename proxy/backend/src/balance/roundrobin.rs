//! `balance roundrobin` and `static-rr`: one after the other, as often as their weights say.

use std::sync::atomic::Ordering::Relaxed;

use proxy_lang::Spec;

use super::{Algorithm, Choice};

pub(super) const ROW: Algorithm = Algorithm {
    spec: Spec::full(
        &["roundrobin"],
        &[],
        "Servers take turns, each as often as its weight says.",
        "balance roundrobin",
    ),
    hash_of: None,
    pick,
};

pub(super) const STATIC: Algorithm = Algorithm {
    spec: Spec::full(
        &["static-rr"],
        &[],
        "Servers take turns, each as often as its weight says.",
        "balance static-rr",
    ),
    hash_of: None,
    pick: pick_static,
};

/// A server that takes nothing passes its turn on, at most once around.
fn pick(choice: &Choice<'_>) -> Option<usize> {
    next(choice, &choice.plan.round)
}

/// As [`pick`], in the order of static algorithms.
pub(super) fn pick_static(choice: &Choice<'_>) -> Option<usize> {
    next(choice, &choice.plan.map)
}

fn next(choice: &Choice<'_>, order: &[u16]) -> Option<usize> {
    (0..order.len()).find_map(|_| {
        let turn = choice.turn.fetch_add(1, Relaxed);
        Some(usize::from(order[turn % order.len()])).filter(|index| choice.takes(*index))
    })
}
