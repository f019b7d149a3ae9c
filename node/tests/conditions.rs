//! Conditions of virtual routers, as `tandem check` reads them and plays them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

use std::process::{Command, Output};

use tempfile::TempDir;

fn check(more: &str, router: &str) -> Output {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tandem.cfg");
    let text = format!(
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n\
         frontend web\n    bind :80\n    default_backend app\n\
         backend app\n    server a 192.0.2.21:80 check\n\
         cluster c\n    member lb1 192.0.2.11\n    member lb2 192.0.2.12\n{more}\
         \x20   crt a ca-file b\n\
         virtual-router v\n    interface eth0\n    vrid 51\n    priority lb1 150\n    address 192.0.2.100/24\n{router}"
    );
    std::fs::write(&path, text).unwrap();
    // What is checked elsewhere.
    ["a", "b"].into_iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.arg("check").arg(path).current_dir(folder.path()).output().unwrap()
}

#[test]
fn a_check_plays_what_fails_and_says_who_would_win() {
    let who = |more: &str, router: &str| {
        let output = check(more, router);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let played = said.lines().filter(|line| !line.starts_with("Config") && !line.starts_with("note:"));
        played.map(str::trim).collect::<Vec<_>>().join("\n")
    };
    let plain = "virtual router v: lb1 has the addresses; lb2 if lb1, or the proxy on it, fails; nobody if lb2 does, too; whoever has them then when lb1 is back";
    assert_eq!(who("", ""), plain);
    let app = |winner: &str| {
        format!("{plain}\nbackend app has no usable server on lb1: {winner}; on every member: lb1")
    };
    // The last resort; a weight that is too small, and one that is not.
    assert_eq!(who("", "    track-backend app\n"), app("lb2"));
    assert_eq!(who("", "    track-backend app weight -20\n"), app("lb1"));
    assert_eq!(who("", "    track-backend app weight -60\n"), app("lb2"));
    assert_eq!(
        who("", "    track-interface eth1\n    track-file drain /run/drain weight -1\n"),
        format!("{plain}\ninterface eth1 is down on lb1: lb2; on every member: nobody")
    );
    let three = who("    member lb3 192.0.2.13\n", "    preempt\n    track-backend app min 2\n");
    assert_eq!(
        three,
        "virtual router v: lb1 has the addresses; lb3 if lb1, or the proxy on it, fails; lb2 if lb3 does, too; lb1 when lb1 is back\n\
         backend app has fewer than 2 usable servers on lb1: lb3; on every member: lb1"
    );
}

#[test]
fn a_backend_that_is_not_there_cannot_be_followed() {
    let output = check("", "    track-backend ap min 1\n");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    for expected in ["there is no backend 'ap'", "track-backend ap min 1", "^^", "did you mean 'app'?"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

/// `check` and `-c` say yes to what `run` serves, and no to what it cannot use.
#[test]
fn a_cluster_alone_is_right_and_needs_its_certificates() {
    let folder = TempDir::new().unwrap();
    let text = "cluster c\n    member lb1 192.0.2.11\n    member lb2 192.0.2.12\n    crt a ca-file b\n\
                virtual-router v\n    interface eth0\n    vrid 51\n    priority lb1 150\n    address 192.0.2.100/24\n";
    std::fs::write(folder.path().join("pair.cfg"), text).unwrap();
    let asked = || {
        [&["check", "pair.cfg"][..], &["-c", "-f", "pair.cfg"]].map(|words| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
            let output = command.args(words).current_dir(folder.path()).output().unwrap();
            (
                output.status.code(),
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            )
        })
    };
    for (code, said) in asked() {
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("cannot read 'a'") && said.contains("cannot read 'b'"), "{said}");
    }
    ["a", "b"].into_iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
    for (code, said) in asked() {
        assert_eq!(code, Some(0), "{said}");
    }
}
