//! `tandem check`: what is wrong with a configuration, what of it has no effect, and what is not built.

use std::io::IsTerminal;
use std::net::IpAddr;

use failover_vrrp::{Effective, Observed, Track, VirtualRouter, Watch, effective};
use proxy_config::{Explained, Origin};
use proxy_lang::{Diagnostic, Level, Sources, render, summary};
use serde::Serialize;

use crate::args::Check;
use crate::config::{
    Depth, Everything, Explain, NO_ADVERT_KEY, NO_LISTENER, NOTHING_TO_RUN, Reading, alert, examine,
};

/// The configuration cannot be used.
const NOT_USABLE: u8 = 1;
/// What this node is called where a section of keepalived's becomes one of Tandem's, which names members.
const THIS_NODE: &str = "this-node";

#[derive(Serialize)]
struct Report {
    valid: bool,
    problems: Vec<Problem>,
    /// What is read but not built, with `--syntax`.
    waiting: Vec<Waiting>,
    /// What the files mean, with `--explain`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sections: Vec<Section>,
    /// What is worth knowing, though nothing is wrong with the files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// A section as it acts.
#[derive(Serialize)]
struct Section {
    kind: String,
    name: Option<String>,
    id: Option<u32>,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    text: String,
    /// A server's number, or that of the backend it names.
    id: Option<u32>,
    /// Why it is there, where it does not stand in the section.
    from: Option<String>,
}

#[derive(Serialize)]
struct Problem {
    level: &'static str,
    file: String,
    line: u32,
    /// First and last column, from 1.
    columns: [u32; 2],
    message: String,
    help: Option<String>,
}

#[derive(Serialize)]
struct Waiting {
    file: String,
    line: u32,
    name: String,
}

/// Reads the files and says what it found; the exit code.
pub(crate) fn show(options: &Check) -> u8 {
    let depth = if options.syntax { Depth::Syntax } else { Depth::Served };
    let explain = if options.explain { Explain::As(THIS_NODE) } else { Explain::No };
    let files = options.keepalived.beside(&options.files);
    let Reading { sources, diagnostics, everything, explained } = match examine(&files, depth, explain) {
        Ok(reading) => reading,
        Err(why) => {
            alert(&why);
            return NOT_USABLE;
        }
    };
    let valid = everything.is_some();
    // A keepalived.conf alone listens to nobody.
    let reachable = options.files.is_empty() || everything.as_ref().is_some_and(Everything::is_reachable);
    let code = match (valid, reachable) {
        (true, true) => 0,
        (true, false) => NOTHING_TO_RUN,
        (false, _) => NOT_USABLE,
    };
    if options.json {
        let report = Report {
            valid,
            problems: diagnostics.iter().map(|diagnostic| problem(&sources, diagnostic)).collect(),
            waiting: diagnostics
                .waiting()
                .iter()
                .map(|(span, name)| Waiting {
                    file: file(&sources, span.file),
                    line: span.line,
                    name: name.clone(),
                })
                .collect(),
            sections: explained.into_iter().map(|explained| section(&sources, explained)).collect(),
            notes: everything.iter().filter_map(signatures).collect(),
        };
        // Numbers and texts can always be written.
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        return code;
    }
    let colour = std::io::stdout().is_terminal();
    if options.explain && valid {
        write(explained.into_iter().map(|explained| section(&sources, explained)));
        return code;
    }
    print!("{}", render(&sources, &diagnostics.iter().collect::<Vec<_>>(), std::process::id(), colour));
    if diagnostics.dropped() > 0 {
        println!("... and {} more", diagnostics.dropped());
    }
    for (span, name) in diagnostics.waiting() {
        println!("not built yet: {}:{}: {name}", file(&sources, span.file), span.line);
    }
    match code {
        0 => {
            print!("{}", everything.iter().map(who_would_win).collect::<String>());
            everything.iter().filter_map(signatures).for_each(|note| println!("note: {note}"));
            for part in crate::sandbox::missing() {
                println!("this kernel has no {part}: the worker runs without it");
            }
            println!("Configuration file is valid");
        }
        NOTHING_TO_RUN => println!("{NO_LISTENER}"),
        _ => println!("{}", summary(&diagnostics)),
    }
    code
}

/// Says so where the members' advertisements are not signed, as far as their certificate can be read here.
fn signatures(everything: &Everything) -> Option<String> {
    let key = everything.signs_adverts().then(|| crate::worker::advert_key(everything));
    matches!(key, Some(Ok(None))).then(|| NO_ADVERT_KEY.to_owned())
}

/// Who would have each virtual router's addresses, in words: the priorities as they act.
fn who_would_win(everything: &Everything) -> String {
    let Some(cluster) = &everything.cluster else { return String::new() };
    let members: Vec<(&str, IpAddr)> =
        cluster.members.iter().map(|member| (member.name.as_str(), member.address)).collect();
    let mut text = String::new();
    for router in &everything.routers {
        if let Some(priority) = router.own_priority {
            // The other members' priorities are in their files.
            text.push_str(&format!(
                "virtual router {}: priority {priority} on this node; who has the addresses, the other nodes' files decide, too\n",
                router.name
            ));
            continue;
        }
        let contest = Contest { router, members: &members };
        let first = contest.winner(&[], None);
        let second = contest.winner(&[first], None);
        let back = if router.preempt { first } else { "whoever has them then" };
        text.push_str(&format!(
            "virtual router {}: {first} has the addresses; {second} if {first}, or the proxy on it, fails; {} if {second} does, too; {back} when {first} is back\n",
            router.name,
            contest.winner(&[first, second], None)
        ));
        for track in &router.tracks {
            let Some(what) = failure(track) else { continue };
            let everywhere: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
            text.push_str(&format!(
                "    {what} on {first}: {}; on every member: {}\n",
                contest.winner(&[], Some((track, &[first]))),
                contest.winner(&[], Some((track, &everywhere)))
            ));
        }
    }
    text
}

/// What the failure of a condition is called; numbers of a file with a weight are no failures.
fn failure(track: &Track) -> Option<String> {
    Some(match &track.watch {
        Watch::File { .. } if track.weight != 0 => return None,
        Watch::File { .. } if track.reverse => format!("the number in file '{}' is 0", track.name),
        Watch::File { .. } => format!("the number in file '{}' is not 0", track.name),
        Watch::Backend { name, least: 1 } => format!("backend {name} has no usable server"),
        Watch::Backend { name, least } => format!("backend {name} has fewer than {least} usable servers"),
        Watch::Interface(interface) => format!("interface {interface} is down"),
        Watch::Gateway { .. } => format!("gateway '{}' does not answer", track.name),
        Watch::Script(_) => format!("script '{}' fails", track.name),
        Watch::Process(_) => format!("process '{}' is not there", track.name),
    })
}

/// The members that may have a virtual router's addresses.
struct Contest<'a> {
    router: &'a VirtualRouter,
    members: &'a [(&'a str, IpAddr)],
}

