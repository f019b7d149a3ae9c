//! Station: the statistics page, where the file asks for one (manual chapter 4.2, `stats uri`).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proxy_config::model::StatsPage;
use proxy_rules::{Content, Reply};
use proxy_wire::h1::{Head, Method};

use super::state::{Step, Stop, Stream};
use super::termination::{At, By, Termination};
use crate::clock::{EPOCH_MS, now_ms};
use crate::shared::Shared;
use crate::stats;

/// What holds where the file says nothing.
const USUAL_URI: &str = "/haproxy?stats";
const USUAL_REALM: &str = "HAProxy Statistics";

/// Answers if this is the page of the frontend's section.
pub(super) async fn of_frontend(stream: &mut Stream<'_>) -> Step {
    let shared = Arc::clone(&stream.session.core.shared);
    match &shared.config.frontends[stream.session.frontend].stats {
        Some(page) => Box::pin(answer(stream, &shared, page)).await,
        None => Ok(()),
    }
}

/// Answers if this is the page of the chosen backend.
pub(super) async fn of_backend(stream: &mut Stream<'_>) -> Step {
    let shared = Arc::clone(&stream.session.core.shared);
    match &shared.config.backends[stream.backend.unwrap_or(0)].stats {
        Some(page) if stream.meets_backend_rules() => Box::pin(answer(stream, &shared, page)).await,
        _ => Ok(()),
    }
}

async fn answer(stream: &mut Stream<'_>, shared: &Arc<Shared>, page: &StatsPage) -> Step {
    let uri = page.uri.as_deref().unwrap_or(USUAL_URI);
    let head = &stream.scratch.request;
    let Some(rest) = head.target().strip_prefix(uri.as_bytes()) else { return Ok(()) };
    let reply = if !may_see(page, head) {
        forbidden(page)
    } else if matches!(head.method_kind(), Method::Get | Method::Head) {
        let wants = |option: &[u8]| rest.split(|b| *b == b';').any(|o| o == option);
        let (csv, refresh) = (wants(b"csv"), !wants(b"norefresh"));
        let (page, uri) = (page.clone(), uri.to_owned());
        // Thousands of servers make megabytes: too much for a thread that carries traffic.
        let made = shared.made_aside(move |shared| shown(shared, &page, &uri, csv, refresh)).await;
        made.ok_or_else(|| Stream::error(503, By::Local, At::Request))?
    } else {
        let body = b"This page changes nothing.\n".to_vec();
        Reply {
            status: 501,
            content_type: b"text/plain".to_vec(),
            body: Content::Bytes(body),
            ..Reply::default()
        }
    };
    // A page is dear: a client that has sent further requests ahead of it gets this one and no other.
    stream.client_keeps &= stream.session.client.input().is_empty();
    let front = &stream.session.core.counters.frontends[stream.session.frontend];
    front.intercepted.add(1);
    stream.applet = "<STATS>";
    Err(Stop::Reply(Box::new(reply), Termination::new(By::Local, At::Request)))
}

/// Whether the request brings one of the page's passwords, if it has any.
fn may_see(page: &StatsPage, head: &Head) -> bool {
    if page.users.is_empty() {
        return true;
    }
    let Some((scheme, secret)) = head.first(b"authorization").and_then(|v| {
        let space = v.iter().position(|b| *b == b' ')?;
        Some((&v[..space], v[space..].trim_ascii()))
    }) else {
        return false;
    };
    let Ok(secret) = STANDARD.decode(secret) else { return false };
    let known = page.users.iter().fold(false, |known, user| known | same(user.as_bytes(), &secret));
    known && scheme.eq_ignore_ascii_case(b"basic")
}

/// Compares without telling by its duration how much is right.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

fn forbidden(page: &StatsPage) -> Reply {
    let realm = page.realm.as_deref().unwrap_or(USUAL_REALM).replace(['"', '\\'], "");
    Reply {
        status: 401,
        content_type: b"text/plain".to_vec(),
        headers: vec![
            (b"cache-control".to_vec(), b"no-cache".to_vec()),
            (b"www-authenticate".to_vec(), format!("Basic realm=\"{realm}\"").into_bytes()),
        ],
        body: Content::Bytes(b"A name and a password are needed.\n".to_vec()),
        ..Reply::default()
    }
}

/// The `description` of a proxy.
fn described<'s>(shared: &'s Shared, name: &str) -> Option<&'s str> {
    let fronts = shared.config.frontends.iter().map(|f| (&f.name, &f.description));
    let backs = shared.config.backends.iter().map(|b| (&b.name, &b.description));
    fronts.chain(backs).find(|(known, _)| *known == name).and_then(|(_, text)| text.as_deref())
}

fn shown(shared: &Shared, page: &StatsPage, uri: &str, csv: bool, refresh: bool) -> Reply {
    let rows = stats::places(shared).into_iter().map(|place| stats::row(shared, place));
    let rows: Vec<stats::Row> = rows.collect();
    let scope = |row: &stats::Row| {
        page.scope.is_empty() || row.get("pxname").is_some_and(|name| page.scope.contains(name))
    };
    let (content_type, body) = if csv {
        let rows: Vec<stats::Row> = rows.into_iter().filter(|row| scope(row)).collect();
        ("text/plain", stats::csv(&rows))
    } else {
        let rows: Vec<&stats::Row> = rows.iter().filter(|row| scope(row)).collect();
        let own = shared.options.member.as_str();
        let about = stats::About {
            node: page.node.as_deref().map(|name| if name.is_empty() { own } else { name }),
            version: (!page.hide_version).then_some(env!("CARGO_PKG_VERSION")),
            description: page.description.as_deref(),
            described: &|name| described(shared, name),
            refresh_seconds: page.refresh.filter(|_| refresh).map(|t| t.as_secs()),
            uri,
            uptime_seconds: now_ms().saturating_sub(EPOCH_MS) / 1_000,
            legends: page.legends,
            info: &stats::info(shared),
        };
        ("text/html; charset=utf-8", stats::page(&rows, &about))
    };
    Reply {
        status: 200,
        content_type: content_type.as_bytes().to_vec(),
        headers: vec![(b"cache-control".to_vec(), b"no-cache".to_vec())],
        body: Content::Bytes(body.into_bytes()),
        ..Reply::default()
    }
}
