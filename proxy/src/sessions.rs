//! The sessions of all cores, for `show sess`: each core is asked for a few at a time, and goes on with its traffic in
//! between.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use crate::Proxy;
use crate::clock::now_ms;

/// How long a core may take to answer; it is then left out.
const MAIL_WAIT: Duration = Duration::from_millis(500);
/// Places that a core looks at for one answer: some ten microseconds.
const PLACES_A_STEP: usize = 256;

/// One session for `show sess`.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// The core it lives on.
    pub core: usize,
    /// Its place there.
    pub place: usize,
    /// The frontend's name.
    pub frontend: String,
    /// The client.
    pub source: SocketAddr,
    /// The backend's name, once chosen.
    pub backend: Option<String>,
    /// The server's name, once chosen.
    pub server: Option<String>,
    /// Milliseconds since it was accepted.
    pub age_ms: u64,
    /// Requests so far.
    pub requests: u64,
}

/// What comes next of the sessions.
#[derive(Debug)]
pub enum SessionsStep {
    /// These; perhaps none.
    Rows(Vec<SessionRow>),
    /// A core has not answered yet.
    Later,
    /// That was all.
    Over,
}

/// A walk through the sessions of all cores.
pub struct Sessions {
    proxy: Proxy,
    core: usize,
    place: usize,
    asked: Option<(Receiver<Part>, Instant)>,
}

/// A core's answer, as it has it: names are looked up elsewhere.
struct Part {
    marks: Vec<(usize, Mark)>,
    /// Where the next part begins; `None`: there is none.
    next: Option<usize>,
}

struct Mark {
    frontend: usize,
    source: SocketAddr,
    began_ms: u64,
    requests: u64,
    backend: Option<usize>,
    server: Option<usize>,
}

impl Proxy {
    /// Begins a walk through all sessions.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions { proxy: self.clone(), core: 0, place: 0, asked: None }
    }
}

impl Sessions {
    /// The next step; it does not wait.
    pub fn step(&mut self) -> SessionsStep {
        let Some((answer, since)) = &self.asked else {
            return self.ask();
        };
        match answer.try_recv() {
            Ok(part) => {
                let rows = part.marks.into_iter().map(|(place, mark)| self.row(place, mark)).collect();
                self.asked = None;
                match part.next {
                    Some(place) => self.place = place,
                    None => self.next_core(),
                }
                SessionsStep::Rows(rows)
            }
            Err(TryRecvError::Empty) if since.elapsed() < MAIL_WAIT => SessionsStep::Later,
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {
                self.next_core();
                SessionsStep::Later
            }
        }
    }

    fn next_core(&mut self) {
        self.asked = None;
        self.place = 0;
        self.core += 1;
    }

    fn ask(&mut self) -> SessionsStep {
        // The mailboxes stand in the order in which the cores were started, the last one first.
        let mailbox = self.proxy.shared.mailboxes.read().iter().rev().nth(self.core).cloned();
        let Some(mailbox) = mailbox else { return SessionsStep::Over };
        let (sender, answer) = sync_channel(1);
        let place = self.place;
        let mail = move |core: &std::rc::Rc<crate::core::Core>| {
            let sessions = core.sessions.borrow();
            let end = place + PLACES_A_STEP;
            let marks = (place..end).filter_map(|place| {
                let mark = sessions.get(place)?;
                let mark = Mark {
                    frontend: mark.frontend,
                    source: mark.source,
                    began_ms: mark.began_ms,
                    requests: mark.requests.get(),
                    backend: mark.backend.get(),
                    server: mark.server.get(),
                };
                Some((place, mark))
            });
            // Whoever asked may have gone.
            let _ = sender.try_send(Part {
                marks: marks.collect(),
                next: Some(end).filter(|end| *end < sessions.capacity()),
            });
        };
        self.asked = Some((answer, Instant::now()));
        if mailbox.try_send(Box::new(mail)).is_err() {
            self.next_core();
        }
        SessionsStep::Later
    }

    fn row(&self, place: usize, mark: Mark) -> SessionRow {
        let config = &self.proxy.shared.config;
        let backend = mark.backend.map(|b| &config.backends[b]);
        SessionRow {
            core: self.core,
            place,
            frontend: config.frontends[mark.frontend].name.clone(),
            source: mark.source,
            backend: backend.map(|b| b.name.clone()),
            server: backend.zip(mark.server).map(|(b, s)| b.servers[s].name.clone()),
            age_ms: now_ms().saturating_sub(mark.began_ms),
            requests: mark.requests,
        }
    }
}
