//! The agent: a plain poll loop on a thread of its own. A packet, a deadline or an order goes into a
//! router; what comes out is performed at once. Nothing else runs here, and nothing here waits for others.

mod post;
mod room;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use failover_vrrp::signing::Signs;
use failover_vrrp::{Claim, Eligibility, Goodbye, Hook, Machine, Observed, Role, VirtualRouter, Why};
use rustix::event::{EventfdFlags, eventfd};

use self::room::Room;
use crate::command;
use crate::signing::{Signing, SigningStatus};
use crate::status::RouterStatus;
use crate::watch::{Seen, Watchers};

/// Words of members that may wait. One more is not heard: heartbeats come again, and an order that nobody hears is one
/// that nobody follows.
const MAX_WORDS: usize = 1_024;

/// What the agent serves.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member's name.
    pub member: String,
    /// This member's own address; where there is none, an interface's first one.
    pub own: Option<IpAddr>,
    /// The other members' addresses.
    pub peers: Vec<IpAddr>,
    /// The virtual routers.
    pub routers: Vec<VirtualRouter>,
    /// What the machine has, whoever is master.
    pub machine: Machine,
    /// The ports of each virtual address that this node serves.
    pub services: Vec<(IpAddr, Vec<u16>)>,
    /// How the members' advertisements are signed, where the cluster has a key.
    pub signing: Option<Signing>,
}

/// Something about a virtual router changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The virtual router's name.
    pub router: String,
    /// What.
    pub what: What,
    /// Its priority now.
    pub priority: u8,
    /// What more is known of why.
    pub detail: Option<String>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The role, and why.
    Role(Role, Why),
    /// The priority, which was this before.
    Priority(u8),
    /// An address that somebody else removed is there again.
    PutBack(IpAddr),
    /// Whether the master lives, and its advertisements do not arrive.
    Blocked(bool),
    /// Another one claimed to be master, and is the lesser one: neighbours may have believed it.
    Contested(Option<IpAddr>),
}

/// A virtual router as all members know it: files may call it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouterId {
    /// 1..=255.
    pub vrid: u8,
    /// Whether it is one of IPv6: the families number theirs apart (RFC 9568 5.2.3).
    pub six: bool,
    /// Its addresses, in short: a number may be used again on another link.
    pub addresses: u32,
}

impl RouterId {
    fn of(settings: &VirtualRouter) -> Self {
        let mut advertised: Vec<IpAddr> =
            settings.addresses.iter().filter(|a| !a.excluded).map(|a| a.address).collect();
        advertised.sort_unstable();
        // FNV-1a: the same on all members, whatever they are built with.
        let mut addresses = 0x811c_9dc5_u32;
        let mut take = |bytes: &[u8]| {
            for byte in bytes {
                addresses = (addresses ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
            }
        };
        for address in advertised {
            match address {
                IpAddr::V4(four) => take(&four.octets()),
                IpAddr::V6(six) => take(&six.octets()),
            }
        }
        Self { vrid: settings.vrid, six: settings.is_ipv6(), addresses }
    }
}

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something about a virtual router changed.
    Changed(Change),
    /// This node has just said that it is master, from this address: the other members may hear it from elsewhere, too.
    Claims(RouterId, IpAddr, Claim),
    /// This node leaves since then: another one is to be master at once.
    Leaves(RouterId, Instant),
    /// This node is prepared to follow that one, as it was told; whether it will send on what has begun there.
    Prepared(RouterId, IpAddr, bool),
    /// This node serves what has begun here, and the addresses are elsewhere.
    Serves(RouterId),
    /// It does so no longer: everything has ended, or (`false`) the addresses are here again.
    Served(RouterId, bool),
}

/// Called on the agent's thread when something happens; must not block.
pub type Listener = Box<dyn Fn(Told) + Send>;

