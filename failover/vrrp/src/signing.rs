//! Signatures of the members of a cluster behind their unicast advertisements: who does not know the cluster's key can
//! neither forge a member's advertisement nor have a recorded one believed again. Forty bytes: kind, form, two of zero,
//! the key's number, the sender's session, a counter, and sixteen bytes of an HMAC-SHA256. Replay is refused by session
//! and counter, never by a clock.
//!
//! A source is believed unsigned until it is seen to sign, by an advertisement or by the members' channel; from then on
//! only its signed advertisements are believed, also after a restart, if [`Memory`] is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};

/// Bytes of a signature.
pub const SIGNATURE: usize = 40;
/// Bytes of a cluster's key.
pub const KEY: usize = 32;
/// The signature's first byte and form; keepalived's trailer begins with 1.
const KIND: u8 = 0x74;
const FORM: u8 = 1;
/// Where the parts stand.
const KEY_AT: usize = 4;
const SESSION_AT: usize = 8;
const COUNTER_AT: usize = 16;
/// What the digest covers of the signature, and how much of the digest is sent.
const COVERED: usize = 24;
const DIGEST: usize = SIGNATURE - COVERED;
/// What the keys are derived with (RFC 5869): the key that signs, and the number that names it.
const SALT: &[u8] = b"tandem advertisements 1";
const TO_SIGN: &[u8] = b"signature";
const TO_NAME: &[u8] = b"number";
/// Sources that are remembered: a cluster has fewer members, each with an address per virtual router at most.
const MAX_SOURCES: usize = 1_024;
/// The first line of what is remembered, and the last one: without it something is missing.
const TITLE: &str = "tandem advertisements 1";
const END: &str = "end";

/// The key that all members of a cluster share; its bytes are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; KEY]);

impl ClusterKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; KEY]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(secret)")
    }
}

/// A number of bytes to derive.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(key: &ClusterKey, purpose: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    let secret = Salt::new(HKDF_SHA256, SALT).extract(&key.0);
    let derived = secret.expand(&[purpose], Length(N)).map(|okm| okm.fill(&mut bytes));
    // HKDF refuses lengths beyond 255 hashes only (RFC 5869 2.3).
    assert!(matches!(derived, Ok(Ok(()))), "at most 32 bytes are derived");
    bytes
}

/// Why an advertisement is not believed to be its source's; each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// There is no signature, and the source signs.
    Unsigned,
    /// What stands behind the message is no signature.
    Form,
    /// It was made with a key that this node does not have.
    Key,
    /// It was not made with the key, or for another message, source or destination.
    Digest,
    /// It was received before, or one that was sent later.
    Replay,
    /// It is of a session that has ended.
    Session,
}

impl Flaw {
    /// Every one of them.
    pub const ALL: [Self; 6] =
        [Self::Unsigned, Self::Form, Self::Key, Self::Digest, Self::Replay, Self::Session];

    /// The word it is counted under.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unsigned => "signature-missing",
            Self::Form => "signature-form",
            Self::Key => "signature-key",
            Self::Digest => "signature-digest",
            Self::Replay => "signature-replay",
            Self::Session => "signature-session",
        }
    }
}

/// How an advertisement looks to [`Signer::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Signed by a member, later than all before it.
    Signed,
    /// Not signed, by a source that has not been seen to sign: believed.
    Unsigned,
    /// Its signature cannot be verified, and its source has not been seen to sign: believed as if it were unsigned.
    Unverified(Flaw),
    /// The unsigned copy of the signed advertisement before it, for those who cannot read signatures: passed over.
    Copy,
    /// Not believed.
    Refused(Flaw),
}

/// What a member says of itself on the members' channel: by which key it signs, and in which session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// The key's number.
    pub key: u32,
    /// The session.
    pub session: u64,
}

/// What is remembered over a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The number of the key that sources were seen to sign with.
    pub key: u32,
    /// This node's last session.
    pub session: u64,
    /// What is known of each source.
    pub sources: BTreeMap<IpAddr, Remembered>,
}

/// What is remembered of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Its last session; 0: none.
    pub session: u64,
    /// The highest counter of that session.
    pub counter: u64,
    /// Whether its unsigned advertisements are refused.
    pub signs: bool,
}

