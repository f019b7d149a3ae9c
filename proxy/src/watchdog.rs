//! Watches from outside whether a core lets go: one thread reads what each core does and its thread's CPU clock. A turn
//! of a core's loop is one wake-up of one of its tasks; one that takes 20 ms of CPU time has kept every other connection
//! of that core waiting, and is said with the station that was entered last. A task that never gives the thread back
//! does not turn, and is said again every second. Time in which the thread had work and no CPU is the machine's fault:
//! it is said too, and not counted.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::clock::now_ms;
use crate::limits::Seldom;
use crate::sys::CpuClock;

/// CPU time of one turn that is too much: a client whose connection is on this core waits as long.
const SLOW: Duration = Duration::from_millis(20);
/// How often cores are looked at: what a turn takes is known this exactly.
const LOOK: Duration = Duration::from_millis(4);
/// Wall time of one turn, most of it without CPU, from which on it is said.
const LOST: Duration = Duration::from_millis(100);
/// A turn that does not end is said again after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// What a core works at: the stations of a stream, and what else a core does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Station {
    /// Accepting connections, or beginning a session.
    Accept,
    /// TLS with a client.
    Tls,
    /// Reading and parsing a request.
    Request,
    /// Rules, captures and the choice of a backend.
    Rules,
    /// Choice of a server and its queue.
    Server,
    /// Connecting to a server.
    Connect,
    /// Sending the request and reading the head of the response.
    Exchange,
    /// Rules and fields of the response.
    Response,
    /// Moving bodies or bytes.
    Relay,
    /// Counters, log line, idle connection.
    Finish,
    /// Orders of other threads: runtime commands among them.
    Mail,
    /// Timers and idle connections.
    Tick,
    /// Health checks.
    Check,
    /// Expiry of table entries.
    Expiry,
    /// Asking whether this process answers, and answering.
    SelfTest,
    /// Runtime API, peers and health of other members.
    Service,
}

impl Station {
    const ALL: [Self; 16] = [
        Self::Accept,
        Self::Tls,
        Self::Request,
        Self::Rules,
        Self::Server,
        Self::Connect,
        Self::Exchange,
        Self::Response,
        Self::Relay,
        Self::Finish,
        Self::Mail,
        Self::Tick,
        Self::Check,
        Self::Expiry,
        Self::SelfTest,
        Self::Service,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Tls => "TLS handshake",
            Self::Request => "request",
            Self::Rules => "rules",
            Self::Server => "choice of a server",
            Self::Connect => "connect",
            Self::Exchange => "request to the server",
            Self::Response => "response",
            Self::Relay => "relay",
            Self::Finish => "finish",
            Self::Mail => "order of another thread",
            Self::Tick => "timers",
            Self::Check => "health check",
            Self::Expiry => "expiry of table entries",
            Self::SelfTest => "question to itself",
            Self::Service => "runtime API, peers or members",
        }
    }

    fn of_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Service)
    }
}

/// What one thread does now, for the watchdog to read. Its own thread alone writes.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Odd while a task runs; grows at both ends of each turn.
    turn: AtomicU64,
    station: AtomicU8,
    /// The thread's clock; 0 before it runs.
    clock: AtomicI32,
}

impl Pulse {
    /// To be called on the thread that is watched.
    pub(crate) fn begin(&self) {
        match CpuClock::own() {
            Ok(clock) => self.clock.store(clock.number(), Ordering::Release),
            Err(error) => {
                tracing::warn!(%error, "this thread cannot be watched: the kernel has no CPU clock for it");
            }
        }
    }

    /// Says what the task that runs works at from here on.
    pub(crate) fn enter(&self, station: Station) {
        self.station.store(station as u8, Ordering::Relaxed);
    }

    fn turn(&self) -> Turn<'_> {
        self.step();
        Turn(self)
    }

    fn step(&self) {
        // One writer: no read-modify-write is needed.
        self.turn.store(self.turn.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }
}

/// A task has the thread.
struct Turn<'p>(&'p Pulse);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.step();
    }
}

/// Runs a task whose every wake-up is a turn that is watched, and begins at this station.
pub(crate) async fn watched<F: Future>(pulse: Arc<Pulse>, station: Station, task: F) -> F::Output {
    pulse.enter(station);
    let mut task = pin!(task);
    let mut last = station as u8;
    std::future::poll_fn(|cx| {
        // Other tasks were at other stations meanwhile.
        pulse.station.store(last, Ordering::Relaxed);
        let _turn = pulse.turn();
        let polled = task.as_mut().poll(cx);
        last = pulse.station.load(Ordering::Relaxed);
        polled
    })
    .await
}

