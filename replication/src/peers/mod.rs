//! One task per peer drives one `Session` of the peers protocol: dial or be called, then read, write, wait.

mod drive;
mod state;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use replication_peers::{Event, Hello, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Room;
use crate::tls::Stream;

pub(crate) use drive::hold;
pub(crate) use state::Peer;
pub use state::{PeerState, PeerStatus, PeerTable};

/// Longest time a call may take until it is answered.
const CALL: Duration = Duration::from_secs(1);
/// Rest after a call that failed: first and longest.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(2);

/// Calls a peer whenever there is no session with it.
pub(crate) async fn dial(room: Rc<Room>, place: usize) {
    let peer = room.peer(place);
    let mut rest = FIRST_REST;
    loop {
        peer.until_alone().await;
        peer.set_calling(true);
        let called = tokio::time::timeout(CALL, call(&room, place)).await;
        peer.set_calling(false);
        match called {
            Ok(Ok((stream, said))) => {
                rest = FIRST_REST;
                hold(&room, place, stream, peer.minor.get(), &said).await;
            }
            failed => {
                let why = match failed {
                    Ok(Err(error)) => error.to_string(),
                    Ok(Ok(_)) | Err(_) => "no answer".to_owned(),
                };
                peer.count_error("no call");
                if peer.unreachable(why, (room.clock)()) {
                    room.learning(Event::Unreachable(place));
                }
                tokio::time::sleep(rest).await;
                rest = LONGEST_REST.min(rest * 2);
            }
        }
    }
}

async fn call(room: &Room, place: usize) -> io::Result<(Stream, Vec<u8>)> {
    let peer = room.peer(place);
    let mut stream = room.reach(&peer).await?;
    let hello = Hello {
        minor: peer.minor.get(),
        called: peer.name.clone(),
        caller: room.member.clone(),
        pid: std::process::id(),
    };
    stream.write_all(&hello.write()).await?;
    stream.flush().await?;
    let mut said = Vec::new();
    loop {
        match Status::read(&said) {
            Ok(Some((Status::Ok, used))) => return Ok((stream, said.split_off(used))),
            Ok(Some((Status::Version, _))) if peer.minor.replace(0) > 0 => {
                return Err(io::Error::other("it speaks version 2.0 only"));
            }
            Ok(Some((status, _))) => return Err(io::Error::other(format!("it answered {}", status.code()))),
            Err(_) => return Err(io::Error::other("it does not speak the peers protocol")),
            Ok(None) if stream.read_buf(&mut said).await? == 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(None) => {}
        }
    }
}

/// Gives up lessons that never end.
pub(crate) async fn watch_lessons(room: Rc<Room>) {
    const LOOK: Duration = Duration::from_secs(1);
    loop {
        tokio::time::sleep(LOOK).await;
        room.resync.borrow_mut().handle_timeout((room.clock)());
        room.ask();
    }
}

impl Room {
    /// Connects to a peer; where there are certificates, whoever answers must be that one.
    pub(crate) async fn reach(&self, peer: &Peer) -> io::Result<Stream> {
        let address = peer.address.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            Some(tls) => tls.connect(stream, &peer.name).await,
            None => Ok(Box::new(stream)),
        }
    }

    /// Tells the state of learning what happened, and asks whom it wants asked.
    fn learning(&self, event: Event) {
        self.resync.borrow_mut().handle_input((self.clock)(), event);
        self.ask();
    }

    fn ask(&self) {
        while let Some(place) = self.resync.borrow_mut().poll_output() {
            self.peer(place).ask();
        }
    }
}
