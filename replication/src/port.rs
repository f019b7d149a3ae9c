//! The port the members share: who is there, what does it want? The first line says.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use replication_peers::{Hello, Refused, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::tls::{Proof, Stream};
use crate::{Room, health, peers};

/// Most connections that are between being accepted and being known.
pub(crate) const MAX_HANDSHAKES: usize = 64;
/// Longest time they may stay there.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// Longest introduction.
const MAX_INTRODUCTION: usize = 1_024;
/// How long accepting rests when it fails, for want of descriptors.
const EXHAUSTED_REST: Duration = Duration::from_millis(100);

pub(crate) async fn accept(room: Rc<Room>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Err(error) => {
                tracing::warn!(%error, "a member cannot be accepted");
                tokio::time::sleep(EXHAUSTED_REST).await;
            }
            Ok((stream, from)) => {
                let Some(handshake) = room.handshakes.begin(from.ip()) else {
                    // Closed at once: a real member comes again.
                    room.refuse("busy");
                    continue;
                };
                let guest_room = Rc::clone(&room);
                room.spawn(async move {
                    let room = guest_room;
                    let met = tokio::time::timeout(HANDSHAKE, meet(&room, stream)).await;
                    drop(handshake);
                    match met {
                        Ok(Ok(Some(guest))) => serve(Rc::clone(&room), guest).await,
                        Ok(Ok(None)) => {}
                        Ok(Err(error)) => {
                            room.refuse("stranger");
                            if let Some(count) = room.lines.count("stranger", Instant::now()) {
                                tracing::warn!(%from, %error, count, "refused a connection to the cluster's port");
                            }
                        }
                        Err(_) => {
                            room.refuse("slow");
                            if let Some(count) = room.lines.count("slow", Instant::now()) {
                                tracing::warn!(%from, count, "a connection to the cluster's port said too little");
                            }
                        }
                    }
                });
            }
        }
    }
}

/// Who came, and what it has said beyond its introduction.
enum Guest {
    Peer { place: usize, hello: Hello, stream: Stream, rest: Vec<u8> },
    Health { member: String, stream: Stream, rest: Vec<u8> },
}

async fn meet(room: &Room, stream: TcpStream) -> io::Result<Option<Guest>> {
    stream.set_nodelay(true)?;
    let (mut stream, proof) = match &room.tls {
        Some(tls) => tls.accept(stream).await?,
        None => (Box::new(stream) as Stream, Proof::Nothing),
    };
    let mut said = Vec::new();
    loop {
        if said.starts_with(health::INTRODUCTION) {
            if let Some((member, used)) = health::introduced(health::INTRODUCTION, &said, &room.member)
                && proof.shows(&member)
            {
                let rest = said.split_off(used);
                return Ok(Some(Guest::Health { member, stream, rest }));
            }
        } else if !health::INTRODUCTION.starts_with(&said) {
            match Hello::read(&said).and_then(|read| read.map(|r| welcome(room, &proof, r)).transpose()) {
                Ok(None) => {}
                Ok(Some((place, hello, used))) => {
                    let rest = said.split_off(used);
                    return Ok(Some(Guest::Peer { place, hello, stream, rest }));
                }
                Err(Refused(status)) => {
                    stream.write_all(format!("{}\n", status.code()).as_bytes()).await?;
                    stream.shutdown().await?;
                    room.refuse(word(status));
                    tracing::info!(?status, "refused a peer");
                    return Ok(None);
                }
            }
        }
        if said.len() > MAX_INTRODUCTION || stream.read_buf(&mut said).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok | Status::Protocol => "protocol",
        Status::Again => "again",
        Status::Version => "version",
        Status::NotMe => "not me",
        Status::Unknown => "unknown",
    }
}

fn welcome(
    room: &Room,
    proof: &Proof,
    (hello, used): (Hello, usize),
) -> Result<(usize, Hello, usize), Refused> {
    if hello.called != room.member {
        return Err(Refused(Status::NotMe));
    }
    let place = room.place_of(&hello.caller).filter(|_| proof.allows(&hello.caller));
    let place = place.ok_or(Refused(Status::Unknown))?;
    // Both sides dial: while our own call is being answered, the call of the smaller name stands.
    if room.peer(place).is_calling() && room.member < hello.caller {
        return Err(Refused(Status::Again));
    }
    Ok((place, hello, used))
}

async fn serve(room: Rc<Room>, guest: Guest) {
    match guest {
        Guest::Peer { place, hello, mut stream, rest } => {
            let answer = format!("{}\n", Status::Ok.code());
            if stream.write_all(answer.as_bytes()).await.is_ok() && stream.flush().await.is_ok() {
                peers::hold(&room, place, stream, hello.minor, &rest).await;
            }
        }
        Guest::Health { member, stream, rest } => health::listen(&room, &member, stream, rest).await,
    }
}
