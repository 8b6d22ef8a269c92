//! Which containers this node's runtime made: the record that decides about ownership. PURE.
//!
//! A container is a task's own if its id is recorded for the task, or if the task's name is
//! recorded, no id is known yet (the engine has not answered the creation) and the container has
//! that name. Labels prove nothing: an image committed from a task's container copies them into
//! every container made of it.
//!
//! The entry is written before the engine is asked to create, and stays until the container is gone
//! for certain. An engine that stood still may carry out a creation long after everybody gave up
//! waiting for it: so a removed task whose creation was never answered stays **condemned** for a
//! while, and whatever appears under its name in that time is removed.

use skep_proto::{Id, time::SECOND_NS};
use std::collections::{BTreeMap, BTreeSet};

/// A condemned task whose container has not appeared so long after the engine first answered a
/// listing is forgotten: the creation was not carried out.
const CONDEMNED_LIMIT_NS: u64 = 600 * SECOND_NS;
/// A condemned container that is known by its id is forgotten when no listing has shown it for this
/// long: a single listing may have begun before it was there.
const ABSENT_LIMIT_NS: u64 = 30 * SECOND_NS;
/// A task is not created again so soon after its removal: the step that was overtaken by the
/// removal may still be on its way. A creation asked for within this time is tried again later.
const CREATION_DELAY_NS: u64 = 30 * SECOND_NS;

/// What is recorded of one task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RecordedContainer {
    /// The container's name; empty where the record could not be read.
    pub(super) name: String,
    /// The container's id; none while the engine has not answered the creation.
    pub(super) container: Option<String>,
    pub(super) fate: ContainerFate,
}

/// What becomes of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ContainerFate {
    /// It belongs to a task.
    Kept,
    /// Its task has ended. It is kept for its output, and must not run again.
    Over,
    /// Its task was removed: it is removed as soon as it is seen.
    Condemned,
}

/// A container as the engine lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ListedContainer {
    pub(super) id: String,
    /// Without the slash that the engine puts before them.
    pub(super) names: Vec<String>,
    /// The task that its label names.
    pub(super) task: Id,
    /// The node that its label names; none where there is no such label.
    pub(super) node: Id,
    pub(super) phase: ListedPhase,
}

impl ListedContainer {
    /// What people call it.
    pub(super) fn name(&self) -> &str {
        self.names.first().unwrap_or(&self.id)
    }
}

/// How far a listed container is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ListedPhase {
    /// It runs.
    Running,
    /// It runs, and somebody paused it.
    Paused,
    /// It runs, and its health check gave up.
    Unhealthy,
    /// Anything else: only a look tells.
    NotRunning,
}

/// Whose a listed container is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// This runtime made it.
    Own,
    /// Nothing is recorded of its task, and it has the name that this runtime would have given it.
    Named,
    /// Its labels name a task, and nothing else does: somebody made it from a copy.
    Foreign,
}

/// The task was removed a moment ago, or is being removed: nothing may be created for it now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BeingRemoved;

/// All records of one node's runtime.
#[derive(Clone, Debug, Default)]
pub(super) struct ContainerLedger {
    entries: BTreeMap<Id, RecordedContainer>,
    /// Since when the engine has listed without the condemned container.
    absent_since: BTreeMap<Id, u64>,
    /// Tasks that were removed, and until when nothing is created for them.
    removed: BTreeMap<Id, u64>,
}

impl ContainerLedger {
    /// Goes on from what was written down.
    pub(super) fn restored(entries: BTreeMap<Id, RecordedContainer>) -> ContainerLedger {
        ContainerLedger { entries, ..ContainerLedger::default() }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&Id, &RecordedContainer)> {
        self.entries.iter()
    }

    pub(super) fn entry(&self, task: Id) -> Option<&RecordedContainer> {
        self.entries.get(&task)
    }

    /// The engine is about to be asked to create the task's container.
    pub(super) fn begin(&mut self, task: Id, name: &str, now: u64) -> Result<(), BeingRemoved> {
        self.removed.retain(|_, until| *until > now);
        match self.entries.get(&task) {
            Some(RecordedContainer { fate: ContainerFate::Condemned, .. }) => Err(BeingRemoved),
            None if self.removed.contains_key(&task) => Err(BeingRemoved),
            Some(RecordedContainer { fate: ContainerFate::Kept | ContainerFate::Over, .. }) => {
                Ok(())
            }
            None => {
                let entry = RecordedContainer {
                    name: name.to_owned(),
                    container: None,
                    fate: ContainerFate::Kept,
                };
                self.entries.insert(task, entry);
                Ok(())
            }
        }
    }

