//! The end of every stream, whatever ended it: the last words to the client, the counters, the log
//! line, and the server connection's way back to the idle ones.

use proxy_config::model::HttpReuse;
use proxy_table::DataType;
use proxy_wire::h1::Body;

use super::reply;
use super::state::{After, Step, Stop, Stream};
use super::termination::{At, By, Termination};
use crate::clock::now_ms;
use crate::connection::Ended;
use crate::log;
use crate::session::{CLIENT_ERROR, Session};
use crate::watchdog::Station;

/// Finishes a stream and says what becomes of its session.
pub(super) async fn finish(stream: &mut Stream<'_>, step: Step) -> After {
    stream.enter(Station::Finish);
    match &step {
        Err(Stop::Reply(reply, _)) if reply.is_redirect => {}
        Err(Stop::Error(..) | Stop::Reply(..)) => reply::pass_over_body(stream),
        Ok(()) | Err(Stop::Close(_) | Stop::Vanish(_)) => {}
    }
    if is_refused(stream, &step) {
        stream.count_tracked(&CLIENT_ERROR);
    }
    let unread = reply::is_unread(stream);
    let (after, termination) = match step {
        Ok(()) if complete(stream) => (After::KeepAlive, Termination::default()),
        Ok(()) => (if unread { After::Drain } else { After::Close }, Termination::default()),
        Err(Stop::Error(_, termination)) if stream.response_head_sent => (After::Close, termination),
        Err(Stop::Error(status, termination)) => {
            let mut out = stream.session.core.store.borrow_mut().take_output();
            stream.status = Some(status);
            let keeps = reply::error(stream, status, &mut out);
            (say(stream, out, keeps, unread).await, termination)
        }
        Err(Stop::Reply(reply, termination)) => {
            let mut out = stream.session.core.store.borrow_mut().take_output();
            stream.status = Some(reply.status);
            let keeps = reply::rule(stream, &reply, &mut out);
            (say(stream, out, keeps, unread).await, termination)
        }
        Err(Stop::Vanish(termination)) => (After::Vanish, termination),
        Err(Stop::Close(termination)) => {
            let refused = matches!(termination.by, By::Proxy | By::Local);
            (if refused && unread { After::Drain } else { After::Close }, termination)
        }
    };
    settle(stream, termination);
    after
}

/// Whether a rule refused the request with an answer. One that never became a request has been counted before.
fn is_refused(stream: &Stream<'_>, step: &Step) -> bool {
    let Err(Stop::Error(_, end) | Stop::Reply(_, end)) = step else { return false };
    stream.times.requested.is_some() && end.by == By::Proxy && matches!(end.at, At::Request | At::Tarpit)
}

/// Counters, the log line, and the place on the server.
fn settle(stream: &mut Stream<'_>, termination: Termination) {
    if let Some(mut upload) = stream.upload.take() {
        stream.bytes_in += upload.body_bytes;
        stream.session.core.store.borrow_mut().give_output(upload.take_unsent());
    }
    count(stream, termination);
    if stream.times.requested.is_some() {
        let (received, sent) = (stream.bytes_in, stream.bytes_out);
        stream.count_tracked(&[
            (DataType::BytesInCnt, received),
            (DataType::BytesInRate, received),
            (DataType::BytesOutCnt, sent),
            (DataType::BytesOutRate, sent),
        ]);
    }
    if stream.times.requested.is_some() && stream.times.forwarded.is_none() {
        // One that a rule has answered is shown with its cookie, too.
        super::capture::request_cookie(stream);
    }
    (stream.termination, stream.is_over) = (termination, true);
    // First the connection, then its place: a server with a limit never has more of them.
    if let Some(mut upstream) = stream.upstream.take() {
        upstream.retire(&mut stream.session.core.store.borrow_mut());
    }
    // The line tells of the others: this one has ended.
    stream.release_place();
    stream.leave_backend();
    log::stream(stream);
}

