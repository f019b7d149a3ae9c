//! What rules look at: one exchange, and the process around it.

use std::cell::Cell;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use proxy_table::{Key, Table, TableId};
use proxy_wire::h1::Head;

use crate::{DateForm, LogFacts};

/// An entry a stream follows (`sc0`, `sc1`, `sc2`).
#[derive(Clone, Debug)]
pub struct Tracked {
    /// The table.
    pub table: TableId,
    /// The entry.
    pub key: Key,
}

/// An end of a connection through a Unix socket: it has no address, and stands in its place with the listener's number.
#[must_use]
pub fn unix_end(listener: u32) -> SocketAddr {
    // What is larger cannot be told in a port, and is only shown.
    SocketAddr::from((Ipv6Addr::UNSPECIFIED, u16::try_from(listener).unwrap_or(u16::MAX)))
}

/// Whether a client's address stands for a connection through a Unix socket: no other one is unspecified.
#[must_use]
pub fn is_unix_end(address: SocketAddr) -> bool {
    address.ip().is_unspecified()
}

/// One exchange as rules see it.
pub struct Exchange<'e> {
    /// The core's milliseconds.
    pub now_ms: u64,
    /// The client.
    pub client: SocketAddr,
    /// Our side of its connection.
    pub local: SocketAddr,
    /// Whether the client speaks TLS.
    pub ssl: bool,
    /// The frontend's name.
    pub frontend: &'e str,
    /// The backend's name, once chosen.
    pub backend: &'e str,
    /// The server's name, once chosen.
    pub server: &'e str,
    /// The request's head, in mode http.
    pub request: Option<&'e mut Head>,
    /// The response's head, once it is here.
    pub response: Option<&'e mut Head>,
    /// What the stream follows.
    pub tracked: &'e mut [Option<Tracked>; 3],
    /// Bytes of the client that are here: in mode http those of this request's head too.
    pub received: usize,
    /// Nothing more will be known than is now: what is not there is not there.
    pub is_final: bool,
    /// A fetch has given less than it may give later; only where `is_final` is not set.
    pub may_change: Cell<bool>,
    /// What only log fields tell.
    pub facts: LogFacts<'e>,
}

impl Exchange<'_> {
    /// Notes that a fetch may give something else later.
    pub(crate) fn note_change(&self) {
        if !self.is_final {
            self.may_change.set(true);
        }
    }
}

/// What rules may ask about the running process.
pub trait View {
    /// A stick table.
    fn table(&self, id: TableId) -> &Arc<Table>;
    /// Servers of a backend that can be used.
    fn nbsrv(&self, backend: &str) -> u32;
    /// Whether this node owns the virtual address.
    fn is_master(&self) -> bool;
    /// Connections of the process, a frontend, a backend, and a server, by their places.
    fn connections(&self, frontend: usize, backend: Option<usize>, server: Option<usize>) -> [u64; 4];
    /// The core's milliseconds as milliseconds since 1970.
    fn unix_ms(&self, core_ms: u64) -> u64;
    /// The core's milliseconds as a date.
    fn date(&self, core_ms: u64, form: DateForm) -> String;
    /// The number of this process.
    fn pid(&self) -> u32;
}
