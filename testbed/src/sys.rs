//! The only unsafe code of the workshop.
#![allow(unsafe_code, reason = "what a type system cannot promise about namespaces")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, SystemTime};

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Leaves namespaces that this thread shares with others for new ones.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: descriptors and the file system's root are not among the flags used here, so that nothing
    // another thread holds changes its meaning.
    unsafe { unshare_unsafe(flags) }.map_err(Into::into)
}

/// `SIOCGSTAMPNS_NEW` (asm-generic/sockios.h): two numbers of 64 bits.
const TIME_OF_LAST_PACKET: libc::Ioctl = 0x8010_8907_u32 as libc::Ioctl;

/// When the kernel had the packet that was received last; from the first question on it writes that down.
pub(crate) fn last_packet_at(socket: &OwnedFd) -> io::Result<SystemTime> {
    let mut time = [0_i64; 2];
    // SAFETY: the kernel writes two numbers of 64 bits, for which there is room.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), TIME_OF_LAST_PACKET, time.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let [seconds, nanos] = time.map(|part| u64::try_from(part).unwrap_or_default());
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(nanos))
}
