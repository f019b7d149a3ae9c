//! Our own list: hosts that disagree, and bodies whose framing fields are wrong, rewritten by rules or unrequested.

/// What must become of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// 400, and nothing reaches the server.
    Refused,
    /// As HAProxy: refused, or forwarded and well framed.
    AsHaproxy,
    /// Refused, or both sides receive one well framed message and nothing behind it.
    Sound,
    /// Both sides receive one well framed message with the whole body; the client with this status.
    Delivered(u16),
    /// The client receives this status instead of what the server sent.
    Status(u16),
}

/// A case: what it is, the lines of its section, what a client sends and what a server answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) rules: &'static str,
    pub(super) request: &'static str,
    pub(super) answer: &'static str,
    pub(super) expect: Expect,
}

/// What a server answers if a case does not say otherwise, and its body.
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nX-Recorder: yes\r\nContent-Length: 4\r\n\r\nokay";
pub(super) const CONTENT: &[u8] = b"okay";
/// The body of every request that has one.
pub(super) const BODY: &[u8] = b"hello";
const GET: &str = "GET /x HTTP/1.1\r\nHost: public.example\r\n\r\n";
const POST: &str = "POST /x HTTP/1.1\r\nHost: public.example\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str =
    "POST /x HTTP/1.1\r\nHost: public.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const CHUNKED_OK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nokay\r\n0\r\n\r\n";

const fn request(name: &'static str, request: &'static str, expect: Expect) -> Case {
    Case { name, rules: "", request, answer: OK, expect }
}

const fn rule(name: &'static str, rules: &'static str, request: &'static str, expect: Expect) -> Case {
    Case { name, rules, request, answer: OK, expect }
}

const fn answer(name: &'static str, rules: &'static str, answer: &'static str, expect: Expect) -> Case {
    Case { name, rules, request: GET, answer, expect }
}

