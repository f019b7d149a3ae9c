//! What a server is sent for one request is exactly that request, and what a client is sent for it is its response: over
//! every path that there is, whatever bodies look like. The messages are judged by a reader of their own, which knows
//! nothing of the engine: RFC 9112 read as strictly as it can be.

use std::sync::Arc;

use super::arrivals::exchanges;
use super::dice::Dice;
use super::world::{Act, World, shared};
use crate::shared::Shared;

const CONFIG: &str = "\
defaults
    mode http
    timeout client 5s
    timeout server 7s
    timeout connect 3s
    timeout http-request 4s
    timeout http-keep-alive 6s
    retries 3
    option redispatch
frontend web
    bind 192.0.2.1:80
    http-request deny if { path_beg /deny }
    http-request redirect location /elsewhere if { path_beg /redirect }
    http-request return status 200 content-type text/plain string answered if { path_beg /return }
    http-request set-header content-length 3 if { path_beg /frames }
    http-request set-header transfer-encoding chunked if { path_beg /frames }
    http-request del-header host if { path_beg /frames }
    http-request del-header content-length if { path_beg /bare }
    http-request set-path /rewritten%[path] if { path_beg /rewrite }
    http-request set-method GET if { path_beg /method }
    http-response set-header content-length 3 if { status 201 }
    http-response del-header content-length if { status 202 }
    http-response del-header transfer-encoding if { status 202 }
    http-response deny if { status 203 }
    default_backend app
backend app
    balance roundrobin
    server s1 192.0.2.21:80
    server s2 192.0.2.22:80
";

/// What a body looks like that is taken for a message.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
const FORGED: &str = "HTTP/1.1 200 OK\r\nx-tag: forged\r\ncontent-length: 0\r\n\r\n";

/// Heads that say two things about where their message ends, or nothing that can be read. `%` is the tag's place.
const AMBIGUOUS: &[&str] = &[
    "POST % HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ncontent-length: 50\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ncontent-length: 0, 50\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ncontent-length: +0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ncontent-length: 0x0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ncontent-length:\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ncontent-length : 50\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\n content-length: 50\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ntransfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
    "POST % HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n+0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\r\n0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "POST % HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;\n\r\na\r\n0\r\n\r\n",
    "GET % HTTP/1.1\nhost: x\n\n",
    "GET % HTTP/1.1\r\nhost: x\r\n: y\r\n\r\n",
    "GET % HTTP/1.1\r\nhost: x\r\nx\0y: z\r\n\r\n",
    "GET % HTTP/1.1\r\nhost: x\r\nx: y\rcontent-length: 50\r\n\r\n",
    "GET %\r\n\r\n",
];

/// One message as the strict reader has it.
#[derive(Debug)]
struct Message {
    /// The words of its first line.
    words: Vec<String>,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether it is there as a whole.
    complete: bool,
    /// Where it ends.
    end: usize,
}

