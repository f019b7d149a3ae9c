//! Drafts to a configuration: the only place that sees several sections at once. Names become indexes,
//! rules are read, what is missing is said.

mod pages;
mod peers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proxy_backend::balance::HashOf;
use proxy_lang::{Diagnostics, Span, Word, nearest};
use proxy_rules::{
    AclSet, CLFLOG, Condition, Context, Format, HTTPLOG, Pages, Rule, Ruleset, RulesetKind, Stage, StickRule,
    TCPLOG,
};
use proxy_table::{DataType, Schema, Stored, TableId};

use crate::address;
use crate::draft::{
    Base, BindOptions, Deferred, DeferredKind, GlobalDraft, LogFormat, LogLine, NamedDraft, PeersDraft,
    ProxyDraft, ServerDraft,
};
use crate::model::{
    Backend, BackendChoice, BackendId, Balance, Bind, BindAddress, Captures, CheckSettings, Config, Expect,
    Expected, Frontend, FrontendId, Global, HttpCheck, LogSample, LogTarget, Mode, Options, Server,
    StatsPage, Timeouts, Tls, UseBackend,
};

/// The files that sections refer to.
#[derive(Clone, Copy)]
pub(crate) struct Files<'f> {
    /// Reads one.
    pub(crate) read: &'f dyn Fn(&str) -> Result<String, String>,
    /// What the configuration's own files are called, by their number.
    pub(crate) names: &'f [String],
    /// From where on relative names are relative to what.
    pub(crate) bases: &'f [(Span, Base)],
}

impl Files<'_> {
    fn read(&self, word: &Word) -> Result<String, String> {
        (self.read)(&self.path(word))
    }

    /// The file that a word names (manual chapter 3.1, `default-path`).
    fn path(&self, word: &Word) -> String {
        let before = |span: &Span| (span.file, span.line) <= (word.span.file, word.span.line);
        let base = self.bases.iter().rev().find(|(span, _)| before(span)).map(|(_, base)| base);
        let own = self.names.get(word.span.file.0 as usize).map_or("", String::as_str);
        let folder = base.filter(|_| !word.text.starts_with('/')).and_then(|base| base.folder(own));
        folder.map_or_else(|| word.text.clone(), |folder| format!("{folder}/{}", word.text))
    }
}

/// Rules that a section has from its defaults.
type Inherited = Vec<(DeferredKind, Rule)>;

/// The kinds of rules, and of the lines that they are read from.
const RULES: [(RulesetKind, DeferredKind); 5] = [
    (RulesetKind::TcpRequestConnection, DeferredKind::TcpRequestConnection),
    (RulesetKind::TcpRequestSession, DeferredKind::TcpRequestSession),
    (RulesetKind::TcpRequestContent, DeferredKind::TcpRequestContent),
    (RulesetKind::HttpRequest, DeferredKind::HttpRequest),
    (RulesetKind::HttpResponse, DeferredKind::HttpResponse),
];

/// Client connections that a frontend counts for in its backends' `fullconn` where neither it nor the process has a limit in
/// the file.
const USUAL_MAXCONN: u32 = 2_000;
const USUAL_INTER: Duration = Duration::from_secs(2);
/// Most addresses one bind line may open.
const MAX_PORTS: u16 = 1_024;

pub(crate) fn resolve(
    global: GlobalDraft,
    proxies: Vec<ProxyDraft>,
    peers: &[PeersDraft],
    errors: &[NamedDraft],
    names: &[String],
    read: &dyn Fn(&str) -> Result<String, String>,
    diagnostics: &mut Diagnostics,
) -> Config {
    let files = Files { read, names, bases: &global.bases };
    let mut config = Config { global: global.global, ..Config::default() };
    // A backend that is not used can be named, and has nobody behind it.
    let used = |draft: ProxyDraft| match (draft.disabled, draft.is_frontend) {
        (false, _) => Some(draft),
        (true, true) => None,
        (true, false) => Some(ProxyDraft {
            name: draft.name,
            proxy_id: draft.proxy_id,
            is_backend: true,
            disabled: true,
            mode: draft.mode,
            timeouts: draft.timeouts,
            ..ProxyDraft::default()
        }),
    };
    let proxies: Vec<ProxyDraft> = proxies.into_iter().filter_map(used).collect();
    let mut names = Names::of(&proxies, diagnostics);
    names.pages = pages::sections(errors, files, diagnostics);
    for draft in &proxies {
        let place = Place { draft, names: &names, files };
        place.warn_of_http(diagnostics);
        place.warn_of_order(diagnostics);
        if draft.is_frontend {
            place.frontend(&mut config, diagnostics);
        }
        if draft.is_backend {
            let own = config.frontends.len().checked_sub(1).filter(|_| draft.is_frontend);
            let own = own.and_then(|n| u32::try_from(n).ok()).map(FrontendId);
            let backend = place.backend(own, &config.global, diagnostics);
            config.backends.push(backend);
        }
    }
    for id in 0..config.backends.len() {
        if config.backends[id].fullconn == 0 {
            config.backends[id].fullconn = usual_fullconn(&config, id);
        }
    }
    config.tables = names.tables;
    config.peers = peers::sections(peers, &proxies, diagnostics);
    config
}

