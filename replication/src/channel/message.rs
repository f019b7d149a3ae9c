//! What members say to each other on the channel.

use prost::Message;

/// Longest message, with room for many virtual routers.
pub(super) const MAX_MESSAGE: usize = 16 * 1_024;

/// A virtual router, as all members know it: files may call it differently.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Message)]
pub struct RouterId {
    /// 1..=255.
    #[prost(uint32, tag = "1")]
    pub vrid: u32,
    /// Whether it is one of IPv6: the families number theirs apart (RFC 9568 5.2.3).
    #[prost(bool, tag = "2")]
    pub six: bool,
    /// Its addresses, in short: a number may be used again on another link.
    #[prost(fixed32, tag = "3")]
    pub addresses: u32,
}

/// Says that this node is master of a virtual router, as often as it advertises.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Mastership {
    /// Which.
    #[prost(message, required, tag = "1")]
    pub router: RouterId,
    /// Its priority.
    #[prost(uint32, tag = "2")]
    pub priority: u32,
    /// The interval of its advertisements, in hundredths of a second.
    #[prost(uint32, tag = "3")]
    pub interval: u32,
    /// The address that it advertises from: four bytes, or sixteen; none: it has none yet.
    #[prost(bytes = "vec", tag = "4")]
    pub source: Vec<u8>,
}

/// What this node can do, at least twice a second.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Standing {
    /// It can serve.
    #[prost(bool, tag = "1")]
    pub ready: bool,
    /// Its tables are learnt.
    #[prost(bool, tag = "2")]
    pub learnt: bool,
    /// Its priority in each virtual router that it takes part in.
    #[prost(message, repeated, tag = "3")]
    pub routers: Vec<Mastership>,
    /// How it signs its advertisements; absent: it does not, or its program does not know how.
    #[prost(message, optional, tag = "4")]
    pub signs: Option<Signs>,
    /// The last session of each other member that it remembers.
    #[prost(message, repeated, tag = "5")]
    pub sessions: Vec<Session>,
}

/// How a node signs its advertisements.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Signs {
    /// The number of its key.
    #[prost(fixed32, tag = "1")]
    pub key: u32,
    /// Its session.
    #[prost(uint64, tag = "2")]
    pub session: u64,
}

/// The last session that is remembered of a member: one that has lost its memory must begin a later one.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Session {
    /// The member's name.
    #[prost(string, tag = "1")]
    pub member: String,
    /// The session.
    #[prost(uint64, tag = "2")]
    pub session: u64,
}

/// An order: this node is going to leave, and the one that hears it to follow.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Prepare {
    /// Which virtual router.
    #[prost(message, required, tag = "1")]
    pub router: RouterId,
    /// The hardware address of this node's interface: what has begun there is to be sent on to it.
    #[prost(bytes = "vec", tag = "2")]
    pub mac: Vec<u8>,
}

/// The answer: this node is prepared.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Prepared {
    /// Which virtual router.
    #[prost(message, required, tag = "1")]
    pub router: RouterId,
    /// Whether it will send on what has begun on the old master.
    #[prost(bool, tag = "2")]
    pub sends_on: bool,
}

/// A word on the channel.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Said {
    /// What.
    #[prost(oneof = "Word", tags = "1, 2, 3, 4, 5, 6")]
    pub word: Option<Word>,
    /// When, in microseconds of a clock of the sender's own that never goes back while it runs; 0: it does not say.
    #[prost(uint64, tag = "15")]
    pub at: u64,
}

/// What is said.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Word {
    /// The heartbeat of a master.
    #[prost(message, tag = "1")]
    Master(Mastership),
    /// The heartbeat of every member.
    #[prost(message, tag = "2")]
    Standing(Standing),
    /// An order that is answered.
    #[prost(message, tag = "3")]
    Prepare(Prepare),
    /// Its answer.
    #[prost(message, tag = "4")]
    Prepared(Prepared),
    /// An order: this node leaves, and the one that hears it is to be master at once.
    #[prost(message, tag = "5")]
    Follow(RouterId),
    /// Of the connections that this node went on serving without the addresses, the last one has ended.
    #[prost(message, tag = "6")]
    Served(RouterId),
}

/// A message with its length before it.
pub(super) fn frame(said: &Said) -> Vec<u8> {
    let bytes = said.encode_to_vec();
    let mut framed = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    framed.extend(bytes);
    framed
}

/// The next complete message.
pub(super) fn take(heard: &mut Vec<u8>) -> Option<Result<Said, &'static str>> {
    let (length, _) = heard.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_MESSAGE {
        return Some(Err("too long"));
    }
    let said = Said::decode(heard.get(4..4 + length)?).map_err(|_| "no message");
    heard.drain(..4 + length);
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_whole_and_nonsense_is_refused() {
        let prepare = Prepare { router: RouterId { vrid: 51, six: true, addresses: 1 }, mac: vec![2; 6] };
        let said = Said { word: Some(Word::Prepare(prepare)), at: 1 };
        let mut heard = frame(&said);
        let second = Said { word: Some(Word::Served(RouterId { vrid: 7, six: false, addresses: 2 })), at: 0 };
        heard.extend(frame(&second));
        let mut part = heard[..9].to_vec();
        assert_eq!(take(&mut part), None);
        assert_eq!(take(&mut heard), Some(Ok(said)));
        assert_eq!(take(&mut heard), Some(Ok(second)));
        assert_eq!(take(&mut heard), None);
        assert!(take(&mut vec![0xff; 8]).unwrap().is_err());
        assert!(take(&mut vec![0, 0, 0, 1, 0xff]).unwrap().is_err());
    }
}
