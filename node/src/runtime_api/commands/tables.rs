//! Stick tables: looking into them, clearing them.

use proxy_config::model::Level;
use proxy_table::{Key, Table, Value};

use super::Command;
use crate::runtime_api::Node;

pub(super) const TABLE: &[Command] = &[
    Command {
        words: &["clear", "table"],
        level: Level::Admin,
        doc: "remove an entry from a table, or all",
        run: clear,
    },
    Command {
        words: &["show", "table"],
        level: Level::Operator,
        doc: "report table usage stats or dump this table's contents",
        run: show,
    },
];

/// Entries taken from a table at once.
const BATCH: usize = 1_000;

fn header(table: &Table) -> String {
    let schema = table.schema();
    format!(
        "# table: {}, type: {}, size:{}, used:{}\n",
        schema.name,
        schema.key.name(),
        schema.size,
        table.len()
    )
}

fn find<'n>(node: &'n Node, name: &str) -> Option<&'n Table> {
    node.proxy.tables().iter().find(|t| t.schema().name == name).map(AsRef::as_ref)
}

fn show(node: &Node, words: &[&str]) -> String {
    let Some((name, filter)) = words.split_first() else {
        return node.proxy.tables().iter().map(|t| header(t)).collect();
    };
    let Some(table) = find(node, name) else { return "No such table\n".to_owned() };
    let mut text = header(table);
    let wanted = match filter {
        [] => None,
        ["key", key] => match table.schema().key.of_bytes(key.as_bytes()) {
            Some(key) => Some(key),
            None => return "Invalid key\n".to_owned(),
        },
        _ => return "Optional argument only supports \"key\" and key value\n".to_owned(),
    };
    let mut after: Option<Key> = None;
    loop {
        let entries = table.snapshot(after.as_ref(), BATCH, proxy::now_ms());
        let Some(last) = entries.last() else { return text };
        after = Some(last.key.clone());
        for entry in entries.iter().filter(|e| wanted.as_ref().is_none_or(|w| e.key == *w)) {
            text.push_str(&line(table, entry));
        }
    }
}

fn line(table: &Table, entry: &proxy_table::SnapshotEntry) -> String {
    let schema = table.schema();
    // HAProxy prints the entry's address in memory here; ours is a number that stays with the key.
    let name = entry.key.as_bytes().iter().fold(0_u64, |n, b| n.wrapping_mul(31).wrapping_add(u64::from(*b)));
    let mut text = format!(
        "0x{name:x}: key={} use={} exp={}",
        schema.key.show(&entry.key),
        entry.used_by,
        entry.expires_in_ms
    );
    for (column, value) in schema.columns.iter().zip(&entry.values) {
        let shown = match value {
            Value::Text(text) => text.as_deref().unwrap_or("-").to_owned(),
            value @ (Value::Signed(_)
            | Value::Unsigned(_)
            | Value::Wide(_)
            | Value::Rate(_)
            | Value::Array(_)) => value.number(proxy::now_ms(), column.period_ms).to_string(),
        };
        let name = column.data_type.name();
        if column.period_ms > 0 {
            text.push_str(&format!(" {name}({})={shown}", column.period_ms));
        } else {
            text.push_str(&format!(" {name}={shown}"));
        }
    }
    text.push('\n');
    text
}

fn clear(node: &Node, words: &[&str]) -> String {
    let Some((name, filter)) = words.split_first() else {
        return "\"<table>\" argument expected\n".to_owned();
    };
    let Some(table) = find(node, name) else { return "No such table\n".to_owned() };
    match filter {
        [] => {
            table.clear();
            String::new()
        }
        ["key", key] => match table.schema().key.of_bytes(key.as_bytes()) {
            Some(key) if table.remove(&key) => String::new(),
            Some(_) => "Entry not found or in use\n".to_owned(),
            None => "Invalid key\n".to_owned(),
        },
        _ => "Optional argument only supports \"key\" and key value\n".to_owned(),
    }
}
