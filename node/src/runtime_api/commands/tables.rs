//! Stick tables: looking into them, changing them, clearing them (management guide, `show table` and those that follow).

use std::net::Ipv6Addr;
use std::sync::Arc;

use proxy_config::model::Level;
use proxy_table::{
    DATA_TYPES, DataType, Dump, Frequency, Key, KeyType, Kind, MAX_DUMP_BYTES, Row, SnapshotEntry, Table,
    Value,
};

use super::{Command, Run};
use crate::runtime_api::{Answer, Node, Piece};

pub(super) const TABLE: &[Command] = &[
    Command {
        words: &["clear", "table"],
        level: Level::Admin,
        doc: "remove an entry from a table (filter: data/key)",
        run: Run::Long(clear),
    },
    Command {
        words: &["set", "table"],
        level: Level::Admin,
        doc: "update or create a table entry's data",
        run: Run::Short(set),
    },
    Command {
        words: &["show", "table"],
        level: Level::Operator,
        doc: "report table usage stats or dump this table's contents (filter: data/key)",
        run: Run::Long(show),
    },
];

/// Most conditions on values in one command, as in HAProxy.
const MAX_CONDITIONS: usize = 4;
/// Shards cleared in one step.
const SHARDS_A_STEP: usize = 8;

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

fn find(node: &Node, name: &str) -> Option<Arc<Table>> {
    node.proxy.tables().iter().find(|t| t.schema().name == name).cloned()
}

/// What of a table a command is about.
enum Wanted {
    All(Vec<Condition>),
    Key(Key),
}

/// A value that an entry must have.
#[derive(Clone, Copy)]
struct Condition {
    data_type: DataType,
    operator: Operator,
    value: i64,
}

#[derive(Clone, Copy)]
enum Operator {
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
    Less,
    Greater,
}

const OPERATORS: [(&str, Operator); 6] = [
    ("eq", Operator::Equal),
    ("ne", Operator::NotEqual),
    ("le", Operator::AtMost),
    ("ge", Operator::AtLeast),
    ("lt", Operator::Less),
    ("gt", Operator::Greater),
];

impl Condition {
    fn holds(self, row: &Row<'_>, now_ms: u64) -> bool {
        let have = i64::try_from(row.number(self.data_type, now_ms)).unwrap_or(i64::MAX);
        match self.operator {
            Operator::Equal => have == self.value,
            Operator::NotEqual => have != self.value,
            Operator::AtMost => have <= self.value,
            Operator::AtLeast => have >= self.value,
            Operator::Less => have < self.value,
            Operator::Greater => have > self.value,
        }
    }
}

/// Reads what follows a table's name; an error is in HAProxy's words. `usage`: what to say of anything else.
fn wanted(table: &Table, words: &[&str], verb: &str, usage: &str) -> Result<Wanted, String> {
    match words {
        [] => Ok(Wanted::All(Vec::new())),
        ["key"] => Err("Key value expected\n".to_owned()),
        ["key", key, ..] => Ok(Wanted::Key(key_of(table, key, &format!("{verb} keys from"))?)),
        [first, ..] if first.starts_with("data.") => {
            let mut conditions = Vec::new();
            for (index, part) in words.chunks(3).enumerate() {
                if index == MAX_CONDITIONS {
                    let before = words[3 * index - 1];
                    // The words of the command and the table's name come before.
                    let place = 3 * index + 4;
                    return Err(format!(
                        "Detected extra data in filter, {place}th word of input, after '{before}'\n"
                    ));
                }
                conditions.push(
                    condition(table, part).map_err(|why| format!("Filter entry #{}: {why}\n", index + 1))?,
                );
            }
            Ok(Wanted::All(conditions))
        }
        _ => Err(usage.to_owned()),
    }
}

fn condition(table: &Table, words: &[&str]) -> Result<Condition, &'static str> {
    let name = words.first().and_then(|word| word.strip_prefix("data."));
    let row = name.and_then(|name| DATA_TYPES.iter().find(|row| row.data_type.name() == name));
    let data_type = row.ok_or("Unknown data type")?.data_type;
    if !table.stores(data_type) {
        return Err("Data type not stored in this table");
    }
    let operator = words.get(1).and_then(|word| OPERATORS.iter().find(|(name, _)| name == word));
    let (_, operator) =
        *operator.ok_or("Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"")?;
    let value = words.get(2).and_then(|word| word.parse().ok());
    let value = value.ok_or("Require a valid integer value to compare against")?;
    Ok(Condition { data_type, operator, value })
}

