//! A full lesson: every entry of every table, shard by shard, from the moment it was asked for.

use std::sync::Arc;

use proxy_table::{SnapshotEntry, Table};

/// What has been taught of the tables.
#[derive(Debug)]
pub(crate) struct Lesson {
    /// Per table, its last update when the lesson began: what is newer is pushed afterwards.
    origins: Vec<u64>,
    table: usize,
    shard: usize,
    pending: Vec<SnapshotEntry>,
    over: bool,
}

impl Lesson {
    pub(crate) fn new(tables: &[Arc<Table>]) -> Self {
        let origins = tables.iter().map(|t| t.last_update()).collect();
        Self { origins, table: 0, shard: 0, pending: Vec::new(), over: false }
    }

    pub(crate) fn origins(&self) -> &[u64] {
        &self.origins
    }

    /// Whether all has been said; it then waits for the learner's word.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// The next entries, all of one table; `None` once: that was all.
    pub(crate) fn next(
        &mut self,
        tables: &[Arc<Table>],
        limit: usize,
        now_ms: u64,
    ) -> Option<(usize, Vec<SnapshotEntry>)> {
        while let Some(table) = tables.get(self.table) {
            if !self.pending.is_empty() {
                let rest = self.pending.split_off(self.pending.len().min(limit));
                return Some((self.table, std::mem::replace(&mut self.pending, rest)));
            }
            match table.shard_entries(self.shard, now_ms) {
                Some(entries) => {
                    self.pending = entries;
                    self.shard += 1;
                }
                None => {
                    self.table += 1;
                    self.shard = 0;
                }
            }
        }
        self.over = true;
        None
    }
}
