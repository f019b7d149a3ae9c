//! Keys: short byte strings whose meaning the table's key type gives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a table's keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// A 32-bit number.
    Integer,
    /// An IPv4 address.
    Ip,
    /// An IPv6 address.
    Ipv6,
    /// A text of at most so many bytes.
    String(u32),
    /// Exactly so many bytes.
    Binary(u32),
}

/// Longest key, whatever the file says.
pub(crate) const MAX_KEY: usize = 4_096;
const INLINE: usize = 22;

/// A key. Short ones, addresses among them, need no allocation.
#[derive(Clone)]
pub struct Key(Bytes);

#[derive(Clone)]
enum Bytes {
    Inline(u8, [u8; INLINE]),
    Long(Box<[u8]>),
}

impl Key {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(MAX_KEY)];
        match u8::try_from(bytes.len()) {
            Ok(length) if bytes.len() <= INLINE => {
                let mut inline = [0; INLINE];
                inline[..bytes.len()].copy_from_slice(bytes);
                Self(Bytes::Inline(length, inline))
            }
            _ => Self(Bytes::Long(bytes.into())),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline(length, bytes) => &bytes[..usize::from(*length)],
            Bytes::Long(bytes) => bytes,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for Key {}
impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write(self.as_bytes());
    }
}
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x?}", self.as_bytes())
    }
}

impl KeyType {
    /// The number of the type in the peers protocol.
    #[must_use]
    pub fn wire_type(self) -> u8 {
        match self {
            Self::Integer => 2,
            Self::Ip => 4,
            Self::Ipv6 => 5,
            Self::String(_) => 6,
            Self::Binary(_) => 7,
        }
    }

    /// The key length of the peers protocol: a text counts one more.
    #[must_use]
    pub fn wire_length(self) -> u32 {
        match self {
            Self::Integer | Self::Ip => 4,
            Self::Ipv6 => 16,
            Self::String(length) => length + 1,
            Self::Binary(length) => length,
        }
    }

    /// The type with this number and key length in the peers protocol.
    #[must_use]
    pub fn from_wire(wire_type: u64, length: u64) -> Option<Self> {
        let length = u32::try_from(length).ok().filter(|l| (1..=MAX_KEY as u32).contains(l))?;
        let key = match wire_type {
            2 => Self::Integer,
            4 => Self::Ip,
            5 => Self::Ipv6,
            6 => Self::String(length - 1),
            7 => Self::Binary(length),
            _ => return None,
        };
        (key.wire_length() == length).then_some(key)
    }

    /// The word of `stick-table type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Ip => "ip",
            Self::Ipv6 => "ipv6",
            Self::String(_) => "string",
            Self::Binary(_) => "binary",
        }
    }

    /// The key of an address; `None` if the table cannot hold its family.
    #[must_use]
    pub fn of_address(self, address: IpAddr) -> Option<Key> {
        match (self, address) {
            (Self::Ip, IpAddr::V4(v4)) => Some(Key::new(&v4.octets())),
            (Self::Ip, IpAddr::V6(v6)) => v6.to_ipv4_mapped().map(|v4| Key::new(&v4.octets())),
            (Self::Ipv6, IpAddr::V4(v4)) => Some(Key::new(&v4.to_ipv6_mapped().octets())),
            (Self::Ipv6, IpAddr::V6(v6)) => Some(Key::new(&v6.octets())),
            (Self::String(_), address) => self.of_bytes(address.to_string().as_bytes()),
            (Self::Binary(_), IpAddr::V4(v4)) => self.of_bytes(&v4.octets()),
            (Self::Binary(_), IpAddr::V6(v6)) => self.of_bytes(&v6.octets()),
            (Self::Integer, IpAddr::V4(v4)) => self.of_integer(i64::from(u32::from(v4))),
            (Self::Integer, IpAddr::V6(_)) => None,
        }
    }

    /// The key of a number.
    #[must_use]
    pub fn of_integer(self, number: i64) -> Option<Key> {
        let narrow = u32::try_from(number & 0xffff_ffff).unwrap_or(0);
        match self {
            Self::Integer => Some(Key::new(&narrow.to_be_bytes())),
            Self::String(_) => self.of_bytes(number.to_string().as_bytes()),
            Self::Binary(_) => self.of_bytes(&number.to_be_bytes()),
            Self::Ip | Self::Ipv6 => self.of_address(Ipv4Addr::from(narrow).into()),
        }
    }

    /// The key of a text; cut to the table's length as HAProxy does.
    #[must_use]
    pub fn of_bytes(self, bytes: &[u8]) -> Option<Key> {
        match self {
            Self::String(length) => Some(Key::new(&bytes[..bytes.len().min(length as usize)])),
            Self::Binary(length) => {
                let mut padded = bytes[..bytes.len().min(length as usize)].to_vec();
                padded.resize((length as usize).min(MAX_KEY), 0);
                Some(Key::new(&padded))
            }
            Self::Integer | Self::Ip | Self::Ipv6 => {
                let text = std::str::from_utf8(bytes).ok()?;
                match self {
                    Self::Integer => text.parse().ok().and_then(|n| self.of_integer(n)),
                    Self::Ip | Self::Ipv6 | Self::String(_) | Self::Binary(_) => {
                        text.parse().ok().and_then(|a| self.of_address(a))
                    }
                }
            }
        }
    }

    /// A key as `show table` prints it: one word of one line, whatever bytes a client has chosen.
    #[must_use]
    pub fn show(self, key: &Key) -> String {
        let bytes = key.as_bytes();
        match self {
            Self::Integer => {
                bytes.try_into().map(u32::from_be_bytes).map_or_else(|_| String::new(), |n| n.to_string())
            }
            Self::Ip => {
                <[u8; 4]>::try_from(bytes).map_or_else(|_| String::new(), |b| Ipv4Addr::from(b).to_string())
            }
            Self::Ipv6 => {
                <[u8; 16]>::try_from(bytes).map_or_else(|_| String::new(), |b| Ipv6Addr::from(b).to_string())
            }
            Self::String(_) => bytes.iter().map(|b| shown(*b)).collect(),
            Self::Binary(_) => bytes.iter().map(|b| format!("{b:02X}")).collect(),
        }
    }
}

