//! The `virtual-router` section: its rows, and its lines to a [`VirtualRouter`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use proxy_lang::{
    Arg, Args, Block, Diagnostics, Keyword, Section, Sections, Span, Spec, Unit, Word, quoted, read_line,
};

use crate::address::{LABEL_SIZE, Trait, parse, parse_mac};
use crate::mail::{Draft as MailDraft, Mail};
use crate::pace::MAX_SPACINGS;
use crate::route::{MAX_ROUTES, Route, Rule, Unplaced};
use crate::wire::USUAL_MISSING;
use crate::{
    Announcing, Centis, Command, Elsewhere, Fifo, Gateway, MAX_GATEWAYS, Presence, RunAs, Settings, Spacing,
    Track, Version, VirtualAddress, VirtualMac, Watch, Wire,
};

pub mod mail;
pub mod presence;
pub mod track;
pub mod wire;
use track::Kind;

/// The section this room reads.
pub const SECTION: Section = Section { name: "virtual-router", bit: Sections::VIRTUAL_ROUTER };
/// Priority of a member for whom the file says nothing.
const DEFAULT_PRIORITY: u8 = 100;
/// Interval where the file says nothing: a second.
const DEFAULT_INTERVAL: u16 = 100;
/// Bytes of version 2's plain password on the wire.
pub(crate) const PASSWORD_SIZE: usize = 8;
/// Most addresses of one router: their count and list must fit a packet.
pub(crate) const MAX_ADDRESSES: usize = 64;

/// An address floating between the members, as the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRouter {
    /// Its name.
    pub name: String,
    /// The interface that carries the addresses.
    pub interface: String,
    /// Its number on the link, 1..=255.
    pub vrid: u8,
    /// The addresses.
    pub addresses: Vec<VirtualAddress>,
    /// What the file says of members' priorities, with its place.
    pub priorities: BTreeMap<String, (u8, Span)>,
    /// This node's priority, whichever member it is, where the file is a node's own (keepalived's).
    pub own_priority: Option<u8>,
    /// This node's own address on the link, where the file says it.
    pub source: Option<IpAddr>,
    /// Between advertisements.
    pub interval: Centis,
    /// VRRP's version.
    pub version: Version,
    /// Whether advertisements go to VRRP's group instead of to the members.
    pub multicast: bool,
    /// Routers that are told beside the members: keepalived, for one.
    pub unicast_peers: Vec<IpAddr>,
    /// Version 2's plain password, as it is on the wire.
    pub password: Option<[u8; 8]>,
    /// How its packets look, and whose it hears.
    pub wire: Wire,
    /// When it takes part, beyond its conditions.
    pub presence: Presence,
    /// Commands to run when the role changes.
    pub notify: Notify,
    /// Conditions it follows.
    pub tracks: Vec<Track>,
    /// The interface with a hardware address of its own that carries the addresses, if there is one.
    pub virtual_mac: Option<VirtualMac>,
    /// Routes that are there while it is master.
    pub routes: Vec<Route>,
    /// Rules that are there while it is master.
    pub rules: Vec<Rule>,
    /// Who is asked whether this node still reaches anybody.
    pub gateway: Gateway,
    /// When it tells the link where its addresses live.
    pub announcing: Announcing,
    /// When it does so because a lesser router has said that it is master: somebody may have believed that.
    pub answering: Announcing,
    /// How announcements keep from each other.
    pub spacings: Vec<Spacing>,
    /// Announcements on other interfaces, for as long as it is master.
    pub elsewhere: Option<Elsewhere>,
    /// The group of routers that it moves with.
    pub group: Option<Group>,
    /// Whether a higher priority takes the address from a living master.
    pub preempt: bool,
    /// How long it waits before it does.
    pub preempt_delay: Duration,
    /// Where the section begins.
    pub span: Span,
}

impl VirtualRouter {
    /// The same router wherever the file says so: for comparing two versions of a file.
    #[must_use]
    pub fn without_places(mut self) -> Self {
        self.span = Span::default();
        self.priorities.values_mut().for_each(|(_, span)| *span = Span::default());
        self.tracks.iter_mut().for_each(|track| track.at = Span::default());
        self
    }

    /// The lines of a `virtual-router` section that says the same of this member.
    #[must_use]
    pub fn lines(&self, member: &str) -> Vec<String> {
        let mut lines = vec![format!("interface {}", self.interface), format!("vrid {}", self.vrid)];
        lines.push(format!("version {}", if self.version == Version::V2 { 2 } else { 3 }));
        lines.extend(self.addresses.iter().map(address_line));
        let named = self.priorities.iter().map(|(name, (priority, _))| (name.as_str(), *priority));
        let own = self.own_priority.map(|priority| (member, priority));
        lines.extend(named.chain(own).map(|(name, priority)| format!("priority {name} {priority}")));
        lines.push(format!("advert-interval {}ms", self.interval.micros().0 / 1_000));
        lines.extend(self.source.map(|source| format!("source {source}")));
        lines.extend(self.multicast.then(|| "multicast".to_owned()));
        let ttls = |peer| self.wire.peer_ttls.get(peer);
        lines.extend(self.unicast_peers.iter().map(|peer| wire::peer_line(*peer, ttls(peer))));
        lines.extend(self.wire.lines());
        lines.extend(self.presence.lines());
        // A password is read again, so it is written: the file it came from has it too.
        lines.extend(self.password.map(|password| {
            let text = String::from_utf8_lossy(&password).trim_end_matches('\0').to_owned();
            format!("authentication {}", quoted(&text))
        }));
        let notify = [
            ("notify", &self.notify.every),
            ("notify-master", &self.notify.master),
            ("notify-backup", &self.notify.backup),
            ("notify-fault", &self.notify.fault),
            ("notify-lesser", &self.notify.lesser),
            ("notify-stop", &self.notify.stop),
        ];
        for (keyword, command) in notify {
            let words = command.iter().map(|command| command.words.iter().map(|word| quoted(word)));
            lines.extend(words.map(|words| format!("{keyword} {}", words.collect::<Vec<_>>().join(" "))));
        }
        lines.extend(self.announcing.lines());
        if self.answering != self.announcing {
            lines.push(self.answering.line("announce-answer"));
        }
        lines.extend(self.spacings.iter().map(Spacing::line));
        lines.extend(self.elsewhere.as_ref().map(Elsewhere::line));
        lines.extend(self.virtual_mac.as_ref().map(virtual_mac_line));
        lines.extend(self.routes.iter().map(|route| format!("route {}", route.text)));
        lines.extend(self.rules.iter().map(|rule| format!("rule {}", rule.text)));
        lines.extend(gateway_line(&self.gateway));
        lines.extend(self.group.as_ref().map(|group| format!("group {}", quoted(&group.name))));
        lines.extend(self.tracks.iter().map(track::line));
        for fifo in &self.notify.fifos {
            let reader = fifo.script.as_ref().map(|script| format!(" {}", quoted(&script.text())));
            lines.push(format!("notify-fifo {}{}", quoted(&fifo.path), reader.unwrap_or_default()));
        }
        lines.extend(self.notify.priorities.then(|| "notify-priorities".to_owned()));
        lines.extend(self.notify.mail.iter().flat_map(Mail::lines));
        lines.extend(self.notify.on_reload.then(|| "notify-reload".to_owned()));
        let commands = [
            &self.notify.every,
            &self.notify.master,
            &self.notify.backup,
            &self.notify.fault,
            &self.notify.stop,
        ];
        let mut users = commands.into_iter().flatten().filter_map(|command| match &command.user {
            RunAs::User(user, group) => Some((user, group)),
            RunAs::Us | RunAs::IfThere(_) => None,
        });
        lines.extend(users.next().map(|(user, group)| {
            let group = group.as_ref().map_or_else(String::new, |group| format!(" {}", quoted(group)));
            format!("notify-user {}{group}", quoted(user))
        }));
        lines.extend(self.preempt.then(|| "preempt".to_owned()));
        let delay = self.preempt_delay.as_millis();
        lines.extend((delay > 0).then(|| format!("preempt-delay {delay}ms")));
        lines
    }

