//! Sections to drafts, with what `defaults` give them.

use std::collections::BTreeMap;

use proxy_lang::{
    Block, Diagnostics, Level, Line, Section, Sections, Sources, Word, nearest, read_line_among,
};

use crate::draft::{BindDraft, BindOptions, DeferredKind, GlobalDraft, NamedDraft, PeersDraft, ProxyDraft};
use crate::model::Config;
use crate::resolve::resolve;
use crate::{keywords, migrate};

/// The sections this room reads.
pub const SECTIONS: &[Section] = &[
    Section { name: "global", bit: Sections::GLOBAL },
    Section { name: "defaults", bit: Sections::DEFAULTS },
    Section { name: "frontend", bit: Sections::FRONTEND },
    Section { name: "backend", bit: Sections::BACKEND },
    Section { name: "listen", bit: Sections::LISTEN },
    Section { name: "peers", bit: Sections::PEERS },
    Section { name: "resolvers", bit: Sections::RESOLVERS },
    Section { name: "mailers", bit: Sections::MAILERS },
    Section { name: "userlist", bit: Sections::USERLIST },
    Section { name: "http-errors", bit: Sections::HTTP_ERRORS },
    Section { name: "ring", bit: Sections::RING },
];

/// Sections that HAProxy knows and this room refuses, with the reason.
pub const ABSENT_SECTIONS: &[(&str, &str)] = &[
    ("acme", "certificates are not asked for here: let an ACME client write the files, then reload"),
    ("cache", "there is no cache in Tandem"),
    ("crt-store", "certificates are named where they are used, on 'bind' lines"),
    ("fcgi-app", "there is no FastCGI in Tandem"),
    ("log-forward", "Tandem writes log lines, and forwards none"),
    ("log-profile", "log lines have one format for all their steps: 'log-format'"),
    ("program", "let the service manager start other programs"),
    ("traces", "use 'RUST_LOG' for the inside of the process"),
];

/// Every word that opens a section of this room.
pub fn openers() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().map(|section| section.name).chain(ABSENT_SECTIONS.iter().map(|(name, _)| *name))
}

/// Reads sections into a configuration; `None` where anything is wrong. Sections of other rooms are
/// passed over. `files` reads what the sections refer to.
pub fn read(
    sources: &Sources,
    blocks: &[Block],
    files: &dyn Fn(&str) -> Result<String, String>,
    diagnostics: &mut Diagnostics,
) -> Option<Config> {
    let mut reader = Reader::new(sources, diagnostics);
    blocks.iter().for_each(|block| reader.section(block, diagnostics));
    reader.finish(files, diagnostics)
}

/// Sections on their way into a configuration, one after the other.
pub struct Reader {
    /// What the files are called.
    names: Vec<String>,
    /// Mistakes that were there before.
    errors: usize,
    global: GlobalDraft,
    defaults: ProxyDraft,
    named: BTreeMap<String, ProxyDraft>,
    proxies: Vec<ProxyDraft>,
    taken: Taken,
    peers: Vec<PeersDraft>,
    /// `http-errors` sections.
    errors_of: Vec<NamedDraft>,
    /// Defaults sections with rules, by name: whether frontends and backends have them.
    inheritors: BTreeMap<String, (bool, bool)>,
    proxy_id: u32,
}

impl Reader {
    /// A reader that has seen nothing yet.
    #[must_use]
    pub fn new(sources: &Sources, diagnostics: &Diagnostics) -> Self {
        Self {
            names: sources.iter().map(|(_, source)| source.name.clone()).collect(),
            errors: diagnostics.errors(),
            global: GlobalDraft::default(),
            defaults: ProxyDraft::default(),
            named: BTreeMap::new(),
            proxies: Vec::new(),
            taken: Taken::new(),
            peers: Vec::new(),
            errors_of: Vec::new(),
            inheritors: BTreeMap::new(),
            // HAProxy numbers proxies from 2 on: 1 is its own.
            proxy_id: 2,
        }
    }

