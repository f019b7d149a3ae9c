//! keepalived's dumps and those that imitate them, of two nodes with the same file: the same fields of the same kinds,
//! and the same values where both say what stands in the file.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::build_tandem;
use crate::drill::node::Node;
use crate::lab::{Namespace, PATIENCE, Switch};

const LOOK: Duration = Duration::from_millis(20);
/// A text that has not changed for so long is whole: who writes it may be held up in between.
const SETTLED: Duration = Duration::from_millis(500);
/// Fields that say what stands in the file, or follows from it.
const SAME: &[&str] = &[
    "iname",
    "dont_track_primary",
    "skip_check_adv_addr",
    "strict_mode",
    "vmac_ifname",
    "ifp_ifname",
    "garp_delay",
    "garp_refresh",
    "garp_rep",
    "garp_refresh_rep",
    "garp_lower_prio_delay",
    "garp_lower_prio_rep",
    "lower_prio_no_advert",
    "vrid",
    "promote_secondaries",
    "adver_int",
    "accept",
    "nopreempt",
    "preempt_delay",
    "version",
    "smtp_alert",
    "notify_deleted",
    "auth_type",
];
/// What is left out here on purpose.
const LEFT_OUT: &[&str] = &["auth_data"];

/// The file of a host; each is the better one of one instance.
fn file(web: u8, other: u8) -> String {
    let garp = "garp_master_delay 7\n garp_master_repeat 2\n garp_master_refresh 30\n garp_lower_prio_delay 3\n garp_lower_prio_repeat 4";
    format!(
        "global_defs {{\n script_user root\n notification_email {{\n  ops@example.com\n }}\n smtp_server 127.0.0.1\n}}\n\
         vrrp_instance web {{\n interface eth0\n state BACKUP\n virtual_router_id 51\n priority {web}\n smtp_alert\n version 3\n advert_int 0.2\n {garp}\n \
         preempt_delay 1\n virtual_ipaddress {{\n  192.0.2.100/24\n  192.0.2.101/24 label eth0:1\n }}\n virtual_ipaddress_excluded {{\n  192.0.2.102/24\n }}\n}}\n\
         vrrp_instance other {{\n interface eth0\n state BACKUP\n virtual_router_id 52\n priority {other}\n advert_int 1\n {garp}\n \
         authentication {{\n  auth_type PASS\n  auth_pass bench\n }}\n virtual_ipaddress {{\n  192.0.2.110/24\n }}\n}}\n"
    )
}

/// Lets both write, and compares.
pub(super) fn compare() -> Result<String, String> {
    let say = |e: std::io::Error| format!("the lab cannot be built: {e}");
    let folder = tempfile::tempdir().map_err(say)?;
    let mut switch = Switch::new().map_err(say)?;
    let mut plug =
        |port: &str, number: u8| switch.host(port, &[IpAddr::from([192, 0, 2, number])]).map_err(say);
    let (here, there) = (plug("ours", 11)?, plug("theirs", 12)?);
    let (ours, theirs) = (folder.path().join("lb1"), folder.path().join("theirs"));
    for folder in [&ours, &theirs] {
        std::fs::create_dir_all(folder).map_err(say)?;
    }
    let mut we = start_ours(&ours, &here)?;
    let mut they = Ended(start_theirs(&theirs, &there)?);
    let outcome = compare_both(&mut we, &mut they, &ours, &theirs);
    we.stop()?;
    outcome
}

/// keepalived, which ends with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // keepalived itself ends its children.
        let _ = signal(self.0.id(), "TERM");
        let _ = self.0.wait();
    }
}

fn compare_both(we: &mut Node, they: &mut Ended, ours: &Path, theirs: &Path) -> Result<String, String> {
    // Who took over first gives way to the better one, if that is not itself.
    let settled = |s: &Value| {
        let role = |at: usize| s["virtual_routers"][at]["role"].as_str().unwrap_or_default().to_owned();
        (role(0).as_str(), role(1).as_str()) == ("backup", "master")
    };
    let status = we.until("backup of one and master of the other", PATIENCE, settled)?;
    let pid = status["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).ok_or("no pid")?;
    let dump = |number: &str, name: &str, is_whole: fn(&str, Duration) -> bool| {
        let files = [ours, theirs].map(|folder| folder.join(format!("keepalived.{name}")));
        // One that was written before says nothing of now.
        files.iter().for_each(|file| drop(std::fs::remove_file(file)));
        signal(pid, number)?;
        signal(they.0.id(), number)?;
        Ok::<_, String>([written(&files[0], is_whole)?, written(&files[1], is_whole)?])
    };
    // Ours knows that it is master before the other one has heard of it.
    let begin = Instant::now();
    let fields = loop {
        let [mine, other] = dump("36", "json", |text, _| serde_json::from_str::<Value>(text).is_ok())?;
        let (mine, other) = (read(&mine)?, read(&other)?);
        let undecided = pairs(&mine, &other)?.into_iter().find_map(|(mine, other)| disagreement(mine, other));
        match undecided {
            None => break compare_json(&mine, &other)?,
            Some(why) if begin.elapsed() > PATIENCE => return Err(why),
            Some(_) => std::thread::sleep(LOOK),
        }
    };
    let is_settled = |_: &str, unchanged: Duration| unchanged >= SETTLED;
    let (data, stats) = (dump("USR1", "data", is_settled)?, dump("USR2", "stats", is_settled)?);
    let labels = |text: &str| -> Vec<String> {
        let label = |line: &str| line.split([':', '=', '(']).next().unwrap_or_default().trim_end().to_owned();
        text.lines().map(label).collect()
    };
    if labels(&stats[0]) != labels(&stats[1]) {
        return Err(format!("the counters are said otherwise:\n{}\n{}", stats[0], stats[1]));
    }
    let mut known: BTreeSet<String> = labels(&data[1]).into_iter().collect();
    // A backup of version 3 says it, which keepalived is not here.
    known.insert("   Master advert int".to_owned());
    // What is set depends on who is master.
    let strange: Vec<String> = labels(&data[0].replace(" set\n", "\n"))
        .into_iter()
        .filter(|l| !l.contains('/') && !known.contains(l))
        .collect();
    if !strange.is_empty() {
        return Err(format!("lines that keepalived does not know: {strange:?}\n{}", data[1]));
    }
    Ok(format!("dumps: {fields} fields as keepalived has them, and the lines of both texts"))
}

fn read(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| format!("{e}: {text}"))
}

