//! One run: build the little world, let it serve, break it, look at what is left.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use super::fault::strike;
use super::load::{self, Asked, Counts, Felt, Load, Record};
use super::report::{Busy, Run, millis};
use super::scenario::Scenario;
use super::stack::{Member, NAMES, Programs, Role};
use super::watch::Watch;
use super::{Plan, interval};
use crate::lab::{Capture, Frame, Namespace, Stalls, Switch, answers_for, mac, route};
use crate::server;
use crate::versus::load::keep_alive;

/// Steps of a run, for the progress bar.
pub(crate) const STEPS: u64 = 5;
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const SERVICE: SocketAddrV4 = SocketAddrV4::new(ADDRESS, 80);
const NODES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 11), Ipv4Addr::new(192, 0, 2, 12)];
const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 21), Ipv4Addr::new(192, 0, 2, 22)];
/// Whom the nodes ask whether they are alone.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const BODY: usize = 1_024;
/// A node starts within this.
const START: Duration = Duration::from_secs(20);
/// How often it is looked whether something is so.
const LOOK: Duration = Duration::from_millis(10);
/// What the client knew this long before the fault must not be lost.
const KNOWN_FOR: Duration = Duration::from_millis(100);
/// How often a node is asked for a table: one that is busy may not answer in time.
const ASKED: usize = 5;
/// Rest between two of many switches.
const REST: Duration = Duration::from_millis(200);
/// Connections that saturate a proxy, and where: nobody counts how much is asked there.
const SATURATING: u32 = 50;
const UNLIMITED: SocketAddrV4 = SocketAddrV4::new(ADDRESS, 3306);

/// The little world of a run.
pub(super) struct Stage<'a> {
    programs: &'a Programs,
    pub(super) plan: &'a Plan,
    number: u32,
    switch: Switch,
    pub(super) hosts: [Arc<Namespace>; 2],
    client: Arc<Namespace>,
    members: [Option<Box<dyn Member>>; 2],
    began: Option<Instant>,
    over: Option<(Instant, SystemTime)>,
    healed: Option<Instant>,
}

impl<'a> Stage<'a> {
    fn build(programs: &'a Programs, plan: &'a Plan, number: u32) -> Result<Self, String> {
        let say = |e: std::io::Error| format!("the lab cannot be built: {e}");
        let mut switch = Switch::new().map_err(say)?;
        let at_servers: Vec<IpAddr> = SERVERS.into_iter().chain([GATEWAY]).map(IpAddr::V4).collect();
        let servers = switch.host(&format!("servers-{number}"), &at_servers).map_err(say)?;
        let at_client: Vec<IpAddr> = load::addresses().map(IpAddr::V4).collect();
        let client = switch.host(&format!("client-{number}"), &at_client).map_err(say)?;
        std::thread::spawn(move || {
            let served = servers
                .join()
                .and_then(|()| server::serve(&server::of_the_example(SERVERS[0], SERVERS[1]), BODY));
            if let Err(error) = served {
                eprintln!("the servers ended: {error}");
            }
        });
        let host = || Namespace::new().map(Arc::new).map_err(say);
        let hosts = [host()?, host()?];
        let client = Arc::new(client);
        let members = [None, None];
        let mut stage = Self {
            programs,
            plan,
            number,
            switch,
            hosts,
            client,
            members,
            began: None,
            over: None,
            healed: None,
        };
        stage.plug(0)?;
        stage.plug(1)?;
        Ok(stage)
    }

    /// The switch's port of a node.
    pub(super) fn port(&self, node: usize) -> String {
        format!("{}-{}", NAMES[node], self.number)
    }

    pub(super) fn plug(&mut self, node: usize) -> Result<(), String> {
        let port = self.port(node);
        let plugged = self.switch.plug(&port, &self.hosts[node], &[IpAddr::V4(NODES[node])]);
        plugged.map_err(|e| format!("{port} cannot be plugged in: {e}"))?;
        self.route(node)
    }

    pub(super) fn unplug(&mut self, node: usize) -> Result<(), String> {
        let port = self.port(node);
        self.switch.cut(&port).map_err(|e| format!("{port} cannot be pulled out: {e}"))
    }

    pub(super) fn route(&self, node: usize) -> Result<(), String> {
        route(&self.hosts[node], GATEWAY).map_err(|e| format!("{} gets no route: {e}", NAMES[node]))
    }

