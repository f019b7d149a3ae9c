//! What one virtual router says and what it believes: advertisements to packets and back. What is not believed is
//! counted by its reason, and so is what is believed and strange; the log names who sent it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use failover_vrrp::hmac::{Guard, Stamp};
use failover_vrrp::signing::{Forms, Signer, Verdict};
use failover_vrrp::{
    Advertisement, Checksum, Micros, Refusal, Version, VirtualRouter, split_trailer, without_pseudo_header,
};

use crate::frames::{Frames, Mac};
use crate::refusals::{Due, Tally};
use crate::socket::{Packet, TTL, group};

/// Who owns the addresses.
const OWNER: u8 = 255;

/// One router's share in the talk on its link.
pub(crate) struct Talk {
    router: String,
    vrid: u8,
    version: Version,
    password: Option<[u8; 8]>,
    wire: failover_vrrp::Wire,
    own: IpAddr,
    /// Who is told, and heard, unless it is the group.
    peers: Vec<IpAddr>,
    /// Peers that the file names, which may be farther away than members.
    far: Vec<IpAddr>,
    /// Where everybody is told at once.
    group: Option<IpAddr>,
    /// Where they would be.
    usual_group: IpAddr,
    said: Advertisement,
    guard: Option<Guard>,
    frames: Option<Frames>,
    refused: Tally,
    noticed: Tally,
    /// When a lesser master was told of last.
    lesser: Option<Micros>,
}

impl Talk {
    /// `priority`: what it is while nothing changes it.
    pub(crate) fn new(settings: &VirtualRouter, own: IpAddr, peers: Vec<IpAddr>, priority: u8) -> Self {
        let group =
            settings.wire.group.filter(|group| group.is_ipv6() == own.is_ipv6()).unwrap_or(group(own));
        let advertised = settings.addresses.iter().filter(|address| !address.excluded);
        Self {
            router: settings.name.clone(),
            vrid: settings.vrid,
            version: settings.version,
            password: settings.password,
            wire: settings.wire.clone(),
            own,
            peers,
            far: settings.unicast_peers.clone(),
            group: settings.multicast.then_some(group),
            usual_group: group,
            said: Advertisement {
                vrid: settings.vrid,
                priority,
                interval: settings.interval,
                addresses: advertised.map(|address| address.address).collect(),
            },
            guard: Guard::new(&settings.wire.hmac, settings.interval.micros()),
            frames: None,
            refused: Tally::default(),
            noticed: Tally::default(),
            lesser: None,
        }
    }

    /// What is sent comes from this address from now on.
    pub(crate) fn live_at(&mut self, own: IpAddr) {
        self.own = own;
        self.peers.retain(|peer| *peer != own);
    }

    /// Looks at the frames of this interface from now on.
    pub(crate) fn attach(&mut self, index: u32) {
        self.frames = Frames::open(index, self.own.is_ipv6())
            .inspect_err(|error| tracing::info!(%error, "the log will not name network cards"))
            .ok();
    }

    /// Where everybody is told at once, if they are.
    pub(crate) fn group(&self) -> Option<IpAddr> {
        self.group
    }

    /// The time to live of what is sent.
    pub(crate) fn ttl(&self) -> u8 {
        self.wire.ttl.filter(|_| self.group.is_none()).unwrap_or(TTL)
    }

    /// Why it must not take part, if so.
    pub(crate) fn fault(&self) -> Option<String> {
        let lacks = self.wire.needs_peer && self.group.is_none() && self.peers.is_empty();
        lacks.then(|| "there is no peer to tell".to_owned())
    }

    /// Who is told.
    pub(crate) fn destinations(&self) -> Vec<IpAddr> {
        self.group.map_or_else(|| self.peers.clone(), |group| vec![group])
    }

    /// The bytes of an advertisement for one of them.
    pub(crate) fn write(&mut self, said: &Advertisement, to: IpAddr) -> Vec<u8> {
        let mut bytes = said.encode(self.version, self.own, self.summed(to), self.password);
        if self.wire.bare_checksum && self.version == Version::V3 && self.own.is_ipv4() {
            without_pseudo_header(&mut bytes);
        }
        if let Some(guard) = &mut self.guard {
            guard.sign(&mut bytes, self.own, clock());
        }
        bytes
    }

