//! keepalived's language: `keepalived.conf`, read into the same [`VirtualRouter`]s as `virtual-router` sections.
//! keepalived passes over most mistakes with a warning, so they are warnings here; only what it would not start
//! with, or what would leave an instance out, is an error. What is known and not built waits, as everywhere.

mod globals;
mod instance;
mod machine;
mod text;
mod trackers;

use std::collections::BTreeMap;

use proxy_lang::{Arg, Diagnostics, Keyword, Line, Section, Sources, Statement, Word, home, read_line_among};

pub use globals::{Globals, TABLE as GLOBAL_DEFS, TOP, Top};
pub use instance::{Instance, TABLE as VRRP_INSTANCE};
pub use machine::{Common, TABLE as MACHINE};
pub use text::{Include, Surroundings};
pub use trackers::{
    FILE as VRRP_TRACK_FILE, GROUP as VRRP_SYNC_GROUP, Group, PROCESS as VRRP_TRACK_PROCESS,
    SCRIPT as VRRP_SCRIPT, Tracker,
};

use crate::{Machine, Track, VirtualRouter};
use instance::Tracked;

/// keepalived's truth values.
const BOOL: Arg = Arg::OneOf("on|off", &["on", "off", "true", "false", "yes", "no"]);

/// What can be tracked, by kind and name.
#[derive(Default)]
pub(crate) struct Defined(BTreeMap<(Tracked, String), Track>);

impl Defined {
    /// What an instance that names it follows.
    fn get(&self, kind: Tracked, name: &str) -> Option<Track> {
        match kind {
            Tracked::Interface => Some(trackers::interface(name)),
            Tracked::Script | Tracked::Process | Tracked::File => {
                self.0.get(&(kind, name.to_owned())).cloned()
            }
        }
    }
}

/// What a `keepalived.conf` says.
#[derive(Debug, Default)]
pub struct Reading {
    /// Its instances.
    pub routers: Vec<VirtualRouter>,
    /// What it says of the machine.
    pub machine: Machine,
    /// What other rooms read, as it stands there.
    pub others: Vec<Statement>,
}

/// Reads a `keepalived.conf`. Its text, and those it includes, are added to the sources.
pub fn read(
    name: &str,
    text: &str,
    around: Surroundings<'_>,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Reading {
    diagnostics.tolerantly(|diagnostics| {
        let statements = text::read(name, text, around, sources, diagnostics);
        let (others, statements): (Vec<_>, Vec<_>) =
            statements.into_iter().partition(|statement| around.others.contains(&statement.kind()));
        let (routers, machine) = understand(&statements, diagnostics);
        Reading { routers, machine, others }
    })
}

