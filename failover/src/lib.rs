//! The floating address: VRRP on the wire, addresses on the interface, announcements on the link. It knows
//! nothing of what it protects; it is told whether this node can serve, and says who is master.
#![deny(unsafe_code)]

mod address;
mod agent;
mod announce;
mod aside;
mod command;
pub mod netlink;
mod notify;
mod socket;
mod status;
mod sys;
pub mod users;
mod watch;

pub use agent::{Agent, Change, Config, Routed, What};
pub use failover_vrrp::{Eligibility, Role, Why};
pub use status::{RouterStatus, Scheduling};
