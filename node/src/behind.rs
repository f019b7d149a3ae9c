//! What is written down without anybody waiting for the disk, or for a reader that does not read: the log of each
//! process and the journal of a supervisor, whose threads have addresses to keep. A disk that is busy takes half a second for a line.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use proxy::LogQueue;

/// Things that may wait to be written.
const MAX_WAITING: usize = 4_096;

/// Work that a thread of its own does, in order. Dropping waits until it is done.
#[derive(Debug)]
pub(crate) struct Behind<T> {
    queue: Option<SyncSender<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Behind<T> {
    /// Starts the thread, with the rights that the caller has.
    ///
    /// # Errors
    /// There is no room for a thread.
    pub(crate) fn start(name: &str, mut work: impl FnMut(T) + Send + 'static) -> io::Result<Self> {
        let (queue, waiting): (_, Receiver<T>) = sync_channel(MAX_WAITING);
        let run = move || waiting.iter().for_each(&mut work);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Gives it something to do; whether there was room.
    pub(crate) fn give(&self, work: T) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.try_send(work).is_ok())
    }
}

impl<T> Drop for Behind<T> {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked has nothing more to write.
            let _ = thread.join();
        }
    }
}

/// How long the end of a process waits for a log that is not read.
const LAST_LINES: Duration = Duration::from_secs(1);

/// While it lives, lines of the log are written behind. Dropping waits for those that are not written yet, for a second
/// at most.
pub(crate) struct LogBehind(());

impl LogBehind {
    /// To be called when this process has given up what it does not need: the thread that writes has the rights of the
    /// one that begins.
    pub(crate) fn begin() -> Self {
        // Without a thread lines are written where they are said, or lost.
        let _ = LogQueue::stderr().start("log");
        Self(())
    }
}

impl Drop for LogBehind {
    fn drop(&mut self) {
        last_lines();
    }
}

/// Waits until the log is written, for a second at most; before a process ends.
pub(crate) fn last_lines() {
    if LogQueue::stderr().is_started() {
        LogQueue::stderr().flush(LAST_LINES);
    }
}

/// Where lines of the log go: a writer for each. It never waits.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let log = LogQueue::stderr();
        // What is lost is counted there.
        let _ = if log.is_started() { log.give(line) } else { log.write_now(line) };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn work_is_done_in_order_and_to_its_end_and_nobody_waits_for_room() {
        let done = Arc::new(Mutex::new(Vec::new()));
        let (seen, gate) = (Arc::clone(&done), sync_channel::<()>(0));
        let behind = Behind::start("test", move |number: usize| {
            if number == 0 {
                gate.1.recv().unwrap();
            }
            seen.lock().unwrap().push(number);
        })
        .unwrap();
        let taken: Vec<usize> = (0..2 * MAX_WAITING).filter(|number| behind.give(*number)).collect();
        // One is being done, from the beginning or since later.
        assert!((MAX_WAITING..=MAX_WAITING + 1).contains(&taken.len()), "{}", taken.len());
        gate.0.send(()).unwrap();
        drop(behind);
        assert_eq!(*done.lock().unwrap(), taken);
    }
}
