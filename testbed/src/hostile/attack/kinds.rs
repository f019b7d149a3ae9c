//! Every kind of attack: one row each.

use std::time::Duration;

use super::clients::Script;
use super::step::{Step, noise};
use Step::{Await, HalfClose, Hold, Pause, Read, Repeat, Reset, Send, Trickle};

/// What a kind connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hostile) enum Port {
    /// The frontend that good clients use.
    Web,
    /// A frontend of mode tcp.
    Raw,
    Peers,
    /// The statistics socket.
    Stats,
    /// The members' mutual-TLS channel; on a pair only.
    Channel,
    /// Protocol 112, to both nodes in each other's name; on a pair only.
    Vrrp,
}

impl Port {
    /// Whether a program that is alone lacks it.
    pub(in crate::hostile) fn is_of_a_pair(self) -> bool {
        matches!(self, Self::Channel | Self::Vrrp)
    }
}

/// What is otherwise about the program, and which good clients measure it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hostile) enum World {
    Plain,
    /// It logs to a pipe that nobody reads.
    FullPipe,
    /// It logs to a socket that nobody reads.
    FullSocket,
    /// It has few descriptors; only connections that were there before are measured.
    FewDescriptors,
}

/// A kind of attack.
#[derive(Clone, Copy, Debug)]
pub(in crate::hostile) struct Kind {
    pub(in crate::hostile) name: &'static str,
    pub(in crate::hostile) about: &'static str,
    pub(in crate::hostile) port: Port,
    pub(in crate::hostile) world: World,
    /// New connections a second.
    pub(in crate::hostile) rate: u32,
    pub(in crate::hostile) client: Script,
    /// What the server behind /evil does.
    pub(in crate::hostile) server: Option<Script>,
}

/// New connections a second where nothing else is said: the attacker has all of its own after a second.
const RATE: u32 = 1_000;
/// Where every connection costs the program several answers.
const HEAVY: u32 = 100;
/// Opened and closed at once.
const FLOOD: u32 = 2_000;
/// Forged advertisements a second, to each node.
const FORGED: u32 = 100;
/// Descriptors of a program that has few: so many it gets, so many it may take.
pub(in crate::hostile) const DESCRIPTORS: [u32; 2] = [220, 240];
/// A pause between two bytes of who is slow.
const SLOW: Duration = Duration::from_millis(50);
/// Of a server, on whose every byte a thousand others wait, too.
const SLOWER: Duration = Duration::from_millis(200);
/// Longest silence of who reads.
const IDLE: Duration = Duration::from_millis(500);
/// One place is as good as another: an attacker goes through them, and then begins anew.
const CHUNKED: &[u8] =
    b"POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n";
const CHUNKED_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n";
/// The shortest request that stopped a worker for ever.
const CUT: &[u8] = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5";
const EVIL: &[u8] = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n";
/// The beginning of a ClientHello, and something like the rest of it.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

const fn web(name: &'static str, about: &'static str, rate: u32, client: Script) -> Kind {
    Kind { name, about, port: Port::Web, world: World::Plain, rate, client, server: None }
}

const fn behind(name: &'static str, about: &'static str, rate: u32, server: Script) -> Kind {
    let client = |_| vec![send(EVIL), Read(IDLE)];
    Kind { name, about, port: Port::Web, world: World::Plain, rate, client, server: Some(server) }
}

const fn at(port: Port, name: &'static str, about: &'static str, rate: u32, client: Script) -> Kind {
    Kind { name, about, port, world: World::Plain, rate, client, server: None }
}

const fn world(name: &'static str, about: &'static str, world: World, client: Script) -> Kind {
    Kind { name, about, port: Port::Web, world, rate: RATE, client, server: None }
}

fn send(bytes: &[u8]) -> Step {
    Send(bytes.to_vec())
}

/// A message cut at one of its places, and one of four ends.
fn cut(number: u64, whole: &[u8]) -> Vec<Step> {
    let place = usize::try_from(number).unwrap_or_default() % whole.len();
    let end = match number / whole.len() as u64 % 4 {
        0 => Hold,
        1 => HalfClose,
        2 => Reset,
        _ => Pause(Duration::ZERO),
    };
    vec![send(&whole[..place + 1]), Pause(SLOW), end, Read(IDLE)]
}

fn text(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\nHost: x\r\n{fields}\r\n").into_bytes()
}

