//! A message's head as one text and places in it. Edits append to the same text, so that a head that
//! is used again allocates nothing.

/// A run of bytes in a head's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        let clip = |n| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: clip(start), end: clip(end) }
    }

    fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// One header field. Names are kept in lower case, as they are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// The versions this engine speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// Methods whose meaning the proxy must know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// HEAD: its response has no body.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// OPTIONS.
    Options,
    /// CONNECT: a tunnel.
    Connect,
    /// TRACE.
    Trace,
    /// PATCH.
    Patch,
    /// Any other token.
    Other,
}

impl Method {
    /// The method of this name; methods are case-sensitive (RFC 9110 9.1).
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"CONNECT" => Self::Connect,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// Whether sending it twice has the effect of sending it once (RFC 9110 9.2.2).
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace)
    }
}

/// What the fields that steer a connection said, read once while parsing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steering {
    pub(super) content_length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    pub(super) upgrade_field: bool,
    pub(super) expect_continue: bool,
}

/// A request's or response's head.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub(super) text: Vec<u8>,
    pub(super) method: Span,
    pub(super) method_kind: Method,
    pub(super) target: Span,
    pub(super) status: u16,
    pub(super) reason: Span,
    pub(super) version: Version,
    pub(super) fields: Vec<Field>,
    pub(super) steering: Steering,
}

impl Head {
    /// A response of our own.
    #[must_use]
    pub fn response(status: u16, reason: &str) -> Self {
        let mut head = Self { status, ..Self::default() };
        head.reason = head.append(reason.as_bytes());
        head
    }

    /// Forgets everything but the room it has.
    pub fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.method = Span::default();
        self.target = Span::default();
        self.reason = Span::default();
        self.method_kind = Method::Get;
        self.status = 0;
        self.version = Version::Http11;
        self.steering = Steering::default();
    }

    /// The method as sent; empty in a response.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.method.of(&self.text)
    }

    /// The method, if it is one whose meaning matters.
    #[must_use]
    pub fn method_kind(&self) -> Method {
        self.method_kind
    }

    /// The request target as it will be sent.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.target.of(&self.text)
    }

    /// The target's path, without authority and query; empty for `*` and CONNECT.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        let (path, _) = split_target(self.target());
        path
    }

    /// What follows the target's first `?`.
    #[must_use]
    pub fn query(&self) -> &[u8] {
        let (_, query) = split_target(self.target());
        query
    }

    /// The Host field.
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        self.first(b"host")
    }

    /// The status; 0 in a request.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.reason.of(&self.text)
    }

    /// The version it was sent with.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether the sender allows another message on the connection (RFC 9112 9.3).
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        !self.steering.close && (self.version == Version::Http11 || self.steering.keep_alive)
    }

    /// Whether the client waits for a 100 before it sends the body.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.steering.expect_continue && self.version == Version::Http11
    }

    /// Whether the client asks to switch protocols.
    #[must_use]
    pub fn upgrade(&self) -> bool {
        self.steering.upgrade && self.steering.upgrade_field
    }

    /// All fields in order; names are in lower case.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|f| (f.name.of(&self.text), f.value.of(&self.text)))
    }

    /// Every value of a field; the name in any case.
    pub fn values<'a>(&'a self, name: &'a [u8]) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let named = move |f: &&Field| f.name.of(&self.text).eq_ignore_ascii_case(name);
        self.fields.iter().filter(named).map(|f| f.value.of(&self.text))
    }

    /// The first value of a field.
    #[must_use]
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        let field = self.fields.iter().find(|f| f.name.of(&self.text).eq_ignore_ascii_case(name))?;
        Some(field.value.of(&self.text))
    }

    /// The last value of a field.
    #[must_use]
    pub fn last(&self, name: &[u8]) -> Option<&[u8]> {
        let field = self.fields.iter().rev().find(|f| f.name.of(&self.text).eq_ignore_ascii_case(name))?;
        Some(field.value.of(&self.text))
    }

    /// Adds a field at the end.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let name = self.append_lower(name);
        let value = self.append(value);
        self.fields.push(Field { name, value });
    }

    /// Replaces every field of this name by one.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    /// Removes every field of this name; says whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let before = self.fields.len();
        let text = &self.text;
        self.fields.retain(|f| !f.name.of(text).eq_ignore_ascii_case(name));
        self.fields.len() != before
    }

    /// Replaces the value of the field at a place in [`Head::fields`]; `None` removes it.
    pub fn set_value(&mut self, index: usize, value: Option<&[u8]>) {
        match value {
            Some(value) => {
                let span = self.append(value);
                if let Some(field) = self.fields.get_mut(index) {
                    field.value = span;
                }
            }
            None if index < self.fields.len() => {
                self.fields.remove(index);
            }
            None => {}
        }
    }

    /// Replaces the target. Bytes that may not stand in one are refused: `false`, nothing is changed.
    pub fn set_target(&mut self, target: &[u8]) -> bool {
        if target.is_empty() || target.iter().any(|b| !super::parse::is_target_byte(*b)) {
            return false;
        }
        self.target = self.append(target);
        true
    }

    /// Replaces the method. `false` if it is no token.
    pub fn set_method(&mut self, method: &[u8]) -> bool {
        if method.is_empty() || method.iter().any(|b| !super::parse::is_token_byte(*b)) {
            return false;
        }
        self.method = self.append(method);
        self.method_kind = Method::of(method);
        true
    }

    /// Replaces the status and its reason.
    pub fn set_status(&mut self, status: u16, reason: &str) {
        self.status = status;
        self.reason = self.append(reason.as_bytes());
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len();
        // A rule's value can hold anything; what would end the field must not leave here.
        if bytes.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            self.text.extend(bytes.iter().map(|b| if matches!(b, b'\r' | b'\n' | 0) { b' ' } else { *b }));
        } else {
            self.text.extend_from_slice(bytes);
        }
        Span::new(start, self.text.len())
    }

    pub(super) fn append_lower(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend(bytes.iter().map(u8::to_ascii_lowercase));
        Span::new(start, self.text.len())
    }
}

fn split_target(target: &[u8]) -> (&[u8], &[u8]) {
    let path = if target.first() == Some(&b'/') {
        target
    } else if let Some(scheme) = target.windows(3).position(|w| w == b"://") {
        let rest = &target[scheme + 3..];
        let authority = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        &rest[authority..]
    } else {
        &[]
    };
    match memchr::memchr(b'?', path) {
        Some(mark) => (&path[..mark], &path[mark + 1..]),
        None => (path, &[]),
    }
}
