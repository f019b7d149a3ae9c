//! `vrrp_instance`: its rows, and what they make of a [`VirtualRouter`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Section, Sections, Span, Spec, Word};

use super::globals::{Alert, Garp, Globals, is_on};
use super::machine::Common;
use super::trackers::{Tracks, follow};
use super::{BOOL, Defined};
use crate::address::{LABEL_SIZE, Trait, parse, parse_mac};
use crate::hmac::{AntiReplay, MAX_KEYS, Mode, Secret};
use crate::keywords::wire::ttls;
use crate::keywords::{MAX_ADDRESSES, PASSWORD_SIZE, add_route, add_rule, plain_password};
use crate::route::{Route, Rule, Unplaced};
use crate::{
    Centis, Command, Elsewhere, Gateway, Notify, Presence, RunAs, Version, VirtualAddress, VirtualMac,
    VirtualRouter, Wire, longest_prefix,
};

pub(crate) const SECTION: Section = Section { name: "vrrp_instance", bit: Sections::VRRP_INSTANCE };
/// Priority where the file says nothing.
const USUAL_PRIORITY: u8 = 100;
/// Longest interval of version 3, in hundredths of a second: twelve bits.
const LONGEST_INTERVAL: u128 = 4_095;

/// What a tracker watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tracked {
    Interface,
    Script,
    Process,
    File,
}

impl Tracked {
    /// What a block defines that opens with this word.
    pub(crate) fn defined_by(word: &str) -> Option<Self> {
        Some(match word {
            "vrrp_script" => Self::Script,
            "vrrp_track_process" | "track_process" => Self::Process,
            "vrrp_track_file" | "track_file" => Self::File,
            _ => return None,
        })
    }

    /// How keepalived calls it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Script => "script",
            Self::Process => "process",
            Self::File => "file",
        }
    }
}

/// What the lines of an instance ask for.
#[derive(Debug, Default)]
pub struct Instance {
    master: Option<Span>,
    interface: Option<Word>,
    vrid: Option<u8>,
    priority: Option<(u8, Span)>,
    interval: Option<(Duration, Span)>,
    version: Option<Version>,
    auth_type: Option<Word>,
    auth_pass: Option<Word>,
    addresses: Vec<(VirtualAddress, Span)>,
    garp: Garp,
    elsewhere: Option<Elsewhere>,
    source: Option<(IpAddr, Span)>,
    peers: Vec<(IpAddr, Span)>,
    nopreempt: Option<Span>,
    preempt_delay: Option<(Duration, Span)>,
    wire: Wire,
    presence: Presence,
    /// What a master answers to a lesser one, where the instance says so.
    silent: Option<bool>,
    strict: Option<(bool, Span)>,
    any_addresses: Option<bool>,
    notify: Notify,
    /// Whether mails are sent, where the instance says so.
    alert: Option<Alert>,
    virtual_mac: Option<VirtualMac>,
    xmit_base: bool,
    vmac_addresses: bool,
    routes: Vec<Route>,
    rules: Vec<Rule>,
    pub(super) unplaced_rules: Unplaced,
    pub(super) tracks: Vec<Tracks>,
}

const fn row(
    names: &'static [&'static str],
    args: &'static [Arg],
    doc: &'static str,
    example: &'static str,
    apply: fn(&mut Instance, &Args, &mut Diagnostics),
) -> Keyword<Instance> {
    let spec = Spec::full(names, args, doc, example);
    Keyword { spec, sections: Sections::VRRP_INSTANCE, negatable: false, apply }
}

const fn accepted(
    why: &'static str,
    names: &'static [&'static str],
    args: &'static [Arg],
    doc: &'static str,
    example: &'static str,
) -> Keyword<Instance> {
    Keyword::inert(Sections::VRRP_INSTANCE, false, Spec::accepted(why, names, args, doc, example))
}

