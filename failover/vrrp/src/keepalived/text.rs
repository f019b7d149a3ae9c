//! keepalived's text to statements: comments, quotes, included files, conditions on the node's id, parameters
//! and braces (keepalived.conf(5), "Configuration parser"). Everything a text can make grow is bounded.

use std::collections::BTreeMap;

use proxy_lang::{Diagnostics, MAX_LINE, Sources, Span, Statement, Word};

/// Files in one another.
const MAX_INCLUDES: usize = 16;
/// Files of one reading.
const MAX_FILES: usize = 1_000;
/// Parameters in one another: one that names itself ends here.
const MAX_DEPTH: usize = 32;
/// What parameters may grow to in one reading, in bytes.
const MAX_GROWN: usize = 4 * 1024 * 1024;
/// What a replacement counts for beside its text, in bytes: an empty one costs time too.
const REPLACEMENT: usize = 64;
/// Blocks in one another.
const MAX_BLOCKS: usize = 16;

/// Reads the files that an `include` means: the name of the file it stands in, and the pattern.
/// Answers names and texts.
pub type Include<'i> = &'i dyn Fn(&str, &str) -> Result<Vec<(String, String)>, String>;

/// What a reading of keepalived's text may ask for.
#[derive(Clone, Copy)]
pub struct Surroundings<'s> {
    /// What `@` compares with: keepalived's `--config-id`, usually the host's name.
    pub id: &'s str,
    /// How files are included.
    pub include: Include<'s>,
    /// First words of what other rooms read: it is handed over.
    pub others: &'s [&'s str],
}

enum Token {
    Words(Vec<Word>),
    Open(Span),
    Close(Span),
}

/// A parameter that is defined on several lines, as far as they have come.
struct Definition {
    name: String,
    lines: Vec<String>,
}

struct Reader<'r> {
    sources: &'r mut Sources,
    around: Surroundings<'r>,
    diagnostics: &'r mut Diagnostics,
    parameters: BTreeMap<String, String>,
    defining: Option<Definition>,
    tokens: Vec<Token>,
    files: usize,
    grown: usize,
}

/// The statements of a file and of those it includes. Their texts are added to the sources.
pub(crate) fn read(
    name: &str,
    text: &str,
    around: Surroundings<'_>,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<Statement> {
    let mut reader = Reader {
        sources,
        around,
        diagnostics,
        parameters: BTreeMap::from([
            ("_HASH".to_owned(), "#".to_owned()),
            ("_BANG".to_owned(), "!".to_owned()),
            ("_INSTANCE".to_owned(), around.id.to_owned()),
        ]),
        defining: None,
        tokens: Vec::new(),
        files: 0,
        grown: 0,
    };
    reader.file(name, text, 0);
    let tokens = std::mem::take(&mut reader.tokens);
    tree(tokens, diagnostics)
}

/// Where a text comes from: its line, and its column there, unless a parameter made it.
#[derive(Clone, Copy)]
struct Origin {
    line: Span,
    column: Option<usize>,
}

impl Origin {
    fn later(self, bytes: usize) -> Self {
        Self { column: self.column.map(|column| column + bytes), ..self }
    }

    fn span(self, start: usize, end: usize) -> Span {
        let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        match self.column {
            Some(column) => Span { start: clip(column + start), end: clip(column + end), ..self.line },
            None => self.line,
        }
    }
}

