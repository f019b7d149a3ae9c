//! A group of servers: how one is chosen, how a client comes back to it, what is stored.

use proxy_backend::balance;
use proxy_lang::{
    Arg, Args, Diagnostics, Keyword, Sections, Spec, Status, Unit, Word, nearest, parse_duration, parse_size,
};
use proxy_table::{KeyType, Schema, parse_store};

use super::spec;
use crate::draft::{ProxyDraft, TableDraft};
use crate::model::{Balance, Cookie, CookieMode, Expect, Expected, HttpReuse};

const BACK: Sections = Sections::BACKEND.or(Sections::LISTEN);
const BACK_OR_DEFAULTS: Sections = BACK.or(Sections::DEFAULTS);
/// Length of a text key where the file gives none, as in HAProxy.
const USUAL_TEXT: u32 = 32;

pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword {
        spec: Spec {
            names: &["balance"],
            args: &[Arg::Optional(&Arg::Word("algorithm")), Arg::Rest("parameters")],
            status: Status::Partial(
                "the algorithms hash and rdp-cookie, and url_param's check_post, are not built",
            ),
            doc: "How a server is chosen; the algorithms have a page of their own.",
            example: "balance roundrobin",
        },
        sections: BACK_OR_DEFAULTS,
        negatable: false,
        apply: balance,
    },
    Keyword {
        spec: Spec {
            names: &["cookie"],
            args: &[Arg::Word("name"), Arg::Rest("options")],
            status: Status::Partial("its option dynamic is not built"),
            doc: "The cookie that brings a client back to its server.",
            example: "cookie SRV insert indirect nocache",
        },
        sections: BACK_OR_DEFAULTS,
        negatable: false,
        apply: cookie,
    },
    Keyword {
        spec: spec!(
            &["fullconn"],
            &[Arg::Int("connections", 0, 10_000_000)],
            "Connections at which servers reach their maxconn; 0 is as without the line.",
            "fullconn 1000"
        ),
        sections: BACK_OR_DEFAULTS,
        negatable: false,
        apply: |d, a, _| d.fullconn = u32::try_from(a.int(0)).ok().filter(|most| *most > 0),
    },
    Keyword {
        spec: spec!(
            Status::Partial("only status and string, without options before them"),
            &["http-check expect"],
            &[Arg::Words("[!] status <list> | string <text>")],
            "What a check's answer must be, or must not.",
            "http-check expect status 200-299"
        ),
        sections: BACK_OR_DEFAULTS,
        negatable: false,
        apply: expect,
    },
    Keyword {
        spec: spec!(
            Status::Partial("its values are texts, no formats; uri-lf, body-lf and comment are not built"),
            &["http-check send"],
            &[Arg::Words("meth <method> uri <uri> ver <version> hdr <name> <value> body <text>")],
            "What a check asks.",
            "http-check send meth GET uri /health hdr host app"
        ),
        sections: BACK_OR_DEFAULTS,
        negatable: false,
        apply: send,
    },
    Keyword {
        spec: spec!(
            &["http-reuse"],
            &[Arg::OneOf("how", &["never", "safe", "aggressive", "always"])],
            "Which requests an idle server connection carries: those of its own client only, any but a client's \
             first one (the default), a first one by a connection that was used again before, any.",
            "http-reuse safe"
        ),
        sections: BACK_OR_DEFAULTS,
        negatable: false,
        apply: |d, a, _| {
            d.reuse = Some(match a.word(0).as_str() {
                "never" => HttpReuse::Never,
                "aggressive" => HttpReuse::Aggressive,
                "always" => HttpReuse::Always,
                _ => HttpReuse::Safe,
            });
        },
    },
    Keyword {
        spec: spec!(
            &["retries"],
            &[Arg::Int("attempts", 0, 1000)],
            "How often a failed connection is tried again.",
            "retries 3"
        ),
        sections: BACK_OR_DEFAULTS,
        negatable: false,
        apply: |d, a, _| d.retries = u32::try_from(a.int(0)).ok(),
    },
    Keyword {
        spec: spec!(
            &["stick-table"],
            &[Arg::Words("type <type> size <size> [expire <time>] [nopurge] [store <types>]")],
            "What is remembered about clients.",
            "stick-table type ip size 100k expire 30s store conn_rate(3s)"
        ),
        sections: Sections::FRONTEND.or(BACK),
        negatable: false,
        apply: table,
    },
];

