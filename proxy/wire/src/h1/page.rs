//! Error files: what a file must be so that clients can be sent it (manual chapter 4.2, `errorfile`).

use super::scan::is_token;

/// An error file that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPage {
    /// The status it says; 0 where it is empty.
    pub status: u16,
    /// The whole response, each line of its head with CR LF; empty: the connection is closed without a word.
    pub bytes: Vec<u8>,
}

/// Largest file, in bytes: HAProxy's buffer (`tune.bufsize`).
const MAX_SIZE: usize = 16_384;
/// Most header fields, as in HAProxy (`tune.http.maxhdr`).
const MAX_FIELDS: usize = 101;

/// Reads a whole response: an empty one, which closes the connection without a word, is right too.
///
/// # Errors
/// What is wrong, and in which line.
pub fn read(bytes: &[u8]) -> Result<ErrorPage, String> {
    if bytes.is_empty() {
        return Ok(ErrorPage::default());
    }
    if bytes.len() > MAX_SIZE {
        return Err(format!("it has {} bytes, and a response may have {MAX_SIZE}", bytes.len()));
    }
    let mut rest = bytes;
    let mut number = 1;
    let mut line = take_line(&mut rest).ok_or("its first line does not end")?;
    if line.is_empty() {
        // One empty line before the message is passed over (RFC 9112, section 2.2).
        number += 1;
        line = take_line(&mut rest).ok_or("its first line does not end")?;
    }
    let status = status(line).ok_or_else(|| {
        format!("line {number} is no status line of HTTP/1, such as 'HTTP/1.0 503 Service Unavailable'")
    })?;
    let mut whole = Vec::with_capacity(bytes.len());
    put(line, &mut whole);
    let mut length = None;
    for fields in 0.. {
        number += 1;
        let line = take_line(&mut rest)
            .ok_or("its header does not end: an empty line is expected behind the header, before the body")?;
        if line.is_empty() {
            break;
        }
        if fields > 0 && (line.starts_with(b" ") || line.starts_with(b"\t")) {
            // It goes on with the field before it, in the same line when it is sent (RFC 9112, section 5.2).
            whole.truncate(whole.len() - END.len());
            whole.push(b' ');
            put(line.trim_ascii(), &mut whole);
            continue;
        }
        put(line, &mut whole);
        if fields == MAX_FIELDS {
            return Err(format!("it has more than {MAX_FIELDS} header fields"));
        }
        let wrong = |why: &str| Err(format!("line {number}: {why}"));
        if line.contains(&0) || line.contains(&b'\r') {
            return wrong("a header field has no zero bytes and no carriage returns");
        }
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            return wrong("a header field is expected, 'name: value'");
        };
        let name = str::from_utf8(&line[..colon]).unwrap_or_default();
        if !is_token(name.as_bytes()) {
            return wrong("a header field begins with its name, without blanks, and a colon");
        }
        let value = line[colon + 1..].trim_ascii();
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return wrong("a body in chunks is not sent from a file: leave 'transfer-encoding' out");
        }
        if name.eq_ignore_ascii_case("content-length") {
            let text = str::from_utf8(value).unwrap_or_default();
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            let Some(said) = text.parse::<usize>().ok().filter(|_| digits) else {
                return wrong("'content-length' expects a number");
            };
            if length.is_some_and(|before| before != said) {
                return wrong("it says two lengths");
            }
            length = Some(said);
        }
    }
    let body = rest.len();
    match length {
        Some(said) if said != body => {
            Err(format!("its body has {body} bytes, and its 'content-length' says {said}"))
        }
        _ if body > 0 && matches!(status, 100..200 | 204 | 304) => {
            Err(format!("a response with status {status} has no body, and this one has {body} bytes of it"))
        }
        _ => {
            whole.extend_from_slice(END);
            whole.extend_from_slice(rest);
            Ok(ErrorPage { status, bytes: whole })
        }
    }
}

/// The end of a line as it is sent.
const END: &[u8] = b"\r\n";

