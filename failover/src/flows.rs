//! The connections of this node, as the kernel knows them: who still talks to an address that has moved.
#![allow(clippy::wildcard_enum_match_arm, reason = "the kernel's messages grow, and most are not for us")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;

use netlink_packet_core::{NLM_F_DUMP, NetlinkPayload};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as KernelAddress};

use crate::netlink::messages;
use crate::nft::Attributes;
use crate::raw::Raw;

/// Connections that are listed at most; beyond that nobody could keep them apart in time.
pub const MAX_FLOWS: usize = 1 << 17;
/// Addresses that are asked for at once.
const MAX_ADDRESSES: usize = 256;
/// What the kernel puts into one part of a list at most.
const MAX_PART: usize = 32 * 1_024;

const BY_FAMILY: u16 = 20;
const TCP: u8 = libc::IPPROTO_TCP as u8;
const FIN_WAIT2: u8 = 5;
/// Every state in which something may still be sent or received (linux/net/tcp_states.h): established, being
/// established, both waits for the end, the wait for ours, the last acknowledgement, both ending.
const STATES: u32 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << FIN_WAIT2 | 1 << 8 | 1 << 9 | 1 << 11;
/// The attribute that holds the filter, and its steps (linux/inet_diag.h).
const FILTER: u16 = 1;
const JUMP: u8 = 1;
const SOURCE: u8 = 7;
const STEP: usize = 4;

/// One connection of TCP, by its two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The other end.
    pub client: SocketAddr,
    /// Ours.
    pub own: SocketAddr,
}

