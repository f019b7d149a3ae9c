//! What instances follow: `vrrp_script`, `vrrp_track_process`, `vrrp_track_file`; and `vrrp_sync_group`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proxy_lang::{
    Arg, Args, Diagnostics, Keyword, Section, Sections, Span, Spec, Statement, Word, full_row as row,
};

use super::globals::{Alert, Globals, is_on};
use super::instance::{Tracked, said_on, script};
use super::{BOOL, Defined, lines};
use crate::keywords::track::USUAL_INTERVAL;
use crate::track::split;
use crate::{
    Command, MAX_TRACKS, MAX_WEIGHT, Notify, Parameters, Process, RunAs, Script, Track, VirtualRouter, Watch,
};

/// What the lines of a tracker ask for.
#[derive(Debug, Default)]
pub struct Tracker {
    /// The script's command in one word, or a process' in several; or a file's path.
    words: Vec<String>,
    user: Option<RunAs>,
    interval: Option<Duration>,
    timeout: Option<Duration>,
    rise: Option<u32>,
    fall: Option<u32>,
    failed_first: bool,
    weight: Option<i32>,
    reverse: bool,
    whole: bool,
    parameters: Option<Parameters>,
    least: Option<u32>,
    most: Option<u32>,
    after_start: Option<Duration>,
    after_end: Option<Duration>,
    initial: Option<(i64, bool)>,
}

/// What the lines of a group ask for.
#[derive(Debug, Default)]
pub struct Group {
    members: Vec<Word>,
    tracks: Vec<Tracks>,
    notify: Notify,
    alert: Option<Alert>,
    weights: bool,
}

/// A line of a `track_*` block: what it names, and what it says of its weight.
#[derive(Debug)]
pub(crate) struct Tracks {
    pub(crate) kind: Tracked,
    pub(crate) name: Word,
    weight: Option<i32>,
    reverse: Option<bool>,
}

const REVERSE: Arg = Arg::Optional(&Arg::OneOf("reverse", &["reverse", "noreverse"]));
const HEAVIEST: i64 = MAX_WEIGHT as i64;
/// Heaviest weight of what has a number.
const HEAVIEST_NUMBER: i64 = i32::MAX as i64;
const INSIDE: Sections = Sections::VRRP_SCRIPT;
const OF_PROCESS: Sections = Sections::VRRP_TRACK_PROCESS;
const OF_FILE: Sections = Sections::VRRP_TRACK_FILE;
const OF_GROUP: Sections = Sections::VRRP_SYNC_GROUP;
const COUNT: &[Arg] = &[Arg::Int("count", 1, 2_147_483_647)];
const SECONDS: &[Arg] = &[Arg::Seconds("seconds", 1, 4_294_000)];
const DELAY: &[Arg] = &[Arg::Seconds("seconds", 0, 3_600_000)];

fn weight(draft: &mut Tracker, args: &Args, _: &mut Diagnostics) {
    draft.weight = i32::try_from(args.int(0)).ok();
    draft.reverse = args.optional_word(1).is_some_and(|word| word.text == "reverse");
}

fn words(draft: &mut Tracker, args: &Args, _: &mut Diagnostics) {
    draft.words = args.words(0).iter().map(|word| word.text.clone()).collect();
}

