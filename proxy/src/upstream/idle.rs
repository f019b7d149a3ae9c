//! Idle server connections of one core, newest first: the newest is the least likely to be closed.

use crate::buffer::Store;
use crate::connection::Connection;

/// Most idle connections a core keeps to one server.
const MAX_IDLE: usize = 1_024;
/// How long a connection may wait for its next request (HAProxy's `pool-purge-delay`).
const MAX_IDLE_MS: u64 = 5_000;

struct Idle {
    connection: Connection,
    since_ms: u64,
}

/// Idle connections, by backend and server.
pub(crate) struct IdlePool(Vec<Vec<Vec<Idle>>>);

impl IdlePool {
    /// `servers`: how many servers each backend has.
    pub(crate) fn new(servers: &[usize]) -> Self {
        let empty = |n: &usize| (0..*n).map(|_| Vec::new()).collect();
        Self(servers.iter().map(empty).collect())
    }

    /// Keeps a connection whose last response has been read to its end.
    pub(crate) fn give(&mut self, backend: usize, server: usize, connection: Connection, now_ms: u64) {
        let list = &mut self.0[backend][server];
        if list.len() < MAX_IDLE && connection.input().is_empty() {
            list.push(Idle { connection, since_ms: now_ms });
        }
    }

    /// The newest connection that has not stirred while it was idle: one that said anything, even
    /// its end, is not in the state the next request needs.
    pub(crate) fn take(&mut self, backend: usize, server: usize) -> Option<Connection> {
        let list = &mut self.0[backend][server];
        while let Some(mut idle) = list.pop() {
            if !idle.connection.has_stirred() {
                return Some(idle.connection);
            }
        }
        None
    }

    /// Closes every idle connection to a server, when it leaves or moves.
    pub(crate) fn forget(&mut self, backend: usize, server: usize) {
        self.0[backend][server].clear();
    }

    /// Closes what has been idle too long or was closed by its server.
    pub(crate) fn purge(&mut self, now_ms: u64, store: &mut Store) {
        for list in self.0.iter_mut().flatten() {
            list.retain_mut(|idle| {
                let keep = now_ms - idle.since_ms < MAX_IDLE_MS && !idle.connection.has_stirred();
                if !keep {
                    idle.connection.retire(store);
                }
                keep
            });
        }
    }
}
