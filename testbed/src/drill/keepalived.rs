//! What most people have on the two machines: keepalived 2, HAProxy 2 as master and worker, a script that looks every
//! second whether HAProxy is there, and a `peers` section. VRRP 3 to its group, everything else as it comes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::node::{ask, signal, tail};
use super::stack::{Member, NAMES, Role};
use crate::find_program;
use crate::lab::Namespace;

/// How often it is looked whether HAProxy is there; what is written then.
const CHECK: Duration = Duration::from_secs(1);
const WELL: &str = "0\n";
const FAULT: &str = "-254\n";
const PRIORITIES: [u8; 2] = [150, 100];
/// Where keepalived and its child write their numbers.
const PIDS: [&str; 2] = ["keepalived.pid", "vrrp.pid"];
/// HAProxy answers within this after its start.
const START: Duration = Duration::from_secs(10);
/// Longest time each may take to end.
const END: Duration = Duration::from_secs(10);
/// A master of HAProxy that does not begin to reload within this is told again.
const AGAIN: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

/// Both programs of one machine.
pub(crate) struct Keepalived {
    node: usize,
    base: PathBuf,
    folder: PathBuf,
    haproxy: Process,
    keepalived: Process,
}

/// A process somebody waits for, as an init does: one that is dead but not buried still answers to its number, and the
/// check script would find nothing wrong.
struct Process {
    pid: i32,
    ended: Arc<AtomicBool>,
}

impl Process {
    fn spawn(mut command: Command, log: &Path, host: &Namespace) -> Result<Self, String> {
        let say = |e: std::io::Error| format!("{}: {e}", log.display());
        let file = fs::File::create(log).map_err(say)?;
        command.stdin(Stdio::null()).stdout(file.try_clone().map_err(say)?).stderr(file);
        let mut child = host.inside(move || command.spawn()).and_then(|spawned| spawned).map_err(say)?;
        let pid = i32::try_from(child.id()).map_err(|e| e.to_string())?;
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        std::thread::spawn(move || {
            let _ = child.wait();
            told.store(true, Ordering::Relaxed);
        });
        Ok(Self { pid, ended })
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn signal(&self, what: Signal) {
        // Its number may be another's by now.
        if !self.has_ended() {
            signal(self.pid, what);
        }
    }

    /// Whether it has ended in time.
    fn ends(&self) -> bool {
        let begin = Instant::now();
        while !self.has_ended() {
            if begin.elapsed() > END {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }
}

impl Keepalived {
    pub(crate) fn start(
        node: usize,
        base: &Path,
        example: &Path,
        advert: &str,
        host: &Namespace,
    ) -> Result<Self, String> {
        let folder = base.join(NAMES[node]);
        fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display())).map(|()| path)
        };
        let text = fs::read_to_string(example).map_err(|e| format!("{}: {e}", example.display()))?;
        let file = write("haproxy.cfg", &as_haproxy(&text))?;
        write("drain", "0\n")?;
        for stale in PIDS {
            // On a real machine they are gone after a loss of power, and a number may be somebody else's by now.
            let _ = fs::remove_file(folder.join(stale));
        }
        // Listeners of an address that is not here (yet).
        host.inside(|| fs::write("/proc/sys/net/ipv4/ip_nonlocal_bind", "1"))
            .and_then(|written| written)
            .map_err(|e| format!("ip_nonlocal_bind: {e}"))?;
        let mut command = Command::new(find_program("haproxy").ok_or("haproxy is not installed")?);
        command.args(["-W", "-L", NAMES[node], "-f"]).arg(file).arg("-p").arg(folder.join("haproxy.pid"));
        // The example names a file beside it.
        command.env("TANDEM_RUN", &folder).current_dir(example.parent().unwrap_or(example));
        let haproxy = Process::spawn(command, &folder.join("haproxy.log"), host)?;
        let begin = Instant::now();
        while ask(&folder.join("stats.sock"), "show info\n", ANSWER).is_err() {
            if begin.elapsed() > START || haproxy.has_ended() {
                haproxy.signal(Signal::KILL);
                return Err(format!(
                    "haproxy does not start; it says:\n{}",
                    tail(&folder.join("haproxy.log"))
                ));
            }
            std::thread::sleep(LOOK);
        }
        let seen = write(&format!("proxy-{}", haproxy.pid), WELL)?;
        look_every_second(Arc::clone(&haproxy.ended), seen.clone());
        let router = write("keepalived.conf", &instance(node, &folder, &seen, advert)?)?;
        let mut command = Command::new(find_program("keepalived").ok_or("keepalived is not installed")?);
        command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]).arg(router);
        command.arg("--pid").arg(folder.join(PIDS[0])).arg("--vrrp_pid").arg(folder.join(PIDS[1]));
        let keepalived = Process::spawn(command, &folder.join("keepalived.log"), host)?;
        Ok(Self { node, base: base.to_path_buf(), folder, haproxy, keepalived })
    }

    /// keepalived's child, which does the work.
    fn router(&self) -> Option<i32> {
        fs::read_to_string(self.folder.join(PIDS[1])).ok()?.trim().parse().ok()
    }

    /// How often HAProxy has begun to serve.
    fn loadings(&self) -> usize {
        let log = fs::read_to_string(self.folder.join("haproxy.log")).unwrap_or_default();
        log.matches("Loading success").count()
    }
}

impl Member for Keepalived {
    fn processes(&self) -> Vec<i32> {
        let parents = [&self.keepalived, &self.haproxy].into_iter().filter(|parent| !parent.has_ended());
        parents.map(|parent| parent.pid).chain(self.router()).chain(self.worker()).collect()
    }

