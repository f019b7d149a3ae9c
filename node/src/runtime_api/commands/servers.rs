//! Servers: their states, and orders about them.

use proxy::ServerOrder;
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
            _ => "Require 'backend/server' and a weight.\n".to_owned(),
        }),
    },
    Command {
        words: &["show", "servers", "state"],
        level: Level::User,
        doc: "dump volatile server information",
        run: Run::Short(show_state),
    },
];

const NEEDS_SERVER: &str = "Require 'backend/server'.\n";

fn order(node: &Node, words: &[&str], order: ServerOrder) -> String {
    let Some((backend, server)) = words.first().and_then(|w| w.split_once('/')) else {
        return NEEDS_SERVER.to_owned();
    };
    match node.proxy.order(backend, server, order) {
        Ok(()) => String::new(),
        Err(refused) => format!("{}\n", refused.0),
    }
}

fn set_server(node: &Node, words: &[&str]) -> String {
    let wanted = match words {
        [_, "state", "ready"] => ServerOrder::Ready,
        [_, "state", "drain"] => ServerOrder::Drain,
        [_, "state", "maint"] => ServerOrder::Maint,
        [_, "state", ..] => {
            return "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n".to_owned();
        }
        [_, "health", "up"] => ServerOrder::Health(true),
        [_, "health", "down"] => ServerOrder::Health(false),
        [_, "health", ..] => return "'set server <srv> health' expects 'up' or 'down'.\n".to_owned(),
        [_, "weight", weight] => match weight.strip_suffix('%') {
            Some(percent) => match percent.parse() {
                Ok(percent) => ServerOrder::WeightPercent(percent),
                Err(_) => return "Relative weight must be positive.\n".to_owned(),
            },
            None => match weight.parse() {
                Ok(weight) => ServerOrder::Weight(weight),
                Err(_) => return "Absolute weight can only be between 0 and 256 inclusive.\n".to_owned(),
            },
        },
        [name, "addr", address, rest @ ..] => {
            let port = match rest {
                ["port", port] => port.parse().ok(),
                _ => current_port(node, name),
            };
            match (address.parse(), port) {
                (Ok(address), Some(port)) => ServerOrder::Address(std::net::SocketAddr::new(address, port)),
                _ => return "Invalid address family or port.\n".to_owned(),
            }
        }
        _ => {
            return "usage: set server <backend>/<server> addr | health | state | weight\n".to_owned();
        }
    };
    order(node, words, wanted)
}

fn current_port(node: &Node, name: &str) -> Option<u16> {
    let (backend, server) = name.split_once('/')?;
    let view = node.proxy.servers().into_iter().find(|v| v.backend == backend && v.server == server)?;
    Some(view.address.port())
}

fn get_weight(node: &Node, words: &[&str]) -> String {
    let Some((backend, server)) = words.first().and_then(|w| w.split_once('/')) else {
        return NEEDS_SERVER.to_owned();
    };
    let views = node.proxy.servers();
    match views.iter().find(|v| v.backend == backend && v.server == server) {
        Some(view) => format!("{} (initial {})\n", view.weight, view.initial_weight),
        None => "No such server.\n".to_owned(),
    }
}

/// Check results as `show servers state` numbers them: failed, passed.
const RESULT_FAILED: u8 = 2;
const RESULT_PASSED: u8 = 3;

fn show_state(node: &Node, words: &[&str]) -> String {
    let views = node.proxy.servers();
    if let Some(wanted) = words.first()
        && !views.iter().any(|v| v.backend == **wanted)
    {
        return "Can't find backend.\n".to_owned();
    }
    let mut text = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
                    srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
                    srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl \
                    srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"
        .to_owned();
    for view in views.iter().filter(|v| words.first().is_none_or(|w| v.backend == **w)) {
        let status = match view.check_status {
            "L4OK" => 6,
            "L4TOUT" => 7,
            "L4CON" => 8,
            "L7TOUT" => 13,
            "L7RSP" => 14,
            "L7OK" => 15,
            "L7STS" => 17,
            _ if view.checked => 2,
            _ => 1,
        };
        let result = match (view.checked, view.check_seen, view.up) {
            (true, true, true) => RESULT_PASSED,
            (true, true, false) => RESULT_FAILED,
            _ => 0,
        };
        text.push_str(&format!(
            "{} {} {} {} {} {} {} {} {} {} {status} {result} {} {} 0 0 0 - {} - 0 0 - - 0\n",
            view.backend_id,
            view.backend,
            view.server_id,
            view.server,
            view.address.ip(),
            // A server in maintenance counts as stopped, whatever its checks say.
            if view.up && view.admin_state & 1 == 0 { 2 } else { 0 },
            view.admin_state,
            view.weight,
            view.initial_weight,
            view.since_ms / 1000,
            view.check_level,
            if view.checked { 6 } else { 0 },
            view.address.port(),
        ));
    }
    text
}
