//! Any bytes between supervisor and children: what is read is written, and read as the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;

#[path = "../../../node/src/link/message.rs"]
#[allow(dead_code, unreachable_pub)]
mod message;

fuzz_target!(|data: Vec<u8>| {
    if let Ok(word) = message::Word::decode(data.as_slice()) {
        let written = word.encode_to_vec();
        assert_eq!(message::Word::decode(written.as_slice()), Ok(word));
    }
});