/// The rows of a script.
pub const SCRIPT: &[Keyword<Tracker>] = &[
    row(INSIDE, &["fall"], COUNT, "Failures in a row that count as one.", "fall 2", |d, a, _| {
        d.fall = u32::try_from(a.int(0)).ok();
    }),
    row(
        INSIDE,
        &["init_fail"],
        &[],
        "Counts as failed until it has succeeded often enough.",
        "init_fail",
        |d, _, _| d.failed_first = true,
    ),
    row(INSIDE, &["interval"], SECONDS, "Seconds between two runs; 1.", "interval 2", |d, a, _| {
        d.interval = Some(a.duration(0));
    }),
    row(INSIDE, &["rise"], COUNT, "Successes in a row that end a failure.", "rise 2", |d, a, _| {
        d.rise = u32::try_from(a.int(0)).ok();
    }),
    row(
        INSIDE,
        &["script"],
        &[Arg::Words("command")],
        "What is run: it succeeds with exit code 0.",
        "script \"/usr/bin/pgrep haproxy\"",
        words,
    ),
    row(
        INSIDE,
        &["timeout"],
        SECONDS,
        "Seconds after which a run has failed; as long as the interval.",
        "timeout 1",
        |d, a, _| d.timeout = Some(a.duration(0)),
    ),
    row(
        INSIDE,
        &["user"],
        &[Arg::Word("user"), Arg::Optional(&Arg::Word("group"))],
        "Whose rights it has.",
        "user nobody",
        |d, a, _| d.user = Some(RunAs::User(a.text(0), a.optional_word(1).map(|group| group.text.clone()))),
    ),
    row(
        INSIDE,
        &["weight"],
        &[Arg::Int("weight", -HEAVIEST, HEAVIEST), REVERSE],
        "Added to the priority while it succeeds if positive, taken from it after a failure if negative; 0: a failure is a fault.",
        "weight -10",
        weight,
    ),
];

/// The rows of a process that is tracked.
pub const PROCESS: &[Keyword<Tracker>] = &[
    row(OF_PROCESS, &["delay"], DELAY, "Both delays.", "delay 0.5", |d, a, _| {
        (d.after_start, d.after_end) = (Some(a.duration(0)), Some(a.duration(0)));
    }),
    row(
        OF_PROCESS,
        &["fork_delay"],
        DELAY,
        "Seconds after a process has come until that counts.",
        "fork_delay 0.5",
        |d, a, _| d.after_start = Some(a.duration(0)),
    ),
    row(
        OF_PROCESS,
        &["full_command"],
        &[],
        "Compares the whole command, not the program's name.",
        "full_command",
        |d, _, _| d.whole = true,
    ),
    row(
        OF_PROCESS,
        &["param_match"],
        &[Arg::OneOf("how", &["initial", "partial"])],
        "How arguments are compared: the last of them may go on, or others may follow.",
        "param_match initial",
        |d, a, _| {
            let initial = a.text(0) == "initial";
            d.parameters = Some(if initial { Parameters::Initial } else { Parameters::Partial });
        },
    ),
    row(
        OF_PROCESS,
        &["process"],
        &[Arg::Words("command")],
        "The program, and its arguments.",
        "process haproxy",
        words,
    ),
    row(
        OF_PROCESS,
        &["quorum"],
        &[Arg::Int("count", 0, 65_535)],
        "Processes there must be.",
        "quorum 1",
        |d, a, _| {
            d.least = u32::try_from(a.int(0)).ok();
        },
    ),
    row(
        OF_PROCESS,
        &["quorum_max"],
        &[Arg::Int("count", 0, 65_535)],
        "Processes there may be.",
        "quorum_max 1",
        |d, a, _| {
            d.most = u32::try_from(a.int(0)).ok();
            // Without a quorum, none at all is well.
            d.least = d.least.or(Some(0)).filter(|_| d.most == Some(0)).or(d.least);
        },
    ),
    row(
        OF_PROCESS,
        &["terminate_delay"],
        DELAY,
        "Seconds after a process has ended until that counts.",
        "terminate_delay 0.5",
        |d, a, _| d.after_end = Some(a.duration(0)),
    ),
    row(
        OF_PROCESS,
        &["weight"],
        &[Arg::Int("weight", -254, 254), REVERSE],
        "What their presence does to the priority; 0: their absence is a fault.",
        "weight 10",
        weight,
    ),
];

