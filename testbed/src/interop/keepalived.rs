//! keepalived 2 as the other router of a virtual address: each side master, crashing, stopping, preempting, and
//! changing its priority; by both versions, both families, to a group and to peers. Tandem is configured by a section
//! of its own where it is the master, and by a keepalived.conf where it is not.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::build_tandem;
use crate::drill::node::Node;
use crate::lab::{self, Namespace, PATIENCE, Switch};

/// What the tracked file says while a router is to be the worse one.
const WORSE: &str = "-100\n";
const WELL: &str = "0\n";

/// How both sides talk to each other.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    version: u8,
    password: bool,
    unicast: bool,
    six: bool,
    /// Whether two routers move together; the tracked file is then a fault of the first one.
    group: bool,
    /// Whether the addresses live on an interface with a hardware address of its own.
    vmac: bool,
    /// Whether checksums to peers are those of keepalived until 1.3.6.
    old: bool,
}

/// What the ways differ from.
const PLAIN: Case = Case {
    name: "",
    version: 3,
    password: false,
    unicast: false,
    six: false,
    group: false,
    vmac: false,
    old: false,
};

/// Every way that keepalived 2.2.7 knows.
pub(super) const CASES: &[Case] = &[
    Case { name: "v2-multicast", version: 2, ..PLAIN },
    Case { name: "v2-unicast", version: 2, unicast: true, ..PLAIN },
    Case { name: "v2-password-multicast", version: 2, password: true, ..PLAIN },
    Case { name: "v2-password-unicast", version: 2, password: true, unicast: true, ..PLAIN },
    Case { name: "v3-multicast", ..PLAIN },
    Case { name: "v3-unicast", unicast: true, ..PLAIN },
    Case { name: "v3-unicast-old-checksum", unicast: true, old: true, ..PLAIN },
    Case { name: "v3-ipv6-multicast", six: true, ..PLAIN },
    Case { name: "v3-ipv6-unicast", unicast: true, six: true, ..PLAIN },
    Case { name: "v3-group", group: true, ..PLAIN },
    Case { name: "v3-virtual-mac", vmac: true, ..PLAIN },
    Case { name: "v3-ipv6-virtual-mac", six: true, vmac: true, ..PLAIN },
];

impl Case {
    /// The virtual addresses that are looked for.
    fn floating(&self) -> &'static [&'static str] {
        match (self.six, self.group) {
            (true, _) => &["fe80::100", "2001:db8::100"],
            (false, true) => &["192.0.2.100", "192.0.2.101"],
            (false, false) => &["192.0.2.100"],
        }
    }

    /// The virtual addresses with their prefixes, in the order of advertisements.
    fn addresses(&self) -> &'static [&'static str] {
        if self.six { &["fe80::100/64", "2001:db8::100/64"] } else { &["192.0.2.100/24"] }
    }

    /// A host's own address as its peer knows it.
    fn host(&self, number: u8) -> String {
        if self.six { format!("2001:db8::{number}") } else { format!("192.0.2.{number}") }
    }

    /// The router in keepalived's language, as this host has it; its peer is the other one.
    fn instance(&self, own: u8, peer: u8, priority: u8, drain: &Path) -> String {
        let mut text = format!(
            "track_file drain {{\n    file {}\n    weight 1\n}}\nvrrp_instance web {{\n    state BACKUP\n    interface eth0\n\
             \x20   virtual_router_id 51\n    priority {priority}\n    version {}\n    advert_int {}\n",
            drain.display(),
            self.version,
            if self.version == 2 { "1" } else { "0.1" },
        );
        // Writing to a string cannot fail.
        if self.password {
            text.push_str("    authentication {\n        auth_type PASS\n        auth_pass bench\n    }\n");
        }
        if self.unicast {
            let (own, peer) = (self.host(own), self.host(peer));
            let _ = writeln!(text, "    unicast_src_ip {own}\n    unicast_peer {{\n        {peer}\n    }}");
        }
        if self.vmac {
            text.push_str("    use_vmac\n");
        }
        if self.old {
            text.push_str("    old_unicast_checksum\n");
        }
        let _ = writeln!(text, "    virtual_ipaddress {{");
        for address in self.addresses() {
            let _ = writeln!(text, "        {address}");
        }
        let _ = writeln!(text, "    }}\n    track_file {{\n        drain\n    }}\n}}");
        if self.group {
            let _ = write!(
                text,
                "vrrp_instance other {{\n    state BACKUP\n    interface eth0\n    virtual_router_id 52\n    priority {priority}\n    version 3\n\
                 \x20   advert_int 0.1\n    virtual_ipaddress {{\n        192.0.2.101/24\n    }}\n}}\n\
                 vrrp_sync_group both {{\n    group {{\n        web\n        other\n    }}\n}}\n"
            );
        }
        text
    }

    /// The same in a section of Tandem's.
    fn section(&self, own: u8, peer: u8, priority: u8, drain: &Path) -> String {
        let mut text = format!(
            "virtual-router web\n    interface eth0\n    vrid 51\n    priority lb1 {priority}\n    preempt\n    version {}\n\
             \x20   advert-interval {}\n    track-file drain {} weight {}\n",
            self.version,
            if self.version == 2 { "1s" } else { "100ms" },
            drain.display(),
            i32::from(!self.group),
        );
        // Writing to a string cannot fail.
        for address in self.addresses() {
            let _ = writeln!(text, "    address {address}");
        }
        if self.vmac {
            text.push_str("    virtual-mac\n");
        }
        if self.old {
            text.push_str("    old-checksum\n");
        }
        if self.password {
            text.push_str("    authentication bench\n");
        }
        if self.unicast {
            let _ = writeln!(text, "    source {}\n    unicast-peer {}", self.host(own), self.host(peer));
        } else {
            text.push_str("    multicast\n");
        }
        if self.group {
            let _ = write!(
                text,
                "    group both\nvirtual-router other\n    group both\n    interface eth0\n    vrid 52\n    priority lb1 {priority}\n    preempt\n\
                 \x20   advert-interval 100ms\n    multicast\n    address 192.0.2.101/24\n"
            );
        }
        text
    }
}

