//! Stations: whom the client belongs to, the choice of a server, and the queue.

use proxy_backend::Pick;
use proxy_wire::cookie;
use tokio::sync::oneshot;

use super::rules::exchange;
use super::state::{CookieSeen, Running, Step, Stream};
use super::termination::{At, By};
use crate::clock::now_ms;
use crate::connection::Ended;

/// Looks for the client's server: its cookie first, then the stick rules.
pub(super) fn find_persistence(stream: &mut Stream<'_>) {
    find_cookie(stream);
    find_stick(stream);
    // A client that a server knows by its connection stays there, as its next request must come by that.
    if stream.wanted.is_none()
        && let Some(backend) = stream.backend
    {
        let bound = stream.session.bound_server(backend);
        stream.wanted =
            bound.filter(|s| stream.session.core.shared.backends[backend].servers()[*s].takes_new());
    }
}

fn find_cookie(stream: &mut Stream<'_>) {
    let shared = stream.shared();
    let Some(backend) = stream.backend else { return };
    let settings = &shared.config.backends[backend];
    let Some(option) = &settings.cookie else { return };
    let head = &mut stream.scratch.request;
    let Some(value) = cookie::find(head, option.name.as_bytes()) else {
        stream.cookie_seen = CookieSeen::None;
        return;
    };
    let named =
        settings.servers.iter().position(|s| s.cookie.as_deref().is_some_and(|c| c.as_bytes() == value));
    stream.cookie_seen = match named {
        None => CookieSeen::Invalid,
        Some(server) if shared.backends[backend].servers()[server].takes_persistent() => {
            stream.wanted = Some(server);
            CookieSeen::Valid
        }
        Some(_) => CookieSeen::Down,
    };
    if option.indirect {
        cookie::remove(head, option.name.as_bytes());
    }
}

fn find_stick(stream: &mut Stream<'_>) {
    let shared = stream.shared();
    let Some(backend) = stream.backend else { return };
    let settings = &shared.config.backends[backend];
    for (index, rule) in settings.stick.iter().enumerate() {
        let view = Running(&shared);
        let mut exchange = exchange(stream);
        if !rule.applies(&settings.acls, &mut exchange, &view) {
            continue;
        }
        let found = if rule.matches() { rule.lookup(&exchange, &view) } else { None };
        if rule.stores() {
            stream.sticks.push(index);
        }
        if stream.wanted.is_none()
            && let Some(stuck) = found
            && let named = settings.servers.iter().position(|s| Some(&*s.name) == stuck.name.as_deref())
            && let Some(server) = named.or_else(|| settings.servers.iter().position(|s| s.id == stuck.id))
            && shared.backends[backend].servers()[server].takes_persistent()
        {
            stream.wanted = Some(server);
        }
    }
}

/// Takes a place on a server, waiting for one if all are full.
pub(super) async fn choose(stream: &mut Stream<'_>) -> Step {
    let shared = stream.shared();
    let Some(backend) = stream.backend else { return Ok(()) };
    let decisions = &shared.backends[backend];
    let pick = match stream.wanted {
        Some(server) if stream.avoid != Some(server) => match decisions.pick_server(server) {
            Pick::Nobody => shared.pick(backend, stream.session.source.ip(), stream.avoid),
            pick @ (Pick::Server(_) | Pick::Wait(_)) => pick,
        },
        _ => shared.pick(backend, stream.session.source.ip(), stream.avoid),
    };
    let server = match pick {
        Pick::Server(server) => server,
        Pick::Wait(server) => queue(stream, server).await?,
        Pick::Nobody => {
            return Err(Stream::error(503, By::Server, At::Connect));
        }
    };
    let now = now_ms();
    stream.server = Some(server);
    stream.holds_place = true;
    stream.times.dequeued = Some(now);
    stream.session.mark.server.set(Some(server));
    let core = &stream.session.core.counters;
    core.backends[backend].chosen.add(1);
    let counters = &core.servers[backend][server];
    counters.current.add(1);
    counters.most.raise(decisions.servers()[server].sessions().into());
    counters.sessions.add(1);
    counters.chosen.add(1);
    shared.hit(&counters.session_rate, now, |c| &c.servers[backend][server].session_rate);
    counters.last_session_ms.set(now);
    Ok(())
}

async fn queue(stream: &mut Stream<'_>, server: Option<usize>) -> Result<usize, super::state::Stop> {
    let shared = stream.shared();
    let backend = stream.backend.unwrap_or(0);
    let timeouts = &shared.config.backends[backend].timeouts;
    stream.arm(timeouts.queue.or(timeouts.connect));
    let place = shared.backends[backend].waiting_for(server) as u64 + 1;
    let counters = &stream.session.core.counters;
    match server {
        Some(server) => counters.servers[backend][server].most_waiting.raise(place),
        None => counters.backends[backend].most_waiting.raise(place),
    }
    let (waker, called) = oneshot::channel();
    let full = |_| Stream::error(503, By::Server, At::Queue);
    let ticket = shared.backends[backend].enter(server, waker).map_err(full)?;
    // A place may have become free between the choice and the queue.
    shared.hand_out(backend);
    let mut called = std::pin::pin!(called);
    let timer = &stream.session.timer;
    let outcome = std::future::poll_fn(|cx| match called.as_mut().poll(cx) {
        std::task::Poll::Pending if timer.expired(now_ms()) => std::task::Poll::Ready(Err(Ended::TimedOut)),
        std::task::Poll::Pending => std::task::Poll::Pending,
        std::task::Poll::Ready(place) => std::task::Poll::Ready(Ok(place)),
    })
    .await;
    match outcome {
        Ok(Ok(called)) => {
            stream.queues[usize::from(server.is_none())] = place;
            Ok(called)
        }
        Ok(Err(_)) | Err(_) => {
            stream.times.dequeued = Some(now_ms());
            if !shared.backends[backend].leave(ticket)
                && let Ok(server) = called.as_mut().try_recv_place()
            {
                // Called in the very moment of giving up: the place goes to the next.
                shared.release(backend, server);
            }
            Err(Stream::error(503, By::ServerTimeout, At::Queue))
        }
    }
}

trait TryPlace {
    fn try_recv_place(self) -> Result<usize, oneshot::error::TryRecvError>;
}

impl TryPlace for std::pin::Pin<&mut oneshot::Receiver<usize>> {
    fn try_recv_place(self) -> Result<usize, oneshot::error::TryRecvError> {
        self.get_mut().try_recv()
    }
}
