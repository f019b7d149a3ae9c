//! `global_defs`, and what stands outside of all blocks.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Section, Sections, Span, Spec};

use super::BOOL;
use super::instance::{ELSEWHERE, elsewhere, group, said_on, script};
use crate::mail::{Draft as MailDraft, Mailbox, USUAL_PORT, is_host, no_mailbox};
use crate::{Announcing, Command, Elsewhere, Fifo, Hook, Notify, RunAs, Spacing, Version};

pub(crate) const SECTION: Section = Section { name: "global_defs", bit: Sections::GLOBAL_DEFS };
/// Lines outside of all blocks.
pub(crate) const OUTERMOST: Section = Section { name: "keepalived.conf", bit: Sections::KEEPALIVED };

/// What `global_defs` asks for.
#[derive(Debug, Default)]
pub struct Globals {
    pub(crate) version: Option<Version>,
    script_user: Option<RunAs>,
    /// VRRP's groups of both families, where they are others than usual.
    pub(crate) groups: (Option<IpAddr>, Option<IpAddr>),
    pub(crate) any_addresses: bool,
    pub(crate) log_unknown: bool,
    pub(crate) silent: Option<bool>,
    pub(crate) strict: Option<(bool, Span)>,
    pub(crate) garp: Garp,
    /// Pipes by the keyword that named them: the pipe, and who reads it.
    fifos: BTreeMap<String, FifoDraft>,
    priorities: bool,
    /// The interface of what names none.
    pub(crate) interface: Option<String>,
    /// Advertisements that must be missing.
    pub(crate) missing: Option<u8>,
    pub(crate) elsewhere: Option<Elsewhere>,
    /// Between announcements of an interface, of IPv4 and of IPv6.
    spacing: (Duration, Duration),
    /// Whether states are written into the pipes after a reload.
    on_reload: bool,
    /// What is run before all and after all.
    before: HookDraft,
    after: HookDraft,
    /// How long instances wait after the start of the program, and after that of the machine.
    pub(crate) delays: (Duration, Duration),
    /// Whom mails go to, and how.
    mail: MailDraft,
    /// Whether there are any, where an instance or a group does not say it: of all changes, and of instances'.
    alert: Option<Alert>,
    alert_vrrp: Option<Alert>,
}

/// Whether mails are asked for, and where.
pub(crate) type Alert = (bool, Span);

#[derive(Clone, Debug, Default)]
struct HookDraft {
    command: Option<Command>,
    timeout: Option<Duration>,
}

#[derive(Clone, Debug, Default)]
struct FifoDraft {
    /// Where it is, and whose.
    pipe: Option<(String, RunAs)>,
    script: Option<Command>,
}

/// keepalived's word for yes.
pub(crate) fn is_on(word: &str) -> bool {
    matches!(word, "on" | "true" | "yes")
}

/// When a master tells the link where its addresses live, as far as lines say it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Garp {
    pub(crate) delay: Option<Duration>,
    pub(crate) repeat: Option<u32>,
    pub(crate) refresh: Option<Duration>,
    pub(crate) refresh_repeat: Option<u32>,
    pub(crate) answer_delay: Option<Duration>,
    pub(crate) answer_repeat: Option<u32>,
}

impl Garp {
    /// What an instance says, or else what is said of all.
    pub(crate) fn or(self, all: &Self) -> Self {
        Self {
            delay: self.delay.or(all.delay),
            repeat: self.repeat.or(all.repeat),
            refresh: self.refresh.or(all.refresh),
            refresh_repeat: self.refresh_repeat.or(all.refresh_repeat),
            answer_delay: self.answer_delay.or(all.answer_delay),
            answer_repeat: self.answer_repeat.or(all.answer_repeat),
        }
    }

    /// What that means, where nothing is said what is usual here, which is more often than keepalived's usual.
    pub(crate) fn announcing(&self) -> Announcing {
        let mut announcing = Announcing::default();
        if self.delay.is_some() || self.repeat.is_some() {
            announcing.set(self.repeat.or(Some(KEEPALIVEDS_REPEAT)), self.delay.or(Some(KEEPALIVEDS_DELAY)));
        }
        announcing.refresh = self.refresh.or(announcing.refresh);
        announcing.refresh_repeat = self.refresh_repeat.unwrap_or(announcing.refresh_repeat);
        announcing
    }
}

