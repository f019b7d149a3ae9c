//! The virtual routers in the form of keepalived's dumps, for the exporters that read them. What has no meaning here
//! has the value that it has where nobody sets it; passwords are left out.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use failover::{Role, RouterStatus};
use failover_vrrp::{Announcing, Version, VirtualAddress};
use serde_json::{Value, json};

/// Which of keepalived's dumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dump {
    /// What its signal SIGJSON writes: everything, as JSON
    Json,
    /// What SIGUSR1 writes: the state, as text
    Data,
    /// What SIGUSR2 writes: the counters, as text
    Stats,
}

impl Dump {
    /// Every dump, with the signal that asks keepalived for it: the last one counts from the first real-time signal.
    pub(crate) const SIGNALS: [(Self, Signal); 3] =
        [(Self::Data, Signal::User1), (Self::Stats, Signal::User2), (Self::Json, Signal::RealTime(2))];

    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Data => "data",
            Self::Stats => "stats",
        }
    }

    /// The dump of this name.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::SIGNALS.into_iter().map(|(dump, _)| dump).find(|dump| dump.word() == word)
    }

    /// The dump of these routers.
    pub(crate) fn text(self, routers: &[RouterStatus]) -> String {
        match self {
            Self::Json => Value::from(routers.iter().map(instance).collect::<Vec<_>>()).to_string() + "\n",
            Self::Data => {
                "------< VRRP Topology >------\n".to_owned() + &routers.iter().map(data).collect::<String>()
            }
            Self::Stats => routers.iter().map(stats).collect(),
        }
    }

    /// Writes it where keepalived does, into this folder; nobody else can read it, nor see half of it.
    pub(crate) fn write(self, routers: &[RouterStatus], folder: &Path) -> std::io::Result<()> {
        let name = format!("keepalived.{}", self.word());
        let (unfinished, finished) =
            (folder.join(format!(".{name}.{}", std::process::id())), folder.join(name));
        // What somebody put there under this name is not written to.
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let written = file.write_all(self.text(routers).as_bytes());
        written.and_then(|()| std::fs::rename(&unfinished, finished)).inspect_err(|_| {
            let _ = std::fs::remove_file(&unfinished);
        })
    }
}

/// A signal of keepalived's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    User1,
    User2,
    /// So many after the first one that programs may use.
    RealTime(i32),
}

fn refused(router: &RouterStatus, reasons: &[&str]) -> u64 {
    router.refused.iter().filter(|(why, _)| reasons.iter().any(|r| why.starts_with(r))).map(|(_, n)| n).sum()
}

fn noticed(router: &RouterStatus, why: &str) -> u64 {
    router.noticed.get(why).copied().unwrap_or(0)
}

/// keepalived's number and word for a role.
fn state(router: &RouterStatus) -> (u8, &'static str) {
    match router.role {
        Role::Initialize if router.trouble.is_some() => (3, "FAULT"),
        Role::Initialize => (0, "INIT"),
        Role::Backup => (1, "BACKUP"),
        Role::Master => (2, "MASTER"),
    }
}

/// An address as keepalived shows it.
fn shown(router: &RouterStatus, address: &VirtualAddress) -> String {
    let device = address.device.as_ref().unwrap_or(&router.interface);
    let label = address.label.as_ref().map_or_else(String::new, |label| format!(" label {label}"));
    let forever = if address.address.is_ipv6() { " preferred_lft forever" } else { "" };
    let set = if router.role == Role::Master { " set" } else { "" };
    format!("{}/{} dev {device} scope global{label}{forever}{set}", address.address, address.prefix)
}

fn addresses(router: &RouterStatus, excluded: bool) -> Vec<String> {
    let every = router.settings.addresses.iter().filter(|address| address.excluded == excluded);
    every.map(|address| shown(router, address)).collect()
}

