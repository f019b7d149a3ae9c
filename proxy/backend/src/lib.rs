//! A backend's servers and every decision about them: which one is next (`balance/`), who is up
//! (`health`), who waits (`queue`). One object is shared by all cores; what is read per request is
//! atomic, and the plan a choice follows is rebuilt only when a server's state changes.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod backend;
pub mod balance;
mod health;
mod queue;
mod server;

pub use backend::{Backend, Pick, Settings};
pub use health::{Change, Health, HealthSettings, Outcome};
pub use queue::{MAX_QUEUED, Queue, Ticket};
pub use server::{Admin, Server, ServerSettings};