/// A tenth of the connections of all frontends that may lead to a backend (manual chapter 4.2, `fullconn`).
fn usual_fullconn(config: &Config, backend: usize) -> u32 {
    let id = u32::try_from(backend).ok().map(BackendId);
    let own = config.backends[backend].own_frontend;
    let leads = |(index, frontend): &(usize, &Frontend)| {
        let by_rule = |rule: &UseBackend| matches!(rule.backend, BackendChoice::Id(to) if Some(to) == id);
        own.is_some_and(|own| own.0 as usize == *index)
            || frontend.default_backend == id
            || frontend.use_backend.iter().any(by_rule)
    };
    let usual = config.global.maxconn.and_then(|most| u32::try_from(most).ok()).unwrap_or(USUAL_MAXCONN);
    let total: u32 = config
        .frontends
        .iter()
        .enumerate()
        .filter(leads)
        .fold(0, |sum, (_, frontend)| sum.saturating_add(frontend.maxconn.unwrap_or(usual)));
    total.div_ceil(10).max(1)
}

/// What sections may call each other by.
struct Names {
    backends: BTreeMap<String, (u32, Mode)>,
    tables: Vec<Schema>,
    places: BTreeMap<String, u32>,
    /// Of `http-errors` sections.
    pages: BTreeMap<String, Pages>,
}

impl Names {
    fn of(proxies: &[ProxyDraft], diagnostics: &mut Diagnostics) -> Self {
        let mut backends = BTreeMap::new();
        for (draft, place) in proxies.iter().filter(|p| p.is_backend).zip(0..) {
            backends.entry(name(draft)).or_insert((place, draft.mode.unwrap_or_default()));
        }
        // A table that servers are stuck by holds the server, whether or not the file says so.
        let sticks = proxies.iter().flat_map(|p| p.deferred.iter().map(move |d| (p, d)));
        let sticky: BTreeSet<String> = sticks
            .filter(|(_, d)| d.kind == DeferredKind::Stick)
            .map(|(owner, d)| {
                let named = d.words.windows(2).find(|w| w[0].text == "table").map(|w| w[1].text.clone());
                named.unwrap_or_else(|| name(owner))
            })
            .collect();
        let mut tables: Vec<Schema> = Vec::new();
        let mut places = BTreeMap::new();
        for table in proxies.iter().filter_map(|draft| draft.table.as_ref()) {
            let mut schema = table.schema.clone();
            let sticky = sticky.contains(&schema.name);
            for data_type in [DataType::ServerId, DataType::ServerKey].into_iter().filter(|_| sticky) {
                if !schema.columns.iter().any(|c| c.data_type == data_type) {
                    schema.columns.push(Stored { data_type, elements: 1, period_ms: 0 });
                }
            }
            schema.columns.sort_by_key(|column| column.data_type);
            if places.contains_key(&schema.name) {
                diagnostics.error(table.at, format!("a stick-table '{}' exists already", schema.name));
            } else {
                places.insert(schema.name.clone(), u32::try_from(tables.len()).unwrap_or(u32::MAX));
            }
            tables.push(schema);
        }
        Self { backends, tables, places, pages: BTreeMap::new() }
    }

    fn table(&self, name: &str) -> Option<TableId> {
        self.places.get(name).copied().map(TableId)
    }

