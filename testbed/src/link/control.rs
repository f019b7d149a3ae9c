//! Control processes that are killed: nobody moves, the others are unknown until the next process has called them, and a
//! switch is felt by nobody afterwards.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::Value;

use super::pair;
use crate::build_tandem;
use crate::drill::node::{Node, signal};
use crate::lab::{Filter, Namespace, PATIENCE, Switch};

const KILLS: usize = 2;
/// What the members say to each other, whoever has called.
const CHANNEL: [&str; 2] = ["tcp dport 7401", "tcp sport 7401"];

pub(super) fn play() -> Result<String, String> {
    let say = |e: io::Error| format!("the lab: {e}");
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut switch = Switch::new().map_err(say)?;
    let hosts = pair::hosts(&mut switch)?;
    let mut nodes = pair::start(folder.path(), &build_tandem::beside_us()?, &hosts, text)?;
    let hosts = hosts.map(Arc::new);
    for _ in 0..KILLS {
        for place in [0, 1] {
            kill(&mut nodes[place], &hosts[place])?;
        }
    }
    for (node, role) in nodes.iter_mut().zip(["master", "backup"]) {
        let stands = |status: &Value| {
            let router = &status["virtual_routers"][0];
            router["role"] == role
                && router["since_ms"].as_u64() >= status["processes"][1]["since_ms"].as_u64()
        };
        node.until("what it was", PATIENCE, stands)?;
        node.until("connected again", PATIENCE, |status| status["members"][0]["ready"] == true)?;
    }
    pair::hand_over(&nodes[0])?;
    nodes[1].until("master", PATIENCE, |status| status["virtual_routers"][0]["role"] == "master")?;
    for node in nodes {
        node.stop()?;
    }
    Ok(format!("{} control processes were killed, and nobody moved", 2 * KILLS))
}

/// Kills a node's control process, which has not lived for long: the next one is not there at once. What it says is kept
/// away until it was seen without news.
fn kill(node: &mut Node, host: &Arc<Namespace>) -> Result<(), String> {
    node.until("connected", PATIENCE, |status| status["members"][0]["state"] == "connected")?;
    let children = node.children();
    let control = children.iter().find(|(name, _)| name == "control").ok_or("there is no control process")?;
    // Without nft that must be seen in time.
    let is_there = crate::find_program("nft").is_some();
    let silence = is_there.then(|| Filter::at_host(host, &CHANNEL)).transpose()?;
    signal(control.1, Signal::KILL);
    node.until("without news of the other", PATIENCE, |status| {
        let member = &status["members"][0];
        member["state"] == "calling" && member["ready"].is_null() && member["heard_ms"].is_null()
    })?;
    drop(silence);
    Ok(())
}

fn text(folder: &Path) -> String {
    format!(
        "global\n    nbthread 1\n    stats socket {0}/stats.sock level admin\n\
         defaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n\
         frontend web\n    bind :80\n    http-request return status 200\n\
         cluster c\n    member lb1 192.0.2.11\n    member lb2 192.0.2.12\n\
         \x20   crt {0}/cluster.pem ca-file {0}/cluster-ca.pem\n\
         virtual-router web\n    interface eth0\n    vrid 51\n    advert-interval 100ms\n    address 192.0.2.100/24\n",
        folder.display(),
    )
}