/// The rows of a file that is tracked.
pub const FILE: &[Keyword<Tracker>] = &[
    row(
        OF_FILE,
        &["file"],
        &[Arg::Words("path")],
        "The file a number is read from.",
        "file /run/weight",
        words,
    ),
    row(
        OF_FILE,
        &["init_file"],
        &[
            Arg::Optional(&Arg::Int("value", -2_147_483_648, 2_147_483_647)),
            Arg::Optional(&Arg::Word("overwrite")),
        ],
        "Makes the file when the program starts, or writes over it.",
        "init_file 0",
        |d, a, _| d.initial = Some((a.int(0), a.has(1))),
    ),
    row(
        OF_FILE,
        &["weight"],
        &[Arg::Int("weight", -HEAVIEST_NUMBER, HEAVIEST_NUMBER), REVERSE],
        "What the number is multiplied by; 0: any other number than 0 is a fault.",
        "weight 1",
        weight,
    ),
];

const fn of_group(
    names: &'static [&'static str],
    args: &'static [Arg],
    doc: &'static str,
    example: &'static str,
    apply: fn(&mut Group, &Args, &mut Diagnostics),
) -> Keyword<Group> {
    Keyword { spec: Spec::full(names, args, doc, example), sections: OF_GROUP, negatable: false, apply }
}

const COMMAND: &[Arg] = &[Arg::Words("command")];

/// The rows of a group of instances that move together.
pub const GROUP: &[Keyword<Group>] = &[
    of_group(
        &["global_tracking", "sync_group_tracking_weight"],
        &[],
        "Lets conditions with weights act within the group; otherwise their failure is a fault.",
        "global_tracking",
        |d, _, _| d.weights = true,
    ),
    of_group(&["group"], &[Arg::Words("instance")], "The instances.", "group { VI_1 }", |d, a, _| {
        d.members.extend(a.words(0).iter().cloned());
    }),
    of_group(
        &["notify"],
        COMMAND,
        "Runs a command on every change, with GROUP, the group's name, MASTER, BACKUP or FAULT, and a priority.",
        "notify /etc/keepalived/changed.sh",
        |d, a, diagnostics| d.notify.every = script(a, diagnostics),
    ),
    of_group(
        &["notify_backup"],
        COMMAND,
        "Runs a command when the group becomes backup.",
        "notify_backup /etc/keepalived/backup.sh",
        |d, a, diagnostics| d.notify.backup = script(a, diagnostics),
    ),
    of_group(
        &["notify_fault"],
        COMMAND,
        "Runs a command when the group cannot take part.",
        "notify_fault /etc/keepalived/fault.sh",
        |d, a, diagnostics| d.notify.fault = script(a, diagnostics),
    ),
    of_group(
        &["notify_master"],
        COMMAND,
        "Runs a command when the group becomes master.",
        "notify_master /etc/keepalived/master.sh",
        |d, a, diagnostics| d.notify.master = script(a, diagnostics),
    ),
    of_group(
        &["notify_stop"],
        COMMAND,
        "Runs a command when this node stops.",
        "notify_stop /etc/keepalived/stop.sh",
        |d, a, diagnostics| d.notify.stop = script(a, diagnostics),
    ),
    of_group(
        &["notify_priority_changes"],
        &[BOOL],
        "Writes into the pipes of notify_fifo when a priority changes.",
        "notify_priority_changes on",
        |d, a, _| d.notify.priorities = is_on(&a.text(0)),
    ),
    of_group(
        &["smtp_alert"],
        &[Arg::Optional(&BOOL)],
        "Sends a mail when all instances of the group have changed, or none; it comes before what is said of all.",
        "smtp_alert on",
        |d, a, _| d.alert = Some((said_on(a), a.span)),
    ),
    Keyword::inert(
        OF_GROUP,
        false,
        Spec::absent(
            "there is no BFD in Tandem: track an interface, or lower 'advert_int'",
            &["track_bfd"],
            "Follows a BFD session.",
        ),
    ),
    // What is tracked is noted with the line: it may be defined behind the group.
    of_group(
        &["track_file", "track_interface", "track_process", "track_script"],
        &[Arg::Words("name")],
        "What all instances of the group follow.",
        "track_interface { eth0 }",
        |_, _, _| {},
    ),
];

