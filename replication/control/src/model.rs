//! The `cluster` section, complete and checked.

use std::net::{IpAddr, SocketAddr};

/// Port of tables and health where the file says nothing.
pub const DEFAULT_PORT: u16 = 7_400;

/// One machine of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name: what `-L`, `localpeer` or the host name says on that machine.
    pub name: String,
    /// Its own address; never a virtual one.
    pub address: IpAddr,
}

/// The machines that share addresses and tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's name.
    pub name: String,
    /// The members, in the file's order.
    pub members: Vec<Member>,
    /// Port of tables and health, 65534 at most: the next one is the channel's.
    pub port: u16,
    /// This node's certificate and key, one PEM file.
    pub certificate: String,
    /// The cluster's certificate authority.
    pub authority: String,
}

impl Cluster {
    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|m| m.name == name)
    }

    /// Everyone but this member.
    pub fn others<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c Member> {
        self.members.iter().filter(move |m| m.name != name)
    }

    /// Where a member listens for tables and health.
    #[must_use]
    pub fn socket_of(&self, member: &Member) -> SocketAddr {
        SocketAddr::new(member.address, self.port)
    }

    /// Where a member listens for heartbeat and orders.
    #[must_use]
    pub fn channel_of(&self, member: &Member) -> SocketAddr {
        SocketAddr::new(member.address, self.port + 1)
    }
}
