//! Rows that set something in a draft, and the reader that finds the row for a line or an option.

use crate::{Arg, Args, Diagnostics, Level, Line, Span, Spec, Status, Word, nearest};

/// A set of section kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sections(u32);

/// A section kind: its bit and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// The name that opens it.
    pub name: &'static str,
    /// Its place in a [`Sections`] set.
    pub bit: Sections,
}

impl Sections {
    /// `global`.
    pub const GLOBAL: Self = Self(1);
    /// `defaults`.
    pub const DEFAULTS: Self = Self(1 << 1);
    /// `frontend`.
    pub const FRONTEND: Self = Self(1 << 2);
    /// `backend`.
    pub const BACKEND: Self = Self(1 << 3);
    /// `listen`.
    pub const LISTEN: Self = Self(1 << 4);
    /// `peers`.
    pub const PEERS: Self = Self(1 << 5);
    /// `resolvers`.
    pub const RESOLVERS: Self = Self(1 << 9);
    /// `mailers`.
    pub const MAILERS: Self = Self(1 << 10);
    /// `userlist`.
    pub const USERLIST: Self = Self(1 << 11);
    /// `http-errors`.
    pub const HTTP_ERRORS: Self = Self(1 << 12);
    /// `ring`.
    pub const RING: Self = Self(1 << 13);
    /// `cluster`, Tandem's own.
    pub const CLUSTER: Self = Self(1 << 6);
    /// `virtual-router`, Tandem's own.
    pub const VIRTUAL_ROUTER: Self = Self(1 << 7);
    /// The outermost level of a `keepalived.conf`.
    pub const KEEPALIVED: Self = Self(1 << 14);
    /// keepalived's `global_defs`.
    pub const GLOBAL_DEFS: Self = Self(1 << 15);
    /// keepalived's `vrrp_instance`.
    pub const VRRP_INSTANCE: Self = Self(1 << 16);
    /// keepalived's `vrrp_sync_group`.
    pub const VRRP_SYNC_GROUP: Self = Self(1 << 17);
    /// keepalived's `vrrp_script`.
    pub const VRRP_SCRIPT: Self = Self(1 << 18);
    /// keepalived's `vrrp_track_process`.
    pub const VRRP_TRACK_PROCESS: Self = Self(1 << 19);
    /// keepalived's `vrrp_track_file`.
    pub const VRRP_TRACK_FILE: Self = Self(1 << 20);
    /// keepalived's `virtual_server`.
    pub const VIRTUAL_SERVER: Self = Self(1 << 21);
    /// keepalived's `real_server`.
    pub const REAL_SERVER: Self = Self(1 << 22);
    /// keepalived's `TCP_CHECK`.
    pub const TCP_CHECK: Self = Self(1 << 23);
    /// keepalived's `HTTP_GET` and `SSL_GET`.
    pub const HTTP_GET: Self = Self(1 << 24);
    /// What such a check asks for.
    pub const URL: Self = Self(1 << 25);
    /// What HAProxy's tables call the four proxy sections.
    pub const PROXY: Self = Self::DEFAULTS.or(Self::FRONTEND).or(Self::BACKEND).or(Self::LISTEN);
    /// No line of its own: an option on a `bind`, `server` or similar line.
    pub const OPTION: Self = Self(1 << 31);

    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::GLOBAL, "global"),
        (Self::DEFAULTS, "defaults"),
        (Self::FRONTEND, "frontend"),
        (Self::BACKEND, "backend"),
        (Self::LISTEN, "listen"),
        (Self::PEERS, "peers"),
        (Self::RESOLVERS, "resolvers"),
        (Self::MAILERS, "mailers"),
        (Self::USERLIST, "userlist"),
        (Self::HTTP_ERRORS, "http-errors"),
        (Self::RING, "ring"),
        (Self::CLUSTER, "cluster"),
        (Self::VIRTUAL_ROUTER, "virtual-router"),
        (Self::KEEPALIVED, "the outermost level"),
        (Self::GLOBAL_DEFS, "global_defs"),
        (Self::VRRP_INSTANCE, "vrrp_instance"),
        (Self::VRRP_SYNC_GROUP, "vrrp_sync_group"),
        (Self::VRRP_SCRIPT, "vrrp_script"),
        (Self::VRRP_TRACK_PROCESS, "vrrp_track_process"),
        (Self::VRRP_TRACK_FILE, "vrrp_track_file"),
        (Self::VIRTUAL_SERVER, "virtual_server"),
        (Self::REAL_SERVER, "real_server"),
        (Self::TCP_CHECK, "TCP_CHECK"),
        (Self::HTTP_GET, "HTTP_GET and SSL_GET"),
        (Self::URL, "url"),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the sets share a section.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names of the set, in the manual's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(bit, _)| self.meets(*bit)).map(|(_, name)| *name)
    }
}

