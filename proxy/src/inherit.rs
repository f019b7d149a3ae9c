//! What one process knows of its servers that the next one of this node takes over: what their checks
//! saw, and what the operator changed. A change holds until the file says something else about it.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use proxy_backend::Admin;
use serde::{Deserialize, Serialize};

use crate::clock::now_ms;
use crate::shared::Cause;
use crate::{Proxy, ServerOrder};

/// One setting of a server: what the file said, and what holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Setting<T> {
    file: T,
    now: T,
}

impl<T: PartialEq + Copy> Setting<T> {
    /// What to set, where the operator changed it and the file still says what it said then.
    fn carried(self, file: T) -> Option<T> {
        (self.now != self.file && self.file == file).then_some(self.now)
    }
}

/// What is known of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownServer {
    backend: String,
    server: String,
    /// What its checks say, once they have said something; and since when, in milliseconds.
    health: Option<(bool, u64)>,
    checks: Setting<bool>,
    weight: Setting<u32>,
    admin: Setting<u8>,
    address: Setting<SocketAddr>,
}

const READY: u8 = 0;
const MAINT: u8 = 1;
const DRAIN: u8 = 8;

impl Proxy {
    /// Everything the next process should know of servers.
    #[must_use]
    pub fn known_servers(&self) -> Vec<KnownServer> {
        let mut known = Vec::new();
        for (b, backend) in self.shared.config.backends.iter().enumerate() {
            for (s, server) in backend.servers.iter().enumerate() {
                let row = &self.shared.backends[b].servers()[s];
                let state = &self.shared.servers[b][s];
                let age = now_ms().saturating_sub(state.changed_ms.load(Relaxed));
                let seen = row.with_health(|h| h.was_checked()).unwrap_or(false);
                known.push(KnownServer {
                    backend: backend.name.clone(),
                    server: server.name.clone(),
                    health: seen.then(|| (row.is_up(), age)),
                    checks: Setting { file: true, now: state.check_enabled.load(Relaxed) },
                    weight: Setting { file: row.initial_weight, now: row.weight() },
                    admin: Setting {
                        file: if server.disabled { MAINT } else { READY },
                        now: match row.admin() {
                            Admin::Ready => READY,
                            Admin::Maint => MAINT,
                            Admin::Drain => DRAIN,
                        },
                    },
                    address: Setting { file: server.address, now: *state.address.read() },
                });
            }
        }
        known
    }

    /// Takes over what the process before knew; servers that are not in this file are left out.
    pub fn inherit(&self, known: &[KnownServer]) {
        for known in known {
            let Ok((b, s)) = self.find(&known.backend, &known.server) else { continue };
            let file = &self.shared.config.backends[b].servers[s];
            let row = &self.shared.backends[b].servers()[s];
            let admin = if file.disabled { MAINT } else { READY };
            let orders = [
                known.checks.carried(true).map(ServerOrder::Check),
                known.weight.carried(row.initial_weight).map(ServerOrder::Weight),
                known.admin.carried(admin).map(|admin| match admin {
                    MAINT => ServerOrder::Maint,
                    DRAIN => ServerOrder::Drain,
                    _ => ServerOrder::Ready,
                }),
                known.address.carried(file.address).map(ServerOrder::Address),
            ];
            for order in orders.into_iter().flatten() {
                if let Err(refused) = self.order(&known.backend, &known.server, order) {
                    tracing::warn!(
                        why = refused.0,
                        known.server,
                        "an operator's change does not fit any more"
                    );
                }
            }
            // What was seen of another address says nothing of this one.
            if let Some((up, age)) = known.health.filter(|_| known.address.file == file.address)
                && self.shared.backends[b].inherit(s, up, age, now_ms()).is_some()
            {
                self.shared.server_changed(b, s, Cause::Neighbour);
            }
        }
    }
}
