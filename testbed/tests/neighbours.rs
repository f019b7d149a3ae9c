//! The real programs as neighbours, in the lab. Absent, they are skipped in words; required, they fail.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

use std::process::Command;

fn meet(neighbour: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_testbed")).args(["interop", neighbour]).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let no_lab =
        said.contains("forbids user namespaces") && std::env::var_os("TANDEM_REQUIRE_PEERS").is_none();
    assert!(output.status.success() || no_lab, "{said}");
    eprintln!("{said}");
}

#[test]
fn keepalived_and_tandem_replace_each_other() {
    meet("keepalived");
}
