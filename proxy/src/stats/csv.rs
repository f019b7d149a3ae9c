//! `show stat` as HAProxy's readers expect it.

use super::Row;

/// The columns of HAProxy 2.6, in its order, up to the last one that every reader knows.
const COLUMNS: &[&str] = &[
    "pxname",
    "svname",
    "qcur",
    "qmax",
    "scur",
    "smax",
    "slim",
    "stot",
    "bin",
    "bout",
    "dreq",
    "dresp",
    "ereq",
    "econ",
    "eresp",
    "wretr",
    "wredis",
    "status",
    "weight",
    "act",
    "bck",
    "chkfail",
    "chkdown",
    "lastchg",
    "downtime",
    "qlimit",
    "pid",
    "iid",
    "sid",
    "throttle",
    "lbtot",
    "tracked",
    "type",
    "rate",
    "rate_lim",
    "rate_max",
    "check_status",
    "check_code",
    "check_duration",
    "hrsp_1xx",
    "hrsp_2xx",
    "hrsp_3xx",
    "hrsp_4xx",
    "hrsp_5xx",
    "hrsp_other",
    "hanafail",
    "req_rate",
    "req_rate_max",
    "req_tot",
    "cli_abrt",
    "srv_abrt",
    "comp_in",
    "comp_out",
    "comp_byp",
    "comp_rsp",
    "lastsess",
    "last_chk",
    "last_agt",
    "qtime",
    "ctime",
    "rtime",
    "ttime",
    "agent_status",
    "agent_code",
    "agent_duration",
    "check_desc",
    "agent_desc",
    "check_rise",
    "check_fall",
    "check_health",
    "agent_rise",
    "agent_fall",
    "agent_health",
    "addr",
    "cookie",
    "mode",
    "algo",
    "conn_rate",
    "conn_rate_max",
    "conn_tot",
    "intercepted",
    "dcon",
    "dses",
    "wrew",
    "connect",
    "reuse",
    "cache_lookups",
    "cache_hits",
    "srv_icur",
    "src_ilim",
    "qtime_max",
    "ctime_max",
    "rtime_max",
    "ttime_max",
];

/// Every row in HAProxy's format (management guide, chapter 9.1).
#[must_use]
pub fn csv(rows: &[Row]) -> String {
    rows.iter().fold(csv_head(), |text, row| text + &csv_line(row))
}

/// The line of that format which names the columns.
#[must_use]
pub fn csv_head() -> String {
    format!("# {},\n", COLUMNS.join(","))
}

/// A row in that format.
#[must_use]
pub fn csv_line(row: &Row) -> String {
    let mut text = String::new();
    for column in COLUMNS {
        let value = row.get(column).map_or("", String::as_str);
        if value.contains([',', '"']) {
            text.push_str(&format!("\"{}\",", value.replace('"', "\"\"")));
        } else {
            text.push_str(value);
            text.push(',');
        }
    }
    text.push('\n');
    text
}
