//! What a host's card sees, both ways, with the kernel's times.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketType, recv, socket};

use super::Namespace;
use crate::sys::last_packet_at;

/// Every protocol (linux/if_ether.h), as the network orders bytes.
const EVERY: u16 = 3_u16.to_be();
/// How much of a frame is looked at.
const HEAD: usize = 128;
/// How often it is seen whether the capture is over.
const LOOK: Duration = Duration::from_millis(50);
/// Room for frames while the capture has no turn.
const QUEUE: usize = 8 << 20;

/// One frame: when the kernel had it, and how it begins.
pub(crate) struct Frame<'a> {
    pub(crate) at: SystemTime,
    bytes: &'a [u8],
}

/// A capture; it ends when it is asked what it has seen.
pub(crate) struct Capture<T> {
    over: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<T>>>,
}

impl<T: Send + 'static> Capture<T> {
    /// Begins in a host, and keeps what `pick` makes of its frames.
    pub(crate) fn start(
        host: &Namespace,
        pick: impl Fn(&Frame<'_>) -> Option<T> + Send + 'static,
    ) -> io::Result<Self> {
        let socket = host.inside(open)??;
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut kept = Vec::new();
            let mut bytes = [0; HEAD];
            while !told.load(Ordering::Relaxed) {
                match recv(&socket, &mut bytes, RecvFlags::empty()) {
                    Ok((length, _)) => {
                        let at = last_packet_at(&socket).unwrap_or_else(|_| SystemTime::now());
                        kept.extend(pick(&Frame { at, bytes: &bytes[..length] }));
                    }
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(kept)
        });
        Ok(Self { over, thread })
    }

    pub(crate) fn finish(self) -> Result<Vec<T>, String> {
        self.over.store(true, Ordering::Relaxed);
        let kept = self.thread.join().map_err(|_| "the capture died")?;
        kept.map_err(|e| format!("the capture ended: {e}"))
    }
}

fn open() -> io::Result<OwnedFd> {
    let every = NonZeroU32::new(u32::from(EVERY)).map(Protocol::from_raw);
    let socket = socket(AddressFamily::PACKET, SocketType::RAW, every)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(LOOK))?;
    set_socket_recv_buffer_size(&socket, QUEUE)?;
    // Asked once, the kernel writes down the time of every packet; there is none yet.
    let _ = last_packet_at(&socket);
    Ok(socket)
}

impl Frame<'_> {
    fn at<const N: usize>(&self, place: usize) -> Option<[u8; N]> {
        self.bytes.get(place..place + N)?.try_into().ok()
    }

    /// The card that sent it.
    pub(crate) fn sender(&self) -> Option<[u8; 6]> {
        self.at(6)
    }

    /// The address that it says is the sender's: ARP's, or the one of a segment of TCP.
    pub(crate) fn answers_for(&self) -> Option<[u8; 4]> {
        match self.at(12)? {
            [0x08, 0x06] => self.at(28),
            [0x08, 0x00] if self.at(23)? == [6] => self.at(26),
            _ => None,
        }
    }

    /// Sender and priority of an advertisement.
    pub(crate) fn advertisement(&self) -> Option<([u8; 4], u8)> {
        let [version] = self.at(14)?;
        if self.at(12)? != [0x08, 0x00] || self.at(23)? != [112] {
            return None;
        }
        let [_, _, priority] = self.at(14 + usize::from(version & 0xf) * 4)?;
        Some((self.at(26)?, priority))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_say_who_answers_for_what() {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 11, 0x08, 0x00, 0x45]);
        frame.resize(14 + 20, 0);
        frame[23] = 112;
        frame[26..30].copy_from_slice(&[192, 0, 2, 11]);
        frame.extend([0x31, 51, 150]);
        let look = |bytes: &[u8]| {
            let frame = Frame { at: SystemTime::UNIX_EPOCH, bytes };
            (frame.sender(), frame.answers_for(), frame.advertisement())
        };
        let sender = Some([2, 0, 0, 0, 0, 11]);
        assert_eq!(look(&frame), (sender, None, Some(([192, 0, 2, 11], 150))));
        frame[23] = 6;
        assert_eq!(look(&frame), (sender, Some([192, 0, 2, 11]), None));
        assert_eq!(look(&frame[..20]), (sender, None, None));
    }
}
