//! What several tests need.

use std::net::{Ipv4Addr, TcpListener};

/// A port of loopback that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
