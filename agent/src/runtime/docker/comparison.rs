//! What a listing shows of the containers that carry labels of our tasks: which of ours are paused,
//! and which are copies that somebody else made. PURE.

use super::ledger::{Claim, ContainerLedger, ListedContainer, ListedPhase};
use skep_proto::Id;
use std::collections::BTreeMap;

/// What a listing shows of the containers that carry labels of our tasks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ListingComparison {
    /// Tasks whose container is paused: what is said of each.
    pub(super) paused: BTreeMap<Id, String>,
    /// Containers that carry a task's labels and are not the task's: the task, and their names.
    pub(super) copies: BTreeMap<String, (Id, String)>,
}

/// Compares a listing with what is recorded. Containers of tasks that are not recorded here are
/// another runtime's business.
pub(super) fn compare(ledger: &ContainerLedger, rows: &[ListedContainer]) -> ListingComparison {
    let mut found = ListingComparison::default();
    for row in rows.iter().filter(|row| ledger.entry(row.task).is_some()) {
        match (ledger.claim(row), row.phase) {
            (Claim::Own, ListedPhase::Paused) => {
                let name = row.name();
                let text = format!("its container is paused; `docker unpause {name}` resumes it");
                found.paused.insert(row.task, text);
            }
            (
                Claim::Own,
                ListedPhase::Running | ListedPhase::Unhealthy | ListedPhase::NotRunning,
            ) => {}
            (Claim::Foreign | Claim::Named, _) => {
                found.copies.insert(row.id.clone(), (row.task, row.name().to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: Id = Id(7);

    fn row(id: &str, task: Id, phase: ListedPhase) -> ListedContainer {
        let names = vec![format!("name-of-{id}")];
        ListedContainer { id: id.into(), names, task, node: Id(1), phase }
    }

    /// A ledger in which the task's container is `own`.
    fn ledger() -> ContainerLedger {
        let mut ledger = ContainerLedger::default();
        ledger.begin(TASK, "web.1", 0).unwrap();
        ledger.made(TASK, "web.1", "own");
        ledger
    }

    #[test]
    fn our_own_container_is_worth_a_word_only_while_it_is_paused() {
        for phase in [ListedPhase::Running, ListedPhase::Unhealthy, ListedPhase::NotRunning] {
            let found = compare(&ledger(), &[row("own", TASK, phase)]);
            assert_eq!(found, ListingComparison::default(), "{phase:?}");
        }
        let found = compare(&ledger(), &[row("own", TASK, ListedPhase::Paused)]);
        let text = "its container is paused; `docker unpause name-of-own` resumes it";
        assert_eq!(found.paused, BTreeMap::from([(TASK, text.to_owned())]));
        assert!(found.copies.is_empty());
    }

    #[test]
    fn another_container_with_our_tasks_labels_is_a_copy_whatever_it_does() {
        for phase in [ListedPhase::Running, ListedPhase::Paused, ListedPhase::NotRunning] {
            let rows = [row("own", TASK, ListedPhase::Running), row("other", TASK, phase)];
            let found = compare(&ledger(), &rows);
            let copy = ("other".to_owned(), (TASK, "name-of-other".to_owned()));
            assert_eq!(found.copies, BTreeMap::from([copy]), "{phase:?}");
            assert!(found.paused.is_empty(), "it is the copy that is paused");
        }
    }

    #[test]
    fn containers_of_tasks_that_are_not_recorded_here_are_left_out() {
        let found = compare(&ledger(), &[row("theirs", Id(8), ListedPhase::Paused)]);
        assert_eq!(found, ListingComparison::default());
    }

    #[test]
    fn a_container_without_a_name_is_called_by_its_id() {
        let nameless = ListedContainer { names: vec![], ..row("x", TASK, ListedPhase::Running) };
        let found = compare(&ledger(), &[nameless]);
        assert_eq!(found.copies["x"], (TASK, "x".to_owned()));
    }
}
