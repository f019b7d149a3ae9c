//! What `tandem status` says, as one shape for the processes that know it, the socket and `--json`.
//! What is not known is absent, never something stale.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    Healthy,
    Degraded,
    Down,
}

impl Health {
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Degraded => 1,
            Self::Down => 2,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeStatus {
    pub(crate) node: String,
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) uptime_ms: u64,
    pub(crate) health: Health,
    /// Why it is not healthy.
    pub(crate) reasons: Vec<String>,
    pub(crate) cluster: Option<String>,
    /// Somebody has ordered that it takes no address.
    #[serde(default)]
    pub(crate) maintenance: bool,
    pub(crate) virtual_routers: Vec<RouterView>,
    pub(crate) processes: Vec<ProcessView>,
    /// What the worker says; `null`: it does not answer, so nobody knows.
    pub(crate) worker: Option<WorkerView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RouterView {
    pub(crate) name: String,
    pub(crate) vrid: u8,
    pub(crate) interface: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) role: String,
    pub(crate) since_ms: u64,
    pub(crate) why: Option<String>,
    pub(crate) priority: u8,
    /// The member heard as master, while this node is not.
    pub(crate) master: Option<String>,
    pub(crate) master_heard_ms: Option<u64>,
    pub(crate) adverts_sent: u64,
    pub(crate) adverts_received: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) put_back: u64,
    pub(crate) trouble: Option<String>,
    pub(crate) scheduling: String,
}

/// The state of a worker that will take over, and of one that finishes.
pub(crate) const PREPARING: &str = "preparing";
pub(crate) const DRAINING: &str = "draining";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessView {
    pub(crate) name: String,
    /// `running`, `starting`, `stalled` or `dead`; of workers that come and go, `preparing` or `draining`.
    pub(crate) state: String,
    pub(crate) pid: Option<u32>,
    pub(crate) since_ms: u64,
    pub(crate) restarts: u64,
    pub(crate) last_death: Option<String>,
    /// Messages of the link that made no sense.
    pub(crate) refused: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkerView {
    pub(crate) sessions: u64,
    pub(crate) checks_done: bool,
    /// `learning`, `alone` or `learnt`.
    pub(crate) tables_are: String,
    pub(crate) peers: Vec<PeerView>,
    /// Connections and messages of members that were refused, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) tables: Vec<TableView>,
    pub(crate) servers: Vec<ServerView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PeerView {
    /// The peers section; `null`: the cluster.
    pub(crate) section: Option<String>,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) state: String,
    pub(crate) since_ms: u64,
    /// Updates it has not acknowledged.
    pub(crate) lag: u64,
    pub(crate) heard_ms: Option<u64>,
    pub(crate) learnt: u64,
    pub(crate) sessions: u64,
    pub(crate) last_error: Option<String>,
    /// How often sessions and calls ended, by reason.
    pub(crate) errors: BTreeMap<String, u64>,
    /// `learning`, `alone` or `learnt`: what is known of the tables shared with it and its like.
    pub(crate) resync: String,
    pub(crate) tables: Vec<PeerTableView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PeerTableView {
    pub(crate) name: String,
    pub(crate) entries_here: u64,
    /// `null`: the peer does not say; HAProxy cannot.
    pub(crate) entries_there: Option<u64>,
    /// The last update here, the last one the peer acknowledged, and those between.
    pub(crate) updated: u64,
    pub(crate) acked: u64,
    pub(crate) lag: u64,
    pub(crate) learnt: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TableView {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) entries: u64,
    /// Milliseconds since an entry changed; `null`: never.
    pub(crate) changed_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerView {
    pub(crate) backend: String,
    pub(crate) server: String,
    pub(crate) address: String,
    pub(crate) up: bool,
    /// `ready`, `drain` or `maint`.
    pub(crate) admin: String,
    pub(crate) since_ms: u64,
    pub(crate) check: String,
    pub(crate) sessions: u32,
}

impl NodeStatus {
    /// Judges what is known: the word for it and the reasons.
    pub(crate) fn judge(&mut self) {
        let mut reasons = Vec::new();
        let mut health = Health::Healthy;
        let mut worse = |bad: bool, level: Health, reason: String| {
            if bad {
                health = health.max(level);
                reasons.push(reason);
            }
        };
        let passing = [PREPARING, DRAINING];
        for process in self.processes.iter().filter(|p| !passing.contains(&p.state.as_str())) {
            let level = if process.name == "worker" { Health::Down } else { Health::Degraded };
            worse(process.state != "running", level, format!("{} is {}", process.name, process.state));
        }
        for router in &self.virtual_routers {
            let text = router.trouble.clone().unwrap_or_else(|| "takes no part".to_owned());
            let bad = router.trouble.is_some() || router.role == "stopped";
            worse(bad, Health::Degraded, format!("{}: {text}", router.name));
        }
        match &self.worker {
            None => worse(true, Health::Degraded, "the worker does not answer".to_owned()),
            Some(worker) => {
                worse(!worker.checks_done, Health::Degraded, "first checks are not done".to_owned());
                worse(
                    worker.tables_are == "learning",
                    Health::Degraded,
                    "tables are being learnt".to_owned(),
                );
                for peer in &worker.peers {
                    worse(
                        peer.state != "established",
                        Health::Degraded,
                        format!("peer {} is {}", peer.name, peer.state),
                    );
                }
                for server in &worker.servers {
                    let text = format!("server {}/{} is down", server.backend, server.server);
                    worse(!server.up && server.admin != "maint", Health::Degraded, text);
                }
            }
        }
        (self.health, self.reasons) = (health, reasons);
    }
}
