//! What instances follow: `vrrp_script`, `vrrp_track_process`, `vrrp_track_file`; and `vrrp_sync_group`. All of
//! it is read and looked up; none of it acts yet, so its rows wait.

use std::collections::BTreeMap;

use proxy_lang::{Arg, Diagnostics, Keyword, Section, Sections, Spec, Word};

use super::instance::Tracked;
use super::text::Statement;
use super::{BOOL, Defined, lines};
use crate::VirtualRouter;

/// Heaviest weight of a tracker, either way.
pub(crate) const MAX_WEIGHT: i64 = 253;

/// What the lines of a tracker ask for.
#[derive(Debug, Default)]
pub struct Tracker {
    /// The words that began its lines.
    said: Vec<String>,
}

/// What the lines of a group ask for.
#[derive(Debug, Default)]
pub struct Group {
    members: Vec<Word>,
    tracks: Vec<(Tracked, Word)>,
}

const fn later<D>(
    sections: Sections,
    names: &'static [&'static str],
    args: &'static [Arg],
    doc: &'static str,
    example: &'static str,
) -> Keyword<D> {
    Keyword::inert(sections, false, Spec::later(names, args, doc, example))
}

const WEIGHT: Arg = Arg::Int("weight", -MAX_WEIGHT, MAX_WEIGHT);
const REVERSE: Arg = Arg::Optional(&Arg::OneOf("reverse", &["reverse", "noreverse"]));
const INSIDE: Sections = Sections::VRRP_SCRIPT;
const OF_PROCESS: Sections = Sections::VRRP_TRACK_PROCESS;
const OF_FILE: Sections = Sections::VRRP_TRACK_FILE;
const OF_GROUP: Sections = Sections::VRRP_SYNC_GROUP;

/// The rows of a script.
pub const SCRIPT: &[Keyword<Tracker>] = &[
    later(
        INSIDE,
        &["fall", "rise"],
        &[Arg::Int("count", 1, 2_147_483_647)],
        "Results in a row that change what is believed.",
        "fall 2",
    ),
    later(INSIDE, &["init_fail"], &[], "Is believed to have failed until it has succeeded.", "init_fail"),
    later(
        INSIDE,
        &["interval"],
        &[Arg::Seconds("seconds", 1, 4_294_000)],
        "Seconds between runs.",
        "interval 2",
    ),
    later(
        INSIDE,
        &["script"],
        &[Arg::Words("command")],
        "What is run: it succeeds with exit code 0.",
        "script \"/usr/bin/pgrep haproxy\"",
    ),
    later(
        INSIDE,
        &["timeout"],
        &[Arg::Seconds("seconds", 1, 4_294_000)],
        "Seconds after which a run has failed.",
        "timeout 1",
    ),
    later(
        INSIDE,
        &["user"],
        &[Arg::Word("user"), Arg::Optional(&Arg::Word("group"))],
        "Whose rights it has.",
        "user nobody",
    ),
    later(
        INSIDE,
        &["weight"],
        &[WEIGHT, REVERSE],
        "What its result does to the priority; 0: a failure is a fault.",
        "weight -10",
    ),
];

/// The rows of a process that is tracked.
pub const PROCESS: &[Keyword<Tracker>] = &[
    later(
        OF_PROCESS,
        &["delay", "fork_delay", "terminate_delay"],
        &[Arg::Seconds("seconds", 0, 3_600_000)],
        "Seconds before a change is believed.",
        "delay 0.5",
    ),
    later(
        OF_PROCESS,
        &["full_command"],
        &[],
        "Compares the whole command, not its program's name.",
        "full_command",
    ),
    later(
        OF_PROCESS,
        &["param_match"],
        &[Arg::OneOf("how", &["initial", "partial"])],
        "How its arguments are compared.",
        "param_match initial",
    ),
    later(
        OF_PROCESS,
        &["process"],
        &[Arg::Words("command")],
        "The program, and its arguments.",
        "process haproxy",
    ),
    later(
        OF_PROCESS,
        &["quorum", "quorum_max"],
        &[Arg::Int("count", 0, 65_535)],
        "How many of them there must be, and may be.",
        "quorum 1",
    ),
    later(
        OF_PROCESS,
        &["weight"],
        &[Arg::Int("weight", -254, 254), REVERSE],
        "What their presence does to the priority; 0: their absence is a fault.",
        "weight 10",
    ),
];

/// The rows of a file that is tracked.
pub const FILE: &[Keyword<Tracker>] = &[
    later(OF_FILE, &["file"], &[Arg::Word("path")], "The file a number is read from.", "file /run/weight"),
    later(
        OF_FILE,
        &["init_file"],
        &[Arg::Rest("value")],
        "Makes the file when the program starts.",
        "init_file 0",
    ),
    later(
        OF_FILE,
        &["weight"],
        &[Arg::Int("weight", -254, 254), REVERSE],
        "What the number is multiplied by; 0: any other number is a fault.",
        "weight 1",
    ),
];

