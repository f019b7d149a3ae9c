//! What is accepted and what is refused, and that the way bytes arrive changes neither.
use super::*;
use crate::h1::scan::MAX_FIELDS;

fn request(text: &str) -> Result<Parsed, Refusal> {
    parse_request(text.as_bytes(), &Limits::default(), &mut Head::default())
}

const REFUSED: &[(&str, &str, Refusal)] = &[
    ("bare line feed", "GET / HTTP/1.1\nhost: a\n\n", Refusal::Header),
    ("space before the colon", "GET / HTTP/1.1\r\nhost : a\r\n\r\n", Refusal::Header),
    ("folded line", "GET / HTTP/1.1\r\nhost: a\r\n b\r\n\r\n", Refusal::Header),
    ("NUL in a value", "GET / HTTP/1.1\r\nhost: a\0\r\n\r\n", Refusal::Header),
    ("two hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", Refusal::Host),
    (
        "two lengths",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        Refusal::ContentLength,
    ),
    ("signed length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\n", Refusal::ContentLength),
    (
        "huge length",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n",
        Refusal::ContentLength,
    ),
    (
        "unknown coding",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        Refusal::TransferEncoding,
    ),
    (
        "coding twice",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        Refusal::TransferEncoding,
    ),
    (
        "coding in 1.0",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        Refusal::TransferEncoding,
    ),
    ("relative target", "GET foo HTTP/1.1\r\nhost: a\r\n\r\n", Refusal::Target),
    ("star with GET", "GET * HTTP/1.1\r\nhost: a\r\n\r\n", Refusal::Target),
    ("version 2", "GET / HTTP/2.0\r\nhost: a\r\n\r\n", Refusal::Version),
    ("no version", "GET /\r\n\r\n", Refusal::Version),
];

#[test]
fn what_could_be_understood_in_two_ways_is_refused() {
    for (what, text, _) in REFUSED {
        assert!(request(text).is_err(), "{what}: {:?}", request(text));
    }
    for (what, text, reason) in REFUSED.iter().filter(|(w, ..)| !w.starts_with("no version")) {
        assert_eq!(request(text), Err(*reason), "{what}");
    }
}

#[test]
fn a_head_is_partial_until_its_last_byte() {
    let text = "\r\nGET /a?b=c HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: x\r\n\r\n";
    for end in 0..text.len() {
        assert_eq!(request(&text[..end]), Ok(Parsed::Partial), "{end}");
    }
    let mut head = Head::default();
    let parsed = parse_request(format!("{text}GET").as_bytes(), &Limits::default(), &mut head);
    assert_eq!(parsed, Ok(Parsed::Complete(text.len())));
    assert_eq!((head.path(), head.query(), head.host()), (&b"/a"[..], &b"b=c"[..], Some(&b"a"[..])));
    assert!(head.upgrade() && head.keeps_alive());
}

#[test]
fn a_head_beyond_the_limit_is_refused() {
    let text = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(16_000));
    assert_eq!(request(&text), Err(Refusal::HeadTooLarge));
    assert_eq!(request(&text[..16_000]), Err(Refusal::HeadTooLarge));
    let many = "a: b\r\n".repeat(MAX_FIELDS + 1);
    assert_eq!(request(&format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n")), Err(Refusal::TooManyFields));
}

#[test]
fn equal_duplicates_are_one() {
    let mut head = Head::default();
    let text = "POST / HTTP/1.1\r\nhost: a\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n";
    assert!(parse_request(text.as_bytes(), &Limits::default(), &mut head).is_ok());
    assert_eq!(head.values(b"host").count(), 1);
    assert_eq!(super::super::request_body(&head), super::super::Body::Length(3));
}

#[test]
fn chunked_overrides_a_length_and_ends_the_connection() {
    let mut head = Head::default();
    let text = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n";
    assert!(parse_request(text.as_bytes(), &Limits::default(), &mut head).is_ok());
    assert_eq!(head.first(b"content-length"), None);
    assert!(!head.keeps_alive());
}

#[test]
fn an_edited_value_cannot_end_its_field() {
    let mut head = Head::default();
    head.add(b"X-A", b"b\r\nevil: 1");
    assert_eq!(head.first(b"x-a"), Some(&b"b  evil: 1"[..]));
    assert!(!head.set_target(b"/ HTTP/1.1\r\nx: y"));
}

#[test]
fn responses_are_read_as_strictly() {
    let response = |text: &str| parse_response(text.as_bytes(), &Limits::default(), &mut Head::default());
    for text in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 404 \r\na: b\r\n\r\n", "HTTP/1.1 204\r\n\r\n"] {
        assert_eq!(response(text), Ok(Parsed::Complete(text.len())), "{text:?}");
        for end in 0..text.len() {
            assert_eq!(response(&text[..end]), Ok(Parsed::Partial), "{:?}", &text[..end]);
        }
    }
    for text in [
        "HTTP/1.1 99 x\r\n",
        "HTTP/1.1 2000 x\r\n",
        "HTTP/1.1  200 x\r\n",
        "HTTP/2.0 200 x\r\n",
        "220 ftp\r\n",
    ] {
        assert!(response(text).is_err(), "{text:?}");
    }
    assert_eq!(response("SSH"), Err(Refusal::StartLine), "nothing is waited for");
}

