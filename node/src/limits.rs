//! The descriptors of this process: the limit is raised to what the configuration needs, at every way of starting, and
//! what does not fit is refused before anything is opened.

use std::path::{Path, PathBuf};

use proxy::{Given, Limits, MOST_DESCRIPTORS, TooFew};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Everything;

/// Where the limits of control groups are.
const GROUPS: &str = "/sys/fs/cgroup";
/// Fewer connections than this, where the file names no number, are worth a word: HAProxy does not start then.
const FEW: u64 = 100;

/// Finds out how many connections this process carries, and raises its limit of descriptors to what they need. To be
/// called before privileges are dropped: with them the hard limit is raised too.
///
/// # Errors
/// There are not descriptors enough for what the file asks for.
pub(crate) fn secure(everything: &Everything, cores: usize) -> Result<Limits, String> {
    let config = &everything.proxy;
    let members = everything.cluster.as_ref().map_or(0, |cluster| cluster.members.len());
    let machines = members + config.peers.iter().map(|section| section.members.len()).sum::<usize>();
    let memory = memory();
    let plan = || {
        let descriptors = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        Limits::plan(config, cores, machines, Given { descriptors, memory })
    };
    let mut planned = plan();
    let short = match &planned {
        Ok(limits) => limits.short,
        Err(short) => Some(*short),
    };
    let asked = config.global.ulimit_n.or(short.map(|short| short.needed));
    if let Some(asked) = asked
        && raise_hard(asked)
    {
        planned = plan();
    }
    let mut limits = planned.map_err(|short: TooFew| short.to_string())?;
    if let Some(short) = limits.short {
        tracing::warn!(
            connections = limits.connections,
            "not as many connections as 'maxconn' says are served: {short}"
        );
    } else if config.global.maxconn.is_none() && limits.connections < FEW {
        tracing::warn!(
            connections = limits.connections,
            descriptors = limits.allowed,
            "few connections can be served: raise the limit of file descriptors (LimitNOFILE=, 'ulimit -n')"
        );
    }
    limits.allowed = raise_soft(config.global.ulimit_n, limits.needed())?;
    Ok(limits)
}

/// Raises the hard limit, where this process may; whether it did.
fn raise_hard(wanted: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let is_enough = limit.maximum.is_none_or(|hard| hard >= wanted);
    if is_enough || wanted > MOST_DESCRIPTORS {
        return false;
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.current, maximum: Some(wanted) }).is_ok()
}

/// Raises the soft limit to what is needed, or sets it to what `ulimit-n` says; gives what it is then.
fn raise_soft(asked: Option<u64>, needed: u64) -> Result<u64, String> {
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    let wanted = match asked {
        Some(asked) if limit.maximum.is_some_and(|hard| asked > hard) => {
            return Err(format!(
                "'ulimit-n {asked}' : this process may have {} file descriptors at most: leave the line out, or raise \
                 the limit (systemd: 'LimitNOFILE={asked}')",
                limit.maximum.unwrap_or(0)
            ));
        }
        Some(asked) => asked,
        None if soft >= needed => return Ok(soft),
        None => needed,
    };
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
        .map_err(|e| format!("the limit of file descriptors cannot be set to {wanted}: {e}"))?;
    Ok(wanted)
}

/// Bytes of memory this process may use: the machine's, its control groups', and its own limit ('-m').
fn memory() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| of_machine(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let of_group = |path: PathBuf| read(&path)?.trim().parse::<u64>().ok();
    let of_groups = limit_files(&groups).into_iter().filter_map(of_group);
    let own = getrlimit(Resource::As).current;
    of_groups.chain(machine).chain(own).min()
}

/// The memory of a machine in bytes, of the text of `/proc/meminfo`.
fn of_machine(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes.saturating_mul(1_024))
}

/// The files that limit the memory of a process' groups and of those they are in, of the text of `/proc/self/cgroup`.
fn limit_files(text: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (folder, name) = match controllers {
            "" => (PathBuf::from(GROUPS), "memory.max"),
            list if list.split(',').any(|one| one == "memory") => {
                (Path::new(GROUPS).join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let inside = Path::new(path.trim_start_matches('/'));
        files.extend(inside.ancestors().map(|group| folder.join(group).join(name)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_machine_and_of_every_group_above() {
        assert_eq!(of_machine("MemTotal:       24683584 kB\nMemFree: 1 kB\n"), Some(24_683_584 * 1_024));
        assert_eq!(of_machine("MemFree: 1 kB\n"), None);
        let files = limit_files("4:memory:/a/b\n1:cpu:/\n0::/system.slice/x.service\n");
        let expected = [
            "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/system.slice/x.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(files, expected.map(PathBuf::from));
        assert_eq!(limit_files("nonsense\n\n"), Vec::<PathBuf>::new());
    }
}
