//! `tandem status`: how this node is, at a glance.

use std::io::IsTerminal;
use std::time::Duration;

use comfy_table::{Cell, ContentArrangement, LineStyle, Table, TableStyle};

use super::ask::ask;
use crate::args::Status;
use crate::metrics;
use crate::status::{Health, NodeStatus};

/// A line below the header and nothing else: rows are read, not admired.
const PLAIN: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// Longest time a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Everything fits a terminal of this width.
pub(super) const WIDTH: u16 = 80;
/// Servers are listed up to this many; then only those that are not as they should be.
const MANY_SERVERS: usize = 24;

/// What reasons begin with.
const REASON: &str = "  ! ";

/// Asks and prints; the exit code.
pub(crate) fn show(options: &Status) -> u8 {
    match ask::<NodeStatus>(&options.run_dir, "status", PATIENCE) {
        Err(why) => {
            if options.metrics {
                print!("{}", metrics::text(None));
                eprintln!("tandem: {why}");
            } else if options.json {
                println!("{}", serde_json::json!({ "health": "down", "reasons": [why] }));
            } else {
                eprintln!("tandem: {why}");
            }
            Health::Down.exit_code()
        }
        Ok((text, status)) => {
            if options.metrics {
                print!("{}", metrics::text(Some(&status)));
            } else if options.json {
                println!("{}", text.trim_end());
            } else {
                print!("{}", page(&status, std::io::stdout().is_terminal()));
            }
            status.health.exit_code()
        }
    }
}

fn page(status: &NodeStatus, colour: bool) -> String {
    let mut page = format!(
        "node {}{}: {}, up {}\n",
        status.node,
        status.cluster.as_ref().map(|c| format!(" of cluster {c}")).unwrap_or_default(),
        painted(status.health.word(), status.health, colour),
        span(status.uptime_ms),
    );
    if status.maintenance {
        page.push_str("  maintenance: it takes no address until `tandem maintenance off`\n");
    }
    for reason in &status.reasons {
        for (place, line) in wrapped(reason, usize::from(WIDTH) - REASON.len()).iter().enumerate() {
            let margin = if place == 0 { REASON } else { "    " };
            page.push_str(&format!("{margin}{}\n", painted(line, status.health, colour)));
        }
    }
    let worker = status.worker.as_ref().map(|worker| worker.log).unwrap_or_default();
    let (dropped, suppressed) =
        (status.log.dropped + worker.dropped, status.log.suppressed + worker.suppressed);
    if dropped > 0 {
        page.push_str(&format!("  log: {dropped} lines were dropped, as nobody took them in time\n"));
    }
    if suppressed > 0 {
        page.push_str(&format!("  log: {suppressed} lines were left out, as there were many like them\n"));
    }
    let mut add = |title: &str, table: Table| page.push_str(&format!("\n{title}\n{table}\n"));
    if !status.virtual_routers.is_empty() {
        let mut table = table(&["name", "role", "since", "address", "prio", "master", "why"]);
        for router in &status.virtual_routers {
            let master = match (router.role.as_str(), &router.master) {
                ("master", _) => "this node".to_owned(),
                (_, Some(name)) => name.clone(),
                (_, None) => "unknown".to_owned(),
            };
            table.add_row(vec![
                Cell::new(&router.name),
                Cell::new(&router.role),
                Cell::new(span(router.since_ms)),
                Cell::new(router.addresses.join(" ")),
                Cell::new(router.priority),
                Cell::new(master),
                Cell::new(match (&router.why, router.blocked) {
                    (_, true) => "the master's advertisements are blocked",
                    (Some(why), false) => why,
                    (None, false) => "unknown",
                }),
            ]);
        }
        add("Virtual routers", table);
    }
    let followed = status.virtual_routers.iter().flat_map(|r| r.backends.iter().map(move |b| (&r.name, b)));
    let followed: Vec<_> = followed.collect();
    if !followed.is_empty() {
        let mut table = table(&["backend", "followed by", "usable servers", "needs", "otherwise", "state"]);
        for (router, backend) in followed {
            let usable = backend.usable.map_or_else(|| "unknown".to_owned(), |usable| usable.to_string());
            let least = if backend.reverse { "fewer than" } else { "at least" };
            let state = match backend.usable {
                None => "unknown",
                Some(_) if backend.has_failed() => "failed",
                Some(_) => "well",
            };
            table.add_row(vec![
                Cell::new(&backend.backend),
                Cell::new(router),
                Cell::new(format!("{usable} of {}", backend.servers)),
                Cell::new(format!("{least} {}", backend.least)),
                Cell::new(backend.effect()),
                Cell::new(state),
            ]);
        }
        add("Followed backends", table);
    }
    if !status.members.is_empty() {
        let mut table = table(&["member", "channel", "since", "heard", "can serve", "tables"]);
        for member in &status.members {
            let word = |known: Option<bool>, yes: &'static str, no: &'static str| match known {
                Some(true) => yes,
                Some(false) => no,
                None => "unknown",
            };
            table.add_row(vec![
                Cell::new(&member.name),
                Cell::new(&member.state),
                Cell::new(span(member.since_ms)),
                Cell::new(member.heard_ms.map_or_else(|| "never".to_owned(), span)),
                Cell::new(word(member.ready, "yes", "no")),
                Cell::new(word(member.learnt, "learnt", "not learnt")),
            ]);
        }
        add("Members", table);
    }
    let mut processes = table(&["process", "state", "since", "pid", "restarts"]);
    for process in &status.processes {
        processes.add_row(vec![
            Cell::new(&process.name),
            Cell::new(&process.state),
            Cell::new(span(process.since_ms)),
            Cell::new(process.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string())),
            Cell::new(process.restarts),
        ]);
    }
    add("Processes", processes);
    let Some(worker) = &status.worker else {
        page.push_str("\nPeers, tables and servers: unknown, the worker does not answer.\n");
        return page;
    };
    if !worker.peers.is_empty() {
        let mut table = table(&["peer", "state", "since", "heard", "lag", "learnt", "last error"]);
        for peer in &worker.peers {
            let good = peer.state == "established";
            let error = peer.last_error.clone().filter(|_| !good).unwrap_or_default();
            table.add_row(vec![
                Cell::new(&peer.name),
                Cell::new(&peer.state),
                Cell::new(span(peer.since_ms)),
                Cell::new(peer.heard_ms.map_or_else(|| "never".to_owned(), span)),
                Cell::new(peer.lag),
                Cell::new(peer.learnt),
                Cell::new(error),
            ]);
        }
        add(&format!("Peers (tables are {})", worker.tables_are), table);
    }
    if !worker.tables.is_empty() {
        let mut list = table(&["table", "key", "entries", "size", "changed"]);
        for row in &worker.tables {
            list.add_row(vec![
                row.name.clone(),
                row.key.clone(),
                row.entries.to_string(),
                row.size.to_string(),
                row.changed_ms.map_or_else(|| "never".to_owned(), |ms| format!("{} ago", span(ms))),
            ]);
        }
        add("Tables", list);
    }
    let is_usual = |server: &&crate::status::ServerView| server.up && server.admin == "ready";
    let few = worker.servers.len() <= MANY_SERVERS;
    let mut list = table(&["server", "state", "admin", "since", "check", "sessions"]);
    for server in worker.servers.iter().filter(|s| few || !is_usual(s)) {
        list.add_row(vec![
            Cell::new(format!("{}/{}", server.backend, server.server)),
            Cell::new(if server.up { "up" } else { "down" }),
            Cell::new(&server.admin),
            Cell::new(span(server.since_ms)),
            Cell::new(&server.check),
            Cell::new(server.sessions),
        ]);
    }
    let usual = worker.servers.iter().filter(is_usual).count();
    add(&format!("Servers ({usual} of {} up and ready)", worker.servers.len()), list);
    page
}