    fn worker(&self) -> Option<i32> {
        let text = self.runtime("show info").ok()?;
        text.lines().find_map(|line| line.strip_prefix("Pid: "))?.trim().parse().ok()
    }

    fn role(&self) -> Option<Role> {
        let log = fs::read_to_string(self.folder.join("keepalived.log")).ok()?;
        let state = log.lines().rev().find_map(|line| line.split("Entering ").nth(1))?;
        match state.split_whitespace().next()? {
            "MASTER" => Some(Role::Master),
            "BACKUP" => Some(Role::Backup),
            _ => None,
        }
    }

    fn tail(&self) -> String {
        ["keepalived.log", "haproxy.log"].map(|name| tail(&self.folder.join(name))).join("\n")
    }

    fn runtime(&self, command: &str) -> Result<String, String> {
        let text = ask(&self.folder.join("stats.sock"), &format!("{command}\n"), ANSWER);
        text.map_err(|e| format!("{}: {e}", NAMES[self.node]))
    }

    fn hand_over(&mut self) -> Result<(), String> {
        // The first one's priority falls below the other's; or it is what it was.
        let text = if self.node == 0 { "-100\n" } else { "0\n" };
        fs::write(self.base.join(NAMES[0]).join("drain"), text).map_err(|e| e.to_string())
    }

    fn stop(&mut self) -> Result<(), String> {
        self.keepalived.signal(Signal::TERM);
        let router = self.keepalived.ends();
        // It closes its listeners and finishes what it has begun, be its client gone or not: as systemd does, patience
        // ends.
        self.haproxy.signal(Signal::USR1);
        if !self.haproxy.ends() {
            self.haproxy.signal(Signal::TERM);
        }
        let proxy = self.haproxy.ends();
        if router && proxy { Ok(()) } else { Err(format!("not ended after {END:?}:\n{}", self.tail())) }
    }

    fn reload(&mut self) -> Result<(), String> {
        let before = self.loadings();
        let begin = Instant::now();
        let mut told: Option<Instant> = None;
        while self.loadings() == before {
            if begin.elapsed() > START {
                return Err(format!("haproxy does not reload; it says:\n{}", self.tail()));
            }
            // A master that has just reloaded misses a signal now and then.
            if told.is_none_or(|at| at.elapsed() > AGAIN) {
                self.haproxy.signal(Signal::USR2);
                told = Some(Instant::now());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn kill(&mut self, processes: &[i32]) {
        // A parent that lives has its child say goodbye, or starts another.
        self.keepalived.signal(Signal::STOP);
        self.haproxy.signal(Signal::STOP);
        processes.iter().for_each(|pid| signal(*pid, Signal::KILL));
        for process in [&self.keepalived, &self.haproxy] {
            process.signal(Signal::KILL);
            process.ends();
        }
    }

    fn why(&self) -> Option<String> {
        None
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        let processes = self.processes();
        self.kill(&processes);
    }
}

/// The example in HAProxy's words: its tables are shared by a section of `peers`, and the lab has neither other users
/// nor as many descriptors as the example's connections need.
fn as_haproxy(example: &str) -> String {
    let traffic = example.split("\ncluster ").next().unwrap_or(example);
    let mut text = String::new();
    for line in traffic.lines() {
        let words = line.trim_start();
        if ["user ", "group ", "maxconn "].iter().any(|word| words.starts_with(word)) {
            continue;
        }
        text.push_str(line);
        if words.starts_with("stick-table ") {
            text.push_str(" peers pair");
        }
        text.push('\n');
    }
    text.push_str("\npeers pair\n    peer lb1 192.0.2.11:1024\n    peer lb2 192.0.2.12:1024\n");
    text
}

/// What a check script does: looks every second whether HAProxy is there. keepalived itself cannot start one in a user
/// namespace (it insists on setgroups(2), and takes a failure for success), but follows what a file says.
fn look_every_second(ended: Arc<AtomicBool>, file: PathBuf) {
    std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            std::thread::sleep(CHECK);
        }
        // The folder may be gone already.
        let _ = fs::write(file, FAULT);
    });
}

fn instance(node: usize, folder: &Path, seen: &Path, advert: &str) -> Result<String, String> {
    let millis = super::interval(advert).ok_or_else(|| format!("no such interval: '{advert}'"))?;
    let folder = folder.display();
    Ok(format!(
        "global_defs {{\n    script_user root\n}}\n\
         track_file proxy {{\n    file {}\n    weight 1\n}}\n\
         track_file drain {{\n    file {folder}/drain\n    weight 1\n}}\n\
         vrrp_instance web {{\n    state BACKUP\n    interface eth0\n    virtual_router_id 51\n    priority {}\n\
         \x20   version 3\n    advert_int {}\n    virtual_ipaddress {{\n        192.0.2.100/24\n    }}\n\
         \x20   track_file {{\n        proxy\n        drain\n    }}\n}}\n",
        seen.display(),
        PRIORITIES[node],
        millis.as_secs_f64(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_said_in_the_words_of_haproxy() {
        let text = as_haproxy(include_str!("../../../docs/examples/pair.cfg"));
        assert!(!text.contains("virtual-router") && !text.contains("user nobody"), "{text}");
        assert_eq!(text.matches(" peers pair\n").count(), 2, "{text}");
        assert!(
            instance(0, Path::new("/tmp"), Path::new("/tmp/proxy"), "10ms")
                .is_ok_and(|text| text.contains("advert_int 0.01\n"))
        );
    }
}
