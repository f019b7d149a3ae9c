//! What people are told of a virtual router.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use failover_vrrp::{Role, VirtualRouter, Why};

use crate::agent::RouterId;
use crate::tenure::Tenure;

/// How the agent's thread is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// Real-time: nothing ordinary can delay an advertisement.
    RealTime,
    /// The highest ordinary priority.
    Nice,
    /// Like everything else: the system allows no more.
    Ordinary,
}

impl Scheduling {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::RealTime => "real-time",
            Self::Nice => "nice",
            Self::Ordinary => "ordinary",
        }
    }
}

/// One virtual router, now.
#[derive(Clone, Debug)]
pub struct RouterStatus {
    /// Its name.
    pub name: String,
    /// Its number.
    pub vrid: u8,
    /// Its name among the members.
    pub id: RouterId,
    /// Its interface.
    pub interface: String,
    /// This node's own address there, which it advertises from; unspecified until there is one.
    pub own: IpAddr,
    /// The interface's hardware address; `None`: there is no interface.
    pub mac: Option<[u8; 6]>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its role.
    pub role: Role,
    /// Since when.
    pub since: Instant,
    /// Why.
    pub why: Option<Why>,
    /// This node's priority.
    pub priority: u8,
    /// The member whose advertisements are heard, and when the last one came.
    pub master: Option<(IpAddr, Instant)>,
    /// Advertisements sent.
    pub sent: u64,
    /// Advertisements accepted.
    pub received: u64,
    /// Packets refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Packets heard though something about them is strange, by what is.
    pub noticed: BTreeMap<&'static str, u64>,
    /// Its priority while nothing changes it.
    pub base: u8,
    /// What is remembered of its past.
    pub tenure: Tenure,
    /// What the file says of it.
    pub settings: Arc<VirtualRouter>,
    /// How often somebody else removed an address and it was put back.
    pub put_back: u64,
    /// Whether the master is known to live, and its advertisements do not arrive.
    pub blocked: bool,
    /// Whether the addresses are elsewhere, and this node serves what has begun here.
    pub serves: bool,
    /// What last went wrong on the interface.
    pub trouble: Option<String>,
    /// Who is asked on its interface whether this node still reaches anybody, and when each last answered.
    pub gateways: Vec<(IpAddr, Option<Instant>)>,
    /// How the agent's thread is scheduled.
    pub scheduling: Scheduling,
}