/// The connections whose own end is one of these addresses and that may still carry something, the first
/// [`MAX_FLOWS`] of them. IPv4 within IPv6 is IPv4.
///
/// # Errors
/// The kernel's answer.
pub fn established(addresses: &[IpAddr]) -> io::Result<Vec<Flow>> {
    let mut flows = Vec::new();
    each(addresses, |socket| {
        flows.push(socket.flow);
        if flows.len() < MAX_FLOWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(flows)
}

/// Whether a connection still needs these addresses here: a drain is over when none does. One that no process has any
/// more and whose every byte has arrived needs nothing. The first that does is the last that is read: a drain asks
/// this several times a second, however many there are.
///
/// # Errors
/// The kernel's answer.
pub fn any(addresses: &[IpAddr]) -> io::Result<bool> {
    each(addresses, |socket| if socket.is_over { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
}

/// How many connections still need these addresses here.
///
/// # Errors
/// The kernel's answer.
pub fn count(addresses: &[IpAddr]) -> io::Result<usize> {
    let mut count = 0;
    each(addresses, |socket| {
        count += usize::from(!socket.is_over);
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

struct Seen {
    flow: Flow,
    is_over: bool,
}

/// Whether it was broken off.
fn each(addresses: &[IpAddr], mut seen: impl FnMut(Seen) -> ControlFlow<()>) -> io::Result<bool> {
    if addresses.is_empty() {
        return Ok(false);
    }
    if addresses.len() > MAX_ADDRESSES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let six = addresses.iter().any(IpAddr::is_ipv6);
    let mut buffer = Vec::with_capacity(MAX_PART);
    let mut keep = |socket: Seen| {
        if addresses.contains(&socket.flow.own.ip()) { seen(socket) } else { ControlFlow::Continue(()) }
    };
    if addresses.iter().any(IpAddr::is_ipv4) && dump(libc::AF_INET, addresses, &mut buffer, &mut keep)? {
        return Ok(true);
    }
    // Connections to an address of IPv4 may be at a socket of IPv6, too.
    match dump(libc::AF_INET6, addresses, &mut buffer, &mut keep) {
        // A kernel without IPv6 has no sockets of it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !six => Ok(false),
        other => other,
    }
}

fn dump(
    family: libc::c_int,
    addresses: &[IpAddr],
    buffer: &mut Vec<u8>,
    seen: &mut impl FnMut(Seen) -> ControlFlow<()>,
) -> io::Result<bool> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&KernelAddress::new(0, 0))?;
    // The kernel always has the next part ready.
    socket.set_non_blocking(true)?;
    let mut body = vec![u8::try_from(family).unwrap_or(0), TCP, 0, 0];
    body.extend(STATES.to_ne_bytes());
    // Which socket: any.
    body.extend([0; 48]);
    body.extend(Attributes::new().bytes(FILTER, &filter(addresses)).finish()?);
    socket.send(&Raw { kind: BY_FAMILY, body }.request(NLM_F_DUMP, 1), 0)?;
    loop {
        buffer.clear();
        socket.recv(buffer, 0)?;
        for answer in messages::<Raw>(buffer) {
            match answer.payload {
                NetlinkPayload::InnerMessage(inner) => {
                    // What the kernel would still list goes with the socket.
                    if let Some(found) = read(&inner.body)
                        && seen(found).is_break()
                    {
                        return Ok(true);
                    }
                }
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::Done(done) if done.code < 0 => {
                    return Err(io::Error::from_raw_os_error(done.code.saturating_neg()));
                }
                NetlinkPayload::Done(_) => return Ok(false),
                _ => {}
            }
        }
    }
}

/// The kernel's filter: any of these addresses is the socket's own. A condition that holds goes on to the jump behind
/// it, which leads to the end; the last one goes there by itself, or, failing, beyond, which refuses the socket.
fn filter(addresses: &[IpAddr]) -> Vec<u8> {
    let steps: Vec<Vec<u8>> = addresses.iter().map(condition).collect();
    let mut rest: usize = steps.iter().map(|step| step.len() + STEP).sum::<usize>().saturating_sub(STEP);
    let mut bytes = Vec::new();
    for step in steps {
        rest -= step.len();
        bytes.extend(step);
        if rest > 0 {
            bytes.extend([JUMP, STEP as u8]);
            bytes.extend(u16::try_from(rest).unwrap_or(u16::MAX).to_ne_bytes());
            rest -= STEP;
        }
    }
    bytes
}

fn condition(address: &IpAddr) -> Vec<u8> {
    let (family, address) = match address {
        IpAddr::V4(four) => (libc::AF_INET, four.octets().to_vec()),
        IpAddr::V6(six) => (libc::AF_INET6, six.octets().to_vec()),
    };
    let bits = u8::try_from(address.len() * 8).unwrap_or(u8::MAX);
    let length = STEP + 8 + address.len();
    let mut bytes = vec![SOURCE, u8::try_from(length).unwrap_or(u8::MAX)];
    bytes.extend(u16::try_from(length + STEP).unwrap_or(u16::MAX).to_ne_bytes());
    // The family, the length of the prefix, any port.
    bytes.extend([u8::try_from(family).unwrap_or(0), bits, 0, 0]);
    bytes.extend((-1_i32).to_ne_bytes());
    bytes.extend(address);
    bytes
}

/// A socket as the kernel describes it (`inet_diag_msg`).
fn read(body: &[u8]) -> Option<Seen> {
    let [family, state, ..] = *body else { return None };
    let end = |port: usize, address: usize| -> Option<SocketAddr> {
        let port = u16::from_be_bytes(body.get(port..port + 2)?.try_into().ok()?);
        let address: [u8; 16] = body.get(address..address + 16)?.try_into().ok()?;
        let address = if libc::c_int::from(family) == libc::AF_INET {
            let [a, b, c, d, ..] = address;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        } else {
            IpAddr::V6(Ipv6Addr::from(address)).to_canonical()
        };
        Some(SocketAddr::new(address, port))
    };
    let flow = Flow { own: end(4, 8)?, client: end(6, 24)? };
    let inode: [u8; 4] = body.get(68..72)?.try_into().ok()?;
    Some(Seen { flow, is_over: state == FIN_WAIT2 && inode == [0; 4] })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use std::io::Write as _;

    use super::*;

    /// Both ends of a connection to this address, and the kernel's opinion, whoever else is there.
    fn found_at(bind: &str, connect: &str) -> (Flow, Vec<Flow>) {
        let listener = TcpListener::bind((bind, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((connect, port)).unwrap();
        let _server = listener.accept().unwrap();
        let own: IpAddr = connect.parse().unwrap();
        let flow = Flow { client: client.local_addr().unwrap(), own: SocketAddr::new(own, port) };
        let others = ["203.0.113.1".parse().unwrap(), own, "2001:db8::1".parse().unwrap()];
        assert!(count(&others).unwrap() >= 1);
        assert!(any(&others).unwrap());
        (flow, established(&others).unwrap())
    }

    #[test]
    fn a_connection_is_found_by_its_own_end() {
        let (flow, flows) = found_at("127.0.0.1", "127.0.0.1");
        // The client's end is at the same address here, and the listener is none. Others talk there, too.
        let port = flow.own.port();
        let mut here: Vec<Flow> =
            flows.into_iter().filter(|flow| [flow.own.port(), flow.client.port()].contains(&port)).collect();
        here.sort_by_key(|found| *found != flow);
        assert_eq!(here, [flow, Flow { own: flow.client, client: flow.own }]);
    }

    #[test]
    fn ipv4_within_ipv6_is_ipv4() {
        if TcpListener::bind(("::", 0)).is_err() {
            let _ = writeln!(std::io::stderr(), "skipped: there is no IPv6 here");
            return;
        }
        let (flow, flows) = found_at("::", "127.0.0.1");
        assert!(flows.contains(&flow));
        let (flow, flows) = found_at("::1", "::1");
        assert!(flows.contains(&flow));
    }

    #[test]
    fn nobody_talks_to_an_address_that_nobody_has() {
        let nobody: Vec<IpAddr> = (0..=255).map(|n| IpAddr::V4(Ipv4Addr::new(203, 0, 113, n))).collect();
        assert_eq!(count(&nobody).unwrap(), 0);
        assert_eq!(established(&nobody).unwrap(), []);
        assert_eq!(count(&[]).unwrap(), 0);
        assert!(!any(&nobody).unwrap());
        assert!(!any(&[]).unwrap());
    }

    #[test]
    fn nothing_is_read_after_the_answer_is_known() {
        let own: IpAddr = "127.0.0.9".parse().unwrap();
        let listener = TcpListener::bind((own, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let both = || (TcpStream::connect(address).unwrap(), listener.accept().unwrap());
        let _open = [both(), both(), both()];
        let mut read = 0;
        let ended = each(&[own], |_| {
            read += 1;
            ControlFlow::Break(())
        });
        assert_eq!((ended.unwrap(), read), (true, 1));
        assert!(count(&[own]).unwrap() >= 3);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let whole = [2; 72];
        assert!(read(&whole).is_some());
        assert!((0..72).all(|length| read(&whole[..length]).is_none()));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_filter_ends_where_the_kernel_checks() {
        let one = filter(&["192.0.2.1".parse().unwrap()]);
        assert_eq!(one, [7, 16, 20, 0, 2, 32, 0, 0, 255, 255, 255, 255, 192, 0, 2, 1]);
        let two = filter(&["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()]);
        // The jump leads over the second condition, to the end.
        assert_eq!(two[16..20], [1, 4, 20, 0]);
        assert_eq!(two.len(), 36);
    }
}
