//! What is written down without anybody waiting for the disk: the log and the journal of a supervisor, whose threads
//! have addresses to keep. A disk that is busy takes half a second for a line.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

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

static LOG: Mutex<Option<Behind<Vec<u8>>>> = Mutex::new(None);
static LOST: AtomicU64 = AtomicU64::new(0);

/// While it lives, lines of the log are written behind. Dropping waits until every one is; those that follow are written
/// where they are said.
pub(crate) struct LogBehind(());

impl LogBehind {
    /// To be called when this process has given up what it does not need.
    pub(crate) fn begin() -> Self {
        let write = |line: Vec<u8>| {
            let mut to = io::stderr().lock();
            // Nobody can be told that nobody reads the log.
            let _ = to.write_all(&line);
            let lost = LOST.swap(0, Ordering::Relaxed);
            if lost > 0 {
                let _ = writeln!(to, "{lost} lines of the log are lost: nobody took them in time");
            }
        };
        // Without a thread lines are written where they are said.
        *LOG.lock().unwrap_or_else(PoisonError::into_inner) = Behind::start("log", write).ok();
        Self(())
    }
}

impl Drop for LogBehind {
    fn drop(&mut self) {
        let log = LOG.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(log);
    }
}

/// Where lines of the log go: a writer for each.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &*LOG.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(log) => {
                if !log.give(line.to_vec()) {
                    LOST.fetch_add(1, Ordering::Relaxed);
                }
            }
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