    /// The backend of this name; `http`: for a frontend in mode http, which takes none in mode tcp.
    fn backend(&self, word: &Word, http: bool, diagnostics: &mut Diagnostics) -> Option<BackendId> {
        let (place, mode) = self.backends.get(&word.text).copied().unzip();
        if http && mode == Some(Mode::Tcp) {
            diagnostics
                .error(
                    word.span,
                    format!("a frontend in mode http cannot use '{}', which is in mode tcp", word.text),
                )
                .help("give both the same mode; only a frontend in mode tcp may use a backend in mode http");
        }
        if place.is_none() {
            let near = nearest(&word.text, self.backends.keys().map(String::as_str));
            let note =
                diagnostics.error(word.span, format!("unable to find required backend: '{}'", word.text));
            if let Some(near) = near {
                note.help(format!("did you mean '{near}'?"));
            }
        }
        place.map(BackendId)
    }
}

fn name(draft: &ProxyDraft) -> String {
    draft.name.as_ref().map_or_else(String::new, |n| n.text.clone())
}

struct Place<'p> {
    draft: &'p ProxyDraft,
    names: &'p Names,
    files: Files<'p>,
}

impl Place<'_> {
    fn mode(&self) -> Mode {
        self.draft.mode.unwrap_or_default()
    }

    fn is_http(&self) -> bool {
        self.mode() == Mode::Http
    }

    fn at(&self) -> Span {
        self.draft.name.as_ref().map_or_else(Span::default, |n| n.span)
    }

    /// Calls `read` with the names around a rule of this section.
    fn with_context<R>(&self, stage: Stage, in_backend: bool, read: impl FnOnce(&Context<'_>) -> R) -> R {
        let own = name(self.draft);
        read(&Context {
            table: &|name| self.names.table(name),
            own_table: self.names.table(&own),
            schemas: &self.names.tables,
            backend_exists: &|name| self.names.backends.contains_key(name),
            backend: if in_backend { &own } else { "" },
            file: &|word| self.files.read(word),
            pages: &self.names.pages,
            stage,
            http: self.mode() == Mode::Http,
        })
    }

    /// Says what only mode http has, in a section of mode tcp: it is read, and does nothing.
    fn warn_of_http(&self, diagnostics: &mut Diagnostics) {
        // Whoever has mistakes to mend may mean another mode.
        if self.is_http() || diagnostics.errors() > 0 {
            return;
        }
        let draft = self.draft;
        let rules = [
            (DeferredKind::HttpRequest, "http-request"),
            (DeferredKind::HttpResponse, "http-response"),
            (DeferredKind::Redirect, "redirect"),
        ];
        let found = rules.into_iter().filter_map(|(kind, word)| {
            let line = self.of_kind(kind).next()?;
            Some((line.words.first().map_or(self.at(), |w| w.span), format!("a rule of '{word}'")))
        });
        let options = [
            ("'option forwardfor'", draft.forward_for.is_some()),
            ("'option httplog'", matches!(draft.log_format, Some(LogFormat::Http | LogFormat::Clf))),
            ("'capture cookie'", draft.captures.cookie.is_some()),
        ];
        let options = options.into_iter().filter(|(_, given)| *given);
        let options = options.map(|(word, _)| (self.at(), word.to_owned()));
        for (at, word) in found.chain(options).collect::<Vec<_>>() {
            diagnostics
                .warning(at, format!("{word} is ignored in '{}', which is in mode tcp", name(draft)))
                .help("'mode http' is what they need");
        }
    }

    /// Says which rules are run before others that stand above them.
    fn warn_of_order(&self, diagnostics: &mut Diagnostics) {
        if diagnostics.errors() > 0 {
            return;
        }
        let mut latest = 0;
        for line in &self.draft.deferred {
            let Some(place) = DeferredKind::ORDER.iter().position(|(kind, _)| *kind == line.kind) else {
                continue;
            };
            if place < latest
                && let Some(word) = line.words.first()
            {
                let (own, above) = (DeferredKind::ORDER[place].1, DeferredKind::ORDER[latest].1);
                diagnostics.warning(
                    word.span,
                    format!("this rule of '{own}' is run before those of '{above}' that stand above it"),
                );
            }
            latest = latest.max(place);
        }
    }

    fn of_kind(&self, kind: DeferredKind) -> impl Iterator<Item = &Deferred> {
        self.draft.deferred.iter().filter(move |d| d.kind == kind)
    }

    /// The section's ACLs, and the rules that its defaults give it, which see those of the defaults.
    fn acls(&self, diagnostics: &mut Diagnostics) -> (AclSet, Inherited) {
        let mut acls = AclSet::default();
        let mut inherited = Inherited::new();
        let lines = &self.draft.inherited;
        self.declare(lines, &mut acls, diagnostics);
        for line in lines {
            let kind = RULES.iter().find(|(_, of)| *of == line.kind);
            let rule = kind.and_then(|(kind, _)| self.rule(*kind, line, &acls, diagnostics));
            inherited.extend(rule.map(|rule| (line.kind, rule)));
        }
        acls.hide();
        self.declare(&self.draft.deferred, &mut acls, diagnostics);
        (acls, inherited)
    }

    fn declare(&self, lines: &[Deferred], acls: &mut AclSet, diagnostics: &mut Diagnostics) {
        for line in lines.iter().filter(|line| line.kind == DeferredKind::Acl) {
            // An ACL may be used where responses are seen; whether it is there is checked per rule.
            self.with_context(Stage::Response, self.draft.is_backend, |c| {
                acls.declare(&line.words, c, diagnostics);
            });
        }
    }

    fn ruleset(
        &self,
        kind: RulesetKind,
        (acls, inherited): (&AclSet, &Inherited),
        diagnostics: &mut Diagnostics,
    ) -> Ruleset {
        let mut rules = Ruleset::default();
        let Some((_, deferred)) = RULES.iter().find(|(of, _)| *of == kind) else { return rules };
        rules.extend(inherited.iter().filter(|(of, _)| of == deferred).map(|(_, rule)| rule.clone()));
        let is_http = matches!(kind, RulesetKind::HttpRequest | RulesetKind::HttpResponse);
        let mut ended = false;
        for line in self.of_kind(*deferred) {
            if let Some(word) = line.words.first().filter(|_| ended && is_http) {
                let text = "this rule is never looked at: the one before it is final, and has no condition";
                diagnostics.warning(word.span, text);
            }
            let rule = self.rule(kind, line, acls, diagnostics);
            ended = rule.as_ref().is_some_and(Rule::is_last);
            rules.extend(rule);
        }
        rules
    }

    /// A rule; `None` where it is wrong. Those of mode http in mode tcp act on connections that have become HTTP.
    fn rule(
        &self,
        kind: RulesetKind,
        line: &Deferred,
        acls: &AclSet,
        diagnostics: &mut Diagnostics,
    ) -> Option<Rule> {
        let of_http = matches!(kind, RulesetKind::HttpRequest | RulesetKind::HttpResponse);
        let stage = match kind {
            RulesetKind::TcpRequestConnection | RulesetKind::TcpRequestSession => Stage::Connection,
            RulesetKind::TcpRequestContent if !self.is_http() => Stage::Connection,
            RulesetKind::TcpRequestContent | RulesetKind::HttpRequest => Stage::Request,
            RulesetKind::HttpResponse => Stage::Response,
        };
        self.with_context(stage, self.draft.is_backend, |c| {
            let c = Context { http: c.http || of_http, ..*c };
            Rule::parse(kind, &line.words, acls, &c, diagnostics)
        })
    }

    fn redirects(&self, acls: &AclSet, diagnostics: &mut Diagnostics) -> Ruleset {
        let mut rules = Ruleset::default();
        for line in self.of_kind(DeferredKind::Redirect) {
            let rule = self.with_context(Stage::Request, self.draft.is_backend, |c| {
                Rule::redirect(&line.words, acls, &Context { http: true, ..*c }, diagnostics)
            });
            rules.extend(rule);
        }
        rules
    }

    fn error_replies(&self, diagnostics: &mut Diagnostics) -> Pages {
        pages::of_proxy(&self.draft.error_files, &self.names.pages, self.files, diagnostics)
    }

    fn frontend(&self, config: &mut Config, diagnostics: &mut Diagnostics) {
        let draft = self.draft;
        let id = FrontendId(u32::try_from(config.frontends.len()).unwrap_or(u32::MAX));
        let (acls, inherited) = self.acls(diagnostics);
        let scope = (&acls, &inherited);
        if draft.binds.is_empty() {
            diagnostics
                .warning(self.at(), format!("'{}' has no 'bind' line and cannot be reached", name(draft)));
        }
        self.binds(id, config, diagnostics);
        if draft.timeouts.client.is_none() {
            diagnostics
                .warning(self.at(), format!("missing timeouts for '{}'", name(draft)))
                .help("without 'timeout client' a silent client holds its connection for ever");
        }
        let default_backend = match &draft.default_backend {
            Some(word) => self.names.backend(word, self.is_http(), diagnostics),
            None if draft.is_backend => u32::try_from(config.backends.len()).ok().map(BackendId),
            None => None,
        };
        let names_log_format = draft.log_format.is_some();
        if names_log_format && self.log(&config.global).is_empty() {
            let text = format!("the log format of '{}' has no effect: it has no log address", name(draft));
            diagnostics.warning(self.at(), text).help("'log global', or 'log <address> <facility>'");
        }
        if draft.is_backend && !draft.servers.is_empty() && draft.default_backend.is_some() {
            let text = format!("in '{}', 'default_backend' has precedence over the servers", name(draft));
            diagnostics.warning(self.at(), text).help("they are never used: leave one of them out");
        }
        let frontend = Frontend {
            proxy_id: draft.proxy_id,
            name: name(draft),
            mode: self.mode(),
            maxconn: draft.maxconn,
            timeouts: frontend_timeouts(draft),
            options: frontend_options(draft),
            tcp_request_connection: self.ruleset(RulesetKind::TcpRequestConnection, scope, diagnostics),
            tcp_request_session: self.ruleset(RulesetKind::TcpRequestSession, scope, diagnostics),
            tcp_request_content: self.ruleset(RulesetKind::TcpRequestContent, scope, diagnostics),
            http_request: self.ruleset(RulesetKind::HttpRequest, scope, diagnostics),
            redirects: self.redirects(&acls, diagnostics),
            http_response: self.ruleset(RulesetKind::HttpResponse, scope, diagnostics),
            use_backend: self.use_backend(&acls, diagnostics),
            default_backend,
            forward_for: draft.forward_for.clone().filter(|_| self.is_http()),
            log: self.log(&config.global),
            log_format: self.log_format(diagnostics),
            names_log_format,
            log_tag: draft.log_tag.clone().or_else(|| config.global.log_tag.clone()),
            table: self.names.table(&name(draft)),
            error_replies: self.error_replies(diagnostics),
            captures: self.captures(&config.global, diagnostics),
            stats: self.stats(&config.global, diagnostics),
            description: draft.description.clone(),
            acls,
        };
        config.frontends.push(frontend);
    }

    fn captures(&self, global: &Global, diagnostics: &mut Diagnostics) -> Captures {
        let mut captures = self.draft.captures.clone();
        if let Some(cookie) = captures.cookie.as_mut().filter(|cookie| cookie.length > global.tuning.cookie) {
            cookie.length = global.tuning.cookie;
            let text = format!("'{}' keeps {} bytes of a cookie at most", name(self.draft), cookie.length);
            diagnostics
                .warning(self.at(), text)
                .help("'tune.http.cookielen' in the global section changes that");
        }
        captures
    }

    fn binds(&self, frontend: FrontendId, config: &mut Config, diagnostics: &mut Diagnostics) {
        let mut taken: BTreeMap<u32, Span> = BTreeMap::new();
        for bind in &self.draft.binds {
            let at = bind.address.span;
            let mut list = Vec::new();
            for part in bind.address.text.split(',') {
                match addresses(part) {
                    Ok(addresses) => list.extend(addresses),
                    Err(why) => {
                        diagnostics.error(at, format!("'bind' : {why}"));
                    }
                }
            }
            if let Some(id) = bind.options.id {
                if list.len() > 1 {
                    diagnostics.error(at, "'bind' : 'id' is for one address, and there are several");
                } else if let Some(other) = taken.insert(id, at) {
                    diagnostics.error(
                        at,
                        format!("'bind' : id {id} is that of the listener in line {}", other.line),
                    );
                }
            }
            for address in list {
                // The lowest number that no listener before has, as the original counts.
                let id =
                    bind.options.id.or_else(|| (1..).find(|id| !taken.contains_key(id))).unwrap_or_default();
                taken.entry(id).or_insert(at);
                config.binds.push(Bind {
                    frontend,
                    id,
                    name: bind.options.name.clone(),
                    address,
                    file: bind.options.file.clone(),
                    bytes: config.global.tuning.client,
                    v6only: bind.options.v6only,
                    backlog: bind.options.backlog.or(self.draft.backlog),
                    tls: bind.options.ssl.then(|| tls(&bind.options, self.files)),
                    at,
                });
            }
        }
    }

    fn use_backend(&self, acls: &AclSet, diagnostics: &mut Diagnostics) -> Vec<UseBackend> {
        let stage = if self.mode() == Mode::Http { Stage::Request } else { Stage::Connection };
        let mut rules = Vec::new();
        for line in self.of_kind(DeferredKind::UseBackend) {
            let Some((target, rest)) = line.words.split_first() else { continue };
            let condition = match rest.first() {
                None => None,
                Some(word) if matches!(word.text.as_str(), "if" | "unless") => {
                    match self.with_context(stage, false, |c| Condition::parse(rest, acls, c, diagnostics)) {
                        Some(condition) => Some(condition),
                        None => continue,
                    }
                }
                Some(word) => {
                    diagnostics
                        .error(word.span, format!("unexpected '{}' after the backend's name", word.text));
                    continue;
                }
            };
            let backend = if target.text.contains('%') {
                self.with_context(stage, false, |c| Format::parse(target, c, diagnostics))
                    .map(BackendChoice::Dynamic)
            } else {
                self.names.backend(target, self.is_http(), diagnostics).map(BackendChoice::Id)
            };
            if let Some(backend) = backend {
                rules.push(UseBackend { condition, backend });
            }
        }
        rules
    }

    fn log_format(&self, diagnostics: &mut Diagnostics) -> Option<Format> {
        let fixed = |text: &str| Word { text: text.to_owned(), span: self.at(), quoted: true };
        let word = match &self.draft.log_format {
            Some(LogFormat::Own(word)) => word.clone(),
            Some(LogFormat::Http) if self.mode() == Mode::Http => fixed(HTTPLOG),
            Some(LogFormat::Clf) if self.mode() == Mode::Http => fixed(CLFLOG),
            Some(LogFormat::Tcp) => fixed(TCPLOG),
            Some(LogFormat::Http | LogFormat::Clf) => fixed(TCPLOG),
            None if self.mode() == Mode::Http => fixed("Connect from %ci:%cp to %fi:%fp (%f/HTTP)"),
            None => fixed("Connect from %ci:%cp to %fi:%fp (%f/TCP)"),
        };
        self.with_context(Stage::Response, false, |c| Format::parse(&word, c, diagnostics))
    }

    fn backend(
        &self,
        own_frontend: Option<FrontendId>,
        global: &Global,
        diagnostics: &mut Diagnostics,
    ) -> Backend {
        let draft = self.draft;
        let (acls, inherited) = self.acls(diagnostics);
        let scope = (&acls, &inherited);
        let timeouts = draft.timeouts;
        if (timeouts.server.is_none() || timeouts.connect.is_none()) && !draft.servers.is_empty() {
            diagnostics.warning(self.at(), format!("missing timeouts for '{}'", name(draft))).help(
                "without 'timeout connect' and 'timeout server' a silent server holds its clients for ever",
            );
        }
        let mut stick = Vec::new();
        for line in self.of_kind(DeferredKind::Stick) {
            let stage = if self.mode() == Mode::Http { Stage::Request } else { Stage::Connection };
            stick.extend(
                self.with_context(stage, true, |c| StickRule::parse(&line.words, &acls, c, diagnostics)),
            );
        }
        let mut cookie = draft.cookie.clone();
        if cookie.is_some() && self.mode() == Mode::Tcp {
            diagnostics.warning(
                self.at(),
                format!("'cookie' is ignored in '{}', which is in mode tcp", name(draft)),
            );
            cookie = None;
        }
        Backend {
            proxy_id: draft.proxy_id,
            name: name(draft),
            mode: self.mode(),
            balance: self.balance(diagnostics),
            servers: self.servers(diagnostics),
            cookie,
            table: self.names.table(&name(draft)),
            stick,
            tcp_request_content: self.ruleset(RulesetKind::TcpRequestContent, scope, diagnostics),
            reuse: draft.reuse.unwrap_or_default(),
            http_request: self.ruleset(RulesetKind::HttpRequest, scope, diagnostics),
            redirects: self.redirects(&acls, diagnostics),
            http_response: self.ruleset(RulesetKind::HttpResponse, scope, diagnostics),
            httpchk: self.http_check(diagnostics),
            timeouts: Timeouts {
                client: timeouts.client.filter(|_| draft.is_frontend),
                tarpit: timeouts.tarpit.or(timeouts.connect),
                ..timeouts
            },
            options: backend_options(draft),
            retries: draft.retries.unwrap_or(3),
            redispatch: draft.redispatch,
            fullconn: draft.fullconn.unwrap_or(0),
            forward_for: draft.forward_for.clone().filter(|_| self.is_http()),
            error_replies: self.error_replies(diagnostics),
            stats: self.stats(global, diagnostics),
            description: draft.description.clone(),
            disabled: draft.disabled,
            own_frontend,
            log: self.log(global),
            log_tag: draft.log_tag.clone().or_else(|| global.log_tag.clone()),
            acls,
        }
    }

    /// The algorithm; what of a request is hashed has to be there.
    fn balance(&self, diagnostics: &mut Diagnostics) -> Balance {
        let balance = self.draft.balance.clone().unwrap_or_default();
        let needs_http =
            matches!(balance.algorithm.hash_of, Some(HashOf::Uri | HashOf::UrlParam | HashOf::Header));
        if needs_http && self.mode() == Mode::Tcp {
            let (algorithm, name) = (balance.algorithm.name(), name(self.draft));
            let text = format!("'balance {algorithm}' needs 'mode http': servers of '{name}' take turns");
            diagnostics.warning(self.at(), text);
            return Balance::default();
        }
        balance
    }

    /// The HTTP check; what belongs to one is ignored where there is none.
    fn http_check(&self, diagnostics: &mut Diagnostics) -> Option<HttpCheck> {
        let check = self.draft.httpchk.as_ref()?;
        if !check.enabled {
            let text = format!("'http-check' is ignored in '{}', without 'option httpchk'", name(self.draft));
            // What stands in the defaults is for the sections that have the option.
            if self.draft.has_check_lines {
                diagnostics.warning(self.at(), text);
            }
            return None;
        }
        let usual = || ("OPTIONS".to_owned(), "/".to_owned(), "HTTP/1.0".to_owned());
        let (method, uri, version) = check.line.clone().unwrap_or_else(usual);
        let expect = check.expect.clone();
        let expect = expect.unwrap_or(Expect { negated: false, what: Expected::Status(vec![(200, 399)]) });
        let (headers, body) = (check.headers.clone(), check.body.clone());
        Some(HttpCheck { method, uri, version, headers, body, expect })
    }

    fn log(&self, global: &Global) -> Vec<LogTarget> {
        let lines = self.draft.log.iter().flat_map(|line| match line {
            LogLine::Global => global.log.clone(),
            LogLine::Target(target) => vec![target.clone()],
        });
        // Each proxy counts the lines of a sample by itself.
        let own = |target: LogTarget| LogTarget {
            sample: target.sample.map(|sample| LogSample { lines: Arc::default(), ..sample }),
            ..target
        };
        lines.map(own).collect()
    }

    /// The statistics page: in mode http only.
    fn stats(&self, global: &Global, diagnostics: &mut Diagnostics) -> Option<StatsPage> {
        let mut page = self.draft.stats.clone()?;
        if self.mode() == Mode::Tcp {
            let text = format!("'stats' is ignored in '{}', which is in mode tcp", name(self.draft));
            diagnostics.warning(self.at(), text);
            return None;
        }
        let unless_empty = |text: &mut Option<String>, usual: &Option<String>| {
            if text.as_ref().is_some_and(String::is_empty) && usual.is_some() {
                text.clone_from(usual);
            }
        };
        unless_empty(&mut page.description, &global.description);
        unless_empty(&mut page.node, &global.node);
        for scope in &mut page.scope {
            if scope == "." {
                *scope = name(self.draft);
            }
        }
        Some(page)
    }

    fn servers(&self, diagnostics: &mut Diagnostics) -> Vec<Server> {
        let mut servers: Vec<Server> = Vec::new();
        let given: BTreeSet<u32> = self.draft.servers.iter().filter_map(|server| server.id).collect();
        let mut next = 1;
        for draft in &self.draft.servers {
            let (Some(name), Some(word)) = (&draft.name, &draft.address) else { continue };
            let address = match address::parse_socket(&word.text) {
                Ok(address) => address,
                Err(why) => {
                    match address::waiting(&word.text) {
                        Some(what) => diagnostics.later(word.span, what),
                        None => {
                            diagnostics.error(word.span, format!("'server {}' : {why}", name.text));
                        }
                    }
                    continue;
                }
            };
            // From its place on, the lowest number that no server has been given, as the original counts.
            let is_free = |id: &u32| !given.contains(id) && servers.iter().all(|server| server.id != *id);
            let id = draft.id.or_else(|| (next..).find(is_free)).unwrap_or(u32::MAX);
            next = if draft.id.is_some() { next + 1 } else { id.saturating_add(1) };
            if servers.iter().any(|s| s.id == id) {
                diagnostics.error(name.span, format!("server id {id} is used twice in this backend"));
            }
            servers.push(Server {
                id,
                has_own_id: draft.id.is_some(),
                name: name.text.clone(),
                address,
                weight: draft.weight.unwrap_or(1),
                maxconn: draft.maxconn.unwrap_or(0),
                maxqueue: draft.maxqueue.unwrap_or(0),
                backup: draft.backup.unwrap_or(false),
                disabled: draft.disabled.unwrap_or(false),
                cookie: draft.cookie.clone(),
                check: check(draft, diagnostics),
            });
        }
        servers
    }
}

