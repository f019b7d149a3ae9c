//! Questions to listeners in the hands of a test.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::sync::Arc;

use proxy_config::model::BindAddress;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;

use super::asking::*;
use super::*;

fn now<T>(test: impl Future<Output = T>) -> T {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build_local(LocalOptions::default()).unwrap().block_on(test)
}

/// A listening socket in the hands of a test, and what asks it.
struct Ear {
    test: Arc<SelfTest>,
    socket: TcpListener,
    listener: Listener,
}

impl Ear {
    /// One that has answered before. So many connections, and one more, may wait to be accepted.
    fn new(backlog: u32) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let socket = socket.listen(backlog).unwrap();
        let address = BindAddress::Tcp(socket.local_addr().unwrap());
        let mut listener = Listener::new(0, &address, 0, 2).unwrap();
        listener.answered = true;
        Self { test: Arc::new(SelfTest::new(1, 1)), socket, listener }
    }
}

/// What comes of asking while a core does what it does. Before each question, and after each that nobody has accepted,
/// `step` is taken, which is told how many there were before, and says how many clients were accepted.
async fn asked(
    (test, listener): (&Arc<SelfTest>, &mut Listener),
    step: impl Fn(usize) -> u64,
    core: impl Future<Output = ()>,
) -> Option<usize> {
    let steps = Cell::new(0);
    let load = Load { is_full: &|| false, accepted: &|| step(steps.replace(steps.get() + 1)) };
    let asking = async { listener.ask(test, &load, 0).await };
    let core = async {
        core.await;
        std::future::pending().await
    };
    // What has come of a question is known before anybody does something about it.
    tokio::select! {
        biased;
        answered = asking => answered,
        answered = core => answered,
    }
}

/// Accepts, and says whether that was a question which somebody still asks.
async fn take(test: &SelfTest, socket: &TcpListener, core: usize) -> Option<TcpStream> {
    let (stream, from) = socket.accept().await.unwrap();
    let is_alive = stream.peer_addr().is_ok();
    let other = SocketAddr::new([127, 0, 0, 2].into(), from.port());
    assert!(!test.takes(other, core, || is_alive));
    assert!(test.takes(from, core, || is_alive));
    assert!(!is_alive || !test.takes(from, core, || true), "once only");
    is_alive.then_some(stream)
}

/// Accepts, and answers who is still there, for ever.
async fn serve(test: &SelfTest, socket: &TcpListener, core: usize) {
    loop {
        let Some(mut stream) = take(test, socket, core).await else { continue };
        let mut question = vec![0; REQUEST.len()];
        stream.read_exact(&mut question).await.unwrap();
        assert_eq!(question, REQUEST);
        stream.write_all(ANSWER).await.unwrap();
    }
}

#[test]
fn who_accepts_nobody_is_deaf_after_two_questions_until_it_answers() {
    now(async {
        let Ear { test, socket, mut listener } = Ear::new(64);
        let accepts = Notify::new();
        let step = |step| {
            // Before and after the first question, the second, and the third.
            assert_eq!(test.is_deaf(), step > 3, "{step}");
            if step == 5 {
                accepts.notify_one();
            }
            7
        };
        let core = async {
            accepts.notified().await;
            serve(&test, &socket, 1).await;
        };
        assert_eq!(asked((&test, &mut listener), step, core).await, Some(1));
        assert!(!test.is_deaf());
        assert_eq!(test.ports.load(Relaxed), 0, "what was given up was known when it was accepted");
    });
}

#[test]
fn who_accepts_and_does_not_answer_is_deaf_after_two_connections_though_it_never_answered() {
    now(async {
        let Ear { test, socket, mut listener } = Ear::new(64);
        listener.answered = false;
        let core = async {
            let mut held = Vec::new();
            for question in 0..4 {
                // The third begins when two have met silence.
                held.push(take(&test, &socket, 1).await.unwrap());
                assert_eq!(test.is_deaf(), question >= 2, "{question}");
            }
            serve(&test, &socket, 1).await;
        };
        // Whoever else is accepted meanwhile.
        let accepted = |step| step as u64;
        assert_eq!(asked((&test, &mut listener), accepted, core).await, Some(1));
        assert!(!test.is_deaf());
    });
}

/// What the kernel sends again comes after 1, 3, 7 and 15 seconds: a full queue was taken for deafness long after it
/// was empty.
#[test]
fn a_question_for_which_the_queue_was_full_is_asked_anew_and_not_waited_for() {
    now(async {
        let Ear { test, socket, mut listener } = Ear::new(1);
        let address = socket.local_addr().unwrap();
        let clients =
            [std::net::TcpStream::connect(address).unwrap(), std::net::TcpStream::connect(address).unwrap()];
        let accepts = Notify::new();
        let step = |step| {
            assert!(step < 3, "the second question has met silence");
            if step == 1 {
                accepts.notify_one();
            }
            7
        };
        let core = async {
            accepts.notified().await;
            for client in &clients {
                let (_, from) = socket.accept().await.unwrap();
                assert_eq!(from, client.local_addr().unwrap());
                assert!(!test.takes(from, 0, || true));
            }
            // Nothing of the first question has ever waited there.
            let mut stream = take(&test, &socket, 0).await.unwrap();
            stream.write_all(ANSWER).await.unwrap();
            std::future::pending::<()>().await;
        };
        assert_eq!(asked((&test, &mut listener), step, core).await, Some(0));
        assert!(!test.is_deaf());
    });
}

