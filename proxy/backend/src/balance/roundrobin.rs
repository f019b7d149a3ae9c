//! `balance roundrobin`: one after the other, as often as their weights say.

use std::sync::atomic::Ordering::Relaxed;

use proxy_lang::{Spec, Status};

use super::{Algorithm, Choice};

pub(super) const ROW: Algorithm = Algorithm {
    spec: Spec {
        names: &["roundrobin", "static-rr"],
        args: &[],
        status: Status::Full,
        doc: "Servers take turns, each as often as its weight says.",
        example: "balance roundrobin",
    },
    stat_name: "roundrobin",
    needs_hash: false,
    pick,
};

fn pick(choice: &Choice<'_>) -> Option<usize> {
    let round = &choice.plan.round;
    if round.is_empty() {
        return None;
    }
    let turn = choice.turn.fetch_add(1, Relaxed);
    Some(usize::from(round[turn % round.len()]))
}