impl Memory {
    /// The memory as text, a line for each source.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{TITLE}\nkey {:08x}\nsession {}\n", self.key, self.session);
        for (source, Remembered { session, counter, signs }) in &self.sources {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "source {source} {session} {counter} {}", u8::from(*signs));
        }
        text.push_str(END);
        text.push('\n');
        text
    }

    /// Reads such a text; `None`: it is none, or not whole.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return None;
        }
        let key = u32::from_str_radix(lines.next()?.strip_prefix("key ")?, 16).ok()?;
        let session = lines.next()?.strip_prefix("session ")?.parse().ok()?;
        let mut memory = Self { key, session, sources: BTreeMap::new() };
        loop {
            let line = lines.next()?;
            if line == END {
                return Some(memory);
            }
            let mut words = line.strip_prefix("source ")?.split(' ');
            let source = words.next()?.parse().ok()?;
            let remembered = Remembered {
                session: words.next()?.parse().ok()?,
                counter: words.next()?.parse().ok()?,
                signs: words.next()? == "1",
            };
            if memory.sources.len() < MAX_SOURCES {
                memory.sources.insert(source, remembered);
            }
        }
    }
}

/// What is known of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Whether its unsigned advertisements are refused.
    pub signs: bool,
    /// Its last session; 0: none.
    pub session: u64,
    /// Advertisements in its name that were refused because of their signature.
    pub refused: u64,
    /// Why the last one was.
    pub last: Option<Flaw>,
    /// Why its signatures cannot be verified, while they are not demanded.
    pub unverified: Option<Flaw>,
}

#[derive(Default)]
struct Peer {
    remembered: Remembered,
    /// Of each virtual router, by number: the counter below which nothing is believed, and the last message.
    routers: BTreeMap<u8, (u64, Vec<u8>)>,
    /// The same for routers of which nothing was received yet.
    floor: u64,
    refused: u64,
    last: Option<Flaw>,
    unverified: Option<Flaw>,
}

/// Signs this node's advertisements and verifies those of others: one for all virtual routers of a node.
///
/// ```text
///                signed advertisement, or the channel says so
///   unsigned  ------------------------------------------------> signed only
///   believed  <------------------------------------------------
///                the channel says that it signs no more, or with another key
/// ```
pub struct Signer {
    key: Key,
    number: u32,
    session: u64,
    counter: u64,
    /// The members' own addresses: they can read signatures, or pass over them.
    members: BTreeSet<IpAddr>,
    peers: BTreeMap<IpAddr, Peer>,
    /// A session, or which sources sign, has changed since the memory was taken last.
    news: bool,
    /// A counter has.
    counted: bool,
}

impl Signer {
    /// Begins a session, with a number above the last one that is remembered. `clock`: the time since 1970 where this
    /// node's clock is right; it is compared with no other clock, and only lets the session of a node that has lost its
    /// memory be a higher one.
    ///
    /// The memory must be written before the first advertisement is sent.
    #[must_use]
    pub fn new(key: &ClusterKey, members: BTreeSet<IpAddr>, memory: &Memory, clock: Duration) -> Self {
        let number = u32::from_be_bytes(derive(key, TO_NAME));
        let micros = u64::try_from(clock.as_micros()).unwrap_or(u64::MAX);
        let same_key = memory.key == number;
        let peer = |(source, remembered): (&IpAddr, &Remembered)| {
            // What was signed with another key cannot be demanded any more.
            let remembered = Remembered { signs: remembered.signs && same_key, ..*remembered };
            (*source, Peer { remembered, floor: remembered.counter, ..Peer::default() })
        };
        Self {
            key: Key::new(HMAC_SHA256, &derive::<32>(key, TO_SIGN)),
            number,
            session: memory.session.saturating_add(1).max(micros),
            counter: 0,
            members,
            peers: memory.sources.iter().map(peer).collect(),
            news: true,
            counted: false,
        }
    }

    /// What this node says of itself on the members' channel.
    #[must_use]
    pub fn signs(&self) -> Signs {
        Signs { key: self.number, session: self.session }
    }

    /// The highest session that is known of any of these addresses; 0: none.
    #[must_use]
    pub fn session_of(&self, sources: &[IpAddr]) -> u64 {
        let known = sources.iter().filter_map(|source| self.peers.get(source));
        known.map(|peer| peer.remembered.session).max().unwrap_or(0)
    }

