//! Cookies as bytes: finding one, taking one out of a request, writing one into a response. Nothing
//! else of the field is touched.

use crate::h1::Head;
use crate::list::unquoted;

/// The values of the cookies of this name in a Cookie field; of all of them if the name is empty. As HAProxy
/// reads them: a comma parts two as a semicolon does, quotes hold both together and are part of the value,
/// and one that is named and has no value does not exist unless a semicolon follows.
pub fn values<'a>(field: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < field.len() {
            let end = at + field[at..].iter().position(|b| b"=;,".contains(b)).unwrap_or(field.len() - at);
            let known = field[at..end].trim_ascii();
            at = end + 1;
            if field.get(end) != Some(&b'=') {
                continue;
            }
            // What begins with a dollar is about the cookie before it (RFC 2965 3.3.4).
            let is_attribute = known.first() == Some(&b'$');
            let end = unquoted(field, at, b";,");
            let value = field[at..end].trim_ascii();
            at = end + 1;
            let exists = if name.is_empty() {
                !known.iter().any(u8::is_ascii_whitespace)
            } else {
                known == name && (!value.is_empty() || field.get(end) == Some(&b';'))
            };
            if exists && !is_attribute {
                return Some(value);
            }
        }
        None
    })
}

/// The value of the cookie that a Set-Cookie field sets, if it has this name; of any if the name is empty.
#[must_use]
pub fn set_value<'a>(field: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let pair = &field[..unquoted(field, 0, b";")];
    let equal = memchr::memchr(b'=', pair)?;
    let value = pair[equal + 1..].trim_ascii();
    (name.is_empty() || (pair[..equal].trim_ascii() == name && !value.is_empty())).then_some(value)
}

/// The value of a request's cookie.
#[must_use]
pub fn find<'a>(head: &'a Head, name: &'a [u8]) -> Option<&'a [u8]> {
    head.values(b"cookie").flat_map(pairs).find_map(|pair| value_of(pair, name))
}

/// Takes a cookie out of a request; a Cookie field left empty goes too.
pub fn remove(head: &mut Head, name: &[u8]) {
    while let Some((index, left)) = first_holding(head, name) {
        head.set_value(index, (!left.is_empty()).then_some(&left));
    }
}

/// The place of the first Cookie field that holds the cookie, and what is left of it without.
fn first_holding(head: &Head, name: &[u8]) -> Option<(usize, Vec<u8>)> {
    head.fields().enumerate().find_map(|(index, (field, value))| {
        let holds = field == b"cookie" && pairs(value).any(|pair| value_of(pair, name).is_some());
        holds.then(|| {
            let kept = pairs(value).filter(|pair| value_of(pair, name).is_none());
            (index, kept.collect::<Vec<_>>().join(&b"; "[..]))
        })
    })
}

/// Writes the value of a Set-Cookie field for the whole site.
pub fn write_set_cookie(
    out: &mut Vec<u8>,
    name: &[u8],
    value: &[u8],
    domain: Option<&[u8]>,
    http_only: bool,
    secure: bool,
) {
    out.extend_from_slice(name);
    out.push(b'=');
    out.extend_from_slice(value);
    if let Some(domain) = domain {
        out.extend_from_slice(b"; domain=");
        out.extend_from_slice(domain);
    }
    out.extend_from_slice(b"; path=/");
    if http_only {
        out.extend_from_slice(b"; HttpOnly");
    }
    if secure {
        out.extend_from_slice(b"; Secure");
    }
}

fn pairs(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = pair.strip_prefix(name)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    Some(value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(cookies: &[&str]) -> Head {
        let mut head = Head::default();
        for cookie in cookies {
            head.add(b"cookie", cookie.as_bytes());
        }
        head
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let head = head(&["XSRV=no; a=b", "SRV=s1; c=d"]);
        assert_eq!(find(&head, b"SRV"), Some(&b"s1"[..]));
        assert_eq!(find(&head, b"RV"), None);
    }

    #[test]
    fn cookies_of_a_field_are_all_found() {
        for (field, name, expected) in [
            ("c=a; c=b", "c", &["a", "b"][..]),
            ("c=b,c=a", "c", &["b", "a"]),
            (" c = a ;d=1", "c", &["a"]),
            ("c=\"b;c=a\"", "c", &["\"b;c=a\""]),
            ("\"d;c=a\"", "c", &["a\""]),
            ("c;c=a", "c", &["a"]),
            ("c=", "c", &[]),
            ("c=; c=a", "c", &["", "a"]),
            ("xc=a; C=b; c=x=y", "c", &["x=y"]),
            ("c=b\tc=a", "c", &["b\tc=a"]),
            ("a=1; b=2;", "", &["1", "2"]),
            ("=a", "", &["a"]),
            ("c=", "", &[""]),
            ("c", "", &[]),
            ("$Version=1; c=a; $Path=/", "", &["a"]),
            ("", "c", &[]),
        ] {
            let got: Vec<&[u8]> = values(field.as_bytes(), name.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|e| e.as_bytes()).collect();
            assert_eq!(got, expected, "{field:?} {name}");
        }
        for (field, name, expected) in [
            ("c=a; path=/", "c", Some("a")),
            ("c=a,b", "c", Some("a,b")),
            ("d=1; c=a", "c", None),
            ("c=a; path=/", "path", None),
            ("c=a", "", Some("a")),
            ("c", "", None),
        ] {
            let expected = expected.map(str::as_bytes);
            assert_eq!(set_value(field.as_bytes(), name.as_bytes()), expected, "{field:?} {name}");
        }
    }

    #[test]
    fn only_the_cookie_is_taken_out() {
        let mut head = head(&["a=b; SRV=s1; c=d", "SRV=s2"]);
        remove(&mut head, b"SRV");
        assert_eq!(head.values(b"cookie").collect::<Vec<_>>(), [b"a=b; c=d"]);
    }
}
