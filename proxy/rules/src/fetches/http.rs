//! The first lines of the request and the response: method, target and its parts, version, status.

use std::borrow::Cow;
use std::net::IpAddr;

use proxy_lang::Spec;
use proxy_wire::h1::{Head, Version};
use proxy_wire::list;

use super::{Eval, Fetch, One, Takes};
use crate::sample::ipv4;
use crate::{Exchange, Kind, Sample, Stage};

/// A value as it stands in a head.
pub(super) fn text(bytes: &[u8]) -> Sample<'_> {
    Sample::Text(Cow::Borrowed(bytes))
}

/// The head of the request, or of the response.
pub(super) fn head<'x, const RESPONSE: bool>(exchange: &'x Exchange<'_>) -> Option<&'x Head> {
    if RESPONSE { exchange.response.as_deref() } else { exchange.request.as_deref() }
}

const fn row(
    names: &'static [&'static str],
    doc: &'static str,
    yields: Kind,
    needs: Stage,
    suffixes: bool,
    eval: One,
) -> Fetch {
    Fetch {
        spec: Spec::full(names, &[], doc, names[0]),
        yields,
        needs,
        takes: Takes::Nothing,
        suffixes,
        eval: Eval::One(eval),
    }
}

pub(super) const TABLE: &[Fetch] = &[
    row(&["method"], "The request's method.", Kind::Text, Stage::Request, false, |ex, _, _| {
        Some(text(ex.request.as_deref()?.method()))
    }),
    row(
        &["path"],
        "The request's path, without the query; nothing where the target has none, as `*`.",
        Kind::Text,
        Stage::Request,
        true,
        |ex, _, _| not_empty(ex.request.as_deref()?.path()),
    ),
    row(&["pathq"], "The request's path with the query.", Kind::Text, Stage::Request, false, |ex, _, _| {
        not_empty(ex.request.as_deref()?.path_and_query())
    }),
    row(
        &["query"],
        "What follows the first question mark; nothing where there is none.",
        Kind::Text,
        Stage::Request,
        false,
        |ex, _, _| ex.request.as_deref()?.query().map(text),
    ),
    row(&["url"], "The request's target as it was sent.", Kind::Text, Stage::Request, true, |ex, _, _| {
        Some(text(ex.request.as_deref()?.target()))
    }),
    row(&["base"], "The host and the path, joined.", Kind::Text, Stage::Request, true, |ex, _, _| {
        let head = ex.request.as_deref()?;
        joined(head, head.path())
    }),
    row(
        &["baseq"],
        "The host and the path with the query, joined.",
        Kind::Text,
        Stage::Request,
        false,
        |ex, _, _| {
            let head = ex.request.as_deref()?;
            joined(head, head.path_and_query())
        },
    ),
    row(
        &["url_ip"],
        "The IPv4 address that the target names as its server.",
        Kind::Addr,
        Stage::Request,
        false,
        |ex, _, _| server_of(ex.request.as_deref()?).map(|(address, _)| Sample::Addr(address)),
    ),
    row(
        &["url_port"],
        "The port behind the address that the target names as its server.",
        Kind::Int,
        Stage::Request,
        false,
        |ex, _, _| server_of(ex.request.as_deref()?).map(|(_, port)| Sample::Int(i64::from(port))),
    ),
    row(
        &["req.ver", "req_ver"],
        "The request's version, as 1.1.",
        Kind::Text,
        Stage::Request,
        false,
        |ex, _, _| Some(version(ex.request.as_deref()?)),
    ),
    row(&["status"], "The response's status.", Kind::Int, Stage::Response, false, |ex, _, _| {
        Some(Sample::Int(i64::from(ex.response.as_deref()?.status())))
    }),
    row(
        &["res.ver", "resp_ver"],
        "The response's version, as 1.1.",
        Kind::Text,
        Stage::Response,
        false,
        |ex, _, _| Some(version(ex.response.as_deref()?)),
    ),
];

fn not_empty(bytes: &[u8]) -> Option<Sample<'_>> {
    (!bytes.is_empty()).then(|| text(bytes))
}

/// The first host and what follows it.
fn joined<'x>(head: &'x Head, rest: &'x [u8]) -> Option<Sample<'x>> {
    match head.host().and_then(|host| list::items(host).next()) {
        Some(host) => Some(Sample::Text(Cow::Owned([host, rest].concat()))),
        None => not_empty(rest),
    }
}

/// The server that the target names, if it does so by an IPv4 address.
fn server_of(head: &Head) -> Option<(IpAddr, u16)> {
    let (address, rest) = ipv4(head.authority()?)?;
    let port = match rest.strip_prefix(b":") {
        Some(port) => std::str::from_utf8(port).ok()?.parse().ok()?,
        None if head.target().get(..6)?.eq_ignore_ascii_case(b"https:") => 443,
        None => 80,
    };
    Some((address.into(), port))
}

fn version(head: &Head) -> Sample<'static> {
    Sample::Text(Cow::Borrowed(match head.version() {
        Version::Http10 => b"1.0",
        Version::Http11 => b"1.1",
    }))
}
