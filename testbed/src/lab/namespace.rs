//! One host: a network of its own.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::sys::unshare;

/// A network namespace; it lives as long as this or a process in it.
pub(crate) struct Namespace(OwnedFd);

impl Namespace {
    pub(crate) fn new() -> io::Result<Self> {
        let make = || -> io::Result<OwnedFd> {
            unshare(UnshareFlags::NEWNET)?;
            Ok(File::open("/proc/thread-self/ns/net")?.into())
        };
        // A thread moves alone, and takes its descriptor home.
        let made = std::thread::scope(|scope| scope.spawn(make).join());
        made.map_err(|_| io::Error::other("a thread died"))?.map(Self)
    }

    /// Runs something on a thread inside; processes and sockets it makes stay inside.
    pub(crate) fn inside<R: Send>(&self, run: impl FnOnce() -> R + Send) -> io::Result<R> {
        let enter = || -> io::Result<R> {
            self.join()?;
            Ok(run())
        };
        let result = std::thread::scope(|scope| scope.spawn(enter).join());
        result.map_err(|_| io::Error::other("a thread died"))?
    }

    /// Moves the calling thread inside.
    pub(crate) fn join(&self) -> io::Result<()> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).map_err(Into::into)
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