/// A whole response was sent: keeps what can be used again. Says whether the client's connection can.
fn complete(stream: &mut Stream<'_>) -> bool {
    let uploaded = reply::is_uploaded(stream);
    let place = stream.backend.zip(stream.server);
    if stream.server_keeps
        && uploaded
        && let (Some(mut upstream), Some((backend, server))) = (stream.upstream.take(), place)
    {
        upstream.set_proven(stream.reused);
        let never = stream.backend_settings().reuse == HttpReuse::Never;
        if never || upstream.is_private() {
            stream.session.keep_private(backend, server, upstream);
        } else {
            let core = &stream.session.core;
            let used = core.counters.servers[backend][server].current.read();
            core.idle.borrow_mut().give((backend, server), upstream, used, now_ms());
        }
    }
    stream.client_keeps && uploaded && !matches!(stream.response_body, Body::Tunnel)
}

/// Sends a reply of our own; what becomes of the session then. A client that does not take it in time is left.
async fn say(stream: &mut Stream<'_>, out: Vec<u8>, keeps: bool, unread: bool) -> After {
    let timeout = stream.frontend().timeouts.client.map(super::millis);
    let length = out.len() as u64;
    let session = &mut *stream.session;
    let sent = session.client.send(&out, &mut session.timer, timeout).await.is_ok();
    session.core.store.borrow_mut().give_output(out);
    stream.bytes_out += length;
    match (sent, keeps, unread) {
        (true, true, _) => After::KeepAlive,
        (true, false, true) => After::Drain,
        (true, false, false) | (false, _, _) => After::Close,
    }
}

fn count(stream: &Stream<'_>, termination: Termination) {
    let now = now_ms();
    let core = &stream.session.core.counters;
    let front = &core.frontends[stream.session.frontend];
    front.bytes_in.add(stream.bytes_in);
    front.bytes_out.add(stream.bytes_out);
    let status = stream.status.unwrap_or(0);
    front.classes.hit(status);
    let Some(backend) = stream.backend else { return };
    core.backends[backend].classes.hit(status);
    let of_server = stream.server.map(|server| &core.servers[backend][server]);
    for counters in std::iter::once(&core.backends[backend]).chain(of_server) {
        counters.bytes_in.add(stream.bytes_in);
        counters.bytes_out.add(stream.bytes_out);
        match termination.by {
            By::Client | By::ClientTimeout => counters.client_aborts.add(1),
            By::Server | By::ServerTimeout if termination.at == At::Data => counters.server_aborts.add(1),
            By::Nobody | By::Server | By::ServerTimeout | By::Proxy | By::Local => {}
        }
        let times = stream.times;
        let since = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| b.saturating_sub(a));
        // What a server has not answered says nothing of its times.
        let (Some(connect), Some(response)) =
            (since(times.dequeued, times.connected), since(times.connected, times.responded))
        else {
            continue;
        };
        counters.queue_ms.hit(since(times.forwarded, times.dequeued).unwrap_or(0));
        counters.connect_ms.hit(connect);
        counters.response_ms.hit(response);
        counters.total_ms.hit(now.saturating_sub(times.began));
    }
}

/// A connection that ended, or was too slow, before it sent a byte.
pub(crate) async fn finish_without_request(session: &mut Session, ended: &Ended) {
    let mut scratch = session.core.lend();
    let mut stream = Stream::new(session, &mut scratch, true);
    stream.scratch.line.clear();
    stream.scratch.line.extend_from_slice(b"<BADREQ>");
    let (status, termination) = match ended {
        Ended::TimedOut => (408, Termination::new(By::ClientTimeout, At::Request)),
        Ended::Closed | Ended::Failed(_) => (400, Termination::new(By::Client, At::Request)),
    };
    stream.session.count_bad_request(!matches!(ended, Ended::TimedOut));
    stream.session.core.counters.frontends[stream.session.frontend].classes.hit(status);
    if !matches!(ended, Ended::Failed(_)) {
        let mut out = stream.session.core.store.borrow_mut().take_output();
        reply::error(&stream, status, &mut out);
        // Whether it was taken or not, the session is over.
        let _ = say(&mut stream, out, false, false).await;
    }
    stream.status = Some(status);
    stream.termination = termination;
    log::stream(&mut stream);
    drop(stream);
    session.core.take_back(scratch);
}
