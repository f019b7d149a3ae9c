//! Members of a cluster, whose unicast adverts somebody forges who sits on their link: the other member's address and
//! every priority. Nobody moves, whether the channel is there or not, and what was recorded is worth nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use std::io::{self, Read, Write};

use failover_vrrp::{Advertisement, Centis, Version};
use rustix::process::Signal;
use serde_json::Value;

use super::forger::{Ear, Forger};
use super::pair::{ATTACKER, host};
use super::{INTERVAL, LINES};
use crate::build_tandem;
use crate::drill::node::{Node, signal};
use crate::lab::{self, Namespace, PATIENCE, Switch};
use crate::link::pair;

const MEMBERS: [u8; 2] = [11, 12];
const CLIENT: u8 = 9;
const FLOATING: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));
/// How long adverts are forged; more than ten times what a backup waits for.
const ATTACK: Duration = Duration::from_secs(5);
/// Between two rounds of forged packets: many for each genuine one.
const ROUND: Duration = Duration::from_millis(5);
/// A client that waits longer has met nobody; the longest time without an answer, on a busy machine too.
const ANSWER: Duration = Duration::from_millis(900);
const GAP: Duration = Duration::from_millis(900);
/// How many genuine adverts are recorded.
const RECORDED: usize = 10;

/// Plays it; inside a lab of its own.
pub(super) fn play() -> Result<String, String> {
    let mut stage = Stage::start()?;
    let recorded = stage.record()?;
    let attacked = stage.attack()?;
    stage.replay(&recorded)?;
    Ok(format!(
        "members: {attacked}; {} recorded adverts, said again after a switch and after restarts, move nothing",
        recorded.len()
    ))
}

/// A pair that was made without a key is given one, node by node: in either order nobody is silenced by it.
pub(super) fn roll_out() -> Result<String, String> {
    for order in [[0, 1], [1, 0]] {
        let mut stage = Stage::start()?;
        for place in [0, 1] {
            // It has signed already, which is remembered.
            let state = stage.folder.path().join(["lb1", "lb2"][place]).join("state/adverts.state");
            stage.restart(place, |text| {
                text.split("-----BEGIN TANDEM").next().unwrap_or_default().to_owned()
            })?;
            std::fs::remove_file(state).map_err(say)?;
        }
        for node in &mut stage.nodes {
            node.until("saying that there is no key", PATIENCE, |status| {
                status["members"][0]["adverts"].is_null() && status["notes"].to_string().contains("add-key")
            })?;
        }
        let key = std::fs::read_to_string(stage.folder.path().join("lb1").join("lb2.bundle")).map_err(say)?;
        let key = key.split("-----BEGIN TANDEM").nth(1).ok_or("there is no key in the bundle")?.to_owned();
        let put = |text: &str| format!("{text}-----BEGIN TANDEM{key}");
        stage.restart(order[0], put)?;
        stage.nodes[order[0]].until("believing the other one unsigned", PATIENCE, |status| {
            status["members"][0]["adverts"] == "unsigned"
                && status["notes"].to_string().contains("not been seen to sign")
        })?;
        stage.exchange()?;
        stage.restart(order[1], put)?;
        for node in &mut stage.nodes {
            node.until("believing the other one signed", PATIENCE, |status| {
                status["members"][0]["adverts"] == "signed" && status["notes"] == serde_json::json!([])
            })?;
        }
        stage.exchange()?;
        // Back again: who signs no more says so on the channel.
        stage.restart(order[0], |text| {
            text.split("-----BEGIN TANDEM").next().unwrap_or_default().to_owned()
        })?;
        stage.nodes[order[1]].until("believing the other one unsigned again", PATIENCE, |status| {
            status["members"][0]["adverts"] == "unsigned"
        })?;
        stage.exchange()?;
        for node in &mut stage.nodes {
            let status = node.until("there", PATIENCE, |status| status["virtual_routers"][0].is_object())?;
            let refused = &status["virtual_routers"][0]["refused"];
            if *refused != serde_json::json!({}) {
                return Err(format!("{order:?}: adverts of a member were refused: {refused}"));
            }
        }
    }
    Ok("members: a key is introduced and taken away node by node in either order, and every switch succeeds"
        .to_owned())
}

struct Stage {
    nodes: Vec<Node>,
    hosts: [Namespace; 2],
    attacker: Namespace,
    client: Namespace,
    tandem: PathBuf,
    folder: tempfile::TempDir,
    _switch: Switch,
}

