//! VRRP (RFC 9568, RFC 3768 for version 2): the bytes, the timers, the state machine of one virtual
//! router, its section of the configuration, and keepalived's language. Knows no socket, no address of this machine and no clock.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod group;
mod interval;
pub mod keepalived;
pub mod keywords;
mod packet;
mod router;
mod track;

pub use address::{Announcing, VirtualAddress, longest_prefix};
pub use group::{Member, Move, next_move};
pub use interval::{Centis, Micros};
pub use keywords::{Notify, VirtualRouter};
pub use packet::{Advertisement, Checksum, Refusal, Version};
pub use router::{Eligibility, Input, Output, Role, Router, Settings, Timer, Why};
pub use track::{
    Command, Counted, Effective, Fifo, MAX_TRACKS, MAX_WEIGHT, Observed, Parameters, Process, RunAs, Script,
    Track, Watch, effective,
};