    /// Whether it is one of IPv6: the first address that it advertises says so.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        let advertised = self.addresses.iter().find(|address| !address.excluded);
        advertised.or(self.addresses.first()).is_some_and(|address| address.address.is_ipv6())
    }

    /// A member's priority where the file says nothing else.
    fn priority(&self, member: &str) -> u8 {
        self.own_priority.unwrap_or_else(|| {
            self.priorities.get(member).map_or(DEFAULT_PRIORITY, |(priority, _)| *priority)
        })
    }

    /// The priority of a member that any other one would serve better than: behind all that are well, and among those
    /// that are not as before.
    #[must_use]
    pub fn last_priority(&self, member: &str) -> u8 {
        let own = self.priority(member);
        let named = self.priorities.values().map(|(priority, _)| *priority);
        let lesser: BTreeSet<u8> = named.chain([DEFAULT_PRIORITY]).filter(|other| *other < own).collect();
        let least = lesser.first().map_or(own, |least| *least);
        let rank = u8::try_from(lesser.len()).unwrap_or(u8::MAX).saturating_add(1);
        rank.min(least.saturating_sub(1)).max(1)
    }

    /// Names of backends that it follows, each with its place in the file.
    pub fn backends(&self) -> impl Iterator<Item = (&str, Span)> {
        self.tracks.iter().filter_map(|track| match &track.watch {
            Watch::Backend { name, .. } => Some((name.as_str(), track.at)),
            Watch::Interface(_)
            | Watch::Script(_)
            | Watch::Process(_)
            | Watch::File { .. }
            | Watch::Gateway { .. } => None,
        })
    }

    /// What the state machine of one member needs; `source` is its own address.
    #[must_use]
    pub fn settings(&self, member: &str, source: IpAddr) -> Settings {
        Settings {
            vrid: self.vrid,
            priority: self.priority(member),
            version: self.version,
            interval: self.interval,
            preempt: self.preempt,
            preempt_delay: self.preempt_delay.into(),
            addresses: self.addresses.iter().filter(|a| !a.excluded).map(|a| a.address).collect(),
            source,
            missing: self.wire.missing.unwrap_or(USUAL_MISSING),
            silent: self.wire.silent,
            grouped: self.group.is_some(),
            pair: false,
        }
    }
}

/// Commands to run when the role changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// On every change, with `INSTANCE`, the router's name, the state and the priority added.
    pub every: Option<Command>,
    /// On becoming master.
    pub master: Option<Command>,
    /// On becoming backup.
    pub backup: Option<Command>,
    /// On a fault, its own or its group's.
    pub fault: Option<Command>,
    /// When the node stops.
    pub stop: Option<Command>,
    /// When it is master, and a lesser router says that it is one.
    pub lesser: Option<Command>,
    /// Pipes that every change is written to.
    pub fifos: Vec<Fifo>,
    /// Whether changes of the priority are written there, too.
    pub priorities: bool,
    /// Whom mails on changes go to, if anybody.
    pub mail: Option<Mail>,
    /// Whether the state is written there after a reload.
    pub on_reload: bool,
}

impl Notify {
    /// The same, where commands that name nobody have these rights.
    #[must_use]
    pub(crate) fn run_as(mut self, user: &RunAs) -> Self {
        let commands = [&mut self.every, &mut self.master, &mut self.backup, &mut self.fault];
        for command in commands.into_iter().chain([&mut self.stop, &mut self.lesser]) {
            if let Some(command) = command.as_mut().filter(|command| command.user == RunAs::Us) {
                command.user = user.clone();
            }
        }
        self
    }
}

/// Routers that move together: all of them are master, or none is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Commands to run when it moves.
    pub notify: Notify,
}

/// What the lines of a section ask for.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    interface: Option<String>,
    vrid: Option<u8>,
    addresses: Vec<(VirtualAddress, Span)>,
    priorities: BTreeMap<String, (u8, Span)>,
    interval: Option<(Centis, Span)>,
    version: Option<Version>,
    preempt: bool,
    preempt_delay: Option<Duration>,
    source: Option<IpAddr>,
    multicast: bool,
    unicast_peers: Vec<IpAddr>,
    password: Option<([u8; 8], Span)>,
    wire: Wire,
    presence: Presence,
    notify: Notify,
    notify_user: Option<RunAs>,
    mail: MailDraft,
    tracks: Vec<Track>,
    gateway: Gateway,
    virtual_mac: Option<VirtualMac>,
    routes: Vec<Route>,
    rules: Vec<Rule>,
    unplaced_rules: Unplaced,
    announcing: Announcing,
    answering: Option<(Option<u32>, Option<Duration>)>,
    spacings: Vec<Spacing>,
    elsewhere: Option<Elsewhere>,
    group: Option<String>,
}

const fn row(
    names: &'static [&'static str],
    args: &'static [Arg],
    doc: &'static str,
    example: &'static str,
    apply: fn(&mut Draft, &Args, &mut Diagnostics),
) -> Keyword<Draft> {
    Keyword {
        spec: Spec::full(names, args, doc, example),
        sections: Sections::VIRTUAL_ROUTER,
        negatable: false,
        apply,
    }
}

