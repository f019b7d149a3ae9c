//! `track-*` lines of a virtual router, and the options behind them.

use std::time::Duration;

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Sections, Spec, Unit, duration, quoted, read_options};

use crate::track::{join, split};
use crate::{Command, Gateway, MAX_TRACKS, MAX_WEIGHT, Parameters, Process, RunAs, Script, Track, Watch};

/// Between two runs of a script where nothing says otherwise.
pub(crate) const USUAL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a gateway may be silent where nothing says otherwise.
const USUAL_PATIENCE: Duration = Duration::from_secs(1);

/// What the options of a line ask for.
#[derive(Clone, Debug, Default)]
pub struct TrackDraft {
    weight: i32,
    reverse: bool,
    interval: Option<Duration>,
    timeout: Option<Duration>,
    rise: Option<u32>,
    fall: Option<u32>,
    user: RunAs,
    failed_first: bool,
    whole: bool,
    parameters: Option<Parameters>,
    least: Option<u32>,
    most: Option<u32>,
    after_start: Duration,
    after_end: Duration,
    device: Option<String>,
    servers: Option<u32>,
}

const fn option(
    names: &'static [&'static str],
    args: &'static [Arg],
    doc: &'static str,
    example: &'static str,
    apply: fn(&mut TrackDraft, &Args, &mut Diagnostics),
) -> Keyword<TrackDraft> {
    Keyword {
        spec: Spec::full(names, args, doc, example),
        sections: Sections::OPTION,
        negatable: false,
        apply,
    }
}

const DURATION: &[Arg] = &[Arg::Duration("time", Unit::Seconds)];
const COUNT: &[Arg] = &[Arg::Int("count", 1, 1_000_000)];
const WEIGHT: i64 = MAX_WEIGHT as i64;

/// The options of `track-*` lines.
pub const OPTIONS: &[Keyword<TrackDraft>] = &[
    option(
        &["arguments"],
        &[Arg::OneOf("how", &["exact", "initial", "partial"])],
        "How a process' arguments are compared: 'exact', those that are named and no others; 'initial', the last of which may go on; 'partial', with others behind them. Where nothing is said, and the command names none, its name alone is compared.",
        "arguments partial",
        |d, a, _| {
            d.parameters = Some(match a.text(0).as_str() {
                "initial" => Parameters::Initial,
                "partial" => Parameters::Partial,
                _ => Parameters::Exact,
            });
        },
    ),
    option(
        &["at-least"],
        &[Arg::Int("count", 0, 65_535)],
        "Processes there must be; 1.",
        "at-least 2",
        |d, a, _| {
            d.least = u32::try_from(a.int(0)).ok();
        },
    ),
    option(
        &["at-most"],
        &[Arg::Int("count", 0, 65_535)],
        "Processes there may be; any number where nothing is said.",
        "at-most 2",
        |d, a, _| {
            d.most = u32::try_from(a.int(0)).ok();
        },
    ),
    option(
        &["dev"],
        &[Arg::Word("interface")],
        "The interface a gateway is asked on; the router's own.",
        "dev eth1",
        |d, a, _| {
            d.device = Some(a.text(0));
        },
    ),
    option(
        &["end-delay"],
        DURATION,
        "Time after a process has ended until that counts; none.",
        "end-delay 1s",
        |d, a, _| {
            d.after_end = a.duration(0);
        },
    ),
    option(
        &["failed-first"],
        &[],
        "A script counts as failed until it has succeeded often enough.",
        "failed-first",
        |d, _, _| d.failed_first = true,
    ),
    option(&["fall"], COUNT, "Failures in a row of a script that count as one; 1.", "fall 2", |d, a, _| {
        d.fall = u32::try_from(a.int(0)).ok();
    }),
    option(&["interval"], DURATION, "Time between two runs of a script; 1 s.", "interval 2s", |d, a, _| {
        d.interval = Some(a.duration(0));
    }),
    option(
        &["min"],
        &[Arg::Int("count", 1, 65_535)],
        "Servers that a backend must have; 1.",
        "min 2",
        |d, a, _| d.servers = u32::try_from(a.int(0)).ok(),
    ),
    option(
        &["reverse"],
        &[],
        "Does the contrary: what would be a failure is well, and what a weight adds it takes away.",
        "reverse",
        |d, _, _| d.reverse = true,
    ),
    option(&["rise"], COUNT, "Successes in a row of a script that end a failure; 1.", "rise 2", |d, a, _| {
        d.rise = u32::try_from(a.int(0)).ok();
    }),
    option(
        &["start-delay"],
        DURATION,
        "Time after a process has come until that counts; none.",
        "start-delay 1s",
        |d, a, _| {
            d.after_start = a.duration(0);
        },
    ),
    option(
        &["timeout"],
        DURATION,
        "Time after which a run has failed, as long as the interval; or for how long a gateway may be silent, 1 s.",
        "timeout 1s",
        |d, a, _| d.timeout = Some(a.duration(0)),
    ),
    option(
        &["user"],
        &[Arg::Word("user")],
        "Whose rights a script has; otherwise this program's.",
        "user nobody",
        |d, a, _| {
            d.user = RunAs::User(a.text(0), None);
        },
    ),
    option(
        &["weight"],
        &[Arg::Int("weight", -WEIGHT, WEIGHT)],
        "Added to the priority while all is well if positive, taken from it after a failure if negative; 0: a failure is a fault, and a backend without servers the last resort. A file's number is multiplied by it.",
        "weight -20",
        |d, a, _| d.weight = i32::try_from(a.int(0)).unwrap_or(0),
    ),
    option(
        &["whole-command"],
        &[],
        "Compares a process' whole command, not its program's name.",
        "whole-command",
        |d, _, _| d.whole = true,
    ),
];

