//! Addresses as HAProxy writes them: `:80`, `*:80`, `192.0.2.1:80`, `[::1]:80`, `::1:80`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::model::BindAddress;

/// Reads an address and an optional port. `*` and nothing mean every IPv4 address.
pub(crate) fn parse(text: &str) -> Result<(IpAddr, Option<u16>), String> {
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
        "" | "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "::" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        other => other
            .parse()
            .map_err(|_| format!("'{other}' is not an address; host names are not resolved yet"))?,
    };
    Ok((address, port))
}

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
    let path = text.strip_prefix("unix@").unwrap_or(text);
    path.starts_with('/').then(|| Ok(BindAddress::Unix(PathBuf::from(path))))
}
