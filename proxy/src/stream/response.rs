//! Station: the response's rules, persistence, and its framing towards the client.

use proxy_config::model::{Cookie, CookieMode};
use proxy_wire::cookie::{DATE_MARK, write_date};
use proxy_wire::h1::{self, Body, Framing, Head, Method};

use super::rules::exchange;
use super::state::{Running, Step, Stream};
use super::termination::By;
use crate::clock::epoch_seconds;

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
        server_cookie(stream, option);
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

/// What becomes of the cookie that the server sets itself (manual chapter 4.2, `cookie`).
fn server_cookie(stream: &mut Stream<'_>, option: &Cookie) {
    let shared = stream.shared();
    let Some((backend, server)) = stream.backend.zip(stream.server) else { return };
    let own = shared.config.backends[backend].servers[server].cookie.as_deref().map(str::as_bytes);
    let is_direct = stream.wanted == Some(server);
    let head = &mut stream.scratch.response;
    let name = option.name.as_bytes();
    let mut done = b'P';
    let is_set = proxy_wire::cookie::edit_set(head, name, |value| {
        match (option.mode, own) {
            _ if option.preserve => {}
            (mode, _) if mode == CookieMode::Insert || (is_direct && option.indirect) => {
                done = b'D';
                return None;
            }
            (CookieMode::Rewrite, Some(own)) => {
                done = b'R';
                return Some(own.to_vec());
            }
            (CookieMode::Prefix, Some(own)) => {
                done = b'R';
                return Some([own, &[proxy_wire::cookie::PREFIX_MARK], value].concat());
            }
            _ => {}
        }
        Some(value.to_vec())
    });
    if is_set {
        stream.cookie_done = done;
    }
}

fn insert_cookie(stream: &mut Stream<'_>, option: &Cookie) {
    let shared = stream.shared();
    let Some((backend, server)) = stream.backend.zip(stream.server) else { return };
    let is_direct = stream.wanted == Some(server);
    let [last, first] = stream.cookie_dates.map(|date| date.map(super::server::seconds));
    let now = epoch_seconds();
    // A client that is where it belongs gets it again only where its dates have to change.
    let needed = !is_direct
        || ((option.maxidle.is_some() || last.is_some()) && last.is_none_or(|last| last < now))
        || option.maxlife.is_some() != first.is_some();
    let kept = option.preserve && stream.cookie_done == b'P';
    let unwanted = option.postonly && stream.scratch.request.method_kind() != Method::Post;
    if option.mode != CookieMode::Insert || !needed || kept || unwanted {
        return;
    }
    let mut line = option.name.clone().into_bytes();
    line.push(b'=');
    let value = shared.config.backends[backend].servers[server].cookie.as_deref();
    match value {
        // A server without a value takes the client's away.
        None => line.extend_from_slice(b"; Expires=Thu, 01-Jan-1970 00:00:01 GMT"),
        Some(value) => {
            line.extend_from_slice(value.as_bytes());
            // Dates are rounded up, so that what is sent lies not in the past.
            if option.maxidle.is_some() || option.maxlife.is_some() {
                line.push(DATE_MARK);
                write_date(now + 3, &mut line);
            }
            if option.maxlife.is_some() {
                line.push(DATE_MARK);
                write_date(first.unwrap_or(now + 3), &mut line);
            }
        }
    }
    line.extend_from_slice(b"; path=/");
    for domain in &option.domains {
        line.extend_from_slice(b"; domain=");
        line.extend_from_slice(domain.as_bytes());
    }
    let flags = [("HttpOnly", option.httponly), ("Secure", option.secure)];
    let flags = flags.into_iter().filter_map(|(flag, is_set)| is_set.then_some(flag));
    for attribute in flags.chain(option.attributes.iter().map(String::as_str)) {
        line.extend_from_slice(b"; ");
        line.extend_from_slice(attribute.as_bytes());
    }
    stream.cookie_done = if value.is_some() && is_direct { b'U' } else { b'I' };
    let is_cacheable = is_cacheable(&stream.scratch.request, &stream.scratch.response);
    let head = &mut stream.scratch.response;
    head.add(b"set-cookie", &line);
    if option.nocache && is_cacheable {
        head.add(b"cache-control", b"private");
    }
}

/// Whether a cache between here and the client might keep a response (RFC 9111 3).
fn is_cacheable(request: &Head, response: &Head) -> bool {
    const STATUSES: [u16; 11] = [200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501];
    const FORBIDS: [&[u8]; 5] = [b"private", b"no-cache", b"no-store", b"max-age=0", b"s-maxage=0"];
    let directives = || {
        let values = response.values(b"cache-control").flat_map(|value| value.split(|byte| *byte == b','));
        values.map(<[u8]>::trim_ascii)
    };
    let forbidden = directives().any(|one| FORBIDS.iter().any(|f| one.eq_ignore_ascii_case(f)));
    let old = response.values(b"pragma").any(|value| value.trim_ascii().eq_ignore_ascii_case(b"no-cache"));
    // A cache keeps only what says how long it is fresh, or how it is asked for anew.
    let fresh =
        ["etag", "last-modified", "expires"].iter().any(|name| response.first(name.as_bytes()).is_some())
            || directives().any(|one| one.starts_with(b"max-age=") || one.starts_with(b"s-maxage="));
    fresh
        && matches!(request.method_kind(), Method::Get | Method::Head)
        && STATUSES.contains(&response.status())
        && !forbidden
        && !old
}
