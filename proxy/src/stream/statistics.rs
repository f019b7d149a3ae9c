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
    } else if head.method_kind() != Method::Post {
        let wants = |option: &[u8]| rest.split(|b| *b == b';').any(|o| o == option);
        let asked = PageQuery {
            form: match () {
                () if wants(b"csv") => PageForm::Csv,
                () if wants(b"typed") => PageForm::Typed,
                () if wants(b"json") => PageForm::Json,
                () => PageForm::Page,
            },
            refresh: !wants(b"norefresh"),
            only_up: wants(b"up"),
            no_maint: wants(b"no-maint"),
        };
        let (page, uri) = (page.clone(), uri.to_owned());
        // Thousands of servers make megabytes: too much for a thread that carries traffic.
        let made = shared.made_aside(move |shared| shown(shared, &page, &uri, asked)).await;
        made.ok_or_else(|| Stream::error(503, By::Local, At::Request))?
    } else {
        // The page changes nothing; who asks it to is told so by the page that follows.
        let location = format!("{uri};st=DENY").into_bytes();
        Reply {
            status: 303,
            content_type: b"text/plain".to_vec(),
            headers: vec![
                (b"cache-control".to_vec(), b"no-cache".to_vec()),
                (b"location".to_vec(), location),
            ],
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

/// In which form the numbers are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageForm {
    Page,
    Csv,
    Typed,
    Json,
}

/// What stands behind the page's address.
#[derive(Clone, Copy, Debug)]
struct PageQuery {
    form: PageForm,
    refresh: bool,
    /// Only servers that are up, or not in maintenance.
    only_up: bool,
    no_maint: bool,
}

fn shown(shared: &Shared, page: &StatsPage, uri: &str, asked: PageQuery) -> Reply {
    let rows = stats::places(shared).into_iter().map(|place| stats::row(shared, place));
    let rows: Vec<stats::Row> = rows.collect();
    let scope = |row: &&stats::Row| {
        let status = row.get("status").map_or("", String::as_str);
        let (down, maint) = (status.starts_with("DOWN"), status.starts_with("MAINT"));
        let is_server = row.get("type").is_some_and(|kind| kind == "2");
        let hidden = is_server && ((asked.only_up && (down || maint)) || (asked.no_maint && maint));
        let named = row.get("pxname").is_some_and(|name| page.scope.contains(name));
        !hidden && (page.scope.is_empty() || named)
    };
    let rows: Vec<&stats::Row> = rows.iter().filter(scope).collect();
    let (content_type, body) = match asked.form {
        PageForm::Csv => {
            let lines = rows.iter().map(|row| stats::csv_line(row));
            ("text/plain", stats::csv_head() + &lines.collect::<String>())
        }
        PageForm::Typed => ("text/plain", rows.iter().map(|row| stats::typed(row)).collect()),
        PageForm::Json => {
            let rows: Vec<String> = rows.iter().map(|row| stats::json(row)).collect();
            ("application/json", format!("[{}]\n", rows.join(",")))
        }
        PageForm::Page => {
            let global = &shared.config.global;
            let own = global.node.as_deref().unwrap_or(&shared.options.member);
            let ours = global.description.as_deref();
            let about = stats::About {
                node: page.node.as_deref().map(|name| if name.is_empty() { own } else { name }),
                version: (!page.hide_version).then_some(env!("CARGO_PKG_VERSION")),
                description: page
                    .description
                    .as_deref()
                    .and_then(|text| if text.is_empty() { ours } else { Some(text) }),
                uri,
                uptime_seconds: now_ms().saturating_sub(EPOCH_MS) / 1_000,
                legends: page.legends,
                info: &stats::info(shared),
                described: &|name| described(shared, name),
            };
            ("text/html; charset=utf-8", stats::page(&rows, &about))
        }
    };
    let mut headers = vec![(b"cache-control".to_vec(), b"no-cache".to_vec())];
    if let Some(time) = page.refresh.filter(|_| asked.refresh && asked.form == PageForm::Page) {
        headers.push((b"refresh".to_vec(), time.as_secs().to_string().into_bytes()));
    }
    Reply {
        status: 200,
        content_type: content_type.as_bytes().to_vec(),
        headers,
        body: Content::Bytes(body.into_bytes()),
        ..Reply::default()
    }
}
