//! Where log lines go and what they say.

use std::path::PathBuf;

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Sections, nearest};

use super::spec;
use crate::address;
use crate::draft::{LogLine, ProxyDraft};
use crate::model::{LogAddress, LogTarget};

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp",
    "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const FORMATS: [&str; 8] = ["local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw"];
/// The port of syslog.
const SYSLOG_PORT: u16 = 514;

pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword {
        spec: spec!(
            &["log"],
            &[Arg::Word("global|address"), Arg::Rest("facility [level]")],
            "Where log lines go; 'global' repeats the global section's lines.",
            "log global"
        ),
        sections: Sections::PROXY,
        negatable: true,
        apply: |d, a, r| {
            if a.negated {
                d.log.clear();
            } else if a.word(0).text == "global" {
                d.log.push(LogLine::Global);
            } else {
                d.log.extend(target(a, r).map(LogLine::Target));
            }
        },
    },
    Keyword {
        spec: spec!(
            &["log-format"],
            &[Arg::Word("format")],
            "What a log line says.",
            "log-format \"%ci %ST %r\""
        ),
        sections: Sections::DEFAULTS.or(Sections::FRONTEND).or(Sections::LISTEN),
        negatable: false,
        apply: |d, a, _| d.log_format = Some(a.word(0).clone()),
    },
];

/// Reads `ADDRESS FACILITY [LEVEL]`.
pub(crate) fn target(args: &Args, diagnostics: &mut Diagnostics) -> Option<LogTarget> {
    let word = args.word(0);
    let address = match word.text.as_str() {
        "stdout" => LogAddress::Stdout,
        "stderr" => LogAddress::Stderr,
        path if path.starts_with('/') => LogAddress::Unix(PathBuf::from(path)),
        special
            if ["ring@", "fd@", "abns@", "unix@", "tcp@"].iter().any(|known| special.starts_with(known)) =>
        {
            diagnostics.later_for(word.span, &format!("log to {special}"), "Log lines go there.");
            return None;
        }
        text => match address::parse(text.strip_prefix("udp@").unwrap_or(text)) {
            Ok((ip, port)) => LogAddress::Udp((ip, port.unwrap_or(SYSLOG_PORT)).into()),
            Err(why) => {
                diagnostics.error(word.span, format!("'log' : {why}"));
                return None;
            }
        },
    };
    let mut words = args.words(1);
    while let [option, value, rest @ ..] = words {
        match option.text.as_str() {
            "format" if !FORMATS.contains(&value.text.as_str()) => {
                let note = diagnostics.error(value.span, format!("'{}' is no log format", value.text));
                note.help(format!("one of {} is expected", FORMATS.join(", ")));
                words = rest;
                continue;
            }
            "format" => {}
            "len" | "sample" => {
                let purpose = "It bounds what is written.";
                diagnostics.later_for(option.span, &format!("log ... {}", option.text), purpose);
                words = rest;
                continue;
            }
            _ => break,
        }
        let written = match address {
            LogAddress::Stdout | LogAddress::Stderr => "raw",
            LogAddress::Udp(_) | LogAddress::Unix(_) => "rfc3164",
        };
        if value.text != written {
            diagnostics
                .error(
                    value.span,
                    format!("log format '{}' is known to HAProxy but not built yet", value.text),
                )
                .help(format!("to this address lines are written as '{written}'"));
        }
        words = rest;
    }
    let place =
        |names: &[&'static str], index: usize, usual: Option<usize>, diagnostics: &mut Diagnostics| {
            let Some(word) = words.get(index) else {
                if usual.is_none() {
                    diagnostics.error(args.keyword.span, "'log' expects a facility after the address");
                }
                return usual;
            };
            let found = names.iter().position(|n| *n == word.text);
            if found.is_none() {
                let what = if usual.is_none() { "facility" } else { "level" };
                let note = diagnostics.error(word.span, format!("'{}' is no log {what}", word.text));
                if let Some(near) = nearest(&word.text, names.iter().copied()) {
                    note.help(format!("did you mean '{near}'?"));
                }
            }
            found
        };
    let facility = place(&FACILITIES, 0, None, diagnostics)?;
    let level = place(&LEVELS, 1, Some(7), diagnostics)?;
    if let Some(word) = words.get(2) {
        diagnostics.error(word.span, "a minimum level is known to HAProxy but not built yet");
    }
    let narrow = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    Some(LogTarget { address, facility: narrow(facility), max_level: narrow(level) })
}
