//! Which boot this is, and whether a process number still means the process that it was given to.
//!
//! Numbers are given again, after a reboot almost surely so. A process is named by three things:
//! the boot's id, its number, and its start time in clock ticks since boot.

use super::notes::RunningProcess;
use std::fs;

/// The id of the machine's current boot; empty where the kernel does not tell.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// Parent and start ticks of a process; none when there is no such process.
pub(crate) fn parent_and_start(pid: i32) -> Option<(i32, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether the process of the note is still that one, dead or alive.
pub(crate) fn is_same(running: &RunningProcess) -> bool {
    running.boot == boot_id()
        && parent_and_start(running.pid).is_some_and(|(_, start)| start == running.start_ticks)
}

/// Whether there is such a process and it has not ended.
pub(crate) fn is_running(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rfind(')').and_then(|end| stat.get(end + 2..end + 3)) != Some("Z"))
}

/// Every process whose parent is `parent`.
pub(crate) fn children_of(parent: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| parent_and_start(*pid).is_some_and(|(its, _)| its == parent))
        .collect()
}

/// Fields 4 and 22. The second field is the program's name in parentheses, which may hold blanks
/// and parentheses.
fn parse_stat(stat: &str) -> Option<(i32, u64)> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some((parent, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let stat = "42 (a) b (c)) S 7 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 123456 1 1 1";
        assert_eq!(parse_stat(stat), Some((7, 123_456)));
    }

    #[test]
    fn a_number_of_another_boot_or_start_is_not_the_same() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let (_, start_ticks) = parent_and_start(pid).unwrap();
        let me = RunningProcess { pid, boot: boot_id(), start_ticks, at: 0 };
        assert!(is_same(&me));
        assert!(!is_same(&RunningProcess { boot: "another".into(), ..me.clone() }));
        assert!(!is_same(&RunningProcess { start_ticks: start_ticks + 1, ..me }));
    }
}
