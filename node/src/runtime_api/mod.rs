//! The stats socket: commands in HAProxy's words, answers in its format (management guide, chapter 9).

mod commands;

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxy::Proxy;
use proxy_config::model::{BindAddress, Level, StatsSocket};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};

use crate::worker::privileges;

/// Longest line of commands.
const MAX_LINE: u64 = 16_384;
/// How long a silent connection stays where the file says nothing.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Rest after a connection could not be accepted.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What commands act on.
pub(crate) struct Node {
    pub(crate) proxy: Proxy,
    pub(crate) member: String,
    pub(crate) started: Instant,
}

/// Opens a stats socket of the file; a path that an earlier process left is replaced.
pub(crate) fn open(line: &StatsSocket) -> std::io::Result<OwnedFd> {
    let socket: OwnedFd = match &line.address {
        BindAddress::Unix(path) => {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let socket = std::os::unix::net::UnixListener::bind(path)?;
            if let Some(mode) = line.mode {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
            }
            let user = line.user.as_ref().map(|account| privileges::user(account).map(|(user, _)| user));
            let group = line.group.as_ref().map(privileges::group);
            let (user, group) = (user.transpose(), group.transpose());
            let (user, group) = (user.map_err(std::io::Error::other)?, group.map_err(std::io::Error::other)?);
            // After the mode, which only the owner may change.
            std::os::unix::fs::chown(path, user, group)?;
            socket.into()
        }
        BindAddress::Tcp(address) => std::net::TcpListener::bind(address)?.into(),
        BindAddress::Inherited(number) => crate::sys::inherited(*number)?,
    };
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// A stats socket in a runtime.
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    fn new(socket: OwnedFd) -> std::io::Result<Self> {
        if rustix::net::sockopt::socket_domain(&socket)? == rustix::net::AddressFamily::UNIX {
            UnixListener::from_std(socket.into()).map(Self::Unix)
        } else {
            TcpListener::from_std(socket.into()).map(Self::Tcp)
        }
    }

    async fn accept(&self) -> std::io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Tcp(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Answers on one socket; runs on the service thread.
pub(crate) async fn serve(node: Arc<Node>, socket: OwnedFd, level: Level) {
    let listener = match Listener::new(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "stats socket cannot be used");
            return;
        }
    };
    // The process after this one answers once this one has stopped; until then, this one.
    node.proxy.until_accepting().await;
    let mut stop = pin!(node.proxy.until_stopping());
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return,
            accepted = listener.accept() => match accepted {
                Ok(stream) => {
                    tokio::task::spawn_local(answer(Arc::clone(&node), stream, level));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the stats socket cannot be accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
        }
    }
}

async fn answer(node: Arc<Node>, stream: Box<dyn Stream>, level: Level) {
    let patience = node.proxy.config().global.stats_timeout.unwrap_or(USUAL_TIMEOUT);
    let mut stream = BufReader::new(stream);
    let mut prompt = false;
    loop {
        let mut line = String::new();
        let mut limited = tokio::io::AsyncReadExt::take(&mut stream, MAX_LINE);
        match tokio::time::timeout(patience, limited.read_line(&mut line)).await {
            Ok(Ok(count)) if count > 0 => {}
            _ => return,
        }
        let mut quit = false;
        for command in split(line.trim()) {
            let words: Vec<&str> = command.split_whitespace().collect();
            match words.as_slice() {
                ["prompt"] => prompt = !prompt,
                ["quit"] => quit = true,
                [] => {}
                words => {
                    let mut text = commands::run(&node, level, words);
                    text.push('\n');
                    if stream.get_mut().write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        }
        if prompt && !quit && stream.get_mut().write_all(b"> ").await.is_err() {
            return;
        }
        if quit || !prompt {
            // The last word was said; a reader sees the end at once.
            let _ = stream.get_mut().shutdown().await;
            return;
        }
    }
}

/// Commands of one line, parted by semicolons that no backslash precedes.
fn split(line: &str) -> Vec<String> {
    let mut commands = vec![String::new()];
    let mut escaped = false;
    for c in line.chars() {
        let last = commands.len() - 1;
        match c {
            '\\' if !escaped => escaped = true,
            ';' if !escaped => commands.push(String::new()),
            c => {
                escaped = false;
                commands[last].push(c);
            }
        }
    }
    commands
}
