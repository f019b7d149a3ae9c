//! A pair in a lab: two nodes of a cluster, the servers behind them, good clients, and somebody who wishes them ill.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::pipe;
use super::program::{Place, Usage, pin, usage};
use crate::build_tandem;
use crate::drill::node::Node;
use crate::drill::stack::{Member, NAMES, Role};
use crate::lab::{Namespace, Switch, answers_for, route, until};

pub(super) const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 100), 80);
pub(super) const NODES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 11), Ipv4Addr::new(192, 0, 2, 12)];
const SERVERS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 21);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 130);
/// Addresses of the attacker.
const ATTACKERS: std::ops::RangeInclusive<u8> = 200..=231;
const ADVERT: &str = "100ms";
/// How often it is tried to start a pair.
const ATTEMPTS: usize = 3;

/// The servers' addresses.
pub(super) const GOOD: SocketAddrV4 = SocketAddrV4::new(SERVERS, 8080);
pub(super) const EVIL: SocketAddrV4 = SocketAddrV4::new(SERVERS, 8081);

/// The lab and what runs in it.
pub(super) struct Pair {
    nodes: [Option<Node>; 2],
    pub(super) hosts: [Arc<Namespace>; 2],
    client: Arc<Namespace>,
    attacker: Arc<Namespace>,
    servers: Arc<Namespace>,
    folder: PathBuf,
    tandem: PathBuf,
    core: Option<usize>,
    /// Whether the nodes' standard outputs are read; `None`: they go nowhere.
    reads: Option<Arc<AtomicBool>>,
    _switch: Switch,
}

/// What makes a pair of two nodes, whatever they serve.
const SECTIONS: &str = "\
cluster prod
    member lb1 192.0.2.11
    member lb2 192.0.2.12
    port 7400
    crt \"${TANDEM_ETC-/etc/tandem}/cluster.pem\" ca-file \"${TANDEM_ETC-/etc/tandem}/cluster-ca.pem\"
virtual-router web
    interface eth0
    vrid 51
    address 192.0.2.100/24
    priority lb1 150
    priority lb2 100
    advert-interval \"${TANDEM_ADVERT-100ms}\"
";

impl Pair {
    /// Builds the lab around nodes that will run this file and [`SECTIONS`], kept on a core if one is given.
    pub(super) fn build(folder: &Path, text: &str, core: Option<usize>) -> Result<Self, String> {
        let say = |e: std::io::Error| format!("the lab cannot be built: {e}");
        let tandem = build_tandem::beside_us()?;
        let file = folder.join("pair.cfg");
        std::fs::write(&file, format!("{text}{SECTIONS}")).map_err(say)?;
        let mut switch = Switch::new().map_err(say)?;
        let mut plug = |port: &str, addresses: &[Ipv4Addr]| {
            let addresses: Vec<IpAddr> = addresses.iter().copied().map(IpAddr::V4).collect();
            switch.host(port, &addresses).map(Arc::new).map_err(say)
        };
        let hosts = [plug("lb1", &NODES[..1])?, plug("lb2", &NODES[1..])?];
        let servers = plug("servers", &[SERVERS, GATEWAY])?;
        let client = plug("client", &[CLIENT])?;
        let attacker = plug("attacker", &attackers())?;
        for host in &hosts {
            route(host, GATEWAY).map_err(say)?;
        }
        let pair = Self {
            nodes: [None, None],
            hosts,
            client,
            attacker,
            servers,
            folder: folder.to_owned(),
            tandem,
            core,
            reads: None,
            _switch: switch,
        };
        pair.make_certificates()?;
        Ok(pair)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("pair.cfg")
    }