/// Algorithms that are known and not built yet.
const OTHER_BALANCE: &[&str] = &["hash", "log-hash", "rdp-cookie"];
/// Most servers that `balance random` draws.
const MAX_DRAWS: u32 = 1_024;

fn balance(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let Some(word) = args.optional_word(0) else {
        draft.balance = Some(Balance::default());
        return;
    };
    let (name, argument) = match word.text.split_once('(') {
        Some((name, argument)) => (name, argument.strip_suffix(')')),
        None => (word.as_str(), None),
    };
    let Some(algorithm) = balance::named(name) else {
        if OTHER_BALANCE.contains(&name) {
            diagnostics.later(word.span, &format!("balance {name}"));
            return;
        }
        let known = || balance::TABLE.iter().map(balance::Algorithm::name);
        let near = nearest(name, known().chain(OTHER_BALANCE.iter().copied()));
        diagnostics.error(word.span, format!("'{name}' is no balance algorithm")).help(near.map_or_else(
            || known().collect::<Vec<_>>().join(", "),
            |near| format!("did you mean '{near}'?"),
        ));
        return;
    };
    let mut balance = Balance::by(algorithm);
    let mut rest = args.words(1);
    match (name, argument) {
        ("hdr", Some(field)) if !field.is_empty() => {
            field.clone_into(&mut balance.name);
            if let [word, after @ ..] = rest
                && word.text == "use_domain_only"
            {
                balance.use_domain_only = true;
                rest = after;
            }
        }
        ("hdr", _) => {
            diagnostics.error(word.span, "'balance hdr' expects the name of a header field in parentheses");
        }
        ("random", None) if word.text == "random" => {}
        ("random", draws) => {
            let draws = draws.and_then(|draws| draws.parse().ok()).filter(|n| (1..=MAX_DRAWS).contains(n));
            match draws {
                Some(draws) => balance.draws = draws,
                None => {
                    diagnostics
                        .error(word.span, format!("'balance random' expects a number from 1 to {MAX_DRAWS}"));
                }
            }
        }
        ("url_param", _) => {
            let Some((name, after)) = rest.split_first() else {
                diagnostics.error(word.span, "'balance url_param' expects the name of a parameter");
                return;
            };
            name.text.clone_into(&mut balance.name);
            rest = after;
            if let Some(word) = rest.first().filter(|word| word.text == "check_post") {
                diagnostics.later(word.span, "balance url_param check_post");
                rest = &[];
            }
        }
        ("uri", _) => rest = uri(&mut balance, rest, diagnostics),
        _ => {}
    }
    if let Some(extra) = rest.first() {
        diagnostics.error(extra.span, format!("'balance {name}' does not understand '{}'", extra.text));
    }
    draft.balance = Some(balance);
}

/// Reads what of a target is hashed; returns what is left over.
fn uri<'w>(balance: &mut Balance, mut rest: &'w [Word], diagnostics: &mut Diagnostics) -> &'w [Word] {
    loop {
        let number = |at: &[Word]| at.first().and_then(|n| n.text.parse().ok()).filter(|n: &usize| *n > 0);
        rest = match rest {
            [word, after @ ..] if word.text == "whole" => {
                balance.uri.whole = true;
                after
            }
            [word, after @ ..] if word.text == "path-only" => {
                balance.uri.path_only = true;
                after
            }
            [word, after @ ..] if matches!(word.text.as_str(), "len" | "depth") => {
                let value = number(after);
                if value.is_none() {
                    diagnostics.error(word.span, format!("'{}' expects a number above 0", word.text));
                }
                if word.text == "len" {
                    balance.uri.length = value;
                } else {
                    balance.uri.depth = value;
                }
                after.get(1..).unwrap_or_default()
            }
            _ => return rest,
        };
    }
}

