//! A master whose processes are killed and started again: it keeps its addresses if nobody has followed it, and gives
//! them up at once if somebody has.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::pair;
use crate::build_tandem;
use crate::drill::node::Node;
use crate::lab::{self, Namespace, PATIENCE, Switch};

const LOOK: Duration = Duration::from_millis(5);
/// Longer than the kernel keeps an address that nobody renews.
const LIFETIME: Duration = Duration::from_millis(2_500);
const FLOATING: &str = "192.0.2.100";

pub(super) fn play() -> Result<String, String> {
    let say = |e: std::io::Error| format!("the lab: {e}");
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut switch = Switch::new().map_err(say)?;
    let hosts = pair::hosts(&mut switch)?;
    let stage = Stage { folder: folder.path().to_path_buf(), tandem: build_tandem::beside_us()?, hosts };
    let resumed = stage.nobody_follows()?;
    let given_up = stage.somebody_follows()?;
    Ok(format!(
        "master again {} ms after its death without losing the address; followed, it gave it up {} ms after its start",
        resumed.as_millis(),
        given_up.as_millis()
    ))
}

struct Stage {
    folder: PathBuf,
    tandem: PathBuf,
    hosts: [Namespace; 2],
}

impl Stage {
    fn nobody_follows(&self) -> Result<Duration, String> {
        let mut node = self.start(0)?;
        self.until("the only node has the address", |s| s.holds(0) == Ok(true))?;
        let children = node.children();
        let begin = Instant::now();
        node.kill_all(&children);
        let mut again = self.start(0)?;
        let is_master = |status: &serde_json::Value| status["virtual_routers"][0]["role"] == "master";
        let mut missed = 0;
        let mut resumed = None;
        while begin.elapsed() < LIFETIME {
            missed += u32::from(!self.holds(0)?);
            if resumed.is_none() && again.status().as_ref().is_some_and(is_master) {
                resumed = Some(begin.elapsed());
            }
            std::thread::sleep(LOOK);
        }
        again.until("master", PATIENCE, is_master)?;
        again.stop()?;
        if missed > 0 {
            return Err(format!("the address was gone for {missed} looks; master again: {resumed:?}"));
        }
        resumed.ok_or_else(|| "it was not master again".to_owned())
    }

    fn somebody_follows(&self) -> Result<Duration, String> {
        let mut first = self.start(0)?;
        self.until("the first node has the address", |s| s.holds(0) == Ok(true))?;
        let mut second = self.start(1)?;
        second.until("backup", PATIENCE, |s| s["virtual_routers"][0]["role"] == "backup")?;
        let children = first.children();
        first.kill_all(&children);
        self.until("the second one has followed", |s| s.holds(1) == Ok(true))?;
        let begin = Instant::now();
        let mut again = self.start(0)?;
        self.until("the first one has given it up", |s| s.holds(0) == Ok(false))?;
        let given_up = begin.elapsed();
        again.until("backup", PATIENCE, |s| s["virtual_routers"][0]["role"] == "backup")?;
        if !self.holds(1)? {
            return Err("the second one has lost it".to_owned());
        }
        again.stop()?;
        second.stop()?;
        Ok(given_up)
    }

    fn start(&self, place: usize) -> Result<Node, String> {
        let name = ["lb1", "lb2"][place];
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        let file = folder.join("tandem.cfg");
        let text = format!(
            "global\n    stats socket {}/stats.sock\ndefaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n\
             frontend web\n    bind :80\n    http-request return status 200\n\
             virtual-router web\n    interface eth0\n    vrid 51\n    multicast\n    advert-interval 100ms\n    address {FLOATING}/24\n",
            folder.display(),
        );
        std::fs::write(&file, text).map_err(|e| e.to_string())?;
        let files: [(&str, &Path); 1] = [("-f", &file)];
        Node::start(name, &self.tandem, &files, "100ms", &folder, &self.hosts[place])
    }

    /// Whether a node has the address.
    fn holds(&self, place: usize) -> Result<bool, String> {
        let found = lab::addresses_of(&self.hosts[place], "eth0").map_err(|e| e.to_string())?;
        Ok(found.iter().any(|address| address.to_string() == FLOATING))
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        lab::until(what, || holds(self))
    }
}
