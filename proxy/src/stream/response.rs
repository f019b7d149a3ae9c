//! Station: the response's rules, persistence, and its framing towards the client.

use proxy_config::model::Cookie;
use proxy_wire::h1::{self, Body, Framing, Head};

use super::rules::exchange;
use super::state::{CookieSeen, Running, Step, Stream};
use super::termination::By;

/// Counts a response for its server, whatever becomes of it.
pub(super) fn count(stream: &Stream<'_>) {
    let Some((backend, server)) = stream.backend.zip(stream.server) else { return };
    let counters = &stream.session.core.counters.servers[backend][server];
    counters.requests.add(1);
    counters.classes.hit(stream.scratch.response.status());
}

/// Makes the response's head ready to be sent.
pub(super) async fn prepare(stream: &mut Stream<'_>) -> Step {
    let request = &stream.scratch.request;
    let request_is_head = request.asks_for_head();
    let framing = h1::response_body(&stream.scratch.response, request.method_kind(), request.upgrade());
    stream.response_body = framing.map_err(|_| super::relay::bad_response(stream, By::Proxy))?;
    // A rule made another method of HEAD: the server's body is for nobody, and ends with its connection.
    let is_unwanted = request_is_head && !matches!(stream.response_body, Body::None | Body::Tunnel);
    let shared = stream.shared();
    let backend = stream.backend.unwrap_or(0);
    let settings = &shared.config.backends[backend];
    // Chunks in HTTP/1.0: a faulty frame, after which nothing on either side is to be believed (RFC 9112 section 6.1).
    let doubtful =
        stream.scratch.response.version() == h1::Version::Http10 && stream.response_body == Body::Chunked;
    stream.server_keeps = stream.scratch.response.keeps_alive()
        && !matches!(stream.response_body, Body::UntilClose | Body::Tunnel)
        && !doubtful
        && !is_unwanted
        && !stream.closes_servers();
    if is_unwanted {
        stream.response_body = Body::None;
    }
    if is_bound_to_client(&stream.scratch.request, &stream.scratch.response)
        && let Some(upstream) = &mut stream.upstream
    {
        upstream.set_private();
    }
    store_sticks(stream);
    super::rules::response(stream).await?;
    super::capture::response_cookie(stream);
    if let Some(option) = &settings.cookie {
        insert_cookie(stream, option);
    }
    let closes = stream.front_closes();
    let uploaded = stream.upload.as_ref().is_none_or(super::flow::Flow::has_read_all);
    let framing =
        h1::response_framing(&stream.scratch.response, stream.response_body, &stream.scratch.request);
    // What only the connection's end can end, ends it.
    stream.client_keeps = stream.client_keeps
        && uploaded
        && !doubtful
        && !closes
        && framing != Framing::UntilClose
        && !matches!(stream.response_body, Body::Tunnel);
    Ok(())
}

/// Whether a server has bound its connection to this client, or is about to: NTLM and Negotiate authenticate a
/// connection, not a request (RFC 4559 section 6), so that another client must never be put on it.
fn is_bound_to_client(request: &Head, response: &Head) -> bool {
    let challenge: Option<&[u8]> = match response.status() {
        401 => Some(b"www-authenticate"),
        407 => Some(b"proxy-authenticate"),
        _ => None,
    };
    let challenged = challenge.is_some_and(|name| response.values(name).any(binds_connection));
    let names: [&[u8]; 2] = [b"authorization", b"proxy-authorization"];
    challenged || names.iter().any(|name| request.values(name).any(binds_connection))
}

/// Whether one of the schemes in a field's value authenticates connections.
fn binds_connection(value: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|part| {
        let part = part.trim_ascii_start();
        let scheme = part.iter().position(u8::is_ascii_whitespace).map_or(part, |end| &part[..end]);
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    })
}

/// Stores the server in every table whose stick rule asked for it.
pub(super) fn store_sticks(stream: &mut Stream<'_>) {
    if stream.sticks.is_empty() {
        return;
    }
    let shared = stream.shared();
    let Some((backend, server)) = stream.backend.zip(stream.server) else { return };
    let settings = &shared.config.backends[backend];
    let target = &settings.servers[server];
    let sticks = std::mem::take(&mut stream.sticks);
    for index in &sticks {
        let exchange = exchange(stream);
        settings.stick[*index].store(&exchange, &Running(&shared), target.id, &target.name);
    }
    stream.sticks = sticks;
}

fn insert_cookie(stream: &mut Stream<'_>, option: &Cookie) {
    let shared = stream.shared();
    let Some((backend, server)) = stream.backend.zip(stream.server) else { return };
    let Some(value) = &shared.config.backends[backend].servers[server].cookie else { return };
    let stays = stream.cookie_seen == CookieSeen::Valid && stream.wanted == Some(server);
    if !option.insert || stays {
        return;
    }
    let mut line = Vec::with_capacity(64);
    proxy_wire::cookie::write_set_cookie(
        &mut line,
        option.name.as_bytes(),
        value.as_bytes(),
        option.domain.as_deref().map(str::as_bytes),
        option.httponly,
        option.secure,
    );
    let head = &mut stream.scratch.response;
    head.add(b"set-cookie", &line);
    if option.nocache {
        head.add(b"cache-control", b"private");
    }
    stream.cookie_inserted = true;
}
