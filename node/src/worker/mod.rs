//! The process that carries traffic: it is given its sockets and its configuration, reads its secrets,
//! drops every privilege before its first thread starts, and ends when its supervisor does.

pub(crate) mod privileges;
mod service;

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::behind::{LogBehind, last_lines};
use crate::config::{Everything, Texts};
use crate::link::{AsyncLink, Body, Kind, Link, Nothing, Report, Word, seal, unseal};

pub(crate) use privileges::drop_all as drop_privileges;
pub(crate) use service::{Before, Parts, Plan, Service, advert_key, certificates, drained, identity, start};

/// How often the supervisor is told how things are.
const REPORT: Duration = Duration::from_millis(50);
/// Between two reports, however many servers change.
const SHORTEST_REST: Duration = Duration::from_millis(2);

/// What the supervisor hands to a child before it says go.
pub(crate) struct Handed {
    pub(crate) member: String,
    pub(crate) cores: usize,
    pub(crate) everything: Everything,
    pub(crate) parts: Parts,
    pub(crate) before: Before,
}

/// The life of a worker.
pub(crate) fn run() -> Result<(), String> {
    name("tandem-worker");
    let link = Link::inherited().map_err(|_| "this is started by 'tandem run' only".to_owned())?;
    let handed = receive(&link).map_err(|e| format!("the supervisor's words make no sense: {e}"))?;
    let identity = identity(&handed.everything, &handed.member)?;
    let tls = certificates(&handed.everything)?;
    proxy::remember_time_zone();
    let limits = crate::limits::secure(&handed.everything, handed.cores)?;
    for note in drop_privileges(&handed.everything.proxy.global)? {
        tracing::warn!("{note}");
    }
    // After the change of user, which clears it.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| e.to_string())?;
    crate::sandbox::confine();
    // Its thread is confined as the others are.
    let _log = LogBehind::begin();
    let Handed { member, cores, everything, parts, before } = handed;
    let link = SendLink(link);
    start(Plan { member, cores, everything, parts, identity, tls, limits, before }, move |service| {
        let SendLink(link) = link;
        async move {
            let why = match link.into_async() {
                Ok(link) => converse(&Rc::new(link), &service).await,
                Err(error) => Err(error),
            };
            if let Err(error) = why {
                tracing::error!(%error, "the link to the supervisor broke");
            }
            end();
        }
    })?;
    loop {
        std::thread::park();
    }
}

/// What this process is called in lists of processes.
pub(crate) fn name(name: &str) {
    // A name is a courtesy: without it the process runs as well.
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }
}

/// A link on its way to the service thread.
struct SendLink(Link);

/// Reads what the supervisor hands over, until it says go.
pub(crate) fn receive(link: &Link) -> std::io::Result<Handed> {
    let wrong = |what: &str| std::io::Error::other(what.to_owned());
    let mut started = None;
    let mut parts = Parts::default();
    let mut before = Before::default();
    loop {
        let (word, mut descriptors) = link.receive()?.ok_or_else(|| wrong("it is gone"))?;
        match word.body {
            Some(Body::Start(start)) => {
                let memory = descriptors.pop().ok_or_else(|| wrong("no configuration"))?;
                let texts: Texts =
                    prost::Message::decode(unseal(memory)?.as_slice()).map_err(std::io::Error::other)?;
                let everything =
                    texts.understand().ok_or_else(|| wrong("the configuration cannot be read"))?;
                started = Some((start, everything));
            }
            Some(Body::Given(given)) => match given.kind() {
                Kind::Bind => parts.sockets.binds.push(descriptors),
                Kind::Stats => parts.stats.extend(descriptors),
                Kind::Cluster => parts.cluster = descriptors.pop().map(|d: OwnedFd| TcpListener::from(d)),
                Kind::Channel => parts.channel = descriptors.pop().map(|d: OwnedFd| TcpListener::from(d)),
                Kind::Peers => {
                    let place = usize::try_from(given.index).map_err(std::io::Error::other)?;
                    parts.peers.extend(descriptors.pop().map(|d| (place, TcpListener::from(d))));
                }
                Kind::Servers => {
                    let memory = descriptors.pop().ok_or_else(|| wrong("no memory of servers"))?;
                    before.servers = serde_json::from_slice(&unseal(memory)?)?;
                }
                Kind::Teacher => before.teacher = descriptors.pop().map(UnixStream::from),
            },
            Some(Body::Go(_)) => {
                let (start, mut everything) = started.ok_or_else(|| wrong("go without a start"))?;
                everything.limit_connections(start.max_connections);
                let cores = usize::try_from(start.cores).unwrap_or(1);
                before.hold = start.hold;
                return Ok(Handed { member: start.member, cores, everything, parts, before });
            }
            _ => return Err(wrong("it said something unexpected")),
        }
    }
}

