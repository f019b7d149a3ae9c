//! What the process knows: constants, names, servers, the role.

use std::borrow::Cow;

use proxy_lang::{Arg, Spec};

use super::{Eval, Fetch, Takes};
use crate::{Kind, Sample, Stage};

pub(super) const TABLE: &[Fetch] = &[
    Fetch {
        spec: Spec::full(
            &["req.len", "req_len"],
            &[],
            "How many bytes of the client are here, in mode http those of the request's head too; more may come while rules wait.",
            "req.len",
        ),
        yields: Kind::Int,
        needs: Stage::Connection,
        takes: Takes::Nothing,
        suffixes: false,
        eval: Eval::One(|ex, _, _| {
            ex.note_change();
            Some(Sample::Int(i64::try_from(ex.received).unwrap_or(i64::MAX)))
        }),
    },
    Fetch {
        spec: Spec::full(
            &["wait_end"],
            &[],
            "True once rules of contents wait no longer: 'tcp-request inspect-delay' has passed, or nothing more can come.",
            "wait_end",
        ),
        yields: Kind::Bool,
        needs: Stage::Connection,
        takes: Takes::Nothing,
        suffixes: false,
        eval: Eval::One(|ex, _, _| {
            ex.note_change();
            ex.is_final.then_some(Sample::Bool(true))
        }),
    },
    Fetch {
        spec: Spec::full(&["always_true"], &[], "Always true.", "always_true"),
        yields: Kind::Bool,
        needs: Stage::Connection,
        takes: Takes::Nothing,
        suffixes: false,
        eval: Eval::One(|_, _, _| Some(Sample::Bool(true))),
    },
    Fetch {
        spec: Spec::full(&["always_false"], &[], "Always false.", "always_false"),
        yields: Kind::Bool,
        needs: Stage::Connection,
        takes: Takes::Nothing,
        suffixes: false,
        eval: Eval::One(|_, _, _| Some(Sample::Bool(false))),
    },
    Fetch {
        spec: Spec::full(&["str"], &[Arg::Word("text")], "The text in parentheses.", "str(hello)"),
        yields: Kind::Text,
        needs: Stage::Connection,
        takes: Takes::Text,
        suffixes: false,
        eval: Eval::One(|_, args, _| Some(Sample::Text(Cow::Borrowed(args.text.as_bytes())))),
    },
    Fetch {
        spec: Spec::full(&["fe_name"], &[], "The frontend's name.", "fe_name"),
        yields: Kind::Text,
        needs: Stage::Connection,
        takes: Takes::Nothing,
        suffixes: false,
        eval: Eval::One(|ex, _, _| Some(Sample::Text(Cow::Borrowed(ex.frontend.as_bytes())))),
    },
    Fetch {
        spec: Spec::full(&["be_name"], &[], "The backend's name, once chosen.", "be_name"),
        yields: Kind::Text,
        needs: Stage::Connection,
        takes: Takes::Nothing,
        suffixes: false,
        eval: Eval::One(|ex, _, _| Some(Sample::Text(Cow::Borrowed(ex.backend.as_bytes())))),
    },
    Fetch {
        spec: Spec::full(
            &["nbsrv"],
            &[Arg::Word("backend")],
            "Servers of a backend that can be used.",
            "nbsrv(app)",
        ),
        yields: Kind::Int,
        needs: Stage::Connection,
        takes: Takes::Text,
        suffixes: false,
        eval: Eval::One(|_, args, view| Some(Sample::Int(i64::from(view.nbsrv(&args.text))))),
    },
];
