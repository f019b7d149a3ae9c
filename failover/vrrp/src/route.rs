//! Routes and rules that move with the addresses, in the words of `ip route` and `ip rule`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use proxy_lang::{Span, Word};

/// Most routes, and most rules, of one router.
pub const MAX_ROUTES: usize = 256;
/// The kernel's own tables (ip-route(8)).
const TABLES: [(&str, u32); 3] = [("default", 253), ("main", 254), ("local", 255)];
/// Scopes by name (ip-route(8)).
const SCOPES: [(&str, u8); 4] = [("global", 0), ("site", 200), ("link", 253), ("host", 254)];
/// Priority of a family's first rule that has none; each further one stands before it, as keepalived has it.
const USUAL_PRIORITY: u32 = 16_384;

/// A network.
pub type Network = (IpAddr, u8);

/// What becomes of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// They go on: by the route, or by the rule's table.
    #[default]
    Forward,
    /// They are dropped.
    Blackhole,
    /// They are refused: nobody is there.
    Unreachable,
    /// They are refused: nobody may go there.
    Prohibit,
    /// The next table decides.
    Throw,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// As it was written.
    pub text: String,
    /// What it does.
    pub fate: Fate,
    /// Where to.
    pub to: Network,
    /// By whom.
    pub via: Option<IpAddr>,
    /// By which interface.
    pub device: Option<String>,
    /// From which of our addresses.
    pub source: Option<IpAddr>,
    /// The lower, the better.
    pub metric: Option<u32>,
    /// In which table; the main one where none is written.
    pub table: Option<u32>,
    /// How far its receivers are.
    pub scope: u8,
    /// Whether the gateway is on the link though its address is not.
    pub onlink: bool,
    /// Which type of service it is for.
    pub tos: u8,
    /// What connections that take it begin with, each with its value and whether the kernel may learn another one.
    pub metrics: Vec<(Metric, u32, Learnt)>,
    /// Which algorithm avoids congestion.
    pub congestion: Option<String>,
    /// Several ways, which connections are spread over.
    pub hops: Vec<Hop>,
}

impl Route {
    /// Whether packets may leave by an interface; `usual`: where a route goes that says nothing of it.
    #[must_use]
    pub fn may_leave_by(&self, interface: &str, usual: &str) -> bool {
        let may = |device: &Option<String>, via: Option<IpAddr>| match device {
            Some(device) => device == interface,
            // The gateway says by which interface, which may be any.
            None => via.is_some() || interface == usual,
        };
        match self.fate {
            Fate::Forward if self.hops.is_empty() => may(&self.device, self.via),
            Fate::Forward => self.hops.iter().any(|hop| may(&hop.device, hop.via)),
            Fate::Blackhole | Fate::Unreachable | Fate::Prohibit | Fate::Throw => {
                self.device.as_deref() == Some(interface)
            }
        }
    }
}

/// A number that connections of a route begin with (ip-route(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "ip-route(8) has them by the same names")]
pub enum Metric {
    Advmss,
    Cwnd,
    FastOpenNoCookie,
    HopLimit,
    InitCwnd,
    InitRwnd,
    Mtu,
    QuickAck,
    Reordering,
    SsThresh,
    Window,
}

impl Metric {
    const WORDS: [(&str, Self); 11] = [
        ("advmss", Self::Advmss),
        ("cwnd", Self::Cwnd),
        ("fastopen_no_cookie", Self::FastOpenNoCookie),
        ("hoplimit", Self::HopLimit),
        ("initcwnd", Self::InitCwnd),
        ("initrwnd", Self::InitRwnd),
        ("mtu", Self::Mtu),
        ("quickack", Self::QuickAck),
        ("reordering", Self::Reordering),
        ("ssthresh", Self::SsThresh),
        ("window", Self::Window),
    ];

    fn named(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(name, _)| *name == word).map(|(_, metric)| *metric)
    }
}

/// Whether the kernel may learn another value of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// It may.
    May,
    /// It may not: `lock` stands before the value.
    Locked,
}

/// One way of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// By whom.
    pub via: Option<IpAddr>,
    /// By which interface.
    pub device: Option<String>,
    /// Which part of the connections takes it, compared with the others, less one.
    pub weight: u8,
    /// Whether the gateway is on the link though its address is not.
    pub onlink: bool,
}

/// Most ways of one route.
const MAX_HOPS: usize = 64;

