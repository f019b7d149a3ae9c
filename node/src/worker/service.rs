//! What runs where traffic runs: the proxy, its runtime API and replication. The same in a worker and in
//! a single foreground process.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy::{KnownServer, Options as Running, Proxy, Sockets, TlsBinds, now_ms};
use replication::{
    Changes, Config as Shared, HealthDoor, Identity, Knowledge, Others, PeerTable, Replication, ServerNews,
    Tables,
};
use tokio::sync::watch;

use crate::config::Everything;
use crate::log_limit;
use crate::runtime_api::{self, Node};
use crate::status::{ListenerView, LogView, PeerTableView, PeerView, ServerView, TableView, WorkerView};

/// How often a soft stop looks whether the last session has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// Sockets, open.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) sockets: Sockets,
    pub(crate) stats: Vec<OwnedFd>,
    pub(crate) cluster: Option<TcpListener>,
    /// The members' channel, for the control process.
    pub(crate) channel: Option<TcpListener>,
    /// By the place of the peers section; sections without this node are not here.
    pub(crate) peers: BTreeMap<usize, TcpListener>,
}

/// What a worker has of the one before it, which carries traffic until it is told otherwise.
#[derive(Default)]
pub(crate) struct Before {
    /// Accept nothing and stay off the network until told.
    pub(crate) hold: bool,
    pub(crate) servers: Vec<KnownServer>,
    /// Teaches the tables.
    pub(crate) teacher: Option<UnixStream>,
}

/// What is started.
pub(crate) struct Plan {
    pub(crate) member: String,
    pub(crate) cores: usize,
    pub(crate) everything: Everything,
    pub(crate) parts: Parts,
    pub(crate) identity: Option<Identity>,
    pub(crate) tls: TlsBinds,
    pub(crate) before: Before,
}

/// The running service, on its thread.
pub(crate) struct Service {
    pub(crate) proxy: Proxy,
    /// Between workers of this node: all tables.
    handover: Option<Replication>,
    /// With other machines: the cluster, then the peers sections.
    meshes: Vec<Mesh>,
    /// Everything was learnt from the worker before this one.
    taught: bool,
    /// Backends that virtual routers follow, by name.
    followed: Vec<String>,
}

/// Some machines and the tables they share.
struct Mesh {
    /// The peers section; `None`: the cluster.
    section: Option<String>,
    replication: Replication,
    /// Its port, until the network is joined.
    port: Cell<Option<TcpListener>>,
}

/// Reads this member's certificate, if the file has a cluster.
pub(crate) fn identity(everything: &Everything, member: &str) -> Result<Option<Identity>, String> {
    let Some(cluster) = &everything.cluster else { return Ok(None) };
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .map_err(|e| format!("cannot read '{path}' : {e}; 'tandem cluster init' makes it"))
    };
    let (certificate, authority) = (read(&cluster.certificate)?, read(&cluster.authority)?);
    let identity = Identity::read(member, &certificate, &authority);
    identity.map(Some).map_err(|e| format!("'{}' : {e}", cluster.certificate))
}

/// Reads the certificates of listeners. Read again by every process that uses them, not handed over: keys
/// are in those processes, and in no other.
pub(crate) fn certificates(everything: &Everything) -> Result<TlsBinds, String> {
    proxy::load_tls(&everything.proxy)
        .map_err(|problems| problems.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join("; "))
}

