//! Work for people and exporters (commands, statistics pages), on a thread of its own: however much there is of it,
//! traffic, checks, peers and the report to the supervisor go on.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};

use crate::shared::Shared;

/// Most pieces of work that wait to be begun. Whoever finds no room is told so: what waits behind so many statistics
/// pages is no longer wanted when its turn comes.
const MAX_WAITING: usize = 256;

type Start = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The way to the thread; it runs from the first [`Aside::start`].
pub(crate) struct Aside {
    starts: mpsc::Sender<Start>,
    waiting: parking_lot::Mutex<Option<mpsc::Receiver<Start>>>,
}

impl Default for Aside {
    fn default() -> Self {
        let (starts, waiting) = mpsc::channel(MAX_WAITING);
        Self { starts, waiting: parking_lot::Mutex::new(Some(waiting)) }
    }
}

impl Aside {
    /// Starts the thread; once is enough.
    pub(crate) fn start(&self) -> io::Result<()> {
        let Some(waiting) = self.waiting.lock().take() else { return Ok(()) };
        std::thread::Builder::new().name("commands".to_owned()).spawn(move || run(waiting)).map(drop)
    }

    /// Runs a future there; `false`: there is no room.
    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        start: impl FnOnce() -> F + Send + 'static,
    ) -> bool {
        self.starts.try_send(Box::new(move || Box::pin(start()))).is_ok()
    }
}

impl Shared {
    /// Lets the thread beside make something; `None`: there was no room.
    pub(crate) async fn made_aside<T: Send + 'static>(
        self: &Arc<Self>,
        make: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, made) = oneshot::channel();
        let own = Arc::clone(self);
        let begun = self.aside.spawn(move || async move {
            // Whoever waited has gone: nothing is made.
            if !sender.is_closed() {
                let _ = sender.send(make(&own));
            }
        });
        if begun { made.await.ok() } else { None }
    }
}

fn run(mut waiting: mpsc::Receiver<Start>) {
    let mut builder = Builder::new_current_thread();
    let runtime = match builder.enable_io().enable_time().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the thread for commands cannot run: no command is answered");
            return;
        }
    };
    runtime.block_on(async {
        while let Some(start) = waiting.recv().await {
            tokio::task::spawn_local(start());
        }
    });
}
