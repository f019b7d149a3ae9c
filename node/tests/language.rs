//! Whole files: what HAProxy takes `tandem check` takes, what it refuses is refused, and what is old can be
//! rewritten. The files say by their names which of these they are; the real HAProxy is asked where it is installed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

#[path = "common/haproxy.rs"]
mod haproxy;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn files(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with(kind));
    files.sort();
    assert!(!files.is_empty(), "no file is called {kind}");
    files
}

fn tandem(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tandem")).args(arguments).arg(file).output().unwrap()
}

/// Whether HAProxy takes a file; `None`: it is not installed.
fn haproxy_takes(file: &Path) -> Option<bool> {
    let program = haproxy::installed()?;
    Some(Command::new(program).args(["-c", "-q", "-f"]).arg(file).output().unwrap().status.success())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn what_haproxy_takes_is_taken() {
    for file in files("good_") {
        let output = tandem(&["check", "--syntax"], &file);
        assert!(output.status.success(), "{}:\n{}", file.display(), said(&output));
        assert_ne!(haproxy_takes(&file), Some(false), "{}", file.display());
    }
}

#[test]
fn what_haproxy_refuses_is_refused() {
    for file in files("bad_") {
        let output = tandem(&["check", "--syntax"], &file);
        assert_eq!(output.status.code(), Some(1), "{}:\n{}", file.display(), said(&output));
        assert_ne!(haproxy_takes(&file), Some(true), "{}", file.display());
    }
}

#[test]
fn old_files_are_taken_once_they_are_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    for file in files("old_") {
        assert_ne!(haproxy_takes(&file), Some(true), "{}", file.display());
        let new = folder.path().join("new.cfg");
        let output = tandem(&["migrate", "-o", new.to_str().unwrap()], &file);
        // What is written is right; where something of it is not built, that is said, and is no success.
        let is_whole = !said(&output).contains("not built yet:");
        assert_eq!(output.status.success(), is_whole, "{}", said(&output));
        let output = tandem(&["check", "--syntax"], &new);
        assert!(output.status.success(), "{}:\n{}", file.display(), said(&output));
        assert_ne!(haproxy_takes(&new), Some(false), "{}", std::fs::read_to_string(&new).unwrap());
    }
}

#[test]
fn what_is_not_built_is_refused_by_name_unless_only_the_syntax_is_asked_for() {
    let file = &files("good_tcp")[0];
    let output = tandem(&["check", "--json"], file);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let messages: Vec<&str> =
        report["problems"].as_array().unwrap().iter().map(|p| p["message"].as_str().unwrap()).collect();
    assert!(messages.contains(&"'option pgsql-check' is known but not built yet"), "{messages:?}");
    let output = tandem(&["check", "--syntax", "--json"], file);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["valid"], true);
    let waiting = report["waiting"].as_array().unwrap();
    assert!(waiting.iter().any(|w| w["name"] == "option pgsql-check"), "{waiting:?}");
}
