//! One request to a program, and what became of it on both of its sides.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use super::super::recorder::Recorder;

/// A client waits so long for an answer, and for what follows one.
const ANSWER: Duration = Duration::from_secs(3);
const MORE: Duration = Duration::from_millis(60);
/// What a program forwards although it refuses is there within this.
const LATE: Duration = Duration::from_millis(10);

/// What became of a request.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// Everything the client received.
    pub(super) answer: Vec<u8>,
    /// What the server received on each connection.
    pub(super) arrived: Vec<Vec<u8>>,
}

impl Exchange {
    pub(super) fn forwarded(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// What happened in a word, with the status or the way it was forwarded.
    pub(super) fn word(&self, sent: &[u8]) -> String {
        if self.forwarded() {
            return if self.normalised(sent) { "normalised" } else { "forwarded" }.to_owned();
        }
        match self.answer.get(9..12) {
            Some(status) if self.answer.starts_with(b"HTTP/1.") => {
                format!("refused {}", String::from_utf8_lossy(status))
            }
            Some(_) | None if self.answer.is_empty() => "closed".to_owned(),
            Some(_) | None => "refused".to_owned(),
        }
    }

    /// Whether other bytes arrived than those that were sent; the case of letters does not count.
    fn normalised(&self, sent: &[u8]) -> bool {
        self.arrived.len() != 1 || !self.arrived[0].eq_ignore_ascii_case(sent)
    }
}

/// Sends a request, and looks at what comes back and what arrives behind.
pub(super) fn exchange(
    program: SocketAddrV4,
    recorder: &Recorder,
    request: &[u8],
    answer: &[u8],
) -> Result<Exchange, String> {
    recorder.answer(answer);
    let mut stream = TcpStream::connect(program).map_err(|e| format!("{program}: {e}"))?;
    // A program may refuse before it has read everything.
    let _ = stream.write_all(request);
    let mut received = Vec::new();
    let (begin, mut buffer) = (Instant::now(), [0; 4_096]);
    loop {
        let patience = if received.is_empty() { ANSWER } else { MORE };
        stream.set_read_timeout(Some(patience)).map_err(|e| e.to_string())?;
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => received.extend(&buffer[..count]),
            Ok(_) | Err(_) => break,
        }
        if begin.elapsed() > ANSWER {
            break;
        }
    }
    drop(stream);
    let mut arrived = recorder.received();
    if arrived.is_empty() {
        std::thread::sleep(LATE);
        arrived = recorder.received();
    }
    Ok(Exchange { answer: received, arrived })
}
