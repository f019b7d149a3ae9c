//! Mode tcp: the same stations without a request to read: rules, backend, server, relay. A backend in mode http makes HTTP of
//! the connection: its request is read then.

use proxy_config::model::Mode;

use super::flow::Flow;
use super::pump::pump;
use super::state::{After, Step, Stop, Stream};
use super::{connect, finish, request, rules, server};
use crate::clock::now_ms;
use crate::log;
use crate::session::Session;
use crate::watchdog::Station;

/// Runs the one stream of a TCP session.
pub(crate) async fn run_tcp(session: &mut Session) -> After {
    let mut scratch = session.core.lend();
    let mut stream = Stream::new(session, &mut scratch, true);
    let step = walk(&mut stream).await;
    let step = match step {
        // A client of a TCP service expects no error page.
        Err(Stop::Error(_, termination) | Stop::Reply(_, termination)) if !stream.session.speaks_http => {
            Err(Stop::Close(termination))
        }
        other => other,
    };
    let refused = step.is_err() && !stream.session.speaks_http;
    let after = finish::finish(&mut stream, step).await;
    drop(stream);
    session.turn_ms = now_ms();
    if refused {
        session.client.discard(&session.core);
    }
    session.core.take_back(scratch);
    after
}

async fn walk(stream: &mut Stream<'_>) -> Step {
    stream.enter(Station::Rules);
    log::begin(stream);
    rules::frontend_content(stream).await?;
    stream.times.requested = Some(now_ms());
    stream.times.forwarded = stream.times.requested;
    rules::choose_backend(stream)?;
    if stream.backend_settings().mode == Mode::Http {
        stream.session.speaks_http = true;
        (stream.times.requested, stream.times.forwarded) = (None, None);
        stream.enter(Station::Request);
        request::read_head(stream).await?;
        request::count(stream);
        // The frontend's rules of mode http act on what has become HTTP.
        rules::frontend(stream).await?;
        return super::to_backend(stream).await;
    }
    rules::backend_content(stream).await?;
    stream.enter(Station::Server);
    server::find_persistence(stream);
    server::choose(stream, None).await?;
    stream.enter(Station::Connect);
    connect::connect(stream).await?;
    super::response::store_sticks(stream);
    stream.times.responded = stream.times.connected;
    stream.enter(Station::Relay);
    stream.upload = Some(Flow::tunnel(Vec::new()));
    pump(stream, Flow::tunnel(Vec::new())).await
}
