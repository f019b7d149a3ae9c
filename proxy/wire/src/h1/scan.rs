//! Bytes to lines, and lines to the places of names and values. What one hop takes and the next does not is
//! how requests are smuggled: a line ends with CR LF or not at all, a name ends with its colon.

use super::head::{Field, Span};
use super::refusal::Refusal;

/// Most fields of one head where nothing else is said, as HAProxy's `tune.http.maxhdr`, which counts the first line.
pub(super) const MAX_FIELDS: usize = 100;
/// Bytes that are looked at together.
const LANES: usize = 16;

/// Bytes of a token in lower case (RFC 9110 5.6.2); 0 for every other byte.
static TOKEN: [u8; 256] = {
    let mut table = [0; 256];
    let allowed = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut at = 0;
    while at < allowed.len() {
        table[allowed[at] as usize] = allowed[at].to_ascii_lowercase();
        at += 1;
    }
    table
};

/// Whether these bytes are a token (RFC 9110 5.6.2): a method, or the name of a field.
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| is_token_byte(*b))
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)] != 0
}

/// Bytes that may stand in a target: a fragment is for the client alone (RFC 9112 3.2).
pub(super) fn is_target_byte(byte: u8) -> bool {
    byte > b' ' && byte < 0x7f && byte != b'#'
}

/// The place behind a token that begins here.
pub(super) fn token_end(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !is_token_byte(*b)).unwrap_or(bytes.len())
}

/// The line that begins here, without its end, and the place behind that; `None`: its end is not there yet.
pub(super) fn line(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Refusal> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(end) = memchr::memchr2(b'\r', b'\n', rest) else { return Ok(None) };
    let (line, end_of_line) = rest.split_at(end);
    match end_of_line {
        [b'\r', b'\n', ..] => Ok(Some((line, at + end + 2))),
        [b'\r'] => Ok(None),
        _ => Err(Refusal::Header),
    }
}

/// Puts the token that begins here into lower case; its length.
fn lower_token(bytes: &mut [u8]) -> usize {
    let mut length = 0;
    for byte in bytes {
        let lower = TOKEN[usize::from(*byte)];
        if lower == 0 {
            break;
        }
        *byte = lower;
        length += 1;
    }
    length
}

/// Finds the fields from here to the empty line, and puts their names into lower case; the places are counted
/// from the first byte. The place behind the head, or `None` where it is not complete.
pub(super) fn fields(
    bytes: &mut [u8],
    mut at: usize,
    fields: &mut Vec<Field>,
    most: usize,
) -> Result<Option<usize>, Refusal> {
    loop {
        let Some((line, next)) = line(bytes, at)? else { return Ok(None) };
        let end = at + line.len();
        if end == at {
            return Ok(Some(next));
        }
        let line = &mut bytes[at..end];
        let colon = lower_token(line);
        if colon == 0 || line.get(colon) != Some(&b':') {
            return Err(Refusal::Header);
        }
        if fields.len() == most {
            return Err(Refusal::TooManyFields);
        }
        let name = Span::new(at, at + colon);
        fields.push(match &line[colon + 1..] {
            // As nearly every one is.
            [b' ', first, .., last] if *first > b' ' && *last > b' ' => {
                Field::new(name, Span::new(at + colon + 2, next - 2), true)
            }
            value => {
                let blank = |b: &u8| matches!(b, b' ' | b'\t');
                let begin = value.iter().position(|b| !blank(b)).unwrap_or(0);
                let end = value.iter().rposition(|b| !blank(b)).map_or(begin, |last| last + 1);
                let start = at + colon + 1;
                let is_whole = begin == 1 && value.first() == Some(&b' ') && end == value.len();
                Field::new(name, Span::new(start + begin, start + end), is_whole)
            }
        });
        at = next;
    }
}

/// Whether there are no control bytes in there but tabs and what lines end with.
pub(super) fn is_sound(bytes: &[u8]) -> bool {
    let any = |bytes: &[u8]| bytes.iter().fold(false, |any, byte| any | is_control(*byte));
    // Whole steps, which the compiler makes single looks of; the last step overlaps those before.
    match bytes.last_chunk::<LANES>() {
        None => !any(bytes),
        Some(last) => !(any(&bytes[..bytes.len() & !(LANES - 1)]) | any(last)),
    }
}

/// Whether this is a control byte other than tab, CR and LF. Without a branch.
fn is_control(byte: u8) -> bool {
    ((byte < b' ') & (byte != b'\t') & (byte != b'\n') & (byte != b'\r')) | (byte == 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_control_byte_is_seen_wherever_it_stands() {
        for length in [1, 2, 15, 16, 17, 18, 31, 32, 33, 34, 100] {
            assert!(is_sound(&vec![0xe9; length]), "{length}");
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'~'; length];
                    bytes[place] = byte;
                    let control = byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n');
                    assert_eq!(is_sound(&bytes), !control, "{byte} at {place} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_line_ends_with_both_bytes_or_not_at_all() {
        assert_eq!(line(b"xab\r\ncd", 1), Ok(Some((&b"ab"[..], 5))));
        for unfinished in [&b"ab"[..], b"", b"ab\r"] {
            assert_eq!(line(unfinished, 0), Ok(None));
        }
        for broken in [&b"ab\n"[..], b"a\rb\r\n", b"a\r\r\n", b"\n"] {
            assert_eq!(line(broken, 0), Err(Refusal::Header));
        }
    }
}
