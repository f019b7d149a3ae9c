//! The floating address: VRRP on the wire, addresses on the interface, announcements on the link. It knows
//! nothing of what it protects; it is told whether this node can serve, and says who is master.
#![deny(unsafe_code)]

mod address;
mod agent;
pub mod announce;
pub mod aside;
mod command;
mod fixtures;
pub mod flows;
mod frames;
pub mod gateway;
mod mail;
pub mod netlink;
mod nft;
mod notify;
mod own;
mod passing;
mod raw;
mod refusals;
mod routes;
mod signing;
mod socket;
mod status;
pub mod steer;
mod sys;
mod talk;
mod tenure;
pub mod users;
mod vmac;
mod watch;

pub use agent::{After, Agent, Change, Config, Listener, RouterId, Told, What};
pub use failover_vrrp::signing::{ClusterKey, Flaw, Signs, Source};
pub use failover_vrrp::{Centis, Claim, Eligibility, Goodbye, Role, Why};
pub use signing::{Signing, SigningStatus};
pub use status::{RouterStatus, Scheduling};
pub use tenure::Tenure;