/// Reads a tracker; `None` where it cannot be one.
pub(crate) fn read(
    kind: Tracked,
    name: &Word,
    statement: &Statement,
    globals: &Globals,
    diagnostics: &mut Diagnostics,
) -> Option<Track> {
    let mut draft = Tracker::default();
    let (table, section, needed) = match kind {
        Tracked::Script => (SCRIPT, Section { name: "vrrp_script", bit: INSIDE }, "script"),
        Tracked::Process => (PROCESS, Section { name: "vrrp_track_process", bit: OF_PROCESS }, "process"),
        Tracked::File => (FILE, Section { name: "vrrp_track_file", bit: OF_FILE }, "file"),
        // Interfaces need no definition.
        Tracked::Interface => return None,
    };
    lines(statement, &[table], section, &mut draft, diagnostics, |_, _, _| {});
    let first = draft.words.first().cloned().unwrap_or_default();
    let command = if draft.words.len() == 1 { split(&first) } else { draft.words.clone() };
    if command.is_empty() {
        let text = format!("{} '{}' has no '{needed}': it is left out", kind.word(), name.text);
        diagnostics.error(name.span, text);
        return None;
    }
    let (watch, usual) = match kind {
        Tracked::Script => {
            let interval = draft.interval.unwrap_or(USUAL_INTERVAL);
            let user = draft.user.unwrap_or_else(|| globals.script_user());
            let script = Script {
                command: Command { words: command, user },
                interval,
                timeout: draft.timeout.unwrap_or(interval),
                rise: draft.rise.unwrap_or(1),
                fall: draft.fall.unwrap_or(1),
                failed_first: draft.failed_first,
            };
            (Watch::Script(script), 0)
        }
        Tracked::Process => {
            let process = Process {
                command: draft.words,
                whole: draft.whole,
                parameters: draft.parameters,
                least: draft.least.unwrap_or(1),
                most: draft.most,
                after_start: draft.after_start.unwrap_or_default(),
                after_end: draft.after_end.unwrap_or_default(),
            };
            (Watch::Process(process), 1)
        }
        Tracked::File | Tracked::Interface => (Watch::File { path: first, initial: draft.initial }, 1),
    };
    let weight = draft.weight.unwrap_or(usual);
    Some(Track { name: name.text.clone(), watch, weight, reverse: draft.reverse, at: Span::default() })
}

/// An interface that is tracked.
pub(crate) fn interface(name: &str) -> Track {
    let watch = Watch::Interface(name.to_owned());
    Track { name: name.to_owned(), watch, weight: 0, reverse: false, at: Span::default() }
}

/// What a line of a `track_*` block says; what it cannot mean is reported.
pub(crate) fn tracked(words: &[Word], diagnostics: &mut Diagnostics) -> Option<Tracks> {
    let kind = match words.first()?.as_str() {
        "track_interface" => Tracked::Interface,
        "track_script" => Tracked::Script,
        "track_process" => Tracked::Process,
        "track_file" => Tracked::File,
        _ => return None,
    };
    let mut tracks = Tracks { kind, name: words.get(1)?.clone(), weight: None, reverse: None };
    let heaviest = if kind == Tracked::File { HEAVIEST_NUMBER } else { HEAVIEST + 1 };
    let mut rest = words[2..].iter();
    while let Some(word) = rest.next() {
        match word.text.as_str() {
            "weight" => {
                let value = rest.next();
                let number = value.and_then(|w| w.text.parse::<i64>().ok());
                tracks.weight = number.filter(|n| n.abs() <= heaviest).and_then(|n| i32::try_from(n).ok());
                if tracks.weight.is_none() {
                    let text = value.map_or("", Word::as_str);
                    diagnostics.error(
                        value.unwrap_or(word).span,
                        format!("'{text}' is no weight: -{heaviest} to {heaviest}"),
                    );
                }
            }
            "reverse" => tracks.reverse = Some(true),
            "noreverse" => tracks.reverse = Some(false),
            other => {
                diagnostics.error(word.span, format!("'{other}' is not understood behind what is tracked"));
            }
        }
    }
    Some(tracks)
}

