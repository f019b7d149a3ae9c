//! Any text as a configuration in keepalived's language, which includes itself and others.
#![no_main]

use failover_vrrp::keepalived::{Reading, Surroundings, read};
use libfuzzer_sys::{Corpus, fuzz_target};
use proxy_lang::{Diagnostics, Sources, blocks, lex, render};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let include = |name: &str, pattern: &str| match pattern {
        "self" => Ok(vec![(name.to_owned(), text.to_owned())]),
        "other" => Ok(vec![("other".to_owned(), "vrrp_instance B {\n".to_owned())]),
        _ => Err("no".to_owned()),
    };
    let around = Surroundings { id: "lb1", include: &include, others: proxy_config::keepalived::BLOCKS };
    let Reading { routers, others, .. } = read("fuzz.conf", text, around, &mut sources, &mut diagnostics);
    let _ = proxy_config::keepalived::services(&others, &mut diagnostics);
    for diagnostic in diagnostics.iter().take(3) {
        let _ = render(&sources, &[diagnostic], 1, false);
    }
    // What is good is a section of Tandem's own language too.
    for router in routers.iter().filter(|_| diagnostics.errors() == 0) {
        let mut text = format!("virtual-router {}\n", proxy_lang::quoted(&router.name));
        router.lines("lb1").iter().for_each(|line| text.push_str(&format!("    {line}\n")));
        let mut sources = Sources::default();
        let mut said = Diagnostics::default();
        let file = sources.add("section", text.as_str());
        let lines = lex(&sources, file, &|_| None, &mut said);
        let blocks = blocks(lines, &["virtual-router"], &mut said);
        let again = failover_vrrp::keywords::read(&blocks, &mut said);
        // A section needs an address, and names its conditions: keepalived's three kinds may share a name.
        let names: std::collections::BTreeSet<&String> =
            router.tracks.iter().map(|track| &track.name).collect();
        let bare =
            router.addresses.iter().all(|address| address.excluded) || names.len() < router.tracks.len();
        assert!(bare || again.len() == 1, "{text}\n{said:?}");
        for again in again.iter().filter(|_| !bare) {
            assert_eq!(
                (again.vrid, &again.addresses, again.interval),
                (router.vrid, &router.addresses, router.interval)
            );
            assert_eq!(
                (&again.announcing, &again.answering, &again.unicast_peers),
                (&router.announcing, &router.answering, &router.unicast_peers)
            );
            assert_eq!(again.tracks.len(), router.tracks.len());
        }
    }
    Corpus::Keep
});
