//! The metrics of a node that has everything, read by Prometheus' own parser for Python.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::*;
use crate::cli::status::tests::sample;

const READER: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families as read
print(json.dumps([[s.name, f.type, f.documentation, s.labels, s.value] for f in read(sys.stdin.read()) for s in f.samples]))
";

/// What the parser makes of it; without it the test is skipped in words, unless it is required.
fn read(text: &str) -> Option<Vec<Value>> {
    let python = |code: &str| {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", code]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let is_there =
        python("import prometheus_client.parser").output().is_ok_and(|tried| tried.status.success());
    if !is_there {
        assert!(
            std::env::var_os("TANDEM_REQUIRE_PEERS").is_none(),
            "python3-prometheus-client is not installed"
        );
        let _ = writeln!(std::io::stderr(), "skipped: python3-prometheus-client is not installed");
        return None;
    }
    let mut parser = python(READER).spawn().unwrap();
    parser.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = parser.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn node() -> NodeStatus {
    let mut status = sample();
    status.maintenance = true;
    let router = &mut status.virtual_routers[0];
    router.name = "we\"b\\1\nx".to_owned();
    (router.adverts_sent, router.adverts_received, router.master_heard_ms) = (7, 9, Some(1_250));
    router.refused = BTreeMap::from([
        ("ttl".to_owned(), 4),
        ("hmac-replay".to_owned(), 2),
        ("hmac-missing".to_owned(), 1),
    ]);
    router.noticed = BTreeMap::from([("interval".to_owned(), 3)]);
    let mut excluded = router.virtual_addresses[0].clone();
    (excluded.address, excluded.excluded, excluded.interface) = ("192.0.2.7/32".into(), true, "eth1".into());
    router.virtual_addresses.push(excluded);
    let mut again = router.backends[0].clone();
    (again.least, again.weight) = (2, -20);
    router.backends.push(again);
    router.gateways[0].answered_ms = Some(120);
    let mut second = router.clone();
    (second.name, second.vrid, second.role, second.trouble) =
        ("db".into(), 52, "stopped".into(), Some("eth0 is down".into()));
    second.gateways[0].answered_ms = None;
    second.backends[0].usable = None;
    status.virtual_routers.push(second);
    let worker = status.worker.as_mut().unwrap();
    worker.listeners.push(worker.listeners[0].clone());
    status
}

#[test]
fn a_real_parser_understands_all_of_it() {
    let text = text(Some(&node()));
    let Some(samples) = read(&text) else { return };
    let web = "we\"b\\1\nx";
    let find = |name: &str, labels: &[(&str, &str)]| {
        let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
        let labels = serde_json::to_value(labels).unwrap();
        let found = samples.iter().find(|sample| sample[0] == name && sample[3] == labels);
        found.unwrap_or_else(|| panic!("no {name} {labels}:\n{text}"))[4].as_f64().unwrap()
    };
    let common = |word| [("iname", web), ("intf", "eth0"), ("vrid", "51"), ("state", word)];
    let own = [("iname", web), ("intf", "eth0"), ("vrid", "51")];
    let and = |name, value| [own.as_slice(), &[(name, value)]].concat();
    for (name, expected) in [
        ("keepalived_advertisements_received_total", 9.0),
        ("keepalived_advertisements_sent_total", 7.0),
        ("keepalived_become_master_total", 2.0),
        ("keepalived_release_master_total", 1.0),
        ("keepalived_ip_ttl_errors_total", 4.0),
        ("keepalived_authentication_failure_total", 3.0),
        ("keepalived_advertisements_interval_errors_total", 3.0),
        ("keepalived_address_list_errors_total", 0.0),
        ("keepalived_priority_zero_sent_total", 1.0),
    ] {
        assert_eq!(find(name, &common("MASTER")), expected, "{name}");
    }
    assert_eq!(find("keepalived_up", &[]), 1.0);
    assert_eq!(find("keepalived_vrrp_state", &and("ip_address", "192.0.2.100/24")), 2.0);
    let down = [("iname", "db"), ("intf", "eth0"), ("vrid", "52"), ("ip_address", "192.0.2.100/24")];
    assert_eq!(find("keepalived_vrrp_state", &down), 3.0);
    assert_eq!(find("tandem_virtual_router_priority", &own), 150.0);
    assert_eq!(find("tandem_virtual_router_master_age_seconds", &own), 1.25);
    assert_eq!(find("tandem_virtual_router_packets_refused_total", &and("reason", "hmac-replay")), 2.0);
    assert_eq!(find("tandem_gateway_answer_age_seconds", &and("gateway", "192.0.2.1")), 0.12);
    assert_eq!(find("tandem_followed_backend_usable_servers", &and("backend", "app")), 1.0);
    assert_eq!(find("tandem_followed_backend_failed", &and("backend", "app")), 1.0);
    assert_eq!(find("tandem_member_connected", &[("member", "lb2"), ("address", "192.0.2.12")]), 0.0);
    assert_eq!(
        find("tandem_listener_answers_total", &[("frontend", "web"), ("address", "192.0.2.100:80")]),
        16.0
    );
    assert_eq!(find("tandem_node_maintenance", &[]), 1.0);
    assert_eq!(find("tandem_process_running", &[("process", "worker")]), 1.0);
    // What is excluded is in no advertisement, and not in what keepalived's exporter shows.
    assert!(!samples.iter().any(|s| s[0] == "keepalived_vrrp_state" && s[3]["ip_address"] == "192.0.2.7/32"));
    assert!(samples.iter().any(|s| s[0] == "tandem_virtual_address_set" && s[3]["intf"] == "eth1"));
    // Who is not known has no number.
    assert!(!samples.iter().any(|s| s[0] == "tandem_gateway_answer_age_seconds" && s[3]["iname"] == "db"));
    assert!(
        !samples.iter().any(|s| s[0] == "tandem_followed_backend_usable_servers" && s[3]["iname"] == "db")
    );
    let mut seen = BTreeSet::new();
    for sample in &samples {
        let kind = if sample[0].as_str().unwrap().ends_with("_total") { "counter" } else { "gauge" };
        assert_eq!(sample[1], kind, "{sample}");
        assert!(sample[2].as_str().is_some_and(|help| !help.is_empty()), "{sample}");
        assert!(seen.insert((sample[0].to_string(), sample[3].to_string())), "twice: {sample}");
    }
    assert!(samples.len() > 60, "{}", samples.len());
}

#[test]
fn a_node_that_does_not_answer_is_down_and_nothing_else_is_said() {
    let none = text(None);
    assert!(none.contains("\nkeepalived_up 0\n") && none.contains("\ntandem_up 0\n"), "{none}");
    assert_eq!(none.lines().filter(|line| !line.starts_with('#')).count(), 2);
    let mut status = node();
    status.worker = None;
    assert!(!text(Some(&status)).contains("tandem_listener"));
}
