//! What several tests need.

use std::net::Ipv4Addr;
use std::sync::Mutex;

use socket2::{Domain, Socket, Type};

/// A port of loopback for a process that shares its ports (`SO_REUSEPORT`), or for nobody at all.
///
/// It is kept until this test's process ends: nobody else, not even another test's `bind` to any port, is given
/// it meanwhile. A socket that is bound and does not listen takes no connection away.
pub(crate) fn free_port() -> u16 {
    free_port_on(&[1])
}

/// A port that is free on all of these addresses of 127.0.0.0/24, and kept as above.
pub(crate) fn free_port_on(addresses: &[u8]) -> u16 {
    static KEPT: Mutex<Vec<Socket>> = Mutex::new(Vec::new());
    loop {
        let mut port = 0;
        let bound: Vec<_> = addresses.iter().map_while(|last| keep(*last, &mut port)).collect();
        if bound.len() == addresses.len() {
            KEPT.lock().unwrap().extend(bound);
            return port;
        }
    }
}

/// A socket bound to this port, or to any if it is 0, which is named then. `None`: it is taken.
fn keep(last: u8, port: &mut u16) -> Option<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Bound to any port first: a port that others share would be given a second time.
    if *port != 0 {
        socket.set_reuse_port(true).unwrap();
    }
    let address = std::net::SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), *port));
    socket.bind(&address.into()).ok()?;
    socket.set_reuse_port(true).unwrap();
    *port = socket.local_addr().unwrap().as_socket().unwrap().port();
    Some(socket)
}
