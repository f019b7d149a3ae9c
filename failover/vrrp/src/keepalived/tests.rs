use proxy_lang::Level;

use super::*;
use crate::{RunAs, Version};

const REST: &str =
    "vrrp_instance A {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n  192.0.2.9/24\n }\n";

struct Asked {
    routers: Vec<VirtualRouter>,
    errors: Vec<String>,
    warnings: Vec<String>,
    waiting: Vec<String>,
}

fn ask(text: &str) -> Asked {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let around = Surroundings { id: "lb1", include: &|_, _| Ok(vec![]) };
    let routers = read("k.conf", text, around, &mut sources, &mut diagnostics);
    let of = |level| {
        let list = diagnostics.iter().filter(|d| d.level == level);
        list.map(|d| format!("{}: {}", d.span.line, d.message)).collect()
    };
    let waiting = diagnostics.waiting().iter().map(|(_, name)| name.clone()).collect();
    Asked { routers, errors: of(Level::Error), warnings: of(Level::Warning), waiting }
}

#[test]
fn an_instance_is_a_virtual_router() {
    let asked = ask("vrrp_instance VI_1 {\n state BACKUP or MASTER # as people write it\n interface eth1\n \
         virtual_router_id 52\n priority 90\n advert_int 2\n authentication { auth_type PASS\n auth_pass nzh }\n \
         virtual_ipaddress {\n  192.0.2.100/24 dev eth1\n  192.0.2.101\n }\n unicast_src_ip 192.0.2.11\n \
         unicast_peer {\n  192.0.2.12\n  192.0.2.13\n }\n nopreempt\n preempt_delay 1.5\n \
         notify \"/etc/n.sh 'a b' c\"\n notify_master /etc/m.sh\n}\n");
    assert_eq!((asked.errors, asked.warnings), (vec![], vec![]));
    let router = &asked.routers[0];
    assert_eq!((router.name.as_str(), router.interface.as_str(), router.vrid), ("VI_1", "eth1", 52));
    let addresses: Vec<String> =
        router.addresses.iter().map(|a| format!("{}/{}", a.address, a.prefix)).collect();
    assert_eq!(addresses, ["192.0.2.100/24", "192.0.2.101/32"]);
    assert_eq!((router.own_priority, router.version, router.interval.wire()), (Some(90), Version::V2, 200));
    assert_eq!((router.password, router.multicast), (Some(*b"nzh\0\0\0\0\0"), false));
    assert_eq!(router.unicast_peers.len(), 2);
    assert_eq!((router.preempt, router.preempt_delay.as_millis()), (false, 1_500));
    let every = router.notify.every.clone().unwrap();
    assert_eq!(every.words, ["/etc/n.sh", "a b", "c"]);
    assert_eq!(every.user, RunAs::IfThere("keepalived_script"));
    let settings = router.settings("whoever", "192.0.2.11".parse().unwrap());
    assert_eq!(settings.priority, 90);
}

#[test]
fn what_is_said_of_all_may_stand_behind_them() {
    let asked = ask(&format!(
        "{REST} track_script {{\n  chk\n }}\n}}\nvrrp_script chk {{\n script /bin/true\n}}\n\
         global_defs {{\n vrrp_version 3\n router_id x\n}}\nvrrp_sync_group G {{\n group {{\n  A\n }}\n}}\n"
    ));
    assert_eq!(
        (asked.errors, asked.warnings),
        (vec![], vec!["18: group 'G' has one instance only".to_owned()])
    );
    assert_eq!(asked.routers[0].version, Version::V3);
    assert_eq!(asked.waiting, Vec::<String>::new());
    assert_eq!(asked.routers[0].group.as_ref().map(|group| group.name.as_str()), Some("G"));
    assert_eq!(asked.routers[0].tracks[0].name, "chk");
}

#[test]
fn mistakes_are_warnings_where_keepalived_warns() {
    for (line, expected) in [
        ("state PEER", "7: 'PEER' is no state, BACKUP is taken"),
        ("frobnicate 3", "7: unknown keyword 'frobnicate' in 'vrrp_instance' section"),
        ("foo {\n bar\n }", "7: unknown keyword 'foo' in 'vrrp_instance' section"),
        (
            "priority 256",
            "7: 'priority' : '256' is not a valid priority: a whole number from 1 to 255 is expected",
        ),
        (
            "preempt_delay 2000",
            "7: 'preempt_delay' : '2000' is not a valid delay: 0 to 1000 seconds are expected",
        ),
        ("advert_int 0.5", "7: instance 'A': version 2 sends whole seconds: the interval is rounded"),
        (
            "version 3\n advert_int 50",
            "8: instance 'A': 40.95 seconds are the longest interval of version 3, and are taken",
        ),
        (
            "authentication {\n auth_type PASS\n auth_pass changeme_keepalived }",
            "9: only the first 8 bytes of a password are sent",
        ),
        (
            "authentication {\n auth_type PASS }",
            "8: instance 'A': there is no 'auth_pass': nothing is authenticated",
        ),
        (
            "version 3\n authentication {\n auth_type PASS\n auth_pass a }",
            "9: instance 'A': version 3 has no authentication: it is passed over",
        ),
        ("virtual_ipaddress {\n VIP/16 }", "8: 'VIP/16' is not an address: it is passed over"),
        ("virtual_ipaddress {\n 192.0.2.1/33 }", "8: '192.0.2.1/33': a prefix has 0 to 32 bits"),
        ("virtual_ipaddress {\n 192.0.2.1 foo }", "8: 'foo' is not understood behind an address"),
        (
            "virtual_ipaddress {\n 2001:db8::1 }",
            "8: instance 'A': '2001:db8::1' is of another family than the first address: it is passed over",
        ),
        ("unicast_peer {\n host }", "8: 'host' is not an address: it is passed over"),
        ("track_script {\n nobody }", "8: instance 'A': there is no script 'nobody': it is not tracked"),
        ("state MASTER\n nopreempt", "8: instance 'A': 'nopreempt' has no meaning with 'state MASTER'"),
    ] {
        let asked = ask(&format!("{REST} {line}\n}}\n"));
        assert_eq!((asked.errors, asked.warnings), (vec![], vec![expected.to_owned()]), "{line}");
        assert_eq!(asked.routers.len(), 1, "{line}");
    }
}