impl Reader<'_> {
    fn file(&mut self, name: &str, text: &str, depth: usize) {
        self.files += 1;
        let file = self.sources.add(name, text);
        let folder = name.rsplit_once('/').map_or(".", |(folder, _)| folder).to_owned();
        let outer = self.parameters.insert("_PWD".to_owned(), folder);
        for (index, raw) in text.lines().enumerate() {
            let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
            self.physical(name, raw, Span { file, line, start: 0, end: 1 }, depth);
        }
        if let Some(definition) = self.defining.take() {
            self.define(definition);
        }
        if let Some(outer) = outer {
            self.parameters.insert("_PWD".to_owned(), outer);
        }
    }

    fn physical(&mut self, name: &str, raw: &str, at: Span, depth: usize) {
        if raw.len() > MAX_LINE {
            self.diagnostics.fatal(at, format!("line is {} bytes long, the limit is {MAX_LINE}", raw.len()));
            return;
        }
        if raw.contains('\0') {
            self.diagnostics.fatal(at, "line contains a NUL byte");
            return;
        }
        let text = without_comment(raw);
        let indent = text.len() - text.trim_start().len();
        let text = text.trim();
        let line = Span { start: u32::try_from(indent).unwrap_or(0), ..at };
        let line = Span { end: line.start.saturating_add(u32::try_from(text.len()).unwrap_or(1)), ..line };
        if let Some(mut definition) = self.defining.take() {
            match text.strip_suffix('\\') {
                Some(more) => {
                    definition.lines.push(more.trim().to_owned());
                    self.defining = Some(definition);
                }
                None => {
                    definition.lines.push(text.to_owned());
                    self.define(definition);
                }
            }
            return;
        }
        if text.is_empty() {
            return;
        }
        let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if matches!(keyword, "include" | "includer" | "includem" | "includew" | "includeb" | "includea") {
            self.include(name, rest.trim(), line, depth);
            return;
        }
        self.line(text, Origin { line, column: Some(indent) }, 0);
    }

    fn include(&mut self, name: &str, pattern: &str, at: Span, depth: usize) {
        if depth == MAX_INCLUDES {
            self.diagnostics
                .fatal(at, format!("more than {MAX_INCLUDES} files in one another"))
                .help("does a file include itself?");
            return;
        }
        match (self.around.include)(name, pattern.trim_matches(['"', '\''])) {
            Ok(files) if files.is_empty() => {
                self.diagnostics.error(at, format!("there is no file '{pattern}'"));
            }
            Ok(files) => {
                for (name, text) in files {
                    if self.files == MAX_FILES {
                        self.diagnostics.fatal(at, format!("more than {MAX_FILES} files are included"));
                        return;
                    }
                    self.file(&name, &text, depth + 1);
                }
            }
            Err(why) => {
                self.diagnostics.error(at, format!("cannot include '{pattern}': {why}"));
            }
        }
    }

    fn define(&mut self, definition: Definition) {
        self.parameters.insert(definition.name, definition.lines.join("\n"));
    }

    /// One line of the text, or one that came of a parameter.
    fn line(&mut self, text: &str, origin: Origin, depth: usize) {
        let indent = text.len() - text.trim_start().len();
        let (text, origin) = (text.trim(), origin.later(indent));
        if let Some(condition) = text.strip_prefix('@') {
            let (word, rest) = condition.split_once(char::is_whitespace).unwrap_or((condition, ""));
            let (word, holds) = word.strip_prefix('^').map_or((word, true), |word| (word, false));
            if (word == self.around.id) == holds {
                self.line(rest, origin.later(text.len() - rest.len()), depth);
            }
            return;
        }
        if let Some((name, value)) = definition(text) {
            match value.strip_suffix('\\') {
                Some(first) => {
                    let lines = if first.trim().is_empty() { vec![] } else { vec![first.trim().to_owned()] };
                    self.defining = Some(Definition { name: name.to_owned(), lines });
                }
                None => self.define(Definition { name: name.to_owned(), lines: vec![value.to_owned()] }),
            }
            return;
        }
        if text.starts_with('~') {
            let span = origin.span(0, text.len());
            self.diagnostics.absent(span, "~SEQ", "write out the lines that it stands for");
            return;
        }
        let Some((before, name, after)) = self.parameter(text) else {
            self.words(text, origin);
            return;
        };
        let value = self.parameters.get(name).map_or("", String::as_str);
        self.grown += REPLACEMENT + text.len() + value.len();
        if depth == MAX_DEPTH || self.grown > MAX_GROWN {
            self.diagnostics
                .fatal(origin.line, format!("parameter '${name}' grows beyond all bounds"))
                .help("does it name itself?");
            return;
        }
        let origin = Origin { column: None, ..origin };
        let whole = format!("{before}{value}{after}");
        if whole.len() > MAX_LINE && !whole.contains('\n') {
            self.diagnostics.fatal(origin.line, format!("line grows beyond {MAX_LINE} bytes"));
            return;
        }
        if !whole.contains('\n') {
            // A value is looked at once more: it may name others.
            self.line(&whole, origin, depth + 1);
            return;
        }
        for line in whole.lines() {
            self.line(line, origin, depth + 1);
        }
    }

    /// The first parameter of a line that is defined: what stands before, its name, what stands behind.
    fn parameter<'t>(&self, text: &'t str) -> Option<(&'t str, &'t str, &'t str)> {
        for (place, _) in text.match_indices('$') {
            let rest = &text[place + 1..];
            let (name, after) = match rest.strip_prefix('{') {
                Some(inner) => {
                    let Some(end) = inner.find('}') else { continue };
                    (&inner[..end], &inner[end + 1..])
                }
                None => {
                    let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
                    let follows = rest[end..].chars().next();
                    if follows.is_some_and(|c| !c.is_whitespace()) {
                        continue;
                    }
                    rest.split_at(end)
                }
            };
            if self.parameters.contains_key(name) {
                return Some((&text[..place], name, after));
            }
        }
        None
    }

    /// Words and braces of a line whose parameters are replaced.
    fn words(&mut self, text: &str, origin: Origin) {
        let mut words = Vec::new();
        let mut position = 0;
        while position < text.len() {
            let rest = &text[position..];
            let Some(c) = rest.chars().next() else { break };
            let here = origin.span(position, position + c.len_utf8());
            if c.is_whitespace() {
                position += c.len_utf8();
            } else if c == '{' || c == '}' {
                position += 1;
                if !words.is_empty() {
                    self.tokens.push(Token::Words(std::mem::take(&mut words)));
                }
                self.tokens.push(if c == '{' { Token::Open(here) } else { Token::Close(here) });
            } else {
                let (word, length, closed) = word(rest);
                let span = origin.span(position, position + length);
                if !closed {
                    self.diagnostics.error(span, "unmatched quote");
                }
                words.push(Word { text: word, span, quoted: rest.starts_with(['"', '\'']) });
                position += length;
            }
        }
        if !words.is_empty() {
            self.tokens.push(Token::Words(words));
        }
    }
}

