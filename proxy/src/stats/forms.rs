//! `show stat` and `show info` as HAProxy's readers expect them: CSV, one value a line with its type, and JSON.

use super::Row;
use super::columns::{COLUMNS, Column, INFO};

/// The line of HAProxy's CSV (management guide, chapter 9.1) which names the columns.
#[must_use]
pub fn csv_head() -> String {
    COLUMNS.iter().fold("# ".to_owned(), |text, column| text + column.name + ",") + "\n"
}

/// A row in that format.
#[must_use]
pub fn csv_line(row: &Row) -> String {
    let mut text = String::new();
    for column in COLUMNS {
        let value =
            if column.tags.is_empty() { "-" } else { row.get(column.name).map_or("", String::as_str) };
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

/// The values of a row that are there, with the places of their columns.
fn values(row: &Row) -> impl Iterator<Item = (usize, Column, &str)> {
    let columns = COLUMNS.iter().filter(|column| !column.tags.is_empty()).enumerate();
    let is_backend = row.get("type").is_some_and(|kind| kind == "1");
    columns.filter_map(move |(place, column)| {
        let value = row.get(column.name).filter(|value| !value.is_empty())?;
        // What is a server's status is a measure of a backend.
        let tags = match column.name {
            "act" | "bck" | "rate" | "rate_max" if is_backend => "MGP",
            _ => column.tags,
        };
        Some((place, Column { tags, ..*column }, value.as_str()))
    })
}

/// A row with a line for each value.
#[must_use]
pub fn typed(row: &Row) -> String {
    let get = |name: &str| row.get(name).map_or("0", String::as_str);
    let letter = match get("type") {
        "0" => 'F',
        "1" => 'B',
        _ => 'S',
    };
    let (proxy, own) = (get("iid"), get("sid"));
    values(row)
        .map(|(place, Column { name, tags, kind }, value)| {
            format!("{letter}.{proxy}.{own}.{place}.{name}.1:{tags}:{kind}:{value}\n")
        })
        .collect::<String>()
        + "\n"
}

/// A row as a list of values in JSON.
#[must_use]
pub fn json(row: &Row) -> String {
    let get = |name: &str| row.get(name).map_or("0", String::as_str);
    let whose = match get("type") {
        "0" => "Frontend",
        "1" => "Backend",
        _ => "Server",
    };
    let whose = format!("\"objType\":\"{whose}\",\"proxyId\":{},\"id\":{},", get("iid"), get("sid"));
    let values: Vec<String> =
        values(row).map(|(place, column, value)| json_value(&whose, place as u64, column, value)).collect();
    format!("[{}]", values.join(","))
}

fn json_value(whose: &str, place: u64, column: Column, value: &str) -> String {
    let mut tags = column.tags.chars();
    let origin = match tags.next() {
        Some('M') => "Metric",
        Some('S') => "Status",
        Some('K') => "Key",
        Some('C') => "Config",
        Some('P') => "Product",
        _ => "Unknown",
    };
    let nature = match tags.next() {
        Some('G') => "Gauge",
        Some('L') => "Limit",
        Some('m') => "Min",
        Some('M') => "Max",
        Some('R') => "Rate",
        Some('C') => "Counter",
        Some('D') => "Duration",
        Some('A') => "Age",
        Some('T') => "Time",
        Some('N') => "Name",
        Some('O') => "Output",
        Some('a') => "Avg",
        _ => "Unknown",
    };
    let scope = match tags.next() {
        Some('C') => "Cluster",
        Some('P') => "Process",
        Some('S') => "Service",
        Some('s') => "System",
        _ => "Unknown",
    };
    let value = if column.kind == "str" { json_text(value) } else { value.to_owned() };
    format!(
        "{{{whose}\"field\":{{\"pos\":{place},\"name\":\"{}\"}},\"processNum\":1,\"tags\":{{\"origin\":\"{origin}\",\
         \"nature\":\"{nature}\",\"scope\":\"{scope}\"}},\"value\":{{\"type\":\"{}\",\"value\":{value}}}}}",
        column.name, column.kind
    )
}

fn json_text(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// How `show info` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoForm {
    /// `Name: value`.
    Text,
    /// With place and type.
    Typed,
    /// In JSON.
    Json,
}

/// The fields of `show info` that are known.
#[must_use]
pub fn info_text(fields: &Row, form: InfoForm) -> String {
    let known = INFO.iter().filter_map(|(place, column)| Some((place, column, fields.get(column.name)?)));
    match form {
        InfoForm::Text => known.map(|(_, column, value)| format!("{}: {value}\n", column.name)).collect(),
        InfoForm::Typed => known
            .map(|(place, Column { name, tags, kind }, value)| {
                format!("{place}.{name}.1:{tags}:{kind}:{value}\n")
            })
            .collect(),
        InfoForm::Json => {
            let values: Vec<String> = known
                .map(|(place, column, value)| json_value("", u64::from(*place), *column, value))
                .collect();
            format!("[{}]\n", values.join(","))
        }
    }
}
