//! An expression: a fetch and its argument, resolved.

use std::ops::ControlFlow;

use proxy_lang::{Diagnostics, Status, Word, nearest};
use proxy_table::TableId;

use crate::fetches::{self, Counter, Eval, FetchArgs, Takes, What, Whose, counter_named};
use crate::{Context, Exchange, Kind, Sample, View, converters};

/// What taking out a part of a condition or of a value does.
pub(crate) const PURPOSE: &str = "It decides what a rule applies to.";

#[derive(Clone, Debug)]
enum Source {
    Fetch(fetches::Eval, FetchArgs),
    Counter { what: What, index: usize, slot: Option<usize>, table: Option<TableId> },
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
            diagnostics.later_for(at.span, &format!("converter {name}"), PURPOSE);
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
            Status::Later => diagnostics.later_for(at.span, &format!("fetch {name}"), PURPOSE),
            Status::Full | Status::Partial(_) | Status::Accepted(_) => {}
        }
        if row.needs > context.stage {
            diagnostics.error(at.span, format!("'{name}' cannot be known yet where this rule runs"));
            return None;
        }
        if name == "be_name" && context.backend.is_empty() && context.stage < crate::Stage::Response {
            diagnostics.error(at.span, "'be_name' cannot be known yet: no backend is chosen in a frontend");
            return None;
        }
        if row.needs > crate::Stage::Connection && !context.http {
            diagnostics.error(at.span, format!("'{name}' needs 'mode http'"));
            return None;
        }
        let mut args = match fetch_args(row.takes, argument.unwrap_or("")) {
            Ok(args) => args,
            Err(why) => {
                let note = diagnostics.error(at.span, format!("'{name}' {why}"));
                note.help(format!("for example {}", row.spec.example));
                return None;
            }
        };
        if row.takes == Takes::Text && argument.is_none() && name != "nbsrv" {
            diagnostics
                .error(at.span, format!("'{name}' expects an argument"))
                .help(format!("for example {}", row.spec.example));
            return None;
        }
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

    /// Extracts the sample; of several the one that stands for all. `None` if there is none.
    pub fn eval<'x>(&'x self, exchange: &'x Exchange<'_>, view: &dyn View) -> Option<Sample<'x>> {
        match &self.source {
            Source::Fetch(Eval::One(one) | Eval::Several { one, .. }, args) => one(exchange, args, view),
            Source::Counter { what, index, slot, table } => {
                counter((*what, *index), *slot, *table, exchange, view)
            }
        }
    }

    /// Whether any sample passes a test; `false` if there is none.
    pub fn any(
        &self,
        exchange: &Exchange<'_>,
        view: &dyn View,
        mut test: impl FnMut(&Sample<'_>) -> bool,
    ) -> bool {
        let Source::Fetch(Eval::Several { each, .. }, args) = &self.source else {
            return self.eval(exchange, view).is_some_and(|sample| test(&sample));
        };
        let seen = each(exchange, args, &mut |sample| {
            if test(&sample) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        seen.is_break()
    }
}

/// Fewest occurrences from the end that HAProxy looks back.
const FIRST_OCCURRENCE: i32 = -10;

/// Reads what stands in a fetch's parentheses.
fn fetch_args(takes: Takes, text: &str) -> Result<FetchArgs, String> {
    if takes == Takes::Anything {
        return Ok(FetchArgs { text: text.to_owned(), ..FetchArgs::default() });
    }
    let arguments = arguments(text);
    let most = match takes {
        Takes::Nothing => 0,
        Takes::Text | Takes::Name | Takes::Delimiter | Takes::Anything => 1,
        Takes::NameOccurrence | Takes::NameDelimiter => 2,
    };
    if arguments.len() > most && !(most == 0 && text.is_empty()) {
        return Err(format!("takes {most} argument(s), {} stand here", arguments.len()));
    }
    let mut arguments = arguments.into_iter();
    let first = arguments.next().unwrap_or_default();
    let second = arguments.next().filter(|second| !second.is_empty());
    let mut args = FetchArgs::default();
    match takes {
        Takes::Delimiter => args.delimiter = first.bytes().next(),
        Takes::NameDelimiter => args.delimiter = second.and_then(|second| second.bytes().next()),
        Takes::NameOccurrence => {
            args.occurrence = match second {
                None => 0,
                Some(second) => {
                    second.parse().ok().filter(|occurrence| *occurrence >= FIRST_OCCURRENCE).ok_or_else(
                        || format!("expects a whole number from {FIRST_OCCURRENCE} on, not '{second}'"),
                    )?
                }
            }
        }
        Takes::Nothing | Takes::Text | Takes::Name | Takes::Anything => {}
    }
    if takes != Takes::Delimiter {
        args.text = first;
    }
    Ok(args)
}

/// The arguments in parentheses, which commas part, without the quotes and backslashes that protect bytes of
/// them.
fn arguments(text: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let (mut quote, mut chars) = (None, text.chars());
    while let Some(c) = chars.next() {
        let kept = match (c, quote) {
            (',', None) => {
                arguments.push(String::new());
                None
            }
            ('\\', None | Some('"')) => chars.next(),
            ('"' | '\'', None) => {
                quote = Some(c);
                None
            }
            (c, Some(open)) if c == open => {
                quote = None;
                None
            }
            (c, _) => Some(c),
        };
        if let (Some(argument), Some(c)) = (arguments.last_mut(), kept) {
            argument.push(c);
        }
    }
    arguments
}

fn counter_expr(
    counter: Counter,
    argument: Option<&str>,
    at: &Word,
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Expr> {
    let mut arguments = argument.map_or_else(Vec::new, arguments).into_iter().filter(|a| !a.is_empty());
    let mut index = 0;
    if counter.what.takes_index() {
        let number = arguments.next().and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|number| *number < MAX_ELEMENTS) else {
            diagnostics.error(
                at.span,
                format!("'{}' expects the number of an element, 0 to {}", at.text, MAX_ELEMENTS - 1),
            );
            return None;
        };
        index = number;
    }
    let slot = match counter.whose {
        Whose::Tracked(slot) => Some(slot),
        Whose::TrackedByArgument => match arguments.next().and_then(|number| number.parse::<usize>().ok()) {
            Some(slot) if slot < 3 => Some(slot),
            _ => {
                diagnostics
                    .error(at.span, format!("'{}' expects the number of a tracked counter, 0 to 2", at.text));
                return None;
            }
        },
        Whose::Source => None,
    };
    let named = arguments.next();
    // What is tracked is in its own table, unless another one is named.
    let table = match (slot, named) {
        (Some(_), None) => None,
        (_, named) => Some(context.find_table(named.as_deref(), at.span, diagnostics)?),
    };
    if let Some(extra) = arguments.next() {
        diagnostics.error(at.span, format!("'{}' has an argument too many: '{extra}'", at.text));
        return None;
    }
    let yields = if counter.what == What::IsTracked { Kind::Bool } else { Kind::Int };
    Some(Expr { source: Source::Counter { what: counter.what, index, slot, table }, yields })
}

/// Most elements of an array, as in a `store` list.
const MAX_ELEMENTS: usize = 100;

/// The value of a stick-table counter; `None` where nothing is tracked, or an array has no such element.
fn counter<'x>(
    (what, index): (What, usize),
    slot: Option<usize>,
    table: Option<TableId>,
    exchange: &Exchange<'_>,
    view: &dyn View,
) -> Option<Sample<'x>> {
    let now = exchange.now_ms;
    let tracked = slot.and_then(|slot| exchange.tracked[slot].as_ref());
    if what == What::IsTracked {
        return Some(Sample::Bool(tracked.is_some()));
    }
    let id = match slot {
        Some(_) => table.unwrap_or(tracked?.table),
        None => table?,
    };
    let store = view.table(id);
    let key = match slot {
        Some(_) => tracked?.key.clone(),
        None if crate::is_unix_end(exchange.client) => return None,
        None => store.schema().key.of_address(exchange.client.ip())?,
    };
    // Of an entry that does not exist every value is 0; a value that the table does not store does not exist.
    let element =
        |data_type| store.peek(&key, now, |row| row.element(data_type, index, now)).unwrap_or(Some(0));
    let number = match what {
        What::Value(data_type) => element(data_type)?,
        What::Kilo(data_type) => element(data_type)? >> 10,
        What::Element(data_type) => element(data_type)?,
        What::Increment(counter, rate) => store.touch(&key, now, |row| {
            row.add_element(counter, index, now, 1);
            row.add_element(rate, index, now, 1);
            row.element(counter, index, now).or_else(|| row.element(rate, index, now)).unwrap_or(0)
        })?,
        What::Clear(counter) => match store.peek(&key, now, |_| ()) {
            None => 0,
            Some(()) => store.touch(&key, now, |row| {
                let old = row.element(counter, index, now);
                row.set_element(counter, index, 0);
                old.unwrap_or(0)
            })?,
        },
        What::Trackers => store.look(&key, now).map_or(0, |entry| u64::from(entry.used_by)),
        What::IsTracked => 0,
    };
    Some(Sample::Int(i64::try_from(number).unwrap_or(i64::MAX)))
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
    use super::{arguments, end_of, fetch_args};
    use crate::fetches::Takes;

    #[test]
    fn arguments_are_parted_at_commas_outside_quotes() {
        for (text, expected) in [
            ("", &[""][..]),
            ("a", &["a"]),
            ("a,1", &["a", "1"]),
            (",-1", &["", "-1"]),
            ("\"a,b\",1", &["a,b", "1"]),
            ("'a\"b'", &["a\"b"]),
            ("a\\,b", &["a,b"]),
        ] {
            assert_eq!(arguments(text), expected, "{text}");
        }
    }

    #[test]
    fn arguments_that_a_fetch_does_not_take_are_refused() {
        for (takes, text, good) in [
            (Takes::Nothing, "", true),
            (Takes::Nothing, "x", false),
            (Takes::Name, "x", true),
            (Takes::Name, "x,1", false),
            (Takes::NameOccurrence, "x,1", true),
            (Takes::NameOccurrence, "x,", true),
            (Takes::NameOccurrence, "x,+1", true),
            (Takes::NameOccurrence, "x,-10", true),
            (Takes::NameOccurrence, "x,-11", false),
            (Takes::NameOccurrence, "x,1x", false),
            (Takes::NameOccurrence, "x,1,2", false),
            (Takes::NameDelimiter, "x,;", true),
            (Takes::NameDelimiter, "x,;,i", false),
            (Takes::Delimiter, ";", true),
        ] {
            assert_eq!(fetch_args(takes, text).is_ok(), good, "{takes:?} {text}");
        }
        let args = fetch_args(Takes::NameOccurrence, "x,-2").unwrap();
        assert_eq!((args.text.as_str(), args.occurrence), ("x", -2));
    }

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
