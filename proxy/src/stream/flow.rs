//! One direction of a relay: bytes from one side, understood by a decoder, re-framed for the other.
//! What is sent is exactly what was understood; the decoder's refusal ends the stream.

use std::task::{Context, Poll};

use proxy_wire::h1::{Body, Decoder, encode};

use crate::connection::{Connection, Ended};
use crate::core::Core;

/// Body bytes up to this size are copied behind the head and sent with it in one call.
const COPY_LIMIT: usize = 4_096;

/// Which side of a flow failed, and how.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The side that is read.
    Source(Ended),
    /// What was read cannot be understood.
    Nonsense,
    /// The side that is written.
    Sink(Ended),
}

/// One direction.
pub(crate) struct Flow {
    decoder: Decoder,
    chunked: bool,
    tunnel: bool,
    out: Vec<u8>,
    sent: usize,
    source_done: bool,
    half_close: bool,
    closed: bool,
    /// Body bytes moved, without framing.
    pub(crate) body_bytes: u64,
    /// Bytes written to the sink.
    pub(crate) bytes: u64,
}

impl Flow {
    /// A flow of `body`, beginning with what `out` holds (the encoded head).
    pub(crate) fn new(body: Body, out: Vec<u8>) -> Self {
        let decoder = Decoder::new(body);
        Self {
            chunked: matches!(body, Body::Chunked),
            tunnel: matches!(body, Body::Tunnel),
            source_done: decoder.is_done(),
            decoder,
            out,
            sent: 0,
            half_close: false,
            closed: false,
            body_bytes: 0,
            bytes: 0,
        }
    }

    /// A flow of everything both ways; the source's end is passed on.
    pub(crate) fn tunnel(out: Vec<u8>) -> Self {
        Self { half_close: true, ..Self::new(Body::Tunnel, out) }
    }

    /// Whether everything was read and written.
    pub(crate) fn is_done(&self) -> bool {
        self.source_done && self.sent == self.out.len() && (self.closed || !self.half_close)
    }

    /// Whether the source has nothing more to give.
    pub(crate) fn has_read_all(&self) -> bool {
        self.source_done
    }

    /// The buffer, for another use.
    pub(crate) fn into_out(mut self) -> Vec<u8> {
        self.out.clear();
        self.out
    }

    /// Starts again from the encoded head, for a retry: only if nothing of a body was consumed.
    pub(crate) fn rewind(&mut self) {
        debug_assert_eq!(self.body_bytes, 0);
        self.sent = 0;
    }

    /// Moves as much as both sides allow. `Ready` when the flow is done.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        source: &mut Connection,
        sink: &mut Connection,
        progress: &mut bool,
    ) -> Poll<Result<(), Broken>> {
        loop {
            // Take what is there before sending, so that a head and a small body leave together.
            while !self.source_done && !source.input().is_empty() && self.out.len() - self.sent < COPY_LIMIT {
                if !self.decode(cx, core, source, sink)? {
                    break;
                }
                *progress = true;
            }
            if self.sent < self.out.len() {
                match sink.poll_send(cx, &self.out[self.sent..], &[]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Broken::Sink(Ended::Closed))),
                    Poll::Ready(Ok(count)) => {
                        self.sent += count;
                        self.bytes += count as u64;
                        *progress = true;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Sink(error.into()))),
                    Poll::Pending => return Poll::Pending,
                }
                continue;
            }
            if self.source_done {
                if self.half_close && !self.closed {
                    match sink.poll_shutdown(cx) {
                        Poll::Ready(_) => self.closed = true,
                        Poll::Pending => return Poll::Pending,
                    }
                }
                return Poll::Ready(Ok(()));
            }
            if !source.input().is_empty() {
                continue;
            }
            match source.poll_fill(cx, core) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(Ended::Closed)) => match self.decoder.eof() {
                    Ok(()) => self.source_done = true,
                    Err(_) => return Poll::Ready(Err(Broken::Source(Ended::Closed))),
                },
                Poll::Ready(Err(ended)) => return Poll::Ready(Err(Broken::Source(ended))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Decodes one piece of the source's input and queues or sends it. `false` if more input is needed.
    fn decode(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        source: &mut Connection,
        sink: &mut Connection,
    ) -> Result<bool, Broken> {
        // Sent bytes are forgotten before more are queued, unless a retry may need them (the head).
        if self.sent == self.out.len() && self.body_bytes > 0 {
            self.out.clear();
            self.sent = 0;
        }
        let input = source.input();
        let piece = self.decoder.decode(input).map_err(|_| Broken::Nonsense)?;
        let data = &input[piece.data.clone()];
        let consumed = piece.consumed;
        self.source_done = self.decoder.is_done();
        if !data.is_empty() {
            self.body_bytes += data.len() as u64;
            if self.chunked {
                encode::chunk_header(data.len(), &mut self.out);
                self.out.extend_from_slice(data);
                self.out.extend_from_slice(b"\r\n");
            } else if self.sent == self.out.len() {
                // Nothing is queued: straight from the input buffer to the socket.
                let written = match sink.poll_send(cx, data, &[]) {
                    Poll::Ready(Ok(count)) => count,
                    Poll::Ready(Err(error)) => return Err(Broken::Sink(error.into())),
                    Poll::Pending => 0,
                };
                self.bytes += written as u64;
                self.out.clear();
                self.sent = 0;
                self.out.extend_from_slice(&data[written..]);
            } else {
                self.out.extend_from_slice(data);
            }
        }
        if self.chunked && self.source_done {
            self.out.extend_from_slice(encode::LAST_CHUNK);
        }
        let moved = consumed > 0;
        source.consume(consumed, core);
        if !moved && !self.source_done && source.input_is_full() {
            return Err(Broken::Nonsense);
        }
        Ok(moved)
    }

    /// Whether this is a tunnel.
    pub(crate) fn is_tunnel(&self) -> bool {
        self.tunnel
    }
}
