//! Bad clients, servers and neighbours against the program, in short; `cargo hostile` by hand goes on for longer.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

mod common;

/// The list of http_desync_guardian and our own: one severe request was forwarded, and 28 of our own cases did not hold.
#[test]
fn ambiguous_requests_sent_raw_reach_no_server() {
    if let Some((well, said)) = common::play(&["hostile", "desync"]) {
        assert!(well, "{said}");
    }
}