/// Each of our instances beside keepalived's.
fn pairs<'a>(ours: &'a Value, theirs: &'a Value) -> Result<Vec<(&'a Value, &'a Value)>, String> {
    let (mine, other) = (ours.as_array().ok_or("no list")?, theirs.as_array().ok_or("no list")?);
    if mine.len() != 2 || other.len() != 2 {
        return Err(format!("not two instances: {ours} {theirs}"));
    }
    Ok(mine.iter().zip(other).collect())
}

/// What does not fit of the states of one instance: one of them is master of it, and the other one hears that.
fn disagreement(mine: &Value, other: &Value) -> Option<String> {
    let of = |value: &Value, key: &str| value["data"][key].as_u64().unwrap_or(0);
    if of(mine, "state") + of(other, "state") != 3 {
        return Some(format!("the states are not those of a master and a backup: {mine} {other}"));
    }
    let differs = of(mine, "state") == 1 && of(mine, "master_priority") != of(other, "effective_priority");
    differs.then(|| format!("the master's priority is {}", of(other, "effective_priority")))
}

fn compare_json(ours: &Value, theirs: &Value) -> Result<usize, String> {
    let mut fields = 0;
    for (mine, other) in pairs(ours, theirs)? {
        for part in ["data", "stats"] {
            let keys = |value: &Value| -> BTreeSet<String> {
                let object = value[part].as_object().into_iter().flatten();
                object.map(|(key, _)| key.clone()).filter(|key| !LEFT_OUT.contains(&key.as_str())).collect()
            };
            if keys(mine) != keys(other) {
                return Err(format!("the fields differ: {:?} and {:?}", keys(mine), keys(other)));
            }
            for key in keys(mine) {
                let (mine, other) = (&mine[part][&key], &other[part][&key]);
                let same_kind = std::mem::discriminant(mine) == std::mem::discriminant(other);
                if !same_kind || (SAME.contains(&key.as_str()) && mine != other) {
                    return Err(format!("{key} is {mine}, and keepalived's is {other}"));
                }
                fields += 1;
            }
        }
        let bare = |value: &Value, key: &str| value["data"][key].to_string().replace(" set\"", "\"");
        for key in ["vips", "evips"] {
            if bare(mine, key) != bare(other, key) {
                return Err(format!("the addresses differ: {} and {}", bare(mine, key), bare(other, key)));
            }
        }
    }
    Ok(fields)
}

fn start_ours(folder: &Path, host: &Namespace) -> Result<Node, String> {
    let (proxy, instances) = (folder.join("tandem.cfg"), folder.join("keepalived.conf"));
    let text = "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\nfrontend web\n    bind :80\n    http-request return status 200\n";
    std::fs::write(&proxy, text).map_err(|e| e.to_string())?;
    std::fs::write(&instances, file(100, 150)).map_err(|e| e.to_string())?;
    let files: [(&str, &Path); 3] = [("-f", &proxy), ("-k", &instances), ("--keepalived-dumps", folder)];
    Node::start("lb1", &build_tandem::beside_us()?, &files, "200ms", folder, host)
}

fn start_theirs(folder: &Path, host: &Namespace) -> Result<Child, String> {
    let program: PathBuf = crate::find_program("keepalived").ok_or("keepalived is not installed")?;
    let instances = folder.join("keepalived.conf");
    std::fs::write(&instances, file(150, 100)).map_err(|e| e.to_string())?;
    let log = std::fs::File::create(folder.join("log")).map_err(|e| e.to_string())?;
    let mut command = Command::new(program);
    command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]).arg(&instances);
    command.arg("--pid").arg(folder.join("k.pid")).arg("--vrrp_pid").arg(folder.join("v.pid"));
    command.env("TMPDIR", folder).stdin(Stdio::null());
    command.stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log);
    host.inside(move || command.spawn()).and_then(|spawned| spawned).map_err(|e| e.to_string())
}

/// Sends a signal by its name or its number: of the real-time ones there are no names.
fn signal(pid: u32, signal: &str) -> Result<(), String> {
    let words = ["-c", &format!("kill -{signal} {pid}")];
    let status = Command::new("sh").args(words).status().map_err(|e| e.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("signal {signal} cannot be sent")) }
}

/// What somebody writes into a file, once it is whole, which its text tells or for how long it has not changed.
fn written(path: &Path, is_whole: fn(&str, Duration) -> bool) -> Result<String, String> {
    let (begin, mut last, mut changed) = (Instant::now(), String::new(), Instant::now());
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text != last {
            changed = Instant::now();
        } else if !text.is_empty() && is_whole(&text, changed.elapsed()) {
            return Ok(text);
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("'{}' is not written", path.display()));
        }
        last = text;
        std::thread::sleep(LOOK);
    }
}
