//! What a process that reads clients' bytes can ask of the kernel once it runs: a filter of system calls (seccomp) and
//! of the file system (Landlock). Both hold for the calling thread and every thread that it starts, so that they are put
//! on before the first one; neither can be taken off. What a kernel does not have is left out and said.

mod calls;
mod files;

use std::sync::OnceLock;

static APPLIED: OnceLock<String> = OnceLock::new();

/// Puts both on, as far as the kernel has them, and says what is missing. `no_new_privs` must be set.
pub(crate) fn confine() {
    let calls = calls::confine();
    let files = files::confine();
    let mut applied = Vec::new();
    match calls {
        Ok(()) => applied.push("seccomp".to_owned()),
        Err(error) => tracing::info!(%error, "no seccomp here: system calls are not filtered"),
    }
    match files {
        Ok(version) => applied.push(format!("landlock {version}")),
        Err(error) => tracing::info!(%error, "no Landlock here: files are guarded by user and group alone"),
    }
    let words = if applied.is_empty() { "none".to_owned() } else { applied.join(", ") };
    // Nobody confines a process twice.
    let _ = APPLIED.set(words);
}

/// What is on: `seccomp`, `landlock` with the version of its interface, or `none`.
pub(crate) fn applied() -> &'static str {
    APPLIED.get().map_or("none", String::as_str)
}

/// What this kernel does not have of it; asked without putting anything on.
pub(crate) fn missing() -> Vec<&'static str> {
    let calls = Some("seccomp").filter(|_| !calls::is_available());
    let files = Some("Landlock").filter(|_| crate::sys::landlock_version().is_err());
    calls.into_iter().chain(files).collect()
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

    use std::io::Write as _;

    use super::*;

    /// Runs something on a thread of its own that is confined; nothing where this kernel cannot.
    fn confined(run: impl FnOnce() + Send + 'static) {
        if !missing().is_empty() {
            let _ = writeln!(std::io::stderr(), "skipped: this kernel has no {}", missing().join(", no "));
            return;
        }
        let thread = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            calls::confine().unwrap();
            files::confine().unwrap();
            run();
        });
        thread.join().unwrap();
    }

    fn socket(family: AddressFamily, kind: SocketType) -> Result<(), ErrorKind> {
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None);
        socket.map(|_| ()).map_err(|error| std::io::Error::from(error).kind())
    }

    #[test]
    fn what_a_worker_never_does_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "before").unwrap();
        let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        let other = rustix::process::Pid::from_child(&sleeper);
        confined(move || {
            const DENIED: Result<(), ErrorKind> = Err(ErrorKind::PermissionDenied);
            let kind = |error: std::io::Error| error.kind();
            let errno = |error: rustix::io::Errno| std::io::Error::from(error).kind();
            // Another program, or another process at all.
            assert_eq!(Command::new("true").spawn().map(|_| ()).map_err(kind), DENIED);
            assert_eq!(
                rustix::process::kill_process(other, rustix::process::Signal::KILL).map_err(errno),
                DENIED
            );
            // Sockets that see or make the packets of others.
            for family in [AddressFamily::NETLINK, AddressFamily::PACKET] {
                assert_eq!(socket(family, SocketType::DGRAM), DENIED, "{family:?}");
            }
            assert_eq!(socket(AddressFamily::INET, SocketType::RAW), DENIED);
            assert_eq!(socket(AddressFamily::INET6, SocketType::RAW), DENIED);
            // Files.
            assert_eq!(std::fs::read("/etc/passwd").map(|_| ()).map_err(kind), DENIED);
            assert_eq!(std::fs::read(&file).map(|_| ()).map_err(kind), DENIED);
            assert_eq!(std::fs::write(&file, "after").map_err(kind), DENIED);
            assert_eq!(std::fs::remove_file(&file).map_err(kind), DENIED);
            assert_eq!(std::fs::create_dir(folder.path().join("new")).map_err(kind), DENIED);
            // Mounts, namespaces, roots, and who it is.
            let mounted = rustix::mount::mount_bind(folder.path(), folder.path());
            assert_eq!(mounted.map_err(errno), DENIED);
            assert_eq!(rustix::process::chroot(folder.path()).map_err(errno), DENIED);
            let user = rustix::process::geteuid();
            assert_eq!(rustix::thread::set_thread_res_uid(user, user, user).map_err(errno), DENIED);
            // Memory that can be executed.
            let memory = mapped();
            assert_eq!(memory.map_err(kind), DENIED);
        });
        sleeper.kill().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&sleeper.wait().unwrap()), Some(9));
    }

    fn mapped() -> std::io::Result<()> {
        crate::sys::executable_memory()
    }

    #[test]
    fn what_a_worker_does_is_allowed() {
        confined(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            listener.accept().unwrap();
            assert_eq!(socket(AddressFamily::INET6, SocketType::DGRAM), Ok(()));
            UnixDatagram::unbound().unwrap();
            assert!(std::fs::read_to_string("/proc/self/status").unwrap().contains("Threads:"));
            // Its threads are confined, too.
            let thread = std::thread::spawn(|| std::fs::read("/etc/passwd").is_err());
            assert!(thread.join().unwrap());
            rustix::fs::memfd_create("status", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        });
    }
}
