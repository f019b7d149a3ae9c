use super::*;
use proxy_table::{Schema, parse_store};

fn table(name: &str, store: &[&str]) -> Arc<Table> {
    let mut columns: Vec<Stored> = store.iter().map(|w| parse_store(w).unwrap()).collect();
    columns.sort_by_key(|c| c.data_type);
    Arc::new(Table::new(
        Schema {
            name: name.to_owned(),
            key: KeyType::String(16),
            size: 1_000_000,
            expire_ms: Some(60_000),
            nopurge: false,
            peers: None,
            columns,
        },
        7,
    ))
}

fn tables(list: Vec<Arc<Table>>) -> Tables {
    for table in &list {
        table.log_changes(Box::new(|| {}));
    }
    list.into()
}

/// A node: its tables and its session, with what came out of it.
struct Node {
    tables: Tables,
    session: Session,
    seen: Vec<Output>,
}

impl Node {
    fn new(tables: Tables) -> Self {
        let session = Session::new(Arc::clone(&tables), 1, &[], 0);
        Self { tables, session, seen: Vec::new() }
    }

    fn count(&self, table: usize, key: &str, now_ms: u64) {
        self.tables[table].touch(&Key::new(key.as_bytes()), now_ms, |row| row.add(DataType::Gpc0, now_ms, 1));
    }

    fn value(&self, table: usize, key: &str, now_ms: u64) -> Option<u64> {
        self.tables[table].peek(&Key::new(key.as_bytes()), now_ms, |row| row.number(DataType::Gpc0, now_ms))
    }

    /// Takes everything out; what is for the wire is returned.
    fn drain(&mut self, now_ms: u64) -> Vec<u8> {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Learned(l) => {
                    let table = &self.tables[l.table];
                    match l.lesson {
                        Some(known) => table.merge_lesson(&l.key, l.values, l.remaining_ms, known, now_ms),
                        None => table.merge(&l.key, l.values, l.remaining_ms, now_ms),
                    };
                }
                Output::Asked | Output::Taught(_) | Output::End(_) => self.seen.push(output),
            }
        }
        std::iter::from_fn(|| self.session.poll_transmit()).flatten().collect()
    }
}

/// Carries bytes both ways until neither side has anything to say; `chunk` cuts them.
fn talk(a: &mut Node, b: &mut Node, now_ms: u64, chunk: usize) {
    loop {
        let (to_b, to_a) = (a.drain(now_ms), b.drain(now_ms));
        if to_a.is_empty() && to_b.is_empty() {
            return;
        }
        to_b.chunks(chunk).for_each(|c| b.session.handle_input(now_ms, Input::Bytes(c)));
        to_a.chunks(chunk).for_each(|c| a.session.handle_input(now_ms, Input::Bytes(c)));
    }
}

fn pair() -> (Node, Node) {
    let list = || vec![table("web", &["gpc0", "conn_rate(3s)"]), table("app", &["gpc0", "server_key"])];
    (Node::new(tables(list())), Node::new(tables(list())))
}

#[test]
fn changes_arrive_are_acknowledged_and_not_sent_back() {
    let (mut a, mut b) = pair();
    for n in 0..500 {
        a.count(n % 2, &format!("key{n}"), 10);
    }
    b.count(0, "other", 10);
    assert_eq!(a.session.lag(), 500);
    talk(&mut a, &mut b, 20, 7);
    assert_eq!((a.session.lag(), b.session.lag()), (0, 0));
    assert_eq!(
        (b.value(0, "key498", 20), b.value(1, "key499", 20), a.value(0, "other", 20)),
        (Some(1), Some(1), Some(1))
    );
    assert_eq!(b.tables[0].last_update(), 1, "what was learnt is not told again");
    a.count(0, "key0", 30);
    talk(&mut a, &mut b, 30, 1_000);
    assert_eq!((b.value(0, "key0", 30), a.session.acked()), (Some(2), vec![251, 250]));
}

