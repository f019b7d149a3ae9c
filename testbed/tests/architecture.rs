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
    ("proxy-config", &["proxy-lang", "proxy-rules", "proxy-table"]),
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
