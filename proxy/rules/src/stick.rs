//! Stick rules: a key of the exchange, and the server stored with it.

use std::sync::Arc;

use proxy_lang::{Diagnostics, Word};
use proxy_table::{DataType, TableId, Value};

use crate::{AclSet, Condition, Context, Exchange, Expr, View};

/// What a table knows of a key's server.
#[derive(Clone, Debug)]
pub struct Stuck {
    /// Its name.
    pub name: Option<Arc<str>>,
    /// Its id, for backends that have no server of this name.
    pub id: u32,
}

/// A `stick` line.
#[derive(Clone, Debug)]
pub struct StickRule {
    expr: Expr,
    table: TableId,
    matches: bool,
    stores: bool,
    condition: Option<Condition>,
}

impl StickRule {
    /// Reads what stands after `stick`.
    pub fn parse(
        words: &[Word],
        acls: &AclSet,
        context: &Context<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let (kind, rest) = words.split_first()?;
        let (matches, stores) = match kind.text.as_str() {
            "on" => (true, true),
            "match" => (true, false),
            "store-request" => (false, true),
            "store-response" => {
                diagnostics.later(kind.span, "stick store-response");
                (false, true)
            }
            other => {
                diagnostics
                    .error(kind.span, format!("'stick {other}' is not known"))
                    .help("one of on, match, store-request is expected");
                return None;
            }
        };
        let Some((key, rest)) = rest.split_first() else {
            diagnostics.error(kind.span, format!("'stick {}' expects a key", kind.text));
            return None;
        };
        let (table, rest) = match rest {
            [keyword, name, rest @ ..] if keyword.text == "table" => (Some(name), rest),
            _ => (None, rest),
        };
        let condition = match rest.first() {
            Some(word) if matches!(word.text.as_str(), "if" | "unless") => {
                Some(Condition::parse(rest, acls, context, diagnostics)?)
            }
            Some(word) => {
                diagnostics.error(word.span, format!("unexpected '{}' in a stick rule", word.text));
                return None;
            }
            None => None,
        };
        let expr = Expr::parse(key, context, diagnostics);
        let table =
            context.find_table(table.map(Word::as_str), table.map_or(kind.span, |t| t.span), diagnostics);
        Some(Self { expr: expr?, table: table?, matches, stores, condition })
    }

    /// Whether the rule applies to this exchange.
    pub fn applies(&self, acls: &AclSet, exchange: &mut Exchange<'_>, view: &dyn View) -> bool {
        self.condition.as_ref().is_none_or(|c| c.holds(acls, exchange, view))
    }

    /// Whether it looks for a server.
    #[must_use]
    pub fn matches(&self) -> bool {
        self.matches
    }

    /// Whether it stores one.
    #[must_use]
    pub fn stores(&self) -> bool {
        self.stores
    }

    /// The server stored with this exchange's key.
    pub fn lookup(&self, exchange: &Exchange<'_>, view: &dyn View) -> Option<Stuck> {
        let table = view.table(self.table);
        let key = self.expr.eval(exchange, view)?.key(table.schema().key)?;
        // A match keeps its entry alive.
        table.peek(&key, exchange.now_ms, |_| ())?;
        table.touch(&key, exchange.now_ms, |row| Stuck {
            name: match row.value(DataType::ServerKey) {
                Some(Value::Text(name)) => name.clone(),
                _ => None,
            },
            id: u32::try_from(row.number(DataType::ServerId, exchange.now_ms)).unwrap_or(0),
        })
    }

    /// Stores the server with this exchange's key.
    pub fn store(&self, exchange: &Exchange<'_>, view: &dyn View, id: u32, name: &str) {
        let table = view.table(self.table);
        let Some(key) = self.expr.eval(exchange, view).and_then(|s| s.key(table.schema().key)) else {
            return;
        };
        table.touch(&key, exchange.now_ms, |row| {
            row.set(DataType::ServerId, Value::Signed(i32::try_from(id).unwrap_or(0)));
            row.set(DataType::ServerKey, Value::Text(Some(Arc::from(name))));
        });
    }
}
