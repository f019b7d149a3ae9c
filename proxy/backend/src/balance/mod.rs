//! How the next server is chosen. One row per algorithm, one file per kind.

mod hashed;
mod leastconn;
mod orders;
mod others;
mod roundrobin;

use std::sync::atomic::AtomicUsize;

use proxy_lang::Spec;

use crate::Server;

pub(crate) use hashed::server as server_of_hash;
pub use hashed::{UriPart, header_hash, param_hash, source_hash, uri_hash};

/// What of a request decides, where a hash does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashOf {
    /// The client's address.
    Source,
    /// The target.
    Uri,
    /// A parameter of the query.
    UrlParam,
    /// A header field.
    Header,
}

/// An algorithm of the `balance` keyword.
pub struct Algorithm {
    /// Name and documentation.
    pub spec: Spec,
    /// What is hashed, where a hash decides.
    pub hash_of: Option<HashOf>,
    /// Chooses among the plan's servers that take one more, where no hash decides or there is nothing to hash.
    pub(crate) pick: fn(&Choice<'_>) -> Option<usize>,
}

impl Algorithm {
    /// Its name in the file, and in the `algo` column of `show stat`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.spec.names[0]
    }
}

impl std::fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What an algorithm looks at.
pub(crate) struct Choice<'a> {
    pub(crate) servers: &'a [Server],
    pub(crate) plan: &'a Plan,
    pub(crate) turn: &'a AtomicUsize,
    /// Passed over.
    pub(crate) avoid: Option<usize>,
    /// Servers that `random` draws.
    pub(crate) draws: u32,
    pub(crate) seed: u64,
}

impl Choice<'_> {
    /// Whether a server may be chosen and has room.
    pub(crate) fn takes(&self, index: usize) -> bool {
        self.avoid != Some(index) && self.servers[index].has_room()
    }

    /// Sessions for its weight.
    pub(crate) fn load(&self, index: usize) -> u64 {
        let server = &self.servers[index];
        u64::from(server.sessions()) * 256 / u64::from(server.weight().max(1))
    }
}

/// The algorithms, in the manual's order.
pub const TABLE: &[Algorithm] = &{
    let [source, uri, url_param, hdr] = hashed::TABLE;
    let [first, random] = others::TABLE;
    [roundrobin::ROW, roundrobin::STATIC, leastconn::ROW, first, source, uri, url_param, hdr, random]
};

/// The algorithm where the file names none.
#[must_use]
pub fn usual() -> &'static Algorithm {
    &TABLE[0]
}

/// The algorithm of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Algorithm> {
    TABLE.iter().find(|row| row.spec.names.contains(&name))
}

/// The servers that may be chosen, and the orders in which weights interleave them.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Indexes of the servers that may be chosen.
    pub(crate) usable: Vec<usize>,
    /// One full round: each server as often as its weight, spread as HAProxy's dynamic round robin does.
    pub(crate) round: Vec<u16>,
    /// The same number of places, spread as HAProxy's map of static algorithms does.
    pub(crate) map: Vec<u16>,
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
        // Of all servers, so that each weight keeps its meaning when others go.
        let divisor = servers.iter().map(Server::weight).fold(0, gcd).max(1);
        let weights: Vec<u32> = usable.iter().map(|&i| servers[i].weight() / divisor).collect();
        let indexes = |places: Vec<usize>| {
            places.into_iter().map(|place| u16::try_from(usable[place]).unwrap_or(u16::MAX)).collect()
        };
        Self { round: indexes(orders::dynamic(&weights)), map: indexes(orders::fixed(&weights)), usable }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
