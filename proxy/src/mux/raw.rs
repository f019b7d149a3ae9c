//! Mode tcp: the whole connection is one stream of bytes.

use crate::session::Session;
use crate::stream;

/// Relays the connection to a server until both sides have ended.
pub(crate) async fn run(session: &mut Session) {
    Box::pin(stream::run_tcp(session)).await;
}
