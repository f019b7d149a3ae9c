//! `option` lines.

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Sections};

use super::spec;
use crate::draft::{HttpCheckDraft, LogFormat, ProxyDraft};
use crate::model::ForwardFor;

const FRONT: Sections = Sections::DEFAULTS.or(Sections::FRONTEND).or(Sections::LISTEN);
const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND).or(Sections::LISTEN);

pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword {
        spec: spec!(&["option allbackups"], &[], "All backup servers share the load.", "option allbackups"),
        sections: BACK,
        negatable: true,
        apply: |d, a, _| d.options.allbackups = !a.negated,
    },
    Keyword {
        spec: spec!(
            &["option dontlognull"],
            &[],
            "Connections without a request are not logged.",
            "option dontlognull"
        ),
        sections: FRONT,
        negatable: true,
        apply: |d, a, _| d.options.dontlognull = !a.negated,
    },
    Keyword {
        spec: spec!(
            &["option forwardfor"],
            &[Arg::Rest("except <network> header <name> if-none")],
            "Tells the server the client's address.",
            "option forwardfor except 127.0.0.0/8"
        ),
        sections: Sections::PROXY,
        negatable: false,
        apply: forward_for,
    },
    Keyword {
        spec: spec!(
            &["option http-keep-alive"],
            &[],
            "Connections stay open between requests, on both sides.",
            "option http-keep-alive"
        ),
        sections: Sections::PROXY,
        negatable: true,
        apply: |d, a, _| {
            // One of three holds: the last that is given.
            if !a.negated {
                (d.options.http_server_close, d.options.httpclose) = (false, false);
            }
        },
    },
    Keyword {
        spec: spec!(
            &["option http-server-close"],
            &[],
            "Connections to servers end with their response.",
            "option http-server-close"
        ),
        sections: Sections::PROXY,
        negatable: true,
        apply: |d, a, _| {
            d.options.http_server_close = !a.negated;
            d.options.httpclose &= a.negated;
        },
    },
    Keyword {
        spec: spec!(
            &["option httpchk"],
            &[Arg::Rest("[method] uri [version]")],
            "Checks ask over HTTP.",
            "option httpchk GET /health"
        ),
        sections: BACK,
        negatable: true,
        apply: httpchk,
    },
    Keyword {
        spec: spec!(
            &["option httpclose"],
            &[],
            "Both connections end with each response.",
            "option httpclose"
        ),
        sections: Sections::PROXY,
        negatable: true,
        apply: |d, a, _| {
            d.options.httpclose = !a.negated;
            d.options.http_server_close &= a.negated;
        },
    },
    Keyword {
        spec: spec!(
            &["option httplog"],
            &[Arg::Rest("clf")],
            "Log lines tell of HTTP requests; 'clf': as web servers' do.",
            "option httplog clf"
        ),
        sections: FRONT,
        negatable: true,
        apply: httplog,
    },
    Keyword {
        spec: spec!(
            &["option redispatch"],
            &[Arg::Optional(&Arg::Int("interval", -1000, 1000))],
            "A client whose server fails may go to another.",
            "option redispatch"
        ),
        sections: BACK,
        negatable: true,
        apply: |d, a, _| {
            let interval = if a.has(0) { i32::try_from(a.int(0)).unwrap_or(-1) } else { -1 };
            // 0 is as without the line.
            d.redispatch = (!a.negated && interval != 0).then_some(interval);
        },
    },
    Keyword {
        spec: spec!(&["option tcplog"], &[], "Log lines tell of TCP sessions.", "option tcplog"),
        sections: FRONT,
        negatable: true,
        apply: |d, a, _| d.log_format = (!a.negated).then_some(LogFormat::Tcp),
    },
];

fn httplog(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    draft.log_format = match args.words(0) {
        _ if args.negated => None,
        [] => Some(LogFormat::Http),
        [clf] if clf.text == "clf" => Some(LogFormat::Clf),
        [first, ..] => {
            diagnostics.error(first.span, format!("'{}': 'option httplog' takes only 'clf'", first.text));
            return;
        }
    };
}

/// Fields that say where a message ends or what becomes of its connection.
const FRAMING: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "host",
];

/// Whether this can be a header field's name (RFC 9110 5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn forward_for(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let mut option = ForwardFor { header: "x-forwarded-for".to_owned(), except: None, if_none: false };
    let mut rest = args.words(0);
    while let [keyword, after @ ..] = rest {
        rest = after;
        if keyword.text == "if-none" {
            option.if_none = true;
            continue;
        }
        let Some((value, after)) = rest.split_first() else {
            diagnostics
                .error(keyword.span, format!("'option forwardfor' : '{}' expects an argument", keyword.text));
            return;
        };
        rest = after;
        match keyword.text.as_str() {
            "header" => {
                option.header = value.text.to_ascii_lowercase();
                if FRAMING.contains(&option.header.as_str()) || !is_token(&option.header) {
                    diagnostics.error(value.span, format!("'{}' cannot carry an address", value.text)).help(
                        "the name of a header field is expected, and not of one that frames the message",
                    );
                }
            }
            "except" => {
                let address = value.text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from);
                match value.text.parse().or(address) {
                    Ok(network) => option.except = Some(network),
                    Err(_) => {
                        diagnostics.error(value.span, format!("'{}' is no network", value.text));
                    }
                }
            }
            other => {
                diagnostics.error(keyword.span, format!("'option forwardfor' does not understand '{other}'"));
                return;
            }
        }
    }
    draft.forward_for = Some(option);
}

fn httpchk(draft: &mut ProxyDraft, args: &Args, diagnostics: &mut Diagnostics) {
    if args.negated {
        if let Some(check) = &mut draft.httpchk {
            check.enabled = false;
        }
        return;
    }
    let line = match args.words(0) {
        [] => ("OPTIONS", "/", "HTTP/1.0"),
        [uri] => ("OPTIONS", uri.as_str(), "HTTP/1.0"),
        [method, uri] => (method.as_str(), uri.as_str(), "HTTP/1.0"),
        [method, uri, version] => (method.as_str(), uri.as_str(), version.as_str()),
        [_, _, _, extra, ..] => {
            diagnostics
                .error(extra.span, "'option httpchk' takes a method, a URI and a version")
                .help("send headers with 'http-check send'");
            return;
        }
    };
    let check = draft.httpchk.get_or_insert_with(HttpCheckDraft::default);
    check.enabled = true;
    // An old way of sending header fields and a body: behind the version.
    let (head, body) = line.2.split_once("\r\n\r\n").unwrap_or((line.2, ""));
    let mut lines = head.split("\r\n");
    check.line = Some((line.0.to_owned(), line.1.to_owned(), lines.next().unwrap_or_default().to_owned()));
    let fields: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    if !fields.is_empty() || !body.is_empty() {
        diagnostics
            .warning(
                args.span,
                "'option httpchk' with header fields or a body behind the version is an old spelling",
            )
            .help("send them with 'http-check send'");
    }
    body.clone_into(&mut check.body);
    for field in fields {
        match field.split_once(':') {
            Some((name, value)) if is_token(name) => {
                check.headers.push((name.to_owned(), value.trim().to_owned()));
            }
            _ => {
                diagnostics.error(args.span, format!("'{field}' is no header field"));
            }
        }
    }
}