/// Waits until the last session has ended, after a stop.
pub(crate) async fn drained(proxy: &Proxy) {
    while proxy.sessions_count() > 0 {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

/// Starts everything; `after` then runs on the service thread.
pub(crate) fn start<F: Future<Output = ()> + 'static>(
    plan: Plan,
    after: impl FnOnce(Rc<Service>) -> F + Send + 'static,
) -> Result<Proxy, String> {
    let Plan { member, cores, everything, parts, identity, tls, before } = plan;
    let running = Running { member: member.clone(), cores, log_to_stdout: false, hold: before.hold };
    let proxy = Proxy::build(Arc::clone(&everything.proxy), tls, running, seed());
    proxy.inherit(&before.servers);
    let node = Arc::new(Node::new(proxy.clone(), member.clone()));
    proxy.start(parts.sockets).map_err(|e| format!("cannot start: {e}"))?;
    let levels = everything.proxy.global.stats_sockets.iter().map(|s| s.level);
    for (socket, level) in parts.stats.into_iter().zip(levels) {
        let node = Arc::clone(&node);
        if !proxy.spawn_aside(move || runtime_api::serve(node, socket, level)) {
            return Err("there are too many stats sockets".to_owned());
        }
    }
    let shared = proxy.clone();
    let followed = everything.followed_backends();
    let (cluster, port, peers) = (everything.cluster.zip(identity), parts.cluster, parts.peers);
    proxy.spawn_service(move || async move {
        let mut plan = Meshes::new(&shared, &member);
        if let (Some((cluster, identity)), Some(port)) = (cluster, port) {
            let members = cluster.others(&member).map(|m| (m.name.clone(), cluster.socket_of(m)));
            let others = Others { members: members.collect(), identity: Some(identity) };
            plan.add(None, others, port, Some(door(&shared)));
        }
        for (place, port) in peers {
            let Some(section) = everything.proxy.peers.get(place) else { continue };
            let members = section.members.iter().filter(|(name, _)| *name != member).cloned();
            let others = Others { members: members.collect(), identity: None };
            plan.add(Some(section.name.clone()), others, port, None);
        }
        let Meshes { handover, meshes, .. } = plan;
        let taught = before.teacher.is_some();
        let service = Rc::new(Service { proxy: shared, handover, meshes, taught, followed });
        if let Some(stream) = before.teacher {
            service.talk_to(stream, true);
        }
        if !before.hold {
            service.join_network();
        }
        after(service).await;
    });
    Ok(proxy)
}

/// What is about to share tables.
struct Meshes<'m> {
    tables: Tables,
    changes: Changes,
    member: &'m str,
    handover: Option<Replication>,
    meshes: Vec<Mesh>,
}

impl<'m> Meshes<'m> {
    fn new(proxy: &Proxy, member: &'m str) -> Self {
        let tables: Tables = proxy.tables().to_vec().into();
        let changes = Changes::of(&tables);
        let mut meshes = Self { tables, changes, member, handover: None, meshes: Vec::new() };
        meshes.handover = meshes.start(Arc::clone(&meshes.tables), Others::default(), None);
        meshes
    }

    fn start(&self, tables: Tables, others: Others, health: Option<HealthDoor>) -> Option<Replication> {
        let (member, changes) = (self.member.to_owned(), self.changes.clone());
        let config = Shared { others, member, tables, changes, clock: now_ms };
        let started = Replication::start(config, health);
        started.inspect_err(|error| tracing::error!(%error, "replication cannot run")).ok()
    }

    fn add(
        &mut self,
        section: Option<String>,
        others: Others,
        port: TcpListener,
        health: Option<HealthDoor>,
    ) {
        // A table that names a section is carried by that one alone.
        let own = self.tables.iter().filter(|t| t.schema().peers == section);
        let tables: Tables = own.cloned().collect();
        if let Some(replication) = self.start(tables, others, health) {
            self.meshes.push(Mesh { section, replication, port: Cell::new(Some(port)) });
        }
    }
}

/// What replication may know of servers, and say of them.
fn door(proxy: &Proxy) -> HealthDoor {
    let (sender, changed) = watch::channel(());
    proxy.on_server_change(Box::new(move || {
        sender.send_replace(());
    }));
    let (told, learning) = (proxy.clone(), proxy.clone());
    let news = |server: proxy::ServerView| ServerNews {
        backend: server.backend,
        server: server.server,
        up: server.up,
        age_ms: server.since_ms,
    };
    HealthDoor {
        servers: Box::new(move || {
            told.servers().into_iter().filter(|s| s.checked && s.check_seen).map(news).collect()
        }),
        learn: Box::new(move |said| {
            learning.learn_health(&said.backend, &said.server, said.up, said.age_ms);
        }),
        changed,
    }
}

impl Service {
    /// Whether the tables are learnt, and whether there is nobody to learn from.
    pub(crate) fn knowledge(&self) -> (bool, bool) {
        // A worker that is taught by the one before it has not joined the others yet.
        if let Some(handover) = self.handover.as_ref().filter(|_| self.taught) {
            let learnt = handover.knowledge() != Knowledge::Learning;
            let nobody = self.meshes.iter().all(|mesh| mesh.replication.peers().is_empty());
            return (learnt, learnt && nobody);
        }
        let with_others = self.meshes.iter().filter(|mesh| !mesh.replication.peers().is_empty());
        let known: Vec<Knowledge> = with_others.map(|mesh| mesh.replication.knowledge()).collect();
        let learnt = known.iter().all(|k| *k == Knowledge::Learnt);
        // Where there are no others, everything is known.
        (learnt, known.is_empty() || (!learnt && !known.contains(&Knowledge::Learning)))
    }