impl Message {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn status(&self) -> u16 {
        self.words.get(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}

/// Reads one message; `bodiless`: its head is all there is. `None`: its head is not there as a whole.
fn read(bytes: &[u8], from: usize, is_response: bool, bodiless: bool) -> Result<Option<Message>, String> {
    let rest = &bytes[from..];
    let Some(head) = rest.windows(4).position(|part| part == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&rest[..head]).map_err(|_| "a head that is no text".to_owned())?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let words: Vec<String> = first.split(' ').map(str::to_owned).collect();
    let version = if is_response { &words[0] } else { words.last().ok_or("no words")? };
    if !["HTTP/1.1", "HTTP/1.0"].contains(&version.as_str()) || (!is_response && words.len() != 3) {
        return Err(format!("a first line that is none: {first:?}"));
    }
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("a field without colon: {line:?}"))?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(format!("a field's name: {name:?}"));
        }
        if value.bytes().any(|byte| byte < b' ' && byte != b'\t') {
            return Err(format!("a field's value: {value:?}"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let of = |name: &str| {
        fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let (lengths, codings) = (of("content-length"), of("transfer-encoding"));
    let mut message = Message { words, fields, body: Vec::new(), complete: true, end: from + head + 4 };
    let status = message.status();
    if bodiless || (is_response && (matches!(status, 204 | 304) || (100..200).contains(&status))) {
        return Ok(Some(message));
    }
    let body = &bytes[message.end..];
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) if is_response => {
            message.body = body.to_vec();
            message.end = bytes.len();
            message.complete = false;
        }
        ([], []) => {}
        ([length], []) => {
            if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("a length that is none: {length:?}"));
            }
            let length: usize = length.parse().map_err(|_| "a length that is none".to_owned())?;
            message.complete = body.len() >= length;
            message.body = body[..length.min(body.len())].to_vec();
            message.end += message.body.len();
        }
        ([], [coding]) if coding == "chunked" => {
            let mut place = 0;
            message.complete = false;
            while let Some(line) = body[place..].windows(2).position(|part| part == b"\r\n") {
                let text = String::from_utf8_lossy(&body[place..place + line]).into_owned();
                let size =
                    usize::from_str_radix(&text, 16).map_err(|_| format!("a chunk's size: {text:?}"))?;
                let begin = place + line + 2;
                if size == 0 {
                    // Trailers are fields; an empty line ends them.
                    let mut at = begin;
                    while let Some(line) = body[at..].windows(2).position(|part| part == b"\r\n") {
                        at += line + 2;
                        if line == 0 {
                            message.complete = true;
                            break;
                        }
                    }
                    place = at;
                    break;
                }
                message.body.extend_from_slice(&body[begin..(begin + size).min(body.len())]);
                if body.len() < begin + size + 2 {
                    place = body.len();
                    break;
                }
                if &body[begin + size..begin + size + 2] != b"\r\n" {
                    return Err("a chunk that does not end".to_owned());
                }
                place = begin + size + 2;
            }
            message.end = if message.complete { message.end + place } else { bytes.len() };
        }
        _ => return Err(format!("lengths {lengths:?} and codings {codings:?}")),
    }
    Ok(Some(message))
}

/// One request as the client means it.
struct Asked {
    method: &'static str,
    path: String,
    body: Vec<u8>,
    /// What is sent.
    bytes: Vec<u8>,
    /// It says two things: it may be refused, and nothing that follows may be taken from it.
    ambiguous: bool,
    switches: bool,
}

impl Asked {
    /// A length beside chunks: the chunks count, and the connection ends (RFC 9112 section 6.3).
    fn is_read_by_its_chunks(&self) -> bool {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        head.contains("content-length: 4")
            && head.contains("transfer-encoding: chunked")
            && head.contains("HTTP/1.1")
    }
}

