//! The half that asks: through one listener after the other, every core. Which core a connection comes to is the kernel's
//! choice by where it comes from, and always the same: a port that led to a core does so again.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_config::model::{Bind, BindAddress};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{ANSWER, Deaf, PATIENCE, REQUEST, SelfTest};
use crate::shared::Shared;

/// Between two rounds of questions.
const REST: Duration = Duration::from_millis(500);
/// Questions in one round, for each core, that may fall to one that has answered already.
const TRIES: usize = 3;
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Answered(usize),
    /// This core took it, and did not answer to the end.
    Broken(usize),
    /// Somebody else has taken or refused it.
    Elsewhere,
}

/// Asks through one listener after the other, until the process stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let listener = |(place, bind): (usize, &Bind)| {
        Listener::new(place, &bind.address, bind.frontend.0 as usize, shared.options.cores)
    };
    let mut listeners: Vec<Listener> = shared.config.binds.iter().enumerate().filter_map(listener).collect();
    shared.until(Shared::is_accepting).await;
    let mut stop = pin!(shared.until(Shared::is_stopping));
    let mut place = 0;
    while !listeners.is_empty() {
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = round(&shared, &mut listeners[place]) => {}
        }
        place = (place + 1) % listeners.len();
    }
    shared.selftest.believe(None);
}

/// What a frontend does for its clients meanwhile, which excuses that nobody accepts a question.
pub(super) struct Load<'a> {
    /// Nobody need be accepted: clients wait for a place too.
    pub(super) is_full: &'a dyn Fn() -> bool,
    /// Connections accepted, by all cores.
    pub(super) accepted: &'a dyn Fn() -> u64,
}

pub(super) struct Listener {
    bind: usize,
    target: SocketAddr,
    frontend: usize,
    /// Whether it has ever answered: another program may be nearer to this address.
    pub(super) answered: bool,
    /// By core: a port from which connections come to it.
    ways: Vec<Option<u16>>,
}

impl Listener {
    pub(super) fn new(bind: usize, address: &BindAddress, frontend: usize, cores: usize) -> Option<Self> {
        Some(Self { bind, target: target(address)?, frontend, answered: false, ways: vec![None; cores] })
    }

    fn is_here(&self) -> bool {
        is_here(self.target.ip())
    }

    /// Asks from a port until it is known whether the core answers that this leads to, and says which core has
    /// answered. Every question has a connection of its own, from the same port while that is free: the kernel tries
    /// to begin one at longer and longer intervals, while clients that come anew may long be accepted.
    pub(super) async fn ask(
        &mut self,
        test: &Arc<SelfTest>,
        load: &Load<'_>,
        mut port: u16,
    ) -> Option<usize> {
        let mut before = None;
        loop {
            let accepted = (load.accepted)();
            let mut question = match Question::begin(test, self.target, port) {
                Ok(question) => question,
                // Who has no descriptor for this has none for a client.
                Err(error) if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) => {
                    test.strike(Deaf::NotAccepted);
                    return None;
                }
                Err(_) => {
                    test.pardon();
                    return None;
                }
            };
            port = question.source.port();
            if let Some(asked) = question.wait().await {
                return self.conclude(test, asked, port);
            }
            let accepted_by = question.give_up().await;
            // With its address a question has gone for good, also one that was accepted.
            let is_excused = !self.is_here()
                || accepted_by.is_none()
                    && (!self.answered || (load.is_full)() || (load.accepted)() != accepted);
            if is_excused {
                test.pardon();
                return None;
            }
            let silence = accepted_by.map_or(Deaf::NotAccepted, Deaf::NotAnswered);
            // Once may be an accident.
            if before.replace(silence) == Some(silence) {
                test.believe(before);
            }
        }
    }

    fn conclude(&mut self, test: &SelfTest, asked: Asked, port: u16) -> Option<usize> {
        match asked {
            Asked::Answered(core) => {
                self.answered = true;
                if let Some(way) = self.ways.get_mut(core) {
                    *way = Some(port);
                }
                test.answered(self.bind);
                Some(core)
            }
            Asked::Broken(core) => {
                test.strike(Deaf::NotAnswered(core));
                None
            }
            Asked::Elsewhere => {
                self.ways.fill(None);
                test.pardon();
                None
            }
        }
    }
}

