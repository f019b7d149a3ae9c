//! What files mean: `tandem check --explain` and `tandem diff`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn run(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tandem")).args(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

const OLD: &str = "\
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend web
    bind 127.0.0.1:8001
    stick-table type ip size 10k store conn_cur
    http-request deny if { path '/a b' }
    default_backend app
backend app
    server s1 192.0.2.1:80
    server s2 192.0.2.2:80
virtual-router web
    interface eth0
    vrid 1
    address 192.0.2.100/24
    multicast
";

#[test]
fn what_is_explained_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let old = write(folder.path(), "old.cfg", OLD);
    let (code, explained) = run(&["check", "--explain", &old]);
    assert_eq!(code, 0, "{explained}");
    assert!(explained.contains("\nbackend app  # id 3\n    balance roundrobin  # usual\n"), "{explained}");
    assert!(explained.contains("    server s2 192.0.2.2:80  # id 2\n"), "{explained}");
    let again = write(folder.path(), "again.cfg", &explained);
    let (code, said) = run(&["diff", &old, &again]);
    assert_eq!((code, said.as_str()), (0, "Both mean the same.\n"));
}

#[test]
fn an_instance_of_keepalived_is_explained_as_a_section() {
    let folder = tempfile::tempdir().unwrap();
    let instance = "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n priority 150\n advert_int 2\n \
         virtual_ipaddress {\n 192.0.2.100/24\n }\n authentication {\n auth_type PASS\n auth_pass a\\ b\n }\n}\n";
    let file = write(folder.path(), "keepalived.conf", instance);
    let (code, explained) = run(&["check", "--explain", "-k", &file]);
    assert_eq!(code, 0, "{explained}");
    for line in [
        "virtual-router VI_1",
        "vrid 51",
        "version 2",
        "priority this-node 150",
        "advert-interval 2000ms",
        "multicast",
        "preempt",
    ] {
        assert!(explained.contains(line), "{line}: {explained}");
    }
    let section = write(folder.path(), "section.cfg", &explained);
    // It is a section that can be read; a virtual router counts as a listener.
    assert_eq!(run(&["check", &section]).0, 0);
}

#[test]
fn what_would_change_at_run_time_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let old = write(folder.path(), "old.cfg", OLD);
    let new = OLD
        .replace("8001", "8002")
        .replace("server s2 192.0.2.2:80", "server s3 192.0.2.3:80")
        .replace("s1 192.0.2.1:80", "s1 192.0.2.9:80")
        .replace("size 10k", "size 5k")
        .replace("vrid 1", "vrid 2");
    let new = write(folder.path(), "new.cfg", &new);
    let (code, said) = run(&["diff", &old, &new]);
    assert_eq!(code, 1);
    for line in [
        "-   bind 127.0.0.1:8001\n",
        "+   bind 127.0.0.1:8002\n",
        "  a reload is refused: a virtual router changed, which needs a restart\n",
        "  127.0.0.1:8002 is opened\n",
        "  127.0.0.1:8001 is closed\n",
        "  stick table web shrinks from 10240 to 5120 entries\n",
        "  server app/s1 moves from 192.0.2.1:80 to 192.0.2.9:80\n",
        "  server app/s3 is new\n",
        "  server app/s2 is gone: its sessions end by themselves\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let (code, report) = run(&["diff", "--json", &old, &new]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((code, &report["same"]), (1, &serde_json::Value::Bool(false)));
    assert_eq!(report["at_run_time"].as_array().unwrap().len(), 7);
    let broken = write(folder.path(), "broken.cfg", "frontend web\n    bimd :80\n");
    assert_eq!(run(&["diff", &old, &broken]).0, 2);
}
