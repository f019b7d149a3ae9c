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
    ("list of lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 5\r\n\r\n", Refusal::ContentLength),
    (
        "list of lengths, chunked",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5,5\r\ntransfer-encoding: chunked\r\n\r\n",
        Refusal::ContentLength,
    ),
    ("fragment", "GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", Refusal::Target),
    ("user before the host", "GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n", Refusal::Target),
    ("query behind a host", "GET http://a?q HTTP/1.1\r\nhost: a\r\n\r\n", Refusal::Target),
    ("no host in the target", "GET http:///p HTTP/1.1\r\nhost: a\r\n\r\n", Refusal::Target),
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
    assert_eq!((head.path(), head.query(), head.host()), (&b"/a"[..], Some(&b"b=c"[..]), Some(&b"a"[..])));
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
fn lengths_that_are_equal_are_sent_on_as_one() {
    for (text, is_request) in [
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nContent-Length: 3\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 03\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\n\r\n", false),
    ] {
        let mut head = Head::default();
        let parse = if is_request { parse_request } else { parse_response };
        assert!(parse(text.as_bytes(), &Limits::default(), &mut head).is_ok(), "{text:?}");
        assert_eq!(head.values(b"content-length").collect::<Vec<_>>(), [b"3"], "{text:?}");
    }
}

/// As HAProxy 2.6 answers each, but where the last column says otherwise.
#[test]
fn target_that_names_a_server_agrees_with_host() {
    for (line, host, expected) in [
        ("GET http://a.example/p?q", Some("a.example"), Ok(("http://a.example/p?q", "a.example"))),
        ("GET http://A.Example/p", Some("a.example"), Ok(("http://A.Example/p", "a.example"))),
        ("GET http://a:80/p", Some("a"), Ok(("http://a/p", "a"))),
        ("GET http://a:80/", Some("a:80"), Ok(("http://a/", "a"))),
        ("GET http://a/", Some("a:80"), Ok(("http://a/", "a:80"))),
        ("GET https://a:443/", Some("a"), Ok(("https://a/", "a"))),
        ("GET http://a:/", Some("a"), Ok(("http://a/", "a"))),
        ("GET http://[::1]:80/", Some("[::1]"), Ok(("http://[::1]/", "[::1]"))),
        ("GET http://a:8080/", Some("A:8080"), Ok(("http://a:8080/", "A:8080"))),
        ("OPTIONS http://a:80", Some("a"), Ok(("http://a", "a"))),
        ("CONNECT a:443", Some("a:443"), Ok(("a:443", "a"))),
        ("CONNECT a:8080", Some("a:8080"), Ok(("a:8080", "a:8080"))),
        ("CONNECT a:443", Some("a"), Ok(("a:443", "a"))),
        ("GET http://b/p", Some("a"), Err(Refusal::Host)),
        ("GET http://a:443/", Some("a"), Err(Refusal::Host)),
        ("GET https://a:80/", Some("a"), Err(Refusal::Host)),
        ("GET http://a/", Some("a:8080"), Err(Refusal::Host)),
        ("GET http://a:8080/", Some("a"), Err(Refusal::Host)),
        ("GET http://a/", Some(""), Err(Refusal::Host)),
        ("OPTIONS http://b", Some("a"), Err(Refusal::Host)),
        ("CONNECT a:443", Some("b"), Err(Refusal::Host)),
        ("CONNECT a:8080", Some("a"), Err(Refusal::Host)),
        // HAProxy sends these on without the field.
        ("GET http://a:80/p", None, Ok(("http://a/p", "a"))),
        ("CONNECT a:443", None, Ok(("a:443", "a"))),
    ] {
        let field = host.map_or(String::new(), |host| format!("Host: {host}\r\n"));
        let text = format!("{line} HTTP/1.1\r\n{field}X: y\r\n\r\n");
        let mut head = Head::default();
        let parsed = parse_request(text.as_bytes(), &Limits::default(), &mut head);
        let got = parsed.map(|_| (head.target(), head.host().unwrap_or_default()));
        let expected = expected.map(|(target, host): (&str, &str)| (target.as_bytes(), host.as_bytes()));
        assert_eq!(got, expected, "{line} {host:?}");
    }
}

#[test]
fn hosts_that_differ_in_case_alone_are_one() {
    let mut head = Head::default();
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nHost: A\r\n\r\n";
    assert!(parse_request(text, &Limits::default(), &mut head).is_ok());
    assert_eq!(head.values(b"host").collect::<Vec<_>>(), [b"a"]);
}

