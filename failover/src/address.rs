//! Virtual addresses on an interface. Each carries a lifetime: when nobody renews it, the kernel removes
//! it by itself, so that even a killed owner stops answering.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope, CacheInfo};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::Netlink;

/// Lifetime of an address. The kernel counts whole seconds and lags by up to 0.4 of one.
pub(crate) const LIFETIME_SECONDS: u32 = 2;
/// How often it is renewed: several times within a lifetime, so that one late turn costs nothing.
pub(crate) const RENEW_EVERY_MICROS: u64 = 300_000;

/// Adds an address, or renews the lifetime of one that is there.
pub(crate) fn hold(netlink: &mut Netlink, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
    hold_for(netlink, index, address, prefix, LIFETIME_SECONDS)
}

/// Adds an address that the kernel removes after some seconds.
pub(crate) fn hold_for(
    netlink: &mut Netlink,
    index: u32,
    address: Ipv4Addr,
    prefix: u8,
    seconds: u32,
) -> io::Result<()> {
    let mut message = of(index, address, prefix);
    let mut lifetime = CacheInfo::default();
    lifetime.ifa_valid = seconds;
    lifetime.ifa_preferred = seconds;
    message.attributes.push(AddressAttribute::CacheInfo(lifetime));
    netlink.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Removes an address; one that is not there, or whose interface is not, is removed already.
pub(crate) fn release(netlink: &mut Netlink, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
    match netlink.change(RouteNetlinkMessage::DelAddress(of(index, address, prefix)), 0) {
        Err(error) if [Some(libc::EADDRNOTAVAIL), Some(libc::ENODEV)].contains(&error.raw_os_error()) => {
            Ok(())
        }
        other => other,
    }
}

fn of(index: u32, address: Ipv4Addr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(IpAddr::V4(address)));
    message.attributes.push(AddressAttribute::Address(IpAddr::V4(address)));
    message
}