impl Garp {
    /// The same for an answer to a lesser router: what is not said of it is as for a new master.
    pub(crate) fn answering(&self) -> Announcing {
        let announcing = self.announcing();
        if self.answer_delay.is_none() && self.answer_repeat.is_none() {
            return announcing;
        }
        let repeat = self.answer_repeat.or(self.repeat).unwrap_or(KEEPALIVEDS_REPEAT);
        let delay = self.answer_delay.or(self.delay).unwrap_or(KEEPALIVEDS_DELAY);
        announcing.answering(Some((Some(repeat), Some(delay))))
    }
}

/// How often keepalived announces at a time, and after which time again.
const KEEPALIVEDS_REPEAT: u32 = 5;
const KEEPALIVEDS_DELAY: Duration = Duration::from_secs(5);

impl Globals {
    /// What an instance or a group tells, with what is said of all.
    /// `alert`: what it says of mails itself.
    pub(crate) fn tells(
        &self,
        notify: Notify,
        alert: Option<Alert>,
        diagnostics: &mut Diagnostics,
    ) -> Notify {
        let mut notify = notify.run_as(&self.script_user());
        let asked = alert.or(self.alert_vrrp).or(self.alert).filter(|(on, _)| *on);
        notify.mail = asked.and_then(|_| self.mail.clone().complete());
        if let Some((_, at)) = alert.filter(|(on, _)| *on && notify.mail.is_none()) {
            diagnostics.error(at, NO_MAIL);
        }
        notify.priorities |= self.priorities;
        notify.on_reload |= self.on_reload;
        for FifoDraft { pipe, script } in self.fifos.values().cloned() {
            let Some((path, owner)) = pipe else { continue };
            let mut script = script;
            if let Some(script) = script.as_mut().filter(|script| script.user == RunAs::Us) {
                script.user = self.script_user();
            }
            notify.fifos.push(Fifo { path, owner, script });
        }
        notify
    }

    /// Says so where mails are asked for and cannot be sent.
    pub(crate) fn check_mails(&self, diagnostics: &mut Diagnostics) {
        let asked = self.alert_vrrp.or(self.alert).filter(|(on, _)| *on);
        if let Some((_, at)) = asked.filter(|_| self.mail.clone().complete().is_none()) {
            diagnostics.error(at, NO_MAIL);
        }
    }

    /// How far announcements keep from each other on interfaces that no `garp_group` names.
    pub(crate) fn spacing(&self) -> Option<Spacing> {
        let (four, six) = self.spacing;
        (!four.is_zero() || !six.is_zero()).then(|| Spacing { interfaces: Vec::new(), four, six })
    }

    /// What is run before all and after all.
    pub(crate) fn hooks(&self) -> [Option<Hook>; 2] {
        [&self.before, &self.after].map(|draft| {
            let mut command = draft.command.clone()?;
            if command.user == RunAs::Us {
                command.user = self.script_user();
            }
            Some(Hook { command, timeout: draft.timeout.unwrap_or(HOOKS_TIMEOUT) })
        })
    }

    /// Whose rights scripts have that name nobody.
    pub(crate) fn script_user(&self) -> RunAs {
        self.script_user.clone().unwrap_or(RunAs::IfThere(SCRIPT_USER))
    }
}

/// How long what is run before all, and after all, may take where nothing is said.
const HOOKS_TIMEOUT: Duration = Duration::from_secs(10);
/// keepalived's user for scripts, where a system has one.
const SCRIPT_USER: &str = "keepalived_script";

/// Nothing outside of blocks acts.
#[derive(Debug, Default)]
pub struct Top;

const fn row(
    names: &'static [&'static str],
    args: &'static [Arg],
    doc: &'static str,
    example: &'static str,
    apply: fn(&mut Globals, &Args, &mut Diagnostics),
) -> Keyword<Globals> {
    let spec = Spec::full(names, args, doc, example);
    Keyword { spec, sections: Sections::GLOBAL_DEFS, negatable: false, apply }
}

const fn accepted(
    why: &'static str,
    names: &'static [&'static str],
    args: &'static [Arg],
    doc: &'static str,
    example: &'static str,
) -> Keyword<Globals> {
    Keyword::inert(Sections::GLOBAL_DEFS, false, Spec::accepted(why, names, args, doc, example))
}

