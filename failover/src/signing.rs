//! Keeps what must outlive the process of the members' signatures: this node's session, and those of the others. The
//! session is on the disk before the first advertisement is sent; what changes later is written by a thread of its own,
//! since advertisements wait for no disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use failover_vrrp::Micros;
use failover_vrrp::signing::{ClusterKey, Memory, News, Signer, Signs, Source};

/// The file's name in the state folder.
const NAME: &str = "adverts.state";
/// Largest such file that is read: a thousand sources fit.
const MAX_FILE: u64 = 256 * 1024;
/// How often counters are written: what was recorded in the last so many microseconds before a receiver is killed could
/// be believed once by the next one, and a disk is written to no more often.
const COUNTERS_EVERY: Micros = Micros(5_000_000);
/// How long a stop waits for the last writing.
const LAST: Duration = Duration::from_millis(500);

/// By what advertisements are signed, and where it is kept what is known of that.
#[derive(Clone, Debug)]
pub struct Signing {
    /// The cluster's key.
    pub key: ClusterKey,
    /// The state folder; without one nothing is remembered over a restart.
    pub folder: Option<PathBuf>,
}

/// How signing stands, for people.
#[derive(Clone, Debug)]
pub struct SigningStatus {
    /// By which key this node signs, and in which session.
    pub signs: Signs,
    /// What is known of each address that signatures come from.
    pub sources: BTreeMap<IpAddr, Source>,
    /// Why nothing was remembered at the start, where something should have been.
    pub forgotten: Option<String>,
    /// Why it cannot be remembered what is known now.
    pub trouble: Option<String>,
}

/// The signer of a node with what is remembered of it.
pub(crate) struct Keeper {
    pub(crate) signer: Signer,
    forgotten: Option<String>,
    writer: Option<Writer>,
    written: Micros,
}

impl Keeper {
    /// Reads what is remembered, begins a session, and writes that down. A disk that fails keeps nobody from starting:
    /// the status says so, and the session is above the last one by the clock.
    pub(crate) fn open(signing: &Signing, members: BTreeSet<IpAddr>) -> Self {
        let (memory, forgotten) = match signing.folder.as_deref().map(read) {
            None => (Memory::default(), Some("there is no state folder".to_owned())),
            Some(Ok(memory)) => (memory, None),
            Some(Err(why)) => (Memory::default(), Some(why)),
        };
        if let Some(why) = &forgotten {
            tracing::info!(why, "it is not remembered which members sign their advertisements");
        }
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut signer = Signer::new(&signing.key, members, &memory, clock);
        let writer = signing.folder.as_deref().map(|folder| {
            let text = signer.take_memory().text();
            let first = write(folder, &text, true);
            Writer::start(folder.to_path_buf(), first)
        });
        Self { signer, forgotten, writer, written: Micros(0) }
    }

    /// Has written down what has changed.
    pub(crate) fn keep(&mut self, now: Micros) {
        let is_due = |news| news == News::Session || now >= self.written.after(COUNTERS_EVERY);
        let Some(news) = self.signer.news().filter(|news| is_due(*news)) else { return };
        let memory = self.signer.take_memory();
        self.written = now;
        if let Some(writer) = &self.writer {
            writer.give(Job { text: memory.text(), is_lasting: news == News::Session });
        }
    }

