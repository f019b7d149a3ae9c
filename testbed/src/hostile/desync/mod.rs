//! Requests on whose end two programs could disagree: none that is dangerous reaches a server, and what does is framed
//! so that nobody can misread it. HAProxy 2.6 is asked the same.

mod exchange;
mod framing;
mod judge;
mod public;
mod strict;

use std::fmt::Write;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use clap::Args;
use comfy_table::Cell;
use serde_json::{Value, json};

use super::Stack;
use super::program::{self, Program, Setup, free_address};
use super::recorder::Recorder;
use crate::table;
use exchange::{Exchange, exchange};
use public::Class;

/// Columns of a request that a report shows.
const SHOWN: usize = 74;

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The list of the crate http_desync_guardian (159 requests), and one of our own about
hosts, lengths and codings. Passes if none of the severe requests is forwarded, none
of the ambiguous ones that HAProxy 2.6 refuses, and the others as HAProxy does.

Examples:
  cargo hostile desync
  cargo hostile desync --all
  cargo hostile desync --json desync.json")]
pub(super) struct Options {
    /// Show every case, not only those that fail
    #[arg(long)]
    all: bool,
    /// Write every verdict here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What the programs did with one case.
struct Verdict {
    list: &'static str,
    class: String,
    name: String,
    request: Vec<u8>,
    tandem: String,
    haproxy: Option<String>,
    /// What does not hold.
    wrong: Option<String>,
}

/// What one program did with every case of both lists.
struct Played {
    public: Vec<Exchange>,
    framing: Vec<Exchange>,
    /// Whether it takes a file with each of the rules.
    rules: Vec<bool>,
}

pub(super) fn run(options: &Options) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let cases = public::cases()?;
    let beside = program::haproxy()?.is_some();
    let (tandem, haproxy) = std::thread::scope(|scope| {
        let play = |stack| {
            let (folder, cases) = (folder.path(), &cases);
            scope.spawn(move || play(stack, folder, cases))
        };
        let (tandem, haproxy) = (play(Stack::Tandem), beside.then(|| play(Stack::Haproxy)));
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Played, String>>| {
            thread.join().map_err(|_| "a thread died".to_owned())?
        };
        Ok::<_, String>((join(tandem)?, haproxy.map(join).transpose()?))
    })?;
    let mut verdicts = judge_public(&cases, &tandem, haproxy.as_ref());
    verdicts.extend(judge_framing(&tandem, haproxy.as_ref()));
    verdicts.extend(judge_rules(&tandem, haproxy.as_ref()));
    if let Some(file) = &options.json {
        let list: Vec<Value> = verdicts.iter().map(Verdict::json).collect();
        let text = serde_json::to_string_pretty(&json!({ "cases": list })).map_err(|e| e.to_string())?;
        std::fs::write(file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let text = report(&verdicts, options.all, beside);
    match verdicts.iter().filter(|verdict| verdict.wrong.is_some()).count() {
        0 => Ok(text),
        wrong => Err(format!("{text}\n{wrong} of {} cases do not hold", verdicts.len())),
    }
}

fn judge_public(cases: &[public::Case], tandem: &Played, haproxy: Option<&Played>) -> Vec<Verdict> {
    let each = cases.iter().zip(&tandem.public).enumerate();
    let judged = each.map(|(place, (case, ours))| {
        let theirs = haproxy.and_then(|played| played.public.get(place));
        Verdict {
            list: "public",
            class: case.class.word().to_owned(),
            name: case.name.clone(),
            request: case.bytes.clone(),
            tandem: ours.word(&case.bytes),
            haproxy: theirs.map(|theirs| theirs.word(&case.bytes)),
            wrong: judge::public(case, ours, theirs),
        }
    });
    judged.collect()
}

fn judge_framing(tandem: &Played, haproxy: Option<&Played>) -> Vec<Verdict> {
    let each = framing::CASES.iter().zip(&tandem.framing).enumerate();
    let judged = each.map(|(place, (case, ours))| {
        let theirs = haproxy.and_then(|played| played.framing.get(place));
        let request = case.request.as_bytes();
        Verdict {
            list: "own",
            class: "framing".to_owned(),
            name: case.name.to_owned(),
            request: request.to_vec(),
            tandem: ours.word(request),
            haproxy: theirs.map(|theirs| theirs.word(request)),
            wrong: judge::framing(case, ours, theirs),
        }
    });
    judged.collect()
}

fn judge_rules(tandem: &Played, haproxy: Option<&Played>) -> Vec<Verdict> {
    let word = |taken: bool| if taken { "taken" } else { "refused" }.to_owned();
    let each = framing::RULES.iter().zip(&tandem.rules).enumerate();
    let judged = each.map(|(place, (rule, ours))| {
        let theirs = haproxy.and_then(|played| played.rules.get(place)).copied();
        Verdict {
            list: "own",
            class: "rules".to_owned(),
            name: (*rule).to_owned(),
            request: Vec::new(),
            tandem: word(*ours),
            haproxy: theirs.map(word),
            wrong: theirs
                .filter(|theirs| theirs != ours)
                .map(|theirs| format!("HAProxy's is {}", word(theirs))),
        }
    });
    judged.collect()
}

/// Sends everything to one program.
fn play(stack: Stack, folder: &Path, cases: &[public::Case]) -> Result<Played, String> {
    let recorder = Recorder::start()?;
    let plain = free_address()?;
    let addresses: Vec<SocketAddrV4> =
        framing::CASES.iter().map(|_| free_address()).collect::<Result<_, _>>()?;
    let text = configuration(plain, &addresses, recorder.address);
    let mut program = Program::start(stack, folder, &text, plain, Setup::default())?;
    let ok = framing::OK.as_bytes();
    let each = cases.iter().map(|case| exchange(plain, &recorder, &case.bytes, ok));
    let public = each.collect::<Result<_, _>>()?;
    let each = framing::CASES.iter().zip(&addresses);
    let each =
        each.map(|(case, at)| exchange(*at, &recorder, case.request.as_bytes(), case.answer.as_bytes()));
    let framing = each.collect::<Result<_, _>>()?;
    let each = framing::RULES.iter().map(|rule| {
        let rules = format!("{DEFAULTS}listen rule\n    bind {}\n    {rule}\n", free_address()?);
        program::takes(stack, folder, &rules)
    });
    let rules = each.collect::<Result<_, String>>()?;
    match program.ended() {
        None => Ok(Played { public, framing, rules }),
        Some(status) => Err(format!("{} ended: {status}\n{}", program.name, program.tail())),
    }
}

const DEFAULTS: &str = "global\n    maxconn 200\n    nbthread 1\ndefaults\n    mode http\n    retries 0\n    timeout connect 1s\n    \
     timeout client 500ms\n    timeout server 500ms\n    timeout http-request 500ms\n    \
     timeout http-keep-alive 30ms\n";

/// One section for the public list, and one for each case of our own.
fn configuration(plain: SocketAddrV4, addresses: &[SocketAddrV4], server: SocketAddrV4) -> String {
    let mut text = DEFAULTS.to_owned();
    let sections = std::iter::once((plain, ""))
        .chain(addresses.iter().copied().zip(framing::CASES.iter().map(|case| case.rules)));
    for (place, (address, rules)) in sections.enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(text, "listen case{place}\n    bind {address}\n    {rules}\n    server s1 {server}\n");
    }
    text
}

impl Verdict {
    fn json(&self) -> Value {
        json!({
            "list": self.list, "class": self.class, "name": self.name,
            "request": self.request.escape_ascii().to_string(),
            "tandem": self.tandem, "haproxy": self.haproxy, "wrong": self.wrong,
        })
    }