/// What of the timeouts means something to a frontend. A tarpit without a time of its own lasts as long as a
/// connection may take to come about, which is the one thing a frontend takes from `timeout connect`.
fn frontend_timeouts(draft: &ProxyDraft) -> Timeouts {
    let timeouts = Timeouts { tarpit: draft.timeouts.tarpit.or(draft.timeouts.connect), ..draft.timeouts };
    if draft.is_backend {
        return timeouts;
    }
    Timeouts { server: None, connect: None, check: None, queue: None, tunnel: None, ..timeouts }
}

fn frontend_options(draft: &ProxyDraft) -> Options {
    if draft.is_backend {
        return draft.options;
    }
    Options { allbackups: false, redispatch: false, ..draft.options }
}

fn backend_options(draft: &ProxyDraft) -> Options {
    if draft.is_frontend {
        return draft.options;
    }
    Options { dontlognull: false, ..draft.options }
}

fn check(draft: &ServerDraft, diagnostics: &mut Diagnostics) -> Option<CheckSettings> {
    if draft.check != Some(true) {
        return None;
    }
    let address: Option<IpAddr> = draft.check_address.as_ref().and_then(|word| {
        let parsed = word.text.parse().ok();
        if parsed.is_none() {
            diagnostics.error(word.span, format!("'{}' is not an address", word.text));
        }
        parsed
    });
    Some(CheckSettings {
        inter: draft.inter.unwrap_or(USUAL_INTER),
        fast_inter: draft.fast_inter,
        down_inter: draft.down_inter,
        rise: draft.rise.unwrap_or(2),
        fall: draft.fall.unwrap_or(3),
        port: draft.port,
        address,
    })
}

