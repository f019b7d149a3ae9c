//! Any bytes in any pieces from a peer: the session takes them or ends, and what is learnt fits the tables.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use proxy_table::{KeyType, Schema, Table, parse_store};
use replication_peers::{Hello, Input, Output, Session, Status};

fn table(name: &str, key: KeyType, store: &[&str]) -> Arc<Table> {
    let mut columns: Vec<_> = store.iter().map(|word| parse_store(word).expect("it is a data type")).collect();
    columns.sort_by_key(|column| column.data_type);
    let schema = Schema {
        name: name.to_owned(),
        key,
        size: 50,
        expire_ms: Some(60_000),
        nopurge: false,
        peers: None,
        columns,
    };
    Arc::new(Table::new(schema, 7))
}

fuzz_target!(|data: (u8, Vec<Vec<u8>>)| {
    let (minor, pieces) = data;
    let whole: Vec<u8> = pieces.concat();
    let _ = Hello::read(&whole);
    let _ = Status::read(&whole);
    let tables: Arc<[Arc<Table>]> = Arc::from(vec![
        table("t", KeyType::String(16), &["gpc0", "conn_rate(3s)", "server_key"]),
        table("i", KeyType::Ip, &["http_req_cnt", "bytes_in_rate(10s)", "gpt0"]),
    ]);
    let mut session = Session::new(Arc::clone(&tables), minor % 2, &[], 0);
    for (turn, piece) in pieces.iter().enumerate() {
        let now_ms = turn as u64 * 700;
        session.handle_input(now_ms, Input::Bytes(piece));
        while session.poll_timeout().is_some_and(|(at, _)| at <= now_ms) {
            session.handle_timeout(now_ms);
            if session.poll_output().is_some_and(|output| matches!(output, Output::End(_))) {
                return;
            }
        }
        while let Some(output) = session.poll_output() {
            match output {
                Output::Learned(learned) => {
                    let table = &tables[learned.table];
                    table.merge(&learned.key, learned.values, learned.remaining_ms, now_ms);
                    assert!(table.len() <= 50 + 64, "a peer fills a table beyond its size");
                }
                Output::End(_) => return,
                Output::Asked | Output::Taught(_) => {}
            }
        }
        while session.poll_transmit().is_some() {}
    }
});
