//! Published faults of other proxies that are about where messages end and what rules see: none of them is one here. Each
//! test names the fault it is about.

use super::world::{Act, Outcome, World, shared};

/// Plays what a client sends at once, to a server that answers `reply` to it.
fn play(rules: &str, request: &str, reply: &str) -> Outcome {
    let shared = shared(&format!(
        "defaults\n    mode http\n    timeout client 5s\n    timeout server 5s\n    timeout connect 1s\n\
         frontend web\n    bind 192.0.2.1:80\n{rules}    default_backend app\n\
         backend app\n    server s1 192.0.2.21:80\n"
    ));
    let mut world = World::new(&shared, 65_536);
    world.play(&[Act::Client(request.as_bytes()), Act::Server(reply.as_bytes())]);
    world.outcome()
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// How often the servers were asked for something.
fn asked_for(outcome: &Outcome, what: &str) -> usize {
    outcome.sent().concat().matches(what).count()
}

/// HAProxy, CVE-2021-40346: the length of a name overflowed into the next number, and a field became another one.
#[test]
fn a_long_name_that_begins_as_content_length_is_a_field_of_its_own() {
    for length in [242, 255, 256, 257, 270, 512] {
        let name = format!("Content-Length0{}", "a".repeat(length));
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\n{name}:\r\ncontent-length: 60\r\n\r\n{:<60}",
            "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
        );
        let outcome = play("    http-request deny if { path /smuggled }\n", &request, OK);
        let sent = outcome.sent().concat();
        assert_eq!(sent.matches("content-length: 60\r\n").count(), 1, "{sent}");
        assert!(sent.contains(&name.to_ascii_lowercase()), "{sent}");
        assert!(outcome.text().ends_with("ok"), "{}", outcome.text());
        assert_eq!(outcome.text().matches("HTTP/1.1").count(), 1, "one request, one response");
    }
}

/// HAProxy, CVE-2023-25725: a field without a name ended the list of fields, so that those after it were lost to rules.
#[test]
fn a_field_without_a_name_is_refused() {
    for field in [":", ": x", ":x", " : x"] {
        let request =
            format!("GET / HTTP/1.1\r\nhost: x\r\n{field}\r\nx-admin: 1\r\ncontent-length: 5\r\n\r\nhello");
        let outcome = play("    http-request deny if { hdr(x-admin) 1 }\n", &request, OK);
        assert!(outcome.text().starts_with("HTTP/1.1 400 "), "{field}: {}", outcome.text());
        assert_eq!((outcome.servers.len(), outcome.ended), (0, true), "{field}");
    }
}

/// HAProxy, CVE-2023-40225: an empty length was passed on, and servers took what followed for a request.
#[test]
fn an_empty_content_length_is_refused() {
    for fields in [
        "content-length:",
        "content-length: ",
        "content-length:\r\ncontent-length: 5",
        "content-length: 5\r\ncontent-length:",
    ] {
        let request = format!("POST / HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\nhello");
        let outcome = play("", &request, OK);
        assert!(outcome.text().starts_with("HTTP/1.1 400 "), "{fields}: {}", outcome.text());
        assert_eq!((outcome.servers.len(), outcome.ended), (0, true), "{fields}");
    }
}

/// HAProxy, CVE-2023-45539: `#` in a target was part of the path for rules, and the end of it for servers.
#[test]
fn a_fragment_in_a_target_is_refused() {
    for target in ["/index.html#.png", "/#", "/a?b#c", "http://x/a#.png"] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
        let outcome = play("    http-request return status 200 if { path_end .png }\n", &request, OK);
        assert!(outcome.text().starts_with("HTTP/1.1 400 "), "{target}: {}", outcome.text());
        assert_eq!(outcome.servers.len(), 0, "{target}");
    }
}