    /// Reads a section; one of another room is passed over.
    pub fn section(&mut self, block: &Block, diagnostics: &mut Diagnostics) {
        if let Some((name, why)) = ABSENT_SECTIONS.iter().find(|(name, _)| *name == block.kind()) {
            diagnostics.absent(block.header.span(), name, why);
        }
        let Some(section) = SECTIONS.iter().find(|s| s.name == block.kind()).copied() else { return };
        match section.name {
            "global" => {
                for line in &block.lines {
                    let home = &keywords::home;
                    read_line_among(keywords::GLOBAL, section, line, &mut self.global, home, diagnostics);
                }
            }
            "peers" => {
                let mut draft = PeersDraft { name: block.name().cloned(), ..PeersDraft::default() };
                for line in &block.lines {
                    read_line_among(keywords::PEERS, section, line, &mut draft, &keywords::home, diagnostics);
                }
                self.peers.push(draft);
            }
            "resolvers" | "mailers" | "userlist" | "http-errors" | "ring" => {
                if block.name().is_none() {
                    let span = block.header.span();
                    diagnostics.error(span, format!("'{}' expects a name", section.name));
                }
                let name = block.name().map(|name| name.text.clone()).unwrap_or_default();
                let mut draft = NamedDraft { name, ..NamedDraft::default() };
                for line in &block.lines {
                    let home = &keywords::home;
                    read_line_among(keywords::NAMED, section, line, &mut draft, home, diagnostics);
                }
                if section.name == "http-errors" {
                    self.errors_of.push(draft);
                }
            }
            "defaults" => {
                let mut draft = from(block, &ProxyDraft::default(), &self.named, diagnostics);
                draft.proxy_id = self.proxy_id;
                let named = block.name().filter(|n| n.text != "from");
                let waits = |line: &&Line| line.words.get(1).is_some_and(|w| w.text == "inspect-delay");
                for line in block.lines.iter().filter(waits).filter(|_| named.is_none()) {
                    let text = "'tcp-request' is not allowed in a 'defaults' section without a name";
                    diagnostics.error(line.words[0].span, text);
                }
                if !std::mem::take(&mut draft.deferred).is_empty()
                    && block.header.words.iter().any(|w| w.text == "from")
                {
                    let text = "a defaults section takes no rules and ACLs from another";
                    diagnostics.error(block.header.span(), text);
                }
                lines(block, section, &mut draft, diagnostics);
                if let Some(line) = draft.deferred.first().filter(|_| named.is_none())
                    && let Some(word) = line.words.first()
                {
                    diagnostics
                        .error(word.span, "rules and ACLs stand in no defaults section without a name")
                        .help("give it a name, and 'from <name>' to the sections that are to have them");
                }
                draft.defaults = named.cloned();
                if let Some(name) = block.name().filter(|n| n.text != "from") {
                    self.named.insert(name.text.clone(), draft.clone());
                }
                self.defaults = draft;
            }
            _ => self.proxy(block, section, diagnostics),
        }
    }

    fn proxy(&mut self, block: &Block, section: Section, diagnostics: &mut Diagnostics) {
        let mut draft = from(block, &self.defaults, &self.named, diagnostics);
        let Some(name) = block.name() else {
            let span = block.header.span();
            diagnostics.error(span, format!("'{}' expects a name", section.name));
            return;
        };
        draft.is_frontend = section.name != "backend";
        draft.is_backend = section.name != "frontend";
        self.inherit(name, &mut draft, diagnostics);
        check_name(name, &draft, &mut self.taken, diagnostics);
        draft.name = Some(name.clone());
        draft.proxy_id = self.proxy_id;
        draft.last_rule = None;
        draft.timeout_lines.clear();
        draft.has_check_lines = block.lines.iter().any(|line| line.words[0].text == "http-check");
        self.proxy_id += 1;
        old_listen(block, &mut draft, diagnostics);
        lines(block, section, &mut draft, diagnostics);
        self.proxies.push(draft);
    }

