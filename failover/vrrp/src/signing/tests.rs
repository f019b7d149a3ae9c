//! Histories of two members, and of somebody who knows everything but the key.

use super::*;
use crate::{Advertisement, Centis, Version};

const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn key() -> ClusterKey {
    let mut key = [0; KEY];
    key.iter_mut().zip(0..).for_each(|(byte, number)| *byte = number);
    ClusterKey::new(key)
}

/// A member that starts so many seconds after 1970, with what it remembers.
fn started(memory: &Memory, seconds: u64) -> Signer {
    Signer::new(&key(), BTreeSet::from([ONE, TWO]), memory, Duration::from_secs(seconds))
}

fn fresh(seconds: u64) -> Signer {
    started(&Memory::default(), seconds)
}

fn advert(version: Version, priority: u8, centis: u16) -> Vec<u8> {
    let interval = Centis::new(centis).unwrap();
    let addresses = vec![IpAddr::from([192, 0, 2, 100])];
    Advertisement { vrid: 51, priority, interval, addresses }.encode(version, ONE, TWO, None)
}

/// An advertisement of this priority, and its signature.
fn signed(sender: &mut Signer, priority: u8) -> (Vec<u8>, Vec<u8>) {
    let mut message = advert(Version::V3, priority, 100);
    let length = message.len();
    sender.sign(&mut message, ONE, TWO);
    let trailer = message.split_off(length);
    (message, trailer)
}

/// What the second member makes of a packet in the first one's name.
fn hear(receiver: &mut Signer, (message, trailer): &(Vec<u8>, Vec<u8>)) -> Verdict {
    receiver.check(message, trailer, ONE, TWO)
}

fn plain(priority: u8) -> (Vec<u8>, Vec<u8>) {
    (advert(Version::V3, priority, 100), Vec::new())
}

/// Computed with Python's hmac and hashlib from the description of the signature, not with this code.
#[test]
fn a_signature_has_the_bytes_of_its_description() {
    for (message, one, two, expected) in [
        (
            "2133960201018ae9c000020ac000020b62656e6368000000",
            "192.0.2.1",
            "192.0.2.2",
            "74010000a9e60f6900060a24181e40000000000000000001c79683461c35d8dca439536a64bc5aa0",
        ),
        (
            "3134c8010019a201c000021e",
            "192.0.2.1",
            "192.0.2.2",
            "74010000a9e60f6900060a24181e400000000000000000019c16680c90ccaebfff649f3e53cff088",
        ),
        (
            "3137780200322cd1fe80000000000000000000000000000520010db8000000000000000000000055",
            "2001:db8::1",
            "2001:db8::2",
            "74010000a9e60f6900060a24181e400000000000000000011583ec57d51880d412b1a73151492bd8",
        ),
    ] {
        let (one, two): (IpAddr, IpAddr) = (one.parse().unwrap(), two.parse().unwrap());
        let mut message = bytes(message);
        let length = message.len();
        fresh(1_700_000_000).sign(&mut message, one, two);
        let (message, trailer) = message.split_at(length);
        assert_eq!(trailer, bytes(expected));
        assert_eq!(fresh(0).check(message, trailer, one, two), Verdict::Signed);
    }
    assert_eq!(format!("{:?}", key()), "ClusterKey(secret)");
}

#[test]
fn a_member_seen_to_sign_is_believed_signed_only() {
    let (mut one, mut two) = (fresh(100), fresh(200));
    assert_eq!(hear(&mut two, &plain(254)), Verdict::Unsigned);
    let genuine = signed(&mut one, 150);
    assert_eq!(hear(&mut two, &genuine), Verdict::Signed);
    // The other priority, a goodbye, the owner's priority, another interval, version 2: whatever a forger says.
    for (version, priority, centis) in [
        (Version::V3, 254, 100),
        (Version::V3, 0, 100),
        (Version::V3, 255, 100),
        (Version::V3, 150, 4_000),
        (Version::V2, 254, 100),
    ] {
        let forged = (advert(version, priority, centis), Vec::new());
        assert_eq!(hear(&mut two, &forged), Verdict::Refused(Flaw::Unsigned), "{priority} {centis}");
        let forged = (forged.0, genuine.1.clone());
        assert_eq!(hear(&mut two, &forged), Verdict::Refused(Flaw::Digest), "{priority} {centis}");
    }
    assert_eq!(hear(&mut two, &(genuine.0.clone(), vec![0; 28])), Verdict::Refused(Flaw::Form));
    let mut other =
        Signer::new(&ClusterKey::new([7; KEY]), BTreeSet::new(), &Memory::default(), Duration::ZERO);
    assert_eq!(hear(&mut two, &signed(&mut other, 254)), Verdict::Refused(Flaw::Key));
    let source = two.sources()[&ONE];
    assert_eq!((source.signs, source.refused, source.last), (true, 12, Some(Flaw::Key)));
    assert_eq!(hear(&mut two, &signed(&mut one, 150)), Verdict::Signed, "the real one goes on");
}

