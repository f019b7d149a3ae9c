//! Servers: their states, and orders about them.

use std::net::IpAddr;

use proxy::{ServerOrder, ServerView};
use proxy_config::model::Level;

use super::{Command, Run};
use crate::runtime_api::Node;

pub(super) const TABLE: &[Command] = &[
    Command {
        words: &["disable", "server"],
        level: Level::Admin,
        doc: "disable a server for maintenance",
        run: Run::Short(|n, w| order(n, w, ServerOrder::Maint)),
    },
    Command {
        words: &["enable", "server"],
        level: Level::Admin,
        doc: "enable a disabled server",
        run: Run::Short(|n, w| order(n, w, ServerOrder::Ready)),
    },
    Command {
        words: &["disable", "health"],
        level: Level::Admin,
        doc: "disable a server's health checks",
        run: Run::Short(|n, w| order(n, w, ServerOrder::Check(false))),
    },
    Command {
        words: &["enable", "health"],
        level: Level::Admin,
        doc: "enable a server's health checks",
        run: Run::Short(|n, w| order(n, w, ServerOrder::Check(true))),
    },
    Command {
        words: &["get", "weight"],
        level: Level::User,
        doc: "report a server's current weight",
        run: Run::Short(get_weight),
    },
    Command {
        words: &["set", "server"],
        level: Level::Admin,
        doc: "change a server's state, weight, address",
        run: Run::Short(set_server),
    },
    Command {
        words: &["set", "weight"],
        level: Level::Admin,
        doc: "change a server's weight",
        run: Run::Short(|n, w| match w {
            [server, weight] => set_server(n, &[server, "weight", weight]),
            [name, ..] => find(n, name).err().unwrap_or_else(|| NEEDS_WEIGHT.to_owned()),
            [] => NEEDS_SERVER.to_owned(),
        }),
    },
    Command {
        words: &["show", "servers", "conn"],
        level: Level::User,
        doc: "dump server connections status (all or for a single backend)",
        run: Run::Short(show_connections),
    },
    Command {
        words: &["show", "servers", "state"],
        level: Level::User,
        doc: "dump volatile server information",
        run: Run::Short(show_state),
    },
];

const NEEDS_SERVER: &str = "Require 'backend/server'.\n";
const NEEDS_WEIGHT: &str = "Require <weight> or <weight%>.\n";

fn order(node: &Node, words: &[&str], order: ServerOrder) -> String {
    let Some((backend, server)) = words.first().and_then(|w| w.split_once('/')) else {
        return NEEDS_SERVER.to_owned();
    };
    match node.proxy.order(backend, server, order) {
        Ok(()) => String::new(),
        Err(refused) => format!("{}\n", refused.0),
    }
}

/// The server of a name; what is said if there is none.
fn find(node: &Node, name: &str) -> Result<ServerView, String> {
    let Some((backend, server)) = name.split_once('/') else { return Err(NEEDS_SERVER.to_owned()) };
    let mut views = node.proxy.servers();
    views.retain(|view| view.backend == backend);
    if views.is_empty() && !node.proxy.config().backends.iter().any(|b| b.name == backend) {
        return Err("No such backend.\n".to_owned());
    }
    views.into_iter().find(|view| view.server == server).ok_or_else(|| "No such server.\n".to_owned())
}

fn set_server(node: &Node, words: &[&str]) -> String {
    let Some((name, rest)) = words.split_first() else { return NEEDS_SERVER.to_owned() };
    let view = match find(node, name) {
        Ok(view) => view,
        Err(why) => return why,
    };
    let wanted = match rest {
        ["state", "ready"] => ServerOrder::Ready,
        ["state", "drain"] => ServerOrder::Drain,
        ["state", "maint"] => ServerOrder::Maint,
        ["state", ..] => {
            return "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n".to_owned();
        }
        ["health", "up"] => ServerOrder::Health(true),
        ["health", "down"] => ServerOrder::Health(false),
        ["health", ..] => return "'set server <srv> health' expects 'up' or 'down'.\n".to_owned(),
        ["weight", weight, ..] => match new_weight(weight) {
            Ok(order) => order,
            Err(why) => return format!("{why}\n"),
        },
        ["weight"] => return NEEDS_WEIGHT.to_owned(),
        ["addr", address, rest @ ..] => return set_address(node, words, &view, address, rest),
        ["addr"] => return "set server <b>/<s> addr requires an address and optionally a port.\n".to_owned(),
        _ => {
            return "usage: set server <backend>/<server> addr | health | state | weight\n".to_owned();
        }
    };
    order(node, words, wanted)
}

/// Reads a weight, or a share of the file's weight.
fn new_weight(text: &str) -> Result<ServerOrder, &'static str> {
    let (digits, percent) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
    let number: i64 = digits.parse().map_err(|_| match digits {
        "" => "Empty weight string empty or preceded by garbage",
        text if text.starts_with(|c: char| c.is_ascii_digit()) => "Trailing garbage in weight string",
        _ => "Empty weight string empty or preceded by garbage",
    })?;
    match (u32::try_from(number), percent) {
        (Ok(number), true) => Ok(ServerOrder::WeightPercent(number)),
        (Err(_), true) => Err("Relative weight must be positive."),
        (Ok(number), false) if number <= 256 => Ok(ServerOrder::Weight(number)),
        (_, false) => Err("Absolute weight can only be between 0 and 256 inclusive."),
    }
}