/// A rule: which table decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// As it was written.
    pub text: String,
    /// Whether it is one of IPv6.
    pub six: bool,
    /// Whether it is for everything that does not fit.
    pub not: bool,
    /// From where.
    pub from: Option<Network>,
    /// Where to.
    pub to: Option<Network>,
    /// By which interface it comes.
    pub iif: Option<String>,
    /// By which interface its socket sends.
    pub oif: Option<String>,
    /// Its mark, and which bits of it count.
    pub mark: Option<(u32, Option<u32>)>,
    /// What it does.
    pub fate: Fate,
    /// Which table decides.
    pub table: Option<u32>,
    /// For which type of service.
    pub tos: u8,
    /// For whose sockets, from this user to that one.
    pub users: Option<(u32, u32)>,
    /// For which protocol, by its number.
    pub protocol: Option<u8>,
    /// From which ports.
    pub from_ports: Option<(u16, u16)>,
    /// To which ports.
    pub to_ports: Option<(u16, u16)>,
    /// Routes of the table whose prefix is no longer than that do not decide.
    pub suppressed: Option<u32>,
    /// Whether the table of the interface's VRF decides.
    pub of_vrf: bool,
    /// Where it stands.
    pub priority: u32,
}

/// Protocols by name (protocols(5)).
const PROTOCOLS: [(&str, u8); 4] = [("icmp", 1), ("tcp", 6), ("udp", 17), ("sctp", 132)];

/// How many rules of each family have said nothing of where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unplaced([u32; 2]);

/// What is wrong, and where.
type Wrong = (Span, String);

/// The words of a line, one after another.
struct Words<'a> {
    rest: std::slice::Iter<'a, Word>,
    last: Span,
}

impl<'a> Words<'a> {
    fn new(words: &'a [Word]) -> Self {
        let last = words.first().map_or_else(Span::default, |word| word.span);
        Self { rest: words.iter(), last }
    }

    fn next(&mut self) -> Option<&'a Word> {
        let word = self.rest.next()?;
        self.last = word.span;
        Some(word)
    }

    fn value(&mut self, of: &str) -> Result<&'a Word, Wrong> {
        self.next().ok_or_else(|| (self.last, format!("'{of}' expects a value")))
    }

    fn number(&mut self, of: &str) -> Result<u32, Wrong> {
        let word = self.value(of)?;
        number(&word.text).ok_or_else(|| (word.span, format!("'{}' is no number", word.text)))
    }

    fn within(&mut self, of: &str, range: RangeInclusive<u32>) -> Result<u32, Wrong> {
        let word = self.value(of)?;
        let wrong = || {
            let (least, most) = (range.start(), range.end());
            (word.span, format!("'{}' is no number from {least} to {most}", word.text))
        };
        number(&word.text).filter(|number| range.contains(number)).ok_or_else(wrong)
    }

    fn byte(&mut self, of: &str) -> Result<u8, Wrong> {
        self.within(of, 0..=u32::from(u8::MAX)).map(|number| u8::try_from(number).unwrap_or(u8::MAX))
    }

    /// A number, or two with a dash between them.
    fn range(&mut self, of: &str) -> Result<(u32, u32), Wrong> {
        let word = self.value(of)?;
        let (first, last) = word.text.split_once('-').unwrap_or((&word.text, &word.text));
        let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
        range.ok_or_else(|| (word.span, format!("'{}' is no range", word.text)))
    }

    /// A range of ports.
    fn ports(&mut self, of: &str) -> Result<(u16, u16), Wrong> {
        let (first, last) = self.range(of)?;
        let ports = u16::try_from(first).ok().zip(u16::try_from(last).ok());
        ports.ok_or_else(|| (self.last, format!("{last} is no port")))
    }

    /// A number that the kernel may change, unless `lock` stands before it.
    fn lockable(&mut self, of: &str) -> Result<(u32, Learnt), Wrong> {
        let locked = self.rest.as_slice().first().is_some_and(|word| word.text == "lock");
        if locked {
            self.next();
        }
        Ok((self.number(of)?, if locked { Learnt::Locked } else { Learnt::May }))
    }

    fn address(&mut self, of: &str) -> Result<IpAddr, Wrong> {
        let word = self.value(of)?;
        // keepalived writes a family before it where it is another one.
        let word = if ["inet", "inet6"].contains(&word.text.as_str()) { self.value(of)? } else { word };
        word.text.parse().map_err(|_| (word.span, format!("'{}' is not an address", word.text)))
    }

    fn network(&mut self, of: &str) -> Result<Option<Network>, Wrong> {
        let word = self.value(of)?;
        network(word)
    }

    fn table(&mut self, of: &str) -> Result<u32, Wrong> {
        let word = self.value(of)?;
        let named = TABLES.iter().find(|(name, _)| *name == word.text).map(|(_, table)| *table);
        named
            .or_else(|| number(&word.text).filter(|table| *table > 0))
            .ok_or_else(|| (word.span, format!("'{}' is no table: a number, or main", word.text)))
    }
}

