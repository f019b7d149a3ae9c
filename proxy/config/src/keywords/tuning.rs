//! Sizes and limits of the global section: `tune.` and its like. What has no meaning here is read all the same: a wrong
//! value is a mistake in both programs.

use proxy_lang::{Arg, Args, Keyword, Sections, Spec, Unit};

use super::spec;
use crate::draft::GlobalDraft;

const HERE: Sections = Sections::GLOBAL;
const SIZED: &str = "Tandem has sizes and limits of its own";
const NO_HTTP2: &str = "HTTP/2 is not spoken yet";
const UNCOMPRESSED: &str = "nothing is compressed";
const NO_VARIABLES: &str = "there are no variables yet";
const TLS: &str = "rustls has sizes of its own";
const COUNT: &[Arg] = &[Arg::Int("number", 0, 2_147_483_647)];
const POSITIVE: &[Arg] = &[Arg::Int("number", 1, 2_147_483_647)];
const SWITCH: &[Arg] = &[Arg::OneOf("switch", &["on", "off"])];
const BYTES: &[Arg] = &[Arg::Int("bytes", 0, MOST_SOCKET_BYTES)];
/// Largest buffer of a socket that can be asked for.
const MOST_SOCKET_BYTES: i64 = 1_073_741_823;

/// A row whose value is checked and means nothing here, for this reason.
const fn idle(
    why: &'static str,
    names: &'static [&'static str],
    args: &'static [Arg],
    doc: &'static str,
    example: &'static str,
) -> Keyword<GlobalDraft> {
    Keyword::inert(HERE, false, Spec::accepted(why, names, args, doc, example))
}

/// A row that sets a size.
const fn size(
    names: &'static [&'static str],
    args: &'static [Arg],
    doc: &'static str,
    example: &'static str,
    apply: fn(&mut GlobalDraft, &Args, &mut proxy_lang::Diagnostics),
) -> Keyword<GlobalDraft> {
    Keyword { spec: spec!(names, args, doc, example), sections: HERE, negatable: false, apply }
}

/// A number as a size.
fn number(args: &Args) -> usize {
    usize::try_from(args.int(0)).unwrap_or_default()
}

