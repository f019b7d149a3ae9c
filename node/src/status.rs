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
    /// The other members, as their channel has them.
    #[serde(default)]
    pub(crate) members: Vec<MemberView>,
    pub(crate) processes: Vec<ProcessView>,
    /// The supervisor's own log.
    #[serde(default)]
    pub(crate) log: LogView,
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
    /// Its priority while nothing changes it.
    #[serde(default)]
    pub(crate) base_priority: u8,
    pub(crate) adverts_sent: u64,
    pub(crate) adverts_received: u64,
    /// How often it became master, and ceased to be.
    #[serde(default)]
    pub(crate) became_master: u64,
    #[serde(default)]
    pub(crate) released_master: u64,
    /// Advertisements that said goodbye.
    #[serde(default)]
    pub(crate) goodbyes_sent: u64,
    #[serde(default)]
    pub(crate) goodbyes_received: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    /// Adverts heard though something about them is strange, by what is.
    #[serde(default)]
    pub(crate) noticed: BTreeMap<String, u64>,
    pub(crate) put_back: u64,
    /// The master lives, and its advertisements do not arrive.
    #[serde(default)]
    pub(crate) blocked: bool,
    pub(crate) trouble: Option<String>,
    pub(crate) scheduling: String,
    /// Its addresses as the file has them.
    #[serde(default)]
    pub(crate) virtual_addresses: Vec<AddressView>,
    /// Backends that it follows.
    #[serde(default)]
    pub(crate) backends: Vec<FollowedView>,
    /// Who is asked whether this node still reaches anybody.
    #[serde(default)]
    pub(crate) gateways: Vec<GatewayView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AddressView {
    /// With the length of its prefix.
    pub(crate) address: String,
    pub(crate) interface: String,
    /// Advertisements are silent about it.
    pub(crate) excluded: bool,
    /// Whether it is on this node.
    pub(crate) set: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FollowedView {
    pub(crate) backend: String,
    pub(crate) servers: u64,
    /// Those that new sessions may go to; `null`: nobody knows.
    pub(crate) usable: Option<u32>,
    /// So many there must be.
    pub(crate) least: u32,
    /// What too few of them do to the priority; 0: the last resort.
    pub(crate) weight: i32,
    pub(crate) reverse: bool,
}

impl FollowedView {
    /// Whether there are too few, or with `reverse` enough; what is not known is neither.
    pub(crate) fn has_failed(&self) -> bool {
        self.usable.is_some_and(|usable| (usable < self.least) != self.reverse)
    }

    /// What follows from that.
    pub(crate) fn effect(&self) -> String {
        match self.weight {
            0 => "last resort".to_owned(),
            weight => format!("priority {weight:+}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GatewayView {
    pub(crate) address: String,
    /// Milliseconds since it last answered; `null`: it never has.
    pub(crate) answered_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MemberView {
    pub(crate) name: String,
    pub(crate) address: String,
    /// `calling`, `connected` or `lost`.
    pub(crate) state: String,
    /// Why it is lost.
    pub(crate) why: Option<String>,
    pub(crate) since_ms: u64,
    pub(crate) heard_ms: Option<u64>,
    /// What it says of itself: whether it can serve, whether its tables are learnt; `null`: nothing, of late.
    pub(crate) ready: Option<bool>,
    pub(crate) learnt: Option<bool>,
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
    /// What each listener answers of the worker's own requests.
    #[serde(default)]
    pub(crate) listeners: Vec<ListenerView>,
    /// One of them does not, or none can be asked.
    #[serde(default)]
    pub(crate) deaf: bool,
    #[serde(default)]
    pub(crate) log: LogView,
}

/// Lines that are in no log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogView {
    /// Nobody took them in time.
    pub(crate) dropped: u64,
    /// They were like too many others.
    pub(crate) suppressed: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ListenerView {
    pub(crate) frontend: String,
    pub(crate) address: String,
    /// How many it has answered, and how long ago the last one; `null`: none.
    pub(crate) answers: u64,
    pub(crate) answered_ms: Option<u64>,
    /// Cores that answered in the last round.
    pub(crate) cores: u64,
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
            let text = format!(
                "{}: the master lives, and its VRRP advertisements do not arrive (protocol 112 is blocked?)",
                router.name
            );
            worse(router.blocked, Health::Degraded, text);
            for followed in router.backends.iter().filter(|followed| followed.has_failed()) {
                let (usable, servers) = (followed.usable.unwrap_or(0), followed.servers);
                let (backend, effect) = (&followed.backend, followed.effect());
                let text = format!(
                    "{}: backend {backend} has {usable} of {servers} usable servers: {effect}",
                    router.name
                );
                worse(true, Health::Degraded, text);
            }
        }
        for member in self.members.iter().filter(|member| member.state == "lost") {
            let why = member.why.as_deref().unwrap_or("unknown");
            worse(true, Health::Degraded, format!("no channel to {}: {why}", member.name));
        }
        match &self.worker {
            None => worse(true, Health::Degraded, "the worker does not answer".to_owned()),
            Some(worker) => {
                let text = "its listeners do not accept or answer: it cannot serve";
                worse(worker.deaf, Health::Down, text.to_owned());
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
