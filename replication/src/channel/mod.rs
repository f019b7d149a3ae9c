//! The members' channel: heartbeat and orders, mutual TLS from the first byte. Each member tells the others on a
//! connection of its own and hears them on theirs, so that nobody has to agree on who calls whom.

mod message;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

pub use message::{Mastership, Prepare, Prepared, RouterId, Said, Session, Signs, Standing, Word};

use crate::handshakes::{Handshakes, Lines};
use crate::health::introduced;
use crate::identity::{Identity, IdentityError};
use crate::tls::{Stream, Tls};

/// The first line of a connection; the called and the calling member's names follow, a line each.
const INTRODUCTION: &[u8] = b"TandemChannel 1\n";
/// Longest introduction.
const MAX_INTRODUCTION: usize = 1_024;
/// Most connections that are between being accepted and being known.
const MAX_HANDSHAKES: usize = 16;
/// Of these, most from one address: a stranger does not keep members out.
const MAX_FROM_ONE: usize = 2;
/// Longest time they may stay there, and a call may take.
const HANDSHAKE: Duration = Duration::from_secs(1);
/// What is not acknowledged by then is said to nobody: an order that arrives late is worse than none.
const UNACKNOWLEDGED: Duration = Duration::from_secs(1);
/// A member that says nothing for this long is not connected.
const SILENCE: Duration = Duration::from_secs(3);
/// Words that may wait for a member; it is sent no more than it takes.
const MAX_WAITING: usize = 64;
/// News that may wait for who started the channel; then members are heard no faster than it listens.
pub const MAX_NEWS: usize = 1_024;
/// Rest after a call that failed, and after one that was cut in the middle while a process over there ends.
const REST: Duration = Duration::from_millis(200);
const SHORT_REST: Duration = Duration::from_millis(1);
/// How many calls in a row may follow so closely.
const MAX_CLOSE_CALLS: u32 = 20;

/// What the channel needs.
pub struct Config {
    /// What this node is called.
    pub member: String,
    /// The others and where their channel listens.
    pub others: Vec<(String, SocketAddr)>,
    /// How this node proves who it is.
    pub identity: Identity,
}

/// How a member can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It hears this node.
    Connected,
    /// Its machine says that nobody listens there any more: no process of the member is left.
    Refused,
    /// It cannot be reached, and why.
    Lost(String),
}

/// Something on the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// How a member can be reached changed.
    Reach(String, Reach),
    /// A member said something.
    Heard(String, Said),
}

/// The running channel; lives on the thread it was started on.
#[derive(Clone)]
pub struct Channel(Rc<Room>);

struct Room {
    member: String,
    tls: Tls,
    others: Vec<Other>,
    news: mpsc::Sender<News>,
    handshakes: Handshakes,
    refused: RefCell<BTreeMap<&'static str, u64>>,
    lines: Lines,
}

struct Other {
    name: String,
    address: SocketAddr,
    /// What is to be told, while it is connected.
    words: RefCell<Option<mpsc::Sender<Said>>>,
    /// How often it has called: the last call counts.
    calls: Cell<u64>,
}

impl Channel {
    /// Starts to listen and to call, on the current thread's local runtime.
    ///
    /// # Errors
    /// The certificate does not fit, or the listener cannot be used.
    pub fn start(
        config: Config,
        listener: std::net::TcpListener,
        news: mpsc::Sender<News>,
    ) -> io::Result<Self> {
        let unfit = |e: IdentityError| io::Error::other(e.to_string());
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let others = config.others.into_iter().map(|(name, address)| Other {
            name,
            address,
            words: RefCell::default(),
            calls: Cell::default(),
        });
        let room = Rc::new(Room {
            member: config.member,
            tls: Tls::new(&config.identity).map_err(unfit)?,
            others: others.collect(),
            news,
            handshakes: Handshakes::new(MAX_HANDSHAKES, MAX_FROM_ONE),
            refused: RefCell::default(),
            lines: Lines::default(),
        });
        spawn_local(accept(Rc::clone(&room), listener));
        for place in 0..room.others.len() {
            spawn_local(tell(Rc::clone(&room), place));
        }
        Ok(Self(room))
    }

    /// Says something to a member; whether it is there to hear it.
    pub fn say(&self, to: &str, said: &Said) -> bool {
        self.0.others.iter().any(|other| other.name == to && other.say(said))
    }

    /// Says something to everybody who is there.
    pub fn say_to_all(&self, said: &Said) {
        for other in &self.0.others {
            other.say(said);
        }
    }
}

impl Other {
    fn say(&self, said: &Said) -> bool {
        self.words.borrow().as_ref().is_some_and(|words| words.try_send(said.clone()).is_ok())
    }
}

impl Room {
    async fn tell_news(&self, news: News) {
        // Who started the channel may be ending.
        let _ = self.news.send(news).await;
    }

    fn refuse(&self, why: &'static str) {
        *self.refused.borrow_mut().entry(why).or_insert(0) += 1;
    }
}

