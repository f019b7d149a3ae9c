//! A trailer behind the advertisement that only who knows a key can make (keepalived 2.4's `auth_hmac`): HMAC-SHA256
//! over the message and a number that grows, so that neither a forger nor a recorder is believed. Twenty-eight bytes:
//! kind, key, two of zero, seconds, parts of a second, a counter, and sixteen bytes of the digest.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};

use crate::Micros;

/// Bytes of the trailer.
pub const TRAILER: usize = 28;
/// Most keys of one router.
pub const MAX_KEYS: usize = 16;
/// The trailer's kind: HMAC-SHA256.
const KIND: u8 = 1;
/// Where the stamp stands in the trailer, and how much of it the digest covers.
const STAMP_AT: usize = 4;
const COVERED: usize = 12;
/// Bytes of the digest that are sent.
const DIGEST: usize = TRAILER - COVERED;
/// Where the message's checksum stands, which the digest takes for zero.
const CHECKSUM: std::ops::Range<usize> = 6..8;
/// Senders whose last stamp is kept; only who knows a key becomes one.
const MAX_SENDERS: usize = 64;
/// How far clocks may be apart where nothing is said: so many intervals, and this at least.
const USUAL_WINDOW_INTERVALS: u64 = 3;
const LEAST_WINDOW: Micros = Micros(5_000_000);

/// A key's bytes, which are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A key that a file names.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }

    /// The key as the file has it, for writing the file anew.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// How far a network has come in introducing the trailer; each step can be taken node by node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Sends none yet; looks at those that come, and says what is wrong with them.
    ReceiveOnly,
    /// Sends it; looks at those that come, and says what is wrong with them or that there is none.
    Permissive,
    /// Sends it, and hears nobody else.
    #[default]
    Enforce,
}

impl Mode {
    /// The words of both languages.
    pub(crate) const WORDS: &'static [&'static str] = &["receive-only", "permissive", "enforce"];

    /// The mode that a file names.
    pub(crate) fn named(text: &str) -> Self {
        match text {
            "receive-only" => Self::ReceiveOnly,
            "permissive" => Self::Permissive,
            _ => Self::Enforce,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::ReceiveOnly => "receive-only",
            Self::Permissive => "permissive",
            Self::Enforce => "enforce",
        }
    }
}

/// What keeps recorded packets from being heard again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AntiReplay {
    /// Nothing.
    Off,
    /// Each packet of a sender is stamped later than the one before.
    #[default]
    Counter,
    /// And not far from this node's clock: so that what was recorded before a start is not heard either.
    Time,
}

impl AntiReplay {
    /// The words of both languages.
    pub(crate) const WORDS: &'static [&'static str] = &["off", "counter", "time"];

    /// What a file names.
    pub(crate) fn named(text: &str) -> Self {
        match text {
            "off" => Self::Off,
            "time" => Self::Time,
            _ => Self::Counter,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Counter => "counter",
            Self::Time => "time",
        }
    }
}

/// What the file says of the trailer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hmac {
    /// The keys that are believed, by their numbers; several while one replaces another.
    pub keys: BTreeMap<u8, Secret>,
    /// The key that is sent with; the lowest number where nothing is said.
    pub active: Option<u8>,
    /// What is done about recorded packets.
    pub anti_replay: AntiReplay,
    /// How far a stamp may be from this node's clock.
    pub window: Option<Duration>,
    /// What is sent, and who is heard.
    pub mode: Mode,
}

/// A point in time as a trailer says it: seconds, parts of 1/65536 of one, and a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// This long after 1970.
    #[must_use]
    pub fn at(since: Duration) -> Self {
        let part = u64::from(since.subsec_nanos()) * 65_536 / 1_000_000_000;
        // The wire has 32 bits of seconds: comparisons do not mind that they begin again in 2106.
        Self(since.as_secs() << 32 | part << 16)
    }

    /// Whether it is later than another one (RFC 1982 3.2).
    fn is_after(self, other: Self) -> bool {
        (1..1 << 63).contains(&self.0.wrapping_sub(other.0))
    }

    /// How far apart two of them are.
    fn distance(self, other: Self) -> Micros {
        let apart = self.0.wrapping_sub(other.0).min(other.0.wrapping_sub(self.0));
        Micros((apart >> 32) * 1_000_000 + (((apart & 0xffff_ffff) * 1_000_000) >> 32))
    }
}

