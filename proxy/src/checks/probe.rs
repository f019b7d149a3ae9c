//! One probe of one server: a TCP connection, or an HTTP request behind it (`option httpchk`).

use std::io;
use std::time::{Duration, Instant};

use proxy_backend::Outcome;
use proxy_config::model::{Expected, HttpCheck};
use proxy_wire::h1::{self, Decoder, Limits, Method, Parsed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Seen;
use crate::limits::{is_exhaustion, is_local};
use crate::shared::{LastCheck, Shared};

/// Most bytes of a response that are read to find its status.
const MAX_RESPONSE: usize = 16_384;
/// Most characters of a reason phrase that are kept.
const MAX_REASON: usize = 100;

/// Probes once, within the check's time.
pub(super) async fn run(shared: &Shared, backend: usize, server: usize) -> Seen {
    let settings = &shared.config.backends[backend];
    let row = &settings.servers[server];
    let Some(check) = &row.check else { return seen(Outcome::Passed, "UNK", None, Instant::now(), "") };
    let mut address = *shared.servers[backend][server].address.read();
    if let Some(ip) = check.address {
        address.set_ip(ip);
    }
    if let Some(port) = check.port {
        address.set_port(port);
    }
    // Without `timeout check` the interval bounds the whole probe, as in HAProxy.
    let connect_limit = match (settings.timeouts.connect, settings.timeouts.check) {
        (Some(connect), Some(_)) => connect,
        _ => check.inter,
    };
    let limit = settings.timeouts.check.unwrap_or(check.inter);
    let began = Instant::now();
    let mut socket = match timeout(connect_limit, TcpStream::connect(address)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) if is_local(&error) => return unseen(error, began),
        Ok(Err(error)) => return seen(Outcome::Failed, "L4CON", None, began, &describe(&error)),
        Err(_) => return seen(Outcome::Failed, "L4TOUT", None, began, ""),
    };
    // Reset instead of closing: the server's accept queue forgets us at once, and no port is kept here.
    let _ = socket.set_zero_linger();
    let Some(http) = &settings.httpchk else {
        return seen(Outcome::Passed, "L4OK", None, began, "");
    };
    let answer = match timeout(limit, ask(&mut socket, http)).await {
        Err(_) => return seen(Outcome::Failed, "L7TOUT", None, began, ""),
        Ok(Err(error)) if is_exhaustion(&error) => return unseen(error, began),
        Ok(Err(error)) => return seen(Outcome::Failed, "L7RSP", None, began, &describe(&error)),
        Ok(Ok(answer)) => answer,
    };
    let status = Some(answer.status);
    match &http.expect.what {
        Expected::Status(ranges) => {
            let matches = ranges.iter().any(|(low, high)| (low..=high).contains(&&answer.status));
            if matches != http.expect.negated {
                return seen(Outcome::Passed, "L7OK", status, began, "");
            }
            seen(Outcome::Failed, "L7STS", status, began, &answer.reason)
        }
        Expected::Body(text) => {
            let matches =
                text.is_empty() || answer.body.windows(text.len()).any(|part| part == text.as_bytes());
            match (matches, http.expect.negated) {
                (true, false) | (false, true) => seen(Outcome::Passed, "L7OK", status, began, ""),
                (false, false) => {
                    seen(Outcome::Failed, "L7RSP", None, began, "HTTP content check did not match")
                }
                (true, true) => {
                    let what = "HTTP content check matched unwanted content";
                    seen(Outcome::Failed, "L7RSP", None, began, what)
                }
            }
        }
    }
}

/// What a check was answered with; of the body no more than is looked at.
struct Answer {
    status: u16,
    reason: String,
    body: Vec<u8>,
}

async fn ask(socket: &mut TcpStream, http: &HttpCheck) -> io::Result<Answer> {
    socket.set_nodelay(true)?;
    let mut request = format!("{} {} {}\r\n", http.method, http.uri, http.version);
    for (name, value) in &http.headers {
        request.push_str(&format!("{}: {value}\r\n", name.to_ascii_lowercase()));
    }
    if !http.body.is_empty() {
        request.push_str(&format!("content-length: {}\r\n", http.body.len()));
    }
    if http.version == "HTTP/1.1" {
        request.push_str("connection: close\r\n");
    }
    request.push_str("\r\n");
    request.push_str(&http.body);
    socket.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::with_capacity(1_024);
    let mut head = h1::Head::default();
    let begin = loop {
        let count = socket.read_buf(&mut bytes).await?;
        match h1::parse_response(&bytes, &Limits::default(), &mut head) {
            Ok(Parsed::Complete(begin)) => break begin,
            Ok(Parsed::Partial) if count > 0 && bytes.len() < MAX_RESPONSE => {}
            Ok(Parsed::Partial) => return Err(io::Error::other("incomplete response")),
            Err(_) => return Err(io::Error::other("not an HTTP response")),
        }
    };
    let mut answer = Answer { status: head.status(), reason: reason(&head), body: Vec::new() };
    if matches!(http.expect.what, Expected::Body(_)) {
        let method = if http.method == "HEAD" { Method::Head } else { Method::Other };
        let framing = h1::response_body(&head, method, false);
        let mut decoder = Decoder::new(framing.map_err(|_| io::Error::other("not an HTTP response"))?);
        bytes.drain(..begin);
        while !decoder.is_done() && answer.body.len() < MAX_RESPONSE {
            let piece = decoder.decode(&bytes).map_err(|_| io::Error::other("not an HTTP response"))?;
            answer.body.extend_from_slice(&bytes[piece.data.clone()]);
            let consumed = piece.consumed;
            bytes.drain(..consumed);
            if consumed == 0 && socket.read_buf(&mut bytes).await? == 0 {
                break;
            }
        }
    }
    Ok(answer)
}

/// The words beside a status, as far as they are harmless.
fn reason(head: &h1::Head) -> String {
    let words = String::from_utf8_lossy(head.reason());
    words.chars().filter(|c| !c.is_control() && *c != '"').take(MAX_REASON).collect()
}

fn describe(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return "Connection refused".to_owned();
    }
    error.to_string()
}

fn seen(outcome: Outcome, status: &'static str, code: Option<u16>, began: Instant, what: &str) -> Seen {
    Ok((outcome, LastCheck { status, code, duration_ms: passed_ms(began), description: what.to_owned() }))
}

/// It could not be made, for want of something here.
fn unseen(error: io::Error, began: Instant) -> Seen {
    let description = error.to_string();
    Err((error, LastCheck { status: "SOCKERR", code: None, duration_ms: passed_ms(began), description }))
}

fn passed_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().min(Duration::from_secs(3_600)).as_millis()).unwrap_or(0)
}
