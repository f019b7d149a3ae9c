//! Reading a head. The scanning is httparse's; what a proxy must refuse beyond it is refused here:
//! bare line feeds, ambiguous lengths, several hosts.

use std::mem::MaybeUninit;

use super::head::{Field, Head, Method, Steering, Version};
use super::refusal::Refusal;

/// Most fields of one head, as HAProxy's `tune.http.maxhdr`.
pub(super) const MAX_FIELDS: usize = 101;
/// Most empty lines tolerated before a request (RFC 9112 2.2).
const MAX_LEADING_LINES: usize = 4;

/// Bounds on a head.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes, line ends included: HAProxy's buffer less what it keeps for rewriting.
    pub max_head: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_head: 16_384 - 1_024 }
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
    let bytes = &bytes[skipped..];
    let mut storage = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let used = match request.parse_with_uninit_headers(bytes, &mut storage) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return partial(bytes, limits),
        Err(error) => return Err(refusal(error)),
    };
    if used > limits.max_head {
        return Err(Refusal::HeadTooLarge);
    }
    check_line_ends(&bytes[..used])?;
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Refusal::StartLine);
    };
    head.clear();
    head.version = version_of(version)?;
    head.method = head.append_clean(method.as_bytes());
    head.method_kind = Method::of(method.as_bytes());
    check_target(target.as_bytes(), head.method_kind)?;
    head.target = head.append_clean(target.as_bytes());
    let hosts = fields(head, &bytes[..used], request.headers)?;
    if hosts > 1 {
        return Err(Refusal::Host);
    }
    if head.steering.chunked {
        if head.version == Version::Http10 {
            return Err(Refusal::TransferEncoding);
        }
        drop_length(head);
    }
    Ok(Parsed::Complete(skipped + used))
}

/// Reads a response's head; an interim response is one too.
///
/// # Errors
/// The bytes can never become an acceptable response.
pub fn parse_response(bytes: &[u8], limits: &Limits, head: &mut Head) -> Result<Parsed, Refusal> {
    let mut storage = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let used = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut storage) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return partial(bytes, limits),
        Err(error) => return Err(refusal(error)),
    };
    check_line_ends(&bytes[..used])?;
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err(Refusal::StartLine);
    };
    head.clear();
    head.version = version_of(version)?;
    head.status = status;
    head.reason = head.append_clean(response.reason.unwrap_or("").as_bytes());
    fields(head, &bytes[..used], response.headers)?;
    if head.steering.chunked {
        drop_length(head);
    }
    Ok(Parsed::Complete(used))
}

fn partial(bytes: &[u8], limits: &Limits) -> Result<Parsed, Refusal> {
    if bytes.len() > limits.max_head { Err(Refusal::HeadTooLarge) } else { Ok(Parsed::Partial) }
}

fn refusal(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine => {
            Refusal::Header
        }
        httparse::Error::Token => Refusal::StartLine,
        httparse::Error::TooManyHeaders => Refusal::TooManyFields,
        httparse::Error::Version => Refusal::Version,
        httparse::Error::Status => Refusal::StartLine,
    }
}

fn version_of(minor: u8) -> Result<Version, Refusal> {
    match minor {
        0 => Ok(Version::Http10),
        1 => Ok(Version::Http11),
        _ => Err(Refusal::Version),
    }
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

/// httparse takes a bare line feed for a line end; what one hop takes and the next does not is how
/// requests are smuggled.
fn check_line_ends(head: &[u8]) -> Result<(), Refusal> {
    // Every byte is looked at, without a branch: the compiler makes one look of many.
    let mut bare = u8::from(head.first() == Some(&b'\n'));
    for (before, byte) in head.iter().zip(head.get(1..).unwrap_or_default()) {
        bare |= u8::from(*byte == b'\n') & u8::from(*before != b'\r');
    }
    if bare == 0 { Ok(()) } else { Err(Refusal::Header) }
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub(super) fn is_target_byte(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && byte.is_ascii()
}

fn check_target(target: &[u8], method: Method) -> Result<(), Refusal> {
    let fits = match target.first() {
        Some(b'/') => method != Method::Connect,
        Some(b'*') => target.len() == 1 && method == Method::Options,
        Some(_) if method == Method::Connect => !target.contains(&b'/'),
        Some(_) => target.windows(3).any(|w| w == b"://"),
        None => false,
    };
    if fits && target.iter().all(|b| is_target_byte(*b)) { Ok(()) } else { Err(Refusal::Target) }
}

/// Copies the fields, all of them in one go, and reads those that steer the connection. Returns the
/// number of hosts that differ. `bytes` is what the fields were found in.
fn fields(head: &mut Head, bytes: &[u8], parsed: &[httparse::Header<'_>]) -> Result<usize, Refusal> {
    let mut hosts: usize = 0;
    let Some(first) = parsed.first() else { return Ok(hosts) };
    let place = |part: &[u8]| part.as_ptr() as usize - bytes.as_ptr() as usize;
    let begin = place(first.name.as_bytes());
    let base = head.append_clean(bytes.get(begin..).unwrap_or_default());
    head.fields.reserve(parsed.len());
    for parsed in parsed {
        let value = trim(parsed.value);
        let name = base.part(place(parsed.name.as_bytes()) - begin, parsed.name.len());
        // An empty value may point anywhere.
        let at = if value.is_empty() { 0 } else { place(value) - begin };
        let value_span = base.part(at, value.len());
        let field = Field::new(name, value_span, &head.text);
        head.lower(name);
        let mut is_host = false;
        if STEERING_LENGTHS & 1 << parsed.name.len().min(31) != 0 {
            let Head { text, steering, .. } = &mut *head;
            is_host = steer(steering, field.name.of(text), value)?;
            head.note_hop(field.name);
        }
        if is_host {
            match head.first(b"host") {
                Some(known) if known == value => continue,
                Some(_) => {
                    hosts += 1;
                    continue;
                }
                None => hosts += 1,
            }
        }
        head.fields.push(field);
    }
    Ok(hosts)
}

/// Lengths of the names that steer a connection, a bit for each: `host`, `expect`, `upgrade`,
/// `connection` and `keep-alive`, `content-length`, `proxy-connection`, `transfer-encoding`.
const STEERING_LENGTHS: u32 = 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 14 | 1 << 16 | 1 << 17;

/// Notes what a field says about the connection; says whether it is a Host.
fn steer(steering: &mut Steering, name: &[u8], value: &[u8]) -> Result<bool, Refusal> {
    match name {
        b"host" => return Ok(true),
        b"content-length" => {
            let list = value.contains(&b',');
            for part in value.split(|b| list && *b == b',') {
                let length = length(trim(part))?;
                if steering.content_length.is_some_and(|known| known != length) {
                    return Err(Refusal::ContentLength);
                }
                steering.content_length = Some(length);
            }
        }
        b"transfer-encoding" => {
            if steering.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::TransferEncoding);
            }
            steering.chunked = true;
        }
        b"connection" => {
            for option in value.split(|b| *b == b',').map(trim) {
                steering.close |= option.eq_ignore_ascii_case(b"close");
                steering.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                steering.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            }
        }
        b"upgrade" => steering.upgrade_field = true,
        b"expect" => steering.expect_continue |= value.eq_ignore_ascii_case(b"100-continue"),
        _ => {}
    }
    Ok(false)
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

fn trim(value: &[u8]) -> &[u8] {
    match value {
        // As nearly every value is.
        [first, .., last] if *first > b' ' && *last > b' ' => value,
        _ => value.trim_ascii(),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
