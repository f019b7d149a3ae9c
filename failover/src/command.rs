//! Commands that operators name: started with the rights the file says, and never as root if others may write them.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use failover_vrrp::{Command, RunAs};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::users;

/// Starts a command in a process group of its own, with nothing to read and nobody who reads what it says.
pub(crate) fn start(command: &Command) -> Result<Child, String> {
    let (program, arguments) = command.words.split_first().ok_or("no command")?;
    let user = ids(&command.user)?;
    let as_root = user.map_or_else(|| rustix::process::geteuid().is_root(), |(user, _)| user == 0);
    if as_root {
        check(Path::new(program))?;
    }
    let mut started = std::process::Command::new(program);
    started.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    if let Some((user, group)) = user.filter(|(user, _)| *user != rustix::process::geteuid().as_raw()) {
        started.uid(user).gid(group);
    }
    started.spawn().map_err(|e| format!("{program}: {e}"))
}

/// Runs a command to its end, or until its time is over or this is readable; why it has failed.
pub(crate) fn run(command: &Command, timeout: Duration, stop: Option<BorrowedFd<'_>>) -> Result<(), String> {
    let mut child = start(command)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("no pid")?;
    let Ok(ended) = pidfd_open(pid, PidfdFlags::empty()) else {
        kill(&mut child);
        return Err("it cannot be waited for".to_owned());
    };
    let every: Vec<BorrowedFd<'_>> = std::iter::once(ended.as_fd()).chain(stop).collect();
    let begin = Instant::now();
    // A signal to this program wakes it up early.
    while !wait(&every, timeout.saturating_sub(begin.elapsed())) && begin.elapsed() < timeout {}
    match child.try_wait() {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(status.to_string()),
        Ok(None) | Err(_) => {
            kill(&mut child);
            Err(format!("it ran longer than {timeout:?} and was killed"))
        }
    }
}

/// Waits until one of these is readable; false where time is up first.
pub(crate) fn wait(descriptors: &[BorrowedFd<'_>], time: Duration) -> bool {
    let timeout = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    let mut list: Vec<_> = descriptors.iter().map(|d| PollFd::from_borrowed_fd(*d, PollFlags::IN)).collect();
    // An interrupted wait is an early wake-up, which is harmless.
    poll(&mut list, Some(&timeout)).is_ok_and(|ready| ready > 0)
}

/// The numbers of a user and a group; `None`: our own.
pub(crate) fn ids(user: &RunAs) -> Result<Option<(u32, u32)>, String> {
    Ok(match user {
        RunAs::Us => None,
        RunAs::IfThere(name) => users::find_user(name).ok(),
        RunAs::User(name, group) => {
            let (user, own) = users::find_user(name)?;
            let group = group.as_deref().map(users::find_group).transpose()?;
            Some((user, group.unwrap_or(own)))
        }
    })
}

/// Ends a command and everything it has started.
pub(crate) fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

/// What root runs, others must not be able to write (keepalived's script security).
fn check(program: &Path) -> Result<(), String> {
    let about = std::fs::metadata(program).map_err(|e| format!("{}: {e}", program.display()))?;
    if about.uid() != 0 || about.mode() & 0o022 != 0 {
        return Err(format!("{}: it is run as root, and others than root may write it", program.display()));
    }
    Ok(())
}
