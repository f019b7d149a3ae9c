//! What is said of the connection to the next hop (RFC 9110 7.6.1): written by the engine alone, whatever the message
//! brought along or rules have added.

use super::head::{Head, Version};

/// The Connection field of a message that is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hop {
    /// None: the default of the version holds.
    #[default]
    Default,
    /// The connection ends with this message.
    Close,
    /// The connection stays, which version 1.0 must be told.
    KeepAlive,
    /// The protocol is to be, or has been, switched.
    Upgrade,
}

impl Hop {
    /// What a request to a server says. `keep`: whether the connection may be used again.
    #[must_use]
    pub fn of_request(head: &Head, keep: bool) -> Self {
        if head.upgrade() {
            Self::Upgrade
        } else {
            match (head.version(), keep) {
                (Version::Http11, true) | (Version::Http10, false) => Self::Default,
                (Version::Http11, false) => Self::Close,
                (Version::Http10, true) => Self::KeepAlive,
            }
        }
    }

    /// What a response says to a client of this version. `keep`: whether the connection goes on.
    #[must_use]
    pub fn of_response(client: Version, keep: bool) -> Self {
        match (client, keep) {
            (_, false) => Self::Close,
            (Version::Http11, true) => Self::Default,
            (Version::Http10, true) => Self::KeepAlive,
        }
    }

    /// The field, with its line end.
    pub(super) fn line(self) -> &'static [u8] {
        match self {
            Self::Default => b"",
            Self::Close => b"connection: close\r\n",
            Self::KeepAlive => b"connection: keep-alive\r\n",
            Self::Upgrade => b"connection: upgrade\r\n",
        }
    }
}