    /// What is known of each source that is a member's, or has been seen to sign.
    #[must_use]
    pub fn sources(&self) -> BTreeMap<IpAddr, Source> {
        let of = |source: &IpAddr| {
            let peer = self.peers.get(source);
            let remembered = peer.map(|peer| peer.remembered).unwrap_or_default();
            Source {
                signs: remembered.signs,
                session: remembered.session,
                refused: peer.map_or(0, |peer| peer.refused),
                last: peer.and_then(|peer| peer.last),
                unverified: peer.and_then(|peer| peer.unverified),
            }
        };
        self.members.iter().chain(self.peers.keys()).map(|source| (*source, of(source))).collect()
    }

    /// What is to be remembered.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let sources = self.peers.iter().filter(|(_, peer)| peer.remembered != Remembered::default());
        let sources = sources.map(|(source, peer)| (*source, peer.remembered)).collect();
        Memory { key: self.number, session: self.session, sources }
    }

    /// What has changed since the memory was taken last.
    #[must_use]
    pub fn news(&self) -> Option<News> {
        let counted = self.counted.then_some(News::Counters);
        if self.news { Some(News::Session) } else { counted }
    }

    /// The same as [`Signer::memory`], which is going to be written: there is no news then.
    pub fn take_memory(&mut self) -> Memory {
        (self.news, self.counted) = (false, false);
        self.memory()
    }

    /// In which forms an advertisement goes to this address: without a signature to whom may not be able to read one
    /// (keepalived refuses what is longer than it expects), in both to a member that has not been seen to sign.
    #[must_use]
    pub fn forms(&self, destination: IpAddr) -> Forms {
        match self.peers.get(&destination) {
            Some(peer) if peer.remembered.signs => Forms::Signed,
            _ if self.members.contains(&destination) => Forms::Both,
            _ => Forms::Plain,
        }
    }

    /// Puts a signature behind a message that goes from one address to another.
    pub fn sign(&mut self, message: &mut Vec<u8>, source: IpAddr, destination: IpAddr) {
        self.counter += 1;
        let mut head = [0; COVERED];
        head[..2].copy_from_slice(&[KIND, FORM]);
        head[KEY_AT..SESSION_AT].copy_from_slice(&self.number.to_be_bytes());
        head[SESSION_AT..COUNTER_AT].copy_from_slice(&self.session.to_be_bytes());
        head[COUNTER_AT..].copy_from_slice(&self.counter.to_be_bytes());
        let digest = digest(&self.key, message, &head, source, destination);
        message.extend(head);
        message.extend(digest);
    }

    /// Looks at a message of a virtual router and what stands behind it, which came from one address to another.
    pub fn check(&mut self, message: &[u8], trailer: &[u8], source: IpAddr, destination: IpAddr) -> Verdict {
        let vrid = message.get(1).copied().unwrap_or(0);
        let verified = self.verify(message, trailer, source, destination);
        let flaw = match verified {
            Ok((session, counter)) => match self.advance(source, vrid, (session, counter), message) {
                Ok(()) => return Verdict::Signed,
                Err(flaw) => flaw,
            },
            Err(flaw) => flaw,
        };
        let is_member = self.members.contains(&source);
        let Some(peer) = self.peers.get_mut(&source) else {
            if is_member && matches!(flaw, Flaw::Key | Flaw::Digest) {
                self.peers.entry(source).or_default().unverified = Some(flaw);
            }
            return Verdict::unverified(flaw);
        };
        let is_copy = |(_, last): &(u64, Vec<u8>)| last == message;
        match flaw {
            Flaw::Unsigned if peer.remembered.signs && peer.routers.get(&vrid).is_some_and(is_copy) => {
                return Verdict::Copy;
            }
            // What was recorded is refused, whoever signs now.
            Flaw::Replay | Flaw::Session => {}
            _ if peer.remembered.signs => {}
            Flaw::Unsigned | Flaw::Form | Flaw::Key | Flaw::Digest => {
                peer.unverified = Some(flaw).filter(|flaw| matches!(flaw, Flaw::Key | Flaw::Digest));
                return Verdict::unverified(flaw);
            }
        }
        peer.refused += 1;
        peer.last = Some(flaw);
        Verdict::Refused(flaw)
    }

    /// The session and the counter of a signature.
    fn verify(
        &self,
        message: &[u8],
        trailer: &[u8],
        source: IpAddr,
        destination: IpAddr,
    ) -> Result<(u64, u64), Flaw> {
        if trailer.is_empty() {
            return Err(Flaw::Unsigned);
        }
        let trailer: &[u8; SIGNATURE] = trailer.try_into().map_err(|_| Flaw::Form)?;
        let head: &[u8; COVERED] = trailer.first_chunk().ok_or(Flaw::Form)?;
        if head[..KEY_AT] != [KIND, FORM, 0, 0] {
            return Err(Flaw::Form);
        }
        if head[KEY_AT..SESSION_AT] != self.number.to_be_bytes() {
            return Err(Flaw::Key);
        }
        let expected = digest(&self.key, message, head, source, destination);
        verify_slices_are_equal(&expected, &trailer[COVERED..]).map_err(|_| Flaw::Digest)?;
        let number = |at: usize| {
            let bytes = head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_be_bytes).ok_or(Flaw::Form)
        };
        Ok((number(SESSION_AT)?, number(COUNTER_AT)?))
    }

    /// A signature is right: whether it is later than what is known of its source.
    fn advance(
        &mut self,
        source: IpAddr,
        vrid: u8,
        (session, counter): (u64, u64),
        message: &[u8],
    ) -> Result<(), Flaw> {
        if self.peers.len() >= MAX_SOURCES && !self.peers.contains_key(&source) {
            return Err(Flaw::Session);
        }
        let peer = self.peers.entry(source).or_default();
        if session < peer.remembered.session {
            return Err(Flaw::Session);
        }
        let is_new = session > peer.remembered.session;
        let floor = peer.routers.get(&vrid).map_or(peer.floor, |(counter, _)| *counter);
        if !is_new && counter <= floor {
            return Err(Flaw::Replay);
        }
        self.news |= is_new || !peer.remembered.signs;
        if is_new {
            peer.begin(session);
        }
        peer.remembered.signs = true;
        peer.remembered.counter = peer.remembered.counter.max(counter);
        peer.unverified = None;
        peer.routers.insert(vrid, (counter, message.to_vec()));
        self.counted = true;
        Ok(())
    }

    /// A member that advertises from these addresses says on the channel how it signs; `None`: it does not. That one is
    /// believed unsigned again, as is one that signs with another key: nothing it sends could be verified.
    pub fn told(&mut self, sources: &[IpAddr], signs: Option<Signs>) {
        let signs = signs.filter(|signs| signs.key == self.number);
        for source in sources {
            if !self.peers.contains_key(source) && (signs.is_none() || self.peers.len() >= MAX_SOURCES) {
                continue;
            }
            let peer = self.peers.entry(*source).or_default();
            let before = peer.remembered;
            match signs {
                None => peer.remembered.signs = false,
                Some(signs) => {
                    peer.remembered.signs = true;
                    peer.unverified = None;
                    if signs.session > before.session {
                        peer.begin(signs.session);
                    }
                }
            }
            self.news |= peer.remembered != before;
        }
    }

    /// A member remembers this session of this node's: one that has lost its memory, and whose clock was set back, begins
    /// another session above it, which is believed.
    pub fn outgrown(&mut self, session: u64) {
        if session > self.session && session < u64::MAX {
            self.session = session + 1;
            self.counter = 0;
            self.news = true;
        }
    }
}