    /// Of each backend that a virtual router follows: the servers that new sessions may go to.
    pub(crate) fn usable_servers(&self) -> Vec<u32> {
        self.followed.iter().map(|backend| self.proxy.usable_servers(backend)).collect()
    }

    /// Talks with the worker before this one, which teaches, or the one after it.
    pub(crate) fn talk_to(&self, stream: UnixStream, teaches: bool) {
        let stream = stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream));
        match (&self.handover, stream) {
            (Some(handover), Ok(stream)) => handover.hold_local(stream, teaches),
            (None, _) => {}
            (_, Err(error)) => tracing::error!(%error, "the stream to the other worker cannot be used"),
        }
    }

    /// Talks to the other machines from now on.
    pub(crate) fn join_network(&self) {
        for mesh in &self.meshes {
            if let Some(port) = mesh.port.take()
                && let Err(error) = mesh.replication.join_network(port, self.taught)
            {
                tracing::error!(%error, "the other members cannot be reached");
            }
        }
    }

    /// Says no more to the other machines: the worker after this one does.
    pub(crate) async fn leave_network(&self) {
        for mesh in &self.meshes {
            drop(mesh.port.take());
            mesh.replication.leave_network().await;
        }
    }

    /// What `tandem status` says of it.
    pub(crate) fn view(&self) -> WorkerView {
        let now = now_ms();
        let peers = self.meshes.iter().flat_map(|mesh| {
            let section = mesh.section.clone();
            let resync = match mesh.replication.knowledge() {
                Knowledge::Learning => "learning",
                Knowledge::Alone => "alone",
                Knowledge::Learnt => "learnt",
            };
            mesh.replication.peers().into_iter().map(move |peer| PeerView {
                section: section.clone(),
                name: peer.name,
                address: peer.address.map(|a| a.to_string()).unwrap_or_default(),
                state: peer.state.word().to_owned(),
                since_ms: peer.since_ms,
                lag: peer.lag,
                heard_ms: peer.heard_ms,
                learnt: peer.learnt,
                sessions: peer.sessions,
                last_error: peer.last_error,
                errors: peer.errors.into_iter().map(|(why, count)| (why.to_owned(), count)).collect(),
                resync: resync.to_owned(),
                tables: peer.tables.into_iter().map(table_of_peer).collect(),
            })
        });
        let tables = self.proxy.tables().iter().map(|table| TableView {
            name: table.schema().name.clone(),
            key: table.schema().key.name().to_owned(),
            size: table.schema().size,
            entries: table.len() as u64,
            changed_ms: Some(table.changed_ms()).filter(|at| *at > 0).map(|at| now.saturating_sub(at)),
        });
        let servers = self.proxy.servers().into_iter().map(|server| ServerView {
            backend: server.backend,
            server: server.server,
            address: server.address.to_string(),
            up: server.up,
            admin: match server.admin_state {
                0 => "ready",
                8 => "drain",
                _ => "maint",
            }
            .to_owned(),
            since_ms: server.since_ms,
            check: if server.checked { server.check_status } else { "no check" }.to_owned(),
            sessions: server.sessions,
        });
        WorkerView {
            sessions: self.proxy.sessions_count(),
            checks_done: self.proxy.checks_done(),
            tables_are: match self.knowledge() {
                (_, true) => "alone",
                (true, _) => "learnt",
                _ => "learning",
            }
            .to_owned(),
            peers: peers.collect(),
            refused: self.refused(),
            tables: tables.collect(),
            servers: servers.collect(),
            listeners: self.proxy.listeners().into_iter().map(listener).collect(),
            deaf: self.proxy.is_deaf(),
            log: LogView { dropped: self.proxy.dropped_logs(), suppressed: log_limit::suppressed() },
        }
    }
}

impl Service {
    /// Connections and messages of other machines that were refused, by reason.
    fn refused(&self) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for (why, count) in self.meshes.iter().flat_map(|mesh| mesh.replication.refused()) {
            *sum.entry(why).or_insert(0) += count;
        }
        sum
    }
}

fn listener(listener: proxy::ListenerView) -> ListenerView {
    ListenerView {
        frontend: listener.frontend,
        address: listener.address,
        answers: listener.answers,
        answered_ms: listener.answered_ms,
        cores: listener.cores as u64,
    }
}

fn table_of_peer(table: PeerTable) -> PeerTableView {
    PeerTableView {
        lag: table.updated.saturating_sub(table.acked),
        name: table.name,
        entries_here: table.entries,
        entries_there: table.entries_there,
        updated: table.updated,
        acked: table.acked,
        learnt: table.learnt,
    }
}

/// What clients cannot guess: it keeps them from choosing keys that meet in one shard.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
