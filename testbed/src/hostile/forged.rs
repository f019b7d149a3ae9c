//! Packets of protocol 112 in other hosts' names, at a rate, from a thread of its own.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::program::Place;

const VRRP: u8 = 112;
/// The time to live that VRRP demands.
const TTL: u8 = 255;

/// Sends until it is dropped.
pub(super) struct Forged {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Forged {
    /// Sends each packet (its source, its destination and its message) so many times a second.
    pub(super) fn start(place: &Place, packets: Vec<(Ipv4Addr, Ipv4Addr, Vec<u8>)>, rate: u32) -> Self {
        let over = Arc::<AtomicBool>::default();
        let (ends, place) = (Arc::clone(&over), place.clone());
        let thread = std::thread::spawn(move || {
            if let Err(error) = send(&place, &packets, rate, &ends) {
                eprintln!("nothing is forged: {error}");
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Forged {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

fn send(
    place: &Place,
    packets: &[(Ipv4Addr, Ipv4Addr, Vec<u8>)],
    rate: u32,
    over: &AtomicBool,
) -> std::io::Result<()> {
    place.enter()?;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(VRRP))))?;
    socket.set_header_included_v4(true)?;
    while !over.load(Ordering::Relaxed) {
        for (source, to, message) in packets {
            let mut packet = vec![0x45, 0xc0, 0, 0, 0, 0, 0, 0, TTL, VRRP, 0, 0];
            packet.extend(source.octets());
            packet.extend(to.octets());
            packet.extend(message);
            // A queue that is full for a moment is no reason to end.
            let _ = socket.send_to(&packet, &SocketAddrV4::new(*to, 0).into());
        }
        std::thread::sleep(Duration::from_secs(1) / rate.max(1));
    }
    Ok(())
}
