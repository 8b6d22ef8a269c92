//! The processes of a task, found without its shim and without its folder.
//!
//! Usually the shim knows them all. When it was killed, or when somebody removed the folder, they
//! are found by what every process of a task inherits: its control group where there is one, and
//! two variables of its environment, which also name the shim. A program may overwrite its
//! environment; then the control group or the process group still names it.

use super::{boot, cgroup, notes::ControlGroup};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use skep_proto::Id;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi, fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Names the task to each of its processes.
pub(crate) const TASK_VARIABLE: &str = "SKEP_TASK_ID";
/// Names the node to each process of its tasks.
pub(crate) const NODE_VARIABLE: &str = "SKEP_NODE_ID";
/// Scans for what is left of a task that is killed: a process may have begun others before it died.
/// What is alive after the last scan hangs in the kernel and is left behind.
const KILL_ROUNDS_MAX: u32 = 50;
/// Longest that the processes of one scan may take to be gone after they were killed; then they are
/// scanned for and killed again.
const KILL_ROUND_LIMIT: Duration = Duration::from_millis(500);
/// Between two looks at processes that are known by their numbers.
const KNOWN_PERIOD: Duration = Duration::from_millis(5);

/// The newest scan, and when it began.
static NEWEST_SCAN: Mutex<Option<(Instant, Arc<ProcessScan>)>> = Mutex::new(None);

/// The marked processes that one scan found, with their numbers.
type ProcessScan = Vec<(i32, ProcessMark)>;

/// The processes of one task.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Remains(pub(super) BTreeSet<i32>);

/// Every living process of a task of `node`, by task.
pub(super) fn of_node(node: Id) -> BTreeMap<Id, Remains> {
    let mut found = BTreeMap::<Id, Remains>::new();
    for (pid, mark) in marked().iter() {
        if mark.node == Some(node) {
            found.entry(mark.task).or_default().0.insert(*pid);
        }
    }
    found
}

/// Every living process of one task.
pub(super) fn of_task(task: Id, groups: &[ControlGroup]) -> Remains {
    let all = marked();
    let marked = all.iter().filter(|(_, mark)| mark.task == task).map(|(pid, _)| *pid);
    let grouped = cgroup::processes(groups).into_iter().filter(|pid| boot::is_running(*pid));
    Remains(marked.chain(grouped).collect())
}

/// The folder of a living shim of this task that is another one than `own`, if there is one.
pub(super) fn shim_elsewhere(task: Id, own: &Path) -> Option<PathBuf> {
    let marked = marked();
    let shims = marked.iter().filter(|(pid, mark)| mark.task == task && boot::is_running(*pid));
    let folders =
        shims.filter_map(|(pid, _)| shims_folder(&fs::read(format!("/proc/{pid}/cmdline")).ok()?));
    folders.into_iter().find(|folder| folder.ends_with(task.to_string()) && folder != own)
}

/// What a shim's command line ends with: the folder that it was started with.
fn shims_folder(command_line: &[u8]) -> Option<PathBuf> {
    let mut words = command_line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.next_back().map(|folder| PathBuf::from(ffi::OsStr::from_bytes(folder)))
}

impl Remains {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of these very processes is alive. Costs a look at each of them, and no scan of
    /// all processes of the machine.
    pub(super) fn is_alive(&self) -> bool {
        self.0.iter().any(|pid| boot::is_running(*pid))
    }

    pub(super) fn signal(&self, signal: Signal) {
        for pid in &self.0 {
            let _ = kill(Pid::from_raw(*pid), signal);
        }
    }
}

/// Kills all of a task and waits until it is gone. False when something would not go.
pub(super) fn kill_all(task: Id, groups: &[ControlGroup]) -> bool {
    for _ in 0..KILL_ROUNDS_MAX {
        let remains = of_task(task, groups);
        if remains.is_empty() {
            return true;
        }
        remains.signal(Signal::SIGKILL);
        let began = Instant::now();
        while remains.is_alive() && began.elapsed() < KILL_ROUND_LIMIT {
            thread::sleep(KNOWN_PERIOD);
        }
    }
    of_task(task, groups).is_empty()
}

/// What a process's environment says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ProcessMark {
    task: Id,
    node: Option<Id>,
}

/// Processes that carry a mark. A scan reads the environment of every process of the machine; so
/// all who ask at the same time share one: the first that began after they asked.
fn marked() -> Arc<ProcessScan> {
    let asked = Instant::now();
    let mut newest = NEWEST_SCAN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, scan)) = newest.as_ref().filter(|(began, _)| *began >= asked) {
        return Arc::clone(scan);
    }
    let began = Instant::now();
    let scan = Arc::new(scan());
    *newest = Some((began, Arc::clone(&scan)));
    scan
}

/// The environment of a process that has ended is empty.
fn scan() -> ProcessScan {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let marked = entries.filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        Some((pid, parse(&fs::read(format!("/proc/{pid}/environ")).ok()?)?))
    });
    marked.collect()
}

fn parse(environment: &[u8]) -> Option<ProcessMark> {
    let variable = |name: &str| {
        let mut all = environment.split(|byte| *byte == 0);
        let value = all.find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        Id::parse(std::str::from_utf8(value).ok()?)
    };
    Some(ProcessMark { task: variable(TASK_VARIABLE)?, node: variable(NODE_VARIABLE) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_environment() {
        let (task, node) = (Id(7), Id(8));
        let text = format!("A=1\0XSKEP_TASK_ID=no\0SKEP_TASK_ID={task}\0SKEP_NODE_ID={node}\0");
        assert_eq!(parse(text.as_bytes()), Some(ProcessMark { task, node: Some(node) }));
        assert_eq!(
            parse(format!("SKEP_TASK_ID={task}").as_bytes()),
            Some(ProcessMark { task, node: None })
        );
        assert_eq!(parse(b"SKEP_TASK_ID=\0SKEP_NODE_ID=x"), None);
        assert_eq!(parse(b""), None);
    }
}
