//! A reader that takes nothing for granted: a message is well framed if every recipient finds the same end (RFC 9112, 6).

/// A message and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its first line.
    pub(super) line: String,
    pub(super) body: Vec<u8>,
    /// Bytes behind its end.
    pub(super) rest: Vec<u8>,
}

/// What a message answers; of a request nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    /// To a request whose method is HEAD, or to another.
    Response {
        head: bool,
    },
}

impl Message {
    /// The status of a response.
    pub(super) fn status(&self) -> Option<u16> {
        status(&self.line)
    }
}

fn status(line: &str) -> Option<u16> {
    line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
}

/// Reads one message; interim responses in front of it are left out. An error says what is ambiguous or missing.
pub(super) fn read(mut bytes: &[u8], side: Side) -> Result<Message, String> {
    loop {
        let message = one(bytes, side)?;
        match message.status() {
            Some(status) if (100..200).contains(&status) && status != 101 => {
                bytes = &bytes[bytes.len() - message.rest.len()..];
            }
            _ => return Ok(message),
        }
    }
}

fn one(bytes: &[u8], side: Side) -> Result<Message, String> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or("the head has no end")?;
    let (head, after) = (&bytes[..end], &bytes[end + 4..]);
    let mut lines = lines(head)?.into_iter();
    let line = lines.next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let (mut lengths, mut codings) = (Vec::new(), Vec::new());
    for field in lines {
        let (name, value) = split(field)?;
        match name.to_ascii_lowercase().as_slice() {
            b"content-length" => lengths.push(value),
            b"transfer-encoding" => codings.push(value.to_ascii_lowercase()),
            _ => {}
        }
    }
    let bodiless = match side {
        Side::Request => false,
        Side::Response { head } => head || matches!(status(&line), Some(100..=199 | 204 | 304)),
    };
    if matches!((side, status(&line)), (Side::Response { .. }, Some(100..=199 | 204)))
        && !(lengths.is_empty() && codings.is_empty())
    {
        return Err("a response without a body has a length or a coding".to_owned());
    }
    let (body, rest) = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) if side == Side::Request || bodiless => (Vec::new(), after.to_vec()),
        // Until the connection closes.
        ([], []) => (after.to_vec(), Vec::new()),
        ([length], []) => {
            let length = number(length)?;
            let length = if bodiless { 0 } else { length };
            if after.len() < length {
                return Err(format!("{} of {length} bytes of the body came", after.len()));
            }
            (after[..length].to_vec(), after[length..].to_vec())
        }
        ([], [coding]) if coding == b"chunked" => {
            if !line.ends_with("HTTP/1.1") && !line.starts_with("HTTP/1.1 ") {
                return Err("chunked in another version".to_owned());
            }
            if bodiless { (Vec::new(), after.to_vec()) } else { chunks(after)? }
        }
        ([], codings) => return Err(format!("{} codings, and not one that is 'chunked'", codings.len())),
        (lengths, []) => return Err(format!("{} lengths", lengths.len())),
        _ => return Err("a length and a coding".to_owned()),
    };
    Ok(Message { line, body, rest })
}

fn lines(head: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
    let last = lines.len() - 1;
    for line in &mut lines[..last] {
        *line = line.strip_suffix(b"\r").ok_or("a line ends with a bare line feed")?;
    }
    match lines.iter().any(|line| line.contains(&b'\r') || line.contains(&0)) {
        true => Err("a bare carriage return or a zero byte".to_owned()),
        false => Ok(lines),
    }
}

fn split(field: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let colon = field.iter().position(|byte| *byte == b':').ok_or("a field without a colon")?;
    let (name, value) = (&field[..colon], &field[colon + 1..]);
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if name.is_empty() || !name.iter().all(token) {
        return Err(format!("a field is named '{}'", name.escape_ascii()));
    }
    Ok((name, value.trim_ascii()))
}

fn number(text: &[u8]) -> Result<usize, String> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let parsed = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| format!("the length '{}'", text.escape_ascii()))
}

/// A chunked body without its framing, and what follows.
fn chunks(mut bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|w| w == b"\r\n").ok_or("a chunk's size has no end")?;
        let size =
            std::str::from_utf8(&bytes[..end]).ok().filter(|s| s.bytes().all(|b| b.is_ascii_hexdigit()));
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or_else(|| format!("a chunk's size '{}'", bytes[..end].escape_ascii()))?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            break;
        }
        let chunk = bytes.get(..size).ok_or("a chunk is cut")?;
        body.extend(chunk);
        bytes = bytes[size..].strip_prefix(b"\r\n").ok_or("a chunk has no end")?;
    }
    loop {
        let end = bytes.windows(2).position(|w| w == b"\r\n").ok_or("the trailers have no end")?;
        let line = &bytes[..end];
        bytes = &bytes[end + 2..];
        if line.is_empty() {
            return Ok((body, bytes.to_vec()));
        }
        let (name, _) = split(line)?;
        if matches!(name.to_ascii_lowercase().as_slice(), b"content-length" | b"transfer-encoding" | b"host")
        {
            return Err("a trailer that frames or routes".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_reader_finds_one_end_or_names_what_is_ambiguous() {
        let read = |text: &str| {
            read(text.as_bytes(), Side::Request).map(|m| (String::from_utf8(m.body), m.rest.len()))
        };
        assert_eq!(read("GET / HTTP/1.1\r\n\r\n"), Ok((Ok(String::new()), 0)));
        assert_eq!(read("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabc"), Ok((Ok("ab".to_owned()), 1)));
        assert_eq!(
            read("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
            Ok((Ok("ab".to_owned()), 0))
        );
        assert_eq!(
            read("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n"),
            Err("a length and a coding".to_owned())
        );
        assert_eq!(read("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na"), Err("the length '+1'".to_owned()));
        assert_eq!(read("GET / HTTP/1.1\r\nA : b\r\n\r\n"), Err("a field is named 'A '".to_owned()));
    }

    #[test]
    fn strict_reader_of_204_takes_what_follows_for_no_body() {
        let read = read(b"HTTP/1.1 204 No Content\r\n\r\nhello", Side::Response { head: false });
        assert_eq!(read.map(|m| m.rest), Ok(b"hello".to_vec()));
    }
}
