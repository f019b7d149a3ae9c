//! Station: the response's rules, persistence, and its framing towards the client.

use proxy_config::model::Cookie;
use proxy_rules::{Final, Verdict};
use proxy_wire::h1::{self, Body};

use super::rules::exchange;
use super::state::{CookieSeen, Running, Step, Stop, Stream};
use super::termination::{At, By, Termination};

/// Makes the response's head ready to be sent.
pub(super) fn prepare(stream: &mut Stream<'_>) -> Step {
    let method = stream.scratch.request.method_kind();
    let framing = h1::response_body(&stream.scratch.response, method);
    stream.response_body = framing.map_err(|_| Stream::error(502, By::Server, At::Headers))?;
    let shared = stream.shared();
    let backend = stream.backend.unwrap_or(0);
    let settings = &shared.config.backends[backend];
    stream.server_keeps = stream.scratch.response.keeps_alive()
        && !matches!(stream.response_body, Body::UntilClose | Body::Tunnel)
        && !stream.closes_servers();
    store_sticks(stream);
    let front = &shared.config.frontends[stream.session.frontend];
    let of_backend = stream.meets_backend_rules().then_some((&settings.http_response, &settings.acls));
    for (rules, acls) in of_backend.into_iter().chain([(&front.http_response, &front.acls)]) {
        if rules.is_empty() {
            continue;
        }
        match rules.eval(0, acls, &mut exchange(stream), &Running(&shared)) {
            Verdict::Done | Verdict::Stop(Final::Allow) | Verdict::Suspend { .. } => {}
            Verdict::Stop(Final::Deny { .. } | Final::Drop | Final::Reject) => {
                return Err(Stream::error(502, By::Proxy, At::Headers));
            }
            Verdict::Stop(Final::Fail) => return Err(Stream::error(500, By::Proxy, At::Headers)),
            Verdict::Stop(Final::Reply(reply)) => {
                return Err(Stop::Reply(reply, Termination::new(By::Local, At::Headers)));
            }
        }
    }
    if let Some(option) = &settings.cookie {
        insert_cookie(stream, option);
    }
    let closes = stream.front_closes() || settings.options.httpclose;
    let uploaded = stream.upload.as_ref().is_none_or(super::flow::Flow::has_read_all);
    stream.client_keeps = stream.client_keeps
        && uploaded
        && !closes
        && !matches!(stream.response_body, Body::UntilClose | Body::Tunnel);
    let version = stream.scratch.request.version();
    // A chunked response cannot be told to an HTTP/1.0 client: it reads until we close.
    if version == h1::Version::Http10 && matches!(stream.response_body, Body::Chunked) {
        stream.client_keeps = false;
    }
    if !matches!(stream.response_body, Body::Tunnel) {
        h1::prepare_response_hop(&mut stream.scratch.response, version, stream.client_keeps);
    }
    Ok(())
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
