//! Two members of a cluster on one link.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use crate::drill::node::Node;
use crate::lab::{self, Namespace, PATIENCE, Switch};

const NAMES: [&str; 2] = ["lb1", "lb2"];

/// The hosts of two members, 192.0.2.11 and 192.0.2.12.
pub(crate) fn hosts(switch: &mut Switch) -> Result<[Namespace; 2], String> {
    let mut host = |port, number| {
        let host = switch.host(port, &[IpAddr::from([192, 0, 2, number])]);
        host.map_err(|e| format!("the lab cannot be built: {e}"))
    };
    Ok([host("one", 11)?, host("two", 12)?])
}

/// Starts lb1 and, once that is master, lb2; each with the text for its folder, which names `cluster.pem` and
/// `cluster-ca.pem` there.
pub(crate) fn start(
    folder: &Path,
    tandem: &Path,
    hosts: &[Namespace; 2],
    text: impl Fn(&Path) -> String,
) -> Result<Vec<Node>, String> {
    let folders = NAMES.map(|name| folder.join(name));
    let mut files = Vec::new();
    for folder in &folders {
        std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
        let file = folder.join("tandem.cfg");
        std::fs::write(&file, text(folder)).map_err(|e| e.to_string())?;
        files.push(file);
    }
    let [one, two] = &folders;
    let mut init = Command::new(tandem);
    init.args(["cluster", "init", "-L", "lb1", "-f"]).arg(&files[0]).arg("--dir").arg(one);
    let mut join = Command::new(tandem);
    join.args(["cluster", "join"]).arg(one.join("lb2.bundle")).arg("--dir").arg(two);
    for command in [&mut init, &mut join] {
        let output = command.output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    let start = |place: usize| {
        let files: [(&str, &Path); 1] = [("-f", &files[place])];
        Node::start(NAMES[place], tandem, &files, "100ms", &folders[place], &hosts[place])
    };
    let mut first = start(0)?;
    // Without preemption it is the first one who is master.
    first.until("master", PATIENCE, |status| status["virtual_routers"][0]["role"] == "master")?;
    let mut nodes = vec![first, start(1)?];
    for node in &mut nodes {
        node.until("healthy", PATIENCE, |status| status["members"][0]["ready"] == true)?;
    }
    Ok(nodes)
}

/// Has a node hand over once it knows that the other one is ready: before, its address would only be given up.
pub(crate) fn hand_over(node: &Node) -> Result<(), String> {
    let is_ready = || node.status().is_some_and(|status| status["members"][0]["ready"] == true);
    lab::until("the other one is known to be ready", is_ready)?;
    node.order("failover")
}