/// A row: a name, where it may stand, and what it does to the draft of its section.
pub struct Keyword<D: 'static> {
    /// Names, arguments, documentation.
    pub spec: Spec,
    /// Where the line may stand ([`Sections::OPTION`] for options on a line).
    pub sections: Sections,
    /// Whether `no` may stand before it; `apply` then looks at `args.negated`.
    pub negatable: bool,
    /// What it does. It reports mistakes and never stops the reader.
    pub apply: fn(&mut D, &Args, &mut Diagnostics),
}

impl<D> Keyword<D> {
    /// A row that changes nothing in its draft: it waits to be built, has no meaning here, or is refused.
    pub const fn inert(sections: Sections, negatable: bool, spec: Spec) -> Self {
        const fn nothing<D>(_: &mut D, _: &Args, _: &mut Diagnostics) {}
        Self { spec, sections, negatable, apply: nothing }
    }
}

/// A row that works, in these sections; `no` before it is a mistake.
pub const fn full_row<D>(
    sections: Sections,
    names: &'static [&'static str],
    args: &'static [Arg],
    doc: &'static str,
    example: &'static str,
    apply: fn(&mut D, &Args, &mut Diagnostics),
) -> Keyword<D> {
    Keyword { spec: Spec::full(names, args, doc, example), sections, negatable: false, apply }
}

/// Where else the keyword of a line belongs, for a line that stands in the wrong section.
pub type Elsewhere<'e> = &'e dyn Fn(&[Word]) -> Option<Sections>;

