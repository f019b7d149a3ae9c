//! An expression: a fetch and its argument, resolved.

use proxy_lang::{Diagnostics, Word, nearest};
use proxy_table::{DataType, TableId};

use crate::fetches::{self, Counter, FetchArgs, counter_named};
use crate::{Context, Exchange, Kind, Sample, View};

#[derive(Clone, Debug)]
enum Source {
    Fetch(fetches::Eval, FetchArgs),
    Tracked(usize, DataType),
    Client(TableId, DataType),
}

/// A fetch with its arguments.
#[derive(Clone, Debug)]
pub struct Expr {
    source: Source,
    yields: Kind,
}

impl Expr {
    /// Reads `name` or `name(argument)`. Mistakes are reported at the word.
    pub fn parse(word: &Word, context: &Context<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        Self::parse_text(&word.text, word, context, diagnostics)
    }

    pub(crate) fn parse_text(
        text: &str,
        at: &Word,
        context: &Context<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        if let Some((_, converter)) = text.rsplit_once("),").or_else(|| text.split_once(',')) {
            diagnostics
                .error(at.span, format!("converter '{converter}' is known to HAProxy but not built yet"));
            return None;
        }
        let (name, argument) = match text.split_once('(') {
            Some((name, rest)) => match rest.strip_suffix(')') {
                Some(argument) => (name, Some(argument)),
                None => {
                    diagnostics.error(at.span, format!("'{text}' lacks its closing parenthesis"));
                    return None;
                }
            },
            None => (text, None),
        };
        if let Some(counter) = counter_named(name) {
            return counter_expr(counter, argument, at, context, diagnostics);
        }
        let Some(row) = fetches::named(name) else {
            let near = nearest(name, fetches::every().flat_map(|f| f.spec.names.iter().copied()));
            let note = diagnostics.error(at.span, format!("unknown sample fetch '{name}'"));
            if let Some(near) = near {
                note.help(format!("did you mean '{near}'?"));
            }
            return None;
        };
        if row.needs > context.stage {
            diagnostics.error(at.span, format!("'{name}' cannot be known yet where this rule runs"));
            return None;
        }
        if row.needs > crate::Stage::Connection && !context.http {
            diagnostics.error(at.span, format!("'{name}' needs 'mode http'"));
            return None;
        }
        if row.argument && argument.is_none() && name != "nbsrv" {
            diagnostics
                .error(at.span, format!("'{name}' expects an argument"))
                .help(format!("for example {}", row.spec.example));
            return None;
        }
        let mut args = FetchArgs { text: argument.unwrap_or("").to_owned(), table: None };
        if name == "nbsrv" {
            if args.text.is_empty() {
                context.backend.clone_into(&mut args.text);
            }
            if !(context.backend_exists)(&args.text) {
                diagnostics.error(at.span, format!("there is no backend '{}'", args.text));
                return None;
            }
        }
        Some(Self { source: Source::Fetch(row.eval, args), yields: row.yields })
    }

    /// The type of its samples.
    #[must_use]
    pub fn yields(&self) -> Kind {
        self.yields
    }

    /// Extracts the sample; `None` if there is none.
    pub fn eval<'x>(&'x self, exchange: &'x Exchange<'_>, view: &dyn View) -> Option<Sample<'x>> {
        let now = exchange.now_ms;
        let number = |table: TableId, key: &proxy_table::Key, data_type| {
            let value = view.table(table).peek(key, now, |row| row.number(data_type, now)).unwrap_or(0);
            Sample::Int(i64::try_from(value).unwrap_or(i64::MAX))
        };
        match &self.source {
            Source::Fetch(eval, args) => eval(exchange, args, view),
            Source::Tracked(slot, data_type) => {
                let tracked = exchange.tracked[*slot].as_ref()?;
                Some(number(tracked.table, &tracked.key, *data_type))
            }
            Source::Client(table, data_type) => {
                let key = view.table(*table).schema().key.of_address(exchange.client.ip())?;
                Some(number(*table, &key, *data_type))
            }
        }
    }
}

fn counter_expr(
    counter: Counter,
    argument: Option<&str>,
    at: &Word,
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Expr> {
    let source = match counter {
        Counter::Tracked(slot, data_type) => Source::Tracked(slot, data_type),
        Counter::TrackedByArgument(data_type) => match argument.and_then(|a| a.parse::<usize>().ok()) {
            Some(slot) if slot < 3 => Source::Tracked(slot, data_type),
            _ => {
                diagnostics
                    .error(at.span, format!("'{}' expects the number of a tracked counter, 0 to 2", at.text));
                return None;
            }
        },
        Counter::Source(data_type) => {
            let table = context.find_table(argument.filter(|a| !a.is_empty()), at.span, diagnostics)?;
            Source::Client(table, data_type)
        }
    };
    Some(Expr { source, yields: Kind::Int })
}
