//! Who ended a stream, and at which station: the first two letters of HAProxy's termination state
//! (manual chapter 8.5).

/// Who caused the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum By {
    /// Nobody: a normal end.
    #[default]
    Nobody,
    /// The client closed or broke the connection.
    Client,
    /// The server closed, refused, or answered nonsense.
    Server,
    /// The proxy refused, by its rules or because the request was malformed.
    Proxy,
    /// The proxy answered itself.
    Local,
    /// The client was silent for too long.
    ClientTimeout,
    /// The server was silent for too long.
    ServerTimeout,
}

impl By {
    pub(crate) fn letter(self) -> u8 {
        match self {
            Self::Nobody => b'-',
            Self::Client => b'C',
            Self::Server => b'S',
            Self::Proxy => b'P',
            Self::Local => b'L',
            Self::ClientTimeout => b'c',
            Self::ServerTimeout => b's',
        }
    }
}

/// The station where it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum At {
    /// After everything was done.
    #[default]
    End,
    /// Waiting for the whole request.
    Request,
    /// Waiting in the queue.
    Queue,
    /// Connecting to the server.
    Connect,
    /// Waiting for the response's head.
    Headers,
    /// Moving data.
    Data,
    /// In a tarpit.
    Tarpit,
}

impl At {
    pub(crate) fn letter(self) -> u8 {
        match self {
            Self::End => b'-',
            Self::Request => b'R',
            Self::Queue => b'Q',
            Self::Connect => b'C',
            Self::Headers => b'H',
            Self::Data => b'D',
            Self::Tarpit => b'T',
        }
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Termination {
    pub(crate) by: By,
    pub(crate) at: At,
}

impl Termination {
    pub(crate) const fn new(by: By, at: At) -> Self {
        Self { by, at }
    }
}