/// Tells a member, for ever.
async fn tell(room: Rc<Room>, place: usize) {
    let other = &room.others[place];
    let mut close_calls = 0;
    let mut reach = None;
    loop {
        let called = tokio::time::timeout(HANDSHAKE, call(&room, other)).await;
        let error = match called.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                let (sender, words) = mpsc::channel(MAX_WAITING);
                *other.words.borrow_mut() = Some(sender);
                room.tell_news(News::Reach(other.name.clone(), Reach::Connected)).await;
                reach = Some(Reach::Connected);
                close_calls = 0;
                let ended = say_all(stream, words).await;
                *other.words.borrow_mut() = None;
                ended
            }
            Err(error) => error,
        };
        let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
        let is_closed = error.kind() == io::ErrorKind::UnexpectedEof;
        let why = if is_closed { "it closed the connection".to_owned() } else { error.to_string() };
        let now = if is_refused { Reach::Refused } else { Reach::Lost(why) };
        let was_connected = reach == Some(Reach::Connected);
        if reach.as_ref() != Some(&now) {
            room.tell_news(News::Reach(other.name.clone(), now.clone())).await;
            reach = Some(now);
        }
        // A process that ends takes its connections with it one by one: the last answer counts.
        let cut = matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof);
        if (was_connected || cut) && close_calls < MAX_CLOSE_CALLS {
            close_calls += 1;
            tokio::time::sleep(SHORT_REST).await;
        } else {
            tokio::time::sleep(REST).await;
        }
    }
}

async fn call(room: &Room, other: &Other) -> io::Result<Stream> {
    let stream = TcpStream::connect(other.address).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    let mut stream = room.tls.connect(stream, &other.name).await?;
    stream.write_all(INTRODUCTION).await?;
    stream.write_all(format!("{}\n{}\n", other.name, room.member).as_bytes()).await?;
    stream.flush().await?;
    Ok(stream)
}

/// Says what is to be said until the connection ends; why it did.
async fn say_all(mut stream: Stream, mut words: mpsc::Receiver<Said>) -> io::Error {
    loop {
        let said = tokio::select! {
            said = words.recv() => said,
            // Nothing is ever said to us here: what can be read is the end.
            read = stream.read_u8() => {
                return read.err().unwrap_or_else(|| io::ErrorKind::InvalidData.into());
            }
        };
        // The sender lives as long as the connection.
        let Some(said) = said else { return io::ErrorKind::BrokenPipe.into() };
        let bytes = message::frame(&said);
        let send = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        match tokio::time::timeout(UNACKNOWLEDGED, send).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error,
            Err(_) => return io::ErrorKind::TimedOut.into(),
        }
    }
}

async fn accept(room: Rc<Room>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Err(error) => {
                tracing::warn!(%error, "a member cannot be accepted on the channel");
                tokio::time::sleep(REST).await;
            }
            Ok((stream, from)) => {
                let Some(handshake) = room.handshakes.begin(from.ip()) else {
                    // Closed at once: a real member comes again.
                    room.refuse("busy");
                    continue;
                };
                let room = Rc::clone(&room);
                spawn_local(async move {
                    let met = tokio::time::timeout(HANDSHAKE, meet(&room, stream)).await;
                    drop(handshake);
                    match met {
                        Ok(Ok((place, stream, rest))) => listen(&room, place, stream, rest).await,
                        Ok(Err(error)) => {
                            room.refuse("stranger");
                            if let Some(count) = room.lines.count("stranger", Instant::now()) {
                                tracing::warn!(%from, %error, count, "refused a connection to the members' channel");
                            }
                        }
                        Err(_) => {
                            room.refuse("slow");
                            if let Some(count) = room.lines.count("slow", Instant::now()) {
                                tracing::warn!(%from, count, "a connection to the members' channel said too little");
                            }
                        }
                    }
                });
            }
        }
    }
}

/// Who calls, and what it has said beyond its introduction.
async fn meet(room: &Room, stream: TcpStream) -> io::Result<(usize, Stream, Vec<u8>)> {
    stream.set_nodelay(true)?;
    let (mut stream, proof) = room.tls.accept(stream).await?;
    let mut heard = Vec::new();
    loop {
        if let Some((member, used)) = introduced(INTRODUCTION, &heard, &room.member) {
            let place = room.others.iter().position(|other| other.name == member);
            let place = place.filter(|_| proof.shows(&member)).ok_or(io::ErrorKind::PermissionDenied)?;
            let rest = heard.split_off(used);
            return Ok((place, stream, rest));
        }
        if heard.len() > MAX_INTRODUCTION || stream.read_buf(&mut heard).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// Hears a member until it falls silent, or calls anew.
async fn listen(room: &Room, place: usize, mut stream: Stream, mut heard: Vec<u8>) {
    let other = &room.others[place];
    let call = other.calls.get() + 1;
    other.calls.set(call);
    loop {
        while let Some(said) = message::take(&mut heard) {
            match said {
                // A word of a newer version is none for us.
                Ok(Said { word: None, .. }) => room.refuse("unknown"),
                Ok(said) => room.tell_news(News::Heard(other.name.clone(), said)).await,
                Err(why) => {
                    room.refuse("nonsense");
                    tracing::warn!(member = other.name, why, "a member's words make no sense");
                    return;
                }
            }
        }
        match tokio::time::timeout(SILENCE, stream.read_buf(&mut heard)).await {
            Ok(Ok(count)) if count > 0 && other.calls.get() == call => {}
            _ => return,
        }
    }
}
