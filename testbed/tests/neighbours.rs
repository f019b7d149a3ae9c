//! The real programs as neighbours, in the lab. Absent, they are skipped in words; required, they fail.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says so by failing")]

mod common;

use std::sync::{Mutex, PoisonError};

/// One at a time: each plays several labs by itself, and an attacker's flood is to meet nothing but its pair.
static ALONE: Mutex<()> = Mutex::new(());

fn meet(words: &[&str]) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((well, said)) = common::play(words) {
        assert!(well, "{said}");
    }
}

#[test]
fn keepalived_and_tandem_replace_each_other() {
    meet(&["interop", "keepalived"]);
}

#[test]
fn an_attacker_on_the_link_moves_nothing_and_fills_no_log() {
    meet(&["hostile", "vrrp"]);
}

#[test]
fn nft_reads_the_tables_of_a_planned_switch() {
    meet(&["interop", "nft"]);
}
