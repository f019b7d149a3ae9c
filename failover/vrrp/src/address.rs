//! Addresses that float, and how they are announced.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proxy_lang::{Span, Word};

use crate::route::scope;

/// Longest label of an address, with its terminator (`IFNAMSIZ`).
pub(crate) const LABEL_SIZE: usize = 16;
/// Longest prefix of a network that has an address for all.
const LONGEST_BROADCAST: u8 = 30;

/// An address that floats between the routers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// Where it lives, if not on the router's interface.
    pub device: Option<String>,
    /// What `ip address` shows it under, for programs that expect one.
    pub label: Option<String>,
    /// Whether advertisements are silent about it: there may be more of these, and of the other family.
    pub excluded: bool,
    /// The address of all in its network, of IPv4.
    pub broadcast: Option<Ipv4Addr>,
    /// How far it is valid, of IPv4: 0 is everywhere, as the kernel has it.
    pub scope: u8,
    /// The far end of a line; the prefix is its.
    pub peer: Option<IpAddr>,
    /// For how many seconds connections that begin here take it, of IPv6; `None`: the usual.
    pub preferred: Option<u32>,
    /// What else is said of it.
    pub traits: BTreeSet<Trait>,
}

/// What may be said of an address by a single word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trait {
    /// The link is asked first whether somebody else has it (RFC 4862 5.4), of IPv6.
    AskFirst,
    /// It is a mobile node's home (RFC 6275), of IPv6.
    Home,
    /// The kernel makes temporary addresses of its network (RFC 8981), of IPv6.
    ManageTemporary,
    /// The interface joins the group that it is.
    Joins,
    /// The kernel makes no route to its network.
    NoPrefixRoute,
    /// It lives on an interface of its own with VRRP's hardware address, whatever the router's addresses do.
    OwnMac,
    /// Whoever removes it may.
    Untracked,
}

impl Trait {
    /// Their words, which are those of `ip address` and of keepalived.
    const WORDS: [(&str, Self); 5] = [
        ("-nodad", Self::AskFirst),
        ("home", Self::Home),
        ("mngtmpaddr", Self::ManageTemporary),
        ("no_track", Self::Untracked),
        ("noprefixroute", Self::NoPrefixRoute),
    ];
}

