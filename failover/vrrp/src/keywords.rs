//! The `virtual-router` section: its rows, and its lines to a [`VirtualRouter`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use proxy_lang::{
    Arg, Args, Block, Diagnostics, Keyword, Section, Sections, Span, Spec, Unit, Word, quoted, read_line,
};

use crate::address::parse;
use crate::{Announcing, Centis, Command, Fifo, Micros, RunAs, Settings, Track, Version, VirtualAddress};

pub mod track;
use track::Kind;

/// The section this room reads.
pub const SECTION: Section = Section { name: "virtual-router", bit: Sections::VIRTUAL_ROUTER };
/// Priority of a member for whom the file says nothing.
const DEFAULT_PRIORITY: u8 = 100;
/// Interval where the file says nothing: a second.
const DEFAULT_INTERVAL: u16 = 100;
/// Longest label of an address, with its terminator (`IFNAMSIZ`).
pub(crate) const LABEL_SIZE: usize = 16;
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
    /// Commands to run when the role changes.
    pub notify: Notify,
    /// Conditions it follows.
    pub tracks: Vec<Track>,
    /// When it tells the link where its addresses live.
    pub announcing: Announcing,
    /// When it does so because a lesser router has said that it is master: somebody may have believed that.
    pub answering: Announcing,
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
        lines.extend(self.unicast_peers.iter().map(|peer| format!("unicast-peer {peer}")));
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
        lines.extend(self.group.as_ref().map(|group| format!("group {}", quoted(&group.name))));
        lines.extend(self.tracks.iter().map(track::line));
        for fifo in &self.notify.fifos {
            let reader = fifo.script.as_ref().map(|script| format!(" {}", quoted(&script.text())));
            lines.push(format!("notify-fifo {}{}", quoted(&fifo.path), reader.unwrap_or_default()));
        }
        lines.extend(self.notify.priorities.then(|| "notify-priorities".to_owned()));
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

    /// What the state machine of one member needs; `source` is its own address.
    #[must_use]
    pub fn settings(&self, member: &str, source: IpAddr) -> Settings {
        Settings {
            vrid: self.vrid,
            priority: self.own_priority.unwrap_or_else(|| {
                self.priorities.get(member).map_or(DEFAULT_PRIORITY, |(priority, _)| *priority)
            }),
            version: self.version,
            interval: self.interval,
            preempt: self.preempt,
            preempt_delay: Micros(u64::try_from(self.preempt_delay.as_micros()).unwrap_or(u64::MAX)),
            addresses: self.addresses.iter().filter(|a| !a.excluded).map(|a| a.address).collect(),
            source,
            grouped: self.group.is_some(),
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
    /// When the interface is lost.
    pub fault: Option<Command>,
    /// When the node stops.
    pub stop: Option<Command>,
    /// Pipes that every change is written to.
    pub fifos: Vec<Fifo>,
    /// Whether changes of the priority are written there, too.
    pub priorities: bool,
}

impl Notify {
    /// The same, where commands that name nobody have these rights.
    #[must_use]
    pub(crate) fn run_as(mut self, user: &RunAs) -> Self {
        for command in [&mut self.every, &mut self.master, &mut self.backup, &mut self.fault, &mut self.stop]
        {
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
    notify: Notify,
    notify_user: Option<RunAs>,
    tracks: Vec<Track>,
    announcing: Announcing,
    answering: Option<(Option<u32>, Option<Duration>)>,
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
        "A virtual address and the length of its network's prefix; a line for each. All are of one family, or 'excluded' from the advertisements. 'dev' names another interface, 'label' what `ip address` shows.",
        "address 192.0.2.100/24 dev eth0 label eth0:1",
        address,
    ),
    row(
        &["advert-interval"],
        &[Arg::Duration("interval", Unit::Millis)],
        "Time between a master's advertisements: 10 ms to 40.95 s in steps of 10 ms; a backup moves after three.",
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
        &["authentication"],
        &[Arg::Word("password")],
        "Version 2's plain password, eight bytes at most: keepalived's auth_type PASS.",
        "authentication bench",
        password,
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
        "Sends to VRRP's group 224.0.0.18, for routers that are no members; otherwise members are told one by one.",
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
        "Runs a command when the interface is lost.",
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
        "Takes the address back from a living master of lower priority, once the tables are learnt.",
        "preempt",
        |d, _, _| d.preempt = true,
    ),
    row(
        &["preempt-delay"],
        &[Arg::Duration("delay", Unit::Seconds)],
        "How long it waits before it does.",
        "preempt-delay 30s",
        |d, a, _| d.preempt_delay = Some(a.duration(0)),
    ),
    row(
        &["priority"],
        &[Arg::Word("member"), Arg::Int("priority", 1, 255)],
        "A member's priority: the highest that can serve is master. 255 owns the addresses: it takes them as soon as it can serve.",
        "priority lb1 150",
        priority,
    ),
    row(
        &["source"],
        &[Arg::Word("address")],
        "This node's own address on the link, where it is neither its member's nor the interface's first one.",
        "source 192.0.2.11",
        |d, a, diagnostics| d.source = ip_address(a, diagnostics).or(d.source),
    ),
    row(
        &["track-file"],
        &[Arg::Word("name"), Arg::Word("path"), Arg::Rest("option")],
        "Follows a number in a file: its weight times the number is added to the priority; without a weight any number but 0 is a fault.",
        "track-file drain /run/drain weight -1",
        |d, a, diagnostics| track::read(Kind::File, &mut d.tracks, a, diagnostics),
    ),
    row(
        &["track-interface"],
        &[Arg::Word("name"), Arg::Rest("option")],
        "Follows an interface: it is well while it is up and its cable is in. Its own interface a router follows anyway.",
        "track-interface eth1 weight -20",
        |d, a, diagnostics| track::read(Kind::Interface, &mut d.tracks, a, diagnostics),
    ),
    row(
        &["track-process"],
        &[Arg::Word("name"), Arg::Word("command"), Arg::Rest("option")],
        "Follows processes: it is well while there are enough of them.",
        "track-process dns named at-least 1",
        |d, a, diagnostics| track::read(Kind::Process, &mut d.tracks, a, diagnostics),
    ),
    row(
        &["track-script"],
        &[Arg::Word("name"), Arg::Word("command"), Arg::Rest("option")],
        "Follows a command that is run again and again: it is well while its exit code is 0.",
        "track-script uplink '/usr/bin/ping -c1 -W1 192.0.2.1' interval 2s fall 2 weight -20",
        |d, a, diagnostics| track::read(Kind::Script, &mut d.tracks, a, diagnostics),
    ),
    row(
        &["unicast-peer"],
        &[Arg::Word("address")],
        "A router that is told beside the members, and heard: one that is no member, such as keepalived.",
        "unicast-peer 192.0.2.13",
        unicast_peer,
    ),
    row(
        &["version"],
        &[Arg::OneOf("version", &["2", "3"])],
        "VRRP's version; 2 knows whole seconds only.",
        "version 3",
        |d, a, _| d.version = Some(Version::named(&a.text(0))),
    ),
    row(
        &["vrid"],
        &[Arg::Int("number", 1, 255)],
        "The router's number, unique on its link.",
        "vrid 51",
        |d, a, _| d.vrid = u8::try_from(a.int(0)).ok(),
    ),
];

fn unicast_peer(draft: &mut Draft, args: &Args, diagnostics: &mut Diagnostics) {
    draft.unicast_peers.extend(ip_address(args, diagnostics));
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
        let mut value = || words.next().map(|word| word.text.clone());
        match word.text.as_str() {
            "excluded" => address.excluded = true,
            "dev" => address.device = value(),
            "label" => address.label = value(),
            other => {
                diagnostics
                    .error(word.span, format!("'{other}' is not understood behind an address"))
                    .help("'dev', 'label' or 'excluded'");
                return;
            }
        }
    }
    if let Some(label) = address.label.as_ref().filter(|label| label.len() >= LABEL_SIZE) {
        diagnostics.error(args.span, format!("label '{label}' is longer than {}", LABEL_SIZE - 1));
    }
    if let Some((other, _)) = draft.addresses.iter().find(|(other, _)| other.address == address.address) {
        diagnostics.error(word.span, format!("{} stands here already", other.address));
    }
    draft.addresses.push((address, word.span));
}

/// The line of an address.
fn address_line(of: &VirtualAddress) -> String {
    let mut line = format!("address {}/{}", of.address, of.prefix);
    for (keyword, value) in [("dev", &of.device), ("label", &of.label)] {
        line.push_str(
            &value.as_ref().map_or_else(String::new, |value| format!(" {keyword} {}", quoted(value))),
        );
    }
    line + if of.excluded { " excluded" } else { "" }
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
            read_line(&[TABLE], SECTION, line, &mut draft, diagnostics);
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
            if (other.vrid, &other.interface) == (router.vrid, &router.interface) {
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
    let told = draft.unicast_peers.iter().chain(&draft.source);
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
    let usual = Centis::new(DEFAULT_INTERVAL)?;
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
        notify: draft.notify.run_as(&draft.notify_user.unwrap_or_default()),
        tracks: draft.tracks,
        answering: draft.announcing.answering(draft.answering),
        announcing: draft.announcing,
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
        for row in TABLE {
            let version = if row.spec.names == ["authentication"] { "version 2" } else { "" };
            let text = format!(
                "virtual-router r\ninterface a\nvrid 1\naddress 192.0.2.1/24\n{version}\n{}\n",
                row.spec.example
            );
            assert_eq!(ask(&text).1, Vec::<String>::new(), "{}", row.spec.example);
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
