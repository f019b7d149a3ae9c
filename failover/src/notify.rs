//! Commands on a change of role: run one after the other on a thread of their own, so that the agent never
//! waits for them and nobody sees a change before the one it followed.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use failover_vrrp::{Command, Notify, Role};

use crate::command;

/// A command that runs longer is killed: the next change must not wait for ever.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether a command has ended.
const LOOK: Duration = Duration::from_millis(20);

/// What happened, in keepalived's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Master,
    Backup,
    Fault,
    Stop,
}

impl State {
    /// `stopping`: the node itself ends.
    pub(crate) fn of(role: Role, stopping: bool) -> Self {
        match role {
            Role::Master => Self::Master,
            Role::Backup => Self::Backup,
            Role::Initialize if stopping => Self::Stop,
            Role::Initialize => Self::Fault,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
        }
    }
}

struct Job {
    command: Command,
    router: String,
}

/// The thread that runs commands. Dropping it waits for those that are under way.
pub(crate) struct Notifier {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Notifier {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (jobs, receiver) = channel();
        let thread = std::thread::Builder::new().name("notify".to_owned()).spawn(move || work(&receiver))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has the commands run that a change asks for.
    /// `kind`: `INSTANCE`, or `GROUP` of several.
    pub(crate) fn tell(&self, kind: &str, router: &str, notify: &Notify, state: State, priority: u8) {
        let own = match state {
            State::Master => &notify.master,
            State::Backup => &notify.backup,
            State::Fault => &notify.fault,
            State::Stop => &notify.stop,
        };
        let general = notify.every.iter().map(|command| {
            let added = [kind.to_owned(), router.to_owned(), state.word().to_owned(), priority.to_string()];
            let mut command = command.clone();
            command.words.extend(added);
            command
        });
        for command in own.iter().cloned().chain(general) {
            if let Some(jobs) = &self.jobs {
                // A thread that has ended runs nothing more.
                let _ = jobs.send(Job { command, router: router.to_owned() });
            }
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        if let Err(error) = run(&job.command) {
            tracing::error!(router = job.router, command = job.command.text(), %error, "notify failed");
        }
    }
}

fn run(command: &Command) -> Result<(), String> {
    let mut child = command::start(command)?;
    let begin = Instant::now();
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(status.to_string()),
            None if begin.elapsed() > PATIENCE => {
                command::kill(&mut child);
                return Err(format!("it ran longer than {} s and was killed", PATIENCE.as_secs()));
            }
            None => std::thread::sleep(LOOK),
        }
    }
}
