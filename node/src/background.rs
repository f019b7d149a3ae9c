//! Into the background: this program starts itself anew, waits until that process serves or has failed, and
//! ends as it did. Nothing is forked that has threads or locks.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;

/// Says to the new process what it is: who started it. What that one starts in turn inherits the word, and
/// is somebody else's child.
const MARK: &str = "TANDEM_BACKGROUND";
const SERVES: &[u8] = b"1";

/// Whether this process was started to live in the background.
pub(crate) fn is_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    // Asked for the first time before the launching process can have ended.
    *HERE.get_or_init(|| {
        let launcher = std::env::var(MARK).ok().and_then(|text| text.parse().ok());
        launcher.is_some_and(|launcher: u32| launcher == std::os::unix::process::parent_id())
    })
}

/// Starts this program in the background with the same arguments, and waits until it serves.
pub(crate) fn launch(words: &[String]) -> Result<ExitCode, String> {
    let (mut ours, theirs) = UnixStream::pair().map_err(|e| e.to_string())?;
    let mut child = Command::new("/proc/self/exe")
        .arg0("tandem")
        .args(words)
        .env(MARK, std::process::id().to_string())
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .spawn()
        .map_err(|e| format!("cannot start in the background: {e}"))?;
    let mut said = [0; 1];
    if ours.read(&mut said).is_ok_and(|count| count == 1) {
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// The waiting process, as the one in the background sees it.
#[derive(Debug)]
pub(crate) struct Parent(UnixStream);

impl Parent {
    /// Leaves the terminal's session; to be called in the process that was launched.
    pub(crate) fn meet() -> std::io::Result<Self> {
        rustix::process::setsid()?;
        let stream = std::io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self(stream.into()))
    }

    /// Lets the waiting process end, and the terminal go.
    pub(crate) fn release(mut self) {
        // It may have been ended: then nobody waits.
        let _ = self.0.write_all(SERVES);
        let let_go = || -> std::io::Result<()> {
            let nowhere = std::fs::File::options().read(true).write(true).open("/dev/null")?;
            rustix::stdio::dup2_stdin(&nowhere)?;
            rustix::stdio::dup2_stdout(&nowhere)?;
            rustix::stdio::dup2_stderr(&nowhere)?;
            Ok(())
        };
        if let Err(error) = let_go() {
            tracing::warn!(%error, "the terminal is still held");
        }
    }
}