#[test]
fn what_cannot_be_served_is_refused() {
    for (text, expected) in [
        ("vrrp_instance A {\n interface eth0\n}\n", "1: instance 'A' has no 'virtual_router_id'"),
        ("vrrp_instance A {\n virtual_router_id 5\n}\n", "1: instance 'A' has no 'interface'"),
        ("vrrp_instance A {\n state\n}\n", "2: 'state' expects <state> after it"),
        ("vrrp_instance A {\n", "1: this block is not closed"),
        (
            "virtual_server 192.0.2.1 80 {\n quorum 0\n}\n",
            "1: 'virtual_server' is known to keepalived but not supported",
        ),
        ("global_defs {\n enable_dbus\n}\n", "2: 'enable_dbus' is known to keepalived but not supported"),
    ] {
        let asked = ask(text);
        assert!(asked.errors.iter().any(|said| said == expected), "{text}: {:?}", asked.errors);
    }
}

#[test]
fn every_row_has_an_example_that_is_read() {
    fn specs<D>(table: &'static [Keyword<D>]) -> impl Iterator<Item = &'static str> {
        table.iter().map(|row| row.spec.example).filter(|example| !example.is_empty())
    }
    let mut texts = Vec::new();
    texts.extend(specs(VRRP_INSTANCE).map(|e| {
        // A password belongs to a type, and neither to version 3.
        format!("vrrp_script chk {{\n script x\n}}\nvrrp_track_process haproxy {{\n process x\n}}\n\
             vrrp_track_file name {{\n file x\n}}\n{REST} authentication {{\n auth_type PASS\n auth_pass a\n }}\n {e}\n}}\n")
    }));
    texts.extend(specs(GLOBAL_DEFS).map(|e| format!("global_defs {{\n {e}\n}}\n{REST}}}\n")));
    texts.extend(specs(TOP).map(|e| format!("{e}\n{REST}}}\n")));
    texts.extend(specs(VRRP_SCRIPT).map(|e| format!("vrrp_script s {{\n script x\n {e}\n}}\n{REST}}}\n")));
    texts.extend(
        specs(VRRP_TRACK_PROCESS)
            .map(|e| format!("vrrp_track_process s {{\n process x\n {e}\n}}\n{REST}}}\n")),
    );
    texts.extend(
        specs(VRRP_TRACK_FILE).map(|e| format!("vrrp_track_file s {{\n file x\n {e}\n}}\n{REST}}}\n")),
    );
    texts.extend(specs(VRRP_SYNC_GROUP).map(|e| {
        format!(
            "{}}}\nvrrp_sync_group G {{\n group {{\n  VI_1\n }}\n {e}\n}}\n",
            REST.replace("instance A", "instance VI_1")
        )
    }));
    for text in texts {
        let asked = ask(&text);
        let said: Vec<String> = asked
            .warnings
            .into_iter()
            .filter(|w| !w.contains("authentication: it is passed over") && !w.contains("one instance only"))
            .collect();
        assert_eq!((asked.errors, said), (vec![], vec![]), "{text}");
    }
}

#[test]
fn pipes_that_changes_are_written_to_are_everybodys() {
    let asked = ask(&format!(
        "global_defs {{\n vrrp_notify_fifo /run/f nobody\n vrrp_notify_fifo_script \"/etc/r.sh x\"\n script_user u g\n}}\n{REST} \
         notify_priority_changes on\n}}\n"
    ));
    assert_eq!((asked.errors, asked.warnings, asked.waiting), (vec![], vec![], vec![]));
    let notify = &asked.routers[0].notify;
    let fifo = &notify.fifos[0];
    assert_eq!((fifo.path.as_str(), &fifo.owner), ("/run/f", &RunAs::User("nobody".to_owned(), None)));
    let script = fifo.script.clone().unwrap();
    assert_eq!(script.words, ["/etc/r.sh", "x"]);
    assert_eq!(script.user, RunAs::User("u".to_owned(), Some("g".to_owned())));
    assert!(notify.priorities);
}