    /// The packets of an advertisement for one of them: signed for members, where the cluster has a key.
    pub(crate) fn packets(
        &mut self,
        said: &Advertisement,
        to: IpAddr,
        signer: Option<&mut Signer>,
    ) -> Vec<Vec<u8>> {
        let plain = self.write(said, to);
        let Some(signer) = signer.filter(|_| self.is_signed()) else { return vec![plain] };
        let forms = signer.forms(to);
        if forms == Forms::Plain {
            return vec![plain];
        }
        let mut signed = plain.clone();
        signer.sign(&mut signed, self.own, to);
        if forms == Forms::Both { vec![signed, plain] } else { vec![signed] }
    }

    /// Whether the members' signatures are used: what goes to a group is for routers of any kind, and a key in the
    /// section is an authentication of its own.
    fn is_signed(&self) -> bool {
        self.group.is_none() && self.guard.is_none()
    }

    /// Where an advertisement says that it goes, in its pseudo-header: keepalived said the group until 1.3.6.
    fn summed(&self, to: IpAddr) -> IpAddr {
        if self.wire.old_checksum && self.own.is_ipv4() { self.usual_group } else { to }
    }

    /// The advertisement of a packet, if it is one for this router and is believed. `known`: whether another router
    /// of this node has this number, which hears it on a socket of its own. `signer`: where members sign theirs.
    pub(crate) fn read(
        &mut self,
        packet: &Packet,
        now: Micros,
        known: impl Fn(u8) -> bool,
        signer: Option<&mut Signer>,
    ) -> Option<Advertisement> {
        // The other way of telling has sockets of its own.
        if self.group.map_or(packet.destination.is_multicast(), |group| group != packet.destination) {
            return None;
        }
        match self.believe(packet, now, clock(), signer) {
            Ok(said) => said,
            Err("vrid") if packet.message.get(1).is_some_and(|theirs| known(*theirs)) => None,
            Err("vrid") if !self.wire.log_unknown => {
                self.refused.count_quietly("vrid");
                None
            }
            Err(why) => {
                let due = self.refused.count(why, packet.source, now);
                due.into_iter().for_each(|due| self.warn("a VRRP packet was refused", due));
                None
            }
        }
    }

    /// A member's order is not obeyed: it is not master here, or not any more, or again.
    pub(crate) fn refuse_order(&mut self, source: IpAddr, now: Micros) {
        let due = self.refused.count("order", source, now);
        due.into_iter().for_each(|due| self.warn("an order to follow was refused", due));
    }

