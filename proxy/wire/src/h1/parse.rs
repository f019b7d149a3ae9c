//! Reading a head: one pass finds the places of everything, one copies it, one reads what steers the
//! connection. Refused is what another hop might understand in another way: bare line feeds, ambiguous
//! lengths, several hosts.

use super::head::{Field, Head, Method, Role, Span, Steering, Version};
use super::refusal::Refusal;
use super::scan::{self, is_target_byte, token_end};
use super::target;

/// Most empty lines tolerated before a request (RFC 9112 2.2).
const MAX_LEADING_LINES: usize = 4;

/// Bounds on a head.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes, line ends included: HAProxy's buffer less what it keeps for rewriting.
    pub max_head: usize,
    /// Most fields.
    pub max_fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_head: 16_384 - 1_024, max_fields: scan::MAX_FIELDS }
    }
}

/// How far reading came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head is complete and took so many bytes.
    Complete(usize),
    /// More bytes are needed.
    Partial,
}

/// Reads a request's head.
///
/// # Errors
/// The bytes can never become an acceptable request.
pub fn parse_request(bytes: &[u8], limits: &Limits, head: &mut Head) -> Result<Parsed, Refusal> {
    let skipped = leading_lines(bytes)?;
    let parsed = read(&bytes[skipped..], limits, head, begins_request, request_line)?;
    if head.steering.chunked {
        if head.version == Version::Http10 {
            return Err(Refusal::TransferEncoding);
        }
        drop_length(head);
    }
    if head.upgrade() && is_websocket(head) && head.first(b"sec-websocket-key").is_none() {
        return Err(Refusal::Header);
    }
    if matches!(parsed, Parsed::Complete(_)) && head.target().first() != Some(&b'/') {
        agree(head)?;
    }
    Ok(match parsed {
        Parsed::Complete(used) => Parsed::Complete(skipped + used),
        Parsed::Partial => Parsed::Partial,
    })
}

/// Whether the switch is one to WebSocket, which has a key in its request and an answer to it (RFC 6455 4.1, 4.2.2).
fn is_websocket(head: &Head) -> bool {
    head.values(b"upgrade").any(|value| {
        value.split(|b| *b == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    })
}

/// Bytes that are looked at first: what follows most heads in a buffer is their body.
const FIRST_LOOK: usize = 1_024;

/// Copies what may be a head and finds everything in the copy.
fn read(
    bytes: &[u8],
    limits: &Limits,
    head: &mut Head,
    begins: fn(&[u8]) -> bool,
    first_line: fn(&[u8], &mut Head) -> Result<(), Refusal>,
) -> Result<Parsed, Refusal> {
    let most = bytes.len().min(limits.max_head);
    for look in [most.min(FIRST_LOOK), most] {
        head.clear();
        let bytes = &bytes[..look];
        match scan::line(bytes, 0)? {
            None if !begins(bytes) => return Err(Refusal::StartLine),
            None => {}
            Some((line, next)) => {
                first_line(line, head)?;
                head.text.extend_from_slice(bytes);
                if let Some(used) = scan::fields(&mut head.text, next, &mut head.fields, limits.max_fields)? {
                    head.text.truncate(used);
                    return steering(head).map(|()| Parsed::Complete(used));
                }
            }
        }
        if look == most {
            break;
        }
    }
    if bytes.len() > limits.max_head {
        Err(Refusal::HeadTooLarge)
    } else if scan::is_sound(bytes) {
        Ok(Parsed::Partial)
    } else {
        Err(Refusal::Header)
    }
}

fn begins_request(bytes: &[u8]) -> bool {
    let method = token_end(bytes);
    method == bytes.len() || (method > 0 && bytes[method] == b' ') || bytes == b"\r"
}

fn request_line(line: &[u8], head: &mut Head) -> Result<(), Refusal> {
    let method = token_end(line);
    if method == 0 || line.get(method) != Some(&b' ') {
        return Err(Refusal::StartLine);
    }
    let rest = &line[method + 1..];
    let target = rest.iter().position(|b| !is_target_byte(*b)).unwrap_or(rest.len());
    let version = match &rest[target..] {
        b" HTTP/1.1" => Version::Http11,
        b" HTTP/1.0" => Version::Http10,
        [] | [b' ', ..] => return Err(Refusal::Version),
        _ => return Err(Refusal::Target),
    };
    head.version = version;
    head.method = Span::new(0, method);
    head.method_kind = Method::of(&line[..method]);
    head.steering.head_only = head.method_kind == Method::Head;
    head.target = Span::new(method + 1, method + 1 + target);
    if target::fits(&rest[..target], &line[..method]) { Ok(()) } else { Err(Refusal::Target) }
}

/// Reads a response's head; an interim response is one too.
///
/// # Errors
/// The bytes can never become an acceptable response.
pub fn parse_response(bytes: &[u8], limits: &Limits, head: &mut Head) -> Result<Parsed, Refusal> {
    let parsed = read(bytes, limits, head, begins_response, status_line)?;
    if head.status == 101
        && head.upgrade()
        && is_websocket(head)
        && head.first(b"sec-websocket-accept").is_none()
    {
        return Err(Refusal::Header);
    }
    if head.steering.chunked {
        drop_length(head);
    }
    Ok(parsed)
}

fn begins_response(bytes: &[u8]) -> bool {
    let begin = bytes.len().min(RESPONSE.len());
    bytes[..begin] == RESPONSE[..begin]
}

/// How every response of this version begins.
const RESPONSE: &[u8] = b"HTTP/1.";

fn status_line(line: &[u8], head: &mut Head) -> Result<(), Refusal> {
    let rest = line.strip_prefix(RESPONSE).ok_or(Refusal::StartLine)?;
    let ([version, b' ', status @ ..], true) = (rest, rest.len() >= 5) else {
        return Err(Refusal::StartLine);
    };
    head.version = match version {
        b'0' => Version::Http10,
        b'1' => Version::Http11,
        _ => return Err(Refusal::Version),
    };
    let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..] = status else {
        return Err(Refusal::StartLine);
    };
    head.status = [a, b, c].iter().fold(0, |number, digit| number * 10 + u16::from(**digit - b'0'));
    let begin = line.len() - reason.len();
    match reason {
        [] => {}
        [b' ', ..] => head.reason = Span::new(begin + 1, line.len()),
        _ => return Err(Refusal::StartLine),
    }
    Ok(())
}

