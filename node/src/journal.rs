//! What has moved the addresses of this node, and why: a file that outlives the process, one entry a line.

use std::io::Write;
use std::path::{Path, PathBuf};

use failover::{Change, What};
use serde::{Deserialize, Serialize};

use crate::behind::Behind;

/// The file's name in the state folder; the one before it has `.1` behind it.
const NAME: &str = "events.log";
/// Size at which a new file is begun: with the one before it, the last ten thousand entries or so.
const MAX_SIZE: u64 = 1024 * 1024;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// RFC 3339, in UTC.
    pub(crate) time: String,
    /// What it happened to: a virtual router, or `node`.
    pub(crate) of: String,
    /// What happened, in a word or two.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
}

/// Where entries are written; without a folder they are not. Nobody waits for it.
#[derive(Debug)]
pub(crate) struct Journal(Option<Behind<Entry>>);

impl Journal {
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        let path = folder.map(|folder| folder.join(NAME));
        let write = |path: PathBuf| {
            move |entry: Entry| {
                if let Err(error) = write(&path, &entry) {
                    tracing::warn!(path = %path.display(), %error, "an event cannot be written down");
                }
            }
        };
        // Without a thread there is no journal: a node that cannot start one has other troubles.
        Self(path.and_then(|path| Behind::start("journal", write(path)).ok()))
    }

    /// Takes note of a change that the agent tells.
    pub(crate) fn change(&self, change: &Change) {
        let detail = change.detail.as_deref();
        let (what, why) = match &change.what {
            What::Role(role, why) => {
                let why = detail
                    .map_or_else(|| why.words().to_owned(), |detail| format!("{}: {detail}", why.words()));
                (role.word().to_owned(), why)
            }
            What::Priority(before) => {
                let why = detail.map_or_else(|| "a condition changed".to_owned(), str::to_owned);
                (format!("priority {before} -> {}", change.priority), why)
            }
            What::Blocked(true) => (
                "its master is not heard".to_owned(),
                "advertisements do not arrive, and the members' channel says that it lives".to_owned(),
            ),
            What::Blocked(false) => {
                ("its master is heard".to_owned(), "advertisements arrive, or it is another one".to_owned())
            }
            What::Contested(who) => {
                let who = who.map_or_else(|| "another node".to_owned(), |who| who.to_string());
                ("stays master".to_owned(), format!("{who} claimed to be master, and is the lesser one"))
            }
            What::PutBack(address) => {
                (format!("{address} put back"), "somebody else had removed it".to_owned())
            }
        };
        self.note(&change.router, &what, &why);
    }

    /// Takes note of something that happened to the node.
    pub(crate) fn node(&self, what: &str, why: &str) {
        self.note("node", what, why);
    }

    fn note(&self, of: &str, what: &str, why: &str) {
        let Some(journal) = &self.0 else { return };
        let entry = Entry {
            time: jiff::Timestamp::now().to_string(),
            of: of.to_owned(),
            what: what.to_owned(),
            why: why.to_owned(),
        };
        if !journal.give(entry) {
            tracing::warn!(of, what, why, "an event is not written down: the disk does not keep up");
        }
    }
}

fn write(path: &Path, entry: &Entry) -> std::io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|about| about.len() > MAX_SIZE) {
        std::fs::rename(path, before(path))?;
    }
    let mut line = serde_json::to_string(entry)?;
    line.push('\n');
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

fn before(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

/// Every entry of a state folder, oldest first; a line that makes no sense is passed over.
///
/// # Errors
/// There is no such file, or it cannot be read.
pub(crate) fn read(folder: &Path) -> std::io::Result<Vec<Entry>> {
    let path = folder.join(NAME);
    let old = std::fs::read_to_string(before(&path)).unwrap_or_default();
    let new = std::fs::read_to_string(&path)?;
    Ok(old.lines().chain(new.lines()).filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use failover::{Role, Why};

    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(Some(folder.path()));
        let change = |what, detail: Option<&str>| Change {
            router: "web".to_owned(),
            what,
            priority: 80,
            detail: detail.map(str::to_owned),
        };
        journal.change(&change(What::Role(Role::Master, Why::MasterSilent), None));
        journal.change(&change(What::Priority(100), Some("'chk' has failed")));
        journal.node("cannot serve", "the worker ended");
        drop(journal);
        let said = |entries: Vec<Entry>| -> Vec<String> {
            entries.into_iter().map(|e| format!("{} {} {}", e.of, e.what, e.why)).collect()
        };
        let expected = [
            "web master the master fell silent",
            "web priority 100 -> 80 'chk' has failed",
            "node cannot serve the worker ended",
        ];
        assert_eq!(said(read(folder.path()).unwrap()), expected);
        let path = folder.path().join(NAME);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text + &"x".repeat(1024 * 1024) + "\n").unwrap();
        let journal = Journal::new(Some(folder.path()));
        journal.node("starts", "");
        drop(journal);
        assert!(std::fs::metadata(&path).unwrap().len() < 200);
        assert_eq!(read(folder.path()).unwrap().len(), 4);
    }
}
