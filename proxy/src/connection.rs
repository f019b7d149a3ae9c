//! One side of a session: a socket, the bytes read from it and not yet consumed, and the waiting for
//! either with the session's timer. Waiting on an idle connection holds no buffer.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::{StartHandshake, TlsStream};

use crate::buffer::{Buffer, Store};
use crate::clock::now_ms;
use crate::core::Core;
use crate::limits::ServerPlace;
use crate::socket::Socket;
use crate::timers::Timer;
use crate::tls::TlsBind;

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

/// Why a client's TLS did not begin.
#[derive(Debug)]
pub(crate) enum HandshakeFailure {
    /// The client closed before it had said what it wants.
    Closed,
    /// It closed later.
    Aborted,
    TimedOut,
    Failed(io::Error),
}

/// A fatal alert in the clear (RFC 8446 5.1 and 6.2): there is no certificate for the name.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

async fn handshake(io: Socket, bind: &TlsBind) -> Result<TlsStream<Socket>, HandshakeFailure> {
    let ended = |error: io::Error, early: bool| {
        let is_end = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset].contains(&error.kind());
        match (is_end, early) {
            (true, true) => HandshakeFailure::Closed,
            (true, false) => HandshakeFailure::Aborted,
            (false, _) => HandshakeFailure::Failed(error),
        }
    };
    let start = LazyConfigAcceptor::new(Acceptor::default(), io).await.map_err(|error| ended(error, true))?;
    match bind.settings(&start.client_hello()) {
        Some(config) => start.into_stream(config).await.map_err(|error| ended(error, false)),
        None => {
            let StartHandshake { mut io, .. } = start;
            // The client may be gone; there is nobody left to tell.
            let _ = io.write_all(&UNRECOGNIZED_NAME).await;
            Err(HandshakeFailure::Failed(io::Error::other("no certificate for the name")))
        }
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// A socket, as it is or under TLS.
enum Io {
    Plain(Socket),
    Tls(Box<Tls>),
    /// A handshake has it, or had it and failed.
    Away,
}

struct Tls {
    stream: TlsStream<Socket>,
    /// Encrypted bytes may wait for room in the socket.
    unflushed: bool,
}

/// A socket with its unread bytes.
pub(crate) struct Connection {
    io: Io,
    input: Option<Buffer>,
    /// Bytes received over its life: what proves that a loop over it goes on.
    received: u64,
    /// A server's: it knows whose requests come by it, and nobody else's may.
    private: bool,
    /// A server's: it has carried a second request before.
    proven: bool,
    /// The other side has said that nothing follows.
    ended: bool,
    /// Towards a server: its place, free again when the connection is gone.
    place: Option<ServerPlace>,
}

/// Whoever ends a TCP connection first keeps its port for a minute. Towards a server that would use up the ports of this
/// machine, so a connection that the server has not ended is reset, as HAProxy does; by then its answer is here, or
/// nobody waits for it any more.
impl Drop for Connection {
    fn drop(&mut self) {
        if self.place.is_some()
            && !self.ended
            && let Io::Plain(io) = &self.io
        {
            io.reset_on_close();
        }
    }
}

impl Connection {
    pub(crate) fn new(io: Socket) -> Self {
        Self {
            io: Io::Plain(io),
            input: None,
            received: 0,
            private: false,
            proven: false,
            ended: false,
            place: None,
        }
    }

    /// Towards a server.
    pub(crate) fn to_server(io: Socket, place: ServerPlace) -> Self {
        let mut connection = Self::new(io);
        connection.place = Some(place);
        connection
    }

    /// Binds it to the session it is used by.
    pub(crate) fn set_private(&mut self) {
        self.private = true;
    }

    pub(crate) fn is_private(&self) -> bool {
        self.private
    }

    /// Notes that it was used again, if so.
    pub(crate) fn set_proven(&mut self, reused: bool) {
        self.proven |= reused;
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    /// Bytes received over its life.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Whether it is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.io, Io::Tls(_))
    }

    /// Lets the client begin TLS, until the timer's deadline.
    pub(crate) async fn accept_tls(&mut self, bind: &TlsBind, timer: &Timer) -> Result<(), HandshakeFailure> {
        let Io::Plain(io) = std::mem::replace(&mut self.io, Io::Away) else {
            return Err(HandshakeFailure::Failed(io::ErrorKind::NotConnected.into()));
        };
        let mut handshake = Box::pin(handshake(io, bind));
        let stream = poll_fn(|cx| match handshake.as_mut().poll(cx) {
            Poll::Pending if timer.expired(now_ms()) => Poll::Ready(Err(HandshakeFailure::TimedOut)),
            Poll::Pending => Poll::Pending,
            Poll::Ready(result) => Poll::Ready(result),
        })
        .await?;
        self.io = Io::Tls(Box::new(Tls { stream, unflushed: false }));
        Ok(())
    }

    /// Sends what is still to be sent, and that nothing follows, until the timer's deadline. Without
    /// TLS there is nothing to do: the kernel has it all.
    pub(crate) async fn close(&mut self, timer: &Timer) {
        if !self.is_tls() {
            return;
        }
        poll_fn(|cx| match self.poll_shutdown(cx) {
            Poll::Pending if timer.expired(now_ms()) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
            // The client may be gone; there is nobody left to tell.
            Poll::Ready(_) => Poll::Ready(()),
        })
        .await;
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

    /// Reads once, if anything is there; registers for waking otherwise, and holds no more than what it has then.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, core: &Core) -> Poll<Result<usize, Ended>> {
        match &mut self.io {
            // Whoever waits for an answer must have sent the question.
            Io::Tls(tls) if tls.unflushed => {
                if let Poll::Ready(result) = Pin::new(&mut tls.stream).poll_flush(cx) {
                    result?;
                    tls.unflushed = false;
                }
            }
            Io::Plain(_) | Io::Tls(_) | Io::Away => {}
        }
        let buffer = self.input.get_or_insert_with(|| core.store.borrow_mut().take());
        let room = buffer.room();
        debug_assert!(!room.is_empty(), "a full buffer cannot be filled");
        let mut read = ReadBuf::new(room);
        let polled = match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_read(cx, &mut read),
            Io::Tls(tls) => Pin::new(&mut tls.stream).poll_read(cx, &mut read),
            Io::Away => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        match polled {
            Poll::Ready(Ok(())) => {
                let count = read.filled().len();
                buffer.received(count);
                self.received += count as u64;
                self.ended |= count == 0;
                Poll::Ready(if count == 0 { Err(Ended::Closed) } else { Ok(count) })
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => {
                if buffer.is_empty() {
                    self.give_back(core);
                } else {
                    core.store.borrow_mut().settle(buffer);
                }
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
        let io = match &mut self.io {
            Io::Plain(io) => Pin::new(io),
            Io::Tls(tls) => return tls.poll_send(cx, if first.is_empty() { second } else { first }),
            Io::Away => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        if second.is_empty() {
            io.poll_write(cx, first)
        } else if first.is_empty() {
            io.poll_write(cx, second)
        } else {
            io.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(second)])
        }
    }

    /// Writes everything; whoever takes nothing for `timeout_ms` milliseconds is late. `None` is no limit.
    pub(crate) async fn send(
        &mut self,
        bytes: &[u8],
        timer: &mut Timer,
        timeout_ms: Option<u64>,
    ) -> Result<(), Ended> {
        let (mut sent, mut before) = (0, 0);
        timer.set(timeout_ms.map(|t| now_ms() + t));
        poll_fn(|cx| {
            while sent < bytes.len() {
                match self.poll_send(cx, &bytes[sent..], &[]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Ended::Closed)),
                    Poll::Ready(Ok(count)) => sent += count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending if sent > before => {
                        before = sent;
                        timer.set(timeout_ms.map(|t| now_ms() + t));
                        return Poll::Pending;
                    }
                    Poll::Pending if timer.expired(now_ms()) => return Poll::Ready(Err(Ended::TimedOut)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Discards what is there now, one buffer of it: closing a socket with unread bytes is a reset instead of an end.
    pub(crate) fn discard(&mut self, core: &Core) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        // Whatever it gives, the connection is closed next.
        let _ = self.poll_fill(&mut cx, core);
        self.consume(self.input().len(), core);
    }

    /// Makes its end a reset.
    pub(crate) fn abort(&self) {
        if let Io::Plain(io) = &self.io {
            io.abort_on_close();
        }
    }

    /// Takes the socket away, to be kept where it says nothing.
    pub(crate) fn vanish(&mut self, core: &Core) {
        let socket = match std::mem::replace(&mut self.io, Io::Away) {
            Io::Plain(io) => io,
            Io::Tls(tls) => tls.stream.into_inner().0,
            Io::Away => return,
        };
        core.silent.borrow_mut().keep(socket);
    }

    /// Says that nothing follows and discards what the other side still sends, until it ends, `limit` bytes have come or
    /// the timer's deadline passes: closing a socket with unread bytes resets it, and the reply may be lost with that.
    pub(crate) async fn drain(&mut self, core: &Core, timer: &Timer, limit: u64) {
        let from = self.received;
        let mut told = false;
        poll_fn(|cx| {
            if timer.expired(now_ms()) {
                return Poll::Ready(());
            }
            if !told {
                match self.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => told = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            loop {
                self.consume(self.input().len(), core);
                match self.poll_fill(cx, core) {
                    Poll::Ready(Ok(_)) if self.received - from < limit => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }

    /// Says that no more bytes will come from us.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Io::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
            Io::Away => Poll::Ready(Ok(())),
        }
    }

    /// Whether an idle connection has said anything, its end included: it must not be reused then.
    pub(crate) fn has_stirred(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let readable = match &self.io {
            Io::Plain(io) => io.is_readable(&mut cx),
            Io::Tls(tls) => tls.stream.get_ref().0.is_readable(&mut cx),
            Io::Away => true,
        };
        readable || !self.input().is_empty()
    }

    /// Takes the buffer away, for a connection that ends.
    pub(crate) fn retire(&mut self, store: &mut Store) {
        if let Some(buffer) = self.input.take() {
            store.give(buffer);
        }
    }
}

impl Tls {
    /// Encrypts and sends as much as there is room for; what is encrypted and not sent waits.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.unflushed = match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(result) => {
                result?;
                false
            }
            Poll::Pending => true,
        };
        Poll::Ready(Ok(written))
    }
}
