//! Who waits for a free place (HAProxy's `maxconn` on servers, `timeout queue`): first come, first
//! served, unless the client belongs to one server.

use std::collections::VecDeque;

/// Most requests that wait in one backend; one more is refused.
pub const MAX_QUEUED: usize = 65_536;

/// Names a waiting request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// The waiting requests of one backend; `W` is what wakes one.
#[derive(Debug)]
pub struct Queue<W> {
    waiting: VecDeque<(Ticket, Option<usize>, W)>,
    next: u64,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), next: 0 }
    }
}

impl<W> Queue<W> {
    /// Joins the queue, for one server or for any.
    ///
    /// # Errors
    /// Gives the waker back if the queue is full.
    pub fn enter(&mut self, server: Option<usize>, waker: W) -> Result<Ticket, W> {
        if self.waiting.len() >= MAX_QUEUED {
            return Err(waker);
        }
        self.next += 1;
        let ticket = Ticket(self.next);
        self.waiting.push_back((ticket, server, waker));
        Ok(ticket)
    }

    /// Leaves the queue without having been called. `false` if the ticket was called already.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        match self.waiting.binary_search_by_key(&ticket, |(t, ..)| *t) {
            Ok(index) => self.waiting.remove(index).is_some(),
            Err(_) => false,
        }
    }

    /// The first request that `server` may serve.
    pub fn call(&mut self, server: usize) -> Option<W> {
        let index = self.waiting.iter().position(|(_, wanted, _)| wanted.is_none_or(|w| w == server))?;
        self.waiting.remove(index).map(|(.., waker)| waker)
    }

    /// The first request that waits for `server` alone.
    pub fn take_one_for(&mut self, server: usize) -> Option<W> {
        let index = self.waiting.iter().position(|(_, wanted, _)| *wanted == Some(server))?;
        self.waiting.remove(index).map(|(.., waker)| waker)
    }

    /// Requests waiting for this server alone (`Some`) or for any (`None`).
    #[must_use]
    pub fn waiting_for(&self, server: Option<usize>) -> usize {
        self.waiting.iter().filter(|(_, wanted, _)| *wanted == server).count()
    }

    /// All that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_a_server_may_serve_is_called() {
        let mut queue = Queue::default();
        queue.enter(Some(1), 'a').unwrap();
        let b = queue.enter(None, 'b').unwrap();
        queue.enter(None, 'c').unwrap();
        assert_eq!(queue.call(0), Some('b'));
        assert!(!queue.leave(b), "already called");
        assert_eq!(queue.call(1), Some('a'));
        assert_eq!(queue.call(1), Some('c'));
        assert_eq!(queue.call(1), None);
    }

    #[test]
    fn who_leaves_is_not_called_and_the_queue_is_bounded() {
        let mut queue = Queue::default();
        let first = queue.enter(None, 0).unwrap();
        for n in 1..MAX_QUEUED {
            queue.enter(None, n).unwrap();
        }
        assert_eq!(queue.enter(None, 7), Err(7));
        assert!(queue.leave(first));
        assert_eq!(queue.call(0), Some(1));
    }
}
