//! What several tests need.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// The kernel gives ports from here on to whoever wants any (`net.ipv4.ip_local_port_range`), clients too: what a test
/// would find free here could be somebody else's before its process listens.
const ANY: u16 = 32_768;
const FIRST: u16 = 10_000;

/// A port of loopback that nobody listens on now, and that nobody is given by chance.
pub(crate) fn free_port() -> u16 {
    free_port_on(&[1])
}

/// The same on all of these addresses of 127.0.0.0/24; the port after it, which a cluster's channel has, is free too.
pub(crate) fn free_port_on(addresses: &[u8]) -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let pairs = (ANY - FIRST) / 2;
    // Another process of tests may run beside this one.
    let begin = u16::try_from(std::process::id() % u32::from(pairs)).unwrap();
    loop {
        let place = (begin + GIVEN.fetch_add(1, Ordering::Relaxed)) % pairs;
        let port = FIRST + 2 * place;
        let is_free = |last: &u8, port| TcpListener::bind((Ipv4Addr::new(127, 0, 0, *last), port)).is_ok();
        if addresses.iter().all(|last| is_free(last, port) && is_free(last, port + 1)) {
            return port;
        }
    }
}

/// Longest time, in milliseconds of its CPU, that a core may take for one turn: a client waits as long. Programs that are
/// not optimized are given ten times as much.
const LONGEST_TURN_MS: u64 = if cfg!(debug_assertions) { 200 } else { 20 };

/// Fails where a core of a worker was kept by one task; `info` is the answer to `show info`.
#[allow(dead_code, reason = "not every test has a worker")]
pub(crate) fn assert_turned(info: &str) {
    let longest = info.lines().find_map(|line| line.strip_prefix("LongestTurnMs: "));
    let longest: u64 = longest.unwrap_or_else(|| panic!("no longest turn in {info}")).trim().parse().unwrap();
    assert!(longest < LONGEST_TURN_MS, "one turn of a core took {longest} ms of CPU time: {info}");
}
