//! Heads and chunks to bytes. Where a message ends is written from what the engine knows of its body, and what becomes of
//! the connection from what the engine will do: never from fields, which rules can change.

use super::body::Framing;
use super::head::{Head, OwnFields, Version, is_engines};
use super::hop::Hop;
use super::scan::token_end;

/// Writes the end of a chunked body, with its trailers: whole lines that the decoder has looked at. Those that could
/// change how the message is understood are left out (RFC 9110 6.5.1).
pub fn last_chunk(trailers: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for line in trailers.split_inclusive(|b| *b == b'\n') {
        let (start, name) = (out.len(), token_end(line));
        out.extend_from_slice(line);
        out[start..start + name].make_ascii_lowercase();
        let name = &out[start..start + name];
        if is_engines(name) || matches!(name, b"host" | b"te" | b"upgrade") {
            out.truncate(start);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a request's head. We always speak HTTP/1.1 to servers, unless the client spoke 1.0.
pub fn write_request(head: &Head, framing: Framing, hop: Hop, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method());
    out.push(b' ');
    out.extend_from_slice(head.target());
    out.extend_from_slice(match head.version() {
        Version::Http10 => b" HTTP/1.0\r\n",
        Version::Http11 => b" HTTP/1.1\r\n",
    });
    write_fields(head, framing, hop, out);
}

/// Writes a response's head. We always speak HTTP/1.1 to clients (RFC 9110 6.2).
pub fn write_response(head: &Head, framing: Framing, hop: Hop, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_status(head, framing, hop, out);
}

/// Writes the head of an operator's page that says it is of HTTP/1.0: it ends with its connection.
pub fn write_old_response(head: &Head, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.0 ");
    write_status(head, Framing::UntilClose, Hop::Default, out);
}

fn write_status(head: &Head, framing: Framing, hop: Hop, out: &mut Vec<u8>) {
    let status = head.status().min(999);
    for divisor in [100, 10, 1] {
        out.push(b'0' + u8::try_from(status / divisor % 10).unwrap_or(0));
    }
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
    write_fields(head, framing, hop, out);
}

fn write_fields(head: &Head, framing: Framing, hop: Hop, out: &mut Vec<u8>) {
    let length = match framing {
        Framing::Length(length) => Some(length),
        Framing::Nothing | Framing::Chunked | Framing::UntilClose => None,
    };
    // A field that says it already stays where it stood.
    let wanted = OwnFields {
        length: length.is_some() && length == head.content_length(),
        coding: framing == Framing::Chunked,
        switch: hop == Hop::Upgrade,
    };
    let written = head.write_fields(wanted, out);
    if let Some(length) = length.filter(|_| !written.length) {
        out.extend_from_slice(b"content-length: ");
        write_number(length, out);
        out.extend_from_slice(b"\r\n");
    }
    if wanted.coding && !written.coding {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    if !written.switch {
        out.extend_from_slice(hop.line());
    }
    out.extend_from_slice(b"\r\n");
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes the line before a chunk of so many bytes.
pub fn chunk_header(length: usize, out: &mut Vec<u8>) {
    let mut started = false;
    for shift in (0..usize::BITS / 4).rev() {
        let digit = u32::try_from(length >> (shift * 4) & 0xf).unwrap_or(0);
        started |= digit != 0 || shift == 0;
        if started {
            out.push(char::from_digit(digit, 16).map_or(b'0', |c| c as u8));
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{Limits, parse_request};

    #[test]
    fn a_head_comes_out_as_it_was_understood() {
        let mut head = Head::default();
        let text = b"GET /x HTTP/1.1\r\nHost: a\r\nX-Mixed-Case:   v  \r\n\r\n";
        parse_request(text, &Limits::default(), &mut head).unwrap();
        let mut out = Vec::new();
        write_request(&head, Framing::Nothing, Hop::Default, &mut out);
        assert_eq!(out, b"GET /x HTTP/1.1\r\nhost: a\r\nx-mixed-case: v\r\n\r\n");
    }

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        for length in [0, 1, 15, 16, 255, 16_384] {
            let mut out = Vec::new();
            chunk_header(length, &mut out);
            assert_eq!(out, format!("{length:x}\r\n").into_bytes());
        }
    }
}
