//! `tandem peers`: what this node shares with others, table by table.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::Cell;

use super::ask::ask;
use super::status::{span, table};
use crate::args::Peers;
use crate::status::{NodeStatus, PeerView};

/// Longest time a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Rest between two looks.
const WATCH: Duration = Duration::from_secs(1);
/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[2J";

const ALL_ESTABLISHED: u8 = 0;
const SOME_MISSING: u8 = 1;
const UNKNOWN: u8 = 2;

/// Asks and prints; the exit code.
pub(crate) fn show(options: &Peers) -> u8 {
    loop {
        let answer = ask::<NodeStatus>(&options.run_dir, "status", PATIENCE);
        let peers = answer.and_then(|(_, status)| {
            let worker = status.worker.ok_or("unknown: the worker does not answer")?;
            Ok((status.node, worker.peers, worker.refused))
        });
        let (code, text) = match peers {
            Err(why) => {
                eprintln!("tandem: {why}");
                (UNKNOWN, String::new())
            }
            Ok((_, peers, _)) if options.json => (code(&peers), format!("{}\n", serde_json::json!(peers))),
            Ok((node, peers, refused)) => {
                let mut text = page(&node, &peers);
                for (why, count) in refused {
                    text.push_str(&format!("refused, {why}: {count}\n"));
                }
                (code(&peers), text)
            }
        };
        let clear = if options.watch && std::io::stdout().is_terminal() { CLEAR } else { "" };
        // Who reads may have gone: then there is nobody to tell.
        let said = write!(std::io::stdout(), "{clear}{text}").and_then(|()| std::io::stdout().flush());
        if !options.watch || said.is_err() {
            return code;
        }
        std::thread::sleep(WATCH);
    }
}

fn code(peers: &[PeerView]) -> u8 {
    let all = peers.iter().all(|p| p.state == "established");
    if all { ALL_ESTABLISHED } else { SOME_MISSING }
}

fn page(node: &str, peers: &[PeerView]) -> String {
    if peers.is_empty() {
        return format!("node {node} has no peers\n");
    }
    let mut page = format!("node {node}\n");
    for peer in peers {
        let section = peer.section.as_ref().map_or_else(|| "cluster".to_owned(), |s| format!("peers {s}"));
        page.push_str(&format!(
            "\n{} ({section}, {}): {} for {}, heard {}, tables are {}\n",
            peer.name,
            peer.address,
            peer.state,
            span(peer.since_ms),
            peer.heard_ms.map_or_else(|| "never".to_owned(), |ms| format!("{} ago", span(ms))),
            peer.resync,
        ));
        if let Some(error) = peer.last_error.as_ref().filter(|_| peer.state != "established") {
            page.push_str(&format!("  ! {error}\n"));
        }
        let mut list = table(&["table", "here", "there", "updates", "acked", "lag", "learnt"]);
        for row in &peer.tables {
            list.add_row(vec![
                Cell::new(&row.name),
                Cell::new(row.entries_here),
                Cell::new(row.entries_there.map_or_else(|| "unknown".to_owned(), |n| n.to_string())),
                Cell::new(row.updated),
                Cell::new(row.acked),
                Cell::new(row.lag),
                Cell::new(row.learnt),
            ]);
        }
        page.push_str(&format!("{list}\n"));
        let errors: Vec<String> = peer.errors.iter().map(|(why, count)| format!("{why} {count}")).collect();
        if !errors.is_empty() {
            page.push_str(&format!("sessions {}, ended: {}\n", peer.sessions, errors.join(", ")));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::PeerTableView;

    #[test]
    fn the_page_fits_eighty_columns_and_does_not_guess() {
        let table = PeerTableView {
            name: "a-table-of-clients".into(),
            entries_here: 1_000_000,
            entries_there: None,
            updated: 12_345_678,
            acked: 12_345_600,
            lag: 78,
            learnt: 999_999,
        };
        let peer = PeerView {
            section: Some("old".into()),
            name: "hap1".into(),
            address: "192.0.2.12:10000".into(),
            state: "unreachable".into(),
            since_ms: 1_000,
            lag: 78,
            heard_ms: Some(70_000),
            learnt: 999_999,
            sessions: 3,
            last_error: Some("it fell silent".into()),
            errors: [("silent".to_owned(), 3)].into(),
            resync: "learnt".into(),
            tables: vec![table],
        };
        let page = page("lb1", &[peer]);
        let widest = page.lines().skip(3).map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|w| w <= 80), "{page}");
        for word in ["hap1 (peers old", "1m10s ago", "! it fell silent", "unknown", "ended: silent 3"] {
            assert!(page.contains(word), "{word}:\n{page}");
        }
    }
}