/// Plays one case; inside a lab of its own.
pub(super) fn run(case: Case) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut stage = Stage::new(case, folder.path())?;
    let mut said = Vec::new();
    stage.ours_is_preferred(&mut said)?;
    stage.theirs_is_preferred(&mut said)?;
    Ok(format!("{}: {}", case.name, said.join(", ")))
}

struct Stage {
    case: Case,
    folder: PathBuf,
    tandem: PathBuf,
    here: Namespace,
    there: Namespace,
}

const HERE: u8 = 11;
const THERE: u8 = 12;

impl Stage {
    fn new(case: Case, folder: &Path) -> Result<Self, String> {
        let say = |e: std::io::Error| format!("the lab cannot be built: {e}");
        let mut switch = Switch::new().map_err(say)?;
        let mut host = |port: &str, number: u8| {
            let mut addresses: Vec<IpAddr> = vec![IpAddr::from([192, 0, 2, number])];
            if case.six {
                // One of the link, and one that peers know.
                let parse = |text: String| text.parse::<IpAddr>().map_err(|e| e.to_string());
                addresses = vec![parse(format!("fe80::{number}"))?, parse(case.host(number))?];
            }
            switch.host(port, &addresses).map_err(say)
        };
        let (here, there) = (host("ours", HERE)?, host("theirs", THERE)?);
        Ok(Self { case, folder: folder.to_path_buf(), tandem: build_tandem::beside_us()?, here, there })
    }

    /// Tandem has the higher priority: it preempts, crashes, returns, stops, becomes the worse one and the better.
    fn ours_is_preferred(&mut self, said: &mut Vec<String>) -> Result<(), String> {
        let mut they = self.start_theirs(100)?;
        self.until("keepalived is master alone", |s| s.holds(&s.there) && s.is_free(&s.here))?;
        let mut we = self.start_ours(150, false)?;
        self.until("tandem has preempted", |s| s.holds(&s.here) && s.is_free(&s.there))?;
        let begin = Instant::now();
        let children = we.children();
        we.kill_all(&children);
        self.until("keepalived replaces a crashed tandem", |s| s.holds(&s.there))?;
        said.push(format!("tandem crashes {} ms", begin.elapsed().as_millis()));
        self.until("the crashed tandem's address is gone", |s| s.is_free(&s.here))?;
        let we = self.start_ours(150, false)?;
        self.until("tandem has preempted again", |s| s.holds(&s.here) && s.is_free(&s.there))?;
        let begin = Instant::now();
        we.stop()?;
        self.until("keepalived replaces a stopped tandem", |s| s.holds(&s.there) && s.is_free(&s.here))?;
        said.push(format!("stops {} ms", begin.elapsed().as_millis()));
        let mut we = self.start_ours(150, false)?;
        self.until("tandem has preempted a third time", |s| s.holds(&s.here) && s.is_free(&s.there))?;
        let begin = Instant::now();
        self.drain("ours", WORSE)?;
        self.until("keepalived replaces a worse tandem", |s| s.holds(&s.there) && s.is_free(&s.here))?;
        said.push(format!("is worse {} ms", begin.elapsed().as_millis()));
        self.drain("ours", WELL)?;
        self.until("tandem is master again", |s| s.holds(&s.here) && s.is_free(&s.there))?;
        we.order("maintenance on")?;
        self.until("keepalived serves during maintenance", |s| s.holds(&s.there) && s.is_free(&s.here))?;
        we.until("in maintenance", PATIENCE, |status| status["maintenance"] == true)
            .map_err(|why| format!("{}: {why}", self.case.name))?;
        we.order("maintenance off")?;
        we.stop()?;
        end(&mut they, &self.child(), Signal::TERM)
    }