/// When announcements are made again, and how often at a time.
fn garp(announcing: &Announcing) -> (u64, u32) {
    (announcing.after.last().map_or(0, std::time::Duration::as_secs), announcing.repeat)
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Whole seconds without a point, as keepalived writes them.
fn interval(centis: u16) -> Value {
    if centis.is_multiple_of(100) { json!(centis / 100) } else { json!(f64::from(centis) / 100.0) }
}

fn version(router: &RouterStatus) -> u8 {
    if router.settings.version == Version::V2 { 2 } else { 3 }
}

fn instance(router: &RouterStatus) -> Value {
    let settings = &router.settings;
    let own = settings.interval.wire();
    let master = router.tenure.master;
    let (delay, repeat) = garp(&settings.announcing);
    let (answer_delay, answer_repeat) = garp(&settings.answering);
    let (number, _) = state(router);
    let mut data = json!({
        "iname": router.name,
        "dont_track_primary": 0,
        "skip_check_adv_addr": u8::from(settings.wire.any_addresses),
        "strict_mode": 0,
        "vmac_ifname": "",
        "ifp_ifname": router.interface,
        "master_priority": master.map_or(0, |(priority, _)| priority),
        "last_transition": seconds(router.tenure.changed),
        "garp_delay": delay,
        "garp_refresh": settings.announcing.refresh.map_or(0, |refresh| refresh.as_secs()),
        "garp_rep": repeat,
        "garp_refresh_rep": settings.announcing.refresh_repeat,
        "garp_lower_prio_delay": answer_delay,
        "garp_lower_prio_rep": answer_repeat,
        "lower_prio_no_advert": u8::from(settings.wire.silent),
        "higher_prio_send_advert": 1,
        "vrid": router.vrid,
        "base_priority": router.base,
        "effective_priority": router.priority,
        "vipset": router.role == Role::Master,
        "promote_secondaries": false,
        "adver_int": interval(own),
        "master_adver_int": interval(master.map_or(own, |(_, theirs)| theirs.wire())),
        "accept": 1,
        "nopreempt": !settings.preempt,
        "preempt_delay": settings.preempt_delay.as_secs(),
        "state": number,
        "wantstate": number,
        "version": version(router),
        "smtp_alert": settings.notify.mail.is_some(),
        "notify_deleted": false,
        "vips": addresses(router, false),
        "auth_type": u8::from(settings.password.is_some()),
    });
    let excluded = addresses(router, true);
    if !excluded.is_empty() {
        data["evips"] = json!(excluded);
    }
    json!({
        "data": data,
        "stats": {
            "advert_rcvd": router.received,
            "advert_sent": router.sent,
            "become_master": router.tenure.began,
            "release_master": router.tenure.ended,
            "packet_len_err": refused(router, &["length"]),
            "advert_interval_err": noticed(router, "interval"),
            "ip_ttl_err": refused(router, &["ttl"]),
            "invalid_type_rcvd": refused(router, &["type"]),
            "addr_list_err": noticed(router, "addresses"),
            "invalid_authtype": 0,
            "authtype_mismatch": 0,
            "auth_failure": refused(router, &["authentication", "hmac-", "signature-"]),
            "pri_zero_rcvd": router.tenure.goodbyes_heard,
            "pri_zero_sent": router.tenure.goodbyes_sent,
        },
    })
}

fn stats(router: &RouterStatus) -> String {
    format!(
        "VRRP Instance: {}\n  Advertisements:\n    Received: {}\n    Sent: {}\n  Became master: {}\n  Released master: {}\n\
         \x20 Packet Errors:\n    Length: {}\n    TTL: {}\n    Invalid Type: {}\n    Advertisement Interval: {}\n    Address List: {}\n\
         \x20 Authentication Errors:\n    Invalid Type: 0\n    Type Mismatch: 0\n    Failure: {}\n\
         \x20 Priority Zero:\n    Received: {}\n    Sent: {}\n",
        router.name,
        router.received,
        router.sent,
        router.tenure.began,
        router.tenure.ended,
        refused(router, &["length"]),
        refused(router, &["ttl"]),
        refused(router, &["type"]),
        noticed(router, "interval"),
        noticed(router, "addresses"),
        refused(router, &["authentication", "hmac-", "signature-"]),
        router.tenure.goodbyes_heard,
        router.tenure.goodbyes_sent,
    )
}

fn data(router: &RouterStatus) -> String {
    let settings = &router.settings;
    let (_, state) = state(router);
    let mut text = format!(
        " VRRP Instance = {}\n   VRRP Version = {}\n   State = {state}\n",
        router.name,
        version(router)
    );
    if let (Some((address, _)), Some((priority, theirs))) = (router.master, router.tenure.master) {
        text += &format!("   Master router = {address}\n   Master priority = {priority}\n");
        if settings.version == Version::V3 {
            text += &format!("   Master advert int = {:.2} sec\n", f64::from(theirs.wire()) / 100.0);
        }
    }
    let centis = settings.interval.wire();
    let advert = if centis.is_multiple_of(100) {
        format!("{} sec", centis / 100)
    } else {
        format!("{} milli-sec", u32::from(centis) * 10)
    };
    let (delay, repeat) = garp(&settings.announcing);
    text += &format!(
        "   Wantstate = {state}\n   Last transition = {:.6}\n   Interface = {}\n   Gratuitous ARP delay = {delay}\n\
         \x20  Gratuitous ARP repeat = {repeat}\n   Virtual Router ID = {}\n   Priority = {}\n   Effective priority = {}\n\
         \x20  Total priority = {}\n   Advert interval = {advert}\n   Accept = enabled\n   Preempt = {}\n",
        seconds(router.tenure.changed),
        router.interface,
        router.vrid,
        router.base,
        router.priority,
        router.priority,
        if settings.preempt { "enabled" } else { "disabled" },
    );
    if settings.password.is_some() {
        text += "   Authentication type = SIMPLE_PASSWORD\n";
    }
    let (shown, excluded) = (addresses(router, false), addresses(router, true));
    let lines = |list: &[String]| list.iter().map(|line| format!("     {line}\n")).collect::<String>();
    text += &format!("   Virtual IP ({}):\n{}", shown.len(), lines(&shown));
    if !excluded.is_empty() {
        text += &format!("   Virtual IP Excluded :\n{}", lines(&excluded));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_dump_is_whole_and_nobody_elses_and_goes_where_nothing_else_was_put() {
        let folder = tempfile::tempdir().unwrap();
        for (dump, _) in Dump::SIGNALS {
            assert_eq!(Dump::named(dump.word()), Some(dump));
            dump.write(&[], folder.path()).unwrap();
        }
        let file = folder.path().join("keepalived.json");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "[]\n");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // A link that somebody has put there is replaced, and what it leads to stays as it was.
        let precious = folder.path().join("precious");
        std::fs::write(&precious, "mine").unwrap();
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&precious, &file).unwrap();
        Dump::Json.write(&[], folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "mine");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn intervals_are_written_as_keepalived_writes_them() {
        assert_eq!([interval(100), interval(50), interval(1)].map(|v| v.to_string()), ["1", "0.5", "0.01"]);
    }
}
