//! What is wrong with a file, where, and what would be right; and its text for people.

use annotate_snippets::{AnnotationKind, Group, Level as Mark, Renderer, Snippet};

use crate::{Sources, Span};

/// Most mistakes that are kept; a file of noise must not fill the memory.
const MAX_DIAGNOSTICS: usize = 1_000;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only said when asked (`tandem check`).
    Detail,
    /// Said, and never in the way.
    Note,
    /// Said; fatal with `-dW`.
    Warning,
    /// The configuration is not used.
    Error,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Adds what would be right.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }
}

/// All mistakes of one reading.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    spare: Option<Box<Diagnostic>>,
    dropped: usize,
    errors: usize,
    /// Names that are read but not built, in the order they were met.
    later: Vec<(Span, String)>,
    /// Mistakes are warnings: see [`Diagnostics::tolerantly`].
    tolerant: bool,
}

impl Diagnostics {
    /// Takes note of something that is read but not built: whoever wants to run the file refuses it then.
    pub fn later(&mut self, span: Span, name: &str) {
        let known = self.later.iter().any(|(at, known)| *at == span && known == name);
        if !known && self.later.len() < MAX_DIAGNOSTICS {
            self.later.push((span, name.to_owned()));
        }
    }

    /// Refuses everything that is not built: the last pass of a reading whose file is to run.
    pub fn refuse_later(&mut self) {
        for (span, name) in std::mem::take(&mut self.later) {
            self.error(span, format!("'{name}' is known but not built yet"))
                .help("remove it, or leave this part to the program you come from for now");
        }
    }

    /// What is read but not built.
    #[must_use]
    pub fn waiting(&self) -> &[(Span, String)] {
        &self.later
    }

    /// Refuses something HAProxy knows and this program does not, for a reason.
    pub fn absent(&mut self, span: Span, name: &str, why: &str) {
        let whose = if self.tolerant { "keepalived" } else { "HAProxy" };
        self.fatal(span, format!("'{name}' is known to {whose} but not supported")).help(why);
    }

    /// Reads something in a language that passes over its mistakes, as keepalived's does: what [`Self::error`]
    /// reports meanwhile is a warning. What is refused by name stays refused.
    pub fn tolerantly<R>(&mut self, read: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.tolerant, true);
        let result = read(self);
        self.tolerant = before;
        result
    }

    /// Reports an error; a remedy may be chained with [`Diagnostic::help`].
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        let level = if self.tolerant { Level::Warning } else { Level::Error };
        self.report(level, span, message.into())
    }

    /// Reports what no language passes over.
    pub fn fatal(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.report(Level::Error, span, message.into())
    }

    /// Reports words behind the last argument: a mistake, unless the language passes over them in silence.
    pub(crate) fn superfluous(&mut self, span: Span, message: String) -> &mut Diagnostic {
        let level = if self.tolerant { Level::Detail } else { Level::Error };
        self.report(level, span, message)
    }

    /// Reports a warning.
    pub fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.report(Level::Warning, span, message.into())
    }

    /// Reports at a level.
    pub fn push(&mut self, level: Level, span: Span, message: impl Into<String>) {
        self.report(level, span, message.into());
    }

    /// Number of errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Number of mistakes beyond the bound that were counted but not kept.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Everything reported, in order of place.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.list.iter().collect();
        sorted.sort_by_key(|d| d.span);
        sorted.into_iter()
    }

    /// Whether a mistake would be shown that is not shown yet.
    pub(crate) fn is_news(&self, span: Span, message: &str) -> bool {
        self.list.len() < MAX_DIAGNOSTICS && !self.list.iter().any(|d| d.span == span && d.message == message)
    }

    fn report(&mut self, level: Level, span: Span, message: String) -> &mut Diagnostic {
        // A listen is read as a frontend and as a backend: one mistake is said once.
        let known = |d: &Diagnostic| d.level == level && d.span == span && d.message == message;
        if let Some(place) = self.list.iter().position(known) {
            return &mut self.list[place];
        }
        self.errors += usize::from(level == Level::Error);
        let diagnostic = Diagnostic { level, span, message, help: None };
        if self.list.len() < MAX_DIAGNOSTICS {
            self.list.push(diagnostic);
            let last = self.list.len() - 1;
            &mut self.list[last]
        } else {
            self.dropped += 1;
            self.spare.insert(Box::new(diagnostic))
        }
    }
}

/// The text for a terminal: HAProxy's line that scripts look for, then the place with a caret.
#[must_use]
pub fn render(sources: &Sources, diagnostic: &Diagnostic, pid: u32, colour: bool) -> String {
    let (tag, mark) = match diagnostic.level {
        Level::Error => ("[ALERT]   ", Mark::ERROR),
        Level::Warning => ("[WARNING] ", Mark::WARNING),
        Level::Note => ("[NOTICE]  ", Mark::NOTE),
        Level::Detail => ("[DIAG]    ", Mark::NOTE),
    };
    let span = diagnostic.span;
    let name = sources.source(span.file).map_or("?", |s| s.name.as_str());
    let line = sources.line(span);
    let (start, end) = (clip(line, span.start), clip(line, span.end));
    let mut group = Group::with_title(mark.primary_title(diagnostic.message.as_str())).element(
        Snippet::source(line)
            .line_start(span.line as usize)
            .path(name)
            .annotation(AnnotationKind::Primary.span(start..end.max(start))),
    );
    if let Some(help) = &diagnostic.help {
        group = group.element(Mark::HELP.message(help.as_str()));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    format!(
        "{tag} ({pid}) : config : parsing [{name}:{}] : {}\n{}",
        span.line,
        diagnostic.message,
        renderer.render(&[group])
    )
}

fn clip(line: &str, offset: u32) -> usize {
    let mut at = (offset as usize).min(line.len());
    while !line.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_shows_file_line_column_and_caret() {
        let mut sources = Sources::default();
        let file = sources.add("pair.cfg", "frontend a\n    balence x\n");
        let mut diagnostics = Diagnostics::default();
        let span = Span { file, line: 2, start: 4, end: 11 };
        diagnostics.error(span, "unknown keyword 'balence'").help("did you mean 'balance'?");
        let text = diagnostics.iter().map(|d| render(&sources, d, 7, false)).collect::<String>();
        assert!(
            text.contains("[ALERT]    (7) : config : parsing [pair.cfg:2] : unknown keyword 'balence'"),
            "{text}"
        );
        assert!(text.contains("pair.cfg:2:5"), "{text}");
        assert!(text.contains("^^^^^^^"), "{text}");
        assert!(text.contains("did you mean 'balance'?"), "{text}");
    }

    #[test]
    fn noise_is_counted_beyond_the_bound() {
        let mut diagnostics = Diagnostics::default();
        for number in 0..MAX_DIAGNOSTICS + 5 {
            diagnostics.error(Span::default(), number.to_string()).help("y");
            // A mistake that is found twice is one.
            diagnostics.error(Span::default(), "0");
        }
        assert_eq!((diagnostics.errors(), diagnostics.dropped()), (MAX_DIAGNOSTICS + 5, 5));
    }
}
