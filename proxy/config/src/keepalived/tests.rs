use proxy_lang::{Level, Sources};

use super::*;

/// Statements of lines, with braces at the ends of lines or of their own.
fn statements(text: &str) -> Vec<Statement> {
    let mut levels: Vec<Vec<Statement>> = vec![Vec::new()];
    let spaced = text.replace('{', "{\n").replace('}', "\n}\n");
    for (number, line) in (1..).zip(spaced.lines()) {
        let span = Span { line: number, end: 1, ..Span::default() };
        let word = |text: &str| Word { text: text.to_owned(), span, quoted: false };
        let words: Vec<Word> =
            line.split_whitespace().filter(|w| !matches!(*w, "{" | "}")).map(word).collect();
        if !words.is_empty() {
            levels.last_mut().unwrap().push(Statement { words, block: None });
        }
        if line.contains('{') {
            levels.push(Vec::new());
        }
        if line.contains('}') {
            let block = levels.pop();
            levels.last_mut().unwrap().last_mut().unwrap().block = block;
        }
    }
    levels.pop().unwrap()
}

/// The sections that a text means, and what is said of it.
fn ask(text: &str) -> (String, Vec<String>) {
    let mut diagnostics = Diagnostics::default();
    let blocks = services(&statements(text), &mut diagnostics);
    let mut meant = String::new();
    for block in &blocks {
        for line in std::iter::once(&block.header).chain(&block.lines) {
            meant.push_str(&line.words.iter().map(Word::as_str).collect::<Vec<_>>().join(" "));
            meant.push('\n');
        }
    }
    // Whatever it is, the proxy's reader takes it.
    let mut reader = crate::Reader::new(&Sources::default(), &diagnostics);
    blocks.iter().for_each(|block| reader.section(block, &mut diagnostics));
    assert!(reader.finish(&|_| Err("no".to_owned()), &mut diagnostics).is_some(), "{meant}\n{diagnostics:?}");
    assert_eq!(diagnostics.waiting(), [], "{meant}");
    let said = diagnostics.iter().filter(|d| d.level >= Level::Warning).map(|d| d.message.clone());
    (meant, said.filter(|said| !said.starts_with("virtual servers are served by a proxy")).collect())
}

const REAL: &str = "real_server 198.51.100.1 81 {\n}\n";

fn lines(inner: &str) -> (String, Vec<String>) {
    ask(&format!("virtual_server 192.0.2.100 80 {{\nprotocol TCP\n{inner}\n}}\n"))
}

#[test]
fn a_virtual_server_is_a_listen_section() {
    let (meant, said) = ask(
        "virtual_server 192.0.2.100 80 {\n delay_loop 6\n lb_algo wrr\n lb_kind DR\n protocol TCP\n \
         persistence_timeout 50\n virtualhost example.org\n sorry_server 198.51.100.9\n \
         real_server 198.51.100.1 81 {\n weight 3\n uthreshold 100\n HTTP_GET {\n url {\n path /health\n \
         status_code 200-204 301\n }\n connect_timeout 3\n retry 2\n delay_before_retry 4\n connect_port 82\n }\n }\n \
         real_server 198.51.100.2 {\n weight 0\n }\n}\n",
    );
    assert_eq!(said, Vec::<String>::new());
    let expected = "listen 192.0.2.100:80\nbind 192.0.2.100:80\nbalance roundrobin\n\
         stick-table type ip size 100k expire 50000ms\nstick on src\ntimeout connect 3000ms\ntimeout check 3000ms\n\
         option httpchk\nhttp-check send meth GET uri /health ver HTTP/1.0 hdr Host example.org\n\
         http-check expect status 200-204,301\n\
         server 198.51.100.1:81 198.51.100.1:81 weight 3 maxconn 100 check inter 6000ms fastinter 4000ms fall 3 rise 1 port 82\n\
         server 198.51.100.2:80 198.51.100.2:80 weight 0\nserver sorry 198.51.100.9:80 backup\n";
    let (defaults, listen) = meant.split_at(meant.find("listen").unwrap());
    assert!(defaults.starts_with("defaults\nmode tcp\nmaxconn"), "{defaults}");
    assert_eq!(listen, expected);
}

