//! What `tandem status` knows as metrics, in Prometheus' text format (version 0.0.4). What keepalived's exporter has a
//! name for has that name and those labels, so that its dashboards go on; the rest begins with `tandem_`. What is not
//! known is absent.

mod family;

use std::collections::BTreeSet;
use std::fmt::Display;

use crate::status::{FollowedView, Health, ListenerView, MemberView, NodeStatus, RouterView, WorkerView};
use family::{Family, Kind};

/// The text; `None`: no node answers.
pub(crate) fn text(status: Option<&NodeStatus>) -> String {
    let up = status.is_some();
    let mut families = vec![
        Family::one("keepalived_up", Kind::Gauge, "Whether the node answers.", u8::from(up)),
        Family::one("tandem_up", Kind::Gauge, "Whether the node answers.", u8::from(up)),
    ];
    if let Some(status) = status {
        families.extend(of_node(status));
        families.extend(of_routers(&status.virtual_routers));
        families.extend(of_members(&status.members));
        families.extend(of_processes(status));
        families.extend(of_logs(status));
        families.extend(status.worker.iter().flat_map(of_worker));
    }
    families.iter().map(ToString::to_string).collect()
}

fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

fn of_node(status: &NodeStatus) -> Vec<Family> {
    let mut info =
        Family::new("tandem_node_info", Kind::Gauge, "The node, its program and its cluster: always 1.");
    let cluster = status.cluster.as_deref().unwrap_or_default();
    info.add(&[("node", &status.node), ("version", &status.version), ("cluster", cluster)], 1);
    let health = match status.health {
        Health::Healthy => 0,
        Health::Degraded => 1,
        Health::Down => 2,
    };
    let maintenance = u8::from(status.maintenance);
    vec![
        info,
        Family::one("tandem_node_health", Kind::Gauge, "0 healthy, 1 degraded, 2 down.", health),
        Family::one(
            "tandem_node_uptime_seconds",
            Kind::Gauge,
            "Since the node started.",
            seconds(status.uptime_ms),
        ),
        Family::one(
            "tandem_node_maintenance",
            Kind::Gauge,
            "Whether it is told to take no address.",
            maintenance,
        ),
    ]
}

/// The number and the word that keepalived has for a role.
fn state(router: &RouterView) -> (u8, &'static str) {
    match router.role.as_str() {
        "master" => (2, "MASTER"),
        "backup" => (1, "BACKUP"),
        _ if router.trouble.is_some() => (3, "FAULT"),
        _ => (0, "INIT"),
    }
}

fn refused(router: &RouterView, reasons: &[&str]) -> u64 {
    router.refused.iter().filter(|(why, _)| reasons.iter().any(|r| why.starts_with(r))).map(|(_, n)| n).sum()
}

fn noticed(router: &RouterView, why: &str) -> u64 {
    router.noticed.get(why).copied().unwrap_or(0)
}

/// A number that every virtual router has.
type Of<T> = (&'static str, &'static str, fn(&RouterView) -> T);

/// Counters of keepalived's exporter.
const KEEPALIVED: &[Of<u64>] = &[
    ("keepalived_advertisements_received_total", "Advertisements received.", |r| r.adverts_received),
    ("keepalived_advertisements_sent_total", "Advertisements sent.", |r| r.adverts_sent),
    ("keepalived_become_master_total", "How often it became master.", |r| r.became_master),
    ("keepalived_release_master_total", "How often it ceased to be master.", |r| r.released_master),
    ("keepalived_packet_length_errors_total", "Packets of a wrong length.", |r| refused(r, &["length"])),
    ("keepalived_advertisements_interval_errors_total", "Advertisements with another interval.", |r| {
        noticed(r, "interval")
    }),
    ("keepalived_ip_ttl_errors_total", "Packets with a wrong time to live.", |r| refused(r, &["ttl"])),
    ("keepalived_invalid_type_received_total", "Packets of a wrong type.", |r| refused(r, &["type"])),
    ("keepalived_address_list_errors_total", "Advertisements with other addresses.", |r| {
        noticed(r, "addresses")
    }),
    ("keepalived_authentication_failure_total", "Packets whose authentication does not fit.", |r| {
        refused(r, &["authentication", "hmac-"])
    }),
    ("keepalived_priority_zero_received_total", "Goodbyes received.", |r| r.goodbyes_received),
    ("keepalived_priority_zero_sent_total", "Goodbyes sent.", |r| r.goodbyes_sent),
];

