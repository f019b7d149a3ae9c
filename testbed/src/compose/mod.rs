//! What the containers of docker-compose.yml run beside `tandem`, and the folder their image is made of.

mod client;
mod image;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use client::ask;
pub(crate) use image::fill;

use crate::server;

/// Bytes of every answer.
const BODY: usize = 1_024;
const HTTP: u16 = 8_080;
const DATABASE: u16 = 3_306;

/// Serves as a server of the example, on every address of its container.
pub(crate) fn serve(name: &str) -> Result<String, String> {
    let names = [("s1", "db1"), ("s2", "db2")];
    let (web, database) = names
        .into_iter()
        .find(|(web, _)| *web == name)
        .ok_or_else(|| format!("the example has no server '{name}': s1 or s2 is expected"))?;
    let everywhere = |port| SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    let servers = [(web, everywhere(HTTP)), (database, everywhere(DATABASE))];
    server::serve(&servers, BODY).map(|()| String::new()).map_err(|e| e.to_string())
}

/// Makes the members' certificates where there are none yet.
pub(crate) fn prepare(file: &Path, folder: &Path) -> Result<String, String> {
    let (one, two) = (folder.join("lb1"), folder.join("lb2"));
    if two.join("cluster.pem").exists() {
        return Ok("the members have their certificates".to_owned());
    }
    let tandem = PathBuf::from("/tandem");
    let run = |command: &mut Command| {
        let status = command.status().map_err(|e| format!("cannot start '{}' : {e}", tandem.display()))?;
        if status.success() { Ok(()) } else { Err("the certificates cannot be made".to_owned()) }
    };
    let mut init = Command::new(&tandem);
    run(init.args(["cluster", "init", "-L", "lb1", "-f"]).arg(file).arg("--dir").arg(&one))?;
    let mut join = Command::new(&tandem);
    run(join.args(["cluster", "join"]).arg(one.join("lb2.bundle")).arg("--dir").arg(&two))?;
    Ok("the members have certificates now".to_owned())
}
