//! A message's head as one text and places in it. Edits append to the same text, so that a head that
//! is used again allocates nothing.

use std::borrow::Cow;

use super::target;

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

    pub(super) fn length(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    pub(super) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// What becomes of a field when its head is written. Rules see all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is sent.
    Plain,
    /// The received Content-Length as the engine understood it: it is sent where the body still has that framing.
    Length,
    /// The received Transfer-Encoding: it is sent where the body still is in chunks.
    Coding,
    /// A received Connection that asks for a switch of protocols and for nothing else: it is sent where one is made.
    Switch,
    /// It is left out: it concerned the connection it came by, or would say where the message ends, which only the
    /// engine does.
    Left,
}

/// One header field. Names are kept in lower case, as they are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: Span,
    pub(super) value: Span,
    /// Name and value lie in the text as they are sent.
    is_whole: bool,
    pub(super) role: Role,
}

impl Field {
    pub(super) fn new(name: Span, value: Span, is_whole: bool) -> Self {
        Self { name, value, is_whole, role: Role::Plain }
    }
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
    pub(super) head_only: bool,
    /// A Connection field may name other fields that are for this hop only.
    pub(super) names_options: bool,
}

/// Whether the engine alone writes a field of this name: it is for one hop only, or frames the message.
pub(super) fn is_engines(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection" | b"keep-alive" | b"proxy-connection" | b"content-length" | b"transfer-encoding"
    )
}

/// What the engine wants to be said of a message, where a received field says it already; and what of it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnFields {
    pub(super) length: bool,
    pub(super) coding: bool,
    pub(super) switch: bool,
}