/// A scope by its name or number.
pub(crate) fn scope(text: &str) -> Option<u8> {
    let named = SCOPES.iter().find(|(name, _)| *name == text).map(|(_, scope)| *scope);
    named.or_else(|| text.parse().ok())
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A network; `None`: any.
fn network(word: &Word) -> Result<Option<Network>, Wrong> {
    if ["default", "any", "all"].contains(&word.text.as_str()) {
        return Ok(None);
    }
    match crate::address::parse(&word.text) {
        Some(Ok(found)) => Ok(Some((first_of(found.address, found.prefix), found.prefix))),
        Some(Err((_, why))) => Err((word.span, why)),
        None => Err((word.span, format!("'{}' is not a network", word.text))),
    }
}

/// The first address of a network: the kernel takes no other for one.
fn first_of(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(four) & mask))
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(six) & mask))
        }
    }
}

fn anywhere(six: bool) -> Network {
    (if six { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) }, 0)
}

fn fate(word: &str) -> Option<Fate> {
    Some(match word {
        "unicast" => Fate::Forward,
        "blackhole" => Fate::Blackhole,
        "unreachable" => Fate::Unreachable,
        "prohibit" => Fate::Prohibit,
        "throw" => Fate::Throw,
        _ => return None,
    })
}

fn text(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

impl Route {
    /// Reads a route.
    pub(crate) fn parse(words: &[Word]) -> Result<Self, Wrong> {
        let mut route = Self {
            text: text(words),
            fate: Fate::Forward,
            to: anywhere(false),
            via: None,
            device: None,
            source: None,
            metric: None,
            table: None,
            scope: 0,
            onlink: false,
            tos: 0,
            metrics: Vec::new(),
            congestion: None,
            hops: Vec::new(),
        };
        let mut to: Option<Option<Network>> = None;
        let mut every = Words::new(words);
        while let Some(word) = every.next() {
            let name = word.text.as_str();
            match name {
                "to" => to = Some(every.network(name)?),
                "nexthop" if route.hops.len() == MAX_HOPS => {
                    return Err((word.span, format!("more than {MAX_HOPS} ways")));
                }
                "nexthop" => route.hops.push(Hop::default()),
                "weight" if !route.hops.is_empty() => {
                    let weight = every.within(name, 1..=256)?;
                    if let Some(hop) = route.hops.last_mut() {
                        hop.weight = u8::try_from(weight - 1).unwrap_or(u8::MAX);
                    }
                }
                // Behind 'nexthop' these are of that way.
                "via" | "gw" => {
                    let via = Some(every.address(name)?);
                    *route.hops.last_mut().map_or(&mut route.via, |hop| &mut hop.via) = via;
                }
                "dev" | "oif" => {
                    let device = Some(every.value(name)?.text.clone());
                    *route.hops.last_mut().map_or(&mut route.device, |hop| &mut hop.device) = device;
                }
                "src" => route.source = Some(every.address(name)?),
                "metric" | "priority" | "preference" => route.metric = Some(every.number(name)?),
                "table" => route.table = Some(every.table(name)?),
                "scope" => {
                    let said = every.value(name)?;
                    route.scope = scope(&said.text)
                        .ok_or_else(|| (said.span, format!("'{}' is no scope", said.text)))?;
                }
                "onlink" => *route.hops.last_mut().map_or(&mut route.onlink, |hop| &mut hop.onlink) = true,
                "tos" | "dsfield" => route.tos = every.byte(name)?,
                "congctl" => route.congestion = Some(every.value(name)?.text.clone()),
                // Whether keepalived gives up its office when somebody else removes the route.
                "no_track" => {}
                _ => match (fate(name), Metric::named(name)) {
                    (_, Some(metric)) => {
                        let (value, learnt) = every.lockable(name)?;
                        route.metrics.push((metric, value, learnt));
                    }
                    (Some(fate), _) if to.is_none() => route.fate = fate,
                    _ if to.is_none() => {
                        to =
                            Some(network(word).map_err(|_| {
                                (word.span, format!("'{name}' is not understood in a route"))
                            })?);
                    }
                    _ => return Err((word.span, format!("'{name}' is not understood in a route"))),
                },
            }
        }
        let to = to.ok_or_else(|| (every.last, "a route needs a destination".to_owned()))?;
        let hops = route.hops.iter().filter_map(|hop| hop.via);
        let others = [route.via, route.source].into_iter().flatten().chain(hops);
        let six = to.map(|(to, _)| to.is_ipv6()).or(others.clone().next().map(|a| a.is_ipv6()));
        let is_six_by_four = others.clone().any(|other| other.is_ipv4());
        route.to = to.unwrap_or_else(|| anywhere(six.unwrap_or(false)));
        // A route of IPv4 may go by a gateway of IPv6, and nothing else is mixed.
        if route.source.is_some_and(|source| source.is_ipv6() != route.to.0.is_ipv6())
            || (route.to.0.is_ipv6() && is_six_by_four)
        {
            return Err((every.last, "a route of both families".to_owned()));
        }
        Ok(route)
    }
}

impl Rule {
    /// Reads a rule; `unplaced`: those before it.
    pub(crate) fn parse(words: &[Word], unplaced: &mut Unplaced) -> Result<Self, Wrong> {
        let mut rule = Self {
            text: text(words),
            six: false,
            not: false,
            from: None,
            to: None,
            iif: None,
            oif: None,
            mark: None,
            fate: Fate::Forward,
            table: None,
            tos: 0,
            users: None,
            protocol: None,
            from_ports: None,
            to_ports: None,
            suppressed: None,
            of_vrf: false,
            priority: 0,
        };
        let mut priority = None;
        let mut six = None;
        let mut every = Words::new(words);
        while let Some(word) = every.next() {
            let name = word.text.as_str();
            match name {
                "not" => rule.not = true,
                "inet" => six = Some(false),
                "inet6" => six = Some(true),
                "from" => rule.from = every.network(name)?,
                "to" => rule.to = every.network(name)?,
                "iif" | "dev" => rule.iif = Some(every.value(name)?.text.clone()),
                "oif" => rule.oif = Some(every.value(name)?.text.clone()),
                "fwmark" => {
                    let mark = every.value(name)?;
                    let (value, mask) =
                        mark.text.split_once('/').map_or((mark.text.as_str(), None), |(v, m)| (v, Some(m)));
                    let wrong = || (mark.span, format!("'{}' is no mark", mark.text));
                    let mask = mask.map(|mask| number(mask).ok_or_else(wrong)).transpose()?;
                    rule.mark = Some((number(value).ok_or_else(wrong)?, mask));
                }
                "table" | "lookup" => rule.table = Some(every.table(name)?),
                "tos" | "dsfield" => rule.tos = every.byte(name)?,
                "uidrange" => rule.users = Some(every.range(name)?),
                "ipproto" | "ip_proto" => {
                    let said = every.value(name)?;
                    let named = PROTOCOLS.iter().find(|(name, _)| said.text.eq_ignore_ascii_case(name));
                    let protocol = named.map(|(_, number)| *number).or_else(|| said.text.parse().ok());
                    let wrong = || (said.span, format!("'{}' is no protocol", said.text));
                    rule.protocol = Some(protocol.ok_or_else(wrong)?);
                }
                "sport" => rule.from_ports = Some(every.ports(name)?),
                "dport" => rule.to_ports = Some(every.ports(name)?),
                "suppress_prefixlength" | "suppress_prefixlen" => rule.suppressed = Some(every.number(name)?),
                "l3mdev" => rule.of_vrf = true,
                "priority" | "preference" | "pref" | "order" => priority = Some(every.number(name)?),
                // Whether keepalived gives up its office when somebody else removes the rule.
                "no_track" => {}
                _ => match fate(name) {
                    Some(fate @ (Fate::Blackhole | Fate::Unreachable | Fate::Prohibit)) => rule.fate = fate,
                    _ => return Err((word.span, format!("'{name}' is not understood in a rule"))),
                },
            }
        }
        let mut families = [rule.from, rule.to].into_iter().flatten().map(|(address, _)| address.is_ipv6());
        rule.six = families.next().or(six).unwrap_or(false);
        if families.any(|other| other != rule.six) {
            return Err((every.last, "a rule of both families".to_owned()));
        }
        if rule.table.is_none() && rule.fate == Fate::Forward && !rule.of_vrf {
            return Err((every.last, "a rule needs a table".to_owned()));
        }
        rule.priority = priority.unwrap_or_else(|| {
            let before = &mut unplaced.0[usize::from(rule.six)];
            *before += 1;
            USUAL_PRIORITY.saturating_sub(*before - 1)
        });
        Ok(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word> {
        text.split(' ')
            .map(|text| Word { text: text.to_owned(), span: Span::default(), quoted: false })
            .collect()
    }

    fn route(text: &str) -> Result<Route, String> {
        Route::parse(&words(text)).map_err(|(_, why)| why)
    }

    #[test]
    fn a_route_is_read_in_any_order() {
        let found = route("203.0.113.7/24 dev eth0 scope link src 192.0.2.100 metric 50 table 0x64").unwrap();
        assert_eq!(found.to, ("203.0.113.0".parse().unwrap(), 24));
        assert_eq!((found.device.as_deref(), found.scope, found.metric), (Some("eth0"), 253, Some(50)));
        assert_eq!((found.source, found.table), (Some("192.0.2.100".parse().unwrap()), Some(100)));
        assert_eq!(
            route("src 192.0.2.100 203.0.113.0/24 gw 192.0.2.2").unwrap().via,
            "192.0.2.2".parse().ok()
        );
        assert_eq!(route("default via 2001:db8::1").unwrap().to, anywhere(true));
        assert_eq!(route("blackhole 203.0.113.0/24").unwrap().fate, Fate::Blackhole);
    }

    #[test]
    fn a_route_may_leave_by_what_it_names_and_by_what_its_gateways_are_reached_by() {
        for (text, wanted) in [
            ("203.0.113.0/24", [true, false]),
            ("203.0.113.0/24 dev eth1", [false, true]),
            ("203.0.113.0/24 via 192.0.2.1", [true, true]),
            ("203.0.113.0/24 via 192.0.2.1 dev eth1", [false, true]),
            ("203.0.113.0/24 nexthop via 192.0.2.1 dev eth2 nexthop dev eth1", [false, true]),
            ("203.0.113.0/24 nexthop via 192.0.2.1 nexthop dev eth2", [true, true]),
            ("blackhole 203.0.113.0/24", [false, false]),
        ] {
            let route = route(text).unwrap();
            assert_eq!(["eth0", "eth1"].map(|name| route.may_leave_by(name, "eth0")), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, why) in [
            ("203.0.113.0/24 encap via 192.0.2.1", "'encap' is not understood in a route"),
            ("203.0.113.0/24 nexthop via 192.0.2.1 weight 0", "'0' is no number from 1 to 256"),
            ("2001:db8::/64 nexthop via 192.0.2.1", "a route of both families"),
            ("203.0.113.0/24 mtu lock", "'mtu' expects a value"),
            ("203.0.113.0/24 via", "'via' expects a value"),
            ("203.0.113.0/33 via 192.0.2.1", "'203.0.113.0/33' is not understood in a route"),
            ("via 192.0.2.1", "a route needs a destination"),
            ("2001:db8::/64 via 192.0.2.1", "a route of both families"),
            ("203.0.113.0/24 table blue", "'blue' is no table: a number, or main"),
        ] {
            assert_eq!(route(text).unwrap_err(), why, "{text}");
        }
        let rule = |text: &str| Rule::parse(&words(text), &mut Unplaced::default()).map_err(|(_, why)| why);
        assert_eq!(rule("from 192.0.2.1").unwrap_err(), "a rule needs a table");
        assert_eq!(
            rule("from 192.0.2.1 table 5 realms 1/2").unwrap_err(),
            "'realms' is not understood in a rule"
        );
        assert_eq!(rule("from 192.0.2.1 table 5 uidrange 2-1").unwrap_err(), "'2-1' is no range");
        assert_eq!(rule("from 192.0.2.1 table 5 dport 65536").unwrap_err(), "65536 is no port");
        assert_eq!(rule("from 192.0.2.1 table 5 ipproto xyz").unwrap_err(), "'xyz' is no protocol");
        assert_eq!(rule("from 192.0.2.1 to 2001:db8::1 table 5").unwrap_err(), "a rule of both families");
    }

    #[test]
    fn a_rule_without_a_place_stands_before_the_last_one() {
        let mut unplaced = Unplaced::default();
        let mut rule = |text: &str| Rule::parse(&words(text), &mut unplaced).unwrap();
        assert_eq!(rule("from 192.0.2.100 table 100").priority, 16_384);
        assert_eq!(rule("fwmark 0x10/0xff lookup main priority 5").mark, Some((16, Some(255))));
        assert_eq!(rule("from 2001:db8::100 table 100").priority, 16_384);
        let last = rule("not from 10.0.0.0/8 prohibit");
        assert_eq!((last.priority, last.not, last.fate), (16_383, true, Fate::Prohibit));
    }
}
