//! One `virtual_server`, as a `listen` section.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use proxy_lang::{Block, Diagnostics, Span, Statement, Word, duration};

use super::group::Groups;
use super::{
    HTTP_GET, MAX_ADDRESSES, REAL_SERVER, Settings, TCP_CHECK, Taken, URL, VIRTUAL_SERVER, address, line,
    made,
};

/// keepalived's values where nothing is said.
const DELAY_LOOP: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: i64 = 1;
const RETRY_DELAY: Duration = Duration::from_secs(1);
const HTTP_RETRY_DELAY: Duration = Duration::from_secs(3);
/// Heaviest weight of a server in our language.
const HEAVIEST: i64 = 256;
/// Clients that are remembered for a service.
const CLIENTS: &str = "100k";

/// A `real_server`.
struct Server {
    span: Span,
    address: SocketAddr,
    settings: Settings,
    check: Option<Check>,
}

/// How it is checked.
struct Check {
    span: Span,
    settings: Settings,
    /// What is asked for over HTTP; otherwise a connection is all.
    asks: Option<Asks>,
}

/// A request, and the statuses that are good.
#[derive(Clone, PartialEq, Eq)]
struct Asks {
    path: String,
    version: &'static str,
    host: Option<String>,
    statuses: String,
}

pub(super) fn read(
    statement: &Statement,
    groups: &Groups,
    taken: &mut Taken,
    diagnostics: &mut Diagnostics,
) -> Option<Block> {
    let header = statement.span();
    let mut settings = Settings::default();
    let mut blocks = Vec::new();
    for inner in statement.block.iter().flatten() {
        if inner.kind() == "real_server" {
            blocks.push(inner);
        } else {
            line(inner, VIRTUAL_SERVER, &mut settings, diagnostics);
        }
    }
    let (name, addresses) = named(statement, groups, diagnostics)?;
    // Of what is left out nothing more is read.
    if !is_tcp(&name, header, &settings, diagnostics) {
        return None;
    }
    let usual = addresses.first().map(SocketAddr::port);
    let mut servers: Vec<Server> =
        blocks.into_iter().filter_map(|block| server(block, usual, &settings, diagnostics)).collect();
    let mut known = BTreeSet::new();
    servers.retain(|server| {
        let is_new = known.insert(server.address);
        if !is_new {
            let text = format!("there is a server {} already: it is left out", server.address);
            diagnostics.warning(server.span, text);
        }
        is_new
    });
    let addresses: Vec<SocketAddr> =
        addresses.into_iter().filter(|address| is_free(*address, header, taken, diagnostics)).collect();
    if addresses.is_empty() {
        return None;
    }
    if servers.is_empty() && settings.sorry.is_none() {
        diagnostics.warning(header, format!("virtual server {name} has no servers: it is left out"));
        return None;
    }
    let mut lines: Vec<_> =
        addresses.iter().map(|address| made(header, &["bind", &address.to_string()])).collect();
    let (balance, is_weighted, fails_over) = balance(&settings, diagnostics);
    lines.push(made(header, &["balance", balance]));
    if let Some(time) = settings.persistence {
        let kind = if addresses.iter().any(SocketAddr::is_ipv6) { "ipv6" } else { "ip" };
        let expire = duration(time);
        lines.push(made(header, &["stick-table", "type", kind, "size", CLIENTS, "expire", &expire]));
        lines.push(made(header, &["stick", "on", "src"]));
    }
    let checks = || servers.iter().filter_map(|server| server.check.as_ref());
    if let Some(longest) = checks().map(|c| c.settings.connect_timeout.unwrap_or(CONNECT_TIMEOUT)).max() {
        let longest = duration(longest.max(Duration::from_millis(1)));
        lines.push(made(header, &["timeout", "connect", &longest]));
        lines.push(made(header, &["timeout", "check", &longest]));
    }
    if let Some((asks, span)) = common(&servers, diagnostics) {
        lines.push(made(span, &["option", "httpchk"]));
        let mut send = vec!["http-check", "send", "meth", "GET", "uri", &asks.path, "ver", asks.version];
        if let Some(host) = &asks.host {
            send.extend(["hdr", "Host", host]);
        }
        lines.push(made(span, &send));
        lines.push(made(span, &["http-check", "expect", "status", &asks.statuses]));
    }
    if fails_over {
        // A backup serves when all before it are down: the heaviest one comes first.
        servers.sort_by_key(|server| std::cmp::Reverse(weight(server)));
    }
    // Weights beyond what the language has are scaled.
    let most = servers.iter().map(weight).max().unwrap_or_default().max(HEAVIEST);
    for (place, server) in servers.iter().enumerate() {
        let mut words = vec!["server".to_owned(), server.address.to_string(), server.address.to_string()];
        let weight = match weight(server) {
            0 => 0,
            weight if is_weighted => (weight * HEAVIEST / most).max(1),
            _ => 1,
        };
        if weight != 1 {
            words.extend(["weight".to_owned(), weight.to_string()]);
        }
        if let Some(most) = server.settings.most {
            words.extend(["maxconn".to_owned(), most.to_string()]);
        }
        if fails_over && place > 0 {
            words.push("backup".to_owned());
        }
        words.extend(server.check.iter().flat_map(probed));
        lines.push(made(server.span, &words.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    lines.extend(
        sorry(&settings, usual, diagnostics)
            .map(|(address, span)| made(span, &["server", "sorry", &address.to_string(), "backup"])),
    );
    Some(Block { header: made(header, &["listen", &name]), lines })
}

/// What it is called, and its addresses.
fn named(
    statement: &Statement,
    groups: &Groups,
    diagnostics: &mut Diagnostics,
) -> Option<(String, Vec<SocketAddr>)> {
    let span = statement.span();
    match statement.words.get(1..).unwrap_or_default() {
        [kind, name, ..] if kind.text == "group" => {
            let Some(addresses) = groups.get(&name.text) else {
                let text = format!("there is no virtual_server_group '{}': it is left out", name.text);
                diagnostics.error(name.span, text);
                return None;
            };
            let good = |c: char| if c.is_ascii_alphanumeric() || "-_.:".contains(c) { c } else { '_' };
            Some((name.text.chars().map(good).collect(), addresses.clone()))
        }
        [kind, ..] if kind.text == "fwmark" => {
            diagnostics
                .warning(
                    span,
                    "a virtual server of a firewall's mark is left out: a proxy listens to addresses",
                )
                .help("write the addresses that the firewall marks, with their ports");
            None
        }
        [host, rest @ ..] => {
            let address = address(host, rest.first(), None, diagnostics)?;
            Some((format!("{}:{}", address.ip(), address.port()), vec![address]))
        }
        [] => {
            diagnostics.error(span, "'virtual_server' expects an address and a port");
            None
        }
    }
}

fn is_tcp(name: &str, header: Span, settings: &Settings, diagnostics: &mut Diagnostics) -> bool {
    match &settings.protocol {
        Some(protocol) if protocol.text == "TCP" => true,
        Some(protocol) => {
            diagnostics
                .warning(
                    protocol.span,
                    format!(
                        "virtual server {name} is left out: there is no proxy of {} in Tandem",
                        protocol.text
                    ),
                )
                .help("everything else runs; leave this service to keepalived, or to a proxy of its own");
            false
        }
        None => {
            diagnostics
                .warning(
                    header,
                    format!("virtual server {name} is left out: without 'protocol' it is one of UDP"),
                )
                .help("write 'protocol TCP' if it is");
            false
        }
    }
}

fn is_free(address: SocketAddr, at: Span, taken: &mut Taken, diagnostics: &mut Diagnostics) -> bool {
    if taken.len() == MAX_ADDRESSES {
        diagnostics.error(at, format!("more than {MAX_ADDRESSES} addresses: the others are left out"));
        return false;
    }
    let is_new = taken.insert(address);
    if !is_new {
        diagnostics.warning(at, format!("another virtual server has {address}: it is left out"));
    }
    is_new
}

/// The algorithm, whether weights count, and whether one server serves as long as it can.
fn balance(settings: &Settings, diagnostics: &mut Diagnostics) -> (&'static str, bool, bool) {
    let Some(word) = &settings.algorithm else { return ("leastconn", true, false) };
    let mut nearest = |balance, why: &str| {
        diagnostics.warning(word.span, format!("'{}' is served as '{balance}': {why}", word.text));
        (balance, true, false)
    };
    match word.text.as_str() {
        "rr" => ("roundrobin", false, false),
        "wrr" => ("roundrobin", true, false),
        "lc" => ("leastconn", false, false),
        "sh" | "mh" => ("source", true, false),
        "fo" => ("roundrobin", false, true),
        "dh" => nearest("source", "of one address, every client would have the same server"),
        "lblc" | "lblcr" => nearest("leastconn", "it chooses by where packets go, which is one address"),
        "ovf" => nearest("leastconn", "servers do not overflow into one another"),
        _ => ("leastconn", true, false),
    }
}

fn sorry(
    settings: &Settings,
    usual: Option<u16>,
    diagnostics: &mut Diagnostics,
) -> Option<(SocketAddr, Span)> {
    let (host, port) = settings.sorry.as_ref()?;
    if let Some((word, quorum)) = settings.quorum.as_ref().filter(|(_, quorum)| *quorum > 1) {
        diagnostics.warning(
            word.span,
            format!("'quorum {quorum}' counts as 1: the sorry server serves when no other can"),
        );
    }
    Some((address(host, port.as_ref(), usual, diagnostics)?, host.span))
}

fn server(
    statement: &Statement,
    usual: Option<u16>,
    around: &Settings,
    diagnostics: &mut Diagnostics,
) -> Option<Server> {
    let span = statement.span();
    let mut settings = Settings::default();
    let mut checkers = Vec::new();
    for inner in statement.block.iter().flatten() {
        line(inner, REAL_SERVER, &mut settings, diagnostics);
        if inner.kind().ends_with("_CHECK") || inner.kind().ends_with("_GET") {
            checkers.push(inner);
        }
    }
    let settings = settings.within(around);
    let mut check: Option<Check> = None;
    for checker in checkers {
        let new = checked(checker, &settings, diagnostics);
        let Some(first) = check.take() else {
            check = Some(new);
            continue;
        };
        // Of several, the one that asks for most.
        let (kept, other) =
            if first.asks.is_none() && new.asks.is_some() { (new, first) } else { (first, new) };
        diagnostics.warning(other.span, "a server has one check here: this one is left out");
        check = Some(kept);
    }
    let Some(host) = statement.words.get(1) else {
        diagnostics.error(span, "'real_server' expects an address");
        return None;
    };
    let address = address(host, statement.words.get(2), usual, diagnostics)?;
    Some(Server { span, address, settings, check })
}

fn checked(checker: &Statement, around: &Settings, diagnostics: &mut Diagnostics) -> Check {
    let span = checker.span();
    let mut settings = Settings::default();
    let section = match checker.kind() {
        "TCP_CHECK" => TCP_CHECK,
        // Of one over TLS the times are kept.
        "HTTP_GET" | "SSL_GET" => HTTP_GET,
        // Its row has said what becomes of it, and nothing of it is read.
        _ => return Check { span, settings: settings.within(around), asks: None },
    };
    let mut urls: Vec<(Span, Settings)> = Vec::new();
    for inner in checker.block.iter().flatten() {
        if section != HTTP_GET || inner.kind() != "url" {
            line(inner, section, &mut settings, diagnostics);
            continue;
        }
        let mut url = Settings::default();
        inner.block.iter().flatten().for_each(|inner| line(inner, URL, &mut url, diagnostics));
        urls.push((inner.span(), url));
    }
    let settings = settings.within(around);
    let asks = (checker.kind() == "HTTP_GET").then(|| asks(span, &settings, &urls, diagnostics)).flatten();
    Check { span, settings, asks }
}

fn asks(
    span: Span,
    settings: &Settings,
    urls: &[(Span, Settings)],
    diagnostics: &mut Diagnostics,
) -> Option<Asks> {
    let Some((_, url)) = urls.first() else {
        diagnostics.warning(span, "'HTTP_GET' asks for no URL: a connection is tried instead");
        return None;
    };
    if let Some((second, _)) = urls.get(1) {
        diagnostics.warning(*second, "a check asks for one thing: the other URLs are left out");
    }
    if let Some(digest) = &url.digest {
        diagnostics.warning(digest.span, "'digest' is left out: only the status of the answer is looked at");
    }
    let statuses = if url.status.is_empty() { &settings.status } else { &url.status };
    let (good, bad): (Vec<&Word>, Vec<&Word>) = statuses.iter().partition(|word| is_status(&word.text));
    for word in bad {
        diagnostics.error(word.span, format!("'{}' is no status: it is left out", word.text));
    }
    let statuses = good.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(",");
    let is_new = settings.version.as_ref().is_some_and(|word| word.text.starts_with("1.1"));
    Some(Asks {
        path: url.path.clone().unwrap_or_else(|| "/".to_owned()),
        version: if is_new { "HTTP/1.1" } else { "HTTP/1.0" },
        host: url.virtualhost.clone().or_else(|| settings.virtualhost.clone()),
        statuses: if statuses.is_empty() { "200-299".to_owned() } else { statuses },
    })
}

/// A status, or two with a dash between them.
fn is_status(text: &str) -> bool {
    let number = |text: &str| text.parse::<u16>().ok().filter(|n| (100..=599).contains(n));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
}

/// What all servers that are checked are asked for; the place of the first. Where they differ, nothing.
fn common<'s>(servers: &'s [Server], diagnostics: &mut Diagnostics) -> Option<(&'s Asks, Span)> {
    let checks: Vec<&Check> = servers.iter().filter_map(|server| server.check.as_ref()).collect();
    let first = checks.first()?;
    match checks.iter().find(|check| check.asks != first.asks) {
        None => first.asks.as_ref().map(|asks| (asks, first.span)),
        Some(other) => {
            diagnostics
                .warning(
                    other.span,
                    "servers of one virtual server are checked alike: a connection is tried of each",
                )
                .help("give all of them the same 'HTTP_GET'");
            None
        }
    }
}

fn weight(server: &Server) -> i64 {
    server.settings.weight.unwrap_or(1)
}

/// The options of a server that is checked.
fn probed(check: &Check) -> Vec<String> {
    let settings = &check.settings;
    let usual = if check.asks.is_some() { HTTP_RETRY_DELAY } else { RETRY_DELAY };
    let time = |time: Duration| duration(time.max(Duration::from_millis(1)));
    let mut words = vec!["check".to_owned()];
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    option("inter", time(settings.delay_loop.unwrap_or(DELAY_LOOP)));
    option("fastinter", time(settings.delay_before_retry.unwrap_or(usual)));
    option("fall", settings.retry.unwrap_or(RETRY).saturating_add(1).to_string());
    option("rise", "1".to_owned());
    if let Some(port) = settings.connect_port {
        option("port", port.to_string());
    }
    if let Some(address) = &settings.connect_ip {
        option("addr", address.clone());
    }
    words
}
