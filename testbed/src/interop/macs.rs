//! Addresses with a hardware address that moves with them: both programs make the same interfaces for the same text.
#![allow(clippy::wildcard_enum_match_arm, reason = "the kernel's messages grow, and most are not for us")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use failover::netlink::Netlink;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};

use super::timing::{Stage, with_each};

const TEXT: &str = "vrrp_instance A {
    interface eth0
    virtual_router_id 51
    priority 100
    version 3
    advert_int 0.1
    use_vmac
    use_vmac_addr
    virtual_ipaddress {
        192.0.2.100/24
        203.0.113.1/24 dev eth1
    }
    virtual_ipaddress_excluded {
        2001:db8::100/64
        2001:db8:1::100/64 dev eth1
    }
}
vrrp_instance B {
    interface eth0
    virtual_router_id 52
    priority 100
    version 3
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.101/24
        192.0.2.103/24 use_vmac
        203.0.113.2/24 dev eth1 use_vmac
        203.0.113.3/24 dev eth1 use_vmac
        203.0.113.4/24 dev eth1
    }
}
";
/// Where each address lives: above which interface, with the last two bytes of which hardware address; or on which one.
const PLACES: [&str; 9] = [
    "192.0.2.100 above eth0 01:33",
    "192.0.2.101 on eth0",
    "192.0.2.103 above eth0 01:34",
    "2001:db8:1::100 above eth1 02:33",
    "2001:db8::100 above eth0 02:33",
    "203.0.113.1 above eth1 01:33",
    "203.0.113.2 above eth1 01:34",
    "203.0.113.3 above eth1 01:34",
    "203.0.113.4 on eth1",
];

pub(super) fn compare() -> Result<String, String> {
    with_each(TEXT, |stage| {
        stage
            .until("addresses live where the file says", |stage| places(stage) == PLACES)
            .map_err(|why| format!("{why}; they are {:#?}", places(stage)))
    })?;
    Ok("addresses live on the interfaces that keepalived makes for them".to_owned())
}

fn places(stage: &Stage) -> Vec<String> {
    let mut places = stage.host.inside(look).and_then(|places| places).unwrap_or_default();
    places.sort();
    places
}

fn look() -> std::io::Result<Vec<String>> {
    let mut netlink = Netlink::open()?;
    let mut names = BTreeMap::new();
    let mut above = BTreeMap::new();
    for message in netlink.list(RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
        let RouteNetlinkMessage::NewLink(link) = message else { continue };
        let (mut below, mut mac, mut is_macvlan) = (None, Vec::new(), false);
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => drop(names.insert(link.header.index, name)),
                LinkAttribute::Address(bytes) => mac = bytes,
                LinkAttribute::Link(index) => below = Some(index),
                LinkAttribute::LinkInfo(info) => {
                    is_macvlan = info.contains(&LinkInfo::Kind(InfoKind::MacVlan));
                }
                _ => {}
            }
        }
        if let (Some(below), true, [0, 0, 0x5e, 0, family, number]) = (below, is_macvlan, mac.as_slice()) {
            above.insert(link.header.index, (below, format!("{family:02x}:{number:02x}")));
        }
    }
    let name = |index: u32| names.get(&index).map_or("", String::as_str);
    let mut places = Vec::new();
    for message in netlink.list(RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        let RouteNetlinkMessage::NewAddress(address) = message else { continue };
        let own = address.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(own) => Some(*own),
            _ => None,
        });
        let own = own.or_else(|| {
            address.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(own) => Some(*own),
                _ => None,
            })
        });
        let floats = match own {
            Some(IpAddr::V4(four)) => {
                let [first, .., last] = four.octets();
                first == 203 || last >= 100
            }
            Some(IpAddr::V6(six)) => six.segments()[0] == 0x2001,
            None => false,
        };
        let Some(own) = own.filter(|_| floats) else { continue };
        places.push(match above.get(&address.header.index) {
            Some((below, mac)) => format!("{own} above {} {mac}", name(*below)),
            None => format!("{own} on {}", name(address.header.index)),
        });
    }
    Ok(places)
}
