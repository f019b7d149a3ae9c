//! A byte stream in memory: what one end writes the other reads, with a bounded queue between them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::ReadBuf;

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    limit: usize,
    /// Nothing more will be written.
    closed: bool,
    /// The connection is broken: readers and writers fail.
    broken: bool,
    /// Nothing more will be read.
    deaf: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

/// One end of the stream.
#[derive(Debug)]
pub(crate) struct End {
    incoming: Rc<RefCell<Pipe>>,
    outgoing: Rc<RefCell<Pipe>>,
}

/// Two ends; each direction holds so many bytes.
pub(crate) fn pair(limit: usize) -> (End, End) {
    let pipe = || Rc::new(RefCell::new(Pipe { limit, ..Pipe::default() }));
    let (one, other) = (pipe(), pipe());
    (End { incoming: Rc::clone(&one), outgoing: Rc::clone(&other) }, End { incoming: other, outgoing: one })
}

impl End {
    pub(super) fn is_readable(&self) -> bool {
        let pipe = self.incoming.borrow();
        !pipe.bytes.is_empty() || pipe.closed || pipe.broken
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut pipe = self.incoming.borrow_mut();
        if pipe.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.bytes.is_empty() {
            if pipe.closed {
                return Poll::Ready(Ok(()));
            }
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = buffer.remaining().min(pipe.bytes.len());
        let bytes: Vec<u8> = pipe.bytes.drain(..count).collect();
        buffer.put_slice(&bytes);
        if let Some(waker) = pipe.writer.take() {
            waker.wake();
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.outgoing.borrow_mut();
        if pipe.broken || pipe.deaf {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(pipe.limit.saturating_sub(pipe.bytes.len()));
        if count == 0 && !bytes.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.bytes.extend(&bytes[..count]);
        if let Some(waker) = pipe.reader.take() {
            waker.wake();
        }
        Poll::Ready(Ok(count))
    }

    /// Says that nothing more will be written.
    pub(crate) fn close(&mut self) {
        let mut pipe = self.outgoing.borrow_mut();
        if !pipe.closed {
            pipe.closed = true;
            pipe.wake();
        }
    }

    /// Writes as much as there is room for, from the test's side.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        let mut cx = Context::from_waker(Waker::noop());
        match self.poll_write(&mut cx, bytes) {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        }
    }

    /// Takes what has arrived, from the test's side.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut pipe = self.incoming.borrow_mut();
        let bytes = pipe.bytes.drain(..).collect();
        if let Some(waker) = pipe.writer.take() {
            waker.wake();
        }
        bytes
    }

    /// Whether the other end has said that nothing more comes.
    pub(crate) fn is_ended(&self) -> bool {
        let pipe = self.incoming.borrow();
        pipe.bytes.is_empty() && (pipe.closed || pipe.broken)
    }

    /// Breaks the connection, as a reset does.
    pub(crate) fn reset(&mut self) {
        for pipe in [&self.incoming, &self.outgoing] {
            let mut pipe = pipe.borrow_mut();
            pipe.broken = true;
            pipe.bytes.clear();
            pipe.wake();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close();
        let mut pipe = self.incoming.borrow_mut();
        pipe.deaf = true;
        pipe.wake();
    }
}
