//! Stations: the frontend's rules, the choice of the backend, the backend's rules.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use proxy_config::model::{BackendChoice, ForwardFor, Mode};
use proxy_rules::{AclSet, Exchange, Final, LogFacts, Ruleset, Verdict, Wait};
use proxy_wire::h1::Body;

use super::capture;
use super::state::{Running, Step, Stop, Stream};
use super::termination::{At, By, Termination};
use crate::address_text::AddressText;
use crate::clock::now_ms;
use crate::core::Core;
use crate::session::Slots;

/// Runs the frontend's `tcp-request content` rules.
pub(super) async fn frontend_content(stream: &mut Stream<'_>) -> Step {
    let shared = stream.shared();
    let settings = &shared.config.frontends[stream.session.frontend];
    run(stream, &settings.tcp_request_content, &settings.acls, Of::Content(settings.timeouts.inspect)).await
}

/// Runs the backend's `tcp-request content` rules.
pub(super) async fn backend_content(stream: &mut Stream<'_>) -> Step {
    let shared = stream.shared();
    let settings = &shared.config.backends[stream.backend.unwrap_or(0)];
    if !stream.meets_backend_rules() {
        return Ok(());
    }
    run(stream, &settings.tcp_request_content, &settings.acls, Of::Content(settings.timeouts.inspect)).await
}

/// Runs the frontend's `http-request` rules.
pub(super) async fn frontend(stream: &mut Stream<'_>) -> Step {
    let shared = stream.shared();
    let settings = &shared.config.frontends[stream.session.frontend];
    run(stream, &settings.http_request, &settings.acls, Of::Request(settings.timeouts.tarpit)).await?;
    run(stream, &settings.redirects, &settings.acls, Of::Request(None)).await
}

/// Runs the backend's `http-request` rules and adds what options of either side add.
pub(super) async fn backend(stream: &mut Stream<'_>) -> Step {
    let shared = stream.shared();
    let settings = &shared.config.backends[stream.backend.unwrap_or(0)];
    if stream.meets_backend_rules() {
        run(stream, &settings.http_request, &settings.acls, Of::Request(settings.timeouts.tarpit)).await?;
        run(stream, &settings.redirects, &settings.acls, Of::Request(None)).await?;
    }
    let front = &shared.config.frontends[stream.session.frontend];
    forward_for(stream, settings.forward_for.as_ref(), front.forward_for.as_ref());
    Ok(())
}

/// Runs the `http-response` rules of the backend, then of the frontend.
pub(super) async fn response(stream: &mut Stream<'_>) -> Step {
    let shared = stream.shared();
    if stream.meets_backend_rules() {
        let settings = &shared.config.backends[stream.backend.unwrap_or(0)];
        run(stream, &settings.http_response, &settings.acls, Of::Response).await?;
    }
    let front = &shared.config.frontends[stream.session.frontend];
    run(stream, &front.http_response, &front.acls, Of::Response).await
}

/// Follows the first `use_backend` whose condition holds, else `default_backend`.
pub(super) fn choose_backend(stream: &mut Stream<'_>) -> Step {
    let shared = stream.shared();
    let settings = &shared.config.frontends[stream.session.frontend];
    let mut chosen = settings.default_backend.map(|id| id.0 as usize);
    if !settings.use_backend.is_empty() {
        let view = Running(&shared);
        let mut exchange = exchange(stream);
        for rule in &settings.use_backend {
            if rule.condition.as_ref().is_none_or(|c| c.holds(&settings.acls, &mut exchange, &view)) {
                chosen = match &rule.backend {
                    BackendChoice::Id(id) => Some(id.0 as usize),
                    BackendChoice::Dynamic(format) => {
                        let name = format.evaluate(&exchange, &view);
                        shared.backends.iter().position(|b| b.name.as_bytes() == name)
                    }
                }
                .or(chosen);
                break;
            }
        }
    }
    let Some(backend) = chosen else {
        return Err(Stream::error(503, By::Server, At::Connect));
    };
    if stream.session.speaks_http && shared.config.backends[backend].mode == Mode::Tcp {
        // One that a name of the request chose: those that the file names are refused when it is read.
        return Err(Stream::error(500, By::Proxy, At::Request));
    }
    let now = now_ms();
    stream.backend = Some(backend);
    stream.session.mark.backend.set(Some(backend));
    let counters = &stream.session.core.counters.backends[backend];
    counters.current.add(1);
    let current = counters.current.read();
    shared.raise_most(current, &counters.peak, &counters.most, |c| &c.backends[backend].current);
    counters.sessions.add(1);
    counters.requests.add(1);
    shared.hit(&counters.session_rate, now, |c| &c.backends[backend].session_rate);
    counters.last_session_ms.set(now);
    stream.counts_in_backend = true;
    Ok(())
}

/// A connection before there is a stream.
pub(crate) struct Layer4<'l> {
    pub(crate) core: &'l Core,
    pub(crate) frontend: usize,
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) ssl: bool,
}

