//! Advertisements to bytes and back (RFC 9568 5, RFC 3768 5). Version 3 over IPv4 is sent with the
//! pseudo-header in its checksum, as keepalived does; without it is accepted too, as other routers do.
//! Over IPv6 it is always there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Centis;

/// IP protocol number of VRRP.
const PROTOCOL: u8 = 112;
const ADVERTISEMENT: u8 = 1;
const HEADER: usize = 8;
/// Where the checksum stands.
const CHECKSUM: std::ops::Range<usize> = 6..8;
/// Version 2 always ends with eight bytes of authentication data.
const AUTHENTICATION: usize = 8;

/// The protocol's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 3768: whole seconds, optional plain password.
    V2,
    /// RFC 9568: hundredths of seconds.
    V3,
}

impl Version {
    /// The version that a file names: 2, or else 3.
    pub(crate) fn named(text: &str) -> Self {
        if text == "2" { Self::V2 } else { Self::V3 }
    }

    /// Bytes behind the addresses.
    fn tail(self) -> usize {
        if self == Self::V2 { AUTHENTICATION } else { 0 }
    }
}

/// How an accepted packet's checksum was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Over the message alone.
    Message,
    /// With the IP pseudo-header.
    PseudoHeader,
}

/// Why bytes are no advertisement of ours; each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Shorter than it must be, or than its count of addresses says.
    Length,
    /// A version we do not speak.
    Version,
    /// No advertisement.
    Type,
    /// The checksum fits neither way.
    Checksum,
    /// Interval or VRID of zero.
    Zero,
    /// Version 2 with an authentication type or password that is not ours.
    Authentication,
}

impl Refusal {
    /// The word it is counted under.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Version => "version",
            Self::Type => "type",
            Self::Checksum => "checksum",
            Self::Zero => "zero",
            Self::Authentication => "authentication",
        }
    }
}

/// Makes a message of version 3 over IPv4 one whose checksum is over the message alone.
pub fn without_pseudo_header(message: &mut [u8]) {
    if let Some(checksum) = message.get_mut(CHECKSUM) {
        checksum.fill(0);
        let sum = !fold(sum(message));
        message[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The message, and what stands behind it: a trailer that authenticates it, or nothing.
///
/// # Errors
/// Why it is refused.
pub fn split_trailer(bytes: &[u8], source: IpAddr) -> Result<(&[u8], &[u8]), Refusal> {
    let (_, length) = measure(bytes, source)?;
    bytes.split_at_checked(length).ok_or(Refusal::Length)
}

/// What a master says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The virtual router, 1..=255.
    pub vrid: u8,
    /// 1..=254; 255 owns the addresses; 0 says "I am leaving".
    pub priority: u8,
    /// The master's interval.
    pub interval: Centis,
    /// The virtual addresses.
    pub addresses: Vec<IpAddr>,
}

impl Advertisement {
    /// The message's bytes. `password`: version 2's plain authentication.
    #[must_use]
    pub fn encode(
        &self,
        version: Version,
        source: IpAddr,
        destination: IpAddr,
        password: Option<[u8; 8]>,
    ) -> Vec<u8> {
        // The count is one byte; the configuration bounds it long before.
        let addresses = &self.addresses[..self.addresses.len().min(255)];
        let number = if version == Version::V2 { 2_u8 } else { 3 };
        let count = u8::try_from(addresses.len()).unwrap_or(u8::MAX);
        let mut bytes = vec![number << 4 | ADVERTISEMENT, self.vrid, self.priority, count];
        match version {
            Version::V2 => {
                let seconds = self.interval.wire().div_ceil(100).max(1);
                bytes.extend([u8::from(password.is_some()), u8::try_from(seconds).unwrap_or(u8::MAX)]);
            }
            Version::V3 => bytes.extend(self.interval.wire().to_be_bytes()),
        }
        bytes.extend([0, 0]);
        for address in addresses {
            match address {
                IpAddr::V4(address) => bytes.extend(address.octets()),
                IpAddr::V6(address) => bytes.extend(address.octets()),
            }
        }
        let sum = match version {
            Version::V2 => {
                bytes.extend(password.unwrap_or_default());
                sum(&bytes)
            }
            Version::V3 => sum(&bytes) + pseudo_header(source, destination, bytes.len()),
        };
        bytes[CHECKSUM].copy_from_slice(&(!fold(sum)).to_be_bytes());
        bytes
    }

    /// Reads a message, without its IP header.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decode(
        bytes: &[u8],
        source: IpAddr,
        destination: IpAddr,
        password: Option<[u8; 8]>,
    ) -> Result<(Self, Version, Checksum), Refusal> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(Refusal::Length)?;
        let (version, length) = measure(bytes, source)?;
        let (size, tail) = (address_size(source), version.tail());
        // Ethernet pads short frames: what follows the message is not part of it.
        let message = bytes.get(..length).ok_or(Refusal::Length)?;
        let plain = sum(message);
        let checksum = if fold(plain) == 0xffff && source.is_ipv4() {
            Checksum::Message
        } else if version == Version::V3 && fold(plain + pseudo_header(source, destination, length)) == 0xffff
        {
            Checksum::PseudoHeader
        } else {
            return Err(Refusal::Checksum);
        };
        let interval = match version {
            Version::V2 => u16::from(header[5]) * 100,
            Version::V3 => u16::from_be_bytes([header[4] & 0xf, header[5]]),
        };
        // Version 2 can say up to 255 s, more than version 3's twelve bits.
        let interval = Centis::new(interval.min(Centis::MAX.wire())).ok_or(Refusal::Zero)?;
        if header[1] == 0 {
            return Err(Refusal::Zero);
        }
        if version == Version::V2 {
            let given = &message[length - AUTHENTICATION..];
            let fits = match (header[4], password) {
                (0, None) => true,
                // No early end: how long the comparison takes says nothing about the password.
                (1, Some(own)) => given.iter().zip(own).fold(0, |wrong, (a, b)| wrong | (a ^ b)) == 0,
                _ => false,
            };
            if !fits {
                return Err(Refusal::Authentication);
            }
        }
        let addresses = message[HEADER..length - tail].chunks_exact(size);
        let addresses = addresses.filter_map(address).collect();
        let advertisement = Self { vrid: header[1], priority: header[2], interval, addresses };
        Ok((advertisement, version, checksum))
    }
}