fn tls(options: &BindOptions, files: Files<'_>) -> Tls {
    Tls {
        certificates: options.certificates.iter().map(|w| (files.path(w), w.span)).collect(),
        alpn: options.alpn.clone(),
        oldest: options.oldest,
        newest: options.newest,
        strict_sni: options.strict_sni,
    }
}

/// The addresses of one item of a bind line; a range of ports is several.
fn addresses(text: &str) -> Result<Vec<BindAddress>, String> {
    if let Some(special) = address::special(text) {
        return special.map(|address| vec![address]);
    }
    let Some((host, ports)) = text.rsplit_once(':') else { return Err(format!("'{text}' lacks a port")) };
    let Some((low, high)) = ports.split_once('-') else {
        let address = address::parse_socket(text)?;
        if address.port() == 0 {
            return Err(format!("'{text}' : 0 is no port to listen on"));
        }
        return Ok(vec![BindAddress::Tcp(address)]);
    };
    let number = |text: &str| text.parse::<u16>().map_err(|_| format!("'{ports}' is no range of ports"));
    let (low, high) = (number(low)?, number(high)?);
    if low == 0 || low > high || high - low >= MAX_PORTS {
        return Err(format!("'{ports}' is no range of at most {MAX_PORTS} ports"));
    }
    let (ip, _) = address::parse(&format!("{host}:{low}"))?;
    Ok((low..=high).map(|port| BindAddress::Tcp(SocketAddr::new(ip, port))).collect())
}
