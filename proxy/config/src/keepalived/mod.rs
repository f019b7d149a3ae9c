//! keepalived's `virtual_server`, as a proxy: blocks of its language become sections of ours, word by word with the
//! places where they stand in the keepalived.conf, so that whatever is said of them later points there.

mod group;
mod keywords;
mod service;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use proxy_lang::{Block, Diagnostics, Line, Section, Sections, Span, Statement, Word, read_line};

pub use keywords::{Settings, TABLE};

/// First words of the blocks that are read here.
pub const BLOCKS: &[&str] = &["SSL", "virtual_server", "virtual_server_group"];

/// Most addresses of all services.
const MAX_ADDRESSES: usize = 4_096;

const OUTERMOST: Section = Section { name: "keepalived.conf", bit: Sections::KEEPALIVED };
const VIRTUAL_SERVER: Section = Section { name: "virtual_server", bit: Sections::VIRTUAL_SERVER };
const REAL_SERVER: Section = Section { name: "real_server", bit: Sections::REAL_SERVER };
const TCP_CHECK: Section = Section { name: "TCP_CHECK", bit: Sections::TCP_CHECK };
const HTTP_GET: Section = Section { name: "HTTP_GET", bit: Sections::HTTP_GET };
const URL: Section = Section { name: "url", bit: Sections::URL };

/// What is true of every service: IPVS counts no connections, and forgets what is silent for so long.
const USUAL: &[&[&str]] = &[
    &["mode", "tcp"],
    &["maxconn", "100000"],
    &["timeout", "connect", "5s"],
    &["timeout", "client", "15m"],
    &["timeout", "server", "15m"],
    &["option", "redispatch"],
];

/// The sections that these blocks mean. What cannot be a proxy is left out with a warning, as keepalived leaves
/// out what it cannot use.
pub fn services(statements: &[Statement], diagnostics: &mut Diagnostics) -> Vec<Block> {
    diagnostics.tolerantly(|diagnostics| {
        let groups = group::read(statements, diagnostics);
        let mut taken = BTreeSet::new();
        let mut blocks = Vec::new();
        for statement in statements {
            match statement.kind() {
                "virtual_server" => {
                    let block = service::read(statement, &groups, &mut taken, diagnostics);
                    if let Some(block) = block {
                        blocks.push(block);
                    }
                }
                "virtual_server_group" => {}
                _ => line(statement, OUTERMOST, &mut Settings::default(), diagnostics),
            }
        }
        let Some(first) = blocks.first().map(|block: &Block| block.header.span()) else { return Vec::new() };
        diagnostics
            .warning(
                first,
                "virtual servers are served by a proxy: servers see this node's address, not their clients'",
            )
            .help("there is no IPVS in Tandem; 'tandem check --explain' shows the sections that they become");
        // Whatever a haproxy.cfg's defaults say, they do not say it of these.
        let lines = USUAL.iter().map(|words| made(first, words)).collect();
        blocks.insert(0, Block { header: made(first, &["defaults"]), lines });
        blocks
    })
}

/// The addresses that services have so far.
type Taken = BTreeSet<SocketAddr>;

/// A line that stands in no file, for what stands at this place.
fn made(span: Span, words: &[&str]) -> Line {
    let word = |text: &&str| Word { text: (*text).to_owned(), span, quoted: false };
    Line { words: words.iter().map(word).collect() }
}

/// Reads the words of a statement into the draft of its level.
fn line(statement: &Statement, section: Section, draft: &mut Settings, diagnostics: &mut Diagnostics) {
    let line = Line { words: statement.words.clone() };
    read_line(&[TABLE], section, &line, draft, diagnostics);
}

/// Reads an address and a port; without a port, or with that of everything, `usual` is it.
fn address(
    host: &Word,
    port: Option<&Word>,
    usual: Option<u16>,
    diagnostics: &mut Diagnostics,
) -> Option<SocketAddr> {
    let Ok(ip) = host.text.parse() else {
        diagnostics.error(host.span, format!("'{}' is no address: it is left out", host.text));
        return None;
    };
    let port = match port.map(|word| (word, word.text.parse::<u16>())) {
        Some((word, Err(_))) => {
            diagnostics.error(word.span, format!("'{}' is no port: it is left out", word.text));
            return None;
        }
        Some((_, Ok(port))) if port > 0 => Some(port),
        Some(_) | None => usual,
    };
    if port.is_none() {
        diagnostics
            .error(host.span, format!("{} has no port: it is left out", host.text))
            .help("a proxy listens to ports, not to all of an address");
    }
    Some(SocketAddr::new(ip, port?))
}

#[cfg(test)]
mod tests;