/// Moves a server, and says what has changed.
fn set_address(node: &Node, words: &[&str], view: &ServerView, address: &str, rest: &[&str]) -> String {
    const BY: &str = " by 'stats socket command'\n";
    let Ok(ip) = address.parse::<IpAddr>() else { return format!("Invalid addr '{address}'{BY}") };
    let before = view.address;
    let mut text = if ip == before.ip() {
        "no need to change the addr".to_owned()
    } else {
        format!("IP changed from '{}' to '{ip}'", before.ip())
    };
    let mut port = before.port();
    if let ["port", wanted, ..] = rest {
        let Ok(wanted) = wanted.parse::<u16>() else { return format!("Invalid port '{wanted}'{BY}") };
        if wanted == port {
            text.push_str(", no need to change the port");
        } else {
            text.push_str(&format!(", port changed from '{port}' to '{wanted}'"));
        }
        port = wanted;
    }
    let refused = order(node, words, ServerOrder::Address((ip, port).into()));
    if refused.is_empty() { text + BY } else { refused }
}

fn get_weight(node: &Node, words: &[&str]) -> String {
    match words.first().map(|name| find(node, name)) {
        Some(Ok(view)) => format!("{} (initial {})\n", view.weight, view.initial_weight),
        Some(Err(why)) => why,
        None => NEEDS_SERVER.to_owned(),
    }
}

/// The servers of a backend, or of all; what is said if there is no such backend.
fn servers_of(node: &Node, words: &[&str]) -> Result<Vec<ServerView>, String> {
    let mut views = node.proxy.servers();
    if let Some(wanted) = words.first() {
        if !node.proxy.config().backends.iter().any(|b| b.name == **wanted) {
            return Err("Can't find backend.\n".to_owned());
        }
        views.retain(|view| view.backend == **wanted);
    }
    Ok(views)
}

fn show_connections(node: &Node, words: &[&str]) -> String {
    let views = match servers_of(node, words) {
        Ok(views) => views,
        Err(why) => return why,
    };
    let cores = views.first().map_or(1, |view| view.idle.len());
    let mut text = format!(
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim \
         idle_cur idle_per_thr[{cores}]\n"
    );
    for view in views {
        let idle: u64 = view.idle.iter().sum();
        let of_cores: Vec<String> = view.idle.iter().map(u64::to_string).collect();
        text.push_str(&format!(
            "{}/{} {}/{} {} {} - {PURGE_DELAY_MS} {} {} {} {idle} 0 -1 {idle} {}\n",
            view.backend,
            view.server,
            view.backend_id,
            view.server_id,
            view.address.ip(),
            view.address.port(),
            view.sessions,
            view.most_sessions,
            view.most_sessions,
            of_cores.join(" "),
        ));
    }
    text
}

/// How long an idle connection is kept.
const PURGE_DELAY_MS: u32 = 5_000;
/// The bits of a check's state: it has one, it is enabled, it is paused.
const CHECK_CONFIGURED: u8 = 2;
const CHECK_ENABLED: u8 = 4;
const CHECK_PAUSED: u8 = 8;
/// What the health of a server without a check counts as.
const UNCHECKED_HEALTH: u32 = 2;

/// Check results as `show servers state` numbers them: failed, passed.
const RESULT_FAILED: u8 = 2;
const RESULT_PASSED: u8 = 3;

fn show_state(node: &Node, words: &[&str]) -> String {
    let views = match servers_of(node, words) {
        Ok(views) => views,
        Err(why) => return why,
    };
    let mut text = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
                    srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
                    srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl \
                    srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"
        .to_owned();
    for view in &views {
        let status = match view.check_status {
            "L4OK" => 6,
            "L4TOUT" => 7,
            "L4CON" => 8,
            "L7TOUT" => 13,
            "L7RSP" => 14,
            "L7OK" => 15,
            "L7STS" => 17,
            _ => 1,
        };
        let is_maint = view.admin_state & 1 == 1;
        let up = view.up && !is_maint;
        let health = match (view.checked, up) {
            (_, false) if is_maint || !view.checked => 0,
            (true, _) => view.check_level,
            (false, _) => UNCHECKED_HEALTH,
        };
        let check_state = match (view.checked, is_maint, view.check_enabled) {
            (false, _, _) => 0,
            (true, true, _) => CHECK_CONFIGURED | CHECK_ENABLED | CHECK_PAUSED,
            (true, false, true) => CHECK_CONFIGURED | CHECK_ENABLED,
            (true, false, false) => CHECK_CONFIGURED,
        };
        let result = match (view.checked, view.check_seen, view.up) {
            (true, true, true) => RESULT_PASSED,
            (true, true, false) => RESULT_FAILED,
            _ => 0,
        };
        text.push_str(&format!(
            "{} {} {} {} {} {} {} {} {} {} {status} {result} {health} {check_state} 0 0 {} - {} - 0 {} - - {}\n",
            view.backend_id,
            view.backend,
            view.server_id,
            view.server,
            view.address.ip(),
            // A server in maintenance counts as stopped, whatever its checks say.
            if up { 2 } else { 0 },
            view.admin_state,
            view.weight,
            view.initial_weight,
            view.since_ms / 1000,
            u8::from(view.has_own_id),
            view.address.port(),
            view.check_port,
            // HAProxy shows the check's port as the agent's, too.
            view.check_port,
        ));
    }
    text
}
