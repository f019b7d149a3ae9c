//! What this node's checks saw, and how many entries its tables have, told to the others: a node that becomes master sends nothing to a server
//! that its neighbour knew to be down. Each node tells on a connection of its own; there is no answer.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use crate::Room;
use crate::tls::Stream;

/// The first line of such a connection; the called and the calling member's names follow, a line each.
pub(crate) const INTRODUCTION: &[u8] = b"TandemHealth 1\n";
/// Longest batch of news.
const MAX_BATCH: usize = 4 * 1_024 * 1_024;
/// A word is said at least this often.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A connection that says nothing for this long is dead.
const SILENCE: Duration = Duration::from_secs(5);
/// Rest after a call that failed.
const REST: Duration = Duration::from_millis(500);
/// Longest time a call may take.
const CALL: Duration = Duration::from_secs(1);

/// What a node says of one server.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ServerNews {
    /// The backend's name.
    #[prost(string, tag = "1")]
    pub backend: String,
    /// The server's name.
    #[prost(string, tag = "2")]
    pub server: String,
    /// Whether its checks say it works.
    #[prost(bool, tag = "3")]
    pub up: bool,
    /// Milliseconds since that changed.
    #[prost(uint64, tag = "4")]
    pub age_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Batch {
    #[prost(message, repeated, tag = "1")]
    servers: Vec<ServerNews>,
    /// Entries of each shared table, by its name.
    #[prost(btree_map = "string, uint64", tag = "2")]
    entries: BTreeMap<String, u64>,
}

/// How replication learns of servers here, and tells of servers there.
pub struct HealthDoor {
    /// Every server that has a check with a result.
    pub servers: Box<dyn Fn() -> Vec<ServerNews>>,
    /// What another node says.
    pub learn: Box<dyn Fn(&ServerNews)>,
    /// Changes when a server here does.
    pub changed: watch::Receiver<()>,
}

/// The calling member and the length of the introduction, once it is complete and meant for us; it begins with
/// this line.
pub(crate) fn introduced(first: &[u8], said: &[u8], own: &str) -> Option<(String, usize)> {
    let mut lines = said.strip_prefix(first)?.splitn(3, |byte| *byte == b'\n');
    let (called, caller, rest) = (lines.next()?, lines.next()?, lines.next()?);
    let caller = std::str::from_utf8(caller).ok()?;
    // What follows the lines is no text.
    (called == own.as_bytes()).then(|| (caller.to_owned(), said.len() - rest.len()))
}

/// Tells a member, for ever.
pub(crate) async fn tell(room: Rc<Room>, place: usize) {
    loop {
        if let Err(error) = tell_once(&room, place).await {
            tracing::debug!(peer = room.peer(place).name, %error, "health is not told");
        }
        tokio::time::sleep(REST).await;
    }
}

async fn tell_once(room: &Room, place: usize) -> io::Result<()> {
    let door = room.health.as_ref().ok_or(io::ErrorKind::Unsupported)?;
    let peer = room.peer(place);
    let connect = async {
        let mut stream = room.reach(&peer).await?;
        stream.write_all(INTRODUCTION).await?;
        stream.write_all(format!("{}\n{}\n", peer.name, room.member).as_bytes()).await?;
        Ok::<_, io::Error>(stream)
    };
    let mut stream = tokio::time::timeout(CALL, connect).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let mut changed = door.changed.clone();
    let mut told: BTreeMap<(String, String), bool> = BTreeMap::new();
    loop {
        let fresh =
            |news: &ServerNews| told.get(&(news.backend.clone(), news.server.clone())) != Some(&news.up);
        let servers: Vec<ServerNews> = (door.servers)().into_iter().filter(fresh).collect();
        for news in &servers {
            told.insert((news.backend.clone(), news.server.clone()), news.up);
        }
        let entries = room.tables.iter().map(|t| (t.schema().name.clone(), t.len() as u64)).collect();
        let bytes = Batch { servers, entries }.encode_to_vec();
        let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        let send = async {
            stream.write_all(&length.to_be_bytes()).await?;
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        tokio::time::timeout(SILENCE, send).await.map_err(|_| io::ErrorKind::TimedOut)??;
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep(HEARTBEAT) => {}
            // Nothing is ever said to us here: what can be read is the end.
            read = stream.read_u8() => return read.map(|_| ()),
        }
    }
}

/// Hears a member until it falls silent.
pub(crate) async fn listen(room: &Room, member: &str, mut stream: Stream, mut said: Vec<u8>) {
    let Some(door) = &room.health else { return };
    loop {
        while let Some(batch) = take(&mut said) {
            match batch {
                Ok(batch) => {
                    batch.servers.iter().for_each(|news| (door.learn)(news));
                    if let Some(place) = room.place_of(member) {
                        *room.peer(place).entries_there.borrow_mut() = batch.entries;
                    }
                }
                Err(why) => {
                    room.refuse("news");
                    tracing::warn!(member, why, "a member's news of servers makes no sense");
                    return;
                }
            }
        }
        match tokio::time::timeout(SILENCE, stream.read_buf(&mut said)).await {
            Ok(Ok(count)) if count > 0 => {}
            _ => return,
        }
    }
}

/// The next complete batch.
fn take(said: &mut Vec<u8>) -> Option<Result<Batch, &'static str>> {
    let (length, _) = said.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_BATCH {
        return Some(Err("too long"));
    }
    let batch = Batch::decode(said.get(4..4 + length)?).map_err(|_| "not a batch");
    said.drain(..4 + length);
    Some(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_introduction_is_complete_with_its_third_line_and_for_us() {
        let said = b"TandemHealth 1\nlb2\nlb1\n\0\xd0\0\n";
        assert_eq!(introduced(INTRODUCTION, said, "lb2"), Some(("lb1".to_owned(), said.len() - 4)));
        assert_eq!(introduced(INTRODUCTION, said, "lb3"), None);
        for cut in 0..said.len() - 4 {
            assert_eq!(introduced(INTRODUCTION, &said[..cut], "lb2"), None, "{cut}");
        }
    }

    #[test]
    fn batches_are_taken_whole_and_nonsense_is_refused() {
        let news = ServerNews { backend: "app".into(), server: "s1".into(), up: true, age_ms: 7 };
        let bytes = Batch { servers: vec![news.clone()], ..Batch::default() }.encode_to_vec();
        let mut said = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        said.extend(&bytes);
        let mut half = said[..said.len() - 1].to_vec();
        assert!(take(&mut half).is_none());
        assert_eq!(take(&mut said).unwrap().unwrap().servers, [news]);
        assert!(said.is_empty());
        assert!(take(&mut vec![0xff; 8]).unwrap().is_err());
        assert!(take(&mut vec![0, 0, 0, 1, 0xff]).unwrap().is_err());
    }
}
