//! The service unit of the package: how much of the machine it leaves open, in systemd's own count.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

use std::io::Write as _;
use std::process::Command;

/// Highest exposure, in tenths (0 nothing, 100 everything): the rest is what a load balancer with addresses needs.
const MOST: u32 = 33;
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/tandem.service");

#[test]
fn the_units_exposure_is_at_most_three_point_three() {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(["security", "--offline=true", "--no-pager"]).arg(UNIT).output();
    let Ok(output) = output else {
        let required = std::env::var_os("TANDEM_REQUIRE_PEERS").is_some();
        assert!(!required, "systemd-analyze is not installed");
        let _ = writeln!(std::io::stderr(), "skipped: systemd-analyze is not installed");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let figure =
        text.lines().find_map(|line| line.split_once("Overall exposure level")?.1.split(": ").nth(1));
    let figure = figure.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    let tenths: u32 = figure.replace('.', "").parse().unwrap_or_else(|_| panic!("no figure in: {text}"));
    assert!(tenths <= MOST, "{figure}:\n{text}");
}

#[test]
fn the_unit_leaves_what_a_node_needs() {
    let text = std::fs::read_to_string(UNIT).unwrap();
    let all = |name: &str| {
        let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.flat_map(str::split_whitespace).collect::<Vec<_>>()
    };
    // Addresses, packets of VRRP, low ports; the users, the root and the end of children; files of other owners.
    for capability in
        ["NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE", "SETUID", "SETGID", "SYS_CHROOT", "KILL", "DAC_OVERRIDE"]
    {
        assert!(all("CapabilityBoundingSet").contains(&&*format!("CAP_{capability}")), "{capability}");
    }
    for family in ["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET"] {
        assert!(all("RestrictAddressFamilies").contains(&family), "{family}");
    }
    for call in ["@system-service", "chroot", "landlock_restrict_self"] {
        assert!(all("SystemCallFilter").contains(&call), "{call}");
    }
    assert!(all("ReadWritePaths").contains(&"/proc/sys/net"), "virtual MACs set what they need there");
    assert_eq!((all("RestrictRealtime"), all("LimitRTPRIO")), (vec!["false"], vec!["1"]));
    assert!(all("ProtectProc").is_empty() && all("ProcSubset").is_empty(), "processes are tracked");
    assert!(all("PrivateNetwork").is_empty() && all("PrivateUsers").is_empty());
}