/// Our own; `None`: it is not known.
const GAUGES: &[Of<Option<f64>>] = &[
    ("tandem_virtual_router_priority", "The priority now.", |r| Some(r.priority.into())),
    ("tandem_virtual_router_base_priority", "The priority while nothing changes it.", |r| {
        Some(r.base_priority.into())
    }),
    ("tandem_virtual_router_state_age_seconds", "Since the state changed.", |r| Some(seconds(r.since_ms))),
    ("tandem_virtual_router_master_age_seconds", "Since the other node that is master was heard.", |r| {
        r.master_heard_ms.map(seconds)
    }),
    ("tandem_virtual_router_blocked", "The master lives, and its advertisements do not arrive.", |r| {
        Some(u8::from(r.blocked).into())
    }),
    ("tandem_virtual_router_trouble", "Something is wrong that `tandem status` names.", |r| {
        Some(u8::from(r.trouble.is_some()).into())
    }),
];

/// The labels of a virtual router; lent to `with`, with its number as text.
fn labelled<T>(router: &RouterView, interface: &str, with: impl FnOnce(&[(&str, &str)]) -> T) -> T {
    with(&[("iname", &router.name), ("intf", interface), ("vrid", &router.vrid.to_string())])
}

/// A number of a virtual router, with one more label.
fn add(family: &mut Family, router: &RouterView, label: (&str, &str), value: impl Display) {
    labelled(router, &router.interface, |own| family.add(&[own, &[label]].concat(), value));
}

fn of_routers(routers: &[RouterView]) -> Vec<Family> {
    let counters = KEEPALIVED.iter().map(|(name, help, read)| {
        let mut family = Family::new(name, Kind::Counter, help);
        routers.iter().for_each(|r| add(&mut family, r, ("state", state(r).1), read(r)));
        family
    });
    let gauges = GAUGES.iter().map(|(name, help, read)| {
        let mut family = Family::new(name, Kind::Gauge, help);
        for router in routers {
            read(router)
                .iter()
                .for_each(|value| labelled(router, &router.interface, |l| family.add(l, value)));
        }
        family
    });
    let others = of_addresses(routers).into_iter().chain(of_packets(routers)).chain(of_followed(routers));
    counters.chain(gauges).chain(others).collect()
}

fn of_addresses(routers: &[RouterView]) -> Vec<Family> {
    let help = "The state, for each address: 0 init, 1 backup, 2 master, 3 fault.";
    let mut states = Family::new("keepalived_vrrp_state", Kind::Gauge, help);
    let help = "Whether the address is on this node.";
    let mut set = Family::new("tandem_virtual_address_set", Kind::Gauge, help);
    let help = "Addresses that somebody else removed.";
    let mut put_back = Family::new("tandem_virtual_addresses_put_back_total", Kind::Counter, help);
    for router in routers {
        for address in &router.virtual_addresses {
            labelled(router, &address.interface, |own| {
                let labels = [own, &[("ip_address", &address.address)]].concat();
                set.add(&labels, u8::from(address.set));
                if !address.excluded {
                    states.add(&labels, state(router).0);
                }
            });
        }
        labelled(router, &router.interface, |own| put_back.add(own, router.put_back));
    }
    vec![states, set, put_back]
}

fn of_packets(routers: &[RouterView]) -> Vec<Family> {
    let help = "VRRP packets refused, by reason.";
    let mut refused = Family::new("tandem_virtual_router_packets_refused_total", Kind::Counter, help);
    let help = "VRRP packets heard though something about them is strange, by what is.";
    let mut noticed = Family::new("tandem_virtual_router_packets_noticed_total", Kind::Counter, help);
    for router in routers {
        router.refused.iter().for_each(|(why, count)| add(&mut refused, router, ("reason", why), count));
        router.noticed.iter().for_each(|(why, count)| add(&mut noticed, router, ("reason", why), count));
    }
    vec![refused, noticed]
}

