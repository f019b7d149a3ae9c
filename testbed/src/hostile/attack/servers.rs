//! The servers behind: a good one, and one that takes the steps it is told once it has received a head.

use std::io;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::clients::Script;
use super::step::{Step, take};
use crate::hostile::program::{Place, free_address};
use crate::server;

/// Connections of the hostile server at once.
const MOST: usize = 3_000;
/// Longest head it reads, and longest time for it.
const HEAD: usize = 1 << 16;
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest life of one of its connections.
const LIFE: Duration = Duration::from_secs(60);
const NICE: i32 = 10;

/// The servers of one run; their threads end with the process.
pub(in crate::hostile) struct Servers {
    pub(in crate::hostile) good: SocketAddrV4,
    pub(in crate::hostile) evil: SocketAddrV4,
    script: Arc<Mutex<Script>>,
}

impl Servers {
    pub(in crate::hostile) fn start(place: Place) -> Result<Self, String> {
        Self::start_at(free_address()?, free_address()?, place)
    }

    /// The same, at these addresses.
    pub(in crate::hostile) fn start_at(
        good: SocketAddrV4,
        evil: SocketAddrV4,
        place: Place,
    ) -> Result<Self, String> {
        let there = place.clone();
        std::thread::spawn(move || {
            let served = there.enter().and_then(|()| server::serve(&[("s1", good)], super::BODY));
            if let Err(error) = served {
                eprintln!("the server ended: {error}");
            }
        });
        let script = Arc::new(Mutex::new(plain as Script));
        let told = Arc::clone(&script);
        std::thread::spawn(move || {
            let _ = rustix::process::setpriority_process(None, NICE);
            if let Err(error) = place.enter().and_then(|()| serve(evil, &told)) {
                eprintln!("the hostile server ended: {error}");
            }
        });
        Ok(Self { good, evil, script })
    }

    /// Has the hostile server behave so on connections that come from now on.
    pub(in crate::hostile) fn behave(&self, script: Option<Script>) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = script.unwrap_or(plain);
    }
}

/// An answer with nothing in it.
fn plain(_: u64) -> Vec<Step> {
    vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())]
}

fn serve(address: SocketAddrV4, script: &Mutex<Script>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0_u64.. {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            while tasks.try_join_next().is_some() {}
            if tasks.len() < MOST {
                let steps = script.lock().unwrap_or_else(PoisonError::into_inner)(number);
                tasks.spawn_local(tokio::time::timeout(LIFE, talk(stream, steps)));
            }
        }
        Ok(())
    })
}

async fn talk(mut stream: TcpStream, steps: Vec<Step>) {
    let _ = stream.set_nodelay(true);
    let mut head = Vec::new();
    let whole = async {
        while !head.windows(4).any(|w| w == b"\r\n\r\n") && head.len() < HEAD {
            if matches!(stream.read_buf(&mut head).await, Ok(0) | Err(_)) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, whole).await;
    // The other side's way of ending it is no matter of ours.
    let _ = take(&mut stream, &steps).await;
}
