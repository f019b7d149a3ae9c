//! The clients: connections that stay, each asking again as soon as it was answered.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Time before the measurement begins: connections are open and caches warm.
const WARM_UP: Duration = Duration::from_millis(500);
const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: versus\r\nAccept: */*\r\n\r\n";
/// Longest answer's head.
const MAX_HEAD: usize = 4_096;

/// What the clients saw while it was measured.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// How long each request took, in microseconds.
    pub(crate) latencies: Vec<u32>,
}

/// Asks for a while. `mark` is called when the measurement begins (`true`) and ends.
pub(crate) fn keep_alive(
    address: SocketAddrV4,
    connections: u32,
    length: Duration,
    body: usize,
    mark: &dyn Fn(bool),
) -> io::Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let measuring = Rc::new(Cell::new(false));
    let latencies = Rc::new(RefCell::new(Vec::with_capacity(1 << 20)));
    let failure = Rc::new(RefCell::new(None));
    runtime.block_on(async {
        for _ in 0..connections {
            let (measuring, latencies) = (Rc::clone(&measuring), Rc::clone(&latencies));
            let failure = Rc::clone(&failure);
            tokio::task::spawn_local(async move {
                if let Err(error) = ask(address, body, &measuring, &latencies).await {
                    failure.borrow_mut().get_or_insert(error);
                }
            });
        }
        tokio::time::sleep(WARM_UP).await;
        measuring.set(true);
        mark(true);
        tokio::time::sleep(length).await;
        measuring.set(false);
        mark(false);
    });
    match failure.take() {
        Some(error) => Err(error),
        None => Ok(Load { latencies: latencies.take() }),
    }
}

async fn ask(
    address: SocketAddrV4,
    body: usize,
    measuring: &Cell<bool>,
    latencies: &RefCell<Vec<u32>>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut answer = Vec::with_capacity(MAX_HEAD + body);
    loop {
        let begin = Instant::now();
        request(&mut stream, &mut answer, body).await?;
        if measuring.get() {
            latencies.borrow_mut().push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
}

/// One request and its whole answer.
async fn request(stream: &mut TcpStream, answer: &mut Vec<u8>, body: usize) -> io::Result<()> {
    stream.write_all(REQUEST).await?;
    answer.clear();
    let length = loop {
        if stream.read_buf(answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4 + body;
        }
    };
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(io::Error::other("an answer was not 200"));
    }
    while answer.len() < length {
        if stream.read_buf(answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Asks so many times on each of so many connections at once.
pub(crate) fn exactly(address: SocketAddrV4, connections: u32, each: u32, body: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..connections {
            clients.spawn_local(async move {
                let mut stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let mut answer = Vec::with_capacity(MAX_HEAD + body);
                for _ in 0..each {
                    request(&mut stream, &mut answer, body).await?;
                }
                Ok::<_, io::Error>(())
            });
        }
        while let Some(client) = clients.join_next().await {
            client.map_err(io::Error::other)??;
        }
        Ok(())
    })
}