    /// The advertisement of a packet, or none if it says nothing new.
    fn believe(
        &mut self,
        packet: &Packet,
        now: Micros,
        clock: Stamp,
        signer: Option<&mut Signer>,
    ) -> Result<Option<Advertisement>, &'static str> {
        let Packet { source, destination, ttl, message } = packet;
        let (source, destination) = (*source, *destination);
        // Whose it is comes first: other routers have other passwords, and other peers.
        if message.get(1).is_some_and(|theirs| *theirs != self.vrid) {
            return Err("vrid");
        }
        // Nobody else may have our address: it is ours, come back, or a copy of this node.
        if source == self.own {
            return Err("own-address");
        }
        if self.group.is_none() && !self.peers.contains(&source) {
            return Err("source");
        }
        // Members are on the link; a peer that the file names may be elsewhere, and keepalived sends what it likes.
        let may_be = match self.wire.peer_ttls.get(&source) {
            Some(range) if self.group.is_none() => range.contains(ttl),
            _ => *ttl == TTL || self.far.contains(&source),
        };
        if !may_be {
            return Err("ttl");
        }
        let (bare, trailer) = split_trailer(message, source).map_err(Refusal::word)?;
        let mut flaw = None;
        if let Some(guard) = &mut self.guard {
            flaw = guard.check(bare, trailer, source, clock).err().map(failover_vrrp::hmac::Flaw::word);
            if let Some(flaw) = flaw.filter(|_| guard.enforces()) {
                return Err(flaw);
            }
        }
        if let Some(signer) = signer.filter(|_| self.is_signed()) {
            match signer.check(bare, trailer, source, destination) {
                Verdict::Signed | Verdict::Unsigned => {}
                Verdict::Unverified(why) => flaw = Some(why.word()),
                Verdict::Copy => return Ok(None),
                Verdict::Refused(why) => return Err(why.word()),
            }
        }
        let mut is_old = false;
        let decoded = Advertisement::decode(bare, source, destination, self.password).or_else(|why| {
            let group = Some(self.usual_group).filter(|_| why == Refusal::Checksum && source.is_ipv4());
            is_old = true;
            Advertisement::decode(bare, source, group.ok_or(why)?, self.password)
        });
        let (said, version, checksum) = decoded.map_err(Refusal::word)?;
        if version != self.version {
            return Err("version");
        }
        let form = (is_old != self.wire.old_checksum).then_some("checksum-form");
        let flaws =
            [flaw, form.filter(|_| source.is_ipv4() && version == Version::V3 && self.group.is_none())];
        let flaws = flaws.into_iter().flatten().chain(self.strange(&said, checksum, source));
        for why in flaws.collect::<Vec<_>>() {
            let due = self.noticed.count(why, source, now);
            due.into_iter().for_each(|due| self.warn("a VRRP packet was heard, though it is strange", due));
        }
        Ok(Some(said))
    }

    /// What is strange in an advertisement that is believed.
    fn strange(&self, said: &Advertisement, checksum: Checksum, source: IpAddr) -> Vec<&'static str> {
        let mut strange = Vec::new();
        if said.interval != self.said.interval {
            strange.push("interval");
        }
        let missing = |a: &Advertisement, b: &Advertisement| {
            a.addresses.iter().any(|address| !b.addresses.contains(address))
        };
        if !self.wire.any_addresses && (missing(said, &self.said) || missing(&self.said, said)) {
            strange.push("addresses");
        }
        if said.priority == OWNER && self.said.priority == OWNER {
            strange.push("two-owners");
        }
        let ours = if self.wire.bare_checksum { Checksum::Message } else { Checksum::PseudoHeader };
        if self.version == Version::V3 && source.is_ipv4() && checksum != ours {
            strange.push("checksum-form");
        }
        strange
    }

    /// Whether a lesser master is news: not more often than once an interval.
    pub(crate) fn is_lesser_news(&mut self, now: Micros) -> bool {
        let is_news = self.lesser.is_none_or(|last| now >= last.after(self.said.interval.micros()));
        if is_news {
            self.lesser = Some(now);
        }
        is_news
    }

    /// Looks at the frames of what has been heard, unless that was nothing, and writes the lines that are due.
    pub(crate) fn settle(&mut self, now: Micros, is_quiet: bool) {
        if let Some(frames) = self.frames.as_mut().filter(|_| !is_quiet) {
            frames.look();
        }
        for due in self.refused.due(now) {
            self.warn("VRRP packets or orders were refused", due);
        }
        for due in self.noticed.due(now) {
            self.warn("VRRP packets were heard, though they are strange", due);
        }
    }

    fn warn(&mut self, what: &str, Due { why, source, count }: Due) {
        if let Some(frames) = &mut self.frames {
            frames.look();
        }
        let mac = self.frames.as_ref().and_then(|frames| frames.mac_of(source));
        let mac = mac.map_or_else(|| "unknown".to_owned(), written);
        tracing::warn!(router = self.router, why, %source, mac, count, "{what}");
    }

    /// Packets refused, by reason.
    pub(crate) fn refused(&self) -> &BTreeMap<&'static str, u64> {
        self.refused.counts()
    }

    /// Packets heard that are strange, by what is.
    pub(crate) fn noticed(&self) -> &BTreeMap<&'static str, u64> {
        self.noticed.counts()
    }
}

/// The clock that trailers are stamped by.
fn clock() -> Stamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Stamp::at(since.unwrap_or(Duration::ZERO))
}

