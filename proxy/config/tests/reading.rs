//! Whole files in, configurations or mistakes out.

use proxy_config::model::{BackendChoice, Config, Mode};
use proxy_lang::{Diagnostics, Sources, Surroundings, blocks, lex, read_text};

fn read(text: &str) -> (Option<Config>, Vec<String>) {
    let mut sources = Sources::default();
    let file = sources.add("t.cfg", text);
    let mut diagnostics = Diagnostics::default();
    let lines = lex(&sources, file, &|_| None, &mut diagnostics);
    let openers: Vec<&str> = proxy_config::SECTIONS.iter().map(|s| s.name).collect();
    let blocks = blocks(lines, &openers, &mut diagnostics);
    let files = |path: &str| match path {
        "black.lst" => Ok("# nobody\n198.51.100.0/24\n".to_owned()),
        other => Err(format!("{other} is not there")),
    };
    let config = proxy_config::read(&sources, &blocks, &files, &mut diagnostics);
    let said = diagnostics.iter().map(|d| format!("{}: {}", d.span.line, d.message)).collect();
    (config, said)
}

const FILE: &str = "\
global
    maxconn 2000
    stats socket /run/s.sock mode 600 level admin
    log 127.0.0.1 local0 notice
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5000
    option httplog
    log global
    retries 2
frontend web
    bind :80,:81
    stick-table type ip size 100k expire 30s store conn_rate(3s)
    acl blog path_beg /blog
    acl bad src -f black.lst
    http-request track-sc0 src
    http-request deny if bad or { sc0_conn_rate gt 100 }
    use_backend blog if blog
    default_backend app
backend app
    balance leastconn
    cookie SRV insert indirect nocache
    default-server inter 500ms fall 2
    server s1 192.0.2.21:8000 cookie s1 check
    server s2 192.0.2.22:8000 cookie s2 check weight 10
backend blog
    stick-table type ip size 10k expire 10m
    stick on src
    server s1 192.0.2.21:8000
listen sql
    mode tcp
    bind 127.0.0.1:3306
    server db 192.0.2.30:3306 backup
";

#[test]
fn a_file_as_people_write_it_is_understood() {
    let (config, said) = read(FILE);
    assert_eq!(said, ["32: 'option httplog' is ignored in 'sql', which is in mode tcp"]);
    let config = config.unwrap();
    assert_eq!(config.binds.len(), 3);
    let web = &config.frontends[0];
    assert!(
        matches!(web.use_backend[0].backend, BackendChoice::Id(id) if config.backends[id.0 as usize].name == "blog")
    );
    assert_eq!(web.default_backend.map(|id| config.backends[id.0 as usize].name.as_str()), Some("app"));
    let app = &config.backends[0];
    assert_eq!((app.balance.algorithm.name(), app.retries, app.servers.len()), ("leastconn", 2, 2));
    assert_eq!(
        app.servers[1].check.as_ref().map(|c| (c.inter.as_millis(), c.fall, c.rise)),
        Some((500, 2, 2))
    );
    let sql = &config.frontends[1];
    assert_eq!((sql.mode, sql.default_backend.map(|id| id.0)), (Mode::Tcp, Some(2)));
    let names: Vec<_> = config.tables.iter().map(|t| (t.name.as_str(), t.columns.len())).collect();
    assert_eq!(names, [("web", 1), ("blog", 2)], "a sticky table stores the server, by id and by name");
}

#[test]
fn every_mistake_is_a_message() {
    let (config, said) = read(
        "global\n    maxcon 5\ndefaults\n    mode htpp\n    timeout client\n    timeout server 5x\nfrontend a\n    bind 1.2.3:80\n    \
         timeout client 1s\n    use_backend none\n    acl x path_bag /\n    http-request dney\n    server s1 1.2.3.4:80\nbackend b\n    \
         timeout server 1s\n    timeout connect 1s\n    balance robin\n",
    );
    assert!(config.is_none());
    let lines: Vec<u32> = said.iter().map(|s| s.split(':').next().unwrap().parse().unwrap()).collect();
    assert_eq!(lines, [2, 4, 5, 6, 8, 10, 11, 12, 12, 13, 17], "{said:#?}");
}

