//! Listening sockets: opened once (by the supervisor, or here in a single process), one per core in a
//! SO_REUSEPORT group, bound whether or not the address is here yet; and the accept loop.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use proxy_config::model::{Bind, BindAddress, Config};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::core::Core;
use crate::session;
use crate::timers::TICK_MS;

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

/// Opens every listening socket of a configuration, `cores` for each bind.
///
/// # Errors
/// All binds that could not be opened, with their index and the reason.
pub fn open_sockets(config: &Config, cores: usize) -> Result<Sockets, Vec<(usize, io::Error)>> {
    let mut sockets = Sockets::default();
    let mut errors = Vec::new();
    for (index, bind) in config.binds.iter().enumerate() {
        match (0..cores).map(|_| open(bind)).collect() {
            Ok(group) => sockets.binds.push(group),
            Err(error) => errors.push((index, error)),
        }
    }
    if errors.is_empty() { Ok(sockets) } else { Err(errors) }
}

fn open(bind: &Bind) -> io::Result<OwnedFd> {
    let BindAddress::Tcp(address) = &bind.address else {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "only TCP addresses can be listened on yet"));
    };
    let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    // Inherited by every accepted connection: one call here instead of one for each of them.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&(*address).into())?;
    socket.listen(bind.backlog.and_then(|b| i32::try_from(b).ok()).unwrap_or(DEFAULT_BACKLOG))?;
    Ok(socket.into())
}

/// Starts accepting on one socket.
pub(crate) fn spawn(core: &Rc<Core>, bind: usize, socket: OwnedFd) -> io::Result<()> {
    let socket = std::net::TcpListener::from(socket);
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket)?;
    tokio::task::spawn_local(accept(Rc::clone(core), bind, listener));
    Ok(())
}

async fn accept(core: Rc<Core>, bind: usize, listener: TcpListener) {
    let frontend = core.shared.config.binds[bind].frontend.0 as usize;
    let mut batch = 0;
    loop {
        if core.shared.is_full(frontend) {
            tokio::time::sleep(Duration::from_millis(TICK_MS)).await;
            continue;
        }
        tokio::select! {
            biased;
            () = core.shared.stop.notified(), if core.shared.is_stopping() => return,
            accepted = listener.accept() => match accepted {
                Ok((io, source)) => session::spawn(&core, frontend, io, source),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(EXHAUSTED_REST).await;
                }
            },
        }
        if core.shared.is_stopping() {
            return;
        }
        batch += 1;
        if batch == ACCEPT_BATCH {
            batch = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Errors that concern the connection being accepted, not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::PermissionDenied
    )
}
