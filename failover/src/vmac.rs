//! An interface with a hardware address that moves with the virtual ones (RFC 9568 7.3): neighbours need not learn
//! anything anew, only switches do. It lives on top of the router's interface for as long as the agent does; what a
//! killed process has left is taken over.
//!
//! It is a macvlan of mode bridge: of one of mode private the kernel hides frames from us that come from our own
//! hardware address, which the other routers' advertisements do. So they are heard on the interface itself, and nothing
//! leaves by this one while the node is a backup: no report of a group's membership may teach a switch the wrong port.
#![allow(clippy::wildcard_enum_match_arm, reason = "the kernel's messages grow, and most are not for us")]

use std::io;
use std::path::PathBuf;

use failover_vrrp::VirtualRouter;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};

use crate::netlink::{Link, Netlink};

/// How many names are tried: other routers may have the same number on other interfaces.
const NAMES: usize = 16;
/// Settings of the new interface (the kernel's ip-sysctl document): it answers for its own addresses alone, takes packets
/// that come by a way that answers do not take, and has no address that nobody gave it.
const OWN: &[(&str, &str, &str)] = &[
    ("ipv4", "arp_ignore", "1"),
    ("ipv4", "accept_local", "1"),
    ("ipv4", "promote_secondaries", "1"),
    ("ipv4", "rp_filter", "0"),
    ("ipv6", "addr_gen_mode", "1"),
    ("ipv6", "accept_ra", "0"),
    ("ipv6", "autoconf", "0"),
];
/// Settings of the interface below, which must not answer for addresses of the new one, nor ask in their name: whoever is
/// asked would believe that they live there.
const BELOW: &[(&str, &str)] = &[("arp_ignore", "1"), ("arp_filter", "1"), ("arp_announce", "2")];

/// The interface.
pub(crate) struct VirtualMac {
    pub(crate) name: String,
    pub(crate) link: Link,
    /// The number of the interface that it is above.
    pub(crate) below: u32,
}

/// Settings of other interfaces as they were before the first virtual one was made; being dropped puts them back. They
/// outlive the virtual interfaces, which may go and cannot always be made again.
#[derive(Default)]
pub(crate) struct Before(Vec<(PathBuf, String)>);

impl Before {
    /// Changes one; what it was first is what it will be.
    fn set(&mut self, path: PathBuf, value: &str) {
        let before = std::fs::read_to_string(&path).map(|before| before.trim().to_owned());
        match before.and_then(|before| std::fs::write(&path, value).map(|()| before)) {
            Ok(before) if before != value && self.0.iter().all(|(known, _)| *known != path) => {
                self.0.push((path, before));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(path = %path.display(), %error, "a setting cannot be changed"),
        }
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        for (path, before) in self.0.iter().rev() {
            // An interface that is gone has no settings.
            let _ = std::fs::write(path, before);
        }
    }
}

impl VirtualMac {
    /// Makes that of a router, if it wants one, or takes over what is there; `below`: the router's interface.
    pub(crate) fn open(
        netlink: &mut Netlink,
        settings: &VirtualRouter,
        below: Link,
        before: &mut Before,
    ) -> io::Result<Option<Self>> {
        let Some(wanted) = &settings.virtual_mac else { return Ok(None) };
        let below = (settings.interface.as_str(), below);
        Self::above(netlink, wanted, (settings.vrid, settings.is_ipv6()), below, before).map(Some)
    }

    /// Makes one above an interface, or takes over what is there, for a router's number and a family. What cannot be
    /// finished is removed again.
    pub(crate) fn above(
        netlink: &mut Netlink,
        wanted: &failover_vrrp::VirtualMac,
        (vrid, six): (u8, bool),
        (interface, below): (&str, Link),
        before: &mut Before,
    ) -> io::Result<Self> {
        let mac = wanted.mac.unwrap_or([0, 0, 0x5e, 0, if six { 2 } else { 1 }, vrid]);
        let usual = format!("vrrp.{vrid}");
        let names: Vec<String> = match &wanted.name {
            Some(name) => vec![name.clone()],
            None => std::iter::once(usual.clone())
                .chain((1..NAMES).map(|number| format!("{usual}.{number}")))
                .collect(),
        };
        let (name, is_there) = choose(&names, &links(netlink)?, below.index, mac).ok_or_else(|| {
            io::Error::new(io::ErrorKind::AlreadyExists, format!("there is another interface '{usual}'"))
        })?;
        // A name with a slash would be another file.
        if name.contains('/') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let name = name.clone();
        if !is_there {
            make(netlink, &name, mac, below)?;
        }
        for (family, setting, value) in OWN {
            // A kernel without IPv6 has none of these.
            let _ = std::fs::write(path(family, &name, setting), value);
        }
        let link = netlink.link(&name)?;
        let mut own = Self { name, link, below: below.index };
        own.set_below(interface, before);
        match up(netlink, link).and_then(|()| netlink.link(&own.name)) {
            Ok(link) => own.link = link,
            Err(error) => {
                own.close(netlink);
                return Err(error);
            }
        }
        Ok(own)
    }

