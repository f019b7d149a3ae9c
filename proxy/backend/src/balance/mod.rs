//! How the next server is chosen. One file and one row per algorithm.

mod leastconn;
mod roundrobin;
mod source;

use std::sync::atomic::AtomicUsize;

use proxy_lang::Spec;

use crate::Server;

/// An algorithm of the `balance` keyword.
pub struct Algorithm {
    /// Name and documentation.
    pub spec: Spec,
    /// The name in the `algo` column of `show stat`.
    pub stat_name: &'static str,
    /// Whether it needs a hash of the request.
    pub needs_hash: bool,
    /// Chooses among the plan's servers. `None` only where the plan is empty.
    pub(crate) pick: fn(&Choice<'_>) -> Option<usize>,
}

impl std::fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.stat_name)
    }
}

/// What an algorithm looks at.
pub(crate) struct Choice<'a> {
    pub(crate) servers: &'a [Server],
    pub(crate) plan: &'a Plan,
    pub(crate) turn: &'a AtomicUsize,
    pub(crate) hash: u32,
}

/// The algorithms, in the manual's order.
pub const TABLE: &[Algorithm] = &[roundrobin::ROW, leastconn::ROW, source::ROW];

/// The algorithm of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Algorithm> {
    TABLE.iter().find(|row| row.spec.names.contains(&name))
}

/// Hash of a client address for `balance source`: its 32-bit words folded together.
#[must_use]
pub fn source_hash(address: std::net::IpAddr) -> u32 {
    match address {
        std::net::IpAddr::V4(v4) => u32::from(v4),
        std::net::IpAddr::V6(v6) => {
            v6.octets().chunks_exact(4).fold(0, |hash, c| hash ^ u32::from_be_bytes([c[0], c[1], c[2], c[3]]))
        }
    }
}

/// The servers that may be chosen, and the order in which weights interleave them.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Indexes of the servers that may be chosen.
    pub(crate) usable: Vec<usize>,
    /// One full round: each server as often as its weight, spread evenly.
    pub(crate) round: Vec<u16>,
}

impl Plan {
    /// Active servers; if there is none the backups: the first of them, or all.
    pub(crate) fn new(servers: &[Server], all_backups: bool) -> Self {
        let of = |backup: bool| {
            let chosen = servers.iter().enumerate().filter(move |(_, s)| s.backup == backup && s.takes_new());
            chosen.map(|(index, _)| index).collect::<Vec<_>>()
        };
        let mut usable = of(false);
        if usable.is_empty() {
            usable = of(true);
            if !all_backups {
                usable.truncate(1);
            }
        }
        let round = interleave(servers, &usable);
        Self { usable, round }
    }
}

fn interleave(servers: &[Server], usable: &[usize]) -> Vec<u16> {
    let divisor = usable.iter().map(|&i| servers[i].weight()).fold(0, gcd).max(1);
    let weights: Vec<i64> = usable.iter().map(|&i| i64::from(servers[i].weight() / divisor)).collect();
    let total: i64 = weights.iter().sum();
    let mut score = vec![0_i64; usable.len()];
    let mut round = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
    for _ in 0..total {
        let mut best = 0;
        for (i, weight) in weights.iter().enumerate() {
            score[i] += weight;
            if score[i] > score[best] {
                best = i;
            }
        }
        score[best] -= total;
        round.push(u16::try_from(usable[best]).unwrap_or(u16::MAX));
    }
    round
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
