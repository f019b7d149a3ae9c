//! What keepalived and tandem leave in the kernel for the same text: first one of them runs alone, then the other one on
//! a machine that is the same.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::build_tandem;
use crate::drill::node::Node;
use crate::lab::{Namespace, PATIENCE, Switch};

const LOOK: Duration = Duration::from_millis(20);
/// Own addresses of the machine.
pub(super) const OWN: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 11)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11)),
];

/// One thing that the kernel has.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    /// What both programs must agree on.
    pub(super) text: String,
    /// What else is known of it.
    pub(super) of: T,
}

/// What is compared.
pub(super) struct Comparison<T> {
    /// In keepalived's language.
    pub(super) text: &'static str,
    /// So many things keepalived adds to it.
    pub(super) count: usize,
    /// Looks at what there is; runs on the machine.
    pub(super) look: fn() -> io::Result<Vec<Entry<T>>>,
}

/// The machine while tandem runs there.
pub(super) struct Machine<'c, T> {
    pub(super) host: Namespace,
    comparison: &'c Comparison<T>,
}

impl<T: Send> Comparison<T> {
    /// Runs one after the other, and demands the same of both; then what `more` does to the machine, given what is there;
    /// and that nothing is left at the end.
    pub(super) fn run(
        &self,
        more: impl FnOnce(&Machine<'_, T>, &[Entry<T>]) -> Result<(), String>,
    ) -> Result<(), String> {
        let say = |e: io::Error| format!("the lab cannot be built: {e}");
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut switch = Switch::new().map_err(say)?;
        let theirs = Machine { host: switch.host("theirs", &OWN).map_err(say)?, comparison: self };
        let mut keepalived = start_theirs(folder.path(), &theirs.host, self.text)?;
        let wanted = theirs.until("keepalived has added everything", |found| found.len() == self.count);
        let pid = i32::try_from(keepalived.id()).ok().and_then(Pid::from_raw).ok_or("no pid")?;
        kill_process(pid, Signal::TERM).map_err(|e| e.to_string())?;
        keepalived.wait().map_err(|e| e.to_string())?;
        let wanted = texts(&wanted?);
        switch.cut("theirs").map_err(say)?;
        let ours = Machine { host: switch.host("ours", &OWN).map_err(say)?, comparison: self };
        let node = start_ours(folder.path(), &ours.host)?;
        let added = ours.until("tandem has added what keepalived adds", |found| texts(found) == wanted);
        let added = added.map_err(|why| format!("{why}\nkeepalived has {wanted:#?}\n{}", node.log_tail()))?;
        more(&ours, &added)?;
        node.stop()?;
        ours.until("tandem has removed everything", <[_]>::is_empty)?;
        switch.cut("ours").map_err(say)
    }
}

impl<T: Send> Machine<'_, T> {
    /// Waits until what there is is as it should be.
    pub(super) fn until(
        &self,
        what: &str,
        holds: impl Fn(&[Entry<T>]) -> bool,
    ) -> Result<Vec<Entry<T>>, String> {
        let begin = Instant::now();
        loop {
            let look = self.comparison.look;
            let found = self.host.inside(look).and_then(|found| found).map_err(|e| e.to_string())?;
            if holds(&found) {
                return Ok(found);
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("not so after {PATIENCE:?}: {what}; there are {:#?}", texts(&found)));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// What both must agree on, in order.
pub(super) fn texts<T>(found: &[Entry<T>]) -> Vec<String> {
    let mut texts: Vec<String> = found.iter().map(|entry| entry.text.clone()).collect();
    texts.sort();
    texts
}

/// Starts a keepalived with this configuration, which [`start_ours`] reads then.
pub(super) fn start_theirs(folder: &Path, host: &Namespace, text: &str) -> Result<Child, String> {
    let file = folder.join("keepalived.conf");
    std::fs::write(&file, text).map_err(|e| e.to_string())?;
    let program = crate::find_program("keepalived").ok_or("keepalived is not installed")?;
    let mut command = Command::new(program);
    command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]).arg(&file);
    for (option, name) in [("--pid", "k.pid"), ("--vrrp_pid", "v.pid")] {
        command.arg(option).arg(folder.join(name));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    host.inside(move || command.spawn()).and_then(|spawned| spawned).map_err(|e| e.to_string())
}

pub(super) fn start_ours(folder: &Path, host: &Namespace) -> Result<Node, String> {
    let (file, other) = (folder.join("tandem.cfg"), folder.join("keepalived.conf"));
    let text = "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n\
                frontend web\n    bind :80\n    http-request return status 200\n";
    std::fs::write(&file, text).map_err(|e| e.to_string())?;
    let files = [("-f", file.as_path()), ("-k", other.as_path())];
    Node::start("lb1", &build_tandem::beside_us()?, &files, "100ms", &folder.join("lb1"), host)
}