#[test]
fn schedulers_are_what_is_nearest() {
    let two = "real_server 198.51.100.1 80 {\n weight 2\n}\nreal_server 198.51.100.2 80 {\n weight 600\n}\n";
    for (algorithm, balance, server, warned) in [
        ("rr", "roundrobin", "198.51.100.2:80\n", false),
        ("wrr", "roundrobin", "weight 256\n", false),
        ("lc", "leastconn", "198.51.100.2:80\n", false),
        ("nq", "leastconn", "weight 256\n", false),
        ("mh", "source", "weight 256\n", false),
        ("dh", "source", "weight 256\n", true),
        ("lblcr", "leastconn", "weight 256\n", true),
        ("fo", "roundrobin", "198.51.100.1:80 weight 1 backup\n", false),
    ] {
        let (meant, said) = lines(&format!("lb_algo {algorithm}\n{two}"));
        let weight = if algorithm == "fo" { "backup\n" } else { server };
        assert!(
            meant.contains(&format!("balance {balance}\n")) && meant.contains(weight),
            "{algorithm}: {meant}"
        );
        assert_eq!(!said.is_empty(), warned, "{algorithm}: {said:?}");
    }
    let (meant, _) = lines(&format!("lb_algo fo\n{two}"));
    let first = meant.find("server 198.51.100.2:80").unwrap();
    assert!(first < meant.find("server 198.51.100.1:80").unwrap(), "{meant}");
    assert!(lines(REAL).0.contains("balance leastconn\n"));
}

#[test]
fn checks_that_there_are_not_are_connections() {
    for (inner, check, said) in [
        ("", "", None),
        ("TCP_CHECK {\n }\n", " check inter 60000ms fastinter 1000ms fall 2 rise 1", None),
        (
            "MISC_CHECK {\n misc_path x\n }\n",
            " check inter 60000ms fastinter 1000ms fall 2 rise 1",
            Some("'MISC_CHECK' is left out: there is no check of this kind in Tandem"),
        ),
        ("SSL_GET {\n url {\n path /\n }\n }\n", " check inter 60000ms", Some("'SSL_GET' is left out")),
        ("HTTP_GET {\n }\n", " check inter 60000ms", Some("'HTTP_GET' asks for no URL")),
        (
            "HTTP_GET {\n url {\n digest x\n }\n }\n",
            " check inter 60000ms fastinter 3000ms fall 2 rise 1",
            Some("'digest' is left out"),
        ),
        (
            "HTTP_GET {\n url {\n path /a\n }\n url {\n path /b\n }\n }\n",
            " check inter 60000ms",
            Some("a check asks for one thing"),
        ),
        (
            "TCP_CHECK {\n }\n HTTP_GET {\n url {\n }\n }\n",
            " check inter",
            Some("a server has one check here"),
        ),
    ] {
        let (meant, warned) = lines(&format!("real_server 198.51.100.1 81 {{\n {inner}}}\n"));
        let server = format!("server 198.51.100.1:81 198.51.100.1:81{check}");
        assert!(meant.contains(&server), "{inner}: {meant}");
        assert_eq!(
            meant.contains("option httpchk"),
            inner.contains("HTTP_GET") && inner.contains("url"),
            "{meant}"
        );
        match said {
            Some(said) => assert!(warned.len() == 1 && warned[0].starts_with(said), "{inner}: {warned:?}"),
            None => assert_eq!(warned, Vec::<String>::new()),
        }
    }
}

#[test]
fn servers_that_are_asked_for_different_things_are_asked_for_nothing() {
    let get = |address: u8, path: &str| {
        format!("real_server 198.51.100.{address} 80 {{\n HTTP_GET {{\n url {{\n path {path}\n }}\n }}\n}}\n")
    };
    let (meant, said) = lines(&(get(1, "/a") + &get(2, "/b")));
    assert!(!meant.contains("httpchk") && meant.matches(" check inter").count() == 2, "{meant}");
    assert_eq!(said, ["servers of one virtual server are checked alike: a connection is tried of each"]);
    // One that is not checked at all is none of them.
    let (meant, said) = lines(&(get(1, "/a") + "real_server 198.51.100.2 80 {\n}\n"));
    assert!(meant.contains("httpchk") && said.is_empty(), "{meant}{said:?}");
}

