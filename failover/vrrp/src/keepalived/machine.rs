//! Blocks that are about the machine, not about one instance: `static_ipaddress` and its kin, `track_group`, `garp_group`
//! and `interface_up_down_delays`.

use std::collections::{BTreeMap, BTreeSet};

use proxy_lang::{
    Arg, Args, Diagnostics, Keyword, Line, Sections, Span, Spec, Statement, Word, read_line_among,
};

use super::globals::{Globals, OUTERMOST};
use super::instance::read_address;
use crate::address::Trait;
use crate::debounce::Patience;
use crate::machine::{Fixed, Fixture, MAX_FIXTURES};
use crate::pace::{MAX_SPACINGS, Spacing};
use crate::route::{Route, Rule, Unplaced};

/// keepalived's interface of what names none.
const USUAL_INTERFACE: &str = "eth0";
/// Longest delay of an interface, in milliseconds.
const LONGEST_PATIENCE: u64 = 255_000;

/// What these blocks ask for.
#[derive(Debug, Default)]
pub struct Common {
    /// What stays, and the group that follows it.
    fixtures: Vec<(Fixed, Option<Word>)>,
    /// Instances by the name of their group.
    groups: BTreeMap<String, Vec<Word>>,
    /// The group that is read.
    group: String,
    pub(super) unplaced: Unplaced,
    pub(super) spacings: Vec<Spacing>,
    /// The block of spacings that is read.
    spacing: Spacing,
    pub(super) patience: BTreeMap<String, Patience>,
    interface: String,
}

const fn row(
    names: &'static [&'static str],
    args: &'static [Arg],
    doc: &'static str,
    example: &'static str,
    apply: fn(&mut Common, &Args, &mut Diagnostics),
) -> Keyword<Common> {
    let spec = Spec::full(names, args, doc, example);
    Keyword { spec, sections: Sections::KEEPALIVED, negatable: false, apply }
}

/// The rows of these blocks. A block's name stands before each of its lines.
pub const TABLE: &[Keyword<Common>] = &[
    row(
        &["garp_group garp_interval"],
        &[Arg::Seconds("seconds", 0, 1_000_000)],
        "Seconds between two announcements of IPv4 on the interfaces of the group together.",
        "garp_group { garp_interval 0.01\n interface eth0 }",
        |d, a, _| d.spacing.four = a.duration(0),
    ),
    row(
        &["garp_group gna_interval"],
        &[Arg::Seconds("seconds", 0, 1_000_000)],
        "Seconds between two announcements of IPv6 on the interfaces of the group together.",
        "garp_group { gna_interval 0.01\n interface eth0 }",
        |d, a, _| d.spacing.six = a.duration(0),
    ),
    row(
        &["garp_group interface", "garp_group interfaces"],
        &[Arg::Words("interface")],
        "The interfaces whose announcements keep from each other, since they hang on one switch.",
        "garp_group { garp_interval 0.01\n interfaces { eth0 eth1 } }",
        |d, a, _| d.spacing.interfaces.extend(a.words(0).iter().map(|word| word.text.clone())),
    ),
    row(
        &["interface_up_down_delays"],
        &[
            Arg::Word("interface"),
            Arg::Seconds("down", 0, LONGEST_PATIENCE),
            Arg::Optional(&Arg::Seconds("up", 0, LONGEST_PATIENCE)),
        ],
        "Seconds that an interface must be down before that counts, and seconds that it must be up again; as many where nothing is said.",
        "interface_up_down_delays { eth0 0.5 2 }",
        |d, a, _| {
            let down = a.duration(1);
            let up = if a.has(2) { a.duration(2) } else { down };
            d.patience.insert(a.text(0), Patience { down, up });
        },
    ),
    row(
        &["static_ipaddress"],
        &[Arg::Words("address")],
        "An address that this machine has for as long as the program runs, and that is put back when somebody removes it; 'track_group' names instances that take no part while it cannot be there. One that was there before stays at the end.",
        "static_ipaddress { 192.0.2.7/24 dev eth0 }",
        address,
    ),
    row(
        &["static_routes"],
        &[Arg::Words("route")],
        "A route that is there for as long as the program runs.",
        "static_routes { 203.0.113.0/24 via 192.0.2.1 dev eth0 }",
        |d, a, diagnostics| {
            let (words, group) = grouped(a.words(0), diagnostics);
            match Route::parse(&words) {
                Ok(mut route) => {
                    if route.device.is_none()
                        && route.via.is_none()
                        && route.fate == crate::route::Fate::Forward
                    {
                        route.device = Some(d.interface.clone());
                    }
                    d.fix(Fixed::Route(route), group, a.span, diagnostics);
                }
                Err((span, why)) => drop(diagnostics.error(span, format!("{why}: it is passed over"))),
            }
        },
    ),
    row(
        &["static_rules"],
        &[Arg::Words("rule")],
        "A rule that is there for as long as the program runs.",
        "static_rules { from 192.0.2.7 table 100 }",
        |d, a, diagnostics| {
            let (words, group) = grouped(a.words(0), diagnostics);
            match Rule::parse(&words, &mut d.unplaced) {
                Ok(rule) => d.fix(Fixed::Rule(rule), group, a.span, diagnostics),
                Err((span, why)) => drop(diagnostics.error(span, format!("{why}: it is passed over"))),
            }
        },
    ),
    row(
        &["track_group group"],
        &[Arg::Words("instance")],
        "The instances that follow what stays and names this group.",
        "track_group G { group { VI_1 } }",
        |d, a, _| d.groups.entry(d.group.clone()).or_default().extend(a.words(0).iter().cloned()),
    ),
];

