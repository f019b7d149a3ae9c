//! Cookies as bytes: finding one, taking one out of a request, writing one into a response. Nothing
//! else of the field is touched.

use crate::h1::Head;

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
    fn only_the_cookie_is_taken_out() {
        let mut head = head(&["a=b; SRV=s1; c=d", "SRV=s2"]);
        remove(&mut head, b"SRV");
        assert_eq!(head.values(b"cookie").collect::<Vec<_>>(), [b"a=b; c=d"]);
    }
}
