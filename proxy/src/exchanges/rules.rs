//! Rules of connections and sessions in mode http, whose connection carries what, and what is never passed on.

use std::sync::Arc;

use super::world::{Act, World, shared};
use crate::shared::Shared;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn proxy(front: &str, back: &str) -> Arc<Shared> {
    shared(&format!(
        "defaults\n    mode http\n    timeout client 9s\n    timeout server 9s\n    timeout connect 1s\n\
         frontend web\n    bind 192.0.2.1:80\n{front}    default_backend app\n\
         backend app\n{back}    server s1 192.0.2.21:80\n"
    ))
}

#[test]
fn connection_and_session_rules_act_in_mode_http() {
    for kind in ["connection", "session"] {
        let shared = proxy(&format!("    tcp-request {kind} reject if {{ src 192.0.2.0/24 }}\n"), "");
        let mut world = World::new(&shared, 65_536);
        world.play(&[Act::Client(GET)]);
        let outcome = world.finish(0);
        assert_eq!((outcome.text().as_str(), outcome.servers.len(), outcome.ended), ("", 0, true), "{kind}");
        let front = &world.core().counters.frontends[0];
        let denied = (front.denied_connections.read(), front.denied_sessions.read());
        assert_eq!(denied, if kind == "connection" { (1, 0) } else { (0, 1) });
        assert_eq!(front.sessions.read(), 0, "what is refused is no session");
    }
}

#[test]
fn content_rules_act_on_every_request_of_both_sections() {
    for (front, back) in [
        ("    tcp-request content reject if { path /bad }\n", ""),
        ("", "    tcp-request content reject if { path /bad }\n"),
    ] {
        let shared = proxy(front, back);
        let mut world = World::new(&shared, 65_536);
        world.play(&[Act::Client(GET), Act::Server(OK)]);
        assert!(world.outcome().text().ends_with("ok"));
        world.play(&[Act::Client(b"GET /bad HTTP/1.1\r\nhost: x\r\n\r\n")]);
        let outcome = world.finish(0);
        assert_eq!(outcome.sent().concat().matches("GET ").count(), 1, "{front}{back}");
    }
}

/// Contents in mode tcp: what is decided at once, what bytes decide, and what only time does.
#[test]
fn content_rules_wait_for_bytes_as_long_as_they_may() {
    let proxy = |delay: &str| {
        shared(&format!(
            "defaults\n    timeout client 9s\n    timeout server 9s\n    timeout connect 1s\nfrontend raw\n    bind 192.0.2.1:80\n\
             {delay}    tcp-request content reject if {{ req.len gt 5 }}\n    tcp-request content accept if {{ req.len ge 3 }}\n    \
             tcp-request content reject unless WAIT_END\n    default_backend app\nbackend app\n    server s1 192.0.2.21:80\n"
        ))
    };
    let delayed = proxy("    tcp-request inspect-delay 2s\n");
    let mut world = World::new(&delayed, 65_536);
    world.play(&[Act::Client(b"ab"), Act::Passes(1_900)]);
    assert_eq!(world.outcome().servers.len(), 0, "it waits");
    world.play(&[Act::Client(b"c")]);
    assert_eq!(world.outcome().servers.len(), 0, "the third byte does not decide the first rule");
    world.play(&[Act::Passes(300)]);
    assert_eq!(world.outcome().sent(), ["abc"]);

    let mut world = World::new(&delayed, 65_536);
    world.play(&[Act::Client(b"abcdef")]);
    let outcome = world.outcome();
    assert!(outcome.ended && outcome.servers.is_empty(), "six bytes are refused at once: {outcome:?}");

    let mut world = World::new(&delayed, 65_536);
    world.play(&[Act::Client(b"a"), Act::ClientEnds]);
    assert_eq!(world.outcome().sent(), ["a"], "an end is waited for no longer");

    let mut world = World::new(&proxy(""), 65_536);
    world.play(&[Act::Client(b"a")]);
    assert_eq!(world.outcome().sent(), ["a"], "nor is anything without a time");
}

