//! What one node tells another: stick tables, by HAProxy's peers protocol, and what its checks saw of
//! servers. One port, mutual TLS from the first byte, sessions that need nobody's attention. On the port after it
//! the members' channel: heartbeat and orders.
#![forbid(unsafe_code)]

pub mod channel;
mod handshakes;
mod health;
pub mod identity;
mod peers;
mod port;
mod tls;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use replication_peers::{Knowledge, Tables};
use tokio::sync::watch;

pub use health::{HealthDoor, ServerNews};
pub use identity::Identity;
pub use peers::{PeerState, PeerStatus, PeerTable};

/// The caller's clock, in milliseconds: the one its tables were built with.
pub type Clock = fn() -> u64;

/// Who is talked to over the network.
#[derive(Default)]
pub struct Others {
    /// Their names and where they listen; this node is not among them.
    pub members: Vec<(String, SocketAddr)>,
    /// This node's certificate, where both sides prove who they are: the members of a cluster. The peers of
    /// a `peers` section speak in the clear, as HAProxy does.
    pub identity: Option<Identity>,
}

/// What replication needs.
pub struct Config {
    /// Nobody: only processes of this machine talk.
    pub others: Others,
    /// What this node is called.
    pub member: String,
    /// The tables to share.
    pub tables: Tables,
    /// Wakes when one of them changes.
    pub changes: Changes,
    /// The tables' clock.
    pub clock: Clock,
}

/// Tells of changes in tables to everyone who shares them.
#[derive(Clone)]
pub struct Changes {
    tables: Tables,
    sender: watch::Sender<()>,
}

impl Changes {
    /// Of these tables; nothing is written down before somebody shares them.
    #[must_use]
    pub fn of(tables: &Tables) -> Self {
        Self { tables: Arc::clone(tables), sender: watch::channel(()).0 }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.sender.subscribe()
    }

    /// Starts the tables' logs of changes; where they run already, nothing happens.
    fn begin(&self) {
        for table in self.tables.iter() {
            let changes = self.sender.clone();
            table.log_changes(Box::new(move || {
                changes.send_replace(());
            }));
        }
    }
}

/// Running replication; lives on the thread it was started on.
#[derive(Clone)]
pub struct Replication(Rc<Room>);

/// What all tasks share.
struct Room {
    /// How members prove who they are.
    tls: Option<tls::Tls>,
    member: String,
    tables: Tables,
    clock: Clock,
    changes: Changes,
    /// The other members, in the file's order; then processes of this machine.
    peers: RefCell<Vec<Rc<peers::Peer>>>,
    /// Set once: nothing on the network goes on.
    quiet: watch::Sender<bool>,
    resync: RefCell<replication_peers::Resync>,
    health: Option<HealthDoor>,
    handshakes: handshakes::Handshakes,
    lines: handshakes::Lines,
    refused: RefCell<BTreeMap<&'static str, u64>>,
}

/// How long what was not acknowledged is waited for before the network is left.
const FLUSH: Duration = Duration::from_millis(500);
const FLUSH_LOOK: Duration = Duration::from_millis(5);

impl Replication {
    /// Prepares it on the current thread's local runtime; the network waits for [`Replication::join_network`].
    /// `health`: what is said of servers, among members that prove who they are.
    ///
    /// # Errors
    /// The certificate does not fit.
    pub fn start(config: Config, health: Option<HealthDoor>) -> Result<Self, identity::IdentityError> {
        let tls = config.others.identity.map(|identity| tls::Tls::new(&identity)).transpose()?;
        let now = (config.clock)();
        let members = config.others.members.into_iter();
        let others: Vec<_> =
            members.map(|(name, address)| Rc::new(peers::Peer::new(name, Some(address), now))).collect();
        if !others.is_empty() {
            config.changes.begin();
        }
        let room = Rc::new(Room {
            resync: RefCell::new(replication_peers::Resync::new(others.len())),
            peers: RefCell::new(others),
            quiet: watch::channel(false).0,
            tls,
            member: config.member,
            tables: config.tables,
            clock: config.clock,
            changes: config.changes,
            health,
            // Members behind one address, and both kinds of their connections, come at once here.
            handshakes: handshakes::Handshakes::new(port::MAX_HANDSHAKES, port::MAX_HANDSHAKES),
            lines: handshakes::Lines::default(),
            refused: RefCell::default(),
        });
        tokio::task::spawn_local(peers::watch_lessons(Rc::clone(&room)));
        Ok(Self(room))
    }

    /// Starts listening for the others and calling them. `knows`: the tables were learnt already, from the
    /// process before this one.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub fn join_network(&self, listener: std::net::TcpListener, knows: bool) -> std::io::Result<()> {
        let room = &self.0;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        if knows {
            room.resync.borrow_mut().set_learnt();
        }
        room.spawn(port::accept(Rc::clone(room), listener));
        for place in 0..room.peers.borrow().len() {
            room.spawn(peers::dial(Rc::clone(room), place));
            if room.health.is_some() {
                room.spawn(health::tell(Rc::clone(room), place));
            }
        }
        Ok(())
    }

    /// Leaves the network for good, once what is under way has been acknowledged or some time has passed:
    /// the next process of this node takes its place.
    pub async fn leave_network(&self) {
        let behind = || self.peers().iter().any(|p| p.state == PeerState::Established && p.lag > 0);
        let flushed = async {
            while behind() {
                tokio::time::sleep(FLUSH_LOOK).await;
            }
        };
        // What is not acknowledged by then, the next process has as well.
        let _ = tokio::time::timeout(FLUSH, flushed).await;
        self.0.quiet.send_replace(true);
    }

    /// Talks with another process of this machine: the one before this (`teaches`), from which everything
    /// is learnt, or the one after it.
    pub fn hold_local(&self, stream: tokio::net::UnixStream, teaches: bool) {
        let room = Rc::clone(&self.0);
        room.changes.begin();
        let name = if teaches { "the process before" } else { "the process after" }.to_owned();
        let place = room.resync.borrow_mut().add(teaches);
        room.peers.borrow_mut().push(Rc::new(peers::Peer::new(name, None, (room.clock)())));
        tokio::task::spawn_local(async move { peers::hold(&room, place, stream, 1, &[]).await });
    }

    /// What this node knows of the tables.
    #[must_use]
    pub fn knowledge(&self) -> Knowledge {
        self.0.resync.borrow().knowledge()
    }

    /// Connections and messages that were refused, by reason.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<String, u64> {
        self.0.refused.borrow().iter().map(|(why, count)| ((*why).to_owned(), *count)).collect()
    }

    /// Every other member, now.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        let now = (self.0.clock)();
        let peers = self.0.peers.borrow();
        peers.iter().filter(|p| !p.is_local()).map(|peer| peer.status(&self.0.tables, now)).collect()
    }
}

impl Room {
    /// Counts what was refused, by reason.
    fn refuse(&self, why: &'static str) {
        *self.refused.borrow_mut().entry(why).or_insert(0) += 1;
    }

    fn place_of(&self, member: &str) -> Option<usize> {
        self.peers.borrow().iter().position(|peer| !peer.is_local() && peer.name == member)
    }

    fn peer(&self, place: usize) -> Rc<peers::Peer> {
        Rc::clone(&self.peers.borrow()[place])
    }

    /// Runs something until the network is left.
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut quiet = self.quiet.subscribe();
        tokio::task::spawn_local(async move {
            tokio::select! {
                () = task => {}
                // The sender lives as long as the room, which the task holds.
                _ = quiet.wait_for(|quiet| *quiet) => {}
            }
        });
    }
}
