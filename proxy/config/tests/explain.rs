//! What a file means, written out and read again, is the same configuration.

use proxy_config::model::Config;
use proxy_config::{Explained, explain, placeless};
use proxy_lang::{Diagnostics, Sources, Surroundings, read_text};

struct Here;
impl Surroundings for Here {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "HOST").then(|| "lb1 with 'quotes' and $".to_owned())
    }
    fn feature(&self, _: &str) -> bool {
        false
    }
    fn version(&self) -> [u32; 3] {
        [2, 6, 0]
    }
}

/// The configuration, and what it is explained as; or the mistakes.
fn read(text: &str) -> Result<(Config, Vec<Explained>), Vec<String>> {
    let mut sources = Sources::default();
    sources.add("t.cfg", text);
    let mut diagnostics = Diagnostics::default();
    let openers: Vec<&str> = proxy_config::openers().chain(["cluster", "virtual-router"]).collect();
    let mut blocks = Vec::new();
    read_text(&sources, &Here, &openers, &mut diagnostics, &mut |block, _| blocks.push(block));
    match proxy_config::read(&sources, &blocks, &|_| Ok(String::new()), &mut diagnostics) {
        Some(config) => {
            let explained = explain(&sources, &blocks, &config);
            Ok((config, explained))
        }
        None => Err(diagnostics.iter().map(|d| format!("{}: {}", d.span.line, d.message)).collect()),
    }
}

fn write(sections: &[Explained]) -> String {
    let mut text = String::new();
    for section in sections {
        text.push_str(&format!("{} {}\n", section.kind, section.name.clone().unwrap_or_default()));
        for line in &section.lines {
            text.push_str(&format!("    {}\n", line.text));
        }
    }
    text
}

fn check(name: &str, text: &str) {
    let Ok((config, explained)) = read(text) else { return };
    let written = write(&explained);
    let again = read(&written);
    let (second, explained_again) =
        again.unwrap_or_else(|said| panic!("{name}: not read again: {said:?}\n{written}"));
    let (one, two) = (placeless(&format!("{config:?}")), placeless(&format!("{second:?}")));
    if one != two {
        let differs = one.split(", ").zip(two.split(", ")).enumerate().find(|(_, (a, b))| a != b);
        panic!("{name}: means something else: {differs:?}\n{written}");
    }
    assert_eq!(write(&explained_again), written, "{name}");
}

/// Whole files of this project.
const FILES: &[(&str, &str)] = &[
    ("pair.cfg", include_str!("../../../docs/examples/pair.cfg")),
    ("single.cfg", include_str!("../../../docs/examples/single.cfg")),
    ("good_limits.cfg", include_str!("../../../node/tests/files/good_limits.cfg")),
    ("good_tcp.cfg", include_str!("../../../node/tests/files/good_tcp.cfg")),
    ("good_web.cfg", include_str!("../../../node/tests/files/good_web.cfg")),
];

#[test]
fn what_is_explained_is_the_same_configuration() {
    for (name, text) in FILES {
        read(text).unwrap_or_else(|said| panic!("{name}: {said:?}"));
        check(name, text);
    }
}

#[test]
fn defaults_stand_where_they_act_and_what_is_superseded_is_gone() {
    let text = "\
defaults base
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
    log 127.0.0.1 local0
    balance source
defaults from base
    timeout client 20s
    option httplog
    errorfile 503 /e
frontend web
    bind :80
    log global
    timeout client 30s
    http-request set-header X \"a 'b' ${HOST} # c\" if { path '}' }
    default_backend app
backend app
    balance leastconn
    default-server check
    server s1 192.0.2.1:80
    server s2 192.0.2.2:80
";
    check("defaults", text);
    let (_, explained) = read(text).unwrap();
    assert_eq!(
        write(&explained),
        "\
frontend web
    timeout tarpit 5000ms
    mode http
    log 127.0.0.1 local0
    option httplog
    errorfile 503 /e
    bind :80
    log global
    timeout client 30s
    http-request set-header X \"a 'b' lb1 with 'quotes' and \\$ # c\" if { path '}' }
    default_backend app
backend app
    retries 3
    fullconn 200
    mode http
    timeout server 10s
    timeout connect 5s
    log 127.0.0.1 local0
    errorfile 503 /e
    balance leastconn
    default-server check
    server s1 192.0.2.1:80
    server s2 192.0.2.2:80
"
    );
    let ids = |section: &Explained| section.lines.iter().filter_map(|line| line.id).collect::<Vec<_>>();
    assert_eq!((explained[0].id, explained[1].id), (Some(2), Some(3)));
    assert_eq!((ids(&explained[0]), ids(&explained[1])), (vec![3], vec![1, 2]));
}
