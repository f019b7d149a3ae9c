//! Conditions a router follows: what is watched, and what that makes of its priority (keepalived.conf(5),
//! `track_script` and its kin). A weight of zero makes a failure a fault: the router takes no part while it lasts.

use std::net::IpAddr;
use std::time::Duration;

use proxy_lang::Span;

/// Heaviest change of a priority, either way.
pub const MAX_WEIGHT: i32 = 253;
/// Most conditions one router follows.
pub const MAX_TRACKS: usize = 64;
/// Most gateways that are named.
pub const MAX_GATEWAYS: usize = 8;
/// Who owns the addresses: no condition changes this priority.
const OWNER: u8 = 255;

/// Whose rights a command has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RunAs {
    /// Those of this program.
    #[default]
    Us,
    /// A user's, and a group's if it is not the user's own.
    User(String, Option<String>),
    /// A user's if there is such a user, else those of this program.
    IfThere(&'static str),
}

/// A program, its arguments, and whose rights it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Whose rights it has.
    pub user: RunAs,
}

impl Command {
    /// A program and its arguments in one text, as keepalived splits it: at blanks, except between single quotes.
    #[must_use]
    pub fn parse(text: &str, user: RunAs) -> Self {
        Self { words: split(text), user }
    }

    /// The same text again.
    #[must_use]
    pub fn text(&self) -> String {
        join(&self.words)
    }
}

/// A pipe that changes are written to, a line each (keepalived's `notify_fifo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fifo {
    /// Where it is; it is made if it is not there.
    pub path: String,
    /// Whose it is.
    pub owner: RunAs,
    /// Who reads it, started with the pipe's name behind the arguments.
    pub script: Option<Command>,
}

pub(crate) fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(String::new()),
            c => words.last_mut().map_or((), |word| word.push(c)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

pub(crate) fn join(words: &[String]) -> String {
    let one = |word: &String| {
        if word.contains(char::is_whitespace) { format!("'{word}'") } else { word.clone() }
    };
    words.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A command that is run again and again: exit code 0 is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What is run.
    pub command: Command,
    /// Between two runs.
    pub interval: Duration,
    /// After which a run has failed.
    pub timeout: Duration,
    /// Successes in a row after which it is believed to be well again.
    pub rise: u32,
    /// Failures in a row after which it is believed to have failed.
    pub fall: u32,
    /// It is believed to have failed until it has succeeded `rise` times.
    pub failed_first: bool,
}

/// Arguments a process must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parameters {
    /// Those named, and no others.
    #[default]
    Exact,
    /// Those named, the last of which may go on.
    Initial,
    /// Those named, and maybe others behind them.
    Partial,
}

/// Processes that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The program's name, or its command with arguments.
    pub command: Vec<String>,
    /// Whether the command is compared, not the program's name.
    pub whole: bool,
    /// How arguments are compared, if at all.
    pub parameters: Option<Parameters>,
    /// So many at least.
    pub least: u32,
    /// So many at most.
    pub most: Option<u32>,
    /// After they have come, until that is believed.
    pub after_start: Duration,
    /// After one has ended, until that is believed.
    pub after_end: Duration,
}

impl Process {
    /// Whether a process of this name and command line is meant.
    #[must_use]
    pub fn is(&self, name: &str, command: &[&str]) -> bool {
        let Some((own, parameters)) = self.command.split_first() else { return false };
        if !self.whole && parameters.is_empty() && self.parameters.is_none() {
            // The kernel keeps the first fifteen bytes of a name.
            let short = own.rsplit('/').next().unwrap_or(own);
            return name == short || (name.len() == 15 && short.starts_with(name));
        }
        let Some((program, given)) = command.split_first() else { return false };
        if program != own {
            return false;
        }
        match self.parameters.unwrap_or_default() {
            Parameters::Exact => given == parameters,
            Parameters::Partial => {
                given.len() >= parameters.len() && given[..parameters.len()] == *parameters
            }
            Parameters::Initial => match parameters.split_last() {
                None => given.is_empty(),
                Some((last, before)) => {
                    given.len() == parameters.len()
                        && given[..before.len()] == *before
                        && given.last().is_some_and(|given| given.starts_with(last))
                }
            },
        }
    }

    /// Whether so many of them are well.
    #[must_use]
    pub fn is_well(&self, count: u32) -> bool {
        count >= self.least && self.most.is_none_or(|most| count <= most)
    }
}

/// Who is asked whether this node still reaches anybody beside the other routers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Gateway {
    /// Nobody.
    None,
    /// Where the default routes over the interface go.
    #[default]
    Auto,
    /// These.
    Named(Vec<IpAddr>),
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// An interface, by its name: up, and its cable is in.
    Interface(String),
    /// A script's exit code.
    Script(Script),
    /// Whether processes are there.
    Process(Process),
    /// A number in a file.
    File {
        /// The file.
        path: String,
        /// What is written into it at the start, and whether over what is there.
        initial: Option<(i64, bool)>,
    },
    /// Whether a gateway answers on the link.
    Gateway {
        /// The interface it is asked on.
        interface: String,
        /// Who is asked: one that answers is enough.
        gateway: Gateway,
        /// How long it may be silent.
        patience: Duration,
    },
    /// The servers of a backend that new sessions may go to.
    Backend {
        /// Its name.
        name: String,
        /// So many at least.
        least: u32,
    },
}

