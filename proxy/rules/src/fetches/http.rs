//! Parts of the request's and the response's head.

use std::borrow::Cow;

use proxy_lang::{Arg, Spec};
use proxy_wire::cookie;

use super::Fetch;
use crate::{Kind, Sample, Stage};

const NAME: &[Arg] = &[Arg::Word("name")];

fn text(bytes: &[u8]) -> Sample<'_> {
    Sample::Text(Cow::Borrowed(bytes))
}

pub(super) const TABLE: &[Fetch] = &[
    Fetch {
        spec: Spec::full(&["method"], &[], "The request's method.", "method"),
        yields: Kind::Text,
        needs: Stage::Request,
        argument: false,
        suffixes: false,
        eval: |ex, _, _| Some(text(ex.request.as_deref()?.method())),
    },
    Fetch {
        spec: Spec::full(&["path"], &[], "The request's path, without the query.", "path"),
        yields: Kind::Text,
        needs: Stage::Request,
        argument: false,
        suffixes: true,
        eval: |ex, _, _| Some(text(ex.request.as_deref()?.path())),
    },
    Fetch {
        spec: Spec::full(&["query"], &[], "What follows the first question mark.", "query"),
        yields: Kind::Text,
        needs: Stage::Request,
        argument: false,
        suffixes: false,
        eval: |ex, _, _| ex.request.as_deref()?.query().map(text),
    },
    Fetch {
        spec: Spec::full(&["url"], &[], "The request's target as it was sent.", "url"),
        yields: Kind::Text,
        needs: Stage::Request,
        argument: false,
        suffixes: true,
        eval: |ex, _, _| Some(text(ex.request.as_deref()?.target())),
    },
    Fetch {
        spec: Spec::full(&["base"], &[], "The host and the path, joined.", "base"),
        yields: Kind::Text,
        needs: Stage::Request,
        argument: false,
        suffixes: true,
        eval: |ex, _, _| {
            let head = ex.request.as_deref()?;
            Some(Sample::Text(Cow::Owned([head.host().unwrap_or(b""), head.path()].concat())))
        },
    },
    Fetch {
        spec: Spec::full(
            &["hdr", "req.hdr", "req.fhdr"],
            NAME,
            "The last value of a request's header.",
            "hdr(host)",
        ),
        yields: Kind::Text,
        needs: Stage::Request,
        argument: true,
        suffixes: true,
        eval: |ex, args, _| ex.request.as_deref()?.last(args.text.as_bytes()).map(text),
    },
    Fetch {
        spec: Spec::full(
            &["hdr_cnt", "req.hdr_cnt"],
            NAME,
            "How often a request's header stands there.",
            "hdr_cnt(cookie)",
        ),
        yields: Kind::Int,
        needs: Stage::Request,
        argument: true,
        suffixes: false,
        eval: |ex, args, _| {
            let count = ex.request.as_deref()?.values(args.text.as_bytes()).count();
            Some(Sample::Int(i64::try_from(count).unwrap_or(i64::MAX)))
        },
    },
    Fetch {
        spec: Spec::full(&["cook", "req.cook"], NAME, "The value of a request's cookie.", "cook(SRV)"),
        yields: Kind::Text,
        needs: Stage::Request,
        argument: true,
        suffixes: true,
        eval: |ex, args, _| cookie::find(ex.request.as_deref()?, args.text.as_bytes()).map(text),
    },
    Fetch {
        spec: Spec::full(
            &["url_param", "urlp"],
            NAME,
            "The value of a parameter in the query.",
            "url_param(id)",
        ),
        yields: Kind::Text,
        needs: Stage::Request,
        argument: true,
        suffixes: true,
        eval: |ex, args, _| {
            let query = ex.request.as_deref()?.query()?;
            query.split(|b| *b == b'&').find_map(|pair| {
                let (name, value) = pair.split_at(pair.iter().position(|b| *b == b'=')?);
                (name == args.text.as_bytes()).then(|| text(&value[1..]))
            })
        },
    },
    Fetch {
        spec: Spec::full(&["status"], &[], "The response's status.", "status"),
        yields: Kind::Int,
        needs: Stage::Response,
        argument: false,
        suffixes: false,
        eval: |ex, _, _| Some(Sample::Int(i64::from(ex.response.as_deref()?.status()))),
    },
    Fetch {
        spec: Spec::full(
            &["res.hdr", "shdr"],
            NAME,
            "The last value of a response's header.",
            "res.hdr(server)",
        ),
        yields: Kind::Text,
        needs: Stage::Response,
        argument: true,
        suffixes: true,
        eval: |ex, args, _| ex.response.as_deref()?.last(args.text.as_bytes()).map(text),
    },
];
