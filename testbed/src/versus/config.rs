//! CPU time of reading a large configuration, beside HAProxy's: `-c` of the same file.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{find_program, table};

/// Lines of the file.
const LINES: usize = 100_000;
/// Servers of each of its backends.
const SERVERS: usize = 16;

/// Measures every program that is there in turn; what came out.
pub(crate) fn measure(rounds: u32, tandem: &Path) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = folder.path().join("large.cfg");
    std::fs::write(&file, text()).map_err(|e| e.to_string())?;
    let mut programs = vec![("tandem", tandem.to_owned(), Vec::new())];
    programs.extend(find_program("haproxy").map(|program| ("haproxy", program, Vec::new())));
    for _ in 0..rounds {
        for (name, program, times) in &mut programs {
            times.push(time(program, &file).map_err(|why| format!("{name}: {why}"))?);
        }
    }
    let mut table = table::plain(["program", "CPU ms"]);
    for (name, _, times) in &mut programs {
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        table.add_row([(*name).to_owned(), format!("{:.0}", median.as_secs_f64() * 1e3)]);
    }
    Ok(format!("config: -c of {LINES} lines, medians of {rounds} rounds\n{table}"))
}

/// CPU time one run takes.
fn time(program: &Path, file: &Path) -> Result<Duration, String> {
    let before = of_children();
    let status = Command::new(program)
        .args(["-c", "-q", "-f"])
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|e| e.to_string())?;
    if status.success() { Ok(of_children().saturating_sub(before)) } else { Err(format!("it says {status}")) }
}

/// CPU time of the children that have ended: the fields `cutime` and `cstime` of proc(5).
fn of_children() -> Duration {
    const CUTIME: usize = 13;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, in parentheses, may hold blanks.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(CUTIME).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second().max(1))
}

fn text() -> String {
    let mut text = "global\n    maxconn 1000\ndefaults\n    mode http\n    timeout client 5s\n    timeout server 5s\n    \
                    timeout connect 5s\nfrontend web\n    bind 127.0.0.1:18080\n    default_backend b0\n"
        .to_owned();
    let each = 4 + SERVERS;
    for place in 0..LINES / each {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "backend b{place}\n    balance roundrobin\n    acl p{place} path_beg /x{place}\n    \
             http-request set-header x-a b if p{place}\n"
        );
        for server in 1..=SERVERS {
            let _ = writeln!(
                text,
                "    server s{server} 10.{}.{}.{server}:80 weight 10 check inter 2s fall 3",
                place % 250,
                place / 250
            );
        }
    }
    text
}
