//! A body's bytes out of a connection's bytes, one piece at a time.

use std::ops::Range;

use super::body::Body;
use super::parse::Limits;
use super::refusal::Refusal;
use super::scan;

/// Longest size line of a chunk, extensions included.
const MAX_SIZE_LINE: usize = 256;

/// What one call understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// Which of them are the body's.
    pub data: Range<usize>,
    /// Which of them are its trailers, whole lines; they come once, with the body's end.
    pub trailers: Range<usize>,
}

impl Piece {
    fn data(consumed: usize, data: Range<usize>) -> Self {
        Self { consumed, data, trailers: 0..0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of the body (or of a chunk, then its CRLF) are to come.
    Data(u64),
    Size,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Endless,
    Done,
}

/// Decodes one body.
#[derive(Clone, Debug)]
pub struct Decoder(State);

impl Decoder {
    /// A decoder for this framing.
    #[must_use]
    pub fn new(body: Body) -> Self {
        Self(match body {
            Body::None => State::Done,
            Body::Length(length) => State::Data(length),
            Body::Chunked => State::Size,
            Body::UntilClose | Body::Tunnel => State::Endless,
        })
    }

    /// Whether the body is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// Takes the end of the connection.
    ///
    /// # Errors
    /// The body was not complete.
    pub fn eof(&mut self) -> Result<(), Refusal> {
        match self.0 {
            State::Done => Ok(()),
            State::Endless => {
                self.0 = State::Done;
                Ok(())
            }
            State::Data(_) | State::Size | State::ChunkData(_) | State::ChunkEnd | State::Trailers => {
                Err(Refusal::Truncated)
            }
        }
    }

    /// Understands as much of the input as makes one run of data. A piece that consumes nothing asks
    /// for more bytes.
    ///
    /// # Errors
    /// The bytes are no body of this framing.
    pub fn decode(&mut self, input: &[u8]) -> Result<Piece, Refusal> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.0 {
                State::Done => return Ok(Piece::data(at, at..at)),
                State::Endless => return Ok(Piece::data(input.len(), at..input.len())),
                State::Data(left) | State::ChunkData(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let left = left - count as u64;
                    let chunked = matches!(self.0, State::ChunkData(_));
                    self.0 = match (left, chunked) {
                        (0, false) => State::Done,
                        (0, true) => State::ChunkEnd,
                        (left, false) => State::Data(left),
                        (left, true) => State::ChunkData(left),
                    };
                    return Ok(Piece::data(at + count, at..at + count));
                }
                State::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        self.0 = State::Size;
                    }
                    [b'\r'] | [] => return Ok(Piece::data(at, at..at)),
                    _ => return Err(Refusal::ChunkEnd),
                },
                State::Size => match line(rest, MAX_SIZE_LINE, Refusal::ChunkSize)? {
                    None => return Ok(Piece::data(at, at..at)),
                    Some(line) => {
                        let size = size(&rest[..line])?;
                        at += line + 2;
                        self.0 = if size == 0 { State::Trailers } else { State::ChunkData(size) };
                    }
                },
                State::Trailers => {
                    let Some(length) = trailers(rest)? else { return Ok(Piece::data(at, at..at)) };
                    self.0 = State::Done;
                    let end = at + length;
                    return Ok(Piece { consumed: end, data: at..at, trailers: at..end - 2 });
                }
            }
        }
    }
}

/// The length of a line that ends with CRLF, without it; `None` if it is not complete.
fn line(bytes: &[u8], limit: usize, refusal: Refusal) -> Result<Option<usize>, Refusal> {
    match memchr::memchr2(b'\r', b'\n', bytes) {
        Some(at) if at > limit => Err(refusal),
        Some(at) if bytes[at] == b'\n' => Err(refusal),
        Some(at) => match bytes.get(at + 1) {
            Some(b'\n') => Ok(Some(at)),
            Some(_) => Err(refusal),
            None => Ok(None),
        },
        None if bytes.len() > limit => Err(refusal),
        None => Ok(None),
    }
}

/// The length of a body's trailers with the empty line behind them; `None`: that is not there yet. Their bounds are
/// those of a head.
fn trailers(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let most = Limits::default().max_head;
    let (mut at, mut fields) = (0, 0);
    loop {
        let Some((line, next)) = scan::line(bytes, at).map_err(|_| Refusal::Trailer)? else {
            return if bytes.len() > most { Err(Refusal::Trailer) } else { Ok(None) };
        };
        if line.is_empty() {
            return Ok(Some(next));
        }
        let name = scan::token_end(line);
        fields += 1;
        let good = name > 0 && line.get(name) == Some(&b':') && scan::is_sound(line);
        if !good || fields > scan::MAX_FIELDS || next > most {
            return Err(Refusal::Trailer);
        }
        at = next;
    }
}

