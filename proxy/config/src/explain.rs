//! What a file means, as a file: defaults where they act, variables and conditions resolved, nothing that is
//! superseded. Read again it is the same configuration.

use std::collections::BTreeMap;

use proxy_lang::{
    Block, Diagnostics, FileId, Line, Section, Sources, Span, Status, Word, duration, quoted, row,
};

use crate::draft::{Base, ProxyDraft};
use crate::keywords;
use crate::model::{Config, Mode};
use crate::read::{self, SECTIONS};

/// Where a line of an explained section comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It stands in the section.
    Own,
    /// A `defaults` section has it, at this place.
    Defaults(Span),
    /// Nobody wrote it: it is what HAProxy does then.
    Usual,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedLine {
    /// Its text, quoted as far as it must be.
    pub text: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The number of what it names: a server's own, a backend's.
    pub id: Option<u32>,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The word that opens it.
    pub kind: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// A proxy's number.
    pub id: Option<u32>,
    /// Its lines.
    pub lines: Vec<ExplainedLine>,
}

/// Explains the sections that made a configuration; those of other rooms are passed through.
#[must_use]
pub fn explain(sources: &Sources, blocks: &[Block], config: &Config) -> Vec<Explained> {
    let mut sections = Vec::new();
    let mut bases = Bases { sources, base: Base::Current, file: FileId(0) };
    let mut defaults: Vec<&Line> = Vec::new();
    let mut named: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for block in blocks {
        sections.extend(bases.enter(block));
        let words = &block.header.words;
        let from = words.iter().position(|w| w.text == "from").and_then(|place| words.get(place + 1));
        let from = from.and_then(|name| named.get(name.text.as_str()));
        let section = SECTIONS.iter().find(|s| s.name == block.kind()).copied();
        match section {
            Some(section) if section.name == "defaults" => {
                defaults = from.cloned().unwrap_or_default();
                defaults.extend(&block.lines);
                if let Some(name) = block.name().filter(|name| name.text != "from") {
                    named.insert(&name.text, defaults.clone());
                }
            }
            Some(section) if matches!(section.name, "frontend" | "backend" | "listen") => {
                sections.push(proxy(block, section, from.unwrap_or(&defaults), config));
            }
            _ => sections.push(Explained {
                kind: block.kind().to_owned(),
                name: block.name().map(|name| name.text.clone()),
                id: None,
                lines: block.lines.iter().map(|line| bases.line(line)).collect(),
            }),
        }
    }
    sections
}

/// What relative names of files are relative to, so that what is written out means the same anywhere.
struct Bases<'s> {
    sources: &'s Sources,
    base: Base,
    file: FileId,
}

impl Bases<'_> {
    /// A section that says what this one's names are relative to, where a new file changes that.
    fn enter(&mut self, block: &Block) -> Option<Explained> {
        let file = block.header.span().file;
        let moved = std::mem::replace(&mut self.file, file) != file;
        let follows = moved && matches!(self.base, Base::Config | Base::Parent);
        follows.then(|| Explained {
            kind: "global".to_owned(),
            name: None,
            id: None,
            lines: vec![ExplainedLine { text: self.text(), origin: Origin::Own, id: None }],
        })
    }

    fn line(&mut self, line: &Line) -> ExplainedLine {
        let words: Vec<&str> = line.words.iter().map(Word::as_str).collect();
        let base = match words[..] {
            ["default-path", "config"] => Base::Config,
            ["default-path", "parent"] => Base::Parent,
            ["default-path", "current"] => Base::Current,
            ["default-path", "origin", folder] => Base::Origin(folder.to_owned()),
            _ => return explained(line, Origin::Own),
        };
        self.base = base;
        ExplainedLine { text: self.text(), origin: Origin::Own, id: None }
    }

    fn text(&self) -> String {
        let name = self.sources.source(self.file).map_or("", |source| source.name.as_str());
        let folder = self.base.folder(name);
        folder.map_or_else(
            || "default-path current".to_owned(),
            |folder| format!("default-path origin {}", quoted(&folder)),
        )
    }
}

fn explained(line: &Line, origin: Origin) -> ExplainedLine {
    ExplainedLine { text: write(&line.words), origin, id: None }
}

