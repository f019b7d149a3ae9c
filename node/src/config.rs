//! Text to the configuration of every room: the only place that sees all of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use failover::Config as Failover;
use failover_vrrp::{Machine, VirtualRouter, keepalived, keywords as virtual_router};
use prost::Message;
use proxy_config::model::{Account, Bind, BindAddress, Config as Proxied};
use proxy_config::{Explained, ExplainedLine, Origin};
use proxy_lang::{
    Block, Diagnostic, Diagnostics, Level, Sources, Surroundings, nearest, read_text, render, summary,
};
use replication_control::{self as control, Cluster};

use crate::worker::privileges;

/// HAProxy's words and exit code for a configuration that is right and serves nobody.
pub(crate) const NO_LISTENER: &str =
    "Configuration file has no error but will not start (no listener) => exit(2).";
/// See [`NO_LISTENER`].
pub(crate) const NOTHING_TO_RUN: u8 = 2;
/// What is said where a cluster's certificates were made before there was a key for its advertisements.
pub(crate) const NO_ADVERT_KEY: &str = "VRRP adverts are not signed, and forged ones move addresses: the cluster has no advert key; \
     'tandem cluster add-key' makes one";
/// Largest configuration, or file named in one, that is read.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Most backends that virtual routers follow, counted for each router: a worker tells of all in one message.
const MAX_FOLLOWED: usize = 1_024;

/// Every byte a configuration is made of: the files, and the files they name. One process reads them;
/// all others get these bytes, so that nobody ever acts on another text.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Texts {
    #[prost(message, repeated, tag = "1")]
    files: Vec<Text>,
    #[prost(btree_map = "string, string", tag = "2")]
    named: BTreeMap<String, String>,
    /// keepalived's files.
    #[prost(message, repeated, tag = "3")]
    keepalived: Vec<Text>,
    /// What conditions in them compare with.
    #[prost(string, tag = "4")]
    config_id: String,
    /// What they include.
    #[prost(message, repeated, tag = "5")]
    included: Vec<Included>,
}

/// What an `include` in a file means.
#[derive(Clone, PartialEq, Message)]
struct Included {
    #[prost(string, tag = "1")]
    from: String,
    #[prost(string, tag = "2")]
    pattern: String,
    #[prost(message, repeated, tag = "3")]
    files: Vec<Text>,
}

/// The files that a configuration is read from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    /// In HAProxy's language: files, and folders of them.
    pub(crate) haproxy: Vec<String>,
    /// In keepalived's.
    pub(crate) keepalived: Vec<String>,
    /// What keepalived's conditions compare with; usually the host's name up to its first dot.
    pub(crate) config_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    content: String,
}

/// The configuration of every room.
pub(crate) struct Everything {
    pub(crate) proxy: Arc<Proxied>,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) routers: Vec<VirtualRouter>,
    pub(crate) machine: Machine,
}

/// What to do with warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warnings {
    Say,
    /// Details too.
    Everything,
    Refuse,
    /// Another process has said them.
    Silent,
}

/// What there is to say about a configuration, as HAProxy would say it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) text: String,
    colour: bool,
    /// Whether what only the curious want to know is said too (`-dD`).
    details: bool,
}

impl Said {
    fn alert(&mut self, text: &str) {
        self.text.push_str(&alert_line(text));
    }

    /// Adds everything that is wrong; whether there were warnings.
    fn add(&mut self, sources: &Sources, diagnostics: &Diagnostics) -> bool {
        let shown: Vec<&Diagnostic> =
            diagnostics.iter().filter(|d| self.details || d.level != Level::Detail).collect();
        self.text.push_str(&render(sources, &shown, std::process::id(), self.colour));
        if diagnostics.dropped() > 0 {
            self.text.push_str(&format!("... and {} more\n", diagnostics.dropped()));
        }
        shown.iter().any(|d| d.level == Level::Warning)
    }
}

/// Reads the files from disk and says on standard error what is wrong. `None`: they are not usable.
pub(crate) fn load_aloud(files: &Files, warnings: Warnings) -> Option<(Everything, Texts)> {
    let colour = std::io::stderr().is_terminal();
    let mut said = Said { text: String::new(), colour, details: warnings == Warnings::Everything };
    let loaded = load(files, warnings, &mut said);
    eprint!("{}", said.text);
    loaded
}

