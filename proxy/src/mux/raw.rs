//! Mode tcp: the whole connection is one stream of bytes, unless a backend in mode http is chosen for it.

use super::h1;
use crate::session::{self, Session};
use crate::stream::{self, After};

/// Relays the connection to a server until both sides have ended.
pub(crate) async fn run(session: &mut Session) {
    match Box::pin(stream::run_tcp(session)).await {
        // Only what has become HTTP is kept.
        After::KeepAlive if session.speaks_http => h1::run(session, false).await,
        After::KeepAlive | After::Close => {}
        After::Vanish => session.vanish(),
        After::Drain => session::drain(session).await,
    }
}
