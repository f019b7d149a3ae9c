//! Any bytes as a body of any framing: however they are cut, the same bytes come out, or the same refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_wire::h1::{Body, Decoder, Refusal};

/// The body, how much of the input it took, and what ended it.
fn decode(body: Body, bytes: &[u8], cut: usize) -> (Vec<u8>, usize, Option<Refusal>) {
    let mut decoder = Decoder::new(body);
    let (mut data, mut at, mut end) = (Vec::new(), 0, cut.min(bytes.len()));
    loop {
        match decoder.decode(&bytes[at..end]) {
            Err(refusal) => return (data, at, Some(refusal)),
            Ok(piece) => {
                assert!(piece.consumed <= end - at && piece.data.end <= piece.consumed);
                data.extend_from_slice(&bytes[at..end][piece.data.clone()]);
                at += piece.consumed;
                if decoder.is_done() {
                    return (data, at, None);
                }
                if piece.consumed == 0 {
                    if end == bytes.len() {
                        return (data, at, None);
                    }
                    end = bytes.len();
                }
            }
        }
    }
}

fuzz_target!(|data: (u8, u64, usize, Vec<u8>)| {
    let (kind, length, cut, bytes) = data;
    let body = match kind % 4 {
        0 => Body::Length(length),
        1 => Body::UntilClose,
        _ => Body::Chunked,
    };
    let (whole, used, refusal) = decode(body, &bytes, bytes.len());
    let (parts, used_in_parts, refusal_in_parts) = decode(body, &bytes, cut % (bytes.len() + 1));
    assert_eq!(whole, parts);
    assert_eq!(refusal.is_some(), refusal_in_parts.is_some());
    if refusal.is_none() {
        assert_eq!(used, used_in_parts);
    }
});
