//! Addresses that float, and how they are announced.

use std::net::IpAddr;
use std::time::Duration;

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
}

impl VirtualAddress {
    /// An address on the router's interface.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        Self { address, prefix, device: None, label: None, excluded: false }
    }
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