/// The threads that are watched, by name, and what was seen.
#[derive(Debug)]
pub(crate) struct Watchdog {
    pulses: Vec<(String, Arc<Pulse>)>,
    slow: AtomicU64,
    longest_ms: AtomicU64,
}

impl Watchdog {
    /// For so many cores, and the service thread.
    pub(crate) fn new(cores: usize) -> Self {
        let names = (0..cores).map(|core| format!("core {core}")).chain(["service".to_owned()]);
        Self {
            pulses: names.map(|name| (name, Arc::default())).collect(),
            slow: AtomicU64::new(0),
            longest_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn core(&self, core: usize) -> Arc<Pulse> {
        Arc::clone(&self.pulses[core].1)
    }

    pub(crate) fn service(&self) -> Arc<Pulse> {
        self.core(self.pulses.len() - 1)
    }

    /// Turns that took 20 ms of CPU time or more.
    pub(crate) fn slow(&self) -> u64 {
        self.slow.load(Ordering::Relaxed)
    }

    /// CPU time of the longest turn in milliseconds, to within 4 ms.
    pub(crate) fn longest_ms(&self) -> u64 {
        self.longest_ms.load(Ordering::Relaxed)
    }

    /// Watches on a thread of its own, until nobody else has this.
    ///
    /// # Errors
    /// There is no room for a thread.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let watchdog: Weak<Self> = Arc::downgrade(self);
        let mut seen: Vec<Seen> = self.pulses.iter().map(|_| Seen::default()).collect();
        let run = move || {
            while let Some(watchdog) = watchdog.upgrade() {
                for ((name, pulse), seen) in watchdog.pulses.iter().zip(&mut seen) {
                    seen.look(&watchdog, name, pulse);
                }
                drop(watchdog);
                std::thread::sleep(LOOK);
            }
        };
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(run).map(drop)
    }
}

/// The turn that a thread was seen in last.
#[derive(Default)]
struct Seen {
    turn: u64,
    /// CPU time and wall time when it was first seen; `None`: it is over.
    since: Option<(Duration, Instant)>,
    is_slow: bool,
    is_lost: bool,
    said: Option<Instant>,
    slow: Seldom,
    lost: Seldom,
}

impl Seen {
    fn look(&mut self, watchdog: &Watchdog, name: &str, pulse: &Pulse) {
        let turn = pulse.turn.load(Ordering::Acquire);
        let clock = pulse.clock.load(Ordering::Acquire);
        if turn.is_multiple_of(2) || clock == 0 {
            self.since = None;
            return;
        }
        let Ok(cpu) = CpuClock::of_number(clock).read() else { return };
        let now = Instant::now();
        let (began, since) = match self.since {
            Some(since) if self.turn == turn => since,
            _ => {
                self.turn = turn;
                self.since = Some((cpu, now));
                (self.is_slow, self.is_lost, self.said) = (false, false, None);
                return;
            }
        };
        let station = Station::of_number(pulse.station.load(Ordering::Relaxed)).word();
        if pulse.turn.load(Ordering::Acquire) != turn {
            // It has ended meanwhile: what was read belongs to the next.
            return;
        }
        let (used, wall) = (cpu.saturating_sub(began), now.duration_since(since));
        if used >= SLOW {
            let ms = millis(used);
            watchdog.longest_ms.fetch_max(ms, Ordering::Relaxed);
            let first = !std::mem::replace(&mut self.is_slow, true);
            if first {
                watchdog.slow.fetch_add(1, Ordering::Relaxed);
            }
            let again = self.said.is_some_and(|said| now.duration_since(said) >= AGAIN);
            let due = if first { self.slow.due(now_ms()) } else { again.then_some(0) };
            if let Some(unsaid) = due {
                self.said = Some(now);
                tracing::warn!(
                    thread = name,
                    station,
                    cpu_ms = ms,
                    unsaid,
                    "a thread was kept by one task: all its other connections wait"
                );
            } else if first {
                self.said = Some(now);
            }
        } else {
            watchdog.longest_ms.fetch_max(millis(used), Ordering::Relaxed);
            if wall >= LOST + used
                && !std::mem::replace(&mut self.is_lost, true)
                && let Some(unsaid) = self.lost.due(now_ms())
            {
                tracing::warn!(
                    thread = name,
                    station,
                    wall_ms = millis(wall),
                    cpu_ms = millis(used),
                    unsaid,
                    "a thread had work and did not run: the machine is overloaded, or the kernel made it wait"
                );
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn until(what: &str, holds: impl Fn() -> bool) {
        let begin = Instant::now();
        while !holds() {
            assert!(begin.elapsed() < PATIENCE, "{what}");
            std::thread::yield_now();
        }
    }

    fn burn(clock: CpuClock, time: Duration) {
        let end = clock.read().unwrap() + time;
        while clock.read().unwrap() < end {}
    }

    /// Runs one task on a watched thread.
    fn on_a_thread(watchdog: &Watchdog, station: Station, task: impl FnOnce() + Send) {
        let pulse = watchdog.core(0);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                pulse.begin();
                let task = watched(Arc::clone(&pulse), Station::Accept, async move {
                    pulse.enter(station);
                    task();
                });
                let mut task = pin!(task);
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(task.as_mut().poll(&mut cx).is_ready());
            });
        });
    }

