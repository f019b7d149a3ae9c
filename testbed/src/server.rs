//! Two web servers and something that accepts on a database's port. They say who they are.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longest head of a request.
const MAX_HEAD: usize = 16_384;

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
        // Requests here have no body: each ends with its head.
        while let Some(end) = said.windows(4).position(|w| w == b"\r\n\r\n") {
            said.drain(..end + 4);
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
        match stream.read_buf(&mut said).await {
            Ok(count) if count > 0 && said.len() <= MAX_HEAD => {}
            _ => return,
        }
    }
}