    fn make_certificates(&self) -> Result<(), String> {
        let (one, two) = (self.folder.join("lb1/etc"), self.folder.join("lb2/etc"));
        let mut init = Command::new(&self.tandem);
        init.args(["cluster", "init", "-L", "lb1", "-f"]).arg(self.file()).arg("--dir").arg(&one);
        let mut join = Command::new(&self.tandem);
        join.args(["cluster", "join"]).arg(one.join("lb2.bundle")).arg("--dir").arg(two);
        for command in [&mut init, &mut join] {
            let output = command.env("TANDEM_ADVERT", ADVERT).output();
            let output = output.map_err(|e| format!("cannot start '{}': {e}", self.tandem.display()))?;
            if !output.status.success() {
                return Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)));
            }
        }
        Ok(())
    }

    /// Nodes that start from now on write their standard output to a pipe that is read.
    pub(super) fn logs_to_pipe(&mut self) {
        self.reads = Some(Arc::new(AtomicBool::new(true)));
    }

    /// Has the pipes read, or not.
    pub(super) fn read_logs(&self, reads: bool) {
        if let Some(shared) = &self.reads {
            shared.store(reads, Ordering::Relaxed);
        }
    }

    /// Starts a node; what is left of an earlier one ends.
    pub(super) fn start(&mut self, node: usize) -> Result<(), String> {
        self.nodes[node] = None;
        let (name, folder, file) = (NAMES[node], self.folder.join(NAMES[node]), self.file());
        let stdout = match &self.reads {
            Some(reads) => Stdio::from(pipe::drained(reads).map_err(|e| format!("a pipe: {e}"))?),
            None => Stdio::null(),
        };
        let (tandem, host, core) = (&self.tandem, &self.hosts[node], self.core);
        let start = || {
            core.map_or(Ok(()), pin).map_err(|e| e.to_string())?;
            Node::start_to(name, tandem, &[("-f", &file)], ADVERT, &folder, host, stdout)
        };
        // A thread of its own: what it starts inherits its core.
        let started = std::thread::scope(|scope| scope.spawn(start).join());
        self.nodes[node] = Some(started.map_err(|_| "a thread died")??);
        Ok(())
    }

    /// Starts both, the better one first, and waits until each is what it should be. A busy machine may need more than
    /// one attempt.
    pub(super) fn start_both(&mut self) -> Result<(), String> {
        (1..ATTEMPTS).find_map(|_| self.start_both_once().ok()).map_or_else(|| self.start_both_once(), Ok)
    }

    fn start_both_once(&mut self) -> Result<(), String> {
        self.nodes = [None, None];
        self.start(0)?;
        self.wait("lb1 is master", |pair| pair.master() == Some(0))?;
        self.start(1)?;
        self.wait("lb2 is a healthy backup", |pair| pair.role(1) == Some(Role::Backup))
    }

    /// Waits until something is so; an error shows the ends of the logs.
    pub(super) fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<(), String> {
        until(what, || is_so(self)).map_err(|why| format!("{why}\n{}", self.tails()))
    }

    /// The ends of both nodes' logs.
    pub(super) fn tails(&self) -> String {
        let tails = self.nodes.iter().flatten().map(|node| format!("{}:\n{}", node.name, node.log_tail()));
        tails.collect::<Vec<_>>().join("\n")
    }

    pub(super) fn node(&self, node: usize) -> Result<&Node, String> {
        self.nodes[node].as_ref().ok_or_else(|| format!("{} does not run", NAMES[node]))
    }

    pub(super) fn role(&self, node: usize) -> Option<Role> {
        self.nodes[node].as_ref()?.role()
    }

    pub(super) fn holds(&self, node: usize) -> bool {
        let look = || Ok(answers_for(&mut failover::netlink::Netlink::open()?, IpAddr::V4(*SERVICE.ip())));
        self.hosts[node].inside(look).and_then(|held: std::io::Result<bool>| held).unwrap_or(false)
    }

    /// The one node that is master and has the address.
    pub(super) fn master(&self) -> Option<usize> {
        let master = match [0, 1].map(|node| self.holds(node)) {
            [true, false] => 0,
            [false, true] => 1,
            [true, true] | [false, false] => return None,
        };
        (self.role(master) == Some(Role::Master)).then_some(master)
    }

    /// Every process of a node, by its number in /proc.
    pub(super) fn processes(&self, node: usize) -> Vec<u32> {
        let inside = self.nodes[node].as_ref().map(Member::processes).unwrap_or_default();
        seen_in_proc(&inside)
    }

    /// What a process of the lab uses.
    pub(super) fn usage_of(process: i32) -> Usage {
        usage(&seen_in_proc(&[process]))
    }

    /// The process of a node that carries traffic.
    pub(super) fn worker(&self, node: usize) -> Option<i32> {
        self.nodes[node].as_ref()?.worker()
    }

    /// Bytes of both nodes' logs.
    pub(super) fn logged(&self) -> u64 {
        let length =
            |name| std::fs::metadata(self.folder.join(name).join("log")).map_or(0, |meta| meta.len());
        NAMES.iter().map(length).sum()
    }

    /// Where good clients are, where the attacker is, and where the servers.
    pub(super) fn client(&self, core: Option<usize>) -> Place {
        Place { core, host: Some(Arc::clone(&self.client)), sources: Vec::new() }
    }

    pub(super) fn attacker(&self, core: Option<usize>) -> Place {
        Place { core, host: Some(Arc::clone(&self.attacker)), sources: attackers() }
    }

    pub(super) fn servers(&self, core: Option<usize>) -> Place {
        Place { core, host: Some(Arc::clone(&self.servers)), sources: Vec::new() }
    }

    /// The statistics socket of a node.
    pub(super) fn stats(&self, node: usize) -> PathBuf {
        self.folder.join(NAMES[node]).join("stats.sock")
    }
}

/// The lab has process numbers of its own, and /proc those of the world around it.
fn seen_in_proc(inside: &[i32]) -> Vec<u32> {
    let world = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/pid")).ok();
    let own = world("self");
    let every = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = every.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_one = |number: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
        let last = status.lines().find_map(|line| line.strip_prefix("NSpid:")?.split_whitespace().last());
        let last = last.and_then(|last| last.parse().ok());
        last.is_some_and(|last| inside.contains(&last)) && world(&number.to_string()) == own
    };
    numbers.filter(is_one).collect()
}

fn attackers() -> Vec<Ipv4Addr> {
    ATTACKERS.map(|last| Ipv4Addr::new(192, 0, 2, last)).collect()
}
