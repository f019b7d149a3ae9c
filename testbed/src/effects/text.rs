//! Quoted bytes in case files, and bytes as observations show them.

use std::time::Duration;

/// A part of what a server does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Sends this; bytes from 0x80 stand for themselves, as Latin-1.
    Bytes(String),
    /// Waits.
    Wait(Duration),
    /// Ends the connection.
    Close,
    /// Ends it with RST.
    Reset,
    /// Says and does nothing until the other side ends.
    Silence,
}

/// The bytes of a text between quotes: `\r \n \t \0 \" \\ \xHH`; `*N` behind a quoted text repeats it.
pub(crate) fn unquote(text: &str) -> Result<String, String> {
    match words(text)?.as_slice() {
        [Piece::Bytes(bytes)] => Ok(bytes.clone()),
        // What is not quoted stands for itself.
        _ if !text.starts_with('"') => Ok(text.to_owned()),
        _ => Err(format!("one quoted text is expected, not {text}")),
    }
}

/// Quoted texts and words between blanks; texts without a blank between them are one.
pub(crate) fn words(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_start();
    let mut glued = false;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (mut bytes, used) = quoted_text(quoted)?;
            rest = &quoted[used..];
            if let Some(times) = rest.strip_prefix('*') {
                let end = times.find(|c: char| !c.is_ascii_digit()).unwrap_or(times.len());
                let count = times[..end].parse().map_err(|_| "a number is expected behind '*'".to_owned())?;
                bytes = bytes.repeat(count);
                rest = &times[end..];
            }
            match pieces.last_mut() {
                Some(Piece::Bytes(before)) if glued => before.push_str(&bytes),
                _ => pieces.push(Piece::Bytes(bytes)),
            }
            glued = rest.starts_with('"');
            rest = rest.trim_start();
            continue;
        }
        let end = rest.find(' ').unwrap_or(rest.len());
        let word = &rest[..end];
        rest = rest[end..].trim_start();
        pieces.push(match word {
            "close" => Piece::Close,
            "reset" => Piece::Reset,
            "silence" => Piece::Silence,
            _ => match word.strip_suffix("ms").and_then(|number| number.parse().ok()) {
                Some(millis) => Piece::Wait(Duration::from_millis(millis)),
                None => return Err(format!("'{word}': expected \"bytes\", 200ms, close, reset or silence")),
            },
        });
    }
    Ok(pieces)
}

/// The bytes up to the closing quote, and how long that was.
fn quoted_text(text: &str) -> Result<(String, usize), String> {
    let mut bytes = String::new();
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '"' => return Ok((bytes, place + 1)),
            '\\' => match letters.next().map(|(_, letter)| letter) {
                Some('r') => bytes.push('\r'),
                Some('n') => bytes.push('\n'),
                Some('t') => bytes.push('\t'),
                Some('0') => bytes.push('\0'),
                Some('"') => bytes.push('"'),
                Some('\\') => bytes.push('\\'),
                Some('x') => {
                    let digits: String = letters.by_ref().take(2).map(|(_, digit)| digit).collect();
                    let byte =
                        u8::from_str_radix(&digits, 16).map_err(|_| "\\x takes two digits".to_owned())?;
                    bytes.push(char::from(byte));
                }
                _ => return Err("after \\ comes one of r n t 0 \" \\ x".to_owned()),
            },
            letter => bytes.push(letter),
        }
    }
    Err("the closing quote is missing".to_owned())
}

/// Latin-1, one byte for each letter.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect()
}

/// Longest run of one byte that is shown letter by letter.
const RUN: usize = 64;

/// Bytes as lines: what ends with CRLF after `mark`; what ends otherwise says so.
pub(crate) fn show(mark: &str, bytes: &[u8]) -> String {
    let mut shown = String::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (text, end) = match line {
            [text @ .., b'\r', b'\n'] => (text, ""),
            [text @ .., b'\n'] => (text, "\\n"),
            text => (text, "\\"),
        };
        shown.push_str(mark);
        if !text.is_empty() || !end.is_empty() {
            shown.push(' ');
        }
        let mut rest = text;
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|byte| *byte == first).count();
            let letter = if *first == b'"' || *first == b'\'' {
                char::from(*first).to_string()
            } else {
                first.escape_ascii().to_string()
            };
            if run > RUN {
                shown.push_str(&format!("[{run} times {letter}]"));
            } else {
                shown.push_str(&letter.repeat(run));
            }
            rest = &rest[run..];
        }
        shown.push_str(end);
        shown.push('\n');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read() {
        let expected = vec![
            Piece::Bytes("a\r\nbb\u{ff}".to_owned()),
            Piece::Wait(Duration::from_millis(20)),
            Piece::Bytes("c".to_owned()),
            Piece::Close,
        ];
        assert_eq!(words(r#""a\r\n""b"*2"\xff" 20ms "c" close"#), Ok(expected));
        assert!(words("soon").is_err());
    }

    #[test]
    fn line_ends_are_told_apart() {
        assert_eq!(show("<", b"a\r\nb\n\r\nc"), "< a\n< b\\n\n<\n< c\\\n");
        assert_eq!(show("<", &[b'x'; 100]), "< [100 times x]\\\n");
    }
}