/// What a line begins with: the kind of condition.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Backend,
    Gateway,
    Interface,
    Script,
    Process,
    File,
}

/// Reads a line: a name, what is watched, options.
pub(super) fn read(kind: Kind, tracks: &mut Vec<Track>, args: &Args, diagnostics: &mut Diagnostics) {
    let name = args.word(0);
    let rest = args.words(if matches!(kind, Kind::Interface | Kind::Backend) { 1 } else { 2 });
    let mut draft = TrackDraft::default();
    read_options(&[OPTIONS], &args.keyword.text, rest, &mut draft, diagnostics);
    let is_same = |track: &Track| {
        // What is called by its own name may be called as something else is.
        let is_backend = matches!(track.watch, Watch::Backend { .. });
        track.name == name.text && is_backend == matches!(kind, Kind::Backend)
    };
    if tracks.iter().any(is_same) {
        diagnostics.error(name.span, format!("'{}' is tracked already", name.text));
    }
    if tracks.len() == MAX_TRACKS {
        diagnostics.error(name.span, format!("more than {MAX_TRACKS} conditions"));
        return;
    }
    let words = || split(&args.word(1).text);
    let watch = match kind {
        Kind::Backend => Watch::Backend { name: name.text.clone(), least: draft.servers.unwrap_or(1) },
        Kind::Interface => Watch::Interface(name.text.clone()),
        Kind::Gateway => Watch::Gateway {
            // Where it is left open, the router's own, once that is known.
            interface: draft.device.unwrap_or_default(),
            gateway: match super::gateway(std::slice::from_ref(args.word(1)), diagnostics) {
                Gateway::None => {
                    diagnostics
                        .error(args.word(1).span, "nobody cannot be followed")
                        .help("'auto', or an address");
                    Gateway::Auto
                }
                somebody @ (Gateway::Auto | Gateway::Named(_)) => somebody,
            },
            patience: draft.timeout.filter(|time| !time.is_zero()).unwrap_or(USUAL_PATIENCE),
        },
        Kind::File => Watch::File { path: args.text(1), initial: None },
        Kind::Script => {
            let interval = draft.interval.filter(|time| !time.is_zero()).unwrap_or(USUAL_INTERVAL);
            Watch::Script(Script {
                command: Command { words: words(), user: draft.user },
                interval,
                timeout: draft.timeout.filter(|time| !time.is_zero()).unwrap_or(interval),
                rise: draft.rise.unwrap_or(1),
                fall: draft.fall.unwrap_or(1),
                failed_first: draft.failed_first,
            })
        }
        Kind::Process => Watch::Process(Process {
            command: words(),
            whole: draft.whole,
            parameters: draft.parameters,
            least: draft.least.unwrap_or(1),
            most: draft.most,
            after_start: draft.after_start,
            after_end: draft.after_end,
        }),
    };
    let TrackDraft { weight, reverse, .. } = draft;
    tracks.push(Track { name: name.text.clone(), watch, weight, reverse, at: name.span });
}

/// The line that says the same.
pub(super) fn line(track: &Track) -> String {
    let name = quoted(&track.name);
    let mut line = match &track.watch {
        Watch::Backend { name, least } => format!("track-backend {} min {least}", quoted(name)),
        Watch::Interface(interface) => format!("track-interface {}", quoted(interface)),
        Watch::File { path, .. } => format!("track-file {name} {}", quoted(path)),
        Watch::Gateway { interface, gateway, patience } => {
            let asked = match gateway {
                Gateway::Named(named) => named.iter().map(ToString::to_string).collect(),
                Gateway::Auto | Gateway::None => "auto".to_owned(),
            };
            let patience = duration(*patience);
            format!("track-gateway {name} {asked} dev {} timeout {patience}", quoted(interface))
        }
        Watch::Script(script) => {
            let mut line = format!(
                "track-script {name} {} interval {} timeout {} rise {} fall {}",
                quoted(&script.command.text()),
                duration(script.interval),
                duration(script.timeout),
                script.rise,
                script.fall
            );
            if let RunAs::User(user, _) = &script.command.user {
                line.push_str(&format!(" user {}", quoted(user)));
            }
            if script.failed_first {
                line.push_str(" failed-first");
            }
            line
        }
        Watch::Process(process) => {
            let mut line = format!("track-process {name} {}", quoted(&join(&process.command)));
            let most = process.most.map(|most| format!(" at-most {most}"));
            let arguments = process.parameters.map(|how| match how {
                Parameters::Exact => " arguments exact",
                Parameters::Initial => " arguments initial",
                Parameters::Partial => " arguments partial",
            });
            line.push_str(&format!(" at-least {}", process.least));
            line.push_str(&most.unwrap_or_default());
            line.push_str(if process.whole { " whole-command" } else { "" });
            line.push_str(arguments.unwrap_or_default());
            for (name, delay) in [("start-delay", process.after_start), ("end-delay", process.after_end)] {
                if !delay.is_zero() {
                    line.push_str(&format!(" {name} {}", duration(delay)));
                }
            }
            line
        }
    };
    if track.weight != 0 {
        line.push_str(&format!(" weight {}", track.weight));
    }
    line + if track.reverse { " reverse" } else { "" }
}