/// Longest time for which a cookie's dates count, 68 years: they are seconds of 31 bits.
const MAX_COOKIE_AGE: u64 = (1 << 31) - 1;

/// The options of `cookie`.
pub const COOKIE_OPTIONS: &[Spec] = &[
    Spec::full(
        &["attr"],
        &[Arg::Word("attribute")],
        "Is added to what is set.",
        "cookie S insert attr SameSite=Lax",
    ),
    Spec::full(
        &["domain"],
        &[Arg::Word("domain")],
        "Where it is sent.",
        "cookie S insert domain .example.org",
    ),
    Spec::later(&["dynamic"], &[], "Servers' values are made of their addresses.", "cookie S insert dynamic"),
    Spec::full(&["httponly"], &[], "Scripts do not see it.", "cookie S insert httponly"),
    Spec::full(&["indirect"], &[], "Servers do not see it.", "cookie S insert indirect"),
    Spec::full(
        &["insert"],
        &[],
        "The proxy sets it where a client has none for its server.",
        "cookie S insert",
    ),
    Spec::full(
        &["maxidle"],
        &[Arg::Duration("time", Unit::Seconds)],
        "For how long it counts after it was last seen.",
        "cookie S insert maxidle 30m",
    ),
    Spec::full(
        &["maxlife"],
        &[Arg::Duration("time", Unit::Seconds)],
        "For how long it counts after it was first seen.",
        "cookie S insert maxlife 8h",
    ),
    Spec::full(&["nocache"], &[], "A response that sets it is not for caches.", "cookie S insert nocache"),
    Spec::full(&["postonly"], &[], "Is set in answers to POST only.", "cookie S insert postonly"),
    Spec::full(
        &["prefix"],
        &[],
        "The server's value is put before that of its own cookie.",
        "cookie S prefix",
    ),
    Spec::full(&["preserve"], &[], "A cookie that the server sets itself stays.", "cookie S insert preserve"),
    Spec::full(&["rewrite"], &[], "The server's value takes the place of that it sets.", "cookie S rewrite"),
    Spec::full(&["secure"], &[], "Is for encrypted connections only.", "cookie S insert secure"),
];

