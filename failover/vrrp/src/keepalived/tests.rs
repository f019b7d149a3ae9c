use proxy_lang::Level;

use super::*;
use crate::{Fixed, RunAs, Version};

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
    let around = Surroundings { id: "lb1", include: &|_, _| Ok(vec![]), others: &["virtual_server"] };
    let Reading { routers, .. } = read("k.conf", text, around, &mut sources, &mut diagnostics);
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
            "virtual_ipaddress {\n 192.0.2.1 brd + }",
            "8: a network of 32 bits has no broadcast: 'brd' is passed over",
        ),
        ("virtual_ipaddress {\n 192.0.2.1/24 scope far }", "8: 'far' is no scope: 'scope' is passed over"),
        (
            "virtual_ipaddress {\n 192.0.2.1/24 peer 192.0.2.2 }",
            "8: the far end of a line is a single address: the prefix is passed over",
        ),
        (
            "virtual_ipaddress {\n 192.0.2.1 peer 192.0.2.2/32 }",
            "8: '192.0.2.2/32' is no address of its family: 'peer' is passed over",
        ),
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
             vrrp_track_file name {{\n file x\n}}\n{REST} authentication {{\n auth_type PASS\n auth_pass a\n }}\n auth_hmac {{\n key 1 a\n }}\n {e}\n}}\n")
    }));
    texts.extend(specs(GLOBAL_DEFS).map(|e| format!("global_defs {{\n {e}\n}}\n{REST}}}\n")));
    texts.extend(specs(MACHINE).map(|e| format!("{e}\n{}}}\n", REST.replace("instance A", "instance VI_1"))));
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
            .filter(|w| {
                !w.contains("authentication: it is passed over")
                    && !w.contains("strict: packets")
                    && !w.contains("one instance only")
                    && !w.contains("no mail is sent")
                    && !w.contains("says which VRF")
                    && !w.contains("garp_group without")
            })
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

#[test]
fn what_is_said_of_packets_is_an_instances_or_everybodys() {
    let asked = ask(&format!(
        "global_defs {{\n vrrp_mcast_group4 224.0.0.19\n vrrp_lower_prio_no_advert\n vrrp_skip_check_adv_addr\n \
         log_unknown_vrids\n}}\n{REST} down_timer_adverts 5\n unicast_ttl 64\n v3_checksum_as_v2\n \
         unicast_fault_no_peer\n skip_check_adv_addr off\n notify_master_rx_lower_pri /bin/true\n \
         auth_hmac {{\n  key 1 one\n  key 2 two\n  active_key 2\n  mode permissive\n  anti_replay time\n  time_window 7\n }}\n \
         unicast_peer {{\n  192.0.2.12 min_ttl 200 max_ttl 254\n }}\n}}\n"
    ));
    assert_eq!((asked.errors, asked.warnings, asked.waiting), (vec![], vec![], vec![]));
    let router = &asked.routers[0];
    let wire = &router.wire;
    assert_eq!(wire.group, "224.0.0.19".parse().ok());
    assert_eq!((wire.ttl, wire.missing, wire.bare_checksum), (Some(64), Some(5), true));
    assert!(wire.needs_peer && wire.silent && wire.log_unknown && !wire.any_addresses);
    assert_eq!(wire.peer_ttls.values().next(), Some(&(200..=254)));
    assert_eq!((wire.hmac.keys.len(), wire.hmac.active), (2, Some(2)));
    assert_eq!(wire.hmac.window.map(|window| window.as_secs()), Some(7));
    assert!(router.notify.lesser.is_some());
    let settings = router.settings("lb1", "192.0.2.11".parse().unwrap());
    assert_eq!((settings.missing, settings.silent), (5, true));
}

#[test]
fn strict_is_what_a_proxy_can_keep() {
    let asked = ask(&format!(
        "global_defs {{\n vrrp_strict\n}}\n{REST} mcast_dst_ip 192.0.2.1\n auth_hmac {{\n  mode enforce\n  active_key 3\n }}\n}}\n"
    ));
    assert!(asked.routers[0].wire.silent && asked.errors.is_empty());
    assert_eq!(
        asked.warnings,
        [
            "2: instance 'A': strict: packets for the addresses are taken all the same",
            "4: instance 'A': auth_hmac: there is no key: nothing is authenticated",
            "10: '192.0.2.1' is no group: it is passed over",
        ]
    );
    let asked = ask(&format!("global_defs {{\n vrrp_strict\n}}\n{REST} strict_mode off\n}}\n"));
    assert!(!asked.routers[0].wire.silent && asked.warnings.is_empty());
}

