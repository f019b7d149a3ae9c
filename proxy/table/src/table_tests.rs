//! Tables: counting, expiry, eviction, the log.
use std::sync::Arc;

use super::*;
use crate::parse_store;

fn table(size: u64, expire_ms: Option<u64>, store: &[&str]) -> Table {
    let columns = store.iter().map(|s| parse_store(s).unwrap()).collect();
    let schema =
        Schema { name: "t".into(), key: KeyType::Ip, size, expire_ms, nopurge: false, peers: None, columns };
    Table::new(schema, 7)
}

fn key(n: u32) -> Key {
    Key::new(&n.to_be_bytes())
}

#[test]
fn rates_and_counters_count_per_key() {
    let table = table(100, Some(30_000), &["conn_cnt", "conn_rate(3s)"]);
    for now in [1_000_000, 1_000_100, 1_000_200] {
        table.touch(&key(1), now, |row| {
            row.add(DataType::ConnCnt, now, 1);
            row.add(DataType::ConnRate, now, 1);
        });
    }
    let look =
        |row: &Row<'_>| (row.number(DataType::ConnCnt, 1_000_300), row.number(DataType::ConnRate, 1_000_300));
    assert_eq!(table.peek(&key(1), 1_000_300, look), Some((3, 3)));
    assert_eq!(table.peek(&key(2), 1_000_300, look), None);
}

#[test]
fn an_entry_is_forgotten_after_its_time_unless_it_is_tracked() {
    let table = table(100, Some(1_000), &["conn_cnt"]);
    table.touch(&key(1), 5_000, |row| row.add(DataType::ConnCnt, 5_000, 1));
    table.track(&key(2), 5_000, |_| ());
    assert_eq!(table.peek(&key(1), 6_000, |_| ()), None, "expired, though not yet removed");
    assert_eq!(table.expire(6_000, 1_000), 1);
    assert_eq!(table.len(), 1);
    table.untrack(&key(2), 6_000, |_| ());
    assert_eq!(table.expire(7_000, 1_000), 1);
}

#[test]
fn a_full_table_forgets_or_refuses_and_stays_bounded() {
    let full = table(100, Some(1_000), &["conn_cnt"]);
    for n in 0..10_000 {
        full.touch(&key(n), 5_000 + u64::from(n), |_| ());
    }
    assert_eq!(full.len(), 100);
    let mut keep = table(10, None, &["conn_cnt"]);
    keep.schema.nopurge = true;
    let added = (0..100).filter(|n| keep.touch(&key(*n), 5_000, |_| ()).is_some()).count();
    assert_eq!((added, keep.len()), (10, 10));
}

#[test]
fn a_key_is_pending_once_however_often_it_changes() {
    let table = table(100, Some(9_000), &["conn_cnt"]);
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    table.log_changes(Box::new(move || {
        count.fetch_add(1, Relaxed);
    }));
    for now in 0..10 {
        table.touch(&key(1), 5_000 + now, |row| row.add(DataType::ConnCnt, 5_000, 1));
    }
    table.touch(&key(2), 5_100, |_| ());
    assert_eq!(woken.load(Relaxed), 1);
    let updates = table.updates_since(0, 100, 5_200);
    let seen: Vec<_> = updates.iter().map(|u| (u.id, u.key.clone(), u.values.clone())).collect();
    assert_eq!(seen, [(10, key(1), vec![Value::Unsigned(10)]), (11, key(2), vec![Value::Unsigned(0)])]);
    assert_eq!(updates[1].remaining_ms, Some(8_900));
    table.touch(&key(1), 5_300, |_| ());
    assert_eq!(woken.load(Relaxed), 2);
    assert_eq!(table.updates_since(11, 100, 5_300).iter().map(|u| u.id).collect::<Vec<_>>(), [12]);
}

#[test]
fn what_is_learnt_overwrites_and_is_not_told_again() {
    let table = table(100, Some(9_000), &["server_id", "conn_cnt", "conn_cur"]);
    table.log_changes(Box::new(|| {}));
    let values = vec![
        (DataType::ServerId, Value::Signed(2)),
        (DataType::ConnCur, Value::Unsigned(7)),
        (DataType::Gpc1, Value::Unsigned(7)),
    ];
    assert!(table.merge(&key(1), values, Some(500), 5_000));
    let entry = table.look(&key(1), 5_000).unwrap();
    assert_eq!(entry.values, [Value::Signed(2), Value::Unsigned(0), Value::Unsigned(0)]);
    assert_eq!(entry.expires_in_ms, 500);
    assert!(table.updates_since(0, 10, 5_000).is_empty());
}