    /// Starts a node's programs; what is left of earlier ones ends.
    pub(super) fn start(&mut self, node: usize) -> Result<(), String> {
        self.members[node] = None;
        self.members[node] = Some(self.programs.start(node, &self.hosts[node])?);
        Ok(())
    }

    pub(super) fn member(&mut self, node: usize) -> Result<&mut Box<dyn Member>, String> {
        self.members[node].as_mut().ok_or_else(|| format!("{} does not run", NAMES[node]))
    }

    /// The fault begins now.
    pub(super) fn begins(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    /// What lifted the fault has returned: now at the latest nothing is wrong.
    pub(super) fn has_healed(&mut self) {
        self.healed = Some(Instant::now());
    }

    /// Nothing is wrong from now on.
    pub(super) fn is_over(&mut self) {
        self.over = Some((Instant::now(), SystemTime::now()));
    }

    fn role(&self, node: usize) -> Option<Role> {
        self.members[node].as_ref()?.role()
    }

    fn holds(&self, node: usize) -> bool {
        let look = || Ok(answers_for(&mut failover::netlink::Netlink::open()?, IpAddr::V4(ADDRESS)));
        self.hosts[node].inside(look).and_then(|held: std::io::Result<bool>| held).unwrap_or(false)
    }

    /// The one node that is master and has the address.
    pub(super) fn master(&self) -> Result<usize, String> {
        match [0, 1].map(|node| self.holds(node)) {
            [true, false] if self.role(0) == Some(Role::Master) => Ok(0),
            [false, true] if self.role(1) == Some(Role::Master) => Ok(1),
            held => Err(format!("there is not one master; who has the address: {held:?}")),
        }
    }

    pub(super) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<(), String> {
        let begin = Instant::now();
        while !is_so(self) {
            if begin.elapsed() > START {
                let tails = self.members.iter().zip(NAMES).map(|(member, name)| {
                    let tail = member.as_ref().map(|member| member.tail()).unwrap_or_default();
                    format!("the log of {name} ends:\n{tail}")
                });
                return Err(format!(
                    "not so after {START:?}: {what}; {:?}\n{}",
                    self.master(),
                    tails.collect::<Vec<_>>().join("\n")
                ));
            }
            sleep(LOOK);
        }
        Ok(())
    }

    /// The one node that is master, as soon as there is one: a node that is busy may not say so at once.
    pub(super) fn one_master(&self) -> Result<usize, String> {
        let found = Cell::new(0);
        self.until("one node is master and has the address", |stage| {
            stage.master().map(|master| found.set(master)).is_ok()
        })?;
        Ok(found.get())
    }

    fn start_pair(&mut self) -> Result<(), String> {
        self.start(0)?;
        self.until("lb1 is master", |stage| stage.master() == Ok(0))?;
        self.start(1)?;
        self.until("lb2 is a healthy backup", |stage| stage.role(1) == Some(Role::Backup))
    }

    /// Switches back and forth; who was stopped is started again.
    fn switch_often(&mut self, scenario: Scenario, count: u32) -> Result<(), String> {
        for _ in 0..count {
            let from = self.one_master()?;
            strike(scenario, self)?;
            if scenario == Scenario::Stop {
                self.start(from)?;
            } else {
                self.until("the address has moved", |stage| stage.master() == Ok(1 - from))?;
            }
            self.until("one is master and the other a healthy backup", |stage| {
                stage.master().is_ok_and(|master| stage.role(1 - master) == Some(Role::Backup))
            })?;
            sleep(REST);
        }
        Ok(())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.members = [None, None];
        for port in ["lb1", "lb2", "servers", "client"] {
            // One that was cut is gone already.
            let _ = self.switch.cut(&format!("{port}-{}", self.number));
        }
    }
}

/// Plays a run. Who watches for stalls begins anew when it is served: that nodes took long to start decides nothing.
pub(crate) fn run(
    programs: &Programs,
    plan: &Plan,
    number: u32,
    stalls: &Stalls,
    step: &dyn Fn(&str),
) -> Result<Run, String> {
    step("building the lab");
    let mut stage = Stage::build(programs, plan, number)?;
    step("starting the pair");
    stage.start_pair()?;
    if plan.scenario == Scenario::Busy {
        step("saturating every core");
        return busy(&mut stage);
    }
    step("serving");
    stalls.begin_anew();
    let watch = Watch::start(&stage.hosts, ADDRESS);
    let zombie = mac(IpAddr::V4(NODES[0]));
    let answers = move |frame: &Frame<'_>| {
        (frame.sender() == Some(zombie) && frame.answers_for() == Some(ADDRESS.octets())).then_some(frame.at)
    };
    let capture = (plan.scenario == Scenario::Pause).then(|| Capture::start(&stage.client, answers));
    let capture = capture.transpose().map_err(|e| format!("nothing can be captured: {e}"))?;
    let load = Load::start(Arc::clone(&stage.client), SERVICE, plan.full);
    // Spread over the interval of the advertisements: when the fault strikes is chance.
    let chance = interval(&plan.advert).unwrap_or_default() * (number * 37 % 100) / 100;
    sleep(plan.before + chance);
    step(&plan.scenario.word());
    if plan.switches > 1 {
        stage.switch_often(plan.scenario, plan.switches)?;
    } else {
        strike(plan.scenario, &mut stage)?;
    }
    sleep(plan.after);
    step("counting");
    let felt = load.finish()?;
    let owners = watch.finish()?;
    let began = stage.began.ok_or("nothing happened")?;
    let over = stage.over.map(|(at, _)| at);
    let last = owners.last();
    let (known, left) = last.map_or((0, None), |node| stage.entries(&felt.fresh, began, node));
    let woken = stage.over.map(|(_, at)| at);
    let after_waking = |at: &&SystemTime| woken.is_some_and(|woken| **at > woken);
    let zombie_answers = capture.map(Capture::finish).transpose()?;
    Ok(Run {
        outage_ms: millis(longest_gap(&felt.fresh, began)),
        slowest_ms: millis(slowest(&felt.fresh, began)),
        requests: felt.fresh.len(),
        failed: sum(&felt, |c| c.failed),
        reset: sum(&felt, |c| c.reset),
        refused: sum(&felt, |c| c.refused),
        cut: fresh(&felt).reset,
        kept: felt.kept,
        fetched: felt.fetched,
        sent: felt.sent,
        switches: plan.switches,
        stick_violations: violations(&felt.fresh),
        entries_before: known,
        entries_after: left,
        entries_lost: left.map(|left| known - left),
        master: last.map_or("not one", |node| NAMES[node]).to_owned(),
        master_after_ms: millis(owners.moved(began).unwrap_or_default()),
        why: last.and_then(|node| stage.members[node].as_ref()?.why()).unwrap_or_default(),
        transitions: owners.transitions(began),
        two_masters_ms: millis(owners.both(began)),
        one_master_ms: stage.healed.or(over).and_then(|healed| owners.one_again(healed)).map(millis),
        clients_back_ms: over.map(|over| millis(all_back(&felt.fresh, over))),
        address_gone_ms: owners.gone(0, began).map(millis),
        zombie_answers: zombie_answers.map(|seen| seen.iter().filter(after_waking).count()),
        ..Run::default()
    })
}