/// The rows of the section.
pub const TABLE: &[Keyword<Draft>] = &[
    row(
        &["address"],
        &[Arg::Word("address/prefix"), Arg::Rest("option")],
        "A virtual address and the length of its network's prefix; a line for each, 64 at most. All are of one family, or 'excluded' from the advertisements. 'dev' names another interface, 'label' what `ip address` shows. As `ip address` has them: 'brd' with an address, + or -; 'scope'; 'peer', whose prefix it is then; 'preferred_lft' with seconds or 'forever', of IPv6, 0 for a single address where nothing is said; 'home', 'mngtmpaddr', 'noprefixroute'. '-nodad' asks the link first whether somebody has it; with 'no_track' it is not put back when somebody removes it. With 'virtual-mac' it lives on an interface with VRRP's hardware address above the one that 'dev' names.",
        "address 192.0.2.100/24 dev eth0 label eth0:1",
        address,
    ),
    row(
        &["advert-interval"],
        &[Arg::Duration("interval", Unit::Millis)],
        "Time between a master's advertisements: 10 ms to 40.95 s in steps of 10 ms; 1 s where nothing is said. A backup moves after three.",
        "advert-interval 100ms",
        interval,
    ),
    row(
        &["announce"],
        &[Arg::Int("count", 0, 100), Arg::Optional(&Arg::Duration("again", Unit::Seconds))],
        "How often a new master announces its addresses at once, and, after this time, again. Without the line: at 0, 50, 200, 1100, 2500 and 5000 ms.",
        "announce 5 5s",
        |d, a, _| d.announcing.set(u32::try_from(a.int(0)).ok(), a.has(1).then(|| a.duration(1))),
    ),
    row(
        &["announce-answer"],
        &[Arg::Int("count", 0, 100), Arg::Optional(&Arg::Duration("again", Unit::Seconds))],
        "How often a master announces its addresses when a lesser router has said that it is one, and, after this time, again. Without the line: as a new master does.",
        "announce-answer 5 5s",
        |d, a, _| d.answering = Some((u32::try_from(a.int(0)).ok(), a.has(1).then(|| a.duration(1)))),
    ),
    row(
        &["announce-elsewhere"],
        &[Arg::Duration("interval", Unit::Seconds), Arg::Optional(&Arg::OneOf("which", &["virtual-mac"]))],
        "How often a master announces addresses on other interfaces than the router's ('dev'), beside the other announcements: switches there hear no advertisements, and forget. With 'virtual-mac' only where they have a hardware address of their own.",
        "announce-elsewhere 100s",
        |d, a, _| {
            let every = Some(a.duration(0)).filter(|every| !every.is_zero());
            d.elsewhere = every.map(|every| Elsewhere { every, own_macs: a.has(1) });
        },
    ),
    row(
        &["announce-refresh"],
        &[Arg::Duration("interval", Unit::Seconds), Arg::Optional(&Arg::Int("count", 1, 100))],
        "How often a master announces its addresses for as long as it is one; 0: never. Without the line: every minute.",
        "announce-refresh 30s",
        |d, a, _| {
            d.announcing.refresh = Some(a.duration(0));
            d.announcing.refresh_repeat = u32::try_from(a.int(1)).unwrap_or(1).max(1);
        },
    ),
    row(
        &["announce-spacing"],
        &[Arg::Duration("ipv4", Unit::Millis), Arg::Duration("ipv6", Unit::Millis), Arg::Rest("interface")],
        "The time between two announcements of an interface, of IPv4 and of IPv6, for switches that drop what comes faster; neighbours are not told one by one then. Interfaces that are named keep from each other, and others do each by itself.",
        "announce-spacing 10ms 10ms eth0 eth1",
        |d, a, diagnostics| {
            if d.spacings.len() == MAX_SPACINGS {
                diagnostics.error(a.span, format!("more than {MAX_SPACINGS} lines"));
            }
            let interfaces = a.words(2).iter().map(|word| word.text.clone()).collect();
            d.spacings.push(Spacing { interfaces, four: a.duration(0), six: a.duration(1) });
        },
    ),
    row(
        &["authentication"],
        &[Arg::Word("password")],
        "Version 2's plain password, eight bytes at most: keepalived's auth_type PASS.",
        "authentication bench",
        password,
    ),
    row(
        &["gateway"],
        &[Arg::Words("address")],
        "Who is asked all the time whether this node still reaches anybody: 'auto', the usual one, is where the default routes over the interface go, 'none' is nobody; of addresses eight at most. A node whose gateway has answered and falls silent is isolated, and takes no address from a silent master.",
        "gateway 192.0.2.1",
        |d, a, diagnostics| d.gateway = gateway(a.words(0), diagnostics),
    ),
    row(
        &["group"],
        &[Arg::Word("name")],
        "Moves together with all routers of this group: all of them are master, or none is.",
        "group web",
        |d, a, _| d.group = Some(a.text(0)),
    ),
    row(
        &["interface"],
        &[Arg::Word("name")],
        "The interface that carries the addresses.",
        "interface eth0",
        |d, a, _| d.interface = Some(a.text(0)),
    ),
    row(
        &["multicast"],
        &[],
        "Sends to VRRP's group, 224.0.0.18 or ff02::12, for routers that are no members; otherwise members are told one by one.",
        "multicast",
        |d, _, _| d.multicast = true,
    ),
    row(
        &["notify"],
        &[Arg::Words("command")],
        "Runs a command on every change, with INSTANCE, the router's name, MASTER, BACKUP, FAULT or STOP, and the priority.",
        "notify /etc/tandem/changed.sh",
        |d, a, _| d.notify.every = Some(command(a)),
    ),
    row(
        &["notify-backup"],
        &[Arg::Words("command")],
        "Runs a command when this node becomes backup.",
        "notify-backup /etc/tandem/backup.sh",
        |d, a, _| d.notify.backup = Some(command(a)),
    ),
    row(
        &["notify-fault"],
        &[Arg::Words("command")],
        "Runs a command on a fault: the interface is lost, a condition without weight has failed, an address that it needs is not there, or another router of its group has one.",
        "notify-fault /etc/tandem/fault.sh",
        |d, a, _| d.notify.fault = Some(command(a)),
    ),
    row(
        &["notify-fifo"],
        &[Arg::Word("path"), Arg::Optional(&Arg::Word("reader"))],
        "Writes every change into a pipe, as keepalived does: INSTANCE \"web\" MASTER 100. The pipe is made if it is not there; who reads it is started with its name as the last argument.",
        "notify-fifo /run/tandem/changes '/etc/tandem/changes.sh all'",
        |d, a, _| {
            let script = a.optional_word(1).map(|word| Command::parse(&word.text, RunAs::Us));
            d.notify.fifos.push(Fifo { path: a.text(0), owner: RunAs::Us, script });
        },
    ),
    row(
        &["notify-lesser"],
        &[Arg::Words("command")],
        "Runs a command when this node is master and hears that a lesser router says so too; at most once an interval.",
        "notify-lesser /etc/tandem/lesser.sh",
        |d, a, _| d.notify.lesser = Some(command(a)),
    ),
    row(
        &["notify-master"],
        &[Arg::Words("command")],
        "Runs a command when this node becomes master.",
        "notify-master /etc/tandem/master.sh eth0",
        |d, a, _| d.notify.master = Some(command(a)),
    ),
    row(
        &["notify-priorities"],
        &[],
        "Writes changes of the priority into the pipes, too.",
        "notify-priorities",
        |d, _, _| d.notify.priorities = true,
    ),
    row(
        &["notify-reload"],
        &[],
        "Writes the state into the pipes after a reload, too.",
        "notify-reload",
        |d, _, _| d.notify.on_reload = true,
    ),
    row(
        &["notify-stop"],
        &[Arg::Words("command")],
        "Runs a command when this node stops.",
        "notify-stop /etc/tandem/stop.sh",
        |d, a, _| d.notify.stop = Some(command(a)),
    ),
    row(
        &["notify-user"],
        &[Arg::Word("user"), Arg::Optional(&Arg::Word("group"))],
        "Whose rights the commands of 'notify' and its kin have; otherwise this program's.",
        "notify-user nobody",
        |d, a, _| {
            d.notify_user = Some(RunAs::User(a.text(0), a.optional_word(1).map(|group| group.text.clone())));
        },
    ),
    row(
        &["preempt"],
        &[],
        "Takes the address back from a living master of lower priority, once the tables are learnt. Where nothing is said it does not: the contrary of keepalived, whose 'nopreempt' says that.",
        "preempt",
        |d, _, _| d.preempt = true,
    ),
    row(
        &["preempt-delay"],
        &[Arg::Duration("delay", Unit::Seconds)],
        "How long it waits before it does; no time where nothing is said.",
        "preempt-delay 30s",
        |d, a, _| d.preempt_delay = Some(a.duration(0)),
    ),
    row(
        &["priority"],
        &[Arg::Word("member"), Arg::Int("priority", 1, 255)],
        "A member's priority, 1 to 255: the highest that can serve is master. Members that are not named have 100. 255 owns the addresses: it takes them as soon as it can serve.",
        "priority lb1 150",
        priority,
    ),
    row(
        &["route"],
        &[Arg::Words("route")],
        "A route that is there while this node is master, 256 at most, as `ip route` has it: a destination, 'via', 'dev', 'src', 'metric', 'table', 'scope', 'onlink', 'tos', 'congctl', numbers of connections such as 'mtu', 'advmss' or 'initcwnd', maybe with 'lock', and several ways with 'nexthop' and 'weight'; before it 'blackhole', 'unreachable', 'prohibit' or 'throw'.",
        "route 203.0.113.0/24 via 192.0.2.1 src 192.0.2.100",
        |d, a, diagnostics| add_route(&mut d.routes, a, diagnostics),
    ),
    row(
        &["rule"],
        &[Arg::Words("rule")],
        "A rule that is there while this node is master, 256 at most, as `ip rule` has it: 'from', 'to', 'iif', 'oif', 'fwmark', 'tos', 'uidrange', 'ipproto', 'sport', 'dport', 'not', 'priority', 'suppress_prefixlength', and 'table', 'l3mdev' or what becomes of the packets.",
        "rule from 192.0.2.100 table 100",
        |d, a, diagnostics| add_rule(&mut d.rules, &mut d.unplaced_rules, a, diagnostics),
    ),
    row(
        &["source"],
        &[Arg::Word("address")],
        "This node's own address on the link, where it is neither its member's nor the interface's first one.",
        "source 192.0.2.11",
        |d, a, diagnostics| d.source = ip_address(a, diagnostics).or(d.source),
    ),
    row(
        &["track-backend"],
        &[Arg::Word("backend"), Arg::Rest("option")],
        "Follows a backend: it is well while new sessions may go to one of its servers, or to as many as 'min' says; backup servers count. Without a weight a node that has too few is the last resort: whoever has enough comes first, and it serves all the same where nobody has. A router has 64 conditions at most.",
        "track-backend app min 2 weight -20",
        |d, a, diagnostics| track::read(Kind::Backend, &mut d.tracks, a, diagnostics),
    ),
    row(
        &["track-file"],
        &[Arg::Word("name"), Arg::Word("path"), Arg::Rest("option")],
        "Follows a number in a file: its weight times the number is added to the priority; without a weight any number but 0 is a fault. A router has 64 conditions at most.",
        "track-file drain /run/drain weight -1",
        |d, a, diagnostics| track::read(Kind::File, &mut d.tracks, a, diagnostics),
    ),
    row(
        &["track-gateway"],
        &[Arg::Word("name"), Arg::Word("gateway"), Arg::Rest("option")],
        "Follows whether a gateway answers on the link, by ARP or neighbour discovery: an address, or 'auto' for where the default routes go. 'dev' names another interface, 'timeout' how long it may be silent; 1 s. A router has 64 conditions at most.",
        "track-gateway uplink auto weight -20",
        |d, a, diagnostics| track::read(Kind::Gateway, &mut d.tracks, a, diagnostics),
    ),
    row(
        &["track-interface"],
        &[Arg::Word("name"), Arg::Rest("option")],
        "Follows an interface: it is well while it is up and its cable is in. Its own interface a router follows anyway. A router has 64 conditions at most.",
        "track-interface eth1 weight -20",
        |d, a, diagnostics| track::read(Kind::Interface, &mut d.tracks, a, diagnostics),
    ),
    row(
        &["track-process"],
        &[Arg::Word("name"), Arg::Word("command"), Arg::Rest("option")],
        "Follows processes: it is well while there are enough of them. A router has 64 conditions at most.",
        "track-process dns named at-least 1",
        |d, a, diagnostics| track::read(Kind::Process, &mut d.tracks, a, diagnostics),
    ),
    row(
        &["track-script"],
        &[Arg::Word("name"), Arg::Word("command"), Arg::Rest("option")],
        "Follows a command that is run again and again: it is well while its exit code is 0. A router has 64 conditions at most.",
        "track-script uplink '/usr/bin/ping -c1 -W1 192.0.2.1' interval 2s fall 2 weight -20",
        |d, a, diagnostics| track::read(Kind::Script, &mut d.tracks, a, diagnostics),
    ),
    row(
        &["version"],
        &[Arg::OneOf("version", &["2", "3"])],
        "VRRP's version: 3 where nothing is said; 2 knows IPv4 and whole seconds only.",
        "version 3",
        |d, a, _| d.version = Some(Version::named(&a.text(0))),
    ),
    row(
        &["virtual-mac"],
        &[Arg::Rest("option")],
        "The addresses live on an interface with a hardware address that moves with them, 00:00:5e:00:01 and the router's number, of IPv6 00:00:5e:00:02: neighbours learn nothing anew. 'name' names the interface, otherwise vrrp. and the number, 'mac' another hardware address; with 'plain-advertisements' these come from the router's interface.",
        "virtual-mac name vrrp.51",
        virtual_mac,
    ),
    row(
        &["vrid"],
        &[Arg::Int("number", 1, 255)],
        "The router's number, 1 to 255, unique on its link and in its family.",
        "vrid 51",
        |d, a, _| d.vrid = u8::try_from(a.int(0)).ok(),
    ),
];

