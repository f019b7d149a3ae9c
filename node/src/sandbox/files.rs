//! The filter of the file system: once its configuration is read a process that carries traffic opens no file, so that it
//! may open none, but for what the kernel says of this process itself. Descriptors that it has stay as they are, and
//! sockets of the log are no files to this.

use std::io;

/// Versions of Landlock's interface that have brought rights about files (landlock(7)), and how many there were then:
/// moving between folders, truncating, `ioctl` on devices.
const RIGHTS: [(u32, u32); 4] = [(1, 13), (2, 14), (3, 15), (5, 16)];
/// Since this version signals to processes outside can be refused.
const SIGNALS_SINCE: u32 = 6;
const SCOPE_SIGNAL: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// What stays readable.
const READABLE: &str = "/proc/self";

/// Confines this thread and those it starts; the version of the interface.
pub(super) fn confine() -> io::Result<u32> {
    let version = crate::sys::landlock_version()?;
    let known = RIGHTS.iter().rev().find(|(since, _)| *since <= version).map_or(0, |(_, count)| *count);
    let scoped = if version >= SIGNALS_SINCE { SCOPE_SIGNAL } else { 0 };
    let ruleset = crate::sys::landlock_ruleset((1 << known) - 1, scoped, version)?;
    // In a root of its own there may be none.
    if let Ok(folder) = std::fs::File::open(READABLE) {
        crate::sys::landlock_allow(&ruleset, &folder, READ_FILE | READ_DIR)?;
    }
    crate::sys::landlock_restrict(&ruleset)?;
    Ok(version)
}
