//! Rules, conditions, formats and stick rules by what they do to one exchange, without a proxy around it. That they do
//! what HAProxy's do is shown elsewhere, beside it; these say at once which of them a change has broken.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_lang::{Diagnostics, Sources, Word, lex};
use proxy_rules::{
    AclSet, Condition, Content, Context, DateForm, Exchange, Final, Format, LogFacts, Rule, Ruleset,
    RulesetKind, Stage, StickRule, Tracked, Verdict, View, Wait,
};
use proxy_table::{DataType, KeyType, Schema, Table, TableId, parse_store};
use proxy_wire::h1::{self, Head, Limits};

const NOW_MS: u64 = 5_000_000;
const REQUEST: &str = "POST /a/b.php?x=1&y=two&x=3 HTTP/1.1\r\nHost: WWW.example.com:8080\r\nX-A: one, two\r\nX-A: three\r\n\
     X-N: 7, 9\r\nX-I: 10.0.0.1, 10.0.0.2\r\nCookie: c=1; d=\"q\"\r\nCookie: c=3\r\nContent-Length: 3\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 404 Gone\r\nServer: s, t\r\nSet-Cookie: k=v; path=/\r\nSet-Cookie: l=8\r\nContent-Length: 0\r\n\r\n";

struct Process {
    table: Arc<Table>,
}

impl View for Process {
    fn table(&self, _: TableId) -> &Arc<Table> {
        &self.table
    }
    fn nbsrv(&self, backend: &str) -> u32 {
        if backend == "app" { 3 } else { 0 }
    }
    fn is_master(&self) -> bool {
        true
    }
    fn connections(&self, _: usize, backend: Option<usize>, server: Option<usize>) -> [u64; 4] {
        [11, 12, backend.map_or(0, |_| 13), server.map_or(0, |_| 14)]
    }
    fn unix_ms(&self, core_ms: u64) -> u64 {
        core_ms + 1_000_000
    }
    fn date(&self, core_ms: u64, form: DateForm) -> String {
        format!("{form:?}@{core_ms}")
    }
    fn pid(&self) -> u32 {
        4711
    }
}

/// An exchange with a client and everything rules may look at.
struct World {
    process: Process,
    request: Head,
    response: Head,
    tracked: [Option<Tracked>; 3],
    acls: AclSet,
}

fn head(text: &str, is_request: bool) -> Head {
    let mut head = Head::default();
    let parse = if is_request { h1::parse_request } else { h1::parse_response };
    assert!(parse(text.as_bytes(), &Limits::default(), &mut head).is_ok(), "{text}");
    head
}

fn words(text: &str) -> Vec<Word> {
    let mut sources = Sources::default();
    let file = sources.add("test", text);
    let mut diagnostics = Diagnostics::default();
    let lines = lex(&sources, file, &|_| None, &mut diagnostics);
    lines.into_iter().next().map(|line| line.words).unwrap_or_default()
}

impl World {
    fn new() -> Self {
        let mut columns: Vec<_> =
            ["gpc0", "conn_cnt", "http_req_rate(10s)", "gpt0", "server_id", "server_key"]
                .iter()
                .map(|s| parse_store(s).unwrap())
                .collect();
        columns.sort_by_key(|column| column.data_type);
        let key = KeyType::Ip;
        let schema = Schema {
            name: "t".into(),
            key,
            size: 100,
            expire_ms: Some(60_000),
            nopurge: false,
            peers: None,
            columns,
        };
        let table = Arc::new(Table::new(schema, 7));
        Self {
            process: Process { table },
            request: head(REQUEST, true),
            response: head(RESPONSE, false),
            tracked: [None, None, None],
            acls: AclSet::default(),
        }
    }

