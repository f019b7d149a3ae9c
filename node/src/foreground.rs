//! One process in the foreground (`-db`, `-d`): the proxy and its runtime API, until a signal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proxy::{Options as Running, Proxy};
use proxy_config::model::Config;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Options;
use crate::runtime_api::{self, Node};

/// How often a soft stop looks whether the last session has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// Runs until SIGTERM or SIGINT, or until the last session has ended after SIGUSR1.
pub(crate) fn run(config: Arc<Config>, options: &Options) -> Result<(), String> {
    let cores = match config.global.nbthread {
        Some(count) => usize::try_from(count).unwrap_or(1),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    say_what_stays_undone(&config);
    // First: whoever can reach a listener can ask the runtime API too.
    let listeners = runtime_api::open(&config)?;
    let sockets = proxy::open_sockets(&config, cores).map_err(|errors| {
        let one = |(bind, error): &(usize, std::io::Error)| {
            let bind = &config.binds[*bind];
            format!(
                "cannot listen on {:?} for '{}' : {error}",
                bind.address, config.frontends[bind.frontend.0 as usize].name
            )
        };
        errors.iter().map(one).collect::<Vec<_>>().join("\n")
    })?;
    let member = options
        .member
        .clone()
        .or_else(|| config.global.localpeer.clone())
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    let running = Running { member: member.clone(), cores, log_to_stdout: false };
    let proxy = Proxy::build(Arc::clone(&config), running, seed());
    let node = Arc::new(Node { proxy: proxy.clone(), member, started: Instant::now() });
    proxy.start(sockets).map_err(|e| format!("cannot start: {e}"))?;
    for (socket, level) in listeners {
        let node = Arc::clone(&node);
        proxy.spawn_service(move || runtime_api::serve(node, socket, level));
    }
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
                while proxy.sessions_count() > 0 {
                    tokio::time::sleep(DRAIN_LOOK).await;
                }
            }
        }
        Ok(())
    })
}

/// What clients cannot guess: it keeps them from choosing keys that meet in one shard.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
