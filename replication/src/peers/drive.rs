//! A session on a connection: what comes in goes to the state machine, what it wants sent goes out, and
//! neither ever waits for the other.

use std::io;
use std::time::Duration;

use replication_peers::{End, Event, Input, Knowledge, Learned, Output, Session};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Peer;
use crate::Room;

/// Bytes read at once.
const READ: usize = 32 * 1_024;

/// Why a session ended that its connection would have carried on.
#[derive(Debug)]
enum Ended {
    ByRule(End),
    Replaced,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ByRule(End::Nonsense(what)) => write!(f, "its bytes make no sense: {what:?}"),
            Self::ByRule(End::Refused) => f.write_str("it refuses our bytes"),
            Self::ByRule(End::Silent) => f.write_str("it fell silent"),
            Self::Replaced => f.write_str("a newer session replaced it"),
        }
    }
}

impl std::error::Error for Ended {}

/// Holds a session until it ends.
pub(crate) async fn hold<S>(room: &Room, place: usize, stream: S, minor: u8, said: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let peer = room.peer(place);
    let (number, mut generation) = peer.begin((room.clock)());
    let acked = peer.acked.borrow().clone();
    let mut session = Session::new(room.tables.clone(), minor, &acked, (room.clock)());
    session.handle_input((room.clock)(), Input::Bytes(said));
    room.learning(Event::Connected(place));
    let replaced = async {
        // The sender lives as long as the peer does.
        let _ = generation.wait_for(|current| *current != number).await;
    };
    let ended = tokio::select! {
        result = drive(room, place, stream, &mut session) => result,
        () = replaced => Err(io::Error::other(Ended::Replaced)),
    };
    peer.count_error(match &ended {
        Ok(()) => "closed",
        Err(error) => match error.get_ref().and_then(|e| e.downcast_ref::<Ended>()) {
            Some(Ended::ByRule(End::Nonsense(_))) => "nonsense",
            Some(Ended::ByRule(End::Refused)) => "refused",
            Some(Ended::ByRule(End::Silent)) => "silent",
            Some(Ended::Replaced) => "replaced",
            None => "broken",
        },
    });
    let why = ended.map_or_else(|error| error.to_string(), |()| "closed".to_owned());
    if peer.end(number, why, (room.clock)()) {
        room.learning(Event::Lost(place));
    }
}

async fn drive<S>(room: &Room, place: usize, stream: S, session: &mut Session) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let peer = room.peer(place);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut changes = room.changes.subscribe();
    let mut incoming = vec![0; READ];
    let mut outgoing: Vec<u8> = Vec::new();
    let mut sent = 0;
    let mut unflushed = false;
    loop {
        let now = (room.clock)();
        session.handle_timeout(now);
        if peer.take_ask() {
            session.handle_input(now, Input::Ask);
        }
        let complete = room.resync.borrow().knowledge() != Knowledge::Learning;
        session.handle_input(now, Input::Complete(complete));
        while let Some(output) = session.poll_output() {
            match output {
                Output::Learned(learned) => learn(room, &peer, learned, now),
                Output::Asked => tracing::info!(peer = peer.name, "teaching"),
                Output::Taught(all) => {
                    tracing::info!(peer = peer.name, all, "taught by");
                    room.learning(Event::Taught(place, all));
                }
                Output::End(end) => {
                    if matches!(end, End::Nonsense(_)) {
                        room.refuse("nonsense");
                    }
                    return Err(io::Error::other(Ended::ByRule(end)));
                }
            }
        }
        if sent == outgoing.len() {
            sent = 0;
            outgoing.clear();
            changes.mark_unchanged();
            if let Some(bytes) = session.poll_transmit() {
                outgoing = bytes;
            }
        }
        *peer.acked.borrow_mut() = session.acked();
        let deadline = session.poll_timeout().map_or(now, |(deadline, _)| deadline);
        let wait = Duration::from_millis(deadline.saturating_sub(now).max(1));
        let busy = sent < outgoing.len();
        tokio::select! {
            read = reader.read(&mut incoming) => match read? {
                0 => return Ok(()),
                count => {
                    peer.heard_ms.set(Some((room.clock)()));
                    session.handle_input((room.clock)(), Input::Bytes(&incoming[..count]));
                }
            },
            progress = advance(&mut writer, &outgoing[sent..]), if busy || unflushed => match progress? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(count) => {
                    sent += count;
                    unflushed = true;
                }
                None => unflushed = false,
            },
            _ = changes.changed(), if !busy => {}
            () = peer.asking.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Writes some bytes, and says how many; or, when there are none, sees to it that all have left. One step
/// of either kind, so that being dropped half-way loses nothing.
async fn advance<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) -> io::Result<Option<usize>> {
    if bytes.is_empty() { writer.flush().await.map(|()| None) } else { writer.write(bytes).await.map(Some) }
}

fn learn(room: &Room, peer: &Peer, learned: Learned, now_ms: u64) {
    let Some(table) = room.tables.get(learned.table) else { return };
    peer.count_learnt(learned.table);
    let Learned { key, values, remaining_ms, lesson, .. } = learned;
    match lesson {
        Some(known) => table.merge_lesson(&key, values, remaining_ms, known, now_ms),
        // The other members hear it from here: the process that changed it has left the network.
        None if peer.is_local() => table.adopt(&key, values, remaining_ms, now_ms),
        None => table.merge(&key, values, remaining_ms, now_ms),
    };
}