enum Order {
    Eligible(Eligibility),
    /// What a watcher has seen of the condition at this place.
    Observed(usize, Observed),
    /// A backend has so many servers that new sessions may go to.
    Backend(String, u32),
    /// The best priority of those that could be master of a virtual router instead, if that is known.
    Others(RouterId, Option<u8>),
    /// A member that advertises from these addresses says how it signs, or that it does not.
    Signs(Vec<IpAddr>, Option<Signs>),
    /// A member remembers this session of this node's.
    Outgrown(u64),
    HandOver(Goodbye, bool),
    Vouched(RouterId, [IpAddr; 2], Claim),
    Prepare(RouterId, IpAddr, [u8; 6]),
    Follow(RouterId, IpAddr, Instant),
    Served(RouterId, IpAddr),
    Dead(IpAddr),
    Gone(IpAddr),
    Services(Vec<(IpAddr, Vec<u16>)>),
    Reloaded,
    Stop,
}

impl Order {
    /// Whether it is a member that says so, as often as it likes.
    fn is_word(&self) -> bool {
        match self {
            Self::Vouched(..) | Self::Prepare(..) | Self::Follow(..) | Self::Served(..) => true,
            Self::Signs(..) | Self::Outgrown(_) => true,
            Self::Eligible(_) | Self::Observed(..) | Self::Backend(..) | Self::Others(..) => false,
            Self::HandOver(..) | Self::Dead(_) | Self::Gone(_) | Self::Services(_) => false,
            Self::Reloaded | Self::Stop => false,
        }
    }
}

/// The running agent. Dropping it says goodbye and removes the addresses.
pub struct Agent {
    orders: Sender<Order>,
    /// Words of members that wait.
    words: Arc<AtomicUsize>,
    wake: Arc<OwnedFd>,
    status: Arc<Mutex<Vec<RouterStatus>>>,
    signing: Arc<Mutex<Option<SigningStatus>>>,
    thread: Option<JoinHandle<()>>,
    /// Ends after the thread that it tells.
    watchers: Option<Watchers>,
    after: After,
}

/// Ends the process with the agent's thread, should that panic: a program that goes on without it would keep its last role
/// for ever, and obey nobody. The kernel removes the addresses by their lifetime, and who started the program does so again.
struct Vital;

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the agent's thread has died: the process ends, and the addresses with it");
            std::process::abort();
        }
    }
}

/// What the file wants to be run when everything is undone: it is when this is dropped.
pub struct After(Option<Hook>);

impl Drop for After {
    fn drop(&mut self) {
        run_hook(self.0.as_ref());
    }
}

impl Agent {
    /// Opens the sockets, clears addresses that an earlier process left, and starts to listen. Not
    /// eligible until told.
    ///
    /// # Errors
    /// The rights to raw sockets and addresses are missing. An interface that is not there is waited for.
    pub fn start(config: Config, listener: Listener) -> io::Result<Self> {
        run_hook(config.machine.before.as_ref());
        let after = After(config.machine.after.clone());
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let status = Arc::new(Mutex::new(Vec::new()));
        let (orders, receiver) = channel();
        let mut room = Room::open(config, listener, Arc::clone(&wake), receiver, Arc::clone(&status))?;
        let (words, signing) = (Arc::clone(&room.words), Arc::clone(&room.signing));
        let watches = room.watches.clone();
        let thread = std::thread::Builder::new().name("vrrp".to_owned()).spawn(move || {
            let _vital = Vital;
            room.run();
        })?;
        let mut agent =
            Self { orders, words, wake, status, signing, thread: Some(thread), watchers: None, after };
        let (teller, waker) = (Mutex::new(agent.orders.clone()), Arc::clone(&agent.wake));
        let seen: Seen = Arc::new(move |place, observed| {
            // An agent that has ended takes no orders.
            let _ =
                teller.lock().unwrap_or_else(PoisonError::into_inner).send(Order::Observed(place, observed));
            let _ = rustix::io::write(&*waker, &1_u64.to_ne_bytes());
        });
        agent.watchers = Some(Watchers::start(&watches, &seen)?);
        Ok(agent)
    }

