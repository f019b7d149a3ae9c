//! The only unsafe code of this room.
#![allow(
    unsafe_code,
    reason = "promises about descriptors that types cannot give, and system calls without a library"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

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

/// Puts a filter of system calls on this thread and those it starts (seccomp(2)); `no_new_privs` must be set.
///
/// # Errors
/// The kernel has no such filters, or does not understand this one.
pub(crate) fn filter_calls(program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the instructions, which live until this returns, and writes nothing.
    let answer = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, std::ptr::from_ref(&program), 0, 0)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Of the system call's interface; without Landlock an error.
pub(crate) fn landlock_version() -> io::Result<u32> {
    const VERSION: u32 = 1;
    // SAFETY: with this flag it answers with a number, and reads no memory.
    let answer =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// A ruleset that refuses these rights about files, and these scopes where the interface's version has them.
pub(crate) fn landlock_ruleset(files: u64, scoped: u64, version: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        files: u64,
        network: u64,
        scoped: u64,
    }
    // As much of it as that version knows.
    let size: usize = match version {
        0..=3 => 8,
        4..=5 => 16,
        _ => 24,
    };
    let attributes = Attributes { files, network: 0, scoped };
    // SAFETY: the kernel reads `size` bytes, which are at most those of the structure, and writes nothing.
    let answer = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::from_ref(&attributes), size, 0_u32)
    };
    let number = i32::try_from(answer).map_err(io::Error::other)?;
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, for this caller alone.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(number) })
}

/// Allows these rights beneath a folder.
pub(crate) fn landlock_allow(ruleset: &OwnedFd, folder: &std::fs::File, rights: u64) -> io::Result<()> {
    const PATH_BENEATH: u32 = 1;
    #[repr(C, packed)]
    struct Beneath {
        rights: u64,
        parent: i32,
    }
    let rule = Beneath { rights, parent: folder.as_raw_fd() };
    // SAFETY: the structure is the one that this kind of rule has; the kernel reads it and writes nothing, and both
    // descriptors are open.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            PATH_BENEATH,
            std::ptr::from_ref(&rule),
            0_u32,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts a ruleset on this thread and those it starts; `no_new_privs` must be set.
pub(crate) fn landlock_restrict(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: it is given an open descriptor, and reads no memory.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Tries to get a page that can be written and executed, and gives it back.
#[cfg(test)]
pub(crate) fn executable_memory() -> io::Result<()> {
    const PAGE: usize = 4_096;
    let (access, kind) = (libc::PROT_WRITE | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new page at no given place; nothing is written to it, and it is unmapped at once.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), PAGE, access, kind, -1, 0);
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        libc::munmap(page, PAGE);
    }
    Ok(())
}
