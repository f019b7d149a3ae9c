//! As much of HTTP/1.1 as the two ends of a case need, apart from the code under test.

/// Where the head ends: the length with its empty line.
fn head(bytes: &[u8]) -> Option<usize> {
    let crlf = bytes.windows(4).position(|part| part == b"\r\n\r\n").map(|place| place + 4);
    let bare = bytes.windows(2).position(|part| part == b"\n\n").map(|place| place + 2);
    crlf.into_iter().chain(bare).min()
}

/// The value of a field, in lower case.
pub(super) fn field(head: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    text.lines().skip(1).find_map(|line| {
        let (known, value) = line.split_once(':')?;
        (known == name).then(|| value.trim().to_owned())
    })
}

/// The length of a chunked body, its trailers included; `None`: it goes on.
fn chunks(bytes: &[u8]) -> Option<usize> {
    let mut place = 0;
    loop {
        let line = bytes[place..].iter().position(|byte| *byte == b'\n')?;
        let text = String::from_utf8_lossy(&bytes[place..place + line]).into_owned();
        let size = usize::from_str_radix(text.trim().split(';').next().unwrap_or_default(), 16).unwrap_or(0);
        place += line + 1;
        if size == 0 {
            loop {
                let line = bytes[place..].iter().position(|byte| *byte == b'\n')?;
                place += line + 1;
                if line <= 1 {
                    return Some(place);
                }
            }
        }
        place += size + 2;
        if place > bytes.len() {
            return None;
        }
    }
}

/// The length of the first request, if it is there as a whole.
pub(super) fn request(bytes: &[u8]) -> Option<usize> {
    let head = head(bytes)?;
    let length = match (field(&bytes[..head], "transfer-encoding"), field(&bytes[..head], "content-length")) {
        (Some(_), _) => chunks(&bytes[head..])?,
        (None, Some(length)) => length.parse().unwrap_or(0),
        (None, None) => 0,
    };
    (bytes.len() >= head + length).then_some(head + length)
}

/// The same messages with each chunked body in one chunk: where it is cut depends on how it arrives.
pub(super) fn joined(mut bytes: &[u8]) -> Vec<u8> {
    let mut shown = Vec::new();
    while let Some(length) = head(bytes) {
        let (top, rest) = bytes.split_at(length);
        shown.extend_from_slice(top);
        let used = if field(top, "transfer-encoding").is_some() {
            let (body, used) = dechunked(rest);
            if !body.is_empty() {
                shown.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
                shown.extend_from_slice(&body);
                shown.extend_from_slice(b"\r\n");
            }
            used
        } else {
            let length = field(top, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            let length = rest.len().min(length);
            shown.extend_from_slice(&rest[..length]);
            length
        };
        bytes = &rest[used..];
        // A body that only the end of its connection frames would be taken for another message.
        if !bytes.is_empty() && !starts_a_message(bytes) {
            break;
        }
    }
    shown.extend_from_slice(bytes);
    shown
}

fn starts_a_message(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/") || bytes.first().is_some_and(u8::is_ascii_uppercase)
}

/// The bytes of the complete chunks, and how much of the text they take; the last chunk and trailers are left.
fn dechunked(bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut body, mut place) = (Vec::new(), 0);
    while let Some(line) = bytes[place..].iter().position(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(&bytes[place..place + line]).into_owned();
        let size = usize::from_str_radix(text.trim().split(';').next().unwrap_or_default(), 16);
        let Ok(size) = size else { break };
        let begin = place + line + 1;
        if size == 0 || begin + size + 2 > bytes.len() {
            break;
        }
        body.extend_from_slice(&bytes[begin..begin + size]);
        place = begin + size + 2;
    }
    (body, place)
}

/// Method and path of a request.
pub(super) fn line(request: &[u8]) -> (String, String) {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line).into_owned();
    let mut words = text.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    (method.to_owned(), target.split('?').next().unwrap_or_default().to_owned())
}

/// What is known of a response that may go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// It is over; whether the connection is said to end with it.
    Complete { closes: bool },
    /// More of it may come.
    Partial,
}

/// Looks at the bytes of a response to a request with this method, interim answers before it included.
pub(super) fn response(mut bytes: &[u8], method: &str) -> Response {
    loop {
        let Some(length) = head(bytes) else { return Response::Partial };
        let (top, body) = bytes.split_at(length);
        let first = String::from_utf8_lossy(&top[..top.len().min(16)]).into_owned();
        let status: u16 = first.split(' ').nth(1).and_then(|text| text.get(..3)?.parse().ok()).unwrap_or(0);
        if (100..200).contains(&status) && status != 101 {
            bytes = body;
            continue;
        }
        let connection = field(top, "connection").unwrap_or_default();
        let closes =
            connection.contains("close") || (first.starts_with("HTTP/1.0") && !connection.contains("keep"));
        let complete = if method == "HEAD" || matches!(status, 101 | 204 | 304) {
            true
        } else if field(top, "transfer-encoding").is_some() {
            chunks(body).is_some()
        } else {
            field(top, "content-length")
                .is_some_and(|text| text.parse().is_ok_and(|length: usize| body.len() >= length))
        };
        return if complete { Response::Complete { closes } } else { Response::Partial };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_messages_are_found() {
        assert_eq!(request(b"GET / HTTP/1.1\r\n\r\nGET"), Some(18));
        assert_eq!(request(b"P / H\r\nContent-Length: 3\r\n\r\nab"), None);
        assert_eq!(
            request(b"P / H\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n"),
            Some(54)
        );
        let chunked = b"P / H\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n";
        let two = [chunked.as_slice(), chunked].concat();
        assert_eq!(joined(&two), two);
        let cut = joined(b"P / H\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n");
        assert_eq!(cut, b"P / H\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let done = |text: &[u8], method| response(text, method) != Response::Partial;
        assert!(done(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n", "GET"));
        assert!(!done(b"HTTP/1.1 100 Continue\r\n\r\n", "GET"));
        assert!(!done(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", "GET"));
        assert!(done(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "HEAD"));
        assert!(!done(b"HTTP/1.1 200 OK\r\n\r\nabc", "GET"));
    }
}
