//! The language HAProxy's files are written in, as far as every room shares it: words with positions,
//! diagnostics, argument types and the header (`Spec`) that all registry rows begin with. What a keyword
//! *means* belongs to the room that owns its section.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod arg;
mod block;
mod condition;
mod diagnostic;
mod keyword;
mod lexer;
mod names;
mod source;
mod spec;
mod statement;
mod suggest;
mod text;
mod units;

pub use arg::{Arg, Args, Unit, Value};
pub use block::{Block, blocks};
pub use condition::{Surroundings, condition};
pub use diagnostic::{Diagnostic, Diagnostics, Level, render, summary};
pub use keyword::{
    Elsewhere, Keyword, Section, Sections, full_row, home, read_line, read_line_among, read_options, row,
};
pub use lexer::{Environment, Line, MAX_LINE, MAX_WORDS, Word, lex, quoted};
pub use names::{check_name, is_token};
pub use source::{FileId, Source, Sources, Span};
pub use spec::{Spec, Status};
pub use statement::Statement;
pub use suggest::nearest;
pub use text::read_text;
pub use units::{duration, parse_duration, parse_size};
