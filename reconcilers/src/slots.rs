//! The slots of a service: which are taken, and by what.
//!
//! A slot is taken while a task in it is wanted, or when its newest task has done all that its
//! policy asks for. A slot that was scaled away is free, even while its task is still ending.

use crate::attempts::may_restart;
use skep_projections::{NodeIdx, ServiceIdx, TaskIdx, TaskRow, View};
use skep_proto::v1::TaskState;

/// One taken slot.
#[derive(Clone, Debug)]
pub(crate) struct Slot<'a> {
    /// From 1.
    pub number: u32,
    /// The wanted tasks, oldest first; or the one finished task.
    pub tasks: Vec<(TaskIdx, &'a TaskRow)>,
}

impl Slot<'_> {
    /// Whether one of its tasks was seen running and has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.tasks.iter().any(|(_, task)| task.state == TaskState::Running)
    }

    /// Where its only task is; one that has ended is nowhere.
    pub(crate) fn node(&self) -> Option<NodeIdx> {
        match self.tasks.as_slice() {
            [(_, only)] => only.node.filter(|_| !only.has_ended()),
            [] | [_, _, ..] => None,
        }
    }
}

/// All taken slots of a service, by number.
pub(crate) fn slots(view: &View, service: ServiceIdx) -> Vec<Slot<'_>> {
    let mut slots: Vec<Slot<'_>> = Vec::new();
    let mut tasks = view.tasks_of(service).peekable();
    while let Some((_, first)) = tasks.peek() {
        let number = first.slot;
        let mut wanted = Vec::new();
        let mut newest = None;
        while let Some(task) = tasks.next_if(|(_, task)| task.slot == number) {
            if task.1.is_wanted() {
                wanted.push(task);
            }
            newest = Some(task);
        }
        if wanted.is_empty() {
            wanted.extend(newest.filter(|(_, task)| is_finished(view, task)));
        }
        if !wanted.is_empty() {
            slots.push(Slot { number, tasks: wanted });
        }
    }
    slots
}

/// The slots of a service that serve nobody and have nothing on a node, from the highest number
/// down: those in which tasks are wanted, looked up one by one.
pub(crate) fn idle_from_the_top(
    view: &View,
    service: ServiceIdx,
) -> impl Iterator<Item = Slot<'_>> {
    let mut tasks = view.tasks_of(service).rev().peekable();
    let slots = std::iter::from_fn(move || {
        let number = tasks.peek()?.1.slot;
        let mut wanted = Vec::new();
        while let Some(task) = tasks.next_if(|(_, task)| task.slot == number) {
            if task.1.is_wanted() {
                wanted.insert(0, task);
            }
        }
        Some(Slot { number, tasks: wanted })
    });
    slots.filter(|slot| !slot.tasks.is_empty() && slot.node().is_none() && !slot.is_running())
}

/// Whether a task that is no longer wanted still keeps its slot taken.
pub(crate) fn is_finished(view: &View, task: &TaskRow) -> bool {
    task.desired != TaskState::Remove && !may_restart(view, task)
}
