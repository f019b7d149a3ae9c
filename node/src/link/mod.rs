//! The messages between processes of one node and their socket: packets with descriptors attached, so
//! that a descriptor never parts from its message. Nothing here waits.

mod message;

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use prost::Message;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use tokio::io::unix::AsyncFd;

pub(crate) use message::{Body, Given, Heard, Kind, Nothing, Reached, Report, Say, Start, Stop, Word};

/// Longest message; what is longer goes into a memory file whose descriptor is sent.
const MAX_MESSAGE: usize = 16 * 1_024;
/// Most descriptors of one message.
pub(crate) const MAX_DESCRIPTORS: usize = 64;
/// How long what must arrive rests while the link is full.
const FULL_REST: std::time::Duration = std::time::Duration::from_millis(1);
/// How long a link rests for want of descriptors or memory.
const SHORT_REST: std::time::Duration = std::time::Duration::from_millis(20);
/// The version both ends must speak; they are one binary, unless it was replaced while running.
const VERSION: u32 = 1;

/// One end of a link.
#[derive(Debug)]
pub(crate) struct Link(OwnedFd);

/// Something received: a message and its descriptors; `None` is the end. An error of the kind
/// `InvalidData` is one message that makes no sense; the next one may.
pub(crate) type Received = Option<(Word, Vec<OwnedFd>)>;

/// Both ends.
pub(crate) fn pair() -> io::Result<(Link, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((Link(ours), theirs))
}

/// Both ends of a stream between two children.
pub(crate) fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

impl Link {
    /// The end a child was given as its standard input. Reads wait until [`Link::into_async`].
    pub(crate) fn inherited() -> io::Result<Self> {
        let descriptor = std::io::stdin().as_fd().try_clone_to_owned()?;
        if rustix::net::sockopt::socket_type(&descriptor)? != SocketType::SEQPACKET {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "standard input is no link"));
        }
        Ok(Self(descriptor))
    }

    pub(crate) fn into_async(self) -> io::Result<AsyncLink> {
        rustix::io::ioctl_fionbio(&self.0, true)?;
        Ok(AsyncLink(crate::sys::readable(self.0)?))
    }

    /// The next message; waits for it.
    pub(crate) fn receive(&self) -> io::Result<Received> {
        receive(&self.0)
    }
}

/// A link in a runtime.
pub(crate) struct AsyncLink(AsyncFd<OwnedFd>);

impl AsyncLink {
    pub(crate) async fn receive(&self) -> io::Result<Received> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|socket| receive(socket.get_ref())) {
                // The message is still there.
                Ok(Err(error)) if is_shortage(&error) => tokio::time::sleep(SHORT_REST).await,
                Ok(received) => return received,
                Err(_would_block) => {}
            }
        }
    }

    /// Sends at once or not at all.
    pub(crate) fn send(&self, id: u64, body: Body, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(self.0.get_ref(), id, body, descriptors)
    }

    /// Sends what must arrive: waits for room until the other end is gone.
    pub(crate) async fn deliver(&self, body: Body) -> io::Result<()> {
        loop {
            match self.send(0, body.clone(), &[]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(FULL_REST).await;
                }
                sent => return sent,
            }
        }
    }
}

/// Whether something failed for want of descriptors or memory, of which there may be more soon.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let short = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::ETOOMANYREFS, libc::ENOSPC];
    error.raw_os_error().is_some_and(|code| short.contains(&code))
}

fn send(socket: &OwnedFd, id: u64, body: Body, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = Word { version: VERSION, id, body: Some(body) }.encode_to_vec();
    if bytes.len() > MAX_MESSAGE || descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(socket: &OwnedFd) -> io::Result<Received> {
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(list) = message {
            descriptors.extend(list);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    let nonsense = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let word = Word::decode(&bytes[..received.bytes]).map_err(|e| nonsense(e.to_string()))?;
    if word.version != VERSION {
        return Err(nonsense(format!("link version {} is not spoken here", word.version)));
    }
    Ok(Some((word, descriptors)))
}

/// Bytes in a memory file that nobody can change any more.
pub(crate) fn seal(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    use std::io::Write;
    let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file.into())
}

/// The bytes of a memory file.
pub(crate) fn unseal(file: OwnedFd) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::from(file);
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_with_its_descriptors_and_the_end_is_seen() {
        let (ours, theirs) = pair().unwrap();
        let theirs = Link(theirs);
        let memory = seal("test", b"hello").unwrap();
        send(&ours.0, 7, Body::Go(Nothing {}), &[memory.as_fd()]).unwrap();
        let (word, mut descriptors) = theirs.receive().unwrap().unwrap();
        assert_eq!((word.id, word.body), (7, Some(Body::Go(Nothing {}))));
        let copy = descriptors.remove(0);
        assert!(rustix::io::write(&copy, b"x").is_err(), "sealed");
        assert_eq!(unseal(copy).unwrap(), b"hello");
        rustix::net::send(&theirs.0, &[0xff; 9], SendFlags::empty()).unwrap();
        let refused = ours.receive().map_err(|e| e.kind());
        assert!(matches!(refused, Err(io::ErrorKind::InvalidData)), "nonsense is refused");
        drop(theirs);
        assert!(ours.receive().unwrap().is_none());
    }

    #[test]
    fn what_must_arrive_waits_for_room() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(async {
            let (ours, theirs) = pair().unwrap();
            let (ours, theirs) = (ours.into_async().unwrap(), Link(theirs).into_async().unwrap());
            let mut filled = 0;
            while ours.send(1, Body::Go(Nothing {}), &[]).is_ok() {
                filled += 1;
            }
            let read = async {
                for _ in 0..filled {
                    assert_eq!(theirs.receive().await.unwrap().unwrap().0.id, 1);
                }
                theirs.receive().await.unwrap().unwrap().0.id
            };
            // It is tried first, while there is no room.
            let (sent, last) = tokio::join!(biased; ours.deliver(Body::Go(Nothing {})), read);
            sent.unwrap();
            assert_eq!(last, 0);
            drop(theirs);
            assert!(ours.deliver(Body::Go(Nothing {})).await.is_err(), "nobody is there");
        });
    }
}