/// Nothing goes wrong, but there is no time for anything.
fn busy(stage: &mut Stage<'_>) -> Result<Run, String> {
    let began = Instant::now();
    let watch = Watch::start(&stage.hosts, ADDRESS);
    let adverts = |frame: &Frame<'_>| frame.advertisement().map(|(from, _)| (frame.at, from));
    let capture = Capture::start(&stage.hosts[1], adverts).map_err(|e| e.to_string())?;
    let stop = Arc::new(AtomicBool::new(false));
    let spin = || {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        })
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let spinning: Vec<_> = (0..cores).map(|_| spin()).collect();
    let client = Arc::clone(&stage.client);
    let length = stage.plan.seconds;
    let asking = std::thread::spawn(move || {
        client.join()?;
        keep_alive(UNLIMITED, SATURATING, length, BODY, &|_| ())
    });
    let asked = asking.join().map_err(|_| "the clients died")?;
    stop.store(true, Ordering::Relaxed);
    spinning.into_iter().for_each(|thread| drop(thread.join()));
    let owners = watch.finish()?;
    let seen = capture.finish()?;
    // Who holds the address and is never heard of has moved it just as well.
    let others = seen.iter().filter(|(_, from)| *from != NODES[0].octets()).count();
    let interval = interval(&stage.plan.advert).unwrap_or_default();
    let late =
        lateness(seen.iter().filter(|(_, from)| *from == NODES[0].octets()).map(|(at, _)| *at), interval);
    let last = owners.last();
    let requests = asked.as_ref().map_or(0, |load| load.latencies.len());
    Ok(Run {
        requests,
        failed: usize::from(asked.is_err()),
        master: last.map_or("not one", |node| NAMES[node]).to_owned(),
        why: last.and_then(|node| stage.members[node].as_ref()?.why()).unwrap_or_default(),
        transitions: owners.transitions(began + LOOK),
        two_masters_ms: millis(owners.both(began)),
        busy: Some(Busy {
            seconds: began.elapsed().as_secs(),
            adverts: seen.len() - others,
            adverts_of_the_backup: others,
            latest_ms: late.last().copied().unwrap_or_default(),
            late_99_ms: late.get(late.len() * 99 / 100).copied().unwrap_or_default(),
        }),
        ..Run::default()
    })
}

