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
    /// What each of them is for; empty where nobody says.
    purposes: Vec<&'static str>,
    /// Mistakes are warnings: see [`Diagnostics::tolerantly`].
    tolerant: bool,
}

impl Diagnostics {
    /// Takes note of something that is read but not built: whoever wants to run the file refuses it then.
    pub fn later(&mut self, span: Span, name: &str) {
        self.later_for(span, name, "");
    }

    /// As [`Diagnostics::later`], with what the word is for: whoever thinks of taking it out has to know that.
    pub fn later_for(&mut self, span: Span, name: &str, purpose: &'static str) {
        let known = self.later.iter().any(|(at, known)| *at == span && known == name);
        if !known && self.later.len() < MAX_DIAGNOSTICS {
            self.later.push((span, name.to_owned()));
            self.purposes.push(purpose);
        }
    }

    /// Refuses everything that is not built: the last pass of a reading whose file is to run.
    pub fn refuse_later(&mut self) {
        let purposes = std::mem::take(&mut self.purposes);
        for ((span, name), purpose) in std::mem::take(&mut self.later).into_iter().zip(purposes) {
            let lost = if purpose.is_empty() {
                "Without it the file means something else"
            } else {
                "Without it that is lost"
            };
            let help = format!("{purpose} {lost}: leave this part to the program you come from for now.");
            self.error(span, format!("'{name}' is known but not built yet")).help(help.trim_start());
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

/// Most places that are listed below a mistake which stands several times.
const MAX_PLACES: usize = 12;

/// The text for a terminal: for each mistake HAProxy's line that scripts look for, and once, where it stands first, the
/// place with a caret and the help.
#[must_use]
pub fn render(sources: &Sources, diagnostics: &[&Diagnostic], pid: u32, colour: bool) -> String {
    let mut text = String::new();
    let same =
        |a: &Diagnostic, b: &Diagnostic| (a.level, &a.message, &a.help) == (b.level, &b.message, &b.help);
    for (place, diagnostic) in diagnostics.iter().enumerate() {
        text.push_str(&line(sources, diagnostic, pid));
        if diagnostics[..place].iter().any(|before| same(before, diagnostic)) {
            continue;
        }
        let others: Vec<&Diagnostic> =
            diagnostics[place + 1..].iter().filter(|other| same(other, diagnostic)).copied().collect();
        text.push_str(&picture(sources, diagnostic, &others, colour));
        text.push('\n');
    }
    text
}

/// How many there are of what, in words.
#[must_use]
pub fn summary(diagnostics: &Diagnostics) -> String {
    let count = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let warnings = diagnostics.iter().filter(|d| d.level == Level::Warning).count();
    let errors = count(diagnostics.errors(), "mistake");
    if warnings == 0 { errors } else { format!("{errors}, {}", count(warnings, "warning")) }
}

fn place(sources: &Sources, span: Span) -> String {
    format!("{}:{}", sources.source(span.file).map_or("?", |s| s.name.as_str()), span.line)
}

fn line(sources: &Sources, diagnostic: &Diagnostic, pid: u32) -> String {
    let tag = match diagnostic.level {
        Level::Error => "[ALERT]   ",
        Level::Warning => "[WARNING] ",
        Level::Note => "[NOTICE]  ",
        Level::Detail => "[DIAG]    ",
    };
    format!(
        "{tag} ({pid}) : config : parsing [{}] : {}\n",
        place(sources, diagnostic.span),
        diagnostic.message
    )
}

fn picture(sources: &Sources, diagnostic: &Diagnostic, others: &[&Diagnostic], colour: bool) -> String {
    let mark = match diagnostic.level {
        Level::Error => Mark::ERROR,
        Level::Warning => Mark::WARNING,
        Level::Note | Level::Detail => Mark::NOTE,
    };
    let span = diagnostic.span;
    let name = sources.source(span.file).map_or("?", |s| s.name.as_str());
    let line = sources.line(span);
    let (start, end) = (clip(line, span.start), clip(line, span.end));
    let mut group = Group::with_level(mark).element(
        Snippet::source(line)
            .line_start(span.line as usize)
            .path(name)
            .annotation(AnnotationKind::Primary.span(start..end.max(start))),
    );
    if let Some(help) = &diagnostic.help {
        group = group.element(Mark::HELP.message(help.as_str()));
    }
    let mut places: Vec<String> = others.iter().map(|other| place(sources, other.span)).collect();
    places.dedup();
    let more = places.len().saturating_sub(MAX_PLACES);
    places.truncate(MAX_PLACES);
    if more > 0 {
        places.push(format!("{more} more"));
    }
    let also = format!("also in {}", places.join(", "));
    if !places.is_empty() {
        group = group.element(Mark::NOTE.message(also.as_str()));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
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
        let text = render(&sources, &diagnostics.iter().collect::<Vec<_>>(), 7, false);
        assert!(
            text.contains("[ALERT]    (7) : config : parsing [pair.cfg:2] : unknown keyword 'balence'"),
            "{text}"
        );
        assert!(text.contains("pair.cfg:2:5"), "{text}");
        assert!(text.contains("^^^^^^^"), "{text}");
        assert!(text.contains("did you mean 'balance'?"), "{text}");
    }

    #[test]
    fn a_mistake_that_stands_three_times_is_pictured_once() {
        let mut sources = Sources::default();
        let file = sources.add("a.cfg", "frontend a\n x\n x\n x\n");
        let mut diagnostics = Diagnostics::default();
        for line in 2..=4 {
            diagnostics.error(Span { file, line, start: 1, end: 2 }, "unknown keyword 'x'").help("look");
        }
        diagnostics.warning(Span { file, line: 1, start: 0, end: 8 }, "w");
        let text = render(&sources, &diagnostics.iter().collect::<Vec<_>>(), 7, false);
        assert_eq!(text.matches("unknown keyword").count(), 3, "{text}");
        assert_eq!(text.matches("help: look").count(), 1, "{text}");
        assert!(text.contains("also in a.cfg:3, a.cfg:4"), "{text}");
        assert!(text.find("[WARNING]") < text.find("[ALERT]"), "{text}");
        assert_eq!(summary(&diagnostics), "3 mistakes, 1 warning");
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
