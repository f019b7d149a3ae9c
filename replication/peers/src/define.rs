//! Table definitions: what the entries that follow look like.

use proxy_table::{DataType, KeyType, Kind, Schema, Stored};

use crate::{read_integer, write_integer};

/// Longest name of a table.
const MAX_NAME: usize = 1_024;
/// Highest number of a data type that is passed over when it is not known.
const MAX_TYPES: u64 = 64;

/// A table as its sender describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The sender's number for it.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Type of its keys, by the protocol's number.
    pub key_type: u64,
    /// Length of its keys; a text's is one more.
    pub key_length: u64,
    /// Its columns, by ascending number of their type.
    pub columns: Vec<Stored>,
    /// Milliseconds an entry lives; 0 for ever.
    pub expire_ms: u64,
}

impl Definition {
    /// The definition of one of our tables.
    #[must_use]
    pub fn of(id: u64, schema: &Schema) -> Self {
        Self {
            id,
            name: schema.name.clone(),
            key_type: u64::from(schema.key.wire_type()),
            key_length: u64::from(schema.key.wire_length()),
            columns: schema.columns.clone(),
            expire_ms: schema.expire_ms.unwrap_or(0),
        }
    }

    /// Whether its keys are those of one of our tables; updates of any other table are passed over.
    #[must_use]
    pub fn fits(&self, schema: &Schema) -> bool {
        self.name == schema.name
            && self.key_type == u64::from(schema.key.wire_type())
            && self.key_length == u64::from(schema.key.wire_length())
    }

    /// What its keys are; `None` for a type that the protocol does not have.
    #[must_use]
    pub fn key(&self) -> Option<KeyType> {
        KeyType::from_wire(self.key_type, self.key_length)
    }

    /// The content of a DEFINE message.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_integer(self.id, &mut out);
        write_integer(self.name.len() as u64, &mut out);
        out.extend_from_slice(self.name.as_bytes());
        write_integer(self.key_type, &mut out);
        write_integer(self.key_length, &mut out);
        write_integer(self.columns.iter().fold(0, |bits, c| bits | 1 << c.data_type as u8), &mut out);
        write_integer(self.expire_ms, &mut out);
        for column in &self.columns {
            let row = column.data_type.row();
            if row.array || row.kind == Kind::Rate {
                write_integer(u64::from(column.data_type as u8), &mut out);
                if row.array {
                    write_integer(u64::from(column.elements), &mut out);
                }
                if row.kind == Kind::Rate {
                    write_integer(u64::from(column.period_ms), &mut out);
                }
            }
        }
        out
    }

    /// Reads the content of a DEFINE message; `None` if it makes no sense, and its updates are passed over.
    #[must_use]
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let id = read_integer(&mut bytes)?;
        let length = usize::try_from(read_integer(&mut bytes)?).ok().filter(|l| *l <= MAX_NAME)?;
        let (name, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        let name = String::from_utf8(name.to_vec()).ok()?;
        let key_type = read_integer(&mut bytes)?;
        let key_length = read_integer(&mut bytes)?;
        let bits = read_integer(&mut bytes)?;
        let expire_ms = read_integer(&mut bytes)?;
        let mut columns = Vec::new();
        for bit in (0..MAX_TYPES).filter(|bit| bits >> bit & 1 == 1) {
            // How a type we do not know is coded cannot be known either.
            let data_type = DataType::from_bit(u8::try_from(bit).ok()?)?;
            let row = data_type.row();
            let mut column = Stored { data_type, elements: 1, period_ms: 0 };
            if row.array || row.kind == Kind::Rate {
                if read_integer(&mut bytes)? != bit {
                    return None;
                }
                if row.array {
                    column.elements =
                        u16::try_from(read_integer(&mut bytes)?).ok().filter(|n| (1..=100).contains(n))?;
                }
                if row.kind == Kind::Rate {
                    column.period_ms = u32::try_from(read_integer(&mut bytes)?).ok()?;
                }
            }
            columns.push(column);
        }
        Some(Self { id, name, key_type, key_length, columns, expire_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured from HAProxy: id 1, "/t1", text of 16, conn_cur, http_req_rate(10s), bytes_in_cnt, gpc(3), 10 minutes.
    const REAL: &[u8] = &[
        0x01, 0x03, 0x2f, 0x74, 0x31, 0x06, 0x11, 0xf0, 0xb5, 0x83, 0x1f, 0xf0, 0xed, 0xa3, 0x01, 0x0a, 0xf0,
        0xe2, 0x03, 0x17, 0x03,
    ];

    #[test]
    fn haproxys_definition_is_read_and_written_the_same() {
        let read = Definition::read(REAL).unwrap();
        assert_eq!(
            (read.name.as_str(), read.key_type, read.key_length, read.expire_ms),
            ("/t1", 6, 17, 600_000)
        );
        let columns: Vec<_> = read.columns.iter().map(|c| (c.data_type, c.elements, c.period_ms)).collect();
        assert_eq!(
            columns,
            [
                (DataType::ConnCur, 1, 0),
                (DataType::HttpReqRate, 1, 10_000),
                (DataType::BytesInCnt, 1, 0),
                (DataType::Gpc, 3, 0)
            ]
        );
        assert_eq!(read.write(), REAL);
        for cut in 0..REAL.len() {
            assert_eq!(Definition::read(&REAL[..cut]), None, "{cut}");
        }
    }
}