#[test]
fn what_changes_soon_after_a_batch_waits_for_the_next_and_goes_once() {
    let (mut a, mut b) = pair();
    a.count(0, "first", 10);
    a.session.handle_timeout(10);
    talk(&mut a, &mut b, 10, 100);
    assert_eq!(b.value(0, "first", 10), Some(1), "what comes after a pause goes at once");
    assert_eq!(a.session.poll_timeout().unwrap().1, Timer::Heartbeat, "nothing waits");
    (0..300).for_each(|_| a.count(0, "busy", 11));
    assert_eq!((a.drain(11).len(), a.session.lag()), (0, 300));
    assert_eq!(a.session.poll_timeout(), Some((10 + GATHER_MS, Timer::Gather)));
    a.session.handle_timeout(10 + GATHER_MS);
    let batch = a.drain(10 + GATHER_MS);
    assert!(batch.len() < 40, "one update for the key: {} bytes", batch.len());
    b.session.handle_input(13, Input::Bytes(&batch));
    b.drain(13);
    assert_eq!(b.value(0, "busy", 13), Some(300));
}

#[test]
fn a_restarted_node_is_taught_everything_even_what_its_teacher_learnt() {
    let (mut a, mut b) = pair();
    for n in 0..1_000 {
        a.count(0, &format!("key{n}"), 10);
    }
    b.count(1, "theirs", 10);
    talk(&mut a, &mut b, 20, 100);
    let mut a = Node::new(tables(vec![table("web", &["gpc0"]), table("app", &["gpc0"])]));
    let mut b = Node { session: Session::new(Arc::clone(&b.tables), 1, &b.session.acked(), 20), ..b };
    b.session.handle_input(20, Input::Complete(true));
    a.session.handle_input(20, Input::Ask);
    b.count(0, "key7", 20);
    talk(&mut a, &mut b, 1_020, 100);
    assert_eq!(a.seen, [Output::Taught(true)]);
    assert_eq!(b.seen, [Output::Asked]);
    assert_eq!(
        (a.tables[0].len(), a.value(0, "key7", 1_020), a.value(1, "theirs", 1_020)),
        (1_000, Some(2), Some(1))
    );
    let entry = (0..a.tables[0].shards()).find_map(|shard| a.tables[0].shard_entries(shard, 1_020)?.pop());
    assert_eq!(entry.unwrap().expires_in_ms, 59_000, "the time left is taught too");
    b.count(1, "later", 1_030);
    talk(&mut a, &mut b, 1_030, 100);
    assert_eq!((a.value(1, "later", 1_030), b.session.lag()), (Some(1), 0));
}

#[test]
fn two_that_start_together_teach_in_part_and_go_on() {
    let (mut a, mut b) = pair();
    a.session.handle_input(0, Input::Ask);
    b.session.handle_input(0, Input::Ask);
    a.count(0, "x", 1);
    talk(&mut a, &mut b, 5, 3);
    assert!(a.seen.contains(&Output::Taught(false)) && b.seen.contains(&Output::Taught(false)));
    assert_eq!(b.value(0, "x", 5), Some(1));
    b.count(0, "y", 6);
    talk(&mut a, &mut b, 6, 3);
    assert_eq!((a.value(0, "y", 6), a.session.lag(), b.session.lag()), (Some(1), 0, 0));
}

#[test]
fn a_lesson_takes_back_nothing_that_was_counted_while_it_was_on_its_way() {
    let (mut a, mut b) = pair();
    (0..5).for_each(|_| b.count(0, "regular", 1));
    a.count(0, "client", 1);
    let first = a.drain(1);
    b.session.handle_input(1, Input::Bytes(&first));
    // b knows the first request and teaches it; meanwhile the client comes again, and the regular too.
    a.session.handle_input(2, Input::Ask);
    let question = a.drain(2);
    b.session.handle_input(2, Input::Bytes(&question));
    a.count(0, "client", 2);
    a.count(0, "regular", 2);
    let lesson = b.drain(2);
    a.session.handle_input(3, Input::Bytes(&lesson));
    talk(&mut a, &mut b, 3, 100);
    for node in [&a, &b] {
        assert_eq!((node.value(0, "client", 3), node.value(0, "regular", 3)), (Some(2), Some(5)));
    }
}