#[test]
fn a_changed_bit_or_another_way_is_refused() {
    let (mut one, mut two) = (fresh(100), fresh(200));
    assert_eq!(hear(&mut two, &signed(&mut one, 150)), Verdict::Signed);
    let (message, trailer) = signed(&mut one, 150);
    for place in 0..message.len() * 8 {
        let mut changed = message.clone();
        changed[place / 8] ^= 1 << (place % 8);
        let said = two.check(&changed, &trailer, ONE, TWO);
        assert_eq!(said, Verdict::Refused(Flaw::Digest), "bit {place}");
    }
    for place in 0..trailer.len() * 8 {
        let mut changed = trailer.clone();
        changed[place / 8] ^= 1 << (place % 8);
        let expected = match place / 8 {
            0..4 => Flaw::Form,
            4..8 => Flaw::Key,
            _ => Flaw::Digest,
        };
        assert_eq!(two.check(&message, &changed, ONE, TWO), Verdict::Refused(expected), "bit {place}");
    }
    let elsewhere = IpAddr::from([192, 0, 2, 3]);
    assert_eq!(two.check(&message, &trailer, ONE, elsewhere), Verdict::Refused(Flaw::Digest));
    // Reflected, it is nobody's who signs: believed as little as that one is believed unsigned.
    assert_eq!(two.check(&message, &trailer, TWO, ONE), Verdict::Unverified(Flaw::Digest));
    assert_eq!(hear(&mut two, &(message, trailer)), Verdict::Signed);
}

#[test]
fn a_recorded_advertisement_is_refused() {
    let (mut one, mut two) = (fresh(100), fresh(200));
    let recorded: Vec<_> = (0..5).map(|_| signed(&mut one, 150)).collect();
    assert_eq!(hear(&mut two, &recorded[0]), Verdict::Signed);
    assert_eq!(hear(&mut two, &recorded[3]), Verdict::Signed, "some may be lost");
    for old in &recorded[..4] {
        assert_eq!(hear(&mut two, old), Verdict::Refused(Flaw::Replay));
    }
    assert_eq!(hear(&mut two, &recorded[4]), Verdict::Signed);
    // The sender starts again: what it sent before is of a session that has ended.
    let mut one = started(&one.memory(), 100);
    assert_eq!(hear(&mut two, &signed(&mut one, 150)), Verdict::Signed);
    for old in &recorded {
        assert_eq!(hear(&mut two, old), Verdict::Refused(Flaw::Session));
    }
}

/// The packets of several routers are read one socket after the other: each has its own order.
#[test]
fn each_virtual_router_has_an_order_of_its_own() {
    let (mut one, mut two) = (fresh(100), fresh(200));
    let (first, second) = (signed(&mut one, 150), {
        let mut message = advert(Version::V3, 150, 100);
        message[1] = 52;
        let length = message.len();
        one.sign(&mut message, ONE, TWO);
        let trailer = message.split_off(length);
        (message, trailer)
    });
    assert_eq!(hear(&mut two, &second), Verdict::Signed);
    assert_eq!(hear(&mut two, &first), Verdict::Signed);
    assert_eq!(hear(&mut two, &first), Verdict::Refused(Flaw::Replay));
}

