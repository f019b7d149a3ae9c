//! Stations: whom the client belongs to, the choice of a server, and the queue.

use std::num::NonZeroU32;

use proxy_backend::Pick;
use proxy_backend::balance::{self, HashOf};
use proxy_config::model::CookieMode;
use proxy_wire::cookie;
use tokio::sync::oneshot;

use super::rules::exchange;
use super::state::{CookieSeen, Running, Step, Stop, Stream};
use super::termination::{At, By};
use crate::clock::{epoch_seconds, now_ms};
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
    let name = option.name.as_bytes();
    let Some(value) = cookie::find(&stream.scratch.request, name).map(<[u8]>::to_vec) else {
        stream.cookie_seen = CookieSeen::None;
        return;
    };
    let parts = |mark: u8| value.split(move |byte| *byte == mark);
    let mut own = value.as_slice();
    if option.mode == CookieMode::Prefix {
        own = parts(cookie::PREFIX_MARK).next().unwrap_or_default();
    } else {
        let mut parts = parts(cookie::DATE_MARK);
        own = parts.next().unwrap_or(own);
        let units = |date: u64| u32::try_from(date >> 2).ok().and_then(NonZeroU32::new);
        let dates = [parts.next(), parts.next()].map(|date| date.and_then(cookie::read_date));
        stream.cookie_dates = dates.map(|date| date.and_then(units));
    }
    let now = epoch_seconds();
    let [last, first] = stream.cookie_dates;
    stream.cookie_seen = if is_over(first, option.maxlife, now) {
        CookieSeen::Old
    } else if is_over(last, option.maxidle, now) {
        CookieSeen::Expired
    } else {
        CookieSeen::Invalid
    };
    if stream.cookie_seen != CookieSeen::Invalid {
        stream.cookie_dates = [None; 2];
        own = b"";
    }
    // Several servers may share a value: the first that works is meant.
    for (index, server) in settings.servers.iter().enumerate() {
        let is_named = server.cookie.as_deref().is_some_and(|c| c.as_bytes() == own) && !own.is_empty();
        if is_named && shared.backends[backend].servers()[index].takes_persistent() {
            stream.cookie_seen = CookieSeen::Valid;
            stream.wanted = Some(index);
            break;
        } else if is_named {
            stream.cookie_seen = CookieSeen::Down;
        }
    }
    let head = &mut stream.scratch.request;
    if option.mode == CookieMode::Prefix {
        cookie::cut_prefix(head, name);
    } else if option.mode == CookieMode::Insert && option.indirect {
        cookie::remove(head, name);
    }
}

/// A cookie whose date lies further ahead than this, in seconds, does not count: a clock that was set wrong is forgiven.
const MAX_AHEAD: u64 = 86_400;

/// The seconds of a cookie's date.
pub(super) fn seconds(date: NonZeroU32) -> u64 {
    u64::from(date.get()) << 2
}

