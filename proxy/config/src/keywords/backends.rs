//! A group of servers: how one is chosen, how a client comes back to it, what is stored.

use proxy_lang::{
    Arg, Args, Diagnostics, Keyword, Sections, Unit, Word, nearest, parse_duration, parse_size,
};
use proxy_table::{KeyType, Schema, parse_store};

use super::spec;
use crate::draft::{ProxyDraft, TableDraft};
use crate::model::{Balance, Cookie, Expect, Expected, HttpReuse};

const BACK: Sections = Sections::BACKEND.or(Sections::LISTEN);
const BACK_OR_DEFAULTS: Sections = BACK.or(Sections::DEFAULTS);
/// Length of a text key where the file gives none, as in HAProxy.
const USUAL_TEXT: u32 = 32;

pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword {
        spec: spec!(
            &["balance"],
            &[Arg::Optional(&Arg::Word("algorithm")), Arg::Rest("parameters")],
            "How a server is chosen: roundrobin, static-rr, leastconn or source.",
            "balance roundrobin"
        ),
        sections: BACK_OR_DEFAULTS,
        negatable: false,
        apply: balance,
    },
    Keyword {
        spec: spec!(
            &["cookie"],
            &[Arg::Word("name"), Arg::Rest("options")],
            "The cookie that brings a client back to its server.",
            "cookie SRV insert indirect nocache"
        ),
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
const OTHER_BALANCE: &[&str] =
    &["first", "hash", "hdr", "log-hash", "random", "rdp-cookie", "uri", "url_param"];

fn balance(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let Some(word) = args.optional_word(0) else {
        draft.balance = Some(Balance::RoundRobin);
        return;
    };
    let name = word.text.split('(').next().unwrap_or_default();
    let algorithm = match name {
        "roundrobin" | "static-rr" => Balance::RoundRobin,
        "leastconn" => Balance::LeastConn,
        "source" => Balance::Source,
        _ if OTHER_BALANCE.contains(&name) => {
            diagnostics.later(word.span, &format!("balance {name}"));
            return;
        }
        _ => {
            let known = ["roundrobin", "static-rr", "leastconn", "source"];
            let near = nearest(name, known.iter().chain(OTHER_BALANCE).copied());
            diagnostics
                .error(word.span, format!("'{name}' is no balance algorithm"))
                .help(near.map_or_else(|| known.join(", "), |near| format!("did you mean '{near}'?")));
            return;
        }
    };
    if let Some(extra) = args.words(1).first() {
        diagnostics.error(extra.span, format!("'balance {name}' takes no parameters"));
    }
    draft.balance = Some(algorithm);
}

fn cookie(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let mut cookie = Cookie { name: args.text(0), ..Cookie::default() };
    let mut rest = args.words(1);
    while let [option, after @ ..] = rest {
        rest = after;
        match option.text.as_str() {
            "insert" => cookie.insert = true,
            "indirect" => cookie.indirect = true,
            "nocache" => cookie.nocache = true,
            "httponly" => cookie.httponly = true,
            "secure" => cookie.secure = true,
            "domain" => {
                let Some((value, after)) = rest.split_first() else {
                    diagnostics.error(option.span, "'domain' expects a name");
                    return;
                };
                if !value.text.trim_start_matches('.').contains('.') {
                    let text = format!("'{}' has no dot inside: clients refuse such a domain", value.text);
                    diagnostics.warning(value.span, text);
                }
                cookie.domain = Some(value.text.clone());
                rest = after;
            }
            "rewrite" | "prefix" | "postonly" | "preserve" | "dynamic" => {
                diagnostics.later(option.span, &format!("cookie ... {}", option.text));
            }
            "maxidle" | "maxlife" | "attr" => {
                let Some((_, after)) = rest.split_first() else {
                    diagnostics.error(option.span, format!("'{}' expects an argument", option.text));
                    return;
                };
                rest = after;
                diagnostics.later(option.span, &format!("cookie ... {}", option.text));
            }
            other => {
                diagnostics.error(option.span, format!("'cookie' does not understand '{other}'"));
                return;
            }
        }
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
