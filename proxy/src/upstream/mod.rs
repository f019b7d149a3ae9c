//! Connections to servers: making them, and keeping idle ones for the next request of this core.

mod connect;
mod idle;

pub(crate) use connect::connect;
pub(crate) use idle::IdlePool;
