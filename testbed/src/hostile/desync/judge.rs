//! What must hold of a case.

use super::exchange::Exchange;
use super::framing::{self, BODY, CONTENT, Case, Expect, is_head};
use super::public::{self, Class};
use super::strict::{self, Message, Side};

/// Where the public list is not followed as HAProxy does, on purpose: the name of the case, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("acceptable: Non-RFC, but OK HTTP/0.9", VERSIONS),
    ("acceptable: Unknown but OK HTTP/1.2", VERSIONS),
    ("bad-header-characters: Some-Header: \\x01value", CONTROLS),
    ("bad-header-characters: Some-Header: value\\x01", CONTROLS),
];
const VERSIONS: &str = "only HTTP/1.0 and HTTP/1.1 are spoken here";
const CONTROLS: &str = "control characters in values are refused: servers differ in what they make of them";

/// Why a case of the public list is treated otherwise than by HAProxy, if it is.
pub(super) fn difference(name: &str) -> Option<&'static str> {
    DIFFERENCES.iter().find(|(known, _)| *known == name).map(|(_, why)| *why)
}

/// What is wrong with the way a request of the public list was treated.
pub(super) fn public(case: &public::Case, ours: &Exchange, theirs: Option<&Exchange>) -> Option<String> {
    let theirs = theirs.map(Exchange::forwarded);
    match (case.class, ours.forwarded(), theirs) {
        (Class::Severe, true, _) => Some("a severe request is forwarded".to_owned()),
        (Class::Ambiguous, true, Some(false)) => {
            Some("an ambiguous request is forwarded that HAProxy refuses".to_owned())
        }
        (Class::Compliant | Class::Acceptable, ours, Some(theirs)) if ours != theirs => {
            let known = difference(&case.name).is_some();
            let did = |forwarded| if forwarded { "forwards" } else { "refuses" };
            (!known).then(|| format!("it {} it, and HAProxy {} it", did(ours), did(theirs)))
        }
        _ => None,
    }
}

/// What is wrong with the way a case of our own was treated.
pub(super) fn framing(case: &Case, ours: &Exchange, theirs: Option<&Exchange>) -> Option<String> {
    let status = status_of(&ours.answer);
    let outcome = match case.expect {
        Expect::Refused if ours.forwarded() => Err("it is forwarded".to_owned()),
        Expect::Refused => is_status(status, 400),
        Expect::AsHaproxy => theirs.map_or(Ok(()), |theirs| same(case, ours, theirs)),
        Expect::Status(expected) => is_status(status, expected),
        Expect::Sound => sound(case, ours).map(|_| ()),
        Expect::Delivered(expected) => is_status(status, expected).and_then(|()| delivered(case, ours)),
    };
    outcome.err()
}

fn status_of(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

fn is_status(status: Option<u16>, expected: u16) -> Result<(), String> {
    match status {
        Some(status) if status == expected => Ok(()),
        Some(status) => Err(format!("the status is {status} instead of {expected}")),
        None => Err(format!("nothing came instead of {expected}")),
    }
}

fn same(case: &Case, ours: &Exchange, theirs: &Exchange) -> Result<(), String> {
    if ours.forwarded() != theirs.forwarded() {
        let did = |exchange: &Exchange| if exchange.forwarded() { "forwarded" } else { "refused" };
        return Err(format!("it is {}, and by HAProxy {}", did(ours), did(theirs)));
    }
    let (our, their) = (status_of(&ours.answer), status_of(&theirs.answer));
    if our != their {
        return Err(format!("the status is {our:?}, and HAProxy's {their:?}"));
    }
    // What the original leaves ambiguous is asked of nobody.
    match sound(case, theirs) {
        Ok(_) => sound(case, ours).map(|_| ()),
        Err(_) => Ok(()),
    }
}

/// What both sides received, if it is well framed and nothing follows it.
fn sound(case: &Case, exchange: &Exchange) -> Result<(Option<Message>, Message), String> {
    let request = match exchange.arrived.as_slice() {
        [] => None,
        [bytes] => Some(alone("the server", strict::read(bytes, Side::Request))?),
        several => return Err(format!("the server received {} connections", several.len())),
    };
    let side = Side::Response { head: is_head(case) };
    let response = alone("the client", strict::read(&exchange.answer, side))?;
    Ok((request, response))
}

fn alone(who: &str, read: Result<Message, String>) -> Result<Message, String> {
    let message = read.map_err(|why| format!("{who} received {why}"))?;
    match message.rest.is_empty() {
        true => Ok(message),
        false => Err(format!("{who} received behind the message '{}'", message.rest.escape_ascii())),
    }
}

fn delivered(case: &Case, exchange: &Exchange) -> Result<(), String> {
    let (request, response) = sound(case, exchange)?;
    let request = request.ok_or("nothing reached the server")?;
    let sent: &[u8] = if case.request.contains("hello") { BODY } else { b"" };
    if request.body != sent {
        return Err(format!("the server received the body '{}'", request.body.escape_ascii()));
    }
    if response.body != CONTENT {
        return Err(format!("the client received the body '{}'", response.body.escape_ascii()));
    }
    debug_assert!(case.answer.contains("okay"), "{}", framing::OK);
    Ok(())
}