pub(crate) fn add_route(routes: &mut Vec<Route>, args: &Args, diagnostics: &mut Diagnostics) {
    match Route::parse(args.words(0)) {
        Ok(_) if routes.len() == MAX_ROUTES => {
            diagnostics.error(args.span, format!("more than {MAX_ROUTES} routes"));
        }
        Ok(route) => routes.push(route),
        Err((span, why)) => {
            diagnostics.error(span, why);
        }
    }
}

pub(crate) fn add_rule(
    rules: &mut Vec<Rule>,
    unplaced: &mut Unplaced,
    args: &Args,
    diagnostics: &mut Diagnostics,
) {
    match Rule::parse(args.words(0), unplaced) {
        Ok(_) if rules.len() == MAX_ROUTES => {
            diagnostics.error(args.span, format!("more than {MAX_ROUTES} rules"));
        }
        Ok(rule) => rules.push(rule),
        Err((span, why)) => {
            diagnostics.error(span, why);
        }
    }
}

fn virtual_mac(draft: &mut Draft, args: &Args, diagnostics: &mut Diagnostics) {
    let mut asked = VirtualMac::default();
    let mut words = args.words(0).iter();
    while let Some(word) = words.next() {
        match (word.text.as_str(), words.as_slice().first()) {
            ("plain-advertisements", _) => {
                asked.plain_advertisements = true;
                continue;
            }
            ("name", Some(name)) if !name.text.is_empty() && name.text.len() < LABEL_SIZE => {
                asked.name = Some(name.text.clone());
            }
            ("mac", Some(mac)) if parse_mac(&mac.text).is_some() => asked.mac = parse_mac(&mac.text),
            (other, _) => {
                diagnostics
                    .error(word.span, format!("'{other}' is not understood here, or what follows it"))
                    .help("'name vrrp.51', 'mac 00:00:5e:00:01:33' or 'plain-advertisements'");
                return;
            }
        }
        words.next();
    }
    draft.virtual_mac = Some(asked);
}