fn proxy(block: &Block, section: Section, defaults: &[&Line], config: &Config) -> Explained {
    let name = block.name().map(|name| name.text.clone()).unwrap_or_default();
    let place = |line: &Line| Origin::Defaults(line.span());
    let inherited: Vec<&Line> = defaults.iter().copied().filter(|line| stands(line, section)).collect();
    let old_bind = block.header.words.get(2).filter(|w| section.name == "listen" && w.text != "from");
    let old_bind = old_bind.map(|address| ExplainedLine {
        text: format!("bind {}", address.quoted()),
        origin: Origin::Own,
        id: None,
    });
    let kept = kept(&inherited, &block.lines, section);
    let mut lines: Vec<ExplainedLine> = Vec::new();
    lines.extend(kept.iter().map(|line| explained(line, place(line))));
    lines.extend(old_bind);
    lines.extend(block.lines.iter().map(|line| explained(line, Origin::Own)));
    let words = kept.iter().copied().chain(&block.lines).map(|line| line.words.as_slice());
    let words: Vec<&[Word]> = words.collect();
    let frontend = config.frontends.iter().find(|f| f.name == name && section.name != "backend");
    let backend = config.backends.iter().find(|b| b.name == name && section.name != "frontend");
    let mut usual = Vec::new();
    let mut add = |keyword: &str, value: String| {
        let begins = |w: &&[Word]| keyword.split(' ').zip(w.iter()).all(|(name, word)| name == word.text);
        if !words.iter().any(begins) {
            usual.push(ExplainedLine { text: format!("{keyword} {value}"), origin: Origin::Usual, id: None });
        }
    };
    if let Some(mode) = frontend.map(|f| f.mode).or(backend.map(|b| b.mode)) {
        add("mode", if mode == Mode::Http { "http" } else { "tcp" }.to_owned());
    }
    if let Some(tarpit) = frontend.filter(|_| backend.is_none()).and_then(|f| f.timeouts.tarpit) {
        add("timeout tarpit", duration(tarpit));
    }
    if let Some(backend) = backend {
        add("balance", backend.balance.algorithm.name().to_owned());
        add("retries", backend.retries.to_string());
        add("fullconn", backend.fullconn.to_string());
    }
    lines.splice(0..0, usual);
    for line in &mut lines {
        let mut words = line.text.split(' ');
        match words.next() {
            Some("server") => {
                let named = words.next();
                let server = backend.and_then(|b| b.servers.iter().find(|s| Some(s.name.as_str()) == named));
                line.id = server.map(|server| server.id);
            }
            Some("default_backend" | "use_backend") => {
                let named = words.next();
                let backend = config.backends.iter().find(|b| Some(b.name.as_str()) == named);
                line.id = backend.map(|backend| backend.proxy_id);
            }
            _ => {}
        }
    }
    let id = frontend.map(|f| f.proxy_id).or(backend.map(|b| b.proxy_id));
    Explained { kind: section.name.to_owned(), name: Some(name), id, lines }
}

/// Whether a line may stand in sections of this kind.
fn stands(line: &Line, section: Section) -> bool {
    row(keywords::PROXY, section, &line.words).is_some()
}

/// The inherited lines that act: one that is written again is left out if nothing changes without it.
fn kept<'l>(inherited: &[&'l Line], own: &[Line], section: Section) -> Vec<&'l Line> {
    let of = |line: &Line| row(keywords::PROXY, section, &line.words);
    let acts =
        |line: &Line| of(line).is_some_and(|spec| matches!(spec.status, Status::Full | Status::Partial(_)));
    let same = |a: &Line, b: &Line| of(a).zip(of(b)).is_some_and(|(a, b)| std::ptr::eq(a, b));
    let mut kept = inherited.to_vec();
    let mut whole = None;
    for line in inherited {
        let again = own.iter().chain(kept.iter().copied().skip_while(|l| !std::ptr::eq(*l, *line)).skip(1));
        if !acts(line) || !again.into_iter().any(|other| same(line, other)) {
            continue;
        }
        let without: Vec<&Line> = kept.iter().copied().filter(|l| !std::ptr::eq(*l, *line)).collect();
        let result = meaning(&without, own, section);
        if *whole.get_or_insert_with(|| meaning(&kept, own, section)) == result {
            kept = without;
        }
    }
    kept
}

/// What lines make of a section, as a text that can be compared.
fn meaning(inherited: &[&Line], own: &[Line], section: Section) -> String {
    let mut draft = ProxyDraft::default();
    let mut scratch = Diagnostics::default();
    for line in inherited.iter().copied().chain(own) {
        read::line(line, section, &mut draft, &mut scratch);
    }
    placeless(&format!("{draft:?}"))
}

/// A configuration's debug text without the places in files: what is the same wherever it is written.
#[must_use]
pub fn placeless(text: &str) -> String {
    let mut rest = text;
    let mut result = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once("Span { file: FileId(") {
        result.push_str(before);
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    result + rest
}

/// Words as a line of a file has them.
fn write(words: &[Word]) -> String {
    words.iter().map(Word::quoted).collect::<Vec<_>>().join(" ")
}
