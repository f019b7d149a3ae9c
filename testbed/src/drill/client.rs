//! The clients: a connection every two milliseconds from many addresses, each with its cookie and its
//! memory of which server it was given.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// Time between two connections.
const EVERY: Duration = Duration::from_millis(2);
/// A request that takes longer has failed: a first and a second attempt of TCP fit in.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Sticks by cookie.
    App,
    /// Sticks by address.
    Blog,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// This server answered.
    Well(String),
    /// No connection, or no whole answer, and nothing of one.
    Failed,
    /// The connection broke in the middle.
    Cut,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) client: Ipv4Addr,
    pub(crate) asked: Asked,
    pub(crate) ended: Ended,
    pub(crate) at: Instant,
    pub(crate) took: Duration,
}

/// Asks until told to stop, on the current thread; returns every request in the order of their ends.
pub(crate) fn ask(
    clients: &[Ipv4Addr],
    service: SocketAddrV4,
    stop: &Arc<AtomicBool>,
) -> io::Result<Vec<Record>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let records = Rc::new(RefCell::new(Vec::new()));
    let cookies: Rc<RefCell<Vec<Option<String>>>> = Rc::new(RefCell::new(vec![None; clients.len()]));
    runtime.block_on(async {
        let mut clock = tokio::time::interval(EVERY);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut number = 0;
        let mut tasks = tokio::task::JoinSet::new();
        while !stop.load(Ordering::Relaxed) {
            clock.tick().await;
            let place = number % clients.len();
            let asked = if (number / clients.len()).is_multiple_of(2) { Asked::App } else { Asked::Blog };
            number += 1;
            let client = clients[place];
            let cookie = cookies.borrow()[place].clone();
            let (records, cookies) = (Rc::clone(&records), Rc::clone(&cookies));
            tasks.spawn_local(async move {
                let begun = Instant::now();
                let (ended, fresh) = request(client, service, asked, cookie).await;
                if asked == Asked::App && fresh.is_some() {
                    cookies.borrow_mut()[place] = fresh;
                }
                let at = Instant::now();
                let took = at.duration_since(begun);
                records.borrow_mut().push(Record { client, asked, ended, at, took });
            });
            while tasks.try_join_next().is_some() {}
        }
        while tasks.join_next().await.is_some() {}
    });
    Ok(Rc::try_unwrap(records).map(RefCell::into_inner).unwrap_or_default())
}

async fn request(
    client: Ipv4Addr,
    service: SocketAddrV4,
    asked: Asked,
    cookie: Option<String>,
) -> (Ended, Option<String>) {
    let mut connected = false;
    let talk = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((client, 0)))?;
        let mut stream = socket.connect(SocketAddr::V4(service)).await?;
        connected = true;
        let path = if asked == Asked::App { "/" } else { "/blog" };
        let cookie = cookie.filter(|_| asked == Asked::App);
        let cookie = cookie.map(|c| format!("Cookie: SRV={c}\r\n")).unwrap_or_default();
        let text =
            format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\n{cookie}Connection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = match tokio::time::timeout(PATIENCE, talk).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => return (if connected { Ended::Cut } else { Ended::Failed }, None),
    };
    let Some((server, fresh)) = read(&answer) else {
        return (if answer.is_empty() { Ended::Cut } else { Ended::Failed }, None);
    };
    (Ended::Well(server), fresh)
}

/// The server that answered and the cookie it came with; `None` unless the answer is whole and good.
fn read(answer: &[u8]) -> Option<(String, Option<String>)> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let length: usize = field("content-length")?.parse().ok()?;
    let good = head.starts_with("HTTP/1.1 200 ") && answer.len() == end + length;
    let cookie = field("set-cookie")
        .and_then(|c| c.strip_prefix("SRV=").map(|v| v.split(';').next().unwrap_or_default().to_owned()));
    good.then_some((field("x-server")?, cookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_and_good_answer_counts() {
        let good =
            b"HTTP/1.1 200 OK\r\nX-Server: s1\r\nSet-Cookie: SRV=s1; path=/\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(read(good), Some(("s1".to_owned(), Some("s1".to_owned()))));
        assert_eq!(read(&good[..good.len() - 1]), None);
        assert_eq!(read(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), None);
    }
}