/// What is followed because of these lines; what they name in vain is reported.
pub(crate) fn follow(
    tracks: &[Tracks],
    of: &str,
    defined: &Defined,
    diagnostics: &mut Diagnostics,
) -> Vec<Track> {
    let mut followed: Vec<Track> = Vec::new();
    let mut known = BTreeSet::new();
    for Tracks { kind, name, weight, reverse } in tracks {
        if !known.insert((*kind, &name.text)) {
            diagnostics.error(name.span, format!("{of}: {} '{}' is tracked already", kind.word(), name.text));
            continue;
        }
        match defined.get(*kind, &name.text) {
            Some(mut track) => {
                track.weight = weight.unwrap_or(track.weight);
                track.reverse = reverse.unwrap_or(track.reverse);
                followed.push(track);
            }
            None => {
                let text = format!("{of}: there is no {} '{}': it is not tracked", kind.word(), name.text);
                diagnostics.error(name.span, text);
            }
        }
    }
    if followed.len() > MAX_TRACKS {
        let place = tracks.first().map(|track| track.name.span).unwrap_or_default();
        diagnostics.fatal(place, format!("{of}: more than {MAX_TRACKS} conditions"));
    }
    followed
}

/// Reads a group: those that it names belong to it from now on.
pub(crate) fn group(
    name: &Word,
    statement: &Statement,
    routers: &mut BTreeMap<String, VirtualRouter>,
    globals: &Globals,
    defined: &Defined,
    diagnostics: &mut Diagnostics,
) {
    let mut draft = Group::default();
    let section = Section { name: "vrrp_sync_group", bit: OF_GROUP };
    lines(statement, &[GROUP], section, &mut draft, diagnostics, |draft, words, diagnostics| {
        draft.tracks.extend(tracked(words, diagnostics));
    });
    let tracks = follow(&draft.tracks, &format!("group '{}'", name.text), defined, diagnostics);
    for member in draft.members.iter().filter(|member| !routers.contains_key(&member.text)) {
        diagnostics.error(member.span, format!("there is no instance '{}': it is passed over", member.text));
    }
    let mut named = BTreeSet::new();
    draft.members.retain(|member| routers.contains_key(&member.text) && named.insert(member.text.clone()));
    match draft.members.len() {
        0 => {
            diagnostics.error(name.span, format!("group '{}' has no instance: it is left out", name.text));
        }
        1 => {
            diagnostics.error(name.span, format!("group '{}' has one instance only", name.text));
        }
        _ => {}
    }
    let notify = globals.tells(draft.notify, draft.alert, diagnostics);
    for member in &draft.members {
        let Some(router) = routers.get_mut(&member.text) else { continue };
        if let Some(other) = &router.group {
            let text = format!("instance '{}' belongs to group '{}' already", member.text, other.name);
            diagnostics.error(member.span, text);
            continue;
        }
        router.group = Some(crate::keywords::Group { name: name.text.clone(), notify: notify.clone() });
        router.tracks.extend(
            tracks.iter().filter(|track| !router.tracks.contains(track)).cloned().collect::<Vec<_>>(),
        );
        if !draft.weights {
            router.tracks.iter_mut().for_each(|track| track.weight = 0);
        }
        if router.tracks.len() > MAX_TRACKS {
            let text = format!("instance '{}': more than {MAX_TRACKS} conditions", member.text);
            diagnostics.fatal(member.span, text);
        }
    }
}
