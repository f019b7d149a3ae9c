//! What the process is and does: `show info`, `show stat`, `show sess`.

use std::time::SystemTime;

use proxy::stats::InfoForm;
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

fn show_info(node: &Node, words: &[&str]) -> String {
    let mut form = InfoForm::Text;
    for word in words {
        match *word {
            "typed" => form = InfoForm::Typed,
            "json" => form = InfoForm::Json,
            _ => {}
        }
    }
    proxy::stats::info_text(&info(node), form)
}

/// What this system has none of: pools, pipes, compression, and the like.
const NONE_HERE: &[&str] = &[
    "Memmax_MB",
    "PoolAlloc_MB",
    "PoolUsed_MB",
    "PoolFailed",
    "Maxpipes",
    "PipesUsed",
    "PipesFree",
    "ConnRateLimit",
    "SessRateLimit",
    "SslRateLimit",
    "CompressBpsIn",
    "CompressBpsOut",
    "CompressBpsRateLim",
    "BusyPolling",
    "FailedResolutions",
    "TotalSplicdedBytesOut",
    "DebugCommandsIssued",
    "CumRecvLogs",
    "Memmax_bytes",
    "PoolAlloc_bytes",
    "PoolUsed_bytes",
    "Tainted",
    "Run_queue",
    "Unstoppable Jobs",
    "SslFrontendKeyRate",
    "SslFrontendMaxKeyRate",
    "SslFrontendSessionReuse_pct",
    "SslBackendKeyRate",
    "SslBackendMaxKeyRate",
    "SslCacheLookups",
    "SslCacheMisses",
    "ActivePeers",
    "ConnectedPeers",
];

fn info(node: &Node) -> proxy::stats::Row {
    let mut fields = node.proxy.info();
    let uptime = node.started.elapsed().as_secs();
    let (days, hours, minutes, seconds) =
        (uptime / 86_400, uptime / 3_600 % 24, uptime / 60 % 60, uptime % 60);
    let global = &node.proxy.config().global;
    let began = SystemTime::now() - node.started.elapsed();
    let began = began.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    for name in NONE_HERE {
        fields.insert(name, "0".to_owned());
    }
    let bytes = fields.get("TotalBytesOut").and_then(|text| text.parse().ok()).unwrap_or(0);
    let cores = fields.get("Nbthread").and_then(|text| text.parse().ok()).unwrap_or(1);
    let (idle, rate) = node.measure(bytes, cores);
    fields.insert("Idle_pct", idle.to_string());
    fields.insert("BytesOutRate", rate.to_string());
    fields.insert("Name", "Tandem".to_owned());
    fields.insert("Version", env!("CARGO_PKG_VERSION").to_owned());
    fields.insert("Build info", env!("CARGO_PKG_VERSION").to_owned());
    fields.insert("Nbproc", "1".to_owned());
    fields.insert("Process_num", "1".to_owned());
    fields.insert("Pid", std::process::id().to_string());
    fields.insert("Uptime", format!("{days}d {hours}h{minutes:02}m{seconds:02}s"));
    fields.insert("Uptime_sec", uptime.to_string());
    fields.insert("Start_time_sec", began.to_string());
    fields.insert("node", global.node.clone().unwrap_or_else(|| node.member.clone()));
    if let Some(text) = &global.description {
        fields.insert("description", text.clone());
    }
    fields
}

/// Rows made in one piece of an answer: a millisecond or two.
const ROWS_A_PIECE: usize = 32;

/// Which rows `show stat` is asked for, and how they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StatQuery {
    form: InfoForm,
    /// A proxy's number; all, if it is negative.
    proxy: i64,
    /// Kinds: 1 frontends, 2 backends, 4 servers.
    kinds: i64,
    /// A server's number; all, if it is negative.
    server: i64,
    /// Only servers that are up, or not in maintenance.
    only_up: bool,
    no_maint: bool,
}