/// A body in chunks that begin and end anywhere.
fn chunked(body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let size = 1 + dice.roll(rest.len());
        let extension = dice.pick(&["", "", ";x=y", ";x=\"0\""]);
        bytes.extend_from_slice(format!("{size:x}{extension}\r\n").as_bytes());
        bytes.extend_from_slice(&rest[..size]);
        bytes.extend_from_slice(b"\r\n");
        rest = &rest[size..];
    }
    bytes.extend_from_slice(b"0\r\n");
    if dice.roll(4) == 0 {
        bytes.extend_from_slice(b"x-trailer: y\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn ask(number: usize, dice: &mut Dice) -> Asked {
    let method = ["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"][dice.roll(7)];
    let begin = dice.pick(&[
        "/t",
        "/t",
        "/t",
        "/deny",
        "/redirect",
        "/return",
        "/frames",
        "/bare",
        "/rewrite",
        "/method",
    ]);
    let path = format!("{begin}/{number}");
    let mut asked =
        Asked { method, path, body: Vec::new(), bytes: Vec::new(), ambiguous: false, switches: false };
    if dice.roll(10) == 0 {
        let head = AMBIGUOUS[dice.roll(AMBIGUOUS.len())].replacen('%', &asked.path, 1);
        asked.bytes = [head.as_bytes(), SMUGGLED.as_bytes()].concat();
        asked.ambiguous = true;
        return asked;
    }
    let extra = dice.pick(&[
        "",
        "",
        "connection: keep-alive\r\n",
        "expect: 100-continue\r\n",
        "connection: close\r\n",
    ]);
    let mut head = format!("{method} {} HTTP/1.1\r\nhost: x\r\n{extra}", asked.path);
    if method == "GET" && begin == "/t" && dice.roll(8) == 0 {
        head.push_str("connection: upgrade\r\nupgrade: echo\r\n");
        asked.switches = true;
    }
    let has_body =
        ["POST", "PUT"].contains(&method) || (dice.roll(6) == 0 && !asked.switches && method != "HEAD");
    if has_body {
        asked.body = SMUGGLED.repeat(1 + dice.roll(3)).into_bytes();
        asked.body.truncate(1 + dice.roll(asked.body.len()));
        if dice.roll(2) == 0 {
            head.push_str(&format!("content-length: {}\r\n\r\n", asked.body.len()));
            asked.bytes = [head.as_bytes(), &asked.body].concat();
        } else {
            head.push_str("transfer-encoding: chunked\r\n\r\n");
            asked.bytes = [head.as_bytes(), &chunked(&asked.body, dice)].concat();
        }
    } else {
        head.push_str("\r\n");
        asked.bytes = head.into_bytes();
    }
    asked
}

/// What a server does with a request.
struct Reply {
    bytes: Vec<u8>,
    ends: bool,
    /// The connection is a tunnel from now on.
    switches: bool,
}

fn reply(path: &str, method: &str, asks_to_switch: bool, dice: &mut Dice) -> Reply {
    let mut body = FORGED.repeat(1 + dice.roll(2)).into_bytes();
    body.truncate(1 + dice.roll(body.len()));
    let status = [200, 200, 200, 201, 202, 203, 404][dice.roll(7)];
    let interim = dice.pick(&[
        "",
        "",
        "",
        "HTTP/1.1 103 Hints\r\nx-tag: interim\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ]);
    let mut bytes = format!("{interim}HTTP/1.1 {status} Reason\r\nx-tag: {path}\r\n").into_bytes();
    let mut ends = false;
    let bodiless = method == "HEAD";
    if asks_to_switch && dice.roll(2) == 0 {
        let bytes = format!(
            "HTTP/1.1 101 Switching\r\nx-tag: {path}\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"
        );
        return Reply { bytes: bytes.into_bytes(), ends: false, switches: true };
    }
    match dice.roll(12) {
        0 => bytes = format!("HTTP/1.1 204 None\r\nx-tag: {path}\r\n\r\n").into_bytes(),
        1 => bytes = format!("HTTP/1.1 304 Same\r\nx-tag: {path}\r\ncontent-length: 50\r\n\r\n").into_bytes(),
        2 => {
            bytes.extend_from_slice(b"connection: close\r\n\r\n");
            if !bodiless {
                bytes.extend_from_slice(&body);
            }
            ends = true;
        }
        3 => {
            // No answer at all: the next server is tried, or 502 and 503 say so.
            bytes.clear();
            ends = true;
        }
        4 => {
            // Two ways to read it.
            let fields = dice.pick(&[
                "content-length: 0\r\ncontent-length: 50\r\n",
                "content-length: 0\r\ntransfer-encoding: chunked\r\n",
                "transfer-encoding: chunked, chunked\r\n",
                "content-length: 1x\r\n",
            ]);
            bytes.extend_from_slice(format!("{fields}\r\n{FORGED}").as_bytes());
            ends = true;
        }
        5 => {
            // Cut off.
            bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len() + 7).as_bytes());
            bytes.extend_from_slice(&body);
            ends = true;
        }
        6 => {
            // An answer that nobody asked for follows.
            bytes.extend_from_slice(b"content-length: 0\r\n\r\n");
            bytes.extend_from_slice(FORGED.as_bytes());
        }
        7..10 => {
            bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            if !bodiless {
                bytes.extend_from_slice(&chunked(&body, dice));
            }
        }
        _ => {
            bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
            if !bodiless {
                bytes.extend_from_slice(&body);
            }
        }
    }
    Reply { bytes, ends, switches: false }
}

/// Sends bytes in pieces.
fn pieces<'b>(bytes: &'b [u8], dice: &mut Dice, act: fn(&'b [u8]) -> Act<'b>) -> Vec<Act<'b>> {
    let cut = if dice.roll(3) == 0 { dice.roll(bytes.len() + 1) } else { bytes.len() };
    let parts = [&bytes[..cut], &bytes[cut..]];
    parts.into_iter().filter(|part| !part.is_empty()).map(act).collect()
}