    /// Does something with the exchange.
    fn with<R>(&mut self, run: impl FnOnce(&mut Exchange<'_>, &Process, &AclSet) -> R) -> R {
        let captured = [Some(b"cap".to_vec()), None];
        let mut exchange = Exchange {
            now_ms: NOW_MS + 105,
            client: SocketAddr::from(([192, 0, 2, 7], 40_000)),
            local: SocketAddr::from(([192, 0, 2, 1], 8_080)),
            ssl: false,
            frontend: "web",
            backend: "app",
            server: "s1",
            request: Some(&mut self.request),
            response: Some(&mut self.response),
            tracked: &mut self.tracked,
            received: 77,
            is_final: true,
            may_change: Cell::new(false),
            facts: LogFacts {
                accepted: NOW_MS,
                handshake_ms: 2,
                began: Some(NOW_MS + 5),
                requested: Some(NOW_MS + 15),
                dequeued: Some(NOW_MS + 35),
                connected: Some(NOW_MS + 65),
                responded: Some(NOW_MS + 105),
                status: Some(404),
                bytes_out: 1_234,
                bytes_in: 567,
                termination: *b"cD",
                cookie: *b"VN",
                place: (0, Some(0), Some(0)),
                retries: 2,
                redispatched: true,
                queues: [3, 4],
                request: b"POST /a/b.php?x=1 HTTP/1.1",
                request_headers: &captured,
                response_headers: &captured,
                cookies: [Some(b"c=1"), None],
                ..LogFacts::default()
            },
        };
        run(&mut exchange, &self.process, &self.acls)
    }

    /// Reads something in the place where everything is known.
    fn read<R>(&self, stage: Stage, read: impl FnOnce(&Context<'_>, &AclSet, &mut Diagnostics) -> R) -> R {
        let schemas = std::slice::from_ref(self.process.table.schema());
        let context = Context {
            table: &|name| (name == "t").then_some(TableId(0)),
            own_table: Some(TableId(0)),
            schemas,
            backend_exists: &|name| name == "app",
            backend: "app",
            file: &|word| {
                if word.text == "list" {
                    Ok("192.0.2.7\n# no\n\n".to_owned())
                } else {
                    Err("gone".to_owned())
                }
            },
            pages: &BTreeMap::new(),
            stage,
            http: true,
        };
        let mut diagnostics = Diagnostics::default();
        let read = read(&context, &self.acls, &mut diagnostics);
        let said: Vec<String> = diagnostics.iter().map(|said| said.message.clone()).collect();
        assert_eq!(diagnostics.errors(), 0, "{said:?}");
        read
    }

    fn acl(&mut self, text: &str) {
        let mut acls = std::mem::take(&mut self.acls);
        self.read(Stage::Request, |context, _, diagnostics| acls.declare(&words(text), context, diagnostics));
        self.acls = acls;
    }

    fn format(&mut self, text: &str, in_log: bool) -> String {
        let word = Word { text: text.to_owned(), ..words("x").remove(0) };
        let format = self
            .read(Stage::Response, |context, _, diagnostics| Format::parse(&word, context, diagnostics))
            .unwrap();
        let bytes = self.with(|exchange, process, _| {
            if in_log {
                let mut out = Vec::new();
                format.render(exchange, process, &mut out);
                out
            } else {
                format.evaluate(exchange, process)
            }
        });
        String::from_utf8(bytes).unwrap()
    }

    fn holds(&mut self, text: &str) -> bool {
        let condition = self.read(Stage::Response, |context, acls, diagnostics| {
            Condition::parse(&words(text), acls, context, diagnostics)
        });
        let condition = condition.unwrap_or_else(|| panic!("{text}"));
        self.with(|exchange, process, acls| condition.holds(acls, exchange, process))
    }

    fn run(&mut self, kind: RulesetKind, lines: &[&str]) -> Verdict {
        let mut rules = Ruleset::default();
        for line in lines {
            let stage = if kind == RulesetKind::HttpResponse { Stage::Response } else { Stage::Request };
            let rule = self.read(stage, |context, acls, diagnostics| {
                Rule::parse(kind, &words(line), acls, context, diagnostics)
            });
            rules.extend([rule.unwrap_or_else(|| panic!("{line}"))]);
        }
        self.with(|exchange, process, acls| rules.eval(0, acls, exchange, process))
    }
}

fn fields(head: &Head) -> Vec<String> {
    head.fields()
        .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
        .collect()
}

#[test]
fn fetches_find_what_they_are_named_for() {
    for (expr, expected) in [
        ("src", "192.0.2.7"),
        ("src_port", "40000"),
        ("dst", "192.0.2.1"),
        ("dst_port", "8080"),
        ("method", "POST"),
        ("path", "/a/b.php"),
        ("pathq", "/a/b.php?x=1&y=two&x=3"),
        ("query", "x=1&y=two&x=3"),
        ("url", "/a/b.php?x=1&y=two&x=3"),
        ("base", "WWW.example.com:8080/a/b.php"),
        ("req.ver", "1.1"),
        ("req.hdr(x-a)", "three"),
        ("req.hdr(x-a,1)", "one"),
        ("req.hdr(x-a,-2)", "two"),
        ("req.hdr(x-a,9)", ""),
        ("req.fhdr(x-a)", "three"),
        ("req.fhdr(x-a,1)", "one, two"),
        ("req.hdr_cnt(x-a)", "3"),
        ("req.fhdr_cnt(x-a)", "2"),
        ("req.hdr_val(x-n)", "9"),
        ("req.hdr_val(x-n,1)", "7"),
        ("req.hdr_ip(x-i,1)", "10.0.0.1"),
        ("req.hdr_cnt(none)", "0"),
        ("req.cook(c)", "3"),
        ("req.cook(d)", "\"q\""),
        ("req.cook_cnt(c)", "2"),
        ("req.cook_val(c)", "3"),
        ("urlp(x)", "1"),
        ("urlp(y)", "two"),
        ("urlp(none)", ""),
        ("urlp_val(x)", "1"),
        ("status", "404"),
        ("res.hdr(server)", "t"),
        ("res.fhdr(server)", "s, t"),
        ("res.hdr_cnt(server)", "2"),
        ("res.cook(l)", "8"),
        ("res.cook_val(l)", "8"),
        ("res.ver", "1.1"),
        ("fe_name", "web"),
        ("be_name", "app"),
        ("nbsrv(app)", "3"),
        ("nbsrv", "3"),
        ("ssl_fc", "0"),
        ("always_true", "1"),
        ("always_false", "0"),
        ("str(a b)", "a b"),
        ("src_conn_cnt", "0"),
    ] {
        assert_eq!(World::new().format(&format!("%[{expr}]"), false), expected, "{expr}");
    }
}

#[test]
fn log_fields_write_what_they_are_named_for() {
    for (field, expected) in [
        ("%ci:%cp", "192.0.2.7:40000"),
        ("%fi:%fp", "192.0.2.1:8080"),
        ("%f/%ft/%b/%s", "web/web/app/s1"),
        ("%TR/%Tw/%Tc/%Tr/%Ta", "10/20/30/40/100"),
        ("%Th/%Ti", "2/3"),
        ("%ST/%B/%U", "404/1234/567"),
        ("%ac/%fc/%bc/%sc/%rc", "11/12/13/14/+2"),
        ("%sq/%bq", "3/4"),
        ("%ts/%tsc", "cD/cDVN"),
        ("%CC/%CS", "c=1/-"),
        ("%hr/%hs", "{cap|}/{cap|}"),
        ("%{+Q}r", "\"POST /a/b.php?x=1 HTTP/1.1\""),
        ("%HM %HP %HU %HV", "POST /a/b.php /a/b.php?x=1 HTTP/1.1"),
        ("%HQ", "?x=1"),
        ("%pid", "4711"),
        ("%%x", "%x"),
        ("%{+X}ci", "C0000207"),
        ("a  b", "a b"),
    ] {
        assert_eq!(World::new().format(field, true), expected, "{field}");
    }
}

#[test]
fn conditions_hold_for_any_value_and_any_alternative() {
    for (condition, expected) in [
        ("if { path /a/b.php }", true),
        ("unless { path /a/b.php }", false),
        ("if ! { path /a/b.php }", false),
        ("if !{ path /x }", true),
        ("if { path_beg /a } { path_end .php }", true),
        ("if { path_beg /a } { path_end .html }", false),
        ("if { path_beg /x } || { path_end .php }", true),
        ("if { path_beg /x } or { path_end .html }", false),
        ("if { path_dir a } { path_sub b.p } { path_dom a }", true),
        ("if { path_dir b }", false),
        ("if { path -m beg /a }", true),
        ("if { path -m str /A/B.PHP }", false),
        ("if { path -i /A/B.PHP }", true),
        ("if { hdr(x-a) two }", true),
        ("if { hdr(x-a) -m found }", true),
        ("if { hdr(none) -m found }", false),
        ("if { hdr_val(x-n) gt 8 }", true),
        ("if { hdr_val(x-n) ge 10 }", false),
        ("if { hdr_val(x-n) lt 8 }", true),
        ("if { hdr_val(x-n) le 6 }", false),
        ("if { hdr_val(x-n) eq 7 }", true),
        ("if { hdr_val(x-n) 3:7 }", true),
        ("if { hdr_val(x-n) 10: }", false),
        ("if { hdr_cnt(x-a) 3 }", true),
        ("if { src 192.0.2.0/24 }", true),
        ("if { src 10.0.0.0/8 192.0.2.7 }", true),
        ("if { src -f list }", true),
        ("if { src 10.0.0.0/8 }", false),
        ("if { hdr_ip(x-i) 10.0.0.2 }", true),
        ("if { method POST }", true),
        ("if { method GET HEAD }", false),
        ("if METH_POST", true),
        ("if METH_GET", false),
        ("if TRUE !FALSE", true),
        ("if HTTP_1.1", true),
        ("if { always_true }", true),
        ("if { status 400:499 }", true),
        ("if { urlp(x) 3 }", true),
        ("if { cook(c) 1 }", true),
        ("if { src_conn_cnt lt 5 }", true),
        ("if { str(a) -m str -- -f a }", true),
    ] {
        assert_eq!(World::new().holds(condition), expected, "{condition}");
    }
}

#[test]
fn conditions_of_one_name_are_alternatives() {
    let mut world = World::new();
    world.acl("good path_beg /x");
    world.acl("good path_beg /a");
    world.acl("bad hdr(x-a) nobody");
    assert!(world.holds("if good"));
    assert!(!world.holds("if bad"));
    assert!(world.holds("if good !bad"));
    assert!(!world.holds("if good bad"));
    world.acls.hide();
    let said = {
        let mut diagnostics = Diagnostics::default();
        let schemas: [Schema; 0] = [];
        let context = Context {
            table: &|_| None,
            own_table: None,
            schemas: &schemas,
            backend_exists: &|_| false,
            backend: "",
            file: &|_| Err(String::new()),
            pages: &BTreeMap::new(),
            stage: Stage::Request,
            http: true,
        };
        Condition::parse(&words("if good"), &world.acls, &context, &mut diagnostics);
        diagnostics.errors()
    };
    assert_eq!(said, 1, "hidden names are unknown");
}

#[test]
fn actions_change_the_message_they_stand_for() {
    let mut world = World::new();
    let lines = [
        "set-header x-new %[src]",
        "add-header x-a four",
        "del-header x-n",
        "set-method PUT",
        "set-path /p%[path]",
        "set-query z=%[src_port]",
    ];
    assert_eq!(world.run(RulesetKind::HttpRequest, &lines), Verdict::Done);
    assert_eq!(world.request.method(), b"PUT");
    assert_eq!(world.request.target(), b"/p/a/b.php?z=40000");
    let all = fields(&world.request).join("|");
    assert!(all.contains("|x-new=192.0.2.7|x-a=four") && !all.contains("x-n="), "{all}");
    assert_eq!(world.run(RulesetKind::HttpRequest, &["set-pathq /q?r=s"]), Verdict::Done);
    assert_eq!(world.request.target(), b"/q?r=s");
    assert_eq!(world.run(RulesetKind::HttpRequest, &["set-uri http://other/u"]), Verdict::Done);
    assert_eq!((world.request.target(), world.request.host()), (&b"http://other/u"[..], Some(&b"other"[..])));
    let lines = ["set-header server x", "del-header set-cookie", "add-header x-s %[status]"];
    assert_eq!(world.run(RulesetKind::HttpResponse, &lines), Verdict::Done);
    assert_eq!(fields(&world.response).join("|"), "content-length=0|server=x|x-s=404");
}

#[test]
fn last_words_end_the_rules() {
    let page = |verdict: Verdict| match verdict {
        Verdict::Stop(Final::Deny(reply) | Final::Reply(reply)) => Some((reply.status, reply.body.clone())),
        Verdict::Suspend { why: Wait::Tarpit(reply), .. } => Some((reply.status, reply.body.clone())),
        Verdict::Done | Verdict::Stop(_) | Verdict::Suspend { .. } => None,
    };
    let run = |lines: &[&str]| World::new().run(RulesetKind::HttpRequest, lines);
    assert_eq!(page(run(&["deny"])), Some((403, Content::Page)));
    assert_eq!(page(run(&["deny deny_status 429", "return status 200"])), Some((429, Content::Page)));
    assert_eq!(
        page(run(&["deny if { path /x }", "return status 200 content-type text/plain string hi"])),
        Some((200, Content::Bytes(b"hi".to_vec())))
    );
    assert_eq!(
        page(run(&["return status 201 content-type text/plain lf-string %[src]"])),
        Some((201, Content::Bytes(b"192.0.2.7".to_vec())))
    );
    assert_eq!(page(run(&["tarpit deny_status 503"])), Some((503, Content::Page)));
    assert_eq!(run(&["allow", "deny"]), Verdict::Stop(Final::Allow));
    assert_eq!(run(&["silent-drop"]), Verdict::Stop(Final::Drop));
    assert_eq!(run(&["reject"]), Verdict::Stop(Final::Reject));
    let tcp = |line: &str| World::new().run(RulesetKind::TcpRequestConnection, &[line]);
    assert_eq!(tcp("accept"), Verdict::Stop(Final::Allow));
    assert_eq!(tcp("reject if { src 192.0.2.7 }"), Verdict::Stop(Final::Reject));
    assert_eq!(tcp("reject if { src 10.0.0.1 }"), Verdict::Done);
}

#[test]
fn redirects_say_where_to_go() {
    let to = |line: &str| {
        let Verdict::Stop(Final::Reply(reply)) = World::new().run(RulesetKind::HttpRequest, &[line]) else {
            panic!("{line}");
        };
        assert!(reply.is_redirect);
        let field = |name: &str| {
            let found = reply.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        (reply.status, field("location").unwrap_or_default(), field("set-cookie"))
    };
    let none = None::<String>;
    assert_eq!(to("redirect location /l"), (302, "/l".to_owned(), none.clone()));
    assert_eq!(to("redirect location /%[method] code 301"), (301, "/POST".to_owned(), none.clone()));
    assert_eq!(
        to("redirect prefix http://o"),
        (302, "http://o/a/b.php?x=1&y=two&x=3".to_owned(), none.clone())
    );
    assert_eq!(to("redirect prefix http://o drop-query"), (302, "http://o/a/b.php".to_owned(), none.clone()));
    assert_eq!(
        to("redirect prefix http://o drop-query append-slash"),
        (302, "http://o/a/b.php/".to_owned(), none.clone())
    );
    assert_eq!(to("redirect prefix / code 307"), (307, "/a/b.php?x=1&y=two&x=3".to_owned(), none.clone()));
    assert_eq!(
        to("redirect scheme https code 308"),
        (308, "https://WWW.example.com:8080/a/b.php?x=1&y=two&x=3".to_owned(), none)
    );
    let (status, location, cookie) = to("redirect location /c set-cookie S=1 code 303");
    assert_eq!((status, location.as_str()), (303, "/c"));
    assert!(cookie.unwrap().starts_with("S=1; path=/;"), "set-cookie");
    let cleared = to("redirect location /c clear-cookie S").2.unwrap();
    assert!(cleared.starts_with("S; path=/; Max-Age=0;"), "{cleared}");
}

#[test]
fn what_is_tracked_is_counted() {
    let mut world = World::new();
    let lines =
        ["track-sc0 src", "track-sc1 src table t", "sc-inc-gpc0(0)", "sc-inc-gpc0(1)", "sc-inc-gpc0(2)"];
    assert_eq!(world.run(RulesetKind::HttpRequest, &lines), Verdict::Done);
    assert!(world.tracked[0].is_some() && world.tracked[1].is_some() && world.tracked[2].is_none());
    for expr in [
        "sc0_get_gpc0",
        "sc1_get_gpc0",
        "sc_get_gpc0(0)",
        "sc_get_gpc0(1)",
        "src_get_gpc0",
        "src_get_gpc0(t)",
        "sc0_get_gpc0(t)",
    ] {
        assert_eq!(world.format(&format!("%[{expr}]"), false), "2", "{expr}");
    }
    for expr in ["sc2_get_gpc0", "sc_get_gpc0(2)"] {
        assert_eq!(world.format(&format!("%[{expr}]"), false), "", "{expr}: nothing is tracked");
    }
    assert_eq!(world.format("%[sc0_http_err_cnt]", false), "", "the table does not store it");
    assert!(world.holds("if { sc0_get_gpc0 gt 1 }") && !world.holds("if { sc0_get_gpc0 gt 2 }"));
    assert!(!world.holds("if { sc0_http_err_cnt lt 5 }"), "no value is no small one");
}

#[test]
fn stick_rules_store_a_server_and_find_it() {
    let mut world = World::new();
    let rule = |world: &World, text: &str| {
        world.read(Stage::Request, |context, acls, diagnostics| {
            StickRule::parse(&words(text), acls, context, diagnostics).unwrap()
        })
    };
    let (on, only, store) = (
        rule(&world, "on src"),
        rule(&world, "match src table t"),
        rule(&world, "store-request src if { path /x }"),
    );
    assert!(
        on.matches() && on.stores() && only.matches() && !only.stores() && !store.matches() && store.stores()
    );
    world.with(|exchange, process, acls| {
        assert!(on.applies(acls, exchange, process) && !store.applies(acls, exchange, process));
        assert!(only.lookup(exchange, process).is_none());
        on.store(exchange, process, 5, "s5");
        let stuck = only.lookup(exchange, process).unwrap();
        assert_eq!((stuck.name.as_deref(), stuck.id), (Some("s5"), 5));
    });
    let key = KeyType::Ip.of_address("192.0.2.7".parse().unwrap()).unwrap();
    assert_eq!(world.process.table.peek(&key, NOW_MS, |row| row.number(DataType::ServerId, NOW_MS)), Some(5));
}

#[test]
fn rules_that_are_mistakes_say_what_is_wrong() {
    let world = World::new();
    let said = |kind: RulesetKind, text: &str| {
        let schemas = std::slice::from_ref(world.process.table.schema());
        let context = Context {
            table: &|_| None,
            own_table: None,
            schemas,
            backend_exists: &|_| false,
            backend: "",
            file: &|_| Err("gone".to_owned()),
            pages: &BTreeMap::new(),
            stage: Stage::Request,
            http: true,
        };
        let mut diagnostics = Diagnostics::default();
        Rule::parse(kind, &words(text), &AclSet::default(), &context, &mut diagnostics);
        diagnostics.iter().map(|said| said.message.clone()).collect::<Vec<_>>().join("|")
    };
    for (kind, text, part) in [
        (RulesetKind::HttpRequest, "dney", "has no action 'dney'"),
        (RulesetKind::HttpResponse, "set-path /x", "'set-path' cannot stand"),
        (RulesetKind::TcpRequestConnection, "set-header a b", "'set-header' cannot stand"),
        (RulesetKind::HttpRequest, "deny if nobody", "nobody"),
        (RulesetKind::HttpRequest, "track-sc0 src", "no stick-table"),
        (RulesetKind::HttpRequest, "track-sc0 src table u", "'u'"),
        (RulesetKind::HttpRequest, "set-header", "expects"),
        (RulesetKind::HttpRequest, "deny if { src -f nowhere }", "gone"),
        (RulesetKind::HttpRequest, "deny if { path_bge /x }", "path_bge"),
        (RulesetKind::HttpRequest, "return status 99", "99"),
        (RulesetKind::HttpRequest, "redirect location /x code 200", "200"),
        (RulesetKind::HttpRequest, "sc-inc-gpc0(9)", "9"),
        (RulesetKind::HttpRequest, "set-header a %[nonsense]", "nonsense"),
        (RulesetKind::HttpRequest, "set-header a %nonsense", "nonsense"),
    ] {
        let said = said(kind, text);
        assert!(said.contains(part), "{text}: {said}");
    }
}
