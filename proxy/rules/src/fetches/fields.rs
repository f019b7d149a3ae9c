//! Fields of the request's and the response's head. `hdr` sees each item of a list, `fhdr` each line as it
//! is.

use std::borrow::Cow;
use std::ops::ControlFlow;

use proxy_lang::{Arg, Spec};
use proxy_wire::h1::Head;
use proxy_wire::list;

use super::http::{head, text};
use super::{Each, Eval, Fetch, FetchArgs, One, Takes};
use crate::sample::{address, leading_number};
use crate::{Exchange, Kind, Sample, Stage, View};

const ARGS: &[Arg] = &[Arg::Rest("name,occurrence")];
const NAME: &[Arg] = &[Arg::Rest("name")];

const fn several(
    names: &'static [&'static str],
    doc: &'static str,
    example: &'static str,
    kinds: (Kind, Stage),
    suffixes: bool,
    (one, each): (One, Each),
) -> Fetch {
    Fetch {
        spec: Spec::full(names, ARGS, doc, example),
        yields: kinds.0,
        needs: kinds.1,
        takes: Takes::NameOccurrence,
        suffixes,
        eval: Eval::Several { one, each },
    }
}

const fn single(
    names: &'static [&'static str],
    args: (&'static [Arg], Takes),
    doc: &'static str,
    example: &'static str,
    kinds: (Kind, Stage),
    one: One,
) -> Fetch {
    Fetch {
        spec: Spec::full(names, args.0, doc, example),
        yields: kinds.0,
        needs: kinds.1,
        takes: args.1,
        suffixes: false,
        eval: Eval::One(one),
    }
}

const COUNT: (&[Arg], Takes) = (NAME, Takes::Name);
const DELIMITER: (&[Arg], Takes) = (&[Arg::Rest("delimiter")], Takes::Delimiter);

pub(super) const TABLE: &[Fetch] = &[
    several(
        &["hdr", "req.hdr"],
        "Values of a request's header, which commas part; the last one, or that of an occurrence.",
        "hdr(host)",
        (Kind::Text, Stage::Request),
        true,
        (one_text::<false, false>, each_text::<false, false>),
    ),
    several(
        &["req.fhdr"],
        "Lines of a request's header, whole; the last one, or that of an occurrence.",
        "req.fhdr(user-agent)",
        (Kind::Text, Stage::Request),
        false,
        (one_text::<false, true>, each_text::<false, true>),
    ),
    single(
        &["hdr_cnt", "req.hdr_cnt"],
        COUNT,
        "How many values a request's header has.",
        "hdr_cnt(cookie)",
        (Kind::Int, Stage::Request),
        count::<false, false>,
    ),
    single(
        &["req.fhdr_cnt"],
        COUNT,
        "How many lines a request's header has.",
        "req.fhdr_cnt(cookie)",
        (Kind::Int, Stage::Request),
        count::<false, true>,
    ),
    several(
        &["hdr_ip", "req.hdr_ip"],
        "Values of a request's header as addresses; a port behind an IPv4 address is left out.",
        "hdr_ip(x-forwarded-for)",
        (Kind::Addr, Stage::Request),
        false,
        (one_address::<false>, each_address::<false>),
    ),
    several(
        &["hdr_val", "req.hdr_val"],
        "Values of a request's header as numbers; 0 for what is none.",
        "hdr_val(content-length)",
        (Kind::Int, Stage::Request),
        false,
        (one_number::<false>, each_number::<false>),
    ),
    single(
        &["req.hdr_names"],
        DELIMITER,
        "The names of a request's headers, joined by commas or by another byte.",
        "req.hdr_names",
        (Kind::Text, Stage::Request),
        names::<false>,
    ),
    several(
        &["res.hdr", "shdr"],
        "Values of a response's header, which commas part; the last one, or that of an occurrence.",
        "res.hdr(server)",
        (Kind::Text, Stage::Response),
        true,
        (one_text::<true, false>, each_text::<true, false>),
    ),
    several(
        &["res.fhdr"],
        "Lines of a response's header, whole; the last one, or that of an occurrence.",
        "res.fhdr(set-cookie)",
        (Kind::Text, Stage::Response),
        false,
        (one_text::<true, true>, each_text::<true, true>),
    ),
    single(
        &["res.hdr_cnt", "shdr_cnt"],
        COUNT,
        "How many values a response's header has.",
        "res.hdr_cnt(via)",
        (Kind::Int, Stage::Response),
        count::<true, false>,
    ),
    single(
        &["res.fhdr_cnt"],
        COUNT,
        "How many lines a response's header has.",
        "res.fhdr_cnt(set-cookie)",
        (Kind::Int, Stage::Response),
        count::<true, true>,
    ),
    several(
        &["res.hdr_ip", "shdr_ip"],
        "Values of a response's header as addresses; a port behind an IPv4 address is left out.",
        "res.hdr_ip(x-server)",
        (Kind::Addr, Stage::Response),
        false,
        (one_address::<true>, each_address::<true>),
    ),
    several(
        &["res.hdr_val", "shdr_val"],
        "Values of a response's header as numbers; 0 for what is none.",
        "res.hdr_val(content-length)",
        (Kind::Int, Stage::Response),
        false,
        (one_number::<true>, each_number::<true>),
    ),
    single(
        &["res.hdr_names"],
        DELIMITER,
        "The names of a response's headers, joined by commas or by another byte.",
        "res.hdr_names",
        (Kind::Text, Stage::Response),
        names::<true>,
    ),
];