/// What has changed of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A session, or which sources sign: to be written at once.
    Session,
    /// Only counters: to be written now and then.
    Counters,
}

/// In which forms an advertisement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forms {
    /// Without a signature.
    Plain,
    /// With one, and then without.
    Both,
    /// With one.
    Signed,
}

impl Verdict {
    /// What follows from a flaw while signatures are not demanded.
    fn unverified(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Unsigned | Flaw::Form => Self::Unsigned,
            Flaw::Key | Flaw::Digest => Self::Unverified(flaw),
            Flaw::Replay | Flaw::Session => Self::Refused(flaw),
        }
    }
}

impl Peer {
    /// Another session has begun.
    fn begin(&mut self, session: u64) {
        (self.remembered.session, self.remembered.counter, self.floor) = (session, 0, 0);
        self.routers.clear();
    }
}

/// The digest of a message, where it comes from and goes to, and the head of its signature.
fn digest(
    key: &Key,
    message: &[u8],
    head: &[u8; COVERED],
    source: IpAddr,
    destination: IpAddr,
) -> [u8; DIGEST] {
    let mut context = Context::with_key(key);
    for address in [source, destination] {
        // Both families as sixteen bytes: an address of IPv4 is mapped (RFC 4291 2.5.5.2).
        let six = match address {
            IpAddr::V4(four) => four.to_ipv6_mapped(),
            IpAddr::V6(six) => six,
        };
        context.update(&six.octets());
    }
    context.update(head);
    context.update(message);
    let mut short = [0; DIGEST];
    short.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
    short
}

#[cfg(test)]
mod tests;