/// Whether a cookie's date is too long ago, or too far ahead.
fn is_over(date: Option<NonZeroU32>, most: Option<u64>, now: u64) -> bool {
    let Some((date, most)) = date.zip(most) else { return false };
    let date = seconds(date);
    now.saturating_sub(date) > most || date.saturating_sub(now) > MAX_AHEAD
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

/// Takes a place on a server, waiting for one if all are full. `before`: the server of an attempt that failed.
pub(super) async fn choose(stream: &mut Stream<'_>, mut before: Option<usize>) -> Step {
    let Some(backend) = stream.backend else { return Ok(()) };
    let server = loop {
        match pick(stream, backend) {
            Pick::Server(server) => break server,
            Pick::Nobody => {
                stream.session.core.counters.backends[backend].connect_errors.add(1);
                return Err(Stream::error(503, By::Server, At::Connect));
            }
            Pick::Wait(wanted) => match queue(stream, wanted).await? {
                Some(server) => break server,
                None => {
                    before = wanted;
                    leave_server(stream);
                }
            },
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
    counters.most.raise(stream.session.core.shared.backends[backend].servers()[server].sessions().into());
    counters.chosen.add(1);
    if let Some(before) = before {
        if before == server {
            counters.retries.add(1);
            core.backends[backend].retries.add(1);
        } else {
            core.servers[backend][before].redispatches.add(1);
            core.backends[backend].redispatches.add(1);
            stream.redispatched = true;
            leave_server(stream);
        }
    }
    Ok(())
}

/// The client belongs to no server any more.
fn leave_server(stream: &mut Stream<'_>) {
    stream.wanted = None;
    if stream.cookie_seen == CookieSeen::Valid {
        stream.cookie_seen = CookieSeen::Down;
    }
}

fn pick(stream: &mut Stream<'_>, backend: usize) -> Pick {
    let shared = stream.shared();
    if let Some(server) = stream.wanted {
        match shared.backends[backend].pick_server(server) {
            Pick::Nobody => leave_server(stream),
            pick @ (Pick::Server(_) | Pick::Wait(_)) => return pick,
        }
    }
    shared.backends[backend].pick(hash(stream), stream.avoid.map(|avoid| avoid as usize))
}

/// The hash that decides, where one does and there is something to hash.
fn hash(stream: &Stream<'_>) -> Option<u32> {
    let balance = &stream.backend_settings().balance;
    let request = &stream.scratch.request;
    match balance.algorithm.hash_of? {
        HashOf::Source => Some(balance::source_hash(stream.session.source.ip())),
        HashOf::Uri if balance.uri.path_only => {
            Some(balance::uri_hash(request.path_and_query(), balance.uri))
        }
        HashOf::Uri => Some(balance::uri_hash(request.target(), balance.uri)),
        HashOf::UrlParam => balance::param_hash(request.target(), balance.name.as_bytes()),
        HashOf::Header => {
            // The first of the values that commas part.
            let field = request.first(balance.name.as_bytes())?;
            let value = field.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
            balance::header_hash(value, balance.use_domain_only)
        }
    }
}

/// Waits for a place. `None`: for the server that is waited for there will be none, and the client may go to another.
async fn queue(stream: &mut Stream<'_>, server: Option<usize>) -> Result<Option<usize>, Stop> {
    let shared = stream.shared();
    let backend = stream.backend.unwrap_or(0);
    let settings = &shared.config.backends[backend];
    stream.arm(settings.timeouts.queue.or(settings.timeouts.connect));
    let place = shared.backends[backend].waiting_for(server) as u64 + 1;
    let counters = &stream.session.core.counters;
    match server {
        Some(server) => counters.servers[backend][server].most_waiting.raise(place),
        None => counters.backends[backend].most_waiting.raise(place),
    }
    let (waker, called) = oneshot::channel();
    let Ok(ticket) = shared.backends[backend].enter(server, waker) else {
        if server.is_some() && server == stream.wanted && settings.redispatch.is_some() {
            return Ok(None);
        }
        count_failure(stream, server);
        return Err(Stream::error(503, By::Server, At::Queue));
    };
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
                && let Ok(Some(server)) = called.as_mut().try_recv_place()
            {
                // Called in the very moment of giving up: the place goes to the next.
                shared.release(backend, server);
            }
            count_failure(stream, server);
            Err(Stream::error(503, By::ServerTimeout, At::Queue))
        }
    }
}

/// Counts a request that got no server: for the one that it waited for, and for the backend.
fn count_failure(stream: &mut Stream<'_>, server: Option<usize>) {
    stream.server = server;
    let Some(backend) = stream.backend else { return };
    let counters = &stream.session.core.counters;
    counters.backends[backend].connect_errors.add(1);
    if let Some(server) = server {
        counters.servers[backend][server].connect_errors.add(1);
    }
}

trait TryPlace {
    fn try_recv_place(self) -> Result<Option<usize>, oneshot::error::TryRecvError>;
}

impl TryPlace for std::pin::Pin<&mut oneshot::Receiver<Option<usize>>> {
    fn try_recv_place(self) -> Result<Option<usize>, oneshot::error::TryRecvError> {
        self.get_mut().try_recv()
    }
}
