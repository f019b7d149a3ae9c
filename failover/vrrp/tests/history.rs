//! Histories: what happened to a router and what it did, as text. Each file says in its first line what
//! it proves. `MILLIS input` lines are given to a router of priority 100, interval 100 ms, address
//! 192.0.2.12; the lines below them that begin with `<` are everything it did since, timers included.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]
#![allow(clippy::disallowed_methods, reason = "histories are files")]

use std::net::{IpAddr, Ipv4Addr};

use failover_vrrp::{
    Advertisement, Centis, Claim, Eligibility, Goodbye, Input, Micros, Output, Router, Settings, Version,
};

fn host(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn settings(preempt: bool) -> Settings {
    Settings {
        vrid: 51,
        priority: 100,
        version: Version::V3,
        interval: Centis::new(10).unwrap(),
        preempt,
        preempt_delay: Micros(0),
        addresses: vec![host(100)],
        source: host(12),
        missing: 3,
        silent: false,
        grouped: false,
        pair: true,
    }
}

fn input(now: Micros, words: &[&str]) -> Option<Input> {
    let eligible = |ready, learnt| Input::Eligible(Eligibility { ready, learnt });
    Some(match words {
        ["start"] => Input::Start,
        ["adopt"] => Input::Adopt,
        ["stop"] => Input::Stop,
        ["handover"] => Input::HandOver(Goodbye::Advertised),
        ["handover", "told"] => Input::HandOver(Goodbye::Told),
        ["vouched", priority, host] => {
            let (priority, interval) = (priority.parse().unwrap(), Centis::new(10).unwrap());
            Input::Vouched(self::host(host.parse().unwrap()), Claim { priority, interval })
        }
        ["take", host] => Input::Take(self::host(host.parse().unwrap()), now),
        ["take", host, "said", millis] => {
            Input::Take(self::host(host.parse().unwrap()), Micros(millis.parse::<u64>().unwrap() * 1_000))
        }
        ["dead", host] => Input::Dead(self::host(host.parse().unwrap())),
        ["isolated"] => Input::Isolated(true),
        ["reached"] => Input::Isolated(false),
        ["fault"] => Input::Fault,
        ["priority", number] => Input::Priority(number.parse().unwrap()),
        ["others", "unknown"] => Input::Others(None),
        ["others", number] => Input::Others(Some(number.parse().unwrap())),
        ["ready"] => eligible(true, true),
        ["ready", "unlearnt"] => eligible(true, false),
        ["unready"] => eligible(false, false),
        ["advert", priority, host] => {
            let said = Advertisement {
                vrid: 51,
                priority: priority.parse().unwrap(),
                interval: Centis::new(10).unwrap(),
                addresses: vec![self::host(100)],
            };
            Input::Packet(self::host(host.parse().unwrap()), said)
        }
        ["wait" | "sleep"] => return None,
        other => panic!("no such input: {other:?}"),
    })
}

fn drain(router: &mut Router, now: Micros, said: &mut Vec<String>) {
    while let Some(output) = router.poll_output() {
        let text = match output {
            Output::Transmit(a) => format!("transmit {}", a.priority),
            Output::AddAddresses => "add".to_owned(),
            Output::RemoveAddresses => "remove".to_owned(),
            Output::StepAside => "step aside".to_owned(),
            Output::Announce => "announce".to_owned(),
            Output::Blocked(blocked) => if blocked { "blocked" } else { "heard again" }.to_owned(),
            Output::Became(role, why) => format!("{role:?} {why:?}").to_lowercase(),
        };
        said.push(format!("< {} {text}", now.0 / 1_000));
    }
}

fn replay(text: &str) -> Vec<String> {
    let mut router = Router::new(settings(text.contains("\npreempt\n")));
    let mut said = Vec::new();
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(millis) = words.first().and_then(|w| w.parse::<u64>().ok()) else { continue };
        let now = Micros(millis * 1_000);
        // Every deadline until now is met in time, unless the node sleeps: until then, or until something else is here.
        let is_asleep = matches!(words[1], "sleep" | "asleep");
        while let Some((deadline, _)) = router.poll_timeout().filter(|(d, _)| *d < now && !is_asleep) {
            router.handle_timeout(deadline);
            drain(&mut router, deadline, &mut said);
        }
        said.push(line.to_owned());
        let words = words[1..].strip_prefix(&["asleep"]).unwrap_or(&words[1..]);
        match input(now, words) {
            Some(input) => router.handle_input(now, input),
            None => router.handle_timeout(now),
        }
        drain(&mut router, now, &mut said);
    }
    said
}

#[test]
fn every_history_repeats_itself() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let told: Vec<&str> = text.lines().skip(1).filter(|l| !l.is_empty() && *l != "preempt").collect();
        let said = replay(&text);
        if std::env::var_os("TANDEM_REWRITE").is_some() {
            let preempt = if text.contains("\npreempt\n") { "preempt\n" } else { "" };
            let first = text.lines().next().unwrap();
            std::fs::write(&file, format!("{first}\n{preempt}{}\n", said.join("\n"))).unwrap();
        } else {
            assert_eq!(said, told, "{}", file.display());
        }
    }
}

#[test]
fn version_2_reckons_its_skew_from_a_second() {
    let second = Centis::new(100).unwrap();
    let down = |version, priority| {
        let mut router = Router::new(Settings { version, priority, interval: second, ..settings(false) });
        router.handle_input(Micros(0), Input::Start);
        router.poll_timeout().map(|(deadline, _)| deadline.0)
    };
    assert_eq!(down(Version::V2, 100), Some(3_609_375));
    let tenth = Centis::new(10).unwrap();
    let mut router = Router::new(Settings { version: Version::V3, interval: tenth, ..settings(false) });
    router.handle_input(Micros(0), Input::Start);
    assert_eq!(router.poll_timeout().map(|(deadline, _)| deadline.0), Some(360_937));
}
