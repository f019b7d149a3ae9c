//! What does not get through: rules of nftables, by the real program.

use std::fmt::Write;
use std::process::Command;
use std::sync::Arc;

use super::Namespace;

/// Packets that are dropped for as long as this lives.
pub(crate) struct Filter {
    /// Where; the switch if nowhere else.
    host: Option<Arc<Namespace>>,
    family: &'static str,
}

impl Filter {
    /// Drops what passes the switch and matches any of these.
    pub(crate) fn at_switch(matches: &[&str]) -> Result<Self, String> {
        Self { host: None, family: "bridge" }.load("forward", matches)
    }

    /// Drops what reaches a host and matches any of these.
    pub(crate) fn at_host(host: &Arc<Namespace>, matches: &[&str]) -> Result<Self, String> {
        Self { host: Some(Arc::clone(host)), family: "ip" }.load("input", matches)
    }

    fn load(self, hook: &str, matches: &[&str]) -> Result<Self, String> {
        let family = self.family;
        let mut text = format!(
            "add table {family} fault\nadd chain {family} fault drops {{ type filter hook {hook} priority 0; }}\n"
        );
        for packets in matches {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "add rule {family} fault drops {packets} drop");
        }
        self.nft(&text).map(|()| self)
    }

    fn nft(&self, text: &str) -> Result<(), String> {
        let program = crate::find_program("nft").ok_or("nft is not installed (package nftables)")?;
        let mut command = Command::new(program);
        command.arg(text);
        let output = match &self.host {
            Some(host) => host.inside(move || command.output()).and_then(|output| output),
            None => command.output(),
        };
        let output = output.map_err(|e| format!("nft: {e}"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("nft refuses '{text}': {}", String::from_utf8_lossy(&output.stderr)))
        }
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // It vanishes with the lab at the latest.
        let _ = self.nft(&format!("delete table {} fault", self.family));
    }
}