#[test]
fn every_example_parses_where_its_row_may_stand_and_nowhere_else() {
    let sections = [("defaults", "d"), ("frontend", "f"), ("backend", "b"), ("listen", "l")];
    for row in proxy_config::keywords::PROXY.iter().flat_map(|t| t.iter()) {
        if let proxy_lang::Status::Absent(_) = row.spec.status {
            continue;
        }
        for (kind, name) in sections {
            let (_, said) = read(&format!("{kind} {name}\n    {}\n", row.spec.example));
            let refused = said.iter().any(|s| {
                s.contains("is not allowed in") || s.contains("unknown keyword") || s.contains(" capability")
            });
            let allowed = row.sections.names().any(|s| s == kind);
            assert_eq!(refused, !allowed, "{} in {kind}: {said:?}", row.spec.example);
        }
    }
}

/// The example of every other row, put where it may stand.
#[test]
fn every_example_of_the_other_rows_parses() {
    use proxy_config::keywords::{BIND_OPTIONS, GLOBAL, NAMED, SERVER_OPTIONS};
    let mut places: Vec<(&proxy_lang::Spec, String)> = Vec::new();
    let mut put = |spec: &'static proxy_lang::Spec, before: &str| places.push((spec, before.to_owned()));
    GLOBAL.iter().flat_map(|t| t.iter()).for_each(|row| put(&row.spec, "global\n    "));
    for row in NAMED.iter().flat_map(|t| t.iter()) {
        row.sections.names().for_each(|section| put(&row.spec, &format!("{section} x\n    ")));
    }
    let bind = "frontend f\n    timeout client 1s\n    bind :80 ";
    BIND_OPTIONS.iter().flat_map(|t| t.iter()).for_each(|row| put(&row.spec, bind));
    let server = "backend b\n    server s 192.0.2.1:80 ";
    SERVER_OPTIONS.iter().flat_map(|t| t.iter()).for_each(|row| put(&row.spec, server));
    for (spec, before) in places {
        if let proxy_lang::Status::Absent(_) = spec.status {
            for name in spec.names {
                let (config, said) = read(&format!("{before}{name}\n"));
                assert!(
                    config.is_none() && said.iter().any(|s| s.contains("known to HAProxy but not supported")),
                    "{name}: {said:?}"
                );
            }
            continue;
        }
        let (config, said) = read(&format!("{before}{}\n", spec.example));
        // Certificates and the like are somewhere else.
        let elsewhere = said.iter().any(|s| s.contains("is not there") || s.contains("cannot read"));
        assert!(config.is_some() || elsewhere, "{}: {said:?}", spec.example);
    }
}

#[test]
fn named_defaults_are_inherited_by_name() {
    let (config, said) = read(
        "defaults a\n    mode http\n    timeout client 1s\ndefaults b from a\n    timeout client 2s\nfrontend x from a\n    bind :1\nfrontend y from b\n    bind :2\n",
    );
    assert_eq!(said, Vec::<String>::new());
    let seconds: Vec<_> =
        config.unwrap().frontends.iter().map(|f| f.timeouts.client.unwrap().as_secs()).collect();
    assert_eq!(seconds, [1, 2]);
}

/// Each of these once took more time, or more memory, than its size; the whole test takes a second.
#[test]
fn monstrous_files_are_read_or_refused_in_time() {
    let long = format!("global\n    {}\n", "x".repeat(10_000_000));
    let nuls = "\0".repeat(1_000_000);
    let noise = "nonsense\n".repeat(100_000);
    for text in [long, nuls, noise] {
        assert!(!read(&text).1.is_empty(), "{}", &text[..20]);
    }
    let many: String =
        (0..20_000).map(|n| format!("backend b{n}\n    stick-table type ip size 1k\n")).collect();
    assert_eq!(read(&many).0.map(|config| config.tables.len()), Some(20_000));
    let same =
        format!("frontend f\n    bind :1\n    http-request deny if {}\n", "{ src 1.1.1.1 } ".repeat(1_000));
    assert!(read(&same).0.is_some());
}

struct Nowhere;

impl Surroundings for Nowhere {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "HOME").then(|| "/ root $HOME".to_owned())
    }
    fn feature(&self, _: &str) -> bool {
        true
    }
    fn version(&self) -> [u32; 3] {
        [2, 6, 0]
    }
}