impl Contest<'_> {
    /// Who has the addresses while these members are gone, and a condition has failed on those.
    fn winner(&self, gone: &[&str], failed: Option<(&Track, &[&str])>) -> &str {
        let there = self.members.iter().filter(|(name, _)| !gone.contains(name));
        let ranked = there.filter_map(|(name, address)| {
            let observed = |track: &Track| {
                let failed = failed.is_some_and(|(what, on)| what == track && on.contains(name));
                if matches!(track.watch, Watch::File { .. }) {
                    // With a weight it changes the priority by what nobody knows here, otherwise it fails or not.
                    Observed::Value(i64::from(track.weight == 0 && failed != track.reverse))
                } else if failed != track.reverse {
                    Observed::Failed
                } else {
                    Observed::Well
                }
            };
            let base = self.router.settings(name, *address).priority;
            let tracks = self.router.tracks.iter().map(|track| (track, observed(track)));
            let Effective { priority, fault } = effective(base, self.router.last_priority(name), tracks);
            fault.is_none().then_some(((priority, *address), *name))
        });
        ranked.max().map_or("nobody", |(_, name)| name)
    }
}

fn section(sources: &Sources, explained: Explained) -> Section {
    let from = |origin| match origin {
        Origin::Own => None,
        Origin::Defaults(span) => Some(format!("defaults, {}:{}", file(sources, span.file), span.line)),
        Origin::Usual => Some("usual".to_owned()),
    };
    let lines = explained.lines.into_iter();
    Section {
        kind: explained.kind,
        name: explained.name,
        id: explained.id,
        lines: lines.map(|line| Line { text: line.text, id: line.id, from: from(line.origin) }).collect(),
    }
}

