//! What the process is and does: `show info`, `show stat`, `show sess`.

use proxy::{SessionRow, SessionsStep};
use proxy_config::model::Level;

use super::{Command, Run};
use crate::runtime_api::{Answer, Node, Piece};

pub(super) const TABLE: &[Command] = &[
    Command {
        words: &["show", "info"],
        level: Level::User,
        doc: "report information about the running process",
        run: Run::Short(show_info),
    },
    Command {
        words: &["show", "sess"],
        level: Level::Operator,
        doc: "report the list of current sessions",
        run: Run::Long(show_sess),
    },
    Command {
        words: &["show", "stat"],
        level: Level::User,
        doc: "report counters for each proxy and server",
        run: Run::Long(show_stat),
    },
    Command {
        words: &["show", "version"],
        level: Level::User,
        doc: "show version of the current process",
        run: Run::Short(|_, _| format!("{}\n", env!("CARGO_PKG_VERSION"))),
    },
];

/// Fields in HAProxy's order; those with no meaning here are left out rather than invented.
const INFO: &[&str] = &[
    "Name",
    "Version",
    "Nbthread",
    "Nbproc",
    "Process_num",
    "Pid",
    "Uptime",
    "Uptime_sec",
    "Ulimit-n",
    "Maxsock",
    "Maxconn",
    "Hard_maxconn",
    "CurrConns",
    "CumConns",
    "CumReq",
    "ConnRate",
    "MaxConnRate",
    "SessRate",
    "MaxSessRate",
    "node",
    "description",
    "Stopping",
    "Listeners",
    "DroppedLogs",
    "TotalBytesOut",
    // Of our own.
    "Shortages",
    "SlowTurns",
    "LongestTurnMs",
];

fn show_info(node: &Node, _: &[&str]) -> String {
    let mut fields = node.proxy.info();
    let uptime = node.started.elapsed().as_secs();
    let (days, hours, minutes, seconds) =
        (uptime / 86_400, uptime / 3_600 % 24, uptime / 60 % 60, uptime % 60);
    fields.insert("Name", "Tandem".to_owned());
    fields.insert("Version", env!("CARGO_PKG_VERSION").to_owned());
    fields.insert("Nbproc", "1".to_owned());
    fields.insert("Process_num", "1".to_owned());
    fields.insert("Pid", std::process::id().to_string());
    fields.insert("Uptime", format!("{days}d {hours}h{minutes:02}m{seconds:02}s"));
    fields.insert("Uptime_sec", uptime.to_string());
    let global = &node.proxy.config().global;
    fields.insert("node", global.node.clone().unwrap_or_else(|| node.member.clone()));
    if let Some(description) = &global.description {
        fields.insert("description", description.clone());
    }
    let line = |name: &&str| fields.get(name).map(|value| format!("{name}: {value}\n"));
    INFO.iter().filter_map(line).collect()
}

/// Rows made in one piece of an answer: a millisecond or two.
const ROWS_A_PIECE: usize = 32;

fn show_stat(node: &Node, _: &[&str]) -> Answer {
    let mut head = Some(proxy::stats::csv_head());
    let mut rows = node.proxy.stats();
    Answer::Long(Box::new(move || {
        if let Some(head) = head.take() {
            return Piece::Text(head);
        }
        let text: String = rows.by_ref().take(ROWS_A_PIECE).map(|row| proxy::stats::csv_line(&row)).collect();
        if text.is_empty() { Piece::Over } else { Piece::Text(text) }
    }))
}

fn show_sess(node: &Node, _: &[&str]) -> Answer {
    let mut sessions = node.proxy.sessions();
    Answer::Long(Box::new(move || match sessions.step() {
        SessionsStep::Rows(rows) => Piece::Text(rows.iter().map(session).collect()),
        SessionsStep::Later => Piece::Later,
        SessionsStep::Over => Piece::Over,
    }))
}

fn session(row: &SessionRow) -> String {
    format!(
        "0x{:x}: proto=tcpv4 src={} fe={} be={} srv={} ts=00 epoch=0 age={} calls={} cpu=0 lat=0\n",
        (row.core << 32) | row.place,
        row.source,
        row.frontend,
        row.backend.as_deref().unwrap_or("<NONE>"),
        row.server.as_deref().unwrap_or("<none>"),
        age(row.age_ms / 1000),
        row.requests,
    )
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m", seconds / 3_600, seconds / 60 % 60),
    }
}
