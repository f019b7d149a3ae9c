//! Routes and rules that are there while this node has the addresses.

use std::io;
use std::net::IpAddr;

use failover_vrrp::route::{Fate, Hop, Learnt, Metric, Network, Route, Rule};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, Nla};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop, RouteNextHopFlags,
    RouteProtocol, RouteType, RouteVia,
};
use netlink_packet_route::rule::{
    RuleAction, RuleAttribute, RuleFlags, RuleMessage, RulePortRange, RuleUidRange,
};

use crate::netlink::{Netlink, family};

/// The main table.
const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;
/// How routes are added: neither in the place of one that the host has to the same network (`NLM_F_REPLACE`), nor only
/// where it has none (`NLM_F_EXCL`). The kernel still refuses a second one that is the same in everything.
const ADDING: u16 = NLM_F_CREATE;
/// Who has added a route that prefers nothing for now, as the kernel keeps it. One that prefers an address has
/// keepalived's number: who asks the kernel of IPv4 to remove a route without a source gets any, and so none of another
/// router may be like it.
const PLAIN: RouteProtocol = RouteProtocol::Other(118);
/// What the kernel of IPv6 makes of a route without a metric (`IP6_RT_PRIO_USER`, net/ipv6.h).
const SIX_METRIC: u32 = 1024;

/// What a route with a preferred source is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As the file has it.
    Written,
    /// The same without the source.
    Plain,
}

/// Adds them, beside what the host has itself; the routes that cannot be there now. `interface`: where a route goes that
/// says nothing of it.
pub(crate) fn hold(netlink: &mut Netlink, interface: &str, routes: &[Route], rules: &[Rule]) -> Vec<Route> {
    let mut missing = Vec::new();
    for route in routes {
        let is_there = if route.source.is_some() {
            exchange(netlink, interface, route, Form::Plain, Form::Written)
        } else {
            add(netlink, interface, route, Form::Written)
        };
        missing.extend((!is_there).then(|| route.clone()));
    }
    for rule in rules {
        match netlink.change(RouteNetlinkMessage::NewRule(rule_message(rule)), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                tracing::error!(rule = rule.text, %error, "cannot add the rule");
            }
            _ => {}
        }
    }
    missing
}

/// The addresses are elsewhere, and this node serves what has begun with them: that needs the routes, but what this node
/// begins now does not come from there.
pub(crate) fn prefer_nothing(netlink: &mut Netlink, interface: &str, routes: &[Route]) {
    for route in routes.iter().filter(|route| route.source.is_some()) {
        exchange(netlink, interface, route, Form::Written, Form::Plain);
    }
}

/// Puts one form of a route in the place of the other; whether that is there now.
fn exchange(netlink: &mut Netlink, interface: &str, route: &Route, before: Form, after: Form) -> bool {
    if route.to.0.is_ipv4() {
        // There is a way all the time.
        let is_there = add(netlink, interface, route, after);
        remove(netlink, interface, route, before);
        return is_there;
    }
    // Of IPv6 the kernel has one route by the same way, whatever it prefers; and one whose address has gone stays, and
    // prefers nothing.
    remove(netlink, interface, route, before);
    remove(netlink, interface, route, after);
    add(netlink, interface, route, after)
}

/// Adds a route; whether it is there now.
fn add(netlink: &mut Netlink, interface: &str, route: &Route, form: Form) -> bool {
    let added = new_message(netlink, interface, route, form)
        .and_then(|message| netlink.change(RouteNetlinkMessage::NewRoute(message), ADDING));
    match added {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            tracing::error!(route = route.text, %error, "cannot add the route");
            false
        }
        _ => true,
    }
}

fn remove(netlink: &mut Netlink, interface: &str, route: &Route, form: Form) {
    let removed = old_message(netlink, interface, route, form)
        .and_then(|message| netlink.change(RouteNetlinkMessage::DelRoute(message), 0));
    complain(removed, &route.text);
}

/// Adds a route that stays; the same one, if it is there already, is an error.
pub(crate) fn fix_route(netlink: &mut Netlink, route: &Route) -> io::Result<()> {
    let message = new_message(netlink, "", route, Form::Written)?;
    netlink.change(RouteNetlinkMessage::NewRoute(message), ADDING)
}

