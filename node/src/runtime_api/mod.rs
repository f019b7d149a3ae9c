//! The stats socket: commands in HAProxy's words, answers in its format (management guide, chapter 9).

mod commands;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxy::Proxy;
use proxy_config::model::{Config, Level};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// Longest line of commands.
const MAX_LINE: u64 = 16_384;
/// How long a silent connection stays where the file says nothing.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What commands act on.
pub(crate) struct Node {
    pub(crate) proxy: Proxy,
    pub(crate) member: String,
    pub(crate) started: Instant,
}

/// A stats socket, bound.
pub(crate) type Socket = std::os::unix::net::UnixListener;

/// Binds the file's stats sockets; what an earlier process left is replaced.
pub(crate) fn open(config: &Config) -> Result<Vec<(Socket, Level)>, String> {
    let mut sockets = Vec::new();
    for line in &config.global.stats_sockets {
        let say = |error: std::io::Error| format!("cannot open stats socket '{}' : {error}", line.path);
        match std::fs::remove_file(&line.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(say(error)),
            Ok(()) | Err(_) => {}
        }
        let socket = Socket::bind(&line.path).map_err(say)?;
        if let Some(mode) = line.mode {
            std::fs::set_permissions(&line.path, std::fs::Permissions::from_mode(mode)).map_err(say)?;
        }
        socket.set_nonblocking(true).map_err(say)?;
        sockets.push((socket, line.level));
    }
    Ok(sockets)
}

/// Answers on one socket; runs on the service thread.
pub(crate) async fn serve(node: Arc<Node>, socket: Socket, level: Level) {
    let listener = match UnixListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "stats socket cannot be used");
            return;
        }
    };
    while let Ok((stream, _)) = listener.accept().await {
        tokio::task::spawn_local(answer(Arc::clone(&node), stream, level));
    }
}

async fn answer(node: Arc<Node>, stream: UnixStream, level: Level) {
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
