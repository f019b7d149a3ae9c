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
