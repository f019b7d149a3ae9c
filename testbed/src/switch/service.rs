//! What both hosts serve on the floating address, and the pattern that long transfers are checked by.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(super) const PORT: u16 = 8080;
/// What a client's first byte asks for: every message is answered, or bytes come, or bytes are counted.
pub(super) const ECHO: u8 = b'e';
pub(super) const DOWNLOAD: u8 = b'd';
pub(super) const UPLOAD: u8 = b'u';
/// Bytes of a message that is answered.
pub(super) const MESSAGE: usize = 32;
/// A long transfer sends so much at a time, and rests in between: the machine has other things to do.
pub(super) const CHUNK: usize = 65_536;
pub(super) const REST: Duration = Duration::from_millis(2);
/// Bytes by which a transfer says how long it was.
pub(super) const COUNT: usize = 8;
/// The pattern repeats after a prime number of bytes: a lost, doubled or moved piece shows.
const PERIOD: u64 = 251;
const BACKLOG: i32 = 1024;

/// A piece of the pattern.
pub(super) fn pattern(from: u64, length: usize) -> Vec<u8> {
    (from..).take(length).map(|place| u8::try_from(place % PERIOD).unwrap_or(0)).collect()
}

/// Serves an address for ever, whether the host has it or not. Answers begin with the host's name.
pub(super) fn serve(address: IpAddr, name: u8) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listen(address)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::task::spawn_local(talk(stream, name));
        }
    })
}

fn listen(address: IpAddr) -> io::Result<std::net::TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match address {
        IpAddr::V4(_) => sockopt::set_ip_freebind(&socket, true)?,
        IpAddr::V6(_) => sockopt::set_ipv6_freebind(&socket, true)?,
    }
    rustix::net::bind(&socket, &SocketAddr::new(address, PORT))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// A client that goes is no failure of ours: it counts what it has felt.
async fn talk(mut stream: TcpStream, name: u8) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match stream.read_u8().await? {
        ECHO => echo(stream, name).await,
        DOWNLOAD => send(stream).await,
        UPLOAD => {
            let count = receive(&mut stream).await?;
            stream.write_all(&count.to_be_bytes()).await
        }
        _ => Ok(()),
    }
}

async fn echo(mut stream: TcpStream, name: u8) -> io::Result<()> {
    let mut message = [0; MESSAGE];
    loop {
        stream.read_exact(&mut message).await?;
        message[0] = name;
        stream.write_all(&message).await?;
    }
}

/// Sends the pattern until the client has heard enough, and then how much it was.
async fn send(stream: TcpStream) -> io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    let mut enough = tokio::task::spawn_local(async move { from.read_u8().await });
    let mut sent = 0;
    while !enough.is_finished() {
        to.write_all(&pattern(sent, CHUNK)).await?;
        sent += CHUNK as u64;
        tokio::time::sleep(REST).await;
    }
    let _ = (&mut enough).await;
    to.write_all(&sent.to_be_bytes()).await?;
    to.shutdown().await
}

/// Receives the pattern to its end; how much it was.
async fn receive(stream: &mut TcpStream) -> io::Result<u64> {
    let mut received = 0;
    let mut bytes = vec![0; CHUNK];
    loop {
        let length = stream.read(&mut bytes).await?;
        if length == 0 {
            return Ok(received);
        }
        if bytes[..length] != pattern(received, length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        received += length as u64;
    }
}
