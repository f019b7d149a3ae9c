//! The proof that a loop goes on only while something changes: a state that waits for more input must not be taken for
//! progress. Checked where debug assertions are on, which is where every exchange is tried in every way it can arrive.

use std::fmt::Debug;

/// Remembers how things stood at the loop's last turn.
#[derive(Debug)]
pub(crate) struct Advance<T> {
    #[cfg(debug_assertions)]
    last: Option<T>,
    #[cfg(not(debug_assertions))]
    nothing: std::marker::PhantomData<T>,
}

impl<T> Default for Advance<T> {
    fn default() -> Self {
        Self {
            #[cfg(debug_assertions)]
            last: None,
            #[cfg(not(debug_assertions))]
            nothing: std::marker::PhantomData,
        }
    }
}

impl<T: PartialEq + Debug> Advance<T> {
    /// Fails if nothing has changed since the last turn.
    #[cfg(debug_assertions)]
    pub(crate) fn assert(&mut self, state: impl FnOnce() -> T) {
        let now = state();
        assert!(self.last.as_ref() != Some(&now), "a loop turns without progress: {now:?}");
        self.last = Some(now);
    }

    /// Nothing in a release build.
    #[cfg(not(debug_assertions))]
    #[inline(always)]
    #[allow(clippy::unused_self, reason = "the same call in both kinds of build")]
    pub(crate) fn assert(&mut self, _: impl FnOnce() -> T) {}
}
