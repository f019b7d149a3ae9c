//! The sockets log lines leave by: one set per core, never blocking.

use std::cell::OnceCell;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::net::UnixDatagram;

use proxy_config::model::{LogAddress, LogTarget};

use super::{LogQueue, date};
use crate::clock::now_ms;

/// One core's sockets, opened at their first use.
#[derive(Default)]
pub(crate) struct Sender {
    v4: OnceCell<UdpSocket>,
    v6: OnceCell<UdpSocket>,
    unix: OnceCell<UnixDatagram>,
}

/// The socket that is kept; one that cannot be opened now may be at the next line.
fn kept<S>(cell: &OnceCell<S>, open: impl FnOnce() -> io::Result<S>) -> Option<&S> {
    if cell.get().is_none() {
        // Nobody else opened it meanwhile: a sender is of one core.
        let _ = cell.set(open().ok()?);
    }
    cell.get()
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
                let socket = kept(cell, || {
                    let socket = UdpSocket::bind((any, 0))?;
                    socket.set_nonblocking(true).map(|()| socket)
                });
                socket.is_some_and(|s| s.send_to(&datagram, address).is_ok())
            }
            LogAddress::Unix(path) => {
                let socket = kept(&self.unix, || {
                    let socket = UnixDatagram::unbound()?;
                    socket.set_nonblocking(true).map(|()| socket)
                });
                socket.is_some_and(|s| s.send_to(&datagram, path).is_ok())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_that_could_not_be_opened_is_opened_for_the_next_line() {
        let cell = OnceCell::new();
        assert_eq!(kept(&cell, || Err::<u8, _>(io::ErrorKind::QuotaExceeded.into())), None);
        assert_eq!(kept(&cell, || Ok(7)), Some(&7));
        assert_eq!(kept(&cell, || Ok(8)), Some(&7));
    }
}
