//! This node's own address on a router's link, and what else of the machine a router waits for at its start.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use failover_vrrp::VirtualRouter;

use crate::netlink::{Link, Netlink};

/// The address, as the file has it (`named`), or else the interface's first one that fits and is none of those that float;
/// the one that it was `before` while that is there. `None`: there is none yet.
///
/// # Errors
/// The kernel's answer.
pub(crate) fn address(
    netlink: &mut Netlink,
    settings: &VirtualRouter,
    (named, before): (Option<IpAddr>, Option<IpAddr>),
    link: Link,
    floating: &BTreeSet<IpAddr>,
) -> io::Result<Option<IpAddr>> {
    let mut there = netlink.addresses(link.index)?.into_iter().map(|(own, _)| own);
    if let Some(named) = named {
        let must_be_there = settings.presence.tracks_source;
        return Ok(Some(named).filter(|named| !must_be_there || there.any(|own| own == *named)));
    }
    let fixed = |own: &IpAddr| own.is_ipv6() == settings.is_ipv6() && !floating.contains(own);
    let own: Vec<IpAddr> = there.filter(fixed).collect();
    // Over IPv6 routers know each other by the addresses of their link (RFC 9568 5.1.2.1), unless peers are farther.
    let far = settings.unicast_peers.iter().any(|peer| !is_of_link(*peer));
    let fits = |own: &&IpAddr| own.is_ipv4() || is_of_link(**own) != far;
    let same = own.iter().find(|own| Some(**own) == before);
    Ok(same.or(own.iter().find(fits)).or(own.first()).copied())
}

fn is_of_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(six) if six.is_unicast_link_local())
}

/// How long the machine has been up; as long as can be where it does not say.
pub(crate) fn uptime() -> Duration {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split([' ', '.']).next().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(Duration::MAX, Duration::from_secs)
}

/// The kernel's setting that the other addresses of a network stay when the first one goes.
pub(crate) struct Promotion(PathBuf);

impl Promotion {
    /// Sets it, where it was not set.
    pub(crate) fn begin(interface: &str) -> Option<Self> {
        let path = PathBuf::from("/proc/sys/net/ipv4/conf").join(interface).join("promote_secondaries");
        let before = fs::read_to_string(&path).and_then(|before| fs::write(&path, "1").map(|()| before));
        match before {
            Ok(before) => (before.trim() == "0").then_some(Self(path)),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a setting cannot be changed");
                None
            }
        }
    }
}

impl Drop for Promotion {
    fn drop(&mut self) {
        // An interface that is gone has no settings.
        let _ = fs::write(&self.0, "0");
    }
}
