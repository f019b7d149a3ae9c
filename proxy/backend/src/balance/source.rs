//! `balance source`: a client address always meets the same server while the set of servers stays.

use proxy_lang::{Spec, Status};

use super::{Algorithm, Choice};

pub(super) const ROW: Algorithm = Algorithm {
    spec: Spec {
        names: &["source"],
        args: &[],
        status: Status::Full,
        doc: "The hash of the client's address decides (hash-type map-based).",
        example: "balance source",
    },
    stat_name: "source",
    needs_hash: true,
    pick,
};

fn pick(choice: &Choice<'_>) -> Option<usize> {
    let round = &choice.plan.round;
    let place = (choice.hash as usize).checked_rem(round.len())?;
    Some(usize::from(round[place]))
}