/// Reads the files from disk. `None`: they are not usable.
pub(crate) fn load(files: &Files, warnings: Warnings, said: &mut Said) -> Option<(Everything, Texts)> {
    let mut texts = match Texts::gather(files) {
        Ok(texts) => texts,
        Err(why) => {
            said.alert(&why);
            return None;
        }
    };
    let named = RefCell::new(BTreeMap::new());
    let folder = files.haproxy.first().and_then(|f| Path::new(f).parent()).map(Path::to_path_buf);
    let read = |path: &str| {
        let content = read_named(folder.as_deref(), path)?;
        named.borrow_mut().insert(path.to_owned(), content.clone());
        Ok(content)
    };
    let included = RefCell::new(Vec::new());
    let include = |from: &str, pattern: &str| {
        let files = read_included(from, pattern)?;
        let texts = files.iter().map(|(name, content)| Text { name: name.clone(), content: content.clone() });
        let (from, pattern) = (from.to_owned(), pattern.to_owned());
        included.borrow_mut().push(Included { from, pattern, files: texts.collect() });
        Ok(files)
    };
    let everything = understand(&texts, &read, &include, warnings, said)?;
    texts.named = named.into_inner();
    texts.included = included.into_inner();
    Some((everything, texts))
}

/// Reads files without acting on them. `Err`: a file cannot be read.
pub(crate) fn examine(files: &Files, depth: Depth, explain: Explain) -> Result<Reading, String> {
    let texts = Texts::gather(files)?;
    let folder = files.haproxy.first().and_then(|f| Path::new(f).parent()).map(Path::to_path_buf);
    Ok(texts.read(
        &|path| if depth == Depth::Syntax { Ok(String::new()) } else { read_named(folder.as_deref(), path) },
        &read_included,
        depth,
        explain,
    ))
}

/// Reads one text in HAProxy's language as far as words, names and references go, without the files it names.
pub(crate) fn examine_text(name: &str, text: String) -> Reading {
    let texts = Texts { files: vec![Text { name: name.to_owned(), content: text }], ..Texts::default() };
    texts.read(&|_| Ok(String::new()), &read_included, Depth::Syntax, Explain::No)
}

/// Reads a file that a configuration in this folder names: relative to it, as an editor would expect.
fn read_named(folder: Option<&Path>, path: &str) -> Result<String, String> {
    match (folder, Path::new(path).is_absolute() || Path::new(path).exists()) {
        (Some(folder), false) => read_file(&folder.join(path).to_string_lossy()),
        _ => read_file(path),
    }
}

/// Reads the files that an `include` means: relative to the file it stands in.
fn read_included(from: &str, pattern: &str) -> Result<Vec<(String, String)>, String> {
    if pattern.contains('{') {
        return Err("lists in braces are not understood: write an 'include' for each".to_owned());
    }
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    let whole = folder.join(pattern);
    let paths = glob::glob(&whole.to_string_lossy()).map_err(|e| e.to_string())?;
    let mut files = Vec::new();
    for path in paths.flatten().filter(|path| path.is_file()) {
        let name = path.to_string_lossy().into_owned();
        let text = read_file(&name).map_err(|why| format!("{name}: {why}"))?;
        files.push((name, text));
    }
    Ok(files)
}

/// The files that are meant: a folder stands for the `.cfg` files in it, by name.
fn every_file(names: &[String]) -> Result<Vec<String>, String> {
    let mut every = Vec::new();
    for name in names {
        if !Path::new(name).is_dir() {
            every.push(name.clone());
            continue;
        }
        let say = |e: std::io::Error| format!("Could not open configuration folder {name} : {e}");
        let mut files = Vec::new();
        for entry in std::fs::read_dir(name).map_err(say)? {
            let path = entry.map_err(say)?.path();
            let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
            if !hidden && path.is_file() && path.extension().is_some_and(|e| e == "cfg") {
                files.push(path.to_string_lossy().into_owned());
            }
        }
        files.sort();
        every.extend(files);
    }
    Ok(every)
}

/// What HAProxy's conditions ask for, by the names it has for it.
const FEATURES: [&str; 4] = ["EPOLL", "OPENSSL", "THREAD", "NS"];
/// The version whose language this is.
const HAPROXY: [u32; 3] = [2, 6, 0];

/// What texts and conditions may ask about this process.
#[derive(Default)]
struct Here {
    /// The files that are read, as `HAPROXY_CFGFILES` has them.
    files: String,
}