fn key_of(table: &Table, word: &str, verb: &str) -> Result<Key, String> {
    let kind = table.schema().key;
    let is_key = match kind {
        KeyType::Binary(_) => {
            return Err(format!(
                "{verb} tables of type other than ip, ipv6, string and integer is not supported\n"
            ));
        }
        KeyType::Integer => word.parse::<u32>().is_ok(),
        KeyType::Ipv6 => word.parse::<Ipv6Addr>().is_ok(),
        KeyType::Ip | KeyType::String(_) => true,
    };
    let key = kind.of_bytes(word.as_bytes()).filter(|_| is_key);
    key.ok_or_else(|| "Invalid key\n".to_owned())
}

const SHOW_USAGE: &str =
    "Optional argument only supports \"data.<store_data_type>\" <operator> <value> and key <key>\n";
const CLEAR_USAGE: &str =
    "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or <table> key <key>\n";
const SET_USAGE: &str = "Required arguments: <table> key <key> [data.<store_data_type> <value>]*\n";
const NO_TABLE: &str = "No such table\n";

fn show(node: &Node, words: &[&str]) -> Answer {
    let Some((name, filter)) = words.split_first() else {
        // HAProxy shows the last one of the file first.
        return Answer::Text(node.proxy.tables().iter().rev().map(|t| header(t)).collect());
    };
    let Some(table) = find(node, name) else { return Answer::Text(NO_TABLE.to_owned()) };
    let conditions = match wanted(&table, filter, "Showing", SHOW_USAGE) {
        Ok(Wanted::All(conditions)) => conditions,
        Ok(Wanted::Key(key)) => {
            let entry = table.look(&key, proxy::now_ms());
            let shown = entry.map(|entry| header(&table) + &line(&table, &entry));
            return Answer::Text(shown.unwrap_or_default());
        }
        Err(why) => return Answer::Text(why),
    };
    let mut dump = Dump::new(Arc::clone(&table), MAX_DUMP_BYTES);
    let mut head = Some(header(&table));
    Answer::Long(Box::new(move || {
        let now = proxy::now_ms();
        match (head.take(), dump.step(now)) {
            (Some(head), _) => Piece::Text(head),
            (None, Some(mut entries)) => {
                entries.retain_mut(|entry| {
                    let row = entry.row(table.schema());
                    conditions.iter().all(|condition| condition.holds(&row, now))
                });
                Piece::Text(entries.iter().map(|entry| line(&table, entry)).collect())
            }
            (None, None) => Piece::Over,
        }
    }))
}

fn line(table: &Table, entry: &SnapshotEntry) -> String {
    let schema = table.schema();
    // HAProxy prints the entry's address in memory here; ours is a number that stays with the key.
    let name = entry.key.as_bytes().iter().fold(0_u64, |n, b| n.wrapping_mul(31).wrapping_add(u64::from(*b)));
    let mut text = format!(
        "0x{name:012x}: key={} use={} exp={}",
        schema.key.show(&entry.key),
        entry.used_by,
        entry.expires_in_ms
    );
    for (column, value) in schema.columns.iter().zip(&entry.values) {
        let name = column.data_type.name();
        let period = if column.period_ms > 0 { format!("({})", column.period_ms) } else { String::new() };
        match value {
            Value::Text(value) => text.push_str(&format!(" {name}={}", value.as_deref().unwrap_or("-"))),
            // Of an array each element, with its number behind the name of the counter.
            Value::Array(list) => {
                let (stem, end) = name.strip_suffix("_rate").map_or((name, ""), |stem| (stem, "_rate"));
                for (index, value) in list.iter().enumerate() {
                    let shown = value.number(proxy::now_ms(), column.period_ms);
                    text.push_str(&format!(" {stem}{index}{end}{period}={shown}"));
                }
            }
            value @ (Value::Signed(_) | Value::Unsigned(_) | Value::Wide(_) | Value::Rate(_)) => {
                let shown = value.number(proxy::now_ms(), column.period_ms);
                text.push_str(&format!(" {name}{period}={shown}"));
            }
        }
    }
    text.push('\n');
    text
}

