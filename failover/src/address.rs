//! Virtual addresses on an interface. Each carries a lifetime: when nobody renews it, the kernel removes
//! it by itself, so that even a killed owner stops answering.

use std::io;

use failover_vrrp::{Trait, VirtualAddress};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};

use crate::netlink::{Netlink, family};

/// Lifetime of an address. The kernel counts whole seconds and lags by up to 0.4 of one.
pub(crate) const LIFETIME_SECONDS: u32 = 2;
/// The prefix of a single address of IPv6.
const HOST_IPV6: u8 = 128;
/// How often it is renewed: several times within a lifetime, so that one late turn costs nothing.
pub(crate) const RENEW_EVERY_MICROS: u64 = 300_000;

/// Adds an address, or renews the lifetime of one that is there; `age`: for how many seconds it has been.
pub(crate) fn hold(netlink: &mut Netlink, index: u32, address: &VirtualAddress, age: u32) -> io::Result<()> {
    add(netlink, index, address, (LIFETIME_SECONDS, age))
}

/// Adds an address that the kernel removes after some seconds.
pub(crate) fn hold_for(
    netlink: &mut Netlink,
    index: u32,
    address: &VirtualAddress,
    seconds: u32,
) -> io::Result<()> {
    add(netlink, index, address, (seconds, 0))
}

/// Adds an address that stays; one that is there already is an error, and is left as it is.
pub(crate) fn fix(netlink: &mut Netlink, index: u32, address: &VirtualAddress) -> io::Result<()> {
    let message = message(index, address, (u32::MAX, 0));
    netlink.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
}

fn add(netlink: &mut Netlink, index: u32, address: &VirtualAddress, life: (u32, u32)) -> io::Result<()> {
    let message = message(index, address, life);
    netlink.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// An address that the kernel removes after some seconds, and that has been there for some.
fn message(index: u32, address: &VirtualAddress, (seconds, age): (u32, u32)) -> AddressMessage {
    let mut message = of(index, address);
    let mut lifetime = CacheInfo::default();
    lifetime.ifa_valid = seconds;
    lifetime.ifa_preferred = preferred(address, age).min(seconds);
    message.attributes.push(AddressAttribute::CacheInfo(lifetime));
    let flags = flags(address);
    if !flags.is_empty() {
        message.attributes.push(AddressAttribute::Flags(flags));
    }
    message.attributes.extend(address.broadcast.map(AddressAttribute::Broadcast));
    if let Some(label) = address.label.as_ref().filter(|_| address.address.is_ipv4()) {
        message.attributes.push(AddressAttribute::Label(label.clone()));
    }
    message
}

/// For how many seconds from now on connections that this node begins may come from it. A host's address of IPv6 is not
/// for them, unless the file says so: they would lose it.
fn preferred(address: &VirtualAddress, age: u32) -> u32 {
    match address.preferred.filter(|_| address.address.is_ipv6()) {
        Some(u32::MAX) => u32::MAX,
        Some(seconds) => seconds.saturating_sub(age),
        None if address.address.is_ipv6() && address.prefix == HOST_IPV6 => 0,
        None => u32::MAX,
    }
}

fn flags(address: &VirtualAddress) -> AddressFlags {
    let has = |is: Trait, flag| if address.traits.contains(&is) { flag } else { AddressFlags::empty() };
    let mut flags = has(Trait::NoPrefixRoute, AddressFlags::Noprefixroute);
    flags |= has(Trait::Joins, AddressFlags::Mcautojoin);
    if address.address.is_ipv6() {
        flags |= has(Trait::Home, AddressFlags::Homeaddress);
        flags |= has(Trait::ManageTemporary, AddressFlags::Managetempaddr);
        // Whether somebody else has it has been settled by VRRP: to ask again would take a second.
        if !address.traits.contains(&Trait::AskFirst) {
            flags |= AddressFlags::Nodad;
        }
    }
    flags
}

/// Whether an address is there that this program has added a moment ago: nobody else gives one so short a life.
pub(crate) fn remains(netlink: &mut Netlink, index: u32, address: &VirtualAddress) -> bool {
    let every = netlink.lifetimes(index).unwrap_or_default();
    every.iter().any(|(found, seconds)| *found == address.address && *seconds <= LIFETIME_SECONDS)
}

/// Removes an address; one that is not there, or whose interface is not, is removed already.
pub(crate) fn release(netlink: &mut Netlink, index: u32, address: &VirtualAddress) -> io::Result<()> {
    let message = of(index, address);
    match netlink.change(RouteNetlinkMessage::DelAddress(message), 0) {
        Err(error) if [Some(libc::EADDRNOTAVAIL), Some(libc::ENODEV)].contains(&error.raw_os_error()) => {
            Ok(())
        }
        other => other,
    }
}

fn of(index: u32, address: &VirtualAddress) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.address);
    message.header.prefix_len = address.prefix;
    message.header.scope = address.scope.into();
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(address.address));
    message.attributes.push(AddressAttribute::Address(address.peer.unwrap_or(address.address)));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_preferred_as_long_as_the_file_says() {
        let mut address = VirtualAddress::new("2001:db8::1".parse().unwrap(), 64);
        assert_eq!(preferred(&address, 9), u32::MAX);
        address.preferred = Some(10);
        assert_eq!([0, 9, 10, 11].map(|age| preferred(&address, age)), [10, 1, 0, 0]);
        address.preferred = Some(u32::MAX);
        assert_eq!(preferred(&address, 11), u32::MAX);
        let mut single = VirtualAddress::new("2001:db8::1".parse().unwrap(), 128);
        assert_eq!(preferred(&single, 0), 0);
        single.preferred = Some(u32::MAX);
        assert_eq!(preferred(&single, 0), u32::MAX);
    }
}
