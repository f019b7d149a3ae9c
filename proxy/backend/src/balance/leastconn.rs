//! `balance leastconn`: the server with the fewest sessions for its weight.

use std::sync::atomic::Ordering::Relaxed;

use proxy_lang::{Spec, Status};

use super::{Algorithm, Choice};

pub(super) const ROW: Algorithm = Algorithm {
    spec: Spec {
        names: &["leastconn"],
        args: &[],
        status: Status::Full,
        doc: "The server with the fewest sessions for its weight; equal ones take turns.",
        example: "balance leastconn",
    },
    stat_name: "leastconn",
    needs_hash: false,
    pick,
};

fn pick(choice: &Choice<'_>) -> Option<usize> {
    let usable = &choice.plan.usable;
    let first = choice.turn.fetch_add(1, Relaxed) % usable.len().max(1);
    let load = |index: usize| {
        let server = &choice.servers[index];
        u64::from(server.sessions()) * 256 / u64::from(server.weight().max(1))
    };
    usable[first..].iter().chain(&usable[..first]).copied().min_by_key(|&index| load(index))
}
