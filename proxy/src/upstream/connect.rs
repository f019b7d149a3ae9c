//! Making a connection to a server within `timeout connect`.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use tokio::net::TcpSocket;

use crate::clock::now_ms;
use crate::connection::{Connection, Ended};
use crate::core::Core;
use crate::socket::Socket;
use crate::timers::Timer;

/// Connects; the timer's deadline is the attempt's.
pub(crate) async fn connect(core: &Core, address: SocketAddr, timer: &Timer) -> Result<Connection, Ended> {
    #[cfg(test)]
    if let Some(dial) = &*core.dial.borrow() {
        return dial(address).map(|end| Connection::new(Socket::Memory(end))).map_err(Ended::from);
    }
    let _ = core;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_nodelay(true)?;
    let mut attempt = pin!(socket.connect(address));
    let stream = poll_fn(|cx| match attempt.as_mut().poll(cx) {
        Poll::Pending if timer.expired(now_ms()) => Poll::Ready(Err(Ended::TimedOut)),
        Poll::Pending => Poll::Pending,
        Poll::Ready(result) => Poll::Ready(result.map_err(|e: io::Error| Ended::from(e))),
    })
    .await?;
    Ok(Connection::new(Socket::Tcp(stream)))
}
