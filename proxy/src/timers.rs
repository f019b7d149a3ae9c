//! A core's timer wheel. Sessions move their deadlines at every step, so moving one is a store; the
//! wheel looks at a timer only when its old place in the wheel comes round, and puts it where it
//! belongs by then. Resolution is one tick.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Waker};

use slab::Slab;

/// Length of a tick in milliseconds: how late a timeout may be noticed.
pub(crate) const TICK_MS: u64 = 16;
/// Buckets of the wheel; a deadline further away is looked at again when the last one comes round.
const BUCKETS: u64 = 1024;
const NEVER: u64 = u64::MAX;

struct Slot {
    deadline_ms: u64,
    scheduled: u64,
    waker: Waker,
}

/// All timers of one core.
pub(crate) struct Wheel {
    slots: Slab<Slot>,
    buckets: Vec<Vec<usize>>,
    tick: u64,
}

impl Wheel {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self { slots: Slab::new(), buckets: vec![Vec::new(); BUCKETS as usize], tick: now_ms / TICK_MS }
    }

    fn schedule(&mut self, key: usize) {
        let slot = &mut self.slots[key];
        let wanted = (slot.deadline_ms / TICK_MS + 1).clamp(self.tick + 1, self.tick + BUCKETS - 1);
        if wanted < slot.scheduled {
            slot.scheduled = wanted;
            self.buckets[(wanted % BUCKETS) as usize].push(key);
        }
    }

    /// Wakes whoever's deadline has passed.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        let target = now_ms / TICK_MS;
        while self.tick < target {
            self.tick += 1;
            let mut due = std::mem::take(&mut self.buckets[(self.tick % BUCKETS) as usize]);
            for key in due.drain(..) {
                let Some(slot) = self.slots.get_mut(key) else { continue };
                // An entry that was replaced by an earlier one, or belongs to a timer long gone.
                if slot.scheduled != self.tick {
                    continue;
                }
                slot.scheduled = NEVER;
                if slot.deadline_ms <= now_ms {
                    slot.waker.wake_by_ref();
                } else if slot.deadline_ms != NEVER {
                    self.schedule(key);
                }
            }
            let bucket = &mut self.buckets[(self.tick % BUCKETS) as usize];
            if bucket.is_empty() {
                *bucket = due;
            }
        }
    }
}

/// One task's timer.
pub(crate) struct Timer {
    wheel: Rc<RefCell<Wheel>>,
    key: usize,
    deadline_ms: u64,
}

impl Timer {
    pub(crate) fn new(wheel: &Rc<RefCell<Wheel>>) -> Self {
        let slot = Slot { deadline_ms: NEVER, scheduled: NEVER, waker: Waker::noop().clone() };
        let key = wheel.borrow_mut().slots.insert(slot);
        Self { wheel: Rc::clone(wheel), key, deadline_ms: NEVER }
    }

    /// The task to wake; a task does this once.
    pub(crate) fn attach(&self, cx: &Context<'_>) {
        let mut wheel = self.wheel.borrow_mut();
        let slot = &mut wheel.slots[self.key];
        if !slot.waker.will_wake(cx.waker()) {
            slot.waker = cx.waker().clone();
        }
    }

    /// Moves the deadline; `None` is never.
    pub(crate) fn set(&mut self, deadline_ms: Option<u64>) {
        let deadline = deadline_ms.unwrap_or(NEVER);
        self.deadline_ms = deadline;
        let mut wheel = self.wheel.borrow_mut();
        let slot = &mut wheel.slots[self.key];
        slot.deadline_ms = deadline;
        if deadline != NEVER && deadline / TICK_MS + 1 < slot.scheduled {
            wheel.schedule(self.key);
        }
    }

    pub(crate) fn expired(&self, now_ms: u64) -> bool {
        self.deadline_ms <= now_ms
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.wheel.borrow_mut().slots.remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn timer(wheel: &Rc<RefCell<Wheel>>) -> (Timer, Arc<Count>) {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let timer = Timer::new(wheel);
        timer.attach(&Context::from_waker(&waker));
        (timer, count)
    }

    #[test]
    fn a_deadline_that_keeps_moving_fires_once_after_the_last_move() {
        let wheel = Rc::new(RefCell::new(Wheel::new(0)));
        let (mut timer, woken) = timer(&wheel);
        for now in (0..50_000).step_by(10) {
            timer.set(Some(now + 1_000));
            wheel.borrow_mut().advance(now);
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        wheel.borrow_mut().advance(50_990 + TICK_MS);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_earlier_deadline_and_one_beyond_the_wheel_are_kept() {
        let wheel = Rc::new(RefCell::new(Wheel::new(0)));
        let (mut near, near_woken) = timer(&wheel);
        let (mut far, far_woken) = timer(&wheel);
        far.set(Some(100_000));
        near.set(Some(60_000));
        near.set(Some(100));
        wheel.borrow_mut().advance(100 + 2 * TICK_MS);
        assert_eq!(near_woken.0.load(Ordering::Relaxed), 1);
        for now in (0..=99_000).step_by(500) {
            wheel.borrow_mut().advance(now);
        }
        assert_eq!(far_woken.0.load(Ordering::Relaxed), 0);
        wheel.borrow_mut().advance(100_000 + TICK_MS);
        assert_eq!(far_woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(near_woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_dropped_timer_leaves_its_place_to_another_without_waking_it() {
        let wheel = Rc::new(RefCell::new(Wheel::new(0)));
        let (mut first, _) = timer(&wheel);
        first.set(Some(100));
        drop(first);
        let (mut second, woken) = timer(&wheel);
        second.set(Some(5_000));
        wheel.borrow_mut().advance(1_000);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        wheel.borrow_mut().advance(6_000);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }
}
