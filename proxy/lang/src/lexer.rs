//! Text to words (HAProxy's manual, chapter 2.2): quoting, escapes, comments and environment variables.
//! A mistake is reported with its column and the rest of the line is still read.

use crate::{Diagnostics, FileId, Sources, Span};

/// Longest line that is read, in bytes; a longer one is refused.
pub const MAX_LINE: usize = 64 * 1024;
/// Most words on one line, as in HAProxy.
pub const MAX_WORDS: usize = 64 * 64;
/// Longest text one line's variables may grow to, in bytes.
const MAX_EXPANDED: usize = 256 * 1024;

/// Stands in a word's text where a list of values begins a new word; no line contains it.
const SPLIT: char = '\0';

/// Looks up an environment variable; the shell decides what the environment is.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One word of a line, unquoted and expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The text a keyword sees.
    pub text: String,
    /// Where it stands in the file, quotes included.
    pub span: Span,
    /// Whether any part of it stood in quotes.
    pub quoted: bool,
}

impl Word {
    /// The word's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The word as a file has it: it is read as the same text, and as quoted where it was.
    #[must_use]
    pub fn quoted(&self) -> String {
        write(&self.text, self.quoted)
    }
}

/// A text as a file has it, in quotes where it must be.
#[must_use]
pub fn quoted(text: &str) -> String {
    write(text, false)
}

fn write(text: &str, quoted: bool) -> String {
    let special = |c: char| c.is_whitespace() || c.is_control() || "\"'\\#".contains(c);
    if !quoted && !text.is_empty() && !text.contains(special) {
        return text.to_owned();
    }
    if !text.contains(|c: char| c == '\'' || c.is_control()) {
        return format!("'{text}'");
    }
    let mut result = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' => result.extend(['\\', c]),
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            '\t' => result.push_str("\\t"),
            c if c.is_ascii_control() => result.push_str(&format!("\\x{:02x}", c as u32)),
            c => result.push(c),
        }
    }
    result + "\""
}

/// The words of one line that has at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The words in order.
    pub words: Vec<Word>,
}

impl Line {
    /// The whole line's place.
    #[must_use]
    pub fn span(&self) -> Span {
        match (self.words.first(), self.words.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => Span::default(),
        }
    }
}