fn cookie(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let mut cookie = Cookie { name: args.text(0), ..Cookie::default() };
    let mut rest = args.words(1);
    while let [option, after @ ..] = rest {
        rest = after;
        let mode = match option.text.as_str() {
            "insert" => CookieMode::Insert,
            "rewrite" => CookieMode::Rewrite,
            "prefix" => CookieMode::Prefix,
            _ => CookieMode::Passive,
        };
        match option.text.as_str() {
            "insert" | "rewrite" | "prefix" => {
                if cookie.mode != CookieMode::Passive {
                    diagnostics.error(option.span, "'cookie' takes one of 'insert', 'rewrite' and 'prefix'");
                }
                cookie.mode = mode;
            }
            "indirect" => cookie.indirect = true,
            "nocache" => cookie.nocache = true,
            "postonly" => cookie.postonly = true,
            "preserve" => cookie.preserve = true,
            "httponly" => cookie.httponly = true,
            "secure" => cookie.secure = true,
            "dynamic" => diagnostics.later(option.span, "cookie ... dynamic"),
            "domain" | "attr" | "maxidle" | "maxlife" => {
                let Some((value, after)) = rest.split_first() else {
                    diagnostics.error(option.span, format!("'{}' expects an argument", option.text));
                    return;
                };
                rest = after;
                if value.text.bytes().any(|byte| byte.is_ascii_control() || byte == b';') {
                    let text = format!("'{}' cannot be part of a cookie", value.text.escape_default());
                    diagnostics.error(value.span, text);
                }
                match option.text.as_str() {
                    "domain" => {
                        if !value.text.trim_start_matches('.').contains('.') {
                            let text =
                                format!("'{}' has no dot inside: clients refuse such a domain", value.text);
                            diagnostics.warning(value.span, text);
                        }
                        cookie.domains.push(value.text.clone());
                    }
                    "attr" => cookie.attributes.push(value.text.clone()),
                    name => {
                        let seconds = parse_duration(&value.text, Unit::Seconds).map(|age| age.as_secs());
                        match seconds {
                            Ok(age) if age <= MAX_COOKIE_AGE => {
                                let age = Some(age).filter(|age| *age > 0);
                                *(if name == "maxidle" {
                                    &mut cookie.maxidle
                                } else {
                                    &mut cookie.maxlife
                                }) = age;
                            }
                            _ => {
                                diagnostics.error(value.span, format!("'{name}' expects a time"));
                            }
                        }
                    }
                }
            }
            other => {
                diagnostics.error(option.span, format!("'cookie' does not understand '{other}'"));
                return;
            }
        }
    }
    if cookie.mode == CookieMode::Rewrite && cookie.indirect {
        diagnostics.error(args.span, "'cookie' cannot be 'rewrite' and 'indirect': servers must see it");
    }
    if cookie.preserve && cookie.mode != CookieMode::Insert && !cookie.indirect {
        diagnostics.error(args.span, "'cookie' with 'preserve' expects 'insert' or 'indirect'");
    }
    draft.cookie = Some(cookie);
}

/// What a check's answer may be looked at for in HAProxy, beside its status and its body; and what may stand before that.
const OTHER_EXPECT: &[&str] =
    &["hdr", "fhdr", "rstatus", "string-lf", "rstring", "binary", "rbinary", "comment", "min-recv"];
const EXPECT_OPTIONS: &[&str] =
    &["error-status", "ok-status", "tout-status", "on-error", "on-success", "status-code"];

fn expect(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let (negated, words) = match args.words(0) {
        [first, words @ ..] if first.text == "!" => (true, words),
        words => (false, words),
    };
    let first = words.first().map_or("", |word| word.text.as_str());
    if OTHER_EXPECT.contains(&first) || EXPECT_OPTIONS.contains(&first) {
        diagnostics.later(args.span, &format!("http-check expect {first}"));
        return;
    }
    let [keyword, pattern] = words else {
        diagnostics.error(args.span, "'http-check expect' expects 'status <list>', or another pattern");
        return;
    };
    let range = |item: &str| {
        let (low, high) = item.split_once('-').unwrap_or((item, item));
        Some((low.parse::<u16>().ok()?, high.parse::<u16>().ok()?))
    };
    let what = match keyword.text.as_str() {
        "string" => Some(Expected::Body(pattern.text.clone())),
        "status" => pattern.text.split(',').map(range).collect::<Option<Vec<_>>>().map(Expected::Status),
        _ => None,
    };
    if what.is_none() {
        diagnostics.error(
            keyword.span.to(pattern.span),
            "'http-check expect' : 'status <number>' with numbers, ranges and commas is expected",
        );
    }
    draft.httpchk.get_or_insert_default().expect = what.map(|what| Expect { negated, what });
}

