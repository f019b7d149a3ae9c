//! One process in the foreground (`-db`, `-d`): the proxy, its runtime API and its peers, until a signal.

use proxy::Proxy;
use proxy_config::model::Config;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::haproxy::Options;
use crate::behind::LogBehind;
use crate::config::Everything;
use crate::worker::{Before, Plan};
use crate::{sockets, worker};

/// Runs until SIGTERM or SIGINT, or until the last session has ended after SIGUSR1.
pub(crate) fn run(everything: Everything, options: &Options) -> Result<(), String> {
    if !everything.routers.is_empty() && !options.no_virtual_addresses {
        return Err("the file has a virtual router, which one process cannot serve: use 'tandem run', or add '--no-vip'".to_owned());
    }
    let member = everything.member(options.member.as_deref());
    everything.check_member(&member)?;
    say_what_stays_undone(&everything.proxy);
    let identity = worker::identity(&everything, &member)?;
    let cores = everything.cores();
    let parts = sockets::open(&everything, &member, cores, None)?;
    let tls = worker::certificates(&everything)?;
    let _log = LogBehind::begin();
    let plan = Plan { member, cores, everything, parts, identity, tls, before: Before::default() };
    let proxy = worker::start(plan, |service| async move {
        // Replication lives as long as the service that holds it.
        std::future::pending::<()>().await;
        drop(service);
    })?;
    tracing::info!(cores, "serving");
    wait(&proxy).map_err(|e| e.to_string())
}

/// One process in the foreground keeps the user, the root and the terminal it was started with.
fn say_what_stays_undone(config: &Config) {
    let global = &config.global;
    for (keyword, value) in [
        ("user", &global.user),
        ("group", &global.group),
        ("chroot", &global.chroot),
        ("pidfile", &global.pidfile),
    ] {
        if let Some(value) = value {
            tracing::warn!("'{keyword} {value}' has no effect in the foreground");
        }
    }
    if global.daemon {
        tracing::warn!("'daemon' has no effect in the foreground");
    }
}

fn wait(proxy: &Proxy) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut soft = signal(SignalKind::user_defined1())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = soft.recv() => {
                tracing::info!(sessions = proxy.sessions_count(), "stopping softly");
                proxy.set_stopping();
                worker::drained(proxy).await;
            }
        }
        Ok(())
    })
}
