//! A backend: its servers, the algorithm and the plan it follows, and the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};

use crate::balance::{Algorithm, Choice, Plan, server_of_hash};
use crate::{Admin, Change, Health, Outcome, Queue, Server, ServerSettings, Ticket};

/// What the file says of a backend, as far as choosing is concerned.
pub struct Settings {
    /// Its name.
    pub name: String,
    /// The algorithm.
    pub algorithm: &'static Algorithm,
    /// Servers that `balance random` draws.
    pub draws: u32,
    /// What its drawing begins with.
    pub seed: u64,
    /// Its servers, in the file's order.
    pub servers: Vec<ServerSettings>,
    /// Use all backup servers at once (`option allbackups`).
    pub all_backups: bool,
}

/// The result of choosing a server for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// A place on this server is ours; give it back with [`Backend::release`].
    Server(usize),
    /// All that may be used are full: wait, for this server or for any.
    Wait(Option<usize>),
    /// No server may be used.
    Nobody,
}

/// One backend; `W` wakes a waiting request by telling it its server.
pub struct Backend<W> {
    /// Its name.
    pub name: String,
    /// The algorithm.
    pub algorithm: &'static Algorithm,
    draws: u32,
    seed: u64,
    servers: Box<[Server]>,
    all_backups: bool,
    plan: RwLock<Arc<Plan>>,
    turn: AtomicUsize,
    waiting: AtomicUsize,
    queue: Mutex<Queue<W>>,
}

impl<W> Backend<W> {
    /// Builds it; every server counts as up until a check fails.
    #[must_use]
    pub fn new(settings: Settings, now_ms: u64) -> Self {
        let servers: Box<[Server]> = settings.servers.iter().map(|s| Server::new(s, now_ms)).collect();
        let plan = RwLock::new(Arc::new(Plan::new(&servers, settings.all_backups)));
        Self {
            name: settings.name,
            algorithm: settings.algorithm,
            draws: settings.draws,
            seed: settings.seed,
            servers,
            all_backups: settings.all_backups,
            plan,
            turn: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::new(Queue::default()),
        }
    }