fn clear(node: &Node, words: &[&str]) -> Answer {
    let Some((name, filter)) = words.split_first() else { return Answer::Text(CLEAR_USAGE.to_owned()) };
    let Some(table) = find(node, name) else { return Answer::Text(NO_TABLE.to_owned()) };
    let conditions = match wanted(&table, filter, "Removing", CLEAR_USAGE) {
        Ok(Wanted::All(conditions)) => conditions,
        Ok(Wanted::Key(key)) => {
            let now = proxy::now_ms();
            let in_use = !table.remove(&key) && table.look(&key, now).is_some();
            return Answer::Text(
                if in_use { "Entry currently in use, cannot remove\n" } else { "" }.to_owned(),
            );
        }
        Err(why) => return Answer::Text(why),
    };
    let mut shard = 0;
    Answer::Long(Box::new(move || {
        let now = proxy::now_ms();
        let unwanted = |row: &Row<'_>| conditions.iter().all(|condition| condition.holds(row, now));
        let more = (shard..shard + SHARDS_A_STEP).all(|shard| table.clear_shard(shard, unwanted));
        shard += SHARDS_A_STEP;
        if more { Piece::Text(String::new()) } else { Piece::Over }
    }))
}

fn set(node: &Node, words: &[&str]) -> String {
    let Some((name, rest)) = words.split_first() else { return SET_USAGE.to_owned() };
    let Some(table) = find(node, name) else { return NO_TABLE.to_owned() };
    let (key, data) = match rest {
        ["key", key, data @ ..] => (key, data),
        ["key"] => return "Key value expected\n".to_owned(),
        [first, ..] if first.starts_with("data.") => {
            return "content-based lookup is only supported with the \"show\" and \"clear\" actions\n"
                .to_owned();
        }
        _ => return SET_USAGE.to_owned(),
    };
    let key = match key_of(&table, key, "Inserting keys into") {
        Ok(key) => key,
        Err(why) => return why,
    };
    let mut values = Vec::new();
    for pair in data.chunks(2) {
        match new_value(&table, pair) {
            Ok(value) => values.push(value),
            Err(why) => return format!("{why}\n"),
        }
    }
    let now = proxy::now_ms();
    let set = table.touch(&key, now, |row| {
        for (data_type, value) in values {
            row.set(data_type, value);
        }
    });
    if set.is_some() { String::new() } else { "Unable to allocate a new entry\n".to_owned() }
}

fn new_value(table: &Table, words: &[&str]) -> Result<(DataType, Value), &'static str> {
    let name = words.first().and_then(|word| word.strip_prefix("data."));
    let name = name.ok_or("\"data.<type>\" followed by a value expected")?;
    let row = DATA_TYPES.iter().find(|row| row.data_type.name() == name).ok_or("Unknown data type")?;
    if !table.stores(row.data_type) {
        return Err("Data type not stored in this table");
    }
    let number: i64 =
        words.get(1).and_then(|word| word.parse().ok()).ok_or("Require a valid integer value to store")?;
    let narrow = u32::try_from(number & i64::from(u32::MAX)).unwrap_or(u32::MAX);
    let value = match row.kind {
        Kind::Signed => Value::Signed(i32::from_ne_bytes(narrow.to_ne_bytes())),
        Kind::Unsigned => Value::Unsigned(narrow),
        Kind::Wide => Value::Wide(u64::from_ne_bytes(number.to_ne_bytes())),
        Kind::Rate => {
            let period = table.schema().columns.iter().find(|c| c.data_type == row.data_type);
            let mut rate = Frequency::default();
            rate.add(proxy::now_ms(), period.map_or(1, |c| c.period_ms), narrow);
            Value::Rate(rate)
        }
        Kind::Text => return Err("A text cannot be set"),
    };
    // Of an array the first: the others keep what they have.
    let value = if row.array { Value::Array(Box::new([value])) } else { value };
    Ok((row.data_type, value))
}
