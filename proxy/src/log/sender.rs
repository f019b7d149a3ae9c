//! The sockets log lines leave by: one set per core, never blocking.

use std::cell::OnceCell;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;

use proxy_config::model::{Config, LogAddress, LogForm, LogTarget};

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

/// Who says a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From<'f> {
    tag: &'f str,
    /// The host's name, where lines have one.
    host: Option<&'f str>,
}

impl<'f> From<'f> {
    pub(crate) fn new(config: &'f Config, tag: Option<&'f str>) -> Self {
        let tag = tag.or(config.global.log_tag.as_deref()).unwrap_or("haproxy");
        let named = |name: &'f str| if name.is_empty() { own_host() } else { name };
        Self { tag, host: config.global.log_host.as_deref().map(named) }
    }
}

/// This machine's name, as it was when first asked for.
fn own_host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// What stands before a line's text.
fn header(target: &LogTarget, level: u8, from: From<'_>, out: &mut Vec<u8>) {
    let now = now_ms();
    let priority = u16::from(target.facility) * 8 + u16::from(level);
    let (From { tag, host }, pid) = (from, std::process::id());
    let is_named = target.format == LogForm::Usual && host.is_some();
    let form = if is_named { LogForm::Rfc3164 } else { target.format };
    // Writing to a vector cannot fail.
    let _ = match form {
        LogForm::Usual | LogForm::Local => {
            write!(out, "<{priority}>{} {tag}[{pid}]: ", date::syslog(now))
        }
        LogForm::Rfc3164 => {
            let host = host.unwrap_or("localhost");
            write!(out, "<{priority}>{} {host} {tag}[{pid}]: ", date::syslog(now))
        }
        LogForm::Rfc5424 => {
            let host = host.unwrap_or("-");
            write!(out, "<{priority}>1 {} {host} {tag} {pid} - - ", date::iso(now))
        }
        LogForm::Priority => write!(out, "<{priority}>"),
        LogForm::Short => write!(out, "<{level}>"),
        LogForm::Timed => write!(out, "<{level}>{} ", date::iso(now)),
        LogForm::Iso => write!(out, "{} ", date::iso(now)),
        LogForm::Raw => Ok(()),
    };
}

impl Sender {
    /// Sends one line, if its target takes it; `false` if it was lost.
    pub(crate) fn send(&self, target: &LogTarget, severity: u8, from: From<'_>, line: &[u8]) -> bool {
        if severity > target.max_level || target.sample.as_ref().is_some_and(|sample| !sample.takes_next()) {
            return true;
        }
        let mut datagram = Vec::with_capacity(line.len() + 64);
        header(target, severity.max(target.min_level), from, &mut datagram);
        datagram.extend_from_slice(line);
        datagram.truncate(target.length);
        datagram.push(b'\n');
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
