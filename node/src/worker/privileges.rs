//! What a process that carries traffic gives up before its first thread starts: root, groups, the file system,
//! capabilities.

use failover::users::{find_group, find_user};
use proxy_config::model::{Account, Global};
use rustix::process::{Gid, Resource, Rlimit, Uid, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

/// What helps who lacks the right to become somebody else.
const WHO: &str = "start this program as root, or leave the keyword out";

/// Drops everything; what could not be done, and does not matter for safety, is returned as notes.
///
/// # Errors
/// The file names a user, a group or a root folder that this process cannot have: it must not run, as HAProxy does not.
pub(crate) fn drop_all(global: &Global) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    raise_descriptors(&mut notes);
    // The agent's, where the supervisor was given it.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Rtprio, none).map_err(|e| format!("cannot give up real-time priority: {e}"))?;
    let (user, group) = (global.user.as_ref(), global.group.as_ref());
    let wanted = [
        ("user", user.map(ToString::to_string)),
        ("group", group.map(ToString::to_string)),
        ("chroot", global.chroot.clone()),
    ];
    if is_one_user_namespace() {
        // There is nobody else to become, and its root is none outside.
        let wanted = wanted.into_iter().filter_map(|(name, value)| Some((name, value?)));
        notes.extend(
            wanted.map(|(name, value)| {
                format!("'{name} {value}' has no effect in a namespace that has one user")
            }),
        );
    } else {
        become_other(global)?;
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

/// The number of a user, and its own group where the file gives its name.
pub(crate) fn user(account: &Account) -> Result<(u32, Option<u32>), String> {
    match account {
        Account::Name { name, .. } => find_user(name).map(|(user, group)| (user, Some(group))),
        Account::Number(number) => Ok((*number, None)),
    }
}

/// The number of a group.
pub(crate) fn group(account: &Account) -> Result<u32, String> {
    match account {
        Account::Name { name, .. } => find_group(name),
        Account::Number(number) => Ok(*number),
    }
}

fn become_other(global: &Global) -> Result<(), String> {
    let is_root = rustix::process::geteuid().is_root();
    let to_user = global.user.as_ref().map(user).transpose()?;
    let to_group = match (&global.group, to_user) {
        (Some(account), _) => Some(group(account)?),
        // Root's group does not stay with somebody else.
        (None, Some((_, own))) => own.filter(|_| is_root),
        (None, None) => None,
    };
    if let Some(folder) = &global.chroot {
        rustix::process::chroot(folder.as_str())
            .map_err(|e| format!("cannot chroot to '{folder}' : {e}; {WHO}"))?;
        rustix::process::chdir("/").map_err(|e| format!("cannot enter '{folder}' : {e}"))?;
    }
    if is_root && (to_group.is_some() || to_user.is_some()) {
        set_thread_groups(&[]).map_err(|e| format!("cannot leave root's groups: {e}"))?;
    }
    if let Some(group) = to_group {
        let gid = Gid::from_raw(group);
        set_thread_res_gid(gid, gid, gid).map_err(|e| format!("cannot set gid {group} : {e}; {WHO}"))?;
    }
    if let Some((user, _)) = to_user {
        let uid = Uid::from_raw(user);
        set_thread_res_uid(uid, uid, uid).map_err(|e| format!("cannot set uid {user} : {e}; {WHO}"))?;
    }
    Ok(())
}

/// Whether a child of this process can become what the file says: whoever starts children asks first, so that none is
/// started again and again in vain.
///
/// # Errors
/// It cannot, in the words of [`drop_all`].
pub(crate) fn check(global: &Global) -> Result<(), String> {
    if is_one_user_namespace() {
        return Ok(());
    }
    let held = capabilities(None).map_err(|e| format!("cannot ask for capabilities: {e}"))?.permitted;
    let may = |needed: CapabilitySet| held.contains(needed);
    if let Some(folder) = &global.chroot {
        let is_folder = std::path::Path::new(folder).is_dir();
        if !is_folder || !may(CapabilitySet::SYS_CHROOT) {
            let why = if is_folder { "not permitted" } else { "there is no such folder" };
            return Err(format!("cannot chroot to '{folder}' : {why}; {WHO}"));
        }
    }
    if let Some(account) = &global.group
        && group(account)? != rustix::process::getegid().as_raw()
        && !may(CapabilitySet::SETGID)
    {
        return Err(format!("cannot set gid {account} : not permitted; {WHO}"));
    }
    if let Some(account) = &global.user
        && user(account)?.0 != rustix::process::geteuid().as_raw()
        && !may(CapabilitySet::SETUID)
    {
        return Err(format!("cannot set uid {account} : not permitted; {WHO}"));
    }
    Ok(())
}

/// As many descriptors as the system allows: every connection needs two.
fn raise_descriptors(notes: &mut Vec<String>) {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        notes.push(format!("cannot raise the number of descriptors: {error}"));
    }
}

/// Whether only one user exists here, as in a namespace an ordinary user made.
fn is_one_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    counts.sum::<u64>() == 1
}