/// Splits one file into lines of words; empty lines and comments vanish.
pub fn lex(
    sources: &Sources,
    file: FileId,
    env: Environment<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Line> {
    let Some(source) = sources.source(file) else { return Vec::new() };
    let mut lines = Vec::new();
    for (index, text) in source.text.lines().enumerate() {
        let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let words = words_of(text, Span { file, line, start: 0, end: 1 }, env, diagnostics);
        if !words.is_empty() {
            lines.push(Line { words });
        }
    }
    lines
}

/// The words of one line; none where the line is empty, a comment, or refused.
pub(crate) fn words_of(
    text: &str,
    at: Span,
    env: Environment<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Word> {
    if text.len() > MAX_LINE {
        diagnostics.error(at, format!("line is {} bytes long, the limit is {MAX_LINE}", text.len()));
        return Vec::new();
    }
    if text.contains('\0') {
        diagnostics.error(at, "line contains a NUL byte");
        return Vec::new();
    }
    Lexer { text, at, env, diagnostics, position: 0, expanded: 0 }.words()
}

struct Lexer<'a, 'd> {
    text: &'a str,
    at: Span,
    env: Environment<'a>,
    diagnostics: &'d mut Diagnostics,
    position: usize,
    expanded: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Quote {
    None,
    Single,
    Double(usize),
}

impl Lexer<'_, '_> {
    fn words(mut self) -> Vec<Word> {
        let mut words = Vec::new();
        loop {
            while self.peek().is_some_and(|c| c == ' ' || c == '\t' || c == '\r') {
                self.position += 1;
            }
            match self.peek() {
                None | Some('#') => return words,
                Some(_) if words.len() == MAX_WORDS => {
                    let span = self.span(self.position, self.text.len());
                    self.diagnostics.error(span, format!("line has more than {MAX_WORDS} words"));
                    return words;
                }
                Some(_) => {
                    let word = self.word();
                    let parts = word.text.split(SPLIT).filter(|part| !part.is_empty());
                    if word.text.contains(SPLIT) {
                        words.extend(parts.map(|part| Word { text: part.to_owned(), ..word.clone() }));
                    } else {
                        words.push(word);
                    }
                }
            }
        }
    }

    fn word(&mut self) -> Word {
        let start = self.position;
        // Nearly every word is as it stands.
        let rest = &self.text.as_bytes()[start..];
        let end = rest.iter().position(|b| b" \t\r#'\"\\".contains(b)).unwrap_or(rest.len());
        if rest.get(end).is_none_or(|b| b" \t\r#".contains(b)) {
            self.position += end;
            let text = self.text[start..self.position].to_owned();
            return Word { text, span: self.span(start, self.position), quoted: false };
        }
        let mut text = String::new();
        let mut quote = Quote::None;
        let mut quoted = false;
        while let Some(c) = self.peek() {
            let here = self.position;
            self.position += c.len_utf8();
            match (c, quote) {
                ('\'', Quote::None) => (quote, quoted) = (Quote::Single, true),
                ('\'', Quote::Single) => quote = Quote::None,
                ('"', Quote::None) => (quote, quoted) = (Quote::Double(here), true),
                ('"', Quote::Double(_)) => quote = Quote::None,
                ('\\', Quote::None | Quote::Double(_)) => self.escape(here, &mut text),
                ('$', Quote::Double(_)) => self.variable(here, &mut text),
                (' ' | '\t' | '\r' | '#', Quote::None) => {
                    self.position = here;
                    break;
                }
                _ => text.push(c),
            }
        }
        if quote != Quote::None {
            let kind = if quote == Quote::Single { "single" } else { "double" };
            let span = self.span(start, self.position);
            self.diagnostics
                .error(span, format!("unmatched {kind} quote"))
                .help("close the quote, or write the character as \\' or \\\"");
        }
        Word { text, span: self.span(start, self.position), quoted }
    }

    fn escape(&mut self, start: usize, text: &mut String) {
        // At the end of a line there is nothing to protect: it stands for itself, as in HAProxy.
        let Some(c) = self.peek() else {
            text.push('\\');
            return;
        };
        self.position += c.len_utf8();
        match c {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            ' ' | '#' | '\\' | '\'' | '"' | '$' => text.push(c),
            'x' => {
                let digits = self.text.get(self.position..self.position + 2).unwrap_or("");
                match u8::from_str_radix(digits, 16) {
                    Ok(byte) if byte.is_ascii() && byte != 0 => {
                        text.push(char::from(byte));
                        self.position += 2;
                    }
                    _ => {
                        let span = self.span(start, self.position);
                        self.diagnostics.error(span, "\\x needs two hexadecimal digits from 01 to 7f");
                    }
                }
            }
            other => {
                text.push('\\');
                text.push(other);
            }
        }
    }

    fn variable(&mut self, start: usize, text: &mut String) {
        let braced = self.peek() == Some('{');
        if braced {
            self.position += 1;
        }
        let name_start = self.position;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
            self.position += 1;
        }
        let name = &self.text[name_start..self.position];
        let mut default = None;
        let mut list = false;
        if braced {
            let rest = &self.text[self.position..];
            let Some(close) = rest.find('}') else {
                let span = self.span(start, self.position);
                self.diagnostics.error(span, "'${' without a closing brace");
                return;
            };
            let tail = &rest[..close];
            self.position += close + 1;
            let (tail, is_list) = tail.strip_suffix("[*]").map_or((tail, false), |tail| (tail, true));
            list = is_list;
            match tail.strip_prefix('-') {
                Some(value) => default = Some(value),
                None if tail.is_empty() => {}
                None => {
                    let span = self.span(start, self.position);
                    self.diagnostics
                        .error(span, format!("'{tail}' is not understood after a variable's name"))
                        .help("write ${NAME}, ${NAME-default} or ${NAME[*]}");
                }
            }
        }
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            let span = self.span(start, self.position);
            self.diagnostics
                .error(span, "a variable's name is expected after '$'")
                .help("write \\$ for a dollar sign");
            return;
        }
        let value = (self.env)(name).or_else(|| default.map(str::to_owned)).unwrap_or_default();
        self.expanded += value.len();
        if self.expanded > MAX_EXPANDED {
            let span = self.span(start, self.position);
            self.diagnostics.error(span, format!("variables of this line grow beyond {MAX_EXPANDED} bytes"));
            return;
        }
        if list {
            let values: Vec<&str> = value.split(' ').filter(|part| !part.is_empty()).collect();
            text.push_str(&values.join(&SPLIT.to_string()));
        } else {
            text.push_str(&value);
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.position..].chars().next()
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { start: clip(start), end: clip(end.max(start + 1)), ..self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> (Vec<String>, usize) {
        let mut sources = Sources::default();
        let file = sources.add("t.cfg", text);
        let mut diagnostics = Diagnostics::default();
        let env = |name: &str| (name == "HOST").then(|| "lb1 a".to_owned());
        let lines = lex(&sources, file, &env, &mut diagnostics);
        (lines.into_iter().flat_map(|l| l.words).map(|w| w.text).collect(), diagnostics.errors())
    }

    #[test]
    fn words_are_read_as_the_manual_says() {
        for (text, expected) in [
            ("a b\tc # rest", vec!["a", "b", "c"]),
            (r"a\ b \#c", vec!["a b", "#c"]),
            (r#""$HOST" '$HOST' $HOST"#, vec!["lb1 a", "$HOST", "$HOST"]),
            (r#""${HOST}x" "${NONE-dflt}" "${NONE}""#, vec!["lb1 ax", "dflt", ""]),
            (r#""a\"b" 'a\b' a"b c"d"#, vec!["a\"b", "a\\b", "ab cd"]),
            (r"\x41\n ^\d+$", vec!["A\n", "^\\d+$"]),
            ("# only\n\n  \t\n x", vec!["x"]),
            ("a\r\n", vec!["a"]),
            ("a\\", vec!["a\\"]),
        ] {
            assert_eq!(words(text), (expected.iter().map(|s| (*s).to_owned()).collect(), 0), "{text}");
        }
    }

    #[test]
    fn broken_lines_are_reported_and_reading_goes_on() {
        for text in ["a 'b\nc", "a \"b\nc", "a \"${X\"\nc", "\\xZZ\nc", "\"$ \"\nc", "a\0b\nc"] {
            let (words, errors) = words(text);
            assert_eq!(errors, 1, "{text:?}");
            assert_eq!(words.last().map(String::as_str), Some("c"), "{text:?}");
        }
    }

    #[test]
    fn a_line_beyond_the_bound_is_refused() {
        let (read, errors) = words(&format!("{}\nok", "x".repeat(MAX_LINE + 1)));
        assert_eq!((read, errors), (vec!["ok".to_owned()], 1));
    }
}
