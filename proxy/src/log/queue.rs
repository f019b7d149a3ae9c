//! Lines on their way to a file, a terminal or a pipe, whose reader may not read: a thread writes them, and whoever has
//! a line to say leaves it in a bounded queue and goes on.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, poll};

/// Most bytes that wait for the writer of one target: what a reader that pauses for a second makes of ten thousand
/// lines a second.
pub const MAX_QUEUED_BYTES: usize = 1024 * 1024;
/// Most lines that wait for the writer of one target.
pub const MAX_QUEUED_LINES: usize = 8_192;
/// Bytes written at once: a pipe takes so many whole or not at all, whoever else writes there (POSIX's `PIPE_BUF`).
const PIECE: usize = 4_096;

/// Where lines are written.
#[derive(Debug)]
enum Target {
    Stdout,
    Stderr,
    #[cfg_attr(not(test), allow(dead_code, reason = "standard output of a test is not the test's"))]
    Other(OwnedFd),
}

impl Target {
    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stdout => rustix::stdio::stdout(),
            Self::Stderr => rustix::stdio::stderr(),
            Self::Other(descriptor) => descriptor.as_fd(),
        }
    }
}

/// The lines of one target. Nobody who has something to say ever waits.
pub struct LogQueue {
    target: Target,
    waiting: Mutex<Waiting>,
    /// There is something to write.
    wake: Condvar,
    /// Everything is written.
    idle: Condvar,
    has_writer: AtomicBool,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    writing: bool,
}