#[test]
fn a_receiver_that_starts_again_refuses_what_it_knew() {
    let (mut one, mut two) = (fresh(100), fresh(200));
    let old = signed(&mut one, 150);
    assert_eq!(hear(&mut two, &old), Verdict::Signed);
    assert_eq!(two.news(), Some(News::Session));
    let mut one = started(&one.memory(), 100);
    let late = [signed(&mut one, 150), signed(&mut one, 0)];
    assert_eq!(hear(&mut two, &late[0]), Verdict::Signed);
    assert_eq!(hear(&mut two, &late[1]), Verdict::Signed);
    let memory = Memory::read(&two.take_memory().text()).unwrap();
    assert_eq!(two.news(), None);
    assert_eq!(hear(&mut two, &signed(&mut one, 150)), Verdict::Signed);
    assert_eq!(two.news(), Some(News::Counters), "no session has begun");
    let mut two = started(&memory, 200);
    assert_eq!(hear(&mut two, &plain(254)), Verdict::Refused(Flaw::Unsigned));
    assert_eq!(hear(&mut two, &old), Verdict::Refused(Flaw::Session));
    for old in &late {
        assert_eq!(hear(&mut two, old), Verdict::Refused(Flaw::Replay));
    }
    assert_eq!(hear(&mut two, &signed(&mut one, 150)), Verdict::Signed);
}

#[test]
fn a_reinstalled_sender_comes_back_by_its_clock() {
    let (mut one, mut two) = (fresh(1_000), fresh(200));
    assert_eq!(hear(&mut two, &signed(&mut one, 150)), Verdict::Signed);
    // Started often, it is ahead of its clock by a millionth of a second each time.
    let mut memory = one.memory();
    for _ in 0..1_000 {
        memory = started(&memory, 1_000).memory();
    }
    assert_eq!(hear(&mut two, &signed(&mut started(&memory, 1_000), 150)), Verdict::Signed);
    assert_eq!(hear(&mut two, &signed(&mut fresh(1_001), 150)), Verdict::Signed);
}

#[test]
fn a_reinstalled_sender_with_a_wrong_clock_learns_its_session() {
    let (mut one, mut two) = (fresh(1_000), fresh(200));
    let old = signed(&mut one, 150);
    assert_eq!(hear(&mut two, &old), Verdict::Signed);
    let mut one = fresh(3);
    assert_eq!(hear(&mut two, &signed(&mut one, 150)), Verdict::Refused(Flaw::Session));
    one.take_memory();
    // By the channel: the other member says what it remembers.
    one.outgrown(two.session_of(&[ONE]));
    assert_eq!(one.news(), Some(News::Session));
    assert_eq!(hear(&mut two, &signed(&mut one, 150)), Verdict::Signed);
    assert_eq!(hear(&mut two, &old), Verdict::Refused(Flaw::Session));
    // What is known of the present session is no reason for another one.
    let session = one.signs().session;
    one.outgrown(two.session_of(&[ONE]));
    one.outgrown(u64::MAX);
    assert_eq!(one.signs().session, session);
}

/// Whoever is the first to know the key: the other one believes it unsigned or signed, and it believes the other one.
#[test]
fn a_roll_out_in_either_order_silences_nobody() {
    let mut one = fresh(100);
    // The other one knows no key, and passes over what stands behind a message: it gets both forms.
    assert_eq!(one.forms(TWO), Forms::Both);
    assert_eq!(one.check(&advert(Version::V3, 100, 100), &[], TWO, ONE), Verdict::Unsigned);
    assert_eq!(one.forms(TWO), Forms::Both);
    one.told(&[TWO], None);
    assert_eq!(one.check(&advert(Version::V3, 100, 100), &[], TWO, ONE), Verdict::Unsigned);
    // Then it has the key: it is known by its first advertisement, or by the channel before that.
    let mut two = fresh(200);
    one.told(&[TWO], Some(two.signs()));
    assert_eq!(one.forms(TWO), Forms::Signed);
    assert_eq!(one.check(&advert(Version::V3, 254, 100), &[], TWO, ONE), Verdict::Refused(Flaw::Unsigned));
    let mut message = advert(Version::V3, 100, 100);
    let length = message.len();
    two.sign(&mut message, TWO, ONE);
    let (message, trailer) = message.split_at(length);
    assert_eq!(one.check(message, trailer, TWO, ONE), Verdict::Signed);
    // Who knows nothing of it yet sends both, and the copy is no forgery.
    let genuine = signed(&mut one, 150);
    assert_eq!(hear(&mut two, &genuine), Verdict::Signed);
    assert_eq!(hear(&mut two, &(genuine.0, Vec::new())), Verdict::Copy);
    assert_eq!(hear(&mut two, &plain(151)), Verdict::Refused(Flaw::Unsigned));
    assert_eq!(two.sources()[&ONE].refused, 1);
    // A peer that the file names may be keepalived, which refuses what is longer than it expects.
    assert_eq!(one.forms(IpAddr::from([192, 0, 2, 9])), Forms::Plain);
}

