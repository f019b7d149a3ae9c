//! The only unsafe code of this room.
#![allow(unsafe_code, reason = "the clock of another thread and a socket's queue have no safe interface")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Bytes that a socket has taken and that the other side has not acknowledged.
///
/// # Errors
/// It is no such socket, or the kernel does not say.
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the socket is open while it is borrowed, and the number is written to a variable of this function.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if code == 0 { Ok(usize::try_from(count).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}

/// The clock of the CPU time that a thread has used. It names no memory: when the thread has ended the kernel refuses
/// to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuClock(libc::clockid_t);

impl CpuClock {
    /// That of the thread that asks.
    ///
    /// # Errors
    /// The kernel has none.
    pub(crate) fn own() -> io::Result<Self> {
        let mut clock = 0;
        // SAFETY: the thread that asks lives, and the clock is written to a variable of this function.
        let code = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
        if code == 0 { Ok(Self(clock)) } else { Err(io::Error::from_raw_os_error(code)) }
    }

    /// The number by which another thread can ask for it.
    pub(crate) fn number(self) -> i32 {
        self.0
    }

    /// What [`CpuClock::number`] gave.
    pub(crate) fn of_number(number: i32) -> Self {
        Self(number)
    }

    /// CPU time used so far.
    ///
    /// # Errors
    /// The thread has ended.
    pub(crate) fn read(self) -> io::Result<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the time is written to a variable of this function; a number that names no clock is refused.
        if unsafe { libc::clock_gettime(self.0, &raw mut time) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Ok(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_threads_clock_grows_with_its_work_and_ends_with_it() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let own = CpuClock::own().unwrap();
            sender.send(own).unwrap();
            while own.read().unwrap() < Duration::from_millis(5) {}
            sender.send(own).unwrap();
            wait.recv().unwrap();
        });
        let clock = receiver.recv().unwrap();
        receiver.recv().unwrap();
        let used = CpuClock::of_number(clock.number()).read().unwrap();
        assert!(used >= Duration::from_millis(5), "{used:?}");
        go_on.send(()).unwrap();
        thread.join().unwrap();
        // The kernel forgets a thread a moment after it can be joined.
        let begin = std::time::Instant::now();
        while clock.read().is_ok() {
            assert!(begin.elapsed() < Duration::from_secs(10), "the thread has ended");
            std::thread::yield_now();
        }
    }
}