/// What is wrong with a trailer; each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// There is none.
    Missing,
    /// What stands behind the message is no trailer.
    Form,
    /// It names a key that is not known here.
    Key,
    /// It was made with another key, or for another message.
    Digest,
    /// It has been heard before, or one that was made later.
    Replay,
    /// It was made too long ago, or clocks differ.
    Time,
}

impl Flaw {
    /// The word it is counted under.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "hmac-missing",
            Self::Form => "hmac-form",
            Self::Key => "hmac-key",
            Self::Digest => "hmac-digest",
            Self::Replay => "hmac-replay",
            Self::Time => "hmac-time",
        }
    }
}

/// Makes and looks at the trailers of one router.
pub struct Guard {
    keys: BTreeMap<u8, Key>,
    active: u8,
    anti_replay: AntiReplay,
    window: Micros,
    mode: Mode,
    sent: Option<Stamp>,
    /// The last stamp of each sender.
    heard: BTreeMap<IpAddr, Stamp>,
}

impl Guard {
    /// What a file asks for, where advertisements come at this interval; `None` where it names no key.
    #[must_use]
    pub fn new(settings: &Hmac, interval: Micros) -> Option<Self> {
        let key = |(id, secret): (&u8, &Secret)| (*id, Key::new(HMAC_SHA256, &secret.0));
        let keys: BTreeMap<u8, Key> = settings.keys.iter().map(key).collect();
        let usual = interval.times(USUAL_WINDOW_INTERVALS).max(LEAST_WINDOW);
        Some(Self {
            active: settings.active.or_else(|| keys.keys().next().copied())?,
            keys,
            anti_replay: settings.anti_replay,
            window: settings.window.map_or(usual, Micros::from),
            mode: settings.mode,
            sent: None,
            heard: BTreeMap::new(),
        })
    }

    /// Whether a packet with a flaw is not heard.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }

    /// Puts a trailer behind a message that goes out from this address now.
    pub fn sign(&mut self, message: &mut Vec<u8>, source: IpAddr, now: Stamp) {
        let Some(key) = self.keys.get(&self.active).filter(|_| self.mode != Mode::ReceiveOnly) else {
            return;
        };
        // A clock that was set back must not make us mute: what counts up goes on from where it was.
        let stamp = match self.sent {
            Some(last) if !now.is_after(last) => Stamp(last.0.wrapping_add(1)),
            _ => now,
        };
        self.sent = Some(stamp);
        let mut head = [0; COVERED];
        head[..2].copy_from_slice(&[KIND, self.active]);
        head[STAMP_AT..].copy_from_slice(&stamp.0.to_be_bytes());
        let digest = digest(key, message, &head, source);
        message.extend(head);
        message.extend(digest);
    }

    /// Looks at what stands behind a message that came from this address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&mut self, message: &[u8], trailer: &[u8], source: IpAddr, now: Stamp) -> Result<(), Flaw> {
        if trailer.is_empty() {
            return Err(Flaw::Missing);
        }
        let trailer: &[u8; TRAILER] = trailer.try_into().map_err(|_| Flaw::Form)?;
        let head: &[u8; COVERED] = trailer.first_chunk().ok_or(Flaw::Form)?;
        if head[0] != KIND {
            return Err(Flaw::Form);
        }
        let key = self.keys.get(&head[1]).ok_or(Flaw::Key)?;
        let expected = digest(key, message, head, source);
        verify_slices_are_equal(&expected, &trailer[COVERED..]).map_err(|_| Flaw::Digest)?;
        let stamp = head.last_chunk().map(|bytes| Stamp(u64::from_be_bytes(*bytes))).ok_or(Flaw::Form)?;
        if self.anti_replay == AntiReplay::Off {
            return Ok(());
        }
        if self.heard.get(&source).is_some_and(|last| !stamp.is_after(*last)) {
            return Err(Flaw::Replay);
        }
        if self.anti_replay == AntiReplay::Time && stamp.distance(now) > self.window {
            return Err(Flaw::Time);
        }
        if self.heard.len() >= MAX_SENDERS && !self.heard.contains_key(&source) {
            // So many nodes share no address: the one that was silent longest goes.
            let oldest = self.heard.iter().max_by_key(|(_, heard)| stamp.distance(**heard));
            oldest.map(|(oldest, _)| *oldest).map(|oldest| self.heard.remove(&oldest));
        }
        self.heard.insert(source, stamp);
        Ok(())
    }
}

