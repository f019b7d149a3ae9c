//! VRRP on the wire: raw sockets of protocol 112, unicast between the members or multicast on a link.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::sys;

/// VRRP's group (RFC 9568 5.1.1.2).
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));
/// VRRP's group over IPv6 (RFC 9568 5.1.2.2).
const GROUP_IPV6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// IP protocol number of VRRP.
const VRRP: i32 = 112;
/// Time to live of every advertisement (RFC 9568 5.1.1.3): one that crossed a router has less.
pub(crate) const TTL: u8 = 255;
/// Network control, as keepalived marks it.
const TOS_CS6: u32 = 0xc0;
/// Largest packet looked at; an advertisement with as many addresses as a file may name is shorter.
const MAX_PACKET: usize = 2_048;

/// VRRP's group of an address' family.
pub(crate) fn group(of: IpAddr) -> IpAddr {
    if of.is_ipv4() { GROUP } else { IpAddr::V6(GROUP_IPV6) }
}

/// A packet with what its IP header says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ttl: u8,
    pub(crate) message: Vec<u8>,
}

/// The sockets of one virtual router.
pub(crate) struct VrrpSocket {
    own: IpAddr,
    /// The interface's number, which addresses of a link need.
    index: u32,
    sender: Socket,
    /// A socket bound to an address hears nothing that is sent to a group.
    listener: Option<Socket>,
}

impl VrrpSocket {
    /// Opens them on this machine's own address and its interface, for a group or for peers, who are told with this
    /// time to live. What goes to the group may leave by an interface `above`.
    pub(crate) fn open(
        own: IpAddr,
        (interface, index): (&str, u32),
        above: Option<(&str, u32)>,
        group: Option<IpAddr>,
        ttl: u8,
    ) -> io::Result<Self> {
        let (leaves, leaves_by) = above.filter(|_| group.is_some()).unwrap_or((interface, index));
        let sender = raw(own)?;
        let mut listener = None;
        if group.is_some() {
            sender.bind_device(Some(leaves.as_bytes()))?;
            let socket = raw(own)?;
            socket.bind_device(Some(interface.as_bytes()))?;
            listener = Some(socket);
        }
        if own.is_ipv4() {
            sender.set_ttl_v4(u32::from(ttl))?;
            sender.set_tos_v4(TOS_CS6)?;
            if let Some(listener) = &listener {
                sender.set_multicast_ttl_v4(u32::from(TTL))?;
                sender.set_multicast_loop_v4(false)?;
                listener.set_multicast_all_v4(false)?;
                if let Some(IpAddr::V4(group)) = group {
                    listener.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
                }
            }
        } else {
            sender.set_unicast_hops_v6(u32::from(ttl))?;
            sender.set_tclass_v6(TOS_CS6)?;
            sys::tell_of_packets(listener.as_ref().unwrap_or(&sender))?;
            if let Some(listener) = &listener {
                sender.set_multicast_hops_v6(u32::from(TTL))?;
                sender.set_multicast_loop_v6(false)?;
                sender.set_multicast_if_v6(leaves_by)?;
                if let Some(IpAddr::V6(group)) = group {
                    listener.join_multicast_v6(&group, index)?;
                }
            }
        }
        if leaves_by != index && own.is_ipv6() {
            // The address is the other interface's.
            sender.set_freebind_v6(true)?;
        }
        sender.bind(&place(own, leaves_by).into())?;
        Ok(Self { own, index: leaves_by, sender, listener })
    }

    pub(crate) fn send(&self, message: &[u8], to: IpAddr) -> io::Result<()> {
        self.sender.send_to(message, &place(to, self.index).into()).map(|_| ())
    }

    fn ears(&self) -> &Socket {
        self.listener.as_ref().unwrap_or(&self.sender)
    }

    /// The next packet, if there is one; what is no packet of this family is passed over.
    pub(crate) fn receive(&self) -> Option<Packet> {
        let mut buffer = [MaybeUninit::uninit(); MAX_PACKET];
        if self.own.is_ipv6() {
            // The kernel keeps the header of IPv6, and says what stood in it.
            let mut bytes = [0; MAX_PACKET];
            let about = sys::receive_with_header(self.ears(), &mut bytes).ok()?;
            return Some(Packet {
                source: IpAddr::V6(about.source),
                destination: IpAddr::V6(about.destination?),
                ttl: about.hop_limit?,
                message: bytes.get(..about.length)?.to_vec(),
            });
        }
        loop {
            let length = self.ears().recv(&mut buffer).ok()?;
            let bytes = sys::initialized(&buffer, length);
            if let Some(packet) = parse(bytes) {
                return Some(packet);
            }
        }
    }
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ears().as_fd()
    }
}

fn raw(own: IpAddr) -> io::Result<Socket> {
    let domain = if own.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(VRRP)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Where a socket is bound or a packet goes: addresses of a link are on this interface.
fn place(address: IpAddr, index: u32) -> SocketAddr {
    match address {
        IpAddr::V4(_) => SocketAddr::new(address, 0),
        IpAddr::V6(six) => {
            let of_link = six.is_unicast_link_local() || six.is_multicast();
            SocketAddr::V6(SocketAddrV6::new(six, 0, 0, if of_link { index } else { 0 }))
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Packet> {
    let header: &[u8; 20] = bytes.first_chunk()?;
    let length = usize::from(header[0] & 0xf) * 4;
    let address = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(header.get(at..at + 4)?).ok()?));
    (header[0] >> 4 == 4).then_some(Packet {
        source: address(12)?,
        destination: address(16)?,
        ttl: header[8],
        message: bytes.get(length.max(20)..)?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ip_header_is_read_with_its_options_and_never_trusted() {
        let mut bytes =
            vec![0x46, 0xc0, 0, 28, 0, 1, 0, 0, 255, 112, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 1, 1, 1, 1];
        bytes.extend([0x31, 52, 200]);
        let packet = parse(&bytes).unwrap();
        assert_eq!((packet.source, packet.ttl), ("192.0.2.1".parse().unwrap(), 255));
        assert_eq!(packet.message, [0x31, 52, 200]);
        for cut in 0..24 {
            assert_eq!(parse(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(parse(&[0x65; 40]), None);
    }
}
