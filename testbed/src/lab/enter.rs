//! Becomes the owner of a small world: user, process and network namespaces of its own.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use failover::netlink::Netlink;
use rustix::process::{Signal, getegid, geteuid, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;

use crate::sys::unshare;

/// Set in the process that is inside.
const INSIDE: &str = "TANDEM_LAB";

/// Says on which side this process is. Outside: runs itself again inside, and returns its exit code.
pub(crate) fn enter() -> Result<Option<ExitCode>, String> {
    enter_with(false)
}

/// The same; `as_root`: without a user namespace, in which nobody gets real-time priority.
pub(crate) fn enter_with(as_root: bool) -> Result<Option<ExitCode>, String> {
    if std::env::var_os(INSIDE).is_some() {
        // The world ends with whoever made it, be it by a signal.
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| e.to_string())?;
        return Ok(None);
    }
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let rest = UnshareFlags::NEWNET | UnshareFlags::NEWPID;
    let user_too = if as_root { rest } else { UnshareFlags::NEWUSER | rest };
    match unshare(user_too) {
        Ok(()) if as_root => {}
        Ok(()) => map_to_root(user, group).map_err(|e| format!("cannot become root of the lab: {e}"))?,
        Err(error) if user == 0 => unshare(rest).map_err(|_| forbidden(&error))?,
        Err(error) => return Err(forbidden(&error)),
    }
    let status = Command::new("/proc/self/exe")
        .arg0("testbed")
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()
        .map_err(|e| format!("cannot run inside: {e}"))?;
    Ok(Some(status.code().and_then(|c| u8::try_from(c).ok()).map_or(ExitCode::FAILURE, ExitCode::from)))
}

/// Moves this process into a network of its own, where no filter of the host looks at packets. Nothing
/// may have been started yet: only what starts afterwards is inside, too.
pub(crate) fn own_network() -> Result<(), String> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    if user == 0 {
        unshare(UnshareFlags::NEWNET).map_err(|error| forbidden(&error))?;
    } else {
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET).map_err(|error| forbidden(&error))?;
        map_to_root(user, group).map_err(|e| format!("cannot become root of the lab: {e}"))?;
    }
    let mut netlink = Netlink::open().map_err(|e| e.to_string())?;
    super::wires::up(&mut netlink, "lo").map_err(|e| format!("the loopback cannot be started: {e}"))
}

fn map_to_root(user: u32, group: u32) -> io::Result<()> {
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

fn forbidden(error: &io::Error) -> String {
    format!(
        "this system forbids user namespaces, which the lab is made of ({error}): allow them with \
         'sysctl kernel.apparmor_restrict_unprivileged_userns=0' (Ubuntu) or \
         'sysctl kernel.unprivileged_userns_clone=1' (Debian), outside a container, or run this as root"
    )
}