impl Surroundings for Here {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "HAPROXY_CFGFILES" => Some(self.files.clone()),
            _ => std::env::var(name).ok(),
        }
    }

    fn feature(&self, name: &str) -> bool {
        FEATURES.contains(&name)
    }

    fn version(&self) -> [u32; 3] {
        HAPROXY
    }
}

/// Evaluates a condition of the command line: 0 it holds, 1 it does not, 2 it is none.
pub(crate) fn condition(text: &str) -> ExitCode {
    const NOT_UNDERSTOOD: u8 = 2;
    match proxy_lang::condition(text, &Here::default()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            alert(&format!("'{text}' : {why}"));
            ExitCode::from(NOT_UNDERSTOOD)
        }
    }
}

impl Texts {
    /// Reads the files, and those in folders, from disk.
    fn gather(files: &Files) -> Result<Self, String> {
        let read = |name: String| {
            let say = |why| format!("Could not open configuration file {name} : {why}");
            let content = read_file(&name).map_err(say)?;
            Ok(Text { name, content })
        };
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let first = |name: String| name.split('.').next().map(str::to_owned).unwrap_or_default();
        Ok(Self {
            files: every_file(&files.haproxy)?.into_iter().map(read).collect::<Result<_, String>>()?,
            keepalived: files.keepalived.iter().cloned().map(read).collect::<Result<_, String>>()?,
            config_id: files.config_id.clone().unwrap_or_else(|| first(host())),
            ..Self::default()
        })
    }

    /// Understands texts that another process has read.
    pub(crate) fn understand(&self) -> Option<Everything> {
        let read =
            |path: &str| self.named.get(path).cloned().ok_or_else(|| "it was not handed over".to_owned());
        let include = |from: &str, pattern: &str| {
            let found = self.included.iter().find(|i| i.from == from && i.pattern == pattern);
            let found = found.ok_or_else(|| "it was not handed over".to_owned())?;
            Ok(found.files.iter().map(|text| (text.name.clone(), text.content.clone())).collect())
        };
        understand(self, &read, &include, Warnings::Silent, &mut Said::default())
    }
}

/// How far a configuration is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// Words, names and references only: what a file names need not be here, what is not built is let through.
    Syntax,
    /// Everything but certificates, which another process has read.
    Known,
    /// Everything that the proxy needs.
    Whole,
    /// The members' certificates too, which whoever makes them cannot have yet.
    Served,
}

/// Whether a reading is written out as what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Explain {
    No,
    /// For this member, where a virtual router needs a name for it.
    As(&'static str),
}

/// A reading: the texts, what is wrong with them, and what they mean if nothing is.
pub(crate) struct Reading {
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Diagnostics,
    pub(crate) everything: Option<Everything>,
    /// What the files mean, section by section, if that was asked for.
    pub(crate) explained: Vec<Explained>,
}

