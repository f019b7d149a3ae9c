//! The global section: the process, its environment and its limits.

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Level, Sections, Spec, Unit};

use super::spec;
use crate::draft::GlobalDraft;

const HERE: Sections = Sections::GLOBAL;
const ENVIRONMENT: &str = "what it sets holds for the lines that follow, whoever reads them";
const EPOLL: &str = "epoll is the only way of waiting here";
const PLACED: &str = "the kernel places the threads";
const ONE_PROCESS: &str = "one process carries all traffic, with a thread for each core ('nbthread')";
const NO_LEAVE: &str = "nothing here asks leave";
const LUA: &str = "there is no Lua in Tandem";
const DEVICES: &str = "there is no device detection in Tandem: a map over the User-Agent field comes near";
const OPENSSL: &str = "TLS is rustls, which loads no engines or providers";
const NO_DHE: &str = "key exchange uses elliptic curves";
const CODE: &str = "it is about the inside of HAProxy";

/// Most threads that a set can name, and most cores.
const MOST_THREADS: u32 = 64;
const MOST_CORES: u32 = 4_095;

/// What concerns the whole process.
pub(super) const TABLE: &[Keyword<GlobalDraft>] = &[
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            CODE,
            &["cluster-secret"],
            &[Arg::Word("secret")],
            "Seed of HAProxy's keys.",
            "cluster-secret something",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            EPOLL,
            &["noepoll", "nokqueue", "nopoll", "noevports"],
            &[],
            "Ways of waiting that HAProxy can be denied.",
            "noepoll",
        ),
    ),
    Keyword::inert(
        HERE,
        true,
        Spec::accepted(EPOLL, &["busy-polling"], &[], "Waits without sleeping.", "busy-polling"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            "nothing is spliced",
            &["nosplice"],
            &[],
            "Denies HAProxy to have the kernel copy between sockets.",
            "nosplice",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            "every core accepts by a socket of its own, which needs it",
            &["noreuseport"],
            &[],
            "Denies HAProxy several sockets of one address (SO_REUSEPORT).",
            "noreuseport",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            "the allocator is another one, and gives memory back by itself",
            &["no-memory-trimming"],
            &[],
            "Denies HAProxy to give memory back after a reload.",
            "no-memory-trimming",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            "names of hosts are not looked up yet",
            &["nogetaddrinfo"],
            &[],
            "Denies HAProxy one of two ways to look names up.",
            "nogetaddrinfo",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["close-spread-time"],
            &[Arg::Duration("time", Unit::Millis)],
            "Time over which idle connections are closed at a stop.",
            "close-spread-time 10s",
        ),
    ),
    Keyword::inert(
        HERE,
        true,
        Spec::accepted(
            PLACED,
            &["numa-cpu-mapping"],
            &[],
            "Threads stay on one node of memory.",
            "numa-cpu-mapping",
        ),
    ),
    Keyword {
        spec: Spec::accepted(
            PLACED,
            &["cpu-map"],
            &[Arg::Word("threads"), Arg::Words("cores")],
            "Which core runs which thread.",
            "cpu-map auto:1/1-4 0-3",
        ),
        sections: HERE,
        negatable: false,
        apply: cpu_map,
    },
    Keyword::inert(
        HERE,
        true,
        Spec::accepted(
            NO_LEAVE,
            &[
                "expose-experimental-directives",
                "insecure-fork-wanted",
                "insecure-setuid-wanted",
                "expose-deprecated-directives",
            ],
            &[],
            "Leave to do what HAProxy asks leave for.",
            "insecure-fork-wanted",
        ),
    ),
    Keyword::inert(
        HERE,
        true,
        Spec::later(&["external-check"], &[], "Leave to run programs as checks.", "external-check"),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["grace"],
            &[Arg::Duration("time", Unit::Millis)],
            "How long listeners stay after a soft stop began.",
            "grace 5s",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::absent(
            CODE,
            &[
                "anonkey",
                "httpclient.resolvers.id",
                "httpclient.resolvers.prefer",
                "httpclient.ssl.ca-file",
                "httpclient.ssl.verify",
            ],
            "",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::absent(
            LUA,
            &[
                "lua-load",
                "lua-load-per-thread",
                "lua-prepend-path",
                "tune.lua.forced-yield",
                "tune.lua.maxmem",
                "tune.lua.service-timeout",
                "tune.lua.session-timeout",
                "tune.lua.task-timeout",
            ],
            "",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::absent(
            DEVICES,
            &[
                "51degrees-data-file",
                "51degrees-property-name-list",
                "51degrees-property-separator",
                "51degrees-cache-size",
                "deviceatlas-json-file",
                "deviceatlas-log-level",
                "deviceatlas-separator",
                "deviceatlas-properties-cookie",
                "wurfl-data-file",
                "wurfl-information-list",
                "wurfl-information-list-separator",
                "wurfl-cache-size",
            ],
            "",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            "nothing is spliced",
            &["maxpipes"],
            &[Arg::Int("number", 0, 10_000_000)],
            "Most pipes that HAProxy has the kernel copy through.",
            "maxpipes 100",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            "nothing is compressed",
            &["maxzlibmem"],
            &[Arg::Int("megabytes", 0, 10_000_000)],
            "Most memory for compression.",
            "maxzlibmem 100",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            "first checks are spread over 200 ms at most",
            &["max-spread-checks"],
            &[Arg::Duration("time", Unit::Millis)],
            "Longest time over which checks are spread at the start.",
            "max-spread-checks 1s",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["maxcomprate"],
            &[Arg::Int("kilobytes", 0, 10_000_000)],
            "Most input that is compressed in a second.",
            "maxcomprate 1000",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["maxcompcpuusage"],
            &[Arg::Int("percent", 0, 100)],
            "CPU use above which nothing more is compressed.",
            "maxcompcpuusage 50",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["maxconnrate"],
            &[Arg::Int("connections", 0, 10_000_000)],
            "Most connections in a second.",
            "maxconnrate 1000",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["maxsessrate"],
            &[Arg::Int("sessions", 0, 10_000_000)],
            "Most sessions in a second.",
            "maxsessrate 1000",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["maxsslconn"],
            &[Arg::Int("connections", 0, 10_000_000)],
            "Most connections under TLS.",
            "maxsslconn 1000",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["maxsslrate"],
            &[Arg::Int("handshakes", 0, 10_000_000)],
            "Most TLS handshakes in a second.",
            "maxsslrate 1000",
        ),
    ),
    Keyword {
        spec: Spec::accepted(
            ONE_PROCESS,
            &["nbproc"],
            &[Arg::Int("processes", 1, 1)],
            "Number of processes: one.",
            "nbproc 1",
        ),
        sections: HERE,
        negatable: false,
        apply: |_, a, r| {
            let text = "'nbproc' is gone: the threads of one process serve all cores ('nbthread')";
            r.push(Level::Note, a.keyword.span, text);
        },
    },
    Keyword::inert(
        HERE,
        true,
        Spec::accepted(
            CODE,
            &["set-dumpable", "quiet", "prealloc-fd", "pp2-never-send-local"],
            &[],
            "Switches of HAProxy's own process.",
            "prealloc-fd",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            CODE,
            &["profiling.tasks", "profiling.memory"],
            &[Arg::OneOf("switch", &["on", "off", "auto"])],
            "Times the work of HAProxy's own process.",
            "profiling.tasks on",
        ),
    ),
    Keyword {
        spec: spec!(
            &["master-worker"],
            &[Arg::Optional(&Arg::OneOf("option", &["no-exit-on-failure"]))],
            "Runs as supervisor and worker, as with '-W'. The supervisor outlives its workers always.",
            "master-worker"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, _, _| d.global.master_worker = true,
    },
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            ENVIRONMENT,
            &["setenv"],
            &[Arg::Word("name"), Arg::Word("value")],
            "Sets a variable.",
            "setenv SITE west",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            ENVIRONMENT,
            &["presetenv"],
            &[Arg::Word("name"), Arg::Word("value")],
            "Sets a variable that is not set.",
            "presetenv SITE west",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            ENVIRONMENT,
            &["unsetenv"],
            &[Arg::Words("names")],
            "Takes variables away.",
            "unsetenv SITE",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            ENVIRONMENT,
            &["resetenv"],
            &[Arg::Rest("names")],
            "Takes all variables away but these.",
            "resetenv PATH HOME",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["server-state-base"],
            &[Arg::Word("folder")],
            "Where files of servers' states lie.",
            "server-state-base /var/lib/tandem",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["server-state-file"],
            &[Arg::Word("file")],
            "File of all servers' states.",
            "server-state-file states",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["set-var"],
            &[Arg::Word("name"), Arg::Words("expression")],
            "Sets a variable of the process.",
            "set-var proc.site str(west)",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["set-var-fmt"],
            &[Arg::Word("name"), Arg::Word("format")],
            "Sets a variable of the process by a format.",
            "set-var-fmt proc.site west",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            ONE_PROCESS,
            &["stats bind-process"],
            &[Arg::Words("processes")],
            "Which process serves the runtime API.",
            "stats bind-process 1",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            "threads have no groups: each serves the connections that it accepts",
            &["thread-group", "thread-groups"],
            &[Arg::Rest("threads")],
            "Groups of threads.",
            "thread-groups 1",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["unix-bind"],
            &[Arg::Words("options")],
            "Prefix, mode and owner of Unix sockets.",
            "unix-bind mode 660",
        ),
    ),
    Keyword::inert(HERE, false, Spec::later(&["zero-warning"], &[], "Warnings are fatal.", "zero-warning")),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["h1-case-adjust"],
            &[Arg::Word("from"), Arg::Word("to")],
            "Spelling of a header field towards old peers.",
            "h1-case-adjust content-type Content-Type",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["h1-case-adjust-file"],
            &[Arg::Word("file")],
            "Spellings of header fields towards old peers.",
            "h1-case-adjust-file spellings",
        ),
    ),
    Keyword::inert(
        HERE,
        true,
        Spec::accepted(
            "any method may have a body",
            &["h1-accept-payload-with-any-method"],
            &[],
            "Takes bodies of GET, HEAD and DELETE in HTTP/1.0.",
            "h1-accept-payload-with-any-method",
        ),
    ),
    Keyword::inert(
        HERE,
        true,
        Spec::accepted(
            "HTTP/2 is not spoken yet",
            &["h2-workaround-bogus-websocket-clients"],
            &[],
            "Does not offer WebSocket over HTTP/2.",
            "h2-workaround-bogus-websocket-clients",
        ),
    ),
];