/// Adds a rule that stays; one that is there already is an error.
pub(crate) fn fix_rule(netlink: &mut Netlink, rule: &Rule) -> io::Result<()> {
    netlink.change(RouteNetlinkMessage::NewRule(rule_message(rule)), NLM_F_CREATE | NLM_F_EXCL)
}

/// Removes them, whatever they prefer; what is not there is removed already.
pub(crate) fn release(netlink: &mut Netlink, interface: &str, routes: &[Route], rules: &[Rule]) {
    for rule in rules {
        let removed = netlink.change(RouteNetlinkMessage::DelRule(rule_message(rule)), 0);
        complain(removed, &rule.text);
    }
    for route in routes {
        if route.source.is_some() {
            remove(netlink, interface, route, Form::Plain);
        }
        remove(netlink, interface, route, Form::Written);
    }
}

fn complain(removed: io::Result<()>, text: &str) {
    let gone = [Some(libc::ENOENT), Some(libc::ESRCH), Some(libc::ENODEV)];
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound || gone.contains(&error.raw_os_error()) => {}
        Err(error) => tracing::error!(text, %error, "cannot be removed"),
        Ok(()) => {}
    }
}

/// A route that is to be.
fn new_message(
    netlink: &mut Netlink,
    interface: &str,
    route: &Route,
    form: Form,
) -> io::Result<RouteMessage> {
    let mut message = route_message(netlink, interface, route, form)?;
    message.attributes.extend(route.metric.map(RouteAttribute::Priority));
    let metrics = metrics(route);
    if !metrics.is_empty() {
        message.attributes.push(RouteAttribute::Metrics(metrics));
    }
    Ok(message)
}

/// A route that is to go, by everything that tells it from others to the same network. What its connections begin with
/// does not: the kernel of IPv4 would compare that, and has kept less than it was given where that was too much.
fn old_message(
    netlink: &mut Netlink,
    interface: &str,
    route: &Route,
    form: Form,
) -> io::Result<RouteMessage> {
    let mut message = route_message(netlink, interface, route, form)?;
    // Where none is named, any would do.
    let metric = route.metric.filter(|metric| *metric > 0).or(route.to.0.is_ipv6().then_some(SIX_METRIC));
    message.attributes.extend(metric.map(RouteAttribute::Priority));
    Ok(message)
}

/// What a route is known by, apart from its metric.
fn route_message(
    netlink: &mut Netlink,
    interface: &str,
    route: &Route,
    form: Form,
) -> io::Result<RouteMessage> {
    let source = route.source.filter(|_| form == Form::Written);
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = family(route.to.0);
    header.destination_prefix_length = route.to.1;
    header.protocol = if form == Form::Plain { PLAIN } else { RouteProtocol::KeepAlived };
    header.scope = route.scope.into();
    header.tos = route.tos;
    header.kind = match route.fate {
        Fate::Forward => RouteType::Unicast,
        Fate::Blackhole => RouteType::BlackHole,
        Fate::Unreachable => RouteType::Unreachable,
        Fate::Prohibit => RouteType::Prohibit,
        Fate::Throw => RouteType::Throw,
    };
    if route.onlink {
        header.flags = RouteFlags::Onlink;
    }
    let attributes = &mut message.attributes;
    if route.to.1 > 0 {
        attributes.push(RouteAttribute::Destination(route.to.0.into()));
    }
    attributes.extend(route.via.map(|via| match via {
        IpAddr::V6(six) if route.to.0.is_ipv4() => RouteAttribute::Via(RouteVia::Inet6(six)),
        IpAddr::V4(_) | IpAddr::V6(_) => RouteAttribute::Gateway(via.into()),
    }));
    attributes.extend(source.map(|source| RouteAttribute::PrefSource(source.into())));
    attributes.push(RouteAttribute::Table(route.table.unwrap_or(MAIN)));
    if !route.hops.is_empty() {
        let hops = route.hops.iter().map(|hop| next_hop(netlink, interface, hop));
        attributes.push(RouteAttribute::MultiPath(hops.collect::<io::Result<_>>()?));
    }
    let device = match (&route.device, route.fate) {
        (Some(device), _) => Some(device.as_str()),
        // The gateway says by which interface.
        (None, Fate::Forward) if route.via.is_none() && route.hops.is_empty() => Some(interface),
        (None, _) => None,
    };
    if let Some(device) = device {
        attributes.push(RouteAttribute::Oif(netlink.link(device)?.index));
    }
    Ok(message)
}

