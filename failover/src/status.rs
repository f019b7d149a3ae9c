//! What people are told of a virtual router.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use failover_vrrp::{Role, Why};

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
    /// Its interface.
    pub interface: String,
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
    /// How often somebody else removed an address and it was put back.
    pub put_back: u64,
    /// What last went wrong on the interface.
    pub trouble: Option<String>,
    /// How the agent's thread is scheduled.
    pub scheduling: Scheduling,
}