#[test]
fn a_core_that_accepts_others_and_not_yet_this_process_is_not_deaf() {
    now(async {
        let Ear { test, socket, mut listener } = Ear::new(1);
        let address = socket.local_addr().unwrap();
        let clients = [(); 2].map(|()| std::net::TcpStream::connect(address).unwrap());
        let accepted = Cell::new(0);
        for client in &clients {
            // One client during each question, and never the question.
            let accepts = Notify::new();
            let core = async {
                accepts.notified().await;
                let (_, from) = socket.accept().await.unwrap();
                assert_eq!(from, client.local_addr().unwrap());
                accepted.set(accepted.get() + 1);
            };
            let step = |step| {
                assert!(step < 2, "asked again");
                accepts.notify_one();
                accepted.get()
            };
            assert_eq!(asked((&test, &mut listener), step, core).await, None);
            assert!(!test.is_deaf());
        }
        assert_eq!(accepted.get(), 2);
    });
}

#[test]
fn a_frontend_that_became_full_is_not_deaf_and_of_somebody_else_nobody_waits_for_an_answer() {
    for (answered, is_full) in [(true, true), (false, false)] {
        now(async {
            let Ear { test, socket: _socket, mut listener } = Ear::new(64);
            listener.answered = answered;
            let questions = Cell::new(0);
            let accepted = || {
                questions.set(questions.get() + 1);
                assert_eq!(questions.get(), 1, "asked again");
                7
            };
            let load = Load { is_full: &|| is_full, accepted: &accepted };
            assert_eq!(listener.ask(&test, &load, 0).await, None);
            assert!(!test.is_deaf());
        });
    }
}

#[test]
fn somebody_else_is_asked_nothing_and_an_answer_that_breaks_off_is_none() {
    now(async {
        let Ear { test, socket, .. } = Ear::new(64);
        let target = socket.local_addr().unwrap();
        let mut question = Question::begin(&test, target, 0).unwrap();
        let (mut stream, _) = socket.accept().await.unwrap();
        let nothing = stream.try_read(&mut [0; 1]).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        stream.write_all(ANSWER).await.unwrap();
        assert_eq!(question.wait().await, Some(Asked::Elsewhere));

        let mut question = Question::begin(&test, target, 0).unwrap();
        let mut stream = take(&test, &socket, 0).await.unwrap();
        stream.write_all(&ANSWER[..9]).await.unwrap();
        drop(stream);
        assert_eq!(question.wait().await, Some(Asked::Broken(0)));
        // Once may be an accident.
        for deaf in [false, true] {
            test.strike(Deaf::NotAnswered(0));
            assert_eq!(test.is_deaf(), deaf);
        }
        test.answered(0);
        assert!(!test.is_deaf());
    });
}

#[test]
fn questions_that_were_given_up_are_remembered_up_to_a_bound() {
    let test = SelfTest::new(1, 1);
    let from = |port| SocketAddr::new([127, 0, 0, 1].into(), port);
    for port in 0..20 {
        drop(test.expect(from(port)));
    }
    assert_eq!(test.waiting.lock().len(), MAX_GONE + 1);
    assert!(!test.takes(from(0), 0, || false));
    assert!(!test.takes(from(19), 0, || true), "a client may come from there by now");
    assert!(test.takes(from(19), 0, || false));
}

#[test]
fn a_port_leads_to_the_same_socket_of_a_group_again() {
    now(async {
        let bound = |address: SocketAddr| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseport(true).unwrap();
            socket.bind(address).unwrap();
            socket.listen(64).unwrap()
        };
        let first = bound("127.0.0.1:0".parse().unwrap());
        let target = first.local_addr().unwrap();
        let group = [first, bound(target), bound(target), bound(target)];
        let mut ways: Vec<Option<u16>> = vec![None; group.len()];
        let mut again = 0;
        for turn in 0..200 {
            let port = ways[turn % group.len()].unwrap_or(0);
            let (socket, source) = open(target, port).unwrap();
            let stream = socket.connect(target).await.unwrap();
            let [a, b, c, d] = &group;
            let by = tokio::select! {
                _ = a.accept() => 0,
                _ = b.accept() => 1,
                _ = c.accept() => 2,
                _ = d.accept() => 3,
            };
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            drop(stream);
            if port == source.port() {
                assert_eq!(by, turn % group.len(), "another one was chosen");
                again += 1;
            }
            ways[by] = Some(source.port());
        }
        assert!(again > 100, "{again}");
    });
}

#[test]
fn what_is_elsewhere_is_not_asked() {
    assert!(is_here("127.0.0.1".parse().unwrap()));
    assert!(!is_here("192.0.2.77".parse().unwrap()));
    let any = BindAddress::Tcp("0.0.0.0:80".parse().unwrap());
    assert_eq!(target(&any), Some("127.0.0.1:80".parse().unwrap()));
}

#[test]
fn a_frontend_that_was_full_a_moment_ago_is_not_deaf() {
    let test = SelfTest::new(2, 1);
    test.note_full(1);
    assert!(test.was_full(1));
    test.full_ms[1].store(now_ms().saturating_sub(1_301), Relaxed);
    assert_eq!(test.was_full(1), now_ms() <= 1_301);
}
