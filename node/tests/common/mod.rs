//! What several tests need.

use std::net::TcpListener;

/// A port of loopback that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    // The kernel may name one port twice before anybody listens on it, to two tests that run side by side.
    static GIVEN: std::sync::Mutex<std::collections::BTreeSet<u16>> =
        std::sync::Mutex::new(std::collections::BTreeSet::new());
    let mut given = GIVEN.lock().unwrap();
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if given.insert(port) {
            return port;
        }
    }
}
