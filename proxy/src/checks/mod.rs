//! Health checks: one task per checked server on the service thread. The task probes when the
//! server's counting says so and reports what it saw; it decides nothing.

mod probe;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use proxy_backend::{Admin, HealthSettings, Outcome};
use proxy_config::model::CheckSettings;

use crate::shared::{LastCheck, Shared};
use crate::watchdog::{Station, watched};

/// Starts a task for every server that is checked. Must run on a local runtime.
pub(crate) fn spawn(shared: &Arc<Shared>) {
    let mut place = 0;
    let total: usize =
        shared.config.backends.iter().map(|b| b.servers.iter().filter(|s| s.check.is_some()).count()).sum();
    for (backend, settings) in shared.config.backends.iter().enumerate() {
        for (server, row) in settings.servers.iter().enumerate() {
            if let Some(check) = &row.check {
                // Spread over the first interval, so that not all servers are asked at once.
                let spread = check.inter.min(MAX_SPREAD) * place / u32::try_from(total).unwrap_or(u32::MAX);
                place += 1;
                let watch = watch(Arc::clone(shared), backend, server, spread);
                tokio::task::spawn_local(watched(shared.watchdog.service(), Station::Check, watch));
            }
        }
    }
}

/// First checks are spread over at most this time: a node is not ready before they are done.
const MAX_SPREAD: Duration = Duration::from_millis(200);
/// After a check that could not be made, at most: it is repeated.
const UNCHECKED_REST: Duration = Duration::from_secs(1);
/// How often a server in maintenance is looked at again.
const MAINT_REST: Duration = Duration::from_millis(500);

/// Counting rules of a server's check.
pub(crate) fn health_settings(check: &CheckSettings) -> HealthSettings {
    HealthSettings {
        rise: check.rise,
        fall: check.fall,
        inter: check.inter,
        fast_inter: check.fast_inter,
        down_inter: check.down_inter,
    }
}

async fn watch(shared: Arc<Shared>, backend: usize, server: usize, delay: Duration) {
    tokio::time::sleep(delay).await;
    loop {
        let row = &shared.backends[backend].servers()[server];
        let state = &shared.servers[backend][server];
        if row.admin() == Admin::Maint || !state.check_enabled.load(Relaxed) {
            tokio::time::sleep(MAINT_REST).await;
            continue;
        }
        let began = std::time::Instant::now();
        let interval = row.with_health(|h| h.interval()).unwrap_or(MAINT_REST);
        match probe::run(&shared, backend, server).await {
            Ok((outcome, last)) => shared.count_check(backend, server, outcome, last),
            // Nothing is known of the server: neither its state nor what others are told of it changes.
            Err((error, last)) => {
                shared.places.note_shortage("cannot check a server, which keeps its state", &error);
                *state.last_check.lock() = last;
                tokio::time::sleep(interval.min(UNCHECKED_REST).saturating_sub(began.elapsed())).await;
                continue;
            }
        }
        let interval = row.with_health(|h| h.interval()).unwrap_or(MAINT_REST);
        tokio::time::sleep(interval.saturating_sub(began.elapsed())).await;
    }
}

/// One probe's result; an error is a failure on this machine, which says nothing of the server.
type Seen = Result<(Outcome, LastCheck), (std::io::Error, LastCheck)>;