#[test]
fn shard_of_a_full_large_table_has_few_entries() {
    let table = table(300_000, None, &["conn_cnt"]);
    for n in 0..300_000 {
        table.touch(&key(n), 5_000, |_| ());
    }
    let mut keys = Vec::new();
    let most = (0..table.shards()).map(|shard| {
        keys.clear();
        table.shard_keys(shard, 5_000, &mut keys);
        keys.len()
    });
    // Whoever walks through the table holds no more than these.
    assert!(most.max().unwrap() <= 2 * SHARD_ENTRIES as usize);
    assert!(!table.clear_shard(table.shards(), |_| true));
    (0..table.shards()).for_each(|shard| assert!(table.clear_shard(shard, |_| true)));
    assert_eq!(table.len(), 0);
}

#[test]
fn store_words_are_read_with_their_arguments() {
    assert_eq!(parse_store("conn_rate(3s)").map(|s| s.period_ms), Ok(3_000));
    assert_eq!(parse_store("gpc_rate(3,10s)").map(|s| (s.elements, s.period_ms)), Ok((3, 10_000)));
    for bad in
        ["conn_rate", "conn_rate(0)", "conn_rate(3s", "conn_cnt(1)", "conn_rat(3s)", "gpc(0)", "gpc(101)"]
    {
        assert!(parse_store(bad).is_err(), "{bad}");
    }
    for row in crate::DATA_TYPES {
        assert_eq!(parse_store(row.spec.example).map(|s| s.data_type), Ok(row.data_type));
        assert_eq!(DataType::from_bit(row.data_type as u8), Some(row.data_type));
    }
}

#[test]
fn array_stands_in_for_the_old_counters_and_counts_by_element() {
    let table = table(10, None, &["gpt(2)", "gpc(2)", "gpc_rate(2,10s)"]);
    table.touch(&key(1), 5_000, |row| {
        row.add(DataType::Gpc0, 5_000, 1);
        row.add(DataType::Gpc1, 5_000, 2);
        row.add(DataType::Gpc1Rate, 5_000, 3);
        row.add_element(DataType::Gpc, 1, 5_000, 4);
        row.add_element(DataType::Gpc, 2, 5_000, 9);
        assert_eq!(
            (row.set_element(DataType::Gpt0, 0, 7), row.set_element(DataType::Gpt, 2, 7)),
            (Some(()), None)
        );
    });
    let element =
        |data_type, index| table.peek(&key(1), 5_000, |row| row.element(data_type, index, 5_000)).flatten();
    assert_eq!([0, 1, 2].map(|index| element(DataType::Gpc, index)), [Some(1), Some(6), None]);
    assert_eq!([0, 1].map(|index| element(DataType::GpcRate, index)), [Some(0), Some(3)]);
    assert_eq!((element(DataType::Gpt0, 0), element(DataType::ConnCnt, 0)), (Some(7), None));
}

#[test]
fn full_table_forgets_what_expires_first() {
    let full = table(3, Some(1_000), &["conn_cnt"]);
    for (number, now) in [(1, 5_000), (2, 5_010), (3, 5_020), (1, 5_030), (4, 5_040)] {
        full.touch(&key(number), now, |_| ());
    }
    let left = [1, 2, 3, 4].map(|number| full.peek(&key(number), 5_050, |_| ()).is_some());
    assert_eq!((left, full.len()), ([true, false, true, true], 3));
}

#[test]
fn a_table_stores_what_its_columns_say() {
    let table = table(10, None, &["conn_cnt", "gpc0"]);
    assert!(table.stores(DataType::ConnCnt) && table.stores(DataType::Gpc0));
    assert!(!table.stores(DataType::ConnRate) && !table.stores(DataType::Gpc1));
}

#[test]
fn what_is_removed_is_gone_and_what_is_followed_stays() {
    let table = table(100, Some(60_000), &["conn_cnt"]);
    table.touch(&key(1), 5_000, |_| ());
    table.track(&key(2), 5_000, |_| ());
    assert!(!table.remove(&key(3)), "it is not there");
    assert!(table.remove(&key(1)));
    assert!(!table.remove(&key(2)), "somebody follows it");
    assert_eq!(table.len(), 1);
    for shard in 0..table.shards() {
        table.clear_shard(shard, |_| true);
    }
    assert_eq!(table.len(), 1, "it is followed still");
    table.untrack(&key(2), 5_000, |_| ());
    assert!((0..table.shards()).any(|shard| table.clear_shard(shard, |_| true)) || table.is_empty());
    assert!(table.is_empty());
}

