//! The only unsafe code of the workshop.
#![allow(unsafe_code, reason = "what a type system cannot promise about namespaces")]

use std::io;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Leaves namespaces that this thread shares with others for new ones.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: descriptors and the file system's root are not among the flags used here, so that nothing
    // another thread holds changes its meaning.
    unsafe { unshare_unsafe(flags) }.map_err(Into::into)
}