/// Between a field's name and its value, and behind it.
const COLON: &[u8] = b": ";
const END: &[u8] = b"\r\n";

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

    /// How many bytes of text it has room for without allocating.
    #[must_use]
    pub fn room(&self) -> usize {
        self.text.capacity()
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

    /// Whether the client asked for a head alone (HEAD): its response has no body, whatever a rule makes of the method.
    #[must_use]
    pub fn asks_for_head(&self) -> bool {
        self.steering.head_only
    }

    /// The request target as it will be sent.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.target.of(&self.text)
    }

    /// The target's path, without authority and query; empty for `*`, CONNECT, and an authority alone.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        let (path, _) = target::split(self.target());
        path
    }

    /// What follows the first `?` of the target's path; `None` where there is none.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        let (_, query) = target::split(self.target());
        query
    }

    /// Path and query as they stand in the target, with the `?`; empty where the path is.
    #[must_use]
    pub fn path_and_query(&self) -> &[u8] {
        target::path_and_query(self.target())
    }

    /// The authority of a target in absolute form.
    #[must_use]
    pub fn authority(&self) -> Option<&[u8]> {
        target::absolute(self.target()).map(|parts| parts.authority)
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

    /// The length that the sender announced, where that is what frames the body.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.steering.content_length
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

    /// Adds a field at the end whose value can end no field, and whose name is in lower case and not that of a
    /// field for one hop: the text of a number or an address.
    pub fn add_clean(&mut self, name: &[u8], value: &[u8]) {
        debug_assert!(!is_engines(name) && matches!(harmless(value), Cow::Borrowed(_)));
        debug_assert!(!name.iter().any(u8::is_ascii_uppercase));
        let name = self.append_clean(name);
        let field = self.append_field(name, value);
        self.fields.push(field);
    }

    /// Adds a field at the end.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let name = self.append_clean(name);
        self.text[name.start as usize..].make_ascii_lowercase();
        let mut field = self.append_field(name, &harmless(value));
        if is_engines(field.name.of(&self.text)) {
            field.role = Role::Left;
        }
        self.fields.push(field);
    }

    /// Adds the length of a body of our own, to be sent at this place.
    pub fn add_length(&mut self, length: u64) {
        let name = self.append_clean(b"content-length");
        let mut field = self.append_field(name, length.to_string().as_bytes());
        field.role = Role::Length;
        self.fields.push(field);
        self.steering.content_length = Some(length);
    }

    /// Completes a field whose name is the last of the text, as it will be sent, so that sending it is copying it.
    /// The value is harmless.
    fn append_field(&mut self, name: Span, value: &[u8]) -> Field {
        self.text.extend_from_slice(COLON);
        let value = self.append_clean(value);
        self.text.extend_from_slice(END);
        Field::new(name, value, true)
    }

    /// Writes the fields that are sent; what lies side by side is copied in one go. `wanted`: what of that which the
    /// engine says may be said by received fields; says what stood there.
    pub(super) fn write_fields(&self, wanted: OwnFields, out: &mut Vec<u8>) -> OwnFields {
        let (mut from, mut to, mut wrote) = (0, 0, OwnFields::default());
        for field in &self.fields {
            match field.role {
                Role::Plain => {}
                Role::Length if wanted.length => wrote.length = true,
                Role::Coding if wanted.coding => wrote.coding = true,
                Role::Switch if wanted.switch && !wrote.switch => wrote.switch = true,
                Role::Length | Role::Coding | Role::Switch | Role::Left => continue,
            }
            let (start, end) = (field.name.start as usize, field.value.end as usize + END.len());
            if !field.is_whole {
                // Its value was replaced, and lies elsewhere; or blanks lie around it.
                out.extend_from_slice(self.text.get(from..to).unwrap_or_default());
                (from, to) = (0, 0);
                for part in [field.name.of(&self.text), COLON, field.value.of(&self.text), END] {
                    out.extend_from_slice(part);
                }
            } else if start == to {
                to = end;
            } else {
                out.extend_from_slice(self.text.get(from..to).unwrap_or_default());
                (from, to) = (start, end);
            }
        }
        out.extend_from_slice(self.text.get(from..to).unwrap_or_default());
        wrote
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
                    field.is_whole = false;
                    if field.role != Role::Plain {
                        field.role = Role::Left;
                    }
                }
            }
            None if index < self.fields.len() => {
                self.fields.remove(index);
            }
            None => {}
        }
    }

    /// Replaces the target. One that names a server gives the Host field its name. `false`: these bytes are no
    /// target that fits the method; nothing is changed.
    pub fn set_target(&mut self, target: &[u8]) -> bool {
        if target.iter().any(|b| !super::scan::is_target_byte(*b)) || !target::fits(target, self.method()) {
            return false;
        }
        if let Some(parts) = target::absolute(target) {
            self.set_host(parts.authority);
        } else if self.method_kind == Method::Connect {
            self.set_host(target);
        }
        self.target = self.append_clean(target);
        true
    }

    /// Replaces the path, or path and query together (`whole`), and leaves the rest of the target; where there is
    /// no path, all of it. `false`: that would be no target; nothing is changed.
    pub fn set_path(&mut self, path: &[u8], whole: bool) -> bool {
        let old = self.target();
        let (before, query) = match target::absolute(old) {
            Some(parts) if !parts.rest.is_empty() => (&old[..old.len() - parts.rest.len()], self.query()),
            Some(_) => (&b""[..], None),
            None => (&b""[..], self.query()),
        };
        let query = query.filter(|_| !whole);
        let mut target = [before, path].concat();
        if let Some(query) = query {
            target.push(b'?');
            target.extend_from_slice(query);
        }
        // Without its slash it would be part of an authority, or a whole target that names a server.
        let is_path = path.first() == Some(&b'/') || (before.is_empty() && path == b"*");
        is_path && self.set_target(&target)
    }

    /// Replaces what follows the path; an empty query adds nothing. `false`: there is no path, or that would be no target;
    /// nothing is changed.
    pub fn set_query(&mut self, query: &[u8]) -> bool {
        let (path, old) = target::split(self.target());
        if query.is_empty() && old.is_none() {
            return true;
        }
        if path.is_empty() {
            return false;
        }
        let kept = self.target().len() - old.map_or(0, |old| old.len() + 1);
        let target = [&self.target()[..kept], b"?", query].concat();
        self.set_target(&target)
    }

    /// Gives the first Host field this value; adds one if there is none.
    pub(super) fn set_host(&mut self, host: &[u8]) {
        let place = self.fields().position(|(name, _)| name == b"host");
        match place {
            Some(place) => self.set_value(place, Some(host)),
            None => self.add(b"host", host),
        }
    }

    /// Writes the Host field's name into a target that names a server, as they must agree (RFC 9112 3.2.2).
    /// `false`: it is no name of a server.
    pub fn follow_host(&mut self) -> bool {
        if self.method_kind != Method::Connect && self.target().first() == Some(&b'/') {
            return true;
        }
        let host = self.host().unwrap_or_default();
        let Some(target) = target::with_authority(self.target(), self.method(), host) else {
            return false;
        };
        if target::fits(&target, self.method()) {
            self.target = self.append_clean(&target);
            return true;
        }
        false
    }

    /// Replaces the method. `false`: it is no token, or the target does not fit it; nothing is changed.
    pub fn set_method(&mut self, method: &[u8]) -> bool {
        if !super::scan::is_token(method) || !target::fits(self.target(), method) {
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

    /// Bytes of a rule or an operator.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Span {
        self.append_clean(&harmless(bytes))
    }

    /// Bytes that cannot end a field: the parser has looked at them.
    pub(super) fn append_clean(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        Span::new(start, self.text.len())
    }
}

/// A rule's value can hold anything; what would end the field must not leave here.
fn harmless(bytes: &[u8]) -> Cow<'_, [u8]> {
    let breaks = |b: &u8| matches!(b, b'\r' | b'\n' | 0);
    if bytes.iter().any(breaks) {
        Cow::Owned(bytes.iter().map(|b| if breaks(b) { b' ' } else { *b }).collect())
    } else {
        Cow::Borrowed(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_they_are_after_any_change() {
        let mut head = Head::default();
        for (name, value) in [("Host", "a"), ("X-One", "1"), ("X-Two", "2"), ("X-A-Longer-Name", "three")] {
            head.add(name.as_bytes(), value.as_bytes());
        }
        head.set_value(1, Some(b"one"));
        head.remove(b"x-two");
        head.add(b"X-Bad", b"a\r\nb");
        let mut out = Vec::new();
        head.write_fields(OwnFields { length: true, ..OwnFields::default() }, &mut out);
        let expected = "host: a\r\nx-one: one\r\nx-a-longer-name: three\r\nx-bad: a  b\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