/// What `bind` and `server` lines with TLS begin with.
pub(super) const TLS: &[Keyword<GlobalDraft>] = &[
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ca-base"],
            &[Arg::Word("folder")],
            "Where files of certificate authorities lie.",
            "ca-base /etc/ssl/certs",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["crt-base"],
            &[Arg::Word("folder")],
            "Where certificates lie.",
            "crt-base /etc/ssl/private",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["issuers-chain-path"],
            &[Arg::Word("folder")],
            "Where issuers' certificates lie.",
            "issuers-chain-path /etc/ssl/issuers",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ssl-default-bind-ciphers"],
            &[Arg::Word("ciphers")],
            "Ciphers of TLS 1.2 towards clients.",
            "ssl-default-bind-ciphers ECDHE-RSA-AES128-GCM-SHA256",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ssl-default-bind-ciphersuites"],
            &[Arg::Word("suites")],
            "Ciphers of TLS 1.3 towards clients.",
            "ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ssl-default-bind-curves"],
            &[Arg::Word("curves")],
            "Curves towards clients.",
            "ssl-default-bind-curves X25519:P-256",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ssl-default-bind-options"],
            &[Arg::Words("options")],
            "Versions and options of TLS towards clients.",
            "ssl-default-bind-options ssl-min-ver TLSv1.2",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ssl-default-server-ciphers"],
            &[Arg::Word("ciphers")],
            "Ciphers of TLS 1.2 towards servers.",
            "ssl-default-server-ciphers ECDHE-RSA-AES128-GCM-SHA256",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ssl-default-server-ciphersuites"],
            &[Arg::Word("suites")],
            "Ciphers of TLS 1.3 towards servers.",
            "ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ssl-default-server-curves"],
            &[Arg::Word("curves")],
            "Curves towards servers.",
            "ssl-default-server-curves X25519",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ssl-default-server-options"],
            &[Arg::Words("options")],
            "Versions and options of TLS towards servers.",
            "ssl-default-server-options ssl-min-ver TLSv1.2",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::accepted(
            NO_DHE,
            &["ssl-dh-param-file"],
            &[Arg::Word("file")],
            "Parameters of an old key exchange.",
            "ssl-dh-param-file dh.pem",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ssl-load-extra-del-ext"],
            &[],
            "Extra files of a certificate go without its suffix.",
            "ssl-load-extra-del-ext",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ssl-load-extra-files"],
            &[Arg::Words("kinds")],
            "Which files beside a certificate are read.",
            "ssl-load-extra-files none",
        ),
    ),
    Keyword::inert(
        HERE,
        true,
        Spec::accepted(
            "TLS is rustls, not OpenSSL",
            &["ssl-mode-async", "ssl-skip-self-issued-ca"],
            &[],
            "Ways of OpenSSL.",
            "ssl-skip-self-issued-ca",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::absent(
            OPENSSL,
            &["ssl-engine", "ssl-propquery", "ssl-provider", "ssl-provider-path"],
            "Parts that OpenSSL can load.",
        ),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["ssl-server-verify"],
            &[Arg::OneOf("how", &["none", "required"])],
            "Whether servers' certificates are checked.",
            "ssl-server-verify required",
        ),
    ),
];

/// Reads threads and cores, which the kernel places by itself: `[auto:]all|odd|even|N[-M][/...] cores...`.
fn cpu_map(_: &mut GlobalDraft, args: &Args, diagnostics: &mut Diagnostics) {
    let is_set = |text: &str, most: u32| {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number <= most);
        matches!((number(low), number(high)), (Some(low), Some(high)) if low <= high)
    };
    let threads = args.word(0);
    let bare = threads.text.strip_prefix("auto:").unwrap_or(&threads.text);
    let named = |part: &str| matches!(part, "all" | "odd" | "even") || is_set(part, MOST_THREADS);
    if bare.split('/').count() > 2 || !bare.split('/').all(named) {
        let text = format!("'cpu-map' : '{}' is no set of threads", threads.text);
        diagnostics.error(threads.span, text).help("all, odd, even, a number, or a range such as 1-4");
    }
    for word in args.words(1).iter().filter(|word| !word.text.split(',').all(|part| is_set(part, MOST_CORES)))
    {
        let text = format!("'cpu-map' : '{}' is no set of cores", word.text);
        diagnostics.error(word.span, text).help("a number from 0 on, or a range such as 0-3");
    }
}
