//! What a sample is compared with.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::sample::{ipv4, leading_number};
use crate::{Kind, Sample};

/// How patterns are compared (`-m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Exact,
    Prefix,
    Suffix,
    Substring,
    Directory,
    Domain,
    Integer,
    Address,
    Bool,
    Found,
    /// A scheme stands before the first slash (`HTTP_URL_ABS`); files cannot ask for it.
    Scheme,
}

impl Method {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "str" => Self::Exact,
            "beg" => Self::Prefix,
            "end" => Self::Suffix,
            "sub" => Self::Substring,
            "dir" => Self::Directory,
            "dom" => Self::Domain,
            "int" => Self::Integer,
            "ip" => Self::Address,
            "bool" => Self::Bool,
            "found" => Self::Found,
            _ => return None,
        })
    }

    /// Whether it compares with nothing.
    pub(crate) fn needs_none(self) -> bool {
        matches!(self, Self::Bool | Self::Found | Self::Scheme)
    }

    pub(crate) fn usual(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool,
            Kind::Int => Self::Integer,
            Kind::Addr => Self::Address,
            Kind::Text => Self::Exact,
        }
    }
}

/// A network of IPv4 with its mask written as an address: `10.0.0.0/255.0.0.0`.
fn masked(pattern: &str) -> Option<IpNet> {
    let (address, mask) = pattern.split_once('/')?;
    IpNet::with_netmask(IpAddr::V4(address.parse().ok()?), IpAddr::V4(mask.parse().ok()?)).ok()
}

/// Whether a text begins as an absolute URI does.
fn has_scheme(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| matches!(byte, b'/' | b':'));
    end.is_some_and(|end| text[end..].starts_with(b"://"))
}

/// Patterns ready to be compared.
#[derive(Clone, Debug)]
pub struct Patterns {
    method: Method,
    any_case: bool,
    exact: BTreeSet<Vec<u8>>,
    texts: Vec<Vec<u8>>,
    integers: Vec<(i64, i64)>,
    /// Address ranges of both families as numbers, sorted and disjoint.
    v4: Vec<(u128, u128)>,
    v6: Vec<(u128, u128)>,
}

