//! What the frontend captures of heads, for the log.

use proxy_config::model::{Capture, Captures};
use proxy_wire::h1::Head;

use super::state::{Captured, Stream};

const COOKIE: &[u8] = b"cookie";
const SET_COOKIE: &[u8] = b"set-cookie";

/// Captured headers of the request, as the client sent it.
pub(super) fn request(stream: &mut Stream<'_>) {
    let shared = stream.shared();
    let captures = &shared.config.frontends[stream.session.frontend].captures;
    if *captures == Captures::default() {
        return;
    }
    let head = &stream.scratch.request;
    let captured = Captured {
        request: captures.request.iter().map(|c| last(head, c)).collect(),
        response: vec![None; captures.response.len()],
        ..Captured::default()
    };
    stream.captured = Some(Box::new(captured));
}

/// The captured cookie of a request that goes to a server.
pub(super) fn request_cookie(stream: &mut Stream<'_>) {
    let shared = stream.shared();
    let Some(captured) = &mut stream.captured else { return };
    let head = &stream.scratch.request;
    if let Some(capture) = &shared.config.frontends[stream.session.frontend].captures.cookie {
        captured.cookies[0] = head.values(COOKIE).find_map(|value| {
            value.split(|b| *b == b';').map(<[u8]>::trim_ascii).find_map(|pair| cookie(pair, capture))
        });
    }
}

/// Captured headers of the response, as the server sent it.
pub(super) fn response(stream: &mut Stream<'_>) {
    let shared = stream.shared();
    let Some(captured) = &mut stream.captured else { return };
    let captures = &shared.config.frontends[stream.session.frontend].captures;
    let head = &stream.scratch.response;
    captured.response = captures.response.iter().map(|c| last(head, c)).collect();
}

/// The captured cookie of the response, as its rules have left it.
pub(super) fn response_cookie(stream: &mut Stream<'_>) {
    let shared = stream.shared();
    let Some(captured) = &mut stream.captured else { return };
    let captures = &shared.config.frontends[stream.session.frontend].captures;
    let head = &stream.scratch.response;
    if let Some(capture) = &captures.cookie {
        captured.cookies[1] = head.values(SET_COOKIE).find_map(|value| {
            let pair = value.split(|b| *b == b';').next().unwrap_or_default();
            cookie(pair.trim_ascii(), capture)
        });
    }
}

fn last(head: &Head, capture: &Capture) -> Option<Vec<u8>> {
    head.values(capture.name.as_bytes()).last().map(|value| cut(value, capture))
}

/// A cookie with its name, if its name begins as the capture's.
fn cookie(pair: &[u8], capture: &Capture) -> Option<Vec<u8>> {
    pair.starts_with(capture.name.as_bytes()).then(|| cut(pair, capture))
}

fn cut(value: &[u8], capture: &Capture) -> Vec<u8> {
    value[..value.len().min(capture.length)].to_vec()
}