/// A byte of a text as HAProxy prints it.
fn shown(byte: u8) -> String {
    match byte {
        b' ' | b'=' | b'\\' => format!("\\{}", char::from(byte)),
        b'\t' => "\\t".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        0x1b => "\\e".to_owned(),
        byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
        byte => format!("\\x{byte:02X}"),
    }
}

#[cfg(test)]
mod wire_tests {
    use super::*;

    #[test]
    fn types_are_told_to_peers_by_number_and_length() {
        for (key, number, length, name) in [
            (KeyType::Integer, 2, 4, "integer"),
            (KeyType::Ip, 4, 4, "ip"),
            (KeyType::Ipv6, 5, 16, "ipv6"),
            (KeyType::String(16), 6, 17, "string"),
            (KeyType::Binary(12), 7, 12, "binary"),
        ] {
            assert_eq!((key.wire_type(), key.wire_length(), key.name()), (number, length, name));
            assert_eq!(KeyType::from_wire(u64::from(number), u64::from(length)), Some(key));
        }
        for (number, length) in
            [(2, 5), (4, 16), (5, 4), (6, 0), (7, 0), (3, 4), (8, 4), (6, MAX_KEY as u64 + 1), (6, u64::MAX)]
        {
            assert_eq!(KeyType::from_wire(number, length), None, "{number} {length}");
        }
    }

    #[test]
    fn addresses_numbers_and_texts_become_keys() {
        let bytes = |key: Option<Key>| key.map(|key| key.as_bytes().to_vec());
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(bytes(KeyType::Ip.of_address(v4)), Some(vec![192, 0, 2, 1]));
        assert_eq!(bytes(KeyType::Ip.of_address(mapped)), Some(vec![192, 0, 2, 1]));
        assert_eq!(bytes(KeyType::Ip.of_address(v6)), None);
        assert_eq!(
            bytes(KeyType::Ipv6.of_address(v4)).map(|b| b[10..].to_vec()),
            Some(vec![255, 255, 192, 0, 2, 1])
        );
        assert_eq!(bytes(KeyType::String(40).of_address(v6)), Some(b"2001:db8::1".to_vec()));
        assert_eq!(bytes(KeyType::String(7).of_address(v4)), Some(b"192.0.2".to_vec()));
        assert_eq!(bytes(KeyType::Binary(6).of_address(v4)), Some(vec![192, 0, 2, 1, 0, 0]));
        assert_eq!(bytes(KeyType::Integer.of_address(v4)), Some(vec![192, 0, 2, 1]));
        assert_eq!(bytes(KeyType::Integer.of_address(v6)), None);
        assert_eq!(bytes(KeyType::Integer.of_integer(0x1_0000_0005)), Some(vec![0, 0, 0, 5]));
        assert_eq!(bytes(KeyType::String(9).of_integer(-12)), Some(b"-12".to_vec()));
        assert_eq!(bytes(KeyType::Binary(3).of_integer(1)), Some(vec![0, 0, 0]));
        assert_eq!(bytes(KeyType::Ip.of_integer(0x0102_0304)), Some(vec![1, 2, 3, 4]));
        assert_eq!(bytes(KeyType::Ip.of_bytes(b"10.0.0.9")), Some(vec![10, 0, 0, 9]));
        assert_eq!(bytes(KeyType::Ip.of_bytes(b"nonsense")), None);
        assert_eq!(bytes(KeyType::Integer.of_bytes(b"77")), Some(vec![0, 0, 0, 77]));
        assert_eq!(bytes(KeyType::Binary(4).of_bytes(b"abcdef")), Some(b"abcd".to_vec()));
    }

    #[test]
    fn a_key_is_shown_as_one_word() {
        let show = |key_type: KeyType, bytes: &[u8]| key_type.show(&Key::new(bytes));
        assert_eq!(show(KeyType::Integer, &[0, 0, 1, 0]), "256");
        assert_eq!(show(KeyType::Ip, &[10, 0, 0, 1]), "10.0.0.1");
        assert_eq!(show(KeyType::Ipv6, &[0; 16]), "::");
        assert_eq!(show(KeyType::Binary(3), &[1, 0xab, 0]), "01AB00");
        let text = b"a b=c\\\t\n\r\x1b\x01\x7f\xff~";
        assert_eq!(show(KeyType::String(32), text), "a\\ b\\=c\\\\\\t\\n\\r\\e\\x01\\x7F\\xFF~");
        assert_eq!(show(KeyType::Ip, &[1]), "");
        assert_eq!(format!("{:?}", Key::new(&[1, 0xab])), "[01, ab]");
    }
}