    /// This container is the task's: the engine created it, or it was found under the task's name.
    /// Says what is to become of it. An entry is made before the engine is asked; where there is
    /// none any more, the task was removed meanwhile.
    pub(super) fn made(&mut self, task: Id, name: &str, container: &str) -> ContainerFate {
        let fresh = || RecordedContainer {
            name: name.to_owned(),
            container: None,
            fate: ContainerFate::Condemned,
        };
        let entry = self.entries.entry(task).or_insert_with(fresh);
        entry.container = Some(container.to_owned());
        entry.fate
    }

    /// The task has ended: from here on its container must not run.
    pub(super) fn over(&mut self, task: Id) {
        if let Some(entry) = self.entries.get_mut(&task)
            && entry.fate == ContainerFate::Kept
        {
            entry.fate = ContainerFate::Over;
        }
    }

    /// Tasks that have ended, and whose containers are kept.
    pub(super) fn ended(&self) -> BTreeSet<Id> {
        let over = self.entries.iter().filter(|(_, entry)| entry.fate == ContainerFate::Over);
        over.map(|(task, _)| *task).collect()
    }

    /// Containers that run although their tasks had ended when the listing began: somebody else
    /// started them. They are to be stopped.
    pub(super) fn revived(
        &self,
        rows: &[ListedContainer],
        ended: &BTreeSet<Id>,
    ) -> Vec<(Id, String)> {
        let runs = |row: &&ListedContainer| match row.phase {
            ListedPhase::Running | ListedPhase::Paused | ListedPhase::Unhealthy => {
                ended.contains(&row.task)
                    && self.claim(row) == Claim::Own
                    && self.entry(row.task).is_some_and(|e| e.fate == ContainerFate::Over)
            }
            ListedPhase::NotRunning => false,
        };
        rows.iter().filter(runs).map(|row| (row.task, row.id.clone())).collect()
    }

    /// The task is removed: from here on nothing is created for it, and what appears of it is
    /// removed.
    pub(super) fn condemn(&mut self, task: Id, now: u64) {
        self.removed.insert(task, now + CREATION_DELAY_NS);
        if let Some(entry) = self.entries.get_mut(&task) {
            entry.fate = ContainerFate::Condemned;
        }
    }

    /// The task's container is gone for certain.
    pub(super) fn gone(&mut self, task: Id) {
        self.entries.remove(&task);
        self.absent_since.remove(&task);
    }

    /// Whose this container is.
    pub(super) fn claim(&self, row: &ListedContainer) -> Claim {
        match self.entries.get(&row.task) {
            Some(RecordedContainer { container: Some(container), .. }) if *container == row.id => {
                Claim::Own
            }
            Some(RecordedContainer { container: Some(_), .. }) => Claim::Foreign,
            Some(RecordedContainer { container: None, name, .. }) => {
                let matches = |listed: &String| match name.is_empty() {
                    true => is_named_for(listed, row.task),
                    false => listed == name,
                };
                if row.names.iter().any(matches) { Claim::Own } else { Claim::Foreign }
            }
            None if row.names.iter().any(|name| is_named_for(name, row.task)) => Claim::Named,
            None => Claim::Foreign,
        }
    }

    /// What the engine listed at `now`: containers of removed tasks, which are to be removed. A
    /// removed task that is absent for long enough is forgotten.
    pub(super) fn sweep(&mut self, rows: &[ListedContainer], now: u64) -> Sweep {
        let mut sweep = Sweep::default();
        for row in rows.iter().filter(|row| self.claim(row) == Claim::Own) {
            if self.entry(row.task).is_some_and(|entry| entry.fate == ContainerFate::Condemned) {
                sweep.remove.push((row.task, row.id.clone()));
            }
        }
        for (task, entry) in &self.entries {
            let listed = sweep.remove.iter().any(|(listed, _)| listed == task);
            if entry.fate == ContainerFate::Condemned && !listed {
                let since = *self.absent_since.entry(*task).or_insert(now);
                let limit =
                    if entry.container.is_some() { ABSENT_LIMIT_NS } else { CONDEMNED_LIMIT_NS };
                if now.saturating_sub(since) >= limit {
                    sweep.forget.push(*task);
                }
            } else {
                self.absent_since.remove(task);
            }
        }
        for task in &sweep.forget {
            self.gone(*task);
        }
        sweep
    }
}

/// What follows from a listing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Sweep {
    /// Containers to remove, by their ids.
    pub(super) remove: Vec<(Id, String)>,
    /// Removed tasks of which nothing appeared.
    pub(super) forget: Vec<Id>,
}

