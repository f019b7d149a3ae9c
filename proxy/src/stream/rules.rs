//! Stations: the frontend's rules, the choice of the backend, the backend's rules.

use std::time::Duration;

use proxy_config::model::{BackendChoice, ForwardFor};
use proxy_rules::{AclSet, Exchange, Final, Ruleset, Verdict, Wait};

use super::state::{Running, Step, Stop, Stream};
use super::termination::{At, By, Termination};
use crate::address_text::AddressText;
use crate::clock::now_ms;

/// Runs the frontend's `http-request` rules and adds what its options add.
pub(super) async fn frontend(stream: &mut Stream<'_>) -> Step {
    let shared = stream.shared();
    let settings = &shared.config.frontends[stream.session.frontend];
    run(stream, &settings.http_request, &settings.acls, settings.timeouts.tarpit).await
}

/// Runs the backend's `http-request` rules and adds what options of either side add.
pub(super) async fn backend(stream: &mut Stream<'_>) -> Step {
    let shared = stream.shared();
    let settings = &shared.config.backends[stream.backend.unwrap_or(0)];
    if stream.meets_backend_rules() {
        run(stream, &settings.http_request, &settings.acls, settings.timeouts.tarpit).await?;
    }
    let front = &shared.config.frontends[stream.session.frontend];
    let same = settings.forward_for.as_ref().or(front.forward_for.as_ref());
    if let Some(option) = same {
        forward_for(stream, option);
    }
    Ok(())
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
    let now = now_ms();
    stream.backend = Some(backend);
    stream.session.mark.backend.set(Some(backend));
    let counters = &stream.session.core.counters.backends[backend];
    counters.current.add(1);
    counters.most.raise(counters.current.read());
    counters.sessions.add(1);
    counters.requests.add(1);
    counters.session_rate.hit(now);
    counters.last_session_ms.set(now);
    Ok(())
}

/// What rules see of this stream.
pub(crate) fn exchange<'e>(stream: &'e mut Stream<'_>) -> Exchange<'e> {
    let Stream { session, scratch, tracked, backend, server, status, .. } = stream;
    let shared = &session.core.shared;
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
        request: Some(&mut scratch.request),
        response: status.is_some().then_some(&mut scratch.response),
        tracked,
    }
}

async fn run(stream: &mut Stream<'_>, rules: &Ruleset, acls: &AclSet, tarpit: Option<Duration>) -> Step {
    if rules.is_empty() {
        return Ok(());
    }
    let shared = stream.shared();
    let mut cursor = 0;
    loop {
        let verdict = rules.eval(cursor, acls, &mut exchange(stream), &Running(&shared));
        match verdict {
            Verdict::Done => return Ok(()),
            Verdict::Stop(last) => return stop(stream, last),
            Verdict::Suspend { why: Wait::Tarpit { status }, .. } => {
                rest(tarpit.unwrap_or(Duration::ZERO)).await;
                count_denied(stream);
                return Err(Stream::error(status, By::Proxy, At::Tarpit));
            }
            Verdict::Suspend { why: Wait::Pause(time), cursor: next } => {
                rest(time).await;
                cursor = next;
            }
        }
    }
}

/// Waits. Boxed: a timer of the runtime is large and wants whole cache lines, and every stream would carry
/// it.
async fn rest(time: Duration) {
    Box::pin(tokio::time::sleep(time)).await;
}

fn stop(stream: &mut Stream<'_>, last: Final) -> Step {
    match last {
        Final::Allow => Ok(()),
        Final::Deny { status } => {
            count_denied(stream);
            Err(Stream::error(status, By::Proxy, At::Request))
        }
        Final::Reply(reply) => {
            let front = &stream.session.core.counters.frontends[stream.session.frontend];
            front.intercepted.add(1);
            Err(Stop::Reply(reply, Termination::new(By::Local, At::Request)))
        }
        Final::Fail => Err(Stream::error(500, By::Proxy, At::Request)),
        Final::Drop | Final::Reject => {
            count_denied(stream);
            Err(Stop::Close(Termination::new(By::Proxy, At::Request)))
        }
    }
}

fn count_denied(stream: &Stream<'_>) {
    let counters = &stream.session.core.counters;
    match stream.backend {
        Some(backend) => counters.backends[backend].denied.add(1),
        None => counters.frontends[stream.session.frontend].denied.add(1),
    }
}

fn forward_for(stream: &mut Stream<'_>, option: &ForwardFor) {
    let source = stream.session.source.ip();
    if option.except.is_some_and(|network| network.contains(&source)) {
        return;
    }
    let head = &mut stream.scratch.request;
    if option.if_none && head.first(option.header.as_bytes()).is_some() {
        return;
    }
    let mut text = AddressText::default();
    head.add_clean(option.header.as_bytes(), text.of(source));
}
