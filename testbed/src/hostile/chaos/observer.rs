//! Looks all the time whether a node says of a server that lives that it does not.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::world::state;
use crate::drill::node::ask;
use crate::drill::stack::NAMES;

/// Time between two looks, and the longest answer waited for.
const LOOK: Duration = Duration::from_millis(50);
const ANSWER: Duration = Duration::from_millis(500);
/// The server that lives, in "show stat".
const LIVING: &str = "app,s1";

pub(super) struct Observer {
    over: Arc<AtomicBool>,
    seen: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Observer {
    /// Looks at the statistics sockets of both nodes.
    pub(super) fn start(sockets: [PathBuf; 2]) -> Self {
        let (over, seen) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Option<String>>>::default());
        let (ends, tells) = (Arc::clone(&over), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                for (socket, name) in sockets.iter().zip(NAMES) {
                    // Who is just dead says nothing, and so nothing wrong.
                    let Ok(text) = ask(socket, "show stat\n", ANSWER) else { continue };
                    if let Some(state) = state(&text, LIVING).filter(|state| state.starts_with("DOWN")) {
                        let mut seen = tells.lock().unwrap_or_else(PoisonError::into_inner);
                        seen.get_or_insert(format!(
                            "{name} said of {LIVING}, which lives, that it is {state}"
                        ));
                    }
                }
                std::thread::sleep(LOOK);
            }
        });
        Self { over, seen, thread: Some(thread) }
    }

    /// The first wrong state that was seen.
    pub(super) fn seen(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}