#[test]
fn entries_are_shown_until_they_expire() {
    let table = table(100, Some(1_000), &["conn_cnt"]);
    for n in 0..5 {
        table.touch(&key(n), 5_000 + u64::from(n) * 100, |row| {
            row.add(DataType::ConnCnt, 5_000, u64::from(n) + 1);
        });
    }
    let at = |now| (0..table.shards()).filter_map(|shard| table.shard_entries(shard, now)).flatten().count();
    assert_eq!(at(5_999), 5);
    assert_eq!(at(6_000), 4, "the first one has had its time");
    assert_eq!(at(6_400), 0);
    assert!(table.shard_entries(table.shards(), 5_500).is_none_or(|entries| entries.is_empty()));
    let one = table.look(&key(3), 5_500).map(|entry| entry.key.as_bytes().to_vec());
    assert_eq!(one, Some(key(3).as_bytes().to_vec()));
    assert!(table.look(&key(3), 6_300).is_none() && table.look(&key(9), 5_500).is_none());
}

#[test]
fn expiring_has_a_budget() {
    let table = table(1_000, Some(1_000), &["conn_cnt"]);
    for n in 0..300 {
        table.touch(&key(n), 5_000, |_| ());
    }
    let (mut gone, mut turns) = (0, 0);
    while gone < 300 && turns < 1_000 {
        let some = table.expire(7_000, 10);
        gone += some;
        turns += 1;
    }
    assert_eq!((gone, table.len()), (300, 0));
    assert!(turns > 1, "all of them at once are more than it may take");
}

#[test]
fn a_lesson_overwrites_what_did_not_change_since() {
    let table = table(100, Some(60_000), &["gpc0"]);
    table.log_changes(Box::new(|| ()));
    table.touch(&key(1), 5_000, |row| row.add(DataType::Gpc0, 5_000, 9));
    let known = table.last_update();
    assert!(known > 0);
    table.touch(&key(2), 5_000, |row| row.add(DataType::Gpc0, 5_000, 9));
    assert!(table.last_update() > known);
    for n in [1, 2] {
        table.merge_lesson(&key(n), vec![(DataType::Gpc0, Value::Unsigned(4))], None, known, 5_000);
    }
    let value = |n| table.peek(&key(n), 5_000, |row| row.number(DataType::Gpc0, 5_000));
    assert_eq!(
        (value(1), value(2)),
        (Some(4), Some(9)),
        "the second one was counted after what the peer knew"
    );
}

#[test]
fn a_value_is_raised_only_by_a_larger_one_and_a_name_only_where_there_was_none() {
    let table = table(10, None, &["gpc0", "server_key"]);
    table.touch(&key(1), 5_000, |row| {
        let name = |text: &str| Value::Text(Some(text.into()));
        row.raise(DataType::Gpc0, Value::Unsigned(5), 5_000);
        row.raise(DataType::Gpc0, Value::Unsigned(3), 5_000);
        assert_eq!(row.number(DataType::Gpc0, 5_000), 5);
        row.raise(DataType::Gpc0, Value::Wide(99), 5_000);
        assert_eq!(row.number(DataType::Gpc0, 5_000), 5, "another kind of value");
        row.raise(DataType::ServerKey, name("a"), 5_000);
        row.raise(DataType::ServerKey, name("b"), 5_000);
        assert_eq!(row.value(DataType::ServerKey), Some(&name("a")));
        assert_eq!(row.set_element(DataType::Gpc1, 0, 1), None);
        assert_eq!(row.set_element(DataType::Gpc0, 0, 7), Some(()));
        assert_eq!(row.number(DataType::Gpc0, 5_000), 7);
    });
}

#[test]
fn old_names_mean_elements_of_arrays() {
    let table = table(10, None, &["gpc(3)", "gpc_rate(3,10s)", "gpt(2)"]);
    table.touch(&key(1), 5_000, |row| {
        row.add(DataType::Gpc0, 5_000, 2);
        row.add(DataType::Gpc1, 5_000, 3);
        row.add(DataType::Gpc0Rate, 5_000, 4);
        row.add(DataType::Gpc1Rate, 5_000, 5);
        row.set_element(DataType::Gpt0, 0, 6);
        let element = |row: &Row<'_>, data_type, index| row.element(data_type, index, 5_000);
        assert_eq!((element(row, DataType::Gpc, 0), element(row, DataType::Gpc, 1)), (Some(2), Some(3)));
        assert_eq!(
            (element(row, DataType::GpcRate, 0), element(row, DataType::GpcRate, 1)),
            (Some(4), Some(5))
        );
        assert_eq!((element(row, DataType::Gpt, 0), element(row, DataType::Gpc, 3)), (Some(6), None));
    });
}