fn of_followed(routers: &[RouterView]) -> Vec<Family> {
    let help = "Since a gateway of the link answered.";
    let mut gateways = Family::new("tandem_gateway_answer_age_seconds", Kind::Gauge, help);
    let help = "All servers of a followed backend.";
    let mut servers = Family::new("tandem_followed_backend_servers", Kind::Gauge, help);
    let help = "Servers of a followed backend that new sessions may go to.";
    let mut usable = Family::new("tandem_followed_backend_usable_servers", Kind::Gauge, help);
    let help = "Whether a followed backend has too few.";
    let mut failed = Family::new("tandem_followed_backend_failed", Kind::Gauge, help);
    for router in routers {
        for gateway in &router.gateways {
            let label = ("gateway", gateway.address.as_str());
            gateway.answered_ms.iter().for_each(|ms| add(&mut gateways, router, label, seconds(*ms)));
        }
        // The same backend may be followed twice, with two weights.
        let names: BTreeSet<&str> =
            router.backends.iter().map(|followed| followed.backend.as_str()).collect();
        for name in names {
            let followed: Vec<_> = router.backends.iter().filter(|f| f.backend == name).collect();
            add(&mut servers, router, ("backend", name), followed[0].servers);
            if let Some(count) = followed[0].usable {
                let has_failed = followed.into_iter().any(FollowedView::has_failed);
                add(&mut usable, router, ("backend", name), count);
                add(&mut failed, router, ("backend", name), u8::from(has_failed));
            }
        }
    }
    vec![gateways, servers, usable, failed]
}

fn of_members(members: &[MemberView]) -> Vec<Family> {
    let mut connected =
        Family::new("tandem_member_connected", Kind::Gauge, "Whether the channel to a member is there.");
    let mut heard = Family::new(
        "tandem_member_heard_age_seconds",
        Kind::Gauge,
        "Since a member said on the channel how it is.",
    );
    let mut ready =
        Family::new("tandem_member_ready", Kind::Gauge, "Whether a member says that it can serve.");
    for member in members {
        let labels = [("member", member.name.as_str()), ("address", member.address.as_str())];
        connected.add(&labels, u8::from(member.state == "connected"));
        member.heard_ms.iter().for_each(|ms| heard.add(&labels, seconds(*ms)));
        member.ready.iter().for_each(|is| ready.add(&labels, u8::from(*is)));
    }
    vec![connected, heard, ready]
}

fn of_processes(status: &NodeStatus) -> Vec<Family> {
    let mut running =
        Family::new("tandem_process_running", Kind::Gauge, "Whether a process of the node runs.");
    let mut restarts =
        Family::new("tandem_process_restarts_total", Kind::Counter, "How often a process was started again.");
    // Of workers that come and go there may be several.
    for name in ["worker", "control"] {
        for process in status.processes.iter().filter(|process| process.name == name).take(1) {
            running.add(&[("process", name)], u8::from(process.state == "running"));
            restarts.add(&[("process", name)], process.restarts);
        }
    }
    vec![running, restarts]
}

fn of_logs(status: &NodeStatus) -> Vec<Family> {
    let help = "Log lines that nobody took in time.";
    let mut dropped = Family::new("tandem_log_lines_dropped_total", Kind::Counter, help);
    let help = "Log lines that were left out because there were many like them.";
    let mut suppressed = Family::new("tandem_log_lines_suppressed_total", Kind::Counter, help);
    let worker = status.worker.as_ref().map(|worker| ("worker", worker.log));
    for (process, log) in [("supervisor", status.log)].into_iter().chain(worker) {
        dropped.add(&[("process", process)], log.dropped);
        suppressed.add(&[("process", process)], log.suppressed);
    }
    vec![dropped, suppressed]
}

fn of_worker(worker: &WorkerView) -> Vec<Family> {
    let mut answers = Family::new(
        "tandem_listener_answers_total",
        Kind::Counter,
        "The worker's own requests that a listener has answered.",
    );
    let mut age =
        Family::new("tandem_listener_answer_age_seconds", Kind::Gauge, "Since a listener last answered one.");
    // An address may be named twice in one frontend.
    let key = |listener: &ListenerView| (listener.frontend.clone(), listener.address.clone());
    let keys: BTreeSet<(String, String)> = worker.listeners.iter().map(key).collect();
    for (frontend, address) in keys {
        let same = || worker.listeners.iter().filter(|l| l.frontend == frontend && l.address == address);
        let labels = [("frontend", frontend.as_str()), ("address", address.as_str())];
        answers.add(&labels, same().map(|listener| listener.answers).sum::<u64>());
        same().filter_map(|l| l.answered_ms).min().iter().for_each(|ms| age.add(&labels, seconds(*ms)));
    }
    let deaf = u8::from(worker.deaf);
    vec![
        answers,
        age,
        Family::one("tandem_worker_deaf", Kind::Gauge, "Whether a listener does not answer.", deaf),
    ]
}

#[cfg(test)]
mod tests;
