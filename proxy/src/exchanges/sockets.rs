//! The same exchanges over real sockets: what is true in memory is true of the kernel's connections.

use proxy_config::model::{Bind, BindAddress};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::arrivals::{CONFIG, pairs, understood, whole};
use super::dice::Dice;
use super::world::{Outcome, World, build, shared};
use crate::{Sockets, open_socket};

/// Exchanges that are played.
const EXCHANGES: usize = 1_000;
/// Longest time for one of them: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server does next.
struct Turn {
    /// So many bytes are waited for, and this end: chunks may come in other pieces.
    expected: usize,
    end: &'static [u8],
    /// What is sent then.
    pieces: Vec<Vec<u8>>,
    ends: bool,
}

/// A server: a turn for each connection, and what each was sent, when it has ended.
fn serve(listener: &TcpListener, turns: &Receiver<Turn>, got: &Sender<Vec<u8>>) {
    while let Ok(turn) = turns.recv() {
        let Ok((mut connection, _)) = listener.accept() else { return };
        let _ = connection.set_nodelay(true);
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4_096]);
        let mut answered = false;
        loop {
            if !answered && bytes.len() >= turn.expected && bytes.ends_with(turn.end) {
                answered = true;
                // A proxy that has refused the beginning takes no more.
                let _ = turn.pieces.iter().try_for_each(|piece| connection.write_all(piece));
                if turn.ends {
                    let _ = connection.shutdown(Shutdown::Write);
                }
            }
            match connection.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            }
        }
        let _ = got.send(bytes);
    }
}

fn parts(bytes: &[u8], random: &mut impl FnMut(usize) -> usize) -> Vec<Vec<u8>> {
    let (mut parts, mut from) = (Vec::new(), 0);
    while from < bytes.len() {
        let to = from + 1 + random((bytes.len() - from).min(40));
        parts.push(bytes[from..to].to_vec());
        from = to;
    }
    parts
}

#[test]
fn exchanges_over_sockets_are_those_in_memory() {
    let in_memory = shared(CONFIG);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = listener.local_addr().expect("an address");
    let text = CONFIG.replace("192.0.2.21:80", &server.to_string());
    let proxy = build(&text);
    // Any port: a file cannot ask for that.
    let any = BindAddress::Tcp("127.0.0.1:0".parse().expect("an address"));
    let bind = Bind { address: any, ..proxy.config().binds[0].clone() };
    let socket = open_socket(&bind).expect("a listener");
    let address = socket2::SockRef::from(&socket).local_addr().expect("its address").as_socket();
    let address = address.expect("of a network");
    proxy.start(Sockets { binds: vec![vec![socket]] }).expect("a core");
    let (turns, waiting) = channel();
    let (got, ended) = channel();
    std::thread::spawn(move || serve(&listener, &waiting, &got));

    // A second request would wait for an answer that no server gives here.
    let pairs: Vec<_> = pairs().filter(|((asks, _), _)| *asks != "two" && *asks != "switch").collect();
    let mut dice = Dice::new(1);
    let mut random = |bound| dice.roll(bound);
    for number in 0..EXCHANGES {
        let ((asks, request), (answers, response, ends)) = pairs[number % pairs.len()];
        let reference = whole(&mut World::new(&in_memory, 65_536), request, response, ends, (&[], &[]));
        let expected = understood(&reference, asks);
        let expects = reference.servers.first().map_or(0, Vec::len);
        let pieces = parts(response.as_bytes(), &mut random);
        let end: &[u8] = match asks {
            "chunks" => b"0\r\nx: y\r\nz: 1\r\n\r\n",
            "no chunks" => b"0\r\n\r\n",
            _ => b"",
        };
        turns.send(Turn { expected: expects, end, pieces, ends }).expect("a server");
        let mut client = TcpStream::connect(address).expect("a listener");
        client.set_nodelay(true).expect("an option");
        client.set_read_timeout(Some(Duration::from_millis(100))).expect("an option");
        for piece in parts(request.as_bytes(), &mut random) {
            client.write_all(&piece).expect("a proxy that reads");
        }
        let mut outcome = Outcome::default();
        let (begin, mut buffer) = (Instant::now(), [0; 4_096]);
        while understood(&outcome, asks).0 != expected.0 && begin.elapsed() < PATIENCE {
            match client.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => outcome.client.extend_from_slice(&buffer[..count]),
                Err(_) => {}
            }
        }
        assert_eq!(understood(&outcome, asks).0, expected.0, "{number}: {asks}, {answers}");
        drop(client);
        // Its connection to the server is kept for others: it ends when the proxy has looked through the idle ones.
        if !ends {
            proxy.forget_idle();
        }
        let sent = ended.recv_timeout(PATIENCE).expect("the end of the server's connection");
        let outcome = Outcome { servers: vec![sent], ..Outcome::default() };
        assert_eq!(understood(&outcome, asks).1, expected.1, "{number}: {asks}, {answers}");
    }
}
