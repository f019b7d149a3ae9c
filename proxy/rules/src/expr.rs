//! An expression: a fetch and its argument, resolved.

use proxy_lang::{Diagnostics, Status, Word, nearest};
use proxy_table::{DataType, TableId};

use crate::fetches::{self, Counter, FetchArgs, counter_named};
use crate::{Context, Exchange, Kind, Sample, View, converters};

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
        let (text, chain) = text.split_at(end_of(text, ','));
        let mut expr = Self::source(text, at, context, diagnostics)?;
        let mut rest = chain;
        while let Some(after) = rest.strip_prefix(',') {
            let (converter, behind) = after.split_at(end_of(after, ','));
            rest = behind;
            let name = converter.split('(').next().unwrap_or_default();
            let Some(row) = converters::named(name) else {
                let names = converters::CONVERTERS.iter().flat_map(|row| row.spec.names.iter().copied());
                let near = nearest(name, names);
                let note = diagnostics.error(at.span, format!("unknown converter '{name}'"));
                if let Some(near) = near {
                    note.help(format!("did you mean '{near}'?"));
                }
                return None;
            };
            if converter.contains('(') && !converter.ends_with(')') {
                diagnostics.error(at.span, format!("'{converter}' lacks its closing parenthesis"));
                return None;
            }
            diagnostics.later(at.span, &format!("converter {name}"));
            expr.yields = row.yields;
        }
        Some(expr)
    }

    /// Reads a fetch with its argument.
    fn source(text: &str, at: &Word, context: &Context<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
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
        match row.spec.status {
            Status::Absent(why) => {
                diagnostics.absent(at.span, name, why);
                return None;
            }
            Status::Later => diagnostics.later(at.span, &format!("fetch {name}")),
            Status::Full | Status::Partial(_) | Status::Accepted(_) => {}
        }
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

/// Where a mark stands outside parentheses and quotes; the end of the text if it does not.
pub(crate) fn end_of(text: &str, mark: char) -> usize {
    let (mut depth, mut quote) = (0_usize, None);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            (c, None) if c == mark && depth == 0 => return at,
            ('\\', None) if depth > 0 => drop(chars.next()),
            ('\\', Some('"')) => drop(chars.next()),
            ('"' | '\'', None) if depth > 0 => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('(', None) => depth += 1,
            (')', None) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::end_of;

    #[test]
    fn a_mark_in_an_argument_ends_nothing() {
        for (text, mark, expected) in [
            ("src,lower", ',', 3),
            ("req.hdr(a,1),lower", ',', 12),
            ("x(a\\)b),y", ',', 7),
            ("x(')',\"a)\"),y", ',', 11),
            ("src", ',', 3),
            ("req.hdr(a),regsub([a-z],b)]rest", ']', 26),
        ] {
            assert_eq!(end_of(text, mark), expected, "{text}");
        }
    }
}
