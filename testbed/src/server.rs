//! Two web servers and something that accepts on a database's port. They say who they are. Under one path they give
//! and take something long, slowly, whose every byte is known.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longest head of a request.
const MAX_HEAD: usize = 16_384;
/// Where something long is asked for or sent to.
pub(crate) const LONG: &str = "/long";
/// Its bytes.
pub(crate) const LENGTH: usize = 8 << 20;
/// It goes in such pieces, and between two of them passes such a time: four megabytes a second.
pub(crate) const PIECE: usize = 16 << 10;
pub(crate) const PAUSE: Duration = Duration::from_millis(4);

/// Serves on the current thread, for ever. `body`: bytes of every answer.
pub(crate) fn serve(servers: &[(&'static str, SocketAddrV4)], body: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async {
        for (name, address) in servers {
            let answer = answer(name, body);
            let listener = TcpListener::bind(address).await?;
            tokio::task::spawn_local(async move {
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            tokio::task::spawn_local(talk(stream, answer.clone()));
                        }
                        Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
            });
        }
        std::future::pending::<io::Result<()>>().await
    })
}

/// Where the servers of the example are.
pub(crate) fn of_the_example(first: Ipv4Addr, second: Ipv4Addr) -> Vec<(&'static str, SocketAddrV4)> {
    vec![
        ("s1", SocketAddrV4::new(first, 8080)),
        ("s2", SocketAddrV4::new(second, 8080)),
        ("db1", SocketAddrV4::new(first, 3306)),
        ("db2", SocketAddrV4::new(second, 3306)),
    ]
}

fn answer(name: &str, body: usize) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Server: {name}\r\nContent-Length: {body}\r\n\r\n"
    )
    .into_bytes();
    answer.resize(answer.len() + body, b'x');
    answer
}

async fn talk(mut stream: TcpStream, answer: Vec<u8>) {
    let mut said = Vec::with_capacity(2_048);
    let _ = stream.set_nodelay(true);
    loop {
        // Only what is long has a body: all other requests end with their heads.
        while let Some(end) = said.windows(4).position(|w| w == b"\r\n\r\n") {
            let (gives, takes) = (said.starts_with(b"GET /long "), said.starts_with(b"POST /long "));
            said.drain(..end + 4);
            let done = match (gives, takes) {
                (true, _) => give(&mut stream).await,
                (_, true) => take(&mut stream, &mut said).await,
                _ => stream.write_all(&answer).await,
            };
            if done.is_err() {
                return;
            }
        }
        match stream.read_buf(&mut said).await {
            Ok(count) if count > 0 && said.len() <= MAX_HEAD => {}
            _ => return,
        }
    }
}

/// The byte that stands at a place of something long.
pub(crate) fn byte_at(place: usize) -> u8 {
    // A prime: what is left out or comes twice shows, whatever the size of buffers.
    u8::try_from(place % 251).unwrap_or_default()
}

/// Whether these are the bytes from a place on.
pub(crate) fn is_right(place: usize, bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(i, byte)| *byte == byte_at(place + i))
}

/// Sends something long.
pub(crate) async fn send_long(stream: &mut TcpStream) -> io::Result<()> {
    for place in (0..LENGTH).step_by(PIECE) {
        let piece: Vec<u8> = (place..LENGTH.min(place + PIECE)).map(byte_at).collect();
        stream.write_all(&piece).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn give(stream: &mut TcpStream) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nX-Server: long\r\nContent-Length: {LENGTH}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    send_long(stream).await
}

/// Takes something long of which a beginning may have come with the request.
async fn take(stream: &mut TcpStream, said: &mut Vec<u8>) -> io::Result<()> {
    let (mut place, mut right) = (0, true);
    loop {
        right &= is_right(place, said);
        place += said.len();
        said.clear();
        if place >= LENGTH {
            break;
        }
        if stream.read_buf(said).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = if right && place == LENGTH { "200 OK" } else { "400 Bad Request" };
    let answer = format!("HTTP/1.1 {status}\r\nX-Server: long\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await
}