/// What rules say of a connection or a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may go on.
    Granted,
    /// It is closed.
    Refused,
    /// It is left without a word.
    Dropped,
}

/// Runs rules of a connection or a session, which never wait.
pub(crate) fn layer4(connection: &Layer4<'_>, rules: &Ruleset, slots: &mut Slots) -> Admission {
    let shared = &connection.core.shared;
    let settings = &shared.config.frontends[connection.frontend];
    let mut exchange = Exchange {
        now_ms: now_ms(),
        client: connection.client,
        local: connection.local,
        ssl: connection.ssl,
        frontend: &settings.name,
        backend: "",
        server: "",
        request: None,
        response: None,
        tracked: slots,
        received: 0,
        is_final: true,
        may_change: Cell::new(false),
        facts: LogFacts {
            accepted: now_ms(),
            termination: *b"--",
            cookie: *b"--",
            place: (connection.frontend, None, None),
            ..LogFacts::default()
        },
    };
    match rules.eval(0, &settings.acls, &mut exchange, &Running(shared)) {
        Verdict::Done | Verdict::Stop(Final::Allow) => Admission::Granted,
        Verdict::Stop(Final::Drop) => Admission::Dropped,
        Verdict::Suspend { .. } | Verdict::Stop(_) => Admission::Refused,
    }
}

/// What rules see of this stream.
pub(crate) fn exchange<'e>(stream: &'e mut Stream<'_>) -> Exchange<'e> {
    let Stream { session, scratch, tracked, backend, server, status, bytes_in, .. } = stream;
    let shared = &session.core.shared;
    let settings = &shared.config.frontends[session.frontend];
    let (times, captured) = (stream.times, stream.captured.as_deref());
    // A request that a rule has answered was whole, too.
    let ended = stream.is_over;
    let option = backend.and_then(|b| shared.config.backends[b].cookie.as_ref());
    let facts = LogFacts {
        accepted: times.accepted,
        handshake_ms: if stream.first { session.handshake_ms } else { 0 },
        began: (settings.mode == Mode::Http).then_some(times.began),
        requested: times.forwarded.or(times.requested.filter(|_| ended && times.tarpitted.is_none())),
        tarpitted: times.tarpitted,
        dequeued: times.dequeued,
        connected: times.connected,
        responded: times.responded,
        status: status.or((settings.mode == Mode::Tcp).then_some(0)),
        bytes_out: stream.bytes_out,
        bytes_in: *bytes_in,
        termination: [stream.termination.by.letter(), stream.termination.at.letter()],
        cookie: Stream::cookie_letters(option, stream.cookie_seen, stream.cookie_done),
        applet: stream.applet,
        place: (session.frontend, *backend, *server),
        retries: stream.retries,
        redispatched: stream.redispatched,
        queues: stream.queues,
        request: &scratch.line,
        request_headers: captured.map_or(&[], |c| &c.request),
        response_headers: captured.map_or(&[], |c| &c.response),
        cookies: [0, 1].map(|side| captured.and_then(|c| c.cookies[side].as_deref())),
    };
    let backend = backend.map(|b| &shared.config.backends[b]);
    Exchange {
        now_ms: now_ms(),
        client: session.source,
        local: session.local,
        ssl: session.client.is_tls(),
        frontend: &shared.config.frontends[session.frontend].name,
        backend: backend.map_or("", |b| &b.name),
        server: match (backend, *server) {
            (Some(b), Some(s)) => &b.servers[s].name,
            _ => "",
        },
        // A stream of mode tcp has no request.
        request: session.speaks_http.then_some(&mut scratch.request),
        response: status.is_some().then_some(&mut scratch.response),
        tracked,
        received: usize::try_from(*bytes_in)
            .unwrap_or(usize::MAX)
            .saturating_add(session.client.input().len()),
        is_final: true,
        may_change: Cell::new(false),
        facts,
    }
}

/// Whose rules are run, as far as that changes what becomes of their last word.
#[derive(Clone, Copy)]
enum Of {
    /// `tcp-request content`; how long it may wait for bytes.
    Content(Option<Duration>),
    /// `http-request`; how long an abuser waits in a tarpit.
    Request(Option<Duration>),
    /// `http-response`.
    Response,
}

