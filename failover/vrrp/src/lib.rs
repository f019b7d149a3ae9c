//! VRRP (RFC 9568, RFC 3768 for version 2): the bytes, the timers, the state machine of one virtual
//! router, its section of the configuration, and keepalived's language; mails that tell of its changes. Knows no socket, no address of this machine and no clock.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod debounce;
mod group;
pub mod hmac;
mod interval;
pub mod keepalived;
pub mod keywords;
mod machine;
pub mod mail;
mod pace;
mod packet;
mod presence;
mod reach;
pub mod route;
mod router;
pub mod signing;
pub mod smtp;
mod track;
mod wire;

pub use address::{Announcing, Elsewhere, Trait, VirtualAddress, VirtualMac, longest_prefix};
pub use debounce::{Debounce, Patience};
pub use group::{Member, Move, next_move};
pub use interval::{Centis, Micros};
pub use keywords::{Notify, VirtualRouter};
pub use machine::{Fixed, Fixture, Hook, Machine};
pub use pace::{Lane, Spacing};
pub use packet::{Advertisement, Checksum, Refusal, Version, split_trailer, without_pseudo_header};
pub use presence::Presence;
pub use reach::Reach;
pub use router::{Claim, Eligibility, Goodbye, Input, Output, Role, Router, Settings, Timer, Why};
pub use track::{
    Command, Counted, Effective, Fifo, Gateway, MAX_GATEWAYS, MAX_TRACKS, MAX_WEIGHT, Observed, Parameters,
    Process, RunAs, Script, Track, Watch, effective,
};
pub use wire::Wire;
