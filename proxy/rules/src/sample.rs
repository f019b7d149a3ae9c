//! One typed value extracted while processing.

use std::borrow::Cow;
use std::net::IpAddr;

use proxy_table::{Key, KeyType};

/// The type of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// An address.
    Addr,
    /// Bytes.
    Text,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// An address.
    Addr(IpAddr),
    /// Bytes.
    Text(Cow<'a, [u8]>),
}

impl Sample<'_> {
    /// Appends the value as text.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(value) => out.push(b'0' + u8::from(*value)),
            Self::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Addr(address) => out.extend_from_slice(address.to_string().as_bytes()),
            Self::Text(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// The value as a key of a table; `None` where it cannot be one.
    #[must_use]
    pub fn key(&self, kind: KeyType) -> Option<Key> {
        match self {
            Self::Bool(value) => kind.of_integer(i64::from(*value)),
            Self::Int(number) => kind.of_integer(*number),
            Self::Addr(address) => kind.of_address(*address),
            Self::Text(bytes) => kind.of_bytes(bytes),
        }
    }
}
