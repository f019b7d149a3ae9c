//! Who wants to know that this node serves: systemd, the process that put it into the background, and the
//! processes it replaces.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long a word to systemd waits for room in its socket.
const SYSTEMD_ROOM: Duration = Duration::from_secs(1);

/// Whom to tell.
#[derive(Debug, Default)]
pub(crate) struct Tell {
    /// systemd's socket (`sd_notify`), if it wants to know.
    pub(crate) systemd: Option<PathBuf>,
    /// The process that waits for this one to be in the background.
    pub(crate) parent: Option<crate::background::Parent>,
    /// Processes this one replaces, and whether they may finish what they have begun.
    pub(crate) before: Vec<(i32, bool)>,
    pub(crate) told: bool,
}

impl Tell {
    /// The worker serves: said once.
    pub(crate) fn ready(&mut self) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        self.notify("READY=1");
        for (pid, may_finish) in self.before.drain(..) {
            let signal = if may_finish { Signal::USR1 } else { Signal::TERM };
            let told = Pid::from_raw(pid).map(|pid| kill_process(pid, signal));
            if !matches!(told, Some(Ok(()))) {
                tracing::warn!(pid, "the process before this one cannot be told");
            }
        }
        if let Some(parent) = self.parent.take() {
            parent.release();
        }
    }

    pub(crate) fn reloading(&self) {
        self.notify("RELOADING=1");
    }

    /// A reload has ended, one way or the other.
    pub(crate) fn ready_again(&self) {
        self.notify("READY=1");
    }

    pub(crate) fn stopping(&self) {
        self.notify("STOPPING=1");
    }

    fn notify(&self, words: &str) {
        let Some(path) = &self.systemd else { return };
        let send = || -> std::io::Result<()> {
            let bytes = path.as_os_str().as_encoded_bytes();
            let address = match bytes.strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(path)?,
            };
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(SYSTEMD_ROOM))?;
            socket.send_to_addr(words.as_bytes(), &address).map(|_| ())
        };
        if let Err(error) = send() {
            tracing::warn!(%error, "systemd cannot be told");
        }
    }
}
