//! Who the processes are that were started as root by HAProxy's arguments: compared with HAProxy's own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod common;
#[path = "common/haproxy.rs"]
mod haproxy;

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use common::free_port;

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
const PATIENCE: Duration = Duration::from_secs(20);
/// HAProxy is told again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// `nobody`, and `daemon`.
const NOBODY: u32 = 65_534;
const DAEMON: u32 = 1;

/// Whether this test can run at all: it needs a root that may become others.
fn is_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let all = map.split_whitespace().nth(2) == Some("4294967295");
    let root = rustix::process::geteuid().is_root() && all;
    if !root {
        let _ = writeln!(std::io::stderr(), "skipped: this needs root, to see it dropped");
    }
    root
}

struct Running {
    folder: TempDir,
    process: Child,
    port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.process);
        for child in children(pid) {
            let _ = kill_process(child, Signal::KILL);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder that everybody may enter, with a file in it.
fn folder(global: &str, port: u16) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let global = global.replace("FOLDER", &folder.path().to_string_lossy());
    let text = format!(
        "global\n{global}defaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n\
         frontend web\n    bind 127.0.0.1:{port}\n    http-request return status 200\n"
    );
    let file = folder.path().join("t.cfg");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    folder
}

fn start(program: &str, arguments: &[&str], global: &str) -> Running {
    let port = free_port();
    let folder = folder(global, port);
    let process = Command::new(program)
        .args(arguments)
        .arg("-f")
        .arg(folder.path().join("t.cfg"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let running = Running { folder, process, port };
    until(&running, "serving", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    running
}

fn until(running: &Running, what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        let log = std::fs::read_to_string(running.folder.path().join("log")).unwrap();
        assert!(begin.elapsed() < PATIENCE, "not {what}: {log}");
        std::thread::yield_now();
    }
}

fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero();
    let text = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// Users, groups, capabilities and root of a process, in its own words; nothing while its threads differ, as they do for
/// a moment where they are started.
fn who(pid: Pid) -> Vec<String> {
    const ASKED: [&str; 6] = ["Uid:", "Gid:", "Groups:", "CapPrm:", "CapEff:", "NoNewPrivs:"];
    let pid = pid.as_raw_nonzero();
    let mut seen: Option<Vec<String>> = None;
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let own = |line: &&str| ASKED.iter().any(|asked| line.starts_with(asked));
        let mut lines: Vec<String> =
            status.lines().filter(own).map(|line| line.trim_end().to_owned()).collect();
        if lines.is_empty() {
            continue;
        }
        let Ok(root) = std::fs::read_link(task.path().join("root")) else { continue };
        lines.push(format!("root {}", root.file_name().unwrap_or_default().to_string_lossy()));
        if *seen.get_or_insert_with(|| lines.clone()) != lines {
            return Vec::new();
        }
    }
    seen.unwrap_or_default()
}

/// The process that carries the traffic, once it has dropped what it drops.
fn carrier(running: &Running, is_supervised: bool) -> Pid {
    let own = Pid::from_child(&running.process);
    let mut found = own;
    until(running, "dropped", || {
        let name = |pid: &Pid| std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
        let carries =
            |pid: &Pid| name(pid).is_ok_and(|name| ["haproxy\n", "tandem-worker\n"].contains(&&*name));
        let candidate = if is_supervised { children(own).into_iter().find(carries) } else { Some(own) };
        candidate.is_some_and(|pid| {
            found = pid;
            who(pid).iter().any(|line| line.starts_with("NoNewPrivs:\t1"))
        })
    });
    found
}

/// Owner, group and mode of the stats socket.
fn socket(folder: &Path) -> (u32, u32, u32) {
    let about = std::fs::metadata(folder.join("stats.sock")).unwrap();
    (about.uid(), about.gid(), about.mode() & 0o777)
}

#[test]
fn root_is_dropped_in_the_foreground_as_by_haproxy() {
    if !is_root() {
        return;
    }
    const WHOLE: &str = "    user nobody\n    group nogroup\n    chroot FOLDER/root\n    \
                         stats socket FOLDER/stats.sock mode 640 level admin user nobody group daemon\n";
    const NUMBERS: &str = "    uid 1234\n    gid 2345\n    \
                           stats socket FOLDER/stats.sock mode 600 level admin uid 1234 gid 2345\n";
    const NOTHING: &str = "    stats socket FOLDER/stats.sock mode 600 level admin\n";
    for global in [WHOLE, NUMBERS, NOTHING] {
        for arguments in [&["-db"][..], &["-W", "-db"], &["-db", "-W"]] {
            let is_supervised = arguments.len() > 1;
            let ask = |program: &str| {
                let running = start(program, arguments, global);
                let carrier = carrier(&running, is_supervised);
                (who(carrier), socket(running.folder.path()))
            };
            let mut ours = ask(TANDEM);
            let whole = global == WHOLE;
            let nobody = format!("Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}");
            assert_eq!(ours.0[0] == nobody, whole, "{arguments:?}: {:?}", ours.0);
            let Some(program) = haproxy::installed() else { continue };
            let mut theirs = ask(program);
            if global == NOTHING {
                // Where nobody is named the original keeps root's capabilities; root's name alone is kept here.
                let caps = |lines: &mut Vec<String>| lines.retain(|line| !line.starts_with("Cap"));
                assert!(ours.0.contains(&"CapEff:\t0000000000000000".to_owned()), "{:?}", ours.0);
                caps(&mut ours.0);
                caps(&mut theirs.0);
            }
            assert_eq!(ours, theirs, "{arguments:?} {global}");
        }
    }
}

#[test]
fn the_foreground_reloads_with_a_supervisor_and_not_without() {
    if !is_root() {
        return;
    }
    const GLOBAL: &str = "    user nobody\n    group nogroup\n    chroot FOLDER/root\n";
    for program in [Some(TANDEM), haproxy::installed()].into_iter().flatten() {
        let running = start(program, &["-W", "-db"], GLOBAL);
        let before = carrier(&running, true);
        let reload = || kill_process(Pid::from_child(&running.process), Signal::USR2).unwrap();
        reload();
        let mut told = Instant::now();
        until(&running, "reloaded", || {
            // A master of HAProxy that has just started misses a signal now and then; ours does not.
            if program != TANDEM && told.elapsed() > AGAIN {
                reload();
                told = Instant::now();
            }
            carrier(&running, true) != before
        });
        let after = carrier(&running, true);
        assert_eq!(who(after)[0], format!("Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}"), "{program}");

        let running = start(program, &["-db"], GLOBAL);
        let own = Pid::from_child(&running.process);
        carrier(&running, false);
        for signal in [Signal::USR2, Signal::HUP] {
            kill_process(own, signal).unwrap();
        }
        if program == TANDEM {
            let log = || std::fs::read_to_string(running.folder.path().join("log")).unwrap();
            until(&running, "answered", || log().contains("does not reload"));
        }
        assert!(std::net::TcpStream::connect(("127.0.0.1", running.port)).is_ok(), "{program} serves on");
        assert!(children(own).is_empty(), "{program}");
    }
}

#[test]
fn who_cannot_become_the_user_does_not_start() {
    if !is_root() {
        return;
    }
    let run = |program: &str, arguments: &[&str], global: &str, user: u32| -> Output {
        let folder = folder(global, free_port());
        let mut command = Command::new(program);
        command.args(arguments).arg("-f").arg(folder.path().join("t.cfg")).stdin(Stdio::null());
        command.uid(user).gid(user).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let pid = Pid::from_child(&child);
        // Whoever starts in spite of it is ended, and has failed by that.
        let (over, wait) = std::sync::mpsc::channel::<()>();
        let timer = std::thread::spawn(move || {
            if wait.recv_timeout(PATIENCE).is_err() {
                let _ = kill_process(pid, Signal::TERM);
            }
        });
        let output = child.wait_with_output().unwrap();
        let _ = over.send(());
        timer.join().unwrap();
        output
    };
    let cases = [
        ("    user tandem-has-no-such-user\n", 0),
        ("    group tandem-has-no-such-group\n", 0),
        ("    chroot FOLDER/nowhere\n", 0),
        ("    user daemon\n    group daemon\n", NOBODY),
        ("    group daemon\n", NOBODY),
        ("    chroot FOLDER/root\n", NOBODY),
    ];
    for program in [Some(TANDEM), haproxy::installed()].into_iter().flatten() {
        for (global, user) in cases {
            for arguments in [&["-db"][..], &["-W", "-db"]] {
                let output = run(program, arguments, global, user);
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.code(), Some(1), "{program} {arguments:?} {global}: {said}");
            }
        }
        let folder = folder("    user tandem-has-no-such-user\n", free_port());
        let check =
            Command::new(program).arg("-c").arg("-f").arg(folder.path().join("t.cfg")).output().unwrap();
        assert_eq!(check.status.code(), Some(1), "{program} -c");
    }
    // Who is that user already needs no right to become it.
    let port = free_port();
    let folder = folder("    user daemon\n    group daemon\n", port);
    let mut command = Command::new(TANDEM);
    command.args(["-db", "-f"]).arg(folder.path().join("t.cfg")).uid(DAEMON).gid(DAEMON);
    let process =
        command.stdin(Stdio::null()).stderr(std::fs::File::create(folder.path().join("log")).unwrap());
    let running = Running { process: process.spawn().unwrap(), folder, port };
    until(&running, "serving", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
}
