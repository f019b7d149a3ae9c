//! One end of a byte stream: a TCP connection of the kernel, or in tests two queues of bytes in memory. Everything above
//! (TLS, buffers, streams) sees only this, so that whole exchanges run without a network and without a clock.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

#[cfg(test)]
pub(crate) mod memory;

/// One end of a byte stream.
pub(crate) enum Socket {
    /// The kernel's.
    Tcp(TcpStream),
    /// A test's.
    #[cfg(test)]
    Memory(memory::End),
}

impl Socket {
    /// Whether reading would give something now, the end included.
    pub(crate) fn is_readable(&self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Tcp(io) => io.poll_read_ready(cx).is_ready(),
            #[cfg(test)]
            Self::Memory(end) => end.is_readable(),
        }
    }

    /// Closing it is a reset: the other side hears it at once, and this side keeps no port.
    pub(crate) fn reset_on_close(&self) {
        match self {
            // A socket that is gone already needs none.
            Self::Tcp(io) => drop(io.set_zero_linger()),
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
            #[cfg(test)]
            Self::Memory(end) => end.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, bytes),
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
            #[cfg(test)]
            Self::Memory(end) => {
                let first = pieces.iter().find(|p| !p.is_empty());
                end.poll_write(cx, first.map_or(&[], |p| p))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_flush(cx),
            #[cfg(test)]
            Self::Memory(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            #[cfg(test)]
            Self::Memory(end) => {
                end.close();
                Poll::Ready(Ok(()))
            }
        }
    }
}
