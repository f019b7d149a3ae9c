//! What a sample is compared with.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

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

    pub(crate) fn usual(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool,
            Kind::Int => Self::Integer,
            Kind::Addr => Self::Address,
            Kind::Text => Self::Exact,
        }
    }
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
                Method::Bool | Method::Found => {
                    return Err(format!("no pattern is expected, '{pattern}' was found"));
                }
            }
        }
        set.v4 = merged(set.v4);
        set.v6 = merged(set.v6);
        Ok(set)
    }

    /// Whether any pattern fits the sample.
    #[must_use]
    pub fn matches(&self, sample: &Sample<'_>) -> bool {
        match (self.method, sample) {
            (Method::Found, _) => true,
            (Method::Bool, Sample::Bool(value)) => *value,
            (Method::Bool, Sample::Int(number)) => *number != 0,
            (Method::Integer, Sample::Int(number)) => {
                self.integers.iter().any(|(low, high)| (low..=high).contains(&number))
            }
            (Method::Integer, Sample::Text(text)) => {
                let number = std::str::from_utf8(text).ok().and_then(|t| t.parse::<i64>().ok());
                number.is_some_and(|n| self.matches(&Sample::Int(n)))
            }
            (Method::Address, Sample::Addr(address)) => self.has_address(*address),
            (Method::Address, Sample::Text(text)) => {
                let address = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
                address.is_some_and(|a| self.has_address(a))
            }
            (_, Sample::Text(text)) if self.any_case => self.has_text(&text.to_ascii_lowercase()),
            (_, Sample::Text(text)) => self.has_text(text),
            (_, other) => {
                let mut text = Vec::new();
                other.write(&mut text);
                self.has_text(&text)
            }
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
            Method::Integer | Method::Address | Method::Bool | Method::Found => false,
        }
    }

    fn has_address(&self, address: IpAddr) -> bool {
        let (ranges, number) = match address.to_canonical() {
            IpAddr::V4(v4) => (&self.v4, u128::from(u32::from(v4))),
            IpAddr::V6(v6) => (&self.v6, u128::from(v6)),
        };
        let after = ranges.partition_point(|(low, _)| *low <= number);
        after > 0 && number <= ranges[after - 1].1
    }

    fn add_network(&mut self, pattern: &str) -> Result<(), String> {
        let network = pattern
            .parse::<IpNet>()
            .or_else(|_| pattern.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| format!("'{pattern}' is no address and no network"))?;
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
        ] {
            assert_eq!(set.matches(&Sample::Addr(address.parse().unwrap())), expected, "{address}");
        }
        let over = Patterns::new(Method::Integer, false, ["gt", "100"].into_iter()).unwrap();
        assert!(over.matches(&Sample::Int(101)) && !over.matches(&Sample::Int(100)));
    }
}
