//! Addresses as HAProxy writes them: `:80`, `*:80`, `192.0.2.1:80`, `[::1]:80`, `::1:80`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::model::BindAddress;

/// Reads an address and an optional port. `*` and nothing mean every IPv4 address.
pub(crate) fn parse(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    let is_v6 = text.starts_with("ipv6@");
    let is_v4 = text.starts_with("ipv4@");
    let text = text.strip_prefix("ipv4@").or_else(|| text.strip_prefix("ipv6@")).unwrap_or(text);
    let (host, port) = match text.rsplit_once(':') {
        Some((host, "")) if !host.is_empty() => (host, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let port = match port {
        Some(port) => {
            Some(port.parse::<u16>().map_err(|_| format!("'{port}' is no port: 0 to 65535 is expected"))?)
        }
        None => None,
    };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let address = match bare {
        "" | "*" if is_v6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "" | "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "::" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        other => other
            .parse()
            .map_err(|_| format!("'{other}' is not an address; host names are not resolved yet"))?,
    };
    if (is_v6 && address.is_ipv4()) || (is_v4 && address.is_ipv6()) {
        return Err(format!("'{bare}' is not an address of the family before it"));
    }
    Ok((address, port))
}

/// What an address of a server is that HAProxy can use and this program cannot yet; `None`: it is no address.
pub(crate) fn waiting(text: &str) -> Option<&'static str> {
    let prefixed = ["unix@", "abns@", "fd@", "sockpair@", "quic4@", "udp@", "ipv6@", "ipv4@"];
    if text.starts_with('/') || prefixed.iter().any(|prefix| text.starts_with(prefix)) {
        return Some("an address of this form for a server");
    }
    let (host, port) = text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let port = port.map(|port| port.trim_start_matches(['+', '-']));
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return None;
    }
    let is_host = !host.is_empty()
        && host.len() <= LONGEST_HOST
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'*'));
    if host.parse::<IpAddr>().is_ok() || host == "*" {
        Some("a server without a port of its own")
    } else {
        is_host.then_some("a server's host name")
    }
}

/// Longest name of an abstract socket (unix(7)).
const LONGEST_ABSTRACT: usize = 107;
/// Longest name of a host (RFC 1035 2.3.4).
const LONGEST_HOST: usize = 253;

/// Reads an address that must have a port.
pub(crate) fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    match parse(text)? {
        (address, Some(port)) => Ok(SocketAddr::new(address, port)),
        (_, None) => Err(format!("'{text}' lacks a port")),
    }
}

/// Reads what is no address of the network: the path of a Unix socket, or the number of a descriptor.
pub(crate) fn special(text: &str) -> Option<Result<BindAddress, String>> {
    let text = text.strip_prefix("stream+").unwrap_or(text);
    if let Some(number) = text.strip_prefix("fd@") {
        let number = number.parse().ok().filter(|n| *n >= 0);
        return Some(
            number.map(BindAddress::Inherited).ok_or_else(|| format!("'{text}' names no descriptor")),
        );
    }
    if let Some(name) = text.strip_prefix("abns@") {
        let fits = !name.is_empty() && name.len() <= LONGEST_ABSTRACT;
        let name = fits.then(|| BindAddress::Abstract(name.to_owned()));
        return Some(
            name.ok_or_else(|| format!("a name of 1 to {LONGEST_ABSTRACT} bytes is expected behind 'abns@'")),
        );
    }
    let path = text.strip_prefix("unix@").unwrap_or(text);
    path.starts_with('/').then(|| Ok(BindAddress::Unix(PathBuf::from(path))))
}
