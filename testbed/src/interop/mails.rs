//! Mails on changes: both programs with the same file, which goes from backup to master, into a fault and back, hand in
//! the same mails to the same server, which is Python's aiosmtpd. A server that hangs holds nothing but mails.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::beside::{start_ours, start_theirs};
use crate::drill::node::Node;
use crate::lab::{self, Namespace, PATIENCE, Switch};

/// The server's program.
pub(super) const SERVER: &str = "aiosmtpd";
const LOOK: Duration = Duration::from_millis(20);
/// How long a node may take to stop while its mails wait for a server that hangs.
const STOP: Duration = Duration::from_secs(12);
/// Who sends: the mails are told apart by it.
const SIDES: [&str; 2] = ["theirs", "ours"];
/// How many mails each side has sent when it is master, when it has a fault, and when it is master again: two instances
/// and their group tell of each change.
const STEPS: [(&str, usize); 3] = [("0", 6), ("1", 9), ("0", 15)];
/// Fields that must be the same, apart from who sends.
const SAME: [&str; 5] = ["From", "To", "Subject", "X-MailFrom", "X-RcptTo"];

/// The file of a side: instances of another number on the link, so that they do not meet.
fn file(side: &str, fault: &Path, vrid: u8) -> String {
    let instance = |name: &str, number: u8, more: &str| {
        format!(
            "vrrp_instance {name} {{\n interface eth0\n state BACKUP\n virtual_router_id {number}\n priority 100\n \
             version 3\n advert_int 0.2\n virtual_ipaddress {{\n  192.0.2.{number}/24\n }}\n track_file {{\n  fault\n }}\n\
             {more}}}\n"
        )
    };
    format!(
        "global_defs {{\n router_id \"hall 2\"\n notification_email {{\n  ops@example.com\n  second@example.com\n }}\n \
         notification_email_from {side}@example.org\n smtp_server 192.0.2.25\n smtp_connect_timeout 20\n \
         smtp_helo_name {side}.example.org\n smtp_alert on\n}}\n\
         vrrp_track_file fault {{\n file {}\n weight 0\n}}\n{}{}{}\
         vrrp_sync_group both {{\n group {{\n  web\n  other\n }}\n}}\n",
        fault.display(),
        instance("web", vrid, ""),
        instance("other", vrid + 1, ""),
        instance("silent", vrid + 2, " smtp_alert off\n"),
    )
}

/// Plays it with both, and compares.
pub(super) fn compare() -> Result<String, String> {
    let say = |e: std::io::Error| format!("the lab cannot be built: {e}");
    let folder = tempfile::tempdir().map_err(say)?;
    let mut switch = Switch::new().map_err(say)?;
    let mut plug =
        |port: &str, number: u8| switch.host(port, &[IpAddr::from([192, 0, 2, number])]).map_err(say);
    let (office, there, here) = (plug("office", 25)?, plug("theirs", 12)?, plug("ours", 11)?);
    let boxes = folder.path().join("mails");
    let server = start_server(&boxes, &office)?;
    let homes = SIDES.map(|side| folder.path().join(side));
    for home in &homes {
        fs::create_dir_all(home).map_err(say)?;
    }
    let faults = homes.each_ref().map(|home| home.join("fault"));
    say_fault(&faults, "0")?;
    let texts = [file(SIDES[0], &faults[0], 51), file(SIDES[1], &faults[1], 61)];
    let theirs = Ended(start_theirs(&homes[0], &there, &texts[0])?);
    fs::write(homes[1].join("keepalived.conf"), &texts[1]).map_err(say)?;
    let mut ours = start_ours(&homes[1], &here)?;
    let mut count = 0;
    for (fault, expected) in STEPS {
        say_fault(&faults, fault)?;
        count = both(&boxes, expected).map_err(|why| format!("{why}\n{}", ours.log_tail()))?;
    }
    drop(theirs);
    let stopped = hang(&server, &mut ours, &faults)?;
    Ok(format!(
        "{count} mails of each are the same; a server that hangs held nothing: stopped in {stopped:.1?}"
    ))
}

