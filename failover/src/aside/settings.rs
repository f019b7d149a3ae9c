//! Settings of interfaces that keep ARP from speaking of addresses on the loopback, where the kernel has no rules for
//! that. Several may want the same one: it is put back with the last of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Answer ARP only for addresses of the interface it came by, and ask with addresses of the interface
/// alone (the kernel's ip-sysctl document, `arp_ignore` and `arp_announce`).
const SETTINGS: [(&str, &str); 2] = [("arp_ignore", "1"), ("arp_announce", "2")];

/// How many want each setting, and what it was before the first one did.
static WANTED: Mutex<BTreeMap<PathBuf, (usize, String)>> = Mutex::new(BTreeMap::new());

/// Settings that hold while this lives.
pub(super) struct Settings(Vec<PathBuf>);

impl Settings {
    /// `root`: where the kernel shows its settings.
    pub(super) fn begin(root: &Path, interfaces: &BTreeSet<&str>) -> io::Result<Self> {
        // What was set is put back even when the next one is refused.
        let mut settings = Self(Vec::new());
        for interface in interfaces {
            // A name with a slash would be another file.
            if interface.contains('/') {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            for (name, value) in SETTINGS {
                let path = root.join("net/ipv4/conf").join(interface).join(name);
                want(&path, value)?;
                settings.0.push(path);
            }
        }
        Ok(settings)
    }
}

fn want(path: &Path, value: &str) -> io::Result<()> {
    let mut wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((count, _)) = wanted.get_mut(path) {
        *count += 1;
        return Ok(());
    }
    let before = std::fs::read_to_string(path)?;
    std::fs::write(path, value)?;
    wanted.insert(path.to_owned(), (1, before));
    Ok(())
}

impl Drop for Settings {
    fn drop(&mut self) {
        let mut wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
        for path in self.0.drain(..) {
            let Some((count, before)) = wanted.get_mut(&path) else { continue };
            *count -= 1;
            if *count > 0 {
                continue;
            }
            if let Err(error) = std::fs::write(&path, before) {
                tracing::warn!(path = %path.display(), %error, "a setting cannot be put back");
            }
            wanted.remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(interfaces: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for interface in interfaces {
            let folder = root.path().join("net/ipv4/conf").join(interface);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("arp_ignore"), "0\n").unwrap();
            std::fs::write(folder.join("arp_announce"), "1\n").unwrap();
        }
        root
    }

    fn set(root: &Path, interface: &str) -> [String; 2] {
        let folder = root.join("net/ipv4/conf").join(interface);
        SETTINGS.map(|(name, _)| std::fs::read_to_string(folder.join(name)).unwrap().trim().to_owned())
    }

    #[test]
    fn the_last_one_puts_a_setting_back() {
        let kernel = kernel(&["eth0", "eth1"]);
        let root = kernel.path();
        let first = Settings::begin(root, &BTreeSet::from(["eth0"])).unwrap();
        let second = Settings::begin(root, &BTreeSet::from(["eth0", "eth1"])).unwrap();
        assert_eq!(set(root, "eth0"), ["1", "2"]);
        drop(first);
        assert_eq!(
            (set(root, "eth0"), set(root, "eth1")),
            (["1", "2"].map(str::to_owned), ["1", "2"].map(str::to_owned))
        );
        drop(second);
        assert_eq!(
            (set(root, "eth0"), set(root, "eth1")),
            (["0", "1"].map(str::to_owned), ["0", "1"].map(str::to_owned))
        );
    }

    #[test]
    fn what_cannot_be_set_leaves_nothing_set() {
        let kernel = kernel(&["eth0"]);
        let refused = Settings::begin(kernel.path(), &BTreeSet::from(["eth0", "eth9"]));
        assert!(refused.is_err());
        assert_eq!(set(kernel.path(), "eth0"), ["0", "1"]);
        assert!(Settings::begin(kernel.path(), &BTreeSet::from(["../eth0"])).is_err());
    }
}