/// Plays one connection; the error says what is wrong.
fn play(shared: &Arc<Shared>, seed: u64) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let limit = [65_536, 65_536, 65_536, 97, 5][dice.roll(5)];
    let asked: Vec<Asked> = (0..1 + dice.roll(4)).map(|number| ask(number, &mut dice)).collect();
    let mut world = World::new(shared, limit);
    // All at once, or one after the other.
    let at_once = dice.roll(3) == 0;
    let mut answered = vec![0; 64];
    let mut tunnel = false;
    for one in asked.chunks(if at_once { asked.len() } else { 1 }) {
        for bytes in one.iter().map(|asked| &asked.bytes) {
            world.play(&pieces(bytes, &mut dice, Act::Client));
        }
        // The server that was connected to last answers what it has as a whole.
        for _ in 0..2 * asked.len() + 8 {
            let outcome = world.outcome();
            if tunnel {
                break;
            }
            let Some(last) = outcome.servers.len().checked_sub(1) else { break };
            let Some(message) = read(&outcome.servers[last], answered[last], false, false)? else { break };
            if !message.complete {
                break;
            }
            answered[last] = message.end;
            let (path, method) = (message.words[1].clone(), message.words[0].clone());
            let answer = reply(&path, &method, message.field("upgrade").is_some(), &mut dice);
            for piece in pieces(&answer.bytes, &mut dice, Act::Server) {
                // The rest is for nobody once this connection was given up for another one.
                if world.outcome().servers.len() == last + 1 {
                    world.play(&[piece]);
                }
            }
            tunnel = answer.switches;
            if answer.ends && world.outcome().servers.len() == last + 1 {
                world.play(&[Act::ServerEnds]);
            }
        }
        if tunnel {
            break;
        }
    }
    let outcome = world.finish(600_000);
    let mut judged = outcome.servers.iter().map(|bytes| judge_server(bytes, &asked));
    judged.find(Result::is_err).unwrap_or_else(|| judge_client(&outcome.client, &asked)).map_err(|why| {
        let sent: Vec<_> = asked.iter().map(|one| String::from_utf8_lossy(&one.bytes)).collect();
        format!("{why}\nsent: {sent:#?}\nservers: {:#?}\nclient: {:?}", outcome.sent(), outcome.text())
    })
}