impl StatQuery {
    /// `number`: that of the proxy of a name.
    fn parse(words: &[&str], number: impl Fn(&str) -> Option<u32>) -> Result<Self, &'static str> {
        let mut query =
            Self { form: InfoForm::Text, proxy: -1, kinds: -1, server: -1, only_up: false, no_maint: false };
        let mut rest = words;
        if let ["domain", domain, after @ ..] = rest {
            if *domain != "proxy" {
                return Err("Invalid statistics domain.\n");
            }
            rest = after;
        }
        while let Some((word, after)) = rest.split_first() {
            rest = after;
            match (*word, after) {
                ("typed", _) => query.form = InfoForm::Typed,
                ("json", _) => query.form = InfoForm::Json,
                ("up", _) => query.only_up = true,
                ("no-maint", _) => query.no_maint = true,
                ("desc", _) => {}
                (proxy, [kinds, server, after @ ..]) => {
                    let number = number(proxy).map_or_else(|| leading(proxy), i64::from);
                    if number == 0 {
                        return Err("No such proxy.\n");
                    }
                    (query.proxy, query.kinds, query.server) = (number, leading(kinds), leading(server));
                    rest = after;
                }
                _ => {}
            }
        }
        Ok(query)
    }

    fn takes(&self, row: &proxy::stats::Row) -> bool {
        let number = |column: &str| row.get(column).map_or(0, |text| leading(text));
        let kind = match number("type") {
            0 => 1,
            1 => 2,
            _ => 4,
        };
        let is_server = kind == 4;
        let status = row.get("status").map_or("", String::as_str);
        (self.proxy < 0 || self.proxy == number("iid"))
            && (self.kinds & kind != 0)
            && (!is_server || self.server < 0 || self.server == number("sid"))
            && !(is_server && self.only_up && (status.starts_with("DOWN") || status.starts_with("MAINT")))
            && !(is_server && self.no_maint && status.starts_with("MAINT"))
    }
}

/// The number that a text begins with; 0 if it begins with none.
fn leading(text: &str) -> i64 {
    let end = text.char_indices().find(|(place, c)| !(c.is_ascii_digit() || (*place == 0 && *c == '-')));
    text[..end.map_or(text.len(), |(place, _)| place)].parse().unwrap_or(0)
}

fn show_stat(node: &Node, words: &[&str]) -> Answer {
    let config = node.proxy.config();
    let number = |name: &str| {
        let fronts = config.frontends.iter().map(|f| (&f.name, f.proxy_id));
        let backs = config.backends.iter().map(|b| (&b.name, b.proxy_id));
        fronts.chain(backs).find(|(known, _)| *known == name).map(|(_, id)| id)
    };
    let query = match StatQuery::parse(words, number) {
        Ok(query) => query,
        Err(why) => return Answer::Text(why.to_owned()),
    };
    let mut rows = node.proxy.stats();
    // What stands before the next row, and what at the end.
    let mut before = match query.form {
        InfoForm::Text => Some(proxy::stats::csv_head()),
        InfoForm::Typed => None,
        InfoForm::Json => Some("[".to_owned()),
    };
    let mut is_over = false;
    Answer::Long(Box::new(move || {
        if is_over {
            return Piece::Over;
        }
        let mut text = String::new();
        for _ in 0..ROWS_A_PIECE {
            let Some(row) = rows.next() else {
                is_over = true;
                if query.form == InfoForm::Json {
                    text.push_str(if before.as_deref() == Some("[") { "[]\n" } else { "]\n" });
                } else {
                    text.extend(before.take());
                }
                break;
            };
            if !query.takes(&row) {
                continue;
            }
            text.extend(before.take());
            match query.form {
                InfoForm::Text => text.push_str(&proxy::stats::csv_line(&row)),
                InfoForm::Typed => text.push_str(&proxy::stats::typed(&row)),
                InfoForm::Json => {
                    text.push_str(&proxy::stats::json(&row));
                    before = Some(",".to_owned());
                }
            }
        }
        Piece::Text(text)
    }))
}

/// `show sess`, or `show sess ID` for one of them.
fn show_sess(node: &Node, words: &[&str]) -> Answer {
    let wanted = words.first().and_then(|word| word.strip_prefix("0x"));
    let wanted = wanted.map(|digits| u64::from_str_radix(digits, 16).unwrap_or(u64::MAX));
    let mut sessions = node.proxy.sessions();
    let mut missing = wanted.is_some();
    Answer::Long(Box::new(move || match sessions.step() {
        SessionsStep::Rows(rows) => {
            let rows = rows.iter().filter(|row| wanted.is_none_or(|wanted| number(row) == wanted));
            let text: String = rows.map(session).collect();
            missing &= text.is_empty();
            Piece::Text(text)
        }
        SessionsStep::Later => Piece::Later,
        SessionsStep::Over if missing => {
            missing = false;
            Piece::Text("Session not found.\n".to_owned())
        }
        SessionsStep::Over => Piece::Over,
    }))
}

/// What stands in the place of HAProxy's address in memory.
fn number(row: &SessionRow) -> u64 {
    const ABOVE: u64 = 1 << 44;
    ABOVE | ((row.core as u64) << 32) | row.place as u64
}

fn session(row: &SessionRow) -> String {
    format!(
        "0x{:x}: proto={} src={} fe={} be={} srv={} ts=00 epoch=0 age={} calls={} rate=0 cpu=0 lat=0\n",
        number(row),
        if row.source.is_ipv4() { "tcpv4" } else { "tcpv6" },
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