/// The whole list.
pub(super) const CASES: &[Case] = &[
    // Host and target.
    request(
        "another authority in the target",
        "GET http://internal.example/ HTTP/1.1\r\nHost: public.example\r\n\r\n",
        Expect::Refused,
    ),
    request(
        "the same authority in the target",
        "GET http://public.example/ HTTP/1.1\r\nHost: public.example\r\n\r\n",
        Expect::Delivered(200),
    ),
    request(
        "the same authority in other letters",
        "GET http://PUBLIC.example/ HTTP/1.1\r\nHost: public.example\r\n\r\n",
        Expect::AsHaproxy,
    ),
    request(
        "the default port in the target",
        "GET http://public.example:80/ HTTP/1.1\r\nHost: public.example\r\n\r\n",
        Expect::AsHaproxy,
    ),
    request(
        "another port in the target",
        "GET http://public.example:8080/ HTTP/1.1\r\nHost: public.example\r\n\r\n",
        Expect::Refused,
    ),
    request(
        "a target without a path",
        "GET http://public.example?q HTTP/1.1\r\nHost: public.example\r\n\r\n",
        Expect::Refused,
    ),
    request("a fragment", "GET /x#y HTTP/1.1\r\nHost: public.example\r\n\r\n", Expect::Refused),
    request(
        "a fragment in an absolute target",
        "GET http://public.example/#y HTTP/1.1\r\nHost: public.example\r\n\r\n",
        Expect::Refused,
    ),
    // A difference: HAProxy forwards it.
    request(
        "a user before the authority",
        "GET http://public.example@internal.example/ HTTP/1.1\r\nHost: internal.example\r\n\r\n",
        Expect::Refused,
    ),
    request(
        "CONNECT with another Host",
        "CONNECT internal.example:443 HTTP/1.1\r\nHost: public.example\r\n\r\n",
        Expect::Refused,
    ),
    request("two hosts", "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", Expect::Refused),
    request(
        "one host twice",
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n",
        Expect::AsHaproxy,
    ),
    request("a list of hosts", "GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", Expect::AsHaproxy),
    request("no host in 1.0", "GET / HTTP/1.0\r\n\r\n", Expect::Delivered(200)),
    // Framing fields of a request.
    request(
        "a coding and a length",
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Expect::Sound,
    ),
    request(
        "a coding and a length in 1.0",
        "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 15\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Expect::Sound,
    ),
    request(
        "a length twice",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        Expect::Sound,
    ),
    request(
        "a list of one length",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5, 5\r\n\r\nhello",
        Expect::Sound,
    ),
    request(
        "two lengths",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nContent-Length: 3\r\n\r\nhello",
        Expect::Refused,
    ),
    request(
        "a length with a sign",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: +5\r\n\r\nhello",
        Expect::Refused,
    ),
    request(
        "a length that overflows",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        Expect::Refused,
    ),
    request(
        "an unknown coding",
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Expect::Sound,
    ),
    request(
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Expect::Sound,
    ),
    request(
        "a chunk's size with a sign",
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        Expect::Status(400),
    ),
    request(
        "a chunk's size that overflows",
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
        Expect::Status(400),
    ),
    request(
        "a trailer that frames",
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
        Expect::Sound,
    ),
    // Rules that touch the framing fields of a request.
    rule("a rule deletes the length", "http-request del-header content-length", POST, Expect::Delivered(200)),
    rule("a rule sets the length", "http-request set-header content-length 3", POST, Expect::Delivered(200)),
    rule("a rule adds a length", "http-request add-header content-length 9", POST, Expect::Delivered(200)),
    rule(
        "a rule gives GET a length",
        "http-request set-header content-length 9",
        GET,
        Expect::Delivered(200),
    ),
    rule(
        "a rule sets a coding",
        "http-request set-header transfer-encoding chunked",
        POST,
        Expect::Delivered(200),
    ),
    rule(
        "a rule sets an unknown coding",
        "http-request set-header transfer-encoding gzip",
        POST,
        Expect::Delivered(200),
    ),
    rule(
        "a rule deletes the coding",
        "http-request del-header transfer-encoding",
        CHUNKED,
        Expect::Delivered(200),
    ),
    rule(
        "a rule gives chunks a length",
        "http-request set-header content-length 3",
        CHUNKED,
        Expect::Delivered(200),
    ),
    // Answers of the program's own.
    rule(
        "a return with another length",
        "http-request return status 200 content-type text/plain string hello hdr content-length 3",
        GET,
        Expect::Sound,
    ),
    rule(
        "a return with a coding",
        "http-request return status 200 content-type text/plain string hello hdr transfer-encoding chunked",
        GET,
        Expect::Sound,
    ),
    // Framing fields of a response.
    answer(
        "an unrequested 101",
        "",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello",
        Expect::Status(502),
    ),
    answer(
        "a response with two lengths",
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 3\r\n\r\nokay",
        Expect::Status(502),
    ),
    answer(
        "a response with a list of one length",
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n\r\nokay",
        Expect::Sound,
    ),
    answer(
        "a response with a coding and a length",
        "",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n4\r\nokay\r\n0\r\n\r\n",
        Expect::Sound,
    ),
    answer(
        "a 204 with a length",
        "",
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nokay",
        Expect::AsHaproxy,
    ),
    answer(
        "an interim response with a length",
        "",
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 4\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nokay",
        Expect::AsHaproxy,
    ),
    answer(
        "a body that is too long",
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nokayHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        Expect::Sound,
    ),
    // Rules that touch the framing fields of a response.
    answer(
        "a rule deletes a response's length",
        "http-response del-header content-length",
        OK,
        Expect::Delivered(200),
    ),
    answer(
        "a rule sets a response's length",
        "http-response set-header content-length 3",
        OK,
        Expect::Delivered(200),
    ),
    answer(
        "a rule adds a response's length",
        "http-response add-header content-length 9",
        OK,
        Expect::Delivered(200),
    ),
    answer(
        "a rule deletes a response's coding",
        "http-response del-header transfer-encoding",
        CHUNKED_OK,
        Expect::Delivered(200),
    ),
    answer(
        "a rule sets a response's coding",
        "http-response set-header transfer-encoding chunked",
        OK,
        Expect::Delivered(200),
    ),
    answer(
        "a rule gives a chunked response a length",
        "http-response set-header content-length 3",
        CHUNKED_OK,
        Expect::Delivered(200),
    ),
];

/// Rules that would answer with a body that the status forbids, or with a status that is none: HAProxy refuses the file.
pub(super) const RULES: &[&str] = &[
    "http-request return status 204 content-type text/plain string hello",
    "http-request return status 304 content-type text/plain string hello",
    "http-request return status 101 content-type text/plain string hello",
    "http-request return status 199",
    "http-request return status 204",
    "http-request return status 200 content-type text/plain string hello",
];

/// The method of a request is HEAD.
pub(super) fn is_head(case: &Case) -> bool {
    case.request.starts_with("HEAD ")
}
