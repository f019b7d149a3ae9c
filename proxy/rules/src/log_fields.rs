//! The short names of a log line (`%ci`, `%Tr`): one row each.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use proxy_lang::Spec;

use crate::{Exchange, View};

/// What only log fields tell of an exchange, as far as it is known: formats may stand in headers, too.
/// Times are the core's milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogFacts<'f> {
    /// The connection was accepted, or the exchange before this one ended.
    pub accepted: u64,
    /// Handshakes (TLS) before the request, in milliseconds.
    pub handshake_ms: u64,
    /// The request's first byte; nothing in mode tcp.
    pub began: Option<u64>,
    /// Whole request received, and its rules run.
    pub requested: Option<u64>,
    /// Sent to a tarpit.
    pub tarpitted: Option<u64>,
    /// Out of the queues, or of the tarpit.
    pub dequeued: Option<u64>,
    /// Connected.
    pub connected: Option<u64>,
    /// The response's head received; in mode tcp, connected.
    pub responded: Option<u64>,
    /// The status that was sent, or received from the server.
    pub status: Option<u16>,
    /// Bytes sent to the client.
    pub bytes_out: u64,
    /// Bytes received from the client.
    pub bytes_in: u64,
    /// Two letters: who ended it, where.
    pub termination: [u8; 2],
    /// Two letters: the persistence cookie's state, what was done about it.
    pub cookie: [u8; 2],
    /// What answers in a server's place, such as the statistics.
    pub applet: &'static str,
    /// The places of frontend, backend, and server, whose connections are counted.
    pub place: (usize, Option<usize>, Option<usize>),
    /// Retries, and whether the server was changed.
    pub retries: u32,
    /// Whether another server than the first was tried.
    pub redispatched: bool,
    /// Its place in the queues of its server and of its backend.
    pub queues: [u64; 2],
    /// The request line as received.
    pub request: &'f [u8],
    /// What was captured of the request's headers, in the file's order; nothing where it had none.
    pub request_headers: &'f [Option<Vec<u8>>],
    /// The same of the response's.
    pub response_headers: &'f [Option<Vec<u8>>],
    /// Captured cookies of the request and of the response.
    pub cookies: [Option<&'f [u8]>; 2],
}

/// How a field is written (`%{+Q,+X}ci`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// In quotes.
    pub(crate) quoted: bool,
    /// Addresses and some numbers as hexadecimal digits.
    pub(crate) hexadecimal: bool,
    /// With a backslash before a quote, a backslash, and a closing bracket.
    pub(crate) escaped: bool,
    /// A dash for what is empty: in log lines.
    pub(crate) dashed: bool,
}

impl Flags {
    /// Reads what stands between braces: signs and letters; the letter that is none.
    pub(crate) fn parse(mut self, text: &str) -> Result<Self, char> {
        let mut on = true;
        for letter in text.chars() {
            match letter {
                '+' => on = true,
                '-' => on = false,
                'Q' => self.quoted = on,
                'X' => self.hexadecimal = on,
                'E' => self.escaped = on,
                'M' => self.dashed = on,
                ',' => {}
                other => return Err(other),
            }
        }
        Ok(self)
    }

    /// Writes a text.
    pub(crate) fn text(self, text: &[u8], out: &mut Vec<u8>) {
        if self.quoted {
            out.push(b'"');
        } else if self.dashed && text.is_empty() {
            out.push(b'-');
        }
        for byte in text {
            if self.escaped && matches!(byte, b'"' | b'\\' | b']') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
        if self.quoted {
            out.push(b'"');
        }
    }

    fn hexadecimal(self, number: u64, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _ = if self.hexadecimal { write!(out, "{number:04X}") } else { write!(out, "{number}") };
    }

    fn address(self, address: SocketAddr, out: &mut Vec<u8>) {
        if crate::is_unix_end(address) {
            return self.text(b"unix", out);
        }
        match (self.hexadecimal, address.ip()) {
            (true, IpAddr::V4(ip)) => hexadecimal(&ip.octets(), out),
            (true, IpAddr::V6(ip)) => hexadecimal(&ip.octets(), out),
            (false, ip) => self.text(ip.to_string().as_bytes(), out),
        }
    }
}

/// What a field is written from.
pub(crate) struct Scene<'s> {
    pub(crate) exchange: &'s Exchange<'s>,
    pub(crate) view: &'s dyn View,
}

