//! Parameters in the request's target.

use std::ops::ControlFlow;

use proxy_lang::{Arg, Spec};

use super::http::text;
use super::{Eval, Fetch, FetchArgs, Takes};
use crate::sample::leading_number;
use crate::{Exchange, Kind, Sample, Stage};

const ARGS: &[Arg] = &[Arg::Rest("name,delimiter")];

pub(super) const TABLE: &[Fetch] = &[
    Fetch {
        spec: Spec::full(
            &["url_param", "urlp"],
            ARGS,
            "Values of a parameter; the first one. They begin behind the delimiter, `?` unless told \
             otherwise; `&`, `;` and the delimiter part them.",
            "url_param(id)",
        ),
        yields: Kind::Text,
        needs: Stage::Request,
        takes: Takes::NameDelimiter,
        suffixes: true,
        eval: Eval::Several {
            one: |ex, args, _| values(ex, args)?.next().map(text),
            each: |ex, args, visit| match values(ex, args) {
                Some(values) => values.map(text).try_for_each(visit),
                None => ControlFlow::Continue(()),
            },
        },
    },
    Fetch {
        spec: Spec::full(&["urlp_val"], ARGS, "The same as numbers; 0 for what is none.", "urlp_val(page)"),
        yields: Kind::Int,
        needs: Stage::Request,
        takes: Takes::NameDelimiter,
        suffixes: false,
        eval: Eval::Several {
            one: |ex, args, _| values(ex, args)?.next().map(number),
            each: |ex, args, visit| match values(ex, args) {
                Some(values) => values.map(number).try_for_each(visit),
                None => ControlFlow::Continue(()),
            },
        },
    },
];

fn number(value: &[u8]) -> Sample<'_> {
    Sample::Int(leading_number(value))
}

/// The values of a parameter in their order, of all of them if it has no name; `None` where none begin.
fn values<'x>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
) -> Option<impl Iterator<Item = &'x [u8]> + use<'x>> {
    let delimiter = args.delimiter.unwrap_or(b'?');
    let target = exchange.request.as_deref()?.target();
    let begin = memchr::memchr(delimiter, target)? + 1;
    let parts = target[begin..].split(move |b| matches!(b, b'&' | b';') || *b == delimiter);
    let name = args.text.as_bytes();
    Some(parts.filter_map(move |part| {
        if name.is_empty() {
            return memchr::memchr(b'=', part).map(|equal| &part[equal + 1..]);
        }
        part.strip_prefix(name)?.strip_prefix(b"=")
    }))
}
