//! Idle server connections of one core, newest first: the newest is the least likely to be closed.

use std::sync::Arc;

use crate::buffer::Store;
use crate::connection::Connection;
use crate::stats::counters::CoreCounters;

/// Most idle connections a core keeps to one server.
const MAX_IDLE: usize = 1_024;
/// How long a connection may wait for its next request (HAProxy's `pool-purge-delay`).
const MAX_IDLE_MS: u64 = 5_000;

struct Idle {
    connection: Connection,
    since_ms: u64,
}

/// What is kept of one server.
#[derive(Default)]
struct OfServer {
    idle: Vec<Idle>,
    /// Most connections in use at a time in this period, and in the one before.
    most: [u64; 2],
}

impl OfServer {
    /// Whether another idle connection would be one that was needed of late. Where each client's first request must have a
    /// connection of its own (`http-reuse safe`), more become idle than are ever used again.
    fn is_needed(&self, used: u64) -> bool {
        let needed = used.max(self.most[0]).max(self.most[1]);
        self.idle.is_empty() || (self.idle.len() < MAX_IDLE && used + self.idle.len() as u64 <= needed)
    }
}

/// Idle connections, by backend and server.
pub(crate) struct IdlePool {
    servers: Vec<Vec<OfServer>>,
    period_ms: u64,
    /// Where it is told how many there are.
    counters: Arc<CoreCounters>,
}

impl IdlePool {
    /// `servers`: how many servers each backend has.
    pub(crate) fn new(servers: &[usize], counters: Arc<CoreCounters>) -> Self {
        let empty = |n: &usize| (0..*n).map(|_| OfServer::default()).collect();
        Self { servers: servers.iter().map(empty).collect(), period_ms: 0, counters }
    }

    /// Tells how many there are to each server.
    fn count(&self) {
        for (counters, of_servers) in self.counters.servers.iter().zip(&self.servers) {
            for (counters, of_server) in counters.iter().zip(of_servers) {
                counters.idle.set(of_server.idle.len() as u64);
            }
        }
    }

    fn count_one(&self, backend: usize, server: usize) {
        let idle = self.servers[backend][server].idle.len() as u64;
        self.counters.servers[backend][server].idle.set(idle);
    }

    /// Keeps a connection whose last response has been read to its end, if as many were needed of late. `used`: how many
    /// this core uses now to this server, this one included.
    pub(crate) fn give(&mut self, at: (usize, usize), connection: Connection, used: u64, now_ms: u64) {
        let of_server = &mut self.servers[at.0][at.1];
        of_server.most[0] = of_server.most[0].max(used);
        if connection.input().is_empty() && of_server.is_needed(used) {
            of_server.idle.push(Idle { connection, since_ms: now_ms });
            self.count_one(at.0, at.1);
        }
    }

    /// The newest connection that has not stirred while it was idle: one that said anything, even
    /// its end, is not in the state the next request needs. `proven`: only one that was used again before.
    pub(crate) fn take(&mut self, backend: usize, server: usize, proven: bool) -> Option<Connection> {
        let taken = self.take_newest(backend, server, proven);
        self.count_one(backend, server);
        taken
    }

    fn take_newest(&mut self, backend: usize, server: usize, proven: bool) -> Option<Connection> {
        let list = &mut self.servers[backend][server].idle;
        loop {
            let place = list.iter().rposition(|idle| !proven || idle.connection.is_proven())?;
            let mut idle = list.remove(place);
            if !idle.connection.has_stirred() {
                return Some(idle.connection);
            }
        }
    }

    /// Closes the oldest idle connection; whether there was one.
    pub(crate) fn evict(&mut self) -> bool {
        let lists = self.servers.iter_mut().flatten().map(|s| &mut s.idle).filter(|list| !list.is_empty());
        let oldest = lists.min_by_key(|list| list[0].since_ms);
        // The newest stands last.
        let evicted = oldest.map(|list| list.remove(0)).is_some();
        self.count();
        evicted
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&mut self) {
        self.servers.iter_mut().flatten().for_each(|s| s.idle.clear());
        self.count();
    }

    /// Closes every idle connection to a server, when it leaves or moves.
    pub(crate) fn forget(&mut self, backend: usize, server: usize) {
        self.servers[backend][server].idle.clear();
        self.count_one(backend, server);
    }

    /// Closes what has been idle too long or was closed by its server.
    pub(crate) fn purge(&mut self, now_ms: u64, store: &mut Store) {
        let turns = now_ms - self.period_ms >= MAX_IDLE_MS;
        if turns {
            self.period_ms = now_ms;
        }
        for of_server in self.servers.iter_mut().flatten() {
            if turns {
                of_server.most = [0, of_server.most[0]];
            }
            of_server.idle.retain_mut(|idle| {
                let keep = now_ms - idle.since_ms < MAX_IDLE_MS && !idle.connection.has_stirred();
                if !keep {
                    idle.connection.retire(store);
                }
                keep
            });
        }
        self.count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::{Socket, memory::pair};

    #[test]
    fn no_more_idle_connections_are_kept_than_were_used_at_a_time() {
        let mut pool = IdlePool::new(&[1], Arc::new(CoreCounters::new(0, &[1])));
        let mut others = Vec::new();
        let mut connection = || {
            let (ours, theirs) = pair(16);
            others.push(theirs);
            Connection::new(Socket::Memory(ours))
        };
        // Three at a time, which end one after the other; then many that are used one by one and never again.
        for used in [3, 2, 1] {
            pool.give((0, 0), connection(), used, 10_000);
        }
        assert_eq!(pool.servers[0][0].idle.len(), 3);
        for _ in 0..100 {
            pool.give((0, 0), connection(), 1, 10_000);
        }
        assert_eq!(pool.servers[0][0].idle.len(), 3);
        let mut store = Store::default();
        for now in [15_000, 20_000] {
            pool.purge(now, &mut store);
        }
        assert!(pool.servers[0][0].idle.is_empty(), "after their time");
        for _ in 0..100 {
            pool.give((0, 0), connection(), 1, 20_000);
        }
        assert_eq!(pool.servers[0][0].idle.len(), 1, "what was needed long ago is forgotten");
        assert!(pool.take(0, 0, false).is_some() && pool.take(0, 0, false).is_none());
    }
}
