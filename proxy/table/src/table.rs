//! One stick table: shards of entries under a lock each, expiry, eviction, and the log of changes.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use hashbrown::HashTable;
use hashbrown::hash_table;
use parking_lot::Mutex;

use crate::updates::Log;
use crate::{DataType, Key, KeyType, Row, Stored, Update, Value};

/// Most shards of a table, 40 bytes each.
const MAX_SHARDS: usize = 65_536;
/// Entries of a shard when its table is full: what walks through a table holds one shard at a time, and looks
/// through so many entries, or copies them, in well under 100 us.
const SHARD_ENTRIES: u64 = 256;
/// What finding an empty shard empty counts for in the budget of [`Table::expire`].
const SHARD_COST: usize = 4;
/// Entries looked at when room must be made in a full table.
const EVICTION_SAMPLE: usize = 64;
/// Entries taken from the log at once.
const MAX_BATCH: usize = 1_024;

/// A table's number in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// What the file says of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The proxy it belongs to, or `/name` in a peers section.
    pub name: String,
    /// What its keys are.
    pub key: KeyType,
    /// Most entries.
    pub size: u64,
    /// Time after its last change at which an entry is forgotten; `None`: never.
    pub expire_ms: Option<u64>,
    /// Refuse new entries instead of forgetting the oldest.
    pub nopurge: bool,
    /// The peers section that carries it, if the file names one.
    pub peers: Option<String>,
    /// Its columns, by ascending number of their type.
    pub columns: Vec<Stored>,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    values: Box<[Value]>,
    expires_ms: u64,
    used_by: u32,
    update: u64,
}

/// A hash that is the same for the same seed: what it orders can reach a test.
#[derive(Clone, Copy, Debug)]
struct Seeded(u64);

struct Mix(u64);

impl BuildHasher for Seeded {
    type Hasher = Mix;
    fn build_hasher(&self) -> Mix {
        Mix(self.0)
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let mixed = u128::from(self.0 ^ u64::from_le_bytes(word)) * 0x9e37_79b9_7f4a_7c15;
            self.0 = (mixed >> 64) as u64 ^ mixed as u64 ^ chunk.len() as u64;
        }
    }
}

/// Where values come from that were not counted here.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A peer, of what changed there now.
    Peer,
    /// A peer that teaches what it knows.
    Lesson { known: u64 },
    /// The process that did this one's work before it.
    EarlierProcess,
}

type Shard = Mutex<HashTable<Entry>>;

/// A table.
pub struct Table {
    schema: Schema,
    seed: Seeded,
    shards: Box<[Shard]>,
    len: AtomicUsize,
    log: Mutex<Log>,
    logged: AtomicBool,
    armed: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
    changed_ms: AtomicU64,
    expiry_shard: AtomicUsize,
}

/// One line of `show table`.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotEntry {
    /// The key.
    pub key: Key,
    /// The values, in the order of the columns.
    pub values: Vec<Value>,
    /// Sessions that track it.
    pub used_by: u32,
    /// Milliseconds until it expires; 0 where entries do not.
    pub expires_in_ms: u64,
}

impl Table {
    /// An empty table; `seed` keeps clients from choosing keys that meet in one shard.
    #[must_use]
    pub fn new(schema: Schema, seed: u64) -> Self {
        let seed = Seeded(seed);
        let shards = (0..shards_of(schema.size)).map(|_| Mutex::default()).collect();
        Self {
            schema,
            seed,
            shards,
            len: AtomicUsize::new(0),
            log: Mutex::default(),
            logged: AtomicBool::new(false),
            armed: AtomicBool::new(false),
            wake: OnceLock::new(),
            changed_ms: AtomicU64::new(0),
            expiry_shard: AtomicUsize::new(0),
        }
    }

    /// What the file says of it.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Entries now, expired ones not yet removed among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When an entry last changed, in the callers' milliseconds; 0 is never.
    #[must_use]
    pub fn changed_ms(&self) -> u64 {
        self.changed_ms.load(Relaxed)
    }

    /// Whether a type is stored.
    #[must_use]
    pub fn stores(&self, data_type: DataType) -> bool {
        self.schema.columns.iter().any(|c| c.data_type == data_type)
    }

    /// Starts the log of changes; `wake` is called when there are changes that nobody has asked for yet.
    pub fn log_changes(&self, wake: Box<dyn Fn() + Send + Sync>) {
        let _ = self.wake.set(wake);
        self.logged.store(true, Relaxed);
    }

