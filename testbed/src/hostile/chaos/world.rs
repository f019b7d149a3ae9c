//! The pair under bad luck, its table, and what must hold of it once it has healed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::observer::Observer;
use crate::drill::stack::{NAMES, Role};
use crate::hostile::attack::{Connections, Good, Servers, Window};
use crate::hostile::pair::{EVIL, GOOD, Pair, SERVICE};

/// A pair heals within this, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
/// Good clients are served for so long before it has healed.
const SERVED: usize = 20;
/// Requests that are sent at once to fill the table.
const BATCH: usize = 200;

pub(super) struct World {
    pub(super) pair: Pair,
    pub(super) entries: usize,
    good: Good,
    observer: Observer,
    _servers: Servers,
}

impl World {
    /// Starts a pair with so many entries in its table, and good clients.
    pub(super) fn build(folder: &Path, entries: usize) -> Result<Self, String> {
        let mut pair = Pair::build(folder, TEXT, None)?;
        pair.logs_to_pipe();
        let servers = Servers::start_at(GOOD, EVIL, pair.servers(None))?;
        pair.start_both()?;
        let place = pair.client(None);
        let filling = std::thread::spawn(move || {
            place.enter().map_err(|e| e.to_string())?;
            fill(entries)
        });
        filling.join().map_err(|_| "a thread died")??;
        let good = Good::start(SERVICE.into(), Connections::Both, pair.client(None));
        let observer = Observer::start([0, 1].map(|node| pair.stats(node)));
        let world = Self { pair, entries, good, observer, _servers: servers };
        world.heals()?;
        Ok(world)
    }

    /// Waits until everything is as it should be; an error says what is not.
    pub(super) fn heals(&self) -> Result<(), String> {
        let begin = Instant::now();
        let mut wrong = self.wrong();
        while let Some(why) = wrong {
            if begin.elapsed() > PATIENCE {
                return Err(format!("it has not healed after {PATIENCE:?}: {why}\n{}", self.pair.tails()));
            }
            std::thread::sleep(LOOK);
            wrong = self.wrong();
        }
        if let Some(seen) = self.observer.seen() {
            return Err(format!("{seen}\n{}", self.pair.tails()));
        }
        let served = self.good.count();
        while self.good.count() < served + SERVED {
            if begin.elapsed() > PATIENCE {
                return Err(format!("good clients are not served after {PATIENCE:?}"));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// What is not as it should be.
    fn wrong(&self) -> Option<String> {
        let Some(master) = self.pair.master() else { return Some("no single node is master".to_owned()) };
        if self.pair.role(1 - master) != Some(Role::Backup) {
            return Some(format!("{} is no healthy backup", NAMES[1 - master]));
        }
        (0..2).find_map(|node| self.wrong_at(node).err())
    }

    fn wrong_at(&self, node: usize) -> Result<(), String> {
        let (name, node) = (NAMES[node], self.pair.node(node)?);
        let used = used(&node.runtime("show table")?).ok_or_else(|| format!("{name} shows no table"))?;
        if used < self.entries {
            return Err(format!("{name} knows {used} of {} entries", self.entries));
        }
        let servers = node.runtime("show stat")?;
        for (server, expected) in [("app,s1", "UP"), ("app,s2", "MAINT")] {
            let state = state(&servers, server).unwrap_or("missing");
            if !state.starts_with(expected) {
                return Err(format!("{name} says of server {server} {state} instead of {expected}"));
            }
        }
        Ok(())
    }

    /// How many requests good clients made, and how many failed.
    pub(super) fn end(self) -> Result<(usize, usize), String> {
        let windows = self.good.end()?;
        Ok((windows.iter().map(Window::count).sum(), windows.iter().map(|window| window.errors).sum()))
    }
}

/// The state of a server ("backend,server") in a table of statistics.
pub(super) fn state<'a>(statistics: &'a str, server: &str) -> Option<&'a str> {
    let line =
        statistics.lines().find(|line| line.strip_prefix(server).is_some_and(|rest| rest.starts_with(',')));
    line?.split(',').nth(STATUS)
}

/// The column of a server's state in HAProxy's statistics (management guide, 9.1).
const STATUS: usize = 17;

/// Entries in use, of the only table.
fn used(text: &str) -> Option<usize> {
    text.lines()
        .find_map(|line| line.strip_prefix("# table: web,")?.rsplit_once("used:")?.1.trim().parse().ok())
}

/// Has so many keys counted, by requests that a rule answers.
fn fill(entries: usize) -> Result<(), String> {
    let say = |e: std::io::Error| format!("the table cannot be filled: {e}");
    let mut stream = TcpStream::connect(SERVICE).map_err(say)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(say)?;
    for first in (0..entries).step_by(BATCH) {
        let count = BATCH.min(entries - first);
        let each = (first..first + count)
            .map(|key| format!("GET /fill HTTP/1.1\r\nHost: x\r\nX-Key: key-{key}\r\n\r\n"));
        stream.write_all(each.collect::<String>().as_bytes()).map_err(say)?;
        let (mut answers, mut last, mut buffer) = (0, 0_u8, [0; 1 << 14]);
        while answers < count {
            let length = stream.read(&mut buffer).map_err(say)?;
            if length == 0 {
                return Err(format!("the table cannot be filled: closed after {}", first + answers));
            }
            for byte in &buffer[..length] {
                // A body is one '!', which is in no head.
                answers += usize::from(*byte == b'!' && last == b'\n');
                last = *byte;
            }
        }
    }
    Ok(())
}

const TEXT: &str = "\
global
    log stdout format raw local0
    stats timeout 60s
    stats socket \"${TANDEM_RUN-/run/tandem}/stats.sock\" mode 600 level admin
defaults
    mode http
    log global
    option httplog
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    timeout http-keep-alive 10s
    timeout check 1s
frontend web
    bind 192.0.2.100:80
    stick-table type string len 32 size 400k expire 1d store http_req_cnt
    http-request track-sc0 req.hdr(x-key) if { path_beg /fill }
    http-request return status 200 content-type text/plain string ! if { path_beg /fill }
    default_backend app
backend app
    server s1 192.0.2.21:8080 check inter 200ms
    server s2 192.0.2.21:8080 check inter 200ms disabled
";

#[cfg(test)]
mod tests {
    #[test]
    fn used_entries_are_read_from_the_tables_header() {
        let text = "# table: web, type: string, size:409600, used:300000\n";
        assert_eq!(super::used(text), Some(300_000));
        assert_eq!(super::used("No such table\n"), None);
    }
}