#[test]
fn an_acknowledgement_that_cannot_be_true_is_ignored() {
    let (mut a, mut b) = pair();
    (0..3).for_each(|n| a.count(0, &format!("k{n}"), 1));
    let _ = a.drain(1);
    for (id, expected) in [(0x0200_0000_u32, 0), (2, 2), (1, 2), (9, 2), (3, 3)] {
        let mut bytes = Vec::new();
        write_message(&Message::Acknowledge(1, id), &mut bytes);
        a.session.handle_input(1, Input::Bytes(&bytes));
        assert_eq!(a.session.acked()[0], expected, "{id:x}");
    }
    let mut stray = Vec::new();
    write_message(&Message::Acknowledge(77, 1), &mut stray);
    a.session.handle_input(1, Input::Bytes(&stray));
    assert!(b.drain(1).is_empty() && a.seen.is_empty());
}

#[test]
fn tables_that_are_not_ours_are_passed_over_and_their_texts_are_kept() {
    let text = |name: &str| Value::Text(Some(Arc::from(name)));
    let theirs = tables(vec![table("gone", &["server_key"]), table("app", &["server_key", "gpt0"])]);
    let (mut a, mut b) = (Node::new(theirs), Node::new(tables(vec![table("app", &["server_key"])])));
    for place in [0, 1] {
        a.tables[place].touch(&Key::new(b"k"), 1, |row| row.set(DataType::ServerKey, text("s1")));
    }
    talk(&mut a, &mut b, 2, 9);
    let read = b.tables[0].peek(&Key::new(b"k"), 2, |row| row.value(DataType::ServerKey).cloned());
    assert_eq!(read, Some(Some(text("s1"))));
}

#[test]
fn silence_ends_a_session_and_heartbeats_prevent_it() {
    let (mut a, mut b) = pair();
    let mut now = 0;
    while now < 30_000 {
        let Some((deadline, _)) = a.session.poll_timeout() else { break };
        now = deadline;
        a.session.handle_timeout(now);
        b.session.handle_timeout(now);
        talk(&mut a, &mut b, now, 100);
    }
    assert!(now >= 30_000 && a.seen.is_empty());
    let from = now;
    while a.seen.is_empty() {
        let Some((deadline, _)) = a.session.poll_timeout() else { break };
        now = deadline;
        a.session.handle_timeout(now);
        let _ = a.drain(now);
    }
    assert_eq!(a.seen, [Output::End(End::Silent)]);
    assert!((5_000..=10_000).contains(&(now - from)), "{}", now - from);
}

#[test]
fn nonsense_ends_the_session_and_nothing_more_is_said() {
    for bytes in [&[255, 0][..], &[10, 0x80, 0xff, 0xff, 0xff, 0xff, 0x7f], &[1, 0]] {
        let (mut a, _) = pair();
        a.session.handle_input(1, Input::Bytes(bytes));
        a.count(0, "x", 1);
        assert!(a.drain(1).is_empty());
        assert!(matches!(a.seen.as_slice(), [Output::End(_)]), "{bytes:?}");
    }
}

#[test]
fn any_bytes_are_survived() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut a, mut b) = pair();
    (0..50).for_each(|n| a.count(n % 2, &format!("k{n}"), 1));
    a.session.handle_input(1, Input::Ask);
    let good = a.drain(1);
    for _ in 0..2_000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random() % 4 {
            let place = random() as usize % bytes.len();
            bytes[place] = random() as u8;
        }
        b.session = Session::new(Arc::clone(&b.tables), 1, &[], 0);
        b.session.handle_input(1, Input::Bytes(&bytes));
        let _ = b.drain(1);
    }
}
