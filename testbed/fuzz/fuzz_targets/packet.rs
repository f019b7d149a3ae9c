//! Any bytes as a packet of VRRP, of either family, with a password and with a trailer.
#![no_main]

use std::net::IpAddr;
use std::time::Duration;

use failover_vrrp::hmac::{Guard, Hmac, Secret, Stamp, TRAILER};
use failover_vrrp::{Advertisement, Micros, split_trailer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (bool, bool, Vec<u8>)| {
    let (six, with_password, bytes) = data;
    let text = if six { ["fe80::1", "ff02::12"] } else { ["192.0.2.1", "224.0.0.18"] };
    let [source, group]: [IpAddr; 2] = text.map(|address| address.parse().expect("it is an address"));
    let password = with_password.then_some(*b"bench\0\0\0");
    let Ok((message, trailer)) = split_trailer(&bytes, source) else {
        assert!(Advertisement::decode(&bytes, source, group, password).is_err());
        return;
    };
    if let Ok((said, version, _)) = Advertisement::decode(&bytes, source, group, password) {
        // What was read is written, and read as the same again.
        let again = said.encode(version, source, group, password);
        assert_eq!(Advertisement::decode(&again, source, group, password).map(|(said, ..)| said), Ok(said));
    }
    let keys = [(1, Secret::new("a secret"))].into();
    let mut guard = Guard::new(&Hmac { keys, ..Hmac::default() }, Micros::SECOND).expect("there is a key");
    let now = Stamp::at(Duration::from_secs(1_000));
    assert!(guard.check(message, trailer, source, now).is_err(), "nobody finds a digest by trying");
    let mut signed = message.to_vec();
    guard.sign(&mut signed, source, now);
    let (message, trailer) = signed.split_at(signed.len() - TRAILER);
    assert_eq!(guard.check(message, trailer, source, now), Ok(()));
});
