//! Files in keepalived's language: what keepalived says of them, tandem says of the same lines.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::build_tandem;
use crate::lab::{Namespace, Switch};

/// What conditions in the files compare with.
const ID: &str = "lb1";

/// What only Tandem has to say of a file that is right: it has no IPVS.
const ONLY_OURS: &str = "virtual servers are served by a proxy";

/// What one of them says of a file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    lines: BTreeSet<u64>,
    /// Sentences about the whole, once all is read.
    whole: usize,
}

/// Reads every file with both; what they say, in words.
pub(super) fn compare() -> Result<String, String> {
    let say = |e: std::io::Error| format!("the lab cannot be built: {e}");
    // keepalived refuses files whose interface is not there.
    let mut switch = Switch::new().map_err(say)?;
    let host = switch.host("language", &[IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11))]).map_err(say)?;
    let tandem = build_tandem::beside_us()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("files/keepalived");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(|e| e.to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "conf"))
        .collect();
    files.sort();
    let mut sentences = 0;
    for file in &files {
        let theirs = theirs(file, &host)?;
        let ours = ours(file, &tandem, &theirs)?;
        if ours != theirs {
            return Err(format!("{}: keepalived says {theirs:?}, tandem {ours:?}", file.display()));
        }
        sentences += theirs.lines.len() + theirs.whole;
    }
    switch.cut("language").map_err(say)?;
    Ok(format!("{} files in keepalived's language: both warn of the same {sentences} places", files.len()))
}

fn theirs(file: &Path, host: &Namespace) -> Result<Said, String> {
    let program = crate::find_program("keepalived").ok_or("keepalived is not installed")?;
    let mut command = Command::new(program);
    command.args(["-t", "--log-console", "-i", ID, "-f"]).arg(file);
    let output = host.inside(move || command.output()).and_then(|o| o).map_err(|e| e.to_string())?;
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let mut said = Said::default();
    let mut whole = BTreeSet::new();
    for sentence in text.lines().filter(|line| !line.is_empty()) {
        let line = sentence.split_once("Line ").and_then(|(_, rest)| rest.split_once(')')?.0.parse().ok());
        match line {
            Some(line) => drop(said.lines.insert(line)),
            None => drop(whole.insert(sentence)),
        }
    }
    said.whole = whole.len();
    Ok(said)
}

fn ours(file: &Path, tandem: &Path, theirs: &Said) -> Result<Said, String> {
    let output = Command::new(tandem)
        .args(["check", "--syntax", "--json", "--config-id", ID, "-k"])
        .arg(file)
        .output()
        .map_err(|e| e.to_string())?;
    let report: Value = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
    let mut said = Said::default();
    for problem in report["problems"].as_array().into_iter().flatten() {
        if problem["message"].as_str().is_some_and(|message| message.starts_with(ONLY_OURS)) {
            continue;
        }
        match (problem["level"].as_str(), problem["line"].as_u64()) {
            (Some("warning"), Some(line)) if theirs.lines.contains(&line) => drop(said.lines.insert(line)),
            // keepalived names no line for what it finds last; tandem does.
            (Some("warning"), _) => said.whole += 1,
            (Some("error"), _) => return Err(format!("{}: refused: {problem}", file.display())),
            _ => {}
        }
    }
    Ok(said)
}
