//! Gratuitous ARP: where an address lives now. As keepalived sends it: a request, from the address to the
//! address; Linux takes that for existing entries at once.

use std::io;
use std::net::Ipv4Addr;

use pnet_base::MacAddr;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, MutableEthernetPacket};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::sys;

/// When an address is announced, in microseconds after it came: past the second during which Linux
/// ignores a neighbour that changes again, and past a switch that was still learning.
pub(crate) const SCHEDULE: [u64; 6] = [0, 50_000, 200_000, 1_100_000, 2_500_000, 5_000_000];

const ETHERNET: usize = 14;
const FRAME: usize = ETHERNET + 28;

/// Sends frames on one interface.
pub(crate) struct Announcer {
    socket: Socket,
    to: SockAddr,
    mac: MacAddr,
}

impl Announcer {
    pub(crate) fn open(index: u32, mac: [u8; 6]) -> io::Result<Self> {
        // Protocol 0: it sends, and is never woken by what others send.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        let [a, b, c, d, e, f] = mac;
        Ok(Self { socket, to: sys::link_address(index)?, mac: MacAddr::new(a, b, c, d, e, f) })
    }

    pub(crate) fn announce(&self, address: Ipv4Addr) -> io::Result<()> {
        self.socket.send_to(&frame(self.mac, address), &self.to).map(|_| ())
    }
}

fn frame(mac: MacAddr, address: Ipv4Addr) -> [u8; FRAME] {
    let mut bytes = [0; FRAME];
    if let Some(mut ethernet) = MutableEthernetPacket::new(&mut bytes) {
        ethernet.set_destination(MacAddr::broadcast());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured from keepalived 2.2.7.
    #[test]
    fn the_frame_is_keepaliveds() {
        let sent = frame(MacAddr::new(2, 0, 0, 0, 0, 1), Ipv4Addr::new(192, 0, 2, 30));
        let hex: String = sent.iter().map(|b| format!("{b:02x}")).collect();
        let ethernet = "ffffffffffff0200000000010806";
        let arp = "0001080006040001020000000001c000021effffffffffffc000021e";
        assert_eq!(hex, format!("{ethernet}{arp}"));
    }
}