/// The line without the comment that `#` or `!` begins.
fn without_comment(text: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (place, c) in text.char_indices() {
        match (c, quote) {
            _ if escaped => escaped = false,
            ('\\', Some(_)) => escaped = true,
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('#' | '!', None) => return &text[..place],
            _ => {}
        }
    }
    text
}

/// `$NAME=VALUE`.
fn definition(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.strip_prefix('$')?.split_once('=')?;
    let good = name.starts_with(|c: char| is_name(c) && !c.is_ascii_digit()) && name.chars().all(is_name);
    good.then_some((name, value.trim()))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The word a text begins with, how many bytes it takes, and whether its quotes are closed.
fn word(text: &str) -> (String, usize, bool) {
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.char_indices().peekable();
    while let Some((place, c)) = characters.next() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('\\', Some(_)) => {
                let Some((_, c)) = characters.next() else { break };
                let mut digits = |radix: u32, most: usize, first: Option<char>| {
                    let mut value = first.and_then(|c| c.to_digit(radix)).unwrap_or(0);
                    let mut count = usize::from(first.is_some());
                    while let Some(digit) = characters.peek().and_then(|(_, c)| c.to_digit(radix)) {
                        if count == most {
                            break;
                        }
                        value = value.saturating_mul(radix).saturating_add(digit);
                        characters.next();
                        count += 1;
                    }
                    char::from_u32(value).filter(|c| *c != '\0').unwrap_or('?')
                };
                word.push(match c {
                    'a' => '\x07',
                    'b' => '\x08',
                    'E' => '\x1b',
                    'f' => '\x0c',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\x0b',
                    'x' => digits(16, 6, None),
                    '0'..='7' => digits(8, 3, Some(c)),
                    'c' => characters
                        .next()
                        .map_or('?', |(_, c)| char::from(u8::try_from(c).unwrap_or(b'?') & 0x1f)),
                    other => other,
                });
            }
            (c, None) if c.is_whitespace() || c == '{' || c == '}' => return (word, place, true),
            _ => word.push(c),
        }
    }
    (word, text.len(), quote.is_none())
}