/// Reads one line of a section into its draft. `what` names the section in messages.
pub fn read_line<D>(
    tables: &[&'static [Keyword<D>]],
    section: Section,
    line: &Line,
    draft: &mut D,
    diagnostics: &mut Diagnostics,
) {
    read_line_among(tables, section, line, draft, &|_| None, diagnostics);
}

/// As [`read_line`], where sections of other kinds have rows too.
pub fn read_line_among<D>(
    tables: &[&'static [Keyword<D>]],
    section: Section,
    line: &Line,
    draft: &mut D,
    elsewhere: Elsewhere<'_>,
    diagnostics: &mut Diagnostics,
) {
    let mut words = line.words.as_slice();
    let negated = words.first().is_some_and(|w| w.text == "no") && words.len() > 1;
    if negated {
        words = &words[1..];
    }
    let here = |row: &Keyword<D>| row.sections.meets(section.bit);
    let Some((row, length)) = find(tables, words, here).or_else(|| find(tables, words, |_| true)) else {
        match elsewhere(words) {
            Some(sections) => misplaced(&words[0], section, sections, diagnostics),
            None => unknown(tables, section, words, diagnostics),
        }
        return;
    };
    let keyword = joined(&words[..length]);
    if !here(row) {
        misplaced(&keyword, section, row.sections, diagnostics);
        return;
    }
    if negated && !row.negatable {
        diagnostics.error(line.words[0].span, format!("'no' cannot stand before '{}'", keyword.text));
        return;
    }
    let rest = &words[length..];
    if let Some(used) = apply(row, keyword, negated, rest, draft, diagnostics)
        && let Some(extra) = rest.get(used)
    {
        let last = rest.last().map_or(extra.span, |w| w.span);
        diagnostics
            .superfluous(extra.span.to(last), format!("unexpected '{}' after the last argument", extra.text))
            .help(format!("syntax: {}", row.spec.syntax()));
    }
}

fn misplaced(keyword: &Word, section: Section, places: Sections, diagnostics: &mut Diagnostics) {
    let places = places.names().collect::<Vec<_>>().join(", ");
    diagnostics
        .error(keyword.span, format!("'{}' is not allowed in a '{}' section", keyword.text, section.name))
        .help(format!("it belongs in: {places}"));
}

/// The row that a line of a section is read by.
pub fn row<D>(tables: &[&'static [Keyword<D>]], section: Section, words: &[Word]) -> Option<&'static Spec> {
    let negated = words.first().is_some_and(|w| w.text == "no") && words.len() > 1;
    let words = if negated { &words[1..] } else { words };
    find(tables, words, |row| row.sections.meets(section.bit)).map(|(row, _)| &row.spec)
}

/// Where the keyword of a line may stand, if one of these rows is meant.
pub fn home<D>(tables: &[&'static [Keyword<D>]], words: &[Word]) -> Option<Sections> {
    find(tables, words, |_| true).map(|(row, _)| row.sections)
}

/// Reads the options of a line (`server NAME ADDRESS <options>`) into the line's draft.
pub fn read_options<D>(
    tables: &[&'static [Keyword<D>]],
    what: &str,
    mut words: &[Word],
    draft: &mut D,
    diagnostics: &mut Diagnostics,
) {
    while let Some(first) = words.first() {
        let (name, negated) = match find(tables, words, |_| true) {
            Some(found) => (Some(found), false),
            None => match first.text.strip_prefix("no-") {
                Some(positive) => {
                    let bare = [Word { text: positive.to_owned(), ..first.clone() }];
                    (find(tables, &bare, |row| row.negatable), true)
                }
                None => (None, false),
            },
        };
        let Some((row, length)) = name else {
            let near = nearest(&first.text, every_name(tables, Sections(u32::MAX)));
            let note = diagnostics.error(first.span, format!("'{what}' : unknown option '{}'", first.text));
            if let Some(near) = near {
                note.help(format!("did you mean '{near}'?"));
            }
            // Whether the next word is an argument of the unknown one cannot be known: stop here
            // rather than report a mistake that is none.
            return;
        };
        let keyword = joined(&words[..length]);
        match apply(row, keyword, negated, &words[length..], draft, diagnostics) {
            Some(used) => words = &words[length + used..],
            None => return,
        }
    }
}

fn apply<D>(
    row: &Keyword<D>,
    keyword: Word,
    negated: bool,
    rest: &[Word],
    draft: &mut D,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    match row.spec.status {
        Status::Absent(why) => {
            diagnostics.absent(keyword.span, &keyword.text, why);
            return None;
        }
        Status::Later => diagnostics.later_for(keyword.span, &keyword.text, row.spec.doc),
        Status::Accepted(why) => {
            diagnostics.push(Level::Detail, keyword.span, format!("'{}' has no effect: {why}", keyword.text));
        }
        Status::Full | Status::Partial(_) => {}
    }
    let args = if negated { &row.spec.args[..0] } else { row.spec.args };
    let (args, used) = Args::read(args, keyword, negated, rest, diagnostics);
    if let Some(args) = args {
        (row.apply)(draft, &args, diagnostics);
        return Some(used);
    }
    None
}

/// A word without an argument in parentheses: `set-var(txn.name)`.
fn bare(word: &Word) -> &str {
    match word.text.split_once('(') {
        Some((name, _)) if word.text.ends_with(')') => name,
        _ => &word.text,
    }
}

/// The row with the longest name that the words begin with.
fn find<'t, D>(
    tables: &[&'t [Keyword<D>]],
    words: &[Word],
    allowed: impl Fn(&Keyword<D>) -> bool,
) -> Option<(&'t Keyword<D>, usize)> {
    let first = words.first().map(bare)?;
    let letter = first.bytes().next();
    let mut best: Option<(&Keyword<D>, usize)> = None;
    for row in tables.iter().flat_map(|table| table.iter()) {
        for name in row.spec.names {
            // Nearly every name is told apart by its first letter, and nearly all others by their first word.
            if name.bytes().next() != letter {
                continue;
            }
            let Some(rest) = name.strip_prefix(first) else { continue };
            let length = match rest.strip_prefix(' ') {
                None if rest.is_empty() => 1,
                None => continue,
                Some(rest) => {
                    let length = 1 + rest.split(' ').count();
                    let follows = rest.split(' ').zip(&words[1..]).all(|(name, word)| name == bare(word));
                    if words.len() < length || !follows {
                        continue;
                    }
                    length
                }
            };
            if best.is_none_or(|(_, longest)| length > longest) && allowed(row) {
                best = Some((row, length));
            }
        }
    }
    best
}

fn unknown<D>(
    tables: &[&'static [Keyword<D>]],
    section: Section,
    words: &[Word],
    diagnostics: &mut Diagnostics,
) {
    let Some(first) = words.first() else { return };
    let one = first.text.as_str();
    let names = || every_name(tables, section.bit);
    let members: Vec<&str> = names().filter_map(|name| name.strip_prefix(one)?.strip_prefix(' ')).collect();
    let Some(second) = words.get(1).filter(|_| !members.is_empty()) else {
        if members.is_empty() {
            // Of a family the first word may be meant, or the whole name.
            let firsts = names().filter_map(|name| name.split(' ').next());
            let two = words.get(1).map_or_else(String::new, |second| format!("{one} {}", second.text));
            let near = || nearest(one, names().chain(firsts)).or_else(|| nearest(&two, names()));
            unknown_name(one, first.span, near, section, diagnostics);
        } else {
            diagnostics
                .error(first.span, format!("'{one}' expects another word after it"))
                .help(format!("one of {}", members.join(", ")));
        }
        return;
    };
    let two = format!("{one} {}", second.text);
    let near = || nearest(&two, names());
    unknown_name(&two, first.span.to(second.span), near, section, diagnostics);
}

fn unknown_name(
    name: &str,
    span: Span,
    near: impl FnOnce() -> Option<&'static str>,
    section: Section,
    diagnostics: &mut Diagnostics,
) {
    let text = format!("unknown keyword '{name}' in '{}' section", section.name);
    // To look for what is meant takes longer than all the rest: once for each mistake that is shown.
    let is_news = diagnostics.is_news(span, &text);
    let note = diagnostics.error(span, text);
    if let Some(near) = is_news.then(near).flatten() {
        note.help(format!("did you mean '{near}'?"));
    }
}

fn every_name<D>(tables: &[&[Keyword<D>]], sections: Sections) -> impl Iterator<Item = &'static str> {
    tables
        .iter()
        .flat_map(|table| table.iter())
        .filter(move |row| row.sections.meets(sections))
        .flat_map(|row| row.spec.names.iter().copied())
        .collect::<Vec<_>>()
        .into_iter()
}

fn joined(words: &[Word]) -> Word {
    let text = words.iter().map(Word::as_str).collect::<Vec<_>>().join(" ");
    let mut word = words[0].clone();
    word.span = word.span.to(words[words.len() - 1].span);
    word.text = text;
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arg, Sources, Unit, lex};

    #[derive(Default, Debug, PartialEq)]
    struct Draft {
        client: Option<u64>,
        check: bool,
    }

    const FRONTEND: Section = Section { name: "frontend", bit: Sections::FRONTEND };
    const TABLE: &[Keyword<Draft>] = &[
        Keyword {
            spec: Spec {
                names: &["timeout client"],
                args: &[Arg::Duration("timeout", Unit::Millis)],
                status: Status::Full,
                doc: "",
                example: "timeout client 5s",
            },
            sections: Sections::FRONTEND,
            negatable: false,
            apply: |d, a, _| d.client = u64::try_from(a.duration(0).as_millis()).ok(),
        },
        Keyword {
            spec: Spec { names: &["check"], args: &[], status: Status::Full, doc: "", example: "check" },
            sections: Sections::BACKEND.or(Sections::OPTION),
            negatable: true,
            apply: |d, a, _| d.check = !a.negated,
        },
        Keyword {
            spec: Spec {
                names: &["lua-load"],
                args: &[],
                status: Status::Absent("no Lua"),
                doc: "",
                example: "",
            },
            sections: Sections::FRONTEND,
            negatable: false,
            apply: |_, _, _| {},
        },
    ];

    fn read(text: &str) -> (Draft, String) {
        let mut sources = Sources::default();
        let file = sources.add("t", text);
        let mut diagnostics = Diagnostics::default();
        let mut draft = Draft::default();
        for line in lex(&sources, file, &|_| None, &mut diagnostics) {
            read_line(&[TABLE], FRONTEND, &line, &mut draft, &mut diagnostics);
        }
        let said =
            diagnostics.iter().map(|d| format!("{}|{}", d.message, d.help.clone().unwrap_or_default()));
        (draft, said.collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_line_finds_its_row_by_its_longest_name() {
        assert_eq!(read("timeout client 5s"), (Draft { client: Some(5000), check: false }, String::new()));
    }

    #[test]
    fn every_kind_of_mistake_is_said_with_its_remedy() {
        for (text, expected) in [
            (
                "timeout cleint 5s",
                "unknown keyword 'timeout cleint' in 'frontend' section|did you mean 'timeout client'?",
            ),
            ("check", "'check' is not allowed in a 'frontend' section|it belongs in: backend"),
            ("timeout client", "'timeout client' expects <timeout> after it|"),
            (
                "timeout client 5s 6s",
                "unexpected '6s' after the last argument|syntax: timeout client <timeout>",
            ),
            ("no timeout client", "'no' cannot stand before 'timeout client'|"),
            ("lua-load x", "'lua-load' is known to HAProxy but not supported|no Lua"),
        ] {
            assert_eq!(read(text).1, expected, "{text}");
        }
    }
}
