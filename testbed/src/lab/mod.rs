//! Hosts on one machine: network namespaces, joined by a bridge, made over netlink without root and
//! without any program. Everything vanishes with the process.

mod capture;
mod enter;
mod filter;
mod namespace;
mod stalls;
mod until;
mod wires;

pub(crate) use capture::{Capture, Frame};
pub(crate) use enter::{enter, enter_with, own_network};
pub(crate) use filter::Filter;
pub(crate) use namespace::Namespace;
pub(crate) use stalls::{STALL, Stalls, Told, play, play_what_was_asked};
pub(crate) use until::{PATIENCE, until};
pub(crate) use wires::{
    Switch, add, addresses_of, answers_for, join, learnt_at, mac, remove, remove_from, route, route_to,
    set_card,
};