/// Reads the fields of a complete head that steer the connection.
fn steering(head: &mut Head) -> Result<(), Refusal> {
    let Head { text, fields, steering, status, .. } = &mut *head;
    if !scan::is_sound(text) {
        return Err(Refusal::Header);
    }
    let (mut hosts, mut lengths, mut listed) = (0, 0, false);
    for field in fields {
        if STEERING_LENGTHS & 1 << field.name.length().min(31) != 0 {
            let (name, value) = (field.name.of(text), field.value.of(text));
            hosts += usize::from(name == b"host");
            if name == b"content-length" {
                lengths += 1;
                listed |= value.contains(&b',');
                // A list in one field is a message that somebody has put together already: no client means it, and a
                // request is refused (RFC 9112 6.3).
                if listed && *status == 0 {
                    return Err(Refusal::ContentLength);
                }
            }
            field.role = steer(steering, name, value)?;
        }
    }
    if lengths > 1 {
        // They say the same, and are one to everybody behind the parser.
        let (mut seen, text) = (false, &head.text);
        let is_length = |field: &Field| field.name.of(text) == b"content-length";
        head.fields.retain(|field| !is_length(field) || !std::mem::replace(&mut seen, true));
    }
    if listed {
        one_length(head);
    }
    leave_out(head);
    if hosts > 1 { one_host(head) } else { Ok(()) }
}

/// A list of lengths that say the same (in a response) is one number to everybody behind the parser.
fn one_length(head: &mut Head) {
    let is_list = |f: &Field| f.role == Role::Left && f.name.of(&head.text) == b"content-length";
    if let (Some(place), Some(length)) = (head.fields.iter().position(is_list), head.steering.content_length)
    {
        head.set_value(place, Some(length.to_string().as_bytes()));
        head.fields[place].role = Role::Length;
    }
}

/// Marks received fields that are for one hop only because a Connection field names them (RFC 9110 7.6.1).
/// Fields that frame or route the message cannot be taken away so, nor those that only steer this engine.
fn leave_out(head: &mut Head) {
    let Head { text, fields, steering, .. } = &mut *head;
    let switches = steering.upgrade && steering.upgrade_field;
    if steering.upgrade_field && !switches {
        for field in fields.iter_mut().filter(|f| f.name.of(text) == b"upgrade") {
            field.role = Role::Left;
        }
    }
    if !steering.names_options {
        return;
    }
    let named: Vec<Span> = fields
        .iter()
        .filter(|field| field.name.of(text) == b"connection")
        .flat_map(|field| options(field.value, text))
        .collect();
    for field in fields.iter_mut().filter(|f| !KEPT.contains(&f.name.of(text))) {
        if named.iter().any(|option| option.of(text).eq_ignore_ascii_case(field.name.of(text))) {
            field.role = Role::Left;
        }
    }
}

/// Fields that stay although a Connection field names them.
const KEPT: [&[u8]; 5] = [b"content-length", b"transfer-encoding", b"host", b"upgrade", b"trailer"];

/// The options of one Connection field.
fn options(value: Span, text: &[u8]) -> impl Iterator<Item = Span> {
    let mut at = value.start as usize;
    value.of(text).split(|b| *b == b',').map(move |part| {
        let begin = at + part.len() - part.trim_ascii_start().len();
        at += part.len() + 1;
        Span::new(begin, begin + part.trim_ascii().len())
    })
}

