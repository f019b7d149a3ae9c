//! The order of local changes: each change gives its entry the next number, and an entry stands in
//! the order once, at its latest number. Peers read it from wherever they are.

use std::collections::BTreeMap;

use crate::{Key, Value};

/// One change to tell a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Its number; the protocol's 32 bits of it are compared modulo 2^32.
    pub id: u64,
    /// The entry.
    pub key: Key,
    /// The entry's values now, in the order of the columns.
    pub values: Vec<Value>,
    /// Milliseconds until it expires, if the table's entries do.
    pub remaining_ms: Option<u64>,
}

/// Numbers to keys, and the last number given.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) last: u64,
    order: BTreeMap<u64, Key>,
}

impl Log {
    /// Gives an entry the next number and takes it from its old place.
    pub(crate) fn enter(&mut self, key: &Key, old: u64) -> u64 {
        if old != 0 {
            self.order.remove(&old);
        }
        self.last += 1;
        self.order.insert(self.last, key.clone());
        self.last
    }

    pub(crate) fn leave(&mut self, id: u64) {
        self.order.remove(&id);
    }

    /// Numbers and keys after a number, in order.
    pub(crate) fn after(&self, id: u64, limit: usize) -> Vec<(u64, Key)> {
        self.order.range(id + 1..).take(limit).map(|(id, key)| (*id, key.clone())).collect()
    }
}