/// A condition one router follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// What people call it.
    pub name: String,
    /// What is watched.
    pub watch: Watch,
    /// What it does to the priority; 0: a failure is a fault, and that of a backend the last resort. A file's number
    /// is multiplied by it.
    pub weight: i32,
    /// Whether it does the contrary.
    pub reverse: bool,
    /// Where the file says so.
    pub at: Span,
}

/// What has been seen of a condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Observed {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It is well.
    Well,
    /// It is not.
    Failed,
    /// A file's number.
    Value(i64),
}

/// What all conditions together make of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Its priority now.
    pub priority: u8,
    /// The first condition that keeps it from taking part.
    pub fault: Option<String>,
}

/// The priority and the faults that conditions make of a configured priority; `last` is that of a node which others
/// would serve better than, and which serves all the same where there is none.
pub fn effective<'t>(base: u8, last: u8, tracks: impl Iterator<Item = (&'t Track, Observed)>) -> Effective {
    let mut sum = 0_i64;
    let mut fault = None;
    let mut is_last = false;
    for (track, observed) in tracks {
        match consequence(track, observed) {
            Consequence::Change(change) => sum += change,
            Consequence::Last => is_last = true,
            Consequence::Fault => fault = fault.or_else(|| Some(track.name.clone())),
        }
    }
    let changed = || (i64::from(base) + sum).clamp(1, 254).try_into().unwrap_or(1);
    let priority = match (base, is_last) {
        (OWNER, _) => base,
        (_, true) => last,
        (_, false) => changed(),
    };
    Effective { priority, fault }
}

enum Consequence {
    Change(i64),
    /// Behind every node that is well.
    Last,
    Fault,
}

fn consequence(track: &Track, observed: Observed) -> Consequence {
    let weight = i64::from(track.weight);
    let sign = if track.reverse { -1 } else { 1 };
    let is_backend = matches!(track.watch, Watch::Backend { .. });
    match observed {
        // The node is not ready before it is known how the servers are.
        Observed::Unknown if is_backend => Consequence::Change(0),
        Observed::Well | Observed::Failed if weight == 0 && is_backend => {
            if (observed == Observed::Well) == track.reverse {
                Consequence::Last
            } else {
                Consequence::Change(0)
            }
        }
        // Who does not know yet does not take part; a weight counts once it is known.
        Observed::Unknown if weight == 0 && !matches!(track.watch, Watch::File { .. }) => Consequence::Fault,
        Observed::Unknown => Consequence::Change(0),
        Observed::Well | Observed::Failed if weight == 0 => {
            if (observed == Observed::Well) == track.reverse {
                Consequence::Fault
            } else {
                Consequence::Change(0)
            }
        }
        Observed::Well => Consequence::Change(weight.max(0) * sign),
        Observed::Failed => Consequence::Change(weight.min(0) * sign),
        Observed::Value(value) if weight == 0 => {
            if (value == 0) == track.reverse {
                Consequence::Fault
            } else {
                Consequence::Change(0)
            }
        }
        Observed::Value(value) => {
            let change = value.saturating_mul(weight).saturating_mul(sign);
            if change < -i64::from(MAX_WEIGHT) {
                Consequence::Fault
            } else {
                Consequence::Change(change.min(i64::from(MAX_WEIGHT)))
            }
        }
    }
}

/// Results in a row, and what is believed because of them.
#[derive(Clone, Debug)]
pub struct Counted {
    rise: u32,
    fall: u32,
    believed: Option<bool>,
    /// Results in a row that say otherwise.
    against: u32,
}

impl Counted {
    /// Nothing is believed yet, unless a failure is.
    #[must_use]
    pub fn new(script: &Script) -> Self {
        let believed = script.failed_first.then_some(false);
        Self { rise: script.rise.max(1), fall: script.fall.max(1), believed, against: 0 }
    }