impl Texts {
    fn read(
        &self,
        named: &dyn Fn(&str) -> Result<String, String>,
        include: keepalived::Include<'_>,
        depth: Depth,
        explain: Explain,
    ) -> Reading {
        let mut sources = Sources::default();
        for text in &self.files {
            sources.add(&text.name, text.content.clone());
        }
        let mut diagnostics = Diagnostics::default();
        let mut openers: Vec<&str> = proxy_config::openers().collect();
        openers.extend([control::SECTION.name, virtual_router::SECTION.name]);
        let files = self.files.iter().map(|text| text.name.as_str()).collect::<Vec<_>>().join(";");
        let mut reader = proxy_config::Reader::new(&sources, &diagnostics);
        // Sections of other rooms are few; all are kept only where they are to be explained.
        let others = [control::SECTION.name, virtual_router::SECTION.name];
        let mut blocks: Vec<Block> = Vec::new();
        read_text(&sources, &Here { files }, &openers, &mut diagnostics, &mut |block, diagnostics| {
            reader.section(&block, diagnostics);
            if explain != Explain::No || others.contains(&block.kind()) {
                blocks.push(block);
            }
        });
        let around = keepalived::Surroundings {
            id: &self.config_id,
            include,
            others: proxy_config::keepalived::BLOCKS,
        };
        let (mut instances, mut machine, mut others) = (Vec::new(), Machine::default(), Vec::new());
        for Text { name, content } in &self.keepalived {
            let read = keepalived::read(name, content, around, &mut sources, &mut diagnostics);
            instances.extend(read.routers);
            machine.add(read.machine);
            others.extend(read.others);
        }
        for block in proxy_config::keepalived::services(&others, &mut diagnostics) {
            reader.section(&block, &mut diagnostics);
            if explain != Explain::No {
                blocks.push(block);
            }
        }
        let proxy = reader.finish(named, &mut diagnostics);
        let cluster = control::read(&blocks, &mut diagnostics);
        let mut routers = virtual_router::read(&blocks, &mut diagnostics);
        routers.extend(instances);
        virtual_router::check_distinct(&routers, &mut diagnostics);
        let declared = blocks.iter().any(|b| b.kind() == control::SECTION.name);
        check_routers(&routers, cluster.as_ref(), declared, &mut diagnostics);
        if let Some(config) = &proxy {
            check_followed(&routers, config, &mut diagnostics);
        }
        if depth != Depth::Syntax {
            diagnostics.refuse_later();
        }
        if depth >= Depth::Whole
            && let Some(config) = &proxy
            && let Err(problems) = proxy::load_tls(config)
        {
            for (bind, why) in problems {
                diagnostics.error(config.binds[bind].at, format!("'bind' : {why}"));
            }
        }
        if depth >= Depth::Whole
            && let Some(config) = &proxy
        {
            check_accounts(config, &mut diagnostics);
        }
        if depth == Depth::Served
            && let Some(cluster) = &cluster
            && let Some(block) = blocks.iter().find(|block| block.kind() == control::SECTION.name)
        {
            for why in unreadable(cluster) {
                let help = "'tandem cluster init' makes the members' certificates";
                diagnostics.error(block.header.span(), why).help(help);
            }
        }
        let proxy = proxy.filter(|_| diagnostics.errors() == 0);
        let explained = match (explain, &proxy) {
            (Explain::As(member), Some(config)) => explained(&sources, &blocks, config, &routers, member),
            _ => Vec::new(),
        };
        let everything = proxy.map(|proxy| Everything { proxy: Arc::new(proxy), cluster, routers, machine });
        Reading { sources, diagnostics, everything, explained }
    }
}

/// What the files mean, section by section: routers of keepalived's language as sections too.
fn explained(
    sources: &Sources,
    blocks: &[Block],
    config: &Proxied,
    routers: &[VirtualRouter],
    member: &str,
) -> Vec<Explained> {
    let mut sections = proxy_config::explain(sources, blocks, config);
    let line = |text| ExplainedLine { text, origin: Origin::Own, id: None };
    // Only keepalived's files are a node's own.
    sections.extend(routers.iter().filter(|router| router.own_priority.is_some()).map(|router| Explained {
        kind: virtual_router::SECTION.name.to_owned(),
        name: Some(router.name.clone()),
        id: None,
        lines: router.lines(member).into_iter().map(line).collect(),
    }));
    sections
}

fn understand(
    texts: &Texts,
    named: &dyn Fn(&str) -> Result<String, String>,
    include: keepalived::Include<'_>,
    warnings: Warnings,
    said: &mut Said,
) -> Option<Everything> {
    let depth = if warnings == Warnings::Silent { Depth::Known } else { Depth::Whole };
    let Reading { sources, diagnostics, everything, .. } = texts.read(named, include, depth, Explain::No);
    let silent = warnings == Warnings::Silent && diagnostics.errors() == 0;
    let warned = !silent && said.add(&sources, &diagnostics);
    if diagnostics.errors() > 0 {
        said.alert(&format!("config : {}.", summary(&diagnostics)));
        said.alert("config : Fatal errors found in configuration.");
        return None;
    }
    if warned && warnings == Warnings::Refuse {
        said.alert("config : Some warnings were found and '-dW' was set.");
        return None;
    }
    everything
}

/// What of a cluster's certificates cannot be read, and why.
pub(crate) fn unreadable(cluster: &Cluster) -> Vec<String> {
    let paths = BTreeSet::from([&cluster.certificate, &cluster.authority]);
    let read = |path: &String| read_file(path).err().map(|why| format!("cannot read '{path}' : {why}"));
    paths.into_iter().filter_map(read).collect()
}