    fn text(&self) -> String {
        let request: String = self.request.escape_ascii().to_string().chars().take(SHOWN).collect();
        let haproxy = self.haproxy.as_deref().unwrap_or("-");
        let wrong = self.wrong.as_ref().map_or(String::new(), |wrong| format!("\n    WRONG: {wrong}"));
        format!(
            "{}: {}\n    {request}\n    Tandem {}, HAProxy {haproxy}{wrong}\n",
            self.class, self.name, self.tandem
        )
    }
}

fn report(verdicts: &[Verdict], all: bool, beside: bool) -> String {
    let mut text: String =
        verdicts.iter().filter(|verdict| all || verdict.wrong.is_some()).map(Verdict::text).collect();
    let mut table = table::plain(["class", "cases", "forwarded", "normalised", "refused", "wrong"]);
    for class in Class::EVERY.iter().map(|class| class.word()).chain(["framing", "rules"]) {
        let of: Vec<&Verdict> = verdicts.iter().filter(|verdict| verdict.class == class).collect();
        let both = |holds: &dyn Fn(&str) -> bool| {
            let ours = of.iter().filter(|verdict| holds(&verdict.tandem)).count();
            let theirs = of.iter().filter(|verdict| verdict.haproxy.as_deref().is_some_and(holds)).count();
            if beside { format!("{ours} / {theirs}") } else { ours.to_string() }
        };
        table.add_row(vec![
            Cell::new(class),
            Cell::new(of.len()),
            Cell::new(both(&|word| word == "forwarded")),
            Cell::new(both(&|word| word == "normalised")),
            Cell::new(both(&|word| word.starts_with("refused") || word == "closed")),
            Cell::new(of.iter().filter(|verdict| verdict.wrong.is_some()).count()),
        ]);
    }
    let words =
        if beside { "Tandem / HAProxy" } else { "HAProxy is not installed: what is beside it was skipped" };
    let _ = write!(text, "{table}\n{words}. normalised: forwarded in other bytes than were sent");
    text
}
