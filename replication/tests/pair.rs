//! Two nodes on loopback: tables converge, health is told, a restarted node learns, strangers stay out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

use std::cell::RefCell;
use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use proxy_table::{DataType, Key, KeyType, Schema, Table, parse_store};
use replication::identity::Authority;
use replication::{
    Changes, Config, HealthDoor, Identity, Knowledge, Others, PeerState, Replication, ServerNews, Tables,
};
use replication_control::{Cluster, Member};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(20);

fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    1_000_000 + u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap()
}

fn tables() -> Tables {
    let schema = Schema {
        name: "web".to_owned(),
        key: KeyType::Ip,
        size: 1_000_000,
        expire_ms: Some(600_000),
        nopurge: false,
        peers: None,
        columns: vec![parse_store("gpc0").unwrap()],
    };
    vec![Arc::new(Table::new(schema, 1))].into()
}

struct World {
    cluster: Cluster,
    authority: Authority,
}

impl World {
    fn new() -> (Self, TcpListener, TcpListener) {
        // Both members share a port; loopback has addresses enough.
        let (one, two) = loop {
            let one = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 1), 0)).unwrap();
            let port = one.local_addr().unwrap().port();
            if let Ok(two) = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)) {
                break (one, two);
            }
        };
        let member =
            |name: &str, last| Member { name: name.into(), address: Ipv4Addr::new(127, 0, 0, last).into() };
        let cluster = Cluster {
            name: "c".into(),
            members: vec![member("lb1", 1), member("lb2", 2)],
            port: one.local_addr().unwrap().port(),
            certificate: String::new(),
            authority: String::new(),
        };
        (Self { cluster, authority: Authority::make("c").unwrap() }, one, two)
    }

    fn start(&self, member: &str, listener: TcpListener) -> Node {
        let node = self.prepare(member);
        node.replication.join_network(listener, false).unwrap();
        node
    }

    fn prepare(&self, member: &str) -> Node {
        let certificate = self.authority.issue(member).unwrap();
        let tables = tables();
        let heard = Rc::new(RefCell::new(Vec::new()));
        let servers = Rc::new(RefCell::new(Vec::<ServerNews>::new()));
        let (changed, receiver) = watch::channel(());
        let (told, learnt) = (Rc::clone(&servers), Rc::clone(&heard));
        let door = HealthDoor {
            servers: Box::new(move || told.borrow().clone()),
            learn: Box::new(move |news| learnt.borrow_mut().push(news.clone())),
            changed: receiver,
        };
        let config = Config {
            others: Others {
                members: self
                    .cluster
                    .others(member)
                    .map(|m| (m.name.clone(), self.cluster.socket_of(m)))
                    .collect(),
                identity: Some(Identity::read(member, &certificate, &self.authority.certificate).unwrap()),
            },
            member: member.to_owned(),
            changes: Changes::of(&tables),
            tables: Arc::clone(&tables),
            clock: now_ms,
        };
        let replication = Replication::start(config, Some(door)).unwrap();
        Node { replication, tables, heard, servers, changed }
    }
}

struct Node {
    replication: Replication,
    tables: Tables,
    heard: Rc<RefCell<Vec<ServerNews>>>,
    servers: Rc<RefCell<Vec<ServerNews>>>,
    changed: watch::Sender<()>,
}

impl Node {
    fn count(&self, number: u32) {
        let key = Key::new(&number.to_be_bytes());
        self.tables[0].touch(&key, now_ms(), |row| row.add(DataType::Gpc0, now_ms(), 1));
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    runtime.block_on(test);
}

#[test]
fn a_pair_shares_its_tables_and_what_it_knows_of_servers() {
    run(async {
        let (world, one, two) = World::new();
        let a = world.start("lb1", one);
        (0..2_000).for_each(|n| a.count(n));
        let b = world.start("lb2", two);
        until("both know", || [&a, &b].iter().all(|n| n.replication.knowledge() == Knowledge::Learnt)).await;
        until("the tables are equal", || b.tables[0].len() == 2_000).await;
        (2_000..2_500).for_each(|n| b.count(n));
        until("changes go both ways", || a.tables[0].len() == 2_500).await;
        until("everything is acknowledged", || b.replication.peers()[0].lag == 0).await;
        let down = ServerNews { backend: "app".into(), server: "s1".into(), up: false, age_ms: 3 };
        a.servers.borrow_mut().push(down.clone());
        a.changed.send_replace(());
        until("health is told", || b.heard.borrow().contains(&down)).await;
        assert_eq!(a.replication.peers()[0].state, PeerState::Established);
    });
}

#[test]
fn a_node_without_neighbours_is_alone_and_one_that_comes_later_is_taught() {
    run(async {
        let (world, one, two) = World::new();
        let address = two.local_addr().unwrap();
        drop(two);
        let a = world.start("lb1", one);
        until("alone", || a.replication.knowledge() == Knowledge::Alone).await;
        (0..10_000).for_each(|n| a.count(n));
        let b = world.start("lb2", TcpListener::bind(address).unwrap());
        until("learnt", || b.replication.knowledge() == Knowledge::Learnt).await;
        assert_eq!(b.tables[0].len(), 10_000, "learnt means everything is there");
    });
}

#[test]
fn strangers_and_members_under_a_false_name_stay_out() {
    run(async {
        let (world, one, two) = World::new();
        let a = world.start("lb1", one.try_clone().unwrap());
        // No TLS at all, and a certificate of another authority.
        let mut plain = tokio::net::TcpStream::connect(one.local_addr().unwrap()).await.unwrap();
        plain.write_all(b"HAProxyS 2.1\nlb1\nlb2 1 1\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer).await;
        assert!(!answer.windows(3).any(|w| w == b"200"));
        let other = World { cluster: world.cluster.clone(), authority: Authority::make("c").unwrap() };
        let b = other.start("lb2", two);
        until("refused", || b.replication.peers()[0].last_error.is_some()).await;
        assert_eq!(a.replication.peers()[0].sessions, 0);
        until("counted", || a.replication.refused().get("stranger").is_some_and(|n| *n >= 2)).await;
    });
}

#[test]
fn the_next_process_of_a_node_takes_its_place_and_loses_nothing() {
    run(async {
        let (world, one, two) = World::new();
        let a = world.start("lb1", one.try_clone().unwrap());
        let b = world.start("lb2", two);
        until("b knows", || b.replication.knowledge() == Knowledge::Learnt).await;
        (0..1_000).for_each(|n| a.count(n));
        // The next process learns over a socket of this machine, while the first one still serves.
        let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
        let next = world.prepare("lb1");
        a.replication.hold_local(ours, false);
        next.replication.hold_local(theirs, true);
        until("taught", || next.replication.knowledge() == Knowledge::Learnt).await;
        assert_eq!(next.tables[0].len(), 1_000);
        a.replication.leave_network().await;
        assert_eq!(b.tables[0].len(), 1_000, "what was under way has arrived");
        next.replication.join_network(one, true).unwrap();
        // A session that still lives in the first process goes on counting; all hear of it.
        (1_000..1_100).for_each(|n| a.count(n));
        until("the other member hears", || b.tables[0].len() == 1_100).await;
        b.count(5_000);
        until("the next process hears", || next.tables[0].len() == 1_101).await;
        assert_eq!(b.replication.peers()[0].sessions, 2);
    });
}
