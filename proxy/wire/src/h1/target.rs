//! Request targets (RFC 9112 3.2): their forms, the parts of one, and how bytes that may not stand in one are
//! written.

/// The method whose target is an authority alone. Methods are case-sensitive (RFC 9110 9.1).
const CONNECT: &[u8] = b"CONNECT";
/// Longest port of an authority; zeros before it are part of it.
const MAX_PORT_DIGITS: usize = 5;

/// The parts of a target in absolute form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Absolute<'t> {
    pub(super) scheme: &'t [u8],
    pub(super) authority: &'t [u8],
    /// From the first slash or question mark on; may be empty.
    pub(super) rest: &'t [u8],
}

/// The parts of a target with a scheme; `None` if it has none.
pub(super) fn absolute(target: &[u8]) -> Option<Absolute<'_>> {
    let colon = target.iter().position(|b| !matches!(b, b'+' | b'-' | b'.') && !b.is_ascii_alphanumeric())?;
    let (scheme, behind) = target.split_at(colon);
    let behind = behind.strip_prefix(b"://")?;
    if !scheme.first()?.is_ascii_alphabetic() {
        return None;
    }
    let end = behind.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(behind.len());
    let (authority, rest) = behind.split_at(end);
    Some(Absolute { scheme, authority, rest })
}

/// Path and query, with the question mark; empty for `*`, for an authority, and where nothing follows one.
pub(super) fn path_and_query(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') { target } else { absolute(target).map_or(&[], |parts| parts.rest) }
}

/// The path, and what follows its question mark if there is one.
pub(super) fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let whole = path_and_query(target);
    match memchr::memchr(b'?', whole) {
        Some(mark) => (&whole[..mark], Some(&whole[mark + 1..])),
        None => (whole, None),
    }
}

/// Whether these bytes, each of which may stand in a target, are one that fits the method.
pub(super) fn fits(target: &[u8], method: &[u8]) -> bool {
    match target.first() {
        None => false,
        Some(_) if method == CONNECT => {
            matches!(host_and_port(target), Some((_, Some(port))) if !port.is_empty())
        }
        Some(b'/') => true,
        Some(b'*') => target.len() == 1 && method == b"OPTIONS",
        Some(_) => absolute(target).is_some_and(|parts| {
            parts.rest.first() != Some(&b'?') && host_and_port(parts.authority).is_some()
        }),
    }
}

/// The host of an authority, and its port if a colon stands there. `None`: it is malformed, has no host, or
/// has user information before it, which is how one server is made to look like another (RFC 9110 4.2.4).
fn host_and_port(authority: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let end = if authority.first() == Some(&b'[') {
        let end = authority.iter().position(|b| *b == b']')?;
        let literal = &authority[1..end];
        let known = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
        if literal.is_empty() || !literal.iter().all(known) {
            return None;
        }
        end + 1
    } else {
        let end = authority.iter().position(|b| *b == b':').unwrap_or(authority.len());
        let known = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(b);
        if end == 0 || !authority[..end].iter().all(known) {
            return None;
        }
        end
    };
    let (host, behind) = authority.split_at(end);
    let port = match behind {
        [] => return Some((host, None)),
        [b':', port @ ..] => port,
        _ => return None,
    };
    let number = port.iter().try_fold(0_u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')));
    let good = port.len() <= MAX_PORT_DIGITS && number.is_some_and(|n| n <= u32::from(u16::MAX));
    good.then_some((host, Some(port)))
}

/// Whether a port need not be said: it is the scheme's own, or missing behind its colon. In a CONNECT, which
/// has no scheme, HAProxy takes both well-known ones for such.
fn is_usual(port: &[u8], scheme: Option<&[u8]>) -> bool {
    match scheme {
        None => matches!(port, b"80" | b"443"),
        Some(_) if port.is_empty() => true,
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => port == b"80",
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => port == b"443",
        Some(_) => false,
    }
}

/// The authority without a port that need not be said.
pub(super) fn short<'a>(authority: &'a [u8], scheme: Option<&[u8]>) -> &'a [u8] {
    match host_and_port(authority) {
        Some((host, Some(port))) if is_usual(port, scheme) => host,
        _ => authority,
    }
}

