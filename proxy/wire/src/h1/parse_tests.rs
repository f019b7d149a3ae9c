//! What is accepted and what is refused, and that the way bytes arrive changes neither.
use super::*;

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
    assert_eq!(super::super::request_body(&head), Ok(super::super::Body::Length(3)));
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