/// Users and groups that this machine does not have.
fn check_accounts(config: &Proxied, diagnostics: &mut Diagnostics) {
    let global = &config.global;
    let files = || {
        let stats = global.stats_sockets.iter().map(|socket| &socket.file);
        stats.chain(config.binds.iter().map(|bind| &bind.file))
    };
    let users = global.user.iter().chain(files().filter_map(|file| file.user.as_ref()));
    let groups = global.group.iter().chain(files().filter_map(|file| file.group.as_ref()));
    let mut check = |account: &Account, known: Result<(), String>| {
        if let (Account::Name { at, .. }, Err(why)) = (account, known) {
            diagnostics.error(*at, why).help("create it, or name one that this machine has");
        }
    };
    users.for_each(|account| check(account, privileges::user(account).map(|_| ())));
    groups.for_each(|account| check(account, privileges::group(account).map(|_| ())));
}

/// What no room can check alone: virtual routers are about members.
fn check_routers(
    routers: &[VirtualRouter],
    cluster: Option<&Cluster>,
    declared: bool,
    diagnostics: &mut Diagnostics,
) {
    let Some(cluster) = cluster else {
        for router in routers.iter().filter(|r| !declared && !r.multicast && r.unicast_peers.is_empty()) {
            diagnostics
                .error(router.span, format!("virtual router '{}' needs a 'cluster' section", router.name))
                .help("it says which machines share the address; a router beside keepalived can use 'multicast' or 'unicast-peer'");
        }
        return;
    };
    for router in routers {
        for (member, (_, span)) in &router.priorities {
            if cluster.member(member).is_none() {
                let near = nearest(member, cluster.members.iter().map(|m| m.name.as_str()));
                let text = format!("'{member}' is not a member of cluster '{}'", cluster.name);
                let note = diagnostics.error(*span, text);
                if let Some(near) = near {
                    note.help(format!("did you mean '{near}'?"));
                }
            }
        }
        for address in router.addresses.iter().map(|address| address.address) {
            if let Some(owner) = cluster.members.iter().find(|m| m.address == address) {
                let text = format!("virtual address {address} is member '{}'s own", owner.name);
                diagnostics.error(router.span, text).help("a virtual address belongs to nobody for ever");
            }
        }
    }
    for router in routers.iter().filter(|r| !r.multicast && r.unicast_peers.is_empty()) {
        let other = cluster.members.iter().find(|m| m.address.is_ipv6() != router.is_ipv6());
        if let Some(other) = other {
            let text = format!(
                "virtual router '{}' cannot tell member '{}', whose address is of another family than the router's",
                router.name, other.name
            );
            diagnostics
                .error(router.span, text)
                .help("use 'multicast': the members need addresses of its family on the link only");
        }
    }
}

/// Backends that virtual routers follow.
fn check_followed(routers: &[VirtualRouter], config: &Proxied, diagnostics: &mut Diagnostics) {
    if let Some((_, span)) = routers.iter().flat_map(VirtualRouter::backends).nth(MAX_FOLLOWED) {
        diagnostics.error(span, format!("more than {MAX_FOLLOWED} backends are followed"));
    }
    let names = || config.backends.iter().map(|backend| backend.name.as_str());
    for (name, span) in routers.iter().flat_map(VirtualRouter::backends) {
        if names().any(|backend| backend == name) {
            continue;
        }
        let note = diagnostics.error(span, format!("there is no backend '{name}'"));
        if let Some(near) = nearest(name, names()) {
            note.help(format!("did you mean '{near}'?"));
        }
    }
}