/// Hands over the lines of a field, or their items; those of every field if no name is given.
fn visit<'x>(
    head: &'x Head,
    name: &[u8],
    whole: bool,
    mut each: impl FnMut(&'x [u8]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for (known, value) in head.fields() {
        if !name.is_empty() && !known.eq_ignore_ascii_case(name) {
            continue;
        }
        if whole {
            each(value)?;
        } else {
            list::items(value).try_for_each(&mut each)?;
        }
    }
    ControlFlow::Continue(())
}

/// The value at an occurrence other than 0.
fn at<'x>(head: &'x Head, name: &[u8], whole: bool, occurrence: i32) -> Option<&'x [u8]> {
    let mut skip = occurrence.unsigned_abs();
    if occurrence < 0 {
        let count = tally(head, name, whole);
        skip = count.checked_sub(skip)? + 1;
    }
    let mut found = None;
    let _ = visit(head, name, whole, |value| {
        skip -= 1;
        if skip > 0 {
            return ControlFlow::Continue(());
        }
        found = Some(value);
        ControlFlow::Break(())
    });
    found
}

fn tally(head: &Head, name: &[u8], whole: bool) -> u32 {
    let mut count = 0;
    let _ = visit(head, name, whole, |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    count
}

/// The value that stands for all: that of the occurrence asked for, else the last.
fn one<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &FetchArgs,
    whole: bool,
) -> Option<&'x [u8]> {
    let head = head::<RESPONSE>(exchange)?;
    if args.occurrence != 0 {
        return at(head, args.text.as_bytes(), whole, args.occurrence);
    }
    let mut last = None;
    let _ = visit(head, args.text.as_bytes(), whole, |value| {
        last = Some(value);
        ControlFlow::Continue(())
    });
    last
}

/// Hands over each value; that of the occurrence alone if one is asked for.
fn every<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &FetchArgs,
    whole: bool,
    mut each: impl FnMut(&'x [u8]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Some(head) = head::<RESPONSE>(exchange) else { return ControlFlow::Continue(()) };
    if args.occurrence != 0 {
        return at(head, args.text.as_bytes(), whole, args.occurrence)
            .map_or(ControlFlow::Continue(()), each);
    }
    visit(head, args.text.as_bytes(), whole, &mut each)
}

fn one_text<'x, const RESPONSE: bool, const WHOLE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    _: &dyn View,
) -> Option<Sample<'x>> {
    one::<RESPONSE>(exchange, args, WHOLE).map(text)
}

fn each_text<'x, const RESPONSE: bool, const WHOLE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    visit: &mut super::Visit<'_, 'x>,
) -> ControlFlow<()> {
    every::<RESPONSE>(exchange, args, WHOLE, |value| visit(text(value)))
}

fn one_number<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    _: &dyn View,
) -> Option<Sample<'x>> {
    one::<RESPONSE>(exchange, args, false).map(|value| Sample::Int(leading_number(value)))
}

fn each_number<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    visit: &mut super::Visit<'_, 'x>,
) -> ControlFlow<()> {
    every::<RESPONSE>(exchange, args, false, |value| visit(Sample::Int(leading_number(value))))
}

fn one_address<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    _: &dyn View,
) -> Option<Sample<'x>> {
    one::<RESPONSE>(exchange, args, false).and_then(address).map(Sample::Addr)
}

fn each_address<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    visit: &mut super::Visit<'_, 'x>,
) -> ControlFlow<()> {
    every::<RESPONSE>(exchange, args, false, |value| match address(value) {
        Some(address) => visit(Sample::Addr(address)),
        None => ControlFlow::Continue(()),
    })
}

fn count<'x, const RESPONSE: bool, const WHOLE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    _: &dyn View,
) -> Option<Sample<'x>> {
    let head = head::<RESPONSE>(exchange)?;
    Some(Sample::Int(i64::from(tally(head, args.text.as_bytes(), WHOLE))))
}

fn names<'x, const RESPONSE: bool>(
    exchange: &'x Exchange<'_>,
    args: &'x FetchArgs,
    _: &dyn View,
) -> Option<Sample<'x>> {
    let names: Vec<&[u8]> = head::<RESPONSE>(exchange)?.fields().map(|(name, _)| name).collect();
    Some(Sample::Text(Cow::Owned(names.join(&args.delimiter.unwrap_or(b',')))))
}