impl<'s> Scene<'s> {
    fn facts(&self) -> &LogFacts<'s> {
        &self.exchange.facts
    }

    /// From the first to the second, in milliseconds; -1 where one of them was not reached.
    fn between(&self, from: Option<u64>, to: Option<u64>) -> i64 {
        from.zip(to).map_or(-1, |(from, to)| i64::try_from(to.saturating_sub(from)).unwrap_or(i64::MAX))
    }

    /// Until now.
    fn since(&self, from: u64) -> i64 {
        self.between(Some(from), Some(self.exchange.now_ms))
    }

    /// When the request began: the accept where nothing was waited for.
    fn start(&self) -> u64 {
        self.facts().began.unwrap_or(self.facts().accepted)
    }

    /// One of the parts of the request line: method, target, version.
    fn part(&self, index: usize) -> &'s [u8] {
        let line: &'s [u8] = self.facts().request;
        if line == BAD_REQUEST {
            return line;
        }
        let mut parts = line.splitn(3, |b| *b == b' ');
        parts.nth(index).unwrap_or_default()
    }
}

/// Writes one field.
pub(crate) type Write = fn(&Scene<'_>, Flags, &mut Vec<u8>);

/// A row of the registry.
#[derive(Debug)]
pub struct LogField {
    /// The name after the percent sign.
    pub spec: Spec,
    pub(crate) write: Write,
}

const fn row(names: &'static [&'static str], doc: &'static str, write: Write) -> LogField {
    LogField { spec: Spec::full(names, &[], doc, names[0]), write }
}

fn number(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

fn hexadecimal(bytes: &[u8], out: &mut Vec<u8>) {
    bytes.iter().for_each(|byte| drop(write!(out, "{byte:02X}")));
}

/// A client's bytes must not be able to end the line or begin another, nor to end the field that they are in.
fn harmless(bytes: &[u8], marks: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            0..=0x1f | 0x7f..=0xff => drop(write!(out, "#{byte:02X}")),
            byte if marks.contains(byte) => drop(write!(out, "#{byte:02X}")),
            _ => out.push(*byte),
        }
    }
}

/// In place of a request line that could not be read.
const BAD_REQUEST: &[u8] = b"<BADREQ>";

/// What is a mark of its own in a request line, and in captured values.
const LINE_MARKS: &[u8] = b"\"#";
const VALUE_MARKS: &[u8] = b"\"#{|}";

/// A part of the request line.
fn line(text: &[u8], flags: Flags, out: &mut Vec<u8>) {
    let mut clean = Vec::with_capacity(text.len());
    harmless(text, LINE_MARKS, &mut clean);
    Flags { escaped: false, dashed: false, ..flags }.text(&clean, out);
}

/// Captured values between braces; nothing where the file captures nothing.
fn captured(values: &[Option<Vec<u8>>], flags: Flags, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let quote: &[u8] = if flags.quoted { b"\"" } else { b"" };
    out.extend_from_slice(quote);
    out.push(b'{');
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            out.push(b'|');
        }
        harmless(value.as_deref().unwrap_or_default(), VALUE_MARKS, out);
    }
    out.push(b'}');
    out.extend_from_slice(quote);
}

/// Captured values one by one.
fn listed(values: &[Option<Vec<u8>>], flags: Flags, out: &mut Vec<u8>) {
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        match value {
            Some(value) => {
                let mut clean = Vec::with_capacity(value.len());
                harmless(value, VALUE_MARKS, &mut clean);
                Flags { escaped: false, ..flags }.text(&clean, out);
            }
            None if flags.quoted => out.extend_from_slice(b"\"\""),
            None => out.push(b'-'),
        }
    }
}

fn cookie(value: Option<&[u8]>, flags: Flags, out: &mut Vec<u8>) {
    flags.text(value.unwrap_or_default(), out);
}

