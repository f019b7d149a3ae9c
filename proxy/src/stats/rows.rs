//! The rows of `show stat` (HAProxy's management guide, chapter 9.1) and the fields of `show info`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use proxy_backend::{Admin, Server};
use proxy_config::model::Mode;

use super::Row;
use super::counters::{BackendCounters, CoreCounters, Count, Rate};
use crate::clock::now_ms;
use crate::shared::Shared;

const CLASS_COLUMNS: [&str; 6] = ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"];

/// What a row is about, by its place in the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Frontend(usize),
    Server(usize, usize),
    Backend(usize),
}

/// All rows: for each proxy in the file's order its frontend, its servers, its backend.
pub(crate) fn places(shared: &Shared) -> Vec<Place> {
    let config = &shared.config;
    // A `listen` section is both, under one number.
    let mut proxies: BTreeMap<u32, (Option<usize>, Option<usize>)> = BTreeMap::new();
    for (index, frontend) in config.frontends.iter().enumerate() {
        proxies.entry(frontend.proxy_id).or_default().0 = Some(index);
    }
    for (index, backend) in config.backends.iter().enumerate().filter(|(_, backend)| !backend.disabled) {
        proxies.entry(backend.proxy_id).or_default().1 = Some(index);
    }
    let mut places = Vec::new();
    for (front, back) in proxies.into_values() {
        places.extend(front.map(Place::Frontend));
        if let Some(back) = back {
            let servers = 0..config.backends[back].servers.len();
            places.extend(servers.map(|server| Place::Server(back, server)));
            places.push(Place::Backend(back));
        }
    }
    places
}

/// One row.
pub(crate) fn row(shared: &Shared, place: Place) -> Row {
    match place {
        Place::Frontend(index) => frontend(shared, index),
        Place::Server(index, own) => server(shared, index, own),
        Place::Backend(index) => backend(shared, index),
    }
}

struct Sum<'a>(&'a Shared);

impl Sum<'_> {
    fn of(&self, read: impl Fn(&CoreCounters) -> &Count) -> String {
        self.number(read).to_string()
    }

    fn number(&self, read: impl Fn(&CoreCounters) -> &Count) -> u64 {
        self.0.counters.iter().map(|core| read(core).read()).sum()
    }

    /// The largest of what the cores have seen of the whole.
    fn most(&self, read: impl Fn(&CoreCounters) -> &Count) -> String {
        self.0.counters.iter().map(|core| read(core).read()).max().unwrap_or(0).to_string()
    }

    fn rate(&self, read: impl Fn(&CoreCounters) -> &Rate) -> String {
        let now = now_ms();
        self.0.counters.iter().map(|core| read(core).read(now)).sum::<u64>().to_string()
    }
}

