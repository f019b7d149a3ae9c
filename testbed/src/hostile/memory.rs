//! What a connection costs: the slope of resident memory between few and many connections, each idle, with half a head,
//! or with a request that the server does not answer yet.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use comfy_table::Cell;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::Stack;
use super::program::{self, Program, Setup, free_address};
use crate::table;

/// Connections at the slope's two ends.
const FEW: usize = 2_000;
const MANY: usize = 8_000;
/// What one connection may cost, in bytes.
const MOST: i64 = 6_000;
/// Loopback addresses the clients come from.
const SOURCES: usize = 32;
/// Everything is open within this.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// Resident memory stands still if it moved by less between two looks, in bytes.
const STILL: u64 = 16 << 10;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 4_096;

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Passes if half a head and a request under way cost at most 6,000 bytes each. Idle
connections are measured for comparison.

Examples:
  cargo hostile memory
  cargo hostile memory --json memory.json")]
pub(super) struct Options {
    /// Write the figures here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// In what state connections are.
struct State {
    name: &'static str,
    sent: &'static [u8],
    /// Descriptors of the program for each.
    descriptors: usize,
    bounded: bool,
}

const STATES: &[State] = &[
    State { name: "idle", sent: b"", descriptors: 1, bounded: false },
    State {
        name: "partial head",
        sent: b"GET /x HTTP/1.1\r\nHost: x\r\nX-A: b",
        descriptors: 1,
        bounded: true,
    },
    State {
        name: "request in flight",
        sent: b"GET /x HTTP/1.1\r\nHost: x\r\nUser-Agent: memory\r\n\r\n",
        descriptors: 2,
        bounded: true,
    },
];

pub(super) fn run(options: &Options) -> Result<String, String> {
    program::raise_own_limit();
    let beside = program::haproxy()?.is_some();
    let stacks: &[Stack] = if beside { &[Stack::Tandem, Stack::Haproxy] } else { &[Stack::Tandem] };
    let bar = ProgressBar::new((STATES.len() * stacks.len()) as u64);
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}").map_err(|e| e.to_string())?;
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut table = table::plain(["state", "Tandem", "HAProxy", "result"]);
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for state in STATES {
        let mut slopes = Vec::new();
        for stack in stacks {
            bar.set_message(format!("{} at {}", state.name, program::name(*stack)));
            let slope = slope(*stack, state).map_err(|why| format!("{}: {why}", state.name))?;
            figures.push(json!({ "state": state.name, "stack": program::name(*stack), "bytes": slope }));
            slopes.push(slope);
            bar.inc(1);
        }
        let ours = slopes.first().copied().unwrap_or_default();
        let result = match (state.bounded, ours <= MOST) {
            (false, _) => "-",
            (true, true) => "pass",
            (true, false) => {
                failed.push(format!("{} costs {ours} bytes, at most {MOST}", state.name));
                "FAIL"
            }
        };
        let other = slopes.get(1).map_or("-".to_owned(), i64::to_string);
        table.add_row([Cell::new(state.name), Cell::new(ours), Cell::new(other), Cell::new(result)]);
    }
    bar.finish_and_clear();
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&json!({ "slopes": figures })).map_err(|e| e.to_string())?;
        std::fs::write(file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let text = format!("{table}\nBytes of resident memory for each connection, between {FEW} and {MANY}");
    if failed.is_empty() { Ok(text) } else { Err(format!("{text}\n{}", failed.join("\n"))) }
}

/// Bytes for each connection in a state.
fn slope(stack: Stack, state: &State) -> Result<i64, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (web, server) = (free_address()?, silent_server().map_err(|e| format!("the server: {e}"))?);
    let text = format!(
        "global\n    maxconn 9000\n    nbthread 1\ndefaults\n    mode http\n    timeout connect 60s\n    \
         timeout client 60s\n    timeout server 60s\nfrontend web\n    bind {web} backlog 4096\n    \
         default_backend app\nbackend app\n    server s1 {server}\n"
    );
    let program = Program::start(stack, folder.path(), &text, web, Setup::default())?;
    // The connection that showed that it listens may not be closed yet.
    let mut base = program.usage().descriptors;
    loop {
        std::thread::sleep(LOOK);
        let now = program.usage().descriptors;
        if std::mem::replace(&mut base, now) == now {
            break;
        }
    }
    let mut open = Vec::new();
    let few = resident(&program, &mut open, FEW, base, state, web)?;
    let many = resident(&program, &mut open, MANY, base, state, web)?;
    let difference = i64::try_from(many).unwrap_or_default() - i64::try_from(few).unwrap_or_default();
    Ok(difference / i64::try_from(MANY - FEW).unwrap_or(1))
}

/// Resident memory with so many connections, once it stands still.
fn resident(
    program: &Program,
    open: &mut Vec<TcpStream>,
    count: usize,
    base: usize,
    state: &State,
    web: SocketAddrV4,
) -> Result<u64, String> {
    while open.len() < count {
        let stream = connect(open.len(), web, state.sent);
        open.push(stream.map_err(|e| format!("connection {}: {e}", open.len() + 1))?);
    }
    let (begin, mut last) = (Instant::now(), u64::MAX);
    loop {
        std::thread::sleep(LOOK);
        let usage = program.usage();
        let all = usage.descriptors >= base + count * state.descriptors;
        if all && usage.memory.abs_diff(last) < STILL {
            return Ok(usage.memory);
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!(
                "with {count} connections {} has {} descriptors and {} KiB: {}",
                program.name,
                usage.descriptors,
                usage.memory >> 10,
                program.tail()
            ));
        }
        last = usage.memory;
    }
}

fn connect(number: usize, web: SocketAddrV4, sent: &[u8]) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let last = u8::try_from(number % SOURCES).unwrap_or_default();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 1, last + 1), 0)).into())?;
    socket.connect_timeout(&SocketAddr::V4(web).into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    io::Write::write_all(&mut stream, sent)?;
    Ok(stream)
}

/// A server that accepts, and says nothing; what it accepted is kept while the process lives.
fn silent_server() -> io::Result<SocketAddrV4> {
    static KEPT: Mutex<Vec<TcpStream>> = Mutex::new(Vec::new());
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    let listener = std::net::TcpListener::from(socket);
    let port = listener.local_addr()?.port();
    if let Ok(mut kept) = KEPT.lock() {
        // Those of an earlier program are over.
        kept.clear();
    }
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Ok(mut kept) = KEPT.lock() {
                kept.push(stream);
            }
        }
    });
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}
