//! Making a connection to a server within `timeout connect`.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use proxy_config::model::SocketBytes;
use tokio::net::{TcpSocket, TcpStream};

use crate::clock::now_ms;
use crate::connection::{Connection, Ended};
use crate::core::Core;
use crate::limits::{ServerPlace, is_exhaustion, is_local};
use crate::socket::Socket;
use crate::timers::{TICK_MS, Timer};

/// Connects; the timer's deadline is the attempt's. What fails for a cause on this machine is tried once more, when
/// idle connections have made room.
pub(crate) async fn connect(core: &Core, address: SocketAddr, timer: &Timer) -> Result<Connection, Ended> {
    #[cfg(test)]
    if let Some(dial) = &*core.dial.borrow() {
        return dial(address).map(|end| Connection::new(Socket::Memory(end))).map_err(Ended::from);
    }
    let place = place(core, timer).await?;
    let bytes = core.shared.config.global.tuning.server;
    let stream = match attempt(address, bytes, timer).await {
        Err(Ended::Failed(error)) if is_local(&error) => {
            core.shared.places.note_shortage("cannot connect to a server", &error);
            // A closed connection gives back a descriptor, and no port.
            if !is_exhaustion(&error) || !core.idle.borrow_mut().evict() {
                return Err(Ended::Failed(error));
            }
            attempt(address, bytes, timer).await?
        }
        result => result?,
    };
    Ok(Connection::to_server(Socket::Tcp(stream), place))
}

/// Waits for a place: where all are taken, idle connections give theirs up. Those of other cores are closed at their
/// next tick.
async fn place(core: &Core, timer: &Timer) -> Result<ServerPlace, Ended> {
    let places = &core.shared.places;
    loop {
        if let Some(place) = places.take_server() {
            return Ok(place);
        }
        if timer.expired(now_ms()) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE).into());
        }
        if !core.idle.borrow_mut().evict() {
            places.relieve();
            // Boxed: every stream would carry the room of a timer of the runtime.
            Box::pin(tokio::time::sleep(Duration::from_millis(TICK_MS))).await;
        }
    }
}

async fn attempt(address: SocketAddr, bytes: SocketBytes, timer: &Timer) -> Result<TcpStream, Ended> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_nodelay(true)?;
    if let Some(bytes) = bytes.receive.and_then(|bytes| u32::try_from(bytes).ok()) {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = bytes.send.and_then(|bytes| u32::try_from(bytes).ok()) {
        socket.set_send_buffer_size(bytes)?;
    }
    let mut attempt = pin!(socket.connect(address));
    let stream = poll_fn(|cx| match attempt.as_mut().poll(cx) {
        Poll::Pending if timer.expired(now_ms()) => Poll::Ready(Err(Ended::TimedOut)),
        Poll::Pending => Poll::Pending,
        Poll::Ready(result) => Poll::Ready(result.map_err(|e: io::Error| Ended::from(e))),
    })
    .await?;
    Ok(stream)
}
