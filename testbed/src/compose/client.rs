//! A client that asks for ever and says every second how it went.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Time between two requests: few enough for the example's limit.
const EVERY: Duration = Duration::from_millis(50);
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_millis(500);
const SECOND: Duration = Duration::from_secs(1);
/// Longest answer.
const MAX_ANSWER: u64 = 64 * 1_024;

#[derive(Default)]
struct Tally {
    servers: BTreeMap<String, usize>,
    failed: usize,
    slowest: Duration,
}

/// Asks for ever.
pub(crate) fn ask(service: SocketAddr) -> Result<String, String> {
    let (mut good, mut reported) = (Instant::now(), Instant::now());
    let mut tally = Tally::default();
    let mut out = io::stdout();
    loop {
        let begun = Instant::now();
        match request(service) {
            Ok(server) => {
                let gap = good.elapsed();
                if gap > SECOND / 4 {
                    writeln!(out, "served again after {} ms", gap.as_millis()).map_err(|e| e.to_string())?;
                }
                good = Instant::now();
                tally.slowest = tally.slowest.max(begun.elapsed());
                *tally.servers.entry(server).or_default() += 1;
            }
            Err(_) => tally.failed += 1,
        }
        if reported.elapsed() >= SECOND {
            reported = Instant::now();
            writeln!(out, "{}", std::mem::take(&mut tally).line()).map_err(|e| e.to_string())?;
        }
        std::thread::sleep(EVERY.saturating_sub(begun.elapsed()));
    }
}

impl Tally {
    fn line(&self) -> String {
        let good: usize = self.servers.values().sum();
        let mut line = format!(
            "served {good:>3}  failed {:>2}  slowest {:>3} ms ",
            self.failed,
            self.slowest.as_millis()
        );
        for (server, count) in &self.servers {
            // Writing to a string cannot fail.
            let _ = write!(line, " {server} {count}");
        }
        line
    }
}

/// The server that answered.
fn request(service: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&service, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let server =
        text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("x-server: ").map(str::to_owned));
    let server = server.filter(|_| text.starts_with("HTTP/1.1 200 "));
    server.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