#[test]
fn blanks_around_a_value_are_no_part_of_it() {
    let mut head = Head::default();
    let text = b"GET / HTTP/1.1\r\nA: \t x y\t \r\nB:z\r\nC:\r\nD: \r\nE: e\r\n\r\n";
    assert!(parse_request(text, &Limits::default(), &mut head).is_ok());
    let values: Vec<&[u8]> = head.fields().map(|(_, value)| value).collect();
    assert_eq!(values, [&b"x y"[..], b"z", b"", b"", b"e"]);
    let mut out = Vec::new();
    head.write_fields(true, &mut out);
    assert_eq!(out, b"a: x y\r\nb: z\r\nc: \r\nd: \r\ne: e\r\n");
}

/// A request as it leaves for a server after `rules` have changed it.
fn sent(text: &str, rules: impl FnOnce(&mut Head)) -> String {
    use crate::h1::{Hop, encode, request_body, request_framing};
    let mut head = Head::default();
    assert!(parse_request(text.as_bytes(), &Limits::default(), &mut head).is_ok(), "{text:?}");
    let framing = request_framing(&head, request_body(&head));
    rules(&mut head);
    let mut out = Vec::new();
    encode::write_request(&head, framing, Hop::of_request(&head, true), &mut out);
    String::from_utf8(out).unwrap_or_default()
}