/// The version of an advertisement, and how long its message must be.
fn measure(bytes: &[u8], source: IpAddr) -> Result<(Version, usize), Refusal> {
    let header: &[u8; HEADER] = bytes.first_chunk().ok_or(Refusal::Length)?;
    let version = match header[0] >> 4 {
        2 if source.is_ipv4() => Version::V2,
        3 => Version::V3,
        _ => return Err(Refusal::Version),
    };
    if header[0] & 0xf != ADVERTISEMENT {
        return Err(Refusal::Type);
    }
    Ok((version, HEADER + address_size(source) * usize::from(header[3]) + version.tail()))
}

fn address_size(source: IpAddr) -> usize {
    if source.is_ipv4() { size_of::<Ipv4Addr>() } else { size_of::<Ipv6Addr>() }
}

fn sum(bytes: &[u8]) -> u32 {
    let pair = |c: &[u8]| u32::from(c[0]) << 8 | u32::from(c.get(1).copied().unwrap_or(0));
    bytes.chunks(2).map(pair).sum()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn pseudo_header(source: IpAddr, destination: IpAddr, length: usize) -> u32 {
    let of = |address| match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    };
    of(source) + of(destination) + u32::from(PROTOCOL) + u32::try_from(length).unwrap_or(0)
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    fn say(vrid: u8, priority: u8, centis: u16, last: &[u8]) -> Advertisement {
        let addresses = last.iter().map(|l| IpAddr::V4(Ipv4Addr::new(192, 0, 2, *l))).collect();
        Advertisement { vrid, priority, interval: Centis::new(centis).unwrap(), addresses }
    }

    /// Captured from keepalived 2.2.7.
    #[test]
    fn keepalived_sends_and_reads_the_same_bytes() {
        let password = Some(*b"bench\0\0\0");
        let unicast = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
        for (hex, said, version, destination, password) in [
            (
                "2133960201018ae9c000020ac000020b62656e6368000000",
                say(51, 150, 100, &[10, 11]),
                Version::V2,
                GROUP,
                password,
            ),
            (
                "21330002010120eac000020ac000020b62656e6368000000",
                say(51, 0, 100, &[10, 11]),
                Version::V2,
                GROUP,
                password,
            ),
            ("213264010002b8b5c00002140000000000000000", say(50, 100, 200, &[20]), Version::V2, GROUP, None),
            ("3134c8010019a201c000021e", say(52, 200, 25, &[30]), Version::V3, GROUP, None),
            ("3134000100196a02c000021e", say(52, 0, 25, &[30]), Version::V3, GROUP, None),
            ("3135c8010064bfbbc0000228", say(53, 200, 100, &[40]), Version::V3, unicast, None),
        ] {
            assert_eq!(said.encode(version, SOURCE, destination, password), bytes(hex), "{hex}");
            let (read, seen, _) = Advertisement::decode(&bytes(hex), SOURCE, destination, password).unwrap();
            assert_eq!((read, seen), (said, version), "{hex}");
        }
    }

    /// Captured from keepalived 2.2.7.
    #[test]
    fn keepalived_sends_and_reads_the_same_bytes_over_ipv6() {
        let six = |text: &str| text.parse::<IpAddr>().unwrap();
        let said = Advertisement {
            vrid: 55,
            priority: 120,
            interval: Centis::new(50).unwrap(),
            addresses: vec![six("fe80::5"), six("2001:db8::55")],
        };
        let hex = "3137780200322cd1fe80000000000000000000000000000520010db8000000000000000000000055";
        let (source, group) = (six("fe80::ff:fe00:1"), six("ff02::12"));
        assert_eq!(said.encode(Version::V3, source, group, None), bytes(hex));
        let read = Advertisement::decode(&bytes(hex), source, group, None);
        assert_eq!(read, Ok((said, Version::V3, Checksum::PseudoHeader)));
        let other = Advertisement::decode(&bytes(hex), six("fe80::2"), group, None);
        assert_eq!(other, Err(Refusal::Checksum));
        let two = bytes("213264010002b8b5c00002140000000000000000");
        assert_eq!(Advertisement::decode(&two, source, group, None), Err(Refusal::Version));
    }

    #[test]
    fn a_checksum_without_pseudo_header_is_accepted_and_said() {
        let mut packet = bytes("3134c8010019a201c000021e");
        packet[6..8].copy_from_slice(&[0x44, 0x92]);
        let read = Advertisement::decode(&packet, SOURCE, GROUP, None).map(|(.., checksum)| checksum);
        assert_eq!(read, Ok(Checksum::Message));
        let mut sent = bytes("3134c8010019a201c000021e");
        without_pseudo_header(&mut sent);
        assert_eq!(sent, packet);
        without_pseudo_header(&mut sent[..7]);
    }

    /// Bytes that nobody has thought of: xorshift64*, from a seed.
    #[test]
    fn any_bytes_are_read_or_refused_and_never_more() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
        };
        let six: IpAddr = "fe80::1".parse().unwrap();
        let good = bytes("2133960201018ae9c000020ac000020b62656e6368000000");
        let mut read = 0;
        for _ in 0..200_000 {
            let source = if next() % 2 == 0 { SOURCE } else { six };
            let length = usize::try_from(next() % 64).unwrap();
            let mut packet: Vec<u8> = (0..length).map(|_| next().to_be_bytes()[7]).collect();
            if next() % 2 == 0 {
                packet = good.clone();
                let place = usize::try_from(next()).unwrap() % packet.len();
                packet[place] ^= next().to_be_bytes()[7] & 1;
                packet.truncate(usize::try_from(next() % 40).unwrap());
            }
            let password = Some(*b"bench\0\0\0");
            if let Ok((said, ..)) = Advertisement::decode(&packet, source, GROUP, password) {
                read += 1;
                assert!(said.addresses.len() <= packet.len() / 4 && said.vrid > 0);
                assert_eq!(split_trailer(&packet, source).map(|(message, _)| message.len()), Ok(24));
            }
        }
        // Those that the chance left as they were.
        assert!(read > 1_000, "{read}");
    }

    #[test]
    fn what_stands_behind_a_message_is_told_apart() {
        let mut packet = bytes("3134c8010019a201c000021e");
        packet.extend([7; 28]);
        let (message, trailer) = split_trailer(&packet, SOURCE).unwrap();
        assert_eq!((message.len(), trailer), (12, [7; 28].as_slice()));
        assert_eq!(split_trailer(&packet[..11], SOURCE), Err(Refusal::Length));
        assert!(Advertisement::decode(&packet, SOURCE, GROUP, None).is_ok());
    }

    #[test]
    fn what_is_no_advertisement_is_refused_with_its_reason() {
        let decode =
            |bytes: &[u8], password| Advertisement::decode(bytes, SOURCE, GROUP, password).map(|_| ());
        let good = bytes("3134c8010019a201c000021e");
        for cut in 0..good.len() {
            assert_eq!(decode(&good[..cut], None), Err(Refusal::Length), "{cut}");
        }
        let with = |place: usize, byte: u8| {
            let mut packet = good.clone();
            packet[place] = byte;
            packet
        };
        assert_eq!(decode(&with(0, 0x41), None), Err(Refusal::Version));
        assert_eq!(decode(&with(0, 0x32), None), Err(Refusal::Type));
        assert_eq!(decode(&with(2, 7), None), Err(Refusal::Checksum));
        assert_eq!(decode(&with(3, 200), None), Err(Refusal::Length));
        let pass = bytes("2133960201018ae9c000020ac000020b62656e6368000000");
        assert_eq!(decode(&pass, None), Err(Refusal::Authentication));
        assert_eq!(decode(&pass, Some(*b"other\0\0\0")), Err(Refusal::Authentication));
    }
}
