//! The texts being read, and places in them.

/// Which of the texts of a [`Sources`] a span points into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A run of bytes on one line of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Line number, from 1.
    pub line: u32,
    /// First byte within the line, from 0.
    pub start: u32,
    /// One past the last byte within the line.
    pub end: u32,
}

impl Span {
    /// From the beginning of `self` to the end of `last`, if both are on one line; else `self`.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        if self.file == last.file && self.line == last.line && last.end >= self.start {
            Self { end: last.end, ..self }
        } else {
            self
        }
    }
}

/// One configuration text and the name it was read from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path as given on the command line.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// All the texts of one run, in the order they were given.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text and returns its number.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        self.0.push(Source { name: name.into(), text: text.into() });
        FileId(u32::try_from(self.0.len() - 1).unwrap_or(u32::MAX))
    }

    /// The text behind a number.
    #[must_use]
    pub fn source(&self, file: FileId) -> Option<&Source> {
        self.0.get(file.0 as usize)
    }

    /// Every text with its number.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        self.0.iter().enumerate().map(|(i, s)| (FileId(u32::try_from(i).unwrap_or(u32::MAX)), s))
    }

    /// The text of the line a span stands on, without its line end.
    #[must_use]
    pub fn line(&self, span: Span) -> &str {
        self.source(span.file)
            .and_then(|s| s.text.lines().nth((span.line as usize).saturating_sub(1)))
            .unwrap_or("")
    }
}