/// Talks with the supervisor until it is gone.
async fn converse(link: &Rc<AsyncLink>, service: &Rc<Service>) -> std::io::Result<()> {
    // Whoever stops the whole group means the supervisor, and this process follows it.
    let _terminate = signal(SignalKind::terminate())?;
    let _interrupt = signal(SignalKind::interrupt())?;
    tokio::task::spawn_local(report(Rc::clone(link), Rc::clone(service)));
    while let Some((word, descriptors)) = link.receive().await? {
        obey(link, service, word, descriptors);
    }
    Ok(())
}

fn obey(link: &Rc<AsyncLink>, service: &Rc<Service>, word: Word, mut descriptors: Vec<OwnedFd>) {
    // The supervisor can do without an answer, and clients cannot do without this process: whatever fails here, it goes
    // on. An answer without its memory file says that there is none.
    let answer = |name: &str, json: Result<Vec<u8>, serde_json::Error>, body: Body| {
        let memory = json.map_err(std::io::Error::from).and_then(|json| seal(name, &json));
        let sent = match &memory {
            Ok(memory) => link.send(word.id, body, &[memory.as_fd()]),
            Err(_) => link.send(word.id, body, &[]),
        };
        if let Some(error) = memory.err().or(sent.err()) {
            tracing::warn!(%error, what = name, "the supervisor's question cannot be answered");
        }
    };
    match word.body {
        Some(Body::Master(master)) => service.proxy.set_master(master),
        Some(Body::Leaving(leaving)) => service.proxy.set_leaving(leaving),
        Some(Body::StatusAsked(_)) => {
            answer("status", serde_json::to_vec(&service.view()), Body::StatusGiven(Nothing {}));
        }
        Some(Body::ServersAsked(_)) => {
            let known = service.proxy.known_servers();
            answer("servers", serde_json::to_vec(&known), Body::ServersGiven(Nothing {}));
        }
        Some(Body::Teach(_)) => match descriptors.pop() {
            Some(stream) => service.talk_to(stream.into(), false),
            None => tracing::warn!("the next worker's stream did not arrive: it learns no tables from here"),
        },
        Some(Body::Accept(_)) => service.proxy.set_accepting(),
        Some(Body::JoinNetwork(_)) => service.join_network(),
        Some(Body::Stop(stop)) if stop.soft => {
            service.proxy.set_stopping();
            tokio::task::spawn_local(drain(Rc::clone(link), Rc::clone(service)));
        }
        Some(Body::Stop(_)) => end(),
        _ => tracing::warn!("the supervisor said something unexpected"),
    }
}

/// Lets sessions end, then ends.
async fn drain(link: Rc<AsyncLink>, service: Rc<Service>) {
    service.proxy.until_deaf().await;
    let _ = link.send(0, Body::Deaf(Nothing {}), &[]);
    service.leave_network().await;
    // Where nobody listens any more, nobody waits for it.
    let _ = link.send(0, Body::NetworkLeft(Nothing {}), &[]);
    drained(&service.proxy).await;
    end();
}

/// Ends this process; its last words are written if somebody takes them.
fn end() -> ! {
    last_lines();
    std::process::exit(0);
}

async fn report(link: Rc<AsyncLink>, service: Rc<Service>) {
    let (sender, mut changed) = watch::channel(());
    service.proxy.on_server_change(Box::new(move || {
        sender.send_replace(());
    }));
    loop {
        changed.mark_unchanged();
        let (learnt, alone) = service.knowledge();
        let turns = service.proxy.turns();
        let (checks_done, usable) = (service.proxy.checks_done(), service.usable_servers());
        let deaf = service.proxy.is_deaf();
        let report = Report { turns, checks_done, learnt, alone, usable, deaf };
        // A supervisor that does not read is told again with the next report.
        let _ = link.send(0, Body::Report(report), &[]);
        tokio::time::sleep(SHORTEST_REST).await;
        // What becomes of servers is told at once; the proxy lives as long as this.
        let _ = tokio::time::timeout(REPORT - SHORTEST_REST, changed.changed()).await;
    }
}
