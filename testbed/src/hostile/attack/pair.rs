//! A pair in the lab under one kind of attack after the other: nothing moves, and no process ends.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use failover_vrrp::{Advertisement, Centis, Version};
use tempfile::TempDir;

use super::alone::{LOAD_CORE, PROGRAM_CORE};
use super::clients::Whom;
use super::figures::Figures;
use super::kinds::{Kind, Port};
use super::measure::{Target, measure};
use super::servers::Servers;
use crate::drill::watch::Watch;
use crate::hostile::forged;
use crate::hostile::pair::{EVIL, GOOD, NODES, Pair, SERVICE};
use crate::hostile::program::Usage;

/// The pair's virtual router and its advertisements' interval, in hundredths of a second.
const VRID: u8 = 51;
const INTERVAL: u16 = 10;
/// Whoever watches has seen within this who has the address in the beginning.
const SEEN: Duration = Duration::from_millis(300);
/// The priority of a forged master.
const WINNER: u8 = 254;

/// A pair, and what is behind it.
pub(super) struct Attacked {
    pair: Pair,
    servers: Servers,
    /// The processes of both nodes while all is well.
    processes: Vec<u32>,
    is_fresh: bool,
    /// Forged packets a second, where this kind forges, and who does it.
    forges: Option<u32>,
    forger: Option<forged::Forged>,
    folder: TempDir,
}

impl Attacked {
    pub(super) fn build() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let pair = Pair::build(folder.path(), TEXT, Some(PROGRAM_CORE))?;
        let servers = Servers::start_at(GOOD, EVIL, pair.servers(Some(LOAD_CORE)))?;
        Ok(Self { pair, servers, processes: Vec::new(), is_fresh: false, forges: None, forger: None, folder })
    }

    /// Plays one kind at a pair that is well: one that is not is started anew.
    pub(super) fn play(&mut self, kind: &Kind, length: Duration) -> Result<Figures, String> {
        self.servers.behave(kind.server);
        if !self.is_fresh || self.trouble().is_some() {
            self.pair.start_both()?;
            self.processes = [0, 1].map(|node| self.pair.processes(node)).concat();
        }
        self.is_fresh = false;
        let (client, attacker) = (self.pair.client(Some(LOAD_CORE)), self.pair.attacker(Some(LOAD_CORE)));
        self.forges = (kind.port == Port::Vrrp).then_some(kind.rate);
        let begin = Instant::now();
        let watch = Watch::start(&self.pair.hosts, *SERVICE.ip());
        let mut figures = measure(self, kind, length, &client, &attacker)?;
        self.forger = None;
        figures.stack = "tandem".to_owned();
        let (owners, seen) = (watch.finish()?, begin + SEEN);
        if owners.transitions(seen) > 0 {
            figures.wrong.push(format!("the address moved {} times", owners.transitions(seen)));
        }
        self.is_fresh = figures.wrong.is_empty();
        Ok(figures)
    }

    /// Tells each node in the other's name that it is a better master.
    fn start_forging(&self, rate: u32) -> Result<forged::Forged, String> {
        let addresses = vec![IpAddr::V4(*SERVICE.ip())];
        let interval = Centis::new(INTERVAL).ok_or("no such interval")?;
        let said = Advertisement { vrid: VRID, priority: WINNER, interval, addresses };
        let packet = |from: usize| {
            let (source, to) = (NODES[from], NODES[1 - from]);
            (source, to, said.encode(Version::V3, IpAddr::V4(source), IpAddr::V4(to), None))
        };
        Ok(forged::Forged::start(&self.pair.attacker(Some(LOAD_CORE)), vec![packet(0), packet(1)], rate))
    }
}

impl Target for Attacked {
    fn service(&self) -> SocketAddr {
        SERVICE.into()
    }

    fn whom(&self, port: Port) -> Result<Whom, String> {
        let master = |port| Ok(Whom::Tcp(SocketAddr::from((NODES[0], port))));
        match port {
            Port::Web => Ok(Whom::Tcp(SERVICE.into())),
            Port::Raw => Ok(Whom::Tcp(SocketAddr::from((*SERVICE.ip(), RAW)))),
            Port::Peers => master(PEERS),
            Port::Channel => master(PEERS + 1),
            Port::Stats => Ok(Whom::Unix(self.pair.stats(0))),
            // Not by a connection: the forger is at work.
            Port::Vrrp => Ok(Whom::Unix(Path::new("/dev/null").to_owned())),
        }
    }

    fn usage(&self) -> Usage {
        crate::hostile::program::usage(&self.processes)
    }

    fn logged(&self) -> u64 {
        self.pair.logged()
    }

    fn strike(&mut self, on: bool) -> Result<(), String> {
        let rate = self.forges.filter(|_| on);
        self.forger = rate.map(|rate| self.start_forging(rate)).transpose()?;
        Ok(())
    }

    fn trouble(&mut self) -> Option<String> {
        let gone = self.processes.iter().filter(|pid| !Path::new(&format!("/proc/{pid}")).exists()).count();
        if gone > 0 {
            return Some(format!("{gone} processes of the pair ended: {}", self.tails()));
        }
        match [0, 1].map(|node| self.pair.holds(node)) {
            [true, false] => None,
            [false, true] => Some(format!("the backup took over: {}", self.tails())),
            [true, true] => Some("both nodes have the address".to_owned()),
            [false, false] => Some("no node has the address".to_owned()),
        }
    }
}

impl Attacked {
    fn tails(&self) -> String {
        let tail = |name: &str| crate::drill::node::tail(&self.folder.path().join(name).join("log"));
        format!("the logs end:\n{}\n{}", tail("lb1"), tail("lb2"))
    }
}

const RAW: u16 = 3306;
const PEERS: u16 = 7400;
const TEXT: &str = "\
global
    nbthread 1
    maxconn 5000
    stats timeout 1s
    stats socket \"${TANDEM_RUN-/run/tandem}/stats.sock\" mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
    timeout http-request 1s
    timeout http-keep-alive 1s
    timeout check 1s
frontend web
    bind 192.0.2.100:80
    stick-table type ip size 100k expire 30s store conn_rate(3s),http_req_cnt
    http-request track-sc0 src
    http-request deny if { path_beg /deny }
    http-request return status 200 content-type text/plain string 'an answer by a rule' if { path_beg /return }
    stats enable
    stats uri /stats
    use_backend evil if { path_beg /evil }
    default_backend app
backend app
    server s1 192.0.2.21:8080 check inter 300ms
backend evil
    server e1 192.0.2.21:8081
listen raw
    mode tcp
    bind 192.0.2.100:3306
    server s1 192.0.2.21:8080
";
