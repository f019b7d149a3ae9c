//! Listening sockets: opened once (by the supervisor, or here in a single process), one per core in a
//! SO_REUSEPORT group, bound whether or not the address is here yet; and the accept loop.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_config::model::{Bind, BindAddress};
use proxy_rules::unix_end;
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::core::Core;
use crate::limits::ClientPlace;
use crate::selftest;
use crate::session;
use crate::shared::Shared;
use crate::socket::Socket;
use crate::watchdog::{Station, watched};

/// Connections accepted in one go before other tasks get their turn.
const ACCEPT_BATCH: usize = 64;
/// Connections that may wait to be accepted where the file says nothing.
const DEFAULT_BACKLOG: i32 = 4_096;
/// How long accepting rests when the process is out of descriptors or memory.
const EXHAUSTED_REST: Duration = Duration::from_millis(100);

/// Every listening socket: for each bind of the configuration one socket per core.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Outer index: the bind's; inner index: the core's.
    pub binds: Vec<Vec<OwnedFd>>,
}

/// Opens one listening socket of a bind: a group of them, one per core, shares its address.
///
/// # Errors
/// The address cannot be listened on.
pub fn open_socket(bind: &Bind) -> io::Result<OwnedFd> {
    let BindAddress::Tcp(address) = &bind.address else {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "only TCP addresses can be listened on yet"));
    };
    let socket = socket2::Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(bind.v6only)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    // Inherited by every accepted connection: one call here instead of one for each of them.
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = bind.bytes.receive {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = bind.bytes.send {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&(*address).into())?;
    socket.listen(bind.backlog.and_then(|b| i32::try_from(b).ok()).unwrap_or(DEFAULT_BACKLOG))?;
    Ok(socket.into())
}

/// A listening socket in a runtime.
enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// What stands for the address of its connections' ends.
        end: SocketAddr,
    },
}

/// A connection, and its two ends: the client's and this one.
type Accepted = (Socket, [SocketAddr; 2]);

impl Listener {
    fn new(socket: OwnedFd, id: u32) -> io::Result<Self> {
        let is_unix = rustix::net::sockopt::socket_domain(&socket)? == rustix::net::AddressFamily::UNIX;
        if is_unix {
            let socket = std::os::unix::net::UnixListener::from(socket);
            socket.set_nonblocking(true)?;
            return Ok(Self::Unix { listener: UnixListener::from_std(socket)?, end: unix_end(id) });
        }
        let socket = std::net::TcpListener::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self::Tcp(TcpListener::from_std(socket)?))
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (io, source) = listener.accept().await?;
                let local = io.local_addr()?;
                Ok((Socket::Tcp(io), [source, local]))
            }
            Self::Unix { listener, end } => Ok((Socket::Unix(listener.accept().await?.0), [*end; 2])),
        }
    }

    /// Who waits already; `None`: nobody.
    fn accept_now(&self) -> Option<io::Result<Accepted>> {
        match self {
            Self::Tcp(listener) => {
                let (socket, source) = SockRef::from(listener).accept().ok()?;
                let io = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket.into()));
                Some(io.and_then(|io| {
                    let local = io.local_addr()?;
                    let source = source.as_socket().ok_or(io::ErrorKind::Unsupported)?;
                    Ok((Socket::Tcp(io), [source, local]))
                }))
            }
            Self::Unix { listener, end } => {
                let (socket, _) = SockRef::from(listener).accept().ok()?;
                let io = socket.set_nonblocking(true).and_then(|()| UnixStream::from_std(socket.into()));
                Some(io.map(|io| (Socket::Unix(io), [*end; 2])))
            }
        }
    }
}

/// Starts accepting on one socket.
pub(crate) fn spawn(core: &Rc<Core>, bind: usize, socket: OwnedFd) -> io::Result<()> {
    let listener = Listener::new(socket, core.shared.config.binds[bind].id)?;
    core.shared.count_ear(true);
    let (core, pulse) = (Rc::clone(core), Arc::clone(&core.pulse));
    tokio::task::spawn_local(watched(pulse, Station::Accept, async move {
        accept(&core, bind, &listener).await;
        empty(&core, bind, &listener);
        core.shared.count_ear(false);
    }));
    Ok(())
}

/// Accepts until this process stops.
async fn accept(core: &Rc<Core>, bind: usize, listener: &Listener) {
    let frontend = core.shared.config.binds[bind].frontend.0 as usize;
    let mut batch = 0;
    core.shared.until(Shared::is_accepting).await;
    // One ear for the whole life of the loop: the socket is let go at once, since another process may
    // already accept from it.
    let mut stop = pin!(core.shared.until(Shared::is_stopping));
    loop {
        if core.shared.is_full(frontend) {
            if core.shared.is_stopping() {
                return;
            }
            core.shared.selftest.note_full(frontend);
            core.shared.places.until_freed(frontend).await;
            continue;
        }
        tokio::select! {
            biased;
            () = &mut stop => return,
            accepted = listener.accept() => match accepted {
                Ok((io, ends)) => {
                    core.enter(Station::Accept);
                    if let Some(io) = not_ours(core, io, ends[0]) {
                        let place = place(core, frontend).await;
                        session::spawn(core, bind, io, ends, place);
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    core.shared.places.note_shortage("cannot accept a client: accepting pauses", &error);
                    core.idle.borrow_mut().clear();
                    tokio::time::sleep(EXHAUSTED_REST).await;
                }
            },
        }
        batch += 1;
        if batch == ACCEPT_BATCH {
            batch = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// A client's connection; this process' own is answered here.
fn not_ours(core: &Rc<Core>, io: Socket, source: SocketAddr) -> Option<Socket> {
    let io = match io {
        Socket::Tcp(io) => io,
        Socket::Unix(io) => return Some(Socket::Unix(io)),
        #[cfg(test)]
        Socket::Memory(end) => return Some(Socket::Memory(end)),
    };
    if core.shared.selftest.takes(source, core.id, || io.peer_addr().is_ok()) {
        selftest::answer(core, io);
        return None;
    }
    Some(Socket::Tcp(io))
}

/// The place of a connection that is accepted. Another core may have taken the last one since this one saw it free: then
/// the connection waits here, one for each listener at most, and nothing more is accepted meanwhile.
async fn place(core: &Core, frontend: usize) -> ClientPlace {
    let shared = &core.shared;
    loop {
        if let Some(place) = shared.places.take_client(frontend) {
            return place;
        }
        if shared.is_stopping() {
            return shared.places.take_client_anyway(frontend);
        }
        shared.selftest.note_full(frontend);
        shared.places.until_freed(frontend).await;
    }
}

/// Takes who waits already, as long as there is room: closing the socket would refuse them.
fn empty(core: &Rc<Core>, bind: usize, listener: &Listener) {
    let frontend = core.shared.config.binds[bind].frontend.0 as usize;
    for _ in 0..DEFAULT_BACKLOG {
        let Some(place) = core.shared.places.take_client(frontend) else { return };
        let Some(accepted) = listener.accept_now() else { return };
        if let Ok((io, ends)) = accepted
            && let Some(io) = not_ours(core, io, ends[0])
        {
            session::spawn(core, bind, io, ends, place);
        }
    }
}

/// Errors that concern the connection being accepted, not the listener: accept(2) also gives what the network had to say
/// of it.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::ECONNRESET
                | libc::EINTR
                | libc::EPERM
                | libc::EACCES
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::ETIMEDOUT
        )
    )
}
