//! What a rule does. One row per action: where it may stand, how it is read; running it is one match.

mod answer;
mod parse;
mod redirect;
mod waiting;

use proxy_lang::{Diagnostics, Spec, Word};
use proxy_table::{DataType, TableId};

use answer::RuleAnswer;
use parse::TABLE;
use redirect::Redirect;

use crate::{Context, Exchange, Expr, Final, Format, RulesetKind, Tracked, View, Wait};

/// A row of the registry.
pub struct ActionRow {
    /// Names, arguments, documentation.
    pub spec: Spec,
    /// In which kinds of rules it may stand.
    pub(crate) kinds: u8,
    pub(crate) parse: fn(&Word, &[Word], &Context<'_>, &mut Diagnostics) -> Option<Action>,
}

impl ActionRow {
    /// The rules it may stand in, by the words that begin them.
    pub fn rulesets(&self) -> impl Iterator<Item = &'static str> {
        RulesetKind::ALL.into_iter().filter(|kind| self.kinds & kind.bit() != 0).map(RulesetKind::name)
    }

    /// Whether a word names this action; what stands in parentheses is its argument.
    pub(crate) fn names(&self, word: &str) -> bool {
        self.spec.names.contains(&word.split('(').next().unwrap_or(word))
    }
}

/// Every row: those that act come first, so that a name that acts in some rules only is found there.
pub fn every() -> impl Iterator<Item = &'static ActionRow> {
    TABLE.iter().chain(waiting::TABLE)
}

/// Reads what stands behind the keyword `redirect`.
pub(crate) fn redirect(
    name: &Word,
    arguments: &[Word],
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Action> {
    redirect::redirect(name, arguments, false, context, diagnostics).map(Action::Redirect)
}

/// An action, resolved.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Allow,
    /// Stands for one that is not built.
    Nothing,
    Deny(RuleAnswer),
    Tarpit(RuleAnswer),
    Drop,
    Reject,
    Reply(RuleAnswer),
    Redirect(Redirect),
    SetHeader {
        name: String,
        value: Format,
        replace: bool,
        response: bool,
    },
    DelHeader {
        name: String,
        response: bool,
    },
    SetTarget {
        part: TargetPart,
        format: Format,
    },
    SetMethod(Format),
    Track {
        slot: usize,
        expr: Expr,
        table: TableId,
    },
    Increment {
        slot: usize,
        counter: DataType,
        rate: DataType,
    },
}

/// What of the request's target is replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TargetPart {
    Path,
    PathAndQuery,
    Query,
    Whole,
}

/// What an action leads to.
pub(crate) enum Effect {
    Next,
    Wait(Wait),
    Stop(Final),
}

impl Action {
    pub(crate) fn run(&self, exchange: &mut Exchange<'_>, view: &dyn View) -> Effect {
        match self {
            Self::Allow => return Effect::Stop(Final::Allow),
            Self::Nothing => {}
            Self::Deny(answer) => {
                return Effect::Stop(answer.evaluate(exchange, view).map_or(Final::Fail, Final::Deny));
            }
            Self::Tarpit(answer) => {
                return match answer.evaluate(exchange, view) {
                    Some(reply) => Effect::Wait(Wait::Tarpit(reply)),
                    None => Effect::Stop(Final::Fail),
                };
            }
            Self::Drop => return Effect::Stop(Final::Drop),
            Self::Reject => return Effect::Stop(Final::Reject),
            Self::Reply(answer) => {
                return Effect::Stop(answer.evaluate(exchange, view).map_or(Final::Fail, Final::Reply));
            }
            Self::Redirect(redirect) => {
                return Effect::Stop(Final::Reply(Box::new(redirect.evaluate(exchange, view))));
            }
            Self::SetHeader { name, value, replace, response } => {
                let value = value.evaluate(exchange, view);
                if !is_writable(&value) {
                    return Effect::Stop(Final::Fail);
                }
                if let Some(head) = head(exchange, *response) {
                    if *replace {
                        head.set(name.as_bytes(), &value);
                    } else {
                        head.add(name.as_bytes(), &value);
                    }
                    if !*response && name.eq_ignore_ascii_case("host") {
                        return written(head.follow_host());
                    }
                }
            }
            Self::DelHeader { name, response } => {
                if let Some(head) = head(exchange, *response) {
                    head.remove(name.as_bytes());
                }
            }
            Self::SetTarget { part, format } => {
                // A question mark that a client chose must not begin a query where the file sets a path.
                let sampled: &[u8] = if matches!(part, TargetPart::Path) { b"?" } else { b"" };
                let text = format.evaluate_uri(exchange, view, b"#", sampled);
                if let Some(head) = head(exchange, false) {
                    return written(match part {
                        TargetPart::Path => head.set_path(&text, false),
                        TargetPart::PathAndQuery => head.set_path(&text, true),
                        TargetPart::Query => head.set_query(&text),
                        TargetPart::Whole => head.set_target(&text),
                    });
                }
            }
            Self::SetMethod(format) => {
                let method = format.evaluate(exchange, view);
                if let Some(head) = head(exchange, false) {
                    return written(head.set_method(&method));
                }
            }
            Self::Track { slot, expr, table } => track(*slot, expr, *table, exchange, view),
            Self::Increment { slot, counter, rate } => {
                if let Some(tracked) = &exchange.tracked[*slot] {
                    let now = exchange.now_ms;
                    view.table(tracked.table).touch(&tracked.key, now, |row| {
                        row.add(*counter, now, 1);
                        row.add(*rate, now, 1);
                    });
                }
            }
        }
        Effect::Next
    }
}

fn head<'x>(exchange: &'x mut Exchange<'_>, response: bool) -> Option<&'x mut proxy_wire::h1::Head> {
    if response { exchange.response.as_deref_mut() } else { exchange.request.as_deref_mut() }
}

/// Tracks an entry from now on; the first rule that sets a slot wins. What tracks it counts as a connection, and as a
/// request where there is one; sessions are counted when they begin.
fn track(slot: usize, expr: &Expr, table: TableId, exchange: &mut Exchange<'_>, view: &dyn View) {
    if exchange.tracked[slot].is_some() {
        return;
    }
    let store = view.table(table);
    let Some(key) = expr.eval(exchange, view).and_then(|sample| sample.key(store.schema().key)) else {
        return;
    };
    let now = exchange.now_ms;
    let request = exchange.request.is_some();
    let counted = store.track(&key, now, |row| {
        for data_type in [DataType::ConnCnt, DataType::ConnRate, DataType::ConnCur] {
            row.add(data_type, now, 1);
        }
        if request {
            for data_type in [DataType::HttpReqCnt, DataType::HttpReqRate] {
                row.add(data_type, now, 1);
            }
        }
    });
    if counted.is_some() {
        exchange.tracked[slot] = Some(Tracked { table, key });
    }
}

/// What follows a change of a head: what could not be made must not go on as it was.
fn written(done: bool) -> Effect {
    if done { Effect::Next } else { Effect::Stop(Final::Fail) }
}

/// Whether a field's value is one line without controls (RFC 9110 5.5).
fn is_writable(value: &[u8]) -> bool {
    !value.iter().any(|b| b.is_ascii_control() && *b != b'\t')
}