impl VirtualAddress {
    /// An address on the router's interface.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        Self {
            address,
            prefix,
            device: None,
            label: None,
            excluded: false,
            broadcast: None,
            scope: 0,
            peer: None,
            preferred: None,
            traits: BTreeSet::new(),
        }
    }

    /// Whether it is not put back when somebody removes it.
    #[must_use]
    pub fn may_go(&self) -> bool {
        self.traits.contains(&Trait::Untracked)
    }

    /// Whether it lives on an interface of its own with VRRP's hardware address, where the file says so of it.
    #[must_use]
    pub fn has_own_mac(&self) -> bool {
        self.traits.contains(&Trait::OwnMac)
    }

    /// Reads one of the options that both languages have, with its value; whether it is one.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(crate) fn option<'w>(
        &mut self,
        word: &Word,
        mut rest: impl Iterator<Item = &'w Word>,
    ) -> Result<bool, (Span, String)> {
        if let Some((_, is)) = Trait::WORDS.iter().find(|(name, _)| *name == word.text) {
            self.traits.insert(*is);
            return Ok(true);
        }
        let mut value = || rest.next().ok_or_else(|| (word.span, format!("'{}' expects a value", word.text)));
        match word.text.as_str() {
            "dev" => self.device = Some(value()?.text.clone()),
            "label" => {
                let label = value()?;
                if label.text.len() >= LABEL_SIZE {
                    let text = format!("label '{}' is longer than {}", label.text, LABEL_SIZE - 1);
                    return Err((label.span, text));
                }
                self.label = Some(label.text.clone());
            }
            "brd" | "broadcast" => {
                let said = value()?;
                self.broadcast = Some(self.broadcast(&said.text).map_err(|why| (said.span, why))?);
            }
            "scope" => {
                let said = value()?;
                self.scope =
                    scope(&said.text).ok_or_else(|| (said.span, format!("'{}' is no scope", said.text)))?;
                if self.address.is_ipv6() {
                    self.scope = 0;
                    return Err((word.span, "an address of IPv6 says itself how far it is valid".to_owned()));
                }
            }
            "peer" => {
                let said = value()?;
                let peer = said.text.parse::<IpAddr>().ok();
                let fits = peer.filter(|peer| peer.is_ipv6() == self.address.is_ipv6());
                let wrong = || (said.span, format!("'{}' is no address of its family", said.text));
                self.peer = Some(fits.ok_or_else(wrong)?);
            }
            "preferred_lft" => {
                let said = value()?;
                let seconds = if said.text == "forever" { Some(u32::MAX) } else { said.text.parse().ok() };
                let wrong = || (said.span, format!("'{}' is no number of seconds, nor 'forever'", said.text));
                self.preferred = Some(seconds.ok_or_else(wrong)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The address of all in its network: its last one, its first one, or the one that is written.
    fn broadcast(&self, said: &str) -> Result<Ipv4Addr, String> {
        let IpAddr::V4(own) = self.address else { return Err("IPv6 has no broadcast".to_owned()) };
        let hosts = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
        match said {
            "+" | "-" if self.prefix > LONGEST_BROADCAST => {
                Err(format!("a network of {} bits has no broadcast", self.prefix))
            }
            "+" => Ok(Ipv4Addr::from(u32::from(own) | hosts)),
            "-" => Ok(Ipv4Addr::from(u32::from(own) & !hosts)),
            written => written.parse().map_err(|_| format!("'{written}' is not an address")),
        }
    }

    /// The options that [`Self::option`] reads.
    pub(crate) fn options(&self) -> Vec<String> {
        let seconds = |of| if of == u32::MAX { "forever".to_owned() } else { u32::to_string(&of) };
        let values = [
            ("dev", self.device.as_deref().map(proxy_lang::quoted)),
            ("label", self.label.as_deref().map(proxy_lang::quoted)),
            ("brd", self.broadcast.map(|broadcast| broadcast.to_string())),
            ("scope", (self.scope > 0).then(|| self.scope.to_string())),
            ("peer", self.peer.map(|peer| peer.to_string())),
            ("preferred_lft", self.preferred.map(seconds)),
        ];
        let traits = Trait::WORDS.iter().filter(|(_, is)| self.traits.contains(is));
        let values = values.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
        values.chain(traits.map(|(name, _)| (*name).to_owned())).collect()
    }
}

/// An interface with a hardware address that moves with the virtual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualMac {
    /// Its name, where the file says one.
    pub name: Option<String>,
    /// Its hardware address, where that is not VRRP's own (RFC 9568 7.3).
    pub mac: Option<[u8; 6]>,
    /// Whether advertisements leave by the router's interface all the same.
    pub plain_advertisements: bool,
}

/// Reads a hardware address.
pub(crate) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect::<Option<_>>()?;
    // The lowest bit of the first byte is a group's.
    bytes.try_into().ok().filter(|mac: &[u8; 6]| mac[0] & 1 == 0)
}

/// Reads an address and the length of its prefix, the longest where none is written. `None`: it is no address; an
/// error: it is one, and its prefix is none.
pub(crate) fn parse(text: &str) -> Option<Result<VirtualAddress, (IpAddr, String)>> {
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let most = longest_prefix(address);
    let prefix = length.map_or(Some(most), |length| length.parse().ok().filter(|length| *length <= most));
    let wrong = || (address, format!("'{text}': a prefix has 0 to {most} bits"));
    Some(prefix.map(|prefix| VirtualAddress::new(address, prefix)).ok_or_else(wrong))
}

/// Longest prefix of an address' family.
#[must_use]
pub fn longest_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// When a master tells other interfaces than the router's own, where some of its addresses live: switches there hear nothing
/// of its advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Between announcements.
    pub every: Duration,
    /// Whether it does so only where they have a hardware address of their own.
    pub own_macs: bool,
}