    /// Takes rules of the defaults as such, and refuses what HAProxy refuses of them.
    fn inherit(&mut self, name: &Word, draft: &mut ProxyDraft, diagnostics: &mut Diagnostics) {
        draft.inherited = std::mem::take(&mut draft.deferred);
        let Some(defaults) = draft.defaults.take().filter(|_| !draft.inherited.is_empty()) else { return };
        let has = |kinds: &[DeferredKind]| draft.inherited.iter().any(|line| kinds.contains(&line.kind));
        let layer4 = [DeferredKind::TcpRequestConnection, DeferredKind::TcpRequestSession];
        let rules = draft.inherited.iter().any(|line| line.kind != DeferredKind::Acl);
        let sides = self.inheritors.entry(defaults.text.clone()).or_default();
        *sides = (sides.0 | draft.is_frontend, sides.1 | draft.is_backend);
        let why = match (draft.is_frontend, draft.is_backend) {
            _ if !rules => return,
            (true, true) => "a listen section takes no rules from a defaults section",
            (false, true) if has(&layer4) => {
                "a backend takes no rules of connections and sessions from a defaults section"
            }
            _ if *sides == (true, true) => {
                "a defaults section with rules is either for frontends or for backends"
            }
            _ => return,
        };
        diagnostics.error(name.span, format!("{why}, as '{}' has them", defaults.text));
    }

