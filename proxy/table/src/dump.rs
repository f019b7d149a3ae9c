//! A table by key, for whoever reads all of it: the keys are gathered shard by shard and sorted once, and each entry is
//! then looked up by its key. Nothing holds more of the table than one shard.

use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::{Key, KeyType, SnapshotEntry, Table};

/// Memory, in bytes, for the keys of one dump: 1.4 million addresses. Of a larger table the first keys are gathered
/// and shown, then those that follow them.
pub const MAX_DUMP_BYTES: usize = 32 * 1024 * 1024;
/// Shards looked through in one step of a dump.
const SHARDS_A_STEP: usize = 8;
/// Entries looked up in one step of a dump.
const ENTRIES_A_STEP: usize = 128;

/// A dump in progress: the living entries in HAProxy's order.
#[derive(Debug)]
pub struct Dump {
    table: Arc<Table>,
    max_bytes: usize,
    /// The largest key that was shown, as it sorts.
    shown: Option<Key>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The smallest keys behind the last one shown, as they sort; the largest of them on top.
    Gathering {
        shard: usize,
        keys: BinaryHeap<Key>,
        bytes: usize,
        left_out: bool,
    },
    Showing {
        keys: std::vec::IntoIter<Key>,
        left_out: bool,
    },
    Over,
}

impl Dump {
    /// Begins a dump that takes at most `max_bytes` for its keys, usually [`MAX_DUMP_BYTES`].
    #[must_use]
    pub fn new(table: Arc<Table>, max_bytes: usize) -> Self {
        Self { table, max_bytes, shown: None, state: State::gathering() }
    }

    /// Does a small part of the work, and says which entries come next: none where it was preparation. `None`: that was
    /// all.
    pub fn step(&mut self, now_ms: u64) -> Option<Vec<SnapshotEntry>> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Gathering { shard, mut keys, mut bytes, mut left_out } => {
                let kind = self.table.schema().key;
                let next = shard + SHARDS_A_STEP;
                let mut found = Vec::new();
                let more = (shard..next).all(|shard| self.table.shard_keys(shard, now_ms, &mut found));
                for key in found {
                    let key = in_order(kind, &key);
                    if self.shown.as_ref().is_some_and(|shown| key <= *shown) {
                        continue;
                    }
                    // While some are left out, what is larger than all of those kept is left out too.
                    if left_out && keys.peek().is_none_or(|largest| key > *largest) {
                        continue;
                    }
                    bytes += size(&key);
                    keys.push(key);
                    // One is always kept, so that the dump goes on.
                    while bytes > self.max_bytes && keys.len() > 1 {
                        bytes -= keys.pop().as_ref().map_or(0, size);
                        left_out = true;
                    }
                }
                self.state = if more {
                    State::Gathering { shard: next, keys, bytes, left_out }
                } else {
                    State::Showing { keys: keys.into_sorted_vec().into_iter(), left_out }
                };
                Some(Vec::new())
            }
            State::Showing { mut keys, left_out } => {
                let kind = self.table.schema().key;
                let mut entries = Vec::new();
                for key in keys.by_ref().take(ENTRIES_A_STEP) {
                    entries.extend(self.table.look(&in_order(kind, &key), now_ms));
                    self.shown = Some(key);
                }
                self.state = match (keys.len(), left_out) {
                    (0, true) => State::gathering(),
                    (0, false) => State::Over,
                    _ => State::Showing { keys, left_out },
                };
                Some(entries)
            }
            State::Over => None,
        }
    }
}

impl State {
    fn gathering() -> Self {
        Self::Gathering { shard: 0, keys: BinaryHeap::new(), bytes: 0, left_out: false }
    }
}

/// What a key takes of memory.
fn size(key: &Key) -> usize {
    size_of::<Key>() + key.as_bytes().len()
}

/// A key as HAProxy sorts it, and back: by its bytes in memory, which are those of the machine for numbers.
fn in_order(kind: KeyType, key: &Key) -> Key {
    match (kind, <[u8; 4]>::try_from(key.as_bytes())) {
        (KeyType::Integer, Ok(bytes)) => Key::new(&u32::from_be_bytes(bytes).to_ne_bytes()),
        _ => key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Schema, parse_store};

    fn table(key: KeyType, keys: impl Iterator<Item = Key>) -> Arc<Table> {
        let columns = vec![parse_store("gpc0").unwrap()];
        let schema = Schema {
            name: "t".into(),
            key,
            size: 100_000,
            expire_ms: Some(60_000),
            nopurge: false,
            peers: None,
            columns,
        };
        let table = Table::new(schema, 7);
        keys.for_each(|key| {
            table.touch(&key, 1_000, |_| ()).unwrap();
        });
        Arc::new(table)
    }

    fn shown(table: &Arc<Table>, max_bytes: usize) -> Vec<Key> {
        let mut dump = Dump::new(Arc::clone(table), max_bytes);
        std::iter::from_fn(|| dump.step(2_000)).flatten().map(|entry| entry.key).collect()
    }

    #[test]
    fn dump_in_little_memory_shows_each_key_once_in_order() {
        let numbers = (0..5_000_u32).map(|n| n.wrapping_mul(2_654_435_761));
        let table = table(KeyType::Ip, numbers.clone().map(|n| Key::new(&n.to_be_bytes())));
        let mut expected: Vec<Key> = numbers.map(|n| Key::new(&n.to_be_bytes())).collect();
        expected.sort_unstable();
        for max_bytes in [MAX_DUMP_BYTES, 100 * 28, 1] {
            assert_eq!(shown(&table, max_bytes), expected, "{max_bytes} bytes");
        }
    }

    #[test]
    fn dump_of_integers_has_the_order_of_their_bytes_in_memory() {
        let numbers = [16_777_216_u32, 2_147_483_648, 65_536, 256, 1, 2, 10, 4_294_967_295];
        let table = table(KeyType::Integer, numbers.iter().rev().map(|n| Key::new(&n.to_be_bytes())));
        let mut expected = numbers.map(u32::to_ne_bytes);
        expected.sort_unstable();
        let expected = expected.map(|bytes| Key::new(&u32::from_ne_bytes(bytes).to_be_bytes()));
        assert_eq!(shown(&table, MAX_DUMP_BYTES), expected);
    }

    #[test]
    fn dump_of_an_empty_table_ends() {
        assert_eq!(shown(&table(KeyType::Ip, std::iter::empty()), MAX_DUMP_BYTES), []);
    }
}
