//! The only unsafe code of this room.
#![allow(unsafe_code, reason = "what the standard library has no words for")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, RawFd};

use socket2::SockAddr;

/// The lowest real-time priority: above everything ordinary, below the kernel's own threads.
const REAL_TIME: i32 = 1;

/// Where frames leave: an interface, by its number.
pub(crate) fn link_address(index: u32) -> io::Result<SockAddr> {
    let index = i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `try_init` hands out zeroed storage large enough for every address; the fields written
    // are those of a `sockaddr_ll`, and the length says so.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let link = storage.cast::<libc::sockaddr_ll>();
            (*link).sll_family = libc::AF_PACKET as u16;
            (*link).sll_ifindex = index;
            (*link).sll_halen = 6;
            *length = size_of::<libc::sockaddr_ll>() as u32;
            Ok(())
        })
    }?;
    Ok(address)
}

/// The bytes a receive call has written.
pub(crate) fn initialized(buffer: &[MaybeUninit<u8>], length: usize) -> &[u8] {
    let filled = &buffer[..length.min(buffer.len())];
    // SAFETY: the kernel has written `length` bytes from the beginning, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(filled.as_ptr().cast(), filled.len()) }
}

/// The descriptor of something that owns it, for as long as that is borrowed.
pub(crate) fn borrow<T>(_owner: &T, descriptor: RawFd) -> BorrowedFd<'_> {
    // SAFETY: the owner outlives the borrow and keeps the descriptor open.
    unsafe { BorrowedFd::borrow_raw(descriptor) }
}

/// Gives the calling thread real-time priority; its children do not inherit it.
pub(crate) fn real_time() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: REAL_TIME };
    // SAFETY: 0 names the calling thread, and the parameters outlive the call.
    let result =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the calling thread the highest ordinary priority.
pub(crate) fn highest_nice() -> io::Result<()> {
    // SAFETY: plain numbers; on Linux 0 names the calling thread.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
