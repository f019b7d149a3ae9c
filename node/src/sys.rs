//! The only unsafe code of this room.
#![allow(unsafe_code, reason = "the runtime wants a promise about descriptors that types cannot give")]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that a runtime watches for something to read.
pub(crate) fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and keeps naming the same file until it is dropped, and the `AsyncFd`
    // owns it.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    registered.map_err(|error| io::Error::other(error.to_string()))
}

/// A copy of a descriptor this program was started with.
pub(crate) fn inherited(number: i32) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(unchecked(number), 0)?)
}

/// Has the process end in silence when nobody reads what it prints any more, as every program in a pipe does; otherwise
/// printing to `head` would be a panic.
pub(crate) fn end_with_the_reader() {
    // SAFETY: the default action of a signal needs no handler, and no other thread has been started.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

fn unchecked(number: i32) -> BorrowedFd<'static> {
    // SAFETY: it is only asked of the kernel whether it names anything, and to copy it: a number that
    // names nothing is refused there.
    unsafe { BorrowedFd::borrow_raw(number) }
}