#[test]
fn what_is_said_behind_an_address_is_kept_and_written_again() {
    let asked =
        ask("vrrp_instance A {\n interface eth0\n virtual_router_id 51\n priority 100\n version 3\n \
         virtual_ipaddress {\n  192.0.2.100/24 brd + scope link label eth0:1\n  192.0.2.101/24 brd -\n  \
         192.0.2.102 peer 198.51.100.9 no_track\n  192.0.2.103/24 brd 192.0.2.7 noprefixroute\n }\n \
         virtual_ipaddress_excluded {\n  2001:db8::1/64 home -nodad mngtmpaddr preferred_lft 30\n  \
         2001:db8::2 preferred_lft forever\n }\n}\n");
    assert_eq!((asked.errors, asked.warnings, asked.waiting), (vec![], vec![], vec![]));
    let lines = asked.routers[0].lines("lb1");
    let addresses: Vec<&str> =
        lines.iter().filter(|l| l.starts_with("address ")).map(String::as_str).collect();
    let expected = [
        "address 192.0.2.100/24 label eth0:1 brd 192.0.2.255 scope 253",
        "address 192.0.2.101/24 brd 192.0.2.0",
        "address 192.0.2.102/32 peer 198.51.100.9 no_track",
        "address 192.0.2.103/24 brd 192.0.2.7 noprefixroute",
        "address 2001:db8::1/64 preferred_lft 30 -nodad home mngtmpaddr excluded",
        "address 2001:db8::2/128 preferred_lft forever excluded",
    ];
    assert_eq!(addresses, expected);
    assert_eq!(asked.routers[0].addresses[2].peer, "198.51.100.9".parse().ok());
}

#[test]
fn mails_are_asked_for_by_an_instance_or_a_group_or_for_all() {
    let sent = |alerts: &str, own: &str, groups: &str| {
        let asked = ask(&format!(
            "global_defs {{\n notification_email {{\n  a@example.com b@example.com\n  c\n }}\n smtp_server mail.example 2525\n\
             {alerts}}}\n{REST} {own}\n}}\n{}vrrp_sync_group G {{\n group {{\n  A\n  B\n }}\n {groups}\n}}\n",
            REST.replace("instance A", "instance B").replace("51", "52").replace('9', "8") + "}\n"
        ));
        assert_eq!((asked.errors, asked.warnings, asked.waiting), (vec![], vec![], vec![]));
        let [a, b] = [0, 1].map(|place: usize| asked.routers[place].notify.mail.is_some());
        let group = asked.routers[0].group.as_ref().and_then(|group| group.notify.mail.as_ref());
        (a, b, group.is_some())
    };
    // What keepalived 2.2.7 does with the same lines.
    for (alerts, own, group, expected) in [
        ("", "", "", (false, false, false)),
        (" smtp_alert\n", "", "", (true, true, true)),
        (" smtp_alert on\n smtp_alert_vrrp off\n", "", "", (false, false, false)),
        (" smtp_alert no\n smtp_alert_vrrp yes\n", "", "", (true, true, true)),
        (" smtp_alert\n", "smtp_alert off", "", (false, true, true)),
        ("", "smtp_alert", "", (true, false, false)),
        ("", "", "smtp_alert true", (false, false, true)),
    ] {
        assert_eq!(sent(alerts, own, group), expected, "{alerts:?} {own} {group}");
    }
}