    fn set_below(&self, interface: &str, before: &mut Before) {
        for (setting, value) in BELOW {
            before.set(path("ipv4", interface, setting), value);
        }
        // The kernel takes the stricter one of an interface's filter and the filter of all: it is written down for each.
        let all = path("ipv4", "all", "rp_filter");
        let strict = std::fs::read_to_string(&all).unwrap_or_default().trim().to_owned();
        if strict.is_empty() || strict == "0" {
            return;
        }
        let entries = std::fs::read_dir("/proc/sys/net/ipv4/conf").into_iter().flatten().flatten();
        for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
            let filter = path("ipv4", &name, "rp_filter");
            let is_open = std::fs::read_to_string(&filter).is_ok_and(|own| own.trim() == "0");
            if is_open && name != "all" && name != self.name {
                before.set(filter, &strict);
            }
        }
        before.set(all, "0");
    }

    /// Removes it.
    pub(crate) fn close(self, netlink: &mut Netlink) {
        let mut message = LinkMessage::default();
        message.header.index = self.link.index;
        match netlink.change(RouteNetlinkMessage::DelLink(message), 0) {
            Err(error) if error.raw_os_error() != Some(libc::ENODEV) => {
                tracing::warn!(interface = self.name, %error, "the virtual interface cannot be removed");
            }
            _ => {}
        }
    }
}

fn path(family: &str, interface: &str, setting: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net").join(family).join("conf").join(interface).join(setting)
}

fn make(netlink: &mut Netlink, name: &str, mac: [u8; 6], below: Link) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.push(LinkAttribute::Address(mac.to_vec()));
    message.attributes.push(LinkAttribute::Link(below.index));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::MacVlan),
        LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)])),
    ]));
    netlink.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

fn up(netlink: &mut Netlink, link: Link) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = link.index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    netlink.change(RouteNetlinkMessage::SetLink(message), 0)
}

/// The name to use, and whether it is that of our interface, which is there: also where a name before it has become free,
/// since the kernel lets nobody have a second interface with the hardware address.
fn choose<'a>(names: &'a [String], there: &[There], below: u32, mac: [u8; 6]) -> Option<(&'a String, bool)> {
    let taken = |name: &&String| there.iter().find(|link| link.name == **name);
    let ours = |link: &There| link.is_macvlan && link.below == Some(below) && link.mac == mac;
    let own = names.iter().find(|name| taken(name).is_some_and(ours)).map(|name| (name, true));
    own.or_else(|| names.iter().find(|name| taken(name).is_none()).map(|name| (name, false)))
}

/// An interface that is there already.
struct There {
    name: String,
    mac: [u8; 6],
    below: Option<u32>,
    is_macvlan: bool,
}

fn links(netlink: &mut Netlink) -> io::Result<Vec<There>> {
    let every = netlink.list(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let of = |message: RouteNetlinkMessage| {
        let RouteNetlinkMessage::NewLink(link) = message else { return None };
        let mut there = There { name: String::new(), mac: [0; 6], below: None, is_macvlan: false };
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => there.name = name,
                LinkAttribute::Address(bytes) => there.mac = bytes.as_slice().try_into().unwrap_or_default(),
                LinkAttribute::Link(below) => there.below = Some(below),
                LinkAttribute::LinkInfo(info) => {
                    there.is_macvlan = info.contains(&LinkInfo::Kind(InfoKind::MacVlan));
                }
                _ => {}
            }
        }
        Some(there)
    };
    Ok(every.into_iter().filter_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];

    fn chosen(there: &[(&str, u32, bool)], below: u32) -> Option<(String, bool)> {
        let names = ["vrrp.51", "vrrp.51.1"].map(str::to_owned);
        let there = there.iter().map(|(name, below, is_macvlan)| There {
            name: (*name).to_owned(),
            mac: MAC,
            below: Some(*below),
            is_macvlan: *is_macvlan,
        });
        let there: Vec<There> = there.collect();
        choose(&names, &there, below, MAC).map(|(name, is_there)| (name.clone(), is_there))
    }

    #[test]
    fn an_interface_that_is_there_is_used_before_a_name_that_is_free() {
        let (first, second) = ("vrrp.51", "vrrp.51.1");
        assert_eq!(chosen(&[], 3), Some((first.to_owned(), false)));
        assert_eq!(chosen(&[(first, 3, true)], 3), Some((first.to_owned(), true)));
        assert_eq!(chosen(&[(first, 2, true)], 3), Some((second.to_owned(), false)));
        assert_eq!(chosen(&[(first, 2, true), (second, 3, true)], 3), Some((second.to_owned(), true)));
        // The interface below the first one is gone, and its name with it.
        assert_eq!(chosen(&[(second, 3, true)], 3), Some((second.to_owned(), true)));
        // Others may be called so.
        assert_eq!(chosen(&[(first, 3, false)], 3), Some((second.to_owned(), false)));
        assert_eq!(chosen(&[(first, 3, false), (second, 2, true)], 3), None);
    }
}