/// The digest of a message and the head of its trailer. Where it came from is covered, where it goes is not: the same
/// goes to many.
fn digest(key: &Key, message: &[u8], head: &[u8; COVERED], source: IpAddr) -> [u8; DIGEST] {
    let mut before = [0; 20];
    match source {
        IpAddr::V4(four) => {
            before[0] = 4;
            before[4..8].copy_from_slice(&four.octets());
        }
        IpAddr::V6(six) => {
            before[0] = 6;
            before[4..].copy_from_slice(&six.octets());
        }
    }
    before[1] = message.first().map_or(0, |first| first >> 4);
    before[2] = message.get(1).copied().unwrap_or(0);
    let (start, rest) = message.split_at(message.len().min(CHECKSUM.start));
    let mut context = Context::with_key(key);
    context.update(&before);
    context.update(start);
    context.update(&[0; CHECKSUM.end - CHECKSUM.start][..rest.len().min(2)]);
    context.update(rest.get(2..).unwrap_or_default());
    context.update(head);
    context.update(&[0; DIGEST]);
    let mut short = [0; DIGEST];
    short.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: &str = "192.0.2.1";
    const SIX: &str = "fe80::ff:fe00:1";
    /// Version 2 with a password, version 3 over both families: message, source, and the trailer of key 7.
    const VECTORS: &[(&str, &str, &str)] = &[
        (
            "2133960201018ae9c000020ac000020b62656e6368000000",
            FOUR,
            "010700006553f1008000000083b2c88818aa89002ab7dfc9e1b80b84",
        ),
        ("3134c8010019a201c000021e", FOUR, "010700006553f1008000000091a0b791dab69055c95f2b29f6301812"),
        (
            "3137780200322cd1fe80000000000000000000000000000520010db8000000000000000000000055",
            SIX,
            "010700006553f10080000000489184ea9e5e90f3c09d9ae1d40939e0",
        ),
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    fn guard(secret: &str, mode: Mode, anti_replay: AntiReplay) -> Guard {
        let keys = [(7, Secret::new(secret)), (9, Secret::new("the next one"))].into();
        let settings = Hmac { keys, mode, anti_replay, ..Hmac::default() };
        Guard::new(&settings, Micros::SECOND).unwrap()
    }

    fn at(seconds: u64) -> Stamp {
        Stamp::at(Duration::from_secs(seconds))
    }

    /// Computed with Python's hmac from the description of the trailer, not with this code.
    #[test]
    fn the_trailer_has_the_bytes_of_its_description() {
        for (message, source, expected) in VECTORS {
            let source: IpAddr = source.parse().unwrap();
            let mut guard = guard("swordfish swordfish", Mode::Enforce, AntiReplay::Time);
            let mut signed = bytes(message);
            let now = Stamp::at(Duration::new(1_700_000_000, 500_000_000));
            guard.sign(&mut signed, source, now);
            let (message, trailer) = signed.split_at(signed.len() - TRAILER);
            assert_eq!(trailer, bytes(expected));
            assert_eq!(guard.check(message, trailer, source, now), Ok(()));
        }
    }

    #[test]
    fn what_was_changed_recorded_or_made_with_another_key_has_a_flaw() {
        let source: IpAddr = FOUR.parse().unwrap();
        let message = bytes("3134c8010019a201c000021e");
        let signed = |guard: &mut Guard, seconds| {
            let mut signed = message.clone();
            guard.sign(&mut signed, source, at(seconds));
            signed.split_off(message.len())
        };
        let mut sender = guard("a", Mode::Enforce, AntiReplay::Counter);
        let mut hearer = guard("a", Mode::Enforce, AntiReplay::Time);
        let (first, second) = (signed(&mut sender, 100), signed(&mut sender, 101));
        assert_eq!(hearer.check(&message, &first, source, at(100)), Ok(()));
        assert_eq!(hearer.check(&message, &first, source, at(100)), Err(Flaw::Replay));
        assert_eq!(hearer.check(&message, &second, source, at(101)), Ok(()));
        assert_eq!(hearer.check(&message, &first, source, at(101)), Err(Flaw::Replay));
        assert_eq!(hearer.check(&message, &[], source, at(101)), Err(Flaw::Missing));
        assert_eq!(hearer.check(&message, &first[1..], source, at(101)), Err(Flaw::Form));
        // A clock that goes back does not make the sender mute, and only the window ends its being heard.
        let third = signed(&mut sender, 90);
        assert_eq!(hearer.check(&message, &third, source, at(101)), Ok(()));
        let late = signed(&mut sender, 110);
        assert_eq!(hearer.check(&message, &late, source, at(200)), Err(Flaw::Time));
        assert_eq!(hearer.check(&message, &late, source, at(112)), Ok(()));
        let fresh = signed(&mut sender, 113);
        for place in 0..TRAILER {
            let mut changed = fresh.clone();
            changed[place] ^= 1;
            let said = hearer.check(&message, &changed, source, at(113));
            let expected = match place {
                0 => Flaw::Form,
                1 => Flaw::Key,
                _ => Flaw::Digest,
            };
            assert_eq!(said, Err(expected), "{place}");
        }
        for place in (0..message.len()).filter(|place| !CHECKSUM.contains(place)) {
            let mut changed = message.clone();
            changed[place] ^= 1;
            assert_eq!(hearer.check(&changed, &fresh, source, at(113)), Err(Flaw::Digest), "{place}");
        }
        let elsewhere = "192.0.2.2".parse().unwrap();
        assert_eq!(hearer.check(&message, &fresh, elsewhere, at(113)), Err(Flaw::Digest));
        let mut other = guard("b", Mode::Enforce, AntiReplay::Counter);
        assert_eq!(other.check(&message, &fresh, source, at(113)), Err(Flaw::Digest));
        assert_eq!(hearer.check(&message, &fresh, source, at(113)), Ok(()));
    }

    #[test]
    fn a_key_is_replaced_while_both_are_known() {
        let source: IpAddr = SIX.parse().unwrap();
        let mut old = guard("a", Mode::Enforce, AntiReplay::Counter);
        let keys = [(9, Secret::new("the next one"))].into();
        let mut new = Guard::new(&Hmac { keys, ..Hmac::default() }, Micros::SECOND).unwrap();
        let mut message = bytes("3137780200322cd1");
        new.sign(&mut message, source, at(5));
        let (message, trailer) = message.split_at(8);
        assert_eq!(old.check(message, trailer, source, at(5)), Ok(()));
        assert!(Guard::new(&Hmac::default(), Micros::SECOND).is_none());
        assert_eq!(format!("{:?}", Secret::new("a")), "Secret");
    }

    #[test]
    fn who_only_receives_sends_no_trailer() {
        let mut guard = guard("a", Mode::ReceiveOnly, AntiReplay::Counter);
        let mut message = vec![1, 2, 3];
        guard.sign(&mut message, FOUR.parse().unwrap(), at(1));
        assert_eq!((message, guard.enforces()), (vec![1, 2, 3], false));
    }

    #[test]
    fn stamps_are_compared_around_their_end() {
        assert!(Stamp(3).is_after(Stamp(u64::MAX)) && !Stamp(u64::MAX).is_after(Stamp(3)));
        assert!(!Stamp(3).is_after(Stamp(3)));
        assert_eq!(at(10).distance(Stamp::at(Duration::from_millis(8_500))), Micros(1_500_000));
        assert_eq!(at(u64::from(u32::MAX)).distance(at(1 << 32)), Micros::SECOND);
    }

    #[test]
    fn memory_of_senders_has_an_end() {
        let mut hearer = guard("a", Mode::Enforce, AntiReplay::Counter);
        let message = bytes("3134c8010019a201c000021e");
        for host in 0..=u64::try_from(MAX_SENDERS).unwrap() {
            let source = IpAddr::from([192, 0, 2, u8::try_from(host).unwrap()]);
            let mut signed = message.clone();
            guard("a", Mode::Enforce, AntiReplay::Counter).sign(&mut signed, source, at(100 + host));
            let trailer = signed.split_off(message.len());
            assert_eq!(hearer.check(&message, &trailer, source, at(0)), Ok(()));
        }
        assert_eq!(hearer.heard.len(), MAX_SENDERS);
        assert!(!hearer.heard.contains_key(&IpAddr::from([192, 0, 2, 0])));
    }
}