/// The rows of a group of instances that move together.
pub const GROUP: &[Keyword<Group>] = &[
    later(
        OF_GROUP,
        &["global_tracking", "sync_group_tracking_weight"],
        &[],
        "Lets trackers with weights act within the group.",
        "global_tracking",
    ),
    later(OF_GROUP, &["group"], &[Arg::Words("instance")], "The instances.", "group { VI_1 }"),
    later(
        OF_GROUP,
        &["notify", "notify_backup", "notify_fault", "notify_master", "notify_stop"],
        &[Arg::Words("command")],
        "Runs a command when the group changes.",
        "notify_master /etc/keepalived/master.sh",
    ),
    later(
        OF_GROUP,
        &["notify_priority_changes"],
        &[BOOL],
        "Says on the notify FIFOs when the priority changes.",
        "notify_priority_changes on",
    ),
    later(OF_GROUP, &["smtp_alert"], &[Arg::Optional(&BOOL)], "Sends mails on changes.", "smtp_alert on"),
    Keyword::inert(
        OF_GROUP,
        false,
        Spec::absent(
            "there is no BFD in Tandem: track an interface, or lower 'advert_int'",
            &["track_bfd"],
            "Follows a BFD session.",
        ),
    ),
    later(
        OF_GROUP,
        &["track_file", "track_interface", "track_process", "track_script"],
        &[Arg::Words("name")],
        "What all instances of the group follow.",
        "track_interface { eth0 }",
    ),
];

/// Reads a tracker; whether it can be one.
pub(crate) fn read(kind: Tracked, name: &Word, statement: &Statement, diagnostics: &mut Diagnostics) -> bool {
    let mut draft = Tracker::default();
    let (table, section, needed) = match kind {
        Tracked::Script => (SCRIPT, Section { name: "vrrp_script", bit: INSIDE }, "script"),
        Tracked::Process => (PROCESS, Section { name: "vrrp_track_process", bit: OF_PROCESS }, "process"),
        Tracked::File => (FILE, Section { name: "vrrp_track_file", bit: OF_FILE }, "file"),
    };
    lines(statement, &[table], section, &mut draft, diagnostics, |draft, words, _| {
        draft.said.extend(words.first().map(|word| word.text.clone()));
    });
    let good = draft.said.iter().any(|said| said == needed);
    if !good {
        diagnostics
            .error(name.span, format!("{} '{}' has no '{needed}': it is left out", kind.word(), name.text));
    }
    good
}

/// What a line of a `track_*` block names; a weight that none can have is said.
pub(crate) fn tracked(words: &[Word], diagnostics: &mut Diagnostics) -> Option<(Tracked, Word)> {
    let kind = match words.first()?.as_str() {
        "track_script" => Tracked::Script,
        "track_process" => Tracked::Process,
        "track_file" => Tracked::File,
        _ => return None,
    };
    let weight = words.windows(2).find(|pair| pair[0].text == "weight");
    if let Some([_, weight]) = weight
        && !weight
            .text
            .parse::<i64>()
            .is_ok_and(|weight| (-MAX_WEIGHT - 1..=MAX_WEIGHT + 1).contains(&weight))
    {
        diagnostics
            .error(weight.span, format!("'{}' is no weight: -{MAX_WEIGHT} to {MAX_WEIGHT}", weight.text));
    }
    Some((kind, words.get(1)?.clone()))
}

/// Reads a group and looks up whom it names.
pub(crate) fn group(
    name: &Word,
    statement: &Statement,
    routers: &BTreeMap<String, VirtualRouter>,
    defined: &Defined,
    diagnostics: &mut Diagnostics,
) {
    let mut draft = Group::default();
    let section = Section { name: "vrrp_sync_group", bit: OF_GROUP };
    lines(statement, &[GROUP], section, &mut draft, diagnostics, |draft, words, diagnostics| {
        if words[0].text == "group" {
            draft.members.extend(words[1..].iter().cloned());
        }
        draft.tracks.extend(tracked(words, diagnostics));
    });
    for (kind, tracked) in &draft.tracks {
        if !defined.has(*kind, &tracked.text) {
            let text = format!("there is no {} '{}': it is not tracked", kind.word(), tracked.text);
            diagnostics.error(tracked.span, text);
        }
    }
    for member in draft.members.iter().filter(|member| !routers.contains_key(&member.text)) {
        diagnostics.error(member.span, format!("there is no instance '{}': it is passed over", member.text));
    }
    match draft.members.iter().filter(|member| routers.contains_key(&member.text)).count() {
        0 => {
            diagnostics.error(name.span, format!("group '{}' has no instance: it is left out", name.text));
        }
        1 => {
            diagnostics.error(name.span, format!("group '{}' has one instance only", name.text));
        }
        _ => {}
    }
}
