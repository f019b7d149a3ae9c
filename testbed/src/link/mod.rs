//! What the agent does on a link, with no other program there.

mod adopt;
mod backends;
mod comes;
mod control;
mod gateway;
pub(crate) mod pair;
mod routes;

use clap::ValueEnum;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// a master that is killed and started again
    Adopt,
    /// nodes that lose a backend's servers: one of them, then both
    Backends,
    /// interfaces that come late, go, and come again
    Comes,
    /// control processes that are killed
    Control,
    /// gateways that answer, fall silent, come back, or have never answered
    Gateway,
    /// routes and rules while a switch is under way
    Routes,
}

/// Plays a case; inside a lab of its own.
pub(crate) fn play(case: Case) -> Result<String, String> {
    match case {
        Case::Adopt => adopt::play(),
        Case::Backends => backends::play(),
        Case::Comes => comes::play(),
        Case::Control => control::play(),
        Case::Gateway => gateway::play(),
        Case::Routes => routes::play(),
    }
}
