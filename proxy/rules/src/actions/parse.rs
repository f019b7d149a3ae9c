//! The rows of actions and how each is read.

use proxy_lang::{Arg, Diagnostics, Spec, Word};
use proxy_table::DataType;

use super::answer::{answer, refusal};
use super::redirect::redirect;
use super::{Action, ActionRow, TargetPart};
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

const STATUS: &[Arg] = &[Arg::Rest(
    "deny_status <status> or status <status> content-type <type> string|lf-string|file|lf-file|errorfile|errorfiles <content> default-errorfiles hdr <name> <format>",
)];
const ANSWER: &[Arg] = &[Arg::Rest(
    "status <status> content-type <type> string|lf-string|file|lf-file|errorfile|errorfiles <content> default-errorfiles hdr <name> <format>",
)];
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
        |n, a, c, d| refusal(n, a, if is_response(c) { 502 } else { 403 }, c, d).map(Action::Deny),
    ),
    row(
        &["redirect"],
        &[Arg::Words(
            "location|prefix|scheme <format> [code <status>] [drop-query] [append-slash] [set-cookie|clear-cookie <cookie>]",
        )],
        HTTP,
        "Sends the client elsewhere.",
        "redirect scheme https code 301",
        |n, a, c, d| redirect(n, a, true, c, d).map(Action::Redirect),
    ),
    row(&["reject"], &[], TCP | REQUEST, "Closes the connection.", "reject", |n, a, _, d| {
        none(n, a, d).map(|()| Action::Reject)
    }),
    row(
        &["return"],
        ANSWER,
        HTTP,
        "Answers at once.",
        "return status 200 content-type text/plain string ok",
        |n, a, c, d| answer(n, a, 200, c, d).map(Action::Reply),
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
    row(&["silent-drop"], &[], TCP | HTTP, "Closes without a word.", "silent-drop", |n, a, _, d| {
        none(n, a, d).map(|()| Action::Drop)
    }),
    row(&["tarpit"], STATUS, REQUEST, "Makes the client wait, then refuses.", "tarpit", |n, a, c, d| {
        refusal(n, a, 500, c, d).map(Action::Tarpit)
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
pub(super) fn field_name(word: &Word, diagnostics: &mut Diagnostics) -> Option<String> {
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
