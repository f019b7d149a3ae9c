//! A server that keeps every byte it receives and answers as it is told.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A connection on which nothing comes for so long after its answer is over.
const IDLE: Duration = Duration::from_millis(40);
/// A request is over when nothing comes for so long after its head.
const PAUSE: Duration = Duration::from_millis(15);
/// Longest wait for a head.
const HEAD: Duration = Duration::from_secs(2);
/// Bytes kept of one connection.
const MOST: usize = 1 << 16;

#[derive(Default)]
struct Shared {
    answer: Vec<u8>,
    received: Vec<Vec<u8>>,
}

/// A recording server; its thread ends with the process.
pub(super) struct Recorder {
    pub(super) address: SocketAddrV4,
    shared: Arc<Mutex<Shared>>,
}

impl Recorder {
    pub(super) fn start() -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        let shared = Arc::<Mutex<Shared>>::default();
        let kept = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                // A proxy may open one connection before it has closed another.
                std::thread::spawn(move || talk(stream, &kept));
            }
        });
        Ok(Self { address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), shared })
    }

    /// Forgets what was received, and answers so from now on.
    pub(super) fn answer(&self, answer: &[u8]) {
        let mut shared = lock(&self.shared);
        shared.answer = answer.to_vec();
        shared.received.clear();
    }

    /// What was received on each connection, in the order in which they came.
    pub(super) fn received(&self) -> Vec<Vec<u8>> {
        lock(&self.shared).received.clone()
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a head and what follows it without a pause, answers, reads what still comes for a moment, and closes.
fn talk(mut stream: TcpStream, shared: &Mutex<Shared>) {
    let _ = stream.set_read_timeout(Some(HEAD));
    let (mut place, mut whole, mut answered, mut buffer) = (None, false, false, [0; 4_096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                let mut shared = lock(shared);
                let place = *place.get_or_insert_with(|| {
                    shared.received.push(Vec::new());
                    shared.received.len() - 1
                });
                // Another case began: this connection was of an earlier one.
                let Some(bytes) = shared.received.get_mut(place) else { return };
                bytes.extend(&buffer[..count]);
                if bytes.len() > MOST {
                    return;
                }
                whole = bytes.windows(4).any(|w| w == b"\r\n\r\n");
            }
            Err(_) if whole && !answered => {
                answered = true;
                let answer = lock(shared).answer.clone();
                if stream.write_all(&answer).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
        if whole {
            let _ = stream.set_read_timeout(Some(if answered { IDLE } else { PAUSE }));
        }
    }
}
