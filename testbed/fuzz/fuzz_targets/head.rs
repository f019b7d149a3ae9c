//! Any bytes as the head of a request and of a response: what is taken is written, and read as the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_wire::h1::{
    Framing, Head, Hop, Limits, Parsed, encode, parse_request, parse_response, request_body, request_framing,
};

fuzz_target!(|data: (bool, Vec<u8>)| {
    let (is_request, bytes) = data;
    let parse = if is_request { parse_request } else { parse_response };
    let limits = Limits::default();
    let mut head = Head::default();
    let whole = parse(&bytes, &limits, &mut head);
    if let Ok(Parsed::Complete(used)) = whole {
        assert!(used <= bytes.len());
        // What comes behind a head changes nothing, and less than a head is never one.
        let mut again = Head::default();
        assert_eq!(parse(&bytes[..used], &limits, &mut again), Ok(Parsed::Complete(used)));
        for end in [0, used / 2, used - 1] {
            assert!(!matches!(parse(&bytes[..end], &limits, &mut again), Ok(Parsed::Complete(_))));
        }
        let mut written = Vec::new();
        if is_request {
            let framing = request_framing(&head, request_body(&head));
            encode::write_request(&head, framing, Hop::Default, &mut written);
        } else {
            encode::write_response(&head, Framing::Length(0), Hop::Default, &mut written);
        }
        let mut read = Head::default();
        let again = parse(&written, &limits, &mut read);
        assert_eq!(again, Ok(Parsed::Complete(written.len())), "{:?}", String::from_utf8_lossy(&written));
        if is_request {
            assert_eq!((head.target(), request_body(&head)), (read.target(), request_body(&read)));
        } else {
            assert_eq!(head.status(), read.status());
        }
    }
});