impl Everything {
    /// Backends that virtual routers follow, by name.
    pub(crate) fn followed_backends(&self) -> Vec<String> {
        let names = self.routers.iter().flat_map(VirtualRouter::backends).map(|(name, _)| name.to_owned());
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether anybody can reach it: a client, a peer, an operator, or who follows a virtual address.
    pub(crate) fn is_reachable(&self) -> bool {
        let proxy = &self.proxy;
        !proxy.binds.is_empty()
            || !proxy.peers.is_empty()
            || !proxy.global.stats_sockets.is_empty()
            || !self.routers.is_empty()
            || self.cluster.is_some()
            || self.machine != Machine::default()
    }

    /// Whether `next` listens on no address that this one listens on, which has at least one.
    pub(crate) fn loses_every_bind(&self, next: &Self) -> bool {
        let kept = |bind: &Bind| next.proxy.binds.iter().any(|other| other.address == bind.address);
        !self.proxy.binds.is_empty() && !self.proxy.binds.iter().any(kept)
    }

    /// Which member this node is: `-L`, `global localpeer`, or the host's name.
    pub(crate) fn member(&self, asked: Option<&str>) -> String {
        let named = asked.map(str::to_owned).or_else(|| self.proxy.global.localpeer.clone());
        named.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
    }

    /// What the agent serves on this member; `None` where the files say nothing of that.
    pub(crate) fn failover(&self, member: &str) -> Option<Failover> {
        let cluster = self.cluster.as_ref();
        (!self.routers.is_empty() || self.machine != Machine::default()).then(|| Failover {
            member: member.to_owned(),
            own: cluster.and_then(|c| c.member(member)).map(|m| m.address),
            peers: cluster.iter().flat_map(|c| c.others(member)).map(|m| m.address).collect(),
            routers: self.routers.clone(),
            machine: self.machine.clone(),
            services: self.services(),
            signing: None,
        })
    }

    /// Whether members' advertisements are signed, if there is a key: those that go from member to member, where the
    /// section has no key of its own.
    pub(crate) fn signs_adverts(&self) -> bool {
        let is_signed = |router: &VirtualRouter| !router.multicast && router.wire.hmac.keys.is_empty();
        self.cluster.as_ref().is_some_and(|cluster| cluster.members.len() > 1)
            && self.routers.iter().any(is_signed)
    }

    /// The ports that listeners have on each virtual address.
    pub(crate) fn services(&self) -> Vec<(IpAddr, Vec<u16>)> {
        let floating: BTreeSet<IpAddr> =
            self.routers.iter().flat_map(|router| router.addresses.iter().map(|a| a.address)).collect();
        let ports = |floating: IpAddr| {
            let listens = |bind: &SocketAddr| {
                bind.ip() == floating
                    || (bind.ip().is_unspecified() && (bind.is_ipv6() || floating.is_ipv4()))
            };
            let binds = self.proxy.binds.iter().filter_map(|bind| match &bind.address {
                BindAddress::Tcp(address) => Some(*address),
                BindAddress::Unix(_) | BindAddress::Abstract(_) | BindAddress::Inherited(_) => None,
            });
            let ports: BTreeSet<u16> = binds.filter(listens).map(|bind| bind.port()).collect();
            ports.into_iter().collect::<Vec<u16>>()
        };
        let services = floating.into_iter().map(|floating| (floating, ports(floating)));
        services.filter(|(_, ports)| !ports.is_empty()).collect()
    }

    /// Sets the most client connections, where the command line says so.
    pub(crate) fn limit_connections(&mut self, limit: Option<u64>) {
        if limit.is_some() {
            Arc::make_mut(&mut self.proxy).global.maxconn = limit;
        }
    }

    /// Says so where the cluster does not have this member.
    pub(crate) fn check_member(&self, member: &str) -> Result<(), String> {
        match &self.cluster {
            Some(cluster) if cluster.member(member).is_none() => {
                let names: Vec<&str> = cluster.members.iter().map(|m| m.name.as_str()).collect();
                Err(format!(
                    "this node is '{member}', which is not a member of cluster '{}' ({}): say which one it is with '-L NAME'",
                    cluster.name,
                    names.join(", ")
                ))
            }
            _ => Ok(()),
        }
    }

    /// What cannot change while a node runs, by name, where it differs in `next`.
    pub(crate) fn fixed_parts_changed(&self, next: &Self) -> Option<&'static str> {
        let placeless = |routers: &[VirtualRouter]| -> Vec<_> {
            routers.iter().cloned().map(VirtualRouter::without_places).collect()
        };
        if self.cluster != next.cluster {
            Some("the cluster")
        } else if placeless(&self.routers) != placeless(&next.routers) {
            Some("a virtual router")
        } else if self.machine != next.machine {
            Some("what this machine has, or what is run before and after all,")
        } else if self.cores() != next.cores() {
            Some("nbthread")
        } else {
            None
        }
    }

    /// Number of threads that carry traffic.
    pub(crate) fn cores(&self) -> usize {
        match self.proxy.global.nbthread {
            Some(count) => usize::try_from(count).unwrap_or(1),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Says something as HAProxy would.
pub(crate) fn alert(text: &str) {
    eprint!("{}", alert_line(text));
}

pub(crate) fn alert_line(text: &str) -> String {
    format!("[ALERT]    ({}) : {text}\n", std::process::id())
}

/// Reads a text file, if it is one: what could make this process wait, or fill it, is refused.
pub(crate) fn read_file(path: &str) -> Result<String, String> {
    let bytes = proxy::read_regular(Path::new(path), MAX_FILE)?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}
