//! The real programs as neighbours: keepalived as the other router, nft as a reader of what we tell the kernel.

mod addresses;
mod beside;
mod dumps;
mod fixed;
mod keepalived;
mod language;
mod macs;
mod mails;
mod nft;
mod routes;
mod timing;

use std::sync::Mutex;

use clap::ValueEnum;

use crate::lab;

/// Whom to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Neighbour {
    /// keepalived as the other router: both versions, both families, to a group and to peers
    Keepalived,
    /// nft reads the tables of a planned switch
    Nft,
}

impl Neighbour {
    fn program(self) -> &'static str {
        match self {
            Self::Keepalived => "keepalived",
            Self::Nft => "nft",
        }
    }
}

/// Whether the program is there; says so in words where it is not, and fails where it is required.
pub(crate) fn absent(neighbour: Neighbour) -> Result<Option<String>, String> {
    absent_program(neighbour.program())
}

fn absent_program(program: &str) -> Result<Option<String>, String> {
    if crate::find_program(program).is_some() {
        return Ok(None);
    }
    let text = format!("skipped: {program} is not installed");
    if std::env::var_os("TANDEM_REQUIRE_PEERS").is_some() {
        Err(format!("required, but {text}"))
    } else {
        Ok(Some(text))
    }
}

/// Cases that are played at a time: most of each is waiting, and each has a lab of its own.
const AT_A_TIME: usize = 4;
/// The case that compares how both read the same files.
const LANGUAGE: &str = "language";
/// The case that compares what both say of themselves.
const DUMPS: &str = "dumps";
/// The case that compares the routes and rules that both add.
const ROUTES: &str = "routes";
/// The case that compares the addresses that both add.
const ADDRESSES: &str = "addresses";
/// The case that compares the mails that both send.
const MAILS: &str = "mails";

/// The case that compares what stays whoever is master.
const FIXED: &str = "fixed";
/// The case that compares when things are done.
const TIMING: &str = "timing";
/// The case that compares interfaces with hardware addresses of their own.
const MACS: &str = "macs";
/// The case in which nft reads our tables.
const TABLES: &str = "tables";

/// Meets a neighbour in every way, several labs at a time; what came out of each.
pub(crate) fn meet(neighbour: Neighbour) -> Result<String, String> {
    let cases: Vec<&str> = match neighbour {
        Neighbour::Keepalived => [LANGUAGE, DUMPS, ROUTES, ADDRESSES, MAILS, FIXED, TIMING, MACS]
            .into_iter()
            .chain(keepalived::CASES.iter().map(|case| case.name))
            .collect(),
        Neighbour::Nft => vec![TABLES],
    };
    let waiting = Mutex::new(cases.into_iter().enumerate());
    let told = Mutex::new(Vec::new());
    let play = || {
        loop {
            let next = waiting.lock().map_err(|e| e.to_string())?.next();
            let Some((place, case)) = next else { return Ok::<(), String>(()) };
            let lab::Told { well, text } = lab::play(&["interop", neighbour.program(), "--case", case])?;
            told.lock().map_err(|e| e.to_string())?.push((place, well, text));
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(play)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread died".to_owned())?)
    })?;
    let mut told = told.into_inner().map_err(|e| e.to_string())?;
    told.sort();
    let text: Vec<&str> = told.iter().map(|(_, _, text)| text.as_str()).collect();
    if told.iter().all(|(_, well, _)| *well) { Ok(text.join("\n")) } else { Err(text.join("\n")) }
}

/// Plays one case; inside a lab of its own.
pub(crate) fn play(case: &str) -> Result<String, String> {
    if case == LANGUAGE {
        return language::compare();
    }
    if case == DUMPS {
        return dumps::compare();
    }
    if case == TABLES {
        return nft::compare();
    }
    if case == ADDRESSES {
        return addresses::compare();
    }
    if case == MAILS {
        return match absent_program(mails::SERVER)? {
            Some(skipped) => Ok(format!("mails: {skipped}")),
            None => mails::compare(),
        };
    }
    if case == FIXED {
        return fixed::compare();
    }
    if case == TIMING {
        return timing::compare();
    }
    if case == MACS {
        return macs::compare();
    }
    if case == ROUTES {
        return routes::compare();
    }
    let found = keepalived::CASES.iter().find(|known| known.name == case);
    found.ok_or_else(|| format!("there is no case '{case}'")).and_then(|case| keepalived::run(*case))
}
