//! Commands on a change of role: run one after the other on a thread of their own, so that the agent never
//! waits for them and nobody sees a change before the one it followed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, chown};
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use failover_vrrp::{Command, Fifo, Notify, Role};
use rustix::fs::{CWD, FileType, Mode, mknodat};

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

/// What the thread is asked to do, for whom.
enum Job {
    Run(Command, String),
    Write(Fifo, String),
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
            self.send(Job::Run(command, router.to_owned()));
        }
        self.write(kind, router, notify, state.word(), priority);
    }

    /// Writes a changed priority into the pipes, where they are to know.
    pub(crate) fn tell_priority(&self, router: &str, notify: &Notify, is_master: bool, priority: u8) {
        if notify.priorities {
            let word = if is_master { "MASTER_PRIORITY" } else { "BACKUP_PRIORITY" };
            self.write("INSTANCE", router, notify, word, priority);
        }
    }

    fn write(&self, kind: &str, router: &str, notify: &Notify, word: &str, priority: u8) {
        for fifo in &notify.fifos {
            self.send(Job::Write(fifo.clone(), format!("{kind} \"{router}\" {word} {priority}\n")));
        }
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // A thread that has ended does nothing more.
            let _ = jobs.send(job);
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
    let mut pipes: BTreeMap<String, Pipe> = BTreeMap::new();
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Run(command, router) => {
                if let Err(error) = run(&command) {
                    tracing::error!(router, command = command.text(), %error, "notify failed");
                }
            }
            Job::Write(fifo, line) => {
                if let Err(error) = write(&mut pipes, &fifo, &line) {
                    tracing::error!(fifo = fifo.path, %error, "a change cannot be written down");
                }
            }
        }
    }
}

/// An open pipe and who reads it. Dropping it ends that one.
struct Pipe {
    file: File,
    reader: Option<Child>,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if let Some(reader) = &mut self.reader {
            command::kill(reader);
        }
    }
}

fn write(pipes: &mut BTreeMap<String, Pipe>, fifo: &Fifo, line: &str) -> Result<(), String> {
    if !pipes.contains_key(&fifo.path) {
        pipes.insert(fifo.path.clone(), open(fifo)?);
    }
    let Some(pipe) = pipes.get_mut(&fifo.path) else { return Ok(()) };
    // A line is whole or not there: it is shorter than what a pipe takes at once (pipe(7), PIPE_BUF).
    pipe.file.write_all(line.as_bytes()).map_err(|e| e.to_string())
}

fn open(fifo: &Fifo) -> Result<Pipe, String> {
    let path = Path::new(&fifo.path);
    let kind = std::fs::symlink_metadata(path).map(|about| about.file_type());
    match kind {
        Ok(kind) if !kind.is_fifo() => return Err("it is there, and no pipe".to_owned()),
        Ok(_) => {}
        Err(_) => {
            mknodat(CWD, path, FileType::Fifo, Mode::from_bits_truncate(0o600), 0)
                .map_err(|e| e.to_string())?;
            if let Some((user, group)) = command::ids(&fifo.owner)? {
                chown(path, Some(user), Some(group)).map_err(|e| e.to_string())?;
            }
        }
    }
    // Open for both: so it can be opened while nobody reads, and never ends for those who do.
    let open = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = open.map_err(|e| e.to_string())?;
    let reader = fifo.script.clone().map(|mut script| {
        script.words.push(fifo.path.clone());
        command::start(&script)
    });
    Ok(Pipe { file, reader: reader.transpose()? })
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use failover_vrrp::RunAs;

    use super::*;

    #[test]
    fn changes_are_written_into_a_pipe_and_its_reader_is_started() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("changes").to_string_lossy().into_owned();
        let copy = folder.path().join("copy");
        let script = Command::parse(&format!("/bin/sh -c 'head -n2 $0 > {}'", copy.display()), RunAs::Us);
        let fifo = Fifo { path, owner: RunAs::Us, script: Some(script) };
        let notify = Notify { fifos: vec![fifo], priorities: true, ..Notify::default() };
        let notifier = Notifier::start().unwrap();
        notifier.tell("INSTANCE", "web", &notify, State::Master, 100);
        notifier.tell_priority("web", &notify, true, 80);
        let begin = Instant::now();
        let mut text = String::new();
        while text.lines().count() < 2 {
            assert!(begin.elapsed() < PATIENCE, "{text}");
            text.clear();
            let _ = File::open(&copy).and_then(|mut file| file.read_to_string(&mut text));
            std::thread::sleep(LOOK);
        }
        assert_eq!(text, "INSTANCE \"web\" MASTER 100\nINSTANCE \"web\" MASTER_PRIORITY 80\n");
    }
}
