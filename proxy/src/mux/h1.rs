//! HTTP/1 on the client's side: one stream after the other until one of them ends the session.
//! Between two streams the session is idle: no buffer, no stream, only a timer.

use crate::advance::Advance;
use crate::clock::now_ms;
use crate::session::{self, Session};
use crate::stream::{self, After};

/// Runs streams until the connection ends.
pub(crate) async fn run(session: &mut Session) {
    let mut first = true;
    let mut advance = Advance::default();
    loop {
        advance.assert(|| {
            (session.client.received(), session.client.input().len(), session.mark.requests.get())
        });
        let idle_since_ms = now_ms();
        if session.client.input().is_empty() {
            let timeouts = &session.settings().timeouts;
            let wait = if first {
                timeouts.http_request.or(timeouts.client)
            } else {
                timeouts.http_keep_alive.or(timeouts.http_request).or(timeouts.client)
            };
            session.timer.set(wait.map(|t| idle_since_ms + stream::millis(t)));
            let Session { client, core, timer, .. } = session;
            match client.fill(core, timer).await {
                Ok(_) => {}
                Err(ended) => {
                    if first {
                        Box::pin(stream::finish_without_request(session, &ended)).await;
                    }
                    return;
                }
            }
        }
        // Boxed: an idle session must not carry the room a running stream needs.
        match Box::pin(stream::run(session, first)).await {
            After::KeepAlive => first = false,
            After::Close => return,
            After::Drain => return session::drain(session).await,
        }
    }
}
