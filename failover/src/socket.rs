//! VRRP on the wire: raw sockets of protocol 112, unicast between the members or multicast on a link.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

/// VRRP's group (RFC 9568 5.1.1.2).
pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// IP protocol number of VRRP.
const VRRP: i32 = 112;
/// Time to live of every advertisement (RFC 9568 5.1.1.3): one that crossed a router has less.
pub(crate) const TTL: u8 = 255;
/// Network control, as keepalived marks it.
const TOS_CS6: u32 = 0xc0;
/// Largest packet looked at; an advertisement with 255 addresses is shorter.
const MAX_PACKET: usize = 2_048;

/// A packet with what its IP header says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) ttl: u8,
    pub(crate) message: Vec<u8>,
}

/// The sockets of one virtual router.
pub(crate) struct VrrpSocket {
    sender: Socket,
    /// A socket bound to an address hears nothing that is sent to a group.
    listener: Option<Socket>,
}

impl VrrpSocket {
    /// Opens them on this machine's own address; `group`: multicast on this interface.
    pub(crate) fn open(own: Ipv4Addr, group: Option<(&str, u32)>) -> io::Result<Self> {
        let sender = raw()?;
        sender.set_ttl_v4(u32::from(TTL))?;
        sender.set_tos_v4(TOS_CS6)?;
        let mut listener = None;
        if let Some((interface, index)) = group {
            sender.set_multicast_ttl_v4(u32::from(TTL))?;
            sender.set_multicast_loop_v4(false)?;
            sender.bind_device(Some(interface.as_bytes()))?;
            let socket = raw()?;
            socket.bind_device(Some(interface.as_bytes()))?;
            socket.set_multicast_all_v4(false)?;
            socket.join_multicast_v4_n(&GROUP, &InterfaceIndexOrAddress::Index(index))?;
            listener = Some(socket);
        }
        sender.bind(&SocketAddrV4::new(own, 0).into())?;
        Ok(Self { sender, listener })
    }

    pub(crate) fn send(&self, message: &[u8], to: Ipv4Addr) -> io::Result<()> {
        self.sender.send_to(message, &SocketAddrV4::new(to, 0).into()).map(|_| ())
    }

    fn ears(&self) -> &Socket {
        self.listener.as_ref().unwrap_or(&self.sender)
    }

    /// The next packet, if there is one; what is no IPv4 packet is passed over.
    pub(crate) fn receive(&self) -> Option<Packet> {
        let mut buffer = [MaybeUninit::uninit(); MAX_PACKET];
        loop {
            let length = self.ears().recv(&mut buffer).ok()?;
            let bytes = crate::sys::initialized(&buffer, length);
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

fn raw() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(VRRP)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn parse(bytes: &[u8]) -> Option<Packet> {
    let header: &[u8; 20] = bytes.first_chunk()?;
    let length = usize::from(header[0] & 0xf) * 4;
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(header.get(at..at + 4)?).ok()?));
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
        assert_eq!((packet.source, packet.ttl), (Ipv4Addr::new(192, 0, 2, 1), 255));
        assert_eq!(packet.message, [0x31, 52, 200]);
        for cut in 0..24 {
            assert_eq!(parse(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(parse(&[0x65; 40]), None);
    }
}
