//! Values that are lists (RFC 9110 5.6.1).

/// The items of a field's value: what stands between its commas, without the blanks around it. A comma in a
/// quoted string parts nothing; in there, a backslash takes the meaning of what follows. An empty value is
/// one empty item.
pub fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest?;
        let end = item_end(value);
        rest = value.get(end + 1..);
        Some(value[..end].trim_ascii())
    })
}

/// Where the first item ends: at its comma or at the end.
fn item_end(value: &[u8]) -> usize {
    let Some(first) = memchr::memchr2(b',', b'"', value) else { return value.len() };
    if value[first] == b',' { first } else { unquoted(value, first, b",") }
}

/// The first of these marks from `from` on that stands in no quotes; the end if none does.
pub(crate) fn unquoted(value: &[u8], from: usize, marks: &[u8]) -> usize {
    let mut quoted = false;
    let mut at = from;
    while let Some(byte) = value.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            mark if !quoted && marks.contains(mark) => return at,
            _ => {}
        }
        at += 1;
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_parted_at_commas_outside_quotes() {
        for (value, expected) in [
            ("a", &["a"][..]),
            ("a, b ,c", &["a", "b", "c"]),
            ("a,b,", &["a", "b", ""]),
            (",a", &["", "a"]),
            ("a,,b", &["a", "", "b"]),
            ("", &[""]),
            (",", &["", ""]),
            ("\"a,b\", c", &["\"a,b\"", "c"]),
            ("\"a, b", &["\"a, b"]),
            ("a\\,b", &["a\\", "b"]),
            ("\"x\\\",a\",b", &["\"x\\\",a\"", "b"]),
            ("'a,b'", &["'a", "b'"]),
            ("a;q=\"1,2\",b", &["a;q=\"1,2\"", "b"]),
            ("\"\\", &["\"\\"]),
        ] {
            let got: Vec<&[u8]> = items(value.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|e| e.as_bytes()).collect();
            assert_eq!(got, expected, "{value:?}");
        }
    }
}