#[test]
fn fields_named_by_connection_are_seen_and_left_out() {
    let text = "GET / HTTP/1.1\r\nhost: a\r\nX-Real-IP: 9.9.9.9\r\nx-forwarded-for: 9.9.9.9\r\nx-c: c\r\n\
                Connection: close, X-Forwarded-For ,x-real-ip,Host\r\nconnection:x-c\r\n\r\n";
    let added = sent(text, |head| {
        assert_eq!(head.first(b"x-real-ip"), Some(&b"9.9.9.9"[..]), "rules see it");
        assert_eq!(head.values(b"connection").count(), 2, "and what named it");
        head.set(b"x-real-ip", b"192.0.2.1");
        head.add_clean(b"x-forwarded-for", b"192.0.2.1");
    });
    let expected = "GET / HTTP/1.1\r\nhost: a\r\nx-real-ip: 192.0.2.1\r\nx-forwarded-for: 192.0.2.1\r\n\r\n";
    assert_eq!(added, expected);
    assert_eq!(sent(text, |_| ()), "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
}

#[test]
fn connection_cannot_name_what_frames_or_routes() {
    let text = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nconnection: host, content-length\r\n\r\n";
    assert_eq!(sent(text, |_| ()), "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n");
    let text = "POST / HTTP/1.1\r\nhost: a\r\nte: x\r\nconnection: transfer-encoding, te\r\n\
                transfer-encoding: chunked\r\n\r\n";
    assert_eq!(sent(text, |_| ()), "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
}

#[test]
fn framing_is_the_engines_whatever_rules_do() {
    let text = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n";
    let expected = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n";
    assert_eq!(sent(text, |head| assert!(head.remove(b"content-length"))), expected);
    assert_eq!(sent(text, |head| head.set(b"content-length", b"5")), expected);
    assert_eq!(sent(text, |head| head.add(b"content-length", b"5")), expected);
    assert_eq!(sent(text, |head| head.add(b"transfer-encoding", b"chunked")), expected);
    assert_eq!(sent(text, |head| head.set_value(1, Some(b"5"))), expected);
    assert_eq!(sent(text, |head| head.add(b"connection", b"close")), expected);
}

#[test]
fn lengths_leave_as_one_number_however_they_came() {
    for fields in [
        "content-length: 3, 3",
        "content-length: 3\r\ncontent-length: 3",
        "content-length: 3 ,3\r\ncontent-length: 3",
    ] {
        let text = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
        assert_eq!(
            sent(&text, |_| ()),
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n",
            "{fields}"
        );
    }
}

#[test]
fn responses_are_framed_for_their_client() {
    use crate::h1::{Framing, Method, Version, response_body, response_framing};
    for (text, method, client, expected) in [
        ("200 OK\r\ncontent-length: 5", Method::Get, Version::Http11, Framing::Length(5)),
        ("200 OK\r\ncontent-length: 5", Method::Head, Version::Http11, Framing::Length(5)),
        ("304 x\r\ncontent-length: 5", Method::Get, Version::Http11, Framing::Length(5)),
        ("204 x\r\ncontent-length: 5", Method::Get, Version::Http11, Framing::Nothing),
        ("200 OK\r\ntransfer-encoding: chunked", Method::Get, Version::Http11, Framing::Chunked),
        ("200 OK\r\ntransfer-encoding: chunked", Method::Get, Version::Http10, Framing::UntilClose),
        ("200 OK\r\ntransfer-encoding: chunked", Method::Head, Version::Http11, Framing::Chunked),
        ("200 OK", Method::Get, Version::Http11, Framing::Chunked),
        ("200 OK", Method::Get, Version::Http10, Framing::UntilClose),
        ("101 x\r\nconnection: upgrade\r\nupgrade: y", Method::Get, Version::Http11, Framing::Nothing),
    ] {
        let mut head = Head::default();
        let whole = format!("HTTP/1.1 {text}\r\n\r\n");
        assert!(parse_response(whole.as_bytes(), &Limits::default(), &mut head).is_ok(), "{text:?}");
        let body = response_body(&head, method, true);
        assert_eq!(
            body.map(|b| response_framing(&head, b, client)),
            Ok(expected),
            "{text:?} {method:?} {client:?}"
        );
        assert_eq!(response_body(&head, method, false).is_err(), text.starts_with("101"), "{text:?}");
    }
}

/// Another parser's opinion of thousands of heads that are nearly right: what we take it takes, with the same
/// fields, and what it refuses we do not take.
#[test]
fn nothing_is_taken_that_another_parser_refuses_or_reads_in_another_way() {
    const SEED: &str =
        "GET /a?b HTTP/1.1\r\nHost: a.b\r\nX-Y:  v \t\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxyz";
    const BYTES: &[u8] = b"\r\n\t\0 :,/a1A(\x7f\xff";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % bound
    };
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = SEED.as_bytes().to_vec();
        for _ in 0..random(3) {
            let place = random(bytes.len());
            match random(3) {
                0 => bytes[place] = BYTES[random(BYTES.len())],
                1 => bytes.insert(place, BYTES[random(BYTES.len())]),
                _ => drop(bytes.remove(place)),
            }
        }
        bytes.truncate(bytes.len() - random(2) * random(60));
        let mut head = Head::default();
        let ours = parse_request(&bytes, &Limits::default(), &mut head);
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let theirs = request.parse(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        match ours {
            Ok(Parsed::Complete(used)) => {
                taken += 1;
                assert_eq!(theirs, Ok(httparse::Status::Complete(used)), "{text:?}");
                assert_eq!(Some(head.target()), request.path.map(str::as_bytes), "{text:?}");
                let theirs =
                    request.headers.iter().map(|f| (f.name.to_ascii_lowercase().into_bytes(), f.value));
                let trimmed = theirs.map(|(name, value)| (name, value.trim_ascii().to_vec()));
                let ours = head.fields().map(|(name, value)| (name.to_vec(), value.to_vec()));
                assert!(ours.eq(trimmed), "{text:?}");
            }
            Ok(Parsed::Partial) => {
                assert!(!matches!(theirs, Ok(httparse::Status::Complete(_))), "{text:?}");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(taken > 5_000 && refused > 2_000, "{taken} {refused}");
}
