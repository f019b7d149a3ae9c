//! The stats socket: commands in HAProxy's words, answers in its format (management guide, chapter 9).

mod commands;

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use proxy::Proxy;
use proxy_config::model::{BindAddress, Level, StatsSocket};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use crate::sockets;

/// Longest line of commands, in bytes, its line feed included: HAProxy's (its buffer without what it keeps free for
/// rewriting). A longer line is refused as a whole.
const MAX_LINE: u64 = 15_360;
/// How long a silent connection stays, or one that does not read, where the file says nothing.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections to all stats sockets that are served at a time where the file says nothing, as in HAProxy; others wait.
const USUAL_CONNECTIONS: usize = 10;
/// Bytes of an answer that are gathered before they are written.
const MAX_GATHERED: usize = 16_384;
/// Rest before a piece of an answer is asked for again that is not there yet.
const PIECE_REST: Duration = Duration::from_millis(1);

/// Rest after a connection could not be accepted.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What commands act on.
pub(crate) struct Node {
    pub(crate) proxy: Proxy,
    pub(crate) member: String,
    pub(crate) started: Instant,
    /// Connections that may be served now.
    pub(crate) places: Arc<Semaphore>,
    measured: Mutex<Measured>,
}

/// What was measured when somebody last asked.
#[derive(Debug)]
struct Measured {
    at: Instant,
    cpu: Duration,
    bytes: u64,
    idle_percent: u64,
    bytes_a_second: u64,
}

/// Measures are of at least so long a time.
const LEAST_MEASURED: Duration = Duration::from_secs(1);

impl Node {
    pub(crate) fn new(proxy: Proxy, member: String) -> Self {
        let most = proxy.config().global.stats_maxconn;
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(USUAL_CONNECTIONS);
        let measured =
            Measured { at: Instant::now(), cpu: cpu_time(), bytes: 0, idle_percent: 100, bytes_a_second: 0 };
        Self {
            proxy,
            member,
            started: Instant::now(),
            places: Arc::new(Semaphore::new(most)),
            measured: Mutex::new(measured),
        }
    }

    /// How idle this process was since the last measure, in percent, and how many bytes it sent a second.
    pub(crate) fn measure(&self, bytes: u64, cores: u32) -> (u64, u64) {
        let mut last = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, cpu) = (Instant::now(), cpu_time());
        let passed = now - last.at;
        if passed >= LEAST_MEASURED {
            let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let available = millis(passed).saturating_mul(u64::from(cores.max(1))).max(1);
            let busy = millis(cpu.saturating_sub(last.cpu)).saturating_mul(100) / available;
            let sent = bytes.saturating_sub(last.bytes).saturating_mul(1_000) / millis(passed).max(1);
            *last = Measured { at: now, cpu, bytes, idle_percent: 100 - busy.min(100), bytes_a_second: sent };
        }
        (last.idle_percent, last.bytes_a_second)
    }
}

/// What this process has used of all processors.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// What a command answers.
pub(crate) enum Answer {
    Text(String),
    /// Bit by bit: each call does a small part of the work, so that other connections have their turn, and nothing is
    /// made before the client has read what was made before.
    Long(Box<dyn FnMut() -> Piece>),
}

/// A bit of a long answer.
pub(crate) enum Piece {
    /// This; perhaps nothing.
    Text(String),
    /// It is not there yet.
    Later,
    /// That was all.
    Over,
}

