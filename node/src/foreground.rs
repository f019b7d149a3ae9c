//! One process in the foreground (`-db`, `-d`): the proxy, its runtime API and its peers, until a signal.

use std::time::Duration;

use proxy::Proxy;
use proxy_config::model::Config;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::haproxy::Options;
use crate::behind::LogBehind;
use crate::config::Everything;
use crate::supervisor::Tell;
use crate::worker::{Before, Plan};
use crate::{sandbox, sockets, worker};

/// Runs until SIGTERM or SIGINT, or until the last session has ended after SIGUSR1.
pub(crate) fn run(everything: Everything, options: &Options) -> Result<(), String> {
    if !everything.routers.is_empty() && !options.no_virtual_addresses {
        return Err("the file has a virtual router, which one process cannot serve: use 'tandem run', or add '--no-vip'".to_owned());
    }
    let member = everything.member(options.member.as_deref());
    everything.check_member(&member)?;
    say_what_stays_undone(&everything.proxy, options);
    // Before anybody can think that this process listens to them.
    let signals = Signals::take().map_err(|e| e.to_string())?;
    let identity = worker::identity(&everything, &member)?;
    let cores = everything.cores();
    let limits = crate::limits::secure(&everything, cores)?;
    let parts = sockets::open(&everything, &member, cores, None)?;
    let tls = worker::certificates(&everything)?;
    proxy::remember_time_zone();
    // Clients wait in the sockets from here on; a process of another user could not be told any more later.
    let mut tell = Tell { before: options.before.clone(), ..Tell::default() };
    tell.ready();
    // Everything is open, and there is one thread yet: credentials are each thread's own.
    for note in worker::drop_privileges(&everything.proxy.global)? {
        tracing::warn!("{note}");
    }
    sandbox::confine();
    let _log = LogBehind::begin();
    let patience = everything.proxy.global.hard_stop_after;
    let plan = Plan { member, cores, everything, parts, identity, tls, limits, before: Before::default() };
    let proxy = worker::start(plan, |service| async move {
        // Replication lives as long as the service that holds it.
        std::future::pending::<()>().await;
        drop(service);
    })?;
    tracing::info!(cores, "serving");
    signals.wait(&proxy, patience);
    Ok(())
}

/// One process in the foreground keeps the terminal it was started with, and writes no process id.
fn say_what_stays_undone(config: &Config, options: &Options) {
    let file = config.global.pidfile.clone();
    if let Some(file) = options.pidfile.as_ref().map(|file| file.display().to_string()).or(file) {
        tracing::warn!("no process id is written to '{file}' in the foreground: add '-W' or '-D'");
    }
    if config.global.daemon {
        tracing::warn!("'daemon' has no effect in the foreground");
    }
}

/// Says how the servers are, as HAProxy does when it is asked by SIGHUP.
fn say_servers(proxy: &Proxy) {
    for server in proxy.servers() {
        let state = if server.up { "UP" } else { "DOWN" };
        tracing::warn!("SIGHUP: server {}/{} is {state}", server.backend, server.server);
    }
}

/// The signals this process answers, on a runtime of their own that starts no thread.
struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    soft: Signal,
    /// What a supervisor is told to reload by must not end this process.
    hangup: Signal,
    reload: Signal,
}

impl Signals {
    fn take() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let entered = runtime.enter();
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (soft, hangup) = (signal(SignalKind::user_defined1())?, signal(SignalKind::hangup())?);
        let reload = signal(SignalKind::user_defined2())?;
        drop(entered);
        Ok(Self { runtime, terminate, interrupt, soft, hangup, reload })
    }

    /// Answers until one of them ends this process; `patience` is how long sessions may go on after a soft stop.
    fn wait(self, proxy: &Proxy, patience: Option<Duration>) {
        let Self { runtime, mut terminate, mut interrupt, mut soft, mut hangup, mut reload } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = interrupt.recv() => return,
                    _ = soft.recv() => break,
                    _ = hangup.recv() => say_servers(proxy),
                    _ = reload.recv() => {
                        tracing::warn!("SIGUSR2: one process does not reload; start it with '-W' for that");
                    }
                }
            }
            tracing::info!(sessions = proxy.sessions_count(), "stopping softly");
            proxy.set_stopping();
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = worker::drained(proxy) => {}
                () = async { tokio::time::sleep(patience.unwrap_or(Duration::MAX)).await } => {
                    tracing::warn!(sessions = proxy.sessions_count(), "'hard-stop-after' has passed: sessions are cut");
                }
            }
        });
    }
}