    /// Changes an entry, creating it if needed, and refreshes its expiry. `None` if the table is full
    /// and must not forget anything.
    pub fn touch<R>(&self, key: &Key, now_ms: u64, change: impl FnOnce(&mut Row<'_>) -> R) -> Option<R> {
        self.change(key, now_ms, 0, change)
    }

    /// Begins to track an entry: it is not forgotten before [`Table::untrack`].
    pub fn track<R>(&self, key: &Key, now_ms: u64, change: impl FnOnce(&mut Row<'_>) -> R) -> Option<R> {
        self.change(key, now_ms, 1, change)
    }

    fn change<R>(
        &self,
        key: &Key,
        now_ms: u64,
        users: u32,
        change: impl FnOnce(&mut Row<'_>) -> R,
    ) -> Option<R> {
        let (hash, shard) = self.shard(key);
        let mut shard = shard.lock();
        let result = {
            let entry = self.entry(&mut shard, hash, key, now_ms)?;
            entry.expires_ms = self.expiry(now_ms);
            entry.used_by += users;
            let result = change(&mut Row { columns: &self.schema.columns, values: &mut entry.values });
            self.enter(key, entry);
            result
        };
        drop(shard);
        self.changed_ms.store(now_ms, Relaxed);
        self.call();
        Some(result)
    }

    /// Ends tracking; `change` may take back what tracking counted.
    pub fn untrack(&self, key: &Key, now_ms: u64, change: impl FnOnce(&mut Row<'_>)) {
        let (hash, shard) = self.shard(key);
        if let Some(entry) = shard.lock().find_mut(hash, |e| e.key == *key) {
            entry.used_by = entry.used_by.saturating_sub(1);
            entry.expires_ms = self.expiry(now_ms);
            change(&mut Row { columns: &self.schema.columns, values: &mut entry.values });
        }
    }

    /// Looks at an entry without changing it.
    pub fn peek<R>(&self, key: &Key, now_ms: u64, look: impl FnOnce(&Row<'_>) -> R) -> Option<R> {
        let (hash, shard) = self.shard(key);
        let mut shard = shard.lock();
        let entry = shard.find_mut(hash, |e| e.key == *key).filter(|e| e.expires_ms > now_ms)?;
        Some(look(&Row { columns: &self.schema.columns, values: &mut entry.values }))
    }

    /// Takes what another node says of an entry: it overwrites, and is not told to others. Values come
    /// by type; those the table does not store are passed over, `conn_cur` is ours alone.
    pub fn merge(
        &self,
        key: &Key,
        values: Vec<(DataType, Value)>,
        remaining_ms: Option<u64>,
        now_ms: u64,
    ) -> bool {
        self.overwrite(key, values, remaining_ms, now_ms, Source::Peer)
    }

    /// Takes part of a peer's lesson: as [`Table::merge`], but the lesson may be older than what happened here
    /// while it was on its way. Of an entry that changed here after `known`, the last change the peer is
    /// sure to have known, each value keeps the larger of both.
    pub fn merge_lesson(
        &self,
        key: &Key,
        values: Vec<(DataType, Value)>,
        remaining_ms: Option<u64>,
        known: u64,
        now_ms: u64,
    ) -> bool {
        self.overwrite(key, values, remaining_ms, now_ms, Source::Lesson { known })
    }

    /// Takes over what an earlier process of this node changed: as [`Table::merge`], and it is told to others
    /// as if it had been changed here.
    pub fn adopt(
        &self,
        key: &Key,
        values: Vec<(DataType, Value)>,
        remaining_ms: Option<u64>,
        now_ms: u64,
    ) -> bool {
        let adopted = self.overwrite(key, values, remaining_ms, now_ms, Source::EarlierProcess);
        if adopted {
            self.call();
        }
        adopted
    }

    fn overwrite(
        &self,
        key: &Key,
        values: Vec<(DataType, Value)>,
        remaining_ms: Option<u64>,
        now_ms: u64,
        source: Source,
    ) -> bool {
        let (hash, shard) = self.shard(key);
        let mut shard = shard.lock();
        let Some(entry) = self.entry(&mut shard, hash, key, now_ms) else { return false };
        let own = self.expiry(now_ms);
        entry.expires_ms = match remaining_ms {
            Some(remaining) if self.schema.expire_ms.is_some() => own.min(now_ms.saturating_add(remaining)),
            _ => own,
        };
        let mut row = Row { columns: &self.schema.columns, values: &mut entry.values };
        let update = entry.update;
        for (data_type, value) in values {
            match source {
                _ if data_type == DataType::ConnCur => {}
                Source::Lesson { known } if update > known => row.raise(data_type, value, now_ms),
                Source::Lesson { .. } | Source::Peer | Source::EarlierProcess => row.set(data_type, value),
            }
        }
        if matches!(source, Source::EarlierProcess) {
            self.enter(key, entry);
        }
        drop(shard);
        self.changed_ms.store(now_ms, Relaxed);
        true
    }

    /// Gives a changed entry its place in the order of changes, if anybody wants to know that.
    fn enter(&self, key: &Key, entry: &mut Entry) {
        if self.logged.load(Relaxed) {
            entry.update = self.log.lock().enter(key, entry.update);
        }
    }

    /// Removes an entry that nobody tracks.
    pub fn remove(&self, key: &Key) -> bool {
        let (hash, shard) = self.shard(key);
        let mut shard = shard.lock();
        let Ok(found) = shard.find_entry(hash, |e| e.key == *key) else { return false };
        if found.get().used_by > 0 {
            return false;
        }
        self.forget(&found.remove().0);
        true
    }

    /// Removes the entries of one shard that nobody tracks and `unwanted` chooses; `false` behind the last shard. A
    /// whole table is cleared this way without ever holding more than a shard of it.
    pub fn clear_shard(&self, shard: usize, mut unwanted: impl FnMut(&Row<'_>) -> bool) -> bool {
        let Some(shard) = self.shards.get(shard) else { return false };
        shard.lock().retain(|entry| {
            let row = Row { columns: &self.schema.columns, values: &mut entry.values };
            let keep = entry.used_by > 0 || !unwanted(&row);
            if !keep {
                self.forget(entry);
            }
            keep
        });
        true
    }

    /// Removes expired entries of as many shards as `budget` entries allow; returns how many went.
    pub fn expire(&self, now_ms: u64, budget: usize) -> usize {
        let mut gone = 0;
        let mut seen = 0;
        for _ in 0..self.shards.len() {
            if seen >= budget || self.schema.expire_ms.is_none() {
                break;
            }
            let index = self.expiry_shard.fetch_add(1, Relaxed) % self.shards.len();
            let mut shard = self.shards[index].lock();
            seen += shard.len() + SHARD_COST;
            shard.retain(|entry| {
                let keep = entry.used_by > 0 || entry.expires_ms > now_ms;
                if !keep {
                    gone += 1;
                    self.forget(entry);
                }
                keep
            });
        }
        gone
    }

    /// How many shards there are, for [`Table::shard_entries`] and the like.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// An entry as `show table` shows it, if it lives.
    #[must_use]
    pub fn look(&self, key: &Key, now_ms: u64) -> Option<SnapshotEntry> {
        let (hash, shard) = self.shard(key);
        let shard = shard.lock();
        let entry = shard.find(hash, |e| e.key == *key).filter(|e| e.expires_ms > now_ms)?;
        Some(self.snapshot_of(entry, now_ms))
    }

    /// Adds the keys of one shard's living entries, in no order; `false` behind the last shard.
    pub(crate) fn shard_keys(&self, shard: usize, now_ms: u64, keys: &mut Vec<Key>) -> bool {
        let Some(shard) = self.shards.get(shard) else { return false };
        keys.extend(shard.lock().iter().filter(|e| e.expires_ms > now_ms).map(|e| e.key.clone()));
        true
    }

    /// The living entries of one shard, in no order; `None` behind the last shard. A whole table is read
    /// this way without ever holding more than a shard of it.
    #[must_use]
    pub fn shard_entries(&self, shard: usize, now_ms: u64) -> Option<Vec<SnapshotEntry>> {
        let shard = self.shards.get(shard)?.lock();
        let living = shard.iter().filter(|e| e.expires_ms > now_ms);
        Some(living.map(|entry| self.snapshot_of(entry, now_ms)).collect())
    }

    /// The number of the last change.
    #[must_use]
    pub fn last_update(&self) -> u64 {
        self.log.lock().last
    }

    /// Changes after a number, in order. Asking re-arms the wake-up.
    #[must_use]
    pub fn updates_since(&self, id: u64, limit: usize, now_ms: u64) -> Vec<Update> {
        self.armed.store(false, Relaxed);
        let keys = self.log.lock().after(id, limit.min(MAX_BATCH));
        let update = |(id, key): (u64, Key)| {
            let entry = self.look(&key, now_ms)?;
            let remaining_ms = self.schema.expire_ms.map(|_| entry.expires_in_ms);
            Some(Update { id, key: entry.key, values: entry.values, remaining_ms })
        };
        keys.into_iter().filter_map(update).collect()
    }

    fn snapshot_of(&self, entry: &Entry, now_ms: u64) -> SnapshotEntry {
        let expires_in_ms = if self.schema.expire_ms.is_some() { entry.expires_ms - now_ms } else { 0 };
        let (key, values) = (entry.key.clone(), entry.values.to_vec());
        SnapshotEntry { key, values, used_by: entry.used_by, expires_in_ms }
    }

    /// A key's hash and its shard: hashed once, however often the shard is asked.
    fn shard(&self, key: &Key) -> (u64, &Shard) {
        let hash = self.seed.hash_one(key);
        // The shard's own table uses the low and the highest bits; the shard is chosen by bits between.
        (hash, &self.shards[(hash >> 40) as usize % self.shards.len()])
    }

    fn expiry(&self, now_ms: u64) -> u64 {
        self.schema.expire_ms.map_or(u64::MAX, |expire| now_ms.saturating_add(expire))
    }

    /// The entry, new or known; an expired one begins anew.
    fn entry<'s>(
        &self,
        shard: &'s mut HashTable<Entry>,
        hash: u64,
        key: &Key,
        now_ms: u64,
    ) -> Option<&'s mut Entry> {
        let fresh = || self.schema.columns.iter().map(Value::initial).collect();
        if shard.find(hash, |e| e.key == *key).is_none() && !self.reserve(shard, now_ms) {
            return None;
        }
        match shard.entry(hash, |e| e.key == *key, |e| self.seed.hash_one(&e.key)) {
            hash_table::Entry::Occupied(known) => {
                let entry = known.into_mut();
                if entry.expires_ms <= now_ms && entry.used_by == 0 {
                    entry.values = fresh();
                }
                Some(entry)
            }
            hash_table::Entry::Vacant(place) => {
                let (key, expires_ms) = (key.clone(), self.expiry(now_ms));
                let entry = Entry { key, values: fresh(), expires_ms, used_by: 0, update: 0 };
                Some(place.insert(entry).into_mut())
            }
        }
    }

    /// Takes the place of a new entry. In a full table it is that of the entry that expires first, among some of the same
    /// shard: taking another lock here could meet a core that does the same the other way round. `false`: there is none.
    fn reserve(&self, shard: &mut HashTable<Entry>, now_ms: u64) -> bool {
        let take = |len: usize| ((len as u64) < self.schema.size).then_some(len + 1);
        if self.len.fetch_update(Relaxed, Relaxed, take).is_ok() {
            return true;
        }
        let sample = shard.iter().filter(|e| e.used_by == 0).take(EVICTION_SAMPLE);
        let oldest = sample.min_by_key(|e| e.expires_ms).map(|e| (e.key.clone(), e.expires_ms));
        let Some((key, expires_ms)) = oldest else { return false };
        if self.schema.nopurge && expires_ms > now_ms {
            return false;
        }
        if let Ok(found) = shard.find_entry(self.seed.hash_one(&key), |e| e.key == key) {
            self.forget(&found.remove().0);
        }
        self.len.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    fn forget(&self, entry: &Entry) {
        self.len.fetch_sub(1, Relaxed);
        if entry.update != 0 {
            self.log.lock().leave(entry.update);
        }
    }

    fn call(&self) {
        if self.logged.load(Relaxed)
            && !self.armed.swap(true, Relaxed)
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }
}

impl SnapshotEntry {
    /// Its values by type.
    pub fn row<'e>(&'e mut self, schema: &'e Schema) -> Row<'e> {
        Row { columns: &schema.columns, values: &mut self.values }
    }
}

/// Shards of a table of so many entries: a power of two.
fn shards_of(size: u64) -> usize {
    let wanted = size.div_ceil(SHARD_ENTRIES).checked_next_power_of_two();
    let wanted = wanted.and_then(|count| usize::try_from(count).ok()).unwrap_or(MAX_SHARDS);
    wanted.clamp(1, MAX_SHARDS)
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({}, {} entries)", self.schema.name, self.len())
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
