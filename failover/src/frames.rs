//! Whose network card a packet came from. A socket of IP does not tell, and a forger's address stands in no table of
//! neighbours; so the frames of VRRP are looked at a second time, as the link saw them.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::sys;

/// IP protocol number of VRRP.
const VRRP: u32 = 112;
/// Where the headers of both families say which protocol follows, and who sent them.
const PROTOCOL_AT: [u32; 2] = [9, 6];
const SOURCE_AT: [usize; 2] = [12, 8];
/// As much of a frame as is looked at: the longer header.
const LOOKED_AT: usize = 40;
/// Frames read at a time, and senders that are remembered.
const BUDGET: usize = 256;
const MAX_SENDERS: usize = 64;

/// A network card's address.
pub(crate) type Mac = [u8; 6];

/// Frames of VRRP that arrive on one interface.
pub(crate) struct Frames {
    socket: Socket,
    six: bool,
    /// Where a sender's last frame came from.
    senders: BTreeMap<IpAddr, Mac>,
}

impl Frames {
    pub(crate) fn open(index: u32, six: bool) -> io::Result<Self> {
        // Protocol 0: nothing arrives before it is said what.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        let filter = |code, jf, k| SockFilter::new(code, 0, jf, k);
        // Loads the protocol, returns what is looked at if it is ours, and nothing otherwise.
        let load = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
        let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        let give = (libc::BPF_RET | libc::BPF_K) as u16;
        socket.attach_filter(&[
            filter(load, 0, PROTOCOL_AT[usize::from(six)]),
            filter(equal, 1, VRRP),
            filter(give, 0, u32::try_from(LOOKED_AT).unwrap_or(0)),
            filter(give, 0, 0),
        ])?;
        let protocol = if six { libc::ETH_P_IPV6 } else { libc::ETH_P_IP };
        socket.bind(&sys::link_address(index, u16::try_from(protocol).unwrap_or(0))?)?;
        Ok(Self { socket, six, senders: BTreeMap::new() })
    }

    /// Looks at what has arrived.
    pub(crate) fn look(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); LOOKED_AT];
        for _ in 0..BUDGET {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { return };
            let source = source_of(sys::initialized(&buffer, length), self.six);
            let (Some(source), Some(mac)) = (source, sys::hardware_address(&from)) else { continue };
            if self.senders.len() >= MAX_SENDERS && !self.senders.contains_key(&source) {
                // A forger invents senders: whoever is asked for has just been seen.
                self.senders.clear();
            }
            self.senders.insert(source, mac);
        }
    }

    /// Where this sender's last frame came from.
    pub(crate) fn mac_of(&self, source: IpAddr) -> Option<Mac> {
        self.senders.get(&source).copied()
    }
}

/// The source in an IP header.
fn source_of(header: &[u8], six: bool) -> Option<IpAddr> {
    let address = header.get(SOURCE_AT[usize::from(six)]..)?;
    if six {
        address.first_chunk::<16>().map(|octets| IpAddr::from(*octets))
    } else {
        address.first_chunk::<4>().map(|octets| IpAddr::from(*octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_who_sent_it_if_there_is_enough_of_it() {
        let mut four = [0; 20];
        four[12..16].copy_from_slice(&[192, 0, 2, 66]);
        assert_eq!(source_of(&four, false), "192.0.2.66".parse().ok());
        assert_eq!((source_of(&four[..15], false), source_of(&four, true)), (None, None));
        let mut six = [0; 40];
        six[8] = 0xfe;
        six[9] = 0x80;
        six[23] = 1;
        assert_eq!(source_of(&six, true), "fe80::1".parse().ok());
    }
}
