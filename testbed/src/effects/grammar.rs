//! Requests and responses, normal, odd and hostile, as steps and answers of case files. What the two programs treat
//! differently on purpose (docs/differences.md) is not made here; each of those has a case.

use crate::dice::Dice;

const METHODS: &[&str] = &["GET", "GET", "GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH"];
const TARGETS: &[&str] = &[
    "/",
    "/",
    "/a",
    "/a/b.c",
    "//x",
    "/?a=1&b=2",
    "/x?a=1;b=2&a=3",
    "/%2e%2e/etc",
    "/a;x=1",
    "/a%20b",
    "/A/../B/./c",
    "/?",
    "/??x",
    "http://a/abs?q=1",
    "/index.html?id=77&name=a%26b",
    "/\\\"quoted\\\"",
    "/~user/",
    "/a+b",
];
const HOSTS: &[&str] = &["a", "a", "A", "a.example", "www.example.com", "a:8000"];
const FIELDS: &[&str] = &[
    "Cookie: a=1; b=2",
    "Cookie: SRV=s1",
    "Cookie: SRV=nonsense; SESSION=x",
    "Cookie: a=\\\"x;y\\\"; b",
    "X-Forwarded-For: 10.0.0.1, 10.0.0.2",
    "X-User: anna",
    "X-User: b, c",
    "User-Agent: test/1.0 (odd; \\\"quoted\\\")",
    "Accept: */*",
    "X-Empty:",
    "x-lower: 1",
    "Referer: http://x/y?z",
    "Authorization: Basic YTpi",
    "If-None-Match: \\\"x\\\"",
    "Range: bytes=0-1",
    "Connection: keep-alive",
    "Connection: close",
    "Accept-Encoding: gzip",
];
/// What no server should ever be sent.
const HOSTILE: &[&str] = &[
    "GET / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: x\\r\\n\\r\\n",
    "GET / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: +5\\r\\n\\r\\nhello",
    "POST / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 5\\r\\nContent-Length: 6\\r\\n\\r\\nhello",
    "POST / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: -1\\r\\n\\r\\n",
    "GET / HTTP/1.1\\r\\nHost: a\\r\\nX : y\\r\\n\\r\\n",
    "GET / HTTP/1.1\\r\\nHost: a\\r\\n: y\\r\\n\\r\\n",
    "GET / HTTP/1.1\\r\\nHost: a\\r\\nX\\x01: y\\r\\n\\r\\n",
    "GET /\\x01 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n",
    "GET /#fragment HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n",
    "GET / HTTP/1.1\\r\\nHost: a\\r\\nHost: b\\r\\n\\r\\n",
    "GET http://b/ HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n",
    "GET / HTTP/1.1x\\r\\nHost: a\\r\\n\\r\\n",
    "GET / HTTX/1.1\\r\\nHost: a\\r\\n\\r\\n",
    "GET\\r\\n\\r\\n",
    "\\x16\\x03\\x01\\x02\\0",
    "GE(T / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n",
];
const REASONS: &[&str] = &[
    "200 OK",
    "200 OK",
    "200 OK",
    "201 Created",
    "301 Moved",
    "400 Bad",
    "401 No",
    "403 No",
    "404 Not Found",
    "500 Oops",
    "503 Busy",
];
const ANSWER_FIELDS: &[&str] = &[
    "Set-Cookie: s=1; path=/",
    "Set-Cookie: SRV=theirs; path=/",
    "Server: x",
    "X-R: a, b",
    "Location: /elsewhere",
    "Cache-Control: private",
    "ETag: \\\"1\\\"",
    "Content-Type: text/plain",
    "Connection: keep-alive",
];

fn fields(dice: &mut Dice, among: &[&str], most: u64) -> String {
    (0..dice.roll(most + 1)).map(|_| format!("{}\\r\\n", dice.pick(among))).collect()
}

/// What of a case decides which requests are treated alike by both programs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alike {
    /// Clients of HTTP/1.0: not where a server may answer in chunks.
    pub(super) old_clients: bool,
}

fn request(dice: &mut Dice, alike: Alike) -> String {
    if dice.once_in(12) {
        return (*dice.pick(HOSTILE)).to_owned();
    }
    let method = *dice.pick(METHODS);
    let target = if method == "OPTIONS" && dice.once_in(3) { "*" } else { *dice.pick(TARGETS) };
    let host = if target.starts_with("http") { "a" } else { *dice.pick(HOSTS) };
    let old = alike.old_clients && dice.once_in(10);
    let version = if old { "1.0" } else { "1.1" };
    let mut text = format!("{method} {target} HTTP/{version}\\r\\nHost: {host}\\r\\n");
    text.push_str(&fields(dice, FIELDS, 4));
    if matches!(method, "POST" | "PUT" | "PATCH") {
        match dice.roll(4) {
            0 if !old => {
                text.push_str("Transfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nhello\\r\\n3;x=y\\r\\nabc\\r\\n0\\r\\n\\r\\n");
            }
            1 => text.push_str("Content-Length: 0\\r\\n\\r\\n"),
            2 => text.push_str(
                "Content-Type: application/x-www-form-urlencoded\\r\\nContent-Length: 7\\r\\n\\r\\na=1&b=2",
            ),
            _ => text.push_str("Content-Length: 5\\r\\n\\r\\nhello"),
        }
    } else {
        text.push_str("\\r\\n");
    }
    text
}

/// One step: a request, or two on one connection, perhaps from another address.
pub(super) fn step(dice: &mut Dice, to: &str, alike: Alike) -> String {
    let from = if dice.once_in(3) { format!(" from 127.0.0.{}", 2 + dice.roll(3)) } else { String::new() };
    format!("raw \"{}\" to {to}{from}", request(dice, alike))
}

/// One answer of a server, as a line of its script.
pub(super) fn answer(dice: &mut Dice) -> String {
    let reason = *dice.pick(REASONS);
    let fields = fields(dice, ANSWER_FIELDS, 3);
    match dice.roll(7) {
        0 => format!(
            "answer \"HTTP/1.1 {reason}\\r\\n{fields}Transfer-Encoding: chunked\\r\\n\\r\\n3\\r\\nabc\\r\\n0\\r\\n\\r\\n\""
        ),
        1 => format!("answer \"HTTP/1.1 204 Empty\\r\\n{fields}\\r\\n\""),
        2 => format!("answer \"HTTP/1.1 304 Same\\r\\n{fields}\\r\\n\""),
        3 => format!(
            "answer \"HTTP/1.1 {reason}\\r\\n{fields}Content-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok\" close"
        ),
        _ => format!("answer \"HTTP/1.1 {reason}\\r\\n{fields}Content-Length: 2\\r\\n\\r\\nok\""),
    }
}
