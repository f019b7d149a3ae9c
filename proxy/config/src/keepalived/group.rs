//! `virtual_server_group`: addresses and ranges of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use proxy_lang::{Diagnostics, Statement, Word};

use super::{MAX_ADDRESSES, address};

/// Addresses by the name of their group.
pub(super) type Groups = BTreeMap<String, Vec<SocketAddr>>;

pub(super) fn read(statements: &[Statement], diagnostics: &mut Diagnostics) -> Groups {
    let mut groups = Groups::new();
    for statement in statements.iter().filter(|s| s.kind() == "virtual_server_group") {
        let Some(name) = statement.words.get(1) else {
            diagnostics.error(statement.span(), "'virtual_server_group' expects a name");
            continue;
        };
        let group = groups.entry(name.text.clone()).or_default();
        for line in statement.block.iter().flatten() {
            let [first, rest @ ..] = line.words.as_slice() else { continue };
            if first.text == "fwmark" {
                diagnostics
                    .warning(line.span(), "'fwmark' is left out: a proxy listens to addresses, not to marks")
                    .help("write the addresses that the firewall marks");
                continue;
            }
            for ip in range(first, diagnostics) {
                let word = Word { text: ip.to_string(), ..first.clone() };
                group.extend(address(&word, rest.first(), None, diagnostics));
            }
        }
    }
    groups
}

/// The addresses of `192.0.2.1`, `192.0.2.1-10`, `192.0.2.1-192.0.3.1` and `192.0.2.0/28`.
fn range(word: &Word, diagnostics: &mut Diagnostics) -> Vec<IpAddr> {
    let bounds = bounds(&word.text);
    let Some((first, last)) = bounds else {
        diagnostics.error(word.span, format!("'{}' is no range of addresses: it is left out", word.text));
        return Vec::new();
    };
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    let (from, to) = (number(first), number(last));
    if to < from || to - from >= MAX_ADDRESSES as u128 {
        diagnostics.error(
            word.span,
            format!("'{}' is no range of 1 to {MAX_ADDRESSES} addresses: it is left out", word.text),
        );
        return Vec::new();
    }
    let address = |number: u128| match first {
        IpAddr::V4(_) => u32::try_from(number).ok().map(|number| IpAddr::V4(number.into())),
        IpAddr::V6(_) => Some(IpAddr::V6(number.into())),
    };
    (from..=to).filter_map(address).collect()
}

fn bounds(text: &str) -> Option<(IpAddr, IpAddr)> {
    if text.contains('/') {
        let net: IpNet = text.parse().ok()?;
        return Some((net.network(), net.broadcast()));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first: IpAddr = first.parse().ok()?;
    let last = match (first, last.parse::<IpAddr>()) {
        (_, Ok(last)) => last,
        (IpAddr::V4(first), Err(_)) => {
            let [a, b, c, _] = first.octets();
            IpAddr::from([a, b, c, last.parse().ok()?])
        }
        (IpAddr::V6(first), Err(_)) => {
            let mut segments = first.segments();
            segments[7] = u16::from_str_radix(last, 16).ok()?;
            IpAddr::from(segments)
        }
    };
    (first.is_ipv4() == last.is_ipv4()).then_some((first, last))
}
