//! What several tests share.

use std::io::Write as _;
use std::process::Command;

/// Has the testbed play something in the lab; whether it went well, and what it said. `None`: this machine has no
/// lab, and none is required.
pub(crate) fn play(words: &[&str]) -> Option<(bool, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_testbed")).args(words).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // What a test prints is shown only when it fails; what was skipped is shown always.
    if said.contains("skipped") || said.contains("not installed") || said.contains("forbids user namespaces")
    {
        let _ = writeln!(std::io::stderr(), "{said}");
    } else {
        eprintln!("{said}");
    }
    if said.contains("forbids user namespaces") {
        assert!(std::env::var_os("TANDEM_REQUIRE_PEERS").is_none(), "{said}");
        return None;
    }
    Some((output.status.success(), said))
}