/// Opens a stats socket of the file; a path that an earlier process left is replaced.
pub(crate) fn open(line: &StatsSocket) -> std::io::Result<OwnedFd> {
    let socket: OwnedFd = match &line.address {
        BindAddress::Unix(path) => sockets::open_file(path, &line.file)?,
        BindAddress::Abstract(name) => sockets::open_abstract(name)?,
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
                    let place = tokio::select! {
                        biased;
                        () = &mut stop => return,
                        place = Arc::clone(&node.places).acquire_owned() => place,
                    };
                    let node = Arc::clone(&node);
                    tokio::task::spawn_local(async move {
                        answer(node, stream, level).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the stats socket cannot be accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
        }
    }
}

/// A connection, and how long it may neither say nor read anything.
struct Client {
    stream: BufReader<Box<dyn Stream>>,
    patience: Duration,
}

/// A line as it came in.
enum Said {
    Line(String),
    TooLong,
    /// The client has gone, is silent, or has left a line unfinished: that is not carried out, as by HAProxy.
    Nothing,
}

impl Client {
    async fn listen(&mut self) -> Said {
        let mut line = Vec::new();
        let mut limited = tokio::io::AsyncReadExt::take(&mut self.stream, MAX_LINE);
        match tokio::time::timeout(self.patience, limited.read_until(b'\n', &mut line)).await {
            Ok(Ok(_)) if line.ends_with(b"\n") => Said::Line(String::from_utf8_lossy(&line).into_owned()),
            Ok(Ok(count)) if count as u64 == MAX_LINE => Said::TooLong,
            _ => Said::Nothing,
        }
    }

    /// Says something; `false`: the client does not read, or has gone.
    async fn say(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match tokio::time::timeout(self.patience, self.stream.get_mut().write(bytes)).await {
                Ok(Ok(count)) if count > 0 => bytes = &bytes[count..],
                _ => return false,
            }
        }
        true
    }

    /// Says a whole answer.
    async fn say_all(&mut self, answer: Answer) -> bool {
        let mut next = match answer {
            Answer::Text(text) => return self.say(text.as_bytes()).await,
            Answer::Long(next) => next,
        };
        let mut gathered = String::new();
        loop {
            match next() {
                Piece::Text(text) => gathered.push_str(&text),
                Piece::Later => tokio::time::sleep(PIECE_REST).await,
                Piece::Over => return self.say(gathered.as_bytes()).await,
            }
            if gathered.len() >= MAX_GATHERED {
                if !self.say(gathered.as_bytes()).await {
                    return false;
                }
                gathered.clear();
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn answer(node: Arc<Node>, stream: Box<dyn Stream>, level: Level) {
    let patience = node.proxy.config().global.stats_timeout.unwrap_or(USUAL_TIMEOUT);
    let mut client = Client { stream: BufReader::new(stream), patience };
    let mut prompt = false;
    loop {
        let line = match client.listen().await {
            Said::Line(line) => line,
            Said::TooLong => {
                let why = format!(
                    "The line is longer than {MAX_LINE} bytes; none of its commands was carried out.\n"
                );
                // Whoever does not read it is no worse off.
                let _ = client.say(why.as_bytes()).await;
                return;
            }
            Said::Nothing => return,
        };
        let mut quit = false;
        for command in split(&line) {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["prompt"] => {
                    prompt = !prompt;
                    if !client.say(b"\n").await {
                        return;
                    }
                }
                ["quit"] => quit = true,
                [] => {}
                words => {
                    let answer = commands::run(&node, level, words);
                    if !client.say_all(answer).await || !client.say(b"\n").await {
                        return;
                    }
                }
            }
        }
        if prompt && !quit && !client.say(b"> ").await {
            return;
        }
        if quit || !prompt {
            // The last word was said; a reader sees the end at once.
            let _ = client.stream.get_mut().shutdown().await;
            return;
        }
    }
}

/// The words of each command of one line. Semicolons part commands and blanks part words, unless a backslash precedes
/// them, which is then left out.
fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    loop {
        let next = characters.next();
        let is_end = next.is_none_or(|c| c == ';' || c.is_whitespace());
        if is_end && let (Some(word), Some(command)) = (word.take(), commands.last_mut()) {
            command.push(word);
        }
        match next {
            None => return commands,
            Some(';') => commands.push(Vec::new()),
            Some(c) if c.is_whitespace() => {}
            // A backslash at the very end is one.
            Some('\\') => word.get_or_insert_default().push(characters.next().unwrap_or('\\')),
            Some(c) => word.get_or_insert_default().push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn line_is_parted_into_commands_and_words() {
        let parted = [
            ("show info", vec![vec!["show", "info"]]),
            ("a  b;\tc\n", vec![vec!["a", "b"], vec!["c"]]),
            ("key e\\ f;g", vec![vec!["key", "e f"], vec!["g"]]),
            ("a\\;b \\\\ c\\", vec![vec!["a;b", "\\", "c\\"]]),
            ("", vec![vec![]]),
            (";", vec![vec![], vec![]]),
        ];
        for (line, expected) in parted {
            assert_eq!(split(line), expected, "{line}");
        }
    }
}
