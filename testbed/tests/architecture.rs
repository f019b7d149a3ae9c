//! The house keeps its shape: who may know whom, what a pure crate may not have, where unsafe may stand.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Every room and the rooms it may know.
const EDGES: &[(&str, &[&str])] = &[
    ("proxy-lang", &[]),
    ("failover-vrrp", &["proxy-lang"]),
    ("failover", &["failover-vrrp"]),
    ("replication-control", &["proxy-lang"]),
    ("replication-peers", &["proxy-table"]),
    ("replication", &["proxy-table", "replication-peers"]),
    ("proxy-wire", &[]),
    ("proxy-table", &["proxy-lang"]),
    ("proxy-backend", &["proxy-lang"]),
    ("proxy-rules", &["proxy-lang", "proxy-table", "proxy-wire"]),
    ("proxy-config", &["proxy-backend", "proxy-lang", "proxy-rules", "proxy-table"]),
    ("proxy", &["proxy-backend", "proxy-config", "proxy-rules", "proxy-table", "proxy-wire"]),
    (
        "tandem",
        &[
            "failover",
            "failover-vrrp",
            "proxy",
            "proxy-config",
            "proxy-lang",
            "proxy-table",
            "replication",
            "replication-control",
        ],
    ),
    (
        "testbed",
        &[
            "failover",
            "failover-vrrp",
            "proxy-backend",
            "proxy-config",
            "proxy-lang",
            "proxy-rules",
            "proxy-table",
            "replication-control",
        ],
    ),
];
/// Rooms that touch the world; every other room is pure.
const SHELLS: &[&str] = &["proxy", "failover", "replication", "tandem", "testbed"];
/// What would let a pure crate touch it.
const WORLDLY: &[&str] =
    &["tokio", "socket2", "rustix", "libc", "nix", "mio", "hyper", "rand", "netlink-sys"];
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "docker-compose.yml",
    "node",
    "failover",
    "replication",
    "proxy",
    "testbed",
    "docs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

/// Dependencies of each room that are not for its tests alone.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let own = |package: &cargo_metadata::Package| {
        let kept = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
        kept.map(|d| d.name.clone()).collect::<Vec<_>>()
    };
    metadata().packages.iter().map(|p| (p.name.to_string(), own(p))).collect()
}

#[test]
fn rooms_know_only_whom_they_may_know() {
    let rooms = dependencies();
    assert_eq!(rooms.len(), EDGES.len(), "every room has a row in EDGES: {:?}", rooms.keys());
    for (room, knows) in &rooms {
        let allowed = EDGES.iter().find(|(name, _)| name == room).map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_else(|| panic!("{room} has no row in EDGES"));
        for other in knows.iter().filter(|name| rooms.contains_key(*name)) {
            assert!(allowed.contains(&other.as_str()), "{room} may not know {other}");
        }
    }
}

#[test]
fn pure_rooms_cannot_touch_the_world() {
    let template = std::fs::read_to_string(root().join("proxy/lang/.clippy.toml")).unwrap();
    for package in metadata().packages {
        if SHELLS.contains(&package.name.as_str()) {
            continue;
        }
        let folder = package.manifest_path.parent().unwrap().to_owned();
        for dependency in &package.dependencies {
            assert!(
                !WORLDLY.contains(&dependency.name.as_str()),
                "{} depends on {}",
                package.name,
                dependency.name
            );
        }
        let settings = std::fs::read_to_string(folder.join(".clippy.toml")).unwrap_or_default();
        assert_eq!(settings, template, "{}: .clippy.toml is a copy of proxy/lang's", package.name);
        let library = std::fs::read_to_string(folder.join("src/lib.rs")).unwrap();
        assert!(library.contains("#![forbid(unsafe_code)]"), "{} forbids unsafe code", package.name);
    }
}

#[test]
fn unsafe_code_stands_in_sys_files_only() {
    let mut seen = 0;
    visit(&root(), &mut |path, text| {
        seen += 1;
        let may = path.file_name().is_some_and(|name| name == "sys.rs");
        let keyword = concat!("unsafe", " {");
        assert!(may || !text.contains(keyword), "{} holds unsafe code", path.display());
    });
    assert!(seen > 50, "only {seen} files were seen");
}

#[test]
fn the_top_level_holds_what_was_agreed() {
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || name == "target" || TOP_LEVEL.contains(&name.as_str()),
            "{name} at the top level"
        );
    }
}

fn visit(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            visit(&path, look);
        } else if name.ends_with(".rs") {
            look(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The files in a folder and below.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Where the configuration is printed or compared, and where tests are: no reading there makes a keyword act.
const NO_EFFECT: [&str; 8] = [
    "/tests.rs",
    "/tests/",
    "_tests.rs",
    "/exchanges",
    "cli/check.rs",
    "cli/diff.rs",
    "cli/explain.rs",
    "cli/dump.rs",
];

/// The code that runs in a folder.
fn running(folder: &Path) -> String {
    let files = sources(folder).into_iter();
    let files = files.filter(|path| !NO_EFFECT.iter().any(|part| path.to_string_lossy().contains(part)));
    files.map(|path| without_tests(&std::fs::read_to_string(path).unwrap()).to_owned()).collect()
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// Whether code reads a field: `.name`, and no call, nor only an assignment.
fn reads(code: &str, field: &str) -> bool {
    let dotted = format!(".{field}");
    code.match_indices(&dotted).any(|(at, _)| {
        let rest = &code[at + dotted.len()..];
        let is_whole = !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '(');
        let assigns = rest.trim_start().strip_prefix('=').is_some_and(|rest| !rest.starts_with('='));
        is_whole && !assigns
    })
}

/// The public fields of the structs in a text, each with its struct.
fn fields(text: &str) -> Vec<(String, String)> {
    let (mut owner, mut found) = (String::new(), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            owner = rest.split([' ', '(', '<']).next().unwrap_or_default().to_owned();
        } else if let Some((name, _)) = line.strip_prefix("    pub ").and_then(|rest| rest.split_once(": "))
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            found.push((owner.clone(), name.to_owned()));
        }
    }
    found
}

/// A keyword that sets a field which nothing reads is accepted and does not act: sixteen did.
#[test]
fn running_code_reads_every_field_of_the_configuration() {
    let root = root();
    let model = std::fs::read_to_string(root.join("proxy/config/src/model/mod.rs")).unwrap();
    let fields = fields(&model);
    assert!(fields.len() > 150, "the model is read wrongly: {} fields", fields.len());
    // What a method of the model makes of its fields counts where the method is called.
    let code = running(&root.join("proxy/src")) + &running(&root.join("node/src")) + &model;
    let unread: Vec<String> = fields
        .iter()
        .filter(|(_, field)| !reads(&code, field))
        .map(|(owner, field)| format!("{owner}::{field}"))
        .collect();
    assert!(unread.is_empty(), "no running code reads {}", unread.join(", "));
}

#[test]
fn what_reads_a_field_is_told_from_what_does_not() {
    assert!(reads("if config.global.node.is_some() {", "node"));
    assert!(reads("a.node == b", "node") && reads("a.node)", "node"));
    for code in ["a.nodes", "a.node()", "a.node = 1;", "node", "a.node_name"] {
        assert!(!reads(code, "node"), "{code}");
    }
    let text = "pub struct A {\n    pub b_c: u32,\n    d: u32,\n}\npub enum E {\n    F,\n}\n";
    assert_eq!(fields(text), [("A".to_owned(), "b_c".to_owned())]);
}
