//! The socket of the command line: one line in, one answer out.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::Event;
use crate::dump::Dump;

/// The socket's name in the run directory.
pub(crate) const NAME: &str = "tandem.sock";
/// Longest question.
const MAX_LINE: u64 = 1_024;
/// Longest time a question may take to arrive.
const PATIENCE: Duration = Duration::from_secs(2);
/// Rest after a question could not be accepted, for want of descriptors: a second, so that it is not said more often.
const ACCEPT_REST: Duration = Duration::from_secs(1);
/// Longest time any answer may take: a reload waits for the one before it, and each may take three quarters of a minute.
const LONGEST: Duration = Duration::from_secs(120);

/// Binds it, for this user alone; what an earlier process left is replaced.
pub(crate) fn open(folder: &Path) -> Result<std::os::unix::net::UnixListener, String> {
    let path = folder.join(NAME);
    let open = || -> io::Result<_> {
        std::fs::create_dir_all(folder)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let socket = std::os::unix::net::UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    open().map_err(|e| format!("cannot open '{}' : {e}", path.display()))
}

/// Answers, for ever.
pub(crate) async fn serve(socket: std::os::unix::net::UnixListener, events: mpsc::Sender<Event>) {
    let listener = match UnixListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the command line's socket cannot be used");
            return;
        }
    };
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Whoever asks is heard as soon as there is a descriptor again.
                tracing::warn!(%error, "the command line cannot be heard");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let events = events.clone();
        tokio::task::spawn_local(async move {
            // Who hangs up early gets no answer.
            let _ = tokio::time::timeout(LONGEST, answer(stream, events)).await;
        });
    }
}

async fn answer(stream: UnixStream, events: mpsc::Sender<Event>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut limited = (&mut stream).take(MAX_LINE);
    tokio::time::timeout(PATIENCE, limited.read_line(&mut line)).await??;
    let text = match line.trim() {
        "status" => {
            let (reply, status) = oneshot::channel();
            events.send(Event::Asked(reply)).await.map_err(io::Error::other)?;
            let status = status.await.map_err(io::Error::other)?;
            serde_json::to_string(&status).map_err(io::Error::other)?
        }
        order if order == "failover" || order.starts_with("failover ") => {
            let (reply, done) = oneshot::channel();
            let to = order.strip_prefix("failover ").map(str::to_owned);
            events.send(Event::HandOver(to, reply)).await.map_err(io::Error::other)?;
            let moved = done.await.map_err(io::Error::other)?;
            serde_json::to_string(&moved).map_err(io::Error::other)?
        }
        "dump json" | "dump data" | "dump stats" => {
            let dump = line.trim().split(' ').nth(1).and_then(Dump::named).unwrap_or(Dump::Json);
            let (reply, text) = oneshot::channel();
            events.send(Event::Dump(dump, reply)).await.map_err(io::Error::other)?;
            text.await.map_err(io::Error::other)?
        }
        order @ ("maintenance on" | "maintenance off") => {
            let (reply, done) = oneshot::channel();
            let on = order.ends_with(" on");
            events.send(Event::Maintenance(on, reply)).await.map_err(io::Error::other)?;
            let rested = done.await.map_err(io::Error::other)?;
            serde_json::to_string(&rested).map_err(io::Error::other)?
        }
        order @ ("reload" | "reload force") => {
            let (reply, done) = oneshot::channel();
            let force = order.ends_with(" force");
            events.send(Event::Reload { force, asker: Some(reply) }).await.map_err(io::Error::other)?;
            let reloaded = done.await.map_err(io::Error::other)?;
            serde_json::to_string(&reloaded).map_err(io::Error::other)?
        }
        other => serde_json::json!({ "error": format!("unknown question '{other}'") }).to_string(),
    };
    let stream = stream.get_mut();
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(b"\n").await?;
    stream.shutdown().await
}