impl LogQueue {
    /// The queue of standard output; nothing is written before [`LogQueue::start`].
    #[must_use]
    pub fn stdout() -> &'static Arc<Self> {
        static QUEUE: OnceLock<Arc<LogQueue>> = OnceLock::new();
        QUEUE.get_or_init(|| Self::new(Target::Stdout))
    }

    /// The queue of standard error; nothing is written before [`LogQueue::start`].
    #[must_use]
    pub fn stderr() -> &'static Arc<Self> {
        static QUEUE: OnceLock<Arc<LogQueue>> = OnceLock::new();
        QUEUE.get_or_init(|| Self::new(Target::Stderr))
    }

    fn new(target: Target) -> Arc<Self> {
        Arc::new(Self {
            target,
            waiting: Mutex::default(),
            wake: Condvar::new(),
            idle: Condvar::new(),
            has_writer: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        })
    }

    /// Starts the thread that writes, with the rights that the caller has; once is enough.
    ///
    /// # Errors
    /// There is no room for a thread.
    pub fn start(self: &Arc<Self>, name: &str) -> io::Result<()> {
        if self.has_writer.swap(true, Relaxed) {
            return Ok(());
        }
        let own = Arc::clone(self);
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || own.write_for_ever());
        started.map(drop).inspect_err(|_| self.has_writer.store(false, Relaxed))
    }

    /// Whether a thread writes what is given.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.has_writer.load(Relaxed)
    }

    /// Takes a line, its line feed included; `false`: there was no room, and it is counted as dropped.
    pub fn give(&self, line: &[u8]) -> bool {
        let mut waiting = self.waiting.lock();
        let full = waiting.lines.len() >= MAX_QUEUED_LINES || waiting.bytes + line.len() > MAX_QUEUED_BYTES;
        if full {
            drop(waiting);
            self.dropped.fetch_add(1, Relaxed);
            return false;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.to_vec());
        if waiting.lines.len() == 1 && !waiting.writing {
            self.wake.notify_one();
        }
        true
    }

    /// Lines that were not written: there was no room, or the reader is gone.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Waits until everything is written, but no longer than this; whether it is.
    pub fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut waiting = self.waiting.lock();
        while waiting.writing || !waiting.lines.is_empty() {
            if self.idle.wait_until(&mut waiting, deadline).timed_out() {
                return !waiting.writing && waiting.lines.is_empty();
            }
        }
        true
    }

    /// Writes a line from the calling thread if that does not wait; for as long as no thread can be started.
    /// `false`: it was not, and is counted as dropped.
    pub fn write_now(&self, line: &[u8]) -> bool {
        // A pipe that is ready takes a piece; a longer line could wait for its reader.
        let line = if line.len() > PIECE { &line[..PIECE] } else { line };
        let written = is_ready(self.target.descriptor(), false) && self.write(line).is_ok();
        if !written {
            self.dropped.fetch_add(1, Relaxed);
        }
        written
    }

    fn write_for_ever(&self) {
        let mut piece = Vec::with_capacity(PIECE);
        let mut told = 0;
        loop {
            piece.clear();
            let mut lines = 0;
            let mut waiting = self.waiting.lock();
            waiting.writing = false;
            while waiting.lines.is_empty() {
                self.idle.notify_all();
                self.wake.wait(&mut waiting);
            }
            while let Some(line) = waiting.lines.front()
                && (lines == 0 || piece.len() + line.len() <= PIECE)
            {
                piece.extend_from_slice(line);
                waiting.bytes -= line.len();
                waiting.lines.pop_front();
                lines += 1;
            }
            waiting.writing = true;
            drop(waiting);
            if self.write(&piece).is_err() {
                self.dropped.fetch_add(lines, Relaxed);
                continue;
            }
            // Who reads again learns what is missing.
            let dropped = self.dropped();
            if dropped > told {
                let line =
                    format!("{} log lines were dropped here: nobody read them in time\n", dropped - told);
                told = dropped;
                // If it fails, so will the next line, which is counted.
                let _ = self.write(line.as_bytes());
            }
        }
    }

    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let descriptor = self.target.descriptor();
            match rustix::io::write(descriptor, bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(rustix::io::Errno::INTR) => {}
                // Somebody who shares the target has made it so.
                Err(rustix::io::Errno::AGAIN) => drop(is_ready(descriptor, true)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Whether a descriptor takes a piece without waiting; or waits until it does.
fn is_ready(descriptor: BorrowedFd<'_>, wait: bool) -> bool {
    let mut one = [PollFd::new(&descriptor, PollFlags::OUT)];
    let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = poll(&mut one, if wait { None } else { Some(&at_once) });
    ready.is_ok_and(|count| count > 0) && !one[0].revents().intersects(PollFlags::ERR | PollFlags::NVAL)
}

impl fmt::Debug for LogQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogQueue({:?}, {} dropped)", self.target, self.dropped())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    #[test]
    fn log_queue_without_a_reader_drops_counts_and_never_waits() {
        let (reader, writer) = io::pipe().unwrap();
        let queue = LogQueue::new(Target::Other(writer.into()));
        queue.start("test").unwrap();
        let line = [b"x".repeat(99), b"\n".to_vec()].concat();
        let before = Instant::now();
        let taken = (0..100_000).filter(|_| queue.give(&line)).count() as u64;
        // A pipe holds 64 KiB and the queue 8,192 lines; the reader has read nothing.
        assert!((8_192..=8_192 + 700 + 41).contains(&taken), "{taken}");
        assert_eq!(queue.dropped(), 100_000 - taken);
        assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
        assert!(!queue.flush(Duration::from_millis(10)), "nobody waits for a reader for ever");
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        let whole =
            lines.by_ref().take_while(|l| !l.contains("dropped here")).filter(|l| l.len() == 99).count();
        assert!(whole > 0);
        // What is still there makes room line by line.
        while !queue.give(b"last\n") {
            assert!(lines.next().is_some());
        }
        assert!(lines.any(|line| line == "last"));
        assert!(queue.flush(Duration::from_secs(10)));
    }

    #[test]
    fn log_queue_in_bytes_is_bounded_and_a_closed_reader_counts() {
        let (reader, writer) = io::pipe().unwrap();
        let queue = LogQueue::new(Target::Other(writer.into()));
        let line = vec![b'x'; 100_000];
        assert_eq!((0..100).filter(|_| queue.give(&line)).count(), MAX_QUEUED_BYTES / line.len());
        drop(reader);
        queue.start("test").unwrap();
        assert!(queue.flush(Duration::from_secs(10)));
        assert_eq!(queue.dropped(), 100);
    }

    #[test]
    fn line_before_the_writer_starts_does_not_wait_either() {
        let (mut reader, writer) = io::pipe().unwrap();
        let queue = LogQueue::new(Target::Other(writer.into()));
        let line = [b"y".repeat(999), b"\n".to_vec()].concat();
        let written = (0..100).filter(|_| queue.write_now(&line)).count();
        assert!((1..100).contains(&written), "{written}");
        assert_eq!(queue.dropped(), 100 - written as u64);
        drop(queue);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), written * line.len(), "no line is cut");
    }
}
