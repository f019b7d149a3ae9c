//! Buffers and the core's store of them: a connection holds one only while it has bytes in flight, and one that waits holds
//! no more than what it has.

/// Bytes of one full buffer where nothing else is said, as HAProxy's `tune.bufsize`.
const BUFFER_SIZE: usize = 16_384;
/// Least bytes of a buffer that waits for more.
const SMALL_SIZE: usize = 512;
/// Most buffers of each kind a core keeps for later: 2 MiB.
const MAX_KEPT: usize = 128;

/// Received bytes that nobody has consumed yet.
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    /// Most bytes.
    most: usize,
}

impl Buffer {
    fn new(size: usize, most: usize) -> Self {
        Self { bytes: vec![0; size].into_boxed_slice(), start: 0, end: 0, most }
    }

    /// What is there.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Where more may be written: what is there moves to the front, or into a buffer of twice the size, when the end is
    /// reached. Empty if a full-sized buffer is full.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() {
            if self.start == 0 && self.bytes.len() < self.most {
                self.resize((2 * self.bytes.len()).min(self.most));
            } else if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
        }
        &mut self.bytes[self.end..]
    }

    fn resize(&mut self, size: usize) {
        let mut other = Self::new(size, self.most);
        let filled = self.filled();
        other.bytes[..filled.len()].copy_from_slice(filled);
        other.end = filled.len();
        *self = other;
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

    /// Whether nothing more fits, however large it grows.
    pub(crate) fn is_full(&self) -> bool {
        self.end - self.start == self.most
    }
}

/// The core's spare buffers, for input (`Buffer`) and output (`Vec`).
pub(crate) struct Store {
    /// Bytes of one full buffer.
    size: usize,
    input: Vec<Buffer>,
    output: Vec<Vec<u8>>,
}

impl Default for Store {
    fn default() -> Self {
        Self::new(BUFFER_SIZE)
    }
}

impl Store {
    pub(crate) fn new(size: usize) -> Self {
        Self { size, input: Vec::new(), output: Vec::new() }
    }

    pub(crate) fn take(&mut self) -> Buffer {
        self.input.pop().unwrap_or_else(|| Buffer::new(self.size, self.size))
    }

    pub(crate) fn give(&mut self, mut buffer: Buffer) {
        if self.input.len() < MAX_KEPT && buffer.bytes.len() == self.size {
            (buffer.start, buffer.end) = (0, 0);
            self.input.push(buffer);
        }
    }

    /// Moves what a waiting connection holds into a buffer that is no larger than it must be.
    pub(crate) fn settle(&mut self, buffer: &mut Buffer) {
        let size = (buffer.filled().len() + 1).next_power_of_two().max(SMALL_SIZE);
        if size >= buffer.bytes.len() {
            return;
        }
        let mut small = Buffer::new(size, self.size);
        let filled = buffer.filled();
        small.bytes[..filled.len()].copy_from_slice(filled);
        small.end = filled.len();
        self.give(std::mem::replace(buffer, small));
    }

    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        self.output.pop().unwrap_or_else(|| Vec::with_capacity(self.size))
    }

    pub(crate) fn give_output(&mut self, mut buffer: Vec<u8>) {
        let usual = (self.size..=2 * self.size).contains(&buffer.capacity());
        if self.output.len() < MAX_KEPT && usual {
            buffer.clear();
            self.output.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_buffer_is_small_and_grows_with_what_comes() {
        let mut store = Store::default();
        let mut buffer = store.take();
        let text: Vec<u8> = (0..BUFFER_SIZE).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect();
        for (count, byte) in text.iter().enumerate() {
            store.settle(&mut buffer);
            let least = (count + 1).next_power_of_two().clamp(SMALL_SIZE, BUFFER_SIZE);
            assert!(buffer.bytes.len() <= least, "{} bytes for {count}", buffer.bytes.len());
            assert!(!buffer.is_full());
            buffer.room()[0] = *byte;
            buffer.received(1);
        }
        assert!(buffer.is_full() && buffer.room().is_empty());
        assert_eq!(buffer.filled(), text);
        buffer.consume(1);
        assert_eq!((buffer.room().len(), buffer.filled()), (1, &text[1..]));
    }
}