/// How much later than its time each advertisement came, the latest last.
fn lateness(times: impl Iterator<Item = SystemTime>, interval: Duration) -> Vec<f64> {
    let times: Vec<SystemTime> = times.collect();
    let late = |pair: &[SystemTime]| {
        millis(pair[1].duration_since(pair[0]).unwrap_or_default().saturating_sub(interval))
    };
    let mut late: Vec<f64> = times.windows(2).map(late).collect();
    late.sort_by(f64::total_cmp);
    late
}

fn fresh(felt: &Felt) -> Counts {
    let mut counts = Counts::default();
    felt.fresh.iter().for_each(|record| counts.count(&record.ended));
    counts
}

fn sum(felt: &Felt, which: impl Fn(&Counts) -> usize) -> usize {
    [&fresh(felt), &felt.kept, &felt.fetched, &felt.sent].map(which).iter().sum()
}

/// The longest time without a good answer, from just before the fault on.
fn longest_gap(records: &[Record], fault: Instant) -> Duration {
    let good = records.iter().filter(|r| r.ended.is_ok()).map(|r| r.at);
    let last_before = good.clone().filter(|at| *at <= fault).max();
    let mut times: Vec<Instant> = good.filter(|at| *at > fault).collect();
    times.sort_unstable();
    let mut previous = last_before.unwrap_or(fault);
    let mut longest = Duration::ZERO;
    for at in times {
        longest = longest.max(at.duration_since(previous));
        previous = at;
    }
    // Clients that never get an answer again wait to the end: to the last question, not to the end of its patience.
    let last_asked = records.iter().filter_map(|r| r.at.checked_sub(r.took)).max();
    longest.max(last_asked.map_or(Duration::ZERO, |end| end.saturating_duration_since(previous)))
}

/// The longest that a good answer took since just before the fault.
fn slowest(records: &[Record], fault: Instant) -> Duration {
    let good = records.iter().filter(|r| r.ended.is_ok() && r.at >= fault);
    good.map(|r| r.took).max().unwrap_or_default()
}

/// After which time each client had an answer again, and nothing failed that was begun later.
fn all_back(records: &[Record], over: Instant) -> Duration {
    let mut first: BTreeMap<Ipv4Addr, Option<Instant>> = BTreeMap::new();
    let mut last_trouble = over;
    for record in records.iter().filter(|r| r.at > over) {
        let client = first.entry(record.client).or_default();
        match &record.ended {
            Ok(_) => *client = client.or(Some(record.at)),
            Err(_) => last_trouble = last_trouble.max(record.at.checked_sub(record.took).unwrap_or(over)),
        }
    }
    let end = records.iter().map(|r| r.at).max().unwrap_or(over);
    let back = first.values().map(|at| at.unwrap_or(end)).max().unwrap_or(over);
    back.max(last_trouble).saturating_duration_since(over)
}

/// Sessions that met another server than the last that had answered when they asked: who asks twice before the first
/// answer knows no server yet.
fn violations(records: &[Record]) -> usize {
    let mut answers: BTreeMap<(Ipv4Addr, bool), Vec<(Instant, &str)>> = BTreeMap::new();
    let mut count = 0;
    for record in records {
        if let Ok(server) = &record.ended {
            let answers = answers.entry((record.client, record.asked == Asked::App)).or_default();
            let begun = record.at.checked_sub(record.took);
            let known = answers.iter().rfind(|(at, _)| begun.is_some_and(|begun| *at <= begun));
            count += usize::from(known.is_some_and(|(_, before)| before != server));
            answers.push((record.at, server));
        }
    }
    count
}