/// Runs rules of a stream: the one place where a ruleset waits and is resumed.
async fn run(stream: &mut Stream<'_>, rules: &Ruleset, acls: &AclSet, of: Of) -> Step {
    if rules.is_empty() {
        return Ok(());
    }
    let shared = stream.shared();
    let mut cursor = 0;
    let mut inspected = match of {
        Of::Content(Some(delay)) if !is_whole(stream) => Inspected::Until(now_ms() + super::millis(delay)),
        Of::Content(_) | Of::Request(_) | Of::Response => Inspected::Whole,
    };
    loop {
        let mut exchange = exchange(stream);
        exchange.is_final = matches!(inspected, Inspected::Whole);
        let verdict = rules.eval(cursor, acls, &mut exchange, &Running(&shared));
        match verdict {
            Verdict::Suspend { why: Wait::Data, cursor: next } => {
                cursor = next;
                inspected = more(stream, inspected).await;
            }
            Verdict::Done => return Ok(()),
            Verdict::Stop(last) => return stop(stream, last, of),
            Verdict::Suspend { why: Wait::Tarpit(reply), .. } => {
                let Of::Request(tarpit) = of else { return stop(stream, Final::Deny(reply), of) };
                capture::request_cookie(stream);
                stream.times.tarpitted = Some(now_ms());
                stream.rest(tarpit.unwrap_or(Duration::ZERO)).await;
                stream.times.dequeued = Some(now_ms());
                count_denied(stream);
                return Err(Stop::Reply(reply, Termination::new(By::Proxy, At::Tarpit)));
            }
            Verdict::Suspend { why: Wait::Pause(time), cursor: next } => {
                stream.rest(time).await;
                cursor = next;
            }
        }
    }
}

/// How much of what a client sends a ruleset can still be told.
#[derive(Clone, Copy)]
enum Inspected {
    /// More, until this time of the core's clock.
    Until(u64),
    /// Nothing more.
    Whole,
}

/// Whether a request is here to its end; a stream of mode tcp has none that could be known.
fn is_whole(stream: &Stream<'_>) -> bool {
    stream.session.speaks_http
        && match stream.request_body {
            Body::None => true,
            Body::Length(length) => stream.session.client.input().len() as u64 >= length,
            Body::Chunked | Body::UntilClose | Body::Tunnel => false,
        }
}

/// Waits for more of what the client sends.
async fn more(stream: &mut Stream<'_>, inspected: Inspected) -> Inspected {
    let Inspected::Until(deadline) = inspected else { return Inspected::Whole };
    let session = &mut *stream.session;
    session.timer.set(Some(deadline));
    if session.client.input_is_full() {
        return Inspected::Whole;
    }
    match session.client.fill(&session.core, &session.timer).await {
        Ok(_) if !is_whole(stream) => inspected,
        // The end, or the time: what is there is all.
        Ok(_) | Err(_) => Inspected::Whole,
    }
}

fn stop(stream: &mut Stream<'_>, last: Final, of: Of) -> Step {
    let at = if matches!(of, Of::Response) { At::Headers } else { At::Request };
    match (last, of) {
        (Final::Allow, _) => Ok(()),
        (Final::Drop, _) => {
            count_denied(stream);
            Err(Stop::Vanish(Termination::new(By::Proxy, at)))
        }
        (Final::Deny(_), Of::Content(_)) | (Final::Reject, _) => {
            count_denied(stream);
            Err(Stop::Close(Termination::new(By::Proxy, at)))
        }
        (Final::Deny(reply), Of::Request(_) | Of::Response) => {
            if matches!(of, Of::Response) {
                count_denied_response(stream);
            } else {
                // What is denied is logged with its cookie, as in HAProxy; what is answered otherwise is not.
                capture::request_cookie(stream);
                count_denied(stream);
            }
            Err(Stop::Reply(reply, Termination::new(By::Proxy, at)))
        }
        (Final::Reply(reply), _) => {
            let front = &stream.session.core.counters.frontends[stream.session.frontend];
            front.intercepted.add(1);
            Err(Stop::Reply(reply, Termination::new(By::Local, at)))
        }
        (Final::Fail, _) => {
            count_denied(stream);
            Err(Stream::error(500, By::Proxy, at))
        }
    }
}

fn count_denied(stream: &Stream<'_>) {
    let counters = &stream.session.core.counters;
    counters.frontends[stream.session.frontend].denied.add(1);
    if let Some(backend) = stream.backend {
        counters.backends[backend].denied.add(1);
    }
}

fn count_denied_response(stream: &Stream<'_>) {
    let counters = &stream.session.core.counters;
    counters.frontends[stream.session.frontend].denied_responses.add(1);
    if let Some(backend) = stream.backend {
        counters.backends[backend].denied_responses.add(1);
        if let Some(server) = stream.server {
            counters.servers[backend][server].denied_responses.add(1);
        }
    }
}

/// Adds the client's address where either side asks for it: under the name that the backend has for it, unless one of them
/// leaves this client out, and where each is content with a field that is there already, unless one is.
fn forward_for(stream: &mut Stream<'_>, back: Option<&ForwardFor>, front: Option<&ForwardFor>) {
    let Some(option) = back.or(front) else { return };
    let source = stream.session.source.ip();
    let mut both = [back, front].into_iter().flatten();
    if proxy_rules::is_unix_end(stream.session.source)
        || both.clone().any(|option| option.except.is_some_and(|network| network.contains(&source)))
    {
        return;
    }
    let head = &mut stream.scratch.request;
    if both.all(|option| option.if_none) && head.first(option.header.as_bytes()).is_some() {
        return;
    }
    let mut text = AddressText::default();
    head.add_clean(option.header.as_bytes(), text.of(source));
}
