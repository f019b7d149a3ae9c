//! keepalived 2 as the other router of a virtual address: each side master, crashing, stopping, preempting.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use failover::netlink::Netlink;
use rustix::process::{Pid, Signal, kill_process};

use crate::build_tandem;
use crate::drill::node::Node;
use crate::lab::{Namespace, Switch};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
const THEIRS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 12);
/// Everything here happens within this; a change by version 2 takes up to four seconds.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(10);

/// The router as both sides write it.
struct Router {
    title: &'static str,
    /// Lines of a `virtual-router` section, or of an instance in keepalived's own language.
    ours: Ours,
    theirs: &'static str,
}

enum Ours {
    Section(&'static str),
    Instance(&'static str),
}

/// Version 2 as most files in the wild have it.
const CLASSIC: Router = Router {
    title: "version 2, multicast, password",
    ours: Ours::Section("    version 2\n    multicast\n    authentication bench\n    advert-interval 1s\n"),
    theirs: "    version 2\n    advert_int 1\n    authentication {\n        auth_type PASS\n        auth_pass bench\n    }\n",
};

const MODERN: Router = Router {
    title: "version 3, unicast",
    ours: Ours::Section("    unicast-peer 192.0.2.12\n    advert-interval 100ms\n"),
    theirs: "    version 3\n    advert_int 0.1\n    unicast_src_ip 192.0.2.12\n    unicast_peer {\n        192.0.2.11\n    }\n",
};

/// Both sides in keepalived's language.
const SAME: Router = Router {
    title: "version 3, multicast, both from a keepalived.conf",
    ours: Ours::Instance("    version 3\n    advert_int 0.1\n    mcast_src_ip 192.0.2.11\n"),
    theirs: "    version 3\n    advert_int 0.1\n",
};

pub(super) fn run() -> Result<String, String> {
    let mut said = vec![super::language::compare()?];
    for (number, router) in [CLASSIC, MODERN, SAME].iter().enumerate() {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut stage = Stage::new(number, router, folder.path())?;
        stage.ours_is_preferred(&mut said)?;
        stage.theirs_is_preferred(&mut said)?;
    }
    Ok(said.join("\n"))
}

struct Stage<'r> {
    router: &'r Router,
    folder: PathBuf,
    tandem: PathBuf,
    here: Namespace,
    there: Namespace,
}

impl<'r> Stage<'r> {
    fn new(number: usize, router: &'r Router, folder: &Path) -> Result<Self, String> {
        let say = |e: std::io::Error| format!("the lab cannot be built: {e}");
        let mut switch = Switch::new().map_err(say)?;
        let mut host = |port: &str, address| {
            let host = Namespace::new().map_err(say)?;
            switch.plug(&format!("{port}{number}"), &host, &[address]).map_err(say)?;
            Ok::<_, String>(host)
        };
        let (here, there) = (host("ours", OURS)?, host("theirs", THEIRS)?);
        Ok(Self { router, folder: folder.to_path_buf(), tandem: build_tandem::beside_us()?, here, there })
    }

    /// Tandem has the higher priority: master, crash, return, stop.
    fn ours_is_preferred(&mut self, said: &mut Vec<String>) -> Result<(), String> {
        let title = self.router.title;
        let mut they = self.start_theirs(100)?;
        self.until("keepalived is master alone", |s| s.holds(&s.there) && !s.holds(&s.here))?;
        let mut we = self.start_ours(150)?;
        self.until("tandem has preempted", |s| s.holds(&s.here) && !s.holds(&s.there))?;
        let begin = Instant::now();
        let children = we.children();
        we.kill_all(&children);
        self.until("keepalived replaces a crashed tandem", |s| s.holds(&s.there))?;
        said.push(format!(
            "{title}: keepalived took over {} ms after tandem's crash",
            begin.elapsed().as_millis()
        ));
        self.until("the crashed tandem's address is gone", |s| !s.holds(&s.here))?;
        let we = self.start_ours(150)?;
        self.until("tandem has preempted again", |s| s.holds(&s.here) && !s.holds(&s.there))?;
        let begin = Instant::now();
        we.stop()?;
        self.until("keepalived replaces a stopped tandem", |s| s.holds(&s.there) && !s.holds(&s.here))?;
        said.push(format!(
            "{title}: keepalived took over {} ms after tandem's goodbye",
            begin.elapsed().as_millis()
        ));
        end(&mut they, &self.child(), Signal::TERM)
    }

    /// keepalived has the higher priority: tandem is backup, replaces it, and gives way again.
    fn theirs_is_preferred(&mut self, said: &mut Vec<String>) -> Result<(), String> {
        let title = self.router.title;
        let mut we = self.start_ours(100)?;
        self.until("tandem is master alone", |s| s.holds(&s.here))?;
        let mut they = self.start_theirs(150)?;
        self.until("keepalived has preempted", |s| s.holds(&s.there) && !s.holds(&s.here))?;
        we.until("backup", PATIENCE, |s| s["virtual_routers"][0]["role"] == "backup")?;
        let begin = Instant::now();
        send(&they, &self.child(), Signal::TERM)?;
        self.until("tandem replaces a stopped keepalived", |s| s.holds(&s.here) && !s.holds(&s.there))?;
        said.push(format!(
            "{title}: tandem took over {} ms after keepalived's goodbye",
            begin.elapsed().as_millis()
        ));
        they.wait().map_err(|e| e.to_string())?;
        let mut they = self.start_theirs(150)?;
        self.until("keepalived has preempted again", |s| s.holds(&s.there) && !s.holds(&s.here))?;
        let begin = Instant::now();
        end(&mut they, &self.child(), Signal::KILL)?;
        self.until("tandem replaces a crashed keepalived", |s| s.holds(&s.here))?;
        said.push(format!(
            "{title}: tandem took over {} ms after keepalived's crash",
            begin.elapsed().as_millis()
        ));
        let status = we.status().unwrap_or_default();
        let refused = &status["virtual_routers"][0]["refused"];
        if refused.as_object().is_some_and(|r| !r.is_empty()) {
            return Err(format!("{title}: packets of keepalived were refused: {refused}"));
        }
        we.stop()?;
        // What the crashed one left would answer in the next act.
        self.clear_theirs()
    }