/// A program that ends with this.
struct Ended(Child);

impl Ended {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // One that was stopped hears nothing else.
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let _ = self.0.wait();
    }
}

fn start_server(boxes: &Path, host: &Namespace) -> Result<Ended, String> {
    let program: PathBuf = crate::find_program(SERVER).ok_or("aiosmtpd is not installed")?;
    let mut command = Command::new(program);
    command
        .args(["--nosetuid", "--listen", "192.0.2.25:25", "--class", "aiosmtpd.handlers.Mailbox"])
        .arg(boxes);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started =
        host.inside(move || command.spawn()).and_then(|spawned| spawned).map_err(|e| e.to_string())?;
    let server = Ended(started);
    let connects = || host.inside(|| std::net::TcpStream::connect("192.0.2.25:25").is_ok()).unwrap_or(false);
    lab::until("aiosmtpd listens", connects)?;
    Ok(server)
}

fn say_fault(files: &[PathBuf], number: &str) -> Result<(), String> {
    files.iter().try_for_each(|file| fs::write(file, number).map_err(|e| e.to_string()))
}

/// Waits until each side has sent so many mails, and compares them.
fn both(boxes: &Path, expected: usize) -> Result<usize, String> {
    let begin = Instant::now();
    loop {
        let mails = arrived(boxes)?;
        let of = |side: &str| mails.get(side).cloned().unwrap_or_default();
        let [theirs, ours] = SIDES.map(of);
        let enough = theirs.len() >= expected && ours.len() >= expected;
        if enough && theirs == ours {
            return Ok(ours.len());
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!(
                "{expected} mails of each, the same, are expected\nkeepalived's: {theirs:#?}\nours: {ours:#?}"
            ));
        }
        std::thread::sleep(LOOK);
    }
}

/// What has arrived, of each side, in an order that does not depend on who was faster.
fn arrived(boxes: &Path) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut mails: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // A mail is whole when it is here (maildir(5)).
    for entry in fs::read_dir(boxes.join("new")).map_err(|e| e.to_string())?.flatten() {
        let text = fs::read_to_string(entry.path()).map_err(|e| e.to_string())?;
        let side = SIDES.into_iter().find(|side| text.contains(&format!("From: {side}@")));
        let side = side.ok_or_else(|| format!("who has sent this?\n{text}"))?;
        mails.entry(side.to_owned()).or_default().push(understand(&text, side)?);
    }
    mails.values_mut().for_each(|list| list.sort());
    Ok(mails)
}

/// The fields and the text of a mail that both must agree on.
fn understand(text: &str, side: &str) -> Result<String, String> {
    let (head, body) = text.split_once("\n\n").ok_or("a mail without a text")?;
    let head = head.replace("\n ", " ");
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let mut told = Vec::new();
    for name in SAME {
        let value = field(name).ok_or_else(|| format!("a mail without {name}:\n{text}"))?;
        told.push(format!("{name}: {}", value.replace(side, "SIDE")));
    }
    field("Date").ok_or("a mail without a date")?;
    told.push(body.to_owned());
    Ok(told.join("\n"))
}

/// The server hangs: our node changes its role as before, and stops.
fn hang(server: &Ended, ours: &mut Node, faults: &[PathBuf]) -> Result<Duration, String> {
    server.signal(Signal::STOP);
    let roles = |status: &Value| -> Vec<String> {
        let routers = status["virtual_routers"].as_array().cloned().unwrap_or_default();
        routers.iter().map(|router| router["role"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for (fault, role) in [("1", "stopped"), ("0", "master"), ("1", "stopped"), ("0", "master")] {
        say_fault(faults, fault)?;
        ours.until(role, PATIENCE, |status| roles(status).iter().all(|is| is == role))?;
    }
    let begin = Instant::now();
    ours.end()?;
    let took = begin.elapsed();
    if took > STOP { Err(format!("it took {took:?} to stop, because of a mail")) } else { Ok(took) }
}
