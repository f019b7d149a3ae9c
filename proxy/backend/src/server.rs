//! One server as all cores see it: atomics for what a request reads, one lock for its health.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::{Health, HealthSettings};

/// What the file says of a server, as far as choosing is concerned.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Name within the backend.
    pub name: String,
    /// Number within the backend.
    pub id: u32,
    /// Share of the load, 0..=256; 0 takes no new sessions.
    pub weight: u32,
    /// Most concurrent sessions; 0 is no limit.
    pub max_connections: u32,
    /// Most requests that wait for this server alone; 0 is no limit.
    pub max_queue: u32,
    /// Used only when no other server is.
    pub backup: bool,
    /// Starts in maintenance.
    pub disabled: bool,
    /// How it is checked, if it is.
    pub health: Option<HealthSettings>,
}

/// What the administrator wants of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// Takes part.
    Ready,
    /// Finishes what it has; only persistent sessions may still come.
    Drain,
    /// Takes no part and is not checked.
    Maint,
}

impl Admin {
    fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Ready,
            1 => Self::Drain,
            _ => Self::Maint,
        }
    }
}

/// One server.
#[derive(Debug)]
pub struct Server {
    /// Name within the backend.
    pub name: String,
    /// Number within the backend.
    pub id: u32,
    /// Used only when no other server is.
    pub backup: bool,
    /// The file's weight.
    pub initial_weight: u32,
    /// Most requests that wait for this server alone; 0 is no limit.
    pub max_queue: u32,
    max_connections: AtomicU32,
    weight: AtomicU32,
    admin: AtomicU8,
    up: AtomicBool,
    sessions: AtomicU32,
    health: Option<Mutex<Health>>,
}

impl Server {
    pub(crate) fn new(settings: &ServerSettings, now_ms: u64) -> Self {
        Self {
            name: settings.name.clone(),
            id: settings.id,
            backup: settings.backup,
            initial_weight: settings.weight,
            max_queue: settings.max_queue,
            max_connections: AtomicU32::new(settings.max_connections),
            weight: AtomicU32::new(settings.weight),
            admin: AtomicU8::new(if settings.disabled { 2 } else { 0 }),
            up: AtomicBool::new(true),
            sessions: AtomicU32::new(0),
            health: settings.health.map(|h| Mutex::new(Health::new(h, now_ms))),
        }
    }

    /// Whether checks (or nobody) say it works.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// What the administrator wants.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::from_bits(self.admin.load(Relaxed))
    }

    /// Current share of the load.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.load(Relaxed)
    }

    /// Sessions it serves now.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Relaxed)
    }

    /// Most concurrent sessions; 0 is no limit.
    #[must_use]
    pub fn max_connections(&self) -> u32 {
        self.max_connections.load(Relaxed)
    }

    /// Whether balancing may choose it.
    #[must_use]
    pub fn takes_new(&self) -> bool {
        self.is_up() && self.admin() == Admin::Ready && self.weight() > 0
    }

    /// Whether a session that belongs to it may still go there.
    #[must_use]
    pub fn takes_persistent(&self) -> bool {
        self.is_up() && self.admin() != Admin::Maint
    }

    /// Runs `change` on its health, if it is checked.
    pub fn with_health<R>(&self, change: impl FnOnce(&mut Health) -> R) -> Option<R> {
        let mut health = self.health.as_ref()?.lock();
        let result = change(&mut health);
        self.up.store(health.is_up(), Relaxed);
        Some(result)
    }

    /// Whether it has a health check.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.health.is_some()
    }

    pub(crate) fn set_admin(&self, admin: Admin) {
        let bits = match admin {
            Admin::Ready => 0,
            Admin::Drain => 1,
            Admin::Maint => 2,
        };
        self.admin.store(bits, Relaxed);
    }

    pub(crate) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Relaxed);
    }

    pub(crate) fn set_max_connections(&self, limit: u32) {
        self.max_connections.store(limit, Relaxed);
    }

    pub(crate) fn set_up(&self, up: bool) {
        self.up.store(up, Relaxed);
    }

    /// Whether a place is free.
    pub(crate) fn has_room(&self) -> bool {
        let limit = self.max_connections();
        limit == 0 || self.sessions() < limit
    }

    /// Takes a place if one is free.
    pub(crate) fn acquire(&self) -> bool {
        let limit = self.max_connections();
        if limit == 0 {
            self.sessions.fetch_add(1, Relaxed);
            return true;
        }
        self.sessions.fetch_update(Relaxed, Relaxed, |n| (n < limit).then_some(n + 1)).is_ok()
    }

    pub(crate) fn release(&self) {
        let before = self.sessions.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "a place was given back twice");
    }
}
