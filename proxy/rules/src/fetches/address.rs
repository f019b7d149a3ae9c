//! Addresses and ports of the client's connection.

use proxy_lang::{Spec, Status};

use super::Fetch;
use crate::{Kind, Sample, Stage};

const fn spec(names: &'static [&'static str], doc: &'static str, example: &'static str) -> Spec {
    Spec { names, args: &[], status: Status::Full, doc, example }
}

pub(super) const TABLE: &[Fetch] = &[
    Fetch {
        spec: spec(&["src"], "The client's address.", "src"),
        yields: Kind::Addr,
        needs: Stage::Connection,
        argument: false,
        suffixes: false,
        eval: |ex, _, _| Some(Sample::Addr(ex.client.ip())),
    },
    Fetch {
        spec: spec(&["src_port"], "The client's port.", "src_port"),
        yields: Kind::Int,
        needs: Stage::Connection,
        argument: false,
        suffixes: false,
        eval: |ex, _, _| Some(Sample::Int(i64::from(ex.client.port()))),
    },
    Fetch {
        spec: spec(&["dst"], "The address the client connected to.", "dst"),
        yields: Kind::Addr,
        needs: Stage::Connection,
        argument: false,
        suffixes: false,
        eval: |ex, _, _| Some(Sample::Addr(ex.local.ip())),
    },
    Fetch {
        spec: spec(&["dst_port"], "The port the client connected to.", "dst_port"),
        yields: Kind::Int,
        needs: Stage::Connection,
        argument: false,
        suffixes: false,
        eval: |ex, _, _| Some(Sample::Int(i64::from(ex.local.port()))),
    },
    Fetch {
        spec: spec(&["ssl_fc"], "Whether the client's connection is encrypted.", "ssl_fc"),
        yields: Kind::Bool,
        needs: Stage::Connection,
        argument: false,
        suffixes: false,
        eval: |ex, _, _| Some(Sample::Bool(ex.ssl)),
    },
];
