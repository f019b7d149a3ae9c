use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use failover_vrrp::{Command, Fifo, RunAs};
use proxy_lang::{Diagnostics, Sources, blocks, lex};

use super::room::{LONGEST_SLEEP, ORDER_BUDGET};
use super::*;

/// The program's own command, with nobody's rights but its own.
fn hook(script: &str) -> Hook {
    let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    Hook { command: Command { words, user: RunAs::Us }, timeout: Duration::from_secs(20) }
}

/// An agent whose router has no interface yet: it needs no rights.
fn agent(lines: &str, fifo: Option<&Path>, machine: Machine) -> Agent {
    let text = format!(
        "virtual-router web\n interface nowhere9\n vrid 51\n address 192.0.2.100/24\n multicast\n{lines}\n"
    );
    let (mut sources, mut said) = (Sources::default(), Diagnostics::default());
    let file = sources.add("t", text);
    let lines = lex(&sources, file, &|_| None, &mut said);
    let mut routers =
        failover_vrrp::keywords::read(&blocks(lines, &["virtual-router"], &mut said), &mut said);
    assert_eq!(said.errors(), 0);
    let fifos =
        fifo.map(|path| Fifo { path: path.to_string_lossy().into_owned(), owner: RunAs::Us, script: None });
    routers[0].notify.fifos.extend(fifos);
    let config = Config {
        member: "lb1".to_owned(),
        own: None,
        peers: vec![],
        routers,
        machine,
        services: vec![],
        signing: None,
    };
    Agent::start(config, Box::new(|_| {})).unwrap()
}

#[test]
fn what_is_to_run_before_all_and_after_all_does() {
    let folder = tempfile::tempdir().unwrap();
    let [before, after] = ["before", "after"].map(|name| folder.path().join(name));
    let machine = Machine {
        before: Some(hook(&format!("sleep 0.1; touch {}", before.display()))),
        after: Some(hook(&format!("test -e {} && touch {}", before.display(), after.display()))),
        ..Machine::default()
    };
    let agent = agent("", None, machine);
    assert!(before.exists() && !after.exists());
    drop(agent);
    assert!(after.exists());
}

#[test]
fn what_runs_for_too_long_is_not_waited_for() {
    let begin = Instant::now();
    let machine = Machine {
        before: Some(Hook { timeout: Duration::from_millis(100), ..hook("exec sleep 60") }),
        ..Machine::default()
    };
    drop(agent("", None, machine));
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[test]
fn states_are_written_again_after_a_reload_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changes");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_bits_truncate(0o600),
        0,
    )
    .unwrap();
    // Open for both ends, so that opening waits for nobody.
    let pipe: File =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(&path).unwrap();
    let mut lines = BufReader::new(pipe).lines();
    let silent = agent("", Some(&path), Machine::default());
    silent.reloaded();
    drop(silent);
    let agent = agent(" notify-reload\n priority lb1 90\n", Some(&path), Machine::default());
    agent.reloaded();
    assert_eq!(lines.next().unwrap().unwrap(), "INSTANCE \"web\" FAULT 90");
}

/// Run by the test below, in a process of its own.
#[test]
#[ignore = "ends its process"]
fn the_agents_thread_panics() {
    let thread = std::thread::spawn(|| {
        let _vital = Vital;
        panic!("on purpose");
    });
    let _ = thread.join();
}

#[test]
fn the_process_ends_with_the_agents_thread() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--ignored", "--exact", "agent::tests::the_agents_thread_panics"]).output();
    let status = std::os::unix::process::ExitStatusExt::signal(&output.unwrap().status);
    assert_eq!(status, Some(libc::SIGABRT));
}

/// A tracked file that is never read to its end: its reader waited for somebody to write, and the goodbye for the reader.
#[test]
fn a_file_that_does_not_answer_keeps_nobody_from_leaving() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("weight");
    let (cwd, mode) = (rustix::fs::CWD, rustix::fs::Mode::from_bits_truncate(0o600));
    rustix::fs::mknodat(cwd, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let agent = agent(&format!(" track-file weight {}\n", pipe.display()), None, Machine::default());
    let (told, over) = channel();
    std::thread::spawn(move || {
        drop(agent);
        let _ = told.send(());
    });
    over.recv_timeout(Duration::from_secs(20)).unwrap();
}

fn room() -> (Agent, Room) {
    let config = Config {
        member: "lb1".to_owned(),
        own: None,
        peers: Vec::new(),
        routers: Vec::new(),
        machine: Machine::default(),
        services: Vec::new(),
        signing: None,
    };
    let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap());
    let (orders, receiver) = channel();
    let status = Arc::new(Mutex::new(Vec::new()));
    let listener = Box::new(|_| {});
    let room = Room::open(config, listener, Arc::clone(&wake), receiver, Arc::clone(&status)).unwrap();
    let (words, signing) = (Arc::clone(&room.words), Arc::clone(&room.signing));
    (Agent { orders, words, wake, status, signing, thread: None, watchers: None, after: After(None) }, room)
}

#[test]
fn a_flood_of_orders_leaves_every_turn_its_deadlines_and_is_bounded() {
    let (agent, mut room) = room();
    let router = RouterId { vrid: 51, six: false, addresses: 1 };
    for _ in 0..2 * MAX_WORDS {
        agent.served(router, IpAddr::from([192, 0, 2, 12]));
    }
    // What is this node's own is never left out.
    agent.set_services(vec![(IpAddr::from([192, 0, 2, 100]), vec![80])]);
    let (mut turns, mut longest) = (0, 0);
    while room.services.is_empty() {
        let before = room.words.load(Ordering::Relaxed);
        assert!(!room.take_orders());
        longest = longest.max(before - room.words.load(Ordering::Relaxed));
        turns += 1;
        // There is more to do: the next sleep is none.
        let begin = Instant::now();
        if room.services.is_empty() {
            room.sleep();
            assert!(begin.elapsed() < Duration::from_micros(LONGEST_SLEEP.0) / 2);
        }
    }
    assert_eq!((turns, longest), (MAX_WORDS / ORDER_BUDGET + 1, ORDER_BUDGET));
    assert_eq!(room.words.load(Ordering::Relaxed), 0);
}