/// The head of a request counts, and one that is here to its end is not waited for (as HAProxy 2.6 does).
#[test]
fn content_rules_of_mode_http_know_a_whole_request() {
    let delay = "    tcp-request inspect-delay 2s\n";
    for (rule, get, post) in [
        ("tcp-request content reject if { req.len gt 10 }", "", ""),
        ("http-request deny if { req.len gt 10 }", "HTTP/1.1 403 ", "HTTP/1.1 403 "),
        ("tcp-request content reject unless { req.len gt 10 }", "HTTP/1.1 200 ", "HTTP/1.1 200 "),
        ("tcp-request content reject if WAIT_END", "", ""),
    ] {
        let shared = proxy(&format!("{delay}    {rule}\n"), "");
        let body = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab";
        for (request, expected) in [(GET, get), (&body[..], post)] {
            let mut world = World::new(&shared, 65_536);
            world.play(&[Act::Client(request), Act::Server(OK)]);
            let text = world.outcome().text();
            assert!(text.starts_with(expected) && text.is_empty() == expected.is_empty(), "{rule}: {text}");
            assert!(!expected.is_empty() || world.outcome().ended, "{rule}: at once");
        }
    }
    let shared = proxy(&format!("{delay}    tcp-request content accept if WAIT_END\n"), "");
    let mut world = World::new(&shared, 65_536);
    world.play(&[
        Act::Client(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\na"),
        Act::Passes(1_000),
    ]);
    assert!(world.outcome().servers.is_empty(), "half a body is waited for");
    world.play(&[Act::Client(b"b")]);
    assert_eq!(world.outcome().servers.len(), 1);
}

#[test]
fn what_a_connection_tracks_counts_each_request() {
    let table = "    stick-table type ip size 10 store conn_cnt,conn_cur,sess_cnt,http_req_cnt\n";
    for (kind, sessions) in [("tcp-request connection", 1), ("tcp-request session", 1), ("http-request", 0)] {
        let shared = proxy(&format!("{table}    {kind} track-sc0 src\n"), "");
        let mut world = World::new(&shared, 65_536);
        world.play(&[Act::Client(GET), Act::Server(OK), Act::Client(GET), Act::Server(OK)]);
        let rows = |world: &World| {
            let table = &world.core().shared.tables[0];
            let key = table.schema().key.of_address([192, 0, 2, 1].into()).expect("an address");
            use proxy_table::DataType::{ConnCnt, ConnCur, HttpReqCnt, SessCnt};
            [ConnCnt, ConnCur, SessCnt, HttpReqCnt].map(|data| table.peek(&key, 0, |row| row.number(data, 0)))
        };
        let (connections, current) = if sessions == 1 { (1, 1) } else { (2, 0) };
        let expected = [connections, current, sessions, 2].map(Some);
        assert_eq!(rows(&world), expected, "{kind}");
        world.play(&[Act::ClientEnds]);
        assert_eq!(rows(&world)[1], Some(0), "{kind}");
    }
}

/// Two requests of one client, then one of another, and by which connection each came: for each value of `http-reuse`.
#[test]
fn idle_connections_carry_what_http_reuse_lets_them() {
    for (reuse, first_of_other, second_of_other) in
        [("never", 1, 1), ("safe", 1, 1), ("aggressive", 0, 0), ("always", 0, 0)]
    {
        let shared = proxy("", &format!("    http-reuse {reuse}\n"));
        let mut world = World::new(&shared, 65_536);
        world.play(&[Act::Client(GET), Act::Server(OK), Act::Client(GET), Act::Server(OK)]);
        assert_eq!(world.outcome().sent().len(), 1, "{reuse}: a client keeps its connection");
        world.other_client();
        world.play(&[Act::Client(GET), Act::Server(OK)]);
        assert_eq!(world.outcome().sent().len(), 1 + first_of_other, "{reuse}: first request");
        world.play(&[Act::Client(GET), Act::Server(OK)]);
        assert_eq!(world.outcome().sent().len(), 1 + second_of_other, "{reuse}: second request");
    }
}

#[test]
fn aggressive_reuse_wants_a_connection_that_was_used_again() {
    let shared = proxy("", "    http-reuse aggressive\n");
    let mut world = World::new(&shared, 65_536);
    world.play(&[Act::Client(GET), Act::Server(OK)]);
    world.other_client();
    world.play(&[Act::Client(GET), Act::Server(OK)]);
    assert_eq!(world.outcome().sent().len(), 2);
}

#[test]
fn authenticated_connection_stays_with_its_client() {
    let challenges = [
        "401 x\r\nwww-authenticate: Basic\r\nWWW-Authenticate: NTLM",
        "401 x\r\nwww-authenticate: negotiate",
        "407 x\r\nproxy-authenticate: Basic realm=\"a\", NTLM abc",
    ];
    for challenge in challenges {
        let shared = proxy("", "    http-reuse always\n");
        let mut world = World::new(&shared, 65_536);
        let response = format!("HTTP/1.1 {challenge}\r\ncontent-length: 0\r\n\r\n");
        world.play(&[Act::Client(GET), Act::Server(response.as_bytes())]);
        world.play(&[Act::Client(GET), Act::Server(OK)]);
        assert_eq!(world.outcome().sent().len(), 1, "{challenge}: its client goes on by it");
        world.other_client();
        world.play(&[Act::Client(GET), Act::Server(OK)]);
        assert_eq!(world.outcome().sent().len(), 2, "{challenge}: nobody else does");
    }
    // A client that authenticates without having been asked.
    let shared = proxy("", "    http-reuse always\n");
    let mut world = World::new(&shared, 65_536);
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nauthorization: Negotiate abc\r\n\r\n";
    world.play(&[Act::Client(request), Act::Server(OK)]);
    world.other_client();
    world.play(&[Act::Client(GET), Act::Server(OK)]);
    assert_eq!(world.outcome().sent().len(), 2);
}

#[test]
fn replies_of_rules_are_framed_by_the_engine() {
    for (reply, expected) in [
        ("status 204", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "status 200 content-type text/plain string \"body\" hdr content-length 99 hdr transfer-encoding chunked",
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-type: text/plain\r\n\r\nbody",
        ),
    ] {
        let shared = proxy(&format!("    http-request return {reply}\n"), "");
        let mut world = World::new(&shared, 65_536);
        world.play(&[Act::Client(GET)]);
        assert_eq!(world.outcome().text(), expected, "{reply}");
    }
}

#[test]
fn response_rules_cannot_change_where_a_message_ends() {
    for rule in [
        "del-header content-length",
        "set-header content-length 99",
        "add-header content-length 99",
        "set-header transfer-encoding chunked",
        "set-header connection close",
    ] {
        let shared = proxy("", &format!("    http-response {rule}\n"));
        let mut world = World::new(&shared, 65_536);
        world.play(&[Act::Client(GET), Act::Server(OK), Act::Client(GET), Act::Server(OK)]);
        let text = world.outcome().text();
        assert_eq!(text, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".repeat(2), "{rule}");
    }
}

#[test]
fn switch_that_was_not_asked_for_is_refused() {
    let shared = proxy("", "");
    let mut world = World::new(&shared, 65_536);
    let switch = b"HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: y\r\n\r\nraw";
    world.play(&[Act::Client(GET), Act::Server(switch)]);
    assert!(world.outcome().text().starts_with("HTTP/1.1 502 "), "{}", world.outcome().text());
    let mut world = World::new(&shared, 65_536);
    let asking = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: y\r\n\r\n";
    world.play(&[Act::Client(asking), Act::Server(switch)]);
    let expected = "HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: y\r\n\r\nraw";
    assert_eq!(world.outcome().text(), expected);
}

#[test]
fn denied_request_that_was_read_keeps_its_connection() {
    let shared = proxy("    http-request deny if { path /bad }\n", "");
    let mut world = World::new(&shared, 65_536);
    world.play(&[Act::Client(b"GET /bad HTTP/1.1\r\nhost: x\r\n\r\n"), Act::Client(GET), Act::Server(OK)]);
    let text = world.outcome().text();
    assert!(text.starts_with("HTTP/1.1 403 ") && text.ends_with("\r\n\r\nok"), "{text}");
}

#[test]
fn body_that_is_here_is_passed_over_when_a_rule_answers() {
    let shared = proxy(
        "    http-request return status 200 if { path /return }\n    http-request deny if { path /deny }\n",
        "",
    );
    for (path, length, status) in
        [("return", "5", "200"), ("deny", "5", "403"), ("return", "6", "200"), ("deny", "4", "403")]
    {
        let mut world = World::new(&shared, 65_536);
        let post = format!("POST /{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\nhello");
        world.play(&[Act::Client(post.as_bytes()), Act::Client(GET), Act::Server(OK)]);
        let outcome = world.finish(10_000);
        let text = outcome.text();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        match length {
            // Exactly the body: the next request is served.
            "5" => assert!(
                text.ends_with("ok") && outcome.sent() == ["GET / HTTP/1.1\r\nhost: x\r\n\r\n"],
                "{text}"
            ),
            // The rest of a body that was not here as a whole is never taken for a request.
            "6" => assert!(text.contains("connection: close") && outcome.servers.is_empty(), "{text}"),
            // Nor is a byte of what follows lost.
            _ => assert_eq!(outcome.sent(), ["oGET / HTTP/1.1\r\nhost: x\r\n\r\n"], "{text}"),
        }
    }
}

#[test]
fn chunks_of_an_old_server_end_both_connections() {
    let mut world = World::new(&proxy("", ""), 65_536);
    let answer = b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    world.play(&[Act::Client(GET), Act::Server(answer)]);
    let outcome = world.outcome();
    assert!(outcome.ended && outcome.text().contains("connection: close"), "{outcome:?}");
}
