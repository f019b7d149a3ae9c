//! One run: build the little world, let it serve, break it, look at what is left.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Scenario;
use super::client::{self, Asked, Ended, Record};
use super::node::Node;
use super::report::Run;
use rustix::process::Signal;

use crate::build_tandem;
use crate::lab::{Namespace, Switch};
use crate::server;

/// Steps of a run, for the progress bar.
pub(crate) const STEPS: u64 = 5;
const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 100), 80);
const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 21), Ipv4Addr::new(192, 0, 2, 22)];
/// Client addresses: enough that none reaches the example's limit.
const CLIENTS: std::ops::Range<u8> = 130..210;
const BODY: usize = 1_024;
/// Reloads of one run.
const RELOADS: usize = 10;
/// A node starts within this.
const START: Duration = Duration::from_secs(20);
/// Service before the fault, and after it.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(3);
/// What the client knew this long before the fault must not be lost.
const KNOWN_FOR: Duration = Duration::from_millis(100);

pub(crate) struct World {
    tandem: PathBuf,
    file: PathBuf,
    base: PathBuf,
    advert: String,
}

impl World {
    /// Prepares what all runs share: the program, the example and the members' certificates.
    pub(crate) fn new(base: &Path, advert: &str) -> Result<Self, String> {
        let tandem = build_tandem::beside_us()?;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/pair.cfg");
        let world = Self { tandem, file, base: base.to_path_buf(), advert: advert.to_owned() };
        for node in ["lb1", "lb2"] {
            // What an earlier drill kept here is of another cluster.
            let _ = std::fs::remove_dir_all(base.join(node));
        }
        let (one, two) = (base.join("lb1/etc"), base.join("lb2/etc"));
        let file = world.file.as_os_str();
        world.command(&[
            "cluster".as_ref(),
            "init".as_ref(),
            "-L".as_ref(),
            "lb1".as_ref(),
            "-f".as_ref(),
            file,
            "--dir".as_ref(),
            one.as_os_str(),
        ])?;
        let bundle = one.join("lb2.bundle");
        world.command(&[
            "cluster".as_ref(),
            "join".as_ref(),
            bundle.as_os_str(),
            "--dir".as_ref(),
            two.as_os_str(),
        ])?;
        Ok(world)
    }

    fn command(&self, words: &[&std::ffi::OsStr]) -> Result<(), String> {
        let output = Command::new(&self.tandem)
            .args(words)
            .env("TANDEM_ADVERT", &self.advert)
            .output()
            .map_err(|e| format!("cannot start '{}' : {e}", self.tandem.display()))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("{words:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)))
        }
    }

    fn start(&self, name: &'static str, host: &Namespace) -> Result<Node, String> {
        Node::start(name, &self.tandem, &[("-f", &self.file)], &self.advert, &self.base.join(name), host)
    }

    pub(crate) fn run(&self, scenario: Scenario, number: u32, step: &dyn Fn(&str)) -> Result<Run, String> {
        let say = |e: std::io::Error| format!("the lab cannot be built: {e}");
        step("building the lab");
        let mut switch = Switch::new().map_err(say)?;
        let mut host = |port: &str, addresses: &[Ipv4Addr]| {
            let addresses: Vec<IpAddr> = addresses.iter().copied().map(IpAddr::V4).collect();
            let host = Namespace::new().map_err(say)?;
            switch.plug(&format!("{port}-{number}"), &host, &addresses).map_err(say)?;
            Ok::<_, String>(host)
        };
        let clients: Vec<Ipv4Addr> = CLIENTS.map(|last| Ipv4Addr::new(192, 0, 2, last)).collect();
        let hosts =
            [host("lb1", &[Ipv4Addr::new(192, 0, 2, 11)])?, host("lb2", &[Ipv4Addr::new(192, 0, 2, 12)])?];
        let servers = host("servers", &SERVERS)?;
        let client = host("client", &clients)?;
        std::thread::spawn(move || {
            let served = servers
                .join()
                .and_then(|()| server::serve(&server::of_the_example(SERVERS[0], SERVERS[1]), BODY));
            if let Err(error) = served {
                eprintln!("the servers ended: {error}");
            }
        });
        step("starting the pair");
        let mut one = self.start("lb1", &hosts[0])?;
        one.until("master", START, |s| s["virtual_routers"][0]["role"] == "master")?;
        let mut two = self.start("lb2", &hosts[1])?;
        two.until("a healthy backup", START, |s| {
            s["virtual_routers"][0]["role"] == "backup"
                && s["health"] == "healthy"
                && s["worker"]["tables_are"] == "learnt"
        })?;
        step("serving");
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let asking = std::thread::spawn(move || {
            client.join()?;
            client::ask(&clients, SERVICE, &told)
        });
        // Spread over the interval of the advertisements: when the fault strikes is chance.
        let chance = Duration::from_millis(u64::from(number) * 37 % 100);
        std::thread::sleep(BEFORE + chance);
        step(scenario.word());
        let children = one.children();
        let fault = Instant::now();
        match scenario {
            Scenario::Crash => {
                switch.cut(&format!("lb1-{number}")).map_err(say)?;
                one.kill_all(&children);
            }
            Scenario::Kill => one.kill_all(&children),
            Scenario::ProxyCrash => one.kill_child("worker")?,
            Scenario::Stop => one.signal(Signal::TERM)?,
            Scenario::Failover => one.order("failover")?,
            Scenario::Reload => {
                for _ in 0..RELOADS {
                    one.order("reload")?;
                }
            }
        }
        std::thread::sleep(AFTER);
        step("counting");
        stop.store(true, Ordering::Relaxed);
        let records = asking.join().map_err(|_| "the clients died")?.map_err(say)?;
        let master = if scenario == Scenario::Reload { &mut one } else { &mut two };
        let now = master
            .until("master", Duration::from_secs(1), |s| s["virtual_routers"][0]["role"] == "master")?;
        let router = &now["virtual_routers"][0];
        let since = Duration::from_millis(router["since_ms"].as_u64().unwrap_or(0));
        let became = Instant::now().checked_sub(since).and_then(|at| at.checked_duration_since(fault));
        let (before, after) = entries(&records, fault, master)?;
        let name = master.name;
        let run = Run {
            outage: longest_gap(&records, fault),
            requests: records.len(),
            failed: records.iter().filter(|r| r.ended == Ended::Failed).count(),
            cut: records.iter().filter(|r| r.ended == Ended::Cut).count(),
            stick_violations: violations(&records),
            entries_before: before,
            entries_after: after,
            entries_lost: before - after,
            slowest: slowest(&records, fault),
            master: name.to_owned(),
            master_after: became.unwrap_or_default(),
            why: router["why"].as_str().unwrap_or("unknown").to_owned(),
        };
        drop((one, two));
        for port in ["lb1", "lb2", "servers", "client"] {
            // The one that was cut is gone already.
            let _ = switch.cut(&format!("{port}-{number}"));
        }
        Ok(run)
    }
}

