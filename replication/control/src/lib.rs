//! What the members of a pair agree on: who they are. The `cluster` section of the configuration.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod keywords;
mod model;

pub use keywords::{Draft, SECTION, TABLE, read};
pub use model::{Cluster, DEFAULT_PORT, Member};
