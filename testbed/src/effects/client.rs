//! The clients of a case.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::effects::http::{self, Response};

/// How long an answer may take to come: longer than the usual timeouts of a case.
const PATIENCE: Duration = Duration::from_secs(6);
/// Names another one, in milliseconds, where many answers never come.
pub(super) const PATIENCE_MS: &str = "TANDEM_EFFECTS_PATIENCE_MS";

fn patience() -> Duration {
    let asked = std::env::var(PATIENCE_MS).ok().and_then(|text| text.parse().ok());
    asked.map_or(PATIENCE, Duration::from_millis)
}
/// How long the end of a connection may take that was announced.
const END: Duration = Duration::from_secs(2);
/// From the end of a connection to the end of what is counted for it.
const SETTLE: Duration = Duration::from_millis(5);
/// How long the other side may take to notice the end of a client.
const FINISH: Duration = Duration::from_millis(300);

enum Event {
    Bytes(Vec<u8>),
    End(&'static str),
}

enum Out {
    Plain(TcpStream),
    Tls(Child, Option<ChildStdin>),
}

/// One connection of a client.
pub(super) struct Client {
    out: Out,
    events: Receiver<Event>,
    /// What came and was not looked at yet.
    held: Vec<u8>,
    /// How the other side ended.
    end: Option<&'static str>,
    /// The methods of requests that were sent and not answered.
    method: String,
    /// What the TLS layer says, if there is one.
    said: Option<Receiver<String>>,
    /// It ends with RST.
    resets: bool,
    /// Sending has met a reset, which is told once: the reader sees a mere end then.
    was_reset: bool,
}

/// Where a connection goes, and how.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    pub(super) to: String,
    pub(super) from: Option<IpAddr>,
    pub(super) tls: Option<String>,
}

fn pass_on(mut from: impl Read + Send + 'static, to: Sender<Event>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        loop {
            let event = match from.read(&mut buffer) {
                Ok(0) => Event::End("FIN"),
                Ok(length) => Event::Bytes(buffer[..length].to_vec()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => Event::End("RST"),
                Err(_) => Event::End("broken"),
            };
            let ended = matches!(event, Event::End(_));
            if to.send(event).is_err() || ended {
                return;
            }
        }
    });
}

