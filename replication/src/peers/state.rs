//! What is known of one peer, across its sessions.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;

use replication_peers::Tables;
use tokio::sync::{Notify, watch};

/// How a peer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Nothing has been tried yet.
    Starting,
    /// A session is up.
    Established,
    /// It cannot be reached.
    Unreachable,
}

impl PeerState {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Established => "established",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One peer, now.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// How it stands.
    pub state: PeerState,
    /// Milliseconds since that changed.
    pub since_ms: u64,
    /// Updates it has not acknowledged.
    pub lag: u64,
    /// Milliseconds since it was heard.
    pub heard_ms: Option<u64>,
    /// Entries learnt from it.
    pub learnt: u64,
    /// Sessions begun with it.
    pub sessions: u64,
    /// Why the last session or call ended.
    pub last_error: Option<String>,
    /// How often sessions and calls ended, by reason.
    pub errors: BTreeMap<&'static str, u64>,
    /// Each shared table, in the file's order.
    pub tables: Vec<PeerTable>,
}

/// One table, as far as it is shared with one peer.
#[derive(Clone, Debug)]
pub struct PeerTable {
    /// Its name.
    pub name: String,
    /// Entries here.
    pub entries: u64,
    /// Entries there, where the peer says so: members of the cluster do.
    pub entries_there: Option<u64>,
    /// The last update here, and the last one the peer has acknowledged.
    pub updated: u64,
    /// See `updated`.
    pub acked: u64,
    /// Entries learnt from the peer.
    pub learnt: u64,
}

pub(crate) struct Peer {
    pub(crate) name: String,
    /// Where it listens; nowhere: it is a process of this machine.
    pub(crate) address: Option<SocketAddr>,
    /// The minor version it is greeted with: 1, or 0 once it has refused that.
    pub(crate) minor: Cell<u8>,
    /// Which session counts; the one that holds an older number ends.
    generation: watch::Sender<u64>,
    connected: watch::Sender<bool>,
    calling: Cell<bool>,
    asked: Cell<bool>,
    pub(crate) asking: Notify,
    pub(crate) acked: RefCell<Vec<u64>>,
    state: Cell<PeerState>,
    since_ms: Cell<u64>,
    pub(crate) heard_ms: Cell<Option<u64>>,
    /// Entries learnt, by table.
    pub(crate) learnt: RefCell<Vec<u64>>,
    /// Entries there, by table's name, as the peer last said.
    pub(crate) entries_there: RefCell<BTreeMap<String, u64>>,
    errors: RefCell<BTreeMap<&'static str, u64>>,
    last_error: RefCell<Option<String>>,
}

impl Peer {
    pub(crate) fn new(name: String, address: Option<SocketAddr>, now_ms: u64) -> Self {
        Self {
            name,
            address,
            minor: Cell::new(1),
            generation: watch::channel(0).0,
            connected: watch::channel(false).0,
            calling: Cell::new(false),
            asked: Cell::new(false),
            asking: Notify::new(),
            acked: RefCell::default(),
            state: Cell::new(PeerState::Starting),
            since_ms: Cell::new(now_ms),
            heard_ms: Cell::new(None),
            learnt: RefCell::default(),
            entries_there: RefCell::default(),
            errors: RefCell::default(),
            last_error: RefCell::new(None),
        }
    }

    /// A process of this machine: what it changes now, it changes for this node.
    pub(crate) fn is_local(&self) -> bool {
        self.address.is_none()
    }

    pub(crate) fn status(&self, tables: &Tables, now_ms: u64) -> PeerStatus {
        let (acked, learnt) = (self.acked.borrow(), self.learnt.borrow());
        let there = self.entries_there.borrow();
        let of = |counts: &[u64], place: usize| counts.get(place).copied().unwrap_or(0);
        let tables = tables.iter().enumerate().map(|(place, table)| PeerTable {
            name: table.schema().name.clone(),
            entries: table.len() as u64,
            entries_there: there.get(&table.schema().name).copied(),
            updated: table.last_update(),
            acked: of(&acked, place),
            learnt: of(&learnt, place),
        });
        let tables: Vec<PeerTable> = tables.collect();
        PeerStatus {
            name: self.name.clone(),
            address: self.address,
            state: self.state.get(),
            since_ms: now_ms.saturating_sub(self.since_ms.get()),
            lag: tables.iter().map(|t| t.updated.saturating_sub(t.acked)).sum(),
            heard_ms: self.heard_ms.get().map(|at| now_ms.saturating_sub(at)),
            learnt: tables.iter().map(|t| t.learnt).sum(),
            sessions: *self.generation.borrow(),
            last_error: self.last_error.borrow().clone(),
            errors: self.errors.borrow().clone(),
            tables,
        }
    }

    /// Takes note of an entry learnt.
    pub(crate) fn count_learnt(&self, table: usize) {
        let mut learnt = self.learnt.borrow_mut();
        if learnt.len() <= table {
            learnt.resize(table + 1, 0);
        }
        learnt[table] += 1;
    }

    /// Takes note of the end of a session or a call.
    pub(crate) fn count_error(&self, reason: &'static str) {
        *self.errors.borrow_mut().entry(reason).or_insert(0) += 1;
    }

    /// A session begins; an older one ends by seeing the number change.
    pub(crate) fn begin(&self, now_ms: u64) -> (u64, watch::Receiver<u64>) {
        self.generation.send_modify(|number| *number += 1);
        self.connected.send_replace(true);
        self.change(PeerState::Established, now_ms);
        self.heard_ms.set(Some(now_ms));
        let receiver = self.generation.subscribe();
        let number = *receiver.borrow();
        (number, receiver)
    }

    /// A session ended; whether it was the one that counts.
    pub(crate) fn end(&self, number: u64, why: String, now_ms: u64) -> bool {
        let counts = *self.generation.borrow() == number;
        if counts {
            self.connected.send_replace(false);
            self.change(PeerState::Unreachable, now_ms);
            self.entries_there.borrow_mut().clear();
            *self.last_error.borrow_mut() = Some(why);
        }
        counts
    }

    /// A call failed; whether the peer is without a session because of that.
    pub(crate) fn unreachable(&self, why: String, now_ms: u64) -> bool {
        if *self.connected.borrow() {
            return false;
        }
        self.change(PeerState::Unreachable, now_ms);
        *self.last_error.borrow_mut() = Some(why);
        true
    }

    /// Waits until there is no session.
    pub(crate) async fn until_alone(&self) {
        // The sender lives as long as the peer does.
        let _ = self.connected.subscribe().wait_for(|connected| !connected).await;
    }

    pub(crate) fn set_calling(&self, calling: bool) {
        self.calling.set(calling);
    }

    pub(crate) fn is_calling(&self) -> bool {
        self.calling.get()
    }

    /// Has the session ask for a lesson.
    pub(crate) fn ask(&self) {
        self.asked.set(true);
        self.asking.notify_one();
    }

    pub(crate) fn take_ask(&self) -> bool {
        self.asked.take()
    }

    fn change(&self, state: PeerState, now_ms: u64) {
        if self.state.replace(state) != state {
            self.since_ms.set(now_ms);
            tracing::info!(peer = self.name, state = state.word(), "peer");
        }
    }
}
