//! Connections that are left without a word (`silent-drop`). The kernel ends a connection that is closed with a packet; to
//! forget one takes a capability that this process does not have. So a bounded number of them stays open and takes
//! nothing in; one that has to make room goes with a reset that no router passes on.

use std::collections::VecDeque;
use std::time::Duration;

use socket2::{SockFilter, SockRef};

use crate::socket::Socket;

/// Most connections of one core that are kept this way.
pub(crate) const MAX_SILENT: usize = 64;

/// The instruction of a socket filter that returns how many bytes of a packet to keep.
const RETURN: u16 = 0x06;

/// Connections that say nothing more.
#[derive(Default)]
pub(crate) struct Silent(VecDeque<std::net::TcpStream>);

impl Silent {
    /// Keeps one; the oldest makes room.
    pub(crate) fn keep(&mut self, socket: Socket) {
        // What cannot be made silent is closed as any other.
        let Some(io) = socket.into_std() else { return };
        let socket = SockRef::from(&io);
        let is_v4 = io.local_addr().is_ok_and(|address| address.is_ipv4());
        let near = if is_v4 { socket.set_ttl_v4(1) } else { socket.set_unicast_hops_v6(1) };
        if near.and_then(|()| socket.set_linger(Some(Duration::ZERO))).is_err() {
            return;
        }
        // Where no filter may be set, the kernel acknowledges what the client still sends.
        let _ = socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)]);
        if self.0.len() == MAX_SILENT {
            self.0.pop_front();
        }
        self.0.push_back(io);
    }
}