/// Whether a container's name ends in the task's id, as this runtime names them.
fn is_named_for(name: &str, task: Id) -> bool {
    name.strip_suffix(&task.to_string()).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: Id = Id(7);

    fn name() -> String {
        format!("web.1.{TASK}")
    }

    fn row(id: &str, name: &str) -> ListedContainer {
        ListedContainer {
            id: id.into(),
            names: vec![name.into()],
            task: TASK,
            node: Id(1),
            phase: ListedPhase::Running,
        }
    }

    #[test]
    fn labels_alone_make_nothing_ours() {
        let mut ledger = ContainerLedger::default();
        assert_eq!(ledger.claim(&row("c1", &name())), Claim::Named, "nothing is recorded");
        assert_eq!(ledger.claim(&row("c1", "mycopy")), Claim::Foreign);
        ledger.begin(TASK, &name(), 0).unwrap();
        assert_eq!(
            ledger.claim(&row("c1", &name())),
            Claim::Own,
            "the creation is not answered yet"
        );
        assert_eq!(ledger.claim(&row("c2", "mycopy")), Claim::Foreign);
        ledger.made(TASK, &name(), "c1");
        assert_eq!(ledger.claim(&row("c1", "renamed")), Claim::Own, "its id speaks for it");
        assert_eq!(ledger.claim(&row("c2", &name())), Claim::Foreign, "another one under its name");
    }

    #[test]
    fn an_unreadable_record_goes_by_the_tasks_id_in_the_name() {
        let entry =
            RecordedContainer { name: String::new(), container: None, fate: ContainerFate::Kept };
        let ledger = ContainerLedger::restored(BTreeMap::from([(TASK, entry)]));
        assert_eq!(ledger.claim(&row("c1", &name())), Claim::Own);
        assert_eq!(ledger.claim(&row("c1", "mycopy")), Claim::Foreign);
        assert_eq!(ledger.claim(&row("c1", &format!("web.1.x{TASK}"))), Claim::Foreign);
    }

    #[test]
    fn what_a_removed_tasks_late_creation_makes_is_removed_and_nothing_of_somebody_else() {
        let mut ledger = ContainerLedger::default();
        ledger.begin(TASK, &name(), 0).unwrap();
        ledger.condemn(TASK, 0);
        assert_eq!(ledger.sweep(&[], 5), Sweep::default(), "it may still appear");
        assert_eq!(ledger.sweep(&[row("c2", "mycopy")], 5), Sweep::default());
        let sweep = ledger.sweep(&[row("c1", &name()), row("c2", "mycopy")], 6);
        assert_eq!(sweep.remove, [(TASK, "c1".to_owned())]);
        assert_eq!(
            ledger.made(TASK, &name(), "c1"),
            ContainerFate::Condemned,
            "its own late success"
        );
        ledger.gone(TASK);
        assert_eq!(ledger.sweep(&[row("c2", "mycopy")], 7), Sweep::default());
    }

    #[test]
    fn a_removed_task_of_which_nothing_appears_is_forgotten_by_listings_and_not_before() {
        let mut ledger = ContainerLedger::default();
        ledger.begin(TASK, &name(), 0).unwrap();
        ledger.condemn(TASK, 0);
        let first = 5_000 * SECOND_NS;
        assert!(ledger.sweep(&[], first).forget.is_empty(), "the engine was away until now");
        assert!(ledger.sweep(&[], first + CONDEMNED_LIMIT_NS - 1).forget.is_empty());
        assert_eq!(ledger.sweep(&[], first + CONDEMNED_LIMIT_NS).forget, [TASK]);
        assert_eq!(ledger.entry(TASK), None);
    }

    #[test]
    fn nothing_is_created_for_a_task_that_was_removed_a_moment_ago() {
        let mut ledger = ContainerLedger::default();
        ledger.condemn(TASK, 0);
        assert_eq!(ledger.begin(TASK, &name(), 1), Err(BeingRemoved), "a step that was overtaken");
        assert_eq!(ledger.begin(TASK, &name(), CREATION_DELAY_NS), Ok(()));
        ledger.condemn(TASK, CREATION_DELAY_NS);
        assert_eq!(
            ledger.begin(TASK, &name(), 3 * CREATION_DELAY_NS),
            Err(BeingRemoved),
            "it may still appear"
        );
    }

    #[test]
    fn a_creation_that_is_answered_after_the_removal_makes_nothing_that_is_kept() {
        let mut ledger = ContainerLedger::default();
        ledger.begin(TASK, &name(), 0).unwrap();
        ledger.condemn(TASK, 0);
        ledger.gone(TASK);
        assert_eq!(ledger.made(TASK, &name(), "c1"), ContainerFate::Condemned);
        let rows = [row("c1", &name())];
        assert_eq!(ledger.sweep(&rows, 1).remove, [(TASK, "c1".to_owned())]);
        assert_eq!(ledger.sweep(&rows, 2).remove, [(TASK, "c1".to_owned())], "it is still there");
        assert_eq!(ledger.sweep(&[], 3), Sweep::default());
        assert_eq!(ledger.sweep(&rows, 4).remove.len(), 1, "a listing may leave something out");
        assert_eq!(ledger.sweep(&[], 5), Sweep::default());
        assert_eq!(ledger.sweep(&[], 5 + ABSENT_LIMIT_NS).forget, [TASK]);
    }

    #[test]
    fn a_container_that_runs_after_its_tasks_end_is_stopped_and_nothing_else_is() {
        let mut ledger = ContainerLedger::default();
        ledger.begin(TASK, &name(), 0).unwrap();
        ledger.made(TASK, &name(), "c1");
        let rows = [row("c1", &name()), row("c2", "mycopy")];
        assert_eq!(ledger.revived(&rows, &ledger.ended()), [], "its task goes on");
        let before = ledger.ended();
        ledger.over(TASK);
        assert_eq!(ledger.revived(&rows, &before), [], "the listing may be older than the end");
        let ended = ledger.ended();
        assert_eq!(ledger.revived(&rows, &ended), [(TASK, "c1".to_owned())]);
        let rests = ListedContainer { phase: ListedPhase::NotRunning, ..row("c1", &name()) };
        assert_eq!(ledger.revived(&[rests], &ended), []);
        assert_eq!(ledger.sweep(&rows, 5), Sweep::default(), "it is kept");
        ledger.condemn(TASK, 6);
        assert_eq!(ledger.revived(&rows, &ended), [], "it is removed");
        ledger.over(TASK);
        assert_eq!(ledger.sweep(&rows, 7).remove.len(), 1, "an end takes no removal back");
    }

    #[test]
    fn each_removed_task_is_forgotten_after_its_own_absence() {
        let other = Id(8);
        let other_row = ListedContainer { task: other, ..row("c8", "web.2") };
        let mut ledger = ContainerLedger::default();
        for (task, name, container) in [(TASK, name(), "c1"), (other, "web.2".into(), "c8")] {
            ledger.begin(task, &name, 0).unwrap();
            ledger.made(task, &name, container);
            ledger.condemn(task, 0);
        }
        assert_eq!(ledger.sweep(std::slice::from_ref(&other_row), 5).forget, []);
        let both = [row("c1", &name()), other_row.clone()];
        assert_eq!(ledger.sweep(&both, 6).remove.len(), 2, "its absence begins anew");
        assert_eq!(ledger.sweep(std::slice::from_ref(&other_row), 7).forget, []);
        let sweep = ledger.sweep(std::slice::from_ref(&other_row), 5 + ABSENT_LIMIT_NS);
        assert_eq!(sweep.forget, []);
        let sweep = ledger.sweep(&[other_row], 7 + ABSENT_LIMIT_NS);
        assert_eq!((sweep.forget, sweep.remove), (vec![TASK], vec![(other, "c8".to_owned())]));
    }

    #[test]
    fn a_task_that_is_removed_a_second_time_is_absent_for_as_long_again() {
        let mut ledger = ContainerLedger::default();
        let begun = |ledger: &mut ContainerLedger, now: u64| {
            ledger.begin(TASK, &name(), now).unwrap();
            ledger.made(TASK, &name(), "c1");
            ledger.condemn(TASK, now);
        };
        begun(&mut ledger, 0);
        assert_eq!(ledger.sweep(&[], 5).forget, []);
        ledger.gone(TASK);
        begun(&mut ledger, 5 + 2 * CREATION_DELAY_NS);
        assert_eq!(ledger.sweep(&[], 5 + ABSENT_LIMIT_NS + 2 * CREATION_DELAY_NS).forget, []);
    }

    #[test]
    fn a_kept_task_is_never_swept() {
        let mut ledger = ContainerLedger::default();
        ledger.begin(TASK, &name(), 0).unwrap();
        for now in [0, CONDEMNED_LIMIT_NS, 2 * CONDEMNED_LIMIT_NS] {
            assert_eq!(ledger.sweep(&[row("c1", &name())], now), Sweep::default());
            assert_eq!(ledger.sweep(&[], now), Sweep::default());
        }
    }
}