fn virtual_mac_line(of: &VirtualMac) -> String {
    let mut line = "virtual-mac".to_owned();
    if let Some(name) = &of.name {
        line.push_str(&format!(" name {}", quoted(name)));
    }
    if let Some([a, b, c, d, e, f]) = of.mac {
        line.push_str(&format!(" mac {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"));
    }
    line + if of.plain_advertisements { " plain-advertisements" } else { "" }
}

/// Reads who is asked.
fn gateway(words: &[Word], diagnostics: &mut Diagnostics) -> Gateway {
    match words {
        [one] if one.text == "auto" => return Gateway::Auto,
        [one] if one.text == "none" => return Gateway::None,
        _ => {}
    }
    let mut named = Vec::new();
    for word in words {
        match word.text.parse() {
            Ok(address) if named.len() < MAX_GATEWAYS => named.push(address),
            Ok(_) => {
                diagnostics.error(word.span, format!("more than {MAX_GATEWAYS} gateways"));
            }
            Err(_) => {
                diagnostics
                    .error(word.span, format!("'{}' is not an address", word.text))
                    .help("'auto', 'none', or addresses on the link");
            }
        }
    }
    Gateway::Named(named)
}

fn gateway_line(gateway: &Gateway) -> Option<String> {
    match gateway {
        Gateway::Auto => None,
        Gateway::None => Some("gateway none".to_owned()),
        Gateway::Named(named) => {
            let named: Vec<String> = named.iter().map(IpAddr::to_string).collect();
            Some(format!("gateway {}", named.join(" ")))
        }
    }
}

fn ip_address(args: &Args, diagnostics: &mut Diagnostics) -> Option<IpAddr> {
    let word = args.word(0);
    let address = word.text.parse().ok();
    if address.is_none() {
        diagnostics.error(word.span, format!("'{}' is not an address", word.text));
    }
    address
}

fn command(args: &Args) -> Command {
    let words = args.words(0).iter().map(|word| word.text.clone()).collect();
    Command { words, user: RunAs::Us }
}

fn password(draft: &mut Draft, args: &Args, diagnostics: &mut Diagnostics) {
    let word = args.word(0);
    if word.text.len() > PASSWORD_SIZE {
        let text = format!("only the first {PASSWORD_SIZE} bytes of a password are sent");
        diagnostics.warning(word.span, text);
    }
    draft.password = Some((plain_password(&word.text), args.span));
}

/// Version 2's password as it is on the wire: eight bytes, the rest zero.
pub(crate) fn plain_password(text: &str) -> [u8; PASSWORD_SIZE] {
    let mut sent = [0; PASSWORD_SIZE];
    sent.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    sent
}

/// Behind an address: it lives on an interface with VRRP's hardware address.
const OWN_MAC: &str = "virtual-mac";

fn address(draft: &mut Draft, args: &Args, diagnostics: &mut Diagnostics) {
    let word = args.word(0);
    let mut address = match parse(&word.text) {
        Some(Ok(address)) => address,
        Some(Err((_, why))) => {
            diagnostics.error(word.span, why);
            return;
        }
        None => {
            diagnostics
                .error(word.span, format!("'{}' is not an address with a prefix", word.text))
                .help("it looks like this: address 192.0.2.100/24");
            return;
        }
    };
    let mut words = args.words(1).iter();
    while let Some(word) = words.next() {
        match address.option(word, &mut words) {
            Ok(true) => {}
            Ok(false) if word.text == "excluded" => address.excluded = true,
            Ok(false) if word.text == OWN_MAC => drop(address.traits.insert(Trait::OwnMac)),
            Ok(false) => {
                diagnostics
                    .error(word.span, format!("'{}' is not understood behind an address", word.text))
                    .help("'dev', 'label', 'excluded', or what else `ip address` is told");
                return;
            }
            Err((span, why)) => {
                diagnostics.error(span, why);
                return;
            }
        }
    }
    if let Some((other, _)) = draft.addresses.iter().find(|(other, _)| other.address == address.address) {
        diagnostics.error(word.span, format!("{} stands here already", other.address));
    }
    draft.addresses.push((address, word.span));
}