fn send(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let check = draft.httpchk.get_or_insert_default();
    let mut line =
        check.line.clone().unwrap_or_else(|| ("OPTIONS".to_owned(), "/".to_owned(), "HTTP/1.0".to_owned()));
    let mut rest = args.words(0);
    while let [keyword, value, after @ ..] = rest {
        rest = after;
        match keyword.text.as_str() {
            "meth" => line.0.clone_from(&value.text),
            "uri" => line.1.clone_from(&value.text),
            "ver" => line.2.clone_from(&value.text),
            "body" => check.body.clone_from(&value.text),
            "hdr" => {
                let Some((content, after)) = rest.split_first() else { break };
                check.headers.push((value.text.clone(), content.text.clone()));
                rest = after;
            }
            other => {
                diagnostics.error(keyword.span, format!("'http-check send' does not understand '{other}'"));
                return;
            }
        }
    }
    if let Some(left) = rest.first() {
        diagnostics.error(left.span, format!("'{}' expects an argument", left.text));
    }
    check.line = Some(line);
}

fn table(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let mut schema = Schema {
        name: draft.name.as_ref().map_or_else(String::new, |n| n.text.clone()),
        key: KeyType::Ip,
        size: 0,
        expire_ms: None,
        nopurge: false,
        peers: None,
        columns: Vec::new(),
    };
    let mut has_type = false;
    let mut peers = None;
    let mut rest = args.words(0);
    while let [keyword, after @ ..] = rest {
        rest = after;
        if keyword.text == "nopurge" {
            schema.nopurge = true;
            continue;
        }
        let Some((value, after)) = rest.split_first() else {
            diagnostics
                .error(keyword.span, format!("'stick-table' : '{}' expects an argument", keyword.text));
            return;
        };
        rest = after;
        let result = match keyword.text.as_str() {
            "type" => {
                has_type = true;
                key_type(value, &mut rest).map(|key| schema.key = key)
            }
            "size" => parse_size(&value.text).map(|size| schema.size = size),
            "expire" => parse_duration(&value.text, Unit::Millis)
                // 0 is never, as in HAProxy.
                .map(|expire| schema.expire_ms = u64::try_from(expire.as_millis()).ok().filter(|ms| *ms > 0)),
            "peers" => {
                schema.peers = Some(value.text.clone());
                peers = Some(value.clone());
                Ok(())
            }
            "store" => columns(&value.text).map(|columns| schema.columns.extend(columns)),
            other => Err(format!("'{other}' is not understood")),
        };
        if let Err(why) = result {
            diagnostics.error(value.span, format!("'stick-table' : {why}"));
        }
    }
    if !has_type {
        diagnostics
            .error(args.span, "'stick-table' expects 'type'")
            .help("type ip, ipv6, integer, string or binary");
    }
    if schema.size == 0 {
        diagnostics.error(args.span, "'stick-table' expects 'size' and a number of entries");
    }
    schema.columns.sort_by_key(|c| c.data_type);
    schema.columns.dedup_by_key(|c| c.data_type);
    if draft.table.is_some() {
        diagnostics.error(args.span, "this proxy has a stick-table already");
    }
    draft.table = Some(TableDraft { schema, peers, at: args.span });
}

fn key_type(word: &Word, rest: &mut &[Word]) -> Result<KeyType, String> {
    let mut length = USUAL_TEXT;
    if let [keyword, value, after @ ..] = *rest
        && matches!(keyword.text.as_str(), "len")
        && matches!(word.text.as_str(), "string" | "binary")
    {
        length = value.text.parse().ok().filter(|l| (1..=4096).contains(l)).ok_or("'len' is 1 to 4096")?;
        *rest = after;
    }
    Ok(match word.text.as_str() {
        "ip" => KeyType::Ip,
        "ipv6" => KeyType::Ipv6,
        "integer" => KeyType::Integer,
        "string" => KeyType::String(length),
        "binary" => KeyType::Binary(length),
        other => {
            return Err(format!("'{other}' is no key type: ip, ipv6, integer, string or binary is expected"));
        }
    })
}

/// Splits a `store` list at the commas outside parentheses.
fn columns(text: &str) -> Result<Vec<proxy_table::Stored>, String> {
    let mut depth = 0;
    let items = text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    items.map(parse_store).collect()
}
