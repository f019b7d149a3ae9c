//! Commands on a change of role: run one after the other on a thread of their own, so that the agent never
//! waits for them and nobody sees a change before the one it followed.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, chown};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use failover_vrrp::{Command, Fifo, Notify, Role};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::command;

/// A command that runs longer is killed: the next change must not wait for ever.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether a command has ended.
const LOOK: Duration = Duration::from_millis(20);
/// Commands and lines that may wait; beyond that the least important are dropped.
const MAX_WAITING: usize = 1_024;
/// How long the end may take.
const ENDING: Ending = Ending {
    earlier: Duration::from_secs(2),
    orderly: Duration::from_secs(4),
    whole: Duration::from_secs(5),
};

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

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
        }
    }
}

/// What a command or a line is about: the lesser is dropped first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    /// Another one claims to be master, which may come again every interval.
    Lesser,
    Change,
    /// The node ends: this is the last that anybody hears.
    Stop,
}

/// What the thread is asked to do, for whom.
struct Job {
    task: Task,
    router: String,
    about: About,
}

enum Task {
    Run(Command),
    Write(Fifo, String),
}

/// How long the end may take, counted from its beginning.
#[derive(Clone, Copy)]
struct Ending {
    /// Commands of earlier changes are killed, and those that still wait are dropped.
    earlier: Duration,
    /// Commands of the end have run one after the other; from now on they are started, and nobody waits for them.
    orderly: Duration,
    /// Whatever goes on then goes on without us.
    whole: Duration,
}

/// What waits for the thread.
#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Dropped since the thread has last said so.
    dropped: u64,
    /// Since when the end goes on.
    ending: Option<Instant>,
    /// The thread has started everything that it will.
    is_done: bool,
}

impl Queue {
    fn push(&mut self, job: Job) {
        self.jobs.push_back(job);
        if self.jobs.len() > MAX_WAITING
            && let Some(least) = self.jobs.iter().map(|job| job.about).min()
            && let Some(oldest) = self.jobs.iter().position(|job| job.about == least)
        {
            self.jobs.remove(oldest);
            self.dropped += 1;
        }
    }

    /// Earlier changes have had their time: lines are written at once and stay.
    fn drop_earlier(&mut self) {
        let before = self.jobs.len();
        self.jobs.retain(|job| job.about == About::Stop || matches!(job.task, Task::Write(..)));
        self.dropped += (before - self.jobs.len()) as u64;
    }

    fn has_been_ending_for(&self, time: Duration) -> bool {
        self.ending.is_some_and(|since| since.elapsed() >= time)
    }
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    times: Ending,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be done next; waits for it. `None`: nothing will be any more.
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            if queue.has_been_ending_for(self.times.earlier) {
                queue.drop_earlier();
            }
            let dropped = std::mem::take(&mut queue.dropped);
            if dropped > 0 {
                tracing::error!(dropped, "notify commands take too long: some were never run");
            }
            match queue.jobs.pop_front() {
                Some(job) => return Some(job),
                None if queue.ending.is_some() => return None,
                None => queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Whether a command has had the time that the end leaves it.
    fn is_over(&self, about: About) -> bool {
        let time = if about == About::Stop { self.times.orderly } else { self.times.earlier };
        self.queue().has_been_ending_for(time)
    }
}

/// The thread that runs commands. Dropping it waits for those that are under way, as long as the end may take.
pub(crate) struct Notifier(Arc<Shared>);

impl Notifier {
    pub(crate) fn start() -> std::io::Result<Self> {
        Self::with(ENDING)
    }

    fn with(times: Ending) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), times });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("notify".to_owned()).spawn(move || work(&theirs))?;
        Ok(Self(shared))
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
        let about = if state == State::Stop { About::Stop } else { About::Change };
        for command in own.iter().cloned().chain(general) {
            self.send(Task::Run(command), router, about);
        }
        self.write((kind, router), notify, state.word(), priority, about);
    }

    /// Has the command run for a master that hears a lesser one.
    pub(crate) fn tell_lesser(&self, router: &str, notify: &Notify, priority: u8) {
        for command in notify.lesser.iter().cloned() {
            self.send(Task::Run(command), router, About::Lesser);
        }
        self.write(("INSTANCE", router), notify, "MASTER_RX_LOWER_PRI", priority, About::Lesser);
    }

    /// Writes a changed priority into the pipes, where they are to know.
    pub(crate) fn tell_priority(&self, router: &str, notify: &Notify, is_master: bool, priority: u8) {
        if notify.priorities {
            let word = if is_master { "MASTER_PRIORITY" } else { "BACKUP_PRIORITY" };
            self.write(("INSTANCE", router), notify, word, priority, About::Change);
        }
    }

    /// Writes a state into the pipes again, where they are to know it after a reload.
    pub(crate) fn write_again(&self, kind: &str, router: &str, notify: &Notify, state: State, priority: u8) {
        if notify.on_reload {
            self.write((kind, router), notify, state.word(), priority, About::Change);
        }
    }

    fn write(&self, (kind, router): (&str, &str), notify: &Notify, word: &str, priority: u8, about: About) {
        for fifo in &notify.fifos {
            let line = format!("{kind} \"{router}\" {word} {priority}\n");
            self.send(Task::Write(fifo.clone(), line), router, about);
        }
    }

    fn send(&self, task: Task, router: &str, about: About) {
        self.0.queue().push(Job { task, router: router.to_owned(), about });
        self.0.changed.notify_all();
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.ending = Some(Instant::now());
        self.0.changed.notify_all();
        let wait = self.0.changed.wait_timeout_while(queue, self.0.times.whole, |queue| !queue.is_done);
        let (_queue, waited) = wait.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            tracing::error!("notify commands have not ended, and are not waited for");
        }
    }
}