impl Client {
    /// Connects; the error is what the client sees.
    pub(super) fn connect(way: &Way) -> Result<Self, String> {
        let (sender, events) = channel();
        let (mut said, out) = (
            None,
            match &way.tls {
                Some(arguments) => {
                    let mut child = Command::new("openssl")
                        .args(["s_client", "-quiet", "-brief", "-connect", &way.to])
                        .args(arguments.split(' ').filter(|word| !word.is_empty()))
                        .stdin(Stdio::piped())
                        .stdout(Stdio::piped())
                        .stderr(Stdio::piped())
                        .spawn()
                        .map_err(|e| format!("openssl: {e}"))?;
                    let input = child.stdin.take();
                    if let Some(output) = child.stdout.take() {
                        pass_on(output, sender);
                    }
                    Out::Tls(child, input)
                }
                None => {
                    let address: SocketAddr =
                        way.to.parse().map_err(|_| format!("'{}' is no address", way.to))?;
                    let domain = socket2::Domain::for_address(address);
                    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)
                        .map_err(|e| e.to_string())?;
                    if let Some(from) = way.from {
                        socket.bind(&SocketAddr::from((from, 0)).into()).map_err(|e| e.to_string())?;
                    }
                    // One that is reset at once is told as one that is reset later.
                    let is_reset = match socket.connect_timeout(&address.into(), PATIENCE) {
                        Ok(()) => false,
                        Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
                        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                            return Err("refused".to_owned());
                        }
                        Err(error) => return Err(error.to_string()),
                    };
                    let _ = socket.set_tcp_nodelay(true);
                    let stream = TcpStream::from(socket);
                    if is_reset {
                        let _ = sender.send(Event::End("RST"));
                    } else {
                        pass_on(stream.try_clone().map_err(|e| e.to_string())?, sender);
                    }
                    Out::Plain(stream)
                }
            },
        );
        let mut out = out;
        if let Out::Tls(child, _) = &mut out
            && let Some(mut errors) = child.stderr.take()
        {
            let (sender, receiver) = channel();
            std::thread::spawn(move || {
                let mut text = String::new();
                let _ = errors.read_to_string(&mut text);
                let _ = sender.send(text);
            });
            said = Some(receiver);
        }
        let (held, method) = (Vec::new(), String::new());
        Ok(Self { out, events, held, end: None, method, said, resets: false, was_reset: false })
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        let (method, _) = http::line(bytes);
        if !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            self.method = method;
        }
        // Whoever cannot send learns why from what comes back.
        let sent = match &mut self.out {
            Out::Plain(stream) => stream.write_all(bytes),
            Out::Tls(_, Some(input)) => input.write_all(bytes).and_then(|()| input.flush()),
            Out::Tls(_, None) => Ok(()),
        };
        self.was_reset |= sent.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
    }

    fn wait(&mut self, until: Instant) -> bool {
        if self.end.is_some() {
            return false;
        }
        match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::Bytes(bytes)) => {
                self.held.extend_from_slice(&bytes);
                true
            }
            Ok(Event::End(end)) => {
                self.end = Some(if self.was_reset { "RST" } else { end });
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                self.end = Some("FIN");
                true
            }
        }
    }

    /// One response, or what came until the connection ended, and how it goes on.
    pub(super) fn response(&mut self) -> (Vec<u8>, String) {
        let until = Instant::now() + patience();
        loop {
            if let Response::Complete { closes } = http::response(&self.held, &self.method) {
                let bytes = std::mem::take(&mut self.held);
                return (bytes, if closes { self.ended(END) } else { "kept".to_owned() });
            }
            if !self.wait(until) {
                let bytes = std::mem::take(&mut self.held);
                return (bytes, self.end.unwrap_or("nothing more comes").to_owned());
            }
        }
    }

    /// What comes within a time.
    pub(super) fn collect(&mut self, time: Duration) -> (Vec<u8>, String) {
        let until = Instant::now() + time;
        while self.wait(until) {}
        (std::mem::take(&mut self.held), self.end.unwrap_or("open").to_owned())
    }

    /// So many bytes.
    pub(super) fn bytes(&mut self, count: usize) -> (Vec<u8>, String) {
        let until = Instant::now() + patience();
        while self.held.len() < count && self.wait(until) {}
        let count = count.min(self.held.len());
        (self.held.drain(..count).collect(), self.end.unwrap_or("open").to_owned())
    }

    /// How the other side ends the connection within a time.
    pub(super) fn ended(&mut self, time: Duration) -> String {
        let until = Instant::now() + time;
        while self.end.is_none() && self.wait(until) {}
        match self.end {
            Some(end) if self.held.is_empty() => end.to_owned(),
            Some(end) => format!("{end} after {} bytes more", self.held.len()),
            None => "open".to_owned(),
        }
    }

    /// Ends, and waits until the other side has noticed: what counts connections is not asked before.
    pub(super) fn finish(mut self) {
        self.shut();
        self.ended(FINISH);
        // Its counters may be told after the connection was closed, by another thread.
        std::thread::sleep(SETTLE);
    }

    /// What the TLS layer said, once the connection is over.
    pub(super) fn tls(&mut self) -> String {
        if let Out::Tls(child, input) = &mut self.out {
            drop(input.take());
            let _ = child.kill();
            let _ = child.wait();
        }
        let text = self.said.take().and_then(|said| said.recv_timeout(PATIENCE).ok()).unwrap_or_default();
        let kept = ["Protocol version", "Ciphersuite", "Peer certificate", "alert", "ALPN", "Verification"];
        let lines = text.lines().filter(|line| kept.iter().any(|part| line.contains(part)));
        // An alert begins with numbers of the process.
        let lines = lines.map(|line| line.split("SSL alert").last().map_or(line, str::trim));
        lines.map(|line| format!("tls {line}\n")).collect()
    }

    pub(super) fn shut(&mut self) {
        match &mut self.out {
            Out::Plain(stream) => drop(stream.shutdown(Shutdown::Write)),
            Out::Tls(_, input) => drop(input.take()),
        }
    }

    pub(super) fn reset(mut self) {
        self.resets = true;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        match &mut self.out {
            Out::Plain(stream) if self.resets => {
                let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                // The reader has a copy of the descriptor: it has to let go of it before the kernel says anything.
                let _ = stream.shutdown(Shutdown::Read);
            }
            Out::Plain(stream) => drop(stream.shutdown(Shutdown::Both)),
            Out::Tls(child, _) => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}
