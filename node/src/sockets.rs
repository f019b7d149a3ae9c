//! Opens every socket a configuration names: before privileges are dropped, and once for all the
//! processes that come and go behind them.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use proxy_config::model::{Bind, BindAddress, Config, SocketFile};

use crate::config::Everything;
use crate::runtime_api;
use crate::worker::{Parts, privileges};

/// Opens all of them, or takes over what `before` has open already; the error names each that could not be.
pub(crate) fn open(
    everything: &Everything,
    member: &str,
    cores: usize,
    before: Option<(&Config, &Parts)>,
) -> Result<Parts, String> {
    let config = &everything.proxy;
    let mut problems = Vec::new();
    let mut parts = Parts::default();
    // First: whoever can reach a listener can ask the runtime API too.
    for line in &config.global.stats_sockets {
        let open = match before.and_then(|(old, parts)| old_stats(old, parts, &line.address)) {
            Some(socket) => socket.try_clone(),
            None => runtime_api::open(line),
        };
        match open {
            Ok(socket) => parts.stats.push(socket),
            Err(error) => {
                problems.push(format!("cannot open stats socket {} : {error}", shown(&line.address)));
            }
        }
    }
    let mut taken = Vec::new();
    for bind in &config.binds {
        let open = match before.and_then(|(old, parts)| old_bind(old, parts, &bind.address, &mut taken)) {
            Some(group) => group.iter().map(OwnedFd::try_clone).collect(),
            None => open_bind(bind, cores),
        };
        match open {
            Ok(group) => parts.sockets.binds.push(group),
            Err(error) => problems.push(format!(
                "cannot listen on {} for '{}' : {error}",
                shown(&bind.address),
                config.frontends[bind.frontend.0 as usize].name
            )),
        }
    }
    let cluster = everything.cluster.as_ref().and_then(|c| c.member(member).map(|m| (c, m)));
    if let Some((cluster, own)) = cluster {
        let mut open = |address: SocketAddr, before: Option<&TcpListener>| {
            let open = before.map_or_else(|| listen(address.ip(), address.port()), TcpListener::try_clone);
            match open {
                Ok(socket) => Some(socket),
                Err(error) => {
                    problems.push(format!("cannot listen on {address} for the cluster : {error}"));
                    None
                }
            }
        };
        let old = before.map(|(_, parts)| parts);
        parts.cluster = open(cluster.socket_of(own), old.and_then(|parts| parts.cluster.as_ref()));
        parts.channel = open(cluster.channel_of(own), old.and_then(|parts| parts.channel.as_ref()));
    }
    for (place, section) in config.peers.iter().enumerate() {
        let Some(address) = section.own(member) else {
            tracing::warn!(
                "peers section '{}' has no peer '{member}': it is left out (say who this is with '-L NAME')",
                section.name
            );
            continue;
        };
        let open = match before.and_then(|(old, parts)| old_peers(old, parts, member, address)) {
            Some(socket) => socket.try_clone(),
            None => listen(address.ip(), address.port()),
        };
        match open {
            Ok(socket) => {
                parts.peers.insert(place, socket);
            }
            Err(error) => problems
                .push(format!("cannot listen on {address} for peers section '{}' : {error}", section.name)),
        }
    }
    if problems.is_empty() { Ok(parts) } else { Err(problems.join("\n")) }
}

/// An address as it is written.
pub(crate) fn shown(address: &BindAddress) -> String {
    match address {
        BindAddress::Tcp(address) => address.to_string(),
        BindAddress::Unix(path) => format!("'{}'", path.display()),
        BindAddress::Abstract(name) => format!("abns@{name}"),
        BindAddress::Inherited(number) => format!("fd@{number}"),
    }
}

/// A bind's socket for each core; all of them share one that was inherited, or has no port.
fn open_bind(bind: &Bind, cores: usize) -> std::io::Result<Vec<OwnedFd>> {
    let socket = match &bind.address {
        BindAddress::Inherited(number) => crate::sys::inherited(*number)?,
        BindAddress::Unix(path) => open_file(path, &bind.file)?,
        BindAddress::Abstract(name) => open_abstract(name)?,
        BindAddress::Tcp(_) => return (0..cores).map(|_| proxy::open_socket(bind)).collect(),
    };
    rustix::io::ioctl_fionbio(&socket, true)?;
    (0..cores).map(|_| socket.try_clone()).collect()
}

/// Listens under an abstract name. As in the original it is as long as names can be, filled up with zeros.
pub(crate) fn open_abstract(name: &str) -> std::io::Result<OwnedFd> {
    let mut bytes = [0; LONGEST_ABSTRACT];
    bytes.get_mut(..name.len()).ok_or(std::io::ErrorKind::InvalidInput)?.copy_from_slice(name.as_bytes());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(bytes)?;
    Ok(UnixListener::bind_addr(&address)?.into())
}

/// Bytes of an abstract name (unix(7)).
const LONGEST_ABSTRACT: usize = 107;

/// Listens on a Unix socket of the file system; what was there before goes.
pub(crate) fn open_file(path: &Path, file: &SocketFile) -> std::io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = UnixListener::bind(path)?;
    if let Some(mode) = file.mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    let user = file.user.as_ref().map(|account| privileges::user(account).map(|(user, _)| user));
    let group = file.group.as_ref().map(privileges::group);
    let (user, group) = (user.transpose(), group.transpose());
    let (user, group) = (user.map_err(std::io::Error::other)?, group.map_err(std::io::Error::other)?);
    // After the mode, which only the owner may change.
    std::os::unix::fs::chown(path, user, group)?;
    Ok(socket.into())
}

fn old_stats<'p>(old: &Config, parts: &'p Parts, address: &BindAddress) -> Option<&'p OwnedFd> {
    let place = old.global.stats_sockets.iter().position(|line| line.address == *address)?;
    parts.stats.get(place)
}

fn old_peers<'p>(
    old: &Config,
    parts: &'p Parts,
    member: &str,
    address: SocketAddr,
) -> Option<&'p TcpListener> {
    let place = old.peers.iter().position(|section| section.own(member) == Some(address))?;
    parts.peers.get(&place)
}

/// The sockets of an address in the file before, each at most once.
fn old_bind<'p>(
    old: &Config,
    parts: &'p Parts,
    address: &BindAddress,
    taken: &mut Vec<usize>,
) -> Option<&'p Vec<OwnedFd>> {
    let place = (0..old.binds.len()).find(|i| old.binds[*i].address == *address && !taken.contains(i))?;
    taken.push(place);
    parts.sockets.binds.get(place)
}

fn listen(address: IpAddr, port: u16) -> std::io::Result<TcpListener> {
    /// Members that may wait to be accepted.
    const BACKLOG: i32 = 64;
    let address = SocketAddr::new(address, port);
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
