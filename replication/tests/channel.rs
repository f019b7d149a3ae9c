//! Two members on loopback: they hear each other, an end is known at once, strangers stay out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use replication::Identity;
use replication::channel::{Channel, Config, MAX_NEWS, News, Reach, RouterId, Said, Word};
use replication::identity::Authority;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

fn identity(authority: &Authority, member: &str) -> Identity {
    Identity::read(member, &authority.issue(member).unwrap(), &authority.certificate).unwrap()
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What a member heard. Two connections bear it, one each way, so that only its order on each of them is known:
/// what comes before it is asked for is kept.
struct Told {
    news: mpsc::Receiver<News>,
    kept: Vec<News>,
}

impl Told {
    async fn until(&mut self, wanted: impl Fn(&News) -> bool) {
        if let Some(place) = self.kept.iter().position(&wanted) {
            self.kept.remove(place);
            return;
        }
        let wait = async {
            loop {
                let news = self.news.recv().await.unwrap();
                if wanted(&news) {
                    return;
                }
                self.kept.push(news);
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "other news came than what is expected: {:?}", self.kept);
    }

    async fn until_reach(&mut self, wanted: Reach) {
        self.until(|news| matches!(news, News::Reach(_, reach) if *reach == wanted)).await;
    }

    async fn until_heard(&mut self, from: &str) {
        self.until(|news| *news == News::Heard(from.to_owned(), SAID)).await;
    }
}

/// Starts a member that knows one other.
fn start(authority: &Authority, names: [&str; 2], own: TcpListener, other: SocketAddr) -> (Channel, Told) {
    let (sender, news) = mpsc::channel(MAX_NEWS);
    let config = Config {
        member: names[0].to_owned(),
        others: vec![(names[1].to_owned(), other)],
        identity: identity(authority, names[0]),
    };
    (Channel::start(config, own, sender).unwrap(), Told { news, kept: Vec::new() })
}

fn local<T>(future: impl Future<Output = T>) -> T {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build_local(LocalOptions::default()).unwrap().block_on(future)
}

const SAID: Said = Said { word: Some(Word::Served(RouterId { vrid: 51, six: false, addresses: 7 })), at: 1 };

#[test]
fn members_hear_each_other_and_know_of_an_end_at_once() {
    let authority = Authority::make("c").unwrap();
    let ((one, first), (two, second)) = (listener(), listener());
    let (theirs, (end, ended)) = (two.try_clone().unwrap(), std::sync::mpsc::channel::<()>());
    std::thread::scope(|scope| {
        let authority = &authority;
        let other = scope.spawn(move || {
            local(async {
                let (channel, mut told) = start(authority, ["lb2", "lb1"], theirs, first);
                told.until_reach(Reach::Connected).await;
                channel.say_to_all(&SAID);
                told.until_heard("lb1").await;
            });
            // The process that held the connections is gone; the one that holds the port is not.
            ended.recv_timeout(PATIENCE).unwrap();
            drop(two);
        });
        local(async {
            let (channel, mut told) = start(authority, ["lb1", "lb2"], one, second);
            assert!(!channel.say("lb2", &SAID), "nobody is there yet");
            told.until_reach(Reach::Connected).await;
            told.until_heard("lb2").await;
            assert!(channel.say("lb2", &SAID));
            assert!(!channel.say("nobody", &SAID));
            told.until(|news| matches!(news, News::Reach(_, Reach::Lost(_)))).await;
            end.send(()).unwrap();
            told.until_reach(Reach::Refused).await;
        });
        other.join().unwrap();
    });
}

#[test]
fn nobody_speaks_for_a_member_without_its_certificate() {
    let (authority, other) = (Authority::make("c").unwrap(), Authority::make("c").unwrap());
    let ((one, first), (two, second)) = (listener(), listener());
    local(async {
        let (_channel, mut told) = start(&authority, ["lb1", "lb2"], one, second);
        // A certificate of another authority, and one of another member, which calls itself lb2.
        let stranger = start(&other, ["lb2", "lb1"], two, first);
        let (third, _) = listener();
        let impostor = Config {
            member: "lb2".to_owned(),
            others: vec![("lb1".to_owned(), first)],
            identity: identity(&authority, "lb3"),
        };
        let (sender, _news) = mpsc::channel(MAX_NEWS);
        let impostor = Channel::start(impostor, third, sender).unwrap();
        // Somebody who says nothing at all is waited for, and let go.
        let silent = TcpStream::connect(first).await.unwrap();
        let heard = async {
            loop {
                stranger.0.say_to_all(&SAID);
                impostor.say_to_all(&SAID);
                match told.news.recv().await {
                    Some(News::Heard(..)) => return,
                    Some(News::Reach(_, Reach::Connected)) => return,
                    _ => {}
                }
            }
        };
        // As long as a handshake may take, and some calls.
        let waited = tokio::time::timeout(Duration::from_secs(2), heard).await;
        assert!(waited.is_err(), "strangers are not heard");
        let mut end = [0; 1];
        silent.readable().await.unwrap();
        assert_eq!(silent.try_read(&mut end).unwrap_or(0), 0, "who says nothing is let go");
    });
}
