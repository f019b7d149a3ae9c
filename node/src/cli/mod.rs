//! What the subcommands print.

mod ask;
pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod diff;
pub(crate) mod dump;
pub(crate) mod explain;
pub(crate) mod migrate;
pub(crate) mod order;
pub(crate) mod peers;
pub(crate) mod status;
