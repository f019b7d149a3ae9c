//! Two Tandems on a link with a third host, which is not their friend.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::build_tandem;
use crate::drill::node::Node;
use crate::lab::{Namespace, Switch};

const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const MASTER: u8 = 11;
const BACKUP: u8 = 12;
pub(super) const ATTACKER: u8 = 66;

/// A host of the link.
pub(super) fn host(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

pub(super) struct Pair {
    pub(super) attacker: Namespace,
    master: Option<Node>,
    backup: Node,
    folder: TempDir,
    _hosts: [Namespace; 2],
    _switch: Switch,
}

impl Pair {
    /// A master of priority 150 and a backup of 100, each with these lines in its section.
    pub(super) fn start(version: u8, lines: [&str; 2]) -> Result<Self, String> {
        let say = |e: std::io::Error| format!("the lab cannot be built: {e}");
        let folder = tempfile::tempdir().map_err(say)?;
        let tandem: PathBuf = build_tandem::beside_us()?;
        let mut switch = Switch::new().map_err(say)?;
        let mut plug = |port: &str, number: u8| {
            // An earlier lab of this process may have left its cables.
            let _ = switch.cut(port);
            switch.host(port, &[host(number)]).map_err(say)
        };
        let (one, two, attacker) = (plug("one", MASTER)?, plug("two", BACKUP)?, plug("evil", ATTACKER)?);
        let start = |name: &'static str, priority: u8, lines: &str, namespace: &Namespace| {
            let run = folder.path().join(name);
            std::fs::create_dir_all(&run).map_err(say)?;
            let file = run.join("tandem.cfg");
            let interval = if version == 2 { "1s" } else { "100ms" };
            let text = format!(
                "global\n    stats socket {}/stats.sock\ndefaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n\
                 \x20   timeout server 1s\nfrontend web\n    bind :80\n    http-request return status 200\nvirtual-router web\n    interface eth0\n\
                 \x20   vrid 51\n    version {version}\n    advert-interval {interval}\n    multicast\n    preempt\n    address 192.0.2.100/24\n\
                 \x20   priority {name} {priority}\n{lines}",
                run.display()
            );
            std::fs::write(&file, text).map_err(say)?;
            Node::start(name, &tandem, &[("-f", &file)], interval, &run, namespace)
        };
        let master = Some(start("lb1", 150, lines[0], &one)?);
        let backup = start("lb2", 100, lines[1], &two)?;
        Ok(Self { attacker, master, backup, folder, _hosts: [one, two], _switch: switch })
    }

    /// Waits until the better one is master and the other one hears it.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        let role = |role: &'static str| move |s: &Value| s["virtual_routers"][0]["role"] == role;
        if let Some(master) = &mut self.master {
            master.until("master", PATIENCE, role("master"))?;
        }
        self.backup.until("backup", PATIENCE, |s| {
            let router = &s["virtual_routers"][0];
            router["role"] == "backup" && router["adverts_received"].as_u64().unwrap_or(0) > 3
        })?;
        Ok(())
    }

    /// Each node's router, the master's first.
    fn routers(&mut self) -> Result<Vec<Value>, String> {
        let nodes = self.master.iter_mut().chain([&mut self.backup]);
        let ask = |node: &mut Node| node.until("there", PATIENCE, |s| s["virtual_routers"][0].is_object());
        nodes.map(|node| ask(node).map(|status| status["virtual_routers"][0].clone())).collect()
    }

    /// Each node's role and why it has it; not since when, which is another number each time.
    pub(super) fn roles(&mut self) -> Result<Vec<(String, String)>, String> {
        let of = |router: &Value| (router["role"].to_string(), router["why"].to_string());
        Ok(self.routers()?.iter().map(of).collect())
    }

    /// What each has refused for a reason. The status follows within its turn, so the last packets are waited for.
    pub(super) fn refused(&mut self, why: &str) -> Result<Vec<u64>, String> {
        let mut last = Vec::new();
        loop {
            let routers = self.routers()?;
            let now: Vec<u64> =
                routers.iter().map(|router| router["refused"][why].as_u64().unwrap_or(0)).collect();
            if now == last {
                return Ok(now);
            }
            last = now;
            std::thread::sleep(Duration::from_millis(600));
        }
    }

    pub(super) fn backup_refused(&mut self, why: &str) -> Result<u64, String> {
        Ok(self.refused(why)?.last().copied().unwrap_or(0))
    }

    pub(super) fn stop_master(&mut self) -> Result<(), String> {
        self.master.take().map_or(Ok(()), Node::stop)
    }

    pub(super) fn until_backup_is_master(&mut self) -> Result<(), String> {
        self.until_backup("master", |router| router["role"] == "master")
    }

    pub(super) fn until_backup(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<(), String> {
        self.backup.until(what, PATIENCE, |s| holds(&s["virtual_routers"][0])).map(|_| ())
    }

    /// Counts the lines about packets; each reason has few, and names the attacker's network card.
    pub(super) fn check_logs(&self, most: usize) -> Result<usize, String> {
        let mac = self
            .attacker
            .inside(|| {
                let link = failover::netlink::Netlink::open().and_then(|mut netlink| netlink.link("eth0"));
                link.map(|link| link.mac.map(|byte| format!("{byte:02x}")).join(":"))
            })
            .and_then(|mac| mac)
            .map_err(|e| e.to_string())?;
        let mut total = 0;
        for name in ["lb1", "lb2"] {
            let log = std::fs::read_to_string(self.folder.path().join(name).join("log"));
            let log = log.map_err(|e| e.to_string())?;
            let lines: Vec<&str> = log.lines().filter(|line| line.contains("refused")).collect();
            let mut reasons = std::collections::BTreeMap::<&str, usize>::new();
            for line in &lines {
                let why =
                    line.split_once("why=").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default();
                *reasons.entry(why).or_insert(0) += 1;
                if !line.contains(&mac) {
                    return Err(format!("{name}: the attacker's card {mac} is not named: {line}"));
                }
            }
            if reasons.len() < 3 || reasons.values().any(|count| *count > most) {
                return Err(format!("{name}: lines by reason {reasons:?}, and at most {most} are right"));
            }
            total += lines.len();
        }
        Ok(total)
    }
}
