//! Buffers and the core's store of them: a connection holds one only while it has bytes in flight.

/// Bytes of one buffer, as HAProxy's `tune.bufsize`.
pub(crate) const BUFFER_SIZE: usize = 16_384;
/// Most buffers a core keeps for later.
const MAX_KEPT: usize = 1_024;

/// Received bytes that nobody has consumed yet.
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: vec![0; BUFFER_SIZE].into_boxed_slice(), start: 0, end: 0 }
    }

    /// What is there.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Where more may be written; moves what is there to the front if the end is reached.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    pub(crate) fn received(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.bytes.len());
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn is_full(&self) -> bool {
        self.end - self.start == self.bytes.len()
    }
}

/// The core's spare buffers, for input (`Buffer`) and output (`Vec`).
#[derive(Default)]
pub(crate) struct Store {
    input: Vec<Buffer>,
    output: Vec<Vec<u8>>,
}

impl Store {
    pub(crate) fn take(&mut self) -> Buffer {
        self.input.pop().unwrap_or_else(Buffer::new)
    }

    pub(crate) fn give(&mut self, mut buffer: Buffer) {
        if self.input.len() < MAX_KEPT {
            (buffer.start, buffer.end) = (0, 0);
            self.input.push(buffer);
        }
    }

    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        self.output.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_SIZE))
    }

    pub(crate) fn give_output(&mut self, mut buffer: Vec<u8>) {
        if self.output.len() < MAX_KEPT && buffer.capacity() <= 2 * BUFFER_SIZE {
            buffer.clear();
            self.output.push(buffer);
        }
    }
}
