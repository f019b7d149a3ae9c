//! Every line that is said to act as HAProxy's does acts so (`testbed/effects/`).
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

mod common;

/// Tandem against the stored answers of every case; HAProxy is asked again for a tenth, another one for each commit.
#[test]
fn every_line_under_test_acts_as_haproxys_does() {
    if let Some((well, said)) = common::play(&["effects", "--check", "--rotate"]) {
        assert!(well, "{said}");
    }
}

/// Plays a case that is a mistake: where HAProxy is asked, it fails and says why.
fn fails(text: &str, why: &str) {
    let folder = tempfile::tempdir().unwrap();
    let case = folder.path().join("mistake.case");
    std::fs::write(&case, text).unwrap();
    if let Some((well, said)) = common::play(&["effects", "--file", case.to_str().unwrap()]) {
        assert!(!well || said.contains("haproxy is not installed"), "{said}");
        assert!(said.contains(why) || well, "{said}");
    }
}

/// A case that cannot tell whether its line acts is a failure, whatever both programs do.
#[test]
fn a_case_that_cannot_tell_fails() {
    let text = "config http\nfrontend f\n    bind 127.0.0.1:8000\n  > maxconn 5  ## proxy maxconn\nsteps\n    get /\n";
    fails(text, "line 4 (maxconn 5): HAProxy does the same without it");
}

/// A case whose configuration the original refuses says so.
#[test]
fn a_case_that_haproxy_refuses_fails() {
    let text = "config http\nfrontend f\n    bind 127.0.0.1:8000\n    nonsense\nsteps\n    get /\n";
    fails(text, "unknown keyword 'nonsense'");
}