/// What one server connection was sent: whole requests of this client, in their order, each with its own body.
fn judge_server(bytes: &[u8], asked: &[Asked]) -> Result<(), String> {
    let (mut from, mut place) = (0, 0);
    while from < bytes.len() {
        let Some(message) = read(bytes, from, false, false)? else { return Ok(()) };
        let path = message.words[1].trim_start_matches("/rewritten");
        let found = asked.iter().enumerate().skip(place).find(|(_, one)| one.path == path);
        let Some((number, one)) = found else {
            return Err(format!("a server was asked for {path:?}, which nobody asked for now"));
        };
        if one.ambiguous {
            let is_last = message.end == bytes.len();
            let passes = if one.is_read_by_its_chunks() {
                is_last && message.body.is_empty()
            } else {
                // Of a body that makes no sense further on, what came before may have been sent: never an end of it.
                is_last && !message.complete
            };
            return if passes { Ok(()) } else { Err(format!("an ambiguous request was passed on: {path}")) };
        }
        if ["/deny", "/redirect", "/return"].iter().any(|begin| path.starts_with(begin)) {
            return Err(format!("{path} was answered by a rule, and passed on"));
        }
        let same = message.body == one.body || (!message.complete && one.body.starts_with(&message.body));
        if !same {
            let body = String::from_utf8_lossy(&message.body).into_owned();
            return Err(format!("{path} came with another body: {body:?}"));
        }
        if one.switches {
            return Ok(());
        }
        // A request that was repeated is the first on its connection.
        place = number + 1;
        from = message.end;
    }
    Ok(())
}

/// What the client was sent: one response for each request, in their order, each from the server or from us.
fn judge_client(bytes: &[u8], asked: &[Asked]) -> Result<(), String> {
    let (mut from, mut place) = (0, 0);
    while from < bytes.len() {
        let Some(one) = asked.get(place) else {
            return Err(format!("more answers than requests: {:?}", String::from_utf8_lossy(&bytes[from..])));
        };
        let Some(message) = read(bytes, from, true, one.method == "HEAD" && !one.ambiguous)? else {
            return Ok(());
        };
        let status = message.status();
        from = message.end;
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        match message.field("x-tag").map(|tag| tag.trim_start_matches("/rewritten")) {
            Some(tag) if tag != one.path => return Err(format!("{} was answered with {tag}", one.path)),
            Some(_) if one.ambiguous && !one.is_read_by_its_chunks() => {
                return Err(format!("{} was answered by a server", one.path));
            }
            _ => {}
        }
        let forged = message.fields.iter().any(|(_, value)| value == "forged");
        if forged {
            return Err(format!("{} was answered with a body taken for a head", one.path));
        }
        if status == 101 {
            return Ok(());
        }
        if one.ambiguous {
            // Nothing may follow: where the next message begins is not known.
            return if from == bytes.len() {
                Ok(())
            } else {
                Err("answers after an ambiguous request".to_owned())
            };
        }
        place += 1;
    }
    Ok(())
}

#[test]
fn every_message_is_what_was_asked_and_answered() {
    let shared = shared(CONFIG);
    for seed in 1..=exchanges(5_000) as u64 {
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(&shared, seed)));
        match played {
            Ok(Ok(())) => {}
            Ok(Err(why)) => panic!("seed {seed}: {why}"),
            Err(_) => panic!("seed {seed}"),
        }
    }
}

/// The judge finds what it is there for.
#[test]
fn the_judge_refuses_messages_that_are_no_ones() {
    let mut dice = Dice::new(7);
    let mut one = ask(0, &mut dice);
    (one.method, one.path, one.ambiguous, one.switches) = ("POST", "/t/0".to_owned(), false, false);
    one.body = b"hello".to_vec();
    let asked = [one];
    let server = |text: &str| judge_server(text.as_bytes(), &asked).is_ok();
    assert!(server("POST /t/0 HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"));
    assert!(server(
        "POST /t/0 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    ));
    for wrong in [
        "POST /t/0 HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nhell",
        "POST /t/0 HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello{}",
        "POST /t/0 HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
        "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        assert!(!server(&wrong.replace("{}", SMUGGLED)), "{wrong}");
    }
    let client = |text: &str| judge_client(text.as_bytes(), &asked).is_ok();
    assert!(client("HTTP/1.1 200 OK\r\nx-tag: /t/0\r\ncontent-length: 2\r\n\r\nok"));
    assert!(!client("HTTP/1.1 200 OK\r\nx-tag: /t/1\r\ncontent-length: 2\r\n\r\nok"));
    assert!(!client(
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    ));
}
