//! Why bytes were refused; each reason can be counted.

/// A reason to refuse a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The request line or status line is malformed.
    StartLine,
    /// The method holds a byte that is no token.
    Method,
    /// The target holds a byte that may not stand there, or its form does not fit the method.
    Target,
    /// The version is not HTTP/1.0 or HTTP/1.1.
    Version,
    /// A header name or value is malformed (a bare CR or LF, a NUL, a space before the colon, a fold).
    Header,
    /// More header fields than the limit.
    TooManyFields,
    /// The head is larger than the limit.
    HeadTooLarge,
    /// Several Host fields that differ. None at all is let through, as HAProxy does: probes rely on it.
    Host,
    /// Content-Length is no number, or several differ.
    ContentLength,
    /// Transfer-Encoding is anything but a final `chunked`, or stands in an HTTP/1.0 request.
    TransferEncoding,
    /// A chunk's size line is malformed or too long.
    ChunkSize,
    /// A chunk does not end where it says.
    ChunkEnd,
    /// A trailer is malformed, or there are too many.
    Trailer,
    /// The connection ended before the message did.
    Truncated,
    /// A switch of protocols that was not asked for.
    Unrequested,
}

impl Refusal {
    /// The status a client is answered with.
    #[must_use]
    pub fn status(self) -> u16 {
        400
    }

    /// The name it is counted under.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartLine => "start-line",
            Self::Method => "method",
            Self::Target => "target",
            Self::Version => "version",
            Self::Header => "header",
            Self::TooManyFields => "too-many-fields",
            Self::HeadTooLarge => "head-too-large",
            Self::Host => "host",
            Self::ContentLength => "content-length",
            Self::TransferEncoding => "transfer-encoding",
            Self::ChunkSize => "chunk-size",
            Self::ChunkEnd => "chunk-end",
            Self::Trailer => "trailer",
            Self::Truncated => "truncated",
            Self::Unrequested => "unrequested",
        }
    }
}
