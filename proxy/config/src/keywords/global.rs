//! The global section: the process.

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Sections, Unit, Word};

use super::spec;
use crate::address;
use crate::draft::{Base, GlobalDraft};
use crate::model::{Account, BindAddress, Level, SocketFile, StatsSocket};

const HERE: Sections = Sections::GLOBAL;
/// The number of a user or a group.
pub(super) const ID: Arg = Arg::Int("number", 0, 4_294_967_294);

pub(super) const TABLE: &[Keyword<GlobalDraft>] = &[
    Keyword {
        spec: spec!(&["chroot"], &[Arg::Word("folder")], "Root folder of the worker.", "chroot /var/empty"),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.global.chroot = Some(a.text(0)),
    },
    Keyword {
        spec: spec!(&["daemon"], &[], "Runs in the background.", "daemon"),
        sections: HERE,
        negatable: false,
        apply: |d, _, _| d.global.daemon = true,
    },
    Keyword {
        spec: spec!(
            &["default-path"],
            &[
                Arg::OneOf("origin", &["current", "config", "parent", "origin"]),
                Arg::Optional(&Arg::Word("folder")),
            ],
            "What relative names of files are relative to, from here on: the folder the program was started in, that of the configuration, the one above it, or the one named.",
            "default-path config"
        ),
        sections: HERE,
        negatable: false,
        apply: default_path,
    },
    Keyword {
        spec: spec!(
            &["description"],
            &[Arg::Words("text")],
            "A note for people, which 'show info' repeats.",
            "description first of two"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.global.description = Some(super::text(a.words(0))),
    },
    Keyword {
        spec: spec!(
            &["fd-hard-limit"],
            &[Arg::Int("descriptors", 1, 1_048_576)],
            "Most descriptors this process takes, whatever the system allows: without 'maxconn' the number of connections follows from it. Without the line 1048576.",
            "fd-hard-limit 50000"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.global.fd_hard_limit = u64::try_from(a.int(0)).ok(),
    },
    Keyword {
        spec: spec!(&["gid"], &[ID], "Group of the worker, by number.", "gid 998"),
        sections: HERE,
        negatable: false,
        apply: |d, a, diagnostics| d.global.group = once(d.global.group.take(), numbered(a), a, diagnostics),
    },
    Keyword {
        spec: spec!(&["group"], &[Arg::Word("name")], "Group of the worker.", "group haproxy"),
        sections: HERE,
        negatable: false,
        apply: |d, a, diagnostics| {
            d.global.group = once(d.global.group.take(), named(a.word(0)), a, diagnostics);
        },
    },
    Keyword {
        spec: spec!(
            &["hard-stop-after"],
            &[Arg::Duration("time", Unit::Millis)],
            "Longest time sessions may go on after a stop; without it for ever after a soft one, a minute otherwise.",
            "hard-stop-after 30s"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.global.hard_stop_after = Some(a.duration(0)),
    },
    Keyword {
        spec: spec!(
            &["localpeer"],
            &[Arg::Word("name")],
            "This node's name among its peers.",
            "localpeer lb1"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.global.localpeer = Some(a.text(0)),
    },
    Keyword {
        spec: spec!(
            &["log"],
            &[
                Arg::Word("address"),
                Arg::Words(
                    "[len <length>] [format <format>] [sample <ranges>:<size>] facility [level [minimum]]"
                ),
            ],
            "Where log lines go.",
            "log 127.0.0.1 local0 notice"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, r| d.global.log.extend(super::target(a, r)),
    },
    Keyword {
        spec: spec!(&["log-tag"], &[Arg::Word("tag")], "The program's name in log lines.", "log-tag edge"),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.global.log_tag = Some(a.text(0)),
    },
    Keyword {
        spec: spec!(
            &["log-send-hostname"],
            &[Arg::Optional(&Arg::Word("name"))],
            "The host's name in log lines.",
            "log-send-hostname lb1"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| {
            d.global.log_host = Some(a.optional_word(0).map(|w| w.text.clone()).unwrap_or_default());
        },
    },
    Keyword {
        spec: spec!(
            &["maxconn"],
            &[Arg::Int("connections", 0, 10_000_000)],
            "Most client connections of the process; 0, or without the line, as many as its descriptors and its memory carry ('ulimit-n', 'fd-hard-limit').",
            "maxconn 2000"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.global.maxconn = u64::try_from(a.int(0)).ok().filter(|most| *most > 0),
    },
    Keyword {
        spec: spec!(
            &["nbthread"],
            &[Arg::Int("threads", 1, 64)],
            "Number of cores: threads that carry traffic; without the line as many as the machine has. A change needs a restart of the node: a reload is refused.",
            "nbthread 2"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.global.nbthread = u32::try_from(a.int(0)).ok(),
    },
    Keyword {
        spec: spec!(&["node"], &[Arg::Word("name")], "This node's name in statistics.", "node lb1"),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.global.node = Some(a.text(0)),
    },
    Keyword {
        spec: spec!(
            &["pidfile"],
            &[Arg::Word("file")],
            "Where the process writes its number.",
            "pidfile /run/tandem.pid"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.global.pidfile = Some(a.text(0)),
    },
    Keyword {
        spec: spec!(
            &["stats maxconn"],
            &[Arg::Int("connections", 1, 10_000)],
            "Most connections to the runtime API that are served at a time; others wait. Without the line 10.",
            "stats maxconn 20"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.global.stats_maxconn = u32::try_from(a.int(0)).ok(),
    },
    Keyword {
        spec: spec!(
            &["stats socket"],
            &[Arg::Word("path"), Arg::Rest("mode <mode> level <level>")],
            "Socket of the runtime API.",
            "stats socket /run/tandem/stats.sock mode 600 level admin"
        ),
        sections: HERE,
        negatable: false,
        apply: stats_socket,
    },
    Keyword {
        spec: spec!(
            &["stats timeout"],
            &[Arg::Duration("timeout", Unit::Millis)],
            "How long a silent connection to the runtime API stays.",
            "stats timeout 30s"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, r| {
            d.global.stats_timeout = Some(a.duration(0)).filter(|timeout| !timeout.is_zero());
            if d.global.stats_timeout.is_none() {
                r.error(a.span, "'stats timeout' expects a time above 0");
            }
        },
    },
    Keyword {
        spec: spec!(
            &["strict-limits"],
            &[],
            "Whether a start, or a reload, is refused when 'maxconn' needs more descriptors than there are: it is, unless the line begins with 'no', which warns and serves as many connections as fit.",
            "strict-limits"
        ),
        sections: HERE,
        negatable: true,
        apply: |d, a, _| d.global.lenient_limits = a.negated,
    },
    Keyword {
        spec: spec!(
            &["ulimit-n"],
            &[Arg::Int("descriptors", 1, 1_048_576)],
            "Most descriptors of the process, set at its start; without the line what 'maxconn' needs. Nothing needs it: the number is derived.",
            "ulimit-n 20000"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.global.ulimit_n = u64::try_from(a.int(0)).ok(),
    },
    Keyword {
        spec: spec!(&["uid"], &[ID], "User of the worker, by number.", "uid 998"),
        sections: HERE,
        negatable: false,
        apply: |d, a, diagnostics| d.global.user = once(d.global.user.take(), numbered(a), a, diagnostics),
    },
    Keyword {
        spec: spec!(&["user"], &[Arg::Word("name")], "User of the worker.", "user haproxy"),
        sections: HERE,
        negatable: false,
        apply: |d, a, diagnostics| {
            d.global.user = once(d.global.user.take(), named(a.word(0)), a, diagnostics);
        },
    },
];

/// A user or a group by name.
pub(super) fn named(word: &Word) -> Option<Account> {
    Some(Account::Name { name: word.text.clone(), at: word.span })
}

/// A user or a group by number.
pub(super) fn numbered(args: &Args) -> Option<Account> {
    u32::try_from(args.int(0)).ok().map(Account::Number)
}

/// Of `user` and `uid`, and of `group` and `gid`, the first counts; whoever writes a second one hears of it.
fn once(
    before: Option<Account>,
    account: Option<Account>,
    args: &Args,
    diagnostics: &mut Diagnostics,
) -> Option<Account> {
    if let Some(before) = &before {
        diagnostics.warning(args.span, format!("'{before}' is set already: this line has no effect"));
    }
    before.or(account)
}

fn stats_socket(draft: &mut GlobalDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let word = args.word(0);
    let address = match address::special(&word.text) {
        Some(special) => special,
        None => address::parse_socket(&word.text).map(BindAddress::Tcp),
    };
    let address = match address {
        Ok(address) => address,
        Err(why) => {
            diagnostics
                .error(word.span, format!("'stats socket' : {why}"))
                .help("the absolute path of a Unix socket, 'ipv4@address:port' or 'fd@number' is expected");
            return;
        }
    };
    let mut socket = StatsSocket { address, file: SocketFile::default(), level: Level::Operator };
    let mut rest = args.words(1);
    while let [keyword, value, after @ ..] = rest {
        match (keyword.text.as_str(), value.text.as_str()) {
            ("mode", mode) => match u32::from_str_radix(mode, 8) {
                Ok(mode) if mode <= 0o777 => socket.file.mode = Some(mode),
                _ => {
                    diagnostics
                        .error(value.span, format!("'{mode}' is not a mode: an octal number is expected"));
                }
            },
            ("level", "user") => socket.level = Level::User,
            ("level", "operator") => socket.level = Level::Operator,
            ("level", "admin") => socket.level = Level::Admin,
            ("user", _) => socket.file.user = named(value),
            ("group", _) => socket.file.group = named(value),
            ("uid" | "gid", number) => match (number.parse().map(Account::Number), keyword.text.as_str()) {
                (Ok(account), "uid") => socket.file.user = Some(account),
                (Ok(account), _) => socket.file.group = Some(account),
                (Err(_), _) => {
                    diagnostics.error(value.span, format!("'{number}' is not a number of a user or a group"));
                }
            },
            ("expose-fd", "listeners") => {
                let text = "'expose-fd listeners' has no effect: a reload hands listeners over by itself";
                diagnostics.push(proxy_lang::Level::Detail, keyword.span, text);
            }
            ("process", _) => {
                let text = "'process' has no effect: one process serves the runtime API";
                diagnostics.warning(keyword.span, text);
            }
            ("severity-output", _) => {
                diagnostics.later(keyword.span, &format!("stats socket ... {}", keyword.text));
            }
            _ => break,
        }
        rest = after;
    }
    if let Some(wrong) = rest.first() {
        diagnostics.error(wrong.span, format!("'stats socket' does not understand '{}'", wrong.text)).help(
            "mode <octal>, level user|operator|admin, user|group <name>, uid|gid <number> are expected",
        );
    }
    draft.global.stats_sockets.push(socket);
}

fn default_path(draft: &mut GlobalDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let base = match (args.text(0).as_str(), args.optional_word(1)) {
        ("config", None) => Base::Config,
        ("parent", None) => Base::Parent,
        ("origin", Some(folder)) => Base::Origin(folder.text.clone()),
        ("origin", None) => {
            diagnostics.error(args.span, "'default-path origin' expects a folder");
            return;
        }
        (_, None) => Base::Current,
        (kind, Some(extra)) => {
            diagnostics.error(extra.span, format!("unexpected '{}' behind '{kind}'", extra.text));
            return;
        }
    };
    draft.bases.push((args.span, base));
}