/// The line of an address.
fn address_line(of: &VirtualAddress) -> String {
    let own = format!("address {}/{}", of.address, of.prefix);
    let excluded = of.excluded.then(|| "excluded".to_owned());
    let own_mac = of.has_own_mac().then(|| OWN_MAC.to_owned());
    std::iter::once(own).chain(of.options()).chain(own_mac).chain(excluded).collect::<Vec<_>>().join(" ")
}

fn interval(draft: &mut Draft, args: &Args, diagnostics: &mut Diagnostics) {
    let millis = args.duration(0).as_millis();
    let centis = u16::try_from(millis / 10).ok().and_then(Centis::new).filter(|_| millis.is_multiple_of(10));
    match centis {
        Some(centis) => draft.interval = Some((centis, args.span)),
        None => {
            diagnostics
                .error(args.span, format!("an interval of {millis} ms cannot be sent"))
                .help("10 ms to 40950 ms in steps of 10 ms are possible");
        }
    }
}

fn priority(draft: &mut Draft, args: &Args, diagnostics: &mut Diagnostics) {
    let Word { text, span, .. } = args.word(0);
    let priority = u8::try_from(args.int(1)).unwrap_or(DEFAULT_PRIORITY);
    if draft.priorities.insert(text.clone(), (priority, *span)).is_some() {
        diagnostics.error(*span, format!("'{text}' has a priority already"));
    }
}

/// Reads every section; those with mistakes are left out, and the mistakes reported.
pub fn read(blocks: &[Block], diagnostics: &mut Diagnostics) -> Vec<VirtualRouter> {
    let mut routers: Vec<VirtualRouter> = Vec::new();
    for block in blocks.iter().filter(|b| b.kind() == SECTION.name) {
        let mut draft = Draft::default();
        for line in &block.lines {
            let tables = [TABLE, mail::TABLE, wire::TABLE, presence::TABLE];
            read_line(&tables, SECTION, line, &mut draft, diagnostics);
        }
        if let Some(extra) = block.header.words.get(2) {
            diagnostics.error(extra.span, format!("unexpected '{}' after the section's name", extra.text));
        }
        routers.extend(complete(block, draft, diagnostics));
    }
    routers
}

/// Says which of these routers cannot live beside one another, wherever they were read.
pub fn check_distinct(routers: &[VirtualRouter], diagnostics: &mut Diagnostics) {
    for (place, router) in routers.iter().enumerate() {
        for other in &routers[..place] {
            if other.name == router.name {
                diagnostics.error(router.span, format!("there is a virtual router '{}' already", other.name));
            }
            // The families number theirs apart (RFC 9568 5.2.3).
            let id = |router: &VirtualRouter| (router.vrid, router.interface.clone(), router.is_ipv6());
            if id(other) == id(router) {
                let text =
                    format!("vrid {} on '{}' is taken by '{}'", other.vrid, other.interface, other.name);
                diagnostics.error(router.span, text);
            }
        }
    }
}