fn say(error: io::Error) -> String {
    format!("the lab: {error}")
}

impl Stage {
    /// lb1 of priority 150 is master, lb2 of 100 its backup.
    fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(say)?;
        let tandem = build_tandem::beside_us()?;
        let mut switch = Switch::new().map_err(say)?;
        // An earlier lab of this process may have left its cables.
        for port in ["one", "two", "evil", "client"] {
            let _ = switch.cut(port);
        }
        let hosts = pair::hosts(&mut switch)?;
        let attacker = switch.host("evil", &[host(ATTACKER)]).map_err(say)?;
        let client = switch.host("client", &[host(CLIENT)]).map_err(say)?;
        let nodes = pair::start(folder.path(), &tandem, &hosts, text)?;
        let mut stage = Self { nodes, hosts, attacker, client, tandem, folder, _switch: switch };
        if stage.owners()? != [true, false] {
            // A busy machine has stopped the first one for a moment.
            pair::hand_over(&stage.nodes[1])?;
        }
        for (node, role) in stage.nodes.iter_mut().zip(["master", "backup"]) {
            node.until(role, PATIENCE, |status| status["virtual_routers"][0]["role"] == role)?;
        }
        Ok(stage)
    }

    fn owners(&self) -> Result<[bool; 2], String> {
        let holds = |place: usize| {
            lab::addresses_of(&self.hosts[place], "eth0").map(|there| there.contains(&FLOATING)).map_err(say)
        };
        Ok([holds(0)?, holds(1)?])
    }

    /// What the master says to its backup, as a switch that mirrors a port would show it.
    fn record(&self) -> Result<Vec<Vec<u8>>, String> {
        let listen = || {
            let ear = Ear::at_host().map_err(say)?;
            let mut recorded = Vec::new();
            lab::until("the master's adverts", || {
                let heard = std::iter::from_fn(|| ear.hear());
                recorded.extend(heard.filter(|(source, ..)| *source == host(MEMBERS[0])).map(|(.., m)| m));
                recorded.len() >= RECORDED
            })?;
            Ok(recorded)
        };
        let recorded = self.hosts[1].inside(listen).map_err(say)?;
        let logs = || self.nodes.iter().map(Node::log_tail).collect::<Vec<_>>().join("\n\n");
        recorded.map_err(|why: String| format!("{why}; the logs end:\n{}", logs()))
    }

    /// Forges adverts in each member's name for the other one; meanwhile the control processes are killed.
    fn attack(&mut self) -> Result<String, String> {
        let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let moves = |status: &Value| {
            let router = &status["virtual_routers"][0];
            [router["became_master"].as_u64(), router["released_master"].as_u64()]
        };
        let before: Vec<_> = self.nodes.iter().map(|node| node.status().as_ref().map(moves)).collect();
        let (owners, served, gap) = std::thread::scope(|scope| {
            let forger = scope.spawn(|| self.attacker.inside(|| forge(&over, &sent)).map_err(say)?);
            let client = scope.spawn(|| self.client.inside(|| visit(&over)).map_err(say)?);
            let owners = self.watch(&over);
            over.store(true, Relaxed);
            let died = |_| "a thread died".to_owned();
            forger.join().map_err(died)??;
            let (served, gap) = client.join().map_err(died)??;
            Ok::<_, String>((owners?, served, gap))
        })?;
        if gap > GAP {
            return Err(format!("clients were served {served} times, and once not for {gap:?}"));
        }
        let sent = sent.load(Relaxed);
        for (place, before) in before.into_iter().enumerate() {
            let name = ["lb2", "lb1"][place];
            let status = self.nodes[place].until("counting what it refused", PATIENCE, |status| {
                let member = &status["members"][0];
                member["adverts"] == "signed"
                    && member["adverts_refused"].as_u64().unwrap_or(0) >= sent / 4
                    && status["notes"]
                        .to_string()
                        .contains(&format!("forged adverts refused in {name}'s name"))
            })?;
            if Some(moves(&status)) != before {
                return Err(format!("{name}'s peer has moved: {}", status["virtual_routers"][0]));
            }
            self.check_log(place)?;
        }
        Ok(format!(
            "{sent} forged adverts and two killed control processes in {} s: one owner at each of {owners} looks, \
             {served} clients served, the longest gap {} ms",
            ATTACK.as_secs(),
            gap.as_millis()
        ))
    }

    /// Looks who has the address, all the time: how often.
    fn watch(&self, over: &AtomicBool) -> Result<u64, String> {
        let (begin, mut looks, mut killed) = (Instant::now(), 0, 0);
        while begin.elapsed() < ATTACK {
            let owners = self.owners()?;
            if owners != [true, false] {
                let forged = begin.elapsed().as_millis();
                return Err(format!("{forged} ms after the first forged advert the owners are {owners:?}"));
            }
            looks += 1;
            // Each while the forger is at work.
            if killed < 2 && begin.elapsed() > ATTACK / 4 * (killed + 1) {
                let children = self.nodes[killed as usize].children();
                let control = children.iter().find(|(name, _)| name == "control");
                signal(control.ok_or("there is no control process")?.1, Signal::KILL);
                killed += 1;
            }
            std::thread::sleep(ROUND);
        }
        over.store(true, Relaxed);
        Ok(looks)
    }

    /// The log names the forged adverts, and has few lines of them.
    fn check_log(&self, place: usize) -> Result<(), String> {
        let log = std::fs::read_to_string(self.folder.path().join(["lb1", "lb2"][place]).join("log"));
        let log = log.map_err(say)?;
        let lines = log.lines().filter(|line| line.contains("signature-missing")).count();
        if (1..=LINES).contains(&lines) {
            Ok(())
        } else {
            Err(format!("{lines} lines of forged adverts in\n{log}"))
        }
    }

    /// Says again what the master said: after a switch, without it, and to a backup that has just started.
    fn replay(&mut self, recorded: &[Vec<u8>]) -> Result<(), String> {
        let role = |role: &'static str| move |s: &Value| s["virtual_routers"][0]["role"] == role;
        let refused = |status: &Value| {
            let refused = &status["virtual_routers"][0]["refused"];
            ["signature-replay", "signature-session"]
                .iter()
                .filter_map(|why| refused[*why].as_u64())
                .sum::<u64>()
        };
        let count = u64::try_from(recorded.len()).unwrap_or(0);
        for node in &mut self.nodes {
            node.until("connected", PATIENCE, |status| status["members"][0]["ready"] == true)?;
        }
        pair::hand_over(&self.nodes[0])?;
        self.nodes[1].until("master", PATIENCE, role("master"))?;
        self.nodes[0].until("backup", PATIENCE, role("backup"))?;
        self.say_again(recorded)?;
        self.nodes[1].until("refusing after a switch", PATIENCE, |s| refused(s) >= count)?;
        self.remains(1, "a replay after a switch")?;
        // Its sender is gone: what it said keeps nobody from taking over.
        self.nodes.remove(0).stop()?;
        self.nodes.remove(0).stop()?;
        let mut again = self.start_one(1)?;
        let begin = Instant::now();
        loop {
            self.say_again(recorded)?;
            let status = again.status().unwrap_or_default();
            if role("master")(&status) && refused(&status) >= count {
                break;
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("what a dead master said is believed: {status}"));
            }
        }
        // With a new session the real one is believed at once.
        let mut back = self.start_one(0)?;
        back.until("backup", PATIENCE, |s| {
            role("backup")(s) && s["virtual_routers"][0]["adverts_received"] != 0
        })?;
        self.say_again(recorded)?;
        pair::hand_over(&again)?;
        back.until("master again", PATIENCE, role("master"))?;
        again.until("backup again", PATIENCE, |s| {
            role("backup")(s)
                && s["virtual_routers"][0]["master"] == "lb1"
                && s["members"][0]["adverts"] == "signed"
        })?;
        back.stop()?;
        again.stop()
    }

    fn remains(&self, place: usize, after: &str) -> Result<(), String> {
        let owners = self.owners()?;
        if owners[place] && !owners[1 - place] {
            Ok(())
        } else {
            Err(format!("{after}: the owners are {owners:?}"))
        }
    }

    fn say_again(&self, recorded: &[Vec<u8>]) -> Result<(), String> {
        let again = || {
            let forger = Forger::open().map_err(say)?;
            recorded
                .iter()
                .try_for_each(|message| forger.send_to(MEMBERS[0], MEMBERS[1], message).map_err(say))
        };
        self.attacker.inside(again).map_err(say)?
    }

    /// Has a node start again with another certificate file; the other one is master meanwhile.
    fn restart(&mut self, place: usize, change: impl Fn(&str) -> String) -> Result<(), String> {
        let path = self.folder.path().join(["lb1", "lb2"][place]).join("cluster.pem");
        let text = std::fs::read_to_string(&path).map_err(say)?;
        std::fs::write(&path, change(&text)).map_err(say)?;
        self.nodes[place].end()?;
        lab::until("the other one has the address", || self.owners().is_ok_and(|owners| owners[1 - place]))?;
        self.nodes[place] = self.start_one(place)?;
        self.nodes[place].until("backup", PATIENCE, |s| {
            s["virtual_routers"][0]["role"] == "backup" && s["virtual_routers"][0]["adverts_received"] != 0
        })?;
        for node in &mut self.nodes {
            node.until("connected", PATIENCE, |status| status["members"][0]["ready"] == true)?;
        }
        Ok(())
    }

    /// Both have the addresses once, and hear each other as master.
    fn exchange(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            let master = usize::from(self.owners()?[1]);
            pair::hand_over(&self.nodes[master])?;
            self.nodes[1 - master]
                .until("master", PATIENCE, |s| s["virtual_routers"][0]["role"] == "master")?;
            let before =
                self.nodes[master].status().map(|s| s["virtual_routers"][0]["adverts_received"].as_u64());
            let before = before.flatten().unwrap_or(0);
            self.nodes[master].until("hearing the other one", PATIENCE, |s| {
                let router = &s["virtual_routers"][0];
                router["role"] == "backup" && router["adverts_received"].as_u64().unwrap_or(0) > before + 3
            })?;
        }
        Ok(())
    }

    fn start_one(&self, place: usize) -> Result<Node, String> {
        let name = ["lb1", "lb2"][place];
        let folder = self.folder.path().join(name);
        let file = folder.join("tandem.cfg");
        Node::start(name, &self.tandem, &[("-f", &file)], "100ms", &folder, &self.hosts[place])
    }
}

