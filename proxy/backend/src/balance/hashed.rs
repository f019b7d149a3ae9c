//! Algorithms by which a request that looks the same always meets the same server, while the set of servers stays: the
//! hash of a part of it decides (hash-type map-based, function sdbm).

use std::net::IpAddr;

use proxy_lang::{Arg, Spec};

use super::{Algorithm, Choice, HashOf};

const fn row(
    names: &'static [&'static str],
    args: &'static [Arg],
    hash_of: HashOf,
    doc: &'static str,
    example: &'static str,
) -> Algorithm {
    Algorithm {
        spec: Spec::full(names, args, doc, example),
        hash_of: Some(hash_of),
        pick: super::roundrobin::pick_static,
    }
}

pub(super) const TABLE: [Algorithm; 4] = [
    row(&["source"], &[], HashOf::Source, "The hash of the client's address decides.", "balance source"),
    row(
        &["uri"],
        &[Arg::Rest("[whole] [path-only] [len <bytes>] [depth <slashes>]")],
        HashOf::Uri,
        "The hash of the target decides: of its part before the question mark, or of so much of it.",
        "balance uri depth 2",
    ),
    row(
        &["url_param"],
        &[Arg::Word("name")],
        HashOf::UrlParam,
        "The hash of a parameter of the query decides; without it, servers take turns.",
        "balance url_param user",
    ),
    row(
        &["hdr"],
        &[Arg::Rest("[use_domain_only]")],
        HashOf::Header,
        "The hash of a header field's first value decides; without it, servers take turns.",
        "balance hdr(x-user)",
    ),
];

/// The server of a hash, whatever its load.
pub(crate) fn server(choice: &Choice<'_>, hash: u32) -> Option<usize> {
    let map = &choice.plan.map;
    let place = (hash as usize).checked_rem(map.len())?;
    Some(usize::from(map[place]))
}

/// HAProxy's usual hash function, sdbm.
fn sdbm(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |hash: u32, byte| {
        u32::from(*byte).wrapping_add(hash << 6).wrapping_add(hash << 16).wrapping_sub(hash)
    })
}

/// Hash of a client address: its 32-bit words folded together.
#[must_use]
pub fn source_hash(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) => u32::from(v4),
        IpAddr::V6(v6) => {
            v6.octets().chunks_exact(4).fold(0, |hash, c| hash ^ u32::from_be_bytes([c[0], c[1], c[2], c[3]]))
        }
    }
}

/// What of a target is hashed (manual chapter 4.2, `balance uri`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UriPart {
    /// The query too.
    pub whole: bool,
    /// From the path on.
    pub path_only: bool,
    /// At most so many bytes.
    pub length: Option<usize>,
    /// At most so many directories.
    pub depth: Option<usize>,
}

/// Hash of a target; of its path where that is asked for.
#[must_use]
pub fn uri_hash(target: &[u8], part: UriPart) -> u32 {
    let target = &target[..target.len().min(part.length.unwrap_or(usize::MAX))];
    let mut slashes = 0;
    let end = target.iter().position(|byte| {
        slashes += usize::from(*byte == b'/');
        (*byte == b'/' && part.depth.is_some_and(|depth| slashes == depth + 1))
            || (*byte == b'?' && !part.whole)
    });
    sdbm(&target[..end.unwrap_or(target.len())])
}

/// Hash of a parameter's value; `None` where the target has none of this name.
#[must_use]
pub fn param_hash(target: &[u8], name: &[u8]) -> Option<u32> {
    let mark = target.iter().position(|byte| *byte == b'?')?;
    let mut parameters = target[mark + 1..].split(|byte| *byte == b'&');
    parameters.find_map(|p| p.strip_prefix(name)?.strip_prefix(b"=")).map(sdbm)
}

/// Hash of a header field's value; `None` where it is empty.
#[must_use]
pub fn header_hash(value: &[u8], domain_only: bool) -> Option<u32> {
    if value.is_empty() {
        return None;
    }
    if !domain_only {
        return Some(sdbm(value));
    }
    // Between the last dot and the one before it: of www.example.org this is 'example'.
    let end = value.iter().rposition(|byte| *byte == b'.').unwrap_or(value.len());
    let start = value[..end].iter().rposition(|byte| *byte == b'.').map_or(0, |before| before + 1);
    Some(sdbm(&value[start..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_a_target_is_hashed_as_far_as_it_is_asked_for() {
        let of = |target: &str, part| uri_hash(target.as_bytes(), part);
        let part = UriPart::default();
        assert_eq!(of("/a/b?x=1", part), of("/a/b?x=2", part));
        assert_ne!(of("/a/b?x=1", UriPart { whole: true, ..part }), of("/a/b", part));
        assert_eq!(of("/a/b/c", UriPart { depth: Some(1), ..part }), of("/a", part));
        assert_eq!(of("/a/b/c", UriPart { length: Some(3), ..part }), of("/a/", part));
    }

    #[test]
    fn parameter_and_header_are_hashed_by_their_value() {
        assert_eq!(param_hash(b"/?ab=1&a=2", b"a"), Some(sdbm(b"2")));
        assert_eq!(param_hash(b"/?ab=1", b"a"), None);
        assert_eq!(header_hash(b"www.example.org", true), Some(sdbm(b"example")));
        assert_eq!(header_hash(b"example.org", true), Some(sdbm(b"example")));
        assert_eq!(header_hash(b"localhost", true), Some(sdbm(b"localhost")));
        assert_eq!(header_hash(b"", false), None);
    }
}