/// Thousands of texts that are nearly files: each is read or refused, none is the end.
#[test]
fn no_text_ends_the_reader() {
    const PIECES: &[&str] = &[
        "\"",
        "'",
        "\\",
        "$",
        "${",
        "}",
        "${HOME[*]}",
        "\"${.LINE}\"",
        "{",
        "(",
        ")",
        "%[",
        "%",
        ",",
        "#",
        " ",
        "\n",
        "!",
        "é",
        ".if ",
        ".elif ",
        ".else\n",
        ".endif\n",
        "if ",
        "unless ",
        " or ",
        "-m reg ",
        "src,lower(",
        "0",
        "99999999999999999999",
        "no ",
        "default_backend ",
        "stick-table ",
        "type string len ",
        "server s ",
        "bind ",
        "log-format ",
        "acl ",
        "\t",
        "backend ",
        "resolvers ",
        "userlist ",
        "from ",
        "global\n",
        "\0",
        "option httpchk ",
        "http-request return ",
        "cookie ",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % bound
    };
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..1_500 {
        let mut letters: Vec<char> = FILE.chars().collect();
        for _ in 0..random(12) {
            let place = random(letters.len());
            match random(3) {
                0 => drop(letters.splice(place..place, PIECES[random(PIECES.len())].chars())),
                1 => drop(letters.drain(place..(place + random(30)).min(letters.len()))),
                _ => {
                    let from = random(letters.len());
                    let part: Vec<char> = letters[from..(from + random(40)).min(letters.len())].to_vec();
                    drop(letters.splice(place..place, part));
                }
            }
        }
        let mut sources = Sources::default();
        let file = sources.add("t.cfg", letters.into_iter().collect::<String>());
        let mut diagnostics = Diagnostics::default();
        let openers: Vec<&str> = proxy_config::openers().collect();
        let mut blocks = Vec::new();
        read_text(&sources, &Nowhere, &openers, &mut diagnostics, &mut |block, _| blocks.push(block));
        let _ = proxy_config::read(&sources, &blocks, &|_| Ok("1.2.3.4\n".to_owned()), &mut diagnostics);
        diagnostics.refuse_later();
        let texts = proxy_lang::render(&sources, &diagnostics.iter().collect::<Vec<_>>(), 1, false);
        assert_eq!(diagnostics.errors() > 0, texts.contains("[ALERT]"), "{:?}", sources.source(file));
        if diagnostics.errors() == 0 { taken += 1 } else { refused += 1 }
    }
    assert!(taken > 50 && refused > 500, "{taken} {refused}");
}

#[test]
fn relative_names_are_looked_for_where_the_file_says() {
    let ask = |policy: &str| {
        let mut sources = Sources::default();
        let proxy = |name: &str| {
            format!(
                "frontend {name}\n bind :80\n errorfile 503 e\n acl a src -f b\n bind :81 ssl crt /c crt d\n"
            )
        };
        sources.add("etc/one.cfg", format!("{}global\n {policy}\n{}", proxy("before"), proxy("one")));
        sources.add("two.cfg", proxy("two"));
        let mut diagnostics = Diagnostics::default();
        let openers: Vec<&str> = proxy_config::openers().collect();
        let mut blocks = Vec::new();
        read_text(&sources, &Nowhere, &openers, &mut diagnostics, &mut |block, _| blocks.push(block));
        let asked = std::cell::RefCell::new(Vec::new());
        let files = |path: &str| {
            asked.borrow_mut().push(path.to_owned());
            Ok(String::new())
        };
        let config = proxy_config::read(&sources, &blocks, &files, &mut diagnostics).unwrap();
        let mut asked = asked.into_inner();
        let tls = config.binds.into_iter().filter_map(|bind| bind.tls);
        asked.extend(tls.flat_map(|tls| tls.certificates).map(|(name, _)| name));
        asked.join(" ")
    };
    let usual = "b e b e b e /c d /c d /c d";
    assert_eq!(ask("default-path current"), usual);
    assert_eq!(ask("default-path config"), "b e etc/b etc/e b e /c d /c etc/d /c d");
    assert_eq!(ask("default-path parent"), "b e etc/../b etc/../e ../b ../e /c d /c etc/../d /c ../d");
    assert_eq!(ask("default-path origin /o"), "b e /o/b /o/e /o/b /o/e /c d /c /o/d /c /o/d");
    assert_eq!(ask("default-path origin /o\n default-path current"), usual);
}
