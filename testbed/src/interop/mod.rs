//! The real programs as neighbours: keepalived as the other router.

mod keepalived;
mod language;

use clap::ValueEnum;

/// Whom to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Neighbour {
    /// keepalived as the other router: version 2 by multicast with a password, version 3 by unicast
    Keepalived,
}

impl Neighbour {
    fn program(self) -> &'static str {
        match self {
            Self::Keepalived => "keepalived",
        }
    }
}

/// Whether the program is there; says so in words where it is not, and fails where it is required.
pub(crate) fn absent(neighbour: Neighbour) -> Result<Option<String>, String> {
    let program = neighbour.program();
    if crate::find_program(program).is_some() {
        return Ok(None);
    }
    let text = format!("skipped: {program} is not installed");
    if std::env::var_os("TANDEM_REQUIRE_PEERS").is_some() {
        Err(format!("required, but {text}"))
    } else {
        Ok(Some(text))
    }
}

/// Meets a neighbour; inside the lab.
pub(crate) fn run(neighbour: Neighbour) -> Result<String, String> {
    match neighbour {
        Neighbour::Keepalived => keepalived::run(),
    }
}
