//! The rows of actions and how each is read.

use proxy_lang::{Arg, Diagnostics, Spec, Word};
use proxy_table::DataType;

use super::{Action, ActionRow, Body, Target, TargetPart};
use crate::{Context, Expr, Format, RulesetKind};

const HTTP: u8 = RulesetKind::HttpRequest.bit() | RulesetKind::HttpResponse.bit();
const REQUEST: u8 = RulesetKind::HttpRequest.bit();
const TCP: u8 = RulesetKind::TcpRequestConnection.bit()
    | RulesetKind::TcpRequestSession.bit()
    | RulesetKind::TcpRequestContent.bit();

type Parse = fn(&Word, &[Word], &Context<'_>, &mut Diagnostics) -> Option<Action>;

const fn row(
    names: &'static [&'static str],
    args: &'static [Arg],
    kinds: u8,
    doc: &'static str,
    example: &'static str,
    parse: Parse,
) -> ActionRow {
    ActionRow { spec: Spec::full(names, args, doc, example), kinds, parse }
}

const STATUS: &[Arg] = &[Arg::Rest("deny_status <status>")];
const FORMAT: &[Arg] = &[Arg::Word("format")];
const NAME_VALUE: &[Arg] = &[Arg::Word("name"), Arg::Word("format")];

/// The actions, by name.
pub(super) const TABLE: &[ActionRow] = &[
    row(&["accept"], &[], TCP, "Goes on without looking at the remaining rules.", "accept", |n, a, _, d| {
        none(n, a, d).map(|()| Action::Allow)
    }),
    row(&["add-header"], NAME_VALUE, HTTP, "Adds a header field.", "add-header x-a b", |n, a, c, d| {
        header(n, a, false, c, d)
    }),
    row(&["allow"], &[], HTTP, "Goes on without looking at the remaining rules.", "allow", |n, a, _, d| {
        none(n, a, d).map(|()| Action::Allow)
    }),
    row(&["del-header"], &[Arg::Word("name")], HTTP, "Removes a header.", "del-header x-a", |n, a, c, d| {
        let [name] = expect(n, a, d)?;
        Some(Action::DelHeader { name: field_name(name, d)?, response: is_response(c) })
    }),
    row(
        &["deny"],
        STATUS,
        HTTP,
        "Refuses a request, with 403 unless told otherwise, or a response, with 502.",
        "deny deny_status 429",
        |n, a, c, d| status(n, a, if is_response(c) { 502 } else { 403 }, d).map(Action::Deny),
    ),
    row(
        &["redirect"],
        &[Arg::Words("location|prefix|scheme <format> [code <status>]")],
        REQUEST,
        "Sends the client elsewhere.",
        "redirect scheme https code 301",
        redirect,
    ),
    row(&["reject"], &[], TCP | REQUEST, "Closes the connection.", "reject", |n, a, _, d| {
        none(n, a, d).map(|()| Action::Reject)
    }),
    row(
        &["return"],
        &[Arg::Rest("status <status> content-type <type> string <text> hdr <name> <format>")],
        REQUEST,
        "Answers at once.",
        "return status 200 content-type text/plain string ok",
        reply,
    ),
    row(
        &["sc-inc-gpc0"],
        &[],
        TCP | HTTP,
        "Counts in the tracked entry's first general purpose counter.",
        "sc-inc-gpc0(0)",
        |n, a, _, d| {
            none(n, a, d)?;
            Some(Action::Increment { slot: slot(n, d)?, counter: DataType::Gpc0, rate: DataType::Gpc0Rate })
        },
    ),
    row(
        &["sc-inc-gpc1"],
        &[],
        TCP | HTTP,
        "Counts in the tracked entry's second general purpose counter.",
        "sc-inc-gpc1(0)",
        |n, a, _, d| {
            none(n, a, d)?;
            Some(Action::Increment { slot: slot(n, d)?, counter: DataType::Gpc1, rate: DataType::Gpc1Rate })
        },
    ),
    row(
        &["set-header"],
        NAME_VALUE,
        HTTP,
        "Sets a header field, replacing those of its name.",
        "set-header x-a %[src]",
        |n, a, c, d| header(n, a, true, c, d),
    ),
    row(
        &["set-method"],
        &[Arg::Word("format")],
        REQUEST,
        "Rewrites the method.",
        "set-method GET",
        |n, a, c, d| {
            let [format] = expect(n, a, d)?;
            Format::parse(format, c, d).map(Action::SetMethod)
        },
    ),
    row(
        &["set-path"],
        FORMAT,
        REQUEST,
        "Rewrites the path; the query stays.",
        "set-path /new",
        |n, a, c, d| target(TargetPart::Path, n, a, c, d),
    ),
    row(&["set-pathq"], FORMAT, REQUEST, "Rewrites path and query.", "set-pathq /new?a=b", |n, a, c, d| {
        target(TargetPart::PathAndQuery, n, a, c, d)
    }),
    row(
        &["set-query"],
        FORMAT,
        REQUEST,
        "Rewrites what follows the path's question mark.",
        "set-query a=b",
        |n, a, c, d| target(TargetPart::Query, n, a, c, d),
    ),
    row(
        &["set-uri"],
        FORMAT,
        REQUEST,
        "Rewrites the whole target; one that names a server changes the Host field too.",
        "set-uri /new?a=b",
        |n, a, c, d| target(TargetPart::Whole, n, a, c, d),
    ),
    row(&["silent-drop"], &[], TCP | REQUEST, "Closes without a word.", "silent-drop", |n, a, _, d| {
        none(n, a, d).map(|()| Action::Drop)
    }),
    row(&["tarpit"], STATUS, REQUEST, "Makes the client wait, then refuses.", "tarpit", |n, a, _, d| {
        status(n, a, 500, d).map(Action::Tarpit)
    }),
    row(
        &["track-sc0", "track-sc1", "track-sc2"],
        &[Arg::Word("key"), Arg::Rest("table <name>")],
        TCP | HTTP,
        "Follows the key's entry in a stick table.",
        "track-sc0 src",
        track,
    ),
];

