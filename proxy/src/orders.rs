//! What operators and neighbours may ask of a running proxy, beyond traffic: server states, orders,
//! sessions.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use proxy_backend::Admin;

use crate::clock::now_ms;
use crate::shared::Cause;
use crate::{Callback, Proxy};

/// An order about one server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ServerOrder {
    /// Take part again.
    Ready,
    /// Finish what is there, take only who belongs there.
    Drain,
    /// Take no part.
    Maint,
    /// Absolute weight, 0..=256.
    Weight(u32),
    /// Share of the file's weight in percent.
    WeightPercent(u32),
    /// Most concurrent sessions.
    MaxConnections(u32),
    /// Move to another address.
    Address(SocketAddr),
    /// Count as up or down from now on.
    Health(bool),
    /// Check, or do not.
    Check(bool),
}

/// Why an order was not carried out, in HAProxy's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRefused(pub String);

/// One server's state.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// The backend's proxy id.
    pub backend_id: u32,
    /// The backend's name.
    pub backend: String,
    /// The server's id within its backend.
    pub server_id: u32,
    /// The server's name.
    pub server: String,
    /// Where it is now.
    pub address: SocketAddr,
    /// Whether checks (or nobody) say it works.
    pub up: bool,
    /// 0 ready, 1 maintenance, 5 maintenance by the file, 8 drain: the bits of `show servers state`.
    pub admin_state: u8,
    /// Share of the load now.
    pub weight: u32,
    /// Share of the load in the file.
    pub initial_weight: u32,
    /// Milliseconds since the last change.
    pub since_ms: u64,
    /// Whether it has a check.
    pub checked: bool,
    /// Whether its check has had a result.
    pub check_seen: bool,
    /// The check's counter.
    pub check_level: u32,
    /// What the last check said.
    pub check_status: &'static str,
    /// Whether its check is made, if nothing else keeps it from that.
    pub check_enabled: bool,
    /// The port that its check asks, where that is not the server's.
    pub check_port: u16,
    /// The file names its number.
    pub has_own_id: bool,
    /// Idle connections of each core.
    pub idle: Vec<u64>,
    /// Most sessions at a time.
    pub most_sessions: u64,
    /// Sessions now.
    pub sessions: u32,
}

