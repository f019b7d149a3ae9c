//! What stays whoever is master: both programs add the same static addresses, routes and rules for the same text, put
//! back what somebody removes, and take it with them.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use failover::netlink::Netlink;
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::RouteNetlinkMessage;

use super::addresses::{self, Held, held};
use super::beside::{Comparison, Entry, texts};
use super::routes;
use crate::lab;

/// So many stay, and one floats.
const FIXTURES: usize = 10;
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11));
/// One of the fixtures, and the one that floats.
const STAYS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const FLOATS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));
/// A route of the machine's own to where one of the fixtures leads, too.
const BESIDE: ((IpAddr, u8), IpAddr) =
    ((IpAddr::V4(Ipv4Addr::new(203, 0, 113, 0)), 24), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));
const TEXT: &str = "global_defs {
    default_interface eth0
}
track_group G {
    group {
        web
    }
}
static_ipaddress {
    198.51.100.7/24 brd + track_group G
    198.51.101.8/24 dev eth0 label eth0:x scope link
    239.1.1.1/32 dev eth0 autojoin
    2001:db8::7/64 dev eth0 preferred_lft 0
}
static_routes {
    203.0.113.0/24 via 192.0.2.1 dev eth0
    203.0.114.0/24 dev eth0 scope link src 192.0.2.11 track_group G
    blackhole 203.0.115.0/24 table 100
}
static_rules {
    from 198.51.100.7 iif eth0 table 100 track_group G
    from 198.51.101.8 table 100 priority 500
}
vrrp_instance web {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 100
    version 3
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.100/24
    }
}
";

pub(super) fn compare() -> Result<String, String> {
    let comparison = Comparison { text: TEXT, count: FIXTURES, look };
    comparison.run(|machine, added| {
        let has = |found: &[Entry<Option<Held>>], address| {
            found.iter().filter_map(|entry| entry.of.as_ref()).any(|held| held.own == Some(address))
        };
        let of = |address: IpAddr| {
            let held = added.iter().filter_map(|entry| entry.of.as_ref());
            held.clone().find(|held| held.own == Some(address)).ok_or("it is not there")
        };
        if of(STAYS)?.valid != u32::MAX {
            return Err("what stays has an end".to_owned());
        }
        // What somebody removes is put back, routes and rules as well; also where the machine has another route to there.
        let all = texts(added);
        lab::route_to(&machine.host, BESIDE.0, BESIDE.1).map_err(|e| e.to_string())?;
        addresses::remove(&machine.host, of(STAYS)?)?;
        machine.host.inside(routes::remove_all).and_then(|r| r).map_err(|e| e.to_string())?;
        machine.until("what somebody has removed is put back", |found| texts(found) == all)?;
        // A route that cannot be there is a fault of those that follow it, for as long as that lasts.
        let every = machine.host.inside(held).and_then(|found| found).map_err(|e| e.to_string())?;
        let own = every.iter().find(|entry| entry.of.own == Some(OWN)).ok_or("no own address")?;
        // With the first address of a network the kernel would take the floating one, which the node puts back at once: that
        // it is gone for that moment is not what is waited for.
        let promote = || std::fs::write("/proc/sys/net/ipv4/conf/all/promote_secondaries", "1");
        machine.host.inside(promote).and_then(|written| written).map_err(|e| e.to_string())?;
        addresses::remove(&machine.host, &own.of)?;
        machine.until("an instance whose route cannot be there gives up", |found| !has(found, FLOATS))?;
        let message = RouteNetlinkMessage::NewAddress(own.of.message.clone());
        let add = || Netlink::open()?.change(message, NLM_F_CREATE);
        machine.host.inside(add).and_then(|added| added).map_err(|e| e.to_string())?;
        machine.until("it comes back when the route does", |found| texts(found) == all)?;
        Ok(())
    })?;
    Ok(format!(
        "{} static addresses, routes and rules are those of keepalived, and are put back",
        FIXTURES - 1
    ))
}

/// Everything but the machine's own.
fn look() -> io::Result<Vec<Entry<Option<Held>>>> {
    let is_own = |held: &Held| {
        held.own == Some(OWN) || matches!(held.own, Some(IpAddr::V6(six)) if six.is_unicast_link_local())
    };
    let addresses = held()?.into_iter().filter(|entry| !is_own(&entry.of));
    let addresses = addresses.map(|entry| Entry { text: entry.text, of: Some(entry.of) });
    let others = routes::added()?.into_iter().map(|entry| Entry { text: entry.text, of: None });
    Ok(addresses.chain(others).collect())
}
