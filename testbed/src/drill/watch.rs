//! Who has the address, seen from within each node, every few milliseconds.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use failover::netlink::Netlink;

use crate::lab::{Namespace, answers_for};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// When a node began to answer for the address and when it ceased to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Vec<(Instant, bool)>);

/// Observers of the two nodes.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<std::io::Result<Held>>>,
}

impl Watch {
    pub(crate) fn start(hosts: &[Arc<Namespace>; 2], address: Ipv4Addr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let observe = |host: &Arc<Namespace>| {
            let (host, stop) = (Arc::clone(host), Arc::clone(&stop));
            std::thread::spawn(move || {
                host.join()?;
                let mut netlink = Netlink::open()?;
                let mut held = Held::default();
                while !stop.load(Ordering::Relaxed) {
                    held.note(Instant::now(), answers_for(&mut netlink, IpAddr::V4(address)));
                    std::thread::sleep(LOOK);
                }
                Ok(held)
            })
        };
        let threads = hosts.iter().map(observe).collect();
        Self { stop, threads }
    }

    pub(crate) fn finish(self) -> Result<Owners, String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = self.threads.into_iter().map(|thread| match thread.join() {
            Ok(Ok(held)) => Ok(held),
            Ok(Err(error)) => Err(format!("an observer ended: {error}")),
            Err(_) => Err("an observer died".to_owned()),
        });
        let mut next = || seen.next().unwrap_or_else(|| Err("an observer is missing".to_owned()));
        Ok(Owners { nodes: [next()?, next()?], end: Instant::now() })
    }
}

impl Held {
    fn note(&mut self, at: Instant, holds: bool) {
        if self.0.last().is_none_or(|(_, held)| *held != holds) {
            self.0.push((at, holds));
        }
    }

    fn at(&self, time: Instant) -> bool {
        self.0.iter().rev().find(|(at, _)| *at <= time).is_some_and(|(_, holds)| *holds)
    }
}

/// Who had the address when.
pub(crate) struct Owners {
    nodes: [Held; 2],
    end: Instant,
}

impl Owners {
    /// The node that has it in the end; `None` if none has it, or both.
    pub(crate) fn last(&self) -> Option<usize> {
        match [0, 1].map(|node| self.nodes[node].at(self.end)) {
            [true, false] => Some(0),
            [false, true] => Some(1),
            _ => None,
        }
    }

    /// When the last owner became it, if that was after a moment.
    pub(crate) fn moved(&self, after: Instant) -> Option<Duration> {
        let (at, _) = self.nodes[self.last()?].0.last()?;
        at.checked_duration_since(after)
    }

    /// How often a node has begun to have it since a moment.
    pub(crate) fn transitions(&self, after: Instant) -> usize {
        let begins = |held: &Held| held.0.iter().filter(|(at, holds)| *holds && *at > after).count();
        self.nodes.iter().map(begins).sum()
    }

    /// The longest time that both had it at once, since a moment.
    pub(crate) fn both(&self, after: Instant) -> Duration {
        let spells = self.spells(after, |holds| holds == [true, true]);
        spells.map(|(from, to)| to.duration_since(from)).max().unwrap_or_default()
    }

    /// How long after a moment exactly one had it, for good; `None` if that never was so.
    pub(crate) fn one_again(&self, after: Instant) -> Option<Duration> {
        let (from, to) = self.spells(after, |holds| holds[0] != holds[1]).last()?;
        (to == self.end).then(|| from.duration_since(after))
    }

    /// When a node had it no more, for good, after a moment.
    pub(crate) fn gone(&self, node: usize, after: Instant) -> Option<Duration> {
        let (at, holds) = self.nodes[node].0.last()?;
        if *holds { None } else { Some(at.saturating_duration_since(after)) }
    }

    /// The times since a moment in which something is so.
    fn spells(
        &self,
        after: Instant,
        is_so: impl Fn([bool; 2]) -> bool,
    ) -> impl Iterator<Item = (Instant, Instant)> {
        let changes = self.nodes.iter().flat_map(|held| held.0.iter().map(|(at, _)| *at));
        let mut times: Vec<Instant> = changes.filter(|at| *at > after && *at < self.end).collect();
        times.push(after);
        times.sort_unstable();
        times.push(self.end);
        let mut spells: Vec<(Instant, Instant)> = Vec::new();
        for pair in times.windows(2) {
            if !is_so([0, 1].map(|node| self.nodes[node].at(pair[0]))) {
                continue;
            }
            match spells.last_mut() {
                Some((_, to)) if *to == pair[0] => *to = pair[1],
                _ => spells.push((pair[0], pair[1])),
            }
        }
        spells.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_counted_between_changes() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let held = |changes: &[(u64, bool)]| {
            let mut held = Held::default();
            changes.iter().for_each(|(ms, holds)| held.note(at(*ms), *holds));
            held
        };
        let one = held(&[(0, true), (1, true), (500, false)]);
        let two = held(&[(0, false), (300, true), (400, false), (450, true)]);
        let owners = Owners { nodes: [one, two], end: at(900) };
        assert_eq!(owners.last(), Some(1));
        assert_eq!(owners.both(at(100)), Duration::from_millis(100));
        assert_eq!(owners.both(at(460)), Duration::from_millis(40));
        assert_eq!(owners.one_again(at(350)), Some(Duration::from_millis(150)));
        assert_eq!(owners.one_again(at(600)), Some(Duration::ZERO));
        assert_eq!(owners.moved(at(100)), Some(Duration::from_millis(350)));
        assert_eq!((owners.transitions(at(100)), owners.transitions(at(420))), (2, 1));
        assert_eq!(
            (owners.gone(0, at(100)), owners.gone(1, at(100))),
            (Some(Duration::from_millis(400)), None)
        );
    }
}
