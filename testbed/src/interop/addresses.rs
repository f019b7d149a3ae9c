//! What may be said of an address: both programs add the same ones for the same text, except for how long they stay.
#![allow(clippy::wildcard_enum_match_arm, reason = "the kernel's messages grow, and most are not for us")]

use std::net::IpAddr;

use failover::netlink::Netlink;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use super::beside::{Comparison, Entry, texts};
use crate::lab::Namespace;

/// So many float.
const ADDRESSES: usize = 16;
/// Longest lifetime of an address whose owner may die.
const LIFETIME: u32 = 2;
const INSTANCE: &str = "vrrp_instance web {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 100
    version 3
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.100/24
        192.0.2.101/24 brd +
        192.0.2.102/24 brd - dev eth0
        192.0.2.103/24 brd 192.0.2.254 label eth0:x
        192.0.2.104 peer 198.51.100.9
        192.0.2.105/24 noprefixroute no_track
        198.51.101.104/24 scope link
        198.51.102.104/24 scope 100
    }
    virtual_ipaddress_excluded {
        2001:db8::100/64
        2001:db8::101
        2001:db8::102/64 home
        2001:db8::103/64 -nodad
        2001:db8::104/64 mngtmpaddr noprefixroute
        2001:db8::105/64 preferred_lft 100
        2001:db8::106/64 preferred_lft 0
        2001:db8::107 peer 2001:db8:9::1 preferred_lft forever
    }
}
";

pub(super) fn compare() -> Result<String, String> {
    let floating = || Ok(held()?.into_iter().filter(|entry| entry.of.floats).collect());
    let comparison = Comparison { text: INSTANCE, count: ADDRESSES, look: floating };
    comparison.run(|machine, added| {
        let longest = added.iter().map(|entry| entry.of.valid.max(entry.of.preferred)).max();
        if longest.is_none_or(|longest| longest > LIFETIME) {
            return Err(format!("an address would outlive its owner: {longest:?} s"));
        }
        // One is put back, the one that nobody tracks is not.
        for last in [105, 101] {
            let address = Some(IpAddr::from([192, 0, 2, last]));
            let held = added.iter().find(|entry| entry.of.own == address).ok_or("it is not there")?;
            remove(&machine.host, &held.of)?;
        }
        let mut rest = texts(added);
        rest.retain(|text| !text.contains("192.0.2.105"));
        machine.until("what is tracked is put back, and the other is not", |found| texts(found) == rest)?;
        Ok(())
    })?;
    Ok(format!("{ADDRESSES} addresses are those of keepalived, and none outlives its owner by {LIFETIME} s"))
}

/// An address of an interface.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) message: AddressMessage,
    pub(super) own: Option<IpAddr>,
    pub(super) floats: bool,
    pub(super) valid: u32,
    preferred: u32,
}

/// Removes one.
pub(super) fn remove(host: &Namespace, held: &Held) -> Result<(), String> {
    let message = RouteNetlinkMessage::DelAddress(held.message.clone());
    let remove = || Netlink::open()?.change(message, 0);
    host.inside(remove).and_then(|removed| removed).map_err(|e| e.to_string())
}

/// The addresses of the interface.
pub(super) fn held() -> std::io::Result<Vec<Entry<Held>>> {
    let mut netlink = Netlink::open()?;
    let index = netlink.link("eth0")?.index;
    let every = netlink.list(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    let of_interface = every.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewAddress(message) if message.header.index == index => {
            Some(understand(message))
        }
        _ => None,
    });
    Ok(of_interface.collect())
}

fn understand(message: AddressMessage) -> Entry<Held> {
    let (mut own, mut far, mut valid, mut preferred) = (None, None, u32::MAX, u32::MAX);
    let mut words = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => own = Some(*address),
            AddressAttribute::Address(address) => far = Some(*address),
            AddressAttribute::CacheInfo(times) => (valid, preferred) = (times.ifa_valid, times.ifa_preferred),
            AddressAttribute::Label(label) => words.push(format!("label {label}")),
            AddressAttribute::Broadcast(broadcast) => words.push(format!("brd {broadcast}")),
            AddressAttribute::Flags(flags) => {
                // What depends on the lifetime, on the order and on the hour.
                let passing = AddressFlags::Permanent | AddressFlags::Secondary | AddressFlags::Tentative;
                words.push(format!("{:?}", flags.difference(passing)));
            }
            _ => {}
        }
    }
    let own = own.or(far);
    let floats = match own {
        Some(IpAddr::V4(four)) => four.octets()[3] >= 100,
        Some(IpAddr::V6(six)) => six.segments()[0] == 0x2001,
        None => false,
    };
    words.push(format!("scope {:?} prefix {}", message.header.scope, message.header.prefix_len));
    if preferred == 0 {
        words.push("not preferred".to_owned());
    }
    let text = format!("{own:?} {far:?} {}", words.join(" "));
    Entry { text, of: Held { message, own, floats, valid, preferred } }
}