fn put(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(line);
    out.extend_from_slice(END);
}

/// Takes a line and its end; the end is left out, CR LF or LF alone.
fn take_line<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let end = rest.iter().position(|b| *b == b'\n')?;
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// The status of a line as `HTTP/1.0 503 Service Unavailable`.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [b'0' | b'1', b' ', rest @ ..] = rest else { return None };
    let digits = rest.split(|b| *b == b' ').next()?;
    let status = str::from_utf8(digits).ok()?;
    status.parse().ok().filter(|status| digits.len() == 3 && *status >= 100)
}

#[cfg(test)]
mod tests {
    use super::read;

    const HEAD: &str = "HTTP/1.0 503 Service Unavailable\r\nCache-Control: no-cache\r\nConnection: close\r\n";

    #[test]
    fn error_file_that_is_a_response_is_taken() {
        let taken = [
            String::new(),
            format!("{HEAD}\r\n<html>x</html>\n"),
            format!("{HEAD}\r\nx").replace('\r', ""),
            format!("\r\n{HEAD}\r\nx"),
            format!("{HEAD}Content-Length: 3\r\ncontent-length: 3\r\n\r\nabc"),
            format!("{HEAD}X: y\r\n z\r\n\r\nabc"),
            "HTTP/1.1 503\r\n\r\nx".to_owned(),
            "HTTP/1.0 404 other\r\n\r\nx".to_owned(),
            format!("{HEAD}\r\n{}", "x".repeat(16_384 - HEAD.len() - 2)),
        ];
        for text in taken {
            assert!(read(text.as_bytes()).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn lines_of_an_error_file_end_as_they_are_sent() {
        let page = read(b"\nHTTP/1.1 410 Gone\nX: a\n b\n\ntext\n").unwrap();
        assert_eq!(
            (page.status, page.bytes.as_slice()),
            (410, &b"HTTP/1.1 410 Gone\r\nX: a b\r\n\r\ntext\n"[..])
        );
    }

    #[test]
    fn error_file_that_is_no_response_is_refused() {
        let refused = [
            ("root:*:19000:0:99999:7:::\ndaemon:*:1::\n".to_owned(), "line 1 is no status line"),
            ("<html>hi</html>\n".to_owned(), "line 1 is no status line"),
            ("HTTP/1.0 abc x\r\n\r\n".to_owned(), "line 1 is no status line"),
            ("HTTP/1.0 503 x\r\n".to_owned(), "its header does not end"),
            (HEAD.to_owned(), "its header does not end"),
            (format!("{HEAD}Content-Length: 2\r\n\r\nabc"), "has 3 bytes, and its 'content-length' says 2"),
            (format!("{HEAD}Content-Length: 5\r\n\r\nabc"), "says 5"),
            (format!("{HEAD}Content-Length: x\r\n\r\nabc"), "line 4: 'content-length' expects a number"),
            (
                format!("{HEAD}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
                "line 5: it says two lengths",
            ),
            (format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "line 4: a body in chunks"),
            (format!("{HEAD}a b: c\r\n\r\n"), "line 4: a header field begins with its name"),
            (format!("{HEAD}abc\r\n\r\n"), "line 4: a header field is expected"),
            (format!("{HEAD}: x\r\n\r\n"), "line 4: a header field begins with its name"),
            (format!("{HEAD}X: a\0b\r\n\r\n"), "line 4: a header field has no zero bytes"),
            ("HTTP/1.0 204 x\r\n\r\nx".to_owned(), "status 204 has no body"),
            (format!("{HEAD}{}\r\n", "X: 1\r\n".repeat(120)), "more than 101 header fields"),
            (format!("{HEAD}\r\n{}", "x".repeat(16_384)), "a response may have 16384"),
        ];
        for (text, why) in refused {
            let refusal = read(text.as_bytes()).unwrap_err();
            assert!(refusal.contains(why), "{text:?}: {refusal}");
        }
    }
}