fn complete(block: &Block, draft: Draft, diagnostics: &mut Diagnostics) -> Option<VirtualRouter> {
    let span = block.header.span();
    let errors = diagnostics.errors();
    let Some(name) = block.name() else {
        diagnostics.error(span, "'virtual-router' expects a name");
        return None;
    };
    let name = name.text.clone();
    let mut missing = |absent: bool, what: &str, example: &str| {
        if absent {
            diagnostics
                .error(span, format!("virtual router '{name}' has no '{what}'"))
                .help(example.to_owned());
        }
    };
    missing(draft.interface.is_none(), "interface", "interface eth0");
    missing(draft.vrid.is_none(), "vrid", "a number of its own on the link: vrid 51");
    missing(draft.addresses.is_empty(), "address", "address 192.0.2.100/24");
    if draft.addresses.len() > MAX_ADDRESSES {
        diagnostics.error(span, format!("virtual router '{name}' has more than {MAX_ADDRESSES} addresses"));
    }
    let mut advertised = draft.addresses.iter().filter(|(address, _)| !address.excluded);
    let is_six = advertised.next().is_some_and(|(first, _)| first.address.is_ipv6());
    if let Some((other, span)) = advertised.find(|(other, _)| other.address.is_ipv6() != is_six) {
        diagnostics
            .error(*span, format!("{} is of another family than the first address", other.address))
            .help("put 'excluded' behind it: it moves with the others, and the advertisements do not tell of it");
    }
    let told = draft.unicast_peers.iter().chain(&draft.source).chain(&draft.wire.group);
    if let Some(other) = told.into_iter().find(|other| other.is_ipv6() != is_six) {
        diagnostics.error(span, format!("{other} is of another family than the addresses"));
    }
    let version = draft.version.unwrap_or(Version::V3);
    if is_six && version == Version::V2 {
        diagnostics.error(span, "version 2 knows no IPv6").help("remove the line 'version 2'");
    }
    if let Some((interval, span)) = draft.interval
        && version == Version::V2
        && !interval.wire().is_multiple_of(100)
    {
        diagnostics.error(span, "version 2 sends whole seconds").help("use version 3, or a multiple of 1s");
    }
    if let Some((_, span)) = draft.password
        && version == Version::V3
    {
        diagnostics
            .error(span, "version 3 has no authentication")
            .help("remove the line, or add 'version 2'");
    }
    for flaw in draft.wire.flaws() {
        diagnostics.error(span, format!("virtual router '{name}': auth-hmac: {flaw}"));
    }
    if draft.mail.says_how_only() {
        diagnostics
            .error(span, format!("virtual router '{name}' sends no mail: nobody is named"))
            .help("notify-mail ops@example.com");
    }
    let usual = Centis::new(DEFAULT_INTERVAL)?;
    let mut draft = draft;
    for track in &mut draft.tracks {
        if let Watch::Gateway { interface, .. } = &mut track.watch
            && interface.is_empty()
        {
            interface.clone_from(draft.interface.as_ref()?);
        }
    }
    (diagnostics.errors() == errors).then(|| VirtualRouter {
        name,
        interface: draft.interface.unwrap_or_default(),
        vrid: draft.vrid.unwrap_or_default(),
        addresses: draft.addresses.into_iter().map(|(address, _)| address).collect(),
        priorities: draft.priorities,
        own_priority: None,
        source: draft.source,
        interval: draft.interval.map_or(usual, |(interval, _)| interval),
        version,
        multicast: draft.multicast,
        unicast_peers: draft.unicast_peers,
        password: draft.password.map(|(password, _)| password),
        wire: draft.wire,
        presence: draft.presence,
        notify: Notify {
            mail: draft.mail.or_usual_server().complete(),
            ..draft.notify.run_as(&draft.notify_user.unwrap_or_default())
        },
        tracks: draft.tracks,
        gateway: draft.gateway,
        routes: draft.routes,
        rules: draft.rules,
        virtual_mac: draft.virtual_mac,
        answering: draft.announcing.answering(draft.answering),
        announcing: draft.announcing,
        spacings: draft.spacings,
        elsewhere: draft.elsewhere,
        group: draft.group.map(|name| Group { name, notify: Notify::default() }),
        preempt: draft.preempt,
        preempt_delay: draft.preempt_delay.unwrap_or_default(),
        span,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_lang::{Sources, blocks, lex};

    fn ask(text: &str) -> (Vec<VirtualRouter>, Vec<String>) {
        let mut sources = Sources::default();
        let file = sources.add("t", text);
        let mut diagnostics = Diagnostics::default();
        let lines = lex(&sources, file, &|_| None, &mut diagnostics);
        let blocks = blocks(lines, &[SECTION.name], &mut diagnostics);
        let routers = read(&blocks, &mut diagnostics);
        check_distinct(&routers, &mut diagnostics);
        (routers, diagnostics.iter().map(|d| d.message.clone()).collect())
    }

    #[test]
    fn every_row_has_an_example_that_is_read() {
        for row in TABLE.iter().chain(mail::TABLE).chain(wire::TABLE).chain(presence::TABLE) {
            let version = if row.spec.names == ["authentication"] { "version 2" } else { "" };
            let text = format!(
                "virtual-router r\ninterface a\nvrid 1\naddress 192.0.2.1/24\nauth-hmac-key 1 a\nnotify-mail a\n{version}\n{}\n",
                row.spec.example
            );
            assert_eq!(ask(&text).1, Vec::<String>::new(), "{}", row.spec.example);
        }
    }

    #[test]
    fn every_option_of_a_condition_has_an_example_that_is_read() {
        for option in track::OPTIONS {
            let text = format!(
                "virtual-router r\ninterface a\nvrid 1\naddress 192.0.2.1/24\ntrack-process p d {}\n",
                option.spec.example
            );
            assert_eq!(ask(&text).1, Vec::<String>::new(), "{}", option.spec.example);
        }
    }

    #[test]
    fn who_is_asked_is_said_or_found_and_can_be_written_again() {
        let text = |more: &str| {
            format!("virtual-router w\ninterface eth0\nvrid 5\naddress 192.0.2.100/24\n{more}\n")
        };
        let (routers, said) = ask(&text(
            "gateway 192.0.2.1 fe80::1\ntrack-gateway up auto timeout 2s\ntrack-gateway b 192.0.2.9 dev eth1",
        ));
        assert_eq!(said, Vec::<String>::new());
        let lines = routers[0].lines("lb1");
        for line in [
            "gateway 192.0.2.1 fe80::1",
            "track-gateway up auto dev eth0 timeout 2000ms",
            "track-gateway b 192.0.2.9 dev eth1 timeout 1000ms",
        ] {
            assert!(lines.iter().any(|l| l == line), "{line}: {lines:?}");
        }
        assert_eq!(ask(&text("")).0[0].gateway, Gateway::Auto);
        assert_eq!(ask(&text("gateway none")).0[0].gateway, Gateway::None);
        assert_eq!(ask(&text("gateway somebody")).1, ["'somebody' is not an address"]);
        assert_eq!(ask(&text("track-gateway x none")).1, ["nobody cannot be followed"]);
    }

    #[test]
    fn a_backend_is_followed_and_the_last_resort_has_the_old_order() {
        let text = |more: &str| {
            format!("virtual-router w\ninterface eth0\nvrid 5\naddress 192.0.2.100/24\n{more}\n")
        };
        let (routers, said) = ask(&text("track-backend app\ntrack-backend api min 2 weight -20"));
        assert_eq!(said, Vec::<String>::new());
        let lines = routers[0].lines("lb1");
        for line in ["track-backend app min 1", "track-backend api min 2 weight -20"] {
            assert!(lines.iter().any(|l| l == line), "{line}: {lines:?}");
        }
        assert_eq!(routers[0].backends().map(|(name, _)| name).collect::<Vec<_>>(), ["app", "api"]);
        assert_eq!(ask(&text("track-backend app\ntrack-backend app min 2")).1, ["'app' is tracked already"]);
        assert_eq!(ask(&text("track-backend app\ntrack-interface app")).1, Vec::<String>::new());
        assert_eq!(ask(&text("track-backend app min 0")).1.len(), 1);
        for (priorities, last) in [
            ("", [("lb1", 1), ("lb2", 1)]),
            ("priority lb1 150", [("lb1", 2), ("lb2", 1)]),
            ("priority lb1 50\npriority lb2 60", [("lb1", 1), ("lb2", 2)]),
            ("priority lb1 1\npriority lb2 2", [("lb1", 1), ("lb2", 1)]),
        ] {
            let (routers, _) = ask(&text(priorities));
            assert_eq!(
                last.map(|(member, _)| (member, routers[0].last_priority(member))),
                last,
                "{priorities}"
            );
        }
    }

    #[test]
    fn an_interface_of_its_own_has_a_name_and_a_hardware_address() {
        let text = |more: &str| {
            format!("virtual-router w\ninterface e\nvrid 5\naddress 192.0.2.100/24\nvirtual-mac{more}\n")
        };
        for more in ["", " name v mac 02:00:00:00:00:05", " plain-advertisements"] {
            let (routers, said) = ask(&text(more));
            assert_eq!(said, Vec::<String>::new());
            assert!(routers[0].lines("lb1").contains(&format!("virtual-mac{more}")), "{more}");
        }
        for wrong in [" name", " mac 01:00:00:00:00:05", " mac 02:00:00:00:05", " name sixteen-bytes-it-is"] {
            assert_eq!(ask(&text(wrong)).1.len(), 1, "{wrong}");
        }
    }

    #[test]
    fn what_the_file_leaves_open_is_keepaliveds_usual() {
        let (routers, said) = ask(
            "virtual-router web\n interface eth0\n vrid 51\n address 192.0.2.100/24\n priority lb1 150\n",
        );
        assert_eq!(said, Vec::<String>::new());
        let settings = routers[0].settings("lb1", "192.0.2.11".parse().unwrap());
        assert_eq!((settings.priority, settings.interval.wire(), settings.preempt), (150, 100, false));
        assert_eq!(routers[0].settings("lb2", "127.0.0.1".parse().unwrap()).priority, 100);
    }

    #[test]
    fn what_is_said_of_packets_is_written_again() {
        let lines = concat!(
            " advert-group 224.0.0.19\n advert-ttl 64\n advert-missing 5\n bare-checksum\n",
            " ignore-advertised-addresses\n log-unknown-vrids\n needs-peer\n silent-to-lesser\n",
            " auth-hmac-key 1 one\n auth-hmac-key 2 'the other'\n auth-hmac-active 2\n auth-hmac-mode permissive\n",
            " auth-hmac-replay time 10s\n notify-lesser /bin/true\n unicast-peer 192.0.2.9 min-ttl 250\n",
            " interface-delay eth0 1500us 2s\n old-checksum\n announce-spacing 1ms 5us\n announce-spacing 1s 0us a b\n",
            " announce-elsewhere 100s virtual-mac\n notify-reload\n",
            " startup-delay 5s\n boot-delay 1m\n ignore-link\n track-source\n promote-secondaries\n",
        );
        let begin = "virtual-router web\n interface eth0\n vrid 51\n address 192.0.2.100/24\n";
        let (routers, said) = ask(&format!("{begin}{lines}"));
        assert_eq!(said, Vec::<String>::new());
        let again = format!("virtual-router web\n{}\n", routers[0].lines("lb1").join("\n"));
        let (second, said) = ask(&again);
        assert_eq!(said, Vec::<String>::new(), "{again}");
        let bare = |router: &VirtualRouter| router.clone().without_places();
        assert_eq!(bare(&routers[0]), bare(&second[0]));
        assert_eq!(routers[0].wire.hmac.keys.len(), 2);
        assert!(!format!("{:?}", routers[0]).contains("other"));
        for (line, expected) in [
            (" auth-hmac-mode enforce\n auth-hmac-replay off\n", "there is no key: nothing is authenticated"),
            (" auth-hmac-key 1 a\n auth-hmac-active 2\n", "there is no key 2"),
            (" auth-hmac-key 1 a\n auth-hmac-replay counter 1s\n", "a window belongs to 'time'"),
            (" auth-hmac-key 1 a\n auth-hmac-key 1 b\n", "there is a key 1 already"),
            (" advert-group 192.0.2.1\n", "192.0.2.1 is no group"),
            (" unicast-peer 192.0.2.9 min-ttl 256\n", "'256' is not a number from 0 to 255"),
        ] {
            let said = ask(&format!("{begin}{line}")).1;
            assert!(said.iter().any(|said| said.ends_with(expected)), "{line}: {said:?}");
        }
    }

    #[test]
    fn mails_go_where_the_file_says_and_to_nobody_else() {
        let text =
            |more: &str| format!("virtual-router w\ninterface e\nvrid 5\naddress 192.0.2.1/24\n{more}\n");
        let (routers, said) = ask(&text("notify-mail a@example.com b"));
        assert_eq!(said, Vec::<String>::new());
        let mail = routers[0].notify.mail.clone().unwrap();
        assert_eq!((mail.server, mail.patience), (("127.0.0.1".to_owned(), 25), Duration::from_secs(30)));
        assert!(mail.faults && mail.from.is_none() && mail.to.len() == 2);
        assert_eq!(ask(&text("")).0[0].notify.mail, None);
        let every = "notify-mail a\nnotify-mail-from b\nnotify-mail-helo c\nnotify-mail-name 'd e'\n\
                     notify-mail-no-faults\nnotify-mail-server ::1 587\nnotify-mail-timeout 2500ms";
        let (routers, said) = ask(&text(every));
        assert_eq!(said, Vec::<String>::new());
        let lines = routers[0].lines("lb1");
        for line in every.lines() {
            assert!(lines.iter().any(|l| l == line), "{line}: {lines:?}");
        }
        for (line, why) in [
            ("notify-mail \"a b\"", "'a b' is no address for mails"),
            ("notify-mail \"a\\nb\"", "'a\\nb' is no address for mails"),
            ("notify-mail a\nnotify-mail-helo \"a b\"", "'a b' is no name of a host"),
            ("notify-mail a\nnotify-mail-timeout 0", "no server is that fast"),
            ("notify-mail-from a", "virtual router 'w' sends no mail: nobody is named"),
        ] {
            assert_eq!(ask(&text(line)).1.first().map(String::as_str), Some(why), "{line}");
        }
    }

    #[test]
    fn what_is_said_behind_an_address_can_be_written_again() {
        let text = |more: &str| {
            format!("virtual-router w\ninterface e\nvrid 5\naddress 192.0.2.1/24\naddress {more}\n")
        };
        for line in [
            "192.0.2.100/24 dev eth1 label eth1:a brd 192.0.2.255 scope 253 noprefixroute",
            "192.0.2.100/32 peer 198.51.100.9 no_track",
            "2001:db8::1/64 preferred_lft 7 -nodad home mngtmpaddr excluded",
            "192.0.2.100/24 dev eth1 virtual-mac",
        ] {
            let (routers, said) = ask(&text(line));
            assert_eq!(said, Vec::<String>::new());
            assert!(routers[0].lines("lb1").contains(&format!("address {line}")), "{line}");
        }
        for (line, why) in [
            ("192.0.2.100/24 brd", "'brd' expects a value"),
            ("192.0.2.100/31 brd -", "a network of 31 bits has no broadcast"),
            ("2001:db8::1/64 excluded brd +", "IPv6 has no broadcast"),
            ("2001:db8::1/64 excluded scope link", "an address of IPv6 says itself how far it is valid"),
            ("192.0.2.100/24 peer 2001:db8::1", "'2001:db8::1' is no address of its family"),
            ("192.0.2.100/24 label sixteen-bytes-it-is", "label 'sixteen-bytes-it-is' is longer than 15"),
            ("192.0.2.100/24 nodad", "'nodad' is not understood behind an address"),
        ] {
            assert_eq!(ask(&text(line)).1, [why], "{line}");
        }
    }

    #[test]
    fn mistakes_are_said_all_at_once() {
        let (routers, said) = ask(concat!(
            "virtual-router a\n interface eth0\n vrid 51\n address 192.0.2.100/33\n advert-interval 15ms\n",
            "virtual-router b\n priority lb1 300\n priority lb1 3\n priority lb1 4\n",
            "virtual-router c\n interface e\n vrid 1\n address 192.0.2.1/24\n version 2\n advert-interval 100ms\n",
            "virtual-router d\n interface e\n vrid 2\n address 192.0.2.1/24\n",
            "virtual-router d\n interface e\n vrid 2\n address 192.0.2.1/24\n",
        ));
        assert_eq!(routers.len(), 2);
        for expected in [
            "'192.0.2.100/33': a prefix has 0 to 32 bits",
            "an interval of 15 ms cannot be sent",
            "virtual router 'a' has no 'address'",
            "virtual router 'b' has no 'interface'",
            "virtual router 'b' has no 'vrid'",
            "'lb1' has a priority already",
            "version 2 sends whole seconds",
            "there is a virtual router 'd' already",
            "vrid 2 on 'e' is taken by 'd'",
        ] {
            assert!(said.iter().any(|s| s == expected), "{expected}: {said:?}");
        }
    }
}