impl Stage<'_> {
    /// Entries the clients knew of in time, and how many of those a node still has, if it says so: the limits' table
    /// by address, the blog's by address and server.
    fn entries(&self, records: &[Record], fault: Instant, node: usize) -> (usize, Option<usize>) {
        let member = self.members[node].as_ref();
        let ask = |name| table(&member?.runtime(&format!("show table {name}")).ok()?);
        let table = |name| {
            (0..ASKED).find_map(|_| {
                ask(name).or_else(|| {
                    sleep(LOOK);
                    None
                })
            })
        };
        let tables = table("web").zip(table("blog"));
        let known = |r: &&Record| r.ended.is_ok() && r.at + KNOWN_FOR <= fault;
        let mut expected: BTreeMap<(Ipv4Addr, Option<&str>), bool> = BTreeMap::new();
        for record in records.iter().filter(known) {
            let Ok(server) = &record.ended else { continue };
            let has = |(web, _): &(Lines, Lines)| web.contains_key(&record.client);
            expected.insert((record.client, None), tables.as_ref().is_some_and(has));
            if record.asked == Asked::Blog {
                let id = server.strip_prefix('s').unwrap_or_default();
                let same = |word: &str| word.strip_prefix("server_id=") == Some(id);
                let has = |(_, blog): &(Lines, Lines)| {
                    blog.get(&record.client).is_some_and(|line| line.split_whitespace().any(same))
                };
                expected.insert((record.client, Some("blog")), tables.as_ref().is_some_and(has));
            }
        }
        let left = tables.is_some().then(|| expected.values().filter(|has| **has).count());
        (expected.len(), left)
    }
}

/// Lines of a table, by address.
type Lines = BTreeMap<Ipv4Addr, String>;

/// What `show table` says.
fn table(text: &str) -> Option<Lines> {
    let key = |line: &str| {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix("key="))?;
        Some((word.parse().ok()?, line.to_owned()))
    };
    text.starts_with("# table").then(|| text.lines().filter_map(key).collect())
}

#[cfg(test)]
mod tests {
    use super::super::load::Trouble;
    use super::*;

    fn record(ms: u64, begin: Instant, ended: Result<&str, Trouble>) -> Record {
        Record {
            client: Ipv4Addr::new(192, 0, 2, 130),
            asked: Asked::Blog,
            ended: ended.map(str::to_owned),
            at: begin + Duration::from_millis(ms),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn the_gap_is_between_good_answers_and_open_at_the_end() {
        let begin = Instant::now();
        let fault = begin + Duration::from_millis(50);
        let mut records: Vec<_> = [0, 48, 90, 400]
            .map(|ms| record(ms, begin, if ms == 90 { Err(Trouble::Failed) } else { Ok("s1") }))
            .into();
        assert_eq!(longest_gap(&records, fault), Duration::from_millis(352));
        assert_eq!(all_back(&records, fault), Duration::from_millis(350));
        records.push(record(2_000, begin, Err(Trouble::Reset)));
        assert_eq!(longest_gap(&records, fault), Duration::from_millis(1_600));
        assert_eq!(all_back(&records, fault), Duration::from_millis(1_950));
        assert_eq!(violations(&records), 0);
        records.push(record(2_001, begin, Ok("s2")));
        assert_eq!(violations(&records), 1);
    }

    #[test]
    fn who_asked_before_the_first_answer_may_meet_another_server() {
        let begin = Instant::now();
        let took =
            |ms, took, server| Record { took: Duration::from_millis(took), ..record(ms, begin, Ok(server)) };
        let both = [took(10, 10, "s1"), took(12, 5, "s2")];
        assert_eq!(violations(&both), 0);
        // Each of these asked after an answer, and is given another server than that.
        let [first, second] = both;
        let later = [first, second, took(14, 3, "s2"), took(15, 3, "s1"), took(20, 1, "s1")];
        assert_eq!(violations(&later), 2);
    }

    #[test]
    fn adverts_are_late_by_what_exceeds_their_interval() {
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        let late = lateness([at(0), at(100), at(230), at(300)].into_iter(), Duration::from_millis(100));
        assert_eq!(late, [0.0, 0.0, 30.0]);
    }
}
