//! One typed value extracted while processing.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use proxy_table::{Key, KeyType};

/// The type of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// An address.
    Addr,
    /// Bytes.
    Text,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// An address.
    Addr(IpAddr),
    /// Bytes.
    Text(Cow<'a, [u8]>),
}

impl Sample<'_> {
    /// Appends the value as text.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(value) => out.push(b'0' + u8::from(*value)),
            Self::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Addr(address) => out.extend_from_slice(address.to_string().as_bytes()),
            Self::Text(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// The value as a key of a table; `None` where it cannot be one.
    #[must_use]
    pub fn key(&self, kind: KeyType) -> Option<Key> {
        match self {
            Self::Bool(value) => kind.of_integer(i64::from(*value)),
            Self::Int(number) => kind.of_integer(*number),
            Self::Addr(address) => kind.of_address(*address),
            Self::Text(bytes) => match kind {
                KeyType::Integer if bytes.is_empty() => None,
                KeyType::Integer => kind.of_integer(leading_number(bytes)),
                KeyType::Ip => address(bytes).filter(IpAddr::is_ipv4).and_then(|ip| kind.of_address(ip)),
                KeyType::Ipv6 => address(bytes).filter(IpAddr::is_ipv6).and_then(|ip| kind.of_address(ip)),
                KeyType::String(_) | KeyType::Binary(_) => kind.of_bytes(bytes),
            },
        }
    }
}

/// The number that a text begins with, which may have a sign; 0 where it begins with none. What is larger
/// than can be counted is the largest number, so that no client can make a large one small.
pub(crate) fn leading_number(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let digits = digits.iter().take_while(|b| b.is_ascii_digit());
    let number = digits.fold(0_i64, |n, b| n.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    if negative { -number } else { number }
}

/// The IPv4 address that a text begins with, and what follows it. Zeros before a number mean nothing, as for
/// HAProxy.
pub(crate) fn ipv4(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (mut octets, mut rest) = ([0; 4], text);
    for (place, octet) in octets.iter_mut().enumerate() {
        if place > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        let length = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(length);
        *octet = digits.iter().try_fold(0_u8, |n, b| n.checked_mul(10)?.checked_add(b - b'0'))?;
        if digits.is_empty() {
            return None;
        }
        rest = after;
    }
    (rest.first() != Some(&b'.')).then(|| (octets.into(), rest))
}

/// The address that a field's value is, with a port behind it or not.
pub(crate) fn address(text: &[u8]) -> Option<IpAddr> {
    let Some((address, rest)) = ipv4(text) else {
        return std::str::from_utf8(text).ok()?.parse().ok().map(IpAddr::V6);
    };
    let is_port = |port: &[u8]| {
        !port.is_empty() && port.iter().all(u8::is_ascii_digit) && leading_number(port) <= i64::from(u16::MAX)
    };
    match rest {
        [] => Some(address.into()),
        [b':', port @ ..] if is_port(port) => Some(address.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_a_sample_is_what_haproxy_makes_of_it() {
        let text = |text: &'static str| Sample::Text(Cow::Borrowed(text.as_bytes()));
        let addr = |address: &str| Sample::Addr(address.parse().unwrap());
        let (integer, ip, binary) = (KeyType::Integer, KeyType::Ip, KeyType::Binary(3));
        for (sample, kind, expected) in [
            (text("7x"), integer, Some("7")),
            (text("none"), integer, Some("0")),
            (text("-3"), integer, Some("4294967293")),
            (text(""), integer, None),
            (text("10.0.0.1:80"), ip, Some("10.0.0.1")),
            (text("2001:db8::1"), ip, None),
            (text("10.0.0.1"), KeyType::Ipv6, None),
            (addr("127.0.0.2"), integer, Some("2130706434")),
            (addr("::1"), integer, None),
            (addr("127.0.0.2"), binary, Some("7F0000")),
            (Sample::Int(2), ip, Some("0.0.0.2")),
            (Sample::Int(2), binary, Some("000000")),
        ] {
            let key = sample.key(kind).map(|key| kind.show(&key));
            assert_eq!(key.as_deref(), expected, "{sample:?} {kind:?}");
        }
    }

    #[test]
    fn number_of_text_is_what_it_begins_with() {
        for (text, expected) in [
            ("7", 7),
            ("-7", -7),
            ("+7", 7),
            ("007", 7),
            ("7x", 7),
            ("7.9", 7),
            ("x7", 0),
            ("--7", 0),
            ("- 7", 0),
            ("", 0),
            ("99999999999999999999", i64::MAX),
            ("4294967296", 4_294_967_296),
        ] {
            assert_eq!(leading_number(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn address_of_text_is_whole_or_none() {
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("10.0.0.1:80", Some("10.0.0.1")),
            ("10.0.0.1:0", Some("10.0.0.1")),
            ("010.0.0.001", Some("10.0.0.1")),
            ("::ffff:10.0.0.1", Some("::ffff:10.0.0.1")),
            ("::1", Some("::1")),
            ("10.0.0.1:", None),
            ("10.0.0.1:99999", None),
            ("10.0.0.1x", None),
            ("10.0.0", None),
            ("10.0.0.256", None),
            ("10.0.0.1.", None),
            ("10..0.1", None),
            ("[::1]:80", None),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(address(text.as_bytes()), expected.map(|a| a.parse().unwrap()), "{text}");
        }
    }
}