/// The longest time without a good answer, from just before the fault on.
fn longest_gap(records: &[Record], fault: Instant) -> Duration {
    let good = records.iter().filter(|r| matches!(r.ended, Ended::Well(_))).map(|r| r.at);
    let last_before = good.clone().filter(|at| *at <= fault).max();
    let mut times: Vec<Instant> = good.filter(|at| *at > fault).collect();
    times.sort_unstable();
    let mut previous = last_before.unwrap_or(fault);
    let mut longest = Duration::ZERO;
    for at in times {
        longest = longest.max(at.duration_since(previous));
        previous = at;
    }
    // Clients that never got an answer again waited to the end.
    longest.max(records.iter().map(|r| r.at).max().map_or(Duration::ZERO, |end| end.duration_since(previous)))
}

/// The longest that a good answer took since just before the fault.
fn slowest(records: &[Record], fault: Instant) -> Duration {
    let good = records.iter().filter(|r| matches!(r.ended, Ended::Well(_)) && r.at >= fault);
    good.map(|r| r.took).max().unwrap_or_default()
}

/// Sessions that met another server than before.
fn violations(records: &[Record]) -> usize {
    let mut servers: BTreeMap<(Ipv4Addr, bool), &str> = BTreeMap::new();
    let mut count = 0;
    for record in records {
        if let Ended::Well(server) = &record.ended {
            let known = servers.insert((record.client, record.asked == Asked::App), server);
            count += usize::from(known.is_some_and(|before| before != server));
        }
    }
    count
}

/// Entries the clients knew of in time, and how many of those the new master still has: the limits'
/// table by address, the blog's by address and server.
fn entries(records: &[Record], fault: Instant, node: &Node) -> Result<(usize, usize), String> {
    let (web, blog) = (table(node, "web")?, table(node, "blog")?);
    let known = |r: &&Record| matches!(r.ended, Ended::Well(_)) && r.at + KNOWN_FOR <= fault;
    let mut expected: BTreeMap<(Ipv4Addr, Option<&str>), bool> = BTreeMap::new();
    for record in records.iter().filter(known) {
        let Ended::Well(server) = &record.ended else { continue };
        expected.insert((record.client, None), web.contains_key(&record.client));
        if record.asked == Asked::Blog {
            let id = server.strip_prefix('s').unwrap_or_default();
            let has = blog.get(&record.client).is_some_and(|line| {
                line.split_whitespace().any(|word| word.strip_prefix("server_id=") == Some(id))
            });
            expected.insert((record.client, Some("blog")), has);
        }
    }
    Ok((expected.len(), expected.values().filter(|has| **has).count()))
}

/// The lines of `show table`, by address.
fn table(node: &Node, name: &str) -> Result<BTreeMap<Ipv4Addr, String>, String> {
    let text = node.runtime(&format!("show table {name}"))?;
    let key = |line: &str| {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix("key="))?;
        Some((word.parse().ok()?, line.to_owned()))
    };
    Ok(text.lines().filter_map(key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(ms: u64, begin: Instant, ended: Ended) -> Record {
        let client = Ipv4Addr::new(192, 0, 2, 130);
        Record {
            client,
            asked: Asked::Blog,
            ended,
            at: begin + Duration::from_millis(ms),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn the_gap_is_between_good_answers_and_open_at_the_end() {
        let begin = Instant::now();
        let fault = begin + Duration::from_millis(50);
        let well = || Ended::Well("s1".to_owned());
        let mut records: Vec<_> = [0, 48, 90, 400]
            .map(|ms| record(ms, begin, if ms == 90 { Ended::Failed } else { well() }))
            .into();
        assert_eq!(longest_gap(&records, fault), Duration::from_millis(352));
        records.push(record(2_000, begin, Ended::Cut));
        assert_eq!(longest_gap(&records, fault), Duration::from_millis(1_600));
        assert_eq!(violations(&records), 0);
        records.push(record(2_001, begin, Ended::Well("s2".to_owned())));
        assert_eq!(violations(&records), 1);
    }
}