    /// The configuration; `None` where anything was wrong. `files` reads what the sections refer to.
    pub fn finish(
        self,
        files: &dyn Fn(&str) -> Result<String, String>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Config> {
        let config =
            resolve(self.global, self.proxies, &self.peers, &self.errors_of, &self.names, files, diagnostics);
        (diagnostics.errors() == self.errors).then_some(config)
    }
}

fn lines(block: &Block, section: Section, draft: &mut ProxyDraft, diagnostics: &mut Diagnostics) {
    for line in &block.lines {
        self::line(line, section, draft, diagnostics);
    }
}

/// Reads one line of a proxy section.
pub(crate) fn line(line: &Line, section: Section, draft: &mut ProxyDraft, diagnostics: &mut Diagnostics) {
    if let Some(sections) = proxy_lang::home(keywords::PROXY, &line.words)
        && is_ignored(sections, section, &line.words)
    {
        let (kind, side) =
            if section.name == "backend" { ("backend", "frontend") } else { ("frontend", "backend") };
        let name = draft.name.as_ref().map_or("", |name| name.text.as_str());
        let family = ["option", "stats", "http-check", "tcp-check", "timeout", "capture", "no"];
        let length = 1 + usize::from(family.contains(&line.words[0].text.as_str()));
        let keyword = line.words.iter().take(length).map(Word::as_str).collect::<Vec<_>>().join(" ");
        let text = format!("'{keyword}' is ignored: {kind} '{name}' has no {side} capability");
        diagnostics.warning(line.words[0].span, text).help(match line.words[0].text.as_str() {
            "maxconn" => "maybe 'fullconn' is meant".to_owned(),
            "fullconn" => "maybe 'maxconn' is meant".to_owned(),
            _ => format!("it belongs in: {}", sections.names().collect::<Vec<_>>().join(", ")),
        });
        return;
    }
    check_order(line, draft, diagnostics);
    if let ["timeout", name, ..] = line.words.iter().map(Word::as_str).collect::<Vec<_>>().as_slice()
        && section.name != "defaults"
        && !draft.timeout_lines.insert((*name).to_owned())
    {
        let text = format!("'timeout {name}' stands in this section already: the last one counts");
        diagnostics.warning(line.words[0].span, text);
    }
    // What still has a row is told about by it.
    if keywords::home(&line.words).is_none() && migrate::is_old(&line.words) {
        let name = line.words.iter().take(1 + usize::from(line.words[0].text == "option"));
        let (name, span) = (name.map(Word::as_str).collect::<Vec<_>>().join(" "), line.words[0].span);
        diagnostics
            .error(span, format!("'{name}' is an old keyword, which HAProxy does not understand any more"))
            .help("'tandem migrate FILE' shows how it is written today");
        return;
    }
    read_line_among(keywords::PROXY, section, line, draft, &keywords::home, diagnostics);
}

/// Keywords that HAProxy refuses where their section cannot use them; all others it passes over with a warning.
const NEEDS_SIDE: &[&str] = &[
    "declare",
    "default-server",
    "retry-on",
    "server",
    "server-template",
    "tcp-request",
    "tcp-response",
    "use-server",
];

/// Whether a line stands in a section that has not the side which the keyword is about, and does no harm there.
fn is_ignored(places: Sections, section: Section, words: &[Word]) -> bool {
    let other = match section.name {
        "frontend" => Sections::BACKEND,
        "backend" => Sections::FRONTEND,
        _ => return false,
    };
    let keyword = words.iter().find(|word| word.text != "no").map_or("", |word| word.text.as_str());
    !places.meets(section.bit) && places.meets(other.or(Sections::LISTEN)) && !NEEDS_SIDE.contains(&keyword)
}

/// Rules in the order in which they run, whatever the order of their lines.
const ORDER: &[&str] = &[
    "tcp-request connection",
    "tcp-request session",
    "tcp-request content",
    "monitor",
    "http-request",
    "redirect",
    "use_backend",
    "use-server",
];

/// Warns of a rule below one that runs after it: who reads the file from top to bottom expects it otherwise.
fn check_order(line: &Line, draft: &mut ProxyDraft, diagnostics: &mut Diagnostics) {
    let words: Vec<&str> = line.words.iter().map(|word| word.text.as_str()).collect();
    let stands = |rule: &&str| {
        rule.split(' ').zip(&words).all(|(a, b)| a == *b) && words.len() >= rule.split(' ').count()
    };
    let Some(rank) = ORDER.iter().position(stands) else { return };
    match draft.last_rule {
        Some(last) if last > rank => {
            let text = format!(
                "a '{}' rule behind a '{}' rule is processed before it nevertheless",
                ORDER[rank], ORDER[last]
            );
            diagnostics.warning(line.words[0].span, text).help("move it up");
        }
        _ => draft.last_rule = Some(rank),
    }
}

/// `listen NAME ADDRESS...`, as it was written until HAProxy 1.5: the address has one exact meaning.
fn old_listen(block: &Block, draft: &mut ProxyDraft, diagnostics: &mut Diagnostics) {
    let words = &block.header.words;
    let Some(address) = words.get(2).filter(|w| block.kind() == "listen" && w.text != "from") else { return };
    if let Some(extra) = words.get(3) {
        diagnostics.error(extra.span, format!("unexpected '{}' after the section's address", extra.text));
    }
    diagnostics.push(
        Level::Note,
        address.span,
        format!("an address behind a section's name is written 'bind {}' today", address.text),
    );
    draft.binds.push(BindDraft { address: address.clone(), options: BindOptions::default() });
}

/// What a section begins with: the defaults before it, or those it names.
fn from(
    block: &Block,
    defaults: &ProxyDraft,
    named: &BTreeMap<String, ProxyDraft>,
    diagnostics: &mut Diagnostics,
) -> ProxyDraft {
    let words = &block.header.words;
    let Some(place) = words.iter().position(|w| w.text == "from") else {
        if let Some(extra) = words.get(2).filter(|_| block.kind() != "listen") {
            diagnostics
                .error(extra.span, format!("unexpected '{}' after the section's name", extra.text))
                .help("addresses belong on 'bind' lines");
        }
        return defaults.clone();
    };
    let Some(name) = words.get(place + 1) else {
        diagnostics.error(words[place].span, "'from' expects the name of a defaults section");
        return defaults.clone();
    };
    named.get(&name.text).cloned().unwrap_or_else(|| {
        let near = nearest(&name.text, named.keys().map(String::as_str));
        let note =
            diagnostics.error(name.span, format!("there is no defaults section '{}' above", name.text));
        if let Some(near) = near {
            note.help(format!("did you mean '{near}'?"));
        }
        defaults.clone()
    })
}

/// The line of each proxy, by its name and whether it takes clients.
type Taken = BTreeMap<(String, bool), u32>;

fn check_name(name: &Word, draft: &ProxyDraft, taken: &mut Taken, diagnostics: &mut Diagnostics) {
    proxy_lang::check_name("a proxy", name, diagnostics);
    for side in [(true, draft.is_frontend), (false, draft.is_backend)].into_iter().filter(|side| side.1) {
        if let Some(line) = taken.get(&(name.text.clone(), side.0)) {
            diagnostics.error(name.span, format!("a proxy '{}' stands in line {line} already", name.text));
        } else {
            taken.insert((name.text.clone(), side.0), name.span.line);
        }
    }
}