    fn start_ours(&self, priority: u8) -> Result<Node, String> {
        let folder = self.folder.join("lb1");
        let text = format!(
            "global\n    stats socket {}/stats.sock\ndefaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n\
             frontend web\n    bind {ADDRESS}:80\n    http-request return status 200\n",
            folder.display(),
        );
        let section = |lines| {
            format!(
                "virtual-router web\n    interface eth0\n    vrid 51\n    address {ADDRESS}/24\n    priority lb1 {priority}\n    preempt\n{lines}"
            )
        };
        let (text, instance) = match self.router.ours {
            Ours::Section(lines) => (text + &section(lines), String::new()),
            Ours::Instance(lines) => (text, instance(priority, lines)),
        };
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        let (file, other) = (folder.join("tandem.cfg"), folder.join("keepalived.conf"));
        std::fs::write(&file, text).map_err(|e| e.to_string())?;
        std::fs::write(&other, &instance).map_err(|e| e.to_string())?;
        let files = [("-f", file.as_path()), ("-k", other.as_path())];
        let files = if instance.is_empty() { &files[..1] } else { &files };
        Node::start("lb1", &self.tandem, files, "100ms", &folder, &self.here)
    }

    fn start_theirs(&self, priority: u8) -> Result<Child, String> {
        let file = self.folder.join("keepalived.conf");
        let instance = instance(priority, self.router.theirs);
        std::fs::write(&file, format!("global_defs {{\n    script_user root\n}}\n{instance}"))
            .map_err(|e| e.to_string())?;
        let program = crate::find_program("keepalived").ok_or("keepalived is not installed")?;
        let log = std::fs::File::create(self.folder.join("keepalived.log")).map_err(|e| e.to_string())?;
        let mut command = Command::new(program);
        command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]).arg(&file);
        for (option, name) in [("--pid", "k.pid"), ("--vrrp_pid", "v.pid")] {
            command.arg(option).arg(self.folder.join(name));
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log);
        self.there.inside(move || command.spawn()).and_then(|spawned| spawned).map_err(|e| e.to_string())
    }

    /// The file that names keepalived's child.
    fn child(&self) -> PathBuf {
        self.folder.join("v.pid")
    }

    /// Whether a host has the virtual address.
    fn holds(&self, host: &Namespace) -> bool {
        let look = || {
            let mut netlink = Netlink::open()?;
            let index = netlink.link("eth0")?.index;
            netlink.addresses(index)
        };
        let addresses = host.inside(look).and_then(|found| found);
        addresses.is_ok_and(|list| list.iter().any(|(address, _)| *address == IpAddr::V4(ADDRESS)))
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        let begin = Instant::now();
        while !holds(self) {
            if begin.elapsed() > PATIENCE {
                let tail = |name: &str| {
                    let text = std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
                    let lines: Vec<&str> = text.lines().collect();
                    lines[lines.len().saturating_sub(12)..].join("\n")
                };
                return Err(format!(
                    "{}: not so after {PATIENCE:?}: {what}\ntandem says:\n{}\nkeepalived says:\n{}",
                    self.router.title,
                    tail("lb1/log"),
                    tail("keepalived.log")
                ));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn clear_theirs(&self) -> Result<(), String> {
        let mut they = self.start_theirs(1)?;
        // At its start keepalived removes what an earlier one left; then it says goodbye.
        std::thread::sleep(Duration::from_millis(300));
        end(&mut they, &self.child(), Signal::TERM)
    }
}

/// The router in keepalived's language.
fn instance(priority: u8, lines: &str) -> String {
    format!(
        "vrrp_instance web {{\n    state BACKUP\n    interface eth0\n    virtual_router_id 51\n    priority {priority}\n\
         {lines}    virtual_ipaddress {{\n        {ADDRESS}/24\n    }}\n}}\n"
    )
}

/// Sends a signal to keepalived's parent, which says goodbye; or kills all of it at once.
fn send(they: &Child, child: &Path, signal: Signal) -> Result<(), String> {
    let parent = i32::try_from(they.id()).ok().and_then(Pid::from_raw).ok_or("no pid")?;
    let kill = |pid, signal| kill_process(pid, signal).map_err(|e| e.to_string());
    if signal != Signal::KILL {
        return kill(parent, signal);
    }
    // A parent that lives restarts its child, and one that dies has it say goodbye.
    kill(parent, Signal::STOP)?;
    let child =
        std::fs::read_to_string(child).map_err(|e| format!("keepalived's child is not known: {e}"))?;
    let child = child.trim().parse().ok().and_then(Pid::from_raw).ok_or("no pid of a child")?;
    kill(child, Signal::KILL)?;
    kill(parent, Signal::KILL)
}

fn end(they: &mut Child, child: &Path, signal: Signal) -> Result<(), String> {
    send(they, child, signal)?;
    they.wait().map(|_| ()).map_err(|e| e.to_string())
}
