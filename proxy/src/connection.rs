//! One side of a session: a socket, the bytes read from it and not yet consumed, and the waiting for
//! either with the session's timer. Waiting on an idle connection holds no buffer.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::buffer::{Buffer, Store};
use crate::clock::now_ms;
use crate::core::Core;
use crate::timers::Timer;

/// Why waiting for a socket ended without bytes.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The other side closed in an orderly way.
    Closed,
    /// It was reset, or another error of the socket.
    Failed(io::Error),
    /// The session's deadline passed.
    TimedOut,
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// A socket with its unread bytes.
pub(crate) struct Connection {
    io: TcpStream,
    input: Option<Buffer>,
}

impl Connection {
    pub(crate) fn new(io: TcpStream) -> Self {
        Self { io, input: None }
    }

    /// Bytes received and not yet consumed.
    pub(crate) fn input(&self) -> &[u8] {
        self.input.as_ref().map_or(&[], Buffer::filled)
    }

    pub(crate) fn input_is_full(&self) -> bool {
        self.input.as_ref().is_some_and(Buffer::is_full)
    }

    /// Consumes bytes; an empty buffer goes back to the core.
    pub(crate) fn consume(&mut self, count: usize, core: &Core) {
        if let Some(buffer) = &mut self.input {
            buffer.consume(count);
            if buffer.is_empty() {
                self.give_back(core);
            }
        }
    }

    /// Gives the buffer back to the core if nothing is in it.
    pub(crate) fn give_back(&mut self, core: &Core) {
        if self.input.as_ref().is_some_and(Buffer::is_empty)
            && let Some(buffer) = self.input.take()
        {
            core.store.borrow_mut().give(buffer);
        }
    }

    /// Reads once, if anything is there; registers for waking otherwise. Takes a buffer only when
    /// the socket is readable.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, core: &Core) -> Poll<Result<usize, Ended>> {
        if self.input.is_none() {
            match self.io.poll_read_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        let buffer = self.input.get_or_insert_with(|| core.store.borrow_mut().take());
        let room = buffer.room();
        debug_assert!(!room.is_empty(), "a full buffer cannot be filled");
        let mut read = ReadBuf::new(room);
        match Pin::new(&mut self.io).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) => {
                let count = read.filled().len();
                buffer.received(count);
                Poll::Ready(if count == 0 { Err(Ended::Closed) } else { Ok(count) })
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => {
                self.give_back(core);
                Poll::Pending
            }
        }
    }

    /// Waits for more bytes, until the timer's deadline.
    pub(crate) async fn fill(&mut self, core: &Core, timer: &Timer) -> Result<usize, Ended> {
        poll_fn(|cx| match self.poll_fill(cx, core) {
            Poll::Pending if timer.expired(now_ms()) => Poll::Ready(Err(Ended::TimedOut)),
            Poll::Pending => Poll::Pending,
            Poll::Ready(result) => Poll::Ready(result),
        })
        .await
    }

    /// Writes as much of two pieces as the socket takes now.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        if second.is_empty() {
            io.poll_write(cx, first)
        } else if first.is_empty() {
            io.poll_write(cx, second)
        } else {
            io.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(second)])
        }
    }

    /// Writes everything, until the timer's deadline. Progress moves the deadline by `timeout_ms`.
    pub(crate) async fn send(
        &mut self,
        bytes: &[u8],
        timer: &mut Timer,
        timeout_ms: Option<u64>,
    ) -> Result<(), Ended> {
        let mut sent = 0;
        poll_fn(|cx| {
            while sent < bytes.len() {
                match self.poll_send(cx, &bytes[sent..], &[]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Ended::Closed)),
                    Poll::Ready(Ok(count)) => sent += count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending if timer.expired(now_ms()) => return Poll::Ready(Err(Ended::TimedOut)),
                    Poll::Pending => {
                        if sent > 0 {
                            timer.set(timeout_ms.map(|t| now_ms() + t));
                        }
                        return Poll::Pending;
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Says that no more bytes will come from us.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Whether an idle connection has said anything, its end included: it must not be reused then.
    pub(crate) fn has_stirred(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        !self.input().is_empty() || self.io.poll_read_ready(&mut cx).is_ready()
    }

    /// Takes the buffer away, for a connection that ends.
    pub(crate) fn retire(&mut self, store: &mut Store) {
        if let Some(buffer) = self.input.take() {
            store.give(buffer);
        }
    }
}