#[test]
fn what_keepalived_says_of_mails_is_understood_and_what_it_does_not_say_is_said() {
    let mails = " notification_email { a\n }\n notification_email_from lb@example.com\n smtp_server ::1\n \
                 smtp_connect_timeout 5\n smtp_helo_name lb\n router_id \"hall 2\"\n no_email_faults\n";
    let asked = ask(&format!("global_defs {{\n{mails} smtp_alert\n}}\n{REST}}}\n"));
    assert_eq!((asked.errors, asked.warnings), (vec![], vec![]));
    let lines = asked.routers[0].lines("lb1");
    for line in [
        "notify-mail a",
        "notify-mail-from lb@example.com",
        "notify-mail-helo lb",
        "notify-mail-name 'hall 2'",
        "notify-mail-no-faults",
        "notify-mail-server ::1 25",
        "notify-mail-timeout 5000ms",
    ] {
        assert!(lines.iter().any(|l| l == line), "{line}: {lines:?}");
    }
    let missing = "no mail is sent: 'notification_email' or 'smtp_server' is missing";
    for (globals, own, expected) in [
        (" notification_email { a\n }\n smtp_alert\n", "", vec![format!("4: {missing}")]),
        (" smtp_server ::1\n", "smtp_alert", vec![format!("10: {missing}")]),
        (
            " smtp_connect_timeout 0\n",
            "",
            vec!["2: 'smtp_connect_timeout' : '0' is not a valid seconds: a whole number from 1 to 4294 is expected".to_owned()],
        ),
        (
            " notification_email { \"A <a@b>\"\n }\n",
            "",
            vec!["2: 'A <a@b>' is no address for mails: it is passed over".to_owned()],
        ),
    ] {
        let asked = ask(&format!("global_defs {{\n{globals}}}\n{REST} {own}\n}}\n"));
        assert_eq!((asked.errors, asked.warnings), (vec![], expected), "{globals}");
    }
}

const REST_OF_WORLD: &str = "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n  192.0.2.9/24\n }\n";

fn machine(text: &str) -> (Machine, Vec<VirtualRouter>, Vec<String>) {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let around = Surroundings { id: "lb1", include: &|_, _| Ok(vec![]), others: &[] };
    let Reading { routers, machine, .. } = read("k.conf", text, around, &mut sources, &mut diagnostics);
    assert!(diagnostics.waiting().is_empty());
    (machine, routers, diagnostics.iter().map(|d| format!("{}: {}", d.span.line, d.message)).collect())
}

#[test]
fn what_stays_is_the_machines_and_instances_follow_it() {
    let (machine, routers, said) = machine(&format!(
        "static_rules {{\n from 192.0.2.7 iif eth0 table 100\n}}\n\
         static_routes {{\n 203.0.113.0/24 via 192.0.2.1 dev eth0 track_group G\n 203.0.114.0/24\n}}\n\
         static_ipaddress {{\n 192.0.2.7/24 dev eth0 track_group G\n 2001:db8::7/64 home\n 239.1.1.1/32 autojoin\n}}\n\
         track_group G {{\n group {{\n  VI_1\n }}\n}}\n\
         global_defs {{\n default_interface eth5\n script_user nobody\n startup_script \"/bin/up a\"\n startup_script_timeout 3\n \
         shutdown_script /bin/down root\n}}\n{REST_OF_WORLD} virtual_rules {{\n from 192.0.2.9 table 5\n }}\n}}\n"
    ));
    assert_eq!(said, Vec::<String>::new());
    let found: Vec<String> = machine
        .fixtures
        .iter()
        .map(|fixture| format!("{} {}", fixture.what, fixture.routers.contains("VI_1")))
        .collect();
    let expected = [
        "address 192.0.2.7/24 true",
        "address 2001:db8::7/64 false",
        "address 239.1.1.1/32 false",
        "route 203.0.113.0/24 via 192.0.2.1 dev eth0 true",
        "route 203.0.114.0/24 false",
        "rule from 192.0.2.7 iif eth0 table 100 false",
    ];
    assert_eq!(found, expected);
    let devices: Vec<Option<&str>> = machine
        .fixtures
        .iter()
        .map(|fixture| match &fixture.what {
            Fixed::Address(address) => address.device.as_deref(),
            Fixed::Route(route) => route.device.as_deref(),
            Fixed::Rule(rule) => rule.iif.as_deref(),
        })
        .collect();
    assert_eq!(devices, [Some("eth0"), Some("eth5"), Some("eth5"), Some("eth0"), Some("eth5"), Some("eth0")]);
    // Rules of the whole file stand before one another.
    assert_eq!(routers[0].rules[0].priority, 16_383);
    let (before, after) = (machine.before.unwrap(), machine.after.unwrap());
    assert_eq!((before.command.words.len(), before.timeout.as_secs(), after.timeout.as_secs()), (2, 3, 10));
    assert_eq!(before.command.user, RunAs::User("nobody".to_owned(), None));
    assert_eq!(after.command.user, RunAs::User("root".to_owned(), None));
}