fn is_response(context: &Context<'_>) -> bool {
    context.stage == crate::Stage::Response
}

fn none(name: &Word, arguments: &[Word], diagnostics: &mut Diagnostics) -> Option<()> {
    expect::<0>(name, arguments, diagnostics).map(|_| ())
}

fn expect<'w, const N: usize>(
    name: &Word,
    arguments: &'w [Word],
    diagnostics: &mut Diagnostics,
) -> Option<&'w [Word; N]> {
    let fits = <&[Word; N]>::try_from(arguments).ok();
    if fits.is_none() {
        let at = arguments.get(N).map_or(name.span, |w| w.span);
        diagnostics
            .error(at, format!("'{}' expects {N} argument(s), {} stand here", name.text, arguments.len()));
    }
    fits
}

fn number(name: &Word, word: Option<&Word>, diagnostics: &mut Diagnostics) -> Option<u16> {
    let status = word.and_then(|w| w.text.parse::<u16>().ok()).filter(|s| (200..600).contains(s));
    if status.is_none() {
        diagnostics.error(
            word.map_or(name.span, |w| w.span),
            format!("'{}' expects a status from 200 to 599", name.text),
        );
    }
    status
}

fn status(name: &Word, arguments: &[Word], usual: u16, diagnostics: &mut Diagnostics) -> Option<u16> {
    match arguments {
        [] => Some(usual),
        [keyword, value] if matches!(keyword.text.as_str(), "deny_status" | "status") => {
            number(name, Some(value), diagnostics)
        }
        [other, ..] => {
            diagnostics
                .error(other.span, format!("'{}' expects 'deny_status <status>' or nothing", name.text));
            None
        }
    }
}

