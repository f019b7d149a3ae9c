//! The short names of a log line (`%ci`, `%Tr`): one row each.

use std::io::Write as _;
use std::net::SocketAddr;

use proxy_lang::Spec;

/// What a log line may tell of an exchange. Times are milliseconds, -1 where a station was not reached.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogFacts<'f> {
    /// The client.
    pub client: Option<SocketAddr>,
    /// `dd/Mon/yyyy:hh:mm:ss.mmm` of the accept.
    pub accepted: &'f str,
    /// The same of the request's first byte.
    pub began: &'f str,
    /// The frontend's name.
    pub frontend: &'f str,
    /// The backend's name; the frontend's if none was chosen.
    pub backend: &'f str,
    /// The server's name, or `<NOSRV>`.
    pub server: &'f str,
    /// Whole request received.
    pub request_ms: i64,
    /// In the queue.
    pub queue_ms: i64,
    /// Connecting.
    pub connect_ms: i64,
    /// Until the response's head.
    pub response_ms: i64,
    /// From the request's first byte to the end.
    pub active_ms: i64,
    /// From accept to the end.
    pub total_ms: i64,
    /// The status sent.
    pub status: i64,
    /// Bytes sent to the client.
    pub bytes_out: u64,
    /// Bytes received from the client.
    pub bytes_in: u64,
    /// Two letters: who ended it, where.
    pub termination: [u8; 2],
    /// Two letters: the persistence cookie's state, what was done about it.
    pub cookie: [u8; 2],
    /// Connections of the process, frontend, backend, server.
    pub connections: [u64; 4],
    /// Retries, and whether the server was changed.
    pub retries: u32,
    /// Whether the client's server was given up.
    pub redispatched: bool,
    /// Waiting before it, for its server and for its backend.
    pub queues: [u64; 2],
    /// The request line as received.
    pub request: &'f [u8],
    /// The process.
    pub pid: u32,
    /// What was captured of the request's headers, in the file's order; nothing where it had none.
    pub request_headers: &'f [Option<Vec<u8>>],
    /// The same of the response's.
    pub response_headers: &'f [Option<Vec<u8>>],
    /// Captured cookies of the request and of the response.
    pub cookies: [Option<&'f [u8]>; 2],
}

/// Writes one field.
pub(crate) type Write = fn(&LogFacts<'_>, &mut Vec<u8>);

/// A row of the registry.
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

/// A client's bytes must not be able to end the line or begin another.
fn harmless(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            b'"' | b'#' | b'[' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0..=0x1f | 0x7f..=0xff => {
                let _ = write!(out, "#{byte:02X}");
            }
            _ => out.push(*byte),
        }
    }
}

/// Captured values between braces; nothing where the file captures nothing.
fn captured(values: &[Option<Vec<u8>>], out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    out.push(b'{');
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            out.push(b'|');
        }
        harmless(value.as_deref().unwrap_or_default(), out);
    }
    out.push(b'}');
}

/// The fields, by name.
pub const LOG_FIELDS: &[LogField] = &[
    row(&["B"], "Bytes sent to the client.", |f, o| number(f.bytes_out, o)),
    row(&["CC"], "Captured request cookie.", |f, o| harmless(f.cookies[0].unwrap_or(b"-"), o)),
    row(&["CS"], "Captured response cookie.", |f, o| harmless(f.cookies[1].unwrap_or(b"-"), o)),
    row(&["ST"], "Status sent to the client.", |f, o| number(f.status, o)),
    row(&["TR"], "Time to receive the request.", |f, o| number(f.request_ms, o)),
    row(&["Ta"], "Active time of the request.", |f, o| number(f.active_ms, o)),
    row(&["Tc"], "Time to connect.", |f, o| number(f.connect_ms, o)),
    row(&["Tr"], "Time until the response's head.", |f, o| number(f.response_ms, o)),
    row(&["Tt"], "Total time of the session.", |f, o| number(f.total_ms, o)),
    row(&["Tw"], "Time in queues.", |f, o| number(f.queue_ms, o)),
    row(&["U"], "Bytes received from the client.", |f, o| number(f.bytes_in, o)),
    row(&["ac"], "Connections of the process.", |f, o| number(f.connections[0], o)),
    row(&["b"], "Backend.", |f, o| o.extend_from_slice(f.backend.as_bytes())),
    row(&["bc"], "Connections of the backend.", |f, o| number(f.connections[2], o)),
    row(&["bq"], "Requests before it in the backend's queue.", |f, o| number(f.queues[1], o)),
    row(&["ci"], "Client's address.", |f, o| {
        if let Some(client) = f.client {
            number(client.ip(), o);
        }
    }),
    row(&["cp"], "Client's port.", |f, o| {
        if let Some(client) = f.client {
            number(client.port(), o);
        }
    }),
    row(&["f", "ft"], "Frontend.", |f, o| o.extend_from_slice(f.frontend.as_bytes())),
    row(&["fc"], "Connections of the frontend.", |f, o| number(f.connections[1], o)),
    row(&["hr"], "Captured request headers.", |f, o| captured(f.request_headers, o)),
    row(&["hs"], "Captured response headers.", |f, o| captured(f.response_headers, o)),
    row(&["pid"], "Process.", |f, o| number(f.pid, o)),
    row(&["r"], "Request line.", |f, o| harmless(f.request, o)),
    row(&["rc"], "Retries.", |f, o| {
        if f.redispatched {
            o.push(b'+');
        }
        number(f.retries, o);
    }),
    row(&["s"], "Server.", |f, o| o.extend_from_slice(f.server.as_bytes())),
    row(&["sc"], "Connections of the server.", |f, o| number(f.connections[3], o)),
    row(&["sq"], "Requests before it in the server's queue.", |f, o| number(f.queues[0], o)),
    row(&["t"], "Time of the accept.", |f, o| o.extend_from_slice(f.accepted.as_bytes())),
    row(&["tr"], "Time of the request.", |f, o| o.extend_from_slice(f.began.as_bytes())),
    row(&["ts"], "Termination state.", |f, o| o.extend_from_slice(&f.termination)),
    row(&["tsc"], "Termination state with the cookie's.", |f, o| {
        o.extend_from_slice(&f.termination);
        o.extend_from_slice(&f.cookie);
    }),
    waiting(&["H", "ID", "o", "rt", "sslc", "sslv", "lc", "ms"], "Facts of the process and of TLS."),
    waiting(&["HM", "HP", "HPO", "HQ", "HU", "HV"], "Parts of the request line."),
    waiting(&["T", "Td", "Th", "Ti", "Tl", "Tq", "Ts", "Tu", "trg", "trl"], "Dates and times."),
    waiting(&["bi", "bp", "fi", "fp", "si", "sp"], "Addresses of this side and of the server."),
    waiting(&["hrl", "hsl"], "Captured headers as a list."),
];

const fn waiting(names: &'static [&'static str], doc: &'static str) -> LogField {
    LogField { spec: Spec::later(names, &[], doc, names[0]), write: |_, _| {} }
}
