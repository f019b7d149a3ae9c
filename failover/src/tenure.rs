//! What is remembered of a router's past for those who ask as keepalived's users do.

use std::time::SystemTime;

use failover_vrrp::{Advertisement, Centis, Role};

/// Counts and times of one virtual router since the agent started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// How often it became master.
    pub began: u64,
    /// How often it ceased to be.
    pub ended: u64,
    /// Goodbyes heard.
    pub goodbyes_heard: u64,
    /// Goodbyes sent.
    pub goodbyes_sent: u64,
    /// When its role changed last.
    pub changed: SystemTime,
    /// The priority and the interval of the master that was heard last, while this node is not it.
    pub master: Option<(u8, Centis)>,
}

impl Tenure {
    pub(crate) fn new() -> Self {
        let changed = SystemTime::now();
        Self { began: 0, ended: 0, goodbyes_heard: 0, goodbyes_sent: 0, changed, master: None }
    }

    pub(crate) fn heard(&mut self, said: &Advertisement) {
        self.goodbyes_heard += u64::from(said.priority == 0);
        self.master = Some((said.priority, said.interval)).filter(|(priority, _)| *priority > 0);
    }

    pub(crate) fn sent(&mut self, said: &Advertisement) {
        self.goodbyes_sent += u64::from(said.priority == 0);
    }

    pub(crate) fn changed(&mut self, before: Role, after: Role) {
        self.began += u64::from(after == Role::Master);
        self.ended += u64::from(before == Role::Master);
        self.changed = SystemTime::now();
        self.master = self.master.filter(|_| after == Role::Backup);
    }
}
