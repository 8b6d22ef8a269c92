//! What this runtime has for the tasks of a node: all folders, and all processes without one.

use super::{
    folder::{Folder, is_passing},
    notes::{Cause, ProcessEnding, RunningProcess},
    remains,
    tracking::{self, ProcessState, look_now},
};
use crate::{
    runtime::{FoundState, FoundTask, Proof, Started},
    wall,
};
use skep_proto::Id;
use std::{collections::BTreeMap, ffi::OsString, fs, io, path::Path};

/// All folders, and all processes whose folder is gone. A folder whose plan does not say whose
/// it is belongs to this node: no other agent has this state folder.
pub(super) fn found(tasks: &Path, node: Id) -> io::Result<Vec<FoundTask>> {
    let mut found = BTreeMap::new();
    for (task_id, remains) in remains::of_node(node) {
        let Some(pid) = remains.0.first().filter(|_| !Folder::of(tasks, task_id).exists()) else {
            continue;
        };
        let started = tracking::started(&RunningProcess { pid: *pid, ..RunningProcess::default() });
        let state = FoundState::Running(started);
        found.insert(task_id, recorded(task_id, state));
    }
    for task_id in folders(tasks)? {
        let folder = Folder::of(tasks, task_id);
        if folder.plan()?.read().is_some_and(|plan| plan.node != node.to_string()) {
            continue;
        }
        let whereabouts = match look_now(task_id, &folder) {
            Err(error) if !is_passing(&error) => {
                ProcessState::Over(None, unusable(&folder, &error))
            }
            looked => looked?,
        };
        let state = match whereabouts {
            ProcessState::Absent => continue,
            // Whoever starts it waits for a start that somebody else began.
            ProcessState::Planned | ProcessState::Starting(_) => FoundState::Created,
            ProcessState::Runs(running, _) | ProcessState::MustEnd(Some(running), ..) => {
                FoundState::Running(tracking::started(&running))
            }
            ProcessState::MustEnd(None, ..) => FoundState::Running(Started::default()),
            ProcessState::Over(running, ending) => FoundState::Ended(
                running.as_ref().map(tracking::started).unwrap_or_default(),
                tracking::ended(&ending),
            ),
        };
        found.insert(task_id, recorded(task_id, state));
    }
    Ok(found.into_values().collect())
}

fn folders(tasks: &Path) -> io::Result<Vec<Id>> {
    let entries = match fs::read_dir(tasks) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names = entries.map(|entry| Ok(entry?.file_name()));
    let ids = names.map(|name: io::Result<OsString>| Ok(name?.to_str().and_then(Id::parse)));
    ids.filter_map(io::Result::transpose).collect()
}

/// What this runtime made itself: nobody else has a folder here, or these variables.
fn recorded(task_id: Id, state: FoundState) -> FoundTask {
    FoundTask { task_id, image_digest: String::new(), proof: Proof::Recorded, state }
}

/// The end of a task whose files are of no use at all.
fn unusable(folder: &Folder, error: &io::Error) -> ProcessEnding {
    let error = format!("{} cannot be used: {error}", folder.path().display());
    ProcessEnding {
        cause: Cause::NotesDamaged,
        error,
        at: wall::now_ns(),
        ..ProcessEnding::default()
    }
}
