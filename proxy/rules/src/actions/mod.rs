//! What a rule does. One row per action: where it may stand, how it is read; running it is one match.

mod parse;
mod waiting;

use proxy_lang::{Diagnostics, Spec, Word};
use proxy_table::{DataType, TableId};

use parse::TABLE;

use crate::{Context, Exchange, Expr, Final, Format, Reply, RulesetKind, Tracked, View, Wait};

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

/// An action, resolved.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Allow,
    /// Stands for one that is not built.
    Nothing,
    Deny(u16),
    Tarpit(u16),
    Drop,
    Reject,
    Reply {
        status: u16,
        content_type: Vec<u8>,
        headers: Vec<(String, Format)>,
        body: Body,
    },
    Redirect {
        status: u16,
        target: Target,
    },
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
    SetPath(Format),
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

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Fixed(Vec<u8>),
    Format(Format),
}

#[derive(Clone, Debug)]
pub(crate) enum Target {
    Location(Format),
    Prefix(Format),
    Scheme(Format),
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
            Self::Deny(status) => return Effect::Stop(Final::Deny { status: *status }),
            Self::Tarpit(status) => return Effect::Wait(Wait::Tarpit { status: *status }),
            Self::Drop => return Effect::Stop(Final::Drop),
            Self::Reject => return Effect::Stop(Final::Reject),
            Self::Reply { status, content_type, headers, body } => {
                let headers =
                    headers.iter().map(|(n, v)| (n.clone().into_bytes(), v.evaluate(exchange, view)));
                let reply = Reply {
                    status: *status,
                    content_type: content_type.clone(),
                    headers: headers.collect(),
                    body: match body {
                        Body::Fixed(bytes) => bytes.clone(),
                        Body::Format(format) => format.evaluate(exchange, view),
                    },
                };
                return Effect::Stop(Final::Reply(Box::new(reply)));
            }
            Self::Redirect { status, target } => return redirect(*status, target, exchange, view),
            Self::SetHeader { name, value, replace, response } => {
                let value = value.evaluate(exchange, view);
                if let Some(head) = head(exchange, *response) {
                    if *replace {
                        head.set(name.as_bytes(), &value);
                    } else {
                        head.add(name.as_bytes(), &value);
                    }
                }
            }
            Self::DelHeader { name, response } => {
                if let Some(head) = head(exchange, *response) {
                    head.remove(name.as_bytes());
                }
            }
            Self::SetPath(format) => {
                let path = format.evaluate(exchange, view);
                if let Some(head) = head(exchange, false) {
                    head.set_path(&path, false);
                }
            }
            Self::SetMethod(format) => {
                let method = format.evaluate(exchange, view);
                if let Some(head) = head(exchange, false) {
                    head.set_method(&method);
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

/// Follows an entry from now on; the first rule that sets a slot wins. A connection and a request are
/// counted at once.
fn track(slot: usize, expr: &Expr, table: TableId, exchange: &mut Exchange<'_>, view: &dyn View) {
    if exchange.tracked[slot].is_some() {
        return;
    }
    let store = view.table(table);
    let Some(key) = expr.eval(exchange, view).and_then(|sample| sample.key(store.schema().key)) else {
        return;
    };
    let now = exchange.now_ms;
    let counted = store.track(&key, now, |row| {
        for data_type in [DataType::ConnCnt, DataType::ConnRate, DataType::ConnCur] {
            row.add(data_type, now, 1);
        }
        for data_type in [DataType::SessCnt, DataType::SessRate, DataType::HttpReqCnt, DataType::HttpReqRate]
        {
            row.add(data_type, now, 1);
        }
    });
    if counted.is_some() {
        exchange.tracked[slot] = Some(Tracked { table, key });
    }
}

fn redirect(status: u16, target: &Target, exchange: &mut Exchange<'_>, view: &dyn View) -> Effect {
    let own =
        |exchange: &Exchange<'_>| exchange.request.as_deref().map_or(Vec::new(), |h| h.target().to_vec());
    let location = match target {
        Target::Location(format) => format.evaluate(exchange, view),
        Target::Prefix(format) => [format.evaluate(exchange, view), own(exchange)].concat(),
        Target::Scheme(format) => {
            let host = exchange.request.as_deref().and_then(|h| h.host()).unwrap_or(b"").to_vec();
            [format.evaluate(exchange, view), b"://".to_vec(), host, own(exchange)].concat()
        }
    };
    let headers = vec![(b"location".to_vec(), location)];
    Effect::Stop(Final::Reply(Box::new(Reply { status, headers, ..Reply::default() })))
}
