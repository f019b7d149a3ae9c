//! Scripts of the field's own test runner (`testbed/vtc/`): each holds for Tandem started as HAProxy is, and
//! for the real HAProxy, so that what they say is HAProxy's behaviour and ours.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by failing"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest time one script may take.
const SECONDS: &str = "20";
const RUNNER: &str = "/usr/bin/varnishtest";
const HAPROXY: &str = "/usr/sbin/haproxy";

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vtc");
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|e| e == "vtc"));
    scripts.sort();
    scripts
}

/// Runs every script with a program; what failed, with the end of its log.
fn failures(program: &Path) -> Vec<String> {
    let mut failures = Vec::new();
    for script in scripts() {
        let output = Command::new(RUNNER)
            .args(["-t", SECONDS])
            .arg(&script)
            .env("HAPROXY_PROGRAM", program)
            .output()
            .unwrap();
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stdout).into_owned();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(60)..].join("\n");
            failures.push(format!("{} with {}:\n{end}", script.display(), program.display()));
        }
    }
    failures
}

/// Where `tandem` lies that was built with this test.
fn tandem() -> PathBuf {
    let target = std::env::current_exe().unwrap();
    let built = target.parent().and_then(Path::parent).unwrap().join("tandem");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--package", "tandem", "--locked", "--quiet"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success());
    built
}

fn is_there(program: &str) -> bool {
    let there = Path::new(program).exists();
    if !there {
        assert!(std::env::var_os("TANDEM_REQUIRE_PEERS").is_none(), "{program} is not installed");
        let _ = writeln!(std::io::stderr(), "skipped: {program} is not installed");
    }
    there
}

#[test]
fn every_script_holds_for_tandem() {
    if is_there(RUNNER) {
        let failures = failures(&tandem());
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    }
    assert!(scripts().len() >= 30);
}

#[test]
fn every_script_holds_for_haproxy() {
    if is_there(RUNNER) && is_there(HAPROXY) {
        let failures = failures(Path::new(HAPROXY));
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    }
}
