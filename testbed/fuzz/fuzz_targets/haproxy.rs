//! Any text as a configuration in HAProxy's language: it is read in bounded time, every place that is reported can be
//! shown, and what is good means the same when it is written out and read again.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use proxy_config::model::Config;
use proxy_config::{Explained, explain, migrate, openers, placeless};
use proxy_lang::{Block, Diagnostics, Sources, Surroundings, read_text, render};

struct Here;
impl Surroundings for Here {
    fn variable(&self, name: &str) -> Option<String> {
        // One that is set, a list, and one that names itself.
        match name {
            "HOME" => Some("/root".to_owned()),
            "LIST" => Some("a b  c".to_owned()),
            "SELF" => Some("$SELF ${SELF} \"".to_owned()),
            _ => None,
        }
    }
    fn feature(&self, name: &str) -> bool {
        name == "OPENSSL"
    }
    fn version(&self) -> [u32; 3] {
        [2, 6, 0]
    }
}

fn read(text: &str) -> Option<(Config, Vec<Explained>)> {
    let mut sources = Sources::default();
    sources.add("fuzz.cfg", text);
    let mut diagnostics = Diagnostics::default();
    let openers: Vec<&str> = openers().chain(["cluster", "virtual-router"]).collect();
    let mut blocks: Vec<Block> = Vec::new();
    read_text(&sources, &Here, &openers, &mut diagnostics, &mut |block, _| blocks.push(block));
    let files =
        |path: &str| if path.len() % 2 == 0 { Ok("a\nb 1\n".to_owned()) } else { Err("no".to_owned()) };
    let config = proxy_config::read(&sources, &blocks, &files, &mut diagnostics);
    replication_control::read(&blocks, &mut diagnostics);
    failover_vrrp::keywords::read(&blocks, &mut diagnostics);
    for diagnostic in diagnostics.iter().take(3) {
        let _ = render(&sources, &[diagnostic], 1, false);
    }
    config.map(|config| {
        let explained = explain(&sources, &blocks, &config);
        (config, explained)
    })
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    let _ = migrate(text);
    let Some((config, explained)) = read(text) else { return Corpus::Keep };
    let mut written = String::new();
    for section in &explained {
        let name = section.name.as_deref().map(proxy_lang::quoted).unwrap_or_default();
        written.push_str(&format!("{} {name}\n", section.kind));
        section.lines.iter().for_each(|line| written.push_str(&format!("    {}\n", line.text)));
    }
    let Some((again, _)) = read(&written) else { panic!("not read again:\n{written}") };
    let (one, two) = (placeless(&format!("{config:?}")), placeless(&format!("{again:?}")));
    assert!(one == two, "means something else:\n{written}\n{one}\n{two}");
    Corpus::Keep
});
