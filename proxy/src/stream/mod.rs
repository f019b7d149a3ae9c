//! The life of a request, in order. This file is the map: each station is a file of its own, decides
//! by pure calls, and returns what ends the stream. There is one place that finishes.

mod capture;
mod connect;
mod finish;
pub(crate) mod flow;
mod pump;
mod relay;
mod reply;
mod request;
mod response;
mod rules;
mod server;
mod sides;
mod state;
mod statistics;
mod tcp;
mod termination;

use std::time::Duration;

pub(crate) use finish::finish_without_request;
pub(crate) use rules::{Admission, Layer4, exchange, layer4};
pub(crate) use state::{After, Running, Scratch, Stream};
pub(crate) use tcp::run_tcp;

use crate::clock::now_ms;
use crate::log;
use crate::session::Session;
use crate::watchdog::Station;
use state::Step;

/// Runs one exchange, from the first byte of its request to its log line.
pub(crate) async fn run(session: &mut Session, first: bool) -> After {
    let mut scratch = session.core.lend();
    let mut stream = Stream::new(session, &mut scratch, first);
    let step = walk(&mut stream).await;
    let after = finish::finish(&mut stream, step).await;
    drop(stream);
    session.turn_ms = now_ms();
    session.core.take_back(scratch);
    after
}

async fn walk(stream: &mut Stream<'_>) -> Step {
    stream.enter(Station::Request);
    request::read_head(stream).await?;
    stream.enter(Station::Rules);
    log::begin(stream);
    capture::request(stream);
    if let Err(stop) = rules::frontend_content(stream).await {
        // What these rules refuse has not been looked at as a request, as in HAProxy.
        request::forget_line(stream);
        return Err(stop);
    }
    request::count(stream);
    rules::frontend(stream).await?;
    statistics::of_frontend(stream).await?;
    rules::choose_backend(stream)?;
    to_backend(stream).await
}

/// The stations from the choice of a backend on.
async fn to_backend(stream: &mut Stream<'_>) -> Step {
    rules::backend_content(stream).await?;
    rules::backend(stream).await?;
    statistics::of_backend(stream).await?;
    capture::request_cookie(stream);
    stream.times.forwarded = Some(now_ms());
    stream.enter(Station::Server);
    server::find_persistence(stream);
    loop {
        server::choose(stream, None).await?;
        stream.enter(Station::Connect);
        connect::connect(stream).await?;
        stream.enter(Station::Exchange);
        if relay::send_request(stream).await? {
            break;
        }
    }
    stream.enter(Station::Response);
    response::count(stream);
    capture::response(stream);
    response::prepare(stream).await?;
    stream.enter(Station::Relay);
    relay::relay(stream).await
}

/// A timeout of the configuration in the unit of the core's clock.
pub(crate) fn millis(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
}
