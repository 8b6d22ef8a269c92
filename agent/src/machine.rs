//! What this machine has: processors, memory, platform.
//!
//! Runtimes that have an engine ask the engine instead, since it may run elsewhere (in a virtual
//! machine, say).

use nix::unistd::{SysconfVar, sysconf};
use skep_proto::{
    NANO_CPUS,
    v1::{Platform, Resources},
};
use std::{fs, io, path::Path, thread};

/// What the operator keeps from tasks, for other uses of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reserve {
    /// In nano-CPUs: 1,000,000,000 are one CPU.
    pub nano_cpus: i64,
    /// Bytes.
    pub memory_bytes: i64,
}

/// What a reserve leaves nothing of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReservedWhole {
    /// All processors.
    Processors,
    /// All memory.
    Memory,
}

impl Reserve {
    /// What tasks get nothing of on a machine of this size; none where they get something of each.
    pub fn takes_whole(self, whole: &Resources) -> Option<ReservedWhole> {
        let takes = |reserved: i64, has: i64| reserved > 0 && reserved >= has;
        if takes(self.nano_cpus, whole.nano_cpus) {
            Some(ReservedWhole::Processors)
        } else if takes(self.memory_bytes, whole.memory_bytes) {
            Some(ReservedWhole::Memory)
        } else {
            None
        }
    }

    /// What is left for tasks; never below zero.
    pub fn taken_off(self, whole: &Resources) -> Resources {
        Resources {
            nano_cpus: whole.nano_cpus.saturating_sub(self.nano_cpus).max(0),
            memory_bytes: whole.memory_bytes.saturating_sub(self.memory_bytes).max(0),
            generic: whole.generic.clone(),
        }
    }
}

/// Processors that this process may use, and the machine's whole memory. A machine that cannot be
/// looked at now (no file descriptors are left, say) is an error and never a smaller machine.
pub fn resources() -> io::Result<Resources> {
    read_resources(Path::new("/proc"))
}

fn read_resources(proc: &Path) -> io::Result<Resources> {
    // The processors that a control group allows are read from here too, and an error there goes
    // unsaid.
    fs::read_to_string(proc.join("self/cgroup"))?;
    let cpus = thread::available_parallelism()?.get();
    let meminfo = fs::read_to_string(proc.join("meminfo"))?;
    let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo names no total");
    Ok(Resources {
        nano_cpus: i64::try_from(cpus).unwrap_or(1).saturating_mul(NANO_CPUS),
        memory_bytes: total_memory(&meminfo).ok_or_else(unreadable)?,
        generic: Vec::new(),
    })
}

/// What the whole machine has, with the processors that this process may not use: an engine on the
/// same machine offers no more.
pub fn online() -> io::Result<Resources> {
    let own = resources()?;
    let processors = sysconf(SysconfVar::_NPROCESSORS_ONLN)?.unwrap_or(0);
    Ok(Resources { nano_cpus: own.nano_cpus.max(processors.saturating_mul(NANO_CPUS)), ..own })
}

/// As Docker names them: `linux`, `amd64`.
pub fn platform() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Platform { architecture: architecture.into(), os: std::env::consts::OS.into() }
}

/// The machine's own name; empty where the kernel does not say.
pub fn hostname() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

fn total_memory(meminfo: &str) -> Option<i64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: i64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(total_memory("MemFree: 1 kB\nMemTotal:       24 kB\n"), Some(24 * 1024));
        assert_eq!(total_memory("MemTotal: much"), None);
        let whole = resources().unwrap();
        assert!(whole.memory_bytes > 0 && whole.nano_cpus >= NANO_CPUS);
        assert!(online().unwrap().nano_cpus >= whole.nano_cpus);
    }

    #[test]
    fn a_machine_that_cannot_be_looked_at_is_an_error_and_not_a_smaller_machine() {
        let proc = tempfile::tempdir().unwrap();
        assert!(read_resources(proc.path()).is_err());
        fs::create_dir(proc.path().join("self")).unwrap();
        fs::write(proc.path().join("self/cgroup"), "0::/\n").unwrap();
        fs::write(proc.path().join("meminfo"), "").unwrap();
        assert!(read_resources(proc.path()).is_err());
        fs::write(proc.path().join("meminfo"), "MemTotal: 24 kB\n").unwrap();
        assert_eq!(read_resources(proc.path()).unwrap().memory_bytes, 24 * 1024);
    }

    #[test]
    fn a_reserve_that_takes_all_of_something_is_known_as_that() {
        let whole = Resources { nano_cpus: 2 * NANO_CPUS, memory_bytes: 1000, generic: Vec::new() };
        let of = |nano_cpus, memory_bytes| Reserve { nano_cpus, memory_bytes }.takes_whole(&whole);
        assert_eq!(of(2 * NANO_CPUS - 1, 999), None);
        assert_eq!(of(2 * NANO_CPUS, 0), Some(ReservedWhole::Processors));
        assert_eq!(of(0, 1000), Some(ReservedWhole::Memory));
        let untold = Resources::default();
        assert_eq!(Reserve::default().takes_whole(&untold), None, "nothing is reserved");
    }

    #[test]
    fn what_is_kept_is_taken_off_and_never_goes_below_zero() {
        let whole = Resources { nano_cpus: 2 * NANO_CPUS, memory_bytes: 1000, generic: Vec::new() };
        let left = Reserve { nano_cpus: NANO_CPUS / 2, memory_bytes: 4000 }.taken_off(&whole);
        assert_eq!((left.nano_cpus, left.memory_bytes), (1_500_000_000, 0));
    }
}