/// Adverts in each member's name for the other one, until it is over: every priority, another interval, both versions.
fn forge(over: &AtomicBool, sent: &AtomicU64) -> Result<(), String> {
    let forger = Forger::open().map_err(say)?;
    let mut packets = Vec::new();
    for (from, to) in [(MEMBERS[1], MEMBERS[0]), (MEMBERS[0], MEMBERS[1])] {
        for (version, priority, centis) in [
            (Version::V3, 254, INTERVAL),
            (Version::V3, 255, INTERVAL),
            (Version::V3, 0, INTERVAL),
            (Version::V3, 254, 4_000),
            (Version::V2, 254, 100),
        ] {
            let interval = Centis::new(centis).ok_or("no such interval")?;
            let said = Advertisement { vrid: 51, priority, interval, addresses: vec![FLOATING] };
            packets.push((from, to, said.encode(version, host(from), host(to), None)));
        }
    }
    while !over.load(Relaxed) {
        for (from, to, message) in &packets {
            forger.send_to(*from, *to, message).map_err(say)?;
        }
        sent.fetch_add(u64::try_from(packets.len() / 2).unwrap_or(0), Relaxed);
        std::thread::sleep(ROUND);
    }
    Ok(())
}

/// A client that comes again and again: how often it was served, and the longest time without an answer.
fn visit(over: &AtomicBool) -> Result<(u64, Duration), String> {
    let (mut served, mut last, mut gap) = (0, Instant::now(), Duration::ZERO);
    while !over.load(Relaxed) {
        if ask().is_ok() {
            served += 1;
            gap = gap.max(last.elapsed());
            last = Instant::now();
        }
        std::thread::sleep(ROUND);
    }
    Ok((served, gap.max(last.elapsed())))
}

fn ask() -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(FLOATING, 80), ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(io::Error::other(answer)) }
}

fn text(folder: &Path) -> String {
    format!(
        "global\n    nbthread 1\n    stats socket {0}/stats.sock level admin\n\
         defaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n\
         frontend web\n    bind :80\n    http-request return status 200\n\
         cluster c\n    member lb1 192.0.2.11\n    member lb2 192.0.2.12\n\
         \x20   crt {0}/cluster.pem ca-file {0}/cluster-ca.pem\n\
         virtual-router web\n    interface eth0\n    vrid 51\n    advert-interval 100ms\n    priority lb1 150\n\
         \x20   address 192.0.2.100/24\n",
        folder.display(),
    )
}
