//! What is counted, per core: each counter has one writer, and readers add the cores up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number only its own core changes.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub(crate) fn raise(&self, n: u64) {
        if n > self.0.load(Relaxed) {
            self.0.store(n, Relaxed);
        }
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Events per second: the current second and the last one, as HAProxy estimates rates.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    second: Count,
    current: Count,
    last: Count,
    /// Most of this core in a second.
    peak: Count,
    /// Most of all cores in a second, as far as this one has seen.
    pub(crate) most: Count,
}

impl Rate {
    /// Counts an event; whether this core has never had more in a second: then the others are to be asked.
    #[must_use]
    pub(crate) fn hit(&self, now_ms: u64) -> bool {
        let second = now_ms / 1000;
        let known = self.second.read();
        if second != known {
            self.last.set(if second == known + 1 { self.current.read() } else { 0 });
            self.current.set(0);
            self.second.set(second);
        }
        self.current.add(1);
        let current = self.current.read();
        let is_peak = current >= self.peak.read();
        self.peak.raise(current);
        is_peak
    }

    /// Events of this second so far.
    pub(crate) fn this_second(&self, now_ms: u64) -> u64 {
        if self.second.read() == now_ms / 1000 { self.current.read() } else { 0 }
    }

    pub(crate) fn read(&self, now_ms: u64) -> u64 {
        let (second, part) = (now_ms / 1000, now_ms % 1000);
        let known = self.second.read();
        if second == known {
            self.current.read() + self.last.read() * (1000 - part) / 1000
        } else if second == known + 1 {
            self.current.read() * (1000 - part) / 1000
        } else {
            0
        }
    }
}

/// Responses by class: 1xx to 5xx, then everything else.
#[derive(Debug, Default)]
pub(crate) struct Classes(pub(crate) [Count; 6]);

impl Classes {
    pub(crate) fn hit(&self, status: u16) {
        let index = usize::from(status / 100).wrapping_sub(1).min(5);
        self.0[index].add(1);
    }
}

/// One frontend on one core.
#[derive(Debug, Default)]
pub(crate) struct FrontendCounters {
    pub(crate) current: Count,
    /// Most of this core at a time.
    pub(crate) peak: Count,
    /// Most of all cores at a time, as far as this one has seen.
    pub(crate) most: Count,
    pub(crate) connections: Count,
    pub(crate) sessions: Count,
    pub(crate) requests: Count,
    pub(crate) bytes_in: Count,
    pub(crate) bytes_out: Count,
    pub(crate) denied: Count,
    pub(crate) denied_responses: Count,
    pub(crate) denied_connections: Count,
    pub(crate) denied_sessions: Count,
    pub(crate) request_errors: Count,
    pub(crate) intercepted: Count,
    pub(crate) classes: Classes,
    pub(crate) session_rate: Rate,
    pub(crate) connection_rate: Rate,
    pub(crate) request_rate: Rate,
}

/// One server, or a whole backend, on one core.
#[derive(Debug, Default)]
pub(crate) struct BackendCounters {
    pub(crate) current: Count,
    /// Most of this core at a time.
    pub(crate) peak: Count,
    /// Most of all cores at a time, as far as this one has seen.
    pub(crate) most: Count,
    /// Most that waited at a time.
    pub(crate) most_waiting: Count,
    /// Idle connections of this core.
    pub(crate) idle: Count,
    pub(crate) sessions: Count,
    pub(crate) requests: Count,
    pub(crate) bytes_in: Count,
    pub(crate) bytes_out: Count,
    pub(crate) denied: Count,
    pub(crate) denied_responses: Count,
    pub(crate) connect_errors: Count,
    pub(crate) response_errors: Count,
    pub(crate) retries: Count,
    pub(crate) redispatches: Count,
    pub(crate) chosen: Count,
    pub(crate) connects: Count,
    pub(crate) reuses: Count,
    pub(crate) client_aborts: Count,
    pub(crate) server_aborts: Count,
    pub(crate) classes: Classes,
    pub(crate) session_rate: Rate,
    pub(crate) last_session_ms: Count,
    pub(crate) queue_ms: Average,
    pub(crate) connect_ms: Average,
    pub(crate) response_ms: Average,
    pub(crate) total_ms: Average,
}

/// A running average over about the last 1024 requests, as HAProxy shows it.
#[derive(Debug, Default)]
pub(crate) struct Average {
    sum: Count,
    count: Count,
    pub(crate) most: Count,
}

impl Average {
    const WINDOW: u64 = 1024;

    pub(crate) fn hit(&self, value: u64) {
        let sum = self.sum.read();
        if self.count.read() < Self::WINDOW {
            self.count.add(1);
            self.sum.set(sum + value);
        } else {
            self.sum.set(sum - sum / Self::WINDOW + value);
        }
        self.most.raise(value);
    }

    pub(crate) fn read(&self) -> (u64, u64) {
        (self.sum.read(), self.count.read())
    }
}

/// All counters of one core.
#[derive(Debug, Default)]
pub(crate) struct CoreCounters {
    pub(crate) connections: Count,
    pub(crate) requests: Count,
    pub(crate) current: Count,
    pub(crate) tls_current: Count,
    pub(crate) tls_connections: Count,
    pub(crate) tls_rate: Rate,
    pub(crate) turns: Count,
    pub(crate) panics: Count,
    pub(crate) dropped_logs: Count,
    pub(crate) connection_rate: Rate,
    pub(crate) frontends: Vec<FrontendCounters>,
    pub(crate) backends: Vec<BackendCounters>,
    pub(crate) servers: Vec<Vec<BackendCounters>>,
}

impl CoreCounters {
    pub(crate) fn new(frontends: usize, servers: &[usize]) -> Self {
        let many = |n: usize| (0..n).map(|_| BackendCounters::default()).collect::<Vec<_>>();
        Self {
            frontends: (0..frontends).map(|_| FrontendCounters::default()).collect(),
            backends: many(servers.len()),
            servers: servers.iter().map(|n| many(*n)).collect(),
            ..Self::default()
        }
    }
}
