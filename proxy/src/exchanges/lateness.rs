//! Each side has its own time, and the one that is late is named.

use super::world::{Act, World, shared};
use crate::shared::Shared;
use std::sync::Arc;

fn proxy(timeouts: &str) -> Arc<Shared> {
    shared(&format!(
        "defaults\n    mode http\n    timeout connect 1s\n{timeouts}frontend web\n    bind 192.0.2.1:80\n    \
         http-request return status 200 content-type text/plain string hello if {{ path /own }}\n    \
         default_backend app\nbackend app\n    server s1 192.0.2.21:80\n"
    ))
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const HALF: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n012";

/// Milliseconds until the session is over, looked at every 100.
fn until_over(world: &mut World) -> u64 {
    for tenth in 1..1_000 {
        world.play(&[Act::Passes(100)]);
        if world.outcome().over {
            return tenth * 100;
        }
    }
    panic!("the session never ends");
}

/// Whether a time is what the timeout says, less than a step of the wheel and of the test later.
fn is_about(time: u64, timeout: u64) -> bool {
    (timeout..timeout + 300).contains(&time)
}

#[test]
fn stalled_upload_ends_by_the_clients_time() {
    for (client, server) in [(1_000, 9_000), (9_000, 1_000)] {
        let shared = proxy(&format!("    timeout client {client}\n    timeout server {server}\n"));
        let mut world = World::new(&shared, 65_536);
        world.play(&[Act::Client(HALF)]);
        let mut answered = 0;
        while world.outcome().client.is_empty() {
            world.play(&[Act::Passes(100)]);
            answered += 100;
        }
        assert!(is_about(answered, client), "{answered} for {client}");
        assert!(world.outcome().text().starts_with("HTTP/1.1 408 "), "{}", world.outcome().text());
        world.finish(60_000);
    }
}

#[test]
fn silent_server_ends_by_its_own_time_however_short_the_clients() {
    let shared = proxy("    timeout client 1s\n    timeout server 5s\n    timeout http-keep-alive 1s\n");
    let mut world = World::new(&shared, 65_536);
    world.play(&[Act::Client(GET), Act::Passes(4_900)]);
    assert_eq!(world.outcome().client, b"");
    world.play(&[Act::Passes(400)]);
    assert!(world.outcome().text().starts_with("HTTP/1.1 504 "), "{}", world.outcome().text());

    let mut world = World::new(&shared, 65_536);
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n012";
    world.play(&[Act::Client(GET), Act::Server(head)]);
    let time = until_over(&mut world);
    assert!(is_about(time, 5_000), "{time}");
}

#[test]
fn client_that_reads_nothing_ends_by_its_own_time() {
    let body = vec![b'x'; 100_000];
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
    for (client, server) in [(2_000, 20_000), (2_000, 1_000)] {
        let shared = proxy(&format!("    timeout client {client}\n    timeout server {server}\n"));
        let mut world = World::new(&shared, 4_096);
        world.play(&[Act::ClientIsDeaf, Act::Client(GET), Act::Server(head), Act::Server(&body)]);
        let time = until_over(&mut world);
        assert!(is_about(time, client), "{time} for {client}");
    }
}

#[test]
fn own_replies_wait_no_longer_than_the_client_may() {
    let shared = proxy("    timeout client 2s\n    timeout server 9s\n");
    for request in [&b"GET /own HTTP/1.1\r\nhost: x\r\n\r\n"[..], b"nonsense\r\n\r\n"] {
        let mut world = World::new(&shared, 4);
        world.play(&[Act::ClientIsDeaf]);
        world.play(&[Act::Client(request)]);
        let time = until_over(&mut world);
        assert!(is_about(time, 2_000), "{time}");
    }
}

#[test]
fn a_timeout_of_zero_is_none() {
    let shared = proxy("    timeout client 0\n    timeout server 0\n    timeout http-request 0\n");
    let mut world = World::new(&shared, 65_536);
    world.play(&[Act::Client(&GET[..10]), Act::Passes(3_600_000), Act::Client(&GET[10..])]);
    world.play(&[Act::Passes(3_600_000), Act::Server(b"HTTP/1.1 204 x\r\n\r\n")]);
    assert_eq!(world.outcome().text(), "HTTP/1.1 204 x\r\n\r\n");
    assert!(!world.outcome().over);
    world.play(&[Act::ClientEnds]);
    world.finish(0);
}

#[test]
fn reply_before_the_body_is_read_is_drained_not_reset() {
    let shared = proxy("    timeout client 9s\n    timeout server 9s\n");
    let mut world = World::new(&shared, 64);
    let head = b"POST /own HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n";
    world.play(&[Act::Client(head)]);
    let outcome = world.outcome();
    assert!(outcome.text().ends_with("\r\n\r\nhello"), "{}", outcome.text());
    assert!(outcome.text().contains("connection: close"), "{}", outcome.text());
    assert!(outcome.ended && !outcome.over, "told that nothing follows, and still read: {outcome:?}");
    world.play(&[Act::Client(&[b'x'; 10_000]), Act::Passes(1_000)]);
    assert!(!world.outcome().over);
    world.play(&[Act::Passes(1_500)]);
    assert!(world.outcome().over, "but not for ever");
    let mut world = World::new(&shared, 64);
    world.play(&[Act::Client(head), Act::Client(&vec![b'x'; 1_100_000])]);
    assert!(world.outcome().over, "nor without a bound");
}

#[test]
fn a_server_that_only_says_that_it_will_answer_is_given_up() {
    let shared = super::world::shared(super::arrivals::CONFIG);
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n";
    for (count, expected) in [(1_000, "HTTP/1.1 200 "), (1_001, "HTTP/1.1 502 ")] {
        let mut world = World::new(&shared, 65_536);
        let answer = interim.repeat(count) + "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        world.play(&[Act::Client(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"), Act::Server(answer.as_bytes())]);
        let text = world.outcome().text();
        assert_eq!(text.matches("HTTP/1.1 103 ").count(), 1_000, "{count}");
        assert_eq!(text.matches(expected).count(), 1, "{count}: {}", &text[text.len() - 200..]);
    }
}
