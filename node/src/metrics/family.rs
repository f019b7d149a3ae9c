//! One metric with all its samples, and how that is written.

use std::fmt;

/// What its numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows while the process lives.
    Counter,
    Gauge,
}

/// A metric; without samples it is not written.
#[derive(Clone, Debug)]
pub(super) struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    samples: Vec<(String, String)>,
}

impl Family {
    pub(super) fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        debug_assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
        Self { name, kind, help, samples: Vec::new() }
    }

    /// One number without labels.
    pub(super) fn one(name: &'static str, kind: Kind, help: &'static str, value: impl fmt::Display) -> Self {
        let mut family = Self::new(name, kind, help);
        family.add(&[], value);
        family
    }

    pub(super) fn add(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.samples.push((labels, value.to_string()));
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.samples.is_empty() {
            return Ok(());
        }
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        writeln!(f, "# HELP {} {}\n# TYPE {} {kind}", self.name, self.help, self.name)?;
        self.samples.iter().try_for_each(|(labels, value)| writeln!(f, "{}{labels} {value}", self.name))
    }
}

/// A label's value between quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
