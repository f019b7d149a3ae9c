//! What supervisor and children say to each other.

use replication::channel::Said;

/// Which child, or what a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Kind {
    /// Listening sockets of one bind, one per core.
    Bind = 0,
    /// A stats socket.
    Stats = 1,
    /// The cluster's port.
    Cluster = 2,
    /// What the worker before knew of servers: a memory file.
    Servers = 3,
    /// A stream to the worker before, which teaches the tables.
    Teacher = 4,
    /// The port of a peers section.
    Peers = 5,
    /// The port of the members' channel.
    Channel = 6,
}

/// The envelope.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Word {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    /// Ties an answer to its question.
    #[prost(uint64, tag = "2")]
    pub(crate) id: u64,
    #[prost(oneof = "Body", tags = "3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21")]
    pub(crate) body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Body {
    /// To a child: what it is. The configuration's memory file is attached.
    #[prost(message, tag = "3")]
    Start(Start),
    /// To the worker: sockets, attached.
    #[prost(message, tag = "4")]
    Given(Given),
    /// To a child: that was all, begin.
    #[prost(message, tag = "5")]
    Go(Nothing),
    /// To the worker: whether this node is master of any virtual router.
    #[prost(bool, tag = "6")]
    Master(bool),
    /// To a child: end.
    #[prost(message, tag = "7")]
    Stop(Stop),
    /// To the worker: how are you? And its answer, with a memory file of JSON attached.
    #[prost(message, tag = "8")]
    StatusAsked(Nothing),
    #[prost(message, tag = "9")]
    StatusGiven(Nothing),
    /// From the worker, many times a second.
    #[prost(message, tag = "10")]
    Report(Report),
    /// To a worker: what is known of servers? And its answer, with a memory file of JSON attached.
    #[prost(message, tag = "11")]
    ServersAsked(Nothing),
    #[prost(message, tag = "12")]
    ServersGiven(Nothing),
    /// To a worker: teach the one after it, over the attached stream.
    #[prost(message, tag = "13")]
    Teach(Nothing),
    /// To a worker that holds back: accept from now on.
    #[prost(message, tag = "14")]
    Accept(Nothing),
    /// From a worker that stops softly: other members hear no more of it.
    #[prost(message, tag = "15")]
    NetworkLeft(Nothing),
    /// To a worker that holds back: talk to the other members from now on.
    #[prost(message, tag = "16")]
    JoinNetwork(Nothing),
    /// From a worker that stops softly: it accepts nothing any more.
    #[prost(message, tag = "17")]
    Deaf(Nothing),
    /// To the control process: say this on the members' channel.
    #[prost(message, tag = "18")]
    Say(Say),
    /// From the control process: what a member said there.
    #[prost(message, tag = "19")]
    Heard(Heard),
    /// From the control process: how a member can be reached changed.
    #[prost(message, tag = "20")]
    Reached(Reached),
    /// To the worker: whether the addresses have moved to another node, which this one serves to the end.
    #[prost(bool, tag = "21")]
    Leaving(bool),
}

impl Body {
    /// Whether the control process says such a thing; all else that a child says is a worker's.
    pub(crate) fn comes_from_control(&self) -> bool {
        matches!(self, Self::Heard(_) | Self::Reached(_))
    }
}

/// What is to be said on the members' channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Say {
    /// To whom; to all, where it is nobody.
    #[prost(string, optional, tag = "1")]
    pub(crate) to: Option<String>,
    #[prost(message, required, tag = "2")]
    pub(crate) said: Said,
}

impl Say {
    /// `at`: when, by this process' own clock.
    pub(crate) fn only(member: &str, word: replication::channel::Word, at: u64) -> Self {
        Self { to: Some(member.to_owned()), said: Said { word: Some(word), at } }
    }

    pub(crate) fn all(word: replication::channel::Word, at: u64) -> Self {
        Self { to: None, said: Said { word: Some(word), at } }
    }
}

/// What a member said on the channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Heard {
    #[prost(string, tag = "1")]
    pub(crate) member: String,
    #[prost(message, required, tag = "2")]
    pub(crate) said: Said,
}

/// How a member can be reached.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Reached {
    #[prost(string, tag = "1")]
    pub(crate) member: String,
    #[prost(bool, tag = "2")]
    pub(crate) connected: bool,
    /// Its machine says that nobody listens there.
    #[prost(bool, tag = "3")]
    pub(crate) refused: bool,
    /// Why it is not connected.
    #[prost(string, tag = "4")]
    pub(crate) why: String,
}

/// A message that is all said by its name.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Nothing {}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Start {
    /// The member this node is.
    #[prost(string, tag = "1")]
    pub(crate) member: String,
    /// Threads that carry traffic.
    #[prost(uint64, tag = "2")]
    pub(crate) cores: u64,
    /// Accept nothing and stay off the network until told: another worker does both.
    #[prost(bool, tag = "3")]
    pub(crate) hold: bool,
    /// Most client connections, where the command line says so.
    #[prost(uint64, optional, tag = "4")]
    pub(crate) max_connections: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Given {
    #[prost(enumeration = "Kind", tag = "1")]
    pub(crate) kind: i32,
    /// Which bind, stats socket or peers section of the file.
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Stop {
    /// Let sessions end first.
    #[prost(bool, tag = "1")]
    pub(crate) soft: bool,
}

/// How the worker is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Report {
    /// How often each core has turned.
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) turns: Vec<u64>,
    /// Every checked server has had its first result.
    #[prost(bool, tag = "2")]
    pub(crate) checks_done: bool,
    /// The tables are learnt from a neighbour.
    #[prost(bool, tag = "3")]
    pub(crate) learnt: bool,
    /// There is no neighbour to learn from.
    #[prost(bool, tag = "4")]
    pub(crate) alone: bool,
    /// Of each backend that a virtual router follows, by name: the servers that new sessions may go to.
    #[prost(uint32, repeated, tag = "5")]
    pub(crate) usable: Vec<u32>,
    /// Connections wait in vain to be accepted, or answered.
    #[prost(bool, tag = "6")]
    pub(crate) deaf: bool,
}