fn frontend(shared: &Shared, index: usize) -> Row {
    let settings = &shared.config.frontends[index];
    let sum = Sum(shared);
    let mut row = Row::new();
    row.insert("pxname", settings.name.clone());
    row.insert("svname", "FRONTEND".to_owned());
    row.insert("scur", sum.of(|c| &c.frontends[index].current));
    row.insert("smax", sum.most(|c| &c.frontends[index].most));
    row.insert("slim", shared.places.most(index).to_string());
    row.insert("stot", sum.of(|c| &c.frontends[index].sessions));
    row.insert("bin", sum.of(|c| &c.frontends[index].bytes_in));
    row.insert("bout", sum.of(|c| &c.frontends[index].bytes_out));
    row.insert("dreq", sum.of(|c| &c.frontends[index].denied));
    row.insert("dresp", sum.of(|c| &c.frontends[index].denied_responses));
    row.insert("ereq", sum.of(|c| &c.frontends[index].request_errors));
    let status = if shared.is_stopping() { "STOP" } else { "OPEN" };
    row.insert("status", status.to_owned());
    common(&mut row, settings.proxy_id, 0, "0", settings.mode);
    row.insert("rate", sum.rate(|c| &c.frontends[index].session_rate));
    row.insert("rate_lim", "0".to_owned());
    row.insert("rate_max", sum.most(|c| &c.frontends[index].session_rate.most));
    row.insert("conn_rate", sum.rate(|c| &c.frontends[index].connection_rate));
    row.insert("conn_rate_max", sum.most(|c| &c.frontends[index].connection_rate.most));
    row.insert("conn_tot", sum.of(|c| &c.frontends[index].connections));
    row.insert("dcon", sum.of(|c| &c.frontends[index].denied_connections));
    row.insert("dses", sum.of(|c| &c.frontends[index].denied_sessions));
    zeros(&mut row, &["wrew", "eint"]);
    zeros(&mut row, &SSL_COLUMNS);
    zeros(&mut row, &COMPRESSION_COLUMNS);
    zeros(&mut row, &["req_rate", "req_rate_max", "req_tot"]);
    zeros(&mut row, &MUX_COLUMNS);
    if settings.mode == Mode::Http {
        row.insert("intercepted", sum.of(|c| &c.frontends[index].intercepted));
        zeros(&mut row, &["cache_lookups", "cache_hits"]);
        row.insert("h1_open_connections", sum.of(|c| &c.frontends[index].current));
        row.insert("h1_total_connections", sum.of(|c| &c.frontends[index].sessions));
        row.insert("h1_total_streams", sum.of(|c| &c.frontends[index].requests));
        row.insert("h1_bytes_in", sum.of(|c| &c.frontends[index].bytes_in));
        row.insert("h1_bytes_out", sum.of(|c| &c.frontends[index].bytes_out));
        for (class, column) in CLASS_COLUMNS.into_iter().enumerate() {
            row.insert(column, sum.of(|c| &c.frontends[index].classes.0[class]));
        }
        row.insert("req_rate", sum.rate(|c| &c.frontends[index].request_rate));
        row.insert("req_rate_max", sum.most(|c| &c.frontends[index].request_rate.most));
        row.insert("req_tot", sum.of(|c| &c.frontends[index].requests));
    }
    row
}

/// Of TLS, of compression, and of connections: what this system has none of is 0.
const SSL_COLUMNS: [&str; 3] = ["ssl_sess", "ssl_reused_sess", "ssl_failed_handshake"];
const COMPRESSION_COLUMNS: [&str; 4] = ["comp_in", "comp_out", "comp_byp", "comp_rsp"];
const MUX_COLUMNS: [&str; 21] = [
    "h2_headers_rcvd",
    "h2_data_rcvd",
    "h2_settings_rcvd",
    "h2_rst_stream_rcvd",
    "h2_goaway_rcvd",
    "h2_detected_conn_protocol_errors",
    "h2_detected_strm_protocol_errors",
    "h2_rst_stream_resp",
    "h2_goaway_resp",
    "h2_open_connections",
    "h2_backend_open_streams",
    "h2_total_connections",
    "h2_backend_total_streams",
    "h1_open_connections",
    "h1_open_streams",
    "h1_total_connections",
    "h1_total_streams",
    "h1_bytes_in",
    "h1_bytes_out",
    "h1_spliced_bytes_in",
    "h1_spliced_bytes_out",
];