/// The fields, by name.
pub const LOG_FIELDS: &[LogField] = &[
    row(&["B"], "Bytes sent to the client.", |s, _, o| number(s.facts().bytes_out, o)),
    row(&["CC"], "Captured request cookie.", |s, f, o| cookie(s.facts().cookies[0], f, o)),
    row(&["CS"], "Captured response cookie.", |s, f, o| cookie(s.facts().cookies[1], f, o)),
    row(&["HM"], "The request's method.", |s, f, o| line(s.part(0), f, o)),
    row(&["HP"], "The request's target without its query.", |s, f, o| line(path(s.part(1)), f, o)),
    row(&["HPO"], "The path of the request's target.", |s, f, o| line(path_only(s.part(1)), f, o)),
    row(&["HQ"], "The query of the request's target, with its mark.", |s, f, o| line(query(s.part(1)), f, o)),
    row(&["HU"], "The request's target.", |s, f, o| line(s.part(1), f, o)),
    row(&["HV"], "The request's version.", |s, f, o| line(s.part(2), f, o)),
    row(&["ST"], "Status sent to the client.", |s, _, o| number(s.facts().status.map_or(-1, i64::from), o)),
    row(&["T"], "Time of the accept, in UTC.", |s, _, o| date(s, s.facts().accepted, DateForm::Utc, o)),
    row(&["TR"], "Time to receive the request.", |s, _, o| {
        number(s.between(Some(s.start()), s.facts().requested), o);
    }),
    row(&["Ta"], "Active time of the request.", |s, _, o| number(s.since(s.start()), o)),
    row(&["Tc"], "Time to connect.", |s, _, o| number(s.between(s.facts().dequeued, s.facts().connected), o)),
    row(&["Td"], "Time of the data.", |s, _, o| {
        number(s.between(s.facts().responded, Some(s.exchange.now_ms)), o);
    }),
    row(&["Th"], "Time of handshakes.", |s, _, o| number(s.facts().handshake_ms, o)),
    row(&["Ti"], "Idle time before the request.", |s, _, o| {
        let since = s.facts().accepted + s.facts().handshake_ms;
        number(s.between(Some(since), s.facts().began), o);
    }),
    row(&["Tl"], "Time of the accept, in local time with its zone.", |s, _, o| {
        date(s, s.facts().accepted, DateForm::Local, o);
    }),
    row(&["Tq"], "Time until the request was received.", |s, _, o| {
        number(s.between(Some(s.facts().accepted), s.facts().requested), o);
    }),
    row(&["Tr"], "Time until the response's head.", |s, _, o| {
        number(s.between(s.facts().connected, s.facts().responded), o);
    }),
    row(&["Ts"], "Time of the accept, in seconds since 1970.", |s, f, o| {
        f.hexadecimal(s.view.unix_ms(s.facts().accepted) / 1_000, o);
    }),
    row(&["Tt"], "Total time of the session.", |s, _, o| number(s.since(s.facts().accepted), o)),
    row(&["Tu"], "Total time without the idle time before it.", |s, _, o| {
        number(s.since(s.start().saturating_sub(s.facts().handshake_ms).max(s.facts().accepted)), o);
    }),
    row(&["Tw"], "Time in queues, or in a tarpit.", |s, _, o| {
        let from = s.facts().requested.or(s.facts().tarpitted);
        number(s.between(from, s.facts().dequeued), o);
    }),
    row(&["U"], "Bytes received from the client.", |s, _, o| number(s.facts().bytes_in, o)),
    row(&["ac"], "Connections of the process.", |s, _, o| number(s.connections()[0], o)),
    row(&["b"], "Backend.", |s, f, o| {
        let backend = s.exchange.backend;
        f.text(if backend.is_empty() { s.exchange.frontend } else { backend }.as_bytes(), o);
    }),
    row(&["bc"], "Connections of the backend.", |s, _, o| number(s.connections()[2], o)),
    row(&["bq"], "Its place in the backend's queue.", |s, _, o| number(s.facts().queues[1], o)),
    row(&["ci"], "Client's address.", |s, f, o| f.address(s.exchange.client, o)),
    row(&["cp"], "Client's port.", |s, f, o| f.hexadecimal(s.exchange.client.port().into(), o)),
    row(&["f"], "Frontend.", |s, f, o| f.text(s.exchange.frontend.as_bytes(), o)),
    row(&["fc"], "Connections of the frontend.", |s, _, o| number(s.connections()[1], o)),
    row(&["fi"], "Address that the client connected to.", |s, f, o| f.address(s.exchange.local, o)),
    row(&["fp"], "Port that the client connected to.", |s, f, o| {
        f.hexadecimal(s.exchange.local.port().into(), o);
    }),
    row(&["ft"], "Frontend, with '~' where the client speaks TLS.", |s, f, o| {
        let mark = if s.exchange.ssl { "~" } else { "" };
        f.text(format!("{}{mark}", s.exchange.frontend).as_bytes(), o);
    }),
    row(&["hr"], "Captured request headers.", |s, f, o| captured(s.facts().request_headers, f, o)),
    row(&["hrl"], "Captured request headers, one by one.", |s, f, o| listed(s.facts().request_headers, f, o)),
    row(&["hs"], "Captured response headers.", |s, f, o| captured(s.facts().response_headers, f, o)),
    row(&["hsl"], "Captured response headers, one by one.", |s, f, o| {
        listed(s.facts().response_headers, f, o);
    }),
    row(&["ms"], "Milliseconds of the accept's second.", |s, f, o| {
        let part = s.view.unix_ms(s.facts().accepted) % 1_000;
        drop(if f.hexadecimal { write!(o, "{part:02X}") } else { write!(o, "{part:03}") });
    }),
    // Its flags are those of all fields after it.
    row(&["o"], "Nothing: its flags hold for the fields after it.", |_, _, _| {}),
    row(&["pid"], "Process.", |s, f, o| f.hexadecimal(s.view.pid().into(), o)),
    row(&["r"], "Request line.", |s, f, o| line(s.facts().request, f, o)),
    row(&["rc"], "Retries; with '+' before them where another server was tried.", |s, _, o| {
        if s.facts().redispatched {
            o.push(b'+');
        }
        number(s.facts().retries, o);
    }),
    row(&["s"], "Server.", |s, f, o| {
        let server = match (s.exchange.server, s.facts().applet) {
            ("", "") => "<NOSRV>",
            ("", applet) => applet,
            (server, _) => server,
        };
        f.text(server.as_bytes(), o);
    }),
    row(&["sc"], "Connections of the server.", |s, _, o| number(s.connections()[3], o)),
    row(&["sq"], "Its place in the server's queue.", |s, _, o| number(s.facts().queues[0], o)),
    row(&["t"], "Time of the accept.", |s, _, o| date(s, s.facts().accepted, DateForm::Millis, o)),
    row(&["tr"], "Time of the request.", |s, _, o| date(s, s.start(), DateForm::Millis, o)),
    row(&["trg"], "Time of the request, in UTC.", |s, _, o| date(s, s.start(), DateForm::Utc, o)),
    row(&["trl"], "Time of the request, in local time with its zone.", |s, _, o| {
        date(s, s.start(), DateForm::Local, o);
    }),
    row(&["ts"], "Termination state.", |s, _, o| o.extend_from_slice(&s.facts().termination)),
    row(&["tsc"], "Termination state with the cookie's.", |s, _, o| {
        o.extend_from_slice(&s.facts().termination);
        o.extend_from_slice(&s.facts().cookie);
    }),
    waiting(&["H", "ID", "rt", "sslc", "sslv", "lc"], "Facts of the process and of TLS."),
    waiting(&["bi", "bp", "si", "sp"], "Addresses of the server's side."),
];

