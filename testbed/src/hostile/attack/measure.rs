//! One kind of attack at a running program: before, meanwhile, in the silence after it, and when all is over.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::clients::{Attacker, Whom};
use super::figures::{Figures, RESTING_PERCENT};
use super::good::{Connections, Good, Window};
use super::kinds::{Kind, Port, World};
use crate::hostile::program::{Place, Usage};

/// Service before it is measured, and the measurement before the attack.
const WARM_UP: Duration = Duration::from_millis(200);
const BEFORE: Duration = Duration::from_millis(700);
/// The windows of an attack: the median of three is judged.
const WINDOWS: u32 = 3;
/// Timeouts are one second, that of a peers greeting five: what is open longer is held for ever.
const SILENCE: Duration = Duration::from_millis(6_500);
/// Descriptors that may be open beyond those before: kept connections to servers of a moment when many requests waited.
const SLACK: usize = 100;
const LOOK: Duration = Duration::from_millis(50);
/// Service after it, and how long the program's rest is measured.
const AFTER: Duration = Duration::from_millis(300);
const REST: Duration = Duration::from_millis(300);
/// How often that is looked at, until it rests.
const LOOKS: usize = 3;
/// The windows by number; the first, 0, is not measured.
const BASELINE: usize = 1;
const ATTACK: usize = 2;
const SILENT: usize = ATTACK + WINDOWS as usize;
const OVER: usize = SILENT + 1;

/// What is attacked.
pub(in crate::hostile) trait Target {
    /// Where good clients ask.
    fn service(&self) -> SocketAddr;
    fn whom(&self, port: Port) -> Result<Whom, String>;
    fn usage(&self) -> Usage;
    /// Bytes of its log.
    fn logged(&self) -> u64;
    /// Begins, or ends, what an attack does beside its connections.
    fn strike(&mut self, _on: bool) -> Result<(), String> {
        Ok(())
    }
    /// What happened that must not: a process that ended, an address that moved.
    fn trouble(&mut self) -> Option<String>;
}

pub(in crate::hostile) fn measure(
    target: &mut dyn Target,
    kind: &Kind,
    length: Duration,
    client: &Place,
    attacker: &Place,
) -> Result<Figures, String> {
    let few = kind.world == World::FewDescriptors;
    let connections = if few { Connections::Kept } else { Connections::Both };
    let good = Good::start(target.service(), connections, client.clone());
    std::thread::sleep(WARM_UP);
    good.enter(BASELINE);
    std::thread::sleep(BEFORE);
    let (before, logged) = (target.usage(), target.logged());
    let attacker = Attacker::start(target.whom(kind.port)?, kind.rate, kind.client, attacker.clone());
    target.strike(true)?;
    let begin = Instant::now();
    let mut most = before;
    for window in 0..WINDOWS {
        good.enter(ATTACK + window as usize);
        std::thread::sleep(length / WINDOWS);
        most.memory = most.memory.max(target.usage().memory);
    }
    let (after, took) = (target.usage(), begin.elapsed());
    let connected = attacker.connected();
    attacker.fall_silent();
    target.strike(false)?;
    good.enter(SILENT);
    let silent = Instant::now();
    let more = |target: &dyn Target| target.usage().descriptors.saturating_sub(before.descriptors);
    let mut left = more(target);
    while left > SLACK && silent.elapsed() < SILENCE && target.trouble().is_none() {
        std::thread::sleep(LOOK);
        left = more(target);
    }
    let closed_after = silent.elapsed();
    attacker.let_go()?;
    good.enter(OVER);
    std::thread::sleep(AFTER);
    let windows = good.end()?;
    let share = |cpu: Duration, of: Duration| 100.0 * cpu.as_secs_f64() / of.as_secs_f64();
    // The kernel counts in steps of 10 ms, and a moment is not yet a rest: what spins does so in each of them.
    let mut rest = f64::INFINITY;
    for _ in 0..LOOKS {
        let resting = target.usage().cpu;
        std::thread::sleep(REST);
        rest = rest.min(share(target.usage().cpu.saturating_sub(resting), REST));
        if rest <= RESTING_PERCENT {
            break;
        }
    }
    let window = |place: usize| windows.get(place).cloned().unwrap_or_default();
    let mut p99: Vec<Duration> = (ATTACK..SILENT).map(|place| window(place).p99()).collect();
    p99.sort_unstable();
    let felt: Vec<Window> = (ATTACK..=OVER).map(window).collect();
    Ok(Figures {
        stack: String::new(),
        kind: kind.name.to_owned(),
        asked: felt.iter().map(Window::count).sum(),
        errors: felt.iter().map(|window| window.errors).sum(),
        error: felt.iter().find_map(|window| window.error.clone()),
        errors_before: window(BASELINE).errors,
        p99_before_ms: millis(window(BASELINE).p99()),
        p99_ms: millis(p99.get(p99.len() / 2).copied().unwrap_or_default()),
        memory_before: before.memory,
        memory_more: most.memory.saturating_sub(before.memory),
        cpu_percent: share(after.cpu.saturating_sub(before.cpu), took),
        cpu_after_percent: rest,
        connected,
        left: if left > SLACK { left } else { 0 },
        closed_after_ms: millis(closed_after),
        logged: target.logged().saturating_sub(logged),
        trouble: target.trouble(),
        ..Figures::default()
    }
    .judged())
}

fn millis(length: Duration) -> f64 {
    (length.as_secs_f64() * 10_000.0).round() / 10.0
}