#[test]
fn a_member_that_signs_no_more_says_so_on_the_channel() {
    let (mut one, mut two) = (fresh(100), fresh(200));
    let old = signed(&mut one, 150);
    assert_eq!(hear(&mut two, &old), Verdict::Signed);
    assert_eq!(hear(&mut two, &plain(150)), Verdict::Copy);
    assert_eq!(hear(&mut two, &plain(140)), Verdict::Refused(Flaw::Unsigned));
    two.told(&[ONE], None);
    assert_eq!(hear(&mut two, &plain(140)), Verdict::Unsigned);
    assert_eq!(hear(&mut two, &old), Verdict::Refused(Flaw::Replay), "what was recorded stays refused");
    // With another key, likewise; it is noted.
    let mut other = Signer::new(
        &ClusterKey::new([7; KEY]),
        BTreeSet::new(),
        &Memory::default(),
        Duration::from_secs(300),
    );
    two.told(&[ONE], Some(one.signs()));
    two.told(&[ONE], Some(other.signs()));
    assert_eq!(hear(&mut two, &signed(&mut other, 150)), Verdict::Unverified(Flaw::Key));
    assert_eq!(two.sources()[&ONE].unverified, Some(Flaw::Key));
    // Nor is what another key has signed demanded of it after a restart with a new key.
    two.told(&[ONE], Some(one.signs()));
    let mut two = Signer::new(&ClusterKey::new([7; KEY]), BTreeSet::new(), &two.memory(), Duration::ZERO);
    assert_eq!(hear(&mut two, &plain(140)), Verdict::Unsigned);
    assert_eq!(hear(&mut two, &signed(&mut other, 150)), Verdict::Signed);
}

#[test]
fn a_member_of_another_key_is_noted_before_it_was_verified() {
    let mut other =
        Signer::new(&ClusterKey::new([7; KEY]), BTreeSet::new(), &Memory::default(), Duration::ZERO);
    let mut two = fresh(200);
    assert_eq!(hear(&mut two, &signed(&mut other, 150)), Verdict::Unverified(Flaw::Key));
    let source = two.sources()[&ONE];
    assert_eq!((source.signs, source.unverified), (false, Some(Flaw::Key)));
    assert_eq!(two.memory().sources, BTreeMap::new());
}

#[test]
fn what_is_remembered_is_read_whole_or_not_at_all() {
    let (mut one, mut two) = (fresh(100), fresh(200));
    assert_eq!(hear(&mut two, &signed(&mut one, 150)), Verdict::Signed);
    two.told(&["2001:db8::1".parse().unwrap()], Some(one.signs()));
    let memory = two.memory();
    assert_eq!(memory.sources.len(), 2);
    let text = memory.text();
    assert_eq!(Memory::read(&text), Some(memory));
    for cut in 0..text.len() - 1 {
        assert_eq!(Memory::read(&text[..cut]), None, "{cut}");
    }
    assert_eq!(Memory::read(&text.replace("192.0.2.1", "nobody")), None);
}

#[test]
fn what_is_remembered_of_sources_has_an_end() {
    let mut two = fresh(200);
    let source = |number: usize| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
    let signs = Some(fresh(100).signs());
    for number in 0..2 * MAX_SOURCES {
        two.told(&[source(number)], signs);
    }
    assert_eq!(two.memory().sources.len(), MAX_SOURCES);
    let mut message = advert(Version::V3, 150, 100);
    let length = message.len();
    fresh(100).sign(&mut message, source(MAX_SOURCES), TWO);
    let (message, trailer) = message.split_at(length);
    let said = two.check(message, trailer, source(MAX_SOURCES), TWO);
    assert_eq!(said, Verdict::Refused(Flaw::Session));
}