/// A chunk's size; its extensions mean nothing to a proxy and are not passed on.
fn size(line: &[u8]) -> Result<u64, Refusal> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let rest = line[digits..].trim_ascii_start();
    if digits == 0 || digits > 15 || !(rest.is_empty() || rest[0] == b';') || rest.contains(&0) {
        return Err(Refusal::ChunkSize);
    }
    let digit = |b: u8| u64::from(char::from(b).to_digit(16).unwrap_or(0));
    Ok(line[..digits].iter().fold(0, |n, b| n << 4 | digit(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: Body, parts: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, bool), Refusal> {
        let mut decoder = Decoder::new(body);
        let (mut input, mut data) = (Vec::new(), Vec::new());
        for part in parts {
            input.extend_from_slice(part);
            loop {
                let piece = decoder.decode(&input)?;
                data.extend_from_slice(&input[piece.data.clone()]);
                input.drain(..piece.consumed);
                if piece.consumed == 0 || decoder.is_done() {
                    break;
                }
            }
        }
        Ok((data, input, decoder.is_done()))
    }

    #[test]
    fn chunks_are_the_same_however_they_arrive() {
        let text = b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nx: y\r\n\r\nGET";
        for split in 0..=text.len() {
            let (data, rest, done) = decode(Body::Chunked, &[&text[..split], &text[split..]]).unwrap();
            assert_eq!((data.as_slice(), done), (&b"hello world"[..], true), "{split}");
            assert!(b"GET".ends_with(&rest[rest.len().saturating_sub(3)..]), "{split}");
        }
    }

    #[test]
    fn trailers_come_whole_and_within_the_bounds_of_a_head() {
        let mut decoder = Decoder::new(Body::Chunked);
        let text = b"0\r\nX-Sum: 17\r\nHost: b\r\n\r\nGET";
        assert_eq!(decoder.decode(&text[..12]).unwrap().consumed, 3);
        let piece = decoder.decode(&text[3..]).unwrap();
        assert!(decoder.is_done() && piece.consumed == text.len() - 6, "{piece:?}");
        let mut out = Vec::new();
        super::super::encode::last_chunk(&text[3..][piece.trailers], &mut out);
        assert_eq!(out, b"0\r\nx-sum: 17\r\n\r\n");
        for many in ["a: b\r\n".repeat(102), format!("a: {}\r\n", "b".repeat(16_384))] {
            let text = format!("0\r\n{many}\r\n");
            assert_eq!(Decoder::new(Body::Chunked).decode(text.as_bytes()), Err(Refusal::Trailer));
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for (text, reason) in [
            ("\r\n", Refusal::ChunkSize),
            ("g\r\n", Refusal::ChunkSize),
            ("5\nhello", Refusal::ChunkSize),
            ("-1\r\n", Refusal::ChunkSize),
            ("0x5\r\n", Refusal::ChunkSize),
            ("ffffffffffffffff\r\n", Refusal::ChunkSize),
            ("1\r\nab\r\n", Refusal::ChunkEnd),
            ("0\r\nnothing\r\n\r\n", Refusal::Trailer),
            ("0\r\na : b\r\n\r\n", Refusal::Trailer),
            ("0\r\na: b\n\r\n", Refusal::Trailer),
            ("0\r\na: \0\r\n\r\n", Refusal::Trailer),
        ] {
            assert_eq!(decode(Body::Chunked, &[text.as_bytes()]), Err(reason), "{text:?}");
        }
        let long = "1".to_owned() + &";".repeat(MAX_SIZE_LINE + 1);
        assert_eq!(decode(Body::Chunked, &[long.as_bytes()]), Err(Refusal::ChunkSize));
    }

    #[test]
    fn a_length_takes_its_bytes_and_leaves_the_next_message() {
        let read = decode(Body::Length(4), &[b"ab", b"cdGET"]).unwrap();
        assert_eq!(read, (b"abcd".to_vec(), b"GET".to_vec(), true));
        assert_eq!(Decoder::new(Body::Length(1)).eof(), Err(Refusal::Truncated));
        assert_eq!(Decoder::new(Body::UntilClose).eof(), Ok(()));
    }
}