fn understand(statements: &[Statement], diagnostics: &mut Diagnostics) -> (Vec<VirtualRouter>, Machine) {
    // What is said of all instances, and what they track, may stand behind them.
    let mut globals = Globals::default();
    let mut defined = Defined::default();
    for statement in statements.iter().filter(|s| s.words[0].text == "global_defs") {
        lines(statement, &[globals::TABLE], globals::SECTION, &mut globals, diagnostics, |_, _, _| {});
    }
    globals.check_mails(diagnostics);
    for statement in statements {
        let Some(kind) = Tracked::defined_by(statement.words[0].as_str()) else { continue };
        if let Some(name) = named(statement, diagnostics) {
            let Some(track) = trackers::read(kind, name, statement, &globals, diagnostics) else { continue };
            if defined.0.insert((kind, name.text.clone()), track).is_some() {
                diagnostics.error(name.span, format!("there is a {} '{}' already", kind.word(), name.text));
            }
        }
    }
    let mut routers: BTreeMap<String, VirtualRouter> = BTreeMap::new();
    let mut order = Vec::new();
    let mut common = Common::new(&globals);
    let mut drafts = Vec::new();
    for statement in statements {
        match statement.words[0].as_str() {
            "vrrp_instance" => {
                let Some(name) = named(statement, diagnostics) else { continue };
                if drafts.iter().any(|(known, _): &(&Word, _)| known.text == name.text) {
                    diagnostics.error(name.span, format!("there is an instance '{}' already", name.text));
                    continue;
                }
                // Rules that say nothing of their place have one beside all others of the file.
                let mut draft = Instance::default();
                draft.unplaced_rules = common.unplaced;
                lines(
                    statement,
                    &[instance::TABLE],
                    instance::SECTION,
                    &mut draft,
                    diagnostics,
                    |draft, words, diagnostics| draft.tracks.extend(trackers::tracked(words, diagnostics)),
                );
                common.unplaced = draft.unplaced_rules;
                drafts.push((name, draft));
            }
            "vrrp_sync_group" | "global_defs" => {}
            other if Tracked::defined_by(other).is_some() => {}
            _ if common.read(statement, diagnostics) => {}
            _ => {
                let line = Line { words: statement.words.clone() };
                read_line_among(&[TOP], globals::OUTERMOST, &line, &mut Top, &|_| None, diagnostics);
            }
        }
    }
    for (name, draft) in drafts {
        if let Some(router) = instance::complete(name, draft, &globals, (&common, &defined), diagnostics) {
            order.push(name.text.clone());
            routers.insert(name.text.clone(), router);
        }
    }
    let fixtures = common.fixtures(|name| routers.contains_key(name), diagnostics);
    let [before, after] = globals.hooks();
    for statement in statements.iter().filter(|s| s.words[0].text == "vrrp_sync_group") {
        if let Some(name) = named(statement, diagnostics) {
            trackers::group(name, statement, &mut routers, &globals, &defined, diagnostics);
        }
    }
    let routers = order.iter().filter_map(|name| routers.remove(name)).collect();
    (routers, Machine { fixtures, before, after })
}

fn named<'s>(statement: &'s Statement, diagnostics: &mut Diagnostics) -> Option<&'s Word> {
    let name = statement.words.get(1);
    if name.is_none() {
        diagnostics.error(statement.span(), format!("'{}' expects a name", statement.words[0].text));
    }
    if name.is_some() && statement.block.is_none() {
        diagnostics.error(statement.span(), format!("'{}' expects a block", statement.words[0].text));
    }
    name
}

/// Reads the lines of a block; of a block in it, each line with the block's name before it.
fn lines<D>(
    statement: &Statement,
    tables: &[&'static [Keyword<D>]],
    section: Section,
    draft: &mut D,
    diagnostics: &mut Diagnostics,
    mut seen: impl FnMut(&mut D, &[Word], &mut Diagnostics),
) {
    let mut read = |words: Vec<Word>, diagnostics: &mut Diagnostics| {
        seen(draft, &words, diagnostics);
        read_line_among(tables, section, &Line { words }, draft, &|_| None, diagnostics);
    };
    for inner in statement.block.iter().flatten() {
        let Some(block) = &inner.block else {
            read(inner.words.clone(), diagnostics);
            continue;
        };
        if !knows(tables, inner) {
            // Once for the block, not for each line of it.
            read(inner.words.clone(), diagnostics);
            continue;
        }
        for item in block {
            if let Some(deeper) = &item.block {
                let place = deeper.first().map_or(item.span(), Statement::span);
                diagnostics.error(place, format!("no block is expected in '{}'", inner.words[0].text));
            }
            read(inner.words.iter().chain(&item.words).cloned().collect(), diagnostics);
        }
    }
}

fn knows<D>(tables: &[&'static [Keyword<D>]], statement: &Statement) -> bool {
    let first = statement.words[0].as_str();
    let begins = |name: &&str| name.split(' ').next() == Some(first);
    home(tables, &statement.words).is_some()
        || tables.iter().flat_map(|t| t.iter()).any(|row| row.spec.names.iter().any(begins))
}

#[cfg(test)]
mod tests;