#[test]
fn what_is_no_proxy_is_left_out_and_the_rest_runs() {
    let good = "virtual_server 192.0.2.200 80 {\nprotocol TCP\nreal_server 198.51.100.1 80 {\n}\n}\n";
    for (text, expected) in [
        (
            "virtual_server 192.0.2.1 53 {\n protocol UDP\n real_server 198.51.100.1 53 {\n }\n}\n",
            "virtual server 192.0.2.1:53 is left out: there is no proxy of UDP in Tandem",
        ),
        (
            "virtual_server 192.0.2.1 53 {\n real_server 198.51.100.1 53 {\n }\n}\n",
            "virtual server 192.0.2.1:53 is left out: without 'protocol' it is one of UDP",
        ),
        (
            "virtual_server fwmark 3 {\n protocol TCP\n}\n",
            "a virtual server of a firewall's mark is left out: a proxy listens to addresses",
        ),
        ("virtual_server 192.0.2.1 {\n protocol TCP\n}\n", "192.0.2.1 has no port: it is left out"),
        ("virtual_server 192.0.2.1 http {\n protocol TCP\n}\n", "'http' is no port: it is left out"),
        ("virtual_server x 80 {\n protocol TCP\n}\n", "'x' is no address: it is left out"),
        ("virtual_server {\n}\n", "'virtual_server' expects an address and a port"),
        (
            "virtual_server group none {\n protocol TCP\n}\n",
            "there is no virtual_server_group 'none': it is left out",
        ),
        (
            "virtual_server 192.0.2.1 80 {\n protocol TCP\n}\n",
            "virtual server 192.0.2.1:80 has no servers: it is left out",
        ),
        (
            "virtual_server 192.0.2.200 80 {\nprotocol TCP\nreal_server 198.51.100.1 80 {\n}\n}\n",
            "another virtual server has 192.0.2.200:80: it is left out",
        ),
        (
            "virtual_server 192.0.2.1 80 {\n protocol TCP\n real_server x 80 {\n }\n sorry_server 192.0.2.2 80\n}\n",
            "'x' is no address: it is left out",
        ),
    ] {
        let (meant, said) = ask(&format!("{good}{text}"));
        assert_eq!(said, [expected], "{text}");
        assert!(meant.contains("listen 192.0.2.200:80\n"), "{text}");
    }
    assert_eq!(ask("virtual_server 192.0.2.1 53 {\n protocol UDP\n}\n").0, "");
}

#[test]
fn a_group_is_every_address_of_it() {
    let (meant, said) = ask(
        "virtual_server group web! {\n protocol TCP\n real_server 198.51.100.1 {\n }\n}\n\
         virtual_server_group web! {\n 192.0.2.1 80\n 192.0.2.254-192.0.3.1 81\n 192.0.2.8/30 82\n 2001:db8::9-a 80\n \
         192.0.2.9-8 80\n 10.0.0.0/8 80\n fwmark 3\n}\n",
    );
    let binds: Vec<&str> = meant.lines().filter_map(|line| line.strip_prefix("bind ")).collect();
    assert_eq!(
        binds,
        [
            "192.0.2.1:80",
            "192.0.2.254:81",
            "192.0.2.255:81",
            "192.0.3.0:81",
            "192.0.3.1:81",
            "192.0.2.8:82",
            "192.0.2.9:82",
            "192.0.2.10:82",
            "192.0.2.11:82",
            "[2001:db8::9]:80",
            "[2001:db8::a]:80"
        ]
    );
    assert!(meant.contains("listen web_\n") && meant.contains("server 198.51.100.1:80 "), "{meant}");
    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn every_row_has_an_example_that_is_read() {
    const MEANT: &[&str] = &["is left out", "nb_get_retry", "'quorum"];
    for row in TABLE.iter().filter(|row| !row.spec.names.contains(&"SSL")) {
        let example = row.spec.example;
        let inside = |sections: Sections, before: &str, after: &str| {
            row.sections.meets(sections).then(|| format!("{before}{example}\n{after}"))
        };
        let texts = [
            inside(Sections::KEEPALIVED, "", ""),
            inside(Sections::VIRTUAL_SERVER, "", REAL),
            inside(Sections::REAL_SERVER, "real_server 198.51.100.1 80 {\n", "}\n"),
            inside(Sections::TCP_CHECK, "real_server 198.51.100.1 80 {\n TCP_CHECK {\n", "}\n}\n"),
            inside(
                Sections::HTTP_GET,
                "real_server 198.51.100.1 80 {\n HTTP_GET {\n",
                "url {\n path /\n }\n}\n}\n",
            ),
            inside(Sections::URL, "real_server 198.51.100.1 80 {\n HTTP_GET {\n url {\n", "}\n}\n}\n"),
        ];
        for text in texts.into_iter().flatten() {
            let (_, said) = if row.sections == Sections::KEEPALIVED { ask(&text) } else { lines(&text) };
            let said: Vec<String> =
                said.into_iter().filter(|said| !MEANT.iter().any(|meant| said.contains(meant))).collect();
            assert_eq!(said, Vec::<String>::new(), "{text}");
        }
    }
    let names: Vec<&str> = TABLE.iter().flat_map(|row| row.spec.names).copied().collect();
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "a name is one row");
}