/// Several hosts that say the same are one; others are refused.
fn one_host(head: &mut Head) -> Result<(), Refusal> {
    let host = head.host().unwrap_or_default().to_vec();
    if head.values(b"host").any(|other| !other.eq_ignore_ascii_case(&host)) {
        return Err(Refusal::Host);
    }
    let (mut seen, text) = (false, &head.text);
    head.fields.retain(|field| field.name.of(text) != b"host" || !std::mem::replace(&mut seen, true));
    Ok(())
}

/// Makes a request whose target names a server agree with its Host field, or refuses it: rules look at the one,
/// servers at the other (RFC 9112 3.2.2). A port that is the scheme's own goes; a Host field that is missing is
/// written from the target.
fn agree(head: &mut Head) -> Result<(), Refusal> {
    let target = head.target();
    let (scheme, authority, rest) = match target::absolute(target) {
        Some(parts) => (Some(parts.scheme), parts.authority, parts.rest),
        None if head.method_kind() == Method::Connect => (None, target, &b""[..]),
        None => return Ok(()),
    };
    let name = target::short(authority, scheme).to_vec();
    let host = match head.host() {
        None => None,
        Some(host) if host.eq_ignore_ascii_case(authority) => Some(name.len() < host.len()),
        Some(host) if target::short(host, scheme).eq_ignore_ascii_case(&name) => Some(false),
        Some(_) => return Err(Refusal::Host),
    };
    let whole = match scheme {
        Some(scheme) if name.len() < authority.len() => Some([scheme, b"://", &name, rest].concat()),
        _ => None,
    };
    match host {
        None => head.add_clean(b"host", &name),
        Some(true) => head.set_host(&name),
        Some(false) => {}
    }
    if let Some(whole) = whole {
        head.target = head.append_clean(&whole);
    }
    Ok(())
}

fn leading_lines(bytes: &[u8]) -> Result<usize, Refusal> {
    let mut skipped = 0;
    while bytes[skipped..].starts_with(b"\r\n") {
        skipped += 2;
        if skipped > 2 * MAX_LEADING_LINES {
            return Err(Refusal::StartLine);
        }
    }
    Ok(skipped)
}

/// Lengths of the names that steer a connection, a bit for each: `host`, `expect`, `upgrade`,
/// `connection` and `keep-alive`, `content-length`, `proxy-connection`, `transfer-encoding`.
const STEERING_LENGTHS: u32 = 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 14 | 1 << 16 | 1 << 17;

/// Notes what a field says about the connection, and what becomes of it.
fn steer(steering: &mut Steering, name: &[u8], value: &[u8]) -> Result<Role, Refusal> {
    match name {
        b"content-length" => {
            if steering.content_length.is_none()
                && let Ok(length) = length(value)
            {
                steering.content_length = Some(length);
                return Ok(Role::Length);
            }
            for part in value.split(|b| *b == b',') {
                let length = length(part.trim_ascii())?;
                if steering.content_length.is_some_and(|known| known != length) {
                    return Err(Refusal::ContentLength);
                }
                steering.content_length = Some(length);
            }
            return Ok(Role::Left);
        }
        b"transfer-encoding" => {
            if steering.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::TransferEncoding);
            }
            steering.chunked = true;
            // Written otherwise, it is written anew: servers exist that know one spelling.
            return Ok(if value == b"chunked" { Role::Coding } else { Role::Left });
        }
        b"connection" => {
            for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                steering.close |= option.eq_ignore_ascii_case(b"close");
                steering.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                steering.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            }
            steering.names_options |= !is_usual(value);
            let switches = value.eq_ignore_ascii_case(b"upgrade");
            return Ok(if switches { Role::Switch } else { Role::Left });
        }
        b"keep-alive" | b"proxy-connection" => return Ok(Role::Left),
        b"upgrade" => steering.upgrade_field = true,
        b"expect" => steering.expect_continue |= value.eq_ignore_ascii_case(b"100-continue"),
        _ => {}
    }
    Ok(Role::Plain)
}

/// Whether a Connection field names no other field.
fn is_usual(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

fn length(digits: &[u8]) -> Result<u64, Refusal> {
    if digits.is_empty() || digits.len() > 19 {
        return Err(Refusal::ContentLength);
    }
    let mut number = 0;
    for digit in digits {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return Err(Refusal::ContentLength);
        }
        number = number * 10 + u64::from(value);
    }
    Ok(number)
}

/// Transfer-Encoding overrides Content-Length (RFC 9112 6.3): the length goes, and so does the
/// connection after this message.
fn drop_length(head: &mut Head) {
    if head.steering.content_length.take().is_some() {
        head.remove(b"content-length");
        head.steering.close = true;
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
