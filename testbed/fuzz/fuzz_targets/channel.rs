//! Any bytes on the members' channel: a message is taken whole, and written as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../replication/src/channel/message.rs"]
#[allow(dead_code, unreachable_pub)]
mod message;

fuzz_target!(|data: Vec<u8>| {
    let mut heard = data;
    loop {
        let before = heard.len();
        match message::take(&mut heard) {
            None | Some(Err(_)) => return,
            Some(Ok(said)) => {
                assert!(heard.len() < before);
                let mut written = message::frame(&said);
                assert_eq!(message::take(&mut written), Some(Ok(said)));
                assert!(written.is_empty());
            }
        }
    }
});
