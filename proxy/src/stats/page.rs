//! The statistics page: one table per proxy, made to be looked at.

use std::fmt::Write;

use super::Row;

const STYLE: &str = "\
body{font:14px/1.4 system-ui,sans-serif;margin:1.5rem;color:#222;background:#fff}\
h1{font-size:1.3rem;margin:0 0 .3rem}h2{font-size:1rem;margin:1.4rem 0 .3rem}\
p{margin:.2rem 0;color:#555}table{border-collapse:collapse;width:100%}\
th,td{padding:.2rem .5rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}\
th{font-weight:600;color:#555}th:first-child,td:first-child,td.l,th.l{text-align:left}\
tr.up td:first-child{border-left:4px solid #2e8b57}tr.down td:first-child{border-left:4px solid #c0392b}\
tr.maint td:first-child{border-left:4px solid #b8860b}tr.none td:first-child{border-left:4px solid #bbb}\
tr.side{font-weight:600;background:#f5f5f5}\
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}p,th{color:#999}\
th,td{border-color:#333}tr.side{background:#202020}a{color:#8ab4f8}}";

/// What the page says besides its tables.
pub(crate) struct About<'a> {
    pub(crate) node: Option<&'a str>,
    pub(crate) version: Option<&'a str>,
    pub(crate) description: Option<&'a str>,
    /// What is said of a proxy.
    pub(crate) described: &'a dyn Fn(&str) -> Option<&'a str>,
    pub(crate) uri: &'a str,
    pub(crate) uptime_seconds: u64,
    pub(crate) legends: bool,
    pub(crate) info: &'a Row,
}

/// A column: its head, what it means, and where its value comes from.
type Column = (&'static str, &'static str, fn(&Row) -> String);

const COLUMNS: &[Column] = &[
    ("Name", "", |r| get(r, "svname").to_owned()),
    ("Status", "and for how long", |r| {
        let since = get(r, "lastchg").parse().ok().map(span).unwrap_or_default();
        format!("{} {since}", get(r, "status"))
    }),
    ("Last check", "", |r| match (get(r, "check_status"), get(r, "check_duration")) {
        ("", _) => String::new(),
        (status, duration) => format!("{status} in {duration} ms"),
    }),
    ("Weight", "", |r| get(r, "weight").to_owned()),
    ("Sessions", "now / most / limit", |r| {
        format!("{} / {} / {}", get(r, "scur"), get(r, "smax"), or_dash(get(r, "slim")))
    }),
    ("Queue", "now", |r| get(r, "qcur").to_owned()),
    ("Rate", "sessions a second: now / most", |r| {
        format!("{} / {}", or_dash(get(r, "rate")), or_dash(get(r, "rate_max")))
    }),
    ("Total", "sessions", |r| get(r, "stot").to_owned()),
    ("In", "bytes from clients", |r| bytes(get(r, "bin"))),
    ("Out", "bytes to clients", |r| bytes(get(r, "bout"))),
    ("Denied", "requests", |r| get(r, "dreq").to_owned()),
    ("Errors", "request / connection / response", |r| {
        format!("{} / {} / {}", or_dash(get(r, "ereq")), or_dash(get(r, "econ")), or_dash(get(r, "eresp")))
    }),
    ("Retries", "and changes of server", |r| {
        format!("{} / {}", or_dash(get(r, "wretr")), or_dash(get(r, "wredis")))
    }),
    ("Down", "times / how long", |r| match get(r, "chkdown") {
        "" => String::new(),
        times => format!("{times} / {}", get(r, "downtime").parse().ok().map(span).unwrap_or_default()),
    }),
];