/// Rests, and asks every core through one listener, each until it is known whether it answers: first by the ways that
/// are known, then by chance. While clients wait for a place nobody is asked.
async fn round(shared: &Shared, listener: &mut Listener) {
    tokio::time::sleep(REST).await;
    let (test, frontend) = (&shared.selftest, listener.frontend);
    let load = Load {
        is_full: &|| shared.is_full(frontend) || test.was_full(frontend),
        accepted: &|| shared.counters.iter().map(|core| core.frontends[frontend].connections.read()).sum(),
    };
    if !listener.is_here() || (load.is_full)() {
        return test.pardon();
    }
    let mut heard = vec![false; listener.ways.len()];
    let known: Vec<u16> = listener.ways.iter().flatten().copied().collect();
    let by_chance = std::iter::repeat_n(0, TRIES * heard.len());
    for port in known.into_iter().chain(by_chance) {
        if heard.iter().all(|heard| *heard) {
            break;
        }
        match listener.ask(test, &load, port).await {
            Some(core) => heard[core] = true,
            None => return,
        }
    }
    test.heard(listener.bind, heard.into_iter().filter(|heard| *heard).count());
}

/// A question that is under way.
pub(super) struct Question {
    handle: JoinHandle<Asked>,
    accepted_by: Rc<Cell<Option<usize>>>,
    pub(super) source: SocketAddr,
}

impl Question {
    /// Asks from this port, if it is free.
    pub(super) fn begin(test: &Arc<SelfTest>, target: SocketAddr, port: u16) -> io::Result<Self> {
        let (socket, source) = open(target, port)?;
        let accepted_by = Rc::new(Cell::new(None));
        let asked = ask(Arc::clone(test), socket, source, target, Rc::clone(&accepted_by));
        Ok(Self { handle: tokio::task::spawn_local(asked), accepted_by, source })
    }

    /// Waits for the answer, unless that takes too long.
    pub(super) async fn wait(&mut self) -> Option<Asked> {
        let asked = timeout(PATIENCE, &mut self.handle).await.ok()?;
        Some(asked.unwrap_or(Asked::Elsewhere))
    }

    /// Ends the connection, so that its port is free, and says which core has accepted it.
    pub(super) async fn give_up(self) -> Option<usize> {
        self.handle.abort();
        // Either it was aborted, or its answer came too late.
        let _ = self.handle.await;
        self.accepted_by.get()
    }
}

/// Connects, waits until a core has accepted that, asks, and waits for the answer. `accepted_by` says who has accepted.
async fn ask(
    test: Arc<SelfTest>,
    socket: TcpSocket,
    source: SocketAddr,
    target: SocketAddr,
    accepted_by: Rc<Cell<Option<usize>>>,
) -> Asked {
    let accepted = test.expect(source);
    let connect = async {
        // Neither side keeps anything of it.
        let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        let stream = socket.connect(target).await.ok()?;
        let core = tokio::select! {
            biased;
            core = accepted => core.ok()?,
            () = closed(&stream) => return None,
        };
        Some((stream, core))
    };
    let connected = connect.await;
    test.forget(source);
    let Some((mut stream, core)) = connected else { return Asked::Elsewhere };
    accepted_by.set(Some(core));
    let mut answer = [0; ANSWER.len()];
    let exchange = async {
        stream.write_all(REQUEST).await?;
        stream.read_exact(&mut answer).await
    };
    if exchange.await.is_ok() && answer == *ANSWER { Asked::Answered(core) } else { Asked::Broken(core) }
}

async fn closed(stream: &TcpStream) {
    // Whatever is there to read is no answer of ours.
    let _ = stream.ready(Interest::READABLE).await;
}

/// A socket to ask with, and where its connection will come from: this port, if it is free.
pub(super) fn open(target: SocketAddr, port: u16) -> io::Result<(TcpSocket, SocketAddr)> {
    let bound = |port| -> io::Result<_> {
        let socket = if target.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
        socket.bind(SocketAddr::new(target.ip(), port))?;
        let source = socket.local_addr()?;
        Ok((socket, source))
    };
    match bound(port) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && port != 0 => bound(0),
        opened => opened,
    }
}

/// Whether an address is this machine's: the kernel sends nothing from another one.
pub(super) fn is_here(address: IpAddr) -> bool {
    // Where programs may bind any address, only a connection is looked at. Of IPv6 not even that; but there the kernel
    // answers itself from the address that is asked, while of IPv4 the first one of a network speaks for the others.
    let from = if address.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { address };
    let source = || {
        let socket = UdpSocket::bind((from, 0))?;
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    address.is_loopback() || source().is_ok_and(|source| source.ip() == address)
}

/// Where a listener can be reached from here, if it can.
pub(super) fn target(address: &BindAddress) -> Option<SocketAddr> {
    let BindAddress::Tcp(address) = address else { return None };
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    Some(SocketAddr::new(ip, address.port()))
}