/// Statements of what stands between braces; a brace that has no partner ends the reading.
fn tree(tokens: Vec<Token>, diagnostics: &mut Diagnostics) -> Vec<Statement> {
    let mut levels: Vec<(Vec<Statement>, Span)> = vec![(Vec::new(), Span::default())];
    for token in tokens {
        match token {
            Token::Words(words) => {
                if let Some((statements, _)) = levels.last_mut() {
                    statements.push(Statement { words, block: None });
                }
            }
            Token::Open(at) => {
                let opens = levels.last().is_some_and(|(s, _)| s.last().is_some_and(|s| s.block.is_none()));
                if !opens {
                    diagnostics.error(at, "unexpected '{'");
                }
                if levels.len() > MAX_BLOCKS {
                    diagnostics.fatal(at, format!("more than {MAX_BLOCKS} blocks in one another"));
                    return Vec::new();
                }
                levels.push((Vec::new(), at));
            }
            Token::Close(at) if levels.len() == 1 => {
                diagnostics.error(at, "'}' closes no block");
            }
            Token::Close(_) => {
                let block = levels.pop().map(|(statements, _)| statements);
                let owner = levels.last_mut().and_then(|(statements, _)| statements.last_mut());
                if let Some(owner) = owner.filter(|owner| owner.block.is_none()) {
                    owner.block = block;
                }
            }
        }
    }
    if let Some((_, opened)) = levels.get(1) {
        diagnostics.fatal(*opened, "this block is not closed").help("a '}' is missing");
        return Vec::new();
    }
    levels.pop().map(|(statements, _)| statements).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(statements: &[Statement]) -> String {
        let one = |s: &Statement| {
            let words = s.words.iter().map(Word::as_str).collect::<Vec<_>>().join("|");
            s.block.as_ref().map_or(words.clone(), |block| format!("{words}{{{}}}", show(block)))
        };
        statements.iter().map(one).collect::<Vec<_>>().join(";")
    }

    fn ask(text: &str) -> (String, Vec<String>) {
        let mut sources = Sources::default();
        let mut diagnostics = Diagnostics::default();
        let include = |from: &str, pattern: &str| match pattern {
            "loop" => Ok(vec![(from.to_owned(), "include loop\n".to_owned())]),
            "two" => Ok(vec![("a".to_owned(), "one\n".to_owned()), ("b".to_owned(), "two {\n".to_owned())]),
            "none" => Ok(vec![]),
            _ => Err("no".to_owned()),
        };
        let around = Surroundings { id: "lb1", include: &include, others: &[] };
        let statements = read("/etc/k.conf", text, around, &mut sources, &mut diagnostics);
        (show(&statements), diagnostics.iter().map(|d| format!("{}:{}", d.span.line, d.message)).collect())
    }

    #[test]
    fn statements_are_read_as_keepalived_reads_them() {
        for (text, expected) in [
            ("a b # c\n! d\n e\"f g\" 'h#i'!j\n", "a|b;ef g|h#i"),
            ("a {\n b { c }\n d\n}\ne{f}\n", "a{b{c};d};e{f}"),
            ("a\n{\n b }c\n", "a{b};c"),
            ("@lb1 a\n@lb2 b\n@^lb2 c\n@^lb1 d\n", "a;c"),
            ("$A=x\n$B=${A}y\n${B}z $A $C ${A}\n$A=q\n$B\n", "xyz|x|$C|x;qy"),
            ("@lb1 $P=1\n@lb2 $P=2\np $P\n$IF=@lb1\n$IF yes\n", "p|1;yes"),
            ("$I= \\\n a ${N} { \\\n  b \\\n }\n$N=1\n$I\n$N=2\n$I\n", "a|1{b};a|2{b}"),
            ("$R= \\\n r ${N}\n$V= \\\n $N=1 \\\n $R \\\n $N=2 \\\n $R\n$V\n", "r|1;r|2"),
            ("a \"x\\\"y\\n\\x41\\101\\q\"\n", "a|x\"y\nAAq"),
            ("a ${_HASH}b ${_BANG} ${_PWD} ${_INSTANCE}\n", "a|#b|!|/etc|lb1"),
            ("include two\n}\n", "one;two{}"),
        ] {
            assert_eq!(ask(text), (expected.to_owned(), vec![]), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said_and_nothing_grows_without_bound() {
        for (text, expected) in [
            ("a {\n b {\n}\n", "1:this block is not closed"),
            ("a\n}\n", "2:'}' closes no block"),
            ("a 'b\n", "1:unmatched quote"),
            ("include loop\n", "1:more than 16 files in one another"),
            ("include none\n", "1:there is no file 'none'"),
            ("include x\n", "1:cannot include 'x': no"),
            ("$A=${A}x\nb ${A}\n", "2:parameter '$A' grows beyond all bounds"),
            ("~SEQ(x, 1, 2) a\n", "1:'~SEQ' is known to HAProxy but not supported"),
            ("a\0\n", "1:line contains a NUL byte"),
        ] {
            assert_eq!(ask(text).1, [expected], "{text}");
        }
        let mut bomb = "$A= \\\nx \\\nx\n".to_owned();
        for letter in 'B'..='Z' {
            let before = char::from(letter as u8 - 1);
            bomb.push_str(&format!("${letter}= \\\n${before} \\\n${before}\n"));
        }
        bomb.push_str("$Z\n");
        assert!(ask(&bomb).1.iter().any(|said| said.contains("grows beyond all bounds")));
        let loops = "$I= \\\na { \\\n $I \\\n b } \\\n$I \\\nc\n$I\n".to_owned();
        let (read, said) = ask(&loops);
        assert!(said.iter().any(|said| said.contains("grows beyond all bounds")), "{said:?}");
        assert!(read.len() < MAX_GROWN, "{}", read.len());
    }
}
