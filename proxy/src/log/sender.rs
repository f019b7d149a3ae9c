//! The sockets log lines leave by: one set per core, never blocking.

use std::cell::OnceCell;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::net::UnixDatagram;

use proxy_config::model::{LogAddress, LogTarget};

use super::{LogQueue, date};
use crate::clock::now_ms;

/// One core's sockets, opened at their first use.
#[derive(Default)]
pub(crate) struct Sender {
    v4: OnceCell<Option<UdpSocket>>,
    v6: OnceCell<Option<UdpSocket>>,
    unix: OnceCell<Option<UnixDatagram>>,
}

impl Sender {
    /// Sends one line; `false` if it was lost.
    pub(crate) fn send(&self, target: &LogTarget, severity: u8, tag: &str, line: &[u8]) -> bool {
        let mut datagram = Vec::with_capacity(line.len() + 64);
        match &target.address {
            LogAddress::Stdout | LogAddress::Stderr => {
                datagram.extend_from_slice(line);
                datagram.push(b'\n');
            }
            LogAddress::Udp(_) | LogAddress::Unix(_) => {
                let priority = u16::from(target.facility) * 8 + u16::from(severity);
                let date = date::syslog(now_ms());
                // Writing to a vector cannot fail.
                let _ = write!(datagram, "<{priority}>{date} {tag}[{}]: ", std::process::id());
                datagram.extend_from_slice(line);
                datagram.push(b'\n');
            }
        }
        match &target.address {
            // Lost lines are counted where all lines of the process meet: another lost line than ours is none of ours.
            LogAddress::Stdout => {
                LogQueue::stdout().give(&datagram);
                true
            }
            LogAddress::Stderr => {
                LogQueue::stderr().give(&datagram);
                true
            }
            LogAddress::Udp(address) => {
                let (cell, any): (_, IpAddr) = if address.is_ipv4() {
                    (&self.v4, Ipv4Addr::UNSPECIFIED.into())
                } else {
                    (&self.v6, Ipv6Addr::UNSPECIFIED.into())
                };
                let socket = cell.get_or_init(|| {
                    let socket = UdpSocket::bind((any, 0)).ok()?;
                    socket.set_nonblocking(true).ok()?;
                    Some(socket)
                });
                socket.as_ref().is_some_and(|s| s.send_to(&datagram, address).is_ok())
            }
            LogAddress::Unix(path) => {
                let socket = self.unix.get_or_init(|| {
                    let socket = UnixDatagram::unbound().ok()?;
                    socket.set_nonblocking(true).ok()?;
                    Some(socket)
                });
                socket.as_ref().is_some_and(|s| s.send_to(&datagram, path).is_ok())
            }
        }
    }
}
