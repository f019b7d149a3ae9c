//! The `cluster` section: its rows, and its lines to a [`Cluster`].

use std::net::IpAddr;

use proxy_lang::{Arg, Args, Block, Diagnostics, Keyword, Section, Sections, Spec, Status, Word, read_line};

use crate::{Cluster, DEFAULT_PORT, Member};

/// The section this room reads.
pub const SECTION: Section = Section { name: "cluster", bit: Sections::CLUSTER };
/// Most members: what a full mesh of sessions carries without thinking about it.
const MAX_MEMBERS: usize = 16;

/// What the lines of the section ask for.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    members: Vec<(Word, IpAddr)>,
    port: Option<u16>,
    certificate: Option<String>,
    authority: Option<String>,
}

/// The rows of the section.
pub const TABLE: &[Keyword<Draft>] = &[
    Keyword {
        spec: Spec::full(
            &["ca-file"],
            &[Arg::Word("file")],
            "The cluster's certificate authority, as `tandem cluster init` writes it. 'crt' may name it too; one of the two must.",
            "ca-file /etc/tandem/cluster-ca.pem",
        ),
        sections: Sections::CLUSTER,
        negatable: false,
        apply: |d, a, _| d.authority = Some(a.text(0)),
    },
    Keyword {
        spec: Spec::full(
            &["crt"],
            &[Arg::Word("file"), Arg::Rest("ca-file <file>")],
            "This node's certificate and key for the other members, in one PEM file.",
            "crt /etc/tandem/cluster.pem ca-file /etc/tandem/cluster-ca.pem",
        ),
        sections: Sections::CLUSTER,
        negatable: false,
        apply: certificate,
    },
    Keyword {
        spec: Spec::full(
            &["member"],
            &[Arg::Word("name"), Arg::Word("address")],
            "A machine of the cluster: the name it goes by and its own address. 16 at most.",
            "member lb1 192.0.2.11",
        ),
        sections: Sections::CLUSTER,
        negatable: false,
        apply: member,
    },
    Keyword {
        spec: Spec::full(
            &["port"],
            &[Arg::Int("port", 1, 65_534)],
            "Port on which members tell each other tables and health; the next one is for heartbeat and orders. 7400 where nothing is said.",
            "port 7400",
        ),
        sections: Sections::CLUSTER,
        negatable: false,
        apply: |d, a, _| d.port = u16::try_from(a.int(0)).ok(),
    },
    Keyword {
        spec: Spec {
            names: &["witness"],
            args: &[Arg::Word("name"), Arg::Word("address")],
            status: Status::Later,
            doc: "A third machine with a vote and no traffic.",
            example: "witness w1 192.0.2.13",
        },
        sections: Sections::CLUSTER,
        negatable: false,
        apply: |_, _, _| {},
    },
];

fn certificate(draft: &mut Draft, args: &Args, diagnostics: &mut Diagnostics) {
    draft.certificate = Some(args.text(0));
    match args.words(1) {
        [] => {}
        [keyword, file] if keyword.text == "ca-file" => draft.authority = Some(file.text.clone()),
        [first, ..] => {
            diagnostics
                .error(first.span, format!("'crt' : unexpected '{}'", first.text))
                .help("syntax: crt <file> [ca-file <file>]");
        }
    }
}

fn member(draft: &mut Draft, args: &Args, diagnostics: &mut Diagnostics) {
    let (name, address) = (args.word(0), args.word(1));
    match address.text.parse::<IpAddr>() {
        Ok(address) => draft.members.push((name.clone(), address)),
        Err(_) => {
            diagnostics
                .error(address.span, format!("'{}' is not an address", address.text))
                .help("the machine's own IPv4 or IPv6 address is expected, without a port");
        }
    }
}