/// The words of a text in lines of so many characters; a longer word is a line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The text in the colour of a state, where there is a terminal to show it.
pub(super) fn painted(text: &str, health: Health, colour: bool) -> String {
    let code = match health {
        Health::Healthy => 32,
        Health::Degraded => 33,
        Health::Down => 31,
    };
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(PLAIN)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(header);
    table
}

/// A length of time as people say it.
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}s", ms / 1_000),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms / 1_000 % 60),
        3_600_000..86_400_000 => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{}d{:02}h", ms / 86_400_000, ms / 3_600_000 % 24),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::status::{
        AddressView, FollowedView, GatewayView, ListenerView, MemberView, PeerView, ProcessView, RouterView,
        ServerView, TableView, WorkerView,
    };

    pub(crate) fn sample() -> NodeStatus {
        NodeStatus {
            node: "lb1".into(),
            version: "0".into(),
            pid: 1,
            uptime_ms: 90_061_000,
            health: Health::Healthy,
            reasons: Vec::new(),
            maintenance: false,
            cluster: Some("prod".into()),
            virtual_routers: vec![RouterView {
                name: "web".into(),
                vrid: 51,
                interface: "eth0".into(),
                addresses: vec!["192.0.2.100".into()],
                role: "master".into(),
                since_ms: 61_000,
                why: Some("the master fell silent".into()),
                priority: 150,
                master: None,
                master_heard_ms: None,
                adverts_sent: 1,
                adverts_received: 0,
                refused: std::collections::BTreeMap::new(),
                put_back: 0,
                noticed: std::collections::BTreeMap::new(),
                blocked: false,
                trouble: None,
                scheduling: "real-time".into(),
                base_priority: 150,
                became_master: 2,
                released_master: 1,
                goodbyes_sent: 1,
                goodbyes_received: 0,
                virtual_addresses: vec![AddressView {
                    address: "192.0.2.100/24".into(),
                    interface: "eth0".into(),
                    excluded: false,
                    set: true,
                }],
                backends: vec![FollowedView {
                    backend: "app".into(),
                    servers: 3,
                    usable: Some(1),
                    least: 1,
                    weight: 0,
                    reverse: false,
                }],
                gateways: vec![GatewayView { address: "192.0.2.1".into(), answered_ms: Some(120) }],
            }],
            members: vec![MemberView {
                name: "lb2".into(),
                address: "192.0.2.12".into(),
                state: "lost".into(),
                why: Some("nobody listens there".into()),
                since_ms: 3_000,
                heard_ms: Some(3_500),
                ready: None,
                learnt: None,
            }],
            processes: vec![ProcessView {
                name: "worker".into(),
                state: "running".into(),
                pid: Some(7),
                since_ms: 5,
                restarts: 0,
                last_death: None,
                refused: 0,
            }],
            log: crate::status::LogView::default(),
            worker: Some(WorkerView {
                sessions: 3,
                checks_done: true,
                tables_are: "learnt".into(),
                refused: std::collections::BTreeMap::new(),
                peers: vec![PeerView {
                    section: None,
                    errors: std::collections::BTreeMap::new(),
                    resync: "learnt".into(),
                    tables: Vec::new(),
                    name: "lb2".into(),
                    address: "192.0.2.12".into(),
                    state: "unreachable".into(),
                    since_ms: 3_000,
                    lag: 12,
                    heard_ms: None,
                    learnt: 5,
                    sessions: 1,
                    last_error: Some("Connection refused (os error 111)".into()),
                }],
                tables: vec![TableView {
                    name: "web".into(),
                    key: "ip".into(),
                    size: 102_400,
                    entries: 5,
                    changed_ms: Some(4),
                }],
                servers: vec![ServerView {
                    backend: "app".into(),
                    server: "s1".into(),
                    address: "192.0.2.21:8001".into(),
                    up: true,
                    admin: "ready".into(),
                    since_ms: 7_200_000,
                    check: "L7OK".into(),
                    sessions: 2,
                }],
                listeners: vec![ListenerView {
                    frontend: "web".into(),
                    address: "192.0.2.100:80".into(),
                    answers: 8,
                    answered_ms: Some(250),
                    cores: 2,
                }],
                deaf: false,
                log: crate::status::LogView::default(),
            }),
        }
    }

    #[test]
    fn the_page_fits_eighty_columns_and_says_what_is_wrong() {
        let mut status = sample();
        status.judge();
        assert_eq!(
            (status.health, status.reasons.as_slice()),
            (
                Health::Degraded,
                &["no channel to lb2: nobody listens there", "peer lb2 is unreachable"].map(str::to_owned)[..]
            )
        );
        let page = page(&status, false);
        let widest = page.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|w| w <= usize::from(WIDTH)), "{widest:?}\n{page}");
        for word in
            ["node lb1 of cluster prod: degraded, up 1d01h", "! peer lb2", "this node", "1m01s", "2h00m"]
        {
            assert!(page.contains(word), "{word}:\n{page}");
        }
    }

    #[test]
    fn what_nobody_knows_is_called_unknown() {
        let mut status = sample();
        status.worker = None;
        status.virtual_routers[0].role = "backup".into();
        status.judge();
        assert_eq!(status.health, Health::Degraded);
        let page = page(&status, false);
        assert!(page.contains("unknown, the worker does not answer") && !page.contains("peer lb2"), "{page}");
        status.processes[0].state = "dead".into();
        status.judge();
        assert_eq!(status.health.exit_code(), 2);
    }

    #[test]
    fn followed_backends_and_what_is_blocked_are_shown_and_are_reasons() {
        let mut status = sample();
        status.members.clear();
        let line = |status: &NodeStatus, begin: &str| {
            let page = page(status, false);
            assert!(page.lines().all(|line| line.chars().count() <= usize::from(WIDTH)), "{page}");
            let found = page.lines().find(|line| line.trim_start().starts_with(begin)).map(str::to_owned);
            found.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        status.judge();
        assert_eq!(line(&status, "app "), "app web 1 of 3 at least 1 last resort well");
        let router = &mut status.virtual_routers[0];
        router.role = "backup".into();
        router.blocked = true;
        router.backends[0].usable = Some(0);
        let mut second = router.backends[0].clone();
        (second.weight, second.usable, second.reverse) = (-20, None, true);
        router.backends.push(second);
        status.judge();
        let page = page(&status, false);
        let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in [
            "! web: the master lives, and its VRRP advertisements do not arrive (protocol 112 is blocked?)",
            "! web: backend app has 0 of 3 usable servers: last resort",
            "app web unknown of 3 fewer than 1 priority -20 unknown",
        ] {
            assert!(words.contains(expected), "{expected}:\n{page}");
        }
        assert_eq!(line(&status, "app "), "app web 0 of 3 at least 1 last resort failed");
        assert!(line(&status, "web ").ends_with("the master's") && page.contains("blocked"), "{page}");
    }

    #[test]
    fn a_worker_that_does_not_answer_its_clients_is_no_healthy_one() {
        let mut status = sample();
        status.worker.iter_mut().for_each(|worker| worker.deaf = true);
        status.judge();
        assert_eq!(status.health, Health::Down);
        assert!(page(&status, false).contains("! its listeners do not accept or answer"));
    }
}