const fn absent(why: &'static str, names: &'static [&'static str], doc: &'static str) -> Keyword<Globals> {
    Keyword::inert(Sections::GLOBAL_DEFS, false, Spec::absent(why, names, doc))
}

const fn outside(why: &'static str, names: &'static [&'static str], doc: &'static str) -> Keyword<Top> {
    Keyword::inert(Sections::KEEPALIVED, false, Spec::absent(why, names, doc))
}

const OPTIONAL_BOOL: Arg = Arg::Optional(&BOOL);
/// Why IPVS's rows are passed over.
const NO_IPVS: &str = "there is no IPVS in Tandem: its proxy balances";
/// What keepalived does not say.
const NO_MAIL: &str = "no mail is sent: 'notification_email' or 'smtp_server' is missing";
const NO_CHECKER_MAIL: &str = "mails tell of instances and groups only; the log has the servers";
const NO_CHILD: &str = "the agent is a thread that does nothing else, and asks for real-time priority itself";
const NO_FIREWALL: &str = "packets for the addresses are always taken, so nothing is filtered";
const METRICS: &str = "ask `tandem status --json` instead";

/// The rows of `global_defs`.
pub const TABLE: &[Keyword<Globals>] = &[
    accepted(
        NO_CHILD,
        &["bfd_no_swap", "checker_no_swap", "vrrp_no_swap"],
        &[],
        "Keeps a process in memory.",
        "vrrp_no_swap",
    ),
    accepted(
        NO_CHILD,
        &[
            "bfd_cpu_affinity",
            "bfd_priority",
            "bfd_rlimit_rttime",
            "bfd_rt_priority",
            "checker_cpu_affinity",
            "checker_priority",
            "checker_rlimit_rttime",
            "checker_rt_priority",
            "max_auto_priority",
            "min_auto_priority_delay",
            "vrrp_cpu_affinity",
            "vrrp_priority",
            "vrrp_rlimit_rttime",
            "vrrp_rt_priority",
        ],
        &[Arg::Rest("number")],
        "Priorities and processors of keepalived's processes.",
        "vrrp_rt_priority 50",
    ),
    accepted(
        "there is one program",
        &["bfd_process_name", "checker_process_name", "process_name", "process_names", "vrrp_process_name"],
        &[Arg::Rest("name")],
        "What its processes are called.",
        "process_names",
    ),
    accepted(
        "its processes get the bytes by a descriptor, and nothing is kept",
        &["config_save_dir", "tmp_config_directory"],
        &[Arg::Word("folder")],
        "Where keepalived keeps copies of its configuration.",
        "tmp_config_directory /var/tmp",
    ),
    row(
        &["default_interface"],
        &[Arg::Word("name")],
        "The interface of static addresses and routes that name none; otherwise it is eth0. An instance names its own.",
        "default_interface eth0",
        |d, a, _| d.interface = Some(a.text(0)),
    ),
    accepted(
        NO_FIREWALL,
        &["disable_local_igmp"],
        &[],
        "Keeps the kernel from reporting groups of the link.",
        "disable_local_igmp",
    ),
    accepted(
        "an interface that is not there is waited for in any case, and may come back as another one",
        &["dynamic_interfaces"],
        &[Arg::Optional(&Arg::Word("allow_if_changes"))],
        "Starts though an interface is not there yet.",
        "dynamic_interfaces",
    ),
    absent(METRICS, &["dbus_service_name", "enable_dbus"], "keepalived on D-Bus."),
    absent(
        METRICS,
        &[
            "enable_snmp_checker",
            "enable_snmp_keepalived",
            "enable_snmp_rfc",
            "enable_snmp_rfcv2",
            "enable_snmp_rfcv3",
            "enable_snmp_vrrp",
            "enable_traps",
            "snmp_socket",
        ],
        "keepalived over SNMP.",
    ),
    row(
        &["enable_script_security"],
        &[],
        "Runs nothing as root that others may write: so it is in any case.",
        "enable_script_security",
        |_, _, _| {},
    ),
    row(
        &["fifo_write_vrrp_states_on_reload"],
        &[],
        "Writes the state of every instance and group into the pipes after a reload.",
        "fifo_write_vrrp_states_on_reload",
        |d, _, _| d.on_reload = true,
    ),
    accepted(
        "every file that is included must be there",
        &["include_check"],
        &[Arg::Rest("what")],
        "Which mistakes of included files are said.",
        "include_check readable",
    ),
    accepted(
        "nodes of one machine tell themselves apart by their run folder",
        &["instance", "use_pid_dir"],
        &[Arg::Optional(&Arg::Word("name"))],
        "Names of this process's files.",
        "instance one",
    ),
    row(
        &["log_unknown_vrids"],
        &[],
        "Writes into the log when somebody on the link advertises an instance that nobody here knows; it is counted in any case.",
        "log_unknown_vrids",
        |d, _, _| d.log_unknown = true,
    ),
    accepted(
        NO_IPVS,
        &[
            "lvs_flush",
            "lvs_flush_onstop",
            "lvs_flush_on_stop",
            "lvs_notify_fifo",
            "lvs_notify_fifo_script",
            "lvs_sync_daemon",
            "lvs_timeouts",
        ],
        &[Arg::Rest("setting")],
        "Settings of IPVS.",
        "lvs_timeouts udp 15",
    ),
    accepted(
        "its sockets hold what a thread that does nothing else can leave unread",
        &[
            "lvs_netlink_cmd_rcv_bufs",
            "lvs_netlink_cmd_rcv_bufs_force",
            "lvs_netlink_monitor_rcv_bufs",
            "lvs_netlink_monitor_rcv_bufs_force",
            "process_monitor_rcv_bufs",
            "process_monitor_rcv_bufs_force",
            "vrrp_netlink_cmd_rcv_bufs",
            "vrrp_netlink_cmd_rcv_bufs_force",
            "vrrp_netlink_monitor_rcv_bufs",
            "vrrp_netlink_monitor_rcv_bufs_force",
            "vrrp_rx_bufs_multiplier",
            "vrrp_rx_bufs_policy",
        ],
        &[Arg::Rest("bytes")],
        "Sizes of sockets' buffers.",
        "vrrp_rx_bufs_policy MTU",
    ),
    absent(
        "start the program in the namespace: ip netns exec NAME tandem run ...",
        &["net_namespace", "net_namespace_ipvs"],
        "A network namespace to run in.",
    ),
    accepted(
        NO_FIREWALL,
        &[
            "namespace_with_ipsets",
            "nftables",
            "nftables_counters",
            "nftables_ifindex",
            "nftables_ipvs",
            "nftables_ipvs_priority",
            "nftables_ipvs_start_fwmark",
            "nftables_priority",
            "vrrp_ipsets",
            "vrrp_iptables",
        ],
        &[Arg::Rest("setting")],
        "The firewall that drops packets for addresses of others.",
        "nftables keepalived",
    ),
    accepted(
        NO_CHECKER_MAIL,
        &["checker_log_all_failures", "smtp_alert_checker"],
        &[Arg::Rest("setting")],
        "What is logged and mailed of servers' checks.",
        "smtp_alert_checker on",
    ),
    row(&["no_email_faults"], &[], "Sends no mail about a fault.", "no_email_faults", |d, _, _| {
        d.mail.without_faults = true;
    }),
    row(
        &["notification_email"],
        &[Arg::Words("address")],
        "Whom mails go to.",
        "notification_email { ops@example.com }",
        |d, a, diagnostics| {
            for word in a.words(0) {
                if let Err(why) = d.mail.add(&word.text) {
                    diagnostics.error(word.span, format!("{why}: it is passed over"));
                }
            }
        },
    ),
    row(
        &["notification_email_from"],
        &[Arg::Word("address")],
        "Whom mails come from; otherwise the program's user at this host.",
        "notification_email_from lb@example.com",
        |d, a, diagnostics| {
            let from = Mailbox::parse(&a.text(0));
            if from.is_none() {
                diagnostics.error(a.word(0).span, format!("{}: it is passed over", no_mailbox(&a.text(0))));
            }
            d.mail.from = from.or(d.mail.from.take());
        },
    ),
    row(
        &["notify_fifo", "vrrp_notify_fifo"],
        &[Arg::Word("path"), Arg::Optional(&Arg::Word("user")), Arg::Optional(&Arg::Word("group"))],
        "A pipe that changes are written to: INSTANCE \"VI_1\" MASTER 100. It is made if it is not there.",
        "vrrp_notify_fifo /run/changes",
        |d, a, _| {
            let group = a.optional_word(2).map(|group| group.text.clone());
            let owner = a.optional_word(1).map_or(RunAs::Us, |user| RunAs::User(user.text.clone(), group));
            d.fifos.entry(a.keyword.text.clone()).or_default().pipe = Some((a.text(0), owner));
        },
    ),
    row(
        &["notify_fifo_script", "vrrp_notify_fifo_script"],
        &[Arg::Words("command")],
        "Who reads that pipe; its name is the last argument.",
        "vrrp_notify_fifo_script /etc/keepalived/changes.sh",
        |d, a, diagnostics| {
            let fifo = a.keyword.text.trim_end_matches("_script").to_owned();
            d.fifos.entry(fifo).or_default().script = script(a, diagnostics);
        },
    ),
    row(
        &["router_id"],
        &[Arg::Word("name")],
        "What mails call this node; otherwise the member's name.",
        "router_id lb1",
        |d, a, _| d.mail.node = Some(a.text(0)),
    ),
    row(
        &["script_user"],
        &[Arg::Word("user"), Arg::Optional(&Arg::Word("group"))],
        "Whose rights scripts have that name nobody; otherwise keepalived_script's, if there is such a user.",
        "script_user nobody",
        |d, a, _| {
            d.script_user = Some(RunAs::User(a.text(0), a.optional_word(1).map(|group| group.text.clone())));
        },
    ),
    row(
        &["smtp_alert"],
        &[OPTIONAL_BOOL],
        "Sends a mail on every change of an instance or a group, where neither says otherwise. Whom to and by which server must be said.",
        "smtp_alert on",
        |d, a, _| d.alert = Some((said_on(a), a.span)),
    ),
    row(
        &["smtp_alert_vrrp"],
        &[OPTIONAL_BOOL],
        "The same; it comes before 'smtp_alert'.",
        "smtp_alert_vrrp on",
        |d, a, _| d.alert_vrrp = Some((said_on(a), a.span)),
    ),
    row(
        &["smtp_connect_timeout"],
        &[Arg::Int("seconds", 1, 4_294)],
        "Seconds that the mail server may take to be connected, and for each of its answers; 30.",
        "smtp_connect_timeout 10",
        |d, a, _| d.mail.patience = u64::try_from(a.int(0)).ok().map(Duration::from_secs),
    ),
    row(
        &["smtp_helo_name"],
        &[Arg::Word("name")],
        "What this host calls itself to the mail server; otherwise its name.",
        "smtp_helo_name lb1.example.com",
        |d, a, diagnostics| match a.text(0) {
            name if is_host(&name) => d.mail.hello = Some(name),
            _ => not_a_host(a, diagnostics),
        },
    ),
    row(
        &["smtp_server"],
        &[Arg::Word("host"), Arg::Optional(&Arg::Int("port", 1, 65_535))],
        "The server that takes mails, and its port; 25. Its name is looked up for each mail.",
        "smtp_server 192.0.2.25",
        |d, a, diagnostics| match a.text(0) {
            host if is_host(&host) => {
                let port = u16::try_from(a.int(1)).ok().filter(|_| a.has(1)).unwrap_or(USUAL_PORT);
                d.mail.server = Some((host, port));
            }
            _ => not_a_host(a, diagnostics),
        },
    ),
    row(
        &["shutdown_script", "startup_script"],
        &[Arg::Words("command")],
        "What is run when everything is undone, and before anything is done; who has what rights may stand behind it.",
        "startup_script /etc/keepalived/start.sh",
        |d, a, diagnostics| {
            let hook = if a.keyword.text.starts_with("startup") { &mut d.before } else { &mut d.after };
            hook.command = script(a, diagnostics);
        },
    ),
    row(
        &["shutdown_script_timeout", "startup_script_timeout"],
        &[Arg::Int("seconds", 1, 1_000)],
        "Seconds after which it is killed; 10.",
        "startup_script_timeout 10",
        |d, a, _| {
            let hook = if a.keyword.text.starts_with("startup") { &mut d.before } else { &mut d.after };
            hook.timeout = u64::try_from(a.int(0)).ok().map(Duration::from_secs);
        },
    ),
    row(
        &["vrrp_check_unicast_src"],
        &[],
        "Hears nobody but the peers: so it is in any case.",
        "vrrp_check_unicast_src",
        |_, _, _| {},
    ),
    row(
        &["vrrp_delay_after_boot"],
        &[Arg::Seconds("seconds", 0, 86_400_000)],
        "Seconds after the machine's start in which no instance takes part.",
        "vrrp_delay_after_boot 60",
        |d, a, _| d.delays.1 = a.duration(0),
    ),
    row(
        &["vrrp_down_timer_adverts"],
        &[Arg::Int("count", 1, 100)],
        "Advertisements that must be missing before a backup takes over, where an instance says nothing of it; all nodes must agree.",
        "vrrp_down_timer_adverts 3",
        |d, a, _| d.missing = u8::try_from(a.int(0)).ok(),
    ),
    row(
        &["vrrp_garp_lower_prio_delay"],
        &[Arg::Seconds("seconds", 0, 3_600_000)],
        "Seconds after which a master that has heard a lesser one announces its addresses again; 0: not at all.",
        "vrrp_garp_lower_prio_delay 1",
        |d, a, _| d.garp.answer_delay = Some(a.duration(0)),
    ),
    row(
        &["vrrp_garp_lower_prio_repeat"],
        &[Arg::Int("count", 0, 100)],
        "How often it announces them at a time; 0: not at all.",
        "vrrp_garp_lower_prio_repeat 1",
        |d, a, _| d.garp.answer_repeat = u32::try_from(a.int(0)).ok(),
    ),
    row(
        &["vrrp_garp_master_delay"],
        &[Arg::Seconds("seconds", 0, 3_600_000)],
        "Seconds after which a new master announces its addresses again; 0: not at all.",
        "vrrp_garp_master_delay 1",
        |d, a, _| d.garp.delay = Some(a.duration(0)),
    ),
    row(
        &["vrrp_garp_master_refresh"],
        &[Arg::Seconds("seconds", 0, 86_400_000)],
        "Seconds between announcements for as long as it is master; 0: none.",
        "vrrp_garp_master_refresh 60",
        |d, a, _| d.garp.refresh = Some(a.duration(0)),
    ),
    row(
        &["vrrp_garp_master_refresh_repeat"],
        &[Arg::Int("count", 1, 100)],
        "How often at each of these.",
        "vrrp_garp_master_refresh_repeat 2",
        |d, a, _| d.garp.refresh_repeat = u32::try_from(a.int(0)).ok(),
    ),
    row(
        &["vrrp_garp_master_repeat"],
        &[Arg::Int("count", 1, 100)],
        "How often a new master announces its addresses at a time.",
        "vrrp_garp_master_repeat 1",
        |d, a, _| d.garp.repeat = u32::try_from(a.int(0)).ok(),
    ),
    row(
        &["vrrp_garp_extra_if"],
        &[Arg::Words("interval")],
        ELSEWHERE,
        "vrrp_garp_extra_if all 100",
        |d, a, diagnostics| d.elsewhere = elsewhere(a, diagnostics).or(d.elsewhere),
    ),
    row(
        &["vrrp_garp_interval", "vrrp_gna_interval"],
        &[Arg::Seconds("seconds", 0, 1_000_000)],
        "Seconds between two announcements of IPv4, or of IPv6, on each interface that no 'garp_group' names.",
        "vrrp_garp_interval 0.001",
        |d, a, _| {
            let of = if a.keyword.text.contains("garp") { &mut d.spacing.0 } else { &mut d.spacing.1 };
            *of = a.duration(0);
        },
    ),
    accepted(
        "a master that gives way always says so, so that the other one announces its addresses again",
        &["vrrp_higher_prio_send_advert"],
        &[OPTIONAL_BOOL],
        "A master that hears a better one sends a last advertisement.",
        "vrrp_higher_prio_send_advert on",
    ),
    row(
        &["vrrp_lower_prio_no_advert"],
        &[OPTIONAL_BOOL],
        "A master does not answer the advertisement of a lesser one.",
        "vrrp_lower_prio_no_advert on",
        |d, a, _| d.silent = Some(said_on(a)),
    ),
    row(
        &["vrrp_mcast_group4", "vrrp_mcast_group6"],
        &[Arg::Word("address")],
        "VRRP's group, where an instance names none: 224.0.0.18, and ff02::12.",
        "vrrp_mcast_group4 224.0.0.18",
        |d, a, diagnostics| match group(a, diagnostics) {
            Some(four @ IpAddr::V4(_)) => d.groups.0 = Some(four),
            Some(six @ IpAddr::V6(_)) => d.groups.1 = Some(six),
            None => {}
        },
    ),
    row(&["vrrp_min_garp"], &[OPTIONAL_BOOL], "Announces once only.", "vrrp_min_garp on", |d, a, _| {
        if !a.optional_word(0).is_some_and(|word| matches!(word.text.as_str(), "off" | "false" | "no")) {
            (d.garp.repeat, d.garp.delay) = (Some(1), Some(Duration::ZERO));
        }
    }),
    row(
        &["vrrp_notify_priority_changes"],
        &[BOOL],
        "Writes into the pipes when a priority changes.",
        "vrrp_notify_priority_changes on",
        |d, a, _| d.priorities = is_on(&a.text(0)),
    ),
    row(
        &["vrrp_skip_check_adv_addr"],
        &[OPTIONAL_BOOL],
        "Does not compare the addresses of advertisements with its own. They are heard in any case; the difference is counted.",
        "vrrp_skip_check_adv_addr",
        |d, a, _| d.any_addresses = said_on(a),
    ),
    row(
        &["vrrp_startup_delay"],
        &[Arg::Seconds("seconds", 0, 86_400_000)],
        "Seconds after the program's start in which no instance takes part, unless the addresses of a process that was killed a moment ago are still here.",
        "vrrp_startup_delay 5",
        |d, a, _| d.delays.0 = a.duration(0),
    ),
    row(
        &["vrrp_strict"],
        &[OPTIONAL_BOOL],
        "Keeps to the letter of VRRP: a master does not answer a lesser one. Packets for the addresses are taken all the same.",
        "vrrp_strict",
        |d, a, _| d.strict = Some((said_on(a), a.span)),
    ),
    row(
        &["vrrp_version"],
        &[Arg::OneOf("version", &["2", "3"])],
        "VRRP's version where an instance names none; otherwise it is 2.",
        "vrrp_version 3",
        |d, a, _| d.version = Some(Version::named(&a.text(0))),
    ),
];

fn not_a_host(args: &Args, diagnostics: &mut Diagnostics) {
    let text = format!("'{}' is no name of a host: it is passed over", args.text(0));
    diagnostics.error(args.word(0).span, text);
}

/// The rows of what stands outside of all blocks, apart from the blocks that are read.
pub const TOP: &[Keyword<Top>] = &[
    outside(
        "there is no BFD in Tandem: track an interface, or lower 'advert_int'",
        &["bfd_instance"],
        "A BFD session.",
    ),
    Keyword::inert(
        Sections::KEEPALIVED,
        false,
        Spec::accepted(
            "the supervisor waits as long as its children need",
            &["child_wait_time"],
            &[Arg::Rest("seconds")],
            "How long keepalived waits for its processes to end.",
            "child_wait_time 5",
        ),
    ),
    Keyword::inert(
        Sections::KEEPALIVED,
        false,
        Spec::accepted(
            "the kernel says at once when a link goes down",
            &["linkbeat_interfaces", "linkbeat_use_polling"],
            &[Arg::Rest("name")],
            "Asks interfaces again and again whether their link is up.",
            "linkbeat_use_polling",
        ),
    ),
    outside(
        "start the program in the namespace: ip netns exec NAME tandem run ...",
        &["net_namespace", "net_namespace_ipvs"],
        "A network namespace to run in.",
    ),
    Keyword::inert(
        Sections::KEEPALIVED,
        false,
        Spec::accepted(
            "nodes of one machine tell themselves apart by their run folder",
            &["instance", "use_pid_dir"],
            &[Arg::Rest("name")],
            "Names of this process's files.",
            "use_pid_dir",
        ),
    ),
];
