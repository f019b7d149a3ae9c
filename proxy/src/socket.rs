//! One end of a byte stream: a TCP connection of the kernel, or in tests two queues of bytes in memory. Everything above
//! (TLS, buffers, streams) sees only this, so that whole exchanges run without a network and without a clock.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::sys::unacknowledged;

#[cfg(test)]
pub(crate) mod memory;

/// One end of a byte stream.
pub(crate) enum Socket {
    /// The kernel's.
    Tcp(TcpStream),
    /// The kernel's, of this machine.
    Unix(UnixStream),
    /// A test's.
    #[cfg(test)]
    Memory(memory::End),
}

impl Socket {
    /// Whether reading would give something now, the end included.
    pub(crate) fn is_readable(&self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Tcp(io) => io.poll_read_ready(cx).is_ready(),
            Self::Unix(io) => io.poll_read_ready(cx).is_ready(),
            #[cfg(test)]
            Self::Memory(end) => end.is_readable(),
        }
    }

    /// The kernel's socket, away from the runtime.
    pub(crate) fn into_std(self) -> Option<std::net::TcpStream> {
        match self {
            Self::Tcp(io) => io.into_std().ok(),
            // Nothing can be kept from a process of this machine: it sees the end.
            Self::Unix(_) => None,
            #[cfg(test)]
            Self::Memory(_) => None,
        }
    }

    /// Closing it is a reset, whatever the other side has still to get.
    pub(crate) fn abort_on_close(&self) {
        match self {
            Self::Tcp(io) => {
                // A socket that is gone already needs none.
                let _ = io.set_zero_linger();
            }
            Self::Unix(_) => {}
            #[cfg(test)]
            Self::Memory(_) => {}
        }
    }

    /// Closing it is a reset: the other side hears it at once, and this side keeps no port. Not where the other side has
    /// still to get something: a reset would take that back.
    pub(crate) fn reset_on_close(&self) {
        match self {
            Self::Tcp(io) if unacknowledged(io.as_fd()).is_ok_and(|count| count == 0) => {
                // A socket that is gone already needs none.
                let _ = io.set_zero_linger();
            }
            Self::Tcp(_) | Self::Unix(_) => {}
            #[cfg(test)]
            Self::Memory(_) => {}
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Unix(io) => Pin::new(io).poll_read(cx, buffer),
            #[cfg(test)]
            Self::Memory(end) => end.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Unix(io) => Pin::new(io).poll_write(cx, bytes),
            #[cfg(test)]
            Self::Memory(end) => end.poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write_vectored(cx, pieces),
            Self::Unix(io) => Pin::new(io).poll_write_vectored(cx, pieces),
            #[cfg(test)]
            Self::Memory(end) => {
                let first = pieces.iter().find(|p| !p.is_empty());
                end.poll_write(cx, first.map_or(&[], |p| p))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_flush(cx),
            Self::Unix(io) => Pin::new(io).poll_flush(cx),
            #[cfg(test)]
            Self::Memory(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Self::Unix(io) => Pin::new(io).poll_shutdown(cx),
            #[cfg(test)]
            Self::Memory(end) => {
                end.close();
                Poll::Ready(Ok(()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    /// A socket to a server, the server's end of it, and what was written: as much as both ends' buffers take, or nothing.
    async fn written(fills: bool) -> (Socket, std::net::TcpStream, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        ours.set_nonblocking(true).unwrap();
        let io = TcpStream::from_std(ours).unwrap();
        io.writable().await.unwrap();
        let mut count = 0;
        while fills && let Ok(more) = io.try_write(&[b'z'; 65_536]) {
            count += more;
        }
        assert_eq!(count > 100_000, fills);
        (Socket::Tcp(io), listener.accept().unwrap().0, count)
    }

    #[tokio::test]
    async fn what_a_server_has_still_to_get_is_not_taken_back() {
        let (socket, mut server, count) = written(true).await;
        socket.reset_on_close();
        drop(socket);
        let got = tokio::task::spawn_blocking(move || {
            let mut got = Vec::new();
            server.read_to_end(&mut got).map(|_| got.len())
        });
        assert_eq!(got.await.unwrap().unwrap(), count, "all of it, and then an end");
    }

    #[tokio::test]
    async fn a_server_that_has_everything_is_told_by_a_reset() {
        let (socket, mut server, _) = written(false).await;
        socket.reset_on_close();
        drop(socket);
        let end = server.read(&mut [0; 1]).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
    }
}