/// Every kind, in the order in which they are played.
pub(in crate::hostile) const KINDS: &[Kind] = &[
    web("chunk-size-cut", "a request that ends inside a chunk's size", RATE, |_| vec![send(CUT), Hold]),
    web("chunk-cut", "a chunked request cut at every place", RATE, |n| cut(n, CHUNKED)),
    web("slow-head", "a head, one byte at a time", RATE, |_| {
        vec![Trickle(text("GET /good HTTP/1.1", &"X-A: bbbbbbbbbbbbbbbbbbbbbbbbb\r\n".repeat(20)), SLOW)]
    }),
    web("slow-body", "a body, one byte at a time", RATE, |_| {
        let head = send(&text("POST /good HTTP/1.1", "Content-Length: 100000\r\n"));
        vec![head, Trickle(vec![b'a'; 2_000], SLOW)]
    }),
    web("stalled-body", "a body of which half comes", 200, |_| {
        vec![send(&text("POST /good HTTP/1.1", "Content-Length: 100000\r\n")), Send(vec![b'a'; 50_000]), Hold]
    }),
    Kind {
        server: Some(|_| {
            vec![
                send(b"HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n"),
                Repeat(vec![b'x'; 4_096], 1_024),
            ]
        }),
        ..web("unread-answer", "answers of 4 MiB that nobody reads", 200, |_| vec![send(EVIL), Hold])
    },
    web("unread-errors", "refused requests in a row, and nobody reads", HEAVY, |_| {
        vec![Repeat(text("GET /deny HTTP/1.1", ""), 2_000), Hold]
    }),
    web("unread-returns", "answers by rule in a row, and nobody reads", HEAVY, |_| {
        vec![Repeat(text("GET /return HTTP/1.1", ""), 2_000), Hold]
    }),
    web("unread-statistics", "statistics pages in a row, and nobody reads", HEAVY, |_| {
        vec![Repeat(text("GET /stats HTTP/1.1", ""), 500), Hold]
    }),
    web("connect-flood", "connections opened and closed", FLOOD, |_| Vec::new()),
    web("reset-flood", "connections opened and reset", FLOOD, |_| vec![Reset]),
    web("idle-flood", "connections that say nothing", RATE, |_| vec![Hold]),
    web("garbage", "random bytes", RATE, |n| vec![Send(noise(n, 700)), Read(IDLE)]),
    web("huge-head", "a head of 64 KiB", RATE, |_| {
        vec![Send(text("GET /good HTTP/1.1", &format!("A: {}\r\n", "b".repeat(1 << 16)))), Read(IDLE)]
    }),
    web("many-fields", "a head of 5,000 fields", RATE, |_| {
        vec![Send(text("GET /good HTTP/1.1", &"a:b\r\n".repeat(5_000))), Read(IDLE)]
    }),
    web("long-target", "a target of 32 KiB", RATE, |_| {
        vec![Send(text(&format!("GET /{} HTTP/1.1", "a".repeat(1 << 15)), "")), Read(IDLE)]
    }),
    web("pipelining", "20 requests at once", HEAVY, |_| {
        vec![Send(text("GET /good HTTP/1.1", "").repeat(20)), Read(IDLE)]
    }),
    web("half-close", "a request, and no more will come", 500, |_| {
        vec![Send(text("GET /good HTTP/1.1", "")), HalfClose, Read(IDLE)]
    }),
    web("reset-midway", "a reset in the middle of a body", RATE, |_| {
        let head = text("POST /good HTTP/1.1", "Content-Length: 1000\r\n");
        vec![Send(head), send(b"abc"), Pause(SLOW), Reset]
    }),
    web("reset-after-request", "a request, and a reset", 500, |_| {
        vec![Send(text("GET /good HTTP/1.1", "")), Reset]
    }),
    web("tls-to-plain", "ClientHellos, whole and cut", RATE, |n| {
        vec![send(HELLO), Send(noise(n, 200)), if n % 2 == 0 { Hold } else { Read(IDLE) }]
    }),
    web("expect-unfollowed", "100-continue, and no body follows", RATE, |_| {
        vec![Send(text("POST /good HTTP/1.1", "Content-Length: 9\r\nExpect: 100-continue\r\n")), Hold]
    }),
    web("http-1.0", "what HTTP/1.0 does not know", RATE, |n| {
        let head: &[u8] = match n % 4 {
            0 => b"GET /good HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /good HTTP/1.0\r\n\r\n",
            1 => b"POST /good HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
            2 => b"POST /good HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhel",
            _ => b"GET /good\r\n\r\n",
        };
        vec![send(head), Read(IDLE)]
    }),
    at(Port::Raw, "tcp-hold", "tunnels in which nothing moves", RATE, |n| vec![Send(noise(n, 100)), Hold]),
    at(Port::Raw, "tcp-half-close", "tunnels half closed, half reset", RATE, |n| {
        vec![Send(noise(n, 100)), HalfClose, Pause(SLOW), if n % 2 == 0 { Reset } else { Hold }]
    }),
    Kind {
        client: |_| {
            let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
            vec![Send(text("GET /evil HTTP/1.1", upgrade)), Await, Send(noise(1, 2_000)), Hold]
        },
        ..behind("upgrade", "tunnels by 101 in which nothing moves", RATE, |n| {
            let head =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
            vec![send(head), Send(noise(n, 500)), Hold]
        })
    },
    behind("unrequested-101", "101 by a server, and nobody asked for it", RATE, |n| {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        vec![send(head), Send(noise(n, 500)), Hold]
    }),
    behind("server-chunk-cut", "a chunked response cut at every place", RATE, |n| cut(n, CHUNKED_ANSWER)),
    behind("server-endless-1xx", "interim responses without end", HEAVY, |_| {
        vec![Repeat(b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n".to_vec(), 20_000), Hold]
    }),
    behind("server-endless-head", "a response's head without end", HEAVY, |_| {
        vec![send(b"HTTP/1.1 200 OK\r\n"), Repeat(b"A: bbbbbbbbbbbbbbbbb\r\n".to_vec(), 20_000), Hold]
    }),
    behind("server-slow", "a response's head, one byte at a time", 300, |_| {
        vec![Trickle(b"HTTP/1.1 200 OK\r\n".to_vec(), SLOWER), Hold]
    }),
    behind("server-silent", "no response at all", RATE, |_| vec![Hold]),
    behind("server-reset", "a reset before, in and behind a head", RATE, |n| match n % 3 {
        0 => vec![Reset],
        1 => vec![send(b"HTTP/1.1 200 O"), Pause(SLOW), Reset],
        _ => vec![send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), Pause(SLOW), Reset],
    }),
    behind("server-too-long", "a body longer than its length", HEAVY, |_| {
        vec![send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"), Repeat(vec![b'x'; 4_096], 64), Hold]
    }),
    behind("server-garbage", "random bytes by a server", RATE, |n| vec![Send(noise(n, 700)), Hold]),
    Kind {
        client: |_| {
            let head = text("POST /evil HTTP/1.1", "Content-Length: 1000000\r\n");
            vec![Send(head), Trickle(vec![b'a'; 2_000], SLOW)]
        },
        ..behind("server-early", "a response before the request is over", RATE, |_| {
            vec![send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Hold]
        })
    },
    Kind {
        client: |_| {
            let head = text("POST /evil HTTP/1.1", "Content-Length: 1000000\r\n");
            vec![Send(head), Repeat(vec![b'a'; 10_000], 100), Hold]
        },
        ..behind("server-reads-nothing", "a body that a server does not read", HEAVY, |_| vec![Hold])
    },
    at(Port::Peers, "peers-garbage", "random bytes to the peers port", RATE, |n| {
        vec![Send(noise(n, 300)), Read(IDLE)]
    }),
    at(Port::Peers, "peers-hello-cut", "half a greeting to the peers port", RATE, |_| {
        vec![send(b"HAProxyS 2.1\nlb"), Hold]
    }),
    at(Port::Peers, "peers-messages", "messages of two bytes by a known peer", HEAVY, |_| {
        vec![send(b"HAProxyS 2.1\nlb1\nlb2 1 1\n"), Await, Repeat(vec![0, 0], 5_000), Read(IDLE)]
    }),
    at(Port::Stats, "stats-flood", "connections to the statistics socket", RATE, |_| vec![Hold]),
    at(Port::Stats, "stats-cut", "lines that are cut at the statistics socket", RATE, |_| {
        vec![send(b"disable server app/s1"), HalfClose, Read(IDLE)]
    }),
    at(Port::Stats, "stats-unread", "answers of the statistics socket that nobody reads", HEAVY, |_| {
        vec![Repeat(b"show stat;".to_vec(), 50), send(b"show stat\n"), Hold]
    }),
    world("log-full-pipe", "a log that nobody reads, as standard output", World::FullPipe, |_| {
        vec![Send(text("GET /deny HTTP/1.1", "")), Read(IDLE)]
    }),
    world("log-full-socket", "a log that nobody reads, as a socket", World::FullSocket, |_| {
        vec![Send(text("GET /deny HTTP/1.1", "")), Read(IDLE)]
    }),
    world("few-descriptors", "few descriptors, and 1,000 that say nothing", World::FewDescriptors, |_| {
        vec![Hold]
    }),
    at(Port::Channel, "channel-garbage", "random bytes to the members' channel", RATE, |n| {
        vec![Send(noise(n, 300)), Read(IDLE)]
    }),
    at(Port::Channel, "channel-hello-cut", "half a ClientHello to the members' channel", RATE, |_| {
        vec![send(HELLO), Hold]
    }),
    at(Port::Vrrp, "vrrp-forged", "the other member's advertisements, with priority 254", FORGED, |_| {
        Vec::new()
    }),
    at(Port::Channel, "channel-flood", "connections to the members' channel", FLOOD, |_| Vec::new()),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_kinds_are_named_once_and_cut_everywhere() {
        let mut names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KINDS.len());
        assert!(CUT.ends_with(b"\r\n\r\n5"));
        let places: Vec<usize> = (0..CHUNKED.len() as u64)
            .filter_map(|n| match cut(n, CHUNKED).first() {
                Some(Send(bytes)) => Some(bytes.len()),
                _ => None,
            })
            .collect();
        assert_eq!(places, (1..=CHUNKED.len()).collect::<Vec<_>>());
    }
}