fn target(
    part: TargetPart,
    name: &Word,
    arguments: &[Word],
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Action> {
    let [format] = expect(name, arguments, diagnostics)?;
    Some(Action::SetTarget { part, format: Format::parse(format, context, diagnostics)? })
}

/// A name that a field can have (RFC 9110 5.1).
fn field_name(word: &Word, diagnostics: &mut Diagnostics) -> Option<String> {
    if proxy_wire::h1::is_token(word.text.as_bytes()) {
        return Some(word.text.clone());
    }
    diagnostics
        .error(word.span, format!("'{}' cannot be the name of a header", word.text))
        .help("letters, digits and !#$%&'*+-.^_`|~ can stand in one");
    None
}

fn header(
    name: &Word,
    arguments: &[Word],
    replace: bool,
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Action> {
    let [field, value] = expect(name, arguments, diagnostics)?;
    let name = field_name(field, diagnostics);
    let value = Format::parse(value, context, diagnostics)?;
    Some(Action::SetHeader { name: name?, value, replace, response: is_response(context) })
}

fn slot(name: &Word, diagnostics: &mut Diagnostics) -> Option<usize> {
    let argument = name.text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let slot = argument.and_then(|a| a.parse::<usize>().ok()).filter(|s| *s < 3);
    if slot.is_none() {
        diagnostics
            .error(name.span, format!("'{}' expects the number of a tracked counter, 0 to 2", name.text));
    }
    slot
}

fn track(
    name: &Word,
    arguments: &[Word],
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Action> {
    let slot = usize::from(name.text.as_bytes()[name.text.len() - 1] - b'0');
    let (key, table) = match arguments {
        [key] => (key, None),
        [key, keyword, table] if keyword.text == "table" => (key, Some(table)),
        _ => {
            diagnostics
                .error(name.span, format!("'{}' expects a key and optionally 'table <name>'", name.text));
            return None;
        }
    };
    let expr = Expr::parse(key, context, diagnostics);
    let at = table.map_or(name.span, |t| t.span);
    let table = context.find_table(table.map(Word::as_str), at, diagnostics);
    Some(Action::Track { slot, expr: expr?, table: table? })
}

fn redirect(
    name: &Word,
    arguments: &[Word],
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Action> {
    let (mut target, mut status) = (None, 302);
    let mut rest = arguments;
    while let [keyword, value, after @ ..] = rest {
        let format = |diagnostics: &mut Diagnostics| Format::parse(value, context, diagnostics);
        match keyword.text.as_str() {
            "location" => target = Some(Target::Location(format(diagnostics)?)),
            "prefix" => target = Some(Target::Prefix(format(diagnostics)?)),
            "scheme" => target = Some(Target::Scheme(format(diagnostics)?)),
            "code" if ["301", "302", "303", "307", "308"].contains(&value.text.as_str()) => {
                status = number(name, Some(value), diagnostics)?;
            }
            _ => break,
        }
        rest = after;
    }
    if let Some(wrong) = rest.first() {
        diagnostics.error(wrong.span, format!("'redirect' does not understand '{}'", wrong.text));
        return None;
    }
    let Some(target) = target else {
        diagnostics.error(name.span, "'redirect' expects location, prefix or scheme");
        return None;
    };
    Some(Action::Redirect { status, target })
}

fn reply(
    name: &Word,
    arguments: &[Word],
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Action> {
    let (mut status, mut content_type, mut headers, mut body) =
        (200, Vec::new(), Vec::new(), Body::Fixed(Vec::new()));
    let mut content: Option<&Word> = None;
    let mut rest = arguments;
    while let [keyword, after @ ..] = rest {
        let Some(value) = after.first() else {
            diagnostics.error(keyword.span, format!("'{}' expects an argument", keyword.text));
            return None;
        };
        rest = &after[1..];
        match keyword.text.as_str() {
            "status" => status = number(name, Some(value), diagnostics)?,
            "content-type" if value.text.bytes().any(|b| b.is_ascii_control()) => {
                diagnostics.error(value.span, "a content type cannot hold control characters");
                return None;
            }
            "content-type" => content_type = value.text.clone().into_bytes(),
            "string" => {
                body = Body::Fixed(value.text.clone().into_bytes());
                content = Some(keyword);
            }
            "lf-string" => {
                body = Body::Format(Format::parse(value, context, diagnostics)?);
                content = Some(keyword);
            }
            "file" => match (context.file)(value) {
                Ok(text) => {
                    body = Body::Fixed(text.into_bytes());
                    content = Some(keyword);
                }
                Err(why) => {
                    diagnostics.error(value.span, format!("cannot read '{}' : {why}", value.text));
                    return None;
                }
            },
            "hdr" => {
                let Some((format, after)) = rest.split_first() else {
                    diagnostics.error(keyword.span, "'hdr' expects a name and a format");
                    return None;
                };
                rest = after;
                let name = field_name(value, diagnostics);
                headers.push((name?, Format::parse(format, context, diagnostics)?));
            }
            "errorfile" | "errorfiles" | "lf-file" => {
                diagnostics.later(keyword.span, &format!("return ... {}", keyword.text));
            }
            other => {
                diagnostics.error(keyword.span, format!("'return' does not understand '{other}'"));
                return None;
            }
        }
    }
    if let Some(content) = content.filter(|_| matches!(status, 204 | 304)) {
        diagnostics
            .error(content.span, format!("a response with status {status} has no body"))
            .help("leave the content out, or choose another status (RFC 9110 6.4.1)");
        return None;
    }
    Some(Action::Reply { status, content_type, headers, body })
}