impl Scene<'_> {
    fn connections(&self) -> [u64; 4] {
        let (frontend, backend, server) = self.facts().place;
        self.view.connections(frontend, backend, server)
    }
}

/// How a date is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateForm {
    /// `dd/Mon/yyyy:hh:mm:ss.mmm`, in local time.
    Millis,
    /// `dd/Mon/yyyy:hh:mm:ss +0000`.
    Utc,
    /// `dd/Mon/yyyy:hh:mm:ss +zzzz`, in local time.
    Local,
}

fn date(scene: &Scene<'_>, at: u64, form: DateForm, out: &mut Vec<u8>) {
    out.extend_from_slice(scene.view.date(at, form).as_bytes());
}

/// A target before its query.
fn path(target: &[u8]) -> &[u8] {
    target.split(|b| *b == b'?').next().unwrap_or_default()
}

/// A target's path: without scheme and host.
fn path_only(target: &[u8]) -> &[u8] {
    let path = path(target);
    match path.windows(3).position(|w| w == b"://") {
        Some(mark) => {
            let host = &path[mark + 3..];
            host.iter().position(|b| *b == b'/').map_or(b"", |slash| &host[slash..])
        }
        None if path.starts_with(b"/") || path == BAD_REQUEST => path,
        None => b"",
    }
}

/// A target's query, with its question mark.
fn query(target: &[u8]) -> &[u8] {
    if target == BAD_REQUEST {
        return target;
    }
    target.iter().position(|b| *b == b'?').map_or(b"", |mark| &target[mark..])
}

const fn waiting(names: &'static [&'static str], doc: &'static str) -> LogField {
    LogField { spec: Spec::later(names, &[], doc, names[0]), write: |_, _, _| {} }
}