    #[test]
    fn a_turn_of_much_cpu_time_is_counted_once() {
        let watchdog = Arc::new(Watchdog::new(1));
        watchdog.start().unwrap();
        on_a_thread(&watchdog, Station::Relay, || burn(CpuClock::own().unwrap(), Duration::from_millis(120)));
        until("longest", || watchdog.longest_ms() >= 20);
        assert_eq!(watchdog.slow(), 1);
        assert!(watchdog.longest_ms() <= 121, "{}", watchdog.longest_ms());
    }

    #[test]
    fn a_turn_that_waits_takes_no_cpu_time_and_is_not_counted() {
        let watchdog = Arc::new(Watchdog::new(1));
        let pulse = watchdog.core(0);
        let mut seen = Seen::default();
        on_a_thread(&watchdog, Station::Relay, || {
            seen.look(&watchdog, "core 0", &pulse);
            let begin = Instant::now();
            while !seen.is_lost {
                assert!(begin.elapsed() < PATIENCE);
                std::thread::park_timeout(LOOK);
                seen.look(&watchdog, "core 0", &pulse);
            }
        });
        assert_eq!(watchdog.slow(), 0);
    }

    #[test]
    fn many_short_turns_are_not_one_long_one() {
        let watchdog = Arc::new(Watchdog::new(1));
        let (pulse, mut seen) = (watchdog.core(0), Seen::default());
        pulse.begin();
        let clock = CpuClock::own().unwrap();
        for _ in 0..20 {
            let turn = pulse.turn();
            seen.look(&watchdog, "core 0", &pulse);
            burn(clock, Duration::from_millis(5));
            seen.look(&watchdog, "core 0", &pulse);
            drop(turn);
        }
        assert_eq!(watchdog.slow(), 0);
    }

    #[test]
    fn a_core_that_does_not_turn_is_counted_while_it_does_not() {
        let limits = crate::Limits { connections: 1, reserve: 1, allowed: 100, short: None };
        let member = String::new();
        let options = crate::Options { member, cores: 2, log_to_stdout: false, hold: false, limits };
        let proxy = crate::Proxy::build(Arc::default(), crate::TlsBinds::default(), options, 0);
        proxy.start(crate::Sockets::default()).unwrap();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        proxy.shared.mailboxes.read()[0]
            .try_send(Box::new(move |core| {
                core.enter(Station::Relay);
                while wait.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {}
            }))
            .unwrap();
        until("slow", || proxy.info()["SlowTurns"] == "1");
        release.send(()).unwrap();
        let longest: u64 = proxy.info()["LongestTurnMs"].parse().unwrap();
        assert!(longest >= 20, "{longest}");
        // The other core, and this one again, do what they are asked.
        let (answer, answers) = std::sync::mpsc::channel();
        for mailbox in proxy.shared.mailboxes.read().iter() {
            let answer = answer.clone();
            mailbox.try_send(Box::new(move |core| answer.send(core.id).unwrap())).unwrap();
        }
        let mut cores = [(); 2].map(|()| answers.recv_timeout(PATIENCE).unwrap());
        cores.sort_unstable();
        assert_eq!(cores, [0, 1]);
    }

    #[test]
    fn every_station_has_its_number_back() {
        for station in Station::ALL {
            assert_eq!(Station::of_number(station as u8), station);
        }
    }
}
