//! Files to sections, line after line as HAProxy reads them (manual chapters 2.3 and 2.4): what a line sets in
//! the environment holds for those behind it, and what a condition leaves out is not there. A section is handed
//! over as soon as it is whole, so that a large file is never in memory as words.

use std::collections::BTreeMap;

use crate::block::Grouping;
use crate::lexer::words_of;
use crate::{Block, Diagnostics, FileId, Level, Line, Source, Sources, Span, Surroundings, Word, condition};

/// Deepest nesting of conditional blocks, as in HAProxy.
const MAX_NESTING: usize = 1_024;
/// Words of a directive's message that are looked at.
const DIRECTIVES: &[&str] = &[".if", ".elif", ".else", ".endif", ".diag", ".notice", ".warning", ".alert"];

/// Hands over every section of all files. `openers` are the words that open one.
pub fn read_text(
    sources: &Sources,
    surroundings: &dyn Surroundings,
    openers: &[&str],
    diagnostics: &mut Diagnostics,
    each: &mut dyn FnMut(Block, &mut Diagnostics),
) {
    let mut group = Grouping::new(openers);
    lines(sources, surroundings, openers, diagnostics, &mut |line, diagnostics| {
        if let Some(block) = group.line(line, diagnostics) {
            each(block, diagnostics);
        }
    });
    if let Some(block) = group.end() {
        each(block, diagnostics);
    }
}

/// Who takes the lines that are read.
type Sink<'s> = &'s mut dyn FnMut(Line, &mut Diagnostics);

fn lines(
    sources: &Sources,
    surroundings: &dyn Surroundings,
    openers: &[&str],
    diagnostics: &mut Diagnostics,
    sink: Sink<'_>,
) {
    let mut reader = Reader {
        surroundings,
        openers,
        changed: BTreeMap::new(),
        cleared: None,
        section: [""; 2].map(String::from),
    };
    for (file, source) in sources.iter() {
        reader.file(file, source, sink, diagnostics);
    }
}

struct Reader<'s> {
    surroundings: &'s dyn Surroundings,
    openers: &'s [&'s str],
    /// Variables the text has set, or taken away.
    changed: BTreeMap<String, Option<String>>,
    /// After `resetenv`: the only variables that are left of the surroundings.
    cleared: Option<Vec<String>>,
    /// Kind and name of the section that is being read.
    section: [String; 2],
}

/// One `.if` that is not closed.
struct Open {
    opened: Span,
    /// Whether its lines count now.
    active: bool,
    /// Whether one of its branches has counted, or none may.
    settled: bool,
    has_else: bool,
}

