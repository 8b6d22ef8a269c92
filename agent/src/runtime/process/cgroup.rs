//! Control groups, where this machine permits them: they limit a task and name all of its
//! processes.
//!
//! With version 1 a task's groups stand below the agent's own, one in each hierarchy: the agent's
//! own limits go on holding for what it starts. Version 2 does not allow processes and limited
//! groups side by side, so there they stand in `skep` at the top, as an engine's do. Every task has
//! at least one group, so that what left its session is found all the same. Whether all that is
//! possible is tried at the start; where it is not, limits are not offered, and placement sends no
//! task that wants them.

use super::notes::ControlGroup;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Length of the scheduler's accounting period, the kernel's own default.
const CPU_PERIOD_US: i64 = 100_000;
/// A quota below this is refused by the kernel.
const CPU_QUOTA_US_MIN: i64 = 1_000;

/// Where groups may be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Hierarchy {
    /// One folder for each controller.
    V1 { cpu: PathBuf, memory: PathBuf, pids: PathBuf },
    /// One folder for all.
    V2 { root: PathBuf },
}

/// What a task may use at most; 0 is without limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct CgroupLimits {
    pub(crate) nano_cpus: i64,
    pub(crate) memory_bytes: i64,
    pub(crate) pids: i64,
}

impl Hierarchy {
    /// Finds the hierarchies and tries them; none when one thing or another is not permitted.
    pub(crate) fn probe() -> Option<Hierarchy> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let newer = v2_root(&mounts).map(|root| Hierarchy::V2 { root });
        let found = newer.or_else(|| v1_folders(&mounts, &own))?;
        let limits = CgroupLimits { nano_cpus: 1_000_000_000, memory_bytes: 64 << 20, pids: 64 };
        // Of its own name: other agents, in this process too, may try at the same time.
        static PROBES: AtomicU64 = AtomicU64::new(0);
        let name =
            format!("probe-{}-{}", std::process::id(), PROBES.fetch_add(1, Ordering::Relaxed));
        let groups = found.groups(&name, limits);
        let works = make(&groups).is_ok();
        remove(&groups);
        works.then_some(found)
    }

    /// Every group that a task of whatever limits may have.
    pub(crate) fn all_groups(&self, task: &str) -> Vec<ControlGroup> {
        let roots = match self {
            Hierarchy::V1 { cpu, memory, pids } => vec![cpu, memory, pids],
            Hierarchy::V2 { root } => vec![root],
        };
        let group = |root: &PathBuf| ControlGroup { path: root.join(task), settings: Vec::new() };
        roots.into_iter().map(group).collect()
    }

    /// The groups of one task: one that holds its processes, and those that its limits need.
    pub(crate) fn groups(&self, task: &str, limits: CgroupLimits) -> Vec<ControlGroup> {
        let CgroupLimits { nano_cpus, memory_bytes, pids } = limits;
        let quota = (nano_cpus / (1_000_000_000 / CPU_PERIOD_US)).max(CPU_QUOTA_US_MIN);
        let text = |name: &str, value: i64| (name.to_owned(), value.to_string());
        match self {
            Hierarchy::V1 { cpu, memory, pids: pids_root } => {
                let cpu_files =
                    vec![text("cpu.cfs_period_us", CPU_PERIOD_US), text("cpu.cfs_quota_us", quota)];
                let wanted = [
                    (nano_cpus, cpu, cpu_files),
                    (memory_bytes, memory, vec![text("memory.limit_in_bytes", memory_bytes)]),
                ];
                let limited = wanted.into_iter().filter(|(value, _, _)| *value > 0);
                let limited = limited.map(|(_, root, settings)| (root, settings));
                let pids_max = if pids > 0 { vec![text("pids.max", pids)] } else { Vec::new() };
                let all = limited.chain([(pids_root, pids_max)]);
                all.map(|(root, settings)| ControlGroup { path: root.join(task), settings })
                    .collect()
            }
            Hierarchy::V2 { root } => {
                let mut settings = Vec::new();
                if nano_cpus > 0 {
                    settings.push(("cpu.max".to_owned(), format!("{quota} {CPU_PERIOD_US}")));
                }
                if memory_bytes > 0 {
                    settings.push(text("memory.max", memory_bytes));
                }
                if pids > 0 {
                    settings.push(text("pids.max", pids));
                }
                vec![ControlGroup { path: root.join(task), settings }]
            }
        }
    }
}

