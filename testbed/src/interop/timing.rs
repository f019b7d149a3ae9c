//! When something is done: both programs keep their announcements apart, announce what lives elsewhere, and are patient
//! with an interface that flaps, as the same text says.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use failover::netlink::Netlink;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use rustix::process::{Pid, Signal, kill_process};

use super::beside::{OWN, start_ours, start_theirs};
use crate::lab::{self, Capture, Namespace, Switch};

/// Addresses that live on the instance's interface, by their last byte. keepalived, too, has each wait only once.
const HERE: [u8; 3] = [100, 101, 102];
/// The one that lives elsewhere.
const ELSEWHERE: [u8; 4] = [203, 0, 113, 1];
/// Time between two announcements, as the files say.
const APART: Duration = Duration::from_millis(50);
/// How much of it may be missing once, whatever follows: the first one was sent so late, or is seen so.
const LATE: Duration = Duration::from_millis(30);
/// Least time between two of the other interface, of which the files say a second.
const SELDOM: Duration = Duration::from_millis(600);
const ANNOUNCING: &str = "global_defs {
    vrrp_garp_interval 0.05
    vrrp_garp_extra_if all 1
    vrrp_garp_master_repeat 2
    vrrp_garp_master_delay 0
}
vrrp_instance web {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 100
    version 3
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.100/24
        192.0.2.101/24
        192.0.2.102/24
        203.0.113.1/24 dev eth1
    }
}
";
/// The interface must be down and up for so long, less the time in which it is looked.
const DOWN: Duration = Duration::from_millis(550);
const UP: Duration = Duration::from_millis(850);
const PATIENT: &str = "interface_up_down_delays {
    eth0 0.6 0.9
}
vrrp_instance web {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 255
    version 3
    advert_int 1
    virtual_ipaddress {
        192.0.2.100/24
    }
}
";

pub(super) fn compare() -> Result<String, String> {
    with_each(ANNOUNCING, announces)?;
    with_each(PATIENT, waits)?;
    Ok("announcements keep apart and a flapping interface is waited for as keepalived does".to_owned())
}

/// What is looked at while one of them runs.
pub(super) struct Stage {
    pub(super) host: Namespace,
    /// Announcements on the link: when, and of what.
    seen: Arc<Mutex<Vec<Announced>>>,
}

type Announced = (SystemTime, [u8; 4]);

/// Runs keepalived with a text, and then tandem, each on machines of its own.
pub(super) fn with_each(text: &str, check: fn(&Stage) -> Result<(), String>) -> Result<(), String> {
    let say = |e: std::io::Error| format!("the lab cannot be built: {e}");
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    for theirs in [true, false] {
        let who = if theirs { "keepalived" } else { "tandem" };
        let mut switch = Switch::new().map_err(say)?;
        let host = switch.host("host", &OWN).map_err(say)?;
        let witness = switch.host("witness", &[IpAddr::from([192, 0, 2, 77])]).map_err(say)?;
        lab::join(&host, "eth1", &witness, "far").map_err(say)?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&seen);
        let capture = Capture::start(&witness, move |frame| {
            let announced = (frame.at, frame.answers_for()?);
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(announced);
            None::<()>
        });
        let capture = capture.map_err(say)?;
        let stage = Stage { host, seen };
        let before = stage.interfaces();
        let checked = if theirs {
            let mut keepalived = start_theirs(folder.path(), &stage.host, text)?;
            let checked = check(&stage);
            let pid = i32::try_from(keepalived.id()).ok().and_then(Pid::from_raw).ok_or("no pid")?;
            kill_process(pid, Signal::TERM).map_err(|e| e.to_string())?;
            keepalived.wait().map_err(|e| e.to_string())?;
            checked
        } else {
            let node = start_ours(folder.path(), &stage.host)?;
            let checked = check(&stage).map_err(|why| format!("{why}\n{}", node.log_tail()));
            node.stop()?;
            stage.until("nothing that was made is left", |stage| stage.interfaces() == before)?;
            checked
        };
        capture.finish()?;
        switch.cut("host").and_then(|()| switch.cut("witness")).map_err(say)?;
        checked.map_err(|why| format!("{who}: {why}"))?;
    }
    Ok(())
}

/// Announcements keep apart, and those elsewhere go on.
fn announces(stage: &Stage) -> Result<(), String> {
    let here = |stage: &Stage| stage.announced(|address| HERE.contains(&address[3]));
    let elsewhere = |stage: &Stage| stage.announced(|address| address == ELSEWHERE);
    stage.until("addresses are announced", |stage| {
        here(stage).len() >= HERE.len() && elsewhere(stage).len() >= 4
    })?;
    let gaps = |times: &[SystemTime]| -> Vec<Duration> {
        times.windows(2).map(|pair| pair[1].duration_since(pair[0]).unwrap_or_default()).collect()
    };
    let here = gaps(&here(stage)[..HERE.len()]);
    if !keep_apart(&here) {
        return Err(format!("announcements follow each other too closely: {here:?}"));
    }
    let elsewhere = gaps(&elsewhere(stage)[..4]);
    if !keep_apart(&elsewhere[..1]) || elsewhere[2] < SELDOM {
        return Err(format!("announcements elsewhere come too often: {elsewhere:?}"));
    }
    Ok(())
}

/// Whether none comes before its time, counted from the first: one that is late comes too close to the next one, which
/// is in time.
fn keep_apart(gaps: &[Duration]) -> bool {
    let (mut passed, mut due) = (Duration::ZERO, Duration::ZERO);
    gaps.iter().all(|gap| {
        passed += *gap;
        due += APART;
        passed + LATE >= due
    })
}

/// An interface that goes and comes counts when that has lasted.
fn waits(stage: &Stage) -> Result<(), String> {
    stage.until("the address is there", Stage::holds)?;
    for (on, least) in [(false, DOWN), (true, UP)] {
        let begin = Instant::now();
        lab::set_card(&stage.host, on).map_err(|e| e.to_string())?;
        stage.until("the address follows its interface", |stage| stage.holds() == on)?;
        let took = begin.elapsed();
        if took < least {
            return Err(format!("the interface was believed after {took:?}, not after {least:?}"));
        }
    }
    Ok(())
}

impl Stage {
    fn announced(&self, which: impl Fn([u8; 4]) -> bool) -> Vec<SystemTime> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(_, address)| which(*address)).map(|(at, _)| *at).collect()
    }

    /// How many interfaces there are.
    fn interfaces(&self) -> usize {
        let look = || Netlink::open()?.list(RouteNetlinkMessage::GetLink(LinkMessage::default()));
        self.host.inside(look).and_then(|found| found).map_or(0, |found| found.len())
    }

    fn holds(&self) -> bool {
        let held = lab::addresses_of(&self.host, "eth0").unwrap_or_default();
        held.contains(&IpAddr::from([192, 0, 2, 100]))
    }

    pub(super) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        lab::until(what, || holds(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_announcement_is_forgiven_and_a_missing_wait_is_not() {
        let apart =
            |gaps: &[u64]| keep_apart(&gaps.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>());
        assert!(apart(&[50, 50]) && apart(&[95, 5]) && apart(&[25, 50]) && apart(&[20]));
        assert!(!apart(&[0, 50]) && !apart(&[50, 0]) && !apart(&[30, 30]) && !apart(&[10]));
    }
}