impl Patterns {
    /// Reads patterns; the error says what is wrong with which.
    pub(crate) fn new<'p>(
        method: Method,
        any_case: bool,
        patterns: impl Iterator<Item = &'p str>,
    ) -> Result<Self, String> {
        let mut set = Self {
            method,
            any_case,
            exact: BTreeSet::new(),
            texts: Vec::new(),
            integers: Vec::new(),
            v4: Vec::new(),
            v6: Vec::new(),
        };
        let mut operator = "eq".to_owned();
        for pattern in patterns {
            match method {
                Method::Exact => {
                    set.exact.insert(set.cased(pattern.as_bytes()));
                }
                Method::Prefix | Method::Suffix | Method::Substring | Method::Directory | Method::Domain => {
                    let text = set.cased(pattern.as_bytes());
                    set.texts.push(text);
                }
                Method::Integer if ["eq", "lt", "le", "gt", "ge"].contains(&pattern) => {
                    pattern.clone_into(&mut operator);
                }
                Method::Integer => set.integers.push(integers(&operator, pattern)?),
                Method::Address => set.add_network(pattern)?,
                Method::Bool | Method::Found | Method::Scheme => {
                    return Err(format!("no pattern is expected, '{pattern}' was found"));
                }
            }
        }
        set.v4 = merged(set.v4);
        set.v6 = merged(set.v6);
        Ok(set)
    }

    /// Whether any pattern fits the sample, which is first made what the method compares.
    #[must_use]
    pub fn matches(&self, sample: &Sample<'_>) -> bool {
        match self.method {
            Method::Found => true,
            Method::Scheme => matches!(sample, Sample::Text(text) if has_scheme(text)),
            Method::Bool => number(sample).is_some_and(|number| number != 0),
            Method::Integer => number(sample)
                .is_some_and(|n| self.integers.iter().any(|(low, high)| (*low..=*high).contains(&n))),
            Method::Address => address(sample).is_some_and(|address| self.has_address(address)),
            Method::Exact
            | Method::Prefix
            | Method::Suffix
            | Method::Substring
            | Method::Directory
            | Method::Domain => match sample {
                Sample::Text(text) if self.any_case => lowered(text, |text| self.has_text(text)),
                Sample::Text(text) => self.has_text(text),
                Sample::Bool(_) | Sample::Int(_) | Sample::Addr(_) => {
                    let mut text = Vec::new();
                    sample.write(&mut text);
                    self.has_text(&text)
                }
            },
        }
    }

    fn has_text(&self, text: &[u8]) -> bool {
        let parted = |separators: &'static [u8], pattern: &Vec<u8>| {
            let pattern = trim(pattern, separators);
            let at_edge = |b: Option<&u8>| b.is_none_or(|b| separators.contains(b));
            !pattern.is_empty()
                && (0..=text.len().saturating_sub(pattern.len())).any(|i| {
                    text[i..].starts_with(pattern)
                        && at_edge(i.checked_sub(1).map(|i| &text[i]))
                        && at_edge(text.get(i + pattern.len()))
                })
        };
        match self.method {
            Method::Exact => self.exact.contains(text),
            Method::Prefix => self.texts.iter().any(|p| text.starts_with(p)),
            Method::Suffix => self.texts.iter().any(|p| text.ends_with(p)),
            Method::Substring => self.texts.iter().any(|p| memchr::memmem::find(text, p).is_some()),
            Method::Directory => self.texts.iter().any(|p| parted(b"/?", p)),
            Method::Domain => self.texts.iter().any(|p| parted(b"/?.:", p)),
            Method::Integer | Method::Address | Method::Bool | Method::Found | Method::Scheme => false,
        }
    }

    /// Whether the address lies in a range of its own family, or of the other one's where it stands for an
    /// address there too.
    fn has_address(&self, address: IpAddr) -> bool {
        let (v4, v6) = match address {
            IpAddr::V4(v4) => (Some(v4), v4.to_ipv6_mapped()),
            IpAddr::V6(v6) => (inside(v6), v6),
        };
        holds(&self.v6, v6.into()) || v4.is_some_and(|v4| holds(&self.v4, u32::from(v4).into()))
    }

    fn add_network(&mut self, pattern: &str) -> Result<(), String> {
        let network = pattern
            .parse::<IpNet>()
            .or_else(|_| pattern.parse::<IpAddr>().map(IpNet::from))
            .ok()
            .or_else(|| masked(pattern))
            .ok_or_else(|| format!("'{pattern}' is no address and no network"))?;
        match network.trunc() {
            IpNet::V4(n) => self.v4.push((u32::from(n.network()).into(), u32::from(n.broadcast()).into())),
            IpNet::V6(n) => self.v6.push((n.network().into(), n.broadcast().into())),
        }
        Ok(())
    }

    fn cased(&self, text: &[u8]) -> Vec<u8> {
        if self.any_case { text.to_ascii_lowercase() } else { text.to_vec() }
    }
}

fn holds(ranges: &[(u128, u128)], number: u128) -> bool {
    let after = ranges.partition_point(|(low, _)| *low <= number);
    after > 0 && number <= ranges[after - 1].1
}

/// The IPv4 address inside an IPv6 one: mapped (`::ffff:a.b.c.d`), compatible (`::a.b.c.d`) or 6to4
/// (`2002:aabb:ccdd::`), as HAProxy sees them.
fn inside(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
        | [0x20, 0x02, a, b, c, d, ..] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => None,
    }
}

/// The sample as a number; an IPv6 address is none, and neither is an empty text.
fn number(sample: &Sample<'_>) -> Option<i64> {
    match sample {
        Sample::Bool(value) => Some(i64::from(*value)),
        Sample::Int(number) => Some(*number),
        Sample::Addr(IpAddr::V4(address)) => Some(u32::from(*address).into()),
        Sample::Addr(IpAddr::V6(_)) => None,
        Sample::Text(text) => (!text.is_empty()).then(|| leading_number(text)),
    }
}

/// The sample as an address. A text may go on behind an IPv4 address, as HAProxy takes it.
fn address(sample: &Sample<'_>) -> Option<IpAddr> {
    match sample {
        Sample::Bool(_) => None,
        Sample::Int(number) => u32::try_from(*number).ok().map(|number| Ipv4Addr::from(number).into()),
        Sample::Addr(address) => Some(*address),
        Sample::Text(text) => match ipv4(text) {
            Some((address, _)) => Some(address.into()),
            None => std::str::from_utf8(text).ok()?.parse().ok(),
        },
    }
}

/// Longest text that is put into lower case without asking for memory, in bytes: nearly every path and host.
const LOWERED_IN_PLACE: usize = 256;