    pub(crate) fn status(&self) -> SigningStatus {
        SigningStatus {
            signs: self.signer.signs(),
            sources: self.signer.sources(),
            forgotten: self.forgotten.clone(),
            trouble: self.writer.as_ref().and_then(Writer::trouble),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let text = self.signer.take_memory().text();
        if let Some(writer) = &self.writer {
            writer.give(Job { text, is_lasting: true });
            writer.end();
        }
    }
}

/// What is to be written, and whether it must outlive the machine.
struct Job {
    text: String,
    is_lasting: bool,
}

/// Writes the newest of what it is given; what it had no time for is replaced.
struct Writer(Arc<(Mutex<Desk>, Condvar)>);

#[derive(Default)]
struct Desk {
    job: Option<Job>,
    is_busy: bool,
    is_over: bool,
    trouble: Option<String>,
}

impl Writer {
    fn start(folder: PathBuf, first: io::Result<()>) -> Self {
        let desk = Arc::new((Mutex::new(Desk::default()), Condvar::new()));
        note(&mut lock(&desk.0), &folder, first);
        let shared = Arc::clone(&desk);
        let spawned =
            std::thread::Builder::new().name("adverts".to_owned()).spawn(move || serve(&folder, &shared));
        if let Err(error) = spawned {
            lock(&desk.0).trouble = Some(format!("no thread that writes: {error}"));
        }
        Self(desk)
    }

    fn give(&self, job: Job) {
        let mut desk = lock(&self.0.0);
        // What must last still must if something newer comes that need not.
        let must_last = desk.job.as_ref().is_some_and(|job| job.is_lasting);
        desk.job = Some(Job { is_lasting: job.is_lasting || must_last, ..job });
        self.0.1.notify_all();
    }

    fn trouble(&self) -> Option<String> {
        lock(&self.0.0).trouble.clone()
    }

