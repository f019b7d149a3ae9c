//! From a connection to streams and back.

pub(crate) mod h1;
pub(crate) mod raw;
