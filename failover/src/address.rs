//! Virtual addresses on an interface. Each carries a lifetime: when nobody renews it, the kernel removes
//! it by itself, so that even a killed owner stops answering.

use std::io;
use std::net::IpAddr;

use failover_vrrp::VirtualAddress;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::Netlink;

/// Lifetime of an address. The kernel counts whole seconds and lags by up to 0.4 of one.
pub(crate) const LIFETIME_SECONDS: u32 = 2;
/// The prefix of a single address of IPv6.
const HOST_IPV6: u8 = 128;
/// How often it is renewed: several times within a lifetime, so that one late turn costs nothing.
pub(crate) const RENEW_EVERY_MICROS: u64 = 300_000;

/// Adds an address, or renews the lifetime of one that is there.
pub(crate) fn hold(netlink: &mut Netlink, index: u32, address: &VirtualAddress) -> io::Result<()> {
    hold_for(netlink, index, address, LIFETIME_SECONDS)
}

/// Adds an address that the kernel removes after some seconds.
pub(crate) fn hold_for(
    netlink: &mut Netlink,
    index: u32,
    address: &VirtualAddress,
    seconds: u32,
) -> io::Result<()> {
    let mut message = of(index, address.address, address.prefix);
    let mut lifetime = CacheInfo::default();
    lifetime.ifa_valid = seconds;
    // A host's address of IPv6 is not for connections that this node begins: it would lose them with the address.
    let deprecated = address.address.is_ipv6() && address.prefix == HOST_IPV6;
    lifetime.ifa_preferred = if deprecated { 0 } else { seconds };
    message.attributes.push(AddressAttribute::CacheInfo(lifetime));
    if address.address.is_ipv6() {
        // Whether somebody else has it has been settled by VRRP: to ask again would take a second.
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    if let Some(label) = address.label.as_ref().filter(|_| address.address.is_ipv4()) {
        message.attributes.push(AddressAttribute::Label(label.clone()));
    }
    netlink.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Removes an address; one that is not there, or whose interface is not, is removed already.
pub(crate) fn release(netlink: &mut Netlink, index: u32, address: &VirtualAddress) -> io::Result<()> {
    let message = of(index, address.address, address.prefix);
    match netlink.change(RouteNetlinkMessage::DelAddress(message), 0) {
        Err(error) if [Some(libc::EADDRNOTAVAIL), Some(libc::ENODEV)].contains(&error.raw_os_error()) => {
            Ok(())
        }
        other => other,
    }
}

fn of(index: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.prefix_len = prefix;
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    message
}