impl Reader<'_> {
    fn file(&mut self, file: FileId, source: &Source, sink: Sink<'_>, diagnostics: &mut Diagnostics) {
        let mut blocks: Vec<Open> = Vec::new();
        for (index, text) in source.text.lines().enumerate() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let at = Span { file, line: number, start: 0, end: 1 };
            let lookup = |name: &str| match name {
                ".FILE" => Some(source.name.clone()),
                ".LINE" => Some(number.to_string()),
                ".SECTION" => Some(self.section[usize::from(!self.section[1].is_empty())].clone()),
                _ => self.variable(name),
            };
            let words = words_of(text, at, &lookup, diagnostics);
            let Some(first) = words.first() else { continue };
            if DIRECTIVES.contains(&first.text.as_str()) {
                self.directive(&words, &mut blocks, diagnostics);
            } else if blocks.last().is_none_or(|block| block.active) {
                self.note(&words, diagnostics);
                sink(Line { words }, diagnostics);
            }
        }
        for block in blocks {
            diagnostics.error(block.opened, "'.if' has no '.endif' in this file");
        }
        if !source.text.is_empty() && !source.text.ends_with('\n') {
            let line = u32::try_from(source.text.lines().count()).unwrap_or(u32::MAX);
            let last = source.text.lines().last().map_or(0, str::len);
            let end = u32::try_from(last).unwrap_or(u32::MAX);
            diagnostics
                .error(
                    Span { file, line, start: end.saturating_sub(1), end },
                    "Missing LF on last line, file might have been truncated",
                )
                .help("end the file with a line feed");
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        if let Some(changed) = self.changed.get(name) {
            return changed.clone();
        }
        let left = self.cleared.as_ref().is_none_or(|left| left.iter().any(|kept| kept == name));
        if left { self.surroundings.variable(name) } else { None }
    }

    fn directive(&self, words: &[Word], blocks: &mut Vec<Open>, diagnostics: &mut Diagnostics) {
        let (first, rest) = (&words[0], &words[1..]);
        let active = blocks.last().is_none_or(|block| block.active);
        let span = rest.last().map_or(first.span, |last| first.span.to(last.span));
        match first.text.as_str() {
            ".if" if blocks.len() >= MAX_NESTING => {
                diagnostics.error(span, format!("more than {MAX_NESTING} conditional blocks in one another"));
            }
            ".if" => {
                let holds = active && self.holds(span, rest, diagnostics);
                blocks.push(Open { opened: span, active: holds, settled: holds || !active, has_else: false });
            }
            ".elif" | ".else" => {
                let Some(block) = blocks.last_mut().filter(|block| !block.has_else) else {
                    diagnostics
                        .error(span, format!("'{}' does not stand behind '.if' or '.elif'", first.text));
                    return;
                };
                let settled = block.settled;
                block.has_else = first.text == ".else";
                let holds = !settled && (block.has_else || self.holds(span, rest, diagnostics));
                (block.active, block.settled) = (holds, settled || holds);
                if let (true, Some(extra)) = (block.has_else, rest.first()) {
                    diagnostics.error(extra.span, "nothing is expected behind '.else'");
                }
            }
            ".endif" => {
                if blocks.pop().is_none() {
                    diagnostics.error(span, "'.endif' closes no '.if'");
                }
                if let Some(extra) = rest.first() {
                    diagnostics.error(extra.span, "nothing is expected behind '.endif'");
                }
            }
            message if active => {
                let [text] = rest else {
                    diagnostics
                        .error(span, format!("'{message}' expects one message"))
                        .help("put the message into quotes");
                    return;
                };
                let level = match message {
                    ".alert" => Level::Error,
                    ".warning" => Level::Warning,
                    ".notice" => Level::Note,
                    _ => Level::Detail,
                };
                diagnostics.push(level, text.span, text.text.clone());
            }
            _ => {}
        }
    }

    fn holds(&self, span: Span, words: &[Word], diagnostics: &mut Diagnostics) -> bool {
        struct Asked<'r, 's>(&'r Reader<'s>);
        impl Surroundings for Asked<'_, '_> {
            fn variable(&self, name: &str) -> Option<String> {
                self.0.variable(name)
            }
            fn feature(&self, name: &str) -> bool {
                self.0.surroundings.feature(name)
            }
            fn version(&self) -> [u32; 3] {
                self.0.surroundings.version()
            }
        }
        let text = words.iter().map(Word::as_str).collect::<Vec<_>>().join(" ");
        match condition(&text, &Asked(self)) {
            Ok(holds) => holds,
            Err(why) => {
                diagnostics.error(span, format!("condition '{text}' is not understood: {why}"));
                false
            }
        }
    }

    /// Follows what changes the reading of the lines behind this one.
    fn note(&mut self, words: &[Word], diagnostics: &mut Diagnostics) {
        let text = |place: usize| words.get(place).map_or("", Word::as_str);
        if self.openers.contains(&text(0)) {
            self.section = [text(0).to_owned(), text(1).to_owned()];
            return;
        }
        if self.section[0] != "global" {
            return;
        }
        match (text(0), words.len()) {
            ("setenv", 3) => {
                self.changed.insert(text(1).to_owned(), Some(text(2).to_owned()));
            }
            ("presetenv", 3) if self.variable(text(1)).is_none() => {
                self.changed.insert(text(1).to_owned(), Some(text(2).to_owned()));
            }
            ("unsetenv", _) => {
                for name in &words[1..] {
                    self.changed.insert(name.text.clone(), None);
                }
            }
            ("resetenv", _) => {
                let kept: Vec<String> = words[1..].iter().map(|word| word.text.clone()).collect();
                self.changed.retain(|name, _| kept.contains(name));
                self.cleared = Some(kept);
            }
            ("setenv" | "presetenv", count) if count != 3 => {
                diagnostics
                    .error(words[0].span, format!("'{}' expects a name and a value", text(0)))
                    .help("put a value of several words into quotes");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Here;
    impl Surroundings for Here {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "HOME" => Some("/root".to_owned()),
                "LIST" => Some("a b  c".to_owned()),
                _ => None,
            }
        }
        fn feature(&self, name: &str) -> bool {
            name == "OPENSSL"
        }
        fn version(&self) -> [u32; 3] {
            [2, 6, 0]
        }
    }

    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let mut sources = Sources::default();
        sources.add("t.cfg", text);
        let mut diagnostics = Diagnostics::default();
        let mut lines = Vec::new();
        super::lines(&sources, &Here, &["global", "frontend"], &mut diagnostics, &mut |line, _| {
            lines.push(line);
        });
        let join = |line: &Line| line.words.iter().map(Word::as_str).collect::<Vec<_>>().join("|");
        let said = diagnostics.iter().map(|d| format!("{:?} {}: {}", d.level, d.span.line, d.message));
        (lines.iter().map(join).collect(), said.collect())
    }

    #[test]
    fn blocks_count_as_their_conditions_say() {
        let text = ".if defined(HOME) && !feature(LUA)\none\n.if 0\ntwo\n.elif 1\nthree\n.else\nfour\n.endif\n\
                    .else\nfive\n.if 1\nsix\n.endif\n.endif\nseven\n";
        assert_eq!(read(text), (["one", "three", "seven"].map(String::from).to_vec(), vec![]));
    }

    #[test]
    fn blocks_that_do_not_fit_are_reported() {
        for (text, expected) in [
            (".if 1\n", "Error 1: '.if' has no '.endif' in this file"),
            (".endif\n", "Error 1: '.endif' closes no '.if'"),
            (".else\n", "Error 1: '.else' does not stand behind '.if' or '.elif'"),
            (".if 1\n.else\n.elif 1\n.endif\n", "Error 3: '.elif' does not stand behind '.if' or '.elif'"),
            (
                ".if what(1)\n.endif\n",
                "Error 1: condition 'what(1)' is not understood: unknown predicate 'what'",
            ),
            (".warning a b\n", "Error 1: '.warning' expects one message"),
            ("one", "Error 1: Missing LF on last line, file might have been truncated"),
        ] {
            assert_eq!(read(text).1, [expected], "{text:?}");
        }
        let (_, said) = read(".notice \"a b\"\n.if 0\n.alert never\n.endif\n.warning w\n.diag d\n.alert x\n");
        assert_eq!(said, ["Note 1: a b", "Warning 5: w", "Detail 6: d", "Error 7: x"]);
    }

    #[test]
    fn variables_hold_from_where_they_are_set() {
        let text = "x \"$A\"\nglobal\nsetenv A 1\npresetenv A 2\npresetenv B \"$A$A\"\nx \"$A\" \"$B\"\n\
                    unsetenv A\nx \"${A-none}\" \"$HOME\"\nresetenv B\nx \"$B\" \"${HOME-gone}\"\n\
                    frontend f\nsetenv B 9\nx \"$B\" \"${LIST[*]}\" \"${.SECTION}:${.LINE}\"\n";
        let (lines, said) = read(text);
        let shown: Vec<&str> = lines.iter().map(String::as_str).filter(|l| l.starts_with('x')).collect();
        assert_eq!(said, Vec::<String>::new());
        assert_eq!(shown, ["x|", "x|1|11", "x|none|/root", "x|11|gone", "x|11||f:13"]);
        assert_eq!(read("\"${LIST[*]}\" x\"${HOME[*]}\"y\n").0, ["a|b|c|x/rooty"]);
    }
}
