//! An entry's key and values, in the order of their table's columns.

use std::sync::Arc;

use proxy_table::{DataType, Frequency, Key, KeyType, Kind, Stored, Value};

use crate::{read_integer, write_integer};

/// Slots of a session's dictionary, each way; ids are 1 to this.
const SLOTS: usize = 128;

/// The texts one side of a session has sent: a number stands for one that was sent before.
#[derive(Debug, Default)]
pub struct Dictionary {
    slots: Vec<Arc<str>>,
    next: usize,
}

impl Dictionary {
    /// Writes a text: its number, and the text itself where the other side does not have it.
    fn write(&mut self, text: &Arc<str>, out: &mut Vec<u8>) {
        let mut content = Vec::new();
        if let Some(known) = self.slots.iter().position(|t| t == text) {
            write_integer(known as u64 + 1, &mut content);
        } else {
            let slot = self.next % SLOTS;
            self.next = slot + 1;
            if slot < self.slots.len() {
                self.slots[slot] = Arc::clone(text);
            } else {
                self.slots.push(Arc::clone(text));
            }
            write_integer(slot as u64 + 1, &mut content);
            write_integer(text.len() as u64, &mut content);
            content.extend_from_slice(text.as_bytes());
        }
        write_integer(content.len() as u64, out);
        out.extend(content);
    }

    fn read(&mut self, bytes: &mut &[u8]) -> Option<Option<Arc<str>>> {
        let length = usize::try_from(read_integer(bytes)?).ok()?;
        let (mut content, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        if content.is_empty() {
            return Some(None);
        }
        let slot =
            usize::try_from(read_integer(&mut content)?).ok()?.checked_sub(1).filter(|s| *s < SLOTS)?;
        if content.is_empty() {
            return self.slots.get(slot).filter(|t| !t.is_empty()).map(|t| Some(Arc::clone(t)));
        }
        let length = usize::try_from(read_integer(&mut content)?).ok()?;
        let text: Arc<str> = Arc::from(std::str::from_utf8(content.get(..length)?).ok()?);
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, Arc::from(""));
        }
        self.slots[slot] = Arc::clone(&text);
        Some(Some(text))
    }
}

/// Writes and reads the entries of one table.
#[derive(Clone, Copy, Debug)]
pub struct EntryCodec<'c> {
    /// What its keys are.
    pub key: KeyType,
    /// Its columns, as its sender defined them.
    pub columns: &'c [Stored],
}

impl EntryCodec<'_> {
    /// Appends an entry; rates are sent as ages, so that clocks need not agree.
    pub fn write(
        &self,
        key: &Key,
        values: &[Value],
        now_ms: u64,
        dictionary: &mut Dictionary,
        out: &mut Vec<u8>,
    ) {
        if matches!(self.key, KeyType::String(_)) {
            write_integer(key.as_bytes().len() as u64, out);
        }
        out.extend_from_slice(key.as_bytes());
        for value in values.iter().take(self.columns.len()) {
            write_value(value, now_ms, dictionary, out);
        }
    }

    /// Reads an entry; bytes behind it are a newer protocol's and passed over. `None`: it makes no sense.
    pub fn read(
        &self,
        mut bytes: &[u8],
        now_ms: u64,
        dictionary: &mut Dictionary,
    ) -> Option<(Key, Vec<(DataType, Value)>)> {
        let length = match self.key {
            KeyType::String(_) => usize::try_from(read_integer(&mut bytes)?).ok()?,
            KeyType::Integer | KeyType::Ip | KeyType::Ipv6 | KeyType::Binary(_) => {
                usize::try_from(self.key.wire_length()).ok()?
            }
        };
        let (key, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        let key = match self.key {
            KeyType::String(longest) => Key::new(&key[..key.len().min(longest as usize)]),
            KeyType::Integer | KeyType::Ip | KeyType::Ipv6 | KeyType::Binary(_) => Key::new(key),
        };
        let mut values = Vec::with_capacity(self.columns.len());
        for column in self.columns {
            let value = if column.data_type.row().array {
                let list = (0..column.elements).map(|_| read_value(column, now_ms, dictionary, &mut bytes));
                Value::Array(list.collect::<Option<Vec<_>>>()?.into_boxed_slice())
            } else {
                read_value(column, now_ms, dictionary, &mut bytes)?
            };
            values.push((column.data_type, value));
        }
        Some((key, values))
    }
}

fn write_value(value: &Value, now_ms: u64, dictionary: &mut Dictionary, out: &mut Vec<u8>) {
    match value {
        Value::Signed(number) => write_integer(i64::from(*number).cast_unsigned(), out),
        Value::Unsigned(number) => write_integer(u64::from(*number), out),
        Value::Wide(number) => write_integer(*number, out),
        Value::Rate(rate) => {
            // The age is 32 bits on the wire; one that is older counts as nothing anyway.
            write_integer(now_ms.saturating_sub(rate.started_ms).min(u64::from(u32::MAX)), out);
            write_integer(u64::from(rate.current), out);
            write_integer(u64::from(rate.previous), out);
        }
        Value::Text(None) => write_integer(0, out),
        Value::Text(Some(text)) => dictionary.write(text, out),
        Value::Array(list) => list.iter().for_each(|v| write_value(v, now_ms, dictionary, out)),
    }
}

