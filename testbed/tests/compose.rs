//! The pair in containers: the master is killed, the client goes on. Where a Docker engine and Compose are.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by failing"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(500);
/// A gap that is longer has nothing to do with VRRP at 100 ms.
const LONGEST_GAP_MS: u64 = 3_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn succeeds(program: &str, words: &[&str]) -> bool {
    Command::new(program).args(words).output().is_ok_and(|output| output.status.success())
}

/// How Compose is called here; `None`: it is not here, or there is no engine.
fn compose() -> Option<Vec<&'static str>> {
    if !succeeds("docker", &["info"]) {
        return None;
    }
    [vec!["docker", "compose"], vec!["docker-compose"]].into_iter().find(|words| {
        let version: Vec<&str> = words[1..].iter().copied().chain(["version"]).collect();
        succeeds(words[0], &version)
    })
}

struct Pair(Vec<&'static str>);

impl Pair {
    fn run(&self, words: &[&str]) -> Output {
        Command::new(self.0[0]).args(&self.0[1..]).args(words).current_dir(root()).output().unwrap()
    }

    fn must(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until something is in the output of a command.
    fn until(&self, what: &str, words: &[&str], holds: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let output = self.run(words);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if holds(&text) {
                return text;
            }
            assert!(begin.elapsed() < PATIENCE, "not {what}: {text}\n{}", self.must(&["logs"]));
            // A question to an engine costs a process each.
            std::thread::sleep(LOOK);
        }
    }

    fn is(&self, node: &str, role: &str) {
        let words = ["exec", "-T", node, "/tandem", "status", "--json"];
        self.until(&format!("{node} {role}"), &words, |text| {
            let status: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            status["virtual_routers"][0]["role"] == role && status["health"] == "healthy"
        });
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.run(&["down", "--volumes", "--remove-orphans"]);
    }
}

#[test]
fn the_client_goes_on_when_the_master_is_killed() {
    let Some(words) = compose() else {
        let _ = writeln!(std::io::stderr(), "skipped: there is no Docker engine with Compose here");
        return;
    };
    let status = Command::new(env!("CARGO")).args(["image"]).current_dir(root()).status().unwrap();
    assert!(status.success());
    let pair = Pair(words);
    pair.run(&["down", "--volumes", "--remove-orphans"]);
    pair.must(&["up", "--build", "--detach"]);
    // Whoever was there first.
    let first = ["exec", "-T", "lb1", "/tandem", "status", "--json"];
    let status = pair.until("anybody master", &first, |text| {
        let router =
            &serde_json::from_str::<serde_json::Value>(text).unwrap_or_default()["virtual_routers"][0];
        router["role"] == "master" || router["master"] == "lb2"
    });
    let lb1_is_master = status.contains("\"role\":\"master\"");
    let (master, backup) = if lb1_is_master { ("lb1", "lb2") } else { ("lb2", "lb1") };
    pair.is(master, "master");
    pair.is(backup, "backup");
    let served = |log: &str| log.lines().filter(|l| l.contains("served ") && l.contains("failed  0")).count();
    let logs = ["logs", "client"];
    pair.until("served", &logs, |log| served(log) > 2);
    pair.must(&["kill", master]);
    let words = ["exec", "-T", backup, "/tandem", "status", "--json"];
    pair.until("the backup master", &words, |text| text.contains("\"role\":\"master\""));
    let before = served(&pair.must(&logs));
    let log = pair.until("served again", &logs, |log| served(log) > before + 2);
    let mut gaps =
        log.lines().filter_map(|l| l.split("served again after ").nth(1)?.split(' ').next()?.parse().ok());
    let longest: u64 = gaps.next_back().unwrap_or(0);
    assert!(longest < LONGEST_GAP_MS, "{log}");
    // The killed node comes back as a backup.
    pair.must(&["start", master]);
    pair.is(master, "backup");
}