fn lowered<R>(text: &[u8], then: impl FnOnce(&[u8]) -> R) -> R {
    let mut room = [0; LOWERED_IN_PLACE];
    match room.get_mut(..text.len()) {
        Some(room) => {
            room.copy_from_slice(text);
            room.make_ascii_lowercase();
            then(room)
        }
        None => then(&text.to_ascii_lowercase()),
    }
}

fn integers(operator: &str, pattern: &str) -> Result<(i64, i64), String> {
    let wrong = || format!("'{pattern}' is no number and no range of numbers");
    let number = |text: &str| text.parse::<i64>().map_err(|_| wrong());
    if let Some((low, high)) = pattern.split_once(':') {
        let low = if low.is_empty() { i64::MIN } else { number(low)? };
        let high = if high.is_empty() { i64::MAX } else { number(high)? };
        return Ok((low, high));
    }
    let n = number(pattern)?;
    Ok(match operator {
        "lt" => (i64::MIN, n.saturating_sub(1)),
        "le" => (i64::MIN, n),
        "gt" => (n.saturating_add(1), i64::MAX),
        "ge" => (n, i64::MAX),
        _ => (n, n),
    })
}

fn merged(mut ranges: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    ranges.sort_unstable();
    let mut result: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match result.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => result.push((low, high)),
        }
    }
    result
}

fn trim<'t>(text: &'t [u8], edges: &[u8]) -> &'t [u8] {
    let start = text.iter().position(|b| !edges.contains(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !edges.contains(b)).map_or(start, |i| i + 1);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn text(method: &str, pattern: &str, value: &str) -> bool {
        let set = Patterns::new(Method::named(method).unwrap(), false, [pattern].into_iter()).unwrap();
        set.matches(&Sample::Text(Cow::Borrowed(value.as_bytes())))
    }

    #[test]
    fn texts_are_compared_as_their_method_says() {
        for (method, pattern, value, expected) in [
            ("str", "/a", "/a", true),
            ("beg", "/blog", "/blog/1", true),
            ("beg", "/blog", "/a/blog", false),
            ("end", ".png", "/a.png", true),
            ("sub", "b", "abc", true),
            ("dir", "img", "/a/img/b", true),
            ("dir", "img", "/a/imgs/b", false),
            ("dom", "example", "www.example.org:80", true),
            ("dom", "ample", "www.example.org", false),
            ("int", "5:7", "6", true),
            ("int", "7", "7x", true),
            ("int", "0", "x7", true),
            ("int", "7", "x7", false),
            ("int", "0", "", false),
            ("ip", "10.0.0.0/8", "10.0.0.1:80", true),
            ("ip", "10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("ip", "10.0.0.0/8", "2002:a00:1::", true),
            ("ip", "10.0.0.0/8", "junk", false),
            ("ip", "::ffff:10.0.0.0/104", "10.0.0.1", true),
        ] {
            assert_eq!(text(method, pattern, value), expected, "{method} {pattern} {value}");
        }
    }

    #[test]
    fn addresses_and_numbers_are_ranges() {
        let set = ["192.0.2.0/25", "192.0.2.128/25", "198.51.100.7", "2001:db8::/32"];
        let set = Patterns::new(Method::Address, false, set.into_iter()).unwrap();
        for (address, expected) in [
            ("192.0.2.200", true),
            ("192.0.3.0", false),
            ("198.51.100.7", true),
            ("2001:db8::1", true),
            ("::1", false),
            ("::ffff:192.0.2.1", true),
            ("2002:c000:201::1", true),
        ] {
            assert_eq!(set.matches(&Sample::Addr(address.parse().unwrap())), expected, "{address}");
        }
        let mapped = Patterns::new(Method::Address, false, ["::ffff:0:0/96"].into_iter()).unwrap();
        assert!(mapped.matches(&Sample::Addr("192.0.2.1".parse().unwrap())));
        let truth = Patterns::new(Method::Bool, false, std::iter::empty()).unwrap();
        for (text, expected) in
            [("1", true), ("0", false), ("7x", true), ("x", false), ("true", false), ("", false)]
        {
            assert_eq!(truth.matches(&Sample::Text(Cow::Borrowed(text.as_bytes()))), expected, "{text}");
        }
        let one = Patterns::new(Method::Integer, false, ["1"].into_iter()).unwrap();
        assert!(one.matches(&Sample::Bool(true)) && !one.matches(&Sample::Bool(false)));
        let over = Patterns::new(Method::Integer, false, ["gt", "100"].into_iter()).unwrap();
        assert!(over.matches(&Sample::Int(101)) && !over.matches(&Sample::Int(100)));
    }
}
