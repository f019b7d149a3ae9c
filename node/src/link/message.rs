//! What supervisor and children say to each other.

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
}

/// The envelope.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Word {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    /// Ties an answer to its question.
    #[prost(uint64, tag = "2")]
    pub(crate) id: u64,
    #[prost(oneof = "Body", tags = "3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17")]
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
}
