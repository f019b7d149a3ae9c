//! A planned switch that nobody feels: long connections go on, new ones all work, for both families. Without the old
//! master's help they are cut, so that this would be seen.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

mod common;

/// There and back again, twice.
#[test]
fn nobody_feels_a_switch_of_ipv4() {
    if let Some((well, said)) = common::play(&["switch", "--rounds", "4"]) {
        assert!(well && said.contains(": 0 reset, 0 failed, 0 left"), "{said}");
    }
}

#[test]
fn nobody_feels_a_switch_of_ipv6() {
    if let Some((well, said)) = common::play(&["switch", "--rounds", "4", "--six"]) {
        assert!(well && said.contains(": 0 reset, 0 failed, 0 left"), "{said}");
    }
}

#[test]
fn an_address_that_only_moves_cuts_its_connections() {
    if let Some((well, said)) = common::play(&["switch", "--rounds", "1", "--bare", "--stay", "3"]) {
        assert!(!well && said.contains("reset,") && !said.contains(": 0 reset"), "{said}");
    }
}