    /// keepalived has the higher priority: tandem is backup, replaces it, and gives way again.
    fn theirs_is_preferred(&mut self, said: &mut Vec<String>) -> Result<(), String> {
        let mut we = self.start_ours(100, true)?;
        self.until("tandem is master alone", |s| s.holds(&s.here))?;
        let mut they = self.start_theirs(150)?;
        self.until("keepalived has preempted", |s| s.holds(&s.there) && s.is_free(&s.here))?;
        we.until("backup", PATIENCE, |s| s["virtual_routers"][0]["role"] == "backup")?;
        let begin = Instant::now();
        send(&they, &self.child(), Signal::TERM)?;
        self.until("tandem replaces a stopped keepalived", |s| s.holds(&s.here) && s.is_free(&s.there))?;
        said.push(format!("keepalived stops {} ms", begin.elapsed().as_millis()));
        they.wait().map_err(|e| e.to_string())?;
        let mut they = self.start_theirs(150)?;
        self.until("keepalived has preempted again", |s| s.holds(&s.there) && s.is_free(&s.here))?;
        let begin = Instant::now();
        self.drain("theirs", WORSE)?;
        self.until("tandem replaces a worse keepalived", |s| s.holds(&s.here) && s.is_free(&s.there))?;
        said.push(format!("is worse {} ms", begin.elapsed().as_millis()));
        self.drain("theirs", WELL)?;
        self.until("keepalived is master again", |s| s.holds(&s.there) && s.is_free(&s.here))?;
        let begin = Instant::now();
        end(&mut they, &self.child(), Signal::KILL)?;
        self.until("tandem replaces a crashed keepalived", |s| s.holds(&s.here))?;
        said.push(format!("crashes {} ms", begin.elapsed().as_millis()));
        let status = we.status().unwrap_or_default();
        let refused = &status["virtual_routers"][0]["refused"];
        if refused.as_object().is_some_and(|r| !r.is_empty()) {
            return Err(format!("{}: packets of keepalived were refused: {refused}", self.case.name));
        }
        let noticed = &status["virtual_routers"][0]["noticed"];
        if self.case.old && noticed.get("checksum-form").is_some() {
            return Err(format!("{}: packets of keepalived are strange: {noticed}", self.case.name));
        }
        we.stop()
    }

    /// Says in the file that one side tracks how it is.
    fn drain(&self, side: &str, text: &str) -> Result<(), String> {
        std::fs::write(self.folder.join(side), text).map_err(|e| e.to_string())
    }

    /// Starts Tandem, with a section of its own or with keepalived's language.
    fn start_ours(&self, priority: u8, as_keepalived: bool) -> Result<Node, String> {
        let folder = self.folder.join("lb1");
        let text = format!(
            "global\n    stats socket {}/stats.sock\ndefaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n\
             frontend web\n    bind :80\n    http-request return status 200\n",
            folder.display(),
        );
        self.drain("ours", WELL)?;
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        let (file, other) = (folder.join("tandem.cfg"), folder.join("keepalived.conf"));
        let drain = self.folder.join("ours");
        let write = |file: &Path, text: String| std::fs::write(file, text).map_err(|e| e.to_string());
        let mut files = vec![("-f", file.as_path())];
        if as_keepalived {
            write(&file, text)?;
            write(&other, self.case.instance(HERE, THERE, priority, &drain))?;
            files.push(("-k", &other));
        } else {
            write(&file, text + &self.case.section(HERE, THERE, priority, &drain))?;
        }
        Node::start("lb1", &self.tandem, &files, "100ms", &folder, &self.here)
    }

    fn start_theirs(&self, priority: u8) -> Result<Child, String> {
        let file = self.folder.join("keepalived.conf");
        self.drain("theirs", WELL)?;
        let instance = self.case.instance(THERE, HERE, priority, &self.folder.join("theirs"));
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

    /// Whether a host has all virtual addresses.
    fn holds(&self, host: &Namespace) -> bool {
        self.held(host) == self.case.floating().len() && (!self.case.vmac || self.is_behind(host))
    }

    /// Whether it has none of them.
    fn is_free(&self, host: &Namespace) -> bool {
        self.held(host) == 0
    }

    /// Whether the switch has learnt the virtual hardware address at this host's port: advertisements and announcements
    /// come from there with it, and nothing from the other one.
    fn is_behind(&self, host: &Namespace) -> bool {
        let port = if std::ptr::eq(host, &self.here) { "ours" } else { "theirs" };
        let virtual_one = [0, 0, 0x5e, 0, if self.case.six { 2 } else { 1 }, 51];
        lab::learnt_at(virtual_one).is_ok_and(|found| found.as_deref() == Some(port))
    }

    fn held(&self, host: &Namespace) -> usize {
        let interface = if self.case.vmac { "vrrp.51" } else { "eth0" };
        let addresses = lab::addresses_of(host, interface).unwrap_or_default();
        let floating = |address: &IpAddr| self.case.floating().contains(&address.to_string().as_str());
        addresses.iter().filter(|address| floating(address)).count()
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        let tail = |name: &str| {
            let text = std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(12)..].join("\n")
        };
        lab::until(what, || holds(self)).map_err(|why| {
            let (ours, theirs) = (tail("lb1/log"), tail("keepalived.log"));
            format!("{}: {why}\ntandem says:\n{ours}\nkeepalived says:\n{theirs}", self.case.name)
        })
    }
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
