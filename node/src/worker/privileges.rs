//! What a child gives up before its first thread starts: root, groups, the file system, capabilities.

use failover::users::{find_group, find_user};
use proxy_config::model::Global;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

/// Drops everything; what could not be done, and does not matter for safety, is returned as notes.
pub(crate) fn drop_all(global: &Global) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    let wanted = [("user", &global.user), ("group", &global.group), ("chroot", &global.chroot)];
    let wanted: Vec<(&str, &String)> =
        wanted.into_iter().filter_map(|(name, value)| value.as_ref().map(|v| (name, v))).collect();
    let hindrance = if !rustix::process::geteuid().is_root() {
        Some("without root")
    } else if is_one_user_namespace() {
        Some("in a namespace that has one user")
    } else {
        None
    };
    match hindrance {
        Some(where_) => {
            notes.extend(
                wanted.iter().map(|(name, value)| format!("'{name} {value}' has no effect {where_}")),
            );
        }
        None => become_other(global)?,
    }
    set_no_new_privs(true).map_err(|e| format!("cannot forbid new privileges: {e}"))?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(|e| format!("cannot drop capabilities: {e}"))?;
    Ok(notes)
}

fn become_other(global: &Global) -> Result<(), String> {
    let user = global.user.as_deref().map(find_user).transpose()?;
    let group = match (&global.group, user) {
        (Some(name), _) => Some(find_group(name)?),
        (None, Some((_, group))) => Some(group),
        (None, None) => None,
    };
    if let Some(folder) = &global.chroot {
        rustix::process::chroot(folder.as_str()).map_err(|e| format!("cannot chroot to '{folder}' : {e}"))?;
        rustix::process::chdir("/").map_err(|e| format!("cannot enter '{folder}' : {e}"))?;
    }
    if let Some(group) = group {
        let group = Gid::from_raw(group);
        set_thread_groups(&[]).map_err(|e| format!("cannot leave root's groups: {e}"))?;
        set_thread_res_gid(group, group, group).map_err(|e| format!("cannot change the group: {e}"))?;
    }
    if let Some((user, _)) = user {
        let user = Uid::from_raw(user);
        set_thread_res_uid(user, user, user).map_err(|e| format!("cannot change the user: {e}"))?;
    }
    Ok(())
}

/// Whether only one user exists here, as in a namespace an ordinary user made.
fn is_one_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    counts.sum::<u64>() == 1
}