fn get<'r>(row: &'r Row, column: &str) -> &'r str {
    row.get(column).map_or("", String::as_str)
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// The whole page.
pub(crate) fn page(rows: &[&Row], about: &About<'_>) -> String {
    let mut out = String::from("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    // Writing to a string cannot fail.
    let node = about.node.map(|n| format!(" on {}", safe(n))).unwrap_or_default();
    let version = about.version.map(|v| format!(" {v}")).unwrap_or_default();
    let _ = write!(
        out,
        "<title>Statistics{node}</title><style>{STYLE}</style></head>\n<body><h1>Tandem{version}{node}</h1>\n"
    );
    if let Some(description) = about.description {
        let _ = writeln!(out, "<p>{}</p>", safe(description));
    }
    let _ = writeln!(
        out,
        "<p>up {}, {} connections of {}, {} a second; {} requests so far. <a href=\"{};csv\">CSV</a></p>",
        span(about.uptime_seconds),
        get(about.info, "CurrConns"),
        or_dash(get(about.info, "Maxconn")),
        get(about.info, "ConnRate"),
        get(about.info, "CumReq"),
        safe(about.uri),
    );
    let mut current = "";
    for row in rows {
        let name = get(row, "pxname");
        if name != current {
            if !current.is_empty() {
                out.push_str("</table>\n");
            }
            current = name;
            // The algorithm is the backend's.
            let whole = rows.iter().filter(|r| get(r, "pxname") == name);
            let whole = whole.max_by_key(|r| get(r, "algo").len()).unwrap_or(row);
            let legend = if about.legends { legend(whole) } else { String::new() };
            let described = (about.described)(name).map(|text| format!("<p>{}</p>", safe(text)));
            let described = described.unwrap_or_default();
            let _ = write!(out, "<h2 id=\"{0}\">{0}</h2>{described}{legend}<table><tr>", safe(name));
            for (title, hint, _) in COLUMNS {
                let _ = write!(out, "<th title=\"{hint}\">{title}</th>");
            }
            out.push_str("</tr>\n");
        }
        let side = if matches!(get(row, "type"), "0" | "1") { " side" } else { "" };
        let _ = write!(out, "<tr class=\"{}{side}\">", class(get(row, "status")));
        for (_, _, value) in COLUMNS {
            let _ = write!(out, "<td>{}</td>", safe(value(row).trim()));
        }
        out.push_str("</tr>\n");
    }
    if !current.is_empty() {
        out.push_str("</table>\n");
    }
    out.push_str("</body></html>\n");
    out
}

fn legend(row: &Row) -> String {
    let algorithm = match get(row, "algo") {
        "" => String::new(),
        algorithm => format!(", balance {}", safe(algorithm)),
    };
    format!("<p>mode {}, id {}{algorithm}</p>", safe(get(row, "mode")), safe(get(row, "iid")))
}

fn class(status: &str) -> &'static str {
    match status {
        s if s.starts_with("UP") || s == "OPEN" => "up",
        s if s.starts_with("DOWN") || s == "STOP" => "down",
        s if s.starts_with("MAINT") || s.starts_with("DRAIN") => "maint",
        _ => "none",
    }
}

/// A text that cannot become markup.
fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

fn bytes(text: &str) -> String {
    let Ok(count) = text.parse::<u64>() else { return String::new() };
    let mut value = count as f64;
    for unit in ["", " K", " M", " G"] {
        if value < 1_000.0 {
            return if unit.is_empty() { count.to_string() } else { format!("{value:.1}{unit}") };
        }
        value /= 1_000.0;
    }
    format!("{value:.1} T")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_markup_and_each_proxy_has_a_table() {
        let row = |proxy: &str, name: &str, status: &str| -> Row {
            [("pxname", proxy), ("svname", name), ("status", status), ("bin", "1234567")]
                .into_iter()
                .map(|(k, v)| (k, v.to_owned()))
                .collect()
        };
        let rows = [row("a", "<b>", "UP"), row("a", "s2", "DOWN 1/2"), row("c", "FRONTEND", "OPEN")];
        let about = About {
            node: Some("lb1"),
            version: None,
            description: Some("first & best"),
            described: &|_| Some("a <site>"),
            uri: "/stats",
            uptime_seconds: 90_061,
            legends: true,
            info: &Row::new(),
        };
        let text = page(&rows.iter().collect::<Vec<_>>(), &about);
        for part in ["&lt;b&gt;", "a &lt;site&gt;", "1.2 M", "first &amp; best", "class=\"down\"", "up 1d01h"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches("<table>").count(), 2);
        assert_eq!(text.matches("</table>").count(), 2);
    }
}
