//! One direction of a relay: bytes from one side, understood by a decoder, re-framed for the other.
//! What is sent is exactly what was understood; the decoder's refusal ends the stream.

use std::task::{Context, Poll};

use proxy_wire::h1::{Body, Decoder, Framing, encode};

use crate::advance::Advance;
use crate::connection::{Connection, Ended};
use crate::core::Core;

/// Body bytes up to this size are copied behind the head and sent with it in one call.
const COPY_LIMIT: usize = 4_096;

/// Bytes that one flow moves before others get their turn: a full buffer, as HAProxy does, some 5 us of a core.
const MAX_TURN: u64 = 16 * 1_024;

/// Which side of a flow failed, and how.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The side that is read.
    Source(Ended),
    /// What was read cannot be understood.
    Nonsense,
    /// The side that is written.
    Sink,
}

/// What a flow waits for when it cannot go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// It is done, or has not been tried.
    #[default]
    Nothing,
    /// Bytes of the side that is read.
    Source,
    /// Room on the side that is written.
    Sink,
}

/// Which sides of a flow moved bytes since this was last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) source: bool,
    pub(crate) sink: bool,
}

/// One direction.
pub(crate) struct Flow {
    decoder: Decoder,
    /// What is sent is chunked.
    chunks: bool,
    tunnel: bool,
    /// Encoded and not yet sent; the buffer is the core's, and goes back whenever nothing is in it.
    out: Vec<u8>,
    sent: usize,
    source_done: bool,
    /// What is in the source's buffer is not enough for the decoder.
    starved: bool,
    half_close: bool,
    closed: bool,
    broken: bool,
    waits: WaitsFor,
    moved: Moved,
    /// Body bytes moved, without framing.
    pub(crate) body_bytes: u64,
    /// Bytes written to the sink.
    pub(crate) bytes: u64,
}

impl Flow {
    /// A flow of `body`, sent with this framing (of what is not there, in an answer to HEAD), beginning with what `out` holds (the encoded head).
    pub(crate) fn new(body: Body, framing: Framing, out: Vec<u8>) -> Self {
        let decoder = Decoder::new(body);
        Self {
            chunks: framing == Framing::Chunked,
            tunnel: matches!(body, Body::Tunnel),
            source_done: decoder.is_done(),
            decoder,
            out,
            sent: 0,
            starved: false,
            half_close: false,
            closed: false,
            broken: false,
            waits: WaitsFor::Nothing,
            moved: Moved::default(),
            body_bytes: 0,
            bytes: 0,
        }
    }

    /// A flow of everything both ways; the source's end is passed on.
    pub(crate) fn tunnel(out: Vec<u8>) -> Self {
        Self { half_close: true, ..Self::new(Body::Tunnel, Framing::Nothing, out) }
    }

    /// Whether everything was read and written.
    pub(crate) fn is_done(&self) -> bool {
        self.source_done && self.sent == self.out.len() && (self.closed || !self.half_close)
    }

    /// Whether it has failed: it cannot be polled again.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether the source has nothing more to give.
    pub(crate) fn has_read_all(&self) -> bool {
        self.source_done
    }

    /// Whether this is a tunnel.
    pub(crate) fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// What the last poll ended with.
    pub(crate) fn waits_for(&self) -> WaitsFor {
        self.waits
    }

    /// Which sides moved bytes since the last call.
    pub(crate) fn take_moved(&mut self) -> Moved {
        std::mem::take(&mut self.moved)
    }