fn work(shared: &Shared) {
    let mut pipes: BTreeMap<String, Pipe> = BTreeMap::new();
    let mut unfinished = Vec::new();
    while let Some(Job { task, router, about }) = shared.next() {
        match task {
            Task::Run(command) => match run(&command, about, shared) {
                Ok(child) => unfinished.extend(child),
                Err(error) => tracing::error!(router, command = command.text(), %error, "notify failed"),
            },
            Task::Write(fifo, line) => {
                if let Err(error) = write(&mut pipes, &fifo, &line) {
                    tracing::error!(fifo = fifo.path, %error, "a change cannot be written down");
                }
            }
        }
    }
    drop(pipes);
    shared.queue().is_done = true;
    shared.changed.notify_all();
    // The process may go on: it does not keep what has ended, nor let run what does not end.
    for mut child in unfinished {
        let _ = end(&mut child, || false);
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

/// Runs a command; the child, where it goes on and nobody waits for it.
fn run(command: &Command, about: About, shared: &Shared) -> Result<Option<Child>, String> {
    let mut child = command::start(command)?;
    match end(&mut child, || shared.is_over(about))? {
        Some(status) if status.success() => Ok(None),
        Some(status) => Err(status.to_string()),
        None if about == About::Stop => Ok(Some(child)),
        None => {
            command::kill(&mut child);
            Err("the node ends, and it was killed".to_owned())
        }
    }
}

/// Waits for a command to end; `None`: it has not, and its time is over.
fn end(child: &mut Child, is_over: impl Fn() -> bool) -> Result<Option<ExitStatus>, String> {
    let begin = Instant::now();
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => return Ok(Some(status)),
            None if is_over() => return Ok(None),
            None if begin.elapsed() > PATIENCE => {
                command::kill(child);
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

    fn line(word: &str, about: About) -> Job {
        let fifo = Fifo { path: word.to_owned(), owner: RunAs::Us, script: None };
        Job { task: Task::Write(fifo, word.to_owned()), router: "web".to_owned(), about }
    }

    fn words(queue: &Queue) -> Vec<&str> {
        let mut words = Vec::new();
        for job in &queue.jobs {
            if let Task::Write(_, word) = &job.task {
                words.push(word.as_str());
            }
        }
        words
    }

    #[test]
    fn what_is_dropped_is_the_oldest_of_the_least() {
        let mut queue = Queue::default();
        queue.push(line("stop", About::Stop));
        queue.push(line("lesser", About::Lesser));
        for _ in 2..MAX_WAITING {
            queue.push(line("change", About::Change));
        }
        assert_eq!((queue.jobs.len(), queue.dropped), (MAX_WAITING, 0));
        queue.push(line("last", About::Change));
        assert_eq!((queue.jobs.len(), queue.dropped), (MAX_WAITING, 1));
        assert!(!words(&queue).contains(&"lesser"));
        queue.push(line("lesser", About::Lesser));
        assert!(!words(&queue).contains(&"lesser"), "it is the least even if it is new");
        for _ in 0..MAX_WAITING - 2 {
            queue.push(line("later", About::Change));
        }
        assert_eq!(words(&queue)[..3], ["stop", "last", "later"]);
        assert_eq!((queue.jobs.len(), queue.dropped), (MAX_WAITING, MAX_WAITING as u64));
    }

    #[test]
    fn the_end_is_short_and_its_commands_run() {
        let folder = tempfile::tempdir().unwrap();
        let [started, mark, heard] = ["started", "mark", "heard"].map(|name| folder.path().join(name));
        let shell = |script: &str| Command::parse(&format!("/bin/sh -c '{script}'"), RunAs::Us);
        let first = Notify {
            master: Some(shell(&format!("touch {}; exec sleep 60", started.display()))),
            // It waits for the second one.
            stop: Some(shell(&format!(
                "while test -d {} -a ! -e {}; do sleep 0.1; done; touch {}",
                folder.path().display(),
                mark.display(),
                heard.display()
            ))),
            ..Notify::default()
        };
        let second = Notify {
            master: Some(shell("exec sleep 60")),
            stop: Some(shell(&format!("touch {}", mark.display()))),
            ..Notify::default()
        };
        let (earlier, orderly) = (Duration::from_millis(50), Duration::from_millis(100));
        let notifier = Notifier::with(Ending { earlier, orderly, whole: PATIENCE }).unwrap();
        let begin = Instant::now();
        let until = |path: &Path| {
            while !path.exists() {
                assert!(begin.elapsed() < PATIENCE, "{}", path.display());
                std::thread::sleep(LOOK);
            }
        };
        for state in [State::Master, State::Stop] {
            notifier.tell("INSTANCE", "first", &first, state, 100);
            notifier.tell("INSTANCE", "second", &second, state, 100);
            until(&started);
        }
        drop(notifier);
        until(&heard);
    }
}
