//! The program alone on loopback, under one kind of attack.

use std::fmt::Write as _;
use std::io::{PipeReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::clients::Whom;
use super::figures::Figures;
use super::kinds::{DESCRIPTORS, Kind, Port, World};
use super::measure::{Target, measure};
use super::servers::Servers;
use crate::hostile::Stack;
use crate::hostile::program::{Place, Program, Setup, Usage, free_address};

/// The core of the program, and the one of everything else.
pub(super) const PROGRAM_CORE: usize = 0;
pub(super) const LOAD_CORE: usize = 1;
/// Loopback addresses the attacker comes from: one alone has too few ports for a flood.
const SOURCES: std::ops::RangeInclusive<u8> = 1..=32;
/// Bytes that a pipe has room for.
const PIPE: usize = 1 << 16;

/// Where the program listens.
struct Addresses {
    web: SocketAddrV4,
    raw: SocketAddrV4,
    peers: SocketAddrV4,
    stats: PathBuf,
    log: PathBuf,
}

struct Alone {
    program: Program,
    addresses: Addresses,
    _unread: (Option<PipeReader>, Option<UnixDatagram>),
}

/// Starts the program and plays one kind.
pub(super) fn play(stack: Stack, kind: &Kind, length: Duration) -> Result<Figures, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let sources = SOURCES.map(|last| Ipv4Addr::new(127, 0, 1, last)).collect();
    let place = Place { core: Some(LOAD_CORE), host: None, sources };
    let servers = Servers::start(place.clone())?;
    servers.behave(kind.server);
    let mut alone = Alone::start(stack, kind.world, folder.path(), &servers)?;
    let mut figures = measure(&mut alone, kind, length, &place, &place)?;
    figures.stack = alone.program.name.to_owned();
    Ok(figures)
}

impl Alone {
    fn start(stack: Stack, world: World, folder: &Path, servers: &Servers) -> Result<Self, String> {
        let addresses = Addresses {
            web: free_address()?,
            raw: free_address()?,
            peers: free_address()?,
            stats: folder.join("stats.sock"),
            log: folder.join("log.sock"),
        };
        let say = |e: std::io::Error| format!("a log that nobody reads: {e}");
        let mut setup = Setup {
            core: Some(PROGRAM_CORE),
            arguments: ["-L", "lb1"].map(str::to_owned).to_vec(),
            ..Setup::default()
        };
        let mut unread = (None, None);
        match world {
            World::Plain => {}
            World::FullPipe => {
                let (reader, mut writer) = std::io::pipe().map_err(say)?;
                writer.write_all(&vec![b'\n'; PIPE]).map_err(say)?;
                setup.stdout = Some(Stdio::from(writer));
                unread.0 = Some(reader);
            }
            World::FullSocket => unread.1 = Some(UnixDatagram::bind(&addresses.log).map_err(say)?),
            World::FewDescriptors => setup.nofile = Some(DESCRIPTORS),
        }
        let text = configuration(&addresses, world, servers)?;
        let program = Program::start(stack, folder, &text, addresses.web, setup)?;
        Ok(Self { program, addresses, _unread: unread })
    }
}

impl Target for Alone {
    fn service(&self) -> SocketAddr {
        SocketAddr::V4(self.addresses.web)
    }

    fn whom(&self, port: Port) -> Result<Whom, String> {
        match port {
            Port::Web => Ok(Whom::Tcp(self.addresses.web.into())),
            Port::Raw => Ok(Whom::Tcp(self.addresses.raw.into())),
            Port::Peers => Ok(Whom::Tcp(self.addresses.peers.into())),
            Port::Stats => Ok(Whom::Unix(self.addresses.stats.clone())),
            Port::Channel | Port::Vrrp => Err("a program that is alone has no other member".to_owned()),
        }
    }

    fn usage(&self) -> Usage {
        self.program.usage()
    }

    fn logged(&self) -> u64 {
        self.program.logged()
    }

    fn trouble(&mut self) -> Option<String> {
        let status = self.program.ended()?;
        Some(format!("it ended with {status}: {}", self.program.tail()))
    }
}

/// One text for both programs.
fn configuration(addresses: &Addresses, world: World, servers: &Servers) -> Result<String, String> {
    let Addresses { web, raw, peers, stats, log } = addresses;
    let mut text = "global\n    nbthread 1\n    stats timeout 1s\n".to_owned();
    let (stats, log) = (stats.display(), log.display());
    let limits = match world {
        World::Plain => "    maxconn 5000\n".to_owned(),
        World::FullPipe => "    maxconn 5000\n    log stdout format raw local0\n".to_owned(),
        World::FullSocket => format!("    maxconn 5000\n    log {log} local0\n"),
        World::FewDescriptors => String::new(),
    };
    let logging = if matches!(world, World::FullPipe | World::FullSocket) { "    log global\n" } else { "" };
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "    stats socket {stats} level admin\n{limits}defaults\n{logging}    mode http\n    option httplog\n    \
         timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n    timeout http-request 1s\n    \
         timeout http-keep-alive 1s\n    timeout check 1s\n{SECTIONS}",
    );
    let text = text
        .replace("WEB", &web.to_string())
        .replace("RAW", &raw.to_string())
        .replace("LOCAL", &peers.to_string())
        .replace("OTHER", &free_address()?.to_string())
        .replace("GOOD", &servers.good.to_string())
        .replace("EVIL", &servers.evil.to_string());
    Ok(text)
}

/// What both worlds have: the good server, the hostile one, and answers by rule.
const SECTIONS: &str = "\
frontend web
    bind WEB
    stick-table type ip size 100k expire 30s store conn_rate(3s),http_req_cnt peers pair
    http-request track-sc0 src
    http-request deny if { path_beg /deny }
    http-request return status 200 content-type text/plain string 'an answer by a rule' if { path_beg /return }
    stats enable
    stats uri /stats
    use_backend evil if { path_beg /evil }
    default_backend app
backend app
    server s1 GOOD check inter 300ms
backend evil
    server e1 EVIL
listen raw
    mode tcp
    option tcplog
    bind RAW
    server s1 GOOD
peers pair
    peer lb1 LOCAL
    peer lb2 OTHER
";
