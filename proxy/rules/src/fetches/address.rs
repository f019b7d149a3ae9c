//! Addresses and ports of the client's connection.

use std::net::SocketAddr;

use proxy_lang::Spec;

use super::{Eval, Fetch, Takes};
use crate::{Kind, Sample, Stage};

/// An address, unless it stands for a Unix socket.
fn internet(address: SocketAddr) -> Option<SocketAddr> {
    Some(address).filter(|address| !crate::is_unix_end(*address))
}

pub(super) const TABLE: &[Fetch] = &[
    Fetch {
        spec: Spec::full(&["src"], &[], "The client's address.", "src"),
        yields: Kind::Addr,
        needs: Stage::Connection,
        takes: Takes::Nothing,
        suffixes: false,
        eval: Eval::One(|ex, _, _| internet(ex.client).map(|a| Sample::Addr(a.ip()))),
    },
    Fetch {
        spec: Spec::full(&["src_port"], &[], "The client's port.", "src_port"),
        yields: Kind::Int,
        needs: Stage::Connection,
        takes: Takes::Nothing,
        suffixes: false,
        eval: Eval::One(|ex, _, _| internet(ex.client).map(|a| Sample::Int(i64::from(a.port())))),
    },
    Fetch {
        spec: Spec::full(&["dst"], &[], "The address the client connected to.", "dst"),
        yields: Kind::Addr,
        needs: Stage::Connection,
        takes: Takes::Nothing,
        suffixes: false,
        eval: Eval::One(|ex, _, _| internet(ex.local).map(|a| Sample::Addr(a.ip()))),
    },
    Fetch {
        spec: Spec::full(&["dst_port"], &[], "The port the client connected to.", "dst_port"),
        yields: Kind::Int,
        needs: Stage::Connection,
        takes: Takes::Nothing,
        suffixes: false,
        eval: Eval::One(|ex, _, _| internet(ex.local).map(|a| Sample::Int(i64::from(a.port())))),
    },
    Fetch {
        spec: Spec::full(&["ssl_fc"], &[], "Whether the client's connection is encrypted.", "ssl_fc"),
        yields: Kind::Bool,
        needs: Stage::Connection,
        takes: Takes::Nothing,
        suffixes: false,
        eval: Eval::One(|ex, _, _| Some(Sample::Bool(ex.ssl))),
    },
];