#[test]
fn target_is_rewritten_whole_or_not_at_all() {
    let head = |line: &str, host: &str| {
        let mut head = Head::default();
        let text = format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert!(parse_request(text.as_bytes(), &Limits::default(), &mut head).is_ok(), "{text}");
        head
    };
    for (line, path, whole, expected) in [
        ("GET /p?q", "/n", false, Some("/n?q")),
        ("GET /p?", "/n", false, Some("/n?")),
        ("GET /p?q", "/n?z", true, Some("/n?z")),
        ("GET http://a/p?q", "/n", false, Some("http://a/n?q")),
        ("GET http://a", "/n", false, Some("/n")),
        ("OPTIONS *", "/n", false, Some("/n")),
        ("OPTIONS /p", "*", false, Some("*")),
        ("CONNECT a:443", "/n", false, None),
        ("GET /p?q", "n", false, None),
        ("GET /p?q", "", false, None),
        ("GET /p?q", "http://b/n", false, None),
        ("GET http://a/p", ".evil/n", false, None),
        ("GET /p", "/a b", false, None),
        ("GET /p", "/a#b", false, None),
    ] {
        let mut head = head(line, "a");
        let before = head.target().to_vec();
        assert_eq!(head.set_path(path.as_bytes(), whole), expected.is_some(), "{line} {path}");
        assert_eq!(head.target(), expected.map_or(&before[..], str::as_bytes), "{line} {path}");
    }
    for (line, query, expected) in [
        ("GET /p?q", "z=1", Some("/p?z=1")),
        ("GET /p", "?z", Some("/p??z")),
        ("GET /p?q", "", Some("/p?")),
        ("GET /p", "", Some("/p")),
        ("OPTIONS *", "", Some("*")),
        ("GET http://a/p", "z", Some("http://a/p?z")),
        ("GET http://a", "z", None),
        ("OPTIONS *", "z", None),
        ("CONNECT a:443", "z", None),
    ] {
        let mut head = head(line, "a");
        let before = head.target().to_vec();
        assert_eq!(head.set_query(query.as_bytes()), expected.is_some(), "{line} {query}");
        assert_eq!(head.target(), expected.map_or(&before[..], str::as_bytes), "{line} {query}");
    }
    let mut named = head("GET /p", "a");
    assert!(named.set_target(b"http://b/z"));
    assert_eq!((named.target(), named.host()), (&b"http://b/z"[..], Some(&b"b"[..])));
    named.set(b"host", b"c:81");
    assert!(named.follow_host());
    assert_eq!(named.target(), b"http://c:81/z");
    named.set(b"host", b"c/d");
    assert!(!named.follow_host());
    let mut tunnel = head("CONNECT a:443", "a");
    tunnel.set(b"host", b"b");
    assert!(tunnel.follow_host());
    assert_eq!(tunnel.target(), b"b:443");
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
    head.write_fields(super::super::head::OwnFields { length: true, ..Default::default() }, &mut out);
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
    let text = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nContent-Length:3 \r\n\r\n";
    assert_eq!(sent(text, |_| ()), "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n");
    use crate::h1::{Framing, Hop, encode};
    for fields in ["content-length: 3, 3", "content-length: 3 ,3\r\ncontent-length: 3"] {
        let mut head = Head::default();
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        assert!(parse_response(text.as_bytes(), &Limits::default(), &mut head).is_ok(), "{text:?}");
        let mut out = Vec::new();
        encode::write_response(&head, Framing::Length(3), Hop::Default, &mut out);
        assert_eq!(out, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", "{fields}");
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
        let version = if client == Version::Http10 { "1.0" } else { "1.1" };
        let asked = if method == Method::Head { "HEAD" } else { "GET" };
        let mut request = Head::default();
        let line = format!("{asked} / HTTP/{version}\r\nhost: x\r\n\r\n");
        assert!(parse_request(line.as_bytes(), &Limits::default(), &mut request).is_ok());
        let body = response_body(&head, method, true);
        assert_eq!(
            body.map(|b| response_framing(&head, b, &request)),
            Ok(expected),
            "{text:?} {method:?} {client:?}"
        );
        assert_eq!(response_body(&head, method, false).is_err(), text.starts_with("101"), "{text:?}");
    }
}

#[test]
fn what_a_rule_makes_of_the_method_does_not_frame_the_response() {
    use crate::h1::{Body, Framing, response_body, response_framing};
    let mut response = Head::default();
    let text = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert!(parse_response(text, &Limits::default(), &mut response).is_ok());
    for (asked, sent, expected) in [("HEAD", "GET", Framing::Length(5)), ("GET", "HEAD", Framing::Length(0))]
    {
        let mut request = Head::default();
        let line = format!("{asked} / HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(parse_request(line.as_bytes(), &Limits::default(), &mut request).is_ok());
        assert!(request.set_method(sent.as_bytes()));
        assert_eq!(request.asks_for_head(), asked == "HEAD");
        let body = response_body(&response, request.method_kind(), false);
        assert_eq!(body, Ok(if sent == "HEAD" { Body::None } else { Body::Length(5) }));
        assert_eq!(response_framing(&response, Body::None, &request), expected, "{asked}");
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

fn head_of(text: &str) -> Head {
    let mut head = Head::default();
    let parsed = parse_request(text.as_bytes(), &Limits::default(), &mut head);
    assert_eq!(parsed, Ok(Parsed::Complete(text.len())), "{text:?}");
    head
}

#[test]
fn methods_are_told_by_their_names() {
    use crate::h1::Method;
    for (name, kind, idempotent) in [
        ("GET", Method::Get, true),
        ("HEAD", Method::Head, true),
        ("POST", Method::Post, false),
        ("PUT", Method::Put, true),
        ("DELETE", Method::Delete, true),
        ("OPTIONS", Method::Options, true),
        ("TRACE", Method::Trace, true),
        ("PATCH", Method::Patch, false),
        ("get", Method::Other, false),
    ] {
        let head = head_of(&format!("{name} / HTTP/1.1\r\nhost: x\r\n\r\n"));
        assert_eq!((head.method(), head.method_kind()), (name.as_bytes(), kind));
        assert_eq!(kind.is_idempotent(), idempotent, "{name}");
        assert_eq!(head.asks_for_head(), name == "HEAD");
    }
    assert_eq!(head_of("CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n").method_kind(), Method::Connect);
    assert!(!Method::Connect.is_idempotent());
}

#[test]
fn parts_of_a_target_are_told_apart() {
    for (target, path, query, both, authority) in [
        ("/", "/", None, "/", None),
        ("/a?b=c?d", "/a", Some("b=c?d"), "/a?b=c?d", None),
        ("/a?", "/a", Some(""), "/a?", None),
        ("http://x/a?b", "/a", Some("b"), "/a?b", Some("x")),
        ("*", "", None, "", None),
    ] {
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        let head = head_of(&format!("{method} {target} HTTP/1.1\r\nhost: x\r\n\r\n"));
        assert_eq!(head.target(), target.as_bytes());
        assert_eq!(head.path(), path.as_bytes(), "{target}");
        assert_eq!(head.query(), query.map(str::as_bytes), "{target}");
        assert_eq!(head.path_and_query(), both.as_bytes(), "{target}");
        assert_eq!(head.authority(), authority.map(str::as_bytes), "{target}");
    }
}

#[test]
fn fields_are_found_changed_and_taken_out() {
    let mut head = head_of("GET / HTTP/1.1\r\nhost: x\r\na: 1\r\nA: 2\r\nb: 3\r\n\r\n");
    assert_eq!(
        (head.first(b"A"), head.last(b"a"), head.last(b"c")),
        (Some(&b"1"[..]), Some(&b"2"[..]), None)
    );
    assert_eq!((head.host(), head.status()), (Some(&b"x"[..]), 0));
    let shown = |head: &Head| {
        let fields = head.fields().map(|(name, value)| [name, b"=", value].concat());
        String::from_utf8(fields.collect::<Vec<_>>().join(&b' ')).unwrap()
    };
    head.set_value(1, Some(b"9"));
    head.set_value(4, Some(b"nowhere"));
    head.set_value(4, None);
    assert_eq!(shown(&head), "host=x a=9 a=2 b=3");
    head.set_value(3, None);
    assert_eq!(shown(&head), "host=x a=9 a=2");
}

#[test]
fn a_switch_is_asked_for_by_two_fields() {
    for (fields, asks) in [
        ("connection: upgrade\r\nupgrade: x", true),
        ("connection: keep-alive, Upgrade\r\nupgrade: x", true),
        ("connection: upgrade", false),
        ("upgrade: x", false),
        ("connection: close\r\nupgrade: x", false),
    ] {
        let head = head_of(&format!("GET / HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n"));
        assert_eq!(head.upgrade(), asks, "{fields}");
    }
}

#[test]
fn connections_are_kept_and_closed_as_all_options_say() {
    for (version, fields, keeps) in [
        ("1.1", "x: y", true),
        ("1.1", "connection: close", false),
        ("1.1", "connection: close, x\r\nconnection: y", false),
        ("1.1", "connection: keep-alive\r\nconnection: close", false),
        ("1.0", "x: y", false),
        ("1.0", "connection: keep-alive", true),
        ("1.0", "connection: keep-alive\r\nconnection: x", true),
        ("1.0", "connection: keep-alive, close", false),
    ] {
        let head = head_of(&format!("GET / HTTP/{version}\r\nhost: x\r\n{fields}\r\n\r\n"));
        assert_eq!(head.keeps_alive(), keeps, "{version} {fields}");
    }
    let waits =
        |text: &str| head_of(&format!("{text}\r\nhost: x\r\ncontent-length: 1\r\n\r\n")).expects_continue();
    assert!(waits("PUT / HTTP/1.1\r\nexpect: 100-Continue"));
    assert!(waits("PUT / HTTP/1.1\r\nexpect: 100-continue\r\nexpect: x"));
    assert!(!waits("PUT / HTTP/1.1\r\nexpect: 200-ok"));
    assert!(!waits("PUT / HTTP/1.0\r\nexpect: 100-continue"));
}

#[test]
fn lengths_are_whole_numbers_up_to_nineteen_digits() {
    for (text, number) in
        [("0", 0), ("7", 7), ("12", 12), ("0305", 305), ("9999999999999999999", 9_999_999_999_999_999_999)]
    {
        let mut head = Head::default();
        let text = format!("PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: {text}\r\n\r\n");
        assert!(parse_request(text.as_bytes(), &Limits::default(), &mut head).is_ok(), "{text}");
        assert_eq!(head.content_length(), Some(number));
    }
    for text in ["", "10000000000000000000", "1 2", "1/", "1:", "-1", "0x1"] {
        let mut head = Head::default();
        let text = format!("PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: {text}\r\n\r\n");
        let refused = parse_request(text.as_bytes(), &Limits::default(), &mut head);
        assert_eq!(refused, Err(Refusal::ContentLength), "{text}");
    }
}

#[test]
fn a_target_names_the_server_that_is_sent_in_host() {
    for (target, host, expected_target, expected_host) in [
        ("http://x/a", "x", "http://x/a", "x"),
        ("http://x:80/a", "x", "http://x/a", "x"),
        ("http://x/a", "x:80", "http://x/a", "x:80"),
        ("http://x:80/a", "x:80", "http://x/a", "x"),
        ("http://x:8080/a", "x:8080", "http://x:8080/a", "x:8080"),
        ("http://X/a", "x", "http://X/a", "x"),
        ("https://x:443/a", "x", "https://x/a", "x"),
    ] {
        let head = head_of(&format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        assert_eq!(String::from_utf8_lossy(head.target()), expected_target, "{target} {host}");
        assert_eq!(
            head.host().map(String::from_utf8_lossy).as_deref(),
            Some(expected_host),
            "{target} {host}"
        );
    }
    let head = head_of("GET http://x:80/a HTTP/1.1\r\n\r\n");
    assert_eq!((head.target(), head.host()), (&b"http://x/a"[..], Some(&b"x"[..])));
}

#[test]
fn bytes_that_begin_no_message_are_refused_at_once() {
    let mut head = Head::default();
    for (bytes, is_request) in [
        ("G", true),
        ("GET", true),
        ("GET /", true),
        ("\r", true),
        (" ", false),
        ("\x16\x03", false),
        ("G(", false),
    ] {
        let parsed = parse_request(bytes.as_bytes(), &Limits::default(), &mut head);
        assert_eq!(parsed == Ok(Parsed::Partial), is_request, "{bytes:?}: {parsed:?}");
    }
}

#[test]
fn control_bytes_are_found_wherever_they_stand() {
    for length in [1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65] {
        for place in 0..length {
            let mut value = vec![b'x'; length];
            for byte in [0, 1, 8, 11, 12, 14, 31, 127] {
                value[place] = byte;
                assert!(!super::scan::is_sound(&value), "{byte} at {place} of {length}");
            }
            for byte in [b'\t', b' ', b'~', 0x80, 0xff] {
                value[place] = byte;
                assert!(super::scan::is_sound(&value), "{byte} at {place} of {length}");
            }
        }
    }
}

#[test]
fn what_frames_a_message_stays_where_it_stood() {
    use crate::h1::{Framing, Hop, encode};
    let written = |text: &str, framing| {
        let mut head = head_of(text);
        head.add(b"x", b"y");
        let mut out = Vec::new();
        encode::write_request(&head, framing, Hop::Default, &mut out);
        String::from_utf8(out).unwrap()
    };
    for field in ["content-length: 3", "transfer-encoding: chunked"] {
        let framing = if field.starts_with('c') { Framing::Length(3) } else { Framing::Chunked };
        let text = format!("PUT / HTTP/1.1\r\nhost: x\r\n{field}\r\na: b\r\n\r\n");
        let expected = text.replace("\r\n\r\n", "\r\nx: y\r\n\r\n");
        assert_eq!(written(&text, framing), expected);
    }
    let text = "PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: Chunked\r\n\r\n";
    let expected = "PUT / HTTP/1.1\r\nhost: x\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(written(text, Framing::Chunked), expected);
    assert_eq!(
        written(text, Framing::Length(0)),
        expected.replace("transfer-encoding: chunked", "content-length: 0")
    );
}