    /// A result; what is believed now.
    pub fn result(&mut self, well: bool) -> bool {
        let Some(believed) = self.believed else {
            // The first result counts at once.
            self.believed = Some(well);
            return well;
        };
        self.against = if well == believed { 0 } else { self.against + 1 };
        if self.against >= if well { self.rise } else { self.fall } {
            self.believed = Some(well);
            self.against = 0;
        }
        self.believed == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(weight: i32, reverse: bool) -> Track {
        let watch = Watch::Interface("x".to_owned());
        Track { name: "x".to_owned(), watch, weight, reverse, at: Span::default() }
    }

    #[test]
    fn weights_change_the_priority_and_no_weight_is_a_fault() {
        use Observed::{Failed, Unknown, Value, Well};
        for (base, weight, reverse, observed, priority, fault) in [
            (100, 20, false, Well, 120, false),
            (100, 20, false, Failed, 100, false),
            (100, -20, false, Failed, 80, false),
            (100, -20, false, Well, 100, false),
            (100, 20, true, Well, 80, false),
            (100, -20, true, Failed, 120, false),
            (100, 0, false, Well, 100, false),
            (100, 0, false, Failed, 100, true),
            (100, 0, true, Well, 100, true),
            (100, 0, true, Failed, 100, false),
            (100, 0, false, Unknown, 100, true),
            (100, 20, false, Unknown, 100, false),
            (100, 253, false, Well, 254, false),
            (100, -253, false, Failed, 1, false),
            (255, -20, false, Failed, 255, false),
            (100, 2, false, Value(10), 120, false),
            (100, 2, true, Value(10), 80, false),
            (100, 1, false, Value(-254), 100, true),
            (100, 1, false, Value(i64::MAX), 254, false),
            (100, 0, false, Value(3), 100, true),
            (100, 0, false, Value(0), 100, false),
        ] {
            let track = track(weight, reverse);
            let found = effective(base, 1, [(&track, observed)].into_iter());
            assert_eq!(
                (found.priority, found.fault.is_some()),
                (priority, fault),
                "{weight} {reverse} {observed:?}"
            );
        }
        let (one, two) = (track(20, false), track(-30, false));
        let found = effective(100, 1, [(&one, Well), (&two, Failed)].into_iter());
        assert_eq!(found.priority, 90);
    }

    #[test]
    fn a_backend_without_servers_is_the_last_resort_and_no_fault() {
        use Observed::{Failed, Unknown, Well};
        for (base, weight, observed, priority) in [
            (150, 0, Unknown, 150),
            (150, 0, Well, 150),
            (150, 0, Failed, 2),
            (150, -20, Failed, 130),
            (150, 20, Unknown, 150),
            (255, 0, Failed, 255),
        ] {
            let watch = Watch::Backend { name: "app".to_owned(), least: 1 };
            let backend = Track { watch, ..track(weight, false) };
            // Nothing that is well elsewhere makes it better than a node that can serve.
            let other = track(30, false);
            for (tracks, more) in
                [(vec![(&backend, observed)], 0), (vec![(&backend, observed), (&other, Well)], 30)]
            {
                let found = effective(base, 2, tracks.into_iter());
                let more = if priority == 2 || base == 255 { 0 } else { more };
                assert_eq!(
                    found,
                    Effective { priority: priority + more, fault: None },
                    "{weight} {observed:?}"
                );
            }
        }
    }

    fn script(rise: u32, fall: u32, failed_first: bool) -> Script {
        let time = Duration::from_secs(1);
        Script { command: Command::default(), interval: time, timeout: time, rise, fall, failed_first }
    }

    #[test]
    fn results_in_a_row_are_believed() {
        let run = |script: Script, results: &str| -> String {
            let mut counted = Counted::new(&script);
            results.chars().map(|c| if counted.result(c == '+') { '+' } else { '-' }).collect()
        };
        assert_eq!(run(script(2, 3, false), "+--+---++-+"), "++++++--+++");
        assert_eq!(run(script(2, 3, false), "-+-++"), "----+");
        assert_eq!(run(script(2, 1, true), "++-"), "-+-");
    }

    #[test]
    fn processes_are_told_by_name_or_by_command() {
        let process = |command: &str, whole, parameters| Process {
            command: command.split(' ').map(str::to_owned).collect(),
            whole,
            parameters,
            least: 1,
            most: None,
            after_start: Duration::ZERO,
            after_end: Duration::ZERO,
        };
        let running = ("haproxy", ["/usr/sbin/haproxy", "-f", "a.cfg"]);
        for (command, whole, parameters, is) in [
            ("haproxy", false, None, true),
            ("/usr/sbin/haproxy", false, None, true),
            ("hapro", false, None, false),
            ("/usr/sbin/haproxy -f a.cfg", true, None, true),
            ("/usr/sbin/haproxy -f", true, None, false),
            ("/usr/sbin/haproxy -f", false, Some(Parameters::Partial), true),
            ("/usr/sbin/haproxy -f a", false, Some(Parameters::Initial), true),
            ("/usr/sbin/haproxy -f b", false, Some(Parameters::Initial), false),
            ("/usr/sbin/haproxy", false, Some(Parameters::Initial), false),
        ] {
            assert_eq!(process(command, whole, parameters).is(running.0, &running.1), is, "{command}");
        }
        let mut several = process("x", false, None);
        (several.least, several.most) = (2, Some(3));
        assert_eq!([1, 2, 3, 4].map(|count| several.is_well(count)), [false, true, true, false]);
    }
}