impl Elsewhere {
    /// The line that says it.
    pub(crate) fn line(&self) -> String {
        let which = if self.own_macs { " virtual-mac" } else { "" };
        format!("announce-elsewhere {}ms{which}", self.every.as_millis())
    }
}

/// When a master tells the link where its addresses live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcing {
    /// After it took office, each time this long.
    pub after: Vec<Duration>,
    /// How often at each of these times.
    pub repeat: u32,
    /// Between announcements for as long as it is in office.
    pub refresh: Option<Duration>,
    /// How often at each of those.
    pub refresh_repeat: u32,
}

impl Default for Announcing {
    /// Past the second during which Linux ignores a neighbour that changes again, and past a switch that was still
    /// learning; then now and then, for whoever has missed all that.
    fn default() -> Self {
        Self {
            after: [0, 50, 200, 1_100, 2_500, 5_000].map(Duration::from_millis).to_vec(),
            repeat: 1,
            refresh: Some(Duration::from_secs(60)),
            refresh_repeat: 1,
        }
    }
}

impl Announcing {
    /// So many at once, and so many again after this time.
    pub(crate) fn set(&mut self, count: Option<u32>, again: Option<Duration>) {
        self.repeat = count.unwrap_or(self.repeat);
        self.after = std::iter::once(Duration::ZERO).chain(again.filter(|again| !again.is_zero())).collect();
    }

    /// The lines of a section that say this.
    pub(crate) fn lines(&self) -> Vec<String> {
        let usual = Self::default();
        let mut lines = Vec::new();
        if (&self.after, self.repeat) != (&usual.after, usual.repeat) {
            lines.push(self.line("announce"));
        }
        if (self.refresh, self.refresh_repeat) != (usual.refresh, usual.refresh_repeat) {
            let refresh = self.refresh.unwrap_or_default().as_millis();
            lines.push(format!("announce-refresh {refresh}ms {}", self.refresh_repeat));
        }
        lines
    }

    /// The line that says how often, and when again.
    pub(crate) fn line(&self, keyword: &str) -> String {
        let again = self.after.get(1).map_or_else(String::new, |again| format!(" {}ms", again.as_millis()));
        format!("{keyword} {}{again}", self.repeat)
    }

    /// The same for an answer to a lesser router, where something is said of that.
    pub(crate) fn answering(&self, said: Option<(Option<u32>, Option<Duration>)>) -> Self {
        let mut answering = self.clone();
        if let Some((count, again)) = said {
            answering.set(count, again);
        }
        answering
    }

    /// When the announcement after so many is due, counted from the first, and how often it is made.
    #[must_use]
    pub fn due(&self, count: u32) -> Option<(Duration, u32)> {
        let place = usize::try_from(count).unwrap_or(usize::MAX);
        if let Some(after) = self.after.get(place) {
            return Some((*after, self.repeat));
        }
        let refresh = self.refresh.filter(|refresh| !refresh.is_zero())?;
        let planned = u32::try_from(self.after.len()).unwrap_or(u32::MAX);
        let last = self.after.last().copied().unwrap_or_default();
        Some((last.saturating_add(refresh.saturating_mul(count - planned + 1)), self.refresh_repeat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_go_on_slowly_after_the_planned_ones() {
        let announcing = Announcing::default();
        let due = |count| announcing.due(count).map(|(time, _)| time.as_millis());
        assert_eq!([0, 1, 5, 6, 7].map(due), [Some(0), Some(50), Some(5_000), Some(65_000), Some(125_000)]);
        let brief = Announcing { after: vec![Duration::ZERO], refresh: None, ..announcing };
        assert_eq!((brief.due(0), brief.due(1)), (Some((Duration::ZERO, 1)), None));
    }
}
