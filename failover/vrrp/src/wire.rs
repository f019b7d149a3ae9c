//! How one router's packets look, and whose packets it hears: what both languages say of that.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use proxy_lang::quoted;

use crate::hmac::{AntiReplay, Hmac, MAX_KEYS, Mode};

/// Advertisements that must be missing before a backup moves, where nothing is said (RFC 9568 6.1).
pub(crate) const USUAL_MISSING: u8 = 3;

/// What is said of a router's packets beyond its version, its interval and its password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// Another group than VRRP's own.
    pub group: Option<IpAddr>,
    /// The time to live of what peers are told.
    pub ttl: Option<u8>,
    /// What it may be in what a peer says.
    pub peer_ttls: BTreeMap<IpAddr, RangeInclusive<u8>>,
    /// Whether version 3's checksum over IPv4 is sent without a pseudo-header.
    pub bare_checksum: bool,
    /// Whether version 3's checksum to peers over IPv4 is that of keepalived until 1.3.6.
    pub old_checksum: bool,
    /// Whether the addresses of others' advertisements are not looked at.
    pub any_addresses: bool,
    /// Whether packets for routers that nobody here knows are worth a line of the log.
    pub log_unknown: bool,
    /// Whether it takes no part while there is nobody to tell.
    pub needs_peer: bool,
    /// Whether a master does not answer a lesser one.
    pub silent: bool,
    /// Advertisements that must be missing before a backup moves; all nodes must agree.
    pub missing: Option<u8>,
    /// The trailer that authenticates them.
    pub hmac: Hmac,
}

impl Wire {
    /// What is wrong with the trailer's keys.
    pub(crate) fn flaws(&self) -> Vec<String> {
        let Hmac { keys, active, .. } = &self.hmac;
        let mut flaws = Vec::new();
        if keys.is_empty() && self.hmac != Hmac::default() {
            flaws.push("there is no key: nothing is authenticated".to_owned());
        }
        if keys.len() > MAX_KEYS {
            flaws.push(format!("more than {MAX_KEYS} keys"));
        }
        if let Some(active) = active.filter(|active| !keys.is_empty() && !keys.contains_key(active)) {
            flaws.push(format!("there is no key {active}"));
        }
        flaws
    }

    /// The lines of a section that say this.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.group.map(|group| format!("advert-group {group}")));
        lines.extend(self.ttl.map(|ttl| format!("advert-ttl {ttl}")));
        lines.extend(self.missing.map(|count| format!("advert-missing {count}")));
        for (on, line) in [
            (self.bare_checksum, "bare-checksum"),
            (self.any_addresses, "ignore-advertised-addresses"),
            (self.log_unknown, "log-unknown-vrids"),
            (self.needs_peer, "needs-peer"),
            (self.old_checksum, "old-checksum"),
            (self.silent, "silent-to-lesser"),
        ] {
            lines.extend(on.then(|| line.to_owned()));
        }
        // Keys are read again, so they are written: the file they came from has them too.
        let keys = self.hmac.keys.iter();
        lines.extend(keys.map(|(id, secret)| format!("auth-hmac-key {id} {}", quoted(&secret.text()))));
        lines.extend(self.hmac.active.map(|id| format!("auth-hmac-active {id}")));
        if self.hmac.mode != Mode::default() {
            lines.push(format!("auth-hmac-mode {}", self.hmac.mode.word()));
        }
        if self.hmac.anti_replay != AntiReplay::default() {
            let window =
                self.hmac.window.map_or_else(String::new, |window| format!(" {}ms", window.as_millis()));
            lines.push(format!("auth-hmac-replay {}{window}", self.hmac.anti_replay.word()));
        }
        lines
    }
}
