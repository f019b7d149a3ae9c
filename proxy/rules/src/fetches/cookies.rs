//! Cookies of the request and of the response.

use std::ops::ControlFlow;

use proxy_lang::{Arg, Spec};
use proxy_wire::cookie;

use super::http::{head, text};
use super::{Eval, Fetch, FetchArgs, Takes, Visit};
use crate::sample::leading_number;
use crate::{Exchange, Kind, Sample, Stage, View};

const fn row(
    names: &'static [&'static str],
    doc: &'static str,
    example: &'static str,
    yields: Kind,
    needs: Stage,
    eval: Eval,
) -> Fetch {
    let suffixes = matches!(yields, Kind::Text);
    let spec = Spec::full(names, &[Arg::Rest("name")], doc, example);
    Fetch { spec, yields, needs, takes: Takes::Name, suffixes, eval }
}

const fn texts<const RESPONSE: bool>() -> Eval {
    Eval::Several { one: one_text::<RESPONSE>, each: each_text::<RESPONSE> }
}

const fn numbers<const RESPONSE: bool>() -> Eval {
    Eval::Several { one: one_number::<RESPONSE>, each: each_number::<RESPONSE> }
}

pub(super) const TABLE: &[Fetch] = &[
    row(
        &["cook", "req.cook", "cookie"],
        "Values of a request's cookie; the last one. Without a name those of all cookies; the first one.",
        "cook(SRV)",
        Kind::Text,
        Stage::Request,
        texts::<false>(),
    ),
    row(
        &["cook_cnt", "req.cook_cnt"],
        "How often a request's cookie stands there.",
        "cook_cnt(SRV)",
        Kind::Int,
        Stage::Request,
        Eval::One(count::<false>),
    ),
    row(
        &["cook_val", "req.cook_val"],
        "Values of a request's cookie as numbers; 0 for what is none.",
        "cook_val(visits)",
        Kind::Int,
        Stage::Request,
        numbers::<false>(),
    ),
    row(
        &["scook", "res.cook", "set-cookie"],
        "Values of a cookie that the response sets; the last one. Without a name the first of any.",
        "scook(SRV)",
        Kind::Text,
        Stage::Response,
        texts::<true>(),
    ),
    row(
        &["scook_cnt", "res.cook_cnt"],
        "How often the response sets a cookie.",
        "scook_cnt(SRV)",
        Kind::Int,
        Stage::Response,
        Eval::One(count::<true>),
    ),
    row(
        &["scook_val", "res.cook_val"],
        "Values of a cookie that the response sets as numbers; 0 for what is none.",
        "scook_val(visits)",
        Kind::Int,
        Stage::Response,
        numbers::<true>(),
    ),
];

fn visit<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    mut each: impl FnMut(&'x [u8]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Some(head) = head::<RESPONSE>(exchange) else { return ControlFlow::Continue(()) };
    let name = args.text.as_bytes();
    for field in head.values(if RESPONSE { b"set-cookie" } else { b"cookie" }) {
        if RESPONSE {
            cookie::set_value(field, name).map_or(ControlFlow::Continue(()), &mut each)?;
        } else {
            cookie::values(field, name).try_for_each(&mut each)?;
        }
    }
    ControlFlow::Continue(())
}

/// The last value; the first where no name says whose.
fn one<'x, const RESPONSE: bool>(exchange: &'x Exchange<'_>, args: &'x FetchArgs) -> Option<&'x [u8]> {
    let mut found = None;
    let _ = visit::<RESPONSE>(exchange, args, |value| {
        found = Some(value);
        if args.text.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    found
}

fn one_text<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    _: &dyn View,
) -> Option<Sample<'x>> {
    one::<RESPONSE>(exchange, args).map(text)
}

fn each_text<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    each: &mut Visit<'_, 'x>,
) -> ControlFlow<()> {
    visit::<RESPONSE>(exchange, args, |value| each(text(value)))
}

fn one_number<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    _: &dyn View,
) -> Option<Sample<'x>> {
    one::<RESPONSE>(exchange, args).map(|value| Sample::Int(leading_number(value)))
}

fn each_number<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    each: &mut Visit<'_, 'x>,
) -> ControlFlow<()> {
    visit::<RESPONSE>(exchange, args, |value| each(Sample::Int(leading_number(value))))
}

fn count<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    _: &dyn View,
) -> Option<Sample<'x>> {
    let mut count = 0;
    let _ = visit::<RESPONSE>(exchange, args, |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    Some(Sample::Int(count))
}
