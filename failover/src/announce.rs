//! Where an address lives now. Gratuitous ARP as keepalived sends it: a request, from the address to the
//! address; Linux takes that for existing entries at once. For IPv6 an unsolicited neighbour advertisement
//! (RFC 4861 7.2.6).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet_base::MacAddr;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, MutableEthernetPacket};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::sys;

const ETHERNET: usize = 14;
const FRAME: usize = ETHERNET + 28;

/// Sends frames on one interface.
pub struct Announcer {
    socket: Socket,
    to: SockAddr,
    mac: MacAddr,
}

impl Announcer {
    /// Opens a socket in the thread's network namespace, for an interface with this hardware address.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn open(index: u32, mac: [u8; 6]) -> io::Result<Self> {
        // Protocol 0: it sends, and is never woken by what others send.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        let [a, b, c, d, e, f] = mac;
        Ok(Self { socket, to: sys::link_address(index, 0)?, mac: MacAddr::new(a, b, c, d, e, f) })
    }

    /// Says once that the address lives here.
    ///
    /// # Errors
    /// The link is down, or its queue full.
    pub fn announce(&self, address: IpAddr) -> io::Result<()> {
        let sent = match address {
            IpAddr::V4(address) => {
                self.socket.send_to(&frame(self.mac, address, MacAddr::broadcast()), &self.to)
            }
            IpAddr::V6(address) => {
                self.socket.send_to(&advertisement(self.mac, address, (ALL_NODES, ALL_NODES_MAC)), &self.to)
            }
        };
        sent.map(|_| ())
    }

    /// Says so to one neighbour, who may have believed another one, and whom a switch may keep what goes to all from.
    ///
    /// # Errors
    /// The link is down, or its queue full.
    pub fn correct(&self, address: IpAddr, (neighbour, mac): (IpAddr, [u8; 6])) -> io::Result<()> {
        let [a, b, c, d, e, f] = mac;
        let sent = match (address, neighbour) {
            (IpAddr::V4(address), IpAddr::V4(_)) => {
                self.socket.send_to(&frame(self.mac, address, MacAddr::new(a, b, c, d, e, f)), &self.to)
            }
            (IpAddr::V6(address), IpAddr::V6(neighbour)) => {
                self.socket.send_to(&advertisement(self.mac, address, (neighbour, mac)), &self.to)
            }
            // A neighbour of the other family does not ask for this address.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return Ok(()),
        };
        sent.map(|_| ())
    }
}

/// The places of so many whose turn it is, `most` at once, from `first` on; and where the next turn begins.
pub(crate) fn turn(count: usize, first: usize, most: usize) -> (impl Iterator<Item = usize>, usize) {
    let first = if first < count { first } else { 0 };
    let taken = count.min(most);
    let next = if taken < count { (first + taken) % count } else { 0 };
    ((first..first + taken).map(move |place| place % count), next)
}

fn frame(mac: MacAddr, address: Ipv4Addr, to: MacAddr) -> [u8; FRAME] {
    let mut bytes = [0; FRAME];
    if let Some(mut ethernet) = MutableEthernetPacket::new(&mut bytes) {
        ethernet.set_destination(to);
        ethernet.set_source(mac);
        ethernet.set_ethertype(EtherTypes::Arp);
    }
    if let Some(mut arp) = MutableArpPacket::new(&mut bytes[ETHERNET..]) {
        arp.set_hardware_type(ArpHardwareTypes::Ethernet);
        arp.set_protocol_type(EtherTypes::Ipv4);
        arp.set_hw_addr_len(6);
        arp.set_proto_addr_len(4);
        arp.set_operation(ArpOperations::Request);
        arp.set_sender_hw_addr(mac);
        arp.set_sender_proto_addr(address);
        arp.set_target_hw_addr(MacAddr::broadcast());
        arp.set_target_proto_addr(address);
    }
    bytes
}

/// Every node of a link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ICMPV6: u8 = 58;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// What was known before is replaced (RFC 4861 4.4).
const OVERRIDE: u8 = 0x20;
/// Hop limit of what must not have crossed a router.
const HOP_LIMIT: u8 = 255;

fn advertisement(mac: MacAddr, address: Ipv6Addr, (to, to_mac): (Ipv6Addr, [u8; 6])) -> Vec<u8> {
    let mac = mac.octets();
    let mut message = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0];
    message.extend(address.octets());
    // Option: the target's link-layer address, one unit of eight bytes.
    message.extend([2, 1]);
    message.extend(mac);
    let length = u8::try_from(message.len()).unwrap_or(u8::MAX);
    let mut summed: Vec<u8> = Vec::new();
    summed.extend(address.octets());
    summed.extend(to.octets());
    summed.extend([0, 0, 0, length, 0, 0, 0, ICMPV6]);
    summed.extend(&message);
    let mut sum: u32 = summed.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !u16::try_from(sum).unwrap_or(0);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = to_mac.to_vec();
    frame.extend(mac);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, length, ICMPV6, HOP_LIMIT]);
    frame.extend(address.octets());
    frame.extend(to.octets());
    frame.extend(message);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured from keepalived 2.2.7.
    #[test]
    fn the_advertisement_is_keepaliveds() {
        let sent = advertisement(
            MacAddr::new(2, 0, 0, 0, 0, 1),
            "2001:db8::55".parse().unwrap(),
            (ALL_NODES, ALL_NODES_MAC),
        );
        let hex: String = sent[54..].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "8800f88220000000".to_owned() + "20010db8000000000000000000000055" + "0201020000000001"
        );
        assert_eq!(sent[..14], [0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]);
    }

    /// Captured from keepalived 2.2.7.
    #[test]
    fn the_frame_is_keepaliveds() {
        let sent = frame(MacAddr::new(2, 0, 0, 0, 0, 1), Ipv4Addr::new(192, 0, 2, 30), MacAddr::broadcast());
        let hex: String = sent.iter().map(|b| format!("{b:02x}")).collect();
        let ethernet = "ffffffffffff0200000000010806";
        let arp = "0001080006040001020000000001c000021effffffffffffc000021e";
        assert_eq!(hex, format!("{ethernet}{arp}"));
    }

    #[test]
    fn with_enough_turns_everybody_has_had_one() {
        let mut first = 0;
        let mut seen = Vec::new();
        for _ in 0..4 {
            let (places, next) = turn(10, first, 4);
            let places: Vec<usize> = places.collect();
            assert_eq!(places.len(), 4, "no more than one turn may take");
            seen.extend(places);
            first = next;
        }
        assert_eq!(seen[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
        // Where there is room for all, all have a turn; where some have gone, it begins anew.
        assert_eq!(turn(3, 0, 4).0.collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(turn(3, 8, 2).0.collect::<Vec<_>>(), [0, 1]);
        assert_eq!(turn(0, 8, 2).0.count(), 0);
    }
}