fn written(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use failover_vrrp::Centis;
    use proxy_lang::{Diagnostics, Sources, blocks, lex};

    use super::*;

    const GROUP: &str = "224.0.0.18";

    fn host(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// The talk of host 1, with these lines in its section.
    fn talk(lines: &str, priority: u8) -> Talk {
        let text = format!("virtual-router web\n interface e\n vrid 51\n address 192.0.2.100/24\n{lines}\n");
        let (mut sources, mut said) = (Sources::default(), Diagnostics::default());
        let file = sources.add("t", text);
        let lines = lex(&sources, file, &|_| None, &mut said);
        let routers =
            failover_vrrp::keywords::read(&blocks(lines, &["virtual-router"], &mut said), &mut said);
        let said: Vec<String> = said.iter().map(|d| d.message.clone()).collect();
        assert_eq!(said, Vec::<String>::new());
        Talk::new(&routers[0], host(1), vec![host(2)], priority)
    }

    fn advert(priority: u8, last: u8) -> Advertisement {
        let interval = Centis::new(100).unwrap();
        Advertisement { vrid: 51, priority, interval, addresses: vec![host(last)] }
    }

    /// A packet of host 2 to the group.
    fn packet(message: Vec<u8>) -> Packet {
        Packet { source: host(2), destination: GROUP.parse().unwrap(), ttl: 255, message }
    }

    fn plain(said: &Advertisement, version: Version, password: Option<[u8; 8]>) -> Packet {
        packet(said.encode(version, host(2), GROUP.parse().unwrap(), password))
    }

    #[test]
    fn what_is_not_believed_is_counted_by_its_reason() {
        let mut talk = talk(" version 2\n multicast\n authentication bench", 100);
        let password = Some(*b"bench\0\0\0");
        let good = plain(&advert(90, 100), Version::V2, password);
        let with = |change: fn(&mut Packet)| {
            let mut packet = Packet { message: good.message.clone(), ..good };
            change(&mut packet);
            packet
        };
        assert!(talk.read(&with(|_| {}), Micros(0), |_| false, None).is_some());
        for (bad, why) in [
            (with(|p| p.ttl = 254), "ttl"),
            (with(|p| p.source = host(1)), "own-address"),
            (with(|p| p.message.truncate(19)), "length"),
            (with(|p| p.message.truncate(1)), "length"),
            (with(|p| p.message.clear()), "length"),
            (with(|p| p.message[0] = 0x22), "type"),
            (with(|p| p.message[0] = 0x41), "version"),
            (with(|p| p.message[1] = 52), "vrid"),
            (with(|p| p.message[2] = 255), "checksum"),
            (plain(&advert(254, 100), Version::V2, Some(*b"wrong\0\0\0")), "authentication"),
            (plain(&advert(254, 100), Version::V2, None), "authentication"),
            (plain(&advert(254, 100), Version::V3, None), "version"),
        ] {
            let before = talk.refused().get(why).copied().unwrap_or(0);
            assert_eq!(talk.read(&bad, Micros(0), |_| false, None), None, "{why}");
            assert_eq!(talk.refused().get(why).copied(), Some(before + 1), "{why}: {:?}", talk.refused());
        }
        // Of another router of this node, and what was sent to this node alone, nothing is held against anybody.
        let before = talk.refused().clone();
        assert_eq!(talk.read(&with(|p| p.message[1] = 52), Micros(0), |_| true, None), None);
        assert_eq!(talk.read(&with(|p| p.destination = host(1)), Micros(0), |_| false, None), None);
        assert_eq!((talk.refused(), talk.noticed().len()), (&before, 0));
    }

    #[test]
    fn what_is_strange_is_believed_and_counted() {
        let mut talk = talk(" version 2\n multicast", 255);
        let slower = Advertisement { interval: Centis::new(200).unwrap(), ..advert(255, 99) };
        assert!(talk.read(&plain(&slower, Version::V2, None), Micros(0), |_| false, None).is_some());
        let noticed: Vec<&str> = talk.noticed().keys().copied().collect();
        assert_eq!((noticed, talk.refused().len()), (vec!["addresses", "interval", "two-owners"], 0));
        let mut talk = super::tests::talk(" multicast\n ignore-advertised-addresses", 100);
        let mut bare = plain(&advert(90, 99), Version::V3, None);
        without_pseudo_header(&mut bare.message);
        assert!(talk.read(&bare, Micros(0), |_| false, None).is_some());
        assert_eq!(talk.noticed().keys().copied().collect::<Vec<_>>(), ["checksum-form"]);
    }

    /// keepalived 1.3.6 and before put the group where the peer belongs.
    #[test]
    fn old_checksums_to_peers_are_heard_and_sent_where_the_file_says_so() {
        let group: IpAddr = GROUP.parse().unwrap();
        let old = |from: u8| advert(90, 100).encode(Version::V3, host(from), group, None);
        let new = |from: u8, to: u8| advert(90, 100).encode(Version::V3, host(from), host(to), None);
        assert_ne!(old(1), new(1, 2));
        for (line, sends, strange) in [("", new(1, 2), old(2)), (" old-checksum", old(1), new(2, 1))] {
            let mut talk = talk(line, 90);
            assert_eq!(talk.write(&advert(90, 100), host(2)), sends, "{line}");
            for (message, noticed) in [(old(2), strange == old(2)), (new(2, 1), strange == new(2, 1))] {
                let before = talk.noticed().get("checksum-form").copied().unwrap_or(0);
                let packet = Packet { source: host(2), destination: host(1), ttl: 255, message };
                assert!(
                    talk.read(&packet, Micros(0), |_| false, None).is_some(),
                    "{line}: {:?}",
                    talk.refused()
                );
                let after = talk.noticed().get("checksum-form").copied().unwrap_or(0);
                assert_eq!(after - before, u64::from(noticed), "{line}");
            }
        }
        // What fits neither is nobody's.
        let mut talk = talk("", 90);
        let message = new(2, 9);
        let packet = Packet { source: host(2), destination: host(1), ttl: 255, message };
        assert_eq!(talk.read(&packet, Micros(0), |_| false, None), None);
    }

    #[test]
    fn members_are_on_the_link_and_peers_within_their_bounds() {
        let mut talk =
            talk(" unicast-peer 192.0.2.3 min-ttl 250\n unicast-peer 192.0.2.4\n advert-ttl 64", 100);
        talk.peers.extend([host(3), host(4)]);
        let mut from = |source: u8, ttl| {
            let message = advert(90, 100).encode(Version::V3, host(source), host(1), None);
            let packet = Packet { source: host(source), destination: host(1), ttl, message };
            talk.read(&packet, Micros(0), |_| false, None).is_some()
        };
        assert_eq!(
            [from(2, 255), from(2, 254), from(3, 250), from(3, 249), from(4, 1), from(5, 255)],
            [true, false, true, false, true, false]
        );
        assert_eq!((talk.ttl(), talk.group(), talk.fault()), (64, None, None));
        let mut lonely = super::tests::talk(" needs-peer", 100);
        lonely.peers.clear();
        assert!(lonely.fault().is_some());
    }

    #[test]
    fn a_trailer_is_demanded_where_the_file_says_so() {
        let keys = " multicast\n auth-hmac-key 1 'long enough'\n";
        let group: IpAddr = GROUP.parse().unwrap();
        let mut sender = talk(keys, 150);
        sender.own = host(2);
        let signed = packet(sender.write(&advert(150, 100), group));
        let unsigned = plain(&advert(150, 100), Version::V3, None);
        let mut hearer = talk(keys, 100);
        assert!(hearer.read(&signed, Micros(0), |_| false, None).is_some());
        assert_eq!(hearer.read(&signed, Micros(0), |_| false, None), None);
        assert_eq!(hearer.read(&unsigned, Micros(0), |_| false, None), None);
        assert_eq!(hearer.refused().keys().copied().collect::<Vec<_>>(), ["hmac-missing", "hmac-replay"]);
        let mut tolerant = talk(&format!("{keys} auth-hmac-mode permissive"), 100);
        for packet in [&signed, &signed, &unsigned] {
            assert!(tolerant.read(packet, Micros(0), |_| false, None).is_some());
        }
        assert_eq!(tolerant.noticed().keys().copied().collect::<Vec<_>>(), ["hmac-missing", "hmac-replay"]);
        // Who knows nothing of trailers passes over them, and who only receives sends none.
        let mut simple = talk(" multicast", 100);
        assert!(simple.read(&signed, Micros(0), |_| false, None).is_some());
        assert_eq!((simple.refused().len(), simple.noticed().len()), (0, 0));
        let mut receives = talk(&format!("{keys} auth-hmac-mode receive-only"), 100);
        let bytes = receives.write(&advert(100, 100), group);
        assert_eq!(bytes, advert(100, 100).encode(Version::V3, host(1), group, None));
    }

    fn signer(members: &[u8]) -> Signer {
        let key = failover_vrrp::signing::ClusterKey::new([5; 32]);
        let members = members.iter().map(|last| host(*last)).collect();
        Signer::new(&key, members, &failover_vrrp::signing::Memory::default(), Duration::from_secs(1))
    }

    /// The packets of host 2 to host 1.
    fn packets(talk: &mut Talk, said: &Advertisement, signer: &mut Signer) -> Vec<Packet> {
        let packet = |message| Packet { source: host(2), destination: host(1), ttl: 255, message };
        talk.packets(said, host(1), Some(signer)).into_iter().map(packet).collect()
    }

    #[test]
    fn a_member_that_signs_is_not_believed_unsigned() {
        let (mut sender, mut hearer) = (talk("", 150), talk("", 100));
        sender.own = host(2);
        let (mut theirs, mut ours) = (signer(&[1, 2]), signer(&[1, 2]));
        let mut hear =
            |packet: &Packet, ours: &mut Signer| hearer.read(packet, Micros(0), |_| false, Some(ours));
        let [genuine, copy] = packets(&mut sender, &advert(150, 100), &mut theirs).try_into().unwrap();
        assert_eq!(hear(&copy, &mut ours), Some(advert(150, 100)), "nobody has signed yet");
        assert_eq!(hear(&genuine, &mut ours), Some(advert(150, 100)));
        assert_eq!(hear(&copy, &mut ours), None);
        assert_eq!(hear(&genuine, &mut ours), None);
        for priority in [254, 255, 0] {
            for version in [Version::V2, Version::V3] {
                let message = advert(priority, 100).encode(version, host(2), host(1), None);
                let forged = Packet { message, source: host(2), destination: host(1), ttl: 255 };
                assert_eq!(hear(&forged, &mut ours), None);
            }
        }
        assert_eq!(hearer.refused(), &[("signature-missing", 6), ("signature-replay", 1)].into());
        assert_eq!(hearer.noticed().len(), 0);
        // Who is known to sign gets the signed form alone; who knows of no key passes over it.
        theirs.told(&[host(1)], Some(ours.signs()));
        let [signed] = packets(&mut sender, &advert(0, 100), &mut theirs).try_into().unwrap();
        assert_eq!(hearer.read(&signed, Micros(0), |_| false, Some(&mut ours)), Some(advert(0, 100)));
        assert_eq!(talk("", 100).read(&signed, Micros(0), |_| false, None), Some(advert(0, 100)));
    }

    #[test]
    fn a_group_a_foreign_peer_and_another_key_get_no_signature() {
        let group: IpAddr = GROUP.parse().unwrap();
        let plain = |talk: &mut Talk, to: IpAddr| {
            let packets = talk.packets(&advert(150, 100), to, Some(&mut signer(&[1, 2])));
            packets == [talk.write(&advert(150, 100), to)]
        };
        assert!(plain(&mut talk(" multicast", 150), group));
        // keepalived refuses what is longer than it expects.
        assert!(plain(&mut talk(" unicast-peer 192.0.2.3", 150), host(3)));
        let mut keyed = talk(" auth-hmac-key 1 'long enough'", 150);
        assert_eq!(keyed.packets(&advert(150, 100), host(2), Some(&mut signer(&[1, 2]))).len(), 1);
        assert!(!plain(&mut talk("", 150), host(2)));
    }

    #[test]
    fn a_lesser_master_is_news_once_an_interval() {
        let mut talk = talk(" advert-interval 100ms", 100);
        let news = [0, 99_999, 100_000, 150_000, 200_000].map(|now| talk.is_lesser_news(Micros(now)));
        assert_eq!(news, [true, false, true, false, true]);
    }
}