fn zeros(row: &mut Row, columns: &[&'static str]) {
    for column in columns {
        row.insert(column, "0".to_owned());
    }
}

fn common(row: &mut Row, proxy_id: u32, server_id: u32, kind: &str, mode: Mode) {
    row.insert("pid", "1".to_owned());
    row.insert("iid", proxy_id.to_string());
    row.insert("sid", server_id.to_string());
    row.insert("type", kind.to_owned());
    row.insert("mode", if mode == Mode::Http { "http" } else { "tcp" }.to_owned());
}

fn shared_columns(
    row: &mut Row,
    shared: &Shared,
    mode: Mode,
    of: impl Fn(&CoreCounters) -> &BackendCounters,
) {
    let sum = Sum(shared);
    row.insert("scur", sum.of(|c| &of(c).current));
    row.insert("smax", sum.most(|c| &of(c).most));
    row.insert("qmax", sum.most(|c| &of(c).most_waiting));
    zeros(row, &["wrew", "eint"]);
    zeros(row, &SSL_COLUMNS);
    row.insert("stot", sum.of(|c| &of(c).sessions));
    row.insert("bin", sum.of(|c| &of(c).bytes_in));
    row.insert("bout", sum.of(|c| &of(c).bytes_out));
    row.insert("dresp", sum.of(|c| &of(c).denied_responses));
    row.insert("econ", sum.of(|c| &of(c).connect_errors));
    row.insert("eresp", sum.of(|c| &of(c).response_errors));
    row.insert("wretr", sum.of(|c| &of(c).retries));
    row.insert("wredis", sum.of(|c| &of(c).redispatches));
    row.insert("lbtot", sum.of(|c| &of(c).chosen));
    row.insert("rate", sum.rate(|c| &of(c).session_rate));
    row.insert("rate_max", sum.most(|c| &of(c).session_rate.most));
    row.insert("cli_abrt", sum.of(|c| &of(c).client_aborts));
    row.insert("srv_abrt", sum.of(|c| &of(c).server_aborts));
    row.insert("connect", sum.of(|c| &of(c).connects));
    row.insert("reuse", sum.of(|c| &of(c).reuses));
    if mode == Mode::Http {
        for (class, column) in CLASS_COLUMNS.into_iter().enumerate() {
            row.insert(column, sum.of(|c| &of(c).classes.0[class]));
        }
        row.insert("req_tot", sum.of(|c| &of(c).requests));
    }
    let last = shared.counters.iter().map(|c| of(c).last_session_ms.read()).max().unwrap_or(0);
    let idle = if last == 0 { -1 } else { i64::try_from((now_ms() - last) / 1000).unwrap_or(i64::MAX) };
    row.insert("lastsess", idle.to_string());
    type Read = fn(&BackendCounters) -> &super::counters::Average;
    const TIMES: [(&str, &str, Read); 4] = [
        ("qtime", "qtime_max", |c| &c.queue_ms),
        ("ctime", "ctime_max", |c| &c.connect_ms),
        ("rtime", "rtime_max", |c| &c.response_ms),
        ("ttime", "ttime_max", |c| &c.total_ms),
    ];
    for (column, most, read) in TIMES {
        let (total, count) = shared
            .counters
            .iter()
            .map(|c| read(of(c)).read())
            .fold((0, 0), |(s, n), (sum, count)| (s + sum, n + count));
        row.insert(column, total.checked_div(count).unwrap_or(0).to_string());
        let peak = shared.counters.iter().map(|c| read(of(c)).most.read()).max().unwrap_or(0);
        row.insert(most, peak.to_string());
    }
}

fn server(shared: &Shared, backend: usize, index: usize) -> Row {
    let settings = &shared.config.backends[backend];
    let of_file = &settings.servers[index];
    let state = &shared.servers[backend][index];
    let row_state = &shared.backends[backend].servers()[index];
    let mut row = Row::new();
    row.insert("pxname", settings.name.clone());
    row.insert("svname", of_file.name.clone());
    common(&mut row, settings.proxy_id, of_file.id, "2", settings.mode);
    shared_columns(&mut row, shared, settings.mode, |c| &c.servers[backend][index]);
    row.insert("qcur", shared.backends[backend].waiting_for(Some(index)).to_string());
    row.insert("status", status(row_state));
    row.insert("weight", row_state.weight().to_string());
    row.insert("uweight", row_state.weight().to_string());
    row.insert("act", u8::from(!row_state.backup).to_string());
    row.insert("bck", u8::from(row_state.backup).to_string());
    let limit = row_state.max_connections();
    row.insert("slim", if limit == 0 { String::new() } else { limit.to_string() });
    row.insert("addr", state.address.read().to_string());
    row.insert("cookie", of_file.cookie.clone().unwrap_or_default());
    row.insert("lastchg", ((now_ms() - state.changed_ms.load(Relaxed)) / 1000).to_string());
    let idle = Sum(shared).of(|c| &c.servers[backend][index].idle);
    let sessions = row_state.sessions();
    row.insert("srv_icur", idle.clone());
    row.insert("idle_conn_cur", idle);
    row.insert("safe_conn_cur", "0".to_owned());
    row.insert("used_conn_cur", sessions.to_string());
    row.insert("need_conn_est", row["smax"].clone());
    row.insert(
        "qlimit",
        if row_state.max_queue == 0 { String::new() } else { row_state.max_queue.to_string() },
    );
    if let Some((progress, health)) = row_state.with_health(|h| (h.progress(), h.clone())) {
        let rules = health.settings();
        let last = state.last_check.lock();
        let away = row_state.admin() == Admin::Maint || !row_state.is_up();
        let since = if away { now_ms() - state.changed_ms.load(Relaxed) } else { 0 };
        row.insert("downtime", ((state.down_ms.load(Relaxed) + since) / 1000).to_string());
        row.insert("chkfail", state.failed_checks.load(Relaxed).to_string());
        row.insert("chkdown", state.downs.load(Relaxed).to_string());
        row.insert("check_status", if health.was_checked() { last.status } else { "INI" }.to_owned());
        row.insert("check_code", last.code.map_or_else(String::new, |c| c.to_string()));
        if health.was_checked() {
            row.insert("check_duration", last.duration_ms.to_string());
        }
        row.insert("check_desc", last.meaning().to_owned());
        row.insert("last_chk", last.description.clone());
        row.insert("check_rise", rules.rise.to_string());
        row.insert("check_fall", rules.fall.to_string());
        row.insert("check_health", health.level().to_string());
        if !row_state.is_up() && progress.0 > 0 {
            row.insert("status", format!("DOWN {}/{}", progress.0, progress.1));
        } else if row_state.is_up() && row_state.admin() == Admin::Ready && progress.0 < progress.1 {
            row.insert("status", format!("UP {}/{}", progress.0, progress.1));
        }
    }
    row
}

fn status(server: &Server) -> String {
    match (server.admin(), server.is_up()) {
        (Admin::Maint, _) => "MAINT",
        (Admin::Drain, true) => "DRAIN",
        (_, false) => "DOWN",
        (Admin::Ready, true) if !server.is_checked() => "no check",
        (Admin::Ready, true) => "UP",
    }
    .to_owned()
}

fn backend(shared: &Shared, index: usize) -> Row {
    let settings = &shared.config.backends[index];
    let decisions = &shared.backends[index];
    let mut row = Row::new();
    row.insert("pxname", settings.name.clone());
    row.insert("svname", "BACKEND".to_owned());
    common(&mut row, settings.proxy_id, 0, "1", settings.mode);
    shared_columns(&mut row, shared, settings.mode, |c| &c.backends[index]);
    row.insert("qcur", decisions.waiting_for(None).to_string());
    row.insert("slim", settings.fullconn.to_string());
    row.insert("dreq", Sum(shared).of(|c| &c.backends[index].denied));
    let usable =
        |backup: bool| decisions.servers().iter().filter(|s| s.backup == backup && s.takes_new()).count();
    let up = settings.servers.is_empty() || decisions.usable() > 0;
    row.insert("status", if up { "UP" } else { "DOWN" }.to_owned());
    let weight: u32 = decisions.servers().iter().filter(|s| s.takes_new()).map(Server::weight).sum();
    row.insert("weight", weight.to_string());
    row.insert("act", usable(false).to_string());
    row.insert("bck", usable(true).to_string());
    row.insert("algo", decisions.algorithm.name().to_owned());
    row.insert("uweight", row["weight"].clone());
    row.insert("cookie", settings.cookie.as_ref().map(|c| c.name.clone()).unwrap_or_default());
    let state = &shared.backend_states[index];
    let since = now_ms().saturating_sub(state.changed_ms.load(Relaxed));
    row.insert("chkdown", state.downs.load(Relaxed).to_string());
    row.insert("lastchg", (since / 1000).to_string());
    let down = state.down_ms.load(Relaxed) + if up { 0 } else { since };
    row.insert("downtime", (down / 1000).to_string());
    zeros(&mut row, &["agg_server_status", "agg_server_check_status", "agg_check_status"]);
    zeros(&mut row, &COMPRESSION_COLUMNS);
    zeros(&mut row, &MUX_COLUMNS);
    let sum = Sum(shared);
    let of_servers = |read: fn(&BackendCounters) -> &Count| -> u64 {
        let servers = 0..settings.servers.len();
        servers.map(|server| sum.number(|c| read(&c.servers[index][server]))).sum()
    };
    let (connects, reuses) = (of_servers(|c| &c.connects), of_servers(|c| &c.reuses));
    row.insert("connect", connects.to_string());
    row.insert("reuse", reuses.to_string());
    if settings.mode == Mode::Http {
        zeros(&mut row, &["cache_lookups", "cache_hits"]);
        let idle = of_servers(|c| &c.idle);
        let used: u64 = decisions.servers().iter().map(|server| u64::from(server.sessions())).sum();
        row.insert("h1_open_connections", (idle + used).to_string());
        row.insert("h1_open_streams", used.to_string());
        row.insert("h1_total_connections", connects.to_string());
        row.insert("h1_total_streams", (connects + reuses).to_string());
        row.insert("h1_bytes_in", row["bout"].clone());
        row.insert("h1_bytes_out", row["bin"].clone());
    }
    row
}

/// Log lines that nobody took.
pub(crate) fn dropped_logs(shared: &Shared) -> u64 {
    let own = Sum(shared).number(|c| &c.dropped_logs) + shared.dropped_logs.load(Relaxed);
    own + crate::log::dropped()
}

/// Fields of `show info` that the running proxy knows.
pub(crate) fn info(shared: &Shared) -> Row {
    let sum = Sum(shared);
    let mut fields = Row::new();
    fields.insert("Nbthread", shared.counters.len().to_string());
    fields.insert("CurrConns", sum.of(|c| &c.current));
    fields.insert("CumConns", sum.of(|c| &c.connections));
    fields.insert("CumReq", sum.of(|c| &c.requests));
    fields.insert("ConnRate", sum.rate(|c| &c.connection_rate));
    fields.insert("SessRate", sum.rate(|c| &c.connection_rate));
    fields.insert("MaxConnRate", sum.most(|c| &c.connection_rate.most));
    fields.insert("MaxSessRate", sum.most(|c| &c.connection_rate.most));
    fields.insert("DroppedLogs", dropped_logs(shared).to_string());
    fields.insert("Listeners", shared.config.binds.len().to_string());
    fields.insert("Stopping", u8::from(shared.is_stopping()).to_string());
    let limits = shared.places.limits();
    fields.insert("Ulimit-n", limits.allowed.to_string());
    fields.insert("Maxsock", limits.needed().to_string());
    fields.insert("Maxconn", limits.connections.to_string());
    fields.insert("Hard_maxconn", limits.connections.to_string());
    fields.insert("Shortages", shared.places.shortages().to_string());
    fields.insert("SlowTurns", shared.watchdog.slow().to_string());
    fields.insert("LongestTurnMs", shared.watchdog.longest_ms().to_string());
    let current = sum.number(|c| &c.current);
    fields.insert("Tasks", current.to_string());
    fields.insert("Jobs", (current + shared.config.binds.len() as u64).to_string());
    fields.insert("CurrSslConns", sum.of(|c| &c.tls_current));
    fields.insert("CumSslConns", sum.of(|c| &c.tls_connections));
    // A limit that is not there.
    fields.insert("MaxSslConns", "0".to_owned());
    fields.insert("SslRate", sum.rate(|c| &c.tls_rate));
    fields.insert("MaxSslRate", sum.most(|c| &c.tls_rate.most));
    let bytes: u64 = shared.counters.iter().flat_map(|c| &c.frontends).map(|f| f.bytes_out.read()).sum();
    fields.insert("TotalBytesOut", bytes.to_string());
    fields
}
