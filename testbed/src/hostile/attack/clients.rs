//! The attacker: up to so many connections at once, so many new ones a second, each of which takes its steps. Then it
//! falls silent, keeps what is open, and at last lets go.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpSocket, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::step::{Step, Stream, take};
use crate::hostile::program::Place;

/// Connections of the attacker at once.
pub(in crate::hostile) const CONNECTIONS: usize = 1_000;
/// New connections are made in such steps.
const TICK: Duration = Duration::from_millis(5);
/// A connection that is not made within this is none.
const CONNECT: Duration = Duration::from_secs(1);
/// The attacker's threads yield to those that measure.
const NICE: i32 = 10;

/// Whom the attacker connects to.
#[derive(Clone, Debug)]
pub(in crate::hostile) enum Whom {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The steps of a connection by its number.
pub(in crate::hostile) type Script = fn(u64) -> Vec<Step>;

/// What the attacker does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Attacks,
    IsSilent,
    LetsGo,
}

/// An attacker at work.
pub(in crate::hostile) struct Attacker {
    phase: watch::Sender<Phase>,
    connected: Arc<AtomicU64>,
    thread: JoinHandle<io::Result<()>>,
}

impl Attacker {
    pub(in crate::hostile) fn start(whom: Whom, rate: u32, script: Script, place: Place) -> Self {
        let (phase, phases) = watch::channel(Phase::Attacks);
        let connected = Arc::<AtomicU64>::default();
        let count = Arc::clone(&connected);
        let thread = std::thread::spawn(move || {
            place.enter()?;
            let _ = rustix::process::setpriority_process(None, NICE);
            attack(&whom, rate, script, &place.sources, &phases, &count)
        });
        Self { phase, connected, thread }
    }

    /// Connections made so far.
    pub(in crate::hostile) fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Neither opens nor sends from now on, and keeps what is open.
    pub(in crate::hostile) fn fall_silent(&self) {
        self.phase.send_replace(Phase::IsSilent);
    }

    /// Closes everything.
    pub(in crate::hostile) fn let_go(self) -> Result<(), String> {
        self.phase.send_replace(Phase::LetsGo);
        let ended = self.thread.join().map_err(|_| "the attacker died")?;
        ended.map_err(|e| format!("the attacker: {e}"))
    }
}

fn attack(
    whom: &Whom,
    rate: u32,
    script: Script,
    sources: &[Ipv4Addr],
    phases: &watch::Receiver<Phase>,
    connected: &Arc<AtomicU64>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async {
        let mut clock = tokio::time::interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut tasks = JoinSet::new();
        let (mut number, mut due) = (0_u64, 0.0);
        while *phases.borrow() == Phase::Attacks {
            clock.tick().await;
            while tasks.try_join_next().is_some() {}
            due += f64::from(rate) * TICK.as_secs_f64();
            while due >= 1.0 {
                due -= 1.0;
                if tasks.len() >= CONNECTIONS {
                    break;
                }
                let (whom, phases, steps) = (whom.clone(), phases.clone(), script(number));
                let connected = Arc::clone(connected);
                let turn = usize::try_from(number).unwrap_or_default() % sources.len().max(1);
                let source = sources.get(turn).copied();
                tasks.spawn_local(async move {
                    if let Ok(mut stream) = connect(&whom, source).await {
                        connected.fetch_add(1, Ordering::Relaxed);
                        act(&mut *stream, &steps, phases).await;
                    }
                });
                number += 1;
            }
        }
        let mut phases = phases.clone();
        // A sender that is gone lets go, too.
        let _ = phases.wait_for(|phase| *phase == Phase::LetsGo).await;
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
    });
    Ok(())
}

/// Takes the steps while the attack lasts; then holds what is open.
async fn act(stream: &mut dyn Stream, steps: &[Step], mut phases: watch::Receiver<Phase>) {
    let silent = phases.wait_for(|phase| *phase != Phase::Attacks);
    tokio::select! {
        // Who has taken all steps closes; who was ended by the other side, too.
        _ = take(stream, steps) => return,
        _ = silent => {}
    }
    let _ = phases.wait_for(|phase| *phase == Phase::LetsGo).await;
}

async fn connect(whom: &Whom, source: Option<Ipv4Addr>) -> io::Result<Box<dyn Stream>> {
    let connecting = async {
        match whom {
            Whom::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?) as Box<dyn Stream>),
            Whom::Tcp(address) => {
                let socket = TcpSocket::new_v4()?;
                if let Some(source) = source {
                    socket.bind(SocketAddr::from((source, 0)))?;
                }
                let stream = socket.connect(*address).await?;
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream) as Box<dyn Stream>)
            }
        }
    };
    tokio::time::timeout(CONNECT, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