    /// Ends when everything is written, or does not wait for a disk that takes longer.
    fn end(&self) {
        let mut desk = lock(&self.0.0);
        desk.is_over = true;
        self.0.1.notify_all();
        let waits = |desk: &mut Desk| desk.job.is_some() || desk.is_busy;
        let ended = self.0.1.wait_timeout_while(desk, LAST, waits);
        if ended.is_ok_and(|(_, waited)| waited.timed_out()) {
            tracing::warn!("the disk does not keep up: the last counters of advertisements are not written");
        }
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note(desk: &mut Desk, folder: &Path, written: io::Result<()>) {
    let trouble =
        written.err().map(|error| format!("cannot write '{}' : {error}", folder.join(NAME).display()));
    if let Some(why) = trouble.as_ref().filter(|_| desk.trouble.is_none()) {
        tracing::warn!(why, "the sessions of advertisements will be forgotten by a restart");
    }
    desk.trouble = trouble;
}

fn serve(folder: &Path, (desk, changed): &(Mutex<Desk>, Condvar)) {
    loop {
        let waits = |desk: &mut Desk| desk.job.is_none() && !desk.is_over;
        let guard = changed.wait_while(lock(desk), waits).unwrap_or_else(PoisonError::into_inner);
        let mut guard = guard;
        let Some(job) = guard.job.take() else { return };
        guard.is_busy = true;
        drop(guard);
        let written = write(folder, &job.text, job.is_lasting);
        let mut guard = lock(desk);
        guard.is_busy = false;
        note(&mut guard, folder, written);
        changed.notify_all();
    }
}

/// What is remembered.
///
/// # Errors
/// Why it is not.
fn read(folder: &Path) -> Result<Memory, String> {
    let path = folder.join(NAME);
    let say = |why: &dyn std::fmt::Display| format!("'{}' : {why}", path.display());
    // A pipe of that name would be waited for.
    let about = fs::metadata(&path).map_err(|e| say(&e))?;
    if !about.is_file() || about.len() > MAX_FILE {
        return Err(say(&"it is no file that this program has written"));
    }
    let text = fs::read_to_string(&path).map_err(|e| say(&e))?;
    Memory::read(&text).ok_or_else(|| say(&"it is damaged"))
}

/// Replaces the file: there is the old one or the new one, never a part.
fn write(folder: &Path, text: &str, is_lasting: bool) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let fresh = folder.join(format!(".{NAME}.new"));
    // A name that is left over may be somebody else's link.
    let _ = fs::remove_file(&fresh);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    if is_lasting {
        file.sync_all()?;
    }
    fs::rename(&fresh, folder.join(NAME))?;
    if is_lasting { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use failover_vrrp::signing::{Flaw, Verdict};

    use super::*;

    fn host(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn open(folder: &Path) -> Keeper {
        let signing = Signing { key: ClusterKey::new([3; 32]), folder: Some(folder.to_path_buf()) };
        Keeper::open(&signing, [host(1), host(2)].into())
    }

    /// A message of host 1 for host 2, and its signature.
    fn signed(sender: &mut Keeper) -> (Vec<u8>, Vec<u8>) {
        let mut message = vec![0x31, 51, 200, 0, 0, 100, 0, 0];
        sender.signer.sign(&mut message, host(1), host(2));
        let trailer = message.split_off(8);
        (message, trailer)
    }

    fn hear(receiver: &mut Keeper, (message, trailer): &(Vec<u8>, Vec<u8>)) -> Verdict {
        receiver.signer.check(message, trailer, host(1), host(2))
    }

    #[test]
    fn sessions_and_sources_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        let (mut sender, mut receiver) = (open(&one), open(&two));
        let first = sender.signer.signs().session;
        assert_eq!(Memory::read(&fs::read_to_string(one.join(NAME)).unwrap()).unwrap().session, first);
        assert_eq!(fs::metadata(one.join(NAME)).unwrap().permissions().mode() & 0o777, 0o600);
        let old = signed(&mut sender);
        assert_eq!(hear(&mut receiver, &old), Verdict::Signed);
        receiver.keep(Micros(1));
        drop((sender, receiver));
        let (mut sender, mut receiver) = (open(&one), open(&two));
        assert!(sender.signer.signs().session > first);
        assert_eq!(hear(&mut receiver, &old), Verdict::Refused(Flaw::Replay));
        assert_eq!(hear(&mut receiver, &(old.0.clone(), vec![])), Verdict::Refused(Flaw::Unsigned));
        assert_eq!(hear(&mut receiver, &signed(&mut sender)), Verdict::Signed);
        assert_eq!(hear(&mut receiver, &old), Verdict::Refused(Flaw::Session));
    }

    #[test]
    fn a_lost_or_damaged_file_is_said_and_permissive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let forgotten = |keeper: &Keeper| keeper.status().forgotten.unwrap_or_default();
        assert!(forgotten(&open(folder.path())).contains("No such file"));
        assert_eq!(forgotten(&open(folder.path())), "");
        fs::write(&path, "tandem advertisements 1\nkey 0").unwrap();
        let mut keeper = open(folder.path());
        assert!(forgotten(&keeper).ends_with("it is damaged"));
        assert_eq!(hear(&mut keeper, &(vec![0x31, 51], vec![])), Verdict::Unsigned);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        drop(keeper);
        assert!(forgotten(&open(folder.path())).contains("no file that this program has written"));
    }

    /// The folder is a file: neither can anything be read nor written.
    #[test]
    fn a_disk_that_fails_keeps_nobody_from_signing() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = folder.path().join("file");
        fs::write(&wrong, "").unwrap();
        let mut keeper = open(&wrong);
        let trouble = keeper.status().trouble.unwrap_or_default();
        assert!(trouble.starts_with("cannot write '"), "{trouble}");
        let mut receiver = open(&folder.path().join("two"));
        assert_eq!(hear(&mut receiver, &signed(&mut keeper)), Verdict::Signed);
        drop(keeper);
        // By the clock alone, the next session is a later one.
        assert_eq!(hear(&mut receiver, &signed(&mut open(&wrong))), Verdict::Signed);
    }

    #[test]
    fn counters_are_written_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        let (mut sender, mut receiver) = (open(&one), open(&two));
        let mut turn = |now: u64| {
            assert_eq!(hear(&mut receiver, &signed(&mut sender)), Verdict::Signed);
            receiver.keep(Micros(now));
            receiver.signer.news()
        };
        assert_eq!(turn(1), None, "a session has begun");
        assert_eq!(turn(5_000_000), Some(News::Counters));
        assert_eq!(turn(5_000_001), None);
    }
}
