//! What HAProxy answered, kept beside the case.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::effects::{VIEW, case, files};

/// That a line under test acts: how many lines of the observation change without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sensitivity {
    pub(super) line: usize,
    pub(super) changes: usize,
}

/// The file beside a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    /// Of the HAProxy that was asked.
    pub(super) version: String,
    /// Of the case's text.
    pub(super) hash: String,
    pub(super) lines: Vec<Sensitivity>,
    pub(super) haproxy: String,
    /// What is seen of Tandem, where it differs on purpose.
    pub(super) tandem: Option<String>,
}

/// FNV-1a: it tells texts apart, and stays the same.
pub(super) fn number(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

pub(super) fn hash(text: &str) -> String {
    format!("{:016x}", number(&format!("{VIEW}\n{text}")))
}

fn beside(case: &Path) -> PathBuf {
    case.with_extension("answer")
}

impl Answers {
    /// What is stored for a case, if anything is.
    pub(super) fn load(case: &Path) -> Result<Option<Self>, String> {
        let file = beside(case);
        let Ok(text) = std::fs::read_to_string(&file) else { return Ok(None) };
        Self::read(&text).map(Some).ok_or_else(|| format!("{}: not an answer; remove it", file.display()))
    }

    fn read(text: &str) -> Option<Self> {
        let (head, seen) = text.split_once("== HAProxy\n")?;
        let (haproxy, tandem) = match seen.split_once("== Tandem\n") {
            Some((haproxy, tandem)) => (haproxy, Some(tandem.to_owned())),
            None => (seen, None),
        };
        let mut answers = Self { haproxy: haproxy.to_owned(), tandem, ..Self::default() };
        for line in head.lines() {
            let (word, rest) = line.split_once(' ')?;
            match word {
                "version" => rest.clone_into(&mut answers.version),
                "case" => rest.clone_into(&mut answers.hash),
                "without" => {
                    let (line, changes) = rest.split_once(" changes ")?;
                    answers
                        .lines
                        .push(Sensitivity { line: line.parse().ok()?, changes: changes.parse().ok()? });
                }
                _ => return None,
            }
        }
        Some(answers)
    }

    fn text(&self) -> String {
        let mut text = format!("version {}\ncase {}\n", self.version, self.hash);
        for one in &self.lines {
            text.push_str(&format!("without {} changes {}\n", one.line, one.changes));
        }
        text.push_str(&format!("== HAProxy\n{}", self.haproxy));
        if let Some(tandem) = &self.tandem {
            text.push_str(&format!("== Tandem\n{tandem}"));
        }
        text
    }

    pub(super) fn store(&self, case: &Path) -> Result<(), String> {
        let file = beside(case);
        std::fs::write(&file, self.text()).map_err(|e| format!("{}: {e}", file.display()))
    }
}

/// Every class and name that a sensitive case proves, with the names of the cases.
pub(crate) fn proven() -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut proven = BTreeMap::<_, BTreeSet<String>>::new();
    for (name, file) in files() {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let (Ok(case), Ok(Some(answers))) = (case::read(&name, &text, None), Answers::load(&file)) else {
            continue;
        };
        if answers.hash != hash(&text) {
            continue;
        }
        for mark in case.marks {
            if answers.lines.iter().any(|one| one.line == mark.number && one.changes > 0) {
                for claim in mark.proves {
                    proven.entry(claim).or_default().insert(name.clone());
                }
            }
        }
    }
    proven
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let answers = Answers {
            version: "2.6.12".to_owned(),
            hash: hash("x"),
            lines: vec![Sensitivity { line: 3, changes: 2 }],
            haproxy: "get /\n< a\n".to_owned(),
            tandem: Some("get /\n< b\n".to_owned()),
        };
        assert_eq!(Answers::read(&answers.text()), Some(answers));
        assert_eq!(Answers::read("nonsense"), None);
    }
}
