//! The way bytes arrive changes nothing, and whatever is cut off ends.

use std::sync::Arc;

use proxy_wire::h1::{self, Body, Decoder, Head, Limits, Method, Parsed, Refusal};

use super::dice::Dice;
use super::world::{Act, Outcome, World, shared};
use crate::shared::Shared;

pub(super) const CONFIG: &str = "\
defaults
    mode http
    timeout client 5s
    timeout server 7s
    timeout connect 3s
    timeout http-request 4s
    timeout http-keep-alive 6s
frontend web
    bind 192.0.2.1:80
    default_backend app
backend app
    server s1 192.0.2.21:80
";
/// Longer than all of these together.
const LONGEST_MS: u64 = 60_000;

const REQUESTS: &[(&str, &str)] = &[
    ("get", "GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Y: z\r\n\r\n"),
    ("head", "HEAD / HTTP/1.1\r\nhost: x\r\n\r\n"),
    ("old", "GET / HTTP/1.0\r\n\r\n"),
    ("length", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n0123456789"),
    (
        "chunks",
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n00b\r\n, the world\r\n0\r\n\
         x: y\r\nz: 1\r\n\r\n",
    ),
    ("no chunks", "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("switch", "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nmore"),
    ("two", "GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
];

/// What a server says, and whether it ends the connection then.
const RESPONSES: &[(&str, &str, bool)] = &[
    ("length", "HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx: y\r\n\r\nhello, world", false),
    ("nothing", "HTTP/1.1 204 No Content\r\n\r\n", false),
    (
        "chunks",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n7;x\r\n, world\r\n0\r\na: b\r\n\r\n",
        false,
    ),
    (
        "interim",
        "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        false,
    ),
    ("until close", "HTTP/1.1 200 OK\r\n\r\nhello, world", true),
    ("switched", "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nbytes", true),
    ("refused", "HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\nhello", true),
];

/// How many bytes a connection holds: most exchanges are also tried through keyholes.
const LIMITS: [usize; 3] = [65_536, 7, 1];

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize], act: fn(&'a [u8]) -> Act<'a>) -> Vec<Act<'a>> {
    let (mut acts, mut from) = (Vec::new(), 0);
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        acts.push(act(&bytes[from..cut]));
        from = cut;
    }
    acts
}

pub(super) fn whole(
    world: &mut World,
    request: &str,
    response: &str,
    ends: bool,
    cuts: (&[usize], &[usize]),
) -> Outcome {
    world.play(&pieces(request.as_bytes(), cuts.0, Act::Client));
    world.play(&pieces(response.as_bytes(), cuts.1, Act::Server));
    if ends {
        world.play(&[Act::ServerEnds]);
    }
    world.outcome()
}

/// Messages with what their chunks hold in one piece: where chunks begin and end means nothing, whether the last one is
/// there does.
fn unchunked(bytes: &[u8], parse: Parse, method: Method) -> String {
    let (mut text, mut rest) = (String::new(), bytes);
    while !rest.is_empty() {
        let mut head = Head::default();
        let Ok(Parsed::Complete(used)) = parse(rest, &Limits::default(), &mut head) else { break };
        text += &String::from_utf8_lossy(&rest[..used]);
        rest = &rest[used..];
        let chunked = head.values(b"transfer-encoding").any(|value| value == b"chunked");
        let mut decoder =
            Decoder::new(if chunked && method != Method::Head { Body::Chunked } else { Body::None });
        let mut body = Vec::new();
        while let Ok(piece) = decoder.decode(rest) {
            body.extend_from_slice(&rest[piece.data]);
            rest = &rest[piece.consumed..];
            if piece.consumed == 0 || decoder.is_done() {
                break;
            }
        }
        text += &format!("[{} {}]", String::from_utf8_lossy(&body), decoder.is_done());
        if head.content_length().is_some() || !decoder.is_done() {
            break;
        }
    }
    text + &String::from_utf8_lossy(rest)
}

type Parse = fn(&[u8], &Limits, &mut Head) -> Result<Parsed, Refusal>;

/// An outcome as both sides understand it.
pub(super) fn understood(outcome: &Outcome, asks: &str) -> (String, Vec<String>) {
    let method = if asks == "head" { Method::Head } else { Method::Get };
    let servers = outcome.servers.iter().map(|bytes| unchunked(bytes, h1::parse_request, Method::Get));
    (unchunked(&outcome.client, h1::parse_response, method), servers.collect())
}

pub(super) fn pairs()
-> impl Iterator<Item = ((&'static str, &'static str), (&'static str, &'static str, bool))> {
    REQUESTS.iter().flat_map(|request| RESPONSES.iter().map(move |response| (*request, *response)))
}

/// Exchanges that are played at random beside those that are enumerated: `TANDEM_EXCHANGES`.
pub(super) fn exchanges(usual: usize) -> usize {
    let asked = std::env::var("TANDEM_EXCHANGES").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(usual)
}

