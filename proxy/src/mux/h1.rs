//! HTTP/1 on the client's side: one stream after the other until one of them ends the session.
//! Between two streams the session is idle: no buffer, no stream, only a timer.

use crate::advance::Advance;
use crate::clock::now_ms;
use crate::session::{self, Session};
use crate::stream::{self, After};

/// Requests that were sent ahead and are answered in one turn before other clients get theirs.
const MAX_AHEAD: usize = 4;

/// Runs streams until the connection ends. `first`: it has had none yet.
pub(crate) async fn run(session: &mut Session, mut first: bool) {
    let mut ahead = 0;
    let mut advance = Advance::default();
    loop {
        advance.assert(|| {
            (session.client.received(), session.client.input().len(), session.mark.requests.get())
        });
        let idle_since_ms = now_ms();
        if !session.client.input().is_empty() {
            ahead += 1;
            if ahead == MAX_AHEAD {
                ahead = 0;
                tokio::task::yield_now().await;
            }
        } else {
            ahead = 0;
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
            After::Vanish => return session.vanish(),
            After::Drain => return session::drain(session).await,
        }
    }
}
