//! Where log lines go and what they say.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Sections, nearest};

use super::spec;
use crate::address;
use crate::draft::{LogFormat, LogLine, ProxyDraft};
use crate::model::{LogAddress, LogForm, LogSample, LogTarget};

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp",
    "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
/// The port of syslog.
const SYSLOG_PORT: u16 = 514;
/// Longest line of a target, in bytes, its header included: as in HAProxy.
const USUAL_LENGTH: usize = 1_024;
const LENGTHS: RangeInclusive<usize> = 80..=65_535;
const FORMATS: [(&str, LogForm); 8] = [
    ("local", LogForm::Local),
    ("rfc3164", LogForm::Rfc3164),
    ("rfc5424", LogForm::Rfc5424),
    ("priority", LogForm::Priority),
    ("short", LogForm::Short),
    ("timed", LogForm::Timed),
    ("iso", LogForm::Iso),
    ("raw", LogForm::Raw),
];

pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword {
        spec: spec!(
            &["log"],
            &[
                Arg::Word("global|address"),
                Arg::Rest(
                    "[len <length>] [format <format>] [sample <ranges>:<size>] facility [level [minimum]]"
                )
            ],
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
        spec: spec!(&["log-tag"], &[Arg::Word("tag")], "The program's name in log lines.", "log-tag edge"),
        sections: Sections::PROXY,
        negatable: false,
        apply: |d, a, _| d.log_tag = Some(a.text(0)),
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
        apply: |d, a, _| d.log_format = Some(LogFormat::Own(a.word(0).clone())),
    },
];

/// Reads `ADDRESS [len LENGTH] [format FORMAT] [sample RANGES:SIZE] FACILITY [LEVEL [MINIMUM]]`.
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
    let (mut length, mut format, mut sample) = (USUAL_LENGTH, LogForm::default(), None);
    while let [option, value, rest @ ..] = words {
        match option.text.as_str() {
            "len" => match value.text.parse() {
                Ok(read) if LENGTHS.contains(&read) => length = read,
                _ => {
                    let (least, most) = (LENGTHS.start(), LENGTHS.end());
                    let why = format!("'{}' is no length of {least} to {most} bytes", value.text);
                    diagnostics.error(value.span, why);
                }
            },
            "format" => match FORMATS.iter().find(|(name, _)| *name == value.text) {
                Some((_, known)) => format = *known,
                None => {
                    let note =
                        diagnostics.error(value.span, format!("'{}' is no format of log lines", value.text));
                    if let Some(near) = nearest(&value.text, FORMATS.iter().map(|(name, _)| *name)) {
                        note.help(format!("did you mean '{near}'?"));
                    }
                }
            },
            "sample" => match read_sample(&value.text) {
                Ok(read) => sample = Some(read),
                Err(why) => {
                    diagnostics.error(value.span, why).help("log 127.0.0.1 sample 1,3-4:5 local0");
                }
            },
            _ => break,
        }
        words = rest;
    }
    let mut place = |names: &[&'static str], index: usize, usual: Option<usize>| {
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
    let facility = place(&FACILITIES, 0, None)?;
    let level = place(&LEVELS, 1, Some(7))?;
    let minimum = place(&LEVELS, 2, Some(0))?;
    let narrow = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    Some(LogTarget {
        address,
        facility: narrow(facility),
        max_level: narrow(level),
        min_level: narrow(minimum),
        format,
        length,
        sample,
    })
}

/// Reads `1,3-4:5`.
fn read_sample(text: &str) -> Result<LogSample, String> {
    let why = || format!("'{text}' is no sample: ranges from 1, a colon, and how many lines they are of");
    let (ranges, size) = text.split_once(':').ok_or_else(why)?;
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0).ok_or_else(why);
    let size = number(size)?;
    let mut read: Vec<(u32, u32)> = Vec::new();
    for range in ranges.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last > size {
            return Err(why());
        }
        if read.iter().any(|(from, to)| first <= *to && *from <= last) {
            return Err(format!("ranges of the sample '{text}' overlap"));
        }
        read.push((first, last));
    }
    Ok(LogSample { ranges: read, size, lines: Arc::default() })
}