    /// What is encoded and not sent.
    pub(crate) fn take_unsent(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.out);
        out.drain(..std::mem::take(&mut self.sent));
        out
    }

    /// Moves as much as both sides allow. `Ready` when the flow is done.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        source: &mut Connection,
        sink: &mut Connection,
    ) -> Poll<Result<(), Broken>> {
        let polled = self.advance(cx, core, source, sink);
        if !matches!(polled, Poll::Pending) {
            self.waits = WaitsFor::Nothing;
        }
        self.broken |= matches!(polled, Poll::Ready(Err(_)));
        polled
    }

    fn advance(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        source: &mut Connection,
        sink: &mut Connection,
    ) -> Poll<Result<(), Broken>> {
        let mut advance = Advance::default();
        let begin = self.bytes;
        loop {
            if self.bytes - begin >= MAX_TURN {
                self.waits = WaitsFor::Nothing;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            advance.assert(|| {
                (source.received(), source.input().len(), self.bytes, self.out.len(), self.source_done)
            });
            // Take what is there before sending, so that a head and a small body leave together.
            while self.wants_more(source) {
                self.decode(cx, core, source, sink)?;
            }
            if self.sent < self.out.len() {
                match sink.poll_send(cx, &self.out[self.sent..], &[]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Broken::Sink)),
                    Poll::Ready(Ok(count)) => self.wrote(count, core),
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Sink)),
                    Poll::Pending => {
                        self.waits = WaitsFor::Sink;
                        return Poll::Pending;
                    }
                }
                continue;
            }
            if self.source_done {
                if self.half_close && !self.closed {
                    match sink.poll_shutdown(cx) {
                        Poll::Ready(_) => self.closed = true,
                        Poll::Pending => {
                            self.waits = WaitsFor::Sink;
                            return Poll::Pending;
                        }
                    }
                }
                return Poll::Ready(Ok(()));
            }
            if !source.input().is_empty() && !self.starved {
                continue;
            }
            if source.input_is_full() {
                return Poll::Ready(Err(Broken::Nonsense));
            }
            match source.poll_fill(cx, core) {
                Poll::Ready(Ok(_)) => {
                    self.starved = false;
                    self.moved.source = true;
                }
                Poll::Ready(Err(Ended::Closed)) => match self.decoder.eof() {
                    Ok(()) => self.end_of_source(core, &[]),
                    Err(_) => return Poll::Ready(Err(Broken::Source(Ended::Closed))),
                },
                Poll::Ready(Err(ended)) => return Poll::Ready(Err(Broken::Source(ended))),
                Poll::Pending => {
                    self.waits = WaitsFor::Source;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether the source's input is to be decoded before anything is sent.
    fn wants_more(&self, source: &Connection) -> bool {
        !self.source_done
            && !self.starved
            && !source.input().is_empty()
            && self.out.len() - self.sent < COPY_LIMIT
    }

    fn wrote(&mut self, count: usize, core: &Core) {
        self.sent += count;
        self.bytes += count as u64;
        self.moved.sink = true;
        if self.sent == self.out.len() {
            self.sent = 0;
            core.store.borrow_mut().give_output(std::mem::take(&mut self.out));
        }
    }

    fn end_of_source(&mut self, core: &Core, trailers: &[u8]) {
        self.source_done = true;
        if self.chunks {
            encode::last_chunk(trailers, self.room(core));
        }
    }

    /// The buffer for what is to be sent.
    fn room(&mut self, core: &Core) -> &mut Vec<u8> {
        if self.out.capacity() == 0 {
            self.out = core.store.borrow_mut().take_output();
        }
        &mut self.out
    }

    /// Decodes one piece of the source's input and queues or sends it; `starved` afterwards if more input is needed.
    fn decode(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        source: &mut Connection,
        sink: &mut Connection,
    ) -> Result<(), Broken> {
        let input = source.input();
        let piece = self.decoder.decode(input).map_err(|_| Broken::Nonsense)?;
        let data = &input[piece.data.clone()];
        let consumed = piece.consumed;
        if !data.is_empty() {
            self.body_bytes += data.len() as u64;
            if self.chunks {
                let out = self.room(core);
                encode::chunk_header(data.len(), out);
                out.extend_from_slice(data);
                out.extend_from_slice(b"\r\n");
            } else if self.sent == self.out.len() {
                // Nothing is queued: straight from the input buffer to the socket.
                let written = match sink.poll_send(cx, data, &[]) {
                    Poll::Ready(Ok(count)) => count,
                    Poll::Ready(Err(_)) => return Err(Broken::Sink),
                    Poll::Pending => 0,
                };
                self.bytes += written as u64;
                self.moved.sink |= written > 0;
                if written < data.len() {
                    self.room(core).extend_from_slice(&data[written..]);
                }
            } else {
                self.room(core).extend_from_slice(data);
            }
        }
        if self.decoder.is_done() {
            self.end_of_source(core, &input[piece.trailers]);
        }
        // Bytes that came with the head are the source's progress too.
        self.moved.source |= consumed > 0;
        self.starved = consumed == 0 && !self.source_done;
        source.consume(consumed, core);
        Ok(())
    }
}