#[test]
fn what_cannot_stay_is_said_where_keepalived_says_it() {
    let (machine, _, said) = machine(&format!(
        "track_group G {{\n group {{\n  B\n  VI_1\n }}\n}}\n\
         static_ipaddress {{\n 192.0.2.7/24 track_group H\n 192.0.2.8/33\n foo\n 192.0.2.6/24 frob\n}}\n\
         static_routes {{\n foo\n 203.0.113.0/24 via 192.0.2.1 track_group G\n}}\n\
         static_rules {{\n from 192.0.2.7 table 100 track_group G\n}}\n{REST_OF_WORLD}}}\n"
    ));
    let expected = [
        "3: there is no instance 'B': it is passed over",
        "8: there is no track group 'H': it is passed over",
        "9: '192.0.2.8/33': a prefix has 0 to 32 bits",
        "10: 'foo' is not an address: it is passed over",
        "11: 'frob' is not understood behind an address",
        "14: 'foo' is not understood in a route: it is passed over",
        "15: a track group needs an interface to be named here: it is passed over",
        "18: a track group needs an interface to be named here: it is passed over",
    ];
    let mut said = said;
    said.sort_by_key(|line| line.split(':').next().and_then(|number| number.parse::<u32>().ok()));
    assert_eq!(said, expected);
    assert_eq!(machine.fixtures.len(), 5);
    assert!(machine.fixtures.iter().all(|fixture| fixture.routers.is_empty()));
}

#[test]
fn addresses_elsewhere_may_have_interfaces_of_their_own() {
    let behind = |more: &str| {
        let (_, routers, said) = machine(&format!(
            "vrrp_instance A {{\n interface eth0\n virtual_router_id 51\n{more} virtual_ipaddress {{\n  192.0.2.1/24\n  \
             192.0.2.2/24 dev eth0\n  192.0.2.3/24 dev eth1\n  192.0.2.4/24 dev eth1 use_vmac\n }}\n \
             virtual_ipaddress_excluded {{\n  2001:db8::5/64\n }}\n}}\n"
        ));
        assert_eq!(said, Vec::<String>::new());
        routers[0].addresses.iter().map(crate::VirtualAddress::has_own_mac).collect::<Vec<_>>()
    };
    assert_eq!(behind(""), [false, false, false, true, false]);
    assert_eq!(behind(" use_vmac_addr\n"), [false, false, true, true, true]);
}

#[test]
fn what_is_said_of_interfaces_is_for_all_instances() {
    let (_, routers, said) = machine(&format!(
        "global_defs {{\n vrrp_garp_interval 0.001\n vrrp_gna_interval 0.000001\n vrrp_garp_extra_if all 100\n \
         vrrp_down_timer_adverts 5\n fifo_write_vrrp_states_on_reload\n}}\n\
         garp_group {{\n garp_interval 0.25\n interfaces {{\n  eth0\n  eth1\n }}\n}}\n\
         interface_up_down_delays {{\n eth0 0.5 2\n eth1 0.00001\n}}\n{REST_OF_WORLD}}}\n{} garp_extra_if 7\n \
         down_timer_adverts 2\n old_unicast_checksum\n}}\n{} garp_extra_if all 0\n old_unicast_checksum never\n}}\n",
        REST_OF_WORLD.replace("VI_1", "VI_2"),
        REST_OF_WORLD.replace("VI_1", "VI_3"),
    ));
    assert_eq!(said, Vec::<String>::new());
    let lines = |place: usize| {
        let mut lines = routers[place].lines("lb1");
        lines.retain(|l| {
            ["announce-", "interface-delay", "advert-missing", "notify-reload", "old-"]
                .iter()
                .any(|w| l.starts_with(w))
        });
        lines
    };
    let everybodys = ["announce-spacing 250000us 0us eth0 eth1", "announce-spacing 1000us 1us"];
    let delays = ["interface-delay eth0 500000us 2000000us", "interface-delay eth1 10us 10us"];
    let expected = |missing: &str, checksum: Option<&str>, elsewhere: Option<&str>| {
        let mut lines = vec![format!("advert-missing {missing}")];
        lines.extend(checksum.map(str::to_owned));
        lines.extend(delays.map(str::to_owned));
        lines.extend(everybodys.map(str::to_owned));
        lines.extend(elsewhere.map(str::to_owned));
        lines.push("notify-reload".to_owned());
        lines
    };
    assert_eq!(lines(0), expected("5", None, Some("announce-elsewhere 100000ms")));
    assert_eq!(lines(1), expected("2", Some("old-checksum"), Some("announce-elsewhere 7000ms virtual-mac")));
    assert_eq!(lines(2), expected("5", None, None));
    assert_eq!(routers[0].settings("lb1", "192.0.2.11".parse().unwrap()).missing, 5);
}
