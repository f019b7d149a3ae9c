//! Bytes to lines, and lines to the places of names and values. What one hop takes and the next does not is
//! how requests are smuggled: a line ends with CR LF or not at all, a name ends with its colon.

use super::head::{Field, Span};
use super::refusal::Refusal;

/// Most fields of one head, as HAProxy's `tune.http.maxhdr`.
pub(super) const MAX_FIELDS: usize = 101;
/// Bytes that are looked at together.
const LANES: usize = 16;

const fn table(allowed: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < allowed.len() {
        table[allowed[at] as usize] = true;
        at += 1;
    }
    table
}

/// Bytes of a token (RFC 9110 5.6.2).
static TOKEN: [bool; 256] =
    table(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

pub(super) fn is_target_byte(byte: u8) -> bool {
    byte > b' ' && byte < 0x7f
}

/// The place behind a token that begins here.
pub(super) fn token_end(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !is_token_byte(*b)).unwrap_or(bytes.len())
}

/// The line that begins here, without its end, and the place behind that; `None`: its end is not there yet.
pub(super) fn line(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Refusal> {
    let rest = bytes.get(at..).unwrap_or_default();
    match memchr::memchr(b'\n', rest) {
        None => Ok(None),
        Some(end) => match rest.get(..end) {
            Some([line @ .., b'\r']) => Ok(Some((line, at + end + 1))),
            _ => Err(Refusal::Header),
        },
    }
}

/// Finds the fields from here to the empty line; the places are counted from the first byte. The place behind
/// the head, or `None` where it is not complete.
pub(super) fn fields(bytes: &[u8], mut at: usize, fields: &mut Vec<Field>) -> Result<Option<usize>, Refusal> {
    loop {
        let Some((line, next)) = line(bytes, at)? else { return Ok(None) };
        if line.is_empty() {
            return Ok(Some(next));
        }
        let colon = token_end(line);
        if colon == 0 || line.get(colon) != Some(&b':') {
            return Err(Refusal::Header);
        }
        if fields.len() == MAX_FIELDS {
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

/// Whether there are no control bytes but tabs and the ends of so many lines, each known to be a CR LF; the end
/// of a further line may have come by half.
pub(super) fn is_sound(bytes: &[u8], lines: usize) -> bool {
    controls(bytes) == 2 * lines + usize::from(bytes.last() == Some(&b'\r'))
}

/// Control bytes in there, all but tabs.
fn controls(bytes: &[u8]) -> usize {
    let mut count = 0;
    // As many steps as a lane can count; sixteen bytes at a time and without a branch: the compiler makes one
    // look of them.
    for block in bytes.chunks(LANES * usize::from(u8::MAX)) {
        let mut lanes = [0_u8; LANES];
        let mut steps = block.chunks_exact(LANES);
        for step in &mut steps {
            for (lane, byte) in lanes.iter_mut().zip(step) {
                *lane += is_control(*byte);
            }
        }
        count += lanes.iter().map(|lane| usize::from(*lane)).sum::<usize>();
        count += steps.remainder().iter().map(|byte| usize::from(is_control(*byte))).sum::<usize>();
    }
    count
}

fn is_control(byte: u8) -> u8 {
    (u8::from(byte < b' ') & u8::from(byte != b'\t')) | u8::from(byte == 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_control_byte_is_seen_wherever_it_stands() {
        for length in [1, 2, 15, 16, 17, 18, 31, 32, 33, 34, 100, 5_000] {
            assert!(is_sound(&vec![0xe9; length], 0), "{length}");
            for place in (0..length).step_by(1 + length / 200) {
                for bad in [0, 1, 11, 12, 27, 31, 127, b'\n'] {
                    let mut bytes = vec![b'\t'; length];
                    bytes[place] = bad;
                    assert!(!is_sound(&bytes, 0), "{bad} at {place} of {length}");
                }
                let mut bytes = vec![b'~'; length];
                bytes[place] = b'\r';
                assert_eq!(is_sound(&bytes, 0), place + 1 == length, "a CR at {place} of {length}");
                if let Some(next) = bytes.get_mut(place + 1) {
                    *next = b'\n';
                    assert!(is_sound(&bytes, 1), "a line's end at {place} of {length}");
                }
            }
        }
        let all = vec![0; 3 * LANES * usize::from(u8::MAX) + 5];
        assert_eq!(controls(&all), all.len(), "no lane counts further than it can");
    }
}
