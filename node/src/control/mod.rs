//! The process that talks about the cluster. It holds its link and its place; orders and the replicated
//! log come to live here.

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::link::Link;
use crate::worker;

/// The life of the control process: until its supervisor is gone.
pub(crate) fn run() -> Result<(), String> {
    worker::name("tandem-control");
    let link = Link::inherited().map_err(|_| "this is started by 'tandem run' only".to_owned())?;
    let handed = worker::receive(&link).map_err(|e| format!("the supervisor's words make no sense: {e}"))?;
    // The worker says what could not be done; once is enough.
    worker::drop_privileges(&handed.everything.proxy.global)?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| e.to_string())?;
    drop(handed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        // Whoever stops the whole group means the supervisor, and this process follows it.
        let _terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
        let link = link.into_async().map_err(|e| e.to_string())?;
        while let Ok(Some(_)) = link.receive().await {}
        Ok(())
    })
}