#[test]
fn a_message_split_anywhere_is_the_same() {
    let shared = shared(CONFIG);
    let mut count = 0;
    for ((asks, request), (answers, response, ends)) in pairs() {
        // A second connection would end at once: when, is not the same.
        if asks == "two" && ends {
            continue;
        }
        let reference = whole(&mut World::new(&shared, 65_536), request, response, ends, (&[], &[]));
        let expected = understood(&reference, asks);
        for limit in LIMITS {
            for cut in 1..request.len() {
                let outcome = whole(&mut World::new(&shared, limit), request, response, ends, (&[cut], &[]));
                let what = format!("{asks}, {answers}: request cut at {cut}, {limit}");
                assert_eq!(understood(&outcome, asks), expected, "{what}");
                count += 1;
            }
            for cut in 1..response.len() {
                let outcome = whole(&mut World::new(&shared, limit), request, response, ends, (&[], &[cut]));
                let what = format!("{asks}, {answers}: response cut at {cut}, {limit}");
                assert_eq!(understood(&outcome, asks), expected, "{what}");
                count += 1;
            }
        }
    }
    assert!(count > 15_000, "{count}");
}

#[test]
fn a_side_that_stops_anywhere_ends_the_session() {
    let shared = shared(CONFIG);
    let mut count = 0;
    for ((asks, request), (answers, response, ends)) in pairs() {
        let reference = whole(&mut World::new(&shared, 65_536), request, response, ends, (&[], &[]));
        for cut in 0..request.len() {
            for last in [Act::Passes(0), Act::ClientEnds, Act::ClientBreaks] {
                let mut world = World::new(&shared, 65_536);
                world.play(&[Act::Client(&request.as_bytes()[..cut]), last.clone()]);
                let outcome = world.finish(LONGEST_MS);
                let whole = outcome.servers.first() == reference.servers.first();
                assert!(
                    !whole || asks == "two" || asks == "switch",
                    "{asks}: cut at {cut}, {last:?}: {outcome:?}"
                );
                count += 1;
            }
        }
        for cut in 0..response.len() {
            for last in [Act::Passes(0), Act::ServerEnds, Act::ServerBreaks] {
                let mut world = World::new(&shared, 65_536);
                world.play(&[
                    Act::Client(request.as_bytes()),
                    Act::Server(&response.as_bytes()[..cut]),
                    last.clone(),
                ]);
                let outcome = world.finish(LONGEST_MS);
                let open = ends || ["head", "old", "two", "switch"].contains(&asks);
                assert!(
                    open || outcome.client != reference.client,
                    "{asks}, {answers}: cut at {cut}, {last:?} is told as whole: {}",
                    outcome.text()
                );
                count += 1;
            }
        }
    }
    assert!(count > 10_000, "{count}");
}

#[test]
fn sides_that_do_anything_at_any_time_end_the_session() {
    let shared = shared(CONFIG);
    for seed in 1..=exchanges(5_000) as u64 {
        any(&shared, seed);
    }
}

/// One exchange in which pieces of both sides, ends, breaks and silence come in an order that the seed decides.
fn any(shared: &Arc<Shared>, seed: u64) {
    let mut dice = Dice::new(seed);
    let mut random = |bound| dice.roll(bound);
    let request = REQUESTS[random(REQUESTS.len())].1.as_bytes();
    let response = RESPONSES[random(RESPONSES.len())].1.as_bytes();
    let (mut asked, mut answered) = (0, 0);
    let mut world = World::new(shared, LIMITS[random(LIMITS.len())]);
    let mut told = Vec::new();
    for _ in 0..1 + random(40) {
        let act = match random(20) {
            0 => Act::Passes(u64::try_from(random(8_000)).unwrap_or(0)),
            1 if random(4) == 0 => Act::ClientEnds,
            2 if random(4) == 0 => Act::ServerEnds,
            3 if random(8) == 0 => Act::ClientBreaks,
            4 if random(8) == 0 => Act::ServerBreaks,
            5 if random(8) == 0 => Act::ClientIsDeaf,
            6..13 => {
                let to = (asked + random(12)).min(request.len());
                let piece = &request[asked..to];
                asked = if to == request.len() && random(2) == 0 { 0 } else { to };
                Act::Client(piece)
            }
            _ => {
                let to = (answered + random(12)).min(response.len());
                let piece = &response[answered..to];
                answered = if to == response.len() && random(2) == 0 { 0 } else { to };
                Act::Server(piece)
            }
        };
        told.push(format!("{act:?}"));
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.play(std::slice::from_ref(&act));
        }));
        assert!(played.is_ok(), "seed {seed}: {told:#?}");
    }
    let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.finish(10 * LONGEST_MS)));
    assert!(finished.is_ok(), "seed {seed}: {told:#?}");
}
