//! What the machine has for as long as the program runs, whoever is master: keepalived's static addresses, routes and
//! rules, and the commands before all and after all.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::route::{Route, Rule};
use crate::{Command, VirtualAddress};

/// Most fixtures of one machine.
pub(crate) const MAX_FIXTURES: usize = 512;

/// What is said of the machine itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// What it has, in the order in which it is added.
    pub fixtures: Vec<Fixture>,
    /// What is run before anything else.
    pub before: Option<Hook>,
    /// What is run when everything is undone.
    pub after: Option<Hook>,
}

impl Machine {
    /// Adds what another file says; of commands the last one counts.
    pub fn add(&mut self, other: Self) {
        self.fixtures.extend(other.fixtures);
        self.before = other.before.or(self.before.take());
        self.after = other.after.or(self.after.take());
    }
}

/// Something that stays, and is put back when somebody removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixture {
    /// What.
    pub what: Fixed,
    /// The virtual routers that take no part while it cannot be there, by name.
    pub routers: BTreeSet<String>,
}

/// What may stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// An address; it names its interface.
    Address(VirtualAddress),
    /// A route; it names its interface, or its gateway does.
    Route(Route),
    /// A rule.
    Rule(Rule),
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "address {}/{}", address.address, address.prefix),
            Self::Route(route) => write!(f, "route {}", route.text),
            Self::Rule(rule) => write!(f, "rule {}", rule.text),
        }
    }
}

/// A command, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What is run.
    pub command: Command,
    /// After which it is killed.
    pub timeout: Duration,
}
