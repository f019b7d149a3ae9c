//! Routes and rules that move with the addresses: both programs add the same ones for the same text, and leave none.
#![allow(clippy::wildcard_enum_match_arm, reason = "the kernel's messages grow, and most are not for us")]

use failover::netlink::Netlink;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::beside::{Comparison, Entry};

/// So many of each there are.
const ROUTES: usize = 11;
const RULES: usize = 11;
const INSTANCE: &str = "vrrp_instance web {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 100
    version 3
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.100/24
    }
    virtual_ipaddress_excluded {
        2001:db8::100/64
    }
    virtual_routes {
        198.51.100.0/24 via 192.0.2.1 dev eth0
        203.0.113.0/24 dev eth0 scope link src 192.0.2.100 metric 50
        src 192.0.2.100 to 203.0.114.0/24 via 192.0.2.2
        default via 192.0.2.1 dev eth0 table 100
        blackhole 203.0.115.0/24
        unreachable 203.0.117.0/24 table 100
        203.0.118.0/24 via 192.0.2.1 dev eth0 onlink mtu 1400 advmss 1360
        2001:db8:5::/48 via 2001:db8::1 dev eth0
        203.0.119.0/24 dev eth0 tos 0x04 hoplimit 100 initcwnd 20 initrwnd 30 quickack 1 congctl reno mtu lock 1400
        203.0.120.0/24 dev eth0 window 105 cwnd 106 ssthresh 107 reordering 104 fastopen_no_cookie 1
        203.0.121.0/24 nexthop via 192.0.2.1 dev eth0 weight 1 nexthop via 198.51.100.2 dev eth0 onlink weight 3
    }
    virtual_rules {
        from 192.0.2.100 table 100
        to 198.51.100.0/24 lookup 100 priority 500
        from 192.0.2.0/24 iif eth0 fwmark 0x10/0xff table 100 preference 600
        from 2001:db8::100 table 100
        oif eth0 table main
        from 10.0.0.0/8 prohibit
        from 192.0.2.100 tos 0x10 table 100 priority 10
        from 192.0.2.100 uidrange 0-0 table 100 priority 11
        from 192.0.2.100 ipproto UDP sport 10-20 dport 53-53 table 100 priority 12
        from 192.0.2.100 table 100 suppress_prefixlength 0 priority 13
        from 192.0.2.100 l3mdev priority 14
    }
}
";

pub(super) fn compare() -> Result<String, String> {
    let comparison = Comparison { text: INSTANCE, count: ROUTES + RULES, look: added };
    comparison.run(|_, _| Ok(()))?;
    Ok(format!("{ROUTES} routes and {RULES} rules are those of keepalived, and go with it"))
}

/// Routes and rules that keepalived's protocol number stands on.
pub(super) fn added() -> std::io::Result<Vec<Entry<()>>> {
    let mut found = Vec::new();
    for message in messages()? {
        match message {
            RouteNetlinkMessage::NewRoute(mut route) => {
                // What it has carried is no part of it, nor is the number of its interface.
                route
                    .attributes
                    .retain(|a| !matches!(a, RouteAttribute::CacheInfo(_) | RouteAttribute::Oif(_)));
                found.push(Entry { text: format!("{route:?}"), of: () });
            }
            other => found.push(Entry { text: format!("{other:?}"), of: () }),
        }
    }
    Ok(found)
}

/// Removes them.
pub(super) fn remove_all() -> std::io::Result<()> {
    let mut netlink = Netlink::open()?;
    for message in messages()? {
        let removal = match message {
            RouteNetlinkMessage::NewRoute(route) => RouteNetlinkMessage::DelRoute(route),
            RouteNetlinkMessage::NewRule(rule) => RouteNetlinkMessage::DelRule(rule),
            _ => continue,
        };
        netlink.change(removal, 0)?;
    }
    Ok(())
}

fn messages() -> std::io::Result<Vec<RouteNetlinkMessage>> {
    let mut netlink = Netlink::open()?;
    let mut found = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let (mut route, mut rule) = (RouteMessage::default(), RuleMessage::default());
        (route.header.address_family, rule.header.family) = (family, family);
        found.extend(netlink.list(RouteNetlinkMessage::GetRoute(route))?);
        found.extend(netlink.list(RouteNetlinkMessage::GetRule(rule))?);
    }
    found.retain(|message| match message {
        RouteNetlinkMessage::NewRoute(route) => route.header.protocol == RouteProtocol::KeepAlived,
        RouteNetlinkMessage::NewRule(rule) => {
            rule.attributes.contains(&RuleAttribute::Protocol(RouteProtocol::KeepAlived))
        }
        _ => false,
    });
    Ok(found)
}