/// A period may begin after the clock of who tells of it: each thread of HAProxy has a clock of its own, which stands still
/// while it works. What is further ahead has never begun.
const MAX_AHEAD_MS: u32 = 1_000;

fn read_value(column: &Stored, now_ms: u64, dictionary: &mut Dictionary, bytes: &mut &[u8]) -> Option<Value> {
    let narrow = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0);
    Some(match column.data_type.row().kind {
        Kind::Signed => Value::Signed(narrow(read_integer(bytes)?).cast_signed()),
        Kind::Unsigned => Value::Unsigned(narrow(read_integer(bytes)?)),
        Kind::Wide => Value::Wide(read_integer(bytes)?),
        Kind::Rate => {
            let age = narrow(read_integer(bytes)?);
            let age = if 0u32.wrapping_sub(age) <= MAX_AHEAD_MS { 0 } else { u64::from(age) };
            let (current, previous) = (narrow(read_integer(bytes)?), narrow(read_integer(bytes)?));
            if age >= 2 * u64::from(column.period_ms) {
                Value::Rate(Frequency::default())
            } else {
                Value::Rate(Frequency { started_ms: now_ms.saturating_sub(age), current, previous })
            }
        }
        Kind::Text => Value::Text(dictionary.read(bytes)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_table::parse_store;

    #[test]
    fn every_kind_of_value_survives_and_rates_keep_their_age() {
        let words =
            ["server_id", "gpc0", "conn_rate(3s)", "bytes_in_cnt", "server_key", "gpc(2)", "gpc_rate(1,3s)"];
        let columns: Vec<Stored> = words.iter().map(|w| parse_store(w).unwrap()).collect();
        let rate = |started_ms| Value::Rate(Frequency { started_ms, current: 3, previous: 4 });
        let values = |base: u64| {
            vec![
                Value::Signed(-2),
                Value::Unsigned(u32::MAX),
                rate(base - 1_000),
                Value::Wide(u64::MAX),
                Value::Text(Some(Arc::from("s1"))),
                Value::Array([Value::Unsigned(1), Value::Unsigned(2)].into()),
                Value::Array([rate(base - 500)].into()),
            ]
        };
        let codec = EntryCodec { key: KeyType::String(8), columns: &columns };
        let (mut sent, mut known) = (Dictionary::default(), Dictionary::default());
        for round in 0..2 {
            let mut bytes = Vec::new();
            codec.write(&Key::new(b"abc"), &values(50_000), 50_000, &mut sent, &mut bytes);
            for cut in 0..bytes.len() {
                let mut copy = Dictionary { slots: known.slots.clone(), next: 0 };
                assert_eq!(
                    codec.read(&bytes[..cut], 9_000_000, &mut copy),
                    None,
                    "round {round} cut at {cut}"
                );
            }
            let (key, read) = codec.read(&bytes, 9_000_000, &mut known).unwrap();
            assert_eq!(key, Key::new(b"abc"));
            assert_eq!(read.into_iter().map(|(_, v)| v).collect::<Vec<_>>(), values(9_000_000));
        }
    }

    #[test]
    fn a_dictionary_reuses_its_slots_and_refuses_others() {
        let column = [parse_store("server_key").unwrap()];
        let codec = EntryCodec { key: KeyType::Integer, columns: &column };
        let (mut sent, mut known) = (Dictionary::default(), Dictionary::default());
        for n in (0..300).chain(0..300) {
            let text = Value::Text(Some(Arc::from(format!("server{n}"))));
            let mut bytes = Vec::new();
            codec.write(&Key::new(&[0; 4]), std::slice::from_ref(&text), 0, &mut sent, &mut bytes);
            let read = codec.read(&bytes, 0, &mut known).map(|(_, values)| values[0].1.clone());
            assert_eq!(read, Some(text));
        }
        for wrong in [&[0, 0, 0, 0, 1, 0][..], &[0, 0, 0, 0, 1, 129], &[0, 0, 0, 0, 9, 1]] {
            assert_eq!(codec.read(wrong, 0, &mut Dictionary::default()), None, "{wrong:?}");
        }
        assert_eq!(codec.read(&[0, 0, 0, 0, 1, 5], 0, &mut Dictionary::default()), None, "never sent");
    }

    /// What comes of a period that began so many milliseconds ago, by 32 bits that wrap.
    fn read_rate(age: u64) -> Option<Value> {
        let column = [parse_store("conn_rate(3s)").unwrap()];
        let codec = EntryCodec { key: KeyType::Integer, columns: &column };
        let mut bytes = vec![0; 4];
        for number in [age, 7, 9] {
            write_integer(number, &mut bytes);
        }
        codec.read(&bytes, 5_000, &mut Dictionary::default()).map(|(_, v)| v[0].1.clone())
    }

    #[test]
    fn a_counter_that_was_never_touched_is_nothing() {
        assert_eq!(read_rate(4_294_949_051), Some(Value::Rate(Frequency::default())));
    }

    #[test]
    fn a_period_that_begins_after_the_tellers_clock_begins_now() {
        for age in [u64::from(u32::MAX), u64::from(u32::MAX) - 4, 0] {
            let begun = Frequency { started_ms: 5_000, current: 7, previous: 9 };
            assert_eq!(read_rate(age), Some(Value::Rate(begun)), "{age}");
        }
    }
}