const fn absent(why: &'static str, names: &'static [&'static str], doc: &'static str) -> Keyword<Instance> {
    Keyword::inert(Sections::VRRP_INSTANCE, false, Spec::absent(why, names, doc))
}

const COUNT: Arg = Arg::Int("count", 0, 4_294_967_295);

/// The rows of an instance. A block's name stands before each of its lines.
pub const TABLE: &[Keyword<Instance>] = &[
    accepted(
        "packets for the addresses are taken in any case",
        &["accept"],
        &[],
        "Takes packets for the addresses, though it does not own them.",
        "accept",
    ),
    row(
        &["advert_int"],
        &[Arg::Seconds("interval", 10, 255_000)],
        "Seconds between a master's advertisements: whole ones in version 2, from 0.01 on in version 3; 1 where nothing is said.",
        "advert_int 1",
        |d, a, _| d.interval = Some((a.duration(0), a.span)),
    ),
    row(
        &["auth_hmac active_key"],
        &[Arg::Int("key", 0, 255)],
        "The key that is sent with; the lowest number where nothing is said.",
        "auth_hmac { active_key 1 }",
        |d, a, _| d.wire.hmac.active = u8::try_from(a.int(0)).ok(),
    ),
    row(
        &["auth_hmac anti_replay"],
        &[Arg::OneOf("protection", AntiReplay::WORDS)],
        "What keeps recorded packets from being heard: that each is stamped later than the one before, or near this node's clock too.",
        "auth_hmac { anti_replay time }",
        |d, a, _| d.wire.hmac.anti_replay = AntiReplay::named(&a.text(0)),
    ),
    row(
        &["auth_hmac key"],
        &[Arg::Int("number", 0, 255), Arg::Word("secret")],
        "A key that advertisements are authenticated with, by a trailer of HMAC-SHA256; several while one replaces another.",
        "auth_hmac { key 2 secret }",
        |d, a, diagnostics| {
            let Ok(id) = u8::try_from(a.int(0)) else { return };
            if d.wire.hmac.keys.len() >= MAX_KEYS {
                diagnostics.error(a.span, format!("{MAX_KEYS} keys are enough: it is passed over"));
            } else if d.wire.hmac.keys.insert(id, Secret::new(&a.text(1))).is_some() {
                diagnostics.error(a.word(0).span, format!("key {id} is there already: the last one counts"));
            }
        },
    ),
    row(
        &["auth_hmac mode"],
        &[Arg::OneOf("mode", Mode::WORDS)],
        "For introducing it node by node: whether a trailer is sent, and whether somebody without is heard.",
        "auth_hmac { mode permissive }",
        |d, a, _| d.wire.hmac.mode = Mode::named(&a.text(0)),
    ),
    row(
        &["auth_hmac time_window"],
        &[Arg::Seconds("seconds", 1, 86_400_000)],
        "How far a stamp may be from this node's clock.",
        "auth_hmac { time_window 5 }",
        |d, a, _| d.wire.hmac.window = Some(a.duration(0)),
    ),
    row(
        &["authentication auth_pass"],
        &[Arg::Word("password")],
        "Version 2's plain password, eight bytes at most.",
        "authentication { auth_pass secret }",
        |d, a, diagnostics| {
            let word = a.word(0);
            if word.text.len() > PASSWORD_SIZE {
                let text = format!("only the first {PASSWORD_SIZE} bytes of a password are sent");
                diagnostics.error(word.span, text);
            }
            d.auth_pass = Some(word.clone());
        },
    ),
    row(
        &["authentication auth_type"],
        &[Arg::OneOf("type", &["PASS", "AH", "pass", "ah"])],
        "Version 2's authentication: PASS. AH is refused.",
        "authentication { auth_type PASS }",
        |d, a, diagnostics| {
            if a.text(0).eq_ignore_ascii_case("ah") {
                diagnostics.absent(
                    a.span,
                    "auth_type AH",
                    "a member that needs it has been without it since RFC 3768",
                );
            }
            d.auth_type = Some(a.word(0).clone());
        },
    ),
    row(
        &["check_unicast_src"],
        &[],
        "Hears nobody but the peers: so it is in any case.",
        "check_unicast_src",
        |_, _, _| {},
    ),
    accepted(
        "it has no meaning in keepalived either",
        &["debug"],
        &[Arg::Optional(&Arg::Int("level", 0, 4))],
        "A level of messages.",
        "debug 2",
    ),
    row(
        &["dont_track_primary"],
        &[],
        "Takes part though its interface is down.",
        "dont_track_primary",
        |d, _, _| d.presence.ignores_link = true,
    ),
    row(
        &["down_timer_adverts"],
        &[Arg::Int("count", 1, 100)],
        "Advertisements that must be missing before a backup takes over; all nodes must agree.",
        "down_timer_adverts 3",
        |d, a, _| d.wire.missing = u8::try_from(a.int(0)).ok(),
    ),
    row(
        &["garp_lower_prio_delay"],
        &[Arg::Seconds("seconds", 0, 3_600_000)],
        "Seconds after which a master that has heard a lesser one announces its addresses again; 0: not at all.",
        "garp_lower_prio_delay 1",
        |d, a, _| d.garp.answer_delay = Some(a.duration(0)),
    ),
    row(
        &["garp_lower_prio_repeat"],
        &[Arg::Int("count", 0, 100)],
        "How often it announces them at a time; 0: not at all.",
        "garp_lower_prio_repeat 1",
        |d, a, _| d.garp.answer_repeat = u32::try_from(a.int(0)).ok(),
    ),
    row(
        &["garp_master_delay"],
        &[Arg::Seconds("seconds", 0, 3_600_000)],
        "Seconds after which a new master announces its addresses again; 0: not at all.",
        "garp_master_delay 1",
        |d, a, _| d.garp.delay = Some(a.duration(0)),
    ),
    row(
        &["garp_master_refresh"],
        &[Arg::Seconds("seconds", 0, 86_400_000)],
        "Seconds between announcements for as long as it is master; 0: none.",
        "garp_master_refresh 60",
        |d, a, _| d.garp.refresh = Some(a.duration(0)),
    ),
    row(
        &["garp_master_refresh_repeat"],
        &[Arg::Int("count", 1, 100)],
        "How often at each of these.",
        "garp_master_refresh_repeat 2",
        |d, a, _| d.garp.refresh_repeat = u32::try_from(a.int(0)).ok(),
    ),
    row(
        &["garp_master_repeat"],
        &[Arg::Int("count", 1, 100)],
        "How often a new master announces its addresses at a time.",
        "garp_master_repeat 1",
        |d, a, _| d.garp.repeat = u32::try_from(a.int(0)).ok(),
    ),
    row(
        &["garp_extra_if"],
        &[Arg::Words("interval")],
        ELSEWHERE,
        "garp_extra_if all 100",
        |d, a, diagnostics| d.elsewhere = elsewhere(a, diagnostics).or(d.elsewhere),
    ),
    accepted(
        "a master that gives way always says so, so that the other one announces its addresses again",
        &["higher_prio_send_advert"],
        &[Arg::Optional(&BOOL)],
        "A master that hears a better one sends a last advertisement.",
        "higher_prio_send_advert on",
    ),
    row(
        &["interface"],
        &[Arg::Word("name")],
        "Where advertisements go, and addresses live.",
        "interface eth0",
        |d, a, _| d.interface = Some(a.word(0).clone()),
    ),
    accepted(
        "its buffer holds what a thread that does nothing else can leave unread",
        &["kernel_rx_buf_size"],
        &[COUNT],
        "The size of the socket's buffer.",
        "kernel_rx_buf_size 65536",
    ),
    accepted(
        "the kernel says at once when a link goes down",
        &["linkbeat_use_polling"],
        &[],
        "Asks the interface again and again whether its link is up.",
        "linkbeat_use_polling",
    ),
    row(
        &["lower_prio_no_advert"],
        &[Arg::Optional(&BOOL)],
        "A master does not answer the advertisement of a lesser one.",
        "lower_prio_no_advert on",
        |d, a, _| d.silent = Some(said_on(a)),
    ),
    row(
        &["mcast_dst_ip"],
        &[Arg::Word("address")],
        "Another group than VRRP's own, 224.0.0.18 or ff02::12.",
        "mcast_dst_ip 224.0.0.18",
        |d, a, diagnostics| d.wire.group = group(a, diagnostics).or(d.wire.group),
    ),
    row(
        &["mcast_src_ip", "unicast_src_ip"],
        &[Arg::Word("address")],
        "This node's own address, which its advertisements come from.",
        "unicast_src_ip 192.0.2.11",
        source,
    ),
    accepted(
        "the addresses say which family it is",
        &["native_ipv6"],
        &[],
        "An IPv6 instance.",
        "native_ipv6",
    ),
    absent(
        "a proxy must take the packets for its addresses",
        &["no_accept"],
        "Drops packets for the addresses.",
    ),
    row(
        &["nopreempt"],
        &[],
        "Leaves a living master of lower priority in office.",
        "nopreempt",
        |d, a, _| d.nopreempt = Some(a.span),
    ),
    row(
        &["notify"],
        &[Arg::Words("command")],
        "Runs a command on every change, with INSTANCE, the instance's name, MASTER, BACKUP, FAULT or STOP, and the priority.",
        "notify \"/etc/keepalived/changed.sh arg\"",
        |d, a, diagnostics| d.notify.every = script(a, diagnostics),
    ),
    row(
        &["notify_backup"],
        &[Arg::Words("command")],
        "Runs a command when this node becomes backup.",
        "notify_backup /etc/keepalived/backup.sh",
        |d, a, diagnostics| d.notify.backup = script(a, diagnostics),
    ),
    accepted(
        "which instances there are is settled at the start: a reload that takes one out is refused",
        &["notify_deleted"],
        &[Arg::Rest("command")],
        "Runs a command when the instance is taken out of the file.",
        "notify_deleted",
    ),
    row(
        &["notify_fault"],
        &[Arg::Words("command")],
        "Runs a command on a fault: the interface is lost, a condition without weight has failed, an address that it needs is not there, or another instance of its group has one.",
        "notify_fault /etc/keepalived/fault.sh",
        |d, a, diagnostics| d.notify.fault = script(a, diagnostics),
    ),
    row(
        &["notify_master"],
        &[Arg::Words("command")],
        "Runs a command when this node becomes master.",
        "notify_master /etc/keepalived/master.sh",
        |d, a, diagnostics| d.notify.master = script(a, diagnostics),
    ),
    row(
        &["notify_master_rx_lower_pri"],
        &[Arg::Words("command")],
        "Runs a command when a master hears that a lesser router says it is one; at most once an interval.",
        "notify_master_rx_lower_pri /etc/keepalived/lesser.sh",
        |d, a, diagnostics| d.notify.lesser = script(a, diagnostics),
    ),
    row(
        &["notify_priority_changes"],
        &[BOOL],
        "Writes into the pipes of notify_fifo when the priority changes.",
        "notify_priority_changes on",
        |d, a, _| d.notify.priorities = is_on(&a.text(0)),
    ),
    row(
        &["notify_stop"],
        &[Arg::Words("command")],
        "Runs a command when this node stops.",
        "notify_stop /etc/keepalived/stop.sh",
        |d, a, diagnostics| d.notify.stop = script(a, diagnostics),
    ),
    row(
        &["old_unicast_checksum"],
        &[Arg::Optional(&Arg::OneOf("when", &["never"]))],
        "Sends checksums to peers as keepalived made them until 1.3.6, in version 3 over IPv4. Both are heard in any case; 'never' sends the others, as nothing does.",
        "old_unicast_checksum",
        |d, a, _| d.wire.old_checksum = !a.has(0),
    ),
    row(
        &["preempt"],
        &[],
        "Takes the addresses from a living master of lower priority: what an instance does anyway.",
        "preempt",
        |d, _, _| d.nopreempt = None,
    ),
    row(
        &["preempt_delay"],
        &[Arg::Seconds("delay", 0, 1_000_000)],
        "Seconds before it does.",
        "preempt_delay 5",
        |d, a, _| d.preempt_delay = Some((a.duration(0), a.span)),
    ),
    row(
        &["priority"],
        &[Arg::Int("priority", 1, 255)],
        "This node's priority: the highest that can serve is master. 100 where nothing is said; 255 owns the addresses.",
        "priority 150",
        |d, a, _| {
            d.priority = u8::try_from(a.int(0)).ok().map(|priority| (priority, a.span));
        },
    ),
    row(
        &["promote_secondaries"],
        &[],
        "Has the kernel keep the other addresses of a network when the first one goes.",
        "promote_secondaries",
        |d, _, _| d.presence.promotes = true,
    ),
    row(
        &["skip_check_adv_addr"],
        &[Arg::Optional(&BOOL)],
        "Does not compare the addresses of advertisements with its own. They are heard in any case; the difference is counted.",
        "skip_check_adv_addr on",
        |d, a, _| d.any_addresses = Some(said_on(a)),
    ),
    row(
        &["smtp_alert"],
        &[Arg::Optional(&BOOL)],
        "Sends a mail on every change of this instance, or none; it comes before what is said of all.",
        "smtp_alert on",
        |d, a, _| d.alert = Some((said_on(a), a.span)),
    ),
    row(
        &["state"],
        &[Arg::Word("state")],
        "MASTER or BACKUP, for the first moments; then priorities decide. MASTER takes 'nopreempt' and 'preempt_delay' their meaning.",
        "state BACKUP",
        |d, a, diagnostics| match a.text(0).to_ascii_uppercase().as_str() {
            "MASTER" => d.master = Some(a.span),
            "BACKUP" => d.master = None,
            other => {
                let text = format!("'{other}' is no state, BACKUP is taken");
                diagnostics.error(a.word(0).span, text).help("MASTER or BACKUP");
            }
        },
    ),
    row(
        &["strict_mode"],
        &[Arg::Optional(&BOOL)],
        "Keeps to the letter of VRRP: a master does not answer a lesser one. Packets for the addresses are taken all the same.",
        "strict_mode off",
        |d, a, _| d.strict = Some((said_on(a), a.span)),
    ),
    absent(
        "there is no BFD in Tandem: track an interface, or lower 'advert_int'",
        &["track_bfd"],
        "Follows a BFD session.",
    ),
    // What is tracked is noted with the line: it may be defined behind the instance.
    row(
        &["track_file"],
        &[Arg::Words("file")],
        "Adds a number in a file to the priority.",
        "track_file { name weight 2 }",
        |_, _, _| {},
    ),
    // What is tracked is noted with the line: it may be defined behind the instance.
    row(
        &["track_interface"],
        &[Arg::Words("interface")],
        "Faults, or another priority, when an interface is down.",
        "track_interface { eth1 weight 10 }",
        |_, _, _| {},
    ),
    // What is tracked is noted with the line: it may be defined behind the instance.
    row(
        &["track_process"],
        &[Arg::Words("process")],
        "Faults, or another priority, when a process is not there.",
        "track_process { haproxy weight 10 }",
        |_, _, _| {},
    ),
    // What is tracked is noted with the line: it may be defined behind the instance.
    row(
        &["track_script"],
        &[Arg::Words("script")],
        "Faults, or another priority, when a script fails.",
        "track_script { chk weight 10 }",
        |_, _, _| {},
    ),
    row(
        &["track_src_ip"],
        &[],
        "Faults while this node's own address, which the advertisements come from, is not there.",
        "track_src_ip",
        |d, _, _| d.presence.tracks_source = true,
    ),
    row(
        &["unicast_fault_no_peer"],
        &[],
        "Faults rather than to fall back to multicast.",
        "unicast_fault_no_peer",
        |d, _, _| d.wire.needs_peer = true,
    ),
    row(
        &["unicast_peer"],
        &[Arg::Words("address")],
        "A node that is told of this one, and heard; without one, advertisements go to VRRP's group.",
        "unicast_peer { 192.0.2.12 }",
        peer,
    ),
    row(
        &["unicast_ttl"],
        &[Arg::Int("ttl", 0, 255)],
        "The time to live of advertisements to peers.",
        "unicast_ttl 255",
        |d, a, _| d.wire.ttl = u8::try_from(a.int(0)).ok().filter(|ttl| *ttl > 0),
    ),
    absent(
        "addresses that live on the interface itself do the same; those with a MAC address of their own have 'use_vmac'",
        &["use_ipvlan"],
        "An interface of the instance's own with its interface's MAC address.",
    ),
    row(
        &["use_vmac"],
        &[Arg::Rest("interface")],
        "An interface with a MAC address that moves with the addresses: its name, vrrp. and the router's number where none is written, and its address, 00:00:5e:00:01 and the router's number (of IPv6 00:00:5e:00:02) where none is.",
        "use_vmac vrrp.51",
        |d, a, diagnostics| {
            let mut asked = VirtualMac::default();
            for word in a.words(0) {
                match parse_mac(&word.text) {
                    Some(mac) => asked.mac = Some(mac),
                    None if asked.name.is_none() && word.text.len() < LABEL_SIZE => {
                        asked.name = Some(word.text.clone());
                    }
                    None => {
                        diagnostics.error(word.span, format!("'{}' is not understood here", word.text));
                    }
                }
            }
            d.virtual_mac = Some(asked);
        },
    ),
    row(
        &["use_vmac_addr"],
        &[],
        "Interfaces with a MAC address that moves with the addresses for those that live on other interfaces, or are of the other family; 'use_vmac' behind an address says it of that one.",
        "use_vmac_addr",
        |d, _, _| d.vmac_addresses = true,
    ),
    row(
        &["v3_checksum_as_v2"],
        &[Arg::Optional(&BOOL)],
        "Sends version 3's checksum over IPv4 without a pseudo-header, as RFC 9568 has it. Both are heard.",
        "v3_checksum_as_v2 on",
        |d, a, _| d.wire.bare_checksum = said_on(a),
    ),
    row(
        &["version"],
        &[Arg::OneOf("version", &["2", "3"])],
        "VRRP's version; 2 knows whole seconds only. Where nothing is said that of 'vrrp_version'; IPv6 has 3 in any case.",
        "version 3",
        |d, a, _| d.version = Some(Version::named(&a.text(0))),
    ),
    row(
        &["virtual_ipaddress"],
        &[Arg::Words("address")],
        "An address that floats, its prefix length (32 where none is written), and what else `ip address` would be told.",
        "virtual_ipaddress { 192.0.2.100/24 }",
        |d, a, diagnostics| address(d, a, false, diagnostics),
    ),
    row(
        &["virtual_ipaddress_excluded"],
        &[Arg::Words("address")],
        "An address that floats, and is not in the advertisements; it may be of the other family.",
        "virtual_ipaddress_excluded { 192.0.2.101/24 }",
        |d, a, diagnostics| address(d, a, true, diagnostics),
    ),
    row(
        &["virtual_router_id"],
        &[Arg::Int("number", 1, 255)],
        "The router's number, 1 to 255, unique on its link and in its family.",
        "virtual_router_id 51",
        |d, a, _| d.vrid = u8::try_from(a.int(0)).ok(),
    ),
    row(
        &["virtual_routes"],
        &[Arg::Words("route")],
        "A route that is there while this node is master, in the words of `ip route`.",
        "virtual_routes { 203.0.113.0/24 via 192.0.2.1 }",
        |d, a, diagnostics| add_route(&mut d.routes, a, diagnostics),
    ),
    row(
        &["virtual_rules"],
        &[Arg::Words("rule")],
        "A rule that is there while this node is master, in the words of `ip rule`.",
        "virtual_rules { from 192.0.2.100 table 100 }",
        |d, a, diagnostics| add_rule(&mut d.rules, &mut d.unplaced_rules, a, diagnostics),
    ),
    row(
        &["vmac_xmit_base"],
        &[],
        "Advertisements leave by the instance's interface, with its MAC address.",
        "vmac_xmit_base",
        |d, _, _| d.xmit_base = true,
    ),
    row(
        &["vrf"],
        &[Arg::Word("interface")],
        "The VRF to live in, of an instance without an interface. Every instance has one, which may belong to a VRF: it is passed over with a warning, as by keepalived.",
        "vrf blue",
        |_, a, diagnostics| {
            let text = "the instance's interface says which VRF it lives in: it is passed over";
            diagnostics.error(a.span, text);
        },
    ),
];

/// What both rows of it say.
pub(super) const ELSEWHERE: &str = "Seconds between announcements on other interfaces that addresses live on, where advertisements teach switches nothing: on those with a MAC address of their own ('use_vmac' behind the address), or with 'all' on each; 0: none.";
/// Longest time between them, in seconds.
const LONGEST_ELSEWHERE: u64 = 86_400;

/// `[all] SECONDS`.
pub(super) fn elsewhere(args: &Args, diagnostics: &mut Diagnostics) -> Option<Elsewhere> {
    let (own_macs, said) = match args.words(0) {
        [all, said] if all.text == "all" => (false, said),
        [said] => (true, said),
        _ => {
            diagnostics.error(args.span, "a number of seconds is expected, or 'all' and one");
            return None;
        }
    };
    let seconds = said.text.parse().ok().filter(|seconds| *seconds <= LONGEST_ELSEWHERE);
    if seconds.is_none() {
        let text = format!("'{}' is no number of seconds up to {LONGEST_ELSEWHERE}", said.text);
        diagnostics.error(said.span, text);
    }
    Some(Elsewhere { every: Duration::from_secs(seconds?), own_macs })
}

pub(super) fn script(args: &Args, diagnostics: &mut Diagnostics) -> Option<Command> {
    let (first, rest) = args.words(0).split_first()?;
    // Who runs it where nobody is named is known when all is read.
    let user = rest.first().map_or(RunAs::Us, |user| {
        RunAs::User(user.text.clone(), rest.get(1).map(|group| group.text.clone()))
    });
    let command = Command::parse(&first.text, user);
    if command.words.is_empty() {
        diagnostics.error(first.span, "no command is named");
        return None;
    }
    Some(command)
}

fn source(draft: &mut Instance, args: &Args, diagnostics: &mut Diagnostics) {
    let word = args.word(0);
    match word.text.parse::<IpAddr>() {
        Ok(address) => draft.source = Some((address, word.span)),
        Err(_) => {
            diagnostics.error(word.span, format!("'{}' is not an address", word.text));
        }
    }
}

fn peer(draft: &mut Instance, args: &Args, diagnostics: &mut Diagnostics) {
    let Some((word, rest)) = args.words(0).split_first() else { return };
    match word.text.parse::<IpAddr>() {
        Ok(address) => draft.peers.push((address, word.span)),
        Err(_) => {
            diagnostics.error(word.span, format!("'{}' is not an address: it is passed over", word.text));
        }
    }
    let ttls = ttls(rest, ["min_ttl", "max_ttl"], diagnostics);
    if let (Ok(peer), Some(ttls)) = (word.text.parse(), ttls) {
        draft.wire.peer_ttls.insert(peer, ttls);
    }
}

/// A truth value that may be left out, and then is yes.
pub(super) fn said_on(args: &Args) -> bool {
    args.optional_word(0).is_none_or(|word| is_on(&word.text))
}

/// The group that a line names.
pub(super) fn group(args: &Args, diagnostics: &mut Diagnostics) -> Option<IpAddr> {
    let word = args.word(0);
    let group = word.text.parse::<IpAddr>().ok().filter(IpAddr::is_multicast);
    if group.is_none() {
        diagnostics.error(word.span, format!("'{}' is no group: it is passed over", word.text));
    }
    group
}

/// What an instance says of its packets, and else what is said of all.
fn packets(
    draft: &mut Instance,
    globals: &Globals,
    is_six: bool,
    warn: &mut dyn FnMut(Span, String),
) -> Wire {
    let mut wire = std::mem::take(&mut draft.wire);
    let usual = if is_six { globals.groups.1 } else { globals.groups.0 };
    wire.group = wire.group.filter(|group| group.is_ipv6() == is_six).or(usual);
    wire.any_addresses = draft.any_addresses.unwrap_or(globals.any_addresses);
    wire.log_unknown = globals.log_unknown;
    wire.missing = wire.missing.or(globals.missing);
    let strict = draft.strict.or(globals.strict).filter(|(strict, _)| *strict);
    if let Some((_, at)) = strict {
        warn(at, "strict: packets for the addresses are taken all the same".to_owned());
    }
    wire.silent = draft.silent.or(globals.silent).unwrap_or(strict.is_some());
    wire
}

fn address(draft: &mut Instance, args: &Args, excluded: bool, diagnostics: &mut Diagnostics) {
    let read = read_address(args.words(0), diagnostics, |address, word, _| {
        word.text == "use_vmac" && {
            address.traits.insert(Trait::OwnMac);
            true
        }
    });
    let Some((address, span)) = read else { return };
    draft.addresses.push((VirtualAddress { excluded, ..address }, span));
}

/// An address and what stands behind it; `other` is asked about words that not all blocks have, and takes their values.
pub(super) fn read_address(
    words: &[Word],
    diagnostics: &mut Diagnostics,
    mut other: impl FnMut(&mut VirtualAddress, &Word, &mut std::slice::Iter<'_, Word>) -> bool,
) -> Option<(VirtualAddress, Span)> {
    let (first, rest) = words.split_first()?;
    let mut address = match parse(&first.text) {
        Some(Ok(address)) => address,
        Some(Err((address, why))) => {
            diagnostics.error(first.span, why);
            VirtualAddress::new(address, longest_prefix(address))
        }
        None => {
            diagnostics
                .error(first.span, format!("'{}' is not an address: it is passed over", first.text))
                .help("an address and a prefix length, such as 192.0.2.100/24");
            return None;
        }
    };
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match address.option(word, &mut words) {
            Ok(true) => {}
            Ok(false) if other(&mut address, word, &mut words) => {}
            Ok(false) if word.text == "autojoin" => {
                diagnostics.error(word.span, "an address that floats is no group: it is passed over");
            }
            Ok(false) => {
                let text = format!("'{}' is not understood behind an address", word.text);
                diagnostics.error(word.span, text);
            }
            Err((span, why)) if word.text == "label" => {
                diagnostics.error(span, format!("{why}: its address is passed over"));
                return None;
            }
            Err((span, why)) => {
                diagnostics.error(span, format!("{why}: '{}' is passed over", word.text));
            }
        }
    }
    let longest = longest_prefix(address.address);
    if address.peer.is_some() && address.prefix != longest {
        diagnostics.error(first.span, "the far end of a line is a single address: the prefix is passed over");
        address.prefix = longest;
    }
    Some((address, first.span))
}

/// The virtual router that an instance is; `None` where it cannot be one. keepalived would leave such an instance
/// out and serve the others: here the file is not used.
pub(crate) fn complete(
    name: &Word,
    mut draft: Instance,
    globals: &Globals,
    (common, defined): (&Common, &Defined),
    diagnostics: &mut Diagnostics,
) -> Option<VirtualRouter> {
    let tracks = follow(&draft.tracks, &format!("instance '{}'", name.text), defined, diagnostics);
    let notify = globals.tells(std::mem::take(&mut draft.notify), draft.alert, diagnostics);
    let mut warn = |span: Span, text: String| {
        diagnostics.error(span, format!("instance '{}': {text}", name.text));
    };
    let mut advertised = draft.addresses.iter().filter(|(a, _)| !a.excluded);
    let is_six = advertised.next().is_some_and(|(a, _)| a.address.is_ipv6());
    draft.addresses.retain(|(a, at)| {
        let fits = a.excluded || a.address.is_ipv6() == is_six;
        if !fits {
            warn(
                *at,
                format!("'{}' is of another family than the first address: it is passed over", a.address),
            );
        }
        fits
    });
    draft.peers.retain(|(peer, at)| {
        let fits = peer.is_ipv6() == is_six;
        if !fits {
            warn(*at, format!("peer {peer} is of another family than the addresses: it is passed over"));
        }
        fits
    });
    if let Some((source, at)) = draft.source.filter(|(source, _)| source.is_ipv6() != is_six) {
        warn(at, format!("{source} is of another family than the addresses: it is passed over"));
        draft.source = None;
    }
    // The same address again is the same address.
    let mut known = BTreeSet::new();
    draft.addresses.retain(|(a, _)| known.insert(a.address));
    if !draft.addresses.iter().any(|(a, _)| !a.excluded) {
        warn(name.span, "no address floats".to_owned());
    }
    if draft.master.is_some() {
        for (said, what) in [
            (draft.nopreempt.take(), "nopreempt"),
            (draft.preempt_delay.take().map(|(_, span)| span), "preempt_delay"),
        ] {
            if let Some(span) = said {
                warn(span, format!("'{what}' has no meaning with 'state MASTER'"));
            }
        }
    }
    let version = if is_six { Version::V3 } else { draft.version.or(globals.version).unwrap_or(Version::V2) };
    let centis = draft.interval.map_or(100, |(interval, span)| {
        let asked = interval.as_millis() / 10;
        if version == Version::V2 && !asked.is_multiple_of(100) {
            warn(span, "version 2 sends whole seconds: the interval is rounded".to_owned());
            return ((asked + 50) / 100 * 100).max(100);
        }
        if version == Version::V3 && asked > LONGEST_INTERVAL {
            warn(span, "40.95 seconds are the longest interval of version 3, and are taken".to_owned());
        }
        if version == Version::V3 { asked.min(LONGEST_INTERVAL) } else { asked }
    });
    let password = match (&draft.auth_type, &draft.auth_pass) {
        (Some(kind), _) if version == Version::V3 => {
            warn(kind.span, "version 3 has no authentication: it is passed over".to_owned());
            None
        }
        (Some(kind), None) => {
            warn(kind.span, "there is no 'auth_pass': nothing is authenticated".to_owned());
            None
        }
        (Some(_), Some(word)) => Some(plain_password(&word.text)),
        (None, _) => None,
    };
    let wire = packets(&mut draft, globals, is_six, &mut warn);
    for flaw in wire.flaws() {
        warn(name.span, format!("auth_hmac: {flaw}"));
    }
    if draft.addresses.len() > MAX_ADDRESSES {
        let text = format!("instance '{}' has more than {MAX_ADDRESSES} addresses", name.text);
        diagnostics.fatal(name.span, text);
    }
    let mut missing = |what: &str, example: &str| {
        let text = format!("instance '{}' has no '{what}'", name.text);
        diagnostics.fatal(name.span, text).help(example.to_owned());
    };
    if draft.vrid.is_none() {
        missing("virtual_router_id", "a number of its own on the link: virtual_router_id 51");
    }
    if draft.interface.is_none() {
        missing("interface", "interface eth0");
    }
    let (vrid, interface) = (draft.vrid?, draft.interface?);
    for (address, _) in draft.addresses.iter_mut().filter(|_| draft.vmac_addresses) {
        let is_elsewhere = address.device.as_ref().is_some_and(|device| *device != interface.text);
        if is_elsewhere || address.address.is_ipv6() != is_six {
            address.traits.insert(Trait::OwnMac);
        }
    }
    let garp = draft.garp.or(&globals.garp);
    let (startup_delay, boot_delay) = globals.delays;
    Some(VirtualRouter {
        name: name.text.clone(),
        interface: interface.text,
        vrid,
        addresses: draft.addresses.into_iter().map(|(address, _)| address).collect(),
        priorities: BTreeMap::new(),
        own_priority: Some(draft.priority.map_or(USUAL_PRIORITY, |(priority, _)| priority)),
        source: draft.source.map(|(source, _)| source),
        interval: u16::try_from(centis).ok().and_then(Centis::new)?,
        version,
        // Who must have a peer does not fall back to the group.
        multicast: draft.peers.is_empty() && !wire.needs_peer,
        wire,
        presence: Presence { startup_delay, boot_delay, patience: common.patience.clone(), ..draft.presence },
        unicast_peers: draft.peers.into_iter().map(|(peer, _)| peer).collect(),
        password,
        notify,
        tracks,
        virtual_mac: draft.virtual_mac.map(|mac| VirtualMac { plain_advertisements: draft.xmit_base, ..mac }),
        routes: draft.routes,
        rules: draft.rules,
        // Its language has no word for this.
        gateway: Gateway::Auto,
        group: None,
        announcing: garp.announcing(),
        answering: garp.answering(),
        spacings: common.spacings.iter().cloned().chain(globals.spacing()).collect(),
        elsewhere: draft.elsewhere.or(globals.elsewhere).filter(|elsewhere| !elsewhere.every.is_zero()),
        preempt: draft.nopreempt.is_none(),
        preempt_delay: draft.preempt_delay.map(|(delay, _)| delay).unwrap_or_default(),
        span: name.span,
    })
}
