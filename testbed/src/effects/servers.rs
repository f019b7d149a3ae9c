//! The servers of a case: they do what is written, and keep every byte that they receive.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::effects::case::{Answer, Server};
use crate::effects::http;
use crate::effects::text::{Piece, bytes};

/// Bytes kept of one connection.
const MOST: usize = 1 << 20;

/// What one connection of one server received.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    server: usize,
    bytes: Vec<u8>,
    /// How the other side ended it; empty: it did not.
    end: &'static str,
}

#[derive(Default)]
struct Shared {
    connections: Vec<Received>,
    /// How many requests each server was sent.
    requests: Vec<usize>,
}

/// All servers of a case; their threads end with the process.
pub(super) struct Servers {
    scripts: Vec<Server>,
    shared: Arc<Mutex<Shared>>,
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Servers {
    pub(super) fn start(scripts: &[Server]) -> Result<Self, String> {
        let shared = Arc::new(Mutex::new(Shared { requests: vec![0; scripts.len()], ..Shared::default() }));
        for (place, script) in scripts.iter().enumerate() {
            let listener =
                TcpListener::bind(&script.address).map_err(|e| format!("{}: {e}", script.address))?;
            let (script, shared) = (script.clone(), Arc::clone(&shared));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let connection = {
                        let mut shared = lock(&shared);
                        shared.connections.push(Received { server: place, ..Received::default() });
                        shared.connections.len() - 1
                    };
                    let (script, shared) = (script.clone(), Arc::clone(&shared));
                    std::thread::spawn(move || {
                        let end =
                            Connection { stream: &stream, script, shared: &shared, place: connection }.talk();
                        lock(&shared).connections[connection].end = end;
                    });
                }
            });
        }
        Ok(Self { scripts: scripts.to_vec(), shared })
    }

    /// Changes whenever something is received.
    pub(super) fn mark(&self) -> usize {
        let shared = lock(&self.shared);
        shared.connections.iter().map(|one| 1 + one.bytes.len() + one.end.len()).sum()
    }

    /// What every connection received, in the order in which they were made, server by server.
    pub(super) fn observed(&self) -> String {
        let shared = lock(&self.shared);
        let mut shown = String::new();
        for (place, script) in self.scripts.iter().enumerate() {
            let own = shared.connections.iter().filter(|one| one.server == place);
            let heard = own.filter(|one| {
                let silent = script.quiet.iter().any(|begin| one.bytes.starts_with(&bytes(begin)));
                !silent && (!one.bytes.is_empty() || script.ends)
            });
            for (number, one) in heard.enumerate() {
                shown.push_str(&format!("server {} connection {}\n", script.address, number + 1));
                shown.push_str(&crate::effects::text::show(
                    ">",
                    &if script.raw { one.bytes.clone() } else { http::joined(&one.bytes) },
                ));
                if script.ends {
                    let end = if one.end.is_empty() { "open" } else { one.end };
                    shown.push_str(&format!("= {end}\n"));
                }
            }
        }
        shown
    }
}

struct Connection<'c> {
    stream: &'c TcpStream,
    script: Server,
    shared: &'c Mutex<Shared>,
    place: usize,
}

impl Connection<'_> {
    /// Talks until one side ends; how the other one did.
    fn talk(mut self) -> &'static str {
        if let Some(greeting) = self.script.greets.take()
            && self.stream.write_all(&bytes(&greeting)).is_err()
        {
            return "RST";
        }
        let mut held = Vec::new();
        loop {
            let request = if self.script.raw {
                (!held.is_empty()).then(|| std::mem::take(&mut held))
            } else {
                http::request(&held).map(|length| held.drain(..length).collect())
            };
            let Some(request) = request else {
                let mut buffer = [0; 16384];
                match self.stream.read(&mut buffer) {
                    Ok(0) => return "FIN",
                    Ok(length) => {
                        held.extend_from_slice(&buffer[..length]);
                        let kept = &mut lock(self.shared).connections[self.place].bytes;
                        let room = MOST.saturating_sub(kept.len()).min(length);
                        kept.extend_from_slice(&buffer[..room]);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return "RST",
                }
                continue;
            };
            if let Some(end) = self.answer(&request) {
                return end;
            }
        }
    }

    fn next(&self, path: &str) -> Option<Answer> {
        let own: Vec<&Answer> =
            self.script.answers.iter().filter(|a| !a.path.is_empty() && a.path == path).collect();
        if let Some(only) = own.first() {
            return Some((*only).clone());
        }
        let mut shared = lock(self.shared);
        let server = shared.connections[self.place].server;
        let turn = shared.requests[server];
        shared.requests[server] += 1;
        let any: Vec<&Answer> = self.script.answers.iter().filter(|a| a.path.is_empty()).collect();
        any.get(turn.min(any.len().saturating_sub(1))).map(|answer| (*answer).clone())
    }

    /// Answers one request; how the connection ended, if it did.
    fn answer(&mut self, request: &[u8]) -> Option<&'static str> {
        let (method, path) = http::line(request);
        let Some(answer) = self.next(&path) else {
            let body = if self.script.echo {
                http::joined(request)
            } else {
                self.script.address.clone().into_bytes()
            };
            let mut answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
            if method != "HEAD" {
                answer.extend_from_slice(&body);
            }
            return self.stream.write_all(&answer).is_err().then_some("RST");
        };
        for piece in &answer.pieces {
            match piece {
                Piece::Bytes(text) => {
                    if self.stream.write_all(&bytes(text)).is_err() {
                        return Some("RST");
                    }
                }
                Piece::Wait(time) => std::thread::sleep(*time),
                Piece::Close => {
                    let _ = self.stream.shutdown(Shutdown::Write);
                    let mut rest = [0; 4096];
                    let _ = self.stream.set_read_timeout(Some(Duration::from_secs(2)));
                    while matches!(self.stream.read(&mut rest), Ok(length) if length > 0) {}
                    return Some("closed here");
                }
                Piece::Reset => {
                    let _ = socket2::SockRef::from(self.stream).set_linger(Some(Duration::ZERO));
                    return Some("reset here");
                }
                Piece::Silence => {
                    let mut rest = [0; 4096];
                    return loop {
                        match self.stream.read(&mut rest) {
                            Ok(0) => break Some("FIN"),
                            Ok(_) => {}
                            Err(_) => break Some("RST"),
                        }
                    };
                }
            }
        }
        None
    }
}