pub(super) const TABLE: &[Keyword<GlobalDraft>] = &[
    size(
        &["mworker-max-reloads"],
        COUNT,
        "Reloads after which a worker that still serves is ended. Default, and at most: 8.",
        "mworker-max-reloads 5",
        |d, a, _| d.global.tuning.max_reloads = Some(number(a)),
    ),
    idle(
        "checks keep the intervals of the file; the first ones are spread over 200 ms",
        &["spread-checks"],
        &[Arg::Int("percent", 0, 50)],
        "Part of an interval by which checks are spread.",
        "spread-checks 5",
    ),
    size(
        &["tune.bufsize"],
        &[Arg::Int("bytes", 1_024, 16_777_216)],
        "Bytes of a buffer: what one side may be ahead of the other. A head may have so many, less 'tune.maxrewrite'. Default: 16384.",
        "tune.bufsize 32768",
        |d, a, _| d.global.tuning.buffer = number(a),
    ),
    size(
        &["tune.http.cookielen"],
        &[Arg::Int("bytes", 1, 65_535)],
        "Most bytes that 'capture cookie' keeps. Default: 63.",
        "tune.http.cookielen 100",
        |d, a, _| d.global.tuning.cookie = number(a),
    ),
    size(
        &["tune.http.logurilen"],
        &[Arg::Int("bytes", 1, 1_048_576)],
        "Most bytes of a request line in log lines. Default: 1023.",
        "tune.http.logurilen 2000",
        |d, a, _| d.global.tuning.logged_line = number(a),
    ),
    size(
        &["tune.http.maxhdr"],
        &[Arg::Int("fields", 1, 32_767)],
        "Most fields of a head; more are answered with 400, of a server with 502. Default: 101.",
        "tune.http.maxhdr 200",
        |d, a, _| d.global.tuning.fields = number(a),
    ),
    size(
        &["tune.maxrewrite"],
        &[Arg::Int("bytes", 0, 16_777_216)],
        "Bytes of a buffer that a head leaves free; at most half of them. Default: 1024.",
        "tune.maxrewrite 2048",
        |d, a, _| d.global.tuning.rewrite = number(a),
    ),
    size(
        &["tune.rcvbuf.client"],
        BYTES,
        "Bytes that the kernel keeps of what a client sends; 0 leaves it to the kernel, as without the line.",
        "tune.rcvbuf.client 65536",
        |d, a, _| d.global.tuning.client.receive = Some(number(a)).filter(|bytes| *bytes > 0),
    ),
    size(
        &["tune.rcvbuf.server"],
        BYTES,
        "Bytes that the kernel keeps of what a server sends; 0 leaves it to the kernel, as without the line.",
        "tune.rcvbuf.server 65536",
        |d, a, _| d.global.tuning.server.receive = Some(number(a)).filter(|bytes| *bytes > 0),
    ),
    size(
        &["tune.sndbuf.client"],
        BYTES,
        "Bytes for a client that the kernel keeps; 0 leaves it to the kernel, as without the line.",
        "tune.sndbuf.client 65536",
        |d, a, _| d.global.tuning.client.send = Some(number(a)).filter(|bytes| *bytes > 0),
    ),
    size(
        &["tune.sndbuf.server"],
        BYTES,
        "Bytes for a server that the kernel keeps; 0 leaves it to the kernel, as without the line.",
        "tune.sndbuf.server 65536",
        |d, a, _| d.global.tuning.server.send = Some(number(a)).filter(|bytes| *bytes > 0),
    ),
    idle(
        SIZED,
        &["tune.buffers.limit", "tune.buffers.reserve"],
        COUNT,
        "Number of buffers.",
        "tune.buffers.limit 100",
    ),
    idle(
        SIZED,
        &["tune.fail-alloc"],
        &[Arg::Int("percent", 0, 100)],
        "Allocations that fail.",
        "tune.fail-alloc 10",
    ),
    idle(
        SIZED,
        &["tune.fd.edge-triggered"],
        SWITCH,
        "How events are asked for.",
        "tune.fd.edge-triggered on",
    ),
    idle(
        SIZED,
        &["tune.idle-pool.shared"],
        SWITCH,
        "Threads share idle connections.",
        "tune.idle-pool.shared on",
    ),
    idle(
        SIZED,
        &["tune.idletimer"],
        &[Arg::Duration("time", Unit::Millis)],
        "When a stream is idle.",
        "tune.idletimer 1s",
    ),
    idle(
        SIZED,
        &["tune.listener.multi-queue"],
        SWITCH,
        "How threads take connections.",
        "tune.listener.multi-queue on",
    ),
    idle(SIZED, &["tune.sched.low-latency"], SWITCH, "How work is ordered.", "tune.sched.low-latency on"),
    idle(
        SIZED,
        &["tune.maxaccept"],
        &[Arg::Int("connections", -1, 2_147_483_647)],
        "Connections that are accepted in a row.",
        "tune.maxaccept 100",
    ),
    idle(
        SIZED,
        &["tune.max-checks-per-thread", "tune.maxpollevents", "tune.pattern.cache-size", "tune.pipesize"],
        COUNT,
        "Sizes of the inside of HAProxy.",
        "tune.maxpollevents 200",
    ),
    idle(
        SIZED,
        &["tune.recv_enough", "tune.runqueue-depth", "tune.stick-counters", "tune.peers.max-updates-at-once"],
        POSITIVE,
        "Sizes of the inside of HAProxy.",
        "tune.runqueue-depth 200",
    ),
    idle(
        SIZED,
        &["tune.pool-high-fd-ratio", "tune.pool-low-fd-ratio"],
        &[Arg::Int("percent", 0, 100)],
        "Descriptors that idle connections may take.",
        "tune.pool-low-fd-ratio 20",
    ),
    idle(
        UNCOMPRESSED,
        &["tune.comp.maxlevel"],
        &[Arg::Int("level", 1, 9)],
        "How hard is compressed.",
        "tune.comp.maxlevel 5",
    ),
    idle(
        UNCOMPRESSED,
        &["tune.zlib.memlevel"],
        &[Arg::Int("level", 1, 9)],
        "Memory of compression.",
        "tune.zlib.memlevel 8",
    ),
    idle(
        UNCOMPRESSED,
        &["tune.zlib.windowsize"],
        &[Arg::Int("bits", 8, 15)],
        "Window of compression.",
        "tune.zlib.windowsize 15",
    ),
    idle(
        NO_HTTP2,
        &["tune.h2.header-table-size"],
        &[Arg::Int("bytes", 4_096, 65_536)],
        "Table of header fields of HTTP/2.",
        "tune.h2.header-table-size 4096",
    ),
    idle(
        NO_HTTP2,
        &["tune.h2.initial-window-size", "tune.h2.max-concurrent-streams"],
        COUNT,
        "Bounds of HTTP/2.",
        "tune.h2.max-concurrent-streams 100",
    ),
    idle(
        NO_HTTP2,
        &["tune.h2.max-frame-size"],
        &[Arg::Int("bytes", 16_384, 16_777_215)],
        "Largest frame of HTTP/2.",
        "tune.h2.max-frame-size 16384",
    ),
    idle(
        NO_VARIABLES,
        &[
            "tune.vars.check-max-size",
            "tune.vars.global-max-size",
            "tune.vars.proc-max-size",
            "tune.vars.reqres-max-size",
            "tune.vars.sess-max-size",
            "tune.vars.txn-max-size",
        ],
        COUNT,
        "Memory of variables.",
        "tune.vars.txn-max-size 65536",
    ),
    idle(
        TLS,
        &[
            "tune.ssl.cachesize",
            "tune.ssl.capture-buffer-size",
            "tune.ssl.capture-cipherlist-size",
            "tune.ssl.hard-maxrecord",
            "tune.ssl.maxrecord",
            "tune.ssl.ssl-ctx-cache-size",
        ],
        COUNT,
        "Sizes of HAProxy's TLS.",
        "tune.ssl.maxrecord 1400",
    ),
    idle(
        TLS,
        &["tune.ssl.default-dh-param"],
        &[Arg::Int("bits", 1_024, 65_536)],
        "Size of keys that are not used here: key exchange uses elliptic curves.",
        "tune.ssl.default-dh-param 2048",
    ),
    idle(
        TLS,
        &["tune.ssl.lifetime"],
        &[Arg::Duration("time", Unit::Seconds)],
        "How long sessions of TLS can be taken up again.",
        "tune.ssl.lifetime 300",
    ),
    idle(
        "one process has all sessions",
        &["tune.ssl.force-private-cache"],
        &[],
        "Sessions of TLS are kept for each process.",
        "tune.ssl.force-private-cache",
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::absent("heads of checks are read with 'tune.bufsize'", &["tune.chksize"], ""),
    ),
    Keyword::inert(
        HERE,
        false,
        Spec::later(
            &["tune.ssl.keylog"],
            SWITCH,
            "Secrets of TLS sessions for rules to log.",
            "tune.ssl.keylog on",
        ),
    ),
];
