//! What runs on the two machines: Tandem, or what most people have there.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::keepalived::Keepalived;
use super::node::{Node, signal};
use crate::build_tandem;
use crate::lab::Namespace;
use rustix::process::Signal;

/// The programs of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stack {
    /// Tandem
    Tandem,
    /// keepalived 2 with HAProxy, a check script and peers
    Keepalived,
    /// One after the other
    Both,
}

impl Stack {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tandem => "tandem",
            Self::Keepalived => "keepalived",
            Self::Both => "both",
        }
    }

    pub(crate) fn each(self) -> &'static [Self] {
        match self {
            Self::Tandem => &[Self::Tandem],
            Self::Keepalived => &[Self::Keepalived],
            Self::Both => &[Self::Tandem, Self::Keepalived],
        }
    }
}

/// What a node says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Master,
    /// Ready to take over: healthy, and it has learnt what the other knows.
    Backup,
}

/// The programs of one machine.
pub(crate) trait Member {
    /// Every process.
    fn processes(&self) -> Vec<i32>;
    /// The process that carries traffic.
    fn worker(&self) -> Option<i32>;
    /// `None` while it is neither, or does not say.
    fn role(&self) -> Option<Role>;
    /// The end of its log.
    fn tail(&self) -> String;
    /// An answer of HAProxy's socket.
    fn runtime(&self, command: &str) -> Result<String, String>;
    /// Has the other machine take over, and lives on.
    fn hand_over(&mut self) -> Result<(), String>;
    /// Stops in order, and waits until it has.
    fn stop(&mut self) -> Result<(), String>;
    /// Has it read its file anew.
    fn reload(&mut self) -> Result<(), String>;
    /// Kills these processes of it at once.
    fn kill(&mut self, processes: &[i32]);
    /// Why it became what it is.
    fn why(&self) -> Option<String>;
}

/// What all runs share: the programs, the example, and what members know each other by.
pub(crate) struct Programs {
    stack: Stack,
    tandem: PathBuf,
    example: PathBuf,
    base: PathBuf,
    advert: String,
}

pub(crate) const NAMES: [&str; 2] = ["lb1", "lb2"];

impl Programs {
    pub(crate) fn new(stack: Stack, base: &Path, advert: &str) -> Result<Self, String> {
        let tandem = build_tandem::beside_us()?;
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/pair.cfg");
        let programs = Self { stack, tandem, example, base: base.to_path_buf(), advert: advert.to_owned() };
        for node in NAMES {
            // What an earlier drill kept here is of another cluster.
            let _ = std::fs::remove_dir_all(base.join(node));
        }
        if stack == Stack::Tandem {
            programs.make_certificates()?;
        }
        Ok(programs)
    }

    fn make_certificates(&self) -> Result<(), String> {
        let (one, two) = (self.base.join("lb1/etc"), self.base.join("lb2/etc"));
        let mut init = Command::new(&self.tandem);
        init.args(["cluster", "init", "-L", "lb1", "-f"]).arg(&self.example).arg("--dir").arg(&one);
        let mut join = Command::new(&self.tandem);
        join.args(["cluster", "join"]).arg(one.join("lb2.bundle")).arg("--dir").arg(two);
        for command in [&mut init, &mut join] {
            let output = command.env("TANDEM_ADVERT", &self.advert).output();
            let output = output.map_err(|e| format!("cannot start '{}': {e}", self.tandem.display()))?;
            if !output.status.success() {
                return Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)));
            }
        }
        Ok(())
    }

    /// Starts a machine's programs.
    pub(crate) fn start(&self, node: usize, host: &Namespace) -> Result<Box<dyn Member>, String> {
        let (name, folder) = (NAMES[node], self.base.join(NAMES[node]));
        if self.stack == Stack::Keepalived {
            return Ok(Box::new(Keepalived::start(node, &self.base, &self.example, &self.advert, host)?));
        }
        let files = [("-f", self.example.as_path())];
        Ok(Box::new(Node::start(name, &self.tandem, &files, &self.advert, &folder, host)?))
    }
}

impl Member for Node {
    fn processes(&self) -> Vec<i32> {
        self.children().into_iter().map(|(_, pid)| pid).chain([self.pid()]).collect()
    }

    fn worker(&self) -> Option<i32> {
        self.children().into_iter().find(|(name, _)| name == "worker").map(|(_, pid)| pid)
    }

    fn role(&self) -> Option<Role> {
        let status = self.status()?;
        let is_well = status["health"] == "healthy" && status["worker"]["tables_are"] == "learnt";
        match status["virtual_routers"][0]["role"].as_str()? {
            "master" => Some(Role::Master),
            "backup" if is_well => Some(Role::Backup),
            _ => None,
        }
    }

    fn tail(&self) -> String {
        self.log_tail()
    }

    fn runtime(&self, command: &str) -> Result<String, String> {
        Self::runtime(self, command)
    }

    fn hand_over(&mut self) -> Result<(), String> {
        self.order("failover")
    }

    fn stop(&mut self) -> Result<(), String> {
        self.end()
    }

    fn reload(&mut self) -> Result<(), String> {
        self.order("reload")
    }

    fn kill(&mut self, processes: &[i32]) {
        processes.iter().for_each(|pid| signal(*pid, Signal::KILL));
        self.kill_all(&[]);
    }

    fn why(&self) -> Option<String> {
        self.status()?["virtual_routers"][0]["why"].as_str().map(str::to_owned)
    }
}