fn v2_root(mounts: &str) -> Option<PathBuf> {
    let top = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let top = top
        .filter(|fields| fields.get(2) == Some(&"cgroup2"))
        .find_map(|fields| fields.get(1).map(PathBuf::from))?;
    let offered = fs::read_to_string(top.join("cgroup.controllers")).ok()?;
    let all = ["cpu", "memory", "pids"]
        .iter()
        .all(|name| offered.split_whitespace().any(|has| has == *name));
    let root = top.join("skep");
    let enable = "+cpu +memory +pids";
    let works = all
        && fs::write(top.join("cgroup.subtree_control"), enable).is_ok()
        && fs::create_dir_all(&root).is_ok()
        && fs::write(root.join("cgroup.subtree_control"), enable).is_ok();
    works.then_some(root)
}

fn v1_folders(mounts: &str, own: &str) -> Option<Hierarchy> {
    let folder = |controller: &str| -> Option<PathBuf> {
        let names = |list: &str| list.split(',').any(|name| name == controller);
        let top = mounts.lines().find_map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            let right = fields.get(2) == Some(&"cgroup")
                && fields.get(3).is_some_and(|options| names(options));
            right.then(|| PathBuf::from(fields[1]))
        })?;
        let path = own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            names(fields.next()?).then(|| fields.next()).flatten()
        })?;
        Some(top.join(path.trim_start_matches('/')).join("skep"))
    };
    Some(Hierarchy::V1 { cpu: folder("cpu")?, memory: folder("memory")?, pids: folder("pids")? })
}

/// Makes the groups and sets their limits.
pub(crate) fn make(groups: &[ControlGroup]) -> io::Result<()> {
    for group in groups {
        let said = |error: io::Error, what: &Path| {
            let message =
                format!("cannot put the task into a control group, {}: {error}", what.display());
            io::Error::new(error.kind(), message)
        };
        fs::create_dir_all(&group.path).map_err(|error| said(error, &group.path))?;
        for (name, value) in &group.settings {
            let file = group.path.join(name);
            fs::write(&file, value).map_err(|error| said(error, &file))?;
        }
    }
    Ok(())
}

/// Takes the groups away. One that is gone or still has a process in it is left to the next call.
/// The folder above stays: other tasks may be about to use it.
pub(crate) fn remove(groups: &[ControlGroup]) {
    for group in groups {
        let _ = fs::remove_dir(&group.path);
    }
}

/// Every process in the groups.
pub(crate) fn processes(groups: &[ControlGroup]) -> Vec<i32> {
    let lists =
        groups.iter().filter_map(|group| fs::read_to_string(group.path.join("cgroup.procs")).ok());
    lists
        .flat_map(|list| list.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Whether the kernel killed something in the groups for lack of memory.
pub(crate) fn ran_out_of_memory(groups: &[ControlGroup]) -> bool {
    let files = ["memory.events", "memory.oom_control"];
    let texts = groups
        .iter()
        .flat_map(|group| files.map(|name| fs::read_to_string(group.path.join(name)).ok()));
    texts.flatten().any(|text| {
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse::<u64>().ok()).is_some_and(|count| count > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_folders_stand_below_the_agents_own() {
        let mounts = "cgroup /cg/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup /cg/memory cgroup rw,memory 0 0\n\
                      cgroup /cg/pids cgroup rw,pids 0 0\n";
        let own = "5:pids:/\n4:memory:/box/one\n1:cpu,cpuacct:/\n0::/\n";
        let found = v1_folders(mounts, own).unwrap();
        let Hierarchy::V1 { cpu, memory, pids } = &found else { panic!("{found:?}") };
        assert_eq!(
            (cpu.as_path(), pids.as_path()),
            (Path::new("/cg/cpu/skep"), Path::new("/cg/pids/skep"))
        );
        assert_eq!(memory, Path::new("/cg/memory/box/one/skep"));
        let groups =
            found.groups("t", CgroupLimits { nano_cpus: 500_000_000, ..CgroupLimits::default() });
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].settings[1], ("cpu.cfs_quota_us".to_owned(), "50000".to_owned()));
        assert_eq!(
            groups[1],
            ControlGroup { path: "/cg/pids/skep/t".into(), settings: Vec::new() }
        );
    }

    #[test]
    fn a_task_without_limits_has_a_group_that_limits_nothing() {
        let group = ControlGroup { path: "/cg/skep/t".into(), settings: Vec::new() };
        let root = PathBuf::from("/cg/skep");
        assert_eq!(Hierarchy::V2 { root }.groups("t", CgroupLimits::default()), [group]);
    }
}
