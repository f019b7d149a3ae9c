//! Statements of languages that have blocks in braces, such as keepalived's.

use crate::{Span, Word};

/// Words, and the statements in the braces behind them.
#[derive(Debug)]
pub struct Statement {
    /// The words; at least one.
    pub words: Vec<Word>,
    /// What stands in braces.
    pub block: Option<Vec<Self>>,
}

impl Statement {
    /// From the first word to the last.
    #[must_use]
    pub fn span(&self) -> Span {
        match (self.words.first(), self.words.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => Span::default(),
        }
    }

    /// The first word.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.words.first().map_or("", Word::as_str)
    }
}
