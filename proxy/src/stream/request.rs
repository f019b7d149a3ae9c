//! Station: read the request's head.

use proxy_wire::h1::{self, Limits, Parsed};

use super::state::{Step, Stop, Stream};
use super::termination::{At, By};
use crate::advance::Advance;
use crate::clock::now_ms;
use crate::connection::Ended;
use crate::core::Core;

/// Bounds on a head.
pub(super) fn head_limits(core: &Core) -> Limits {
    let tuning = &core.shared.config.global.tuning;
    Limits {
        max_head: tuning.head(), // The first line counts, too.
        max_fields: tuning.fields - 1,
    }
}

/// Reads until the head is complete, malformed, too large, or too late.
pub(super) async fn read_head(stream: &mut Stream<'_>) -> Step {
    let timeouts = &stream.frontend().timeouts;
    let timeout = timeouts.http_request.or(timeouts.client);
    let began = if stream.first { stream.session.accepted_ms } else { stream.times.began };
    stream.session.timer.set(timeout.map(|t| began + super::millis(t)));
    let limits = head_limits(&stream.session.core);
    let mut advance = Advance::default();
    loop {
        advance.assert(|| stream.session.client.received());
        let session = &mut *stream.session;
        let input = session.client.input();
        match h1::parse_request(input, &limits, &mut stream.scratch.request) {
            Ok(Parsed::Complete(used)) => {
                keep_line(stream, used);
                stream.session.client.consume(used, &stream.session.core);
                stream.bytes_in += used as u64;
                break;
            }
            Ok(Parsed::Partial) if session.client.input_is_full() => return Err(refuse(stream, 400)),
            // What there is of it is in the buffer: while the rest is waited for, no copy is kept.
            Ok(Parsed::Partial) => stream.scratch.request = h1::Head::default(),
            Err(refusal) => return Err(refuse(stream, refusal.status())),
        }
        match session.client.fill(&session.core, &session.timer).await {
            Ok(_) => {}
            Err(Ended::TimedOut) => {
                keep_line(stream, 0);
                stream.session.count_bad_request(false);
                return Err(Stream::error(408, By::ClientTimeout, At::Request));
            }
            Err(Ended::Closed | Ended::Failed(_)) => {
                keep_line(stream, 0);
                stream.session.count_bad_request(true);
                return Err(Stream::error(400, By::Client, At::Request));
            }
        }
    }
    let now = now_ms();
    stream.times.requested = Some(now);
    stream.request_body = h1::request_body(&stream.scratch.request);
    stream.client_keeps = stream.scratch.request.keeps_alive();
    Ok(())
}

/// Counts a request that its frontend's `tcp-request content` rules let go on: what they refuse is none, as in HAProxy.
pub(super) fn count(stream: &Stream<'_>) {
    stream.session.core.counters.requests.add(1);
    stream.session.count_request();
    stream.session.mark.requests.set(stream.session.mark.requests.get() + 1);
}

fn refuse(stream: &mut Stream<'_>, status: u16) -> Stop {
    keep_line(stream, 0);
    stream.session.count_bad_request(true);
    Stream::error(status, By::Proxy, At::Request)
}

/// The log shows what was refused without being looked at as a request.
pub(super) fn forget_line(stream: &mut Stream<'_>) {
    keep_line(stream, 0);
}

/// Keeps the request line for the log: rules may change the head before it is written.
fn keep_line(stream: &mut Stream<'_>, used: usize) {
    let kept = &mut stream.scratch.line;
    kept.clear();
    if used == 0 {
        kept.extend_from_slice(b"<BADREQ>");
        return;
    }
    let head = stream.session.client.input();
    let line = head[..used].split(|b| *b == b'\n').find(|l| l.len() > 1).unwrap_or(b"");
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let most = stream.session.core.shared.config.global.tuning.logged_line;
    kept.extend_from_slice(&line[..line.len().min(most)]);
}