/// What the route's connections begin with.
fn metrics(route: &Route) -> Vec<RouteMetric> {
    let mut locks = 0;
    let mut metrics = Vec::new();
    for (metric, value, learnt) in &route.metrics {
        let metric = match metric {
            Metric::Advmss => RouteMetric::Advmss(*value),
            Metric::Cwnd => RouteMetric::Cwnd(*value),
            Metric::FastOpenNoCookie => RouteMetric::FastopenNoCookie(*value),
            Metric::HopLimit => RouteMetric::Hoplimit(*value),
            Metric::InitCwnd => RouteMetric::InitCwnd(*value),
            Metric::InitRwnd => RouteMetric::InitRwnd(*value),
            Metric::Mtu => RouteMetric::Mtu(*value),
            Metric::QuickAck => RouteMetric::QuickAck(*value),
            Metric::Reordering => RouteMetric::Reordering(*value),
            Metric::SsThresh => RouteMetric::SsThresh(*value),
            Metric::Window => RouteMetric::Window(*value),
        };
        if *learnt == Learnt::Locked {
            // A bit for each number of a metric (linux/rtnetlink.h).
            locks |= 1 << metric.kind();
        }
        metrics.push(metric);
    }
    metrics.extend((locks > 0).then_some(RouteMetric::Lock(locks)));
    metrics.extend(route.congestion.clone().map(RouteMetric::CcAlgo));
    metrics
}

/// One way of several; without a gateway and an interface it goes by that one.
fn next_hop(netlink: &mut Netlink, interface: &str, hop: &Hop) -> io::Result<RouteNextHop> {
    let mut message = RouteNextHop::default();
    message.hops = hop.weight;
    if hop.onlink {
        message.flags = RouteNextHopFlags::Onlink;
    }
    let device = hop.device.as_deref().or(hop.via.is_none().then_some(interface));
    if let Some(device) = device {
        message.interface_index = netlink.link(device)?.index;
    }
    message.attributes.extend(hop.via.map(|via| RouteAttribute::Gateway(via.into())));
    Ok(message)
}

fn rule_message(rule: &Rule) -> RuleMessage {
    let any = if rule.six { IpAddr::from([0_u16; 8]) } else { IpAddr::from([0_u8; 4]) };
    let mut message = RuleMessage::default();
    message.header.family = family(any);
    message.header.action = match rule.fate {
        Fate::Forward | Fate::Throw => RuleAction::ToTable,
        Fate::Blackhole => RuleAction::Blackhole,
        Fate::Unreachable => RuleAction::Unreachable,
        Fate::Prohibit => RuleAction::Prohibit,
    };
    if rule.not {
        message.header.flags = RuleFlags::Invert;
    }
    message.header.tos = rule.tos;
    message.header.src_len = rule.from.map_or(0, |(_, prefix): Network| prefix);
    message.header.dst_len = rule.to.map_or(0, |(_, prefix): Network| prefix);
    let attributes = &mut message.attributes;
    attributes.extend(rule.from.map(|(from, _)| RuleAttribute::Source(from)));
    attributes.extend(rule.to.map(|(to, _)| RuleAttribute::Destination(to)));
    attributes.extend(rule.iif.clone().map(RuleAttribute::Iifname));
    attributes.extend(rule.oif.clone().map(RuleAttribute::Oifname));
    if let Some((mark, mask)) = rule.mark {
        attributes.push(RuleAttribute::FwMark(mark));
        attributes.extend(mask.map(RuleAttribute::FwMask));
    }
    let range = |(start, end)| RulePortRange { start, end };
    attributes.extend(rule.users.map(|(start, end)| RuleAttribute::UidRange(RuleUidRange { start, end })));
    attributes.extend(rule.protocol.map(|number| RuleAttribute::IpProtocol(number.into())));
    attributes.extend(rule.from_ports.map(range).map(RuleAttribute::SourcePortRange));
    attributes.extend(rule.to_ports.map(range).map(RuleAttribute::DestinationPortRange));
    attributes.extend(rule.suppressed.map(RuleAttribute::SuppressPrefixLen));
    attributes.extend(rule.of_vrf.then_some(RuleAttribute::L3MDev(true)));
    attributes.push(RuleAttribute::Priority(rule.priority));
    attributes.extend(rule.table.map(RuleAttribute::Table));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::KeepAlived));
    message
}