/// pingora, CVE-2025-4366: the body of a request that was answered without its server stayed on the connection, and was
/// read as the next request.
#[test]
fn the_body_of_a_request_that_a_rule_answers_is_no_request() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    for rule in ["deny", "return status 200", "redirect location /"] {
        for cut in [0, 10, smuggled.len()] {
            let shared = shared(&format!(
                "defaults\n    mode http\n    timeout client 5s\n    timeout server 5s\n    timeout connect 1s\n\
                 frontend web\n    bind 192.0.2.1:80\n    http-request {rule} if {{ path /answered }}\n    default_backend app\n\
                 backend app\n    server s1 192.0.2.21:80\n"
            ));
            let mut world = World::new(&shared, 65_536);
            let head =
                format!("POST /answered HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", smuggled.len());
            let (now, later) = smuggled.split_at(cut);
            world.play(&[
                Act::Client(head.as_bytes()),
                Act::Client(now.as_bytes()),
                Act::Client(later.as_bytes()),
            ]);
            let outcome = world.outcome();
            assert_eq!(outcome.servers.len(), 0, "{rule}, {cut}");
            assert_eq!(outcome.text().matches("HTTP/1.1 ").count(), 1, "{rule}, {cut}: {}", outcome.text());
        }
    }
}

/// pingora, CVE-2026-2833: what follows a request that asks to switch protocols was passed on before the server had agreed.
#[test]
fn nothing_is_passed_on_raw_before_a_server_has_switched() {
    let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: y\r\n\r\n\
                   GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let rules = "    http-request deny if { path /smuggled }\n";
    let waiting = play(rules, request, "");
    assert_eq!(asked_for(&waiting, "/smuggled"), 0, "before the answer");
    let refused = play(rules, request, OK);
    assert_eq!(asked_for(&refused, "/smuggled"), 0, "the server did not switch");
    assert!(refused.text().contains("HTTP/1.1 403 "), "the second one meets the rules: {}", refused.text());
    let switched =
        play(rules, request, "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: y\r\n\r\n");
    assert_eq!(asked_for(&switched, "/smuggled"), 1, "now these bytes are the other protocol's");
}

/// pingora, CVE-2026-2835: codings in lists or in HTTP/1.0 made a body of a request end with its connection.
#[test]
fn a_request_never_ends_with_its_connection() {
    for (version, fields) in [
        ("1.0", "transfer-encoding: chunked"),
        ("1.0", "transfer-encoding: chunked\r\ncontent-length: 5"),
        ("1.1", "transfer-encoding: identity, chunked"),
        ("1.1", "transfer-encoding: chunked, identity"),
        ("1.1", "transfer-encoding: identity\r\ntransfer-encoding: chunked"),
        ("1.1", "transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
        ("1.1", "transfer-encoding: identity\r\ncontent-length: 5"),
        ("1.1", "transfer-encoding:"),
    ] {
        let request = format!(
            "POST / HTTP/{version}\r\nhost: x\r\n{fields}\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
        );
        let outcome = play("", &request, OK);
        assert_eq!(outcome.servers.len(), 0, "{version} {fields}: {:?}", outcome.sent());
        assert!(
            outcome.text().starts_with("HTTP/1.") && outcome.text().contains(" 400 "),
            "{fields}: {}",
            outcome.text()
        );
        assert!(outcome.ended, "{fields}");
    }
    // A request of the old version without a length has no body: what follows is not sent.
    let request = "POST / HTTP/1.0\r\nhost: x\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    assert_eq!(asked_for(&play("", request, OK), "/smuggled"), 0);
}

/// pingora, CVE-2026-2836: one host's page was kept and given to those who asked another host. Nothing is kept here.
#[test]
fn a_page_of_one_host_is_never_given_to_another() {
    let request = "GET /page HTTP/1.1\r\nhost: a\r\n\r\n";
    let cached = "HTTP/1.1 200 OK\r\ncache-control: public, max-age=600\r\ncontent-length: 6\r\n\r\nof a's";
    let shared = shared(
        "defaults\n    mode http\n    timeout client 5s\n    timeout server 5s\n    timeout connect 1s\n\
         frontend web\n    bind 192.0.2.1:80\n    default_backend app\nbackend app\n    server s1 192.0.2.21:80\n",
    );
    let mut world = World::new(&shared, 65_536);
    world.play(&[Act::Client(request.as_bytes()), Act::Server(cached.as_bytes())]);
    world.play(&[Act::Client(b"GET /page HTTP/1.1\r\nhost: b\r\n\r\n")]);
    let outcome = world.outcome();
    assert_eq!(asked_for(&outcome, "GET /page"), 2, "each is asked for");
    assert_eq!(outcome.text().matches("of a's").count(), 1);
}