fn address(draft: &mut Common, args: &Args, diagnostics: &mut Diagnostics) {
    let mut group = None;
    let read = read_address(args.words(0), diagnostics, |address, word, rest| match word.text.as_str() {
        "track_group" => {
            group = rest.next().cloned();
            group.is_some()
        }
        "autojoin" => address.traits.insert(Trait::Joins),
        _ => false,
    });
    let Some((mut address, span)) = read else { return };
    address.device.get_or_insert_with(|| draft.interface.clone());
    draft.fix(Fixed::Address(address), group, span, diagnostics);
}

/// The words without those that name a group, and the group.
fn grouped(words: &[Word], diagnostics: &mut Diagnostics) -> (Vec<Word>, Option<Word>) {
    let Some(at) = words.iter().position(|word| word.text == "track_group") else {
        return (words.to_vec(), None);
    };
    let group = words.get(at + 1).cloned();
    if group.is_none() {
        diagnostics.error(words[at].span, "'track_group' expects a name");
    }
    let rest = words[..at].iter().chain(words.iter().skip(at + 2)).cloned();
    (rest.collect(), group)
}

impl Common {
    pub(super) fn new(globals: &Globals) -> Self {
        let interface = globals.interface.clone().unwrap_or_else(|| USUAL_INTERFACE.to_owned());
        Self { interface, ..Self::default() }
    }

    /// Reads a block; whether it is one of these.
    pub(super) fn read(&mut self, statement: &Statement, diagnostics: &mut Diagnostics) -> bool {
        let first = statement.words[0].as_str();
        if !TABLE.iter().flat_map(|row| row.spec.names).any(|name| name.split(' ').next() == Some(first)) {
            return false;
        }
        let before = statement.words.get(..1).unwrap_or_default().to_vec();
        if first == "track_group" {
            let Some(name) = super::named(statement, diagnostics) else { return true };
            self.group.clone_from(&name.text);
            if self.groups.insert(name.text.clone(), Vec::new()).is_some() {
                diagnostics.error(name.span, format!("there is a track group '{}' already", name.text));
            }
        } else if statement.block.is_none() {
            diagnostics.error(statement.span(), format!("'{first}' expects a block"));
            return true;
        }
        self.lines(before, statement.block.as_deref().unwrap_or_default(), diagnostics);
        if first == "garp_group" {
            let spacing = std::mem::take(&mut self.spacing);
            let why = if spacing.interfaces.is_empty() {
                "a garp_group without an interface: it is passed over"
            } else if spacing.four.is_zero() && spacing.six.is_zero() {
                "a garp_group without an interval: it is passed over"
            } else {
                self.spacings.push(spacing);
                if self.spacings.len() == MAX_SPACINGS {
                    diagnostics.fatal(statement.span(), format!("more than {MAX_SPACINGS} groups"));
                }
                return true;
            };
            diagnostics.error(statement.words[0].span, why);
        }
        true
    }

    fn lines(&mut self, before: Vec<Word>, block: &[Statement], diagnostics: &mut Diagnostics) {
        for statement in block {
            let words: Vec<Word> = before.iter().chain(&statement.words).cloned().collect();
            match &statement.block {
                // The reader of blocks bounds how deep they are.
                Some(inner) => self.lines(words, inner, diagnostics),
                None => read_line_among(&[TABLE], OUTERMOST, &Line { words }, self, &|_| None, diagnostics),
            }
        }
    }

    fn fix(&mut self, what: Fixed, mut group: Option<Word>, at: Span, diagnostics: &mut Diagnostics) {
        let is_bound = match &what {
            Fixed::Address(_) => true,
            Fixed::Route(route) => route.device.is_some(),
            Fixed::Rule(rule) => rule.iif.is_some(),
        };
        if let Some(named) = group.take_if(|_| !is_bound) {
            let text = "a track group needs an interface to be named here: it is passed over";
            diagnostics.error(named.span, text);
        }
        if self.fixtures.len() == MAX_FIXTURES {
            diagnostics.fatal(at, format!("more than {MAX_FIXTURES} static addresses, routes and rules"));
            return;
        }
        self.fixtures.push((what, group));
    }

    /// What stays, with the instances that follow it.
    pub(super) fn fixtures(
        &mut self,
        known: impl Fn(&str) -> bool,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Fixture> {
        for word in self.groups.values().flatten().filter(|word| !known(&word.text)) {
            diagnostics.error(word.span, format!("there is no instance '{}': it is passed over", word.text));
        }
        let mut fixtures = Vec::new();
        for (what, group) in std::mem::take(&mut self.fixtures) {
            let mut routers = BTreeSet::new();
            if let Some(group) = group {
                match self.groups.get(&group.text) {
                    Some(members) => {
                        let members = members.iter().filter(|word| known(&word.text));
                        routers.extend(members.map(|word| word.text.clone()));
                    }
                    None => {
                        let text = format!("there is no track group '{}': it is passed over", group.text);
                        diagnostics.error(group.span, text);
                    }
                }
            }
            fixtures.push(Fixture { what, routers });
        }
        // Addresses first: routes and rules may need them.
        fixtures.sort_by_key(|fixture| match fixture.what {
            Fixed::Address(_) => 0,
            Fixed::Route(_) => 1,
            Fixed::Rule(_) => 2,
        });
        fixtures
    }
}