    /// Its servers, in the file's order.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Number of servers that balancing may choose now.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.plan.read().usable.len()
    }

    /// Chooses by the algorithm and takes a place; `avoid` is passed over while another is usable. A server that a hash
    /// decides is waited for.
    pub fn pick(&self, hash: Option<u32>, avoid: Option<usize>) -> Pick {
        let plan = self.plan.read();
        if plan.usable.is_empty() {
            return Pick::Nobody;
        }
        let (servers, draws, seed) = (&self.servers, self.draws, self.seed);
        let mut choice = Choice { servers, plan: &plan, turn: &self.turn, avoid, draws, seed };
        if let Some(index) = hash.and_then(|hash| server_of_hash(&choice, hash)) {
            return self.pick_server(index);
        }
        // Those who wait come first: a newcomer must not take the place that is about to be given.
        if self.waiting.load(Relaxed) > 0 {
            return Pick::Wait(None);
        }
        loop {
            match (self.algorithm.pick)(&choice) {
                Some(index) if self.servers[index].acquire() => return Pick::Server(index),
                // Another core has taken the place meanwhile.
                Some(_) => {}
                None if choice.avoid.is_some() => choice.avoid = None,
                None => return Pick::Wait(None),
            }
        }
    }

    /// Takes a place on one server, for a session that belongs to it.
    pub fn pick_server(&self, index: usize) -> Pick {
        match self.servers.get(index) {
            Some(server) if !server.takes_persistent() => Pick::Nobody,
            Some(server) if self.waiting_for(Some(index)) == 0 && server.acquire() => Pick::Server(index),
            Some(_) => Pick::Wait(Some(index)),
            None => Pick::Nobody,
        }
    }

    /// Waits for a place. A place that became free since the choice is given at once through `waker`'s
    /// return value.
    ///
    /// # Errors
    /// Gives the waker back if the queue is full.
    pub fn enter(&self, server: Option<usize>, waker: W) -> Result<Ticket, W> {
        let mut queue = self.queue.lock();
        if let Some(limit) = server.map(|i| self.servers[i].max_queue as usize)
            && limit > 0
            && queue.waiting_for(server) >= limit
        {
            return Err(waker);
        }
        let ticket = queue.enter(server, waker)?;
        self.waiting.store(queue.len(), Relaxed);
        Ok(ticket)
    }

    /// Leaves the queue. `false`: a place was given already and must be released.
    pub fn leave(&self, ticket: Ticket) -> bool {
        let mut queue = self.queue.lock();
        let left = queue.leave(ticket);
        self.waiting.store(queue.len(), Relaxed);
        left
    }

    /// Requests waiting for this server alone, or for any.
    #[must_use]
    pub fn waiting_for(&self, server: Option<usize>) -> usize {
        if self.waiting.load(Relaxed) == 0 { 0 } else { self.queue.lock().waiting_for(server) }
    }

    /// Sends those who wait for one server alone away: `wake` is called with each waker. They choose anew.
    pub fn send_away(&self, index: usize, mut wake: impl FnMut(W)) -> usize {
        let mut sent = 0;
        while self.waiting.load(Relaxed) > 0 {
            let next = {
                let mut queue = self.queue.lock();
                let next = queue.take_one_for(index);
                self.waiting.store(queue.len(), Relaxed);
                next
            };
            let Some(waker) = next else { break };
            wake(waker);
            sent += 1;
        }
        sent
    }

    /// Gives a place back. If somebody waits for it, the place is theirs: `wake` is called with the
    /// waker and the server, and says whether it was accepted.
    pub fn release(&self, index: usize, mut wake: impl FnMut(W, usize) -> bool) {
        self.servers[index].release();
        if self.waiting.load(Relaxed) > 0 {
            self.hand_out(index, &mut wake);
        }
    }

    /// Gives free places of every usable server to those who wait: after a server came up, after a
    /// limit was raised, and right after entering the queue (a place may have become free in between).
    pub fn hand_out_all(&self, mut wake: impl FnMut(W, usize) -> bool) {
        for index in 0..self.servers.len() {
            if self.waiting.load(Relaxed) > 0 {
                self.hand_out(index, &mut wake);
            }
        }
    }

    fn hand_out(&self, index: usize, wake: &mut impl FnMut(W, usize) -> bool) {
        let server = &self.servers[index];
        while server.takes_persistent() && server.acquire() {
            let called = {
                let mut queue = self.queue.lock();
                let called = queue.call(index);
                self.waiting.store(queue.len(), Relaxed);
                called
            };
            let Some(waker) = called else {
                server.release();
                return;
            };
            if !wake(waker, index) {
                server.release();
            }
        }
    }

    /// Counts one check of a server.
    pub fn count(&self, index: usize, outcome: Outcome, now_ms: u64) -> Option<Change> {
        self.change_health(index, |health| health.count(outcome, now_ms))
    }

    /// Takes another node's word about a server.
    pub fn learn(&self, index: usize, up: bool, age_ms: u64, now_ms: u64) -> Option<Change> {
        self.change_health(index, |health| health.learn(up, age_ms, now_ms))
    }

    /// Takes over what the process before this one had seen of a server.
    pub fn inherit(&self, index: usize, up: bool, age_ms: u64, now_ms: u64) -> Option<Change> {
        self.change_health(index, |health| health.inherit(up, age_ms, now_ms))
    }

    /// Sets a server's health by order.
    pub fn force(&self, index: usize, up: bool, now_ms: u64) -> Option<Change> {
        if !self.servers[index].is_checked() {
            self.servers[index].set_up(up);
            self.replan();
            return None;
        }
        self.change_health(index, |health| health.force(up, now_ms))
    }

    /// Sets what the administrator wants of a server.
    pub fn set_admin(&self, index: usize, admin: Admin) {
        self.servers[index].set_admin(admin);
        self.replan();
    }

    /// Sets a server's share of the load.
    pub fn set_weight(&self, index: usize, weight: u32) {
        self.servers[index].set_weight(weight);
        self.replan();
    }

    /// Sets a server's limit of concurrent sessions; 0 is none.
    pub fn set_max_connections(&self, index: usize, limit: u32) {
        self.servers[index].set_max_connections(limit);
    }

    fn change_health(
        &self,
        index: usize,
        change: impl FnOnce(&mut Health) -> Option<Change>,
    ) -> Option<Change> {
        let change = self.servers.get(index)?.with_health(change).flatten();
        if change.is_some() {
            self.replan();
        }
        change
    }

    fn replan(&self) {
        let mut plan = self.plan.write();
        *plan = Arc::new(Plan::new(&self.servers, self.all_backups));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HealthSettings, balance};
    use std::time::Duration;

    fn server(name: &str, weight: u32, limit: u32, backup: bool) -> ServerSettings {
        let health = HealthSettings {
            rise: 1,
            fall: 1,
            inter: Duration::from_secs(1),
            fast_inter: None,
            down_inter: None,
        };
        ServerSettings {
            name: name.to_owned(),
            id: u32::from(name.as_bytes()[0]),
            weight,
            max_connections: limit,
            max_queue: 0,
            backup,
            disabled: false,
            health: Some(health),
        }
    }

    fn backend(algorithm: &str, servers: Vec<ServerSettings>) -> Backend<char> {
        let algorithm = balance::named(algorithm).unwrap();
        let name = "b".to_owned();
        Backend::new(Settings { name, algorithm, draws: 2, seed: 7, servers, all_backups: false }, 0)
    }

    fn picks(backend: &Backend<char>, count: usize, hash: u32) -> String {
        let name = |pick| match pick {
            Pick::Server(index) => backend.servers()[index].name.clone(),
            Pick::Wait(_) => "w".to_owned(),
            Pick::Nobody => "-".to_owned(),
        };
        let hash = backend.algorithm.hash_of.map(|_| hash);
        (0..count).map(|_| name(backend.pick(hash, None))).collect()
    }

    #[test]
    fn servers_take_turns_as_often_as_their_weights_say() {
        assert_eq!(
            picks(&backend("roundrobin", vec![server("a", 1, 0, false), server("b", 1, 0, false)]), 5, 0),
            "ababa"
        );
        let weighted = vec![server("a", 2, 0, false), server("b", 1, 0, false), server("c", 0, 0, false)];
        assert_eq!(picks(&backend("roundrobin", weighted), 6, 0), "aabaab");
    }

    #[test]
    fn a_full_server_passes_its_turn_and_a_full_backend_queues() {
        let backend = backend("roundrobin", vec![server("a", 1, 1, false), server("b", 1, 2, false)]);
        assert_eq!(picks(&backend, 4, 0), "abbw");
        backend.enter(None, 'x').unwrap();
        let mut woken = Vec::new();
        backend.release(0, |waker, index| {
            woken.push((waker, index));
            true
        });
        assert_eq!(woken, [('x', 0)]);
        assert_eq!(backend.servers()[0].sessions(), 1, "the place went to the one who waited");
    }

    #[test]
    fn a_place_refused_by_one_who_gave_up_goes_to_the_next() {
        let backend = backend("roundrobin", vec![server("a", 1, 1, false)]);
        assert_eq!(picks(&backend, 1, 0), "a");
        backend.enter(None, 'x').unwrap();
        backend.enter(None, 'y').unwrap();
        let mut asked = String::new();
        backend.release(0, |waker, _| {
            asked.push(waker);
            waker == 'y'
        });
        assert_eq!(asked, "xy");
    }

    #[test]
    fn backups_serve_only_when_nobody_else_does() {
        let backend = backend("roundrobin", vec![server("a", 1, 0, false), server("z", 1, 0, true)]);
        assert_eq!(picks(&backend, 2, 0), "aa");
        assert_eq!(backend.count(0, Outcome::Failed, 1), Some(Change::Down));
        assert_eq!(picks(&backend, 2, 0), "zz");
        backend.set_admin(1, Admin::Maint);
        assert_eq!(picks(&backend, 1, 0), "-");
        assert_eq!(backend.count(0, Outcome::Passed, 2), Some(Change::Up));
        assert_eq!(picks(&backend, 1, 0), "a");
    }

    #[test]
    fn least_connections_counts_weights() {
        let backend = backend("leastconn", vec![server("a", 1, 0, false), server("b", 3, 0, false)]);
        let all = picks(&backend, 8, 0);
        assert_eq!((all.matches('a').count(), all.matches('b').count()), (2, 6), "{all}");
    }

    #[test]
    fn a_source_meets_the_same_server() {
        let servers = || vec![server("a", 1, 0, false), server("b", 1, 0, false)];
        let hash = balance::source_hash("192.0.2.7".parse().unwrap());
        assert_eq!(picks(&backend("source", servers()), 3, hash), "bbb");
        assert_eq!(picks(&backend("source", servers()), 3, hash + 1), "aaa");
    }

    #[test]
    fn a_server_that_a_hash_decides_is_waited_for() {
        let servers = vec![server("a", 1, 1, false), server("b", 1, 1, false)];
        let backend = backend("source", servers);
        assert_eq!(picks(&backend, 3, 2), "aww");
        assert_eq!(backend.pick(Some(2), None), Pick::Wait(Some(0)));
        backend.enter(Some(0), 'x').unwrap();
        backend.enter(None, 'y').unwrap();
        let mut away = Vec::new();
        assert_eq!(backend.send_away(0, |waker| away.push(waker)), 1);
        assert_eq!((away, backend.waiting_for(None)), (vec!['x'], 1));
    }

    #[test]
    fn first_fills_the_lowest_id_and_random_draws_the_least_loaded() {
        let backend = backend("first", vec![server("b", 1, 2, false), server("a", 1, 1, false)]);
        assert_eq!(picks(&backend, 4, 0), "abbw");
        let mut settings = vec![server("a", 1, 0, false), server("b", 1, 0, false)];
        settings[0].max_connections = 3;
        let random = self::backend("random", settings);
        let all = picks(&random, 100, 0);
        assert_eq!((all.matches('a').count(), all.matches('b').count()), (3, 97), "{all}");
    }

    #[test]
    fn draining_keeps_those_who_belong_there() {
        let backend = backend("roundrobin", vec![server("a", 1, 0, false), server("b", 1, 0, false)]);
        backend.set_admin(0, Admin::Drain);
        assert_eq!(picks(&backend, 2, 0), "bb");
        assert_eq!(backend.pick_server(0), Pick::Server(0));
        backend.set_admin(0, Admin::Maint);
        assert_eq!(backend.pick_server(0), Pick::Nobody);
    }

    #[test]
    fn a_redispatch_avoids_the_server_that_failed() {
        let backend = backend("roundrobin", vec![server("a", 1, 0, false), server("b", 1, 0, false)]);
        for _ in 0..4 {
            assert_eq!(backend.pick(None, Some(0)), Pick::Server(1));
        }
    }

    #[test]
    fn a_queue_of_one_server_holds_as_many_as_the_file_says() {
        let mut limited = server("a", 1, 1, false);
        limited.max_queue = 2;
        let backend = backend("roundrobin", vec![limited, server("b", 1, 1, false)]);
        assert_eq!(backend.pick_server(0), Pick::Server(0));
        assert_eq!(backend.pick_server(0), Pick::Wait(Some(0)));
        let first = backend.enter(Some(0), 'x').unwrap();
        backend.enter(Some(0), 'y').unwrap();
        assert_eq!(backend.enter(Some(0), 'z'), Err('z'), "two wait");
        assert!(backend.enter(None, 'z').is_ok(), "that limit is not the backend's");
        assert!(backend.enter(Some(1), 'v').is_ok(), "nor is it another server's");
        assert_eq!(
            (backend.waiting_for(Some(0)), backend.waiting_for(Some(1)), backend.waiting_for(None)),
            (2, 1, 1)
        );
        assert!(backend.leave(first));
        assert!(!backend.leave(first), "it has left");
        assert_eq!(backend.waiting_for(Some(0)), 1);
        assert!(backend.enter(Some(0), 'w').is_ok());
    }

    #[test]
    fn places_go_to_those_who_wait_before_newcomers() {
        let backend = backend("roundrobin", vec![server("a", 1, 1, false), server("b", 1, 1, false)]);
        assert_eq!(picks(&backend, 3, 0), "abw");
        backend.enter(None, 'x').unwrap();
        backend.set_max_connections(0, 2);
        assert_eq!(backend.pick(None, None), Pick::Wait(None), "somebody waits for the free place");
        let mut given = Vec::new();
        let mut wake = |waker, index| {
            given.push((waker, index));
            true
        };
        backend.hand_out_all(&mut wake);
        backend.hand_out_all(&mut wake);
        assert_eq!(given, [('x', 0)]);
        assert_eq!(picks(&backend, 1, 0), "w", "both are full");
        backend.release(0, |_, _| panic!("nobody waits"));
        backend.release(0, |_, _| panic!("nobody waits"));
        assert_eq!(picks(&backend, 3, 0), "aaw");
    }

    #[test]
    fn those_who_wait_for_a_server_that_goes_are_sent_away() {
        let backend = backend("roundrobin", vec![server("a", 1, 1, false), server("b", 1, 1, false)]);
        assert_eq!(picks(&backend, 2, 0), "ab");
        for (server, waker) in [(Some(0), 'x'), (Some(1), 'y'), (Some(0), 'z'), (None, 'v')] {
            backend.enter(server, waker).unwrap();
        }
        let mut sent = Vec::new();
        assert_eq!(backend.send_away(0, |waker| sent.push(waker)), 2);
        assert_eq!(sent, ['x', 'z']);
        assert_eq!(
            (backend.waiting_for(Some(0)), backend.waiting_for(Some(1)), backend.waiting_for(None)),
            (0, 1, 1)
        );
        assert_eq!(backend.send_away(0, |_| panic!("nobody waits for it")), 0);
    }

    #[test]
    fn what_changes_a_server_changes_who_is_chosen() {
        let backend = backend("roundrobin", vec![server("a", 1, 0, false), server("b", 1, 0, false)]);
        assert_eq!(backend.usable(), 2);
        assert!(backend.learn(1, false, 0, 1_000).is_some_and(|change| change == Change::Down));
        assert_eq!((backend.usable(), picks(&backend, 3, 0)), (1, "aaa".to_owned()));
        assert!(backend.inherit(1, true, 0, 2_000).is_some());
        assert_eq!(backend.usable(), 2);
        assert!(backend.force(0, false, 3_000).is_some());
        assert_eq!((backend.usable(), picks(&backend, 2, 0)), (1, "bb".to_owned()));
        assert_eq!(backend.force(0, false, 3_000), None, "nothing changes");
        backend.force(0, true, 4_000);
        backend.set_weight(0, 0);
        assert_eq!((backend.usable(), picks(&backend, 2, 0)), (1, "bb".to_owned()));
        backend.set_weight(0, 3);
        assert_eq!(picks(&backend, 8, 0).matches('a').count(), 6);
        backend.set_admin(1, Admin::Maint);
        assert_eq!((backend.usable(), backend.pick_server(1)), (1, Pick::Nobody));
        assert_eq!(backend.pick_server(7), Pick::Nobody, "there is no such server");
        assert_eq!(backend.count(7, Outcome::Failed, 5_000), None);
    }

    #[test]
    fn a_server_without_checks_obeys_orders_alone() {
        let mut unchecked = server("a", 1, 0, false);
        unchecked.health = None;
        let backend = backend("roundrobin", vec![unchecked]);
        assert_eq!(backend.count(0, Outcome::Failed, 1_000), None);
        assert_eq!(backend.usable(), 1);
        assert_eq!(backend.force(0, false, 1_000), None);
        assert_eq!(backend.usable(), 0);
        backend.force(0, true, 2_000);
        assert_eq!(backend.usable(), 1);
    }
}