/// Reads the section, if there is one; `None` where there is none or anything is wrong.
pub fn read(blocks: &[Block], diagnostics: &mut Diagnostics) -> Option<Cluster> {
    let mut sections = blocks.iter().filter(|b| b.kind() == SECTION.name);
    let block = sections.next()?;
    for extra in sections {
        diagnostics.error(extra.header.span(), "a configuration has one 'cluster' section");
    }
    let errors = diagnostics.errors();
    let span = block.header.span();
    let mut draft = Draft::default();
    for line in &block.lines {
        read_line(&[TABLE], SECTION, line, &mut draft, diagnostics);
    }
    if block.name().is_none() {
        diagnostics.error(span, "'cluster' expects a name");
    }
    if let Some(extra) = block.header.words.get(2) {
        diagnostics.error(extra.span, format!("unexpected '{}' after the section's name", extra.text));
    }
    check_members(&draft, span, diagnostics);
    for (what, value) in [("crt", &draft.certificate), ("ca-file", &draft.authority)] {
        if value.is_none() {
            diagnostics
                .error(span, format!("the cluster has no '{what}'"))
                .help("members speak mutual TLS only; `tandem cluster init` makes the certificates");
        }
    }
    (diagnostics.errors() == errors).then(|| Cluster {
        name: block.name().map(|n| n.text.clone()).unwrap_or_default(),
        members: draft.members.into_iter().map(|(n, address)| Member { name: n.text, address }).collect(),
        port: draft.port.unwrap_or(DEFAULT_PORT),
        certificate: draft.certificate.unwrap_or_default(),
        authority: draft.authority.unwrap_or_default(),
    })
}

fn check_members(draft: &Draft, span: proxy_lang::Span, diagnostics: &mut Diagnostics) {
    if draft.members.is_empty() {
        diagnostics.error(span, "the cluster has no 'member'").help("a pair has two: member lb1 192.0.2.11");
    }
    if draft.members.len() > MAX_MEMBERS {
        diagnostics.error(span, format!("a cluster has at most {MAX_MEMBERS} members"));
    }
    for (i, (name, address)) in draft.members.iter().enumerate() {
        if !name.text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            diagnostics
                .error(name.span, format!("'{}' cannot be a member's name", name.text))
                .help("letters, digits, '-', '_' and '.' are allowed, as in a host name");
        }
        for (other, at) in &draft.members[..i] {
            if other.text == name.text {
                diagnostics.error(
                    name.span,
                    format!("member '{}' stands in line {} already", name.text, other.span.line),
                );
            }
            if at == address {
                diagnostics.error(
                    name.span,
                    format!("members '{}' and '{}' have one address", other.text, name.text),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_lang::{Sources, blocks, lex};

    fn ask(text: &str) -> (Option<Cluster>, Vec<String>) {
        let mut sources = Sources::default();
        let file = sources.add("t", text);
        let mut diagnostics = Diagnostics::default();
        let lines = lex(&sources, file, &|_| None, &mut diagnostics);
        let blocks = blocks(lines, &[SECTION.name], &mut diagnostics);
        let cluster = read(&blocks, &mut diagnostics);
        diagnostics.refuse_later();
        (cluster, diagnostics.iter().map(|d| d.message.clone()).collect())
    }

    #[test]
    fn every_row_has_an_example_that_is_read() {
        for row in TABLE.iter().filter(|row| row.spec.status == Status::Full) {
            let text = format!("cluster c\nmember a 192.0.2.1\ncrt x ca-file y\n{}\n", row.spec.example);
            assert_eq!(ask(&text).1, Vec::<String>::new(), "{}", row.spec.example);
        }
    }

    #[test]
    fn a_pair_is_read() {
        let (cluster, said) = ask(
            "cluster prod\n member lb1 192.0.2.11\n member lb2 192.0.2.12\n port 7500\n crt a.pem ca-file ca.pem\n",
        );
        assert_eq!(said, Vec::<String>::new());
        let cluster = cluster.unwrap();
        assert_eq!(
            (cluster.port, cluster.certificate.as_str(), cluster.authority.as_str()),
            (7_500, "a.pem", "ca.pem")
        );
        let others: Vec<_> = cluster.others("lb1").map(|m| cluster.socket_of(m).to_string()).collect();
        assert_eq!(others, ["192.0.2.12:7500"]);
    }

    #[test]
    fn mistakes_are_said_all_at_once() {
        let (cluster, said) = ask(
            "cluster\n member lb1 nowhere\n member a! 192.0.2.1\n member b 192.0.2.1\n member b 192.0.2.2\n witness w 192.0.2.3\n",
        );
        assert_eq!(cluster, None);
        for expected in [
            "'cluster' expects a name",
            "'nowhere' is not an address",
            "'a!' cannot be a member's name",
            "members 'a!' and 'b' have one address",
            "member 'b' stands in line 4 already",
            "'witness' is known but not built yet",
            "the cluster has no 'crt'",
            "the cluster has no 'ca-file'",
        ] {
            assert!(said.iter().any(|s| s == expected), "{expected}: {said:?}");
        }
    }
}
