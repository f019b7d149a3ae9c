//! The header every registry row begins with, whatever kind of row it is.

use crate::Arg;

/// What becomes of a name we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Works as HAProxy's does.
    Full,
    /// Works, except for what the text says.
    Partial(&'static str),
    /// A tuning knob without meaning here: silent, listed by `tandem check`.
    Accepted(&'static str),
    /// Read and resolved, refused by the last pass.
    Later,
    /// Known to HAProxy and refused by name, with this reason.
    Absent(&'static str),
}

/// Names, arguments, documentation and an example of one row.
#[derive(Debug)]
pub struct Spec {
    /// The name and its aliases; a name may be several words (`timeout client`).
    pub names: &'static [&'static str],
    /// What follows the name.
    pub args: &'static [Arg],
    /// What becomes of it.
    pub status: Status,
    /// One line, in our own words.
    pub doc: &'static str,
    /// A line that must parse where the row is allowed.
    pub example: &'static str,
}

impl Spec {
    /// The header of a row that works as HAProxy's does.
    #[must_use]
    pub const fn full(
        names: &'static [&'static str],
        args: &'static [Arg],
        doc: &'static str,
        example: &'static str,
    ) -> Self {
        Self { names, args, status: Status::Full, doc, example }
    }

    /// The header of a row that is read, and refused by the last pass.
    #[must_use]
    pub const fn later(
        names: &'static [&'static str],
        args: &'static [Arg],
        doc: &'static str,
        example: &'static str,
    ) -> Self {
        Self { names, args, status: Status::Later, doc, example }
    }

    /// The header of a row that is read and has no meaning here, for this reason.
    #[must_use]
    pub const fn accepted(
        why: &'static str,
        names: &'static [&'static str],
        args: &'static [Arg],
        doc: &'static str,
        example: &'static str,
    ) -> Self {
        Self { names, args, status: Status::Accepted(why), doc, example }
    }

    /// The header of a row that is refused by name, for this reason.
    #[must_use]
    pub const fn absent(why: &'static str, names: &'static [&'static str], doc: &'static str) -> Self {
        Self { names, args: &[Arg::Rest("arguments")], status: Status::Absent(why), doc, example: "" }
    }

    /// The syntax line of the reference: name and arguments.
    #[must_use]
    pub fn syntax(&self) -> String {
        let mut line = self.names.first().copied().unwrap_or("").to_owned();
        for arg in self.args {
            line.push(' ');
            line.push_str(&arg.syntax());
        }
        line
    }
}