    /// What is to be run last, for who has more to undo than this agent.
    pub fn take_after(&mut self) -> After {
        After(self.after.0.take())
    }

    /// Says what this node can do.
    pub fn set_eligible(&self, eligible: Eligibility) {
        self.order(Order::Eligible(eligible));
    }

    /// Says how many servers of a backend new sessions may go to.
    pub fn observe_backend(&self, backend: &str, usable: u32) {
        self.order(Order::Backend(backend.to_owned(), usable));
    }

    /// Says the best priority of the members that could be master of a virtual router instead, if that is known.
    pub fn others(&self, router: RouterId, best: Option<u8>) {
        self.order(Order::Others(router, best));
    }

    /// Lets the other members take everything this node is master of; the addresses stay until they have.
    /// How that ended is news of each virtual router's role. `sent_on`: the new masters send on to here what has
    /// begun here, so that it is served to its end.
    pub fn hand_over(&self, goodbye: Goodbye, sent_on: bool) {
        self.order(Order::HandOver(goodbye, sent_on));
    }

    /// A member says on the channel that it is master of a virtual router, and from which address it advertises.
    pub fn vouched(&self, router: RouterId, member: IpAddr, source: IpAddr, claim: Claim) {
        self.order(Order::Vouched(router, [member, source], claim));
    }

    /// A member says on the channel how it signs its advertisements from these addresses, or that it does not.
    pub fn signs(&self, sources: Vec<IpAddr>, signs: Option<Signs>) {
        self.order(Order::Signs(sources, signs));
    }

    /// A member says on the channel that it remembers this session of this node's, which must not be above its present
    /// one.
    pub fn outgrown(&self, session: u64) {
        self.order(Order::Outgrown(session));
    }

    /// The listeners of this node have changed.
    pub fn set_services(&self, services: Vec<(IpAddr, Vec<u16>)>) {
        self.order(Order::Services(services));
    }

    /// The node has read its configuration again.
    pub fn reloaded(&self) {
        self.order(Order::Reloaded);
    }

    /// The master of a virtual router is going to leave, and this node to follow it; the master's hardware address.
    pub fn prepare(&self, router: RouterId, member: IpAddr, mac: [u8; 6]) {
        self.order(Order::Prepare(router, member, mac));
    }

    /// A member has served everything that had begun there.
    pub fn served(&self, router: RouterId, member: IpAddr) {
        self.order(Order::Served(router, member));
    }

    /// A member has not been heard of for so long that it serves nothing any more.
    pub fn gone(&self, member: IpAddr) {
        self.order(Order::Gone(member));
    }

    /// A member leaves as master of a virtual router, and said then on the channel that this node is to follow it.
    pub fn follow(&self, router: RouterId, member: IpAddr, said: Instant) {
        self.order(Order::Follow(router, member, said));
    }

    /// No process of a member is left.
    pub fn dead(&self, member: IpAddr) {
        self.order(Order::Dead(member));
    }

    /// Every virtual router, now.
    #[must_use]
    pub fn status(&self) -> Vec<RouterStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the members' advertisements are signed; `None`: the cluster has no key.
    #[must_use]
    pub fn signing(&self) -> Option<SigningStatus> {
        self.signing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn order(&self, order: Order) {
        if order.is_word() && self.words.fetch_add(1, Ordering::Relaxed) >= MAX_WORDS {
            self.words.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        // An agent that has ended takes no orders.
        let _ = self.orders.send(order);
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // After the goodbye, which waits for nobody: what they still tell is heard by no one.
        self.watchers = None;
    }
}

/// Runs what the file wants to be run before all, or after all.
fn run_hook(hook: Option<&Hook>) {
    let Some(Hook { command, timeout }) = hook else { return };
    match command::run(command, *timeout, None) {
        Ok(()) => tracing::info!(command = command.text(), "it has run"),
        Err(why) => tracing::error!(command = command.text(), why, "it has failed"),
    }
}