/// Writes the sections as a file that can be read again.
fn write(sections: impl Iterator<Item = Section>) {
    println!(
        "# What the configuration means. Behind '#': numbers, and where a line comes from if not from here."
    );
    for Section { kind, name, id, lines } in sections {
        let note = |parts: [Option<String>; 2]| {
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            if parts.is_empty() { String::new() } else { format!("  # {}", parts.join(", ")) }
        };
        let number = |id: Option<u32>| id.map(|id| format!("id {id}"));
        let name = name.map_or_else(String::new, |name| format!(" {}", proxy_lang::quoted(&name)));
        println!("\n{kind}{name}{}", note([number(id), None]));
        for line in lines {
            println!("    {}{}", line.text, note([number(line.id), line.from]));
        }
    }
}

fn problem(sources: &Sources, diagnostic: &Diagnostic) -> Problem {
    let span = diagnostic.span;
    Problem {
        level: match diagnostic.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
            Level::Detail => "detail",
        },
        file: file(sources, span.file),
        line: span.line,
        columns: [span.start + 1, span.end],
        message: diagnostic.message.clone(),
        help: diagnostic.help.clone(),
    }
}

fn file(sources: &Sources, id: proxy_lang::FileId) -> String {
    sources.source(id).map_or_else(String::new, |source| source.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: &str = "cluster prod\n member lb1 192.0.2.11\n member lb2 192.0.2.12\n crt a ca-file b\n";

    /// What is said of these files.
    fn said(haproxy: &str, keepalived: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_string_lossy().into_owned()
        };
        let haproxy = vec![write("haproxy.cfg", haproxy)];
        let keepalived = if keepalived.is_empty() { vec![] } else { vec![write("k.conf", keepalived)] };
        let files = crate::config::Files { haproxy, keepalived, config_id: None };
        let reading = examine(&files, Depth::Syntax, Explain::No).unwrap();
        let problems: Vec<&str> = reading.diagnostics.iter().map(|d| d.message.as_str()).collect();
        who_would_win(reading.everything.as_ref().unwrap_or_else(|| panic!("{problems:?}")))
    }

    #[test]
    fn a_file_that_is_one_nodes_does_not_say_who_wins() {
        let instance = "vrrp_instance web {\n interface eth0\n virtual_router_id 51\n priority 150\n virtual_ipaddress {\n 192.0.2.100/24\n }\n}\n";
        assert_eq!(
            said(PAIR, instance),
            "virtual router web: priority 150 on this node; who has the addresses, the other nodes' files decide, too\n"
        );
        assert_eq!(said("", instance), "");
    }

    #[test]
    fn a_file_without_a_weight_is_played() {
        let router =
            "virtual-router v\n interface eth0\n vrid 1\n address 192.0.2.100/24\n priority lb1 150\n";
        let plain = "virtual router v: lb1 has the addresses; lb2 if lb1, or the proxy on it, fails; nobody if lb2 does, too; whoever has them then when lb1 is back\n";
        for (line, expected) in [
            (
                "track-file drain /run/drain",
                "the number in file 'drain' is not 0 on lb1: lb2; on every member: nobody",
            ),
            (
                "track-file on /run/on reverse",
                "the number in file 'on' is 0 on lb1: lb2; on every member: nobody",
            ),
        ] {
            assert_eq!(
                said(&format!("{PAIR}{router} {line}\n"), ""),
                format!("{plain}    {expected}\n"),
                "{line}"
            );
        }
        assert_eq!(said(&format!("{PAIR}{router} track-file n /run/n weight -2\n"), ""), plain);
    }
}