impl Proxy {
    /// Every server's state, in the file's order.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerView> {
        let shared = &self.shared;
        let mut views = Vec::new();
        for (b, backend) in shared.config.backends.iter().enumerate() {
            for (s, server) in backend.servers.iter().enumerate() {
                let row = &shared.backends[b].servers()[s];
                let state = &shared.servers[b][s];
                let health = row.with_health(|h| (h.was_checked(), h.level()));
                views.push(ServerView {
                    backend_id: backend.proxy_id,
                    backend: backend.name.clone(),
                    server_id: server.id,
                    server: server.name.clone(),
                    address: *state.address.read(),
                    up: row.is_up(),
                    admin_state: match row.admin() {
                        Admin::Ready => 0,
                        Admin::Maint if state.disabled_by_file.load(Relaxed) => 5,
                        Admin::Maint => 1,
                        Admin::Drain => 8,
                    },
                    weight: row.weight(),
                    initial_weight: row.initial_weight,
                    since_ms: now_ms() - state.changed_ms.load(Relaxed),
                    checked: row.is_checked(),
                    check_seen: health.is_some_and(|(seen, _)| seen),
                    check_level: health.map_or(0, |(_, level)| level),
                    check_status: state.last_check.lock().status,
                    check_enabled: state.check_enabled.load(Relaxed),
                    check_port: server.check.as_ref().and_then(|check| check.port).unwrap_or(0),
                    has_own_id: server.has_own_id,
                    idle: shared.counters.iter().map(|c| c.servers[b][s].idle.read()).collect(),
                    most_sessions: shared
                        .counters
                        .iter()
                        .map(|c| c.servers[b][s].most.read())
                        .max()
                        .unwrap_or(0),
                    sessions: row.sessions(),
                });
            }
        }
        views
    }

    /// Carries out an order about a server.
    ///
    /// # Errors
    /// The backend or the server is not known, or the order does not fit.
    pub fn order(&self, backend: &str, server: &str, order: ServerOrder) -> Result<(), OrderRefused> {
        let (b, s) = self.find(backend, server)?;
        let shared = &self.shared;
        let decisions = &shared.backends[b];
        match order {
            ServerOrder::Ready => shared.set_admin(b, s, Admin::Ready),
            ServerOrder::Drain => shared.set_admin(b, s, Admin::Drain),
            ServerOrder::Maint => shared.set_admin(b, s, Admin::Maint),
            ServerOrder::Weight(weight) if weight > 256 => {
                return Err(OrderRefused(
                    "Absolute weight can only be between 0 and 256 inclusive.".to_owned(),
                ));
            }
            ServerOrder::Weight(weight) => decisions.set_weight(s, weight),
            ServerOrder::WeightPercent(percent) => {
                let weight = decisions.servers()[s].initial_weight.saturating_mul(percent) / 100;
                decisions.set_weight(s, weight.min(256));
            }
            ServerOrder::MaxConnections(limit) => {
                decisions.set_max_connections(s, limit);
                shared.hand_out(b);
            }
            ServerOrder::Address(address) => {
                *shared.servers[b][s].address.write() = address;
                self.on_every_core(move |core| core.idle.borrow_mut().forget(b, s));
            }
            ServerOrder::Health(up) => {
                let was_up = decisions.servers()[s].is_up();
                if decisions.force(s, up, now_ms()).is_some() || was_up != up {
                    shared.server_changed(b, s, Cause::Order);
                }
            }
            ServerOrder::Check(enabled) if decisions.servers()[s].is_checked() => {
                shared.servers[b][s].check_enabled.store(enabled, Relaxed);
            }
            ServerOrder::Check(false) => {}
            ServerOrder::Check(true) => {
                let why = "Health check was not configured on this server, cannot enable.";
                return Err(OrderRefused(why.to_owned()));
            }
        }
        Ok(())
    }

    /// How many servers of a backend new sessions may go to, backup servers among them.
    #[must_use]
    pub fn usable_servers(&self, backend: &str) -> u32 {
        let backends = self.shared.backends.iter().filter(|b| b.name == backend);
        let usable = backends.flat_map(proxy_backend::Backend::servers).filter(|s| s.takes_new()).count();
        u32::try_from(usable).unwrap_or(u32::MAX)
    }

    /// Calls back after any change of a server's state.
    pub fn on_server_change(&self, callback: Callback) {
        self.shared.on_server_change.lock().push(callback);
    }

    /// Takes another node's word about a server's health; unknown names are not ours to judge.
    pub fn learn_health(&self, backend: &str, server: &str, up: bool, age_ms: u64) {
        if let Ok((b, s)) = self.find(backend, server)
            && self.shared.backends[b].learn(s, up, age_ms, now_ms()).is_some()
        {
            self.shared.server_changed(b, s, Cause::Neighbour);
        }
    }

    /// Closes every idle connection to servers, for a test that waits for their end.
    #[cfg(test)]
    pub(crate) fn forget_idle(&self) {
        self.on_every_core(|core| core.idle.borrow_mut().clear());
    }

    pub(crate) fn find(&self, backend: &str, server: &str) -> Result<(usize, usize), OrderRefused> {
        let backends = &self.shared.config.backends;
        let Some(b) = backends.iter().position(|row| row.name == backend) else {
            return Err(OrderRefused("No such backend.".to_owned()));
        };
        let Some(s) = backends[b].servers.iter().position(|row| row.name == server) else {
            return Err(OrderRefused("No such server.".to_owned()));
        };
        Ok((b, s))
    }

    fn on_every_core(&self, ask: impl FnOnce(&std::rc::Rc<crate::core::Core>) + Clone + Send + 'static) {
        for mailbox in self.shared.mailboxes.read().iter() {
            // A core that is so far behind has other worries than its idle connections.
            let _ = mailbox.try_send(Box::new(ask.clone()));
        }
    }
}
