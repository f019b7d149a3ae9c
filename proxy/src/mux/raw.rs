//! Mode tcp: the whole connection is one stream of bytes.

use crate::session::{self, Session};
use crate::stream::{self, After};

/// Relays the connection to a server until both sides have ended.
pub(crate) async fn run(session: &mut Session) {
    match Box::pin(stream::run_tcp(session)).await {
        After::KeepAlive | After::Close => {}
        After::Vanish => session.vanish(),
        After::Drain => session::drain(session).await,
    }
}
