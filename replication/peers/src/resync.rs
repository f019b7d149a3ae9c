//! Who teaches this node after a start, and when it knows enough to be asked itself.

use std::collections::VecDeque;

/// A lesson that takes longer than this is given up: the teacher counts as one that knows nothing.
pub const MAX_LESSON_MS: u64 = 60_000;

/// What this node knows.
///
/// ```text
///             every peer unreachable            a peer appears: ask it
///  Learning -------------------------> Alone -------------------------+
///     |                                  ^  every peer partial        |
///     +---- lesson finished ----> Learnt <----------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// Somebody may know more.
    Learning,
    /// Nobody else is there: what we know is all there is.
    Alone,
    /// A peer taught everything, or all that are there know no more than we.
    Learnt,
}

/// What happened to a peer, by its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session with it began.
    Connected(usize),
    /// That session ended.
    Lost(usize),
    /// It could not be reached.
    Unreachable(usize),
    /// It taught; `true`: everything.
    Taught(usize, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Untried,
    Away,
    Connected,
    Partial,
    /// Never asked.
    Pupil,
}

/// The state of learning, over all peers.
#[derive(Debug)]
pub struct Resync {
    peers: Vec<Peer>,
    asking: Option<(usize, u64)>,
    knowledge: Knowledge,
    asks: VecDeque<usize>,
}

impl Resync {
    /// Nothing is known yet; with no peers at all, that is everything.
    #[must_use]
    pub fn new(peers: usize) -> Self {
        let knowledge = if peers == 0 { Knowledge::Alone } else { Knowledge::Learning };
        Self { peers: vec![Peer::Untried; peers], asking: None, knowledge, asks: VecDeque::new() }
    }

    /// There is one more: the process before this one, which teaches, or the one after it, which does not.
    /// Its place is returned.
    pub fn add(&mut self, teaches: bool) -> usize {
        if teaches {
            self.knowledge = Knowledge::Learning;
        }
        self.peers.push(if teaches { Peer::Untried } else { Peer::Pupil });
        self.peers.len() - 1
    }

    /// Everything is known already.
    pub fn set_learnt(&mut self) {
        self.knowledge = Knowledge::Learnt;
    }

    /// What this node knows.
    #[must_use]
    pub fn knowledge(&self) -> Knowledge {
        self.knowledge
    }

    /// Something happened.
    pub fn handle_input(&mut self, now_ms: u64, event: Event) {
        let place = match event {
            Event::Connected(p) | Event::Lost(p) | Event::Unreachable(p) | Event::Taught(p, _) => p,
        };
        let Some(peer) = self.peers.get_mut(place).filter(|p| **p != Peer::Pupil) else { return };
        *peer = match event {
            Event::Connected(_) => Peer::Connected,
            Event::Lost(_) | Event::Unreachable(_) => Peer::Away,
            Event::Taught(_, true) => Peer::Connected,
            Event::Taught(_, false) => Peer::Partial,
        };
        if self.asking.is_some_and(|(asked, _)| asked == place) {
            self.asking = None;
            if event == Event::Taught(place, true) {
                self.knowledge = Knowledge::Learnt;
            }
        }
        self.go_on(now_ms);
    }

    /// A deadline has passed; waking early is harmless.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if let Some((place, _)) = self.asking.take_if(|(_, deadline)| *deadline <= now_ms) {
            self.peers[place] = Peer::Partial;
            self.go_on(now_ms);
        }
    }

    /// When to call [`Resync::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.asking.map(|(_, deadline)| deadline)
    }

    /// The next peer to ask for a lesson.
    pub fn poll_output(&mut self) -> Option<usize> {
        self.asks.pop_front()
    }

    fn go_on(&mut self, now_ms: u64) {
        if self.knowledge == Knowledge::Learnt || self.asking.is_some() {
            return;
        }
        if let Some(place) = self.peers.iter().position(|p| *p == Peer::Connected) {
            self.asking = Some((place, now_ms + MAX_LESSON_MS));
            self.asks.push_back(place);
        } else if self.peers.iter().all(|p| matches!(p, Peer::Away | Peer::Pupil)) {
            self.knowledge = Knowledge::Alone;
        } else if !self.peers.contains(&Peer::Untried) {
            // Those that are there know no more than what they have taught us.
            self.knowledge = Knowledge::Learnt;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(peers: usize, events: &[Event]) -> (Knowledge, Vec<usize>) {
        let mut resync = Resync::new(peers);
        events.iter().for_each(|event| resync.handle_input(0, *event));
        (resync.knowledge(), std::iter::from_fn(|| resync.poll_output()).collect())
    }

    #[test]
    fn a_node_asks_one_peer_after_the_other_until_one_knows_all() {
        use Event::{Connected, Lost, Taught, Unreachable};
        use Knowledge::{Alone, Learning, Learnt};
        for (peers, events, expected) in [
            (0, vec![], (Alone, vec![])),
            (1, vec![], (Learning, vec![])),
            (1, vec![Unreachable(0)], (Alone, vec![])),
            (1, vec![Unreachable(0), Connected(0)], (Alone, vec![0])),
            (1, vec![Connected(0)], (Learning, vec![0])),
            (1, vec![Connected(0), Taught(0, true)], (Learnt, vec![0])),
            (1, vec![Connected(0), Taught(0, false)], (Learnt, vec![0])),
            (1, vec![Connected(0), Lost(0)], (Alone, vec![0])),
            (2, vec![Connected(0), Taught(0, false)], (Learning, vec![0])),
            (2, vec![Connected(0), Taught(0, false), Unreachable(1)], (Learnt, vec![0])),
            (2, vec![Connected(0), Connected(1), Lost(0), Taught(1, true)], (Learnt, vec![0, 1])),
        ] {
            assert_eq!(after(peers, &events), expected, "{events:?}");
        }
    }

    #[test]
    fn the_process_before_this_one_teaches_and_the_one_after_it_is_never_asked() {
        let mut resync = Resync::new(0);
        let (pupil, before) = (resync.add(false), resync.add(true));
        resync.handle_input(0, Event::Connected(pupil));
        assert_eq!((resync.knowledge(), resync.poll_output()), (Knowledge::Learning, None));
        resync.handle_input(0, Event::Connected(before));
        assert_eq!(resync.poll_output(), Some(before));
        resync.handle_input(0, Event::Taught(before, true));
        resync.handle_input(0, Event::Lost(pupil));
        assert_eq!(resync.knowledge(), Knowledge::Learnt);
    }

    #[test]
    fn a_teacher_that_never_ends_is_given_up() {
        let mut resync = Resync::new(1);
        resync.handle_input(5, Event::Connected(0));
        assert_eq!(resync.poll_timeout(), Some(5 + MAX_LESSON_MS));
        resync.handle_timeout(MAX_LESSON_MS);
        assert_eq!(resync.knowledge(), Knowledge::Learning);
        resync.handle_timeout(5 + MAX_LESSON_MS);
        assert_eq!(resync.knowledge(), Knowledge::Learnt);
    }
}
