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

/// The value of a request's cookie; a comma ends it, too.
#[must_use]
pub fn find<'a>(head: &'a Head, name: &'a [u8]) -> Option<&'a [u8]> {
    let parts = head.values(b"cookie").flat_map(|value| value.split(|byte| matches!(byte, b';' | b',')));
    parts.map(<[u8]>::trim_ascii).find_map(|pair| value_of(pair, name))
}

/// Takes a cookie out of a request; a Cookie field left empty goes too.
pub fn remove(head: &mut Head, name: &[u8]) {
    edit(head, name, |_| None);
}

/// Takes what stands before [`PREFIX_MARK`] out of a request's cookie.
pub fn cut_prefix(head: &mut Head, name: &[u8]) {
    edit(head, name, |pair| {
        let mark = memchr::memchr(PREFIX_MARK, pair);
        Some(mark.map_or_else(|| pair.to_vec(), |mark| [name, b"=", &pair[mark + 1..]].concat()))
    });
}

/// Changes the pairs of a request's cookie.
fn edit(head: &mut Head, name: &[u8], change: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let holds = |value: &[u8]| pairs(value).any(|pair| value_of(pair, name).is_some());
    let places: Vec<usize> = head
        .fields()
        .enumerate()
        .filter_map(|(index, (field, value))| (field == b"cookie" && holds(value)).then_some(index))
        .collect();
    // From behind, since a field that goes moves those behind it.
    for index in places.into_iter().rev() {
        let value = head.fields().nth(index).map_or(&b""[..], |(_, value)| value);
        let kept = pairs(value).filter_map(|pair| match value_of(pair, name) {
            Some(_) => change(pair),
            None => Some(pair.to_vec()),
        });
        let left = kept.collect::<Vec<_>>().join(&b"; "[..]);
        head.set_value(index, (!left.is_empty()).then_some(&left));
    }
}

/// Changes what a response sets a cookie to: `change` is told the value, and says what stands there from now on; `None`
/// takes the field out. Returns whether the cookie was set at all.
pub fn edit_set(head: &mut Head, name: &[u8], mut change: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> bool {
    let sets = |value: &[u8]| is_set(value, name);
    let places: Vec<usize> = head
        .fields()
        .enumerate()
        .filter_map(|(index, (field, value))| (field == b"set-cookie" && sets(value)).then_some(index))
        .collect();
    for index in places.iter().rev() {
        let field = head.fields().nth(*index).map_or_else(Vec::new, |(_, value)| value.to_vec());
        let end = unquoted(&field, 0, b";");
        let equal = memchr::memchr(b'=', &field[..end]).unwrap_or(0);
        match change(field[equal + 1..end].trim_ascii()) {
            None => head.set_value(*index, None),
            Some(value) if value == field[equal + 1..end].trim_ascii() => {}
            Some(value) => {
                head.set_value(*index, Some(&[&field[..=equal], &value, &field[end..]].concat()));
            }
        }
    }
    !places.is_empty()
}

/// Whether a Set-Cookie field sets this cookie, to nothing too.
fn is_set(field: &[u8], name: &[u8]) -> bool {
    let pair = &field[..unquoted(field, 0, b";")];
    memchr::memchr(b'=', pair).is_some_and(|equal| pair[..equal].trim_ascii() == name)
}

/// What stands between the parts of a value that has dates.
pub const DATE_MARK: u8 = b'|';
/// What stands between a server's value and the client's own, in mode `prefix`.
pub const PREFIX_MARK: u8 = b'~';
/// The digits of dates, 6 bits each.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Digits of a date: 30 bits, which count units of four seconds.
const DATE_DIGITS: u32 = 5;

/// Writes a date, rounded down to four seconds.
pub fn write_date(seconds: u64, out: &mut Vec<u8>) {
    let units = seconds >> 2;
    for digit in (0..DATE_DIGITS).rev() {
        out.push(DIGITS[usize::try_from((units >> (6 * digit)) & 63).unwrap_or(0)]);
    }
}

/// The seconds of a date that a text begins with; `None` where there is none.
#[must_use]
pub fn read_date(text: &[u8]) -> Option<u64> {
    let digits = text.get(..DATE_DIGITS as usize)?;
    let units = digits.iter().try_fold(0, |sum, digit| {
        let value = DIGITS.iter().position(|known| known == digit)?;
        Some((sum << 6) | value as u64)
    })?;
    (units > 0).then_some(units << 2)
}

fn pairs(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    Some(pair.strip_prefix(name)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start())
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
    fn set_cookie_is_edited_where_it_sets_the_cookie() {
        let mut head = Head::response(200, "OK");
        for value in ["S=old; path=/a", "T=1", "S=; path=/"] {
            head.add(b"set-cookie", value.as_bytes());
        }
        assert!(edit_set(&mut head, b"S", |value| Some([b"x~", value].concat())));
        let left: Vec<_> = head.values(b"set-cookie").collect();
        assert_eq!(left, [&b"S=x~old; path=/a"[..], b"T=1", b"S=x~; path=/"]);
        assert!(edit_set(&mut head, b"S", |_| None));
        assert_eq!(head.values(b"set-cookie").collect::<Vec<_>>(), [b"T=1"]);
        assert!(!edit_set(&mut head, b"S", |_| None));
    }

    #[test]
    fn date_is_read_as_it_was_written() {
        let mut text = Vec::new();
        write_date(1_700_000_003, &mut text);
        assert_eq!((text.len(), read_date(&text)), (5, Some(1_700_000_000)));
        assert_eq!((read_date(b"AAAAA"), read_date(b"AAA"), read_date(b"AA-AB")), (None, None, None));
    }

    #[test]
    fn only_the_cookie_is_taken_out() {
        let mut head = head(&["a=b; SRV=s1; c=d", "SRV=s2"]);
        remove(&mut head, b"SRV");
        assert_eq!(head.values(b"cookie").collect::<Vec<_>>(), [b"a=b; c=d"]);
    }
}