/// The target with another authority; as it is where it has none. `None`: these bytes are no authority.
pub(super) fn with_authority(target: &[u8], method: &[u8], authority: &[u8]) -> Option<Vec<u8>> {
    if let Some(parts) = absolute(target) {
        host_and_port(authority)?;
        return Some([parts.scheme, b"://", authority, parts.rest].concat());
    }
    if method != CONNECT {
        return Some(target.to_vec());
    }
    // What a CONNECT asks for needs its port.
    let (_, port) = host_and_port(target)?;
    Some(match host_and_port(authority)? {
        (host, None) => [host, b":", port.unwrap_or_default()].concat(),
        _ => authority.to_vec(),
    })
}

/// Whether a byte must be written as `%XX` in a target and in a Location: controls, blanks, and what is not
/// ASCII.
fn must_escape(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7f
}

/// Appends bytes with those percent-encoded that may not stand in a URI (RFC 3986 2.1), and those of `also`.
/// A percent sign stays: what is encoded already is not encoded twice.
pub fn escape(bytes: &[u8], also: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if must_escape(*byte) || also.contains(byte) {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.push(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_of_any_form_is_parted() {
        for (target, path, query) in [
            ("/a?b", "/a", Some("b")),
            ("/a", "/a", None),
            ("/a?", "/a", Some("")),
            ("/??d=1", "/", Some("?d=1")),
            ("//x/y", "//x/y", None),
            ("http://h/p?q", "/p", Some("q")),
            ("http://h//p", "//p", None),
            ("http://h", "", None),
            ("*", "", None),
            ("h:443", "", None),
            ("/a?b=http://c/d", "/a", Some("b=http://c/d")),
        ] {
            let (path, query) = (path.as_bytes(), query.map(str::as_bytes));
            assert_eq!(split(target.as_bytes()), (path, query), "{target}");
        }
    }

    #[test]
    fn target_that_fits_no_form_is_none() {
        for (target, method, expected) in [
            ("/", &b"GET"[..], true),
            ("/", b"CONNECT", false),
            ("*", b"OPTIONS", true),
            ("*", b"GET", false),
            ("http://h", b"GET", true),
            ("http://h/p", b"GET", true),
            ("http://h:80", b"OPTIONS", true),
            ("http://[::1]:8080/", b"GET", true),
            ("http://h?q", b"GET", false),
            ("http://u@h/", b"GET", false),
            ("http:///p", b"GET", false),
            ("http://:80/", b"GET", false),
            ("http://h:99999/", b"GET", false),
            ("http://h:x/", b"GET", false),
            ("http://h\\x/", b"GET", false),
            ("http://[::1/", b"GET", false),
            ("1x://h/", b"GET", false),
            ("h/p", b"GET", false),
            ("x?http://h/", b"GET", false),
            ("h:443", b"CONNECT", true),
            ("h", b"CONNECT", false),
            ("h:", b"CONNECT", false),
            ("h:443?x", b"CONNECT", false),
            ("u@h:443", b"CONNECT", false),
            ("http://h:443", b"CONNECT", false),
            ("", b"GET", false),
        ] {
            assert_eq!(
                fits(target.as_bytes(), method),
                expected,
                "{target} {}",
                String::from_utf8_lossy(method)
            );
        }
    }

    #[test]
    fn escape_writes_what_no_uri_may_hold() {
        let mut out = Vec::new();
        escape(b"/a b\t\r\n\xc3\xa9%41\x7f#?", b"#?", &mut out);
        assert_eq!(out, b"/a%20b%09%0D%0A%C3%A9%41%7F%23%3F");
    }
}
