//! Raw packets of protocol 112 in anybody's name, and an ear for those of others.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::pair::{ATTACKER, host};

/// VRRP's group.
pub(super) const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const VRRP: u8 = 112;
const HEADER: usize = 20;
const LONGEST: usize = 512;
const BUFFER: usize = 1 << 20;

/// Sends packets with headers of its own.
pub(super) struct Forger(Socket);

impl Forger {
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(VRRP))))?;
        socket.set_header_included_v4(true)?;
        socket.set_send_buffer_size(BUFFER)?;
        socket.set_multicast_loop_v4(false)?;
        socket.set_multicast_if_v4(&Ipv4Addr::new(192, 0, 2, ATTACKER))?;
        Ok(Self(socket))
    }

    /// Sends a message to VRRP's group in a host's name. The kernel fills in lengths and the header's checksum.
    pub(super) fn send(&self, source: u8, ttl: u8, message: &[u8]) -> io::Result<()> {
        self.put(source, GROUP, ttl, message)
    }

    /// Sends a message from one host to another in the first one's name.
    pub(super) fn send_to(&self, source: u8, destination: u8, message: &[u8]) -> io::Result<()> {
        self.put(source, Ipv4Addr::new(192, 0, 2, destination), u8::MAX, message)
    }

    fn put(&self, source: u8, destination: Ipv4Addr, ttl: u8, message: &[u8]) -> io::Result<()> {
        let mut packet = vec![0x45, 0xc0, 0, 0, 0, 0, 0, 0, ttl, VRRP, 0, 0, 192, 0, 2, source];
        packet.extend(destination.octets());
        packet.extend(message);
        self.0.send_to(&packet, &SocketAddrV4::new(destination, 0).into()).map(|_| ())
    }
}

/// Hears what is said to VRRP's group.
pub(super) struct Ear(Socket);

impl Ear {
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(VRRP))))?;
        socket.set_nonblocking(true)?;
        let own = match host(ATTACKER) {
            IpAddr::V4(own) => own,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        socket.join_multicast_v4_n(&GROUP, &InterfaceIndexOrAddress::Address(own))?;
        Ok(Self(socket))
    }

    /// Hears what is said to this host alone.
    pub(super) fn at_host() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(VRRP))))?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// The next packet, if there is one: its source, its time to live and its message.
    pub(super) fn hear(&self) -> Option<(IpAddr, u8, Vec<u8>)> {
        let mut buffer = [0; LONGEST];
        let length = (&self.0).read(&mut buffer).ok()?;
        let bytes = buffer.get(..length)?;
        let source: [u8; 4] = bytes.get(12..16)?.try_into().ok()?;
        Some((IpAddr::from(source), *bytes.get(8)?, bytes.get(HEADER..)?.to_vec()))
    }
}
