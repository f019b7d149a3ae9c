//! Typed arguments: what may follow a name, and the values that did.

use std::time::Duration;

use crate::{Diagnostics, Span, Word, nearest, parse_duration, parse_size};

/// The unit of a duration written as a bare number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// HAProxy's usual default.
    Millis,
    /// Used by a few keywords (`grace`, `warn-blocked-traffic-after` and keepalived's rows).
    Seconds,
}

/// One argument in a row's list. The names appear in messages and in the reference.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// Any one word.
    Word(&'static str),
    /// A whole number within bounds, both included.
    Int(&'static str, i64, i64),
    /// A duration; the unit is that of a bare number.
    Duration(&'static str, Unit),
    /// Seconds as a decimal number (keepalived's timers), within bounds in milliseconds, both included.
    Seconds(&'static str, u64, u64),
    /// A size in bytes (or entries) with k, m, g.
    Size(&'static str),
    /// One of these words.
    OneOf(&'static str, &'static [&'static str]),
    /// The argument or nothing; only before other optional arguments.
    Optional(&'static Arg),
    /// All words that remain, possibly none; always last.
    Rest(&'static str),
    /// All words that remain, at least one; always last.
    Words(&'static str),
}

impl Arg {
    /// How the argument is written in a syntax line.
    #[must_use]
    pub fn syntax(&self) -> String {
        match self {
            Self::Word(name)
            | Self::Int(name, ..)
            | Self::Duration(name, _)
            | Self::Seconds(name, ..)
            | Self::Size(name) => {
                format!("<{name}>")
            }
            Self::OneOf(_, choices) => format!("{{{}}}", choices.join("|")),
            Self::Optional(arg) => format!("[{}]", arg.syntax()),
            Self::Rest(name) => format!("[<{name}>...]"),
            Self::Words(name) => format!("<{name}>..."),
        }
    }

    fn read(&self, word: &Word) -> Result<Value, String> {
        let text = word.as_str();
        match self {
            // An empty word is none, as in HAProxy.
            Self::Word(name) if text.is_empty() => Err(format!("an empty text is no {name}")),
            Self::Word(_) | Self::Rest(_) | Self::Words(_) => Ok(Value::Word(word.clone())),
            Self::Int(name, min, max) => match text.parse::<i64>() {
                Ok(number) if (*min..=*max).contains(&number) => Ok(Value::Int(number)),
                _ => Err(format!(
                    "'{text}' is not a valid {name}: a whole number from {min} to {max} is expected"
                )),
            },
            Self::Duration(_, unit) => parse_duration(text, *unit).map(Value::Duration),
            Self::Seconds(name, min, max) => match text.parse::<f64>() {
                // Bounds are far below what a float holds exactly.
                Ok(seconds) if seconds >= *min as f64 / 1_000.0 && seconds <= *max as f64 / 1_000.0 => {
                    Ok(Value::Duration(Duration::from_secs_f64(seconds)))
                }
                _ => Err(format!(
                    "'{text}' is not a valid {name}: {} to {} seconds are expected",
                    *min as f64 / 1_000.0,
                    *max as f64 / 1_000.0
                )),
            },
            Self::Size(_) => parse_size(text).map(Value::Size),
            Self::OneOf(name, choices) if choices.contains(&text) => {
                let _ = name;
                Ok(Value::Word(word.clone()))
            }
            Self::OneOf(name, choices) => {
                let hint = nearest(text, choices.iter().copied())
                    .map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
                Err(format!(
                    "'{text}' is not a valid {name}: one of {} is expected{hint}",
                    choices.join(", ")
                ))
            }
            Self::Optional(arg) => arg.read(word),
        }
    }
}

/// One argument that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A word, or one of a closed list.
    Word(Word),
    /// A whole number.
    Int(i64),
    /// A duration.
    Duration(Duration),
    /// A size.
    Size(u64),
    /// The remaining words.
    Words(Vec<Word>),
    /// An optional argument that was not there.
    Absent,
}

/// The arguments of one keyword, as many as its row lists and of the types it lists.
#[derive(Clone, Debug)]
pub struct Args {
    /// The keyword's own words.
    pub keyword: Word,
    /// Whether `no` stood before it.
    pub negated: bool,
    /// The whole keyword with its arguments.
    pub span: Span,
    values: Vec<Value>,
}

impl Args {
    /// Reads the words after a keyword. `None` if anything was wrong; it has been reported then.
    /// Words beyond the row's list are left: the second value is how many were used.
    pub fn read(
        specs: &[Arg],
        keyword: Word,
        negated: bool,
        words: &[Word],
        diagnostics: &mut Diagnostics,
    ) -> (Option<Self>, usize) {
        let mut values = Vec::with_capacity(specs.len());
        let mut used = 0;
        let mut good = true;
        for spec in specs {
            match (spec, words.get(used)) {
                (Arg::Rest(_) | Arg::Words(_), _) => {
                    let rest = words.get(used..).unwrap_or_default().to_vec();
                    if rest.is_empty() && matches!(spec, Arg::Words(_)) {
                        missing(&keyword, spec, diagnostics);
                        good = false;
                    }
                    used = words.len();
                    values.push(Value::Words(rest));
                }
                (Arg::Optional(_), None) => values.push(Value::Absent),
                (_, None) => {
                    missing(&keyword, spec, diagnostics);
                    good = false;
                    break;
                }
                (_, Some(word)) => {
                    used += 1;
                    match spec.read(word) {
                        Ok(value) => values.push(value),
                        Err(message) => {
                            diagnostics.error(word.span, format!("'{}' : {message}", keyword.text));
                            good = false;
                            values.push(Value::Absent);
                        }
                    }
                }
            }
        }
        let last = used.checked_sub(1).and_then(|i| words.get(i)).map_or(keyword.span, |w| w.span);
        let span = keyword.span.to(last);
        (good.then_some(Self { keyword, negated, span, values }), used)
    }

    /// Whether an optional argument was written.
    #[must_use]
    pub fn has(&self, index: usize) -> bool {
        !matches!(self.values.get(index), None | Some(Value::Absent))
    }

    /// The word at `index`; the keyword itself where the row lists no word there.
    #[must_use]
    pub fn word(&self, index: usize) -> &Word {
        match self.values.get(index) {
            Some(Value::Word(word)) => word,
            _ => &self.keyword,
        }
    }

    /// The optional word at `index`.
    #[must_use]
    pub fn optional_word(&self, index: usize) -> Option<&Word> {
        match self.values.get(index) {
            Some(Value::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// The text of the word at `index`, copied.
    #[must_use]
    pub fn text(&self, index: usize) -> String {
        self.word(index).text.clone()
    }

    /// The number at `index`; 0 where the row lists none there.
    #[must_use]
    pub fn int(&self, index: usize) -> i64 {
        match self.values.get(index) {
            Some(Value::Int(number)) => *number,
            _ => 0,
        }
    }

    /// The size at `index`; 0 where the row lists none there.
    #[must_use]
    pub fn size(&self, index: usize) -> u64 {
        match self.values.get(index) {
            Some(Value::Size(number)) => *number,
            _ => 0,
        }
    }

    /// The duration at `index`; zero where the row lists none there.
    #[must_use]
    pub fn duration(&self, index: usize) -> Duration {
        match self.values.get(index) {
            Some(Value::Duration(duration)) => *duration,
            _ => Duration::ZERO,
        }
    }

    /// The remaining words at `index`.
    #[must_use]
    pub fn words(&self, index: usize) -> &[Word] {
        match self.values.get(index) {
            Some(Value::Words(words)) => words,
            _ => &[],
        }
    }
}

fn missing(keyword: &Word, spec: &Arg, diagnostics: &mut Diagnostics) {
    diagnostics.fatal(keyword.span, format!("'{}' expects {} after it", keyword.text, spec.syntax()));
}
